"""Publishing: what each answer of X leads to, who may send, and how long to wait."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from marquee.errors import (
    BadInput,
    BreakerOpen,
    Deferred,
    Misconfigured,
    NotFound,
    SlotAhead,
    SpendRefused,
    StoreUnavailable,
)
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry, LedgerState, Outcome, Status
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
from marquee.tweets.publish import (
    FIRST_LOOK_AFTER,
    LONGEST_RESET,
    RESET_UNKNOWN,
    RETRY_AFTER,
    PublishTweetInput,
    publish_tweet,
)
from marquee.tweets.rows import Rows, Swap
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.test_ledger import approved, claimed, moved, status_of
from tests.unit.tweets.world import ACCOUNT, SOURCE, START

TEXT = "A film & a half"


@pytest.fixture
def rows() -> Rows:
    """The store's own tests show that DynamoDB does the same."""
    return MemoryRows()


class ScriptedX:
    """X with its answers written down; what it is asked before each answer may be acted upon."""

    def __init__(self, *results: PostResult | Exception, renews: bool | Exception = True) -> None:
        self.sent: list[str] = []
        self.renewals = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self.misconfigured = ""
        self.held: Exception | None = None
        self.asked: list[str] = []
        self._results = list(results)
        self._renews = renews

    def check_credentials(self) -> None:
        if self.misconfigured:
            raise Misconfigured(self.misconfigured)

    @contextmanager
    def admitted(self, text: str) -> Iterator[None]:
        if self.held:
            raise self.held
        self.asked.append("admitted")
        yield
        self.asked.append("left")

    def create_post(self, text: str) -> PostResult:
        self.sent.append(text)
        self.meanwhile()
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def own_timeline(self, since: datetime) -> Sequence[OwnPost]:
        raise AssertionError("nobody reads the timeline here")

    def refresh_credentials(self) -> bool:
        self.renewals += 1
        if isinstance(self._renews, Exception):
            raise self._renews
        return self._renews


def publish(rows: Rows, x: ScriptedX, *, now: datetime = START, tweet_id: str = "101") -> Outcome:
    request = PublishTweetInput(account=ACCOUNT, source=SOURCE, tweet_id=tweet_id)
    return publish_tweet(request, TweetStore(rows), PostLedger(rows), x, clock=lambda: now)


def entry_of(rows: Rows) -> LedgerEntry:
    entry = PostLedger(rows).get(ACCOUNT, "101")
    assert entry
    return entry


def test_a_created_post_is_posted_with_its_id_and_price(rows: Rows) -> None:
    approved(rows, text="See example.com")
    x = ScriptedX(Created("9001"))
    outcome = publish(rows, x)
    assert x.sent == ["See example.com"]
    assert (outcome.state, outcome.post_id) == (LedgerState.POSTED, "9001")
    assert (outcome.price_usd, outcome.wait_until) == (0.200, None)
    assert status_of(rows) is Status.POSTED


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Refused(400, "too long"), LedgerState.REJECTED),
        (Refused(402, "no credits"), LedgerState.REJECTED),
        (Refused(403, "forbidden"), LedgerState.REJECTED),
        (RateLimited(None, "later"), LedgerState.CLAIMED),
        (NotSent("no connection"), LedgerState.CLAIMED),
        (DuplicateRefused("duplicate"), LedgerState.UNKNOWN),
        (Unknown("timeout"), LedgerState.UNKNOWN),
        (RuntimeError("the adapter broke"), LedgerState.UNKNOWN),
    ],
)
def test_every_other_answer_has_its_state(
    rows: Rows, result: PostResult | Exception, state: LedgerState
) -> None:
    approved(rows)
    x = ScriptedX(result)
    outcome = publish(rows, x)
    assert (outcome.state, len(x.sent)) == (state, 1)
    assert outcome.reason
    assert outcome.price_usd == 0
    # Asked again at once, nobody sends again.
    assert publish(rows, x).state is state
    assert len(x.sent) == 1


@pytest.mark.parametrize(
    ("reset", "not_before"),
    [
        (None, RESET_UNKNOWN),
        (timedelta(minutes=7), timedelta(minutes=7)),
        (timedelta(minutes=-7), RETRY_AFTER),
        (timedelta(days=999), LONGEST_RESET),
    ],
)
def test_after_a_rate_limit_it_waits_for_the_reset_within_bounds(
    rows: Rows, reset: timedelta | None, not_before: timedelta
) -> None:
    approved(rows)
    x = ScriptedX(RateLimited(START + reset if reset else None, "later"), Created("9001"))
    outcome = publish(rows, x)
    assert outcome.wait_until == START + not_before
    assert publish(rows, x, now=START + not_before).state is LedgerState.POSTED


