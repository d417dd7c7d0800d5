"""The functions that EventBridge calls, and the API's, each with its payload file."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.api.app import handler as api
from functions.movies.start_movie_search.app import handler as start_movie_search
from functions.workflows.close_execution.app import handler as close_execution
from marquee.errors import BadInput
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from tests.support.api import Clock, Context
from tests.support.builders import NOW
from tests.support.installation import executions, installed
from tests.support.templates import ROOT

CONTEXT: Any = Context(Clock())


@pytest.fixture
def settings() -> Iterator[Settings]:
    with installed() as settings:
        yield settings


def payload(name: str, **detail: Any) -> dict[str, Any]:
    """The payload file of a function, parts of its detail replaced."""
    event: dict[str, Any] = json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text())
    return event | ({"detail": event["detail"] | detail} if detail else {})


def record_of(settings: Settings, workflow_id: str) -> WorkflowRecord:
    record = WorkflowRecords.connect(settings).get(workflow_id)
    assert record is not None
    return record


def test_an_event_starts_the_search_that_it_asks_for(settings: Settings) -> None:
    started = start_movie_search(payload("start_movie_search"), CONTEXT)
    assert executions(settings) == [started["workflow_id"]]
    assert started["joined"] is False
    record = record_of(settings, started["workflow_id"])
    assert (record.trigger, record.input["movie_name"]) == ("event", "RRR")


def test_an_event_that_is_delivered_twice_starts_one_search(settings: Settings) -> None:
    first, second = (start_movie_search(payload("start_movie_search"), CONTEXT) for _ in range(2))
    assert first["workflow_id"] == second["workflow_id"]
    assert second["joined"] is True
    assert len(executions(settings)) == 1


def test_an_event_and_an_equal_request_share_one_search(settings: Settings) -> None:
    started = start_movie_search(payload("start_movie_search"), CONTEXT)
    answer = api(payload("api"), CONTEXT)
    assert answer["statusCode"] == 202
    assert json.loads(answer["body"])["workflow_id"] == started["workflow_id"]
    assert len(executions(settings)) == 1


def test_an_event_that_asks_for_nothing_that_can_be_done_fails_by_name(settings: Settings) -> None:
    with pytest.raises(BadInput, match="max_reviews"):
        start_movie_search(payload("start_movie_search", max_reviews=1000), CONTEXT)
    assert executions(settings) == []


def test_the_end_of_an_execution_closes_its_record(settings: Settings) -> None:
    event = payload("close_execution")
    workflow_id = event["detail"]["name"]
    WorkflowRecords.connect(settings).open(
        workflow_id, "movie_search", trigger="api", request={}, now=NOW
    )
    assert close_execution(event, CONTEXT) == {
        "workflow_id": workflow_id,
        "status": "FAILED",
        "changed": True,
    }
    record = record_of(settings, workflow_id)
    assert record.status is Status.FAILED
    assert record.error is not None
    assert record.error.name == "States.TIMED_OUT"


def test_an_end_that_cannot_be_read_fails_by_name(settings: Settings) -> None:
    with pytest.raises(BadInput, match="status"):
        close_execution(payload("close_execution", status="RUNNING"), CONTEXT)
