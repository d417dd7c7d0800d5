"""``marquee stats``: what the installation did lately, by the hour and in sum."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.gateway.spend import WARNING_PERCENT
from marquee_cli.client import Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.exchange import Window
from marquee_cli.search import BARS
from marquee_cli.terminal import plain, row, show_heading, show_line

if TYPE_CHECKING:
    from marquee.api.answers import CallTotals, GatewayNow, InstallationStats

WINDOWS: tuple[Window, ...] = ("1h", "24h", "7d")

WIDEST = 48
"""Bars of a sparkline; a week has one for several hours."""

METER = 10
"""Characters of a budget's meter."""


def show_stats(stats: "InstallationStats", out: Console) -> None:
    """Print the statistics; a part in which nothing happened is left out."""
    since = f"{stats.since:%Y-%m-%d %H:%M}"
    out.print(Text(f"since {since} UTC, in whole hours", style="dim"))
    _show_hours(stats, out)
    _show_upstreams(stats, out)
    _show_workflows(stats, out)
    _show_operations(stats, out)
    if stats.gateway:
        _show_quotas(stats.gateway, out)
        _show_money(stats.gateway, out)
        _show_breakers(stats.gateway, out)
    if stats.triggers and stats.triggers.total:
        show_heading("Triggers", out)
        off = len(stats.triggers.switched_off)
        outcomes = _said({str(status): n for status, n in stats.triggers.outcomes.items()})
        switched = f", {off} switched off" if off else ""
        last = outcomes or "none yet"
        total = _at_least(stats.triggers.total, more=stats.triggers.more)
        show_line(Text(f"{total}{switched}; last deliveries: {last}"), out)
    if stats.backfill and (stats.backfill.films or stats.backfill.given_up):
        show_heading("Collected later", out)
        told = stats.backfill
        since = f", the first since {told.oldest_at:%Y-%m-%d %H:%M} UTC" if told.oldest_at else ""
        lost = _at_least(told.given_up, more=told.more_given_up)
        given_up = f"; {lost} given up" if told.given_up else ""
        films = _at_least(told.films, more=told.more)
        waiting = f"{films} films wait, {told.searches} searches for them"
        show_line(Text(f"{waiting}{since}{given_up} (marquee queue)"), out)
    if stats.queues:
        show_heading("Queues", out)
        for queue in stats.queues:
            held = "not known" if queue.messages is None else str(queue.messages)
            style = "yellow" if queue.dead_letters and queue.messages else ""
            show_line(Text(f"{queue.queue.replace('_', ' ')}  {held}", style=style), out)


def _show_hours(stats: "InstallationStats", out: Console) -> None:
    lines: dict[str, list[float]] = {
        "calls": [hour.calls for hour in stats.hours],
        "failed": [hour.failed_calls for hour in stats.hours],
        "database": [hour.database_operations for hour in stats.hours],
        "workflows": [hour.workflows for hour in stats.hours],
        "failed ones": [hour.failed_workflows for hour in stats.hours],
        "cost": [hour.cost_usd for hour in stats.hours],
    }
    table = _table("", "by the hour", "most")
    for name, values in lines.items():
        if any(values):
            most = f"${max(values):.3f}" if name == "cost" else f"{max(values):,}"
            table.add_row(*row(name, sparkline(values), most))
    if table.row_count:
        out.print(Padding(table, (0, 0, 0, 2)))
    else:
        out.print("Nothing was done.")


def _show_upstreams(stats: "InstallationStats", out: Console) -> None:
    calls = stats.coordinator_stats.api_calls
    if not calls.total:
        return
    show_heading("Upstream calls", out)
    table = _table("", *_TOTALS, "cost", "errors")
    for provider, totals in calls.by_provider.items():
        table.add_row(*row(provider, *_totals(totals), _usd(totals.cost_usd), _said(totals.errors)))
    if len(calls.by_provider) > 1:
        table.add_row(*row("all", *_totals(calls), _usd(calls.cost_usd), ""), style="bold")
    out.print(Padding(table, (0, 0, 0, 2)))


def _show_operations(stats: "InstallationStats", out: Console) -> None:
    operations = stats.coordinator_stats.database_operations
    if not operations.total:
        return
    show_heading("Database", out)
    table = _table("", *_TOTALS, "units", "errors")
    units = f"{operations.read_units:g} R + {operations.write_units:g} W"
    table.add_row(*row("all", *_totals(operations), units, _said(operations.errors)))
    for name, one in operations.by_operation.items():
        table.add_row(*row(name, f"{one.total:,}", f"{one.failed:,}", "", "", "", "", "", ""))
    out.print(Padding(table, (0, 0, 0, 2)))


