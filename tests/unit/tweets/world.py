"""A world in which posting goes wrong: rows and X that fail where told, time, crashes, intruders.

Everything the code under test does to the outside is an effect with a number. A plan names the
effects that go wrong, and how.
"""

import html
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from marquee.errors import BadInput, MarqueeError, StoreUnavailable, UpstreamUnavailable
from marquee.events.models import DomainEvent, PostNeedsHuman, PostPublished
from marquee.tweets.announce import post_events
from marquee.tweets.ledger import PostLedger, balance
from marquee.tweets.models import LedgerEntry, LedgerState, Outcome, Tweet
from marquee.tweets.posting import (
    Created,
    DuplicateRefused,
    NotSent,
    OwnPost,
    PostResult,
    RateLimited,
    Refused,
    Unauthorized,
    Unknown,
)
from marquee.tweets.publish import PublishTweetInput, publish_tweet
from marquee.tweets.reconcile import ReconcilePostInput, reconcile_post, sweep
from marquee.tweets.rows import Cursor, In, Item, Part, Swap, row_key
from marquee.tweets.text import url_spans
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows

START = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)
ACCOUNT = "marquee"
SOURCE = "nasa"

LIFE = timedelta(seconds=110)
"""What outlives this is killed: a function's timeout is below the two minutes after which an
absence counts."""

IN_FLIGHT = timedelta(seconds=60)
"""How long a request whose answer was given up may still be on its way."""

LONGEST_LAG = timedelta(minutes=8)
"""Of the own timeline."""

PAUSE = timedelta(seconds=100)
ROUNDS = 40
"""Sweeps within which the world must have come to rest."""


class Crash(BaseException):
    """The process is gone: nothing catches this but the world."""


class Doubled(AssertionError):
    """What must never be has been."""


class Fault(StrEnum):
    """How an effect goes wrong."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    ERROR_BEFORE = "error, not done"
    ERROR_AFTER = "error, done"
    FALSE_AFTER = "done, and the client's own retry fails"
    LATE = "error, done later"
    BREAK_AFTER = "done, and the adapter breaks"
    REFUSED = "refused"
    RATE_LIMITED = "rate limited"
    UNAUTHORIZED = "unauthorized"
    NOT_SENT = "not sent"
    DUPLICATE = "called a duplicate, not done"
    INTRUDER_BEFORE = "another execution before"
    INTRUDER_AFTER = "another execution after"
    PAUSE_BEFORE = "a long pause, and a sweep, before"
    PAUSE_AFTER = "a long pause, and a sweep, after"


READ_FAULTS = (
    Fault.CRASH_BEFORE,
    Fault.ERROR_BEFORE,
    Fault.INTRUDER_BEFORE,
    Fault.PAUSE_BEFORE,
)
WRITE_FAULTS = (
    Fault.CRASH_BEFORE,
    Fault.CRASH_AFTER,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.FALSE_AFTER,
    Fault.LATE,
    Fault.INTRUDER_BEFORE,
    Fault.INTRUDER_AFTER,
    Fault.PAUSE_BEFORE,
    Fault.PAUSE_AFTER,
)
POST_FAULTS = (
    Fault.CRASH_BEFORE,
    Fault.CRASH_AFTER,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.LATE,
    Fault.BREAK_AFTER,
    Fault.REFUSED,
    Fault.RATE_LIMITED,
    Fault.UNAUTHORIZED,
    Fault.NOT_SENT,
    Fault.DUPLICATE,
    Fault.INTRUDER_BEFORE,
    Fault.INTRUDER_AFTER,
    Fault.PAUSE_BEFORE,
    Fault.PAUSE_AFTER,
)
FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "read": READ_FAULTS,
    "page": READ_FAULTS,
    "timeline": READ_FAULTS,
    "write": WRITE_FAULTS,
    "post": POST_FAULTS,
}
_DONE_FIRST = {
    Fault.CRASH_AFTER,
    Fault.ERROR_AFTER,
    Fault.FALSE_AFTER,
    Fault.BREAK_AFTER,
    Fault.INTRUDER_AFTER,
    Fault.PAUSE_AFTER,
}


_AT_REST = {"POSTED", "REJECTED", "SKIPPED", "NEEDS_HUMAN"}


@dataclass(frozen=True)
class Made:
    """A post that X has."""

    post_id: str
    text: str
    """As it was sent."""
    shown: str
    made_at: datetime
    """By X's clock."""
    visible_from: datetime
    """On the timeline, by ours."""


def as_x_shows(text: str) -> str:
    """The text with t.co links for links and entities for special characters."""
    for span in reversed(url_spans(text)):
        code = sha256(span.found.encode()).hexdigest()[:10]
        text = f"{text[: span.start]}https://t.co/{code}{text[span.end :]}"
    return html.escape(text, quote=False)


