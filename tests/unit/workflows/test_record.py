"""The workflow record: who may write what, and what is read back."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from marquee.aws import from_item, table, to_item
from marquee.settings import RECORD_KEPT_FOR, Settings
from marquee.workflows.record import (
    FailedAttempt,
    LastFailure,
    Status,
    StepError,
    StepRecord,
    WorkflowRecord,
    WorkflowRecords,
)
from tests.support.builders import NOW

ID = "movie_search-0123456789abcdef-1"
KIND = "movie_search"
LATER = NOW + timedelta(seconds=3)


def a_step(**fields: Any) -> StepRecord:
    return StepRecord.model_validate({"status": Status.SUCCEEDED, "started_at": NOW, **fields})


def opened(records: WorkflowRecords, workflow_id: str = ID, **fields: Any) -> None:
    given: dict[str, Any] = {"trigger": "api", "request": {"movie_name": "RRR"}, "now": NOW}
    records.open(workflow_id, KIND, **{**given, **fields})


def read(records: WorkflowRecords, workflow_id: str = ID) -> WorkflowRecord:
    record = records.get(workflow_id, consistent=True)
    assert record is not None
    return record


def test_there_is_no_record_before_one_is_opened(records: WorkflowRecords) -> None:
    assert records.get(ID) is None


def test_an_opened_record_says_what_was_asked_and_by_whom(records: WorkflowRecords) -> None:
    opened(records, request={"movie_name": "RRR", "year": 2022, "max_reviews": 10})
    assert read(records) == WorkflowRecord(
        workflow_id=ID,
        kind=KIND,
        status=Status.RUNNING,
        trigger="api",
        input={"movie_name": "RRR", "year": 2022, "max_reviews": 10},
        started_at=NOW,
    )


def test_opening_again_changes_nothing(records: WorkflowRecords) -> None:
    opened(records)
    before = read(records)
    opened(records, trigger="event", request={"movie_name": "Dune"}, now=LATER)
    assert read(records) == before


def test_a_record_that_its_first_step_made_gets_its_trigger_and_input_when_it_is_opened(
    records: WorkflowRecords,
) -> None:
    records.write_step(ID, KIND, "FindMovie", a_step(), NOW)
    opened(records, now=LATER)
    record = read(records)
    assert (record.trigger, record.input) == ("api", {"movie_name": "RRR"})
    assert record.started_at == NOW
    assert set(record.steps) == {"FindMovie"}


def test_the_steps_of_a_map_stand_side_by_side(records: WorkflowRecords) -> None:
    opened(records)
    sources = ("tmdb", "x", "bluesky", "mastodon")
    for source in sources:
        running = a_step(status=Status.RUNNING)
        records.write_step(ID, KIND, f"CollectReviews/{source}", running, NOW)
    for source in reversed(sources):
        records.write_step(ID, KIND, f"CollectReviews/{source}", a_step(counts={"new": 3}), LATER)
    steps = read(records).steps
    assert set(steps) == {f"CollectReviews/{source}" for source in sources}
    assert {step.status for step in steps.values()} == {Status.SUCCEEDED}
    assert [step.counts for step in steps.values()] == [{"new": 3}] * 4


def test_a_failed_attempt_is_kept_beside_the_one_that_follows(records: WorkflowRecords) -> None:
    refused = StepError(name="UpstreamTimeout", message="tmdb search/movie: no answer")
    failed = a_step(status=Status.FAILED, ended_at=NOW, counts={"calls": 1}, error=refused)
    records.write_step(ID, KIND, "FindMovie", failed, NOW)
    assert read(records).steps["FindMovie"].failed_attempts == ()
    records.write_step(ID, KIND, "FindMovie", a_step(attempts=2), LATER)
    step = read(records).steps["FindMovie"]
    assert (step.status, step.attempts, step.error) == (Status.SUCCEEDED, 2, None)
    assert step.failed_attempts == (
        FailedAttempt(ended_at=NOW, counts={"calls": 1}, error=refused),
    )


def test_an_attempt_that_begins_knows_the_last_one_that_failed(records: WorkflowRecords) -> None:
    running = a_step(status=Status.RUNNING)
    assert records.begin_step(ID, KIND, "FindMovie", running, NOW) is None
    for number in (1, 2):
        failed = a_step(status=Status.FAILED, ended_at=NOW, attempts=number)
        records.write_step(ID, KIND, "FindMovie", failed, NOW, fault={"provider": f"{number}"})
    for _ in range(2):  # the first of them was killed
        last = records.begin_step(ID, KIND, "FindMovie", running, NOW)
        assert last == LastFailure(attempts=2, fault={"provider": "2"})
    assert records.begin_step(ID, KIND, "CollectReviews", running, NOW) is None
    records.write_step(ID, KIND, "FindMovie", a_step(attempts=3), NOW)
    assert records.begin_step(ID, KIND, "FindMovie", running, NOW) is None


def test_the_attempts_of_one_step_are_not_those_of_a_step_whose_name_begins_alike(
    records: WorkflowRecords,
) -> None:
    failed = a_step(status=Status.FAILED, ended_at=NOW)
    records.write_step(ID, KIND, "CollectReviews/x", failed, NOW)
    records.write_step(ID, KIND, "CollectReviews", a_step(ended_at=LATER), LATER)
    assert read(records).steps["CollectReviews"].failed_attempts == ()


def test_a_record_closes_once(records: WorkflowRecords) -> None:
    opened(records)
    assert records.close(ID, KIND, Status.PARTIAL, now=LATER, result={"recommended": 3})
    too_late = StepError(name="States.TIMED_OUT", message="late")
    assert not records.close(ID, KIND, Status.FAILED, now=LATER, error=too_late)
    record = read(records)
    assert (record.status, record.ended_at, record.error) == (Status.PARTIAL, LATER, None)
    assert record.result == {"recommended": 3}


def test_a_record_that_nobody_opened_can_be_closed(records: WorkflowRecords) -> None:
    assert records.close(ID, KIND, Status.CANCELED, now=NOW)
    assert read(records).status is Status.CANCELED


def test_a_step_that_reports_late_does_not_open_a_closed_record_again(
    records: WorkflowRecords,
) -> None:
    opened(records)
    records.close(ID, KIND, Status.FAILED, now=NOW)
    records.write_step(ID, KIND, "AnalyzeReviews", a_step(), LATER)
    record = read(records)
    assert record.status is Status.FAILED
    assert "AnalyzeReviews" in record.steps
    running, _ = records.page(KIND, status=Status.RUNNING)
    assert running == []


def test_a_refusal_other_than_the_condition_is_raised(records: WorkflowRecords) -> None:
    class Denied:
        def update_item(self, **_: Any) -> None:
            raise a_client_error("AccessDeniedException")

    denied: Any = Denied()
    with pytest.raises(Exception, match="AccessDenied"):
        WorkflowRecords(denied).close(ID, KIND, Status.FAILED, now=NOW)


def a_client_error(code: str) -> Exception:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code, "Message": code}}, "UpdateItem")


def test_a_record_expires_counted_from_its_start(
    settings: Settings, records: WorkflowRecords
) -> None:
    opened(records)
    records.close(ID, KIND, Status.SUCCEEDED, now=LATER)
    item = table(settings.workflows_table).get_item(Key={"workflow_id": ID})["Item"]
    assert item["expires_at"] == int((NOW + RECORD_KEPT_FOR).timestamp())


def test_pages_list_the_newest_first_each_execution_once(records: WorkflowRecords) -> None:
    for number in range(7):
        opened(records, f"run-{number}", now=NOW + timedelta(milliseconds=number))
        if number % 2:
            records.close(f"run-{number}", KIND, Status.SUCCEEDED, now=LATER)
    assert listed(records, None) == [f"run-{number}" for number in reversed(range(7))]
    assert listed(records, Status.SUCCEEDED) == ["run-5", "run-3", "run-1"]
    assert listed(records, Status.RUNNING) == ["run-6", "run-4", "run-2", "run-0"]
    assert listed(records, Status.FAILED) == []


def listed(records: WorkflowRecords, status: Status | None) -> list[str]:
    names: list[str] = []
    after: Mapping[str, Any] | None = None
    while True:
        page, after = records.page(KIND, status=status, limit=2, after=after)
        names += [record.workflow_id for record in page]
        if after is None:
            return names


PLAIN = st.recursive(
    st.integers(-(10**12), 10**12) | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(value=st.dictionaries(st.text(min_size=1, max_size=5), PLAIN))
def test_what_is_stored_is_read_back_as_json_can_say_it(value: dict[str, Any]) -> None:
    assert from_item(to_item(value)) == value


@given(number=st.floats(-1, 1).map(lambda x: round(x, 6)))
def test_a_fraction_is_read_back_as_it_was(number: float) -> None:
    assert from_item(to_item({"x": number})) == {"x": number}


def test_a_repetition_says_whose_it_is(records: WorkflowRecords) -> None:
    opened(records, rerun_of="movie_search-0123456789abcdef-0")
    assert read(records).rerun_of == "movie_search-0123456789abcdef-0"
    opened(records, "another")
    assert read(records, "another").rerun_of is None


DAY = timedelta(days=1)


def forgotten(records: WorkflowRecords, before: datetime) -> int:
    return sum(records.forget_ended(KIND, before))


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_a_record_that_ended_before_is_forgotten_and_a_younger_one_is_not(
    records: WorkflowRecords, status: Status
) -> None:
    for name, end in (("old", NOW), ("young", NOW + DAY)):
        opened(records, name)
        records.close(name, KIND, status, now=end)
    assert forgotten(records, NOW) == 0
    assert forgotten(records, NOW + DAY) == 1
    assert records.get("old") is None
    assert read(records, "young").status is status
    assert forgotten(records, NOW + DAY) == 0


def test_what_runs_is_never_forgotten_nor_is_another_kind(records: WorkflowRecords) -> None:
    opened(records, "running")
    records.open("other", "tweet_pipeline", trigger="api", request={}, now=NOW)
    records.close("other", "tweet_pipeline", Status.SUCCEEDED, now=NOW)
    assert forgotten(records, NOW + 365 * DAY) == 0
    assert read(records, "running").status is Status.RUNNING
    assert records.get("other") is not None


def test_what_counts_the_executions_is_no_record_and_stays(
    records: WorkflowRecords, settings: Settings
) -> None:
    flight: dict[str, Any] = {
        "workflow_id": f"flight#{KIND}#0",
        "generation": 3,
        "taken_at": NOW.isoformat(),
    }
    table(settings.workflows_table).put_item(Item=flight)
    opened(records)
    records.close(ID, KIND, Status.SUCCEEDED, now=NOW)
    assert forgotten(records, NOW + DAY) == 1
    assert table(settings.workflows_table).scan()["Items"] == [flight]


def test_more_records_than_a_page_shows_are_forgotten(settings: Settings) -> None:
    class Paging:
        """The table, its queries answering one item at a time."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def query(self, **arguments: Any) -> Any:
            return self._inner.query(**arguments, Limit=1)

    records = WorkflowRecords(table(settings.workflows_table))
    for number in range(5):
        opened(records, f"run-{number}", now=NOW + number * timedelta(seconds=1))
        if number != 2:
            records.close(f"run-{number}", KIND, Status.FAILED, now=NOW + DAY)
    paging: Any = Paging(table(settings.workflows_table))
    assert forgotten(WorkflowRecords(paging), NOW + 2 * DAY) == 4
    assert records.get("run-2") is not None


def test_a_record_that_lives_again_since_the_index_was_read_stays(settings: Settings) -> None:
    class Behind:
        """The table, its index showing a record as it was."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def query(self, **_: Any) -> Any:
            return {"Items": [{"workflow_id": ID}, {"workflow_id": "gone"}]}

    records = WorkflowRecords(table(settings.workflows_table))
    opened(records)
    behind: Any = Behind(table(settings.workflows_table))
    assert forgotten(WorkflowRecords(behind), NOW + DAY) == 0
    assert read(records).status is Status.RUNNING


def test_a_refusal_other_than_the_condition_ends_the_forgetting(settings: Settings) -> None:
    class Denying:
        def query(self, **_: Any) -> Any:
            return {"Items": [{"workflow_id": ID}]}

        def delete_item(self, **_: Any) -> Any:
            refusal: Any = {"Error": {"Code": "AccessDeniedException", "Message": ""}}
            raise ClientError(refusal, "DeleteItem")

    denying: Any = Denying()
    with pytest.raises(ClientError, match="AccessDenied"):
        forgotten(WorkflowRecords(denying), NOW)
