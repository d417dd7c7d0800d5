"""Which API a command speaks to, the laptop cloud's or a deployed one's, and how it says refusals.

A deployed endpoint's key comes from the environment or a file rather than from the command line,
which every process of the machine may read.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
import httpx

from marquee_cli.client import ApiError, Client, is_loopback
from marquee_cli.cloud.cloud import Cloud
from marquee_cli.cloud.errors import CloudError
from marquee_cli.terminal import plain, show_any_character

WRONG_CALL = (400, 413, 422)
"""What the API answers where the request is at fault."""

MAX_KEY_CHARACTERS = 128
"""Of an API key of API Gateway."""


def laptop(cloud: Cloud) -> Client:
    """The client of the laptop cloud; raises CloudError where nothing is deployed on it."""
    api = cloud.home.read().api
    if api is None:
        raise CloudError("Nothing is deployed yet. Run `marquee up` first.")
    return Client(api.url, api.key)


def deployed(endpoint: str, key: str | None, key_file: Path | None) -> Client:
    """The client of a deployed endpoint; raises UsageError for an address or key that cannot be."""
    try:
        address = httpx.URL(endpoint)
    except httpx.InvalidURL as error:
        raise click.UsageError(f"--endpoint: {plain(str(error))}") from error
    if not address.host or address.scheme not in ("http", "https"):
        raise click.UsageError("--endpoint takes an address such as https://….amazonaws.com/prod")
    if address.userinfo or address.query or address.fragment:
        raise click.UsageError("--endpoint takes no user, query or fragment")
    if address.scheme == "http" and not is_loopback(endpoint):
        raise click.UsageError("--endpoint: over http the key could be read on its way; use https")
    if key and key_file:
        raise click.UsageError("--api-key or --api-key-file, not both")
    if key_file:
        try:
            key = key_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--api-key-file: {plain(str(error))}") from error
    key = (key or "").strip()
    if not key:
        raise click.UsageError("--endpoint needs its key: MARQUEE_API_KEY or --api-key-file")
    if not key.isascii() or not key.isprintable() or len(key) > MAX_KEY_CHARACTERS:
        raise click.UsageError("the key is none that API Gateway gives out")
    return Client(endpoint, key)


def speaks_to_an_api(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command for the API to speak to; the command is handed the client instead.

    It takes the client as its first argument, and what the API refuses ends it with a sentence.
    """

    @click.option(
        "--endpoint",
        envvar="MARQUEE_ENDPOINT",
        show_envvar=True,
        metavar="URL",
        help="Output ApiUrl of a deployed stack; the laptop cloud by default.",
    )
    @click.option(
        "--api-key",
        envvar="MARQUEE_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help="Its key. Others can read the command line: prefer the environment or a file.",
    )
    @click.option(
        "--api-key-file",
        envvar="MARQUEE_API_KEY_FILE",
        show_envvar=True,
        metavar="PATH",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file that holds its key.",
    )
    @click.pass_obj
    @wraps(command)
    def connected(
        cloud: Cloud,
        /,
        endpoint: str | None,
        api_key: str | None,
        api_key_file: Path | None,
        **arguments: Any,
    ) -> None:
        show_any_character()
        if not endpoint and (api_key or api_key_file):
            raise click.UsageError("a key without --endpoint: the laptop cloud has its own")
        client = deployed(endpoint, api_key, api_key_file) if endpoint else laptop(cloud)
        with client, said_plainly():
            command(client, **arguments)

    return connected


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn what the API refused into a message and click's exit code 1, or 2 for a wrong call."""
    try:
        yield
    except ApiError as error:
        kind = click.UsageError if error.status in WRONG_CALL else click.ClickException
        raise kind(plain(str(error))) from error
