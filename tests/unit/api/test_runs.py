"""POST /workflow/execute and /workflow/execute-sync: starting, joining, waiting, failing."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest

from marquee.aws import client
from marquee.settings import Settings
from marquee.tweets.finish import RunSummary, TweetOutcome
from marquee.tweets.models import Status as TweetStatus
from marquee.tweets.run import KIND, Mode
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from tests.support.api import Api
from tests.support.builders import NOW
from tests.support.installation import executions

EXECUTE = "/workflow/execute"
SYNC = "/workflow/execute-sync"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The installation with an account that posts."""
    return settings.model_copy(
        update={"posting_account": "marquee_demo", "workflow_default_username": "marquee_demo"}
    )


type End = Callable[..., None]


@pytest.fixture
def end_run(settings: Settings, records: WorkflowRecords, api: Api) -> End:
    """Do what the workflow does: report a step and close the record of the last run."""

    def end(status: Status = Status.SUCCEEDED, **fields: Any) -> None:
        [workflow_id, *_] = executions(settings, KIND)
        now = api.clock.now()
        counts = {"calls": {"x.successful": 1}, "cost_usd": 0.001, "tweets": 1}
        done = StepRecord(status=Status.SUCCEEDED, started_at=now, ended_at=now, counts=counts)
        records.write_step(workflow_id, KIND, "DownloadTweets", done, now)
        summary = RunSummary(
            account="marquee_demo",
            posting_account="marquee_demo",
            mode=Mode.AUTO,
            tweets=(TweetOutcome(tweet_id="100", status=TweetStatus.POSTED, post_id="7"),),
            statuses={"POSTED": 1},
        )
        closing = {"result": summary.model_dump(mode="json", exclude_defaults=True), **fields}
        records.close(workflow_id, KIND, status, now=now, **closing)

    return end


def test_a_run_is_started_and_where_to_look_is_said(api: Api, settings: Settings) -> None:
    answer = api.post(EXECUTE, body={"count": 3, "tweet_type": "review", "mode": "approve"})
    assert answer.status == 202
    [workflow_id] = executions(settings, KIND)
    assert answer.json() == {
        "workflow_id": workflow_id,
        "status": "RUNNING",
        "joined": False,
        "status_url": answer.headers["location"],
    }
    location = urljoin(f"https://x.example{EXECUTE}", answer.headers["location"])
    status = api.get(location.removeprefix("https://x.example")).json()
    assert (status["kind"], status["trigger"], status["rerun_of"]) == (KIND, "api", None)
    assert status["input"] == {"count": 3, "tweet_type": "review", "mode": "approve"}
    arn = settings.tweet_pipeline_arn.replace(":stateMachine:", ":execution:")
    described = client("stepfunctions").describe_execution(executionArn=f"{arn}:{workflow_id}")
    assert json.loads(described["input"]) == status["input"]


def test_nothing_has_to_be_said(api: Api, settings: Settings) -> None:
    assert api.send("POST", EXECUTE).status == 202
    assert len(executions(settings, KIND)) == 1


def test_an_equal_run_that_still_goes_is_joined(api: Api, settings: Settings) -> None:
    first = api.post(EXECUTE).json()
    second = api.post(EXECUTE, {"count": "5", "username": "@Marquee_Demo"})
    assert second.status == 202
    assert second.json() == {**first, "joined": True}
    other = api.post(EXECUTE, {"dry_run": "true"}).json()
    assert not other["joined"]
    assert len(executions(settings, KIND)) == 2


@pytest.mark.parametrize("path", [EXECUTE, SYNC])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "x" * 21}, "username"),
        ({"count": 0}, "count"),
        ({"count": 101}, "count"),
        ({"count": "5"}, "count"),
        ({"count": True}, "count"),
        ({"tweet_type": "unsafe"}, "tweet_type"),
        ({"tweet_type": "all"}, "tweet_type"),
        ({"mode": "AUTO"}, "mode"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"from_step": "PublishTweets"}, "from_step"),
        ({"workflow_id": "x"}, "workflow_id"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    api: Api, settings: Settings, path: str, body: dict[str, Any], field: str
) -> None:
    answer = api.post(path, body=body)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert executions(settings, KIND) == []


@pytest.mark.parametrize("seconds", [-1, 26, "5", 1.5])
def test_how_long_to_wait_has_its_bounds(api: Api, seconds: Any) -> None:
    answer = api.post(SYNC, body={"wait_seconds": seconds})
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["wait_seconds"]


