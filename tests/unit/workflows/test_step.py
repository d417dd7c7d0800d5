"""The step decorator: what it records, which names errors get, and what never fails a step."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from pydantic import BaseModel, Field

from marquee.aws import dynamodb, table
from marquee.errors import BadInput, StoreUnavailable, UpstreamTimeout
from marquee.observability import current_tally
from marquee.settings import Settings
from marquee.workflows.record import MAX_MESSAGE, Status, StepError, WorkflowRecord, WorkflowRecords
from marquee.workflows.step import JsonObject, step

ID = "movie_search-0123456789abcdef-1"
EVENT = {"workflow_id": ID, "step": "FindMovie", "attempt": 1}


def run(function: Any, event: JsonObject = EVENT) -> JsonObject:
    context: Any = None
    return step("movie_search")(function)(event, context)


def read(records: WorkflowRecords) -> WorkflowRecord:
    record = records.get(ID)
    assert record is not None
    return record


def a_refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutItem")


def test_the_output_is_what_the_function_returned(settings: Settings) -> None:
    assert run(lambda event: {"got": event["step"]}) == {"got": "FindMovie"}


def test_the_record_says_how_the_step_ended_with_its_counts_and_its_tally(
    records: WorkflowRecords,
) -> None:
    def find(event: JsonObject) -> JsonObject:
        current_tally().add_call("tmdb", "movie")
        current_tally().add_call("tmdb", "movie")
        current_tally().add_call("x", "search", error="UpstreamTimeout", usd=0.05)
        return {"counts": {"candidates": 3}}

    run(find)
    found = read(records).steps["FindMovie"]
    assert (found.status, found.attempts, found.error) == (Status.SUCCEEDED, 1, None)
    assert found.ended_at is not None
    assert found.ended_at >= found.started_at
    assert found.duration_ms is not None
    assert found.counts == {
        "candidates": 3,
        "calls": {"tmdb.successful": 2, "x.failed": 1},
        "cost_usd": 0.05,
    }


def test_database_operations_are_counted_with_their_units(
    settings: Settings, records: WorkflowRecords
) -> None:
    def find(event: JsonObject) -> JsonObject:
        movies = table(settings.movies_table)
        movies.put_item(Item={"pk": "MOVIE#1", "sk": "DETAILS"})
        movies.get_item(Key={"pk": "MOVIE#1", "sk": "DETAILS"})
        movies.get_item(Key={"pk": "MOVIE#2", "sk": "DETAILS"})
        with pytest.raises(ClientError):
            movies.put_item(Item={"pk": "MOVIE#1"})
        return {}

    run(find)
    counts = read(records).steps["FindMovie"].counts
    assert counts["operations"] == {"PutItem": 1, "PutItem.failed": 1, "GetItem": 2}
    assert counts["write_units"] > 0
    assert counts["read_units"] > 0


def test_while_the_step_runs_the_record_says_so(records: WorkflowRecords) -> None:
    seen: list[WorkflowRecord] = []

    def find(event: JsonObject) -> JsonObject:
        seen.append(read(records))
        return {}

    run(find)
    assert seen[0].status is Status.RUNNING
    assert seen[0].steps["FindMovie"].status is Status.RUNNING
    assert seen[0].steps["FindMovie"].ended_at is None


def test_a_failure_is_raised_and_recorded_with_what_was_done_until_then(
    records: WorkflowRecords,
) -> None:
    refused = UpstreamTimeout("no answer", provider="tmdb", endpoint="search/movie")

    def find(event: JsonObject) -> JsonObject:
        current_tally().add_call("tmdb", "movie", error="UpstreamTimeout")
        raise refused

    with pytest.raises(UpstreamTimeout) as raised:
        run(find)
    assert raised.value is refused
    found = read(records).steps["FindMovie"]
    assert found.status is Status.FAILED
    assert found.error == StepError(name="UpstreamTimeout", message="tmdb search/movie: no answer")
    assert found.counts["calls"] == {"tmdb.failed": 1}
    assert read(records).status is Status.RUNNING


def test_the_attempt_that_follows_a_failed_one_keeps_it(records: WorkflowRecords) -> None:
    def fail(event: JsonObject) -> JsonObject:
        current_tally().add_call("tmdb", "movie", error="UpstreamTimeout")
        raise StoreUnavailable("throttled")

    for attempt in (1, 2):
        with pytest.raises(StoreUnavailable):
            run(fail, {**EVENT, "attempt": attempt})
    run(lambda event: {}, {**EVENT, "attempt": 3})
    found = read(records).steps["FindMovie"]
    assert (found.status, found.attempts) == (Status.SUCCEEDED, 3)
    assert [attempt.counts["calls"] for attempt in found.failed_attempts] == [
        {"tmdb.failed": 1},
        {"tmdb.failed": 1},
    ]


def test_a_long_message_is_cut_in_the_record_and_whole_in_the_error(
    records: WorkflowRecords,
) -> None:
    def fail(event: JsonObject) -> JsonObject:
        raise StoreUnavailable("x" * 2000)

    with pytest.raises(StoreUnavailable, match=r"x{2000}"):
        run(fail)
    error = read(records).steps["FindMovie"].error
    assert error is not None
    assert len(error.message) == MAX_MESSAGE


class Wanted(BaseModel):
    """What a step's event must hold."""

    tmdb_id: int = Field(ge=1)


