"""The end of a run: outcomes, balance and record."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import boto3
import pytest
from moto import mock_aws

from marquee.tweets.approval import Approvals, ApprovalState
from marquee.tweets.finish import MOST_TOLD, FinishRunInput, FinishRunOutput, finish_run
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import Change, Status, TweetType
from marquee.tweets.posting import Created, NotSent, OwnPost, PostResult, Refused, Unknown
from marquee.tweets.publish import PublishTweetInput, publish_tweet
from marquee.tweets.rows import Rows
from marquee.tweets.run import KIND, Mode, Run
from marquee.workflows.record import Status as RunStatus
from marquee.workflows.record import WorkflowRecord, WorkflowRecords
from tests.support.state_machines import REGION
from tests.support.templates import Template, create_tables
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.stage import (
    NOW,
    OWN,
    WORKFLOW,
    Clock,
    a_run,
    a_tweet,
    some_policies,
    stored,
)
from tests.unit.tweets.test_approval import polished, requested


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowRecords]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        template = Template.load()
        create_tables(template)
        resource = boto3.resource("dynamodb", region_name=REGION)
        yield WorkflowRecords(resource.Table(template.name_of("WorkflowsTable")))


def finished(
    rows: Rows, records: WorkflowRecords, *, run: Run | None = None, **fields: Any
) -> tuple[FinishRunOutput, WorkflowRecord]:
    request = FinishRunInput.model_validate({"workflow_id": WORKFLOW, **fields})
    output = finish_run(request, run or a_run(), rows, some_policies(), records, now=NOW)
    record = records.get(request.workflow_id)
    assert record
    return output, record


class _X:
    def __init__(self, result: PostResult) -> None:
        self._result = result

    def check_credentials(self) -> None:
        """They are in order."""

    def admitted(self, text: str) -> AbstractContextManager[None]:
        return nullcontext()

    def create_post(self, text: str) -> PostResult:
        return self._result

    def own_timeline(self, since: object) -> list[OwnPost]:
        return []

    def refresh_credentials(self) -> bool:
        return False


def published(rows: Rows, tweet_id: str, result: PostResult) -> None:
    tweet = a_tweet(
        tweet_id=tweet_id,
        status=Status.APPROVED,
        type=TweetType.REVIEW,
        text=f"Text {tweet_id}",
        final_text=f"Text {tweet_id}",
    )
    approved = tweet.model_copy(
        update={"history": (tweet.history[0].model_copy(update={"to": "APPROVED"}),)}
    )
    tweets = stored(rows, approved)
    request = PublishTweetInput(account=OWN, source=OWN, tweet_id=tweet_id)
    publish_tweet(request, tweets, PostLedger(rows), _X(result), clock=Clock())


def test_every_outcome_is_told_with_its_reason_and_price(records: WorkflowRecords) -> None:
    rows = MemoryRows()
    published(rows, "1", Created("901"))
    published(rows, "2", Refused(403, "X answered 403 not allowed"))
    stored(rows, a_tweet(tweet_id="3", status=Status.SKIPPED))
    output, record = finished(rows, records, tweet_ids=["3", "1", "2", "1"])
    assert output.status is record.status is RunStatus.PARTIAL
    assert record.kind == KIND
    told = {tweet["tweet_id"]: tweet for tweet in record.result["tweets"]}
    assert told["1"]["post_id"] == "901"
    assert told["1"]["price_usd"] == 0.015
    assert told["2"]["reason"] == "X answered 403 not allowed"
    assert record.result["statuses"] == {"POSTED": 1, "REJECTED": 1, "SKIPPED": 1}
    assert record.result["posted_usd"] == 0.015
    assert record.result["balance"]["post_worthy"] == 2


def test_a_record_of_very_many_tweets_holds_the_newest_and_counts_all(
    records: WorkflowRecords,
) -> None:
    rows, ids = MemoryRows(), [str(number) for number in range(1000, 1420)]
    for tweet_id in ids:
        history = (Change(to=Status.SKIPPED, at=NOW, reason="\N{TELUGU LETTER A}" * 140),)
        stored(rows, a_tweet(tweet_id=tweet_id, status=Status.SKIPPED, history=history))
    output, record = finished(rows, records, tweet_ids=ids)
    assert output.status is RunStatus.SUCCEEDED
    assert output.counts == {"tweets": 420, "skipped": 420}
    assert record.result["statuses"] == {"SKIPPED": 420}
    assert [tweet["tweet_id"] for tweet in record.result["tweets"]] == ids[-MOST_TOLD:]


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        (
            Unknown("the answer was lost"),
            "the post of 1 is UNKNOWN (the answer was lost): the sweep goes on with it",
        ),
        (
            NotSent("no credentials"),
            "the post of 1 is CLAIMED (no credentials): the sweep goes on with it",
        ),
        (Refused(402, "X answered 402"), "the post of 1 is REJECTED: X answered 402"),
    ],
)
def test_a_post_that_is_not_made_makes_the_run_partial_and_is_told_in_words(
    records: WorkflowRecords, result: PostResult, missing: str
) -> None:
    rows = MemoryRows()
    published(rows, "1", result)
    output, record = finished(rows, records, tweet_ids="1")
    assert output.status is RunStatus.PARTIAL
    assert record.result["missing"] == [missing]


PROBLEM = {
    "step": "PolishTweets",
    "error": {
        "Error": "RateLimited",
        "Cause": json.dumps({"errorMessage": "openai responses: rate limit reached"}),
    },
}


def test_a_step_that_failed_makes_the_run_partial_and_is_named(records: WorkflowRecords) -> None:
    rows = MemoryRows()
    stored(rows, a_tweet(tweet_id="1"))
    output, record = finished(rows, records, problems=PROBLEM, tweet_ids=["1"])
    assert output.status is record.status is RunStatus.PARTIAL
    [missing] = record.result["missing"]
    assert missing == "PolishTweets: RateLimited: openai responses: rate limit reached"
    assert record.error is None


def test_where_a_step_failed_and_nothing_was_taken_up_the_run_has_failed(
    records: WorkflowRecords,
) -> None:
    later = {"step": "ClassifyTweets", "error": {"Error": "KeyError", "Cause": ""}}
    output, record = finished(MemoryRows(), records, problems=[PROBLEM, later])
    assert output.status is record.status is RunStatus.FAILED
    assert record.error
    assert record.error.name == "RateLimited"
    assert record.error.message == "openai responses: rate limit reached"


def test_a_tweet_about_which_another_run_asked_is_told_as_waiting(
    records: WorkflowRecords,
) -> None:
    rows = MemoryRows()
    tweet = polished()
    stored(rows, tweet)
    requested(rows, tweet)
    _, record = finished(rows, records, workflow_id="another", tweet_ids=[tweet.tweet_id])
    assert record.result["tweets"][0]["reason"] == (
        f"{WORKFLOW} has asked a person, and nobody has decided yet"
    )


def test_what_was_waited_for_in_vain_is_held(records: WorkflowRecords) -> None:
    rows = MemoryRows()
    tweet = polished()
    stored(rows, tweet)
    requested(rows, tweet)
    output, record = finished(rows, records, tweet_ids=[tweet.tweet_id])
    assert output.counts["needs_human"] == 1
    approval = Approvals(rows).get(OWN, tweet.tweet_id)
    assert approval
    assert approval.state is ApprovalState.HELD
    assert "held" in record.result["tweets"][0]["reason"]


def test_a_dry_run_shows_what_would_be_posted(records: WorkflowRecords) -> None:
    rows = MemoryRows()
    tweet = polished()
    stored(rows, tweet)
    output, record = finished(
        rows, records, run=a_run(mode=Mode.DRY_RUN), tweet_ids=[tweet.tweet_id]
    )
    [shown] = record.result["tweets"]
    assert shown["reason"] == "would be posted"
    assert shown["text"] == tweet.final_text
    assert output.status is RunStatus.SUCCEEDED


def test_nothing_to_do_is_a_success_of_nothing(records: WorkflowRecords) -> None:
    output, record = finished(MemoryRows(), records)
    assert output.status is RunStatus.SUCCEEDED
    assert output.counts == {"tweets": 0}
    assert "tweets" not in record.result


def test_finishing_again_changes_nothing(records: WorkflowRecords) -> None:
    rows = MemoryRows()
    published(rows, "1", Created("901"))
    _, first = finished(rows, records, tweet_ids=["1"])
    output, second = finished(rows, records, tweet_ids=["1"], problems=[PROBLEM])
    assert second == first
    assert output.status is first.status
