"""Counters by the hour: what an invocation adds, what is read, and that nothing of it can hurt."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from marquee import aws
from marquee.errors import StoreUnavailable
from marquee.gateway.accounting import (
    FLUSH_SECONDS,
    KEPT_FOR,
    PERCENTILE_ERROR,
    SHARDS,
    HourlyCounters,
    Name,
    accounted,
    bucket,
    counters_of,
    hour_of,
    hours_of,
    measure,
    percentile,
    shard_of,
    total,
)
from marquee.observability import METRICS, Ended, StoreRequest, Tally, current_tally, tallying
from marquee.settings import Settings, settings
from tests.bench.meter import item_bytes
from tests.bench.prices import WRITE_UNIT_USD
from tests.bench.searches import FRESH_USD
from tests.support.builders import NOW
from tests.support.installation import installed
from tests.support.state_machines import empty
from tests.support.templates import ROOT

HOUR = hour_of(NOW)


@pytest.fixture(scope="module")
def installation() -> Iterator[Settings]:
    with installed() as settings:
        yield settings


@pytest.fixture
def hourly(installation: Settings) -> Iterator[HourlyCounters]:
    yield HourlyCounters.connect(installation)
    empty()


def a_tally() -> Tally:
    """One of everything."""
    tally = Tally(attempt=2, read_units=1.5, write_units=3)
    tally.add_call("x", "tweets/search/recent", ms=120, usd=0.05)
    tally.add_call("x", "tweets/search/recent", error="RateLimited", ms=30)
    tally.store_requests += [
        StoreRequest("GetItem", "", 4, 0),
        StoreRequest("PutItem", "ThrottlingException", 900, 3),
    ]
    tally.steps.append(Ended("movie_search", "CollectReviews", "RateLimited", 400))
    tally.workflows["movie_search", "PARTIAL"] += 1
    return tally


def items(settings: Settings) -> list[dict[str, Any]]:
    return list(aws.table(settings.gateway_table).scan()["Items"])


# Percentiles


@given(
    st.lists(st.floats(1, 1e7), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 1.0])
)
def test_a_percentile_is_as_near_to_the_exact_one_as_is_said(
    durations: list[float], share: float
) -> None:
    exact = sorted(durations)[max(1, ceil(share * len(durations))) - 1]
    read = percentile(Counter(map(bucket, durations)), share)
    assert read is not None
    assert abs(read - exact) <= exact * (PERCENTILE_ERROR + 1e-9)


def test_the_error_that_is_said_is_below_twelve_percent() -> None:
    assert 0.1 < PERCENTILE_ERROR < 0.12


def test_what_took_less_than_a_millisecond_counts_as_one() -> None:
    assert bucket(0.0) == bucket(0.3) == bucket(1.0) == 0


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_buckets_of_several_rows_can_be_summed() -> None:
    fast, slow = Counter(map(bucket, [10.0] * 95)), Counter(map(bucket, [5000.0] * 5))
    assert percentile(fast + slow, 0.95) == percentile(fast, 0.5)
    assert percentile(fast + slow, 0.96) == percentile(slow, 0.5)


# What is counted


def test_a_tally_becomes_counters() -> None:
    assert counters_of(a_tally()) == {
        ("call", "x", "tweets/search/recent", "ok"): 1,
        ("call", "x", "tweets/search/recent", "RateLimited"): 1,
        ("retry", "x"): 2,
        ("ms", "x", str(bucket(120))): 1,
        ("ms", "x", str(bucket(30))): 1,
        ("usd", "x"): 50_000,
        ("op", "GetItem", "ok"): 1,
        ("op", "PutItem", "ThrottlingException"): 1,
        ("op_ms", str(bucket(4))): 1,
        ("op_ms", str(bucket(900))): 1,
        ("op_retry",): 3,
        ("half_units", "read"): 3,
        ("half_units", "write"): 6,
        ("step", "movie_search", "CollectReviews", str(bucket(400))): 1,
        ("step_error", "movie_search", "CollectReviews", "RateLimited"): 1,
        ("end", "movie_search", "PARTIAL"): 1,
    }


def test_the_calls_of_a_first_attempt_are_no_retries() -> None:
    tally = a_tally()
    tally.attempt = 1
    assert ("retry", "x") not in counters_of(tally)


def test_an_invocation_that_did_nothing_counts_nothing() -> None:
    assert counters_of(Tally()) == {}


# Rows


def test_what_was_added_is_read_again_and_summed(hourly: HourlyCounters) -> None:
    counters = counters_of(a_tally())
    for part in ("FindMovie", "CollectReviews/x", "CollectReviews/x"):
        hourly.add(part, NOW, counters)
    assert hourly.read([HOUR])[HOUR] == total([counters] * 3)


def test_what_is_done_in_another_hour_is_counted_there(hourly: HourlyCounters) -> None:
    hourly.add("FindMovie", NOW, {("retry", "x"): 1})
    hourly.add("FindMovie", NOW + timedelta(hours=1), {("retry", "x"): 2})
    read = hourly.read(hours_of(timedelta(hours=1), NOW + timedelta(hours=1)))
    assert read == {HOUR: {("retry", "x"): 1}, HOUR + timedelta(hours=1): {("retry", "x"): 2}}


def test_parts_that_run_at_once_meet_in_few_rows(
    hourly: HourlyCounters, installation: Settings
) -> None:
    for number in range(50):
        hourly.add(f"PublishTweet/{number}", NOW, {("retry", "x"): 1})
        hourly.add("CollectReviews/x", NOW, {("retry", "tmdb"): 1})
    rows = items(installation)
    assert len(rows) == SHARDS
    assert len([row for row in rows if "retry|tmdb" in row]) == 1
    assert max(int(row["retry|x"]) for row in rows) < 20


def test_a_row_goes_when_nobody_asks_for_it_any_more(
    hourly: HourlyCounters, installation: Settings
) -> None:
    hourly.add("FindMovie", NOW, {("retry", "x"): 1})
    [row] = items(installation)
    assert row["expires_at"] == int((HOUR + KEPT_FOR).timestamp())


def test_a_week_is_read_in_a_bounded_number_of_requests(hourly: HourlyCounters) -> None:
    hours = hours_of(timedelta(days=7), NOW)
    with tallying() as tally:
        read = hourly.read(hours)
    assert list(read) == hours
    assert len(hours) == 7 * 24 + 1
    assert tally.operations == {"BatchGetItem": ceil(len(hours) * SHARDS / 100)}


def test_what_a_throttled_table_leaves_out_is_asked_for_again(hourly: HourlyCounters) -> None:
    hourly.add("FindMovie", NOW, {("retry", "x"): 1})
    left_out = Counter[str]()

    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        for table, found in parsed.get("Responses", {}).items():
            if found and not left_out[table]:
                left_out[table] += 1
                keys = [{name: item[name] for name in ("pk", "sk")} for item in found]
                parsed["UnprocessedKeys"] = {table: {"Keys": keys}}
                parsed["Responses"] = {table: []}

    events = aws.dynamodb().meta.client.meta.events
    events.register("after-call.dynamodb.BatchGetItem", leave_out)
    try:
        assert hourly.read([HOUR])[HOUR] == {("retry", "x"): 1}
    finally:
        events.unregister("after-call.dynamodb.BatchGetItem", leave_out)
    assert left_out.total() == 1


def test_a_table_that_stays_throttled_is_said_to_be(hourly: HourlyCounters) -> None:
    hourly.add("FindMovie", NOW, {("retry", "x"): 1})

    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        for table in list(parsed.get("Responses", {})):
            key = {"pk": {"S": "stats"}, "sk": {"S": "counters"}}
            parsed["UnprocessedKeys"] = {table: {"Keys": [key]}}

    events = aws.dynamodb().meta.client.meta.events
    events.register("after-call.dynamodb.BatchGetItem", leave_out)
    try:
        with pytest.raises(StoreUnavailable, match="throttled"):
            hourly.read([HOUR])
    finally:
        events.unregister("after-call.dynamodb.BatchGetItem", leave_out)


# Around an invocation


def read(hourly: HourlyCounters, at: datetime = NOW) -> Counter[Name]:
    return hourly.read([hour_of(at)])[hour_of(at)]


def test_what_happens_in_the_block_is_added_in_one_write(
    hourly: HourlyCounters, installation: Settings
) -> None:
    written: list[str] = []

    def note(model: Any, **_: Any) -> None:
        written.append(model.name)

    events = aws.dynamodb().meta.client.meta.events
    events.register("before-call.dynamodb.UpdateItem", note)
    try:
        with accounted("FindMovie", attempt=2, clock=lambda: NOW):
            current_tally().add_call("tmdb", "search/movie", ms=50)
            current_tally().add_call("tmdb", "movie", ms=50)
    finally:
        events.unregister("before-call.dynamodb.UpdateItem", note)
    assert written == ["UpdateItem"]
    assert read(hourly)["retry", "tmdb"] == 2


def test_what_was_done_before_a_failure_is_added_and_the_failure_is_raised(
    hourly: HourlyCounters,
) -> None:
    @accounted("Api", clock=lambda: NOW)
    def handler() -> None:
        current_tally().add_call("tmdb", "movie")
        raise RuntimeError("broken")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            handler()
    assert read(hourly)["call", "tmdb", "movie", "ok"] == 2


def test_an_invocation_that_did_nothing_writes_nothing(
    hourly: HourlyCounters, installation: Settings
) -> None:
    with accounted("Api"):
        pass
    assert items(installation) == []


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "UpdateItem"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
        RuntimeError("whatever"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_counters_that_cannot_be_written_fail_nothing(
    hourly: HourlyCounters, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise error

    events = aws.dynamodb().meta.client.meta.events
    events.register("before-call.dynamodb.UpdateItem", refuse)
    try:
        with accounted("FindMovie", clock=lambda: NOW):
            current_tally().add_call("tmdb", "movie")
    finally:
        events.unregister("before-call.dynamodb.UpdateItem", refuse)
    assert caplog.messages == ["the counters could not be written"]
    assert read(hourly) == {}


def test_a_table_that_does_not_answer_holds_nothing_up_for_long(hourly: HourlyCounters) -> None:
    answers = threading.Event()

    def wait(**_: Any) -> None:
        answers.wait(30)

    events = aws.dynamodb().meta.client.meta.events
    events.register("before-call.dynamodb.UpdateItem", wait)
    try:
        began = time.monotonic()
        with accounted("FindMovie", clock=lambda: NOW):
            current_tally().add_call("tmdb", "movie")
        held_up = time.monotonic() - began
    finally:
        answers.set()
        events.unregister("before-call.dynamodb.UpdateItem", wait)
        for thread in threading.enumerate():
            if thread.name == "accounting":
                thread.join(10)
    assert held_up < FLUSH_SECONDS + 1


def test_settings_that_cannot_be_read_fail_nothing(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGE", "")
    settings.cache_clear()
    try:
        with accounted("FindMovie") as tally:
            current_tally().add_call("tmdb", "movie")
        assert tally.calls == {"tmdb.successful": 1}
    finally:
        monkeypatch.undo()
        settings.cache_clear()


# Metrics


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_tally_is_measured_by_provider_and_by_how_workflows_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measure(a_tally(), stage="test")
    upstream, store, ended = lines(capsys)
    assert upstream["Provider"] == "x"
    assert upstream["UpstreamLatency"] == [120, 30]
    assert (upstream["UpstreamFailures"], upstream["SpendUsd"]) == ([1], [0.05])
    assert store["StoreFailures"] == [1]
    assert (ended["Kind"], ended["Status"]) == ("movie_search", "PARTIAL")
    assert ended["WorkflowsEnded"] == [1]


def test_every_metric_is_written_with_the_dimensions_that_are_declared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measure(a_tally(), stage="test")
    written = {
        metric["Name"]: tuple(directive["Dimensions"][0])
        for line in lines(capsys)
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }
    declared = {name: ("Stage", *metric.dimensions) for name, metric in METRICS.items()}
    assert written.items() <= declared.items()
    gauges = {name for name in declared.keys() - written.keys() if declared[name] == ("Stage",)}
    of_slots = {"QuotaLeft", "SlotSeconds"}  # written as one is asked for
    assert declared.keys() == written.keys() | gauges | of_slots
    assert [name for name in gauges if f'"{name}"' not in deployed_source()] == []


def deployed_source() -> str:
    """All of it but where the metrics are declared."""
    paths = [
        path for part in ("functions", "layers/shared") for path in (ROOT / part).rglob("*.py")
    ]
    return "".join(path.read_text() for path in paths if path.name != "observability.py")


def test_more_calls_than_a_line_may_hold_take_several_and_are_counted_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally()
    for _ in range(250):
        tally.add_call("openai", "responses", error="UpstreamTimeout", ms=10, usd=0.001)
    measure(tally, stage="test")
    found = lines(capsys)
    assert [len(line["UpstreamLatency"]) for line in found] == [100, 100, 50]
    assert sum(sum(line.get("UpstreamFailures", [])) for line in found) == 250
    assert sum(sum(line.get("SpendUsd", [])) for line in found) == pytest.approx(0.25)


def test_what_goes_well_says_nothing_of_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    measure(Tally(store_requests=[StoreRequest("GetItem", "", 4, 0)]), stage="test")
    assert lines(capsys) == []


# What it costs


def test_counting_a_search_in_a_busy_hour_takes_a_25th_of_its_price() -> None:
    """Rows grow as rare outcomes come in, and a write is charged by the whole row."""
    chance = Random(7)  # noqa: S311 - a simulation
    endpoints = {
        "FindMovie": ("tmdb", ["search/movie", "movie"]),
        "CollectReviews/tmdb": ("tmdb", []),
        "CollectReviews/x": ("x", ["tweets/search/recent"]),
        "CollectReviews/bluesky": ("bluesky", ["createSession", "searchPosts"]),
        "CollectReviews/mastodon": ("mastodon", ["timelines/tag"]),
        "AnalyzeReviews": ("", []),
        "RecommendMovies": ("", []),
        "FinishSearch": ("", []),
    }
    rows: dict[int, Counter[Name]] = {}
    for part, (provider, called) in endpoints.items():
        for _ in range(500):
            tally = Tally(attempt=chance.choice([1, 1, 1, 2]), read_units=4, write_units=16)
            for endpoint in called:
                error = chance.choice(["", "", "", "RateLimited", "UpstreamTimeout"])
                tally.add_call(provider, endpoint, error=error, ms=chance.lognormvariate(5, 0.7))
            for operation in ("GetItem", "PutItem", "UpdateItem", "Query", "BatchWriteItem"):
                tally.store_requests.append(
                    StoreRequest(operation, "", chance.lognormvariate(2, 0.5), 0)
                )
            state = part.partition("/")[0]
            tally.steps.append(Ended("movie_search", state, "", chance.lognormvariate(6, 0.7)))
            rows.setdefault(shard_of(part), Counter()).update(counters_of(tally))
    units = {
        shard: ceil(item_bytes({"|".join(n): {"N": str(v)} for n, v in row.items()}) / 1024)
        for shard, row in rows.items()
    }
    written = sum(units[shard_of(part)] for part in endpoints)
    assert written * WRITE_UNIT_USD < FRESH_USD / 25