@dataclass
class World:
    """One account on X, the two tables, and whoever works on them."""

    plan: Mapping[int, Fault] = field(default_factory=dict)
    skew: timedelta = timedelta()
    """X's clock ahead of ours."""
    lag: timedelta = timedelta()
    refuses_duplicates: bool = False
    sweeps_every: timedelta = timedelta(minutes=5)
    now: datetime = START
    effects: list[str] = field(default_factory=list)
    """The kind of every effect so far."""
    posts: list[Made] = field(default_factory=list)
    calls: int = 0
    """Of X's post endpoint."""
    owners: set[str] = field(default_factory=set)
    """Tokens under which a request was sent."""
    frozen: dict[str, str] = field(default_factory=dict)
    """The text of each entry when it was first written."""
    refusals: int = 0
    doubled: str = ""
    """What X saw and must never see; the code under test may not hide it."""
    _due: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)
    _lives: list[datetime] = field(default_factory=list)
    _checked: dict[Any, Item] = field(default_factory=dict)
    told: list[DomainEvent] = field(default_factory=list)
    """What the outbox says of the changes that were stored."""
    _entries: dict[str, Item] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = MemoryRows(self._check_row)
        self.rows = FaultyRows(self)
        self.tweets = TweetStore(self.rows)
        self.ledger = PostLedger(self.rows)
        self.x = FakeX(self)

    def clock(self) -> datetime:
        return self.now

    # What happens

    def approve(self, tweet: Tweet) -> None:
        """Store a tweet that is ready to be posted."""
        assert TweetStore(self.memory).put(tweet)

    def publish(self, tweet_id: str) -> Outcome | None:
        """One execution of PublishTweet, with the state machine's one retry."""
        request = PublishTweetInput(account=ACCOUNT, source=SOURCE, tweet_id=tweet_id)

        def attempt() -> Outcome:
            return publish_tweet(request, self.tweets, self.ledger, self.x, clock=self.clock)

        return self._executed(attempt) or self._executed(attempt)

    def reconcile(self, tweet_id: str) -> Outcome | None:
        request = ReconcilePostInput(account=ACCOUNT, tweet_id=tweet_id)
        if self._entry(tweet_id) is None:
            return None
        return self._executed(
            lambda: reconcile_post(request, self.ledger, self.x, clock=self.clock)
        )

    def sweep(self) -> None:
        self._executed(
            lambda: sweep(
                self.ledger, self.tweets, lambda _: self.x, max_posts=10, clock=self.clock
            )
        )

    def rerun(self) -> None:
        """The next scheduled run publishes what is approved."""
        for tweet_id in self.tweet_ids():
            if self._entry(tweet_id) is None:
                self.publish(tweet_id)

    def pass_time(self, by: timedelta) -> None:
        self.now += by
        due = [what for when, what in self._due if when <= self.now]
        self._due = [(when, what) for when, what in self._due if when > self.now]
        for what in due:
            what()

    def come_to_rest(self) -> None:
        """Sweeps and runs, until nothing is left to do."""
        for _ in range(ROUNDS):
            self.check()
            if self.at_rest():
                return
            self.pass_time(self.sweeps_every)
            self.sweep()
            self.rerun()
        raise Doubled(f"no rest after {ROUNDS} sweeps: {self.all_entries()}")

    # What must hold

    def at_rest(self) -> bool:
        return not self._due and all(
            self.memory.rows.get((In.POSTS, ACCOUNT, key), {}).get("state") in _AT_REST
            for table, _, key in self.memory.rows
            if table is In.TWEETS
        )

    def check(self) -> None:
        """What holds at every moment."""
        if self.doubled:
            raise Doubled(self.doubled)
        if self.memory.rows == self._checked:
            return
        self._checked = dict(self.memory.rows)
        account = balance(self.all_entries(), self.all_tweets())
        if not account.holds:
            raise Doubled(f"the balance does not hold: {account}")

    def check_rest(self) -> None:
        """What holds when nothing is left to do: each tweet is posted once, or it says why not."""
        self.check()
        texts = {post.post_id: post.text for post in self.posts}
        for entry in self.all_entries():
            if entry.state is LedgerState.POSTED:
                if texts.pop(str(entry.post_id), None) != entry.text:
                    raise Doubled(f"X's post is not what was frozen: {entry}")
            elif not entry.reason:
                raise Doubled(f"{entry.tweet_id} is {entry.state} without a reason")
        if texts:
            raise Doubled(f"X has posts that no entry knows: {texts}, {self.all_entries()}")
        self._check_told()

    def _check_told(self) -> None:
        """Others were told once of each post that was made, and of each that needs a human."""
        told = {event.event_id: event for event in self.told}
        published = [e.post_id for e in told.values() if isinstance(e, PostPublished)]
        posted = [e.post_id for e in self.all_entries() if e.state is LedgerState.POSTED]
        if len(told) != len(self.told) or sorted(published) != sorted(map(str, posted)):
            raise Doubled(f"{posted} are posted, and this was told: {self.told}")
        stuck = {e.tweet_id for e in told.values() if isinstance(e, PostNeedsHuman)}
        for entry in self.all_entries():
            if entry.state is LedgerState.NEEDS_HUMAN and entry.tweet_id not in stuck:
                raise Doubled(f"nobody was told of {entry}")

    def check_replay(self) -> None:
        """Everything again changes nothing: the executions redriven, the sweep, the next run."""
        calls, before = self.calls, dict(self.memory.rows)
        for tweet_id in self.tweet_ids():
            self.publish(tweet_id)
            self.reconcile(tweet_id)
        self.sweep()
        if self.calls != calls or self.memory.rows != before:
            raise Doubled("a replay changed something")

    def tweet_ids(self) -> list[str]:
        return [key.lstrip("0") for table, _, key in self.memory.rows if table is In.TWEETS]

    def all_tweets(self) -> list[Tweet]:
        return [
            Tweet.model_validate({**row, "tweet_id": key.lstrip("0")})
            for (table, _, key), row in self.memory.rows.items()
            if table is In.TWEETS
        ]

    def all_entries(self) -> list[LedgerEntry]:
        entries, _ = PostLedger(self.memory).page(ACCOUNT, limit=1000)
        return entries

    def _entry(self, tweet_id: str) -> Item | None:
        return self.memory.get(In.POSTS, ACCOUNT, row_key(tweet_id))

    def _check_row(self, swap: Swap) -> None:
        if swap.table is In.POSTS and swap.item and "text" in swap.item:
            text = swap.item["text"]
            if self.frozen.setdefault(swap.key, text) != text:
                raise Doubled(f"the text of {swap.key} was frozen")
            self.told += post_events(self._entries.get(swap.key, {}), swap.item)
            self._entries[swap.key] = swap.item

    # How it goes wrong

    def _executed[R](self, what: Callable[[], R]) -> R | None:
        """What an execution returns; None where it ended otherwise."""
        self._lives.append(self.now)
        try:
            return what()
        except (Crash, BadInput, MarqueeError):
            return None
        finally:
            self._lives.pop()

    def effect(self, kind: str, do: Callable[[], Any], failed: Callable[[Fault], Any]) -> Any:
        """One effect on the outside: done, or gone wrong as planned.

        ``failed`` gives what the caller is answered, or raises it.
        """
        fault = self._next_fault(kind)
        if fault is None:
            return do()
        match fault:
            case Fault.INTRUDER_BEFORE:
                self._intrude()
            case Fault.PAUSE_BEFORE:
                self._pause()
            case Fault.CRASH_BEFORE:
                raise Crash
        self._live()
        if fault in {Fault.INTRUDER_BEFORE, Fault.PAUSE_BEFORE}:
            return do()
        if fault is Fault.LATE:
            self._due.append((self.now + IN_FLIGHT, do))
            return failed(fault)
        if fault not in _DONE_FIRST:
            return failed(fault)
        answer = do()
        match fault:
            case Fault.CRASH_AFTER:
                raise Crash
            case Fault.INTRUDER_AFTER:
                self._intrude()
            case Fault.PAUSE_AFTER:
                self._pause()
            case _:
                return failed(fault)
        self._live()
        return answer

    def _next_fault(self, kind: str) -> Fault | None:
        self.effects.append(kind)
        return self.plan.get(len(self.effects) - 1)

    def _intrude(self) -> None:
        for tweet_id in self.tweet_ids():
            self.publish(tweet_id)
            self.reconcile(tweet_id)

    def _pause(self) -> None:
        self.pass_time(PAUSE)
        self.sweep()
        self._intrude()

    def _live(self) -> None:
        if self._lives and self.now - self._lives[-1] > LIFE:
            raise Crash


