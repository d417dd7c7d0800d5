"""What changes of tweets, approvals and posts say to others: once, and of what is stored only."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from marquee.events.models import ApprovalRequested, PostNeedsHuman, PostPublished, TweetsDownloaded
from marquee.tweets import announce, approval, download, models, run
from marquee.tweets.approval import (
    ApprovalDecision,
    Approvals,
    RequestApprovalInput,
    Verb,
    asked,
    decide_approval,
    request_approval,
)
from marquee.tweets.dry_run import DryRows
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState, Tweet, TweetType
from marquee.tweets.posting import Created, Unknown
from marquee.tweets.rows import Swap
from marquee.tweets.run import Mode
from tests.support.tweet_tables import TellingRows
from tests.unit.tweets.stage import NOW, OWN, WORKFLOW, FakeTasks, FakeX, a_run, stored
from tests.unit.tweets.test_approval import RULES, TOKEN, polished
from tests.unit.tweets.test_download import a_post, downloaded
from tests.unit.tweets.test_finish import published


def test_rows_are_read_as_they_are_written() -> None:
    assert announce.KIND == run.KIND
    assert announce.SOURCE_KEY == download._SOURCE_KEY
    assert approval._approval_key("1").startswith(announce.APPROVAL_PREFIX)
    assert {announce.WAITING, announce.HELD} == approval.OPEN_STATES
    assert models.LedgerState(announce.POSTED) is LedgerState.POSTED
    assert models.LedgerState(announce.NEEDS_HUMAN) is LedgerState.NEEDS_HUMAN


# Downloads


def downloads(rows: TellingRows) -> list[tuple[str, ...]]:
    return [event.tweet_ids for event in rows.told if isinstance(event, TweetsDownloaded)]


def test_tweets_are_told_with_the_cursor_that_moves_over_them() -> None:
    rows = TellingRows()
    x = FakeX([a_post(n) for n in (1, 2)])
    downloaded(rows, x)
    assert downloaded(rows, x).tweet_ids == ()
    x.posts = [a_post(n) for n in (4, 3, 2)]
    downloaded(rows, x)
    assert downloads(rows) == [("1", "2"), ("3", "4")]
    [first, second] = rows.told
    assert isinstance(first, TweetsDownloaded)
    assert (first.workflow_id, first.source) == ("run-1", OWN)
    assert first.event_id != second.event_id


def test_what_is_left_out_is_not_told() -> None:
    rows = TellingRows()
    reply = {"referenced_tweets": [{"type": "replied_to", "id": "9"}]}
    downloaded(rows, FakeX([a_post(1, **reply)]))
    assert rows.told == []
    downloaded(rows, FakeX([a_post(2), a_post(3, **reply)]))
    assert downloads(rows) == [("2",)]


class Killed(BaseException):
    """The end of a Lambda."""


@pytest.mark.parametrize("written", range(1, 5))
def test_a_run_that_dies_while_it_stores_loses_and_invents_nothing(written: int) -> None:
    """Killed after each of its writes: the row of the account, two tweets, the cursor."""
    left = [written]

    def count(swap: Swap) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    rows = TellingRows(count)
    x = FakeX([a_post(1), a_post(2)])
    with pytest.raises(Killed):
        downloaded(rows, x)
    downloaded(rows, x)
    assert downloads(rows) == [("1", "2")]


def test_two_runs_at_once_tell_of_each_tweet_once() -> None:
    rows = TellingRows()
    downloaded(rows, FakeX([a_post(1)]))

    class Slow(FakeX):
        def timeline(self, *args: Any, **fields: Any) -> Any:
            seen = super().timeline(*args, **fields)
            downloaded(rows, FakeX([a_post(2), a_post(3)]), count=1)
            return seen

    downloaded(rows, Slow([a_post(2), a_post(3)]), count=3)
    assert downloads(rows) == [("1",), ("2",), ("3",)]


def test_a_dry_run_tells_nothing() -> None:
    rows = TellingRows()
    memory = DryRows(rows, WORKFLOW, now=NOW)
    downloaded(memory, FakeX([a_post(1)]), mode=Mode.DRY_RUN)
    assert rows.told == []


# Approvals


def ask(rows: TellingRows, tweet: Tweet, *, workflow_id: str = WORKFLOW, later: int = 0) -> None:
    request = RequestApprovalInput(
        workflow_id=workflow_id, tweet_id=tweet.tweet_id, task_token=SecretStr(TOKEN)
    )
    waiting = a_run(account=tweet.account, mode=Mode.APPROVE, approval_seconds=3600)
    now = NOW + timedelta(seconds=later)
    request_approval(request, waiting, Approvals(rows), RULES, FakeTasks(), now=now)


def test_a_run_that_waits_tells_once_however_often_it_asks_and_never_its_token() -> None:
    rows, tweet = TellingRows(), polished()
    stored(rows, tweet)
    ask(rows, tweet)
    ask(rows, tweet, later=2)
    [event] = rows.told
    assert isinstance(event, ApprovalRequested)
    assert event.approval_id == f"{OWN}-{tweet.tweet_id}"
    assert (event.workflow_id, event.correlation_id, event.state) == (WORKFLOW, WORKFLOW, "WAITING")
    assert (event.account, event.source, event.tweet_id) == (OWN, OWN, tweet.tweet_id)
    assert (event.price_usd, event.expires_at) == (0.015, NOW + timedelta(hours=1))
    assert TOKEN not in event.model_dump_json()


def test_what_became_of_the_question_is_no_question() -> None:
    rows, tweet = TellingRows(), polished()
    stored(rows, tweet)
    ask(rows, tweet)
    approvals = Approvals(rows)
    assert approvals.expire(OWN, tweet.tweet_id, WORKFLOW, now=NOW)
    yes = ApprovalDecision(decision=Verb.APPROVE)
    decide_approval(f"{OWN}-{tweet.tweet_id}", yes, approvals, RULES, FakeTasks(), now=NOW)
    assert len(rows.told) == 1


def test_another_run_that_asks_about_the_same_tweet_is_told_too() -> None:
    rows, tweet = TellingRows(), polished()
    stored(rows, tweet)
    ask(rows, tweet)
    ask(rows, tweet, workflow_id="another")
    assert len({event.event_id for event in rows.told}) == 2


def test_a_tweet_that_is_held_is_told_though_no_run_waits() -> None:
    rows, tweet = TellingRows(), polished()
    stored(rows, tweet)
    question = asked(
        tweet, tweet.final_text, "with its link it costs more", RULES, posting_account=OWN, now=NOW
    )
    assert Approvals(rows).hold(tweet, question, reason="held", now=NOW)
    [event] = rows.told
    assert isinstance(event, ApprovalRequested)
    assert (event.state, event.workflow_id, event.expires_at) == ("HELD", None, None)
    assert event.reason == "with its link it costs more"


# Posts


def test_a_post_is_told_with_its_id_type_and_price() -> None:
    rows = TellingRows()
    published(rows, "1", Created("901"))
    [event] = rows.told
    assert isinstance(event, PostPublished)
    assert (event.post_id, event.tweet_id, event.type) == ("901", "1", TweetType.REVIEW)
    assert (event.account, event.source, event.price_usd) == (OWN, OWN, 0.015)


def test_a_post_that_needs_a_human_is_told_each_time_that_it_comes_to_that() -> None:
    rows = TellingRows()
    published(rows, "1", Unknown("the answer was lost"))
    assert rows.told == []
    ledger = PostLedger(rows)

    def goes_to(state: LedgerState) -> None:
        before = ledger.get(OWN, "1")
        assert before
        assert ledger.advance(before, before.changed(state, reason="two look alike", now=NOW))

    goes_to(LedgerState.NEEDS_HUMAN)
    goes_to(LedgerState.CLAIMED)
    goes_to(LedgerState.SENDING)
    goes_to(LedgerState.NEEDS_HUMAN)
    first, second = rows.told
    assert isinstance(first, PostNeedsHuman)
    assert (first.tweet_id, first.reason) == ("1", "two look alike")
    assert first.event_id != second.event_id