def _show_workflows(stats: "InstallationStats", out: Console) -> None:
    for kind, workflows in stats.workflows.items():
        show_heading(kind.replace("_", " ").capitalize(), out)
        ended = [f"{number} {status}" for status, number in sorted(workflows.by_status.items())]
        show_line(Text(", ".join(ended) or "none has ended"), out)
        table = _table("step", "attempts", "failed", "p50", "p95", "errors")
        for name, step in workflows.steps.items():
            times = (_time(step.p50_ms), _time(step.p95_ms))
            counts = (f"{step.attempts:,}", f"{step.failed:,}")
            table.add_row(*row(name, *counts, *times, _said(step.errors)))
        out.print(Padding(table, (0, 0, 0, 2)))


def _show_quotas(gateway: "GatewayNow", out: Console) -> None:
    used = [quota for quota in gateway.quotas if quota.used or quota.waiting or quota.blocked_until]
    if not used:
        return
    show_heading("Quotas now", out)
    table = _table("", "used", "left", "waiting", "next call (UTC)")
    for quota in used:
        name = f"{quota.provider} {quota.endpoint} ({quota.credential})"
        counts = (f"{quota.used:,} in {quota.seconds} s", f"{quota.left:,}", f"{quota.waiting:,}")
        at = f"{quota.blocked_until or quota.next_at:%H:%M:%S}"
        when = f"blocked until {at}" if quota.blocked_until else at if not quota.left else "now"
        style = "" if quota.left else "yellow"
        table.add_row(*row(name, *counts, when), style=style)
    out.print(Padding(table, (0, 0, 0, 2)))


def _show_money(gateway: "GatewayNow", out: Console) -> None:
    if not gateway.budgets and not gateway.closed:
        return
    show_heading("Budget now", out)
    table = _table("", "", "spent", "reserved", "left", "cap", "new one (UTC)")
    for budget in gateway.budgets:
        usd = (budget.spent_usd, budget.reserved_usd, budget.left_usd, budget.cap_usd)
        cells = (f"{budget.scope}, {budget.period}", meter(budget.share), *map(_usd, usd))
        style = "yellow" if budget.share * 100 >= WARNING_PERCENT else ""
        table.add_row(*row(*cells, f"{budget.opens_at:%Y-%m-%d}"), style=style)
    if table.row_count:
        out.print(Padding(table, (0, 0, 0, 2)))
    for closed in gateway.closed:
        words = f"{closed.provider} is paid nothing more: {closed.reason}"
        show_line(Text(plain(words), style="red"), out)


def _show_breakers(gateway: "GatewayNow", out: Console) -> None:
    ill = [one for one in gateway.breakers if one.failure_share or one.retry_at]
    if not gateway.breakers:
        return
    show_heading("Breakers now", out)
    for one in ill:
        share = "" if one.failure_share is None else f"  {one.failure_share:.0%} of calls fail"
        again = f", the next probe at {one.retry_at:%H:%M:%S} UTC" if one.retry_at else ""
        words = f"{one.provider} {one.endpoint}  {one.state}{share}{again}"
        show_line(Text(plain(words), style="yellow" if one.retry_at else ""), out)
    well = len(gateway.breakers) - len(ill)
    if well:
        show_line(Text(f"{well} closed, without a failure"), out)


_TOTALS = ("total", "failed", "success", "retries", "p50", "p95")
_WORDS = {"", "step", "errors", "by the hour"}


def _totals(calls: "CallTotals") -> Iterable[str]:
    rate = "" if calls.success_rate is None else f"{calls.success_rate:.1%}"
    counts = (f"{calls.total:,}", f"{calls.failed:,}", rate, f"{calls.retries:,}")
    return (*counts, _time(calls.p50_ms), _time(calls.p95_ms))


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in names:
        if name in _WORDS:
            # What there is room for goes to the errors, which may be many words.
            table.add_column(name, overflow="fold", no_wrap=name != "errors")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, or for each few of them; as high as its share of the highest."""
    each = max(1, -(-len(values) // WIDEST))
    bins = [sum(values[start : start + each]) for start in range(0, len(values), each)]
    top = max(bins, default=0) or 1
    steps = len(BARS) - 1
    return "".join(BARS[min(steps, int(-(-value * steps // top)))] for value in bins)


def meter(share: float) -> str:
    """A line that is filled up to the share."""
    filled = min(METER, round(share * METER))
    return "█" * filled + "░" * (METER - filled)


def _at_least(number: int, *, more: bool) -> str:
    return f"{number}+" if more else str(number)


def _said(errors: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(errors.items()))


def _usd(usd: float) -> str:
    return f"${usd:.3f}" if usd >= 0.001 or not usd else f"${usd:.6f}"


def _time(ms: float | None) -> str:
    if ms is None:
        return ""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


@click.command()
@click.option(
    "--window",
    type=click.Choice(WINDOWS),
    default="24h",
    show_default=True,
    help="How far back.",
)
@click.option("--json", "as_json", is_flag=True, help="The API's document.")
@speaks_to_an_api
def stats(client: Client, window: Window, as_json: bool) -> None:
    """Say what was done lately, and how quotas, budgets, breakers and queues stand."""
    found = client.get_automation_statistics(window)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    show_stats(found, Console(highlight=False))
