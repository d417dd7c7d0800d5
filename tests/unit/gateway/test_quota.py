"""Booking a slot: when it is, whose it is, what moves it, and what the upstream's headers teach."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from marquee.errors import Misconfigured, StoreUnavailable
from marquee.gateway.quota import (
    CONSERVATIVE,
    ELEVATED,
    LEAD_SECONDS,
    MARGIN_SECONDS,
    MOST_REMEMBERED,
    MOST_WAITING,
    PATIENCE_SECONDS,
    PLANNED_MARGIN_SECONDS,
    REAL_LIMITS,
    Answered,
    Ledger,
    Policies,
    Policy,
    Quota,
    Slot,
    Waiting,
)
from marquee.gateway.rows import DynamoRows, Item, Key, Read, Rows, Swap
from tests.support.coordination_table import MemoryRows, book, create_coordination_table
from tests.support.virtual_time import START

POLICY = Policy("x", "search", "app", 3, 60)
SPAN = 60 + PLANNED_MARGIN_SECONDS


def seconds(slot: Slot) -> float:
    return (slot.at - START).total_seconds()


def headers(
    rows: MemoryRows, remaining: int, *, limit: int = 3, resets_in: int = 40, skew: int = 0
) -> dict[str, str]:
    """X's headers, by a clock that is ``skew`` seconds ahead of the table's."""
    at = rows.at + timedelta(seconds=skew)
    return {
        "date": format_datetime(at, usegmt=True),
        "x-rate-limit-limit": str(limit),
        "x-rate-limit-remaining": str(remaining),
        "x-rate-limit-reset": str(int(at.timestamp()) + resets_in),
    }


class Desk:
    """A quota on a table in a dictionary, asked at one time after another."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.rows = MemoryRows()
        self.quota = Quota(self.rows)
        self.policy = policy

    def book(self, holder: str) -> Slot:
        return book(self.rows, self.policy, holder, now=self.rows.at)

    def begin(self, holder: str, **options: Any) -> Slot:
        return self.quota.begin(self.policy, holder, now=self.rows.at, **options)

    def give_back(self, holder: str) -> None:
        self.quota.give_back(self.policy, holder, now=self.rows.at)

    def used(self, remaining: int, **options: Any) -> None:
        refused = options.pop("refused", False)
        heard = headers(self.rows, remaining, **options)
        self.quota.used(self.policy, heard, now=self.rows.at, refused=refused)

    def view(self) -> Any:
        return self.quota.view(self.policy, now=self.rows.at)


def test_a_free_quota_is_used_at_once_with_one_write() -> None:
    desk = Desk()
    assert desk.begin("a") == Slot(START, begun=True)
    assert (desk.rows.reads, desk.rows.writes) == (1, 1)


def test_who_comes_after_a_full_quota_gets_the_first_second_at_which_a_call_fits() -> None:
    desk = Desk()
    slots = [desk.book(holder) for holder in "abcdefg"]
    assert [seconds(slot) for slot in slots] == [0, 0, 0, SPAN, SPAN, SPAN, 2 * SPAN]
    assert all(slot.booked for slot in slots)


def test_the_same_holder_has_the_same_slot() -> None:
    desk = Desk()
    first = [desk.book(holder) for holder in "abcd"]
    desk.rows.later(7)
    writes = desk.rows.writes
    assert [desk.book(holder) for holder in "abcd"] == first
    assert desk.rows.writes == writes


def test_a_slot_can_not_begin_before_its_time() -> None:
    desk = Desk()
    for holder in "abc":
        desk.begin(holder)
    slot = desk.begin("d")
    assert (slot.begun, slot.booked, seconds(slot)) == (False, True, SPAN)
    desk.rows.later(SPAN - 1)
    assert not desk.begin("d").begun
    desk.rows.later(1)
    assert desk.begin("d").begun


def test_a_slot_that_has_begun_is_gone_so_a_retry_gets_another() -> None:
    desk = Desk(replace(POLICY, calls=1))
    assert desk.begin("a").begun
    slot = desk.begin("a")
    assert (slot.begun, seconds(slot)) == (False, SPAN)


def test_a_slot_out_of_reach_is_not_booked_but_said() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.begin("a")
    slot = desk.begin("b", within=timedelta(seconds=10))
    assert (slot.begun, slot.booked, seconds(slot)) == (False, False, SPAN)
    assert seconds(desk.begin("c")) == SPAN
    assert desk.begin("b", within=timedelta(seconds=2 * SPAN)).booked


