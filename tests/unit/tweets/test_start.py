"""The start of a run: which runs are equal, what a schedule may send, and who set it off."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.tweets.start_tweet_pipeline.app import handler
from marquee import aws
from marquee.errors import BadInput, Misconfigured
from marquee.settings import Settings
from marquee.tweets.models import TweetType
from marquee.tweets.run import KIND, Mode, RunRequest
from marquee.tweets.start import start_run
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from marquee.workflows.start import Started
from tests.support.api import Clock, Context
from tests.support.builders import NOW
from tests.support.installation import executions, forget
from tests.support.templates import ROOT

CONTEXT: Any = Context(Clock())
CONFIGURED = {"posting_account": "Marquee_Demo", "workflow_default_username": "marquee_demo"}


@pytest.fixture
def account(settings: Settings) -> Settings:
    """The installation with an account that posts."""
    return settings.model_copy(update=CONFIGURED)


def start(settings: Settings, **fields: Any) -> Started:
    request = RunRequest(**fields)
    return start_run(request, trigger="api", settings=settings, now=NOW)


def record_of(settings: Settings, started: Started) -> WorkflowRecord:
    record = WorkflowRecords.connect(settings).get(started.workflow_id)
    assert record is not None
    return record


def test_a_run_is_started_with_what_was_asked_and_nothing_else(account: Settings) -> None:
    started = start(account, count=3, mode=Mode.APPROVE)
    assert executions(account, KIND) == [started.workflow_id]
    assert started.workflow_id.startswith("tweet_pipeline-")
    record = record_of(account, started)
    assert (record.kind, record.trigger, record.rerun_of) == (KIND, "api", None)
    assert record.input == {"count": 3, "mode": "approve"}
    arn = account.tweet_pipeline_arn.replace(":stateMachine:", ":execution:")
    described = aws.client("stepfunctions").describe_execution(
        executionArn=f"{arn}:{started.workflow_id}"
    )
    assert json.loads(described["input"]) == record.input


@pytest.mark.parametrize(
    "equal",
    [
        {"username": "@Marquee_Demo"},
        {"count": 50},
        {"mode": Mode.APPROVE},
        {"mode": Mode.AUTO},
        {"dry_run": False},
        {"from_step": "PolishTweets"},
    ],
)
def test_an_equal_run_that_still_goes_is_joined(account: Settings, equal: dict[str, Any]) -> None:
    first = start(account)
    assert start(account, **equal) == Started(workflow_id=first.workflow_id, joined=True)
    assert len(executions(account, KIND)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"username": "telugu_talkies"},
        {"tweet_type": TweetType.REVIEW},
        {"mode": Mode.DRY_RUN},
        {"dry_run": True},
    ],
)
def test_another_run_is_another_execution(account: Settings, other: dict[str, Any]) -> None:
    start(account)
    assert not start(account, **other).joined
    assert len(executions(account, KIND)) == 2


def test_both_ways_to_ask_for_a_dry_run_are_one(account: Settings) -> None:
    first = start(account, dry_run=True)
    assert start(account, mode=Mode.DRY_RUN).workflow_id == first.workflow_id


def test_a_run_that_has_ended_answers_for_no_other(
    account: Settings, records: WorkflowRecords
) -> None:
    first = start(account)
    records.close(first.workflow_id, KIND, Status.SUCCEEDED, now=NOW)
    second = start(account)
    assert not second.joined
    assert executions(account, KIND) == [second.workflow_id, first.workflow_id]


def test_a_run_that_waits_for_a_person_is_joined_for_as_long_as_it_waits(
    account: Settings,
) -> None:
    first = start(account)
    request, later = RunRequest(), NOW + timedelta(days=6)

    def ask() -> Started:
        return start_run(request, trigger="schedule:daily", settings=account, now=later)

    assert ask() == Started(workflow_id=first.workflow_id, joined=True)
    arn = account.tweet_pipeline_arn.replace(":stateMachine:", ":execution:")
    aws.client("stepfunctions").stop_execution(executionArn=f"{arn}:{first.workflow_id}")
    assert not ask().joined


def test_without_anybodys_tweets_to_take_up_nothing_is_started(settings: Settings) -> None:
    posts = settings.model_copy(update={"posting_account": "marquee_demo"})
    with pytest.raises(BadInput, match="whose tweets"):
        start(posts)
    with pytest.raises(Misconfigured, match="POSTING_ACCOUNT"):
        start(settings, username="marquee_demo")
    assert executions(settings, KIND) == []


@pytest.fixture
def deployed(account: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The same, as a handler reads it."""
    for name, value in CONFIGURED.items():
        monkeypatch.setenv(name.upper(), value)
    forget()
    yield account
    forget()


def payload(**parts: Any) -> dict[str, Any]:
    path = ROOT / "tests" / "events" / "start_tweet_pipeline.json"
    event: dict[str, Any] = json.loads(path.read_text())
    return event | parts


def test_a_schedule_starts_the_run_that_it_asks_for(deployed: Settings) -> None:
    started = handler(payload(), CONTEXT)
    assert executions(deployed, KIND) == [started["workflow_id"]]
    record = record_of(deployed, Started(**started))
    assert record.trigger == "schedule:daily"
    assert record.input == {"username": "marquee_demo", "count": 5, "mode": "dry_run"}


def test_a_schedule_that_fires_while_its_run_still_goes_joins_it(deployed: Settings) -> None:
    first, second = handler(payload(), CONTEXT), handler(payload(schedule="hourly"), CONTEXT)
    assert second == {"workflow_id": first["workflow_id"], "joined": True}


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"schedule": ""}, "schedule"),
        ({"schedule": 3}, "schedule"),
        ({"schedule": "a b"}, "schedule"),
        ({"request": None}, "request"),
        ({"request": {"count": "5"}}, "request.count"),
        ({"request": {"count": 0}}, "request.count"),
        ({"request": {"dry_run": "yes"}}, "request.dry_run"),
        ({"request": {"mode": "all"}}, "request.mode"),
        ({"request": {"tweet_type": "unsafe"}}, "request.tweet_type"),
        ({"request": {"user": "x"}}, "request.user"),
        ({"more": 1}, "more"),
    ],
)
def test_what_a_schedule_may_not_send_is_refused_by_name(
    deployed: Settings, parts: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput, match=f"^{field}: "):
        handler(payload(**parts), CONTEXT)
    assert executions(deployed, KIND) == []
