"""Closing what executions left behind that ended outside a step."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.errors import StoreUnavailable
from marquee.gateway.quota import Policies, Policy, Quota
from marquee.gateway.rows import Key, Read
from marquee.gateway.slots import Slots
from marquee.settings import Settings
from marquee.workflows.closing import Closed, ExecutionEnded, close_execution
from marquee.workflows.record import Status, StepError, WorkflowRecord, WorkflowRecords
from tests.support.builders import NOW
from tests.support.coordination_table import MemoryRows, book

ID = "movie_search-0123456789abcdef-1"
LATER = NOW + timedelta(minutes=15)
POLICIES = Policies("x=1/900")
SEARCH, POST = POLICIES.of("x", "tweets/search/recent"), POLICIES.of("x", "tweets", "marquee_demo")
SLOTS = Slots(MemoryRows(), ())


def an_end(**fields: Any) -> ExecutionEnded:
    detail = {
        "name": ID,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:a-b-movie_search",
        "executionArn": f"arn:aws:states:us-east-1:123456789012:execution:a-b-movie_search:{ID}",
        "status": "TIMED_OUT",
        "input": "{}",
        "output": None,
        "error": None,
        "cause": None,
    }
    return ExecutionEnded.model_validate({**detail, **fields})


@pytest.fixture
def running(records: WorkflowRecords) -> WorkflowRecords:
    records.open(ID, "movie_search", trigger="api", request={}, now=NOW)
    return records


def read(records: WorkflowRecords) -> WorkflowRecord:
    record = records.get(ID)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        (
            {"status": "TIMED_OUT"},
            Status.FAILED,
            StepError(
                name="States.TIMED_OUT", message="the execution ended as TIMED_OUT outside a step"
            ),
        ),
        (
            {"status": "FAILED", "error": "States.DataLimitExceeded", "cause": "too large"},
            Status.FAILED,
            StepError(name="States.DataLimitExceeded", message="too large"),
        ),
        (
            {"status": "ABORTED"},
            Status.CANCELED,
            StepError(
                name="States.ABORTED", message="the execution ended as ABORTED outside a step"
            ),
        ),
        ({"status": "SUCCEEDED"}, Status.SUCCEEDED, None),
    ],
)
def test_a_record_that_still_runs_is_closed_as_its_execution_ended(
    running: WorkflowRecords, ended: dict[str, Any], status: Status, error: StepError | None
) -> None:
    closed = close_execution(an_end(**ended), running, SLOTS, LATER)
    assert closed == Closed(workflow_id=ID, status=status, changed=True)
    record = read(running)
    assert (record.status, record.ended_at, record.error) == (status, LATER, error)


def test_a_record_that_had_ended_stays_as_it_is(running: WorkflowRecords) -> None:
    running.close(ID, "movie_search", Status.PARTIAL, now=NOW, result={"recommended": 2})
    before = read(running)
    assert not close_execution(an_end(status="SUCCEEDED"), running, SLOTS, LATER).changed
    assert read(running) == before


def test_a_delivery_that_comes_twice_changes_nothing(running: WorkflowRecords) -> None:
    assert close_execution(an_end(), running, SLOTS, LATER).changed
    before = read(running)
    assert not close_execution(an_end(), running, SLOTS, LATER + timedelta(minutes=1)).changed
    assert read(running) == before


def test_an_execution_without_a_record_gets_one_under_its_kind(records: WorkflowRecords) -> None:
    close_execution(an_end(status="ABORTED"), records, SLOTS, LATER)
    listed, _ = records.page("movie_search", status=Status.CANCELED)
    assert [record.workflow_id for record in listed] == [ID]


def test_the_stack_trace_of_a_caught_error_stays_out_of_the_record(
    running: WorkflowRecords,
) -> None:
    cause = 'BadInput: {"errorMessage": "year: too early", "stackTrace": ["app.py, line 1"]}'
    close_execution(
        an_end(status="FAILED", error="SearchFailed", cause=cause), running, SLOTS, LATER
    )
    expected = StepError(name="SearchFailed", message="BadInput: year: too early")
    assert read(running).error == expected


def test_a_long_cause_is_cut(running: WorkflowRecords) -> None:
    close_execution(an_end(status="FAILED", error="E", cause="x" * 5000), running, SLOTS, LATER)
    error = read(running).error
    assert error is not None
    assert len(error.message) == 500


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE", ""])
def test_an_execution_that_has_not_ended_is_refused(status: str) -> None:
    with pytest.raises(ValueError, match="status"):
        an_end(status=status)


def waiting(slots: Slots, policy: Policy) -> int:
    return Quota(slots.rows).view(policy, now=NOW).waiting


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_the_slots_that_it_waited_for_are_free_for_others(
    running: WorkflowRecords, status: str
) -> None:
    slots = Slots(MemoryRows(NOW), (SEARCH, POST))
    for policy in slots.policies:
        book(slots.rows, policy, "another/PublishTweet/1", now=NOW)
        book(slots.rows, policy, f"{ID}/PublishTweet/1", now=NOW)
    close_execution(an_end(status=status), running, slots, LATER)
    assert [waiting(slots, policy) for policy in slots.policies] == [1, 1]
    assert Quota(slots.rows).begin(SEARCH, "another/PublishTweet/1", now=NOW).begun


def test_an_execution_that_waited_for_nothing_changes_no_quota(running: WorkflowRecords) -> None:
    rows = MemoryRows(NOW)
    close_execution(an_end(), running, Slots(rows, (SEARCH, POST)), LATER)
    assert (rows.reads, rows.writes) == (2, 0)


def test_a_record_is_closed_where_the_quotas_do_not_answer(running: WorkflowRecords) -> None:
    class Away(MemoryRows):
        def get(self, key: Key) -> Read:
            raise StoreUnavailable("away")

    assert close_execution(an_end(), running, Slots(Away(), (SEARCH,)), LATER).changed


def test_slots_are_those_of_searches_and_of_the_account_that_posts(settings: Settings) -> None:
    given = settings.model_copy(
        update={"quota_policies": "tmdb=20/1 x=4/60", "posting_account": "marquee_demo"}
    )
    booked = {(one.provider, one.endpoint, one.credential) for one in Slots.connect(given).policies}
    for credential in ("app", "marquee_demo"):
        for endpoint in ("tweets/search/recent", "users/tweets", "users/by/username", "tweets"):
            assert ("x", endpoint, credential) in booked
    assert ("tmdb", "*", "app") in booked