def raising(error: Exception) -> Any:
    def fail(event: JsonObject) -> JsonObject:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (a_refusal("ThrottlingException"), "StoreUnavailable"),
        (a_refusal("ProvisionedThroughputExceededException"), "StoreUnavailable"),
        (a_refusal("InternalServerError"), "StoreUnavailable"),
        (ReadTimeoutError(endpoint_url="https://dynamodb"), "StoreUnavailable"),
        (BotoCoreError(), "StoreUnavailable"),
        (a_refusal("AccessDeniedException"), "ClientError"),
        (a_refusal("ValidationException"), "ClientError"),
        (KeyError("title"), "KeyError"),
    ],
)
def test_errors_get_the_names_that_definitions_match(
    records: WorkflowRecords, error: Exception, name: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - its name is looked at below
        run(raising(error))
    assert type(raised.value).__name__ == name
    recorded = read(records).steps["FindMovie"].error
    assert recorded is not None
    assert recorded.name == name


def test_a_payload_that_does_not_validate_is_bad_input_that_names_the_field(
    records: WorkflowRecords,
) -> None:
    with pytest.raises(BadInput, match="tmdb_id: Field required") as raised:
        run(lambda event: Wanted.model_validate(event).model_dump())
    assert raised.value.field == "tmdb_id"
    assert read(records).steps["FindMovie"].status is Status.FAILED


@pytest.mark.parametrize("missing", ["workflow_id", "step"])
def test_an_event_that_does_not_say_who_asks_is_bad_input(settings: Settings, missing: str) -> None:
    event = {name: value for name, value in EVENT.items() if name != missing}
    with pytest.raises(BadInput, match=f"{missing}: Field required"):
        run(lambda event: {}, event)


@pytest.fixture
def refusing_table(settings: Settings) -> Iterator[None]:
    """DynamoDB denies every request."""

    def refuse(*_: Any, **__: Any) -> None:
        raise a_refusal("AccessDeniedException")

    dynamodb().meta.client.meta.events.register("before-call.dynamodb", refuse)
    yield
    dynamodb.cache_clear()


@pytest.mark.usefixtures("refusing_table")
def test_a_record_that_cannot_be_written_never_fails_the_step() -> None:
    assert run(lambda event: {"tmdb_id": 1}) == {"tmdb_id": 1}


@pytest.mark.usefixtures("refusing_table")
def test_a_record_that_cannot_be_written_does_not_hide_the_step_s_own_error() -> None:
    with pytest.raises(BadInput, match="no such film"):
        run(raising(BadInput("no such film")))
