"""ReconcilePost: find out what became of a post whose answer was lost, before anything is sent."""

from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Literal

from pydantic import Field

from marquee.errors import (
    BadInput,
    Conflict,
    MarqueeError,
    Misconfigured,
    NotFound,
    UpstreamTimeout,
)
from marquee.observability import logger
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry, LedgerState, Model, Outcome
from marquee.tweets.posting import OwnPost, XAccount
from marquee.tweets.publish import (
    ABSENCE_COUNTS_AFTER,
    ABSENT_FOR,
    ABSENT_READS,
    ABSENT_READS_APART,
    HELD_BACK,
    Clock,
    PublishTweetInput,
    doubted,
    outcome,
    publish_tweet,
    put_off,
    read_again,
)
from marquee.tweets.text import same_post
from marquee.tweets.tweet_store import TweetStore

LOOK_BACK = timedelta(minutes=10)
"""Before the claim: X's clock may differ from ours by 5 minutes, and as much again for safety."""

MAX_TIMES_ABSENT = 3
"""A text that X swallows or calls a duplicate that often, and never shows, is for a human."""

SENDING_IS_STUCK_AFTER = ABSENCE_COUNTS_AFTER
UNKNOWN_IS_STUCK_AFTER = timedelta(minutes=2)
CLAIMED_IS_STUCK_AFTER = timedelta(minutes=5)
"""A run that lives moves its own entries within these."""

SWEPT_AT_ONCE = 50
"""Entries that one sweep handles, of those in doubt and of those to be sent; the next one goes on
with the rest."""


class ReconcilePostInput(Model):
    """Which post to look for."""

    account: str
    tweet_id: str


class Decision(Model):
    """What an operator found out about a post: its id, or that it is to be sent, or not."""

    state: Literal[LedgerState.POSTED, LedgerState.CLAIMED, LedgerState.REJECTED] = Field(
        description="POSTED, with its post_id: it is on X. CLAIMED: it is not, send the same text. "
        "REJECTED: give it up."
    )
    reason: str = Field(
        min_length=1,
        max_length=300,
        description="What was found out; it is kept in the post's history.",
    )
    post_id: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,20}$",
        description="Of POSTED, and only there: the post's id on X.",
    )


class Sweep(Model):
    """What one sweep did."""

    outcomes: tuple[Outcome, ...] = ()
    failed: tuple[str, ...] = ()
    """Entries that could not be handled now, with the error; they are swept again."""
    left: int = 0
    """CLAIMED ones past ``max_posts``: they wait for the next run or sweep."""
    needs_human: tuple[str, ...] = ()
    """Source tweets whose posts wait for an operator."""


def reconcile_post(
    request: ReconcilePostInput, ledger: PostLedger, x: XAccount, *, clock: Clock
) -> Outcome:
    """Look for a post on the own timeline: adopt it, or prove its absence, or ask a human.

    One call is one read. Raises NotFound without an entry, UpstreamError where the timeline
    cannot be read whole, StoreUnavailable; all of them change nothing.
    """
    entry = ledger.get(request.account, request.tweet_id)
    if entry is None:
        raise NotFound(f"no post of {request.tweet_id} by {request.account} was claimed")
    if entry.state is LedgerState.SENDING:
        entry = doubted(entry, ledger, now=clock())
    if entry.state is LedgerState.UNKNOWN:
        # The moment before the read: a post made while X answers may be missing from it.
        now = clock()
        try:
            posts = x.own_timeline(entry.claimed_at - LOOK_BACK)
        except HELD_BACK as held:
            return put_off(entry, held, now=now)
        found = _matches(entry, posts, ledger)
        after = _concluded(entry, found, now)
        if after is not None:
            entry = ledger.advance(entry, after) or read_again(entry, ledger)
    return outcome(entry, now=clock())


