"""PublishTweet: freeze the text, send it once, and write down what the answer proves."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from uuid import uuid4

from marquee.errors import (
    BadInput,
    BreakerOpen,
    Deferred,
    MarqueeError,
    NotFound,
    SlotAhead,
    StoreUnavailable,
)
from marquee.observability import logger
from marquee.tweets.ledger import MAX_TURNS, PostLedger
from marquee.tweets.models import (
    LedgerEntry,
    LedgerState,
    Model,
    Outcome,
    Status,
    Tweet,
)
from marquee.tweets.posting import (
    Created,
    DuplicateRefused,
    NotSent,
    PostResult,
    RateLimited,
    Refused,
    Unauthorized,
    Unknown,
    XAccount,
)
from marquee.tweets.tweet_store import TweetStore

type Clock = Callable[[], datetime]

SEND_WITHIN = timedelta(seconds=20)
"""From taking SENDING to the call; who was held up longer may no longer send."""

RESET_UNKNOWN = timedelta(minutes=15)
"""X's window for posts of a user, for a 429 that names no reset."""

LONGEST_RESET = timedelta(hours=24)
"""X's longest window: a reset further ahead is a wrong one."""

RETRY_AFTER = timedelta(minutes=1)
"""For what stopped us before anything was sent."""

FIRST_LOOK_AFTER = timedelta(seconds=30)
"""A post is on the own timeline within seconds as a rule, and the first look finds it."""

ABSENCE_COUNTS_AFTER = timedelta(minutes=2)
"""Longer than any function lives: by then whoever sent it is gone, and its request with it."""

ABSENT_READS = 3
ABSENT_READS_APART = timedelta(minutes=2)
ABSENT_FOR = timedelta(minutes=10)
"""A post is absent if it is in none of so many reads, so far apart, over so long: the timeline may
lag."""


HELD_BACK = (SlotAhead, Deferred, BreakerOpen)
"""What the gateway says of a call that it lets go later, by itself."""


class PublishTweetInput(Model):
    """Which tweet to post, and as which account."""

    account: str
    """That posts."""
    source: str
    """Whose tweet it is."""
    tweet_id: str
    workflow_id: str | None = None
    """The run that asks, if one does."""


def publish_tweet(
    request: PublishTweetInput,
    tweets: TweetStore,
    ledger: PostLedger,
    x: XAccount,
    *,
    clock: Clock,
) -> Outcome:
    """Post an approved tweet, at most once, however often and by however many this is called.

    Raises NotFound for a tweet that is not stored, BadInput for one that is not approved,
    Misconfigured where only an operator can make it possible to post, SpendRefused where it may not
    be paid for, and StoreUnavailable; all of them only while nothing was sent.
    """
    entry = ledger.get(request.account, request.tweet_id)
    if entry is None or entry.state is LedgerState.CLAIMED:
        tweet = tweets.get(request.source, request.tweet_id)
        if tweet is None:
            raise NotFound(f"no tweet {request.tweet_id} of {request.source} is stored")
        entry = _claimed(entry, request, tweet, ledger, clock())
    if entry.state is LedgerState.SENDING:
        entry = doubted(entry, ledger, now=clock())
    if entry.state is LedgerState.CLAIMED and not _must_wait(entry, clock()):
        with ExitStack() as admission:
            try:
                x.check_credentials()
                admission.enter_context(x.admitted(entry.text))
            except HELD_BACK as held:
                return put_off(entry, held, now=clock())
            # From here on nothing is asked any more: what follows may be the post.
            entry = _send_once(entry, ledger, x, clock)
    return outcome(entry, now=clock())


def doubted(entry: LedgerEntry, ledger: PostLedger, *, now: datetime) -> LedgerEntry:
    """An entry that someone else left in SENDING is UNKNOWN: it may have been sent."""
    reason = "the invocation that sent it did not say how that ended"
    unknown = entry.changed(LedgerState.UNKNOWN, reason=reason, now=now)
    return ledger.advance(entry, unknown) or read_again(entry, ledger)


def outcome(entry: LedgerEntry, *, now: datetime) -> Outcome:
    """The entry as the state machine reads it."""
    waits = {
        LedgerState.CLAIMED: entry.not_before or now + RETRY_AFTER,
        LedgerState.SENDING: now + FIRST_LOOK_AFTER,
        LedgerState.UNKNOWN: next_look(entry, now=now),
    }
    return Outcome(
        account=entry.account,
        tweet_id=entry.tweet_id,
        state=entry.state,
        reason=entry.reason,
        post_id=entry.post_id,
        price_usd=entry.price_usd if entry.post_id else 0.0,
        wait_until=waits.get(entry.state),
    )


def put_off(
    entry: LedgerEntry, held: SlotAhead | Deferred | BreakerOpen, *, now: datetime
) -> Outcome:
    """The entry as it is, to be taken up when the gateway lets the call go."""
    given = outcome(entry, now=now)
    return given.model_copy(update={"reason": str(held), "wait_until": held.at or given.wait_until})


def next_look(entry: LedgerEntry, *, now: datetime) -> datetime:
    """When the next read of the own timeline may find the post, or counts as an absence."""
    sent_at = entry.sending_at or entry.claimed_at
    if entry.last_absent_at is None or entry.first_absent_at is None:
        looks = (sent_at + FIRST_LOOK_AFTER, sent_at + ABSENCE_COUNTS_AFTER)
        return next((look for look in looks if look > now), now)
    look = entry.last_absent_at + ABSENT_READS_APART
    if entry.reads_absent >= ABSENT_READS - 1:
        look = max(look, entry.first_absent_at + ABSENT_FOR)
    return max(look, now)