class FaultyRows:
    """The rows of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, table: In, account: str, key: str) -> Item | None:
        row: Item | None = self._world.effect(
            "read", lambda: self._world.memory.get(table, account, key), _no_answer
        )
        return row

    def swap(self, *swaps: Swap) -> bool:
        written: bool = self._world.effect(
            "write", lambda: self._world.memory.swap(*swaps), _no_answer
        )
        return written

    def page(
        self, part: Part, limit: int, after: Cursor | None
    ) -> tuple[list[Item], Cursor | None]:
        found: tuple[list[Item], Cursor | None] = self._world.effect(
            "page", lambda: self._world.memory.page(part, limit, after), _no_answer
        )
        return found


def _no_answer(fault: Fault) -> bool:
    if fault is Fault.FALSE_AFTER:
        return False
    raise StoreUnavailable(fault)


class FakeX:
    """X as one account sees it: it may refuse duplicates, and its timeline lags."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._may_send_again = False

    def check_credentials(self) -> None:
        """Nothing but a setting stops us here, and none does."""

    def admitted(self, text: str) -> AbstractContextManager[None]:
        return nullcontext()

    def create_post(self, text: str) -> PostResult:
        world = self._world
        world.calls += 1
        renewed = self._may_send_again
        self._check_owner(text)
        result: PostResult = world.effect(
            "post", lambda: self._make(text), lambda fault: self._failed(fault, renewed)
        )
        return result

    def own_timeline(self, since: datetime) -> list[OwnPost]:
        world = self._world

        def read() -> list[OwnPost]:
            return [
                OwnPost(post_id=post.post_id, text=post.shown, created_at=post.made_at)
                for post in world.posts
                if post.visible_from <= world.now and post.made_at >= since
            ]

        def failed(fault: Fault) -> list[OwnPost]:
            raise UpstreamUnavailable(fault, provider="x", endpoint="users/:id/tweets")

        posts: list[OwnPost] = world.effect("timeline", read, failed)
        return posts

    def refresh_credentials(self) -> bool:
        self._may_send_again = True
        return True

    def _make(self, text: str) -> PostResult:
        world = self._world
        if any(post.text == text for post in world.posts):
            if world.refuses_duplicates:
                return DuplicateRefused("duplicate content")
            raise self._doubled(f"posted twice: {text!r}")
        post = Made(
            post_id=str(1000 + len(world.posts)),
            text=text,
            shown=as_x_shows(text),
            made_at=world.now + world.skew,
            visible_from=world.now + world.lag,
        )
        world.posts.append(post)
        return Created(post.post_id)

    def _failed(self, fault: Fault, renewed: bool) -> PostResult:
        match fault:
            case Fault.REFUSED:
                self._world.refusals += 1
                return Refused(400, "X answered 400")
            case Fault.RATE_LIMITED:
                return RateLimited(self._world.now + self._world.skew, "X answered 429")
            case Fault.UNAUTHORIZED:
                # With new credentials too: that is X's last word.
                self._world.refusals += renewed
                return Unauthorized("X answered 401")
            case Fault.NOT_SENT:
                return NotSent("no connection")
            case Fault.DUPLICATE:
                return DuplicateRefused("duplicate content")
            case Fault.BREAK_AFTER:
                raise RuntimeError("the adapter broke")
        return Unknown(fault)

    def _doubled(self, what: str) -> Doubled:
        self._world.doubled = what
        return Doubled(what)

    def _check_owner(self, text: str) -> None:
        """Whoever sends holds the entry with a token that nobody has sent with before."""
        world = self._world
        # Another may have doubted the sender by now, who still holds the entry by its token.
        sendable = {"SENDING", "UNKNOWN"}
        rows = [row for row in world.memory.rows.values() if row.get("text") == text]
        sending = [row["owner"] for row in rows if row.get("state") in sendable]
        if len(sending) != 1 or (sending[0] in world.owners and not self._may_send_again):
            raise self._doubled(f"sent without holding SENDING, or twice under a token: {rows}")
        self._may_send_again = False
        world.owners.add(sending[0])


