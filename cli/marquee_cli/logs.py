"""``marquee logs``: what all functions logged about one execution, in the order of time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import click
from rich.console import Console
from rich.text import Text

from marquee_cli.cloud.cloud import STACK_NAME, Cloud
from marquee_cli.terminal import plain, show_any_character

COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}

NAMED = frozenset(
    {
        "correlation_id",
        "exception",
        "exception_name",
        "level",
        "location",
        "message",
        "part",
        "service",
        "stack_trace",
        "timestamp",
        "workflow_id",
        "xray_trace_id",
    }
)
"""Shown on their own, or the same on every line."""

EXIT_NONE = 1


def group_of(stack: str) -> str:
    """The one log group of a stack's functions, as the template names it."""
    return f"/marquee/{stack}/functions"


def lines_of(
    logs: Any, group: str, workflow_id: str, *, since: datetime
) -> list[Mapping[str, Any]]:
    """The lines about an execution: its own, and those of others that name it; the oldest first.

    Raises what boto3 raises.
    """
    # The words, not a field: so it is found where an event or a request only mentions it.
    asked = {
        "logGroupName": group,
        "filterPattern": f'"{workflow_id}"',
        "startTime": int(since.timestamp() * 1000),
    }
    events = (
        event
        for page in logs.get_paginator("filter_log_events").paginate(**asked)
        for event in page["events"]
    )
    return sorted(_lines(events, workflow_id), key=lambda line: str(line["timestamp"]))


def _lines(events: Iterable[Mapping[str, Any]], workflow_id: str) -> Iterator[Mapping[str, Any]]:
    for event in events:
        try:
            line = json.loads(event["message"])
        except ValueError:
            continue  # of the runtime itself, which does not know about executions
        if not isinstance(line, dict):
            continue
        about = {line.get("correlation_id"), line.get("workflow_id")}
        if workflow_id in about or workflow_id in str(line.get("message")):
            at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            yield {"timestamp": f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}+0000", **line}


def shown(line: Mapping[str, Any], *, trace: bool) -> Text:
    """One line of the log for a person: when, who, what, and what belongs to it."""
    at = str(line["timestamp"]).partition(" ")[2].partition("+")[0].replace(",", ".")
    level = str(line.get("level", ""))
    text = Text(plain(f"{at}  "), style="dim")
    text.append(plain(f"{line.get('part', ''):<24} "), style="bold not dim")
    text.append(plain(str(line.get("message", ""))), style=f"{COLORS.get(level, '')} not dim")
    more = {name: value for name, value in line.items() if name not in NAMED}
    for name, value in more.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text.append(plain(f"  {name}={said}"), style="dim")
    if exception := str(line.get("exception", "")).strip():
        lines = exception.splitlines() if trace else exception.splitlines()[-1:]
        for part in lines:
            text.append(f"\n    {plain(part)}", style="red not dim")
    return text


@click.command()
@click.argument("workflow_id")
@click.option("--hours", type=click.FloatRange(min=0.01), default=24, show_default=True)
@click.option("--trace", is_flag=True, help="Errors with their whole stack trace.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they were written.")
@click.option(
    "--stack",
    metavar="NAME",
    help="A stack on AWS, read with your own credentials; the laptop cloud by default.",
)
@click.option("--profile", help="Of your AWS configuration.")
@click.option("--region", help="Where the stack is.")
@click.pass_obj
def logs(
    cloud: Cloud,
    workflow_id: str,
    hours: float,
    trace: bool,
    as_json: bool,
    stack: str | None,
    profile: str | None,
    region: str | None,
) -> None:
    """Print what every function logged about the execution WORKFLOW_ID. Exit code 1: nothing."""
    show_any_character()
    if not workflow_id.isprintable() or '"' in workflow_id:
        raise click.UsageError("WORKFLOW_ID is none that an execution can have")
    if not stack and (profile or region):
        raise click.UsageError("--profile and --region belong to a --stack on AWS")
    if stack:
        client: Any = boto3.Session(profile_name=profile, region_name=region).client("logs")
    else:
        client = cloud.boto3("logs")
    since = datetime.now(UTC) - timedelta(hours=hours)
    found = lines_of(client, group_of(stack or STACK_NAME), workflow_id, since=since)
    if not found:
        click.echo(f"Nothing about {plain(workflow_id)} in the last {hours:g} hours.", err=True)
        raise SystemExit(EXIT_NONE)
    out = Console(highlight=False, soft_wrap=True)
    for line in found:
        if as_json:
            click.echo(json.dumps(line, ensure_ascii=True))
        else:
            out.print(shown(line, trace=trace))