def test_after_a_401_the_credentials_are_renewed_and_it_is_sent_again(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Unauthorized("expired"), Created("9001"))
    assert publish(rows, x).state is LedgerState.POSTED
    assert (x.sent, x.renewals) == ([TEXT, TEXT], 1)


def test_a_second_401_is_the_last_word(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Unauthorized("expired"), Unauthorized("revoked"))
    outcome = publish(rows, x)
    assert (outcome.state, outcome.reason) == (LedgerState.REJECTED, "revoked")
    assert x.renewals == 1


def test_without_new_credentials_a_401_is_the_last_word(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Unauthorized("expired"), renews=False)
    assert publish(rows, x).state is LedgerState.REJECTED
    assert len(x.sent) == 1


def test_what_only_an_operator_can_mend_fails_before_sending_is_taken(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Created("9001"))
    x.misconfigured = "client_id is not set"
    for _ in range(2):
        with pytest.raises(Misconfigured, match="client_id is not set"):
            publish(rows, x)
    entry = entry_of(rows)
    assert (entry.state, entry.version, x.sent) == (LedgerState.CLAIMED, 1, [])
    assert status_of(rows) is Status.APPROVED
    x.misconfigured = ""
    assert publish(rows, x).state is LedgerState.POSTED


@pytest.mark.parametrize("state", [LedgerState.SENDING, LedgerState.POSTED])
def test_credentials_matter_only_where_something_is_to_be_sent(
    rows: Rows, state: LedgerState
) -> None:
    entry = moved(rows, claimed(rows), LedgerState.SENDING, owner="another", sending_at=START)
    if state is LedgerState.POSTED:
        moved(rows, entry, state, post_id="9001")
    x = ScriptedX()
    x.misconfigured = "client_id is not set"
    assert publish(rows, x).state in {LedgerState.UNKNOWN, LedgerState.POSTED}


SLOT_AT = START + timedelta(minutes=3)
IN_VAIN: dict[str, Any] = {"provider": "x", "endpoint": "tweets"}


@pytest.mark.parametrize(
    "held",
    [
        SlotAhead(at=SLOT_AT, **IN_VAIN),
        Deferred("no slot is near", at=SLOT_AT, **IN_VAIN),
        BreakerOpen("x has failed", at=SLOT_AT, **IN_VAIN),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_gateway_lets_go_later_waits_until_then_untouched(
    rows: Rows, held: Exception
) -> None:
    approved(rows)
    x = ScriptedX(Created("9001"))
    x.held = held
    outcome = publish(rows, x)
    assert (outcome.state, outcome.wait_until) == (LedgerState.CLAIMED, SLOT_AT)
    assert outcome.reason == str(held)
    entry = entry_of(rows)
    assert (entry.state, entry.version, entry.not_before, x.sent) == (
        LedgerState.CLAIMED,
        1,
        None,
        [],
    )
    x.held = None
    assert publish(rows, x, now=SLOT_AT).state is LedgerState.POSTED


@pytest.mark.parametrize(
    "held", [SpendRefused("x is closed", **IN_VAIN), StoreUnavailable("the table is down")]
)
def test_what_is_not_admitted_for_good_rises_before_sending_is_taken(
    rows: Rows, held: Exception
) -> None:
    approved(rows)
    x = ScriptedX()
    x.held = held
    with pytest.raises(type(held)):
        publish(rows, x)
    entry = entry_of(rows)
    assert (entry.state, entry.version, x.sent) == (LedgerState.CLAIMED, 1, [])


def test_it_is_admitted_before_sending_is_taken_and_told_after_the_answer_is_stored() -> None:
    x = ScriptedX(Created("9001"))

    class Watched(MemoryRows):
        def swap(self, *swaps: Swap) -> bool:
            states = [(swap.item or {}).get("state") for swap in swaps]
            x.asked += [str(state) for state in states if state]
            return super().swap(*swaps)

    x.meanwhile = lambda: x.asked.append("call")
    watched = Watched()
    approved(watched)
    publish(watched, x)
    assert x.asked == ["CLAIMED", "admitted", "SENDING", "call", "POSTED", "left"]


def test_the_outcome_counts_where_the_post_stands(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(RateLimited(START + timedelta(minutes=7), "later"), Created("9001"))
    waiting = publish(rows, x).model_dump(mode="json")["counts"]
    until = START + timedelta(minutes=7)
    assert waiting == {"state": "CLAIMED", "wait_until": until.isoformat()}
    posted = publish(rows, x, now=until).model_dump(mode="json")["counts"]
    assert posted == {"state": "POSTED", "post_id": "9001"}


def test_credentials_that_cannot_be_renewed_now_leave_the_post_claimed(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Unauthorized("expired"), renews=Misconfigured("no refresh token"))
    outcome = publish(rows, x)
    assert outcome.state is LedgerState.CLAIMED
    assert "no refresh token" in outcome.reason


def test_what_another_left_in_sending_is_doubted_and_not_sent(rows: Rows) -> None:
    moved(rows, claimed(rows), LedgerState.SENDING, owner="another", sending_at=START)
    x = ScriptedX()
    outcome = publish(rows, x)
    assert (outcome.state, x.sent) == (LedgerState.UNKNOWN, [])
    assert outcome.wait_until == START + FIRST_LOOK_AFTER
    assert status_of(rows) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Created("9001"), LedgerState.POSTED),
        (Refused(400, "too long"), LedgerState.REJECTED),
        (RateLimited(None, "later"), LedgerState.CLAIMED),
        (Unknown("timeout"), LedgerState.UNKNOWN),
    ],
)
def test_the_answer_counts_also_if_another_doubted_us_meanwhile(
    rows: Rows, result: PostResult, state: LedgerState
) -> None:
    approved(rows)
    other = ScriptedX()
    x = ScriptedX(result)
    x.meanwhile = lambda: publish(rows, other)
    assert publish(rows, x).state is state
    assert other.sent == []