def decide_post(
    request: ReconcilePostInput, decision: Decision, ledger: PostLedger, *, now: datetime
) -> LedgerEntry:
    """Settle by an operator's word a post that NEEDS_HUMAN, release a REJECTED one, or reject one
    that is CLAIMED and not sent yet.

    The same word again changes nothing. Raises NotFound without an entry, BadInput for a decision
    that contradicts itself, Conflict for one that the entry or the ledger does not allow.
    """
    if (decision.state is LedgerState.POSTED) != (decision.post_id is not None):
        raise BadInput("a post_id belongs to POSTED, and to nothing else", field="post_id")
    entry = ledger.get(request.account, request.tweet_id)
    if entry is None:
        raise NotFound(f"no post of {request.tweet_id} by {request.account} was claimed")
    said = (decision.state, decision.reason, decision.post_id)
    if (entry.state, entry.reason, entry.post_id) == said:
        return entry
    stops = (entry.state, decision.state) == (LedgerState.CLAIMED, LedgerState.REJECTED)
    if entry.state not in {LedgerState.NEEDS_HUMAN, LedgerState.REJECTED} and not stops:
        raise Conflict(f"the post is {entry.state}: there is nothing to decide")
    if decision.state is entry.state:
        raise Conflict(f"the post is {entry.state} already")
    after = entry.changed(
        decision.state,
        reason=decision.reason,
        now=now,
        post_id=decision.post_id,
        not_before=None,
        times_absent=0,
    )
    stored = ledger.advance(entry, after)
    if stored is None:
        raise Conflict(_not_allowed(entry, after, ledger))
    return stored


def sweep(
    ledger: PostLedger,
    tweets: TweetStore,
    x_of: Callable[[str], XAccount],
    *,
    max_posts: int,
    clock: Clock,
) -> Sweep:
    """Take up what an execution left behind: look for posts in doubt, send what was not sent.

    ``x_of`` gives the port of a posting account. Sends at most ``max_posts``; looks for any number
    up to SWEPT_AT_ONCE. One that fails does not stop the rest, nor does an account that cannot post
    or whose timeline does not answer in time take the turns of another: the first of its posts
    stands in ``failed`` for them all.
    """
    outcomes: list[Outcome] = []
    failed: list[str] = []
    left = 0
    out_of_turn: set[tuple[str, bool]] = set()
    now = clock()
    for entry in chain(
        islice(_in_turn(_in_doubt(ledger, now), out_of_turn), SWEPT_AT_ONCE),
        islice(_in_turn(_to_be_sent(ledger, now), out_of_turn), SWEPT_AT_ONCE),
    ):
        claimed = entry.state is LedgerState.CLAIMED
        if claimed and max_posts <= 0:
            left += 1
            continue
        try:
            outcomes.append(_taken_up(entry, ledger, tweets, x_of(entry.account), clock))
            max_posts -= claimed  # what raised was not sent
        except MarqueeError as error:
            # Another error may be of this one post, whose timeline has a gap; it costs no time.
            if isinstance(error, Misconfigured | UpstreamTimeout):
                out_of_turn.add((entry.account, claimed))
            logger.warning("a post could not be taken up", tweet_id=entry.tweet_id, exc_info=True)
            failed.append(f"{entry.tweet_id}: {type(error).__name__}: {error}")
    open_entries = ledger.open_entries(LedgerState.NEEDS_HUMAN, before=clock())
    waiting = tuple(islice(open_entries, SWEPT_AT_ONCE))
    for entry in waiting:
        logger.warning(
            "a post waits for an operator",
            account=entry.account,
            tweet_id=entry.tweet_id,
            reason=entry.reason,
        )
    return Sweep(
        outcomes=tuple(outcomes),
        failed=tuple(failed),
        left=left,
        needs_human=tuple(entry.tweet_id for entry in waiting),
    )


