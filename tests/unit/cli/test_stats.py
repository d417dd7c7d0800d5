"""``marquee stats``: what is shown of the statistics, and what is asked for."""

import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from rich.console import Console

from marquee.api.answers import BackfillTotals, GatewayNow, InstallationStats, QueueDepth
from marquee.api.automation import summed_up
from marquee.gateway.accounting import Counters, counters_of, hours_of
from marquee.observability import Ended, StoreRequest, Tally
from marquee_cli.main import main
from marquee_cli.stats import WIDEST, meter, show_stats, sparkline
from tests.support.builders import NOW
from tests.support.command_line import HOSTILE, Asked, an_api, moving
from tests.support.gateway_view import (
    a_breaker,
    a_budget,
    a_closed_provider,
    a_gateway,
    a_quota,
)

QUEUES = (
    QueueDepth(queue="parked_reviews", url="https://sqs/1", messages=0, dead_letters=False),
    QueueDepth(queue="event_dead_letters", url="https://sqs/2", messages=3, dead_letters=True),
)


def a_tally(provider: str = "x") -> Tally:
    tally = Tally(read_units=1.5, write_units=3)
    tally.add_call(provider, "tweets/search/recent", ms=120, usd=0.05)
    tally.add_call(provider, "tweets/search/recent", error="RateLimited", ms=30)
    tally.add_call("tmdb", "movie", ms=2400)
    tally.store_requests.append(StoreRequest("GetItem", "", 4, 0))
    tally.steps.append(Ended("movie_search", "FindMovie", "", 1500))
    tally.workflows["movie_search", "PARTIAL"] += 1
    return tally


def some_stats(tally: Tally | None = None, gateway: GatewayNow | None = None) -> InstallationStats:
    hours: Mapping[datetime, Counters] = {
        hour: counters_of(tally or a_tally()) if hour.hour == 18 else {}
        for hour in hours_of(timedelta(hours=24), NOW)
    }
    return summed_up("24h", hours, NOW, QUEUES, gateway=gateway)


def shown(stats: InstallationStats) -> str:
    out = io.StringIO()
    show_stats(stats, Console(file=out, width=140, highlight=False))
    return out.getvalue()


def test_calls_workflows_database_and_queues_are_shown() -> None:
    words = " ".join(shown(some_stats()).split())
    assert "x 2 1 50.0% 0" in words
    assert "1 RateLimited" in words
    assert "all 3 1 66.7%" in words
    assert "$0.050" in words
    assert "Movie search 1 PARTIAL" in words
    assert "FindMovie 1 0 1.4 s 1.4 s" in words
    assert "1.5 R + 3 W" in words
    assert "event dead letters 3" in words
    assert "█" in words


def test_quotas_budgets_and_breakers_are_shown_as_they_stand() -> None:
    words = " ".join(
        shown(
            some_stats(
                gateway=a_gateway(
                    quotas=(
                        a_quota(used=12, left=38, waiting=2),
                        a_quota(endpoint="tweets", credential="demo", left=0, blocked_until=NOW),
                        a_quota(endpoint="users/me"),
                    ),
                    budgets=(a_budget(4), a_budget(0.5, 3, scope="x", reserved_usd=0.25)),
                    closed=(a_closed_provider("openai"),),
                    breakers=(
                        a_breaker(state="open", failure_share=0.8, opened_at=NOW, retry_at=NOW),
                        a_breaker(endpoint="search/movie"),
                    ),
                )
            )
        ).split()
    )
    at = f"{NOW:%H:%M:%S}"
    assert "x tweets/search/recent (app) 12 in 150 s 38 2 now" in words
    assert f"x tweets (demo) 0 in 150 s 0 0 blocked until {at}" in words
    assert "users/me" not in words
    assert "total, day ████████░░ $4.000 $0.000 $1.000 $5.000 2026-12-01" in words
    assert "x, day ██░░░░░░░░ $0.500 $0.250" in words
    assert "openai is paid nothing more: answered 402" in words
    assert f"tmdb movie open 80% of calls fail, the next probe at {at} UTC" in words
    assert "1 closed, without a failure" in words


def test_what_is_to_be_collected_later_is_shown_where_anything_is() -> None:
    known = {"more": False, "more_given_up": False}
    waiting = known | {"films": 3, "searches": 2, "oldest_at": NOW, "given_up": 1}
    stats = some_stats().model_copy(update={"backfill": BackfillTotals(**waiting)})
    words = " ".join(shown(stats).split())
    at = f"{NOW:%Y-%m-%d %H:%M}"
    assert f"3 films wait, 2 searches for them, the first since {at} UTC; 1 given up" in words
    many = waiting | {"films": 100, "more": True, "given_up": 100, "more_given_up": True}
    stats = some_stats().model_copy(update={"backfill": BackfillTotals(**many)})
    words = " ".join(shown(stats).split())
    assert "100+ films wait, 2 searches" in words
    assert "100+ given up" in words
    nothing = known | {"films": 0, "searches": 0, "oldest_at": None, "given_up": 0}
    stats = some_stats().model_copy(update={"backfill": BackfillTotals(**nothing)})
    assert "Collected later" not in shown(stats)


@pytest.mark.parametrize(("share", "filled"), [(0, 0), (0.5, 5), (1, 10), (1.7, 10)])
def test_a_meter_is_filled_up_to_the_share(share: float, filled: int) -> None:
    assert meter(share) == "█" * filled + "░" * (10 - filled)


def test_an_installation_that_did_nothing_is_said_to_have_done_so() -> None:
    hours: Mapping[datetime, Counters] = {hour: {} for hour in hours_of(timedelta(hours=1), NOW)}
    words = shown(summed_up("1h", hours, NOW, ()))
    assert "Nothing was done." in words
    assert "Upstream" not in words


@pytest.mark.parametrize(
    ("values", "bars"), [([0, 1, 8], " ▁█"), ([0, 0], "  "), ([], ""), ([0.001, 0.002], "▄█")]
)
def test_a_bar_is_as_high_as_its_share_of_the_highest(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


def test_a_week_fits_on_a_line_and_loses_no_hour() -> None:
    bars = sparkline([0] * 168 + [1])
    assert len(bars) <= WIDEST
    assert bars.endswith("█")


def test_the_window_is_asked_for_and_the_document_is_shown_as_it_is() -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> tuple[int, bytes]:
        asked.append(request)
        return 200, some_stats().model_dump_json().encode()

    with an_api(answer) as url:
        environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key"}
        runner = CliRunner(env=environment)
        done = runner.invoke(main, ["stats", "--window", "7d", "--json"])
    assert done.exit_code == 0
    assert [(a.path, a.query) for a in asked] == [
        ("/api/orchestrator/automation-stats", {"window": "7d"})
    ]
    assert json.loads(done.stdout)["coordinator_stats"]["api_calls"]["total"] == 3


def test_names_from_outside_cannot_move_the_terminal() -> None:
    gateway = a_gateway(closed=(a_closed_provider(HOSTILE, HOSTILE),))
    words = shown(some_stats(a_tally(provider=HOSTILE), gateway))
    assert moving(words) == set()
    assert "[red]not markup[/red]" in words.replace("\n", "")
