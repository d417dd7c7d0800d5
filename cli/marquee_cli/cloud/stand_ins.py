"""The stand-ins' process: one server on loopback for every upstream without a key."""

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from marquee_cli.cloud.emulator import service_environment
from marquee_cli.cloud.errors import with_tail
from marquee_cli.cloud.home import Home, Service
from marquee_cli.cloud.ports import choose_port
from marquee_cli.cloud.processes import end, launch, marked

PART_NAME = "stand-ins"
UP_WITHIN_SECONDS = 30.0
"""It takes about a second on an idle laptop."""
POLL_SECONDS = 0.1
ENDED_WITHIN_SECONDS = 5.0
ANSWER_WITHIN_SECONDS = 10.0


def start(
    home: Home,
    python: Path,
    preferred_ports: Iterable[int],
    within_seconds: float = UP_WITHIN_SECONDS,
) -> Service:
    """Start the stand-ins and wait until they listen; raises CloudError with the log's end."""
    log = home.logs / "stand-ins.log"
    port_file = home.scratch / "stand-ins.port"
    home.scratch.mkdir(parents=True, exist_ok=True)
    port_file.unlink(missing_ok=True)
    process = launch(
        [
            *(python, "-m", "marquee_cli.upstreams"),
            *("--port", str(choose_port(preferred_ports)), "--port-file", port_file),
        ],
        service_environment(home, PART_NAME),
        home.folder,
        log,
    )
    deadline = time.monotonic() + within_seconds
    while not port_file.exists():
        if not process.is_alive():
            raise with_tail("The stand-ins ended while they started.", log)
        if time.monotonic() > deadline:
            stop(home)
            raise with_tail(f"The stand-ins did not listen in {within_seconds:.0f} s.", log)
        time.sleep(POLL_SECONDS)
    return Service(process=process, port=int(port_file.read_text()), since=datetime.now(UTC))


def stop(home: Home) -> None:
    """End the stand-ins of this home, however they came to run."""
    end(marked(home.folder, PART_NAME), ENDED_WITHIN_SECONDS)


def oauth2_tokens(service: Service, account: str) -> str:
    """The tokens that the stand-in of X takes from the account's user now, as a secret holds them.

    It goes on with the newest that it gave, whatever became of those in the emulator.
    """
    url = f"{service.url}/_control/tokens/{account}"
    answer = httpx.get(url, timeout=ANSWER_WITHIN_SECONDS, trust_env=False)
    held = answer.raise_for_status().json()
    return json.dumps(
        {
            "access_token": held["oauth2_access_token"],
            "refresh_token": held["oauth2_refresh_token"],
        }
    )
