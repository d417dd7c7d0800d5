"""The `marquee` command."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from marquee_cli.approve import approve
from marquee_cli.cloud.cloud import Cloud, Status
from marquee_cli.cloud.errors import CloudError
from marquee_cli.dead_letters import dead_letters
from marquee_cli.doctor import doctor
from marquee_cli.logs import logs
from marquee_cli.posts import posts, settle, tweets
from marquee_cli.queue import queue
from marquee_cli.reopen import reopen
from marquee_cli.run import cancel, cleanup, rerun, run, watch
from marquee_cli.search import search
from marquee_cli.stats import stats

EXIT_UP = 0
EXIT_DOWN = 1
NAME_COLUMNS = 11


class Group(click.Group):
    """Answers an error of the cloud as a message and exit code 1, without a stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (CloudError, BotoCoreError, ClientError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="MARQUEE_HOME",
    help="Folder of the laptop cloud.  [default: .marquee/ in the project]",
)
@click.pass_context
def main(context: click.Context, home: Path | None) -> None:
    """Find a film and what people say about it; post an account's tweets, each exactly once."""
    console = Console(stderr=True, highlight=False)
    context.obj = Cloud(home, say=lambda line: console.print(f"[dim]{line} …[/dim]"))


for command in (
    search,
    run,
    watch,
    rerun,
    cancel,
    cleanup,
    approve,
    posts,
    settle,
    tweets,
    queue,
    stats,
    logs,
    doctor,
    reopen,
    dead_letters,
):
    main.add_command(command)


@main.command()
@click.option(
    "--after-kill",
    is_flag=True,
    help="Also where the cloud was killed and has forgotten what it posted to the real X.",
)
@click.pass_obj
def up(cloud: Cloud, after_kill: bool) -> None:
    """Start the cloud and deploy what has changed. Harmless when it is up."""
    record = cloud.up(after_kill=after_kill)
    if record.api:
        click.echo(f"Page  {record.api.page_url}")
        click.echo(f"API   {record.api.url}")
        click.echo(f"Key   {cloud.home.record_file} (api.key), sent as x-api-key")
    click.echo(f"AWS   {cloud.endpoint_url}")


@main.command()
@click.pass_obj
def down(cloud: Cloud) -> None:
    """End every process of the cloud. Its data stay for the next `up`."""
    click.echo("Down." if cloud.down() else "Nothing was up.")


@main.command()
@click.pass_obj
def status(cloud: Cloud) -> None:
    """Say what runs. Exit code 0: up, 1: down or only a part of it is up."""
    found = cloud.status()
    for name, said in _rows(found):
        click.echo(f"{name:<{NAME_COLUMNS}}{said}")  # an address is never broken
    sys.exit(EXIT_UP if found.is_up else EXIT_DOWN)


def _rows(found: Status) -> Iterable[tuple[str, str]]:
    record = found.record
    yield "cloud", "up" if found.is_up else "down"
    for name, service, runs in (
        ("emulator", record.emulator, found.emulator_runs),
        ("stand-ins", record.stand_ins, found.stand_ins_run),
    ):
        if service and runs:
            since = service.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            yield name, f"{service.url}, pid {service.process.pid}, since {since}"
        else:
            yield name, "not running"
    yield "stack", f"{record.stack_name} {found.stack.status}" if found.stack else "unknown"
    if found.is_up and record.api:
        yield "API", record.api.url
        yield "page", record.api.page_url
    for name, kind in record.upstreams.items():
        yield name, kind


if __name__ == "__main__":
    main()
