"""What a step makes of an upstream's failure, attempt by attempt, across Retry and Wait states."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from marquee.aws import dynamodb, table
from marquee.clock import now
from marquee.errors import (
    BreakerOpen,
    GivenUp,
    RetryAhead,
    SlotAhead,
    StoreUnavailable,
    UpstreamRefused,
    UpstreamUnavailable,
)
from marquee.gateway.retries import Fault, Retries
from marquee.observability import current_tally
from marquee.settings import Settings
from marquee.workflows.problems import CaughtError
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from marquee.workflows.step import JsonObject, step

ID = "movie_search-0123456789abcdef-1"
EVENT = {"workflow_id": ID, "step": "FindMovie", "attempt": 1, "retry_when_told": True}
DOWN = UpstreamUnavailable("answered 500", provider="tmdb", endpoint="movie", status=500)


def run(error: Exception | None = None, *, sent: bool = True, **asking: Any) -> Exception | None:
    """One attempt that ends so; what it raises."""

    def work(event: JsonObject) -> JsonObject:
        if sent:
            name = type(error).__name__ if error else ""
            current_tally().add_call("tmdb", "movie", error=name)
        if error:
            raise error
        return {}

    context: Any = None
    try:
        step("movie_search")(work)({**EVENT, **asking}, context)
    except Exception as raised:
        return raised
    return None


def found(records: WorkflowRecords) -> StepRecord:
    record = records.get(ID)
    assert record is not None
    return record.steps["FindMovie"]


@pytest.fixture
def retries(settings: Settings) -> Retries:
    """The rows of the installation, at which faults like DOWN are over within a second."""
    retries = Retries.connect(settings)
    teach(retries, over_by=1.0)
    return retries


def teach(retries: Retries, *, over_by: float, outlasted: float = 0.0) -> None:
    fault = Fault(provider="tmdb", kind="UpstreamUnavailable/500", since=now(), outlasted=outlasted)
    for _ in range(4):
        retries.learn(fault, over_by, now=now())


def learned(settings: Settings) -> int:
    """Writes to the rows of faults, ever."""
    return sum(int(row["version"]) for row in faults(settings))


def faults(settings: Settings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table(settings.gateway_table).scan()["Items"]
    return [row for row in rows if row["pk"].startswith("RETRY#")]


@pytest.mark.usefixtures("retries")
def test_a_retry_is_told_by_its_time_and_recorded_under_the_error_s_own_name(
    records: WorkflowRecords,
) -> None:
    raised = run(DOWN)
    assert isinstance(raised, RetryAhead)
    assert str(raised).startswith(f"slot at {raised.at:%Y-%m-%dT%H:%M:%SZ} after Upstream")
    assert timedelta(seconds=-1) < raised.at - now() <= timedelta(seconds=8)
    step = found(records)
    assert step.error == StepError(name="UpstreamUnavailable", message=str(DOWN))


@pytest.mark.usefixtures("retries")
def test_attempts_are_counted_over_waits_and_bounded(records: WorkflowRecords) -> None:
    # The definition counts from 1 again after each Wait.
    raised = [run(DOWN) for _ in range(4)]
    assert isinstance(raised[0], RetryAhead)
    assert isinstance(raised[3], GivenUp)
    step = found(records)
    assert (step.attempts, len(step.failed_attempts)) == (4, 3)


def test_attempts_that_are_killed_do_not_begin_the_count_anew(
    settings: Settings, records: WorkflowRecords
) -> None:
    for number in range(1, 4):
        run(DOWN)
        running = StepRecord(status=Status.RUNNING, started_at=now())
        records.begin_step(ID, "movie_search", "FindMovie", running, now())
        assert found(records).attempts == 1
        assert len(found(records).failed_attempts) == number
    assert isinstance(run(DOWN), GivenUp)


def test_a_wait_for_a_slot_is_no_attempt(settings: Settings, records: WorkflowRecords) -> None:
    slot = SlotAhead(provider="tmdb", endpoint="movie", at=now())
    assert run(slot, sent=False) is slot
    assert run(slot, sent=False) is slot
    assert run() is None
    assert found(records).attempts == 1


def test_more_than_nine_attempts_are_kept_in_their_order(records: WorkflowRecords) -> None:
    for number in (10, 2, 11):
        failed = StepRecord(
            status=Status.FAILED,
            started_at=now(),
            ended_at=now() + timedelta(seconds=number),
            attempts=number,
            error=StepError(name="StoreUnavailable", message=f"{number}"),
        )
        records.write_step(ID, "movie_search", "FindMovie", failed, now())
    before = [attempt.error for attempt in found(records).failed_attempts]
    assert [error.message for error in before if error] == ["2", "10"]


def test_a_step_that_succeeded_begins_anew(settings: Settings, records: WorkflowRecords) -> None:
    run(DOWN)
    run(attempt=2)
    run()
    assert found(records).attempts == 1


def test_until_something_is_known_the_definition_retries_and_lets_the_last_error_pass(
    settings: Settings, records: WorkflowRecords
) -> None:
    assert [run(DOWN, attempt=attempt) for attempt in (1, 2, 3, 4)] == [DOWN] * 4
    assert found(records).attempts == 4
    assert learned(settings) == 1


def test_a_success_after_a_retry_is_learned_with_one_write_and_a_success_at_once_with_none(
    settings: Settings,
) -> None:
    run()
    assert learned(settings) == 0
    run(DOWN)
    assert learned(settings) == 0
    run(attempt=2)
    assert learned(settings) == 1
    [row] = faults(settings)
    assert (row["pk"], row["sk"]) == ("RETRY#tmdb", "UpstreamUnavailable/500")
    assert sum(map(float, row["faults"])) == pytest.approx(1)


def test_an_end_without_an_answer_is_not_taken_for_a_success(settings: Settings) -> None:
    run(DOWN)
    run(DOWN, attempt=2)
    run(sent=False, attempt=3)  # what is stored stood in
    [row] = faults(settings)
    assert float(row["faults"][-1]) > 0


def test_what_hardly_passes_is_given_up_under_a_name_that_no_definition_retries(
    settings: Settings,
) -> None:
    teach(Retries.connect(settings), outlasted=14.0, over_by=inf)
    raised = run(DOWN, attempt=2)  # a first one may look whether that is still so
    assert isinstance(raised, GivenUp)
    assert str(raised) == f"UpstreamUnavailable: {DOWN}"


def test_a_breaker_that_opens_between_two_attempts_ends_the_fault(settings: Settings) -> None:
    run(DOWN)
    run(DOWN, attempt=2)
    opened = BreakerOpen("has failed", provider="tmdb", endpoint="movie")
    assert run(opened, sent=False, attempt=3) is opened
    assert learned(settings) == 1


@pytest.mark.usefixtures("retries")
@pytest.mark.parametrize(
    "error",
    [
        UpstreamRefused("no", provider="tmdb", endpoint="movie", status=400),
        StoreUnavailable("throttled"),
        KeyError("title"),
    ],
)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    assert run(error) is error


@pytest.mark.usefixtures("retries")
def test_a_state_that_does_not_wait_gets_the_error_itself() -> None:
    assert run(DOWN, retry_when_told=False) is DOWN


@pytest.mark.usefixtures("retries")
def test_where_the_record_does_not_answer_the_definition_decides(settings: Settings) -> None:
    with refusing("UpdateItem"):
        assert run(DOWN) is DOWN


@pytest.mark.usefixtures("retries")
def test_where_the_rows_do_not_answer_the_definition_decides(settings: Settings) -> None:
    with refusing("GetItem"):
        assert run(DOWN) is DOWN
    with refusing("PutItem"):
        assert run(attempt=2) is None


def test_people_are_told_the_error_that_was_given_up() -> None:
    cause = '{"errorMessage": "UpstreamUnavailable: tmdb movie: answered 500"}'
    error = CaughtError(Error="GivenUp", Cause=cause)
    assert str(error) == "UpstreamUnavailable: tmdb movie: answered 500"
    assert error.as_step_error() == StepError(
        name="UpstreamUnavailable", message="tmdb movie: answered 500"
    )


@contextmanager
def refusing(operation: str) -> Iterator[None]:
    """DynamoDB can not be reached for one kind of request."""

    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    events, name = dynamodb().meta.client.meta.events, f"before-call.dynamodb.{operation}"
    events.register(name, refuse)
    try:
        yield
    finally:
        events.unregister(name, refuse)