class Actor(threading.Thread):
    """An execution that stops before each of its effects, until it is told to go on."""

    def __init__(self, world: "SteppedWorld", what: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.kind = ""
        """Of the effect it stands before."""
        self.done = False
        self._started_at = world.now
        self._world = world
        self._what = what
        self._fault: Fault | None = None
        self._error: BaseException | None = None
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self.start()
        self._stopped.acquire()

    def step(self, fault: Fault | None = None) -> None:
        """Let the effect happen, or go wrong, and run up to the next one."""
        self._fault = fault
        self._go.release()
        self._stopped.acquire()
        if self._error:
            raise self._error

    def before(self, kind: str) -> Fault | None:
        """Called by the execution itself, before an effect."""
        self.kind = kind
        self._stopped.release()
        self._go.acquire()
        if self._world.now - self._started_at > LIFE:
            raise Crash
        return self._fault

    def run(self) -> None:
        try:
            self._what()
        except BaseException as error:  # told to whoever steps, on the thread of the test
            self._error = error
        self.done = True
        self._stopped.release()


class SteppedWorld(World):
    """A world whose executions are interleaved effect by effect."""

    def _next_fault(self, kind: str) -> Fault | None:
        me = threading.current_thread()
        return me.before(kind) if isinstance(me, Actor) else None

    def _live(self) -> None:
        """An actor looks at its age when it goes on."""
