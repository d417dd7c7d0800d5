"""How quotas, money and breakers stand: every row that there is, found by what was called."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from marquee import aws
from marquee.errors import StoreUnavailable, UpstreamUnavailable
from marquee.gateway.breaker import Breakers, Sensitivity, State, diagnosed
from marquee.gateway.quota import Policies, Quota
from marquee.gateway.rows import DynamoRows, Key
from marquee.gateway.spend import Spend, read_caps
from marquee.gateway.standing import Called, Standing, standing
from marquee.settings import Settings
from tests.support.coordination_table import MemoryRows, book
from tests.support.virtual_time import START

SEARCH = ("x", "tweets/search/recent")
POLICIES = Policies("x/tweets/search/recent=2/60 tmdb=20/1")
CAPS = read_caps("day=1 x.month=4")
DOWN = UpstreamUnavailable("answered 503", provider="x", endpoint="search")


NOW = datetime.now(UTC)
"""The rows are written by the table's own clock."""


@pytest.fixture
def dynamo(settings: Settings) -> DynamoRows:
    return DynamoRows(aws.table(settings.gateway_table))


def stands(rows: DynamoRows, called: Called = (SEARCH,)) -> Standing:
    return standing(rows, POLICIES, CAPS, called, ("app", "marquee_demo"), now=NOW)


def test_where_nothing_was_called_all_is_free(dynamo: DynamoRows) -> None:
    found = stands(dynamo, ())
    names = [(policy.provider, policy.endpoint) for policy, _ in found.quotas]
    assert SEARCH in names
    assert ("tmdb", "*") in names
    assert len(names) == len(set(names))
    assert all(view.left == view.calls for _, view in found.quotas)
    assert [(budget.left_usd, budget.share) for budget in found.budgets] == [(1, 0), (4, 0)]
    assert (found.closed, found.breakers) == ({}, ())


def test_a_quota_is_told_for_each_credential_that_used_it(dynamo: DynamoRows) -> None:
    quota = Quota(dynamo)
    for credential in ("app", "marquee_demo"):
        policy = POLICIES.of(*SEARCH, credential)
        quota.begin(policy, "one", now=NOW)
    book(dynamo, POLICIES.of(*SEARCH, "marquee_demo"), "two", now=NOW)
    [app, own] = [
        (p.credential, view) for p, view in stands(dynamo).quotas if p.endpoint == SEARCH[1]
    ]
    assert (app[0], app[1].waiting) == ("app", 0)
    assert (own[0], own[1].waiting) == ("marquee_demo", 1)


def test_money_and_closed_providers_are_told(dynamo: DynamoRows) -> None:
    spend = Spend(dynamo, CAPS)
    spend.reserve("x", 0.25, "a", now=NOW)
    spend.settle("a", 0.25, now=NOW)
    spend.reserve("x", 0.5, "b", now=NOW)
    spend.close("x", "answered 402", now=NOW)
    found = stands(dynamo)
    [day, month] = found.budgets
    assert (day.spent_usd, day.reserved_usd, day.left_usd, day.share) == (0.25, 0.5, 0.25, 0.75)
    assert month.left_usd == 3.25
    assert found.closed == {"x": "answered 402"}


def test_every_endpoint_that_was_called_has_its_breaker(dynamo: DynamoRows) -> None:
    breakers = Breakers(dynamo)
    for _ in range(5):
        breakers.record(*SEARCH, breakers.ask(*SEARCH, now=NOW), DOWN, now=NOW)
    found = dict(stands(dynamo, [SEARCH, ("tmdb", "movie")]).breakers)
    assert found[SEARCH].state is State.OPEN
    assert found["tmdb", "movie"].state is State.CLOSED


def test_it_is_one_request_for_all_of_them(settings: Settings, dynamo: DynamoRows) -> None:
    asked: list[Any] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        asked.append((model.name, params["RequestItems"][settings.gateway_table]))

    events = aws.dynamodb().meta.client.meta.events
    events.register("before-parameter-build.dynamodb", note)
    try:
        stands(dynamo, [SEARCH, ("tmdb", "movie"), ("openai", "responses")])
    finally:
        events.unregister("before-parameter-build.dynamodb", note)
    [(name, request)] = asked
    assert name == "BatchGetItem"
    assert request["ConsistentRead"]
    assert len(request["Keys"]) < aws.MOST_KEYS / 2


def test_a_table_that_is_not_there_is_not_taken_for_an_empty_one(dynamo: DynamoRows) -> None:
    with pytest.raises(ClientError, match="ResourceNotFound"):
        stands(DynamoRows(aws.table("gone")))


def test_a_table_that_stays_throttled_is_said_to_be(settings: Settings, dynamo: DynamoRows) -> None:
    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        key = {"pk": {"S": "SPEND"}, "sk": {"S": "USD"}}
        parsed["UnprocessedKeys"] = {settings.gateway_table: {"Keys": [key]}}

    events = aws.dynamodb().meta.client.meta.events
    events.register("after-call.dynamodb.BatchGetItem", leave_out)
    try:
        with pytest.raises(StoreUnavailable, match="throttled"):
            stands(dynamo)
    finally:
        events.unregister("after-call.dynamodb.BatchGetItem", leave_out)


def test_a_breaker_is_told_in_each_of_its_states() -> None:
    rows, interval = MemoryRows(), Sensitivity().interval_seconds
    breakers = Breakers(rows)

    def seen() -> Any:
        return diagnosed(rows.rows.get(Key("BREAKER#x", SEARCH[1]), {}), rows.at)

    assert (seen().state, seen().failure_share, seen().retry_at) == (State.CLOSED, None, None)
    for error in (DOWN, None, DOWN):
        breakers.record(*SEARCH, breakers.ask(*SEARCH, now=START), error, now=START)
    assert (seen().state, seen().failure_share) == (State.CLOSED, pytest.approx(2 / 3, abs=1e-3))
    for _ in range(2):
        breakers.record(*SEARCH, breakers.ask(*SEARCH, now=START), DOWN, now=START)
    assert (seen().state, seen().failure_share, seen().opened_at) == (State.OPEN, 0.8, START)
    assert seen().retry_at == START + timedelta(seconds=interval)
    rows.later(interval)
    assert breakers.ask(*SEARCH, now=START).probe
    assert (seen().state, seen().retry_at) == (
        State.HALF_OPEN,
        START + timedelta(seconds=2 * interval),
    )
