"""What a client hears when a part of the installation does not do its work."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from marquee.aws import client, dynamodb
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecords
from tests.support.api import Api
from tests.support.installation import executions, installed

SEARCH = "/api/orchestrator/auto-search"
ROUTES = [
    ("POST", SEARCH),
    ("GET", "/workflow/list"),
    ("GET", "/workflow/status/run-1"),
    ("GET", "/movies/1"),
    ("GET", "/movies/1/reviews"),
    ("GET", "/movies/1/set-aside"),
    ("GET", "/movies/1/recommendations"),
]


@pytest.fixture
def settings() -> Iterator[Settings]:
    """An installation for each test: they break it."""
    with installed() as settings:
        yield settings


def break_with(events: Any, service: str, error: Exception) -> None:
    """Let every request to the service fail."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    events.register(f"before-call.{service}", fail)


def a_refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "of table marquee-x"}}, "GetItem")


@pytest.mark.parametrize(
    "error", [a_refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="marquee-x")]
)
def test_a_store_that_does_not_answer_is_said_with_when_to_come_again(
    api: Api, error: Exception
) -> None:
    break_with(dynamodb().meta.client.meta.events, "dynamodb", error)
    for method, path in ROUTES:
        query = {"movie_name": "RRR"} if method == "POST" else {}
        answer = api.send(method, path, query)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        assert "marquee-x" not in answer.text


def test_a_role_that_lacks_a_permission_is_our_fault_and_not_worth_trying_again(api: Api) -> None:
    break_with(dynamodb().meta.client.meta.events, "dynamodb", a_refusal("AccessDeniedException"))
    answer = api.get("/movies/1")
    assert answer.status == 500
    assert "retry-after" not in answer.headers
    assert "AccessDenied" not in answer.text


@pytest.mark.parametrize(
    ("code", "status"), [("StateMachineDoesNotExist", 500), ("ThrottlingException", 503)]
)
def test_a_search_that_cannot_be_started_says_so_and_closes_its_record(
    api: Api, settings: Settings, records: WorkflowRecords, code: str, status: int
) -> None:
    break_with(client("stepfunctions").meta.events, "stepfunctions", a_refusal(code))
    answer = api.post(SEARCH, {"movie_name": "RRR"})
    assert answer.status == status
    assert code not in answer.text
    [record], _ = records.page("movie_search")
    assert record.status is Status.FAILED


def test_a_search_whose_record_cannot_be_read_while_waiting_is_joined_by_the_next_request(
    api: Api, settings: Settings
) -> None:
    events = dynamodb().meta.client.meta.events
    api.clock.after(1, lambda: break_with(events, "dynamodb", a_refusal("ThrottlingException")))
    assert api.post(SEARCH, {"movie_name": "RRR"}).status == 503
    dynamodb.cache_clear()
    assert api.post(SEARCH, {"movie_name": "RRR", "wait_seconds": 0}).status == 202
    assert len(executions(settings)) == 1
