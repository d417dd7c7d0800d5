"""What a client hears when a part of the installation does not do its work."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from marquee.aws import client, dynamodb
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecords
from tests.support.api import Api
from tests.support.installation import executions, installed

SEARCH = "/api/orchestrator/auto-search"
EXECUTE = "/workflow/execute"
SYNC = "/workflow/execute-sync"
TRIGGER = "MovieSearchCompleted-00000000000000a1"
DELIVERY = "7d5e1c0f9b8a4e3d2c1b0a9f8e7d6c5b"
ROUTES = [
    ("POST", SEARCH),
    ("POST", EXECUTE),
    ("POST", SYNC),
    ("POST", "/workflow/run-1/cancel"),
    ("POST", "/workflow/run-1/rerun"),
    ("DELETE", "/workflow/cleanup"),
    ("GET", "/workflow/list"),
    ("GET", "/workflow/status/run-1"),
    ("GET", "/movies/1"),
    ("GET", "/movies/1/reviews"),
    ("GET", "/movies/1/set-aside"),
    ("GET", "/movies/1/recommendations"),
    ("GET", "/workflow/approvals"),
    ("POST", "/workflow/approvals/marquee-1"),
    ("GET", "/tweets"),
    ("GET", "/posts/marquee"),
    ("POST", "/posts/marquee/1"),
    ("POST", "/triggers"),
    ("GET", "/triggers"),
    ("GET", "/triggers/history"),
    ("GET", f"/triggers/history/{DELIVERY}"),
    ("POST", f"/triggers/history/{DELIVERY}/redeliver"),
    ("GET", f"/triggers/{TRIGGER}"),
    ("DELETE", f"/triggers/{TRIGGER}"),
    ("POST", f"/triggers/{TRIGGER}/test"),
    ("POST", f"/triggers/{TRIGGER}/disable"),
    ("POST", f"/triggers/{TRIGGER}/enable"),
    ("POST", f"/triggers/{TRIGGER}/redeliver"),
    ("POST", "/events"),
]
QUERIES = {
    SEARCH: {"movie_name": "RRR"},
    "/workflow/cleanup": {"older_than_days": "1"},
    "/workflow/approvals/marquee-1": {"decision": "approve"},
    "/posts/marquee/1": {"state": "CLAIMED", "reason": "absent"},
    "/events": {"type": "ShopOpened"},
}


@pytest.fixture
def settings() -> Iterator[Settings]:
    """An installation for each test, with an account that posts: they break it."""
    with installed() as settings:
        yield settings.model_copy(
            update={"posting_account": "marquee_demo", "workflow_default_username": "marquee_demo"}
        )


def break_with(events: Any, service: str, error: Exception) -> None:
    """Let every request to the service fail."""

    events.register(f"before-call.{service}", partial(fail_with, error))


def fail_with(error: Exception, **_: Any) -> None:
    raise error


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
        query = QUERIES.get(path, {})
        if (method, path) == ("POST", "/triggers"):
            query = {"event_type": "A", "url": "https://callback.example/"}
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
@pytest.mark.parametrize(
    ("path", "kind"),
    [(SEARCH, "movie_search"), (EXECUTE, "tweet_pipeline"), (SYNC, "tweet_pipeline")],
)
def test_an_execution_that_cannot_be_started_says_so_and_closes_its_record(
    api: Api, records: WorkflowRecords, code: str, status: int, path: str, kind: str
) -> None:
    break_with(client("stepfunctions").meta.events, "stepfunctions", a_refusal(code))
    answer = api.post(path, QUERIES.get(path))
    assert answer.status == status
    assert code not in answer.text
    [record], _ = records.page(kind)
    assert record.status is Status.FAILED


def test_an_execution_that_cannot_be_stopped_is_not_said_to_be_canceled(
    api: Api, records: WorkflowRecords
) -> None:
    workflow_id = api.post(EXECUTE).json()["workflow_id"]
    events = client("stepfunctions").meta.events
    break_with(events, "stepfunctions", a_refusal("ThrottlingException"))
    answer = api.post(f"/workflow/{workflow_id}/cancel")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    record = records.get(workflow_id)
    assert record is not None
    assert record.status is Status.RUNNING


def test_a_run_that_step_functions_cannot_be_asked_about_is_not_started_twice(
    api: Api, settings: Settings
) -> None:
    api.post(EXECUTE)
    api.clock.time += timedelta(days=1)
    events = client("stepfunctions").meta.events
    error = ConnectTimeoutError(endpoint_url="states")
    events.register("before-call.stepfunctions.DescribeExecution", partial(fail_with, error))
    assert api.post(EXECUTE).status == 503
    assert len(executions(settings, "tweet_pipeline")) == 1


def test_a_search_whose_record_cannot_be_read_while_waiting_is_joined_by_the_next_request(
    api: Api, settings: Settings
) -> None:
    events = dynamodb().meta.client.meta.events
    api.clock.after(1, lambda: break_with(events, "dynamodb", a_refusal("ThrottlingException")))
    assert api.post(SEARCH, {"movie_name": "RRR"}).status == 503
    dynamodb.cache_clear()
    assert api.post(SEARCH, {"movie_name": "RRR", "wait_seconds": 0}).status == 202
    assert len(executions(settings)) == 1