def test_what_was_given_back_goes_to_whoever_books_next_and_moves_nobody() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.begin("a")
    slots = {holder: desk.book(holder) for holder in "bcd"}
    desk.give_back("b")
    assert seconds(desk.book("e")) == SPAN
    assert {holder: desk.book(holder) for holder in "cd"} == {h: slots[h] for h in "cd"}


def test_an_execution_that_has_ended_gives_back_all_its_slots_and_nobody_elses() -> None:
    desk = Desk(replace(POLICY, calls=1))
    held = ["run-1/DownloadTweets/1", "run-1/PublishTweet/7/1", "run-10/DownloadTweets/1"]
    for holder in held:
        desk.book(holder)
    desk.quota.give_back_all(POLICY, "run-1", now=desk.rows.at)
    assert [entry[2] for entry in desk.rows.rows[POLICY.key]["queue"]] == [held[2]]
    writes = desk.rows.writes
    desk.quota.give_back_all(POLICY, "run-1", now=desk.rows.at)
    assert desk.rows.writes == writes


def test_a_slot_says_how_much_of_the_quota_is_left() -> None:
    desk = Desk()
    left = [desk.begin(holder).left_percent for holder in "abcd"]
    assert left == pytest.approx([200 / 3, 100 / 3, 0, 0])


def test_a_call_that_has_begun_is_not_given_back() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.begin("a")
    desk.give_back("a")
    desk.give_back("never came")
    assert seconds(desk.book("b")) == SPAN


def test_the_slot_of_a_holder_that_never_comes_lapses() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.book("killed")
    desk.rows.later(PATIENCE_SECONDS)
    assert not desk.begin("b", within=timedelta(0)).begun
    desk.rows.later(1)
    assert desk.begin("b").begun


def test_a_holder_that_comes_after_its_slot_lapsed_books_anew() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.book("late")
    desk.rows.later(PATIENCE_SECONDS + 1)
    assert desk.begin("b").begun
    assert seconds(desk.begin("late")) == PATIENCE_SECONDS + 1 + SPAN


def test_a_holder_that_is_a_little_late_puts_off_nobody() -> None:
    desk = Desk(replace(POLICY, calls=1))
    desk.book("a")
    behind = desk.book("b")
    desk.rows.later(PLANNED_MARGIN_SECONDS - MARGIN_SECONDS)
    assert desk.begin("a").begun
    assert desk.book("b") == behind


def test_a_holder_that_is_later_puts_off_those_behind_by_as_much_in_their_order() -> None:
    desk = Desk(replace(POLICY, calls=1))
    for holder in "abc":
        desk.book(holder)
    desk.rows.later(5)
    assert desk.begin("a").begun
    assert seconds(desk.book("b")) == 5 + 60 + MARGIN_SECONDS
    assert seconds(desk.book("c")) == 5 + 2 * (60 + MARGIN_SECONDS)


def test_a_slot_that_was_booked_under_a_larger_quota_begins_under_the_smaller_one() -> None:
    desk = Desk()
    for holder in "abc":
        assert seconds(desk.book(holder)) == 0
    desk.policy = replace(POLICY, calls=1)
    assert desk.begin("a").begun
    slot = desk.begin("b")
    assert (slot.begun, slot.booked, seconds(slot)) == (False, True, 60 + MARGIN_SECONDS)


def test_a_write_that_took_long_counts_from_when_it_was_done() -> None:
    class Slow(MemoryRows):
        delays = 1

        def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
            if self.delays:
                self.delays -= 1
                self.later(4)
            return super().swap(key, expected, item)

    desk = Desk(replace(POLICY, calls=1))
    desk.rows = Slow()
    desk.quota = Quota(desk.rows)
    assert desk.begin("a") == Slot(START + timedelta(seconds=4), begun=True)
    assert seconds(desk.book("b")) == 4 + SPAN


def test_no_table_no_call() -> None:
    class Away(MemoryRows):
        def get(self, key: Key) -> Read:
            raise StoreUnavailable("away")

    quota = Quota(Away())
    for ask in (quota.begin, quota.give_back, quota.give_back_all):
        with pytest.raises(StoreUnavailable):
            ask(POLICY, "a", now=START)


