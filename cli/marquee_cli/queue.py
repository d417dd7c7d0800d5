"""``marquee queue``: the films whose reviews are collected later, why and until when; and now."""

import time
from collections.abc import Iterable
from itertools import islice

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.clock import Moment
from marquee.movies.backfill import BackfillSummary, FilmState
from marquee.movies.backfill_queue import Entry, EntryState
from marquee.workflows.record import Status
from marquee_cli.client import Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.following import (
    Clock,
    Execution,
    Pause,
    Progress,
    read,
    statuses,
    workflow_id_of,
)
from marquee_cli.terminal import plain, row, show_line

SHOWN = 20

DONE, FAILED, NOTHING_TO_DO, PARTIAL = 0, 1, 3, 4
TIMED_OUT = 124
"""As coreutils' timeout has it."""

WAITS_AT_MOST_SECONDS = 900
"""The definition ends a run after so long."""

COLORS = {FilmState.COMPLETE: "green", FilmState.GIVEN_UP: "red"}


class ShownEntry(Entry):
    """An entry of ``GET /api/orchestrator/queue``."""

    expected_at: Moment | None = None


class QueueRun(Execution):
    """What is shown of the status of a run."""

    result: BackfillSummary | None = None


def show_queue(entries: Iterable[ShownEntry], out: Console) -> None:
    """Print films with what is still to be collected, why, who waits, and until when."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("film", "sources", "because", "waiting", "expected (UTC)", "last attempt"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        title = f"{entry.title} ({entry.year})" if entry.year else entry.title
        waiting = f"{len(entry.waiting)} searches" if len(entry.waiting) > 1 else "1 search"
        table.add_row(
            *row(
                title or str(entry.tmdb_id),
                ", ".join(entry.sources),
                entry.reason,
                waiting if entry.waiting else "",
                f"{entry.expected_at:%Y-%m-%d %H:%M}" if entry.expected_at else "",
                _attempted(entry),
            )
        )
    if table.row_count:
        out.print(Padding(table, (0, 0, 0, 2)))
    else:
        out.print("No such film.")


def _attempted(entry: ShownEntry) -> str:
    failures = f"{entry.attempts} failed: " if entry.attempts else ""
    return failures + entry.last_outcome


def run_it(
    client: Client, progress: Console, *, now: Clock = time.monotonic, pause: Pause = time.sleep
) -> QueueRun:
    """Start a run, or join the one that goes on, and tell its steps until it has ended."""
    workflow_id = workflow_id_of(client.run_queue())
    status, steps = QueueRun(status=Status.RUNNING), Progress(progress)
    for document in statuses(
        client, workflow_id, seconds=WAITS_AT_MOST_SECONDS, now=now, pause=pause
    ):
        status = read(QueueRun, document)
        steps.tell(status.steps)
        if status.status is not Status.RUNNING:
            break
    return status


def show_run(status: QueueRun, out: Console) -> None:
    """Print what became of each film, and why there were not more."""
    if status.error:
        out.print(Text(plain(f"{status.error.name}: {status.error.message}"), style="red"))
    result = status.result or BackfillSummary()
    for film in result.films:
        words = [f"{film.title or film.tmdb_id}: {film.state}", f"{film.new} new reviews"]
        if film.completed:
            words.append(f"{len(film.completed)} searches complete")
        line = Text(plain(", ".join(words)), style=COLORS.get(film.state, "yellow"))
        show_line(line.append(plain(f"  {film.reason}"), style="dim") if film.reason else line, out)
    for why in (*result.held, *result.problems):
        show_line(Text(plain(why), style="dim"), out)
    if status.status is not Status.RUNNING and not (result.films or status.error):
        out.print("Nothing was collected.")


def exit_code(status: QueueRun) -> int:
    """What a script learns of the run."""
    match status.status:
        case Status.RUNNING:
            return TIMED_OUT
        case Status.FAILED | Status.CANCELED:
            return FAILED
        case Status.PARTIAL:
            return PARTIAL
    return DONE if status.result and status.result.films else NOTHING_TO_DO


@click.command()
@click.option(
    "--state",
    type=click.Choice([state.value for state in EntryState]),
    default=EntryState.WAITING.value,
    show_default=True,
    help="Those in the queue, or those that have left it.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN,
    show_default=True,
    help="How many to show.",
)
@click.option("--run", "run_now", is_flag=True, help="Collect now what waits, and show it.")
@speaks_to_an_api
def queue(client: Client, state: str, limit: int, run_now: bool) -> None:
    """Show the films whose reviews are collected later: why, and until when.

    \b
    Exit codes of --run: 0 collected, 1 failed, 2 wrong call, 3 nothing collected,
    4 something failed on the way, 124 out of time.
    """
    out = Console(highlight=False)
    if run_now:
        status = run_it(client, Console(stderr=True, highlight=False))
        show_run(status, out)
        raise SystemExit(exit_code(status))
    entries = islice(client.queue(state=state), limit)
    show_queue((read(ShownEntry, entry, "entry") for entry in entries), out)
