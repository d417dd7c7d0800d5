"""``marquee logs``: what all functions logged about one execution, in the order of time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from marquee_cli.stack import Connect, asks_a_stack
from marquee_cli.terminal import plain

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

LEADING = ("workflow_id", "event_id")
"""Fields of a line that say what a request set off."""

MOST_FOLLOWED = 10
"""Of what one request set off; each is one more search of the log."""

EXIT_NONE = 1


def group_of(stack: str) -> str:
    """The one log group of a stack's functions, as the template names it."""
    return f"/marquee/{stack}/functions"


def lines_of(
    logs: Any, group: str, workflow_id: str, *, since: datetime
) -> list[Mapping[str, Any]]:
    """The lines about an execution: its own, and those of others that name it; the oldest first.

    The id of a request or an event leads to the lines of what it set off too. Raises what boto3
    raises.
    """
    found = _lines_about(logs, group, workflow_id, since)
    own = (line for line in found if line.get("correlation_id") == workflow_id)
    led_to = {str(line[name]) for line in own for name in LEADING if line.get(name)}
    for other in sorted(led_to - {workflow_id})[:MOST_FOLLOWED]:
        found += [line for line in _lines_about(logs, group, other, since) if line not in found]
    return sorted(found, key=lambda line: str(line["timestamp"]))


def _lines_about(
    logs: Any, group: str, workflow_id: str, since: datetime
) -> list[Mapping[str, Any]]:
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
    return list(_lines(events, workflow_id))


def _lines(events: Iterable[Mapping[str, Any]], workflow_id: str) -> Iterator[Mapping[str, Any]]:
    for event in events:
        try:
            line = json.loads(event["message"])
        except ValueError:
            continue  # of the runtime itself, which does not know about executions
        if not isinstance(line, dict):
            continue
        about = {line.get(name) for name in ("correlation_id", *LEADING)}
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
@asks_a_stack
def logs(
    connect: Connect, stack: str, workflow_id: str, hours: float, trace: bool, as_json: bool
) -> None:
    """Print what every function logged about the execution WORKFLOW_ID. Exit code 1: nothing.

    The id of a request (its x-correlation-id) or of an event will do as well.
    """
    if not workflow_id.isprintable() or '"' in workflow_id:
        raise click.UsageError("WORKFLOW_ID is none that an execution can have")
    since = datetime.now(UTC) - timedelta(hours=hours)
    found = lines_of(connect("logs"), group_of(stack), workflow_id, since=since)
    if not found:
        click.echo(f"Nothing about {plain(workflow_id)} in the last {hours:g} hours.", err=True)
        raise SystemExit(EXIT_NONE)
    out = Console(highlight=False, soft_wrap=True)
    for line in found:
        if as_json:
            click.echo(json.dumps(line, ensure_ascii=True))
        else:
            out.print(shown(line, trace=trace))
