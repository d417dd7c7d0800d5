"""Reconciling: a post is adopted when it is seen, sent again when it is proved absent, or asked."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from marquee.errors import (
    BadInput,
    Conflict,
    MarqueeError,
    Misconfigured,
    NotFound,
    SlotAhead,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry, LedgerState, Outcome, Status
from marquee.tweets.posting import Created, OwnPost, PostResult, Unknown
from marquee.tweets.publish import ABSENCE_COUNTS_AFTER, ABSENT_FOR, ABSENT_READS
from marquee.tweets.reconcile import (
    CLAIMED_IS_STUCK_AFTER,
    LOOK_BACK,
    MAX_TIMES_ABSENT,
    SWEPT_AT_ONCE,
    Decision,
    ReconcilePostInput,
    Sweep,
    decide_post,
    reconcile_post,
    sweep,
)
from marquee.tweets.rows import Rows
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.test_ledger import approved, claimed, moved, posted, status_of
from tests.unit.tweets.world import ACCOUNT, START, as_x_shows

TEXT = "A film & a half: https://example.com/half"
REQUEST = ReconcilePostInput(account=ACCOUNT, tweet_id="101")


@pytest.fixture
def rows() -> Rows:
    """The store's own tests show that DynamoDB does the same."""
    return MemoryRows()


class TimelineX:
    """X with a timeline that is handed in."""

    def __init__(self, *posts: OwnPost, fails: bool = False, misconfigured: bool = False) -> None:
        self.posts = posts
        self.fails = fails
        self.misconfigured = misconfigured
        self.held: Exception | None = None
        self.sent: list[str] = []
        self.since: list[datetime] = []

    def check_credentials(self) -> None:
        if self.misconfigured:
            raise Misconfigured("client_id is not set")

    def admitted(self, text: str) -> AbstractContextManager[None]:
        return nullcontext()

    def create_post(self, text: str) -> PostResult:
        self.sent.append(text)
        return Created("9900") if not self.fails else Unknown("timeout")

    def own_timeline(self, since: datetime) -> Sequence[OwnPost]:
        self.since.append(since)
        if self.held:
            raise self.held
        if self.fails:
            raise UpstreamUnavailable("reset", provider="x", endpoint="users/:id/tweets")
        return self.posts

    def refresh_credentials(self) -> bool:
        return False


def a_post(**fields: Any) -> OwnPost:
    facts: dict[str, Any] = {"post_id": "9001", "text": as_x_shows(TEXT), "created_at": START}
    return OwnPost.model_validate({**facts, **fields})


def in_doubt(rows: Rows, **fields: Any) -> LedgerEntry:
    sending = moved(rows, claimed(rows, text=TEXT), LedgerState.SENDING, sending_at=START)
    return moved(rows, sending, LedgerState.UNKNOWN, **fields)


def look(rows: Rows, x: TimelineX, *, after: timedelta = timedelta()) -> Outcome:
    return reconcile_post(REQUEST, PostLedger(rows), x, clock=lambda: START + after)


def looked(rows: Rows, x: TimelineX, *minutes: float) -> list[LedgerState]:
    return [look(rows, x, after=timedelta(minutes=minute)).state for minute in minutes]


def test_a_post_that_is_seen_is_adopted(rows: Rows) -> None:
    in_doubt(rows)
    x = TimelineX(a_post(post_id="8000", text="something else"), a_post())
    outcome = look(rows, x)
    assert (outcome.state, outcome.post_id) == (LedgerState.POSTED, "9001")
    assert outcome.price_usd == 0.200
    assert x.since == [START - LOOK_BACK]
    assert status_of(rows) is Status.POSTED


def test_a_clock_five_minutes_behind_ours_does_not_hide_the_post(rows: Rows) -> None:
    in_doubt(rows)
    x = TimelineX(a_post(created_at=START - timedelta(minutes=5)))
    assert look(rows, x).state is LedgerState.POSTED


@pytest.mark.parametrize("older", [timedelta(minutes=10, seconds=1), timedelta(days=8)])
def test_a_post_of_an_earlier_time_is_not_adopted(rows: Rows, older: timedelta) -> None:
    in_doubt(rows)
    assert look(rows, TimelineX(a_post(created_at=START - older))).state is LedgerState.UNKNOWN


def test_a_post_of_another_tweet_is_not_adopted(rows: Rows) -> None:
    posted(rows, claimed(rows, tweet_id="100", text="first"), post_id="9001")
    in_doubt(rows)
    assert look(rows, TimelineX(a_post())).state is LedgerState.UNKNOWN


