"""GET /api/orchestrator/automation-stats: what is counted, over which hours, and what waits."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest

from marquee import aws
from marquee.api.automation import MOST_TRIGGERS, WINDOWS
from marquee.errors import UpstreamUnavailable
from marquee.gateway.accounting import PERCENTILE_ERROR, HourlyCounters, counters_of
from marquee.gateway.breaker import Breakers
from marquee.gateway.quota import Policies, Quota
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import Spend
from marquee.movies.backfill_queue import BackfillQueue, Reason, Wish
from marquee.observability import Ended, StoreRequest, Tally
from marquee.settings import Settings
from marquee.triggers.models import Delivery, DeliveryStatus, Trigger
from marquee.triggers.trigger_store import TriggerStore
from tests.support.api import Api
from tests.support.builders import NOW

PATH = "/api/orchestrator/automation-stats"
A_FAILURE = UpstreamUnavailable("answered 503", provider="tmdb", endpoint="movie")


@pytest.fixture
def hourly(settings: Settings) -> HourlyCounters:
    return HourlyCounters.connect(settings)


def asked(api: Api, window: str = "24h") -> Any:
    answer = api.get(PATH, {"window": window})
    assert answer.status == 200
    return answer.json()


def a_tally(*, attempt: int = 1) -> Tally:
    """Of a step that asked X twice and TMDB once."""
    tally = Tally(attempt=attempt, read_units=1.5, write_units=3)
    tally.add_call("x", "tweets/search/recent", ms=120, usd=0.05)
    tally.add_call("x", "tweets/search/recent", error="RateLimited", ms=30)
    tally.add_call("tmdb", "movie", ms=60)
    tally.store_requests += [
        StoreRequest("GetItem", "", 4, 0),
        StoreRequest("PutItem", "ThrottlingException", 900, 3),
    ]
    return tally


def test_an_installation_that_did_nothing_says_so(api: Api) -> None:
    stats = asked(api)
    calls = stats["coordinator_stats"]["api_calls"]
    assert (calls["total"], calls["success_rate"], calls["p50_ms"]) == (0, None, None)
    assert (stats["workflows"], stats["cost_usd"]) == ({}, {})
    assert [hour["calls"] for hour in stats["hours"]] == [0] * 25


def test_calls_are_told_by_provider_with_their_errors_durations_and_costs(
    api: Api, hourly: HourlyCounters
) -> None:
    hourly.add("CollectReviews/x", NOW, counters_of(a_tally()))
    hourly.add("FindMovie", NOW, counters_of(a_tally(attempt=2)))
    calls = asked(api)["coordinator_stats"]["api_calls"]
    x = calls["by_provider"]["x"]
    assert (calls["total"], calls["successful"], calls["failed"]) == (6, 4, 2)
    assert calls["success_rate"] == pytest.approx(4 / 6, abs=1e-4)
    assert (calls["errors"], calls["retries"], x["retries"]) == ({"RateLimited": 2}, 3, 2)
    assert x["by_endpoint"] == {"tweets/search/recent": {"total": 4, "failed": 2}}
    assert x["p50_ms"] == pytest.approx(30, rel=PERCENTILE_ERROR)
    assert x["p95_ms"] == pytest.approx(120, rel=PERCENTILE_ERROR)
    assert calls["p50_ms"] == pytest.approx(60, rel=PERCENTILE_ERROR)
    assert (calls["cost_usd"], x["cost_usd"]) == (0.1, 0.1)
    assert calls["by_provider"]["tmdb"]["cost_usd"] == 0
    assert asked(api)["cost_usd"] == {"x": 0.1}


def test_errors_are_told_the_most_frequent_first_and_of_equals_by_name(
    api: Api, hourly: HourlyCounters
) -> None:
    tally = Tally()
    failed = ("UpstreamTimeout", "RateLimited", "SlotAhead", "SlotAhead")
    for name in failed:
        tally.add_call("x", "tweets/search/recent", error=name, ms=1)
        tally.steps.append(Ended("movie_search", "FindMovie", name, 1))
    hourly.add("FindMovie", NOW, counters_of(tally))
    stats = asked(api)
    for told in (
        stats["coordinator_stats"]["api_calls"]["errors"],
        stats["workflows"]["movie_search"]["steps"]["FindMovie"]["errors"],
    ):
        assert list(told.items()) == [("SlotAhead", 2), ("RateLimited", 1), ("UpstreamTimeout", 1)]


def test_database_operations_are_told_likewise(api: Api, hourly: HourlyCounters) -> None:
    hourly.add("FindMovie", NOW, counters_of(a_tally()))
    operations = asked(api)["coordinator_stats"]["database_operations"]
    assert (operations["total"], operations["failed"], operations["retries"]) == (2, 1, 3)
    assert operations["errors"] == {"ThrottlingException": 1}
    assert operations["by_operation"] == {
        "GetItem": {"total": 1, "failed": 0},
        "PutItem": {"total": 1, "failed": 1},
    }
    assert (operations["read_units"], operations["write_units"]) == (1.5, 3)
    assert operations["p95_ms"] == pytest.approx(900, rel=PERCENTILE_ERROR)


def test_workflows_are_told_by_kind_and_status_and_their_steps_with_durations(
    api: Api, hourly: HourlyCounters
) -> None:
    tally = Tally()
    tally.steps += [Ended("movie_search", "FindMovie", "", ms) for ms in (100, 100, 100)]
    tally.steps += [Ended("movie_search", "FindMovie", "UpstreamTimeout", 10_000)]
    tally.steps += [Ended("tweet_pipeline", "FinishRun", "", 50)]
    tally.workflows["movie_search", "PARTIAL"] += 2
    tally.workflows["movie_search", "FAILED"] += 1
    hourly.add("FindMovie", NOW, counters_of(tally))
    stats = asked(api)
    searches = stats["workflows"]["movie_search"]
    assert (searches["total"], searches["by_status"]) == (3, {"PARTIAL": 2, "FAILED": 1})
    find = searches["steps"]["FindMovie"]
    assert (find["attempts"], find["failed"], find["errors"]) == (4, 1, {"UpstreamTimeout": 1})
    assert find["p50_ms"] == pytest.approx(100, rel=PERCENTILE_ERROR)
    assert find["p95_ms"] == pytest.approx(10_000, rel=PERCENTILE_ERROR)
    assert stats["workflows"]["tweet_pipeline"]["by_status"] == {}
    this_hour = stats["hours"][-1]
    assert (this_hour["workflows"], this_hour["failed_workflows"]) == (3, 1)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_hours_that_the_window_touches_are_counted_and_no_others(
    api: Api, hourly: HourlyCounters, window: str
) -> None:
    api.clock.time = NOW.replace(minute=40)
    begins = (api.clock.time - WINDOWS[window]).replace(minute=0)
    counters = counters_of(a_tally())
    for at in (begins - timedelta(minutes=1), begins, api.clock.time):
        hourly.add("FindMovie", at, counters)
    stats = asked(api, window)
    assert stats["coordinator_stats"]["api_calls"]["total"] == 6
    assert datetime.fromisoformat(stats["since"]) == begins.astimezone(UTC)
    assert [hour["calls"] for hour in stats["hours"] if hour["calls"]] == [3, 3]
    assert len(stats["hours"]) == WINDOWS[window] // timedelta(hours=1) + 1


def test_a_week_is_read_in_as_many_requests_as_an_empty_one(
    api: Api, hourly: HourlyCounters
) -> None:
    read: list[str] = []

    def note(model: Any, **_: Any) -> None:
        read.append(model.name)

    aws.dynamodb().meta.client.meta.events.register("before-call.dynamodb", note)
    try:
        asked(api, "7d")
        empty = len(read)
        for number in range(40):
            hourly.add(f"PublishTweet/{number}", NOW, counters_of(a_tally()))
        read.clear()
        asked(api, "7d")
    finally:
        aws.dynamodb().meta.client.meta.events.unregister("before-call.dynamodb", note)
    assert set(read) == {"BatchGetItem", "Query"}
    assert len(read) == empty <= 14 + 1 + 4 + 2


def test_what_waits_in_each_queue_is_told(api: Api, settings: Settings) -> None:
    for _ in range(2):
        aws.client("sqs").send_message(
            QueueUrl=settings.parked_reviews_queue_url, MessageBody="a review"
        )
    queues = {queue["queue"]: queue for queue in asked(api)["queues"]}
    assert queues["parked_reviews"] == {
        "queue": "parked_reviews",
        "url": settings.parked_reviews_queue_url,
        "messages": 2,
        "dead_letters": False,
    }
    assert queues["event_dead_letters"]["messages"] == 0
    assert queues["event_dead_letters"]["dead_letters"]
    assert queues["parked_reviews_dead_letters"]["dead_letters"]


def test_a_queue_that_cannot_be_asked_does_not_hide_the_rest(settings: Settings) -> None:
    gone = "gone=https://sqs.us-east-1.amazonaws.com/123456789012/gone"
    api = Api(settings.model_copy(update={"queues": f"{gone} {settings.queues}"}))
    first, *others = asked(api)["queues"]
    assert (first["queue"], first["messages"]) == ("gone", None)
    assert [queue["messages"] for queue in others] == [0] * len(others)


def test_the_triggers_are_told_with_what_became_of_the_last_deliveries(
    api: Api, settings: Settings
) -> None:
    store = TriggerStore.connect(settings)
    on = a_trigger("PostPublished-0000000000000001")
    off = a_trigger("PostPublished-0000000000000002", enabled=False)
    for trigger in (on, off):
        store.put_trigger(trigger)
    for number in range(60):
        status = DeliveryStatus.FAILED if number % 10 == 0 else DeliveryStatus.DELIVERED
        store.swap(a_delivery(on, number, status))
    told = asked(api)["triggers"]
    assert (told["total"], told["more"], told["switched_off"]) == (2, False, [off.trigger_id])
    assert told["outcomes"] == {"DELIVERED": 45, "FAILED": 5}
    assert [one["event_id"] for one in told["recent"]] == [f"e{n}" for n in range(59, 49, -1)]


def test_more_triggers_than_are_counted_are_said_to_be_more(api: Api, settings: Settings) -> None:
    store = TriggerStore.connect(settings)
    for number in range(MOST_TRIGGERS):
        store.put_trigger(a_trigger(f"PostPublished-{number:016x}"))
    told = asked(api)["triggers"]
    assert (told["total"], told["more"]) == (MOST_TRIGGERS, False)
    store.put_trigger(a_trigger(f"PostPublished-{MOST_TRIGGERS:016x}"))
    told = asked(api)["triggers"]
    assert (told["total"], told["more"]) == (MOST_TRIGGERS, True)


def test_triggers_that_cannot_be_read_do_not_hide_the_rest(settings: Settings) -> None:
    api = Api(settings.model_copy(update={"triggers_table": "gone"}))
    assert asked(api)["triggers"] is None


def the_gateway(settings: Settings) -> DynamoRows:
    return DynamoRows(aws.table(settings.gateway_table))


def test_quotas_budgets_and_breakers_are_told_as_they_stand(
    settings: Settings, hourly: HourlyCounters
) -> None:
    api = Api(settings.model_copy(update={"quota_policies": "x=2/60", "spend_caps": "day=1"}))
    api.clock.time = now = datetime.now(UTC)  # the table's rows are written by its own clock
    rows, search = the_gateway(settings), ("x", "tweets/search/recent")
    Quota(rows).begin(Policies("x=2/60").of(*search), "one", now=now)
    Spend(rows, ()).reserve("x", 0.25, "a", now=now)
    Spend(rows, ()).close("x", "answered 402 (no credits)", now=now)
    for _ in range(5):
        passed = Breakers(rows).ask("tmdb", "movie", now=now)
        Breakers(rows).record("tmdb", "movie", passed, A_FAILURE, now=now)
    # Called 20 hours ago: a window of an hour shows its breaker all the same.
    hourly.add("FindMovie", now - timedelta(hours=20), counters_of(a_tally()))

    gateway = asked(api, "1h")["gateway"]
    [quota] = [one for one in gateway["quotas"] if one["endpoint"] == search[1]]
    assert (quota["provider"], quota["credential"]) == ("x", "app")
    assert (quota["calls"], quota["seconds"], quota["used"], quota["left"]) == (2, 60, 1, 1)
    assert (quota["waiting"], quota["blocked_until"]) == (0, None)
    [budget] = gateway["budgets"]
    assert (budget["scope"], budget["period"], budget["cap_usd"]) == ("total", "day", 1)
    assert (budget["reserved_usd"], budget["left_usd"], budget["share"]) == (0.25, 0.75, 0.25)
    assert datetime.fromisoformat(budget["opens_at"]).hour == 0
    [closed] = gateway["closed"]
    assert (closed["provider"], closed["reason"]) == ("x", "answered 402 (no credits)")
    breakers = {(one["provider"], one["endpoint"]): one for one in gateway["breakers"]}
    assert breakers["tmdb", "movie"]["state"] == "open"
    assert breakers["tmdb", "movie"]["failure_share"] == 1
    assert breakers[search]["state"] == "closed"


def test_the_link_to_reopen_a_provider_reopens_it(settings: Settings) -> None:
    api = Api(settings)
    Spend(the_gateway(settings), ()).close("x", "answered 402", now=NOW)
    [closed] = asked(api)["gateway"]["closed"]
    answer = api.post(urljoin(PATH, closed["reopen_url"]))
    assert (answer.status, answer.json()["reopened"]) == (200, True)
    assert asked(api)["gateway"]["closed"] == []


def test_a_gateway_that_cannot_be_read_does_not_hide_the_rest(settings: Settings) -> None:
    api = Api(settings.model_copy(update={"spend_caps": "nonsense"}))
    assert asked(api)["gateway"] is None


def test_what_is_to_be_collected_later_is_told_in_numbers(api: Api, settings: Settings) -> None:
    assert asked(api)["backfill"]["films"] == 0
    for number in (1, 2):
        wish = Wish(
            tmdb_id=579974,
            title="RRR",
            sources=("x",),
            reason=Reason.DEFERRED,
            workflow_id=f"movie_search-{number}",
        )
        BackfillQueue.connect(settings).add(wish, NOW)
    told = asked(api)["backfill"]
    assert (told["films"], told["searches"], told["given_up"]) == (1, 2, 0)
    assert datetime.fromisoformat(told["oldest_at"]) == NOW


def test_a_queue_of_films_that_cannot_be_read_does_not_hide_the_rest(settings: Settings) -> None:
    api = Api(settings.model_copy(update={"backfill_table": "gone"}))
    assert asked(api)["backfill"] is None


def a_trigger(trigger_id: str, **fields: Any) -> Trigger:
    return Trigger(
        trigger_id=trigger_id,
        event_type="PostPublished",
        url="https://example.com/hook",
        created_at=NOW,
        changed_at=NOW,
        **fields,
    )


def a_delivery(trigger: Trigger, number: int, status: DeliveryStatus) -> Delivery:
    at = NOW + timedelta(seconds=number)
    return Delivery(
        delivery_id=f"d{number}",
        trigger_id=trigger.trigger_id,
        url=trigger.url,
        event_id=f"e{number}",
        event_type=trigger.event_type,
        correlation_id="c",
        payload="{}",
        matched_at=at,
        due_at=at,
        status=status,
    )


def test_a_window_that_is_none_is_refused(api: Api) -> None:
    answer = api.get(PATH, {"window": "2h"})
    assert answer.status == 422
    assert answer.json()["errors"][0]["field"] == "window"