def test_a_created_post_counts_even_after_its_absence_was_believed_proved(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX(Created("9001"))

    def give_up() -> None:
        unknown = moved(rows, entry_of(rows), LedgerState.UNKNOWN)
        moved(rows, unknown, LedgerState.CLAIMED)

    x.meanwhile = give_up
    assert publish(rows, x).post_id == "9001"


def test_an_id_that_belongs_to_another_tweet_is_for_a_human(rows: Rows) -> None:
    first = moved(rows, claimed(rows, tweet_id="100", text="first"), LedgerState.SENDING)
    moved(rows, first, LedgerState.POSTED, post_id="9001")
    approved(rows)
    outcome = publish(rows, ScriptedX(Created("9001")))
    assert outcome.state is LedgerState.NEEDS_HUMAN
    assert "9001" in outcome.reason


def test_who_was_held_up_before_the_call_does_not_send(rows: Rows) -> None:
    approved(rows)
    x = ScriptedX()
    # claim, check, taking SENDING, and then, a minute later, the call
    times = iter([START, START, START, *[START + timedelta(minutes=1)] * 9])
    request = PublishTweetInput(account=ACCOUNT, source=SOURCE, tweet_id="101")
    outcome = publish_tweet(
        request, TweetStore(rows), PostLedger(rows), x, clock=lambda: next(times)
    )
    assert (outcome.state, x.sent) == (LedgerState.CLAIMED, [])


def test_a_tweet_whose_approval_was_taken_back_is_skipped(rows: Rows) -> None:
    claimed(rows)
    tweets = TweetStore(rows)
    tweet = tweets.get(SOURCE, "101")
    assert tweet
    tweets.change(tweet, Status.REJECTED, now=START)
    x = ScriptedX()
    outcome = publish(rows, x)
    assert (outcome.state, x.sent) == (LedgerState.SKIPPED, [])


def test_a_tweet_that_is_not_approved_is_not_claimed(rows: Rows) -> None:
    tweet = approved(rows)
    TweetStore(rows).change(tweet, Status.SKIPPED, now=START)
    with pytest.raises(BadInput, match="tweet 101 is SKIPPED, not approved"):
        publish(rows, ScriptedX())
    assert PostLedger(rows).get(ACCOUNT, "101") is None


def test_a_tweet_that_is_not_stored_is_not_found(rows: Rows) -> None:
    with pytest.raises(NotFound):
        publish(rows, ScriptedX())


class DownFrom(MemoryRows):
    """Rows that cannot be written from the nth write on."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._left = writes

    def swap(self, *swaps: Swap) -> bool:
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailable("down")
        return super().swap(*swaps)


def test_without_the_ledger_nothing_is_sent() -> None:
    rows = DownFrom(2)  # the tweet, the claim
    approved(rows)
    x = ScriptedX()
    with pytest.raises(StoreUnavailable):
        publish(rows, x)
    assert x.sent == []


def test_an_answer_that_cannot_be_stored_is_looked_for_later() -> None:
    rows = DownFrom(3)  # the tweet, the claim, SENDING
    approved(rows)
    x = ScriptedX(Created("9001"))
    outcome = publish(rows, x)
    assert (outcome.state, len(x.sent)) == (LedgerState.SENDING, 1)
    assert outcome.wait_until == START + FIRST_LOOK_AFTER
