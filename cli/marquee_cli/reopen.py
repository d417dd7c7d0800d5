"""``marquee reopen``: an operator has paid, and a provider that answered 402 may be paid again."""

import click

from marquee_cli.client import Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.terminal import plain


@click.command()
@click.argument("provider")
@speaks_to_an_api
def reopen(client: Client, provider: str) -> None:
    """Let PROVIDER be paid again, which was closed when it answered 402; harmless if it is open."""
    answer = client.reopen_provider(provider)
    click.echo(plain(f"{answer.provider} is open; {answer.message}."))
