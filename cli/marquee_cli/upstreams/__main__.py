"""Start the stand-ins: `python -m marquee_cli.upstreams --port 8080`."""

import argparse
from datetime import date
from pathlib import Path

from marquee_cli.upstreams.app import create_app
from marquee_cli.upstreams.connection import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m marquee_cli.upstreams", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free port")
    parser.add_argument("--port-file", type=Path, help="where to write the port that was taken")
    parser.add_argument(
        "--epoch",
        type=date.fromisoformat,
        help="the UTC day whose midnight ends the posts, YYYY-MM-DD (default: always today)",
    )
    arguments = parser.parse_args()
    serve(create_app(epoch=arguments.epoch), arguments.port, arguments.port_file)


if __name__ == "__main__":
    main()
