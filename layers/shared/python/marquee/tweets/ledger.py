"""PostsTable, the post ledger: what became of every post, so that none is sent twice or lost.

Key ``account`` + ``tweet_id``; index ``open_by_state``: ``open_state`` + ``updated_at``, holding
open entries only.

======================  ===========================================================================
``tweet_id``            item
======================  ===========================================================================
20 digits               the entry of that source tweet
``text#<hash>``         which tweet holds that text, while its entry is open and 7 days after (TTL)
``post#<id>``           which tweet that post of X was made of
======================  ===========================================================================

An entry, its text, its post and the status of its tweet change in one transaction.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from marquee.aws import to_item
from marquee.errors import StoreUnavailable
from marquee.gateway.prices import X_POST_CREATED_USD, X_POST_WITH_URL_CREATED_USD
from marquee.observability import logger
from marquee.settings import Settings
from marquee.tweets.models import (
    OPEN_STATES,
    STATUS_CHANGES,
    Change,
    LedgerEntry,
    LedgerState,
    Model,
    Status,
    Tweet,
)
from marquee.tweets.rows import (
    FIRST_ID,
    LAST_ID,
    Cursor,
    DynamoRows,
    In,
    Item,
    Part,
    Rows,
    Swap,
    row_key,
    stamp,
    write,
)
from marquee.tweets.text import text_hash, url_spans
from marquee.tweets.tweet_store import TweetStore, tweet_swap

SAME_TEXT_WITHIN = timedelta(days=7)
"""A text that was posted is not posted again for another tweet before that."""

MAX_TURNS = 5
"""Rows lost to someone else in a row before we give up; each loss means that another won."""

_PAGE = 100

_TWEET_STATUS = {
    LedgerState.CLAIMED: Status.APPROVED,
    LedgerState.POSTED: Status.POSTED,
    LedgerState.REJECTED: Status.REJECTED,
    LedgerState.SKIPPED: Status.SKIPPED,
    LedgerState.UNKNOWN: Status.UNKNOWN,
    LedgerState.NEEDS_HUMAN: Status.NEEDS_HUMAN,
}
"""What a tweet's status is when its post stands there; while SENDING it stays APPROVED."""