@pytest.mark.parametrize("path", [EXECUTE, SYNC])
def test_without_anybodys_tweets_to_take_up_the_username_is_asked_for(
    settings: Settings, path: str
) -> None:
    nobody = settings.model_copy(update={"workflow_default_username": ""})
    answer = Api(nobody).post(path)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["username"]


@pytest.mark.parametrize("path", [EXECUTE, SYNC])
def test_an_installation_without_an_account_that_posts_says_so(
    settings: Settings, path: str
) -> None:
    answer = Api(settings.model_copy(update={"posting_account": ""})).post(path)
    assert answer.status == 409
    assert "PostingAccount" in answer.json()["detail"]


def test_a_run_that_ends_in_time_is_answered_with_its_status(
    api: Api, end_run: End, settings: Settings
) -> None:
    api.clock.after(4, end_run)
    answer = api.post(SYNC, body={"count": 1})
    assert answer.status == 200
    body = answer.json()
    assert body == api.get(f"/workflow/status/{executions(settings, KIND)[0]}").json()
    assert (body["status"], body["input"]) == ("SUCCEEDED", {"count": 1})
    assert body["result"]["statuses"] == {"POSTED": 1}
    assert body["result"]["tweets"][0]["post_id"] == "7"
    assert body["steps"]["DownloadTweets"]["cost_usd"] == 0.001
    history = body["automation_stats"]["trigger_history"]
    assert [(entry["what"], entry["name"]) for entry in history] == [
        ("started", "api"),
        ("published", "TweetPipelineCompleted"),
    ]


def test_a_partial_run_is_answered_too(api: Api, end_run: End) -> None:
    api.clock.after(1, lambda: end_run(Status.PARTIAL))
    answer = api.post(SYNC)
    assert (answer.status, answer.json()["status"]) == (200, "PARTIAL")


def test_a_run_that_is_not_done_in_time_is_accepted(api: Api, settings: Settings) -> None:
    answer = api.post(SYNC, {"wait_seconds": "5"})
    assert answer.status == 202
    assert answer.json()["workflow_id"] == executions(settings, KIND)[0]
    assert answer.headers["location"] == answer.json()["status_url"]
    assert sum(api.clock.slept) == pytest.approx(5)


def test_by_default_it_waits_for_as_long_as_the_gateway_allows(api: Api) -> None:
    assert api.post(SYNC).status == 202
    assert sum(api.clock.slept) == pytest.approx(25)


def test_how_long_a_client_waits_is_no_part_of_the_run(api: Api, settings: Settings) -> None:
    for seconds in (0, 1):
        api.post(SYNC, body={"wait_seconds": seconds})
    [workflow_id] = executions(settings, KIND)
    assert api.get(f"/workflow/status/{workflow_id}").json()["input"] == {}


def test_a_client_that_joins_gets_the_end_of_the_run_that_went_already(
    api: Api, end_run: End
) -> None:
    first = api.post(EXECUTE).json()
    api.clock.after(2, end_run)
    answer = api.post(SYNC)
    assert (answer.status, answer.json()["workflow_id"]) == (200, first["workflow_id"])


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (Status.FAILED, "CredentialsRefused", 502),
        (Status.FAILED, "RateLimited", 502),
        (Status.FAILED, "BadInput", 422),
        (Status.FAILED, "States.Timeout", 503),
        (Status.CANCELED, "Canceled", 503),
    ],
)
def test_a_failed_run_is_a_problem_that_names_it_and_the_reason(
    api: Api, end_run: End, settings: Settings, status: Status, error: str, expected: int
) -> None:
    failure = StepError(name=error, message="x users: 401")
    api.clock.after(1, lambda: end_run(status, error=failure))
    answer = api.post(SYNC)
    assert answer.status == expected
    problem = answer.json()
    assert problem["workflow_id"] == executions(settings, KIND)[0]
    assert problem["error"] == {"name": error, "message": "x users: 401"}
    assert problem["detail"] == f"the run failed: {error}: x users: 401"


def test_a_run_that_has_ended_answers_for_no_other(
    api: Api, end_run: End, settings: Settings
) -> None:
    api.clock.after(1, end_run)
    api.post(SYNC)
    assert api.post(EXECUTE).json()["joined"] is False
    assert len(executions(settings, KIND)) == 2
    assert api.clock.now() > NOW
