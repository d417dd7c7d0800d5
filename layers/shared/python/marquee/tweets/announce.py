"""What the changes of runs, tweets, approvals and posts say to others."""

from collections.abc import Iterator
from typing import Any

from marquee.events.models import (
    ApprovalRequested,
    DomainEvent,
    PostNeedsHuman,
    PostPublished,
    TweetPipelineCompleted,
    TweetsDownloaded,
)
from marquee.events.outbox import Item
from marquee.workflows.announce import has_ended

KIND = "tweet_pipeline"
"""`marquee.tweets.run.KIND`."""

SOURCE_KEY = "#source"
"""`marquee.tweets.download`: the row that says how far an account was read."""

APPROVAL_PREFIX = "approval#"
"""`marquee.tweets.approval`: the rows of what a person must decide."""

WAITING, HELD = "WAITING", "HELD"
"""`marquee.tweets.approval.OPEN_STATES`."""

POSTED, NEEDS_HUMAN = "POSTED", "NEEDS_HUMAN"
"""Of `marquee.tweets.models.LedgerState`."""


def run_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """Of WorkflowsTable: the end of a run that says what became of its tweets."""
    if new.get("kind") == KIND and has_ended(old, new) and (result := new.get("result")):
        yield TweetPipelineCompleted.about(
            new["workflow_id"],
            occurred_at=new["ended_at"],
            correlation_id=new["workflow_id"],
            workflow_id=new["workflow_id"],
            account=result["posting_account"],
            source=result["account"],
            mode=result["mode"],
            status=new["status"],
            tweets=result.get("statuses", {}),
        )


def tweet_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """Of TweetsTable: tweets that are stored, and what a person is asked for.

    Tweets are told with the cursor that moves over them, once all are stored: a run that dies
    before has told nothing, and the next one tells what it stored too.
    """
    if new["tweet_id"] == SOURCE_KEY:
        yield from _downloaded(old, new)
    elif new["tweet_id"].startswith(APPROVAL_PREFIX):
        yield from _asked(old, new)


def post_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """Of PostsTable: a post that is made, and one that only a person can tell the truth about."""
    state = new.get("state")
    if state == old.get("state"):
        return
    if state == POSTED:
        yield PostPublished.about(
            *(new["account"], _tweet_id(new), new["post_id"]),
            occurred_at=new["updated_at"],
            post_id=new["post_id"],
            price_usd=new["price_usd"],
            **_of_post(new),
        )
    elif state == NEEDS_HUMAN:
        yield PostNeedsHuman.about(
            *(new["account"], _tweet_id(new), str(new["version"])),
            occurred_at=new["updated_at"],
            **_of_post(new),
        )


def _downloaded(old: Item, new: Item) -> Iterator[DomainEvent]:
    if new.get("since_id") == old.get("since_id"):
        return
    before = int(old.get("since_id", 0)) if old.get("user_id") == new["user_id"] else 0
    # Two runs at once may both have moved over a tweet.
    tweet_ids = [tweet_id for tweet_id in new.get("stored", ()) if int(tweet_id) > before]
    if tweet_ids:
        yield TweetsDownloaded.about(
            *(new["account"], new["since_id"]),
            occurred_at=new["moved_at"],
            correlation_id=new["workflow_id"],
            workflow_id=new["workflow_id"],
            source=new["account"],
            tweet_ids=tweet_ids,
        )


def _asked(old: Item, new: Item) -> Iterator[DomainEvent]:
    """A run that waits is told once, however often it asks; a tweet that is held, when it is."""
    waits = new["state"] == WAITING
    if waits:
        known = old.get("state") == WAITING and old.get("workflow_id") == new["workflow_id"]
    else:
        known = new["state"] != HELD or old.get("state") in (WAITING, HELD)
    if known:
        return
    approval_id = f"{new['account']}-{new['source_tweet_id']}"
    yield ApprovalRequested.about(
        *(approval_id, new["workflow_id"] if waits else new["requested_at"]),
        occurred_at=new["requested_at"],
        correlation_id=new.get("workflow_id"),
        approval_id=approval_id,
        workflow_id=new.get("workflow_id"),
        account=new["posting_account"],
        source=new["account"],
        tweet_id=new["source_tweet_id"],
        type=new.get("type"),
        reason=new["reason"],
        state=new["state"],
        price_usd=new["price_usd"],
        expires_at=new.get("expires_at"),
    )


def _of_post(entry: Item) -> dict[str, Any]:
    return {
        "correlation_id": entry.get("workflow_id"),
        "workflow_id": entry.get("workflow_id"),
        "account": entry["account"],
        "source": entry["source"],
        "tweet_id": _tweet_id(entry),
        "type": entry.get("type"),
        "reason": entry.get("reason", ""),
    }


def _tweet_id(entry: Item) -> str:
    """Without the zeros that make row keys sort."""
    return str(entry["tweet_id"]).lstrip("0")