def _claimed(
    entry: LedgerEntry | None,
    request: PublishTweetInput,
    tweet: Tweet,
    ledger: PostLedger,
    now: datetime,
) -> LedgerEntry:
    """The entry of an approved tweet; one whose approval was taken back is SKIPPED."""
    if entry is None:
        if tweet.status is Status.APPROVED and tweet.final_text is not None:
            return ledger.claim(request.account, tweet, workflow_id=request.workflow_id, now=now)
        # Another execution may have made an entry since, and changed the status with it.
        entry = ledger.get(request.account, request.tweet_id)
        if entry is None:
            raise BadInput(f"tweet {tweet.tweet_id} is {tweet.status}, not approved")
        return entry
    if tweet.status is Status.APPROVED:
        return entry
    reason = f"the tweet was {tweet.status} before its post was sent"
    skipped = entry.changed(LedgerState.SKIPPED, reason=reason, now=now)
    return ledger.advance(entry, skipped) or read_again(entry, ledger)


def _must_wait(entry: LedgerEntry, now: datetime) -> bool:
    return entry.not_before is not None and entry.not_before > now


def _send_once(entry: LedgerEntry, ledger: PostLedger, x: XAccount, clock: Clock) -> LedgerEntry:
    """Take SENDING, the point of no return, and call X; only one of any number gets to the call."""
    now = clock()
    # Made here, so that no retry of ours can come with the token of the one before.
    taken = ledger.advance(
        entry,
        entry.changed(
            LedgerState.SENDING,
            now=now,
            owner=uuid4().hex,
            sending_at=now,
            reads_absent=0,
            first_absent_at=None,
            last_absent_at=None,
        ),
    )
    if taken is None:
        return read_again(entry, ledger)
    if clock() - now > SEND_WITHIN:
        result: PostResult = NotSent("held up before the call")
    else:
        result = _call(x, taken.text)
    try:
        return _settled(taken, result, ledger, clock())
    except StoreUnavailable:
        # Sent or not, the next to look finds SENDING, and asks X instead of sending.
        logger.exception("the answer to a post was not stored", tweet_id=taken.tweet_id, x=result)
        return taken


def _call(x: XAccount, text: str) -> PostResult:
    """One request; a second one only after a 401, which proves that the first was refused."""
    result = _attempt(x, text)
    if not isinstance(result, Unauthorized):
        return result
    try:
        if not x.refresh_credentials():
            return Refused(401, result.reason)
    except MarqueeError as error:
        return NotSent(f"{result.reason}, and the credentials could not be renewed: {error}")
    result = _attempt(x, text)
    return Refused(401, result.reason) if isinstance(result, Unauthorized) else result


def _attempt(x: XAccount, text: str) -> PostResult:
    try:
        result = x.create_post(text)
    except Exception as error:
        # Whatever broke may have broken after X had it.
        logger.exception("posting broke")
        return Unknown(f"{type(error).__name__}: {error}")
    return result


def _settled(
    taken: LedgerEntry, result: PostResult, ledger: PostLedger, now: datetime
) -> LedgerEntry:
    """Write down what the answer proves, also where someone doubted us meanwhile."""
    current = taken
    for _ in range(MAX_TURNS):
        after = _proven(current, taken, result, ledger, now)
        if after is None:
            return current
        stored = ledger.advance(current, after)
        if stored:
            return stored
        current = read_again(current, ledger)
    raise StoreUnavailable(f"{taken.tweet_id}: lost {MAX_TURNS} turns in a row")


def _proven(
    current: LedgerEntry,
    taken: LedgerEntry,
    result: PostResult,
    ledger: PostLedger,
    now: datetime,
) -> LedgerEntry | None:
    """The entry as the answer makes it; None where the answer says nothing about it any more."""
    ours = current.owner == taken.owner
    if isinstance(result, Created):
        if current.state is LedgerState.POSTED or (
            current.state is LedgerState.SENDING and not ours
        ):
            if current.post_id != result.post_id:
                logger.error("X has another post", tweet_id=taken.tweet_id, post_id=result.post_id)
            return None
        if ledger.maker_of(current.account, result.post_id) not in {None, current.tweet_id}:
            reason = f"X says {result.post_id}, which was made of another tweet"
            return current.changed(LedgerState.NEEDS_HUMAN, reason=reason, now=now)
        return current.changed(LedgerState.POSTED, now=now, post_id=result.post_id, not_before=None)
    if not ours or current.state not in {LedgerState.SENDING, LedgerState.UNKNOWN}:
        return None
    match result:
        case Refused():
            return current.changed(LedgerState.REJECTED, reason=result.reason, now=now)
        case RateLimited():
            wait = (result.reset_at or now + RESET_UNKNOWN) - now
            not_before = now + min(max(wait, RETRY_AFTER), LONGEST_RESET)
            return current.changed(
                LedgerState.CLAIMED, reason=result.reason, now=now, not_before=not_before
            )
        case NotSent():
            return current.changed(
                LedgerState.CLAIMED, reason=result.reason, now=now, not_before=now + RETRY_AFTER
            )
        case DuplicateRefused() | Unknown() | Unauthorized() if current.state is (
            LedgerState.SENDING
        ):
            return current.changed(LedgerState.UNKNOWN, reason=result.reason, now=now)
    return None


def read_again(entry: LedgerEntry, ledger: PostLedger) -> LedgerEntry:
    """The entry as someone else has left it meanwhile."""
    current = ledger.get(entry.account, entry.tweet_id)
    if current is None:
        raise StoreUnavailable(f"the entry of {entry.tweet_id} is gone")
    return current
