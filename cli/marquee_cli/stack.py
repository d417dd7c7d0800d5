"""The stack whose AWS services a command asks: the laptop cloud's, or one on AWS.

An operator asks them with credentials of their own: what they may do there, the API's key may not.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, wraps
from typing import Any

import boto3
import click

from marquee_cli.cloud.cloud import STACK_NAME, Cloud
from marquee_cli.terminal import show_any_character

type Connect = Callable[[str], Any]
"""The boto3 client of a service."""


def asks_a_stack(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command for the stack; it is handed a Connect and the stack's name first."""

    @click.option(
        "--stack",
        metavar="NAME",
        help="A stack on AWS, with your own credentials; the laptop cloud by default.",
    )
    @click.option("--profile", help="Of your AWS configuration.")
    @click.option("--region", help="Where the stack is.")
    @click.pass_obj
    @wraps(command)
    def asking(
        cloud: Cloud,
        /,
        stack: str | None,
        profile: str | None,
        region: str | None,
        **arguments: Any,
    ) -> None:
        show_any_character()
        if not stack:
            if profile or region:
                raise click.UsageError("--profile and --region belong to a --stack on AWS")
            command(cloud.boto3, STACK_NAME, **arguments)
            return
        session: Any = boto3.Session(profile_name=profile, region_name=region)
        with ExitStack() as opened:

            @cache
            def connect(service: str) -> Any:
                client = session.client(service)
                opened.callback(client.close)
                return client

            command(connect, stack, **arguments)

    return asking