def test_two_posts_with_its_text_are_for_a_human(rows: Rows) -> None:
    in_doubt(rows)
    outcome = look(rows, TimelineX(a_post(), a_post(post_id="9002")))
    assert outcome.state is LedgerState.NEEDS_HUMAN
    assert outcome.reason == "posts 9001, 9002 all have its text"
    assert outcome.wait_until is None


def test_it_is_sent_again_only_after_enough_reads_over_enough_time(rows: Rows) -> None:
    in_doubt(rows)
    states = looked(rows, TimelineX(), 0.5, 2, 4, 6, 8, 10, 11.9, 12, 14)
    assert states == [*[LedgerState.UNKNOWN] * 7, *[LedgerState.CLAIMED] * 2]
    entry = PostLedger(rows).get(ACCOUNT, "101")
    assert entry
    assert (entry.text, entry.times_absent) == (TEXT, 1)
    assert status_of(rows) is Status.APPROVED


def test_few_reads_prove_nothing_however_late(rows: Rows) -> None:
    in_doubt(rows)
    assert looked(rows, TimelineX(), 600, 1200) == [LedgerState.UNKNOWN] * (ABSENT_READS - 1)


def test_reads_close_together_are_one(rows: Rows) -> None:
    in_doubt(rows)
    states = looked(rows, TimelineX(), 20, 20.1, 20.2, 20.3, 31, 31.1, 31.2)
    assert states == [LedgerState.UNKNOWN] * 7


def test_a_read_while_the_sender_may_live_is_no_absence(rows: Rows) -> None:
    in_doubt(rows)
    look(rows, TimelineX(), after=ABSENCE_COUNTS_AFTER - timedelta(seconds=1))
    entry = PostLedger(rows).get(ACCOUNT, "101")
    assert entry
    assert entry.reads_absent == 0


def test_following_the_waits_is_enough_to_prove_an_absence(rows: Rows) -> None:
    in_doubt(rows)
    now, reads, x = START, 0, TimelineX()
    while (outcome := look(rows, x, after=now - START)).state is LedgerState.UNKNOWN:
        assert outcome.wait_until
        assert outcome.wait_until > now
        now, reads = outcome.wait_until, reads + 1
    assert (outcome.state, now) == (LedgerState.CLAIMED, START + ABSENCE_COUNTS_AFTER + ABSENT_FOR)
    assert reads == ABSENT_READS + 1


def test_a_text_that_never_shows_is_for_a_human_in_the_end(rows: Rows) -> None:
    in_doubt(rows, times_absent=MAX_TIMES_ABSENT - 1, reason="X says duplicate")
    states = looked(rows, TimelineX(), 2, 4, 12)
    assert states[-1] is LedgerState.NEEDS_HUMAN
    entry = PostLedger(rows).get(ACCOUNT, "101")
    assert entry
    assert "X says duplicate" in entry.reason


def test_a_timeline_that_cannot_be_read_changes_nothing(rows: Rows) -> None:
    before = in_doubt(rows)
    with pytest.raises(UpstreamUnavailable):
        look(rows, TimelineX(fails=True), after=timedelta(minutes=30))
    assert PostLedger(rows).get(ACCOUNT, "101") == before


def test_without_a_slot_to_look_it_waits_for_one_and_nothing_is_changed(rows: Rows) -> None:
    before = in_doubt(rows)
    x = TimelineX(a_post())
    at = START + timedelta(minutes=9)
    x.held = SlotAhead(provider="x", endpoint="users/tweets", at=at)
    outcome = look(rows, x)
    assert (outcome.state, outcome.wait_until) == (LedgerState.UNKNOWN, at)
    assert PostLedger(rows).get(before.account, before.tweet_id) == before
    x.held = None
    assert look(rows, x).state is LedgerState.POSTED


def test_a_post_that_is_not_in_doubt_is_left_alone(rows: Rows) -> None:
    claimed(rows, text=TEXT)
    x = TimelineX(a_post())
    assert look(rows, x).state is LedgerState.CLAIMED
    assert x.since == []


def test_a_post_that_was_never_claimed_is_not_found(rows: Rows) -> None:
    with pytest.raises(NotFound):
        look(rows, TimelineX())


def decide(rows: Rows, state: LedgerState, post_id: str | None = None) -> LedgerEntry:
    decision = Decision.model_validate({"state": state, "post_id": post_id, "reason": "I looked"})
    return decide_post(REQUEST, decision, PostLedger(rows), now=START)


