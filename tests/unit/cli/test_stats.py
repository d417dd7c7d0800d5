"""``marquee stats``: what is shown of the statistics, and what is asked for."""

import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from rich.console import Console

from marquee.api.answers import InstallationStats, QueueDepth
from marquee.api.automation import summed_up
from marquee.gateway.accounting import Counters, counters_of, hours_of
from marquee.observability import Ended, StoreRequest, Tally
from marquee_cli.main import main
from marquee_cli.stats import WIDEST, show_stats, sparkline
from tests.support.builders import NOW
from tests.support.command_line import HOSTILE, Asked, an_api, moving

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


def some_stats(tally: Tally | None = None) -> InstallationStats:
    hours: Mapping[datetime, Counters] = {
        hour: counters_of(tally or a_tally()) if hour.hour == 18 else {}
        for hour in hours_of(timedelta(hours=24), NOW)
    }
    return summed_up("24h", hours, NOW, QUEUES)


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
    words = shown(some_stats(a_tally(provider=HOSTILE)))
    assert moving(words) == set()
    assert "[red]not markup[/red]" in words.replace("\n", "")