class PostLedger:
    """The entries in PostsTable."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._tweets = TweetStore(rows)

    @classmethod
    def connect(cls, settings: Settings) -> "PostLedger":
        """The ledger in the table that the template gave us."""
        return cls(DynamoRows.connect(settings))

    def get(self, account: str, tweet_id: str) -> LedgerEntry | None:
        """The entry as of now, or None where the post was never claimed."""
        item = self._rows.get(In.POSTS, account, row_key(tweet_id))
        return _entry(item) if item else None

    def claim(
        self, account: str, tweet: Tweet, *, workflow_id: str | None = None, now: datetime
    ) -> LedgerEntry:
        """The entry of the tweet; where there is none it is made, its text frozen as it stands.

        A new one is CLAIMED, or SKIPPED where another tweet holds its text. The tweet must have
        its final text. ``workflow_id`` is the run that asks, if one does.
        """
        for _ in range(MAX_TURNS):
            existing = self.get(account, tweet.tweet_id)
            if existing:
                return existing
            entry = _claimed(account, tweet, workflow_id, now)
            holder = self._rows.get(In.POSTS, account, _text_key(entry))
            if holder and not _may_hold(entry, holder):
                reason = f"the text is that of tweet {holder['holder']}"
                entry = entry.changed(LedgerState.SKIPPED, reason=reason, now=now)
                others = self._mirrored(entry)
            else:
                others = [_text_swap(entry, holder)]
            if write(self._rows, _swap(entry, expected=None), *others):
                return entry
        raise StoreUnavailable(f"claiming {tweet.tweet_id}: lost {MAX_TURNS} turns in a row")

    def advance(self, before: LedgerEntry, after: LedgerEntry) -> LedgerEntry | None:
        """Put ``after`` in the place of ``before``, with all that depends on its state.

        Returns ``after``; None where ``before`` is no longer what the ledger holds, where the post
        of ``after`` was made of another tweet, or where another holds the text that it needs again.
        """
        for _ in range(MAX_TURNS):
            if self._is_taken(before, after):
                return None
            wanted = _swap(after, expected=before.version)
            others = [*self._text_and_post(before, after), *self._mirrored(after)]
            if write(self._rows, wanted, *others):
                return after
            current = self.get(before.account, before.tweet_id)
            if current is None or current.version != before.version:
                return None
        raise StoreUnavailable(f"{before.tweet_id}: lost {MAX_TURNS} turns in a row")

    def maker_of(self, account: str, post_id: str) -> str | None:
        """The tweet that a post of X was made of, where an entry says so."""
        item = self._rows.get(In.POSTS, account, _post_key(post_id))
        return str(item["holder"]) if item else None

    def has_made(self, account: str, post_id: str, text: str) -> bool:
        """Whether a post on the account's timeline is ours, or may be one whose answer was lost."""
        return self.maker_of(account, post_id) is not None or (
            self._rows.get(In.POSTS, account, f"text#{text_hash(text)}") is not None
        )

    def open_entries(self, state: LedgerState, *, before: datetime) -> Iterator[LedgerEntry]:
        """The entries of an open state that have not changed since, the longest unchanged first.

        Read through the index: one may have changed a moment ago.
        """
        part = Part(
            In.POSTS,
            "open_by_state",
            ("open_state", state),
            "updated_at",
            "0",
            stamp(before),
        )
        cursor: Cursor | None = None
        while True:
            items, cursor = self._rows.page(part, _PAGE, cursor)
            yield from map(_entry, items)
            if cursor is None:
                return

    def page(
        self, account: str, *, limit: int, after: Cursor | None = None
    ) -> tuple[list[LedgerEntry], Cursor | None]:
        """The entries of an account by source tweet, the oldest first, and where more begin."""
        part = Part(In.POSTS, None, ("account", account), "tweet_id", FIRST_ID, LAST_ID)
        items, cursor = self._rows.page(part, limit, after)
        return [_entry(item) for item in items], cursor

    def newest(
        self, account: str, *, limit: int, before: str | None = None
    ) -> tuple[list[LedgerEntry], str | None]:
        """The entries of an account, that of the newest source tweet first.

        A page begins ``before`` a tweet, which need not exist; given back is the one before which
        more begin.
        """
        part = Part(
            In.POSTS, None, ("account", account), "tweet_id", FIRST_ID, LAST_ID, descending=True
        )
        begin = {"account": account, "tweet_id": row_key(before)} if before else None
        items, cursor = self._rows.page(part, limit, begin)
        entries = [_entry(item) for item in items]
        return entries, entries[-1].tweet_id if cursor else None

    def _is_taken(self, before: LedgerEntry, after: LedgerEntry) -> bool:
        """Whether the post or the text that ``after`` needs belongs to another tweet."""
        if after.post_id and self.maker_of(after.account, after.post_id) not in {
            None,
            after.tweet_id,
        }:
            return True
        if before.state in OPEN_STATES or after.state not in OPEN_STATES:
            return False
        return not _may_hold(after, self._rows.get(In.POSTS, after.account, _text_key(after)))

    def _text_and_post(self, before: LedgerEntry, after: LedgerEntry) -> Iterator[Swap]:
        """Who holds the text and the post, once a change opens or closes the entry."""
        if before.state in OPEN_STATES and after.state in OPEN_STATES:
            return
        holder = self._rows.get(In.POSTS, after.account, _text_key(after))
        never_posted = after.state not in OPEN_STATES and after.post_id is None
        if (holder or not never_posted) and _may_hold(after, holder):
            yield _text_swap(after, holder)
        if after.post_id and self.maker_of(after.account, after.post_id) is None:
            key = _post_key(after.post_id)
            item = {
                "account": after.account,
                "tweet_id": key,
                "holder": after.tweet_id,
                "version": 1,
            }
            yield Swap(In.POSTS, after.account, key, None, item)

    def _mirrored(self, entry: LedgerEntry) -> list[Swap]:
        """The status of the tweet, where the state of its post gives it another."""
        status = _TWEET_STATUS.get(entry.state)
        tweet = self._tweets.get(entry.source, entry.tweet_id)
        if tweet is None or status is None or status is tweet.status:
            return []
        if status not in STATUS_CHANGES.get(tweet.status, frozenset()):
            logger.warning(
                "a tweet left the way of its post",
                tweet_id=tweet.tweet_id,
                status=tweet.status,
                post=entry.state,
            )
            return []
        changed = tweet.changed(
            status, reason=entry.reason, now=entry.updated_at, post_id=entry.post_id
        )
        return [tweet_swap(changed, expected=tweet.version)]


class Balance(Model):
    """What became of the tweets that were to be posted."""

    post_worthy: int
    posted: int
    rejected: int
    skipped: int
    pending: int
    faults: tuple[str, ...] = Field(default=())
    """What cannot be if nothing was lost or doubled, in words."""

    @property
    def holds(self) -> bool:
        """Whether every tweet is accounted for, once."""
        done = self.posted + self.rejected + self.skipped + self.pending
        return not self.faults and self.post_worthy == done