@pytest.mark.parametrize(
    ("state", "post_id", "status"),
    [
        (LedgerState.POSTED, "9001", Status.POSTED),
        (LedgerState.CLAIMED, None, Status.APPROVED),
        (LedgerState.REJECTED, None, Status.REJECTED),
    ],
)
def test_a_human_decides_what_a_machine_cannot(
    rows: Rows, state: LedgerState, post_id: str | None, status: Status
) -> None:
    moved(rows, in_doubt(rows), LedgerState.NEEDS_HUMAN)
    entry = decide(rows, state, post_id)
    assert (entry.state, entry.post_id, entry.reason) == (state, post_id, "I looked")
    assert status_of(rows) is status
    # Said again, as one whose answer was lost: nothing more happens.
    assert decide(rows, state, post_id) == entry == PostLedger(rows).get(ACCOUNT, "101")


def test_what_x_refused_may_be_released_by_a_human(rows: Rows) -> None:
    moved(rows, in_doubt(rows), LedgerState.REJECTED)
    assert decide(rows, LedgerState.CLAIMED).state is LedgerState.CLAIMED


@pytest.mark.parametrize(
    ("state", "post_id", "error", "said"),
    [
        (LedgerState.POSTED, None, BadInput, "post_id"),
        (LedgerState.CLAIMED, "9001", BadInput, "post_id"),
        (LedgerState.SENDING, None, ValidationError, "state"),
        (LedgerState.UNKNOWN, None, ValidationError, "state"),
        (LedgerState.POSTED, "9002", Conflict, "the post 9002 is that of tweet 100"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(
    rows: Rows,
    state: LedgerState,
    post_id: str | None,
    error: type[MarqueeError | ValidationError],
    said: str,
) -> None:
    posted(rows, claimed(rows, tweet_id="100", text="first"), post_id="9002")
    before = moved(rows, in_doubt(rows), LedgerState.NEEDS_HUMAN)
    with pytest.raises(error, match=said):
        decide(rows, state, post_id)
    assert PostLedger(rows).get(ACCOUNT, "101") == before


def test_nobody_decides_while_a_machine_is_at_it(rows: Rows) -> None:
    in_doubt(rows)
    with pytest.raises(Conflict, match="the post is UNKNOWN: there is nothing to decide"):
        decide(rows, LedgerState.CLAIMED)


def test_what_is_not_sent_yet_is_stopped_by_a_human_and_by_no_sweep_sent(rows: Rows) -> None:
    claimed(rows, text=TEXT)
    assert decide(rows, LedgerState.REJECTED).state is LedgerState.REJECTED
    assert status_of(rows) is Status.REJECTED
    x = TimelineX()
    assert (swept(rows, x, minutes=60).outcomes, x.sent) == ((), [])


def test_what_x_refused_is_not_given_up_twice(rows: Rows) -> None:
    moved(rows, in_doubt(rows), LedgerState.REJECTED)
    with pytest.raises(Conflict, match="REJECTED already"):
        decide(rows, LedgerState.REJECTED)


def test_a_text_that_another_tweet_took_meanwhile_is_not_released(rows: Rows) -> None:
    moved(rows, in_doubt(rows), LedgerState.REJECTED)
    claimed(rows, tweet_id="102", text=TEXT)
    with pytest.raises(Conflict, match="another tweet has its text"):
        decide(rows, LedgerState.CLAIMED)


def test_of_two_operators_at_once_one_decides(rows: Rows) -> None:
    moved(rows, in_doubt(rows), LedgerState.NEEDS_HUMAN)

    class Late(PostLedger):
        def advance(self, before: LedgerEntry, after: LedgerEntry) -> LedgerEntry | None:
            decide(rows, LedgerState.REJECTED)
            return super().advance(before, after)

    decision = Decision(state=LedgerState.CLAIMED, reason="it is not there")
    with pytest.raises(Conflict, match="changed meanwhile"):
        decide_post(REQUEST, decision, Late(rows), now=START)
    assert status_of(rows) is Status.REJECTED


def swept(rows: Rows, x: TimelineX, *, minutes: float, max_posts: int = 10) -> Sweep:
    clock = lambda: START + timedelta(minutes=minutes)  # noqa: E731 - one line says it
    return sweep(PostLedger(rows), TweetStore(rows), lambda _: x, max_posts=max_posts, clock=clock)


def test_a_sweep_takes_up_what_is_too_old_and_nothing_else(rows: Rows) -> None:
    in_doubt(rows)
    moved(rows, claimed(rows, tweet_id="102", text="102"), LedgerState.SENDING, sending_at=START)
    claimed(rows, tweet_id="103", text="103")
    fresh = START + CLAIMED_IS_STUCK_AFTER
    claimed(rows, tweet_id="104", text="104", now=fresh)
    later = claimed(rows, tweet_id="105", text="105")
    sending = moved(rows, later, LedgerState.SENDING)
    moved(rows, sending, LedgerState.CLAIMED, not_before=fresh + timedelta(hours=1))
    done = swept(rows, TimelineX(a_post()), minutes=5)
    states = {outcome.tweet_id: outcome.state for outcome in done.outcomes}
    assert states == {
        "101": LedgerState.POSTED,
        "102": LedgerState.UNKNOWN,
        "103": LedgerState.POSTED,
    }
    assert (done.failed, done.left, done.needs_human) == ((), 0, ())


def test_a_sweep_sends_no_more_than_it_may(rows: Rows) -> None:
    for tweet_id in ("101", "102", "103"):
        claimed(rows, tweet_id=tweet_id, text=tweet_id)
    x = TimelineX()
    done = swept(rows, x, minutes=5, max_posts=1)
    assert (x.sent, done.left) == (["101"], 2)


def test_one_that_fails_does_not_stop_the_sweep_and_a_human_is_named(rows: Rows) -> None:
    in_doubt(rows)
    claimed(rows, tweet_id="102", text="102")
    moved(
        rows,
        moved(rows, claimed(rows, tweet_id="103", text="103"), LedgerState.SENDING),
        LedgerState.NEEDS_HUMAN,
    )
    done = swept(rows, TimelineX(fails=True), minutes=5)
    assert [outcome.tweet_id for outcome in done.outcomes] == ["102"]
    assert done.needs_human == ("103",)
    [failure] = done.failed
    assert failure.startswith("101: UpstreamUnavailable")


def many_in_doubt(rows: Rows) -> None:
    for tweet_id in map(str, range(101, 101 + SWEPT_AT_ONCE)):
        sending = moved(rows, claimed(rows, tweet_id=tweet_id, text=tweet_id), LedgerState.SENDING)
        moved(rows, sending, LedgerState.UNKNOWN, sending_at=START)


def test_however_many_are_looked_for_what_is_to_be_sent_has_its_turn(rows: Rows) -> None:
    many_in_doubt(rows)
    claimed(rows, tweet_id="999", text="999")
    x = TimelineX()
    x.held = SlotAhead(provider="x", endpoint="users/tweets", at=START + timedelta(hours=2))
    done = swept(rows, x, minutes=60)
    assert (len(done.outcomes), x.sent) == (SWEPT_AT_ONCE + 1, ["999"])


def test_a_timeline_that_does_not_answer_in_time_is_asked_once(rows: Rows) -> None:
    many_in_doubt(rows)
    claimed(rows, tweet_id="999", text="999")
    x = TimelineX()
    x.held = UpstreamTimeout("no answer within 10 s", provider="x", endpoint="users/tweets")
    done = swept(rows, x, minutes=60)
    [failure] = done.failed
    assert failure.startswith("101: UpstreamTimeout")
    assert (len(x.since), x.sent) == (1, ["999"])


def test_a_gap_in_the_timeline_of_one_post_hides_no_later_one(rows: Rows) -> None:
    sending = moved(rows, claimed(rows, tweet_id="100", text="old"), LedgerState.SENDING)
    moved(rows, sending, LedgerState.UNKNOWN, sending_at=START)
    later = START + timedelta(days=1)
    sending = moved(rows, claimed(rows, text=TEXT, now=later), LedgerState.SENDING, now=later)
    moved(rows, sending, LedgerState.UNKNOWN, sending_at=later, now=later)

    class Gap(TimelineX):
        def own_timeline(self, since: datetime) -> Sequence[OwnPost]:
            self.fails = since < START
            return super().own_timeline(since)

    x = Gap(a_post(created_at=later))
    done = swept(rows, x, minutes=25 * 60)
    assert [failure.split(":")[0] for failure in done.failed] == ["100"]
    assert [(each.tweet_id, each.state) for each in done.outcomes] == [("101", LedgerState.POSTED)]


def test_an_account_that_cannot_post_is_named_once_and_takes_no_turn_of_another(
    rows: Rows,
) -> None:
    for tweet_id in ("101", "102"):
        claimed(rows, tweet_id=tweet_id, text=tweet_id)
    theirs = approved(rows, tweet_id="103", text="103")
    PostLedger(rows).claim("another", theirs, now=START + timedelta(seconds=1))
    xs = {ACCOUNT: TimelineX(misconfigured=True), "another": TimelineX()}
    clock = lambda: START + timedelta(minutes=6)  # noqa: E731 - one line says it
    done = sweep(PostLedger(rows), TweetStore(rows), xs.__getitem__, max_posts=1, clock=clock)
    assert done.failed == ("101: Misconfigured: client_id is not set",)
    assert [outcome.tweet_id for outcome in done.outcomes] == ["103"]
    assert (xs[ACCOUNT].sent, done.left) == ([], 0)