def _not_allowed(entry: LedgerEntry, after: LedgerEntry, ledger: PostLedger) -> str:
    """Why the ledger did not take the decision."""
    maker = ledger.maker_of(after.account, after.post_id) if after.post_id else None
    if maker not in {None, after.tweet_id}:
        return f"the post {after.post_id} is that of tweet {maker}"
    current = ledger.get(entry.account, entry.tweet_id)
    if current is None or current.version != entry.version:
        return "the post changed meanwhile: look at it again"
    return "another tweet has its text: it is posted, or is about to be"


def _taken_up(
    entry: LedgerEntry, ledger: PostLedger, tweets: TweetStore, x: XAccount, clock: Clock
) -> Outcome:
    if entry.state is LedgerState.CLAIMED:
        request = PublishTweetInput(
            account=entry.account, source=entry.source, tweet_id=entry.tweet_id
        )
        return publish_tweet(request, tweets, ledger, x, clock=clock)
    request_look = ReconcilePostInput(account=entry.account, tweet_id=entry.tweet_id)
    return reconcile_post(request_look, ledger, x, clock=clock)


def _in_turn(
    entries: Iterator[LedgerEntry], out_of_turn: Set[tuple[str, bool]]
) -> Iterator[LedgerEntry]:
    for entry in entries:
        if (entry.account, entry.state is LedgerState.CLAIMED) not in out_of_turn:
            yield entry


def _in_doubt(ledger: PostLedger, now: datetime) -> Iterator[LedgerEntry]:
    yield from ledger.open_entries(LedgerState.SENDING, before=now - SENDING_IS_STUCK_AFTER)
    yield from ledger.open_entries(LedgerState.UNKNOWN, before=now - UNKNOWN_IS_STUCK_AFTER)


def _to_be_sent(ledger: PostLedger, now: datetime) -> Iterator[LedgerEntry]:
    for entry in ledger.open_entries(LedgerState.CLAIMED, before=now - CLAIMED_IS_STUCK_AFTER):
        if entry.not_before is None or entry.not_before <= now:
            yield entry


def _matches(entry: LedgerEntry, posts: Sequence[OwnPost], ledger: PostLedger) -> list[OwnPost]:
    """The posts that may be the entry's: its text, in its time, and of no other tweet."""
    since = entry.claimed_at - LOOK_BACK
    return [
        post
        for post in posts
        if post.created_at >= since
        and same_post(entry.text, post.text)
        and ledger.maker_of(entry.account, post.post_id) in {None, entry.tweet_id}
    ]


def _concluded(entry: LedgerEntry, found: Sequence[OwnPost], now: datetime) -> LedgerEntry | None:
    """The entry after a read at ``now``; None where the read says nothing."""
    if len(found) > 1:
        ids = ", ".join(post.post_id for post in found)
        reason = f"posts {ids} all have its text"
        return entry.changed(LedgerState.NEEDS_HUMAN, reason=reason, now=now)
    if found:
        reason = "found on the own timeline"
        return entry.changed(
            LedgerState.POSTED, reason=reason, now=now, post_id=found[0].post_id, not_before=None
        )
    sent_at = entry.sending_at or entry.claimed_at
    if now - sent_at < ABSENCE_COUNTS_AFTER or (
        entry.last_absent_at and now - entry.last_absent_at < ABSENT_READS_APART
    ):
        return None
    first = entry.first_absent_at or now
    reads = entry.reads_absent + 1
    if reads < ABSENT_READS or now - first < ABSENT_FOR:
        return entry.noted(now=now, reads_absent=reads, first_absent_at=first, last_absent_at=now)
    times = entry.times_absent + 1
    if times >= MAX_TIMES_ABSENT:
        reason = f"sent {times} times, never found on the own timeline; last: {entry.reason}"
        return entry.changed(LedgerState.NEEDS_HUMAN, reason=reason, now=now, times_absent=times)
    return entry.changed(
        LedgerState.CLAIMED,
        reason=f"absent from the own timeline in {reads} reads",
        now=now,
        times_absent=times,
        not_before=None,
    )