def balance(entries: Iterable[LedgerEntry], tweets: Iterable[Tweet]) -> Balance:
    """Hold the ledger of one posting account against the tweets that were approved for it."""
    by_id = {entry.tweet_id: entry for entry in entries}
    worthy = {
        tweet.tweet_id: tweet
        for tweet in tweets
        if tweet.tweet_id in by_id or any(c.to == Status.APPROVED for c in tweet.history)
    }
    counts = dict.fromkeys(("posted", "rejected", "skipped", "pending"), 0)
    for tweet_id, tweet in worthy.items():
        entry = by_id.get(tweet_id)
        name = str(entry.state if entry else tweet.status).lower()
        counts[name if name in counts else "pending"] += 1
    faults = [f"entry {tweet_id} is of no tweet" for tweet_id in by_id.keys() - worthy.keys()]
    faults += [fault for tweet in worthy.values() for fault in _faults(by_id, tweet)]
    makers: dict[str, str] = {}
    for entry in by_id.values():
        if entry.post_id and makers.setdefault(entry.post_id, entry.tweet_id) != entry.tweet_id:
            faults.append(
                f"post {entry.post_id} is of {makers[entry.post_id]} and {entry.tweet_id}"
            )
    return Balance(post_worthy=len(worthy), **counts, faults=tuple(faults))


def _faults(entries: Mapping[str, LedgerEntry], tweet: Tweet) -> Iterator[str]:
    entry = entries.get(tweet.tweet_id)
    if entry is None:
        if tweet.status is Status.POSTED:
            yield f"tweet {tweet.tweet_id} is POSTED without an entry"
        return
    if (entry.state is LedgerState.POSTED) != (entry.post_id is not None):
        yield f"entry {tweet.tweet_id} is {entry.state} with the post {entry.post_id}"
    if tweet.status is not _TWEET_STATUS.get(entry.state, Status.APPROVED):
        yield f"tweet {tweet.tweet_id} is {tweet.status}, its entry {entry.state}"


def _claimed(account: str, tweet: Tweet, workflow_id: str | None, now: datetime) -> LedgerEntry:
    if tweet.final_text is None:
        raise ValueError(f"tweet {tweet.tweet_id} has no final text")
    has_url = bool(url_spans(tweet.final_text))
    return LedgerEntry(
        account=account,
        tweet_id=tweet.tweet_id,
        source=tweet.account,
        type=tweet.type,
        workflow_id=workflow_id,
        state=LedgerState.CLAIMED,
        text=tweet.final_text,
        text_hash=text_hash(tweet.final_text),
        has_url=has_url,
        price_usd=X_POST_WITH_URL_CREATED_USD if has_url else X_POST_CREATED_USD,
        claimed_at=now,
        updated_at=now,
        history=(Change(at=now, to=LedgerState.CLAIMED),),
    )


def _swap(entry: LedgerEntry, *, expected: int | None) -> Swap:
    key = row_key(entry.tweet_id)
    item = {**to_item(entry), "tweet_id": key, "updated_at": stamp(entry.updated_at)}
    if entry.state in OPEN_STATES:
        item["open_state"] = entry.state.value
    return Swap(In.POSTS, entry.account, key, expected, item)


def _entry(item: Item) -> LedgerEntry:
    return LedgerEntry.model_validate({**item, "tweet_id": str(item["tweet_id"]).lstrip("0")})


def _text_swap(entry: LedgerEntry, current: Item | None) -> Swap:
    """The text is the entry's while that is open, and 7 days after it was posted."""
    version = int(current["version"]) if current else None
    key = _text_key(entry)
    item: dict[str, Any] = {
        "account": entry.account,
        "tweet_id": key,
        "holder": entry.tweet_id,
        "version": (version or 0) + 1,
    }
    if entry.state in OPEN_STATES:
        return Swap(In.POSTS, entry.account, key, version, item)
    if entry.post_id is None:
        return Swap(In.POSTS, entry.account, key, version, None)
    item["expires_at"] = int((entry.updated_at + SAME_TEXT_WITHIN).timestamp())
    return Swap(In.POSTS, entry.account, key, version, item)


def _may_hold(entry: LedgerEntry, current: Item | None) -> bool:
    """Whether the text is the entry's or free; TTL deletes late, so an expired row is none."""
    if current is None or current["holder"] == entry.tweet_id:
        return True
    expires_at = current.get("expires_at")
    return expires_at is not None and int(expires_at) <= entry.updated_at.timestamp()


def _text_key(entry: LedgerEntry) -> str:
    return f"text#{entry.text_hash}"


def _post_key(post_id: str) -> str:
    return f"post#{post_id}"