def test_a_queue_has_an_end() -> None:
    desk = Desk()
    later = int(START.timestamp()) + SPAN
    queue = tuple(Waiting(later + n // 3 * SPAN, n, f"run-{n}") for n in range(MOST_WAITING))
    full = Ledger(3, 60, begun=(later - SPAN,) * 3, queue=queue)
    desk.rows.rows[POLICY.key] = {**full.item(START, None), "version": 1}
    assert not desk.begin("one too many").booked
    assert desk.begin("run-499").booked


def test_a_row_stays_small_however_large_the_limit_is() -> None:
    desk = Desk(Policy("bluesky", "*", "app", 3000, 300))
    for number in range(120):
        desk.begin(f"run-{number}")
        desk.rows.later(1)
    [row] = desk.rows.rows.values()
    assert len(row["begun"]) == MOST_REMEMBERED
    assert len(str(row)) < 1024


@pytest.mark.parametrize(("calls", "window"), sorted(set(REAL_LIMITS.values())))
def test_a_large_limit_is_kept_by_a_smaller_one_of_the_same_rate(calls: int, window: int) -> None:
    fewer, shorter = Policy("x", "e", "c", calls, window).pace
    parts = -(-window // shorter)
    assert fewer <= MOST_REMEMBERED
    assert fewer * parts <= calls
    assert fewer / shorter >= 0.95 * calls / window


# What the upstream says


def test_what_our_own_calls_explain_changes_nothing_and_writes_nothing() -> None:
    desk = Desk()
    for holder in "abc":
        desk.begin(holder)
    writes = desk.rows.writes
    desk.rows.later(1)
    desk.used(0)
    assert desk.rows.writes == writes
    assert seconds(desk.book("d")) == SPAN


def test_what_leaves_plenty_is_not_even_looked_up() -> None:
    desk = Desk()
    desk.begin("a")
    reads = desk.rows.reads
    desk.used(299, limit=300, resets_in=900)
    desk.quota.used(POLICY, {}, now=START)
    assert desk.rows.reads == reads


def test_someone_else_who_uses_the_quota_is_believed() -> None:
    desk = Desk()
    slots = [desk.book(holder) for holder in "abc"]
    assert [seconds(slot) for slot in slots] == [0, 0, 0]
    desk.begin("a")
    desk.used(1)  # of 3, we used 1
    assert desk.begin("b").begun
    slot = desk.begin("c")
    assert (slot.begun, slot.booked, seconds(slot)) == (False, True, 41)
    desk.rows.later(41)
    assert desk.begin("c").begun


def test_the_upstreams_clock_may_be_off() -> None:
    for skew in (-5, 5):
        desk = Desk()
        desk.begin("a")
        desk.used(0, skew=skew)
        assert seconds(desk.book("b")) == 41


def test_a_429_blocks_until_the_reset_and_keeps_the_order() -> None:
    desk = Desk(replace(POLICY, calls=2))
    for holder in "abcde":
        desk.book(holder)
    desk.begin("a")
    desk.used(0, limit=2, resets_in=100, refused=True)
    slots = [desk.book(holder) for holder in "bcdea"]
    assert [seconds(slot) for slot in slots] == [101, 101, 163, 163, 226]


def test_a_429_without_headers_blocks_for_a_window() -> None:
    desk = Desk()
    desk.quota.used(POLICY, {}, now=START, refused=True)
    assert seconds(desk.book("a")) == 61
    desk.quota.used(POLICY, {"retry-after": "300"}, now=START, refused=True)
    assert seconds(desk.book("b")) == 301


def test_answers_that_come_in_another_order_teach_the_same() -> None:
    starts = []
    for order in ((5, 4, 3), (3, 4, 5), (4, 3, 5)):
        desk = Desk(replace(POLICY, calls=10))
        for holder in "abc":
            desk.begin(holder)
        for remaining in order:
            desk.used(remaining, limit=10)
        starts.append([desk.begin(f"later {n}").begun for n in range(5)])
    assert starts == [[True, True, True, False, False]] * 3


def test_an_old_windows_answer_changes_nothing() -> None:
    desk = Desk()
    desk.begin("a")
    desk.used(0, resets_in=50)
    before = dict(desk.rows.rows[POLICY.key])
    desk.used(2, resets_in=10, limit=30)
    assert desk.rows.rows[POLICY.key] == before


def test_a_lower_limit_than_ours_is_kept_and_a_higher_one_is_not_used() -> None:
    desk = Desk(replace(POLICY, calls=10))
    desk.begin("a")
    desk.used(1, limit=2)
    assert desk.view().calls == 2
    desk.used(1, limit=300)
    assert desk.view().calls == 10


@pytest.mark.parametrize(
    "values",
    [
        {"x-rate-limit-reset": str(int(START.timestamp()) + 30)},
        {"ratelimit-reset": str(int(START.timestamp()) + 30)},
        {"x-ratelimit-reset": (START + timedelta(seconds=30)).isoformat()},
        {"x-ratelimit-reset": "2026-05-04T12:00:30"},
        {"retry-after": "30"},
    ],
)
def test_every_dialect_of_a_reset_is_understood(values: dict[str, str]) -> None:
    assert Answered.read(values, START) == Answered(None, None, 30)


@given(st.text(max_size=30))
def test_nonsense_in_a_header_is_nothing(text: str) -> None:
    names = ("date", "retry-after", "x-rate-limit-limit", "x-rate-limit-reset")
    answer = Answered.read(dict.fromkeys(names, text), START)
    assert all(value is None or value >= 0 for value in (answer.limit, answer.resets_in))


# Scouts


def test_after_a_pause_one_goes_ahead_and_the_others_follow_its_answer() -> None:
    desk = Desk(replace(POLICY, scouting=True))
    slots = [seconds(desk.book(holder)) for holder in "abcdef"]
    assert slots == [0, LEAD_SECONDS, LEAD_SECONDS, SPAN, SPAN + LEAD_SECONDS, SPAN + LEAD_SECONDS]
    desk.begin("a")
    desk.rows.later(1)
    desk.used(0)  # someone else has had the rest
    assert [seconds(desk.book(holder)) for holder in "bc"] == [40 + 2, 40 + 2 + LEAD_SECONDS]


def test_a_steady_caller_needs_no_scout() -> None:
    desk = Desk(replace(POLICY, calls=10, scouting=True))
    desk.begin("a")
    desk.rows.later(LEAD_SECONDS)
    assert desk.begin("b").begun
    assert desk.begin("c").begun


# Policies


def test_the_real_limits_are_the_defaults() -> None:
    policies = Policies()
    assert policies.of("x", "tweets/search/recent").calls == 300
    assert policies.of("x", "users/me", "nasa").key == Key("QUOTA#x", "users/me#nasa")
    assert policies.of("x", "somewhere/new").endpoint == "somewhere/new"
    assert policies.of("tmdb", "search/movie").key == policies.of("tmdb", "movie").key
    assert policies.of("bluesky", "com.atproto.server.createSession").calls == 30
    with pytest.raises(Misconfigured, match="no quota is known for myspace/songs"):
        policies.of("myspace", "songs")


def test_a_setting_overrides_them_for_a_provider_or_an_endpoint() -> None:
    policies = Policies("x=conservative x/users/me=elevated tmdb=20/2")
    search = policies.of("x", "tweets/search/recent")
    assert (search.calls, search.seconds) == CONSERVATIVE
    assert search.endpoint == "tweets/search/recent"
    me, tmdb = policies.of("x", "users/me"), policies.of("tmdb", "movie")
    assert (me.calls, me.seconds) == ELEVATED
    assert (tmdb.calls, tmdb.seconds, tmdb.endpoint) == (20, 2, "*")


@pytest.mark.parametrize("text", ["x", "x=", "=15/60", "x=15", "x=15/a", "x=-1/60", "x=fast"])
def test_a_setting_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="say <provider>"):
        Policies(text)


def test_a_quota_of_nothing_is_refused() -> None:
    with pytest.raises(Misconfigured, match="above 0"):
        Policies("x=0/60").of("x", "users/me")


def test_the_view_says_how_a_quota_stands() -> None:
    desk = Desk()
    for holder in "ab":
        desk.begin(holder)
    view = desk.view()
    assert (view.calls, view.used, view.left, view.waiting) == (3, 2, 1, 0)
    assert (view.next_at, view.blocked_until) == (START, None)
    desk.book("c")
    desk.book("d")
    desk.used(0, refused=True)
    view = desk.view()
    assert (view.left, view.waiting) == (0, 2)
    assert view.blocked_until == START + timedelta(seconds=40)
    desk.rows.later(41)
    assert desk.view().blocked_until is None


# Against DynamoDB's own conditions


@pytest.fixture
def dynamo() -> Iterator[DynamoRows]:
    with mock_aws():
        yield create_coordination_table()


class Interrupted:
    """DynamoDB, where someone else comes between read and write, or an answer gets lost."""

    def __init__(self, rows: Rows, quota: Quota, *, lost: bool = False) -> None:
        self._rows, self._quota, self._lost = rows, quota, lost
        self._rivals = ["rival 1", "rival 2"]

    def get(self, key: Key) -> Read:
        return self._rows.get(key)

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        if self._rivals and not self._lost:
            self._quota.begin(POLICY, self._rivals.pop(), now=START)
        swapped = self._rows.swap(key, expected, item)
        if self._lost:
            self._lost = False
            raise StoreUnavailable("the answer was lost")
        return swapped


def test_a_race_for_the_last_call_has_one_winner(dynamo: DynamoRows) -> None:
    quota = Quota(dynamo)
    raced = Quota(Interrupted(dynamo, quota))
    assert quota.begin(POLICY, "first", now=START).begun
    slot = raced.begin(POLICY, "slow", now=START)
    assert (slot.begun, slot.booked) == (False, True)
    assert quota.view(POLICY, now=START).used == 3


def test_a_call_whose_answer_was_lost_is_counted_once(dynamo: DynamoRows) -> None:
    quota = Quota(dynamo)
    assert Quota(Interrupted(dynamo, quota, lost=True)).begin(POLICY, "a", now=START).begun
    assert quota.view(POLICY, now=START).used == 1


def test_slots_survive_the_table(dynamo: DynamoRows) -> None:
    quota = Quota(dynamo)
    slots = [book(dynamo, POLICY, holder, now=START) for holder in "abcde"]
    assert [book(dynamo, POLICY, holder, now=START) for holder in "abcde"] == slots
    assert quota.begin(POLICY, "b", now=START).begun
    quota.give_back(POLICY, "a", now=START)
    quota.used(POLICY, {"retry-after": "70"}, now=START, refused=True)
    assert quota.begin(POLICY, "c", now=START).at > slots[2].at


# Whatever happens

holders = st.sampled_from([f"run-{number}" for number in range(12)])
events = st.one_of(
    st.tuples(st.just("book"), holders),
    st.tuples(st.just("begin"), holders),
    st.tuples(st.just("begin"), holders),
    st.tuples(st.just("give back"), holders),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("heard"), st.integers(0, 3)),
    st.tuples(st.just("refused"), st.integers(1, 90)),
)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.booleans(), st.lists(events, min_size=10, max_size=60))
def test_whatever_happens_no_window_is_overfull_and_no_slot_is_lost(
    scouting: bool, happening: list[tuple[str, Any]]
) -> None:
    desk = Desk(replace(POLICY, scouting=scouting))
    begun: list[float] = []
    for what, who in happening:
        if what == "book":
            slot = desk.book(who)
            assert slot.booked
            assert desk.book(who) == slot
        elif what == "begin":
            slot = desk.begin(who)
            if slot.begun:
                begun.append(desk.rows.at.timestamp())
        elif what == "give back":
            desk.give_back(who)
        elif what == "wait":
            desk.rows.later(who)
        elif what == "heard":
            desk.used(who)
        else:
            desk.used(0, resets_in=who, refused=True)
        if row := desk.rows.rows.get(POLICY.key):
            ledger = Ledger.of(row, desk.policy)
            assert list(ledger.queue) == sorted(ledger.queue)
            assert len({entry.holder for entry in ledger.queue}) == len(ledger.queue)
            assert ledger.count == len(begun)
    gaps = [later - first for first, later in zip(begun, begun[3:], strict=False)]
    assert all(gap >= 60 + MARGIN_SECONDS for gap in gaps)


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers(0, 20), min_size=5, max_size=40), st.booleans())
def test_without_anything_given_back_slots_are_in_the_order_of_booking(
    pauses: list[int], scouting: bool
) -> None:
    desk = Desk(replace(POLICY, scouting=scouting))
    slots: list[datetime] = []
    for number, pause in enumerate(pauses):
        arrival = desk.rows.at + timedelta(seconds=pause)
        for other, at in enumerate(slots):
            if desk.rows.at < at <= arrival:
                desk.rows.at = at
                assert desk.begin(f"run-{other}").begun
        desk.rows.at = arrival
        slots.append(desk.begin(f"run-{number}").at)
    assert slots == sorted(slots)


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(st.data())
def test_a_later_booking_moves_nobody_whatever_was_given_back(data: st.DataObject) -> None:
    desk = Desk()
    told: dict[str, datetime] = {}
    for number in range(25):
        desk.rows.later(data.draw(st.integers(0, 3)))
        holder = f"run-{number}"
        slot = desk.book(holder)
        row = desk.rows.rows[POLICY.key]
        kept = {entry[2]: entry[0] for entry in row["queue"]}
        assert all(kept[other] == at.timestamp() for other, at in told.items() if other in kept)
        told[holder] = slot.at
        if number % 4 == 3:
            gone = data.draw(st.sampled_from(sorted(told)))
            desk.give_back(gone)
            del told[gone]
