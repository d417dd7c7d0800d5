"""The queue: each film once, the best first, nobody starved, and what always fails leaves it."""

from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from marquee.errors import StoreUnavailable
from marquee.movies.backfill_queue import (
    DRAINED_EVERY,
    FIRST_PAUSE,
    MAX_ATTEMPTS,
    MAX_TURNS,
    MOST_WAITING,
    PATIENCE,
    BackfillQueue,
    Entry,
    EntryState,
    Reason,
    Wish,
    done,
    failed,
    put_back,
    queued,
    turn_of,
)
from marquee.movies.off_peak import OffPeak
from tests.support.builders import NOW
from tests.support.installation import the_template

RRR = 579974
MINUTE = timedelta(minutes=1)


def a_wish(**fields: Any) -> Wish:
    """A film whose reviews are stale."""
    facts = {"tmdb_id": RRR, "title": "RRR", "reason": Reason.STALE, "sources": ("x", "bluesky")}
    return Wish.model_validate({**facts, **fields})


def a_waiting(**fields: Any) -> Wish:
    """The same of a search that had to go without X."""
    return a_wish(
        **{"reason": Reason.DEFERRED, "sources": ("x",), "workflow_id": "search-1", **fields}
    )


def an_entry(wish: Wish | None = None) -> Entry:
    return queued(None, wish or a_waiting(), NOW)


def films(queue: BackfillQueue, state: EntryState = EntryState.WAITING) -> list[int]:
    return [entry.tmdb_id for entry in queue.page(state, limit=100)[0]]


def test_a_film_is_in_the_queue_once_with_all_that_is_wanted(queue: BackfillQueue) -> None:
    queue.add(a_wish(popularity=2), NOW)
    queue.add(a_waiting(max_reviews=50), NOW + MINUTE)
    queue.add(a_waiting(workflow_id="search-2", max_reviews=20), NOW + 2 * MINUTE)
    again = queue.add(a_waiting(), NOW + 3 * MINUTE)
    assert films(queue) == [RRR]
    assert again == queue.entry(RRR)
    assert again.waiting == ("search-1", "search-2")
    assert again.sources == ("x", "bluesky")
    assert (again.reason, again.popularity, again.max_reviews) == (Reason.DEFERRED, 2, 50)
    assert (again.queued_at, again.turn_at) == (NOW, NOW + MINUTE)


def test_the_same_wish_again_changes_nothing(queue: BackfillQueue) -> None:
    first = queue.add(a_waiting(), NOW)
    assert queue.add(a_waiting(), NOW) == first


def test_the_best_is_read_first(queue: BackfillQueue) -> None:
    queue.add(a_wish(tmdb_id=1), NOW)
    queue.add(a_wish(tmdb_id=2, popularity=9), NOW)
    queue.add(a_wish(tmdb_id=3, popularity=1), NOW - 2 * MINUTE)
    queue.add(a_wish(tmdb_id=4, popularity=1), NOW - MINUTE)
    queue.add(a_waiting(tmdb_id=5), NOW + MINUTE)
    queue.add(a_waiting(tmdb_id=6), NOW)
    assert films(queue) == [6, 5, 2, 3, 4, 1]


def test_pages_go_on_where_the_last_one_ended(queue: BackfillQueue) -> None:
    for number in range(1, 6):
        queue.add(a_waiting(tmdb_id=number), NOW + number * MINUTE)
    first, after = queue.page(EntryState.WAITING, limit=3)
    rest, end = queue.page(EntryState.WAITING, limit=3, after=after)
    assert [entry.tmdb_id for entry in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert end is None


wishes = st.builds(
    a_wish,
    popularity=st.integers(0, 20),
    workflow_id=st.sampled_from([None, "search"]),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1)).map(  # noqa: DTZ001 - made so below
    lambda moment: moment.replace(tzinfo=NOW.tzinfo, microsecond=0)
)


@given(wishes, wishes, moments, moments)
def test_a_waiting_user_comes_first_then_popularity_and_age(
    one: Wish, other: Wish, at: datetime, later: datetime
) -> None:
    if one.workflow_id and not other.workflow_id:
        assert turn_of(one, at) < turn_of(other, at)
    if one.workflow_id == other.workflow_id and one.popularity >= other.popularity:
        assert turn_of(one, at) <= turn_of(other, max(at, later))


@given(wishes, moments)
def test_nobody_waits_longer_than_the_patience_before_it_goes_before_all_that_come(
    wish: Wish, at: datetime
) -> None:
    assert at <= turn_of(wish, at) <= at + PATIENCE


@settings_of_hypothesis(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=400), st.integers(0, 3))
@example([(5, True)] * 400, 0)
def test_however_many_come_a_stale_film_is_taken_once_its_patience_is_over(
    arrivals: list[tuple[int, bool]], popularity: int
) -> None:
    """One film is taken an hour, while up to five come, with users who wait or without."""
    hour = timedelta(hours=1)
    stale = a_wish(popularity=popularity)
    turn = turn_of(stale, NOW)
    waiting = [(turn, 0)]
    before = 1  # it and all whose turn comes before its own
    for number, (count, waits) in enumerate(arrivals, 1):
        at = NOW + number * hour
        for _ in range(count):
            other = turn_of(a_waiting() if waits else a_wish(), at)
            heappush(waiting, (other, number))
            before += other <= turn
        if heappop(waiting)[1] == 0:
            assert number <= before
            return
    assert len(arrivals) < before, "it should have been taken by now"


def test_who_comes_while_a_film_waits_never_moves_it_back() -> None:
    entry = an_entry(a_waiting(not_before=NOW + 5 * MINUTE))
    later = queued(entry, a_wish(popularity=0), NOW + MINUTE)
    assert later.turn_at == entry.turn_at
    assert later.reason is Reason.DEFERRED
    sooner = queued(entry, a_waiting(workflow_id="b", not_before=NOW + 2 * MINUTE), NOW)
    assert sooner.not_before == NOW + 2 * MINUTE


def test_a_pause_after_a_failure_holds_whoever_comes() -> None:
    broken = failed(an_entry(), "x: refused", NOW, sources=("x",))
    assert queued(broken, a_waiting(workflow_id="b"), NOW).not_before == NOW + FIRST_PAUSE


def test_one_entry_knows_of_so_many_searches() -> None:
    entry = an_entry()
    for number in range(MOST_WAITING + 5):
        entry = queued(entry, a_waiting(workflow_id=f"more-{number}"), NOW)
    assert len(entry.waiting) == MOST_WAITING


def test_what_was_put_off_is_no_failure() -> None:
    back = put_back(an_entry(), "no slot", NOW, sources=("x",), not_before=NOW + MINUTE)
    assert (back.attempts, back.state, back.last_outcome) == (0, "WAITING", "no slot")
    assert not back.is_due(NOW)
    assert back.is_due(NOW + MINUTE)


def fail(entry: Entry | None, *, now: datetime) -> Entry | None:
    return entry and failed(entry, "x: 403", now, sources=("x",))


def test_what_always_fails_leaves_the_queue_with_its_reason(queue: BackfillQueue) -> None:
    queue.add(a_waiting(), NOW)
    pauses, now = [], NOW
    for _ in range(MAX_ATTEMPTS):
        entry = queue.change(RRR, partial(fail, now=now))
        assert entry
        if entry.not_before:
            pauses.append(entry.not_before - now)
            now = entry.not_before
    assert pauses == [FIRST_PAUSE * 2**n for n in range(MAX_ATTEMPTS - 1)]
    assert sum(pauses, timedelta()) > timedelta(hours=7)
    assert films(queue) == []
    assert films(queue, EntryState.GIVEN_UP) == [RRR]
    given_up = queue.entry(RRR)
    assert given_up
    assert given_up.last_outcome == f"x: 403 ({MAX_ATTEMPTS} attempts)"
    assert given_up.expires_at > (now + timedelta(days=29)).timestamp()
    anew = queue.add(a_waiting(workflow_id="later"), now)
    assert (anew.state, anew.attempts, anew.waiting) == ("WAITING", 0, ("later",))


def finish(entry: Entry | None, *, now: datetime) -> Entry | None:
    return entry and done(entry, "7 new reviews", now)


def test_what_is_done_leaves_the_queue_the_last_one_listed_first(queue: BackfillQueue) -> None:
    for number in (1, 2):
        queue.add(a_waiting(tmdb_id=number), NOW)
        queue.change(number, partial(finish, now=NOW + number * MINUTE))
    assert films(queue) == []
    assert films(queue, EntryState.DONE) == [2, 1]


def test_its_length_is_that_of_those_that_wait(queue: BackfillQueue) -> None:
    for number in (1, 2, 3):
        queue.add(a_waiting(tmdb_id=number), NOW)
    queue.change(2, partial(finish, now=NOW))
    assert queue.length() == 2


def test_a_change_is_decided_again_where_somebody_came_between(queue: BackfillQueue) -> None:
    queue.add(a_waiting(), NOW)
    seen: list[Entry] = []

    def decide(entry: Entry | None) -> Entry | None:
        assert entry
        if not seen:
            queue.add(a_waiting(workflow_id="between"), NOW)
        seen.append(entry)
        return done(entry, "all", NOW) if entry.waiting == ("search-1",) else None

    left = queue.change(RRR, decide)
    assert [len(entry.waiting) for entry in seen] == [1, 2]
    assert left
    assert (left.state, left.waiting) == ("WAITING", ("search-1", "between"))


def test_where_others_keep_winning_nothing_is_changed(queue: BackfillQueue) -> None:
    queue.add(a_waiting(), NOW)
    turns = iter(range(100))

    def decide(entry: Entry | None) -> Entry | None:
        assert entry
        queue_of_another = a_waiting(workflow_id=f"between-{next(turns)}")
        queue.add(queue_of_another, NOW)
        return done(entry, "all", NOW)

    with pytest.raises(StoreUnavailable, match=f"lost {MAX_TURNS} writes"):
        queue.change(RRR, decide)


def test_a_write_whose_answer_was_lost_is_known_by_its_content(
    queue: BackfillQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = queue._table.put_item
    entries: list[Any] = []

    def twice(**arguments: Any) -> Any:
        if not entries:
            entries.append(put(**arguments))  # and boto3 sends it again
        return put(**arguments)

    monkeypatch.setattr(queue._table, "put_item", twice)
    assert queue.add(a_wish(popularity=6), NOW) == queue.entry(RRR)


def test_waiting_users_are_told_a_time_at_any_hour_and_the_rest_the_next_off_peak(
    queue: BackfillQueue,
) -> None:
    window = OffPeak.parse("01:00-07:00")
    waiting = an_entry(a_waiting(not_before=NOW + 10 * MINUTE))
    assert queue.expected_at(waiting, NOW) == NOW + 10 * MINUTE + DRAINED_EVERY
    stale = an_entry(a_wish())
    opens = window.opens_at(NOW)
    assert opens > NOW
    assert queue.expected_at(stale, NOW, window) == opens + DRAINED_EVERY
    assert queue.expected_at(stale, NOW) is None
    assert queue.expected_at(done(waiting, "", NOW), NOW, window) is None
    off = BackfillQueue(queue._table, is_drained=False)
    assert off.expected_at(waiting, NOW) is None


def test_the_schedule_looks_as_often_as_people_are_told() -> None:
    function = the_template().document["Resources"]["StartBackfillFunction"]["Properties"]
    every = function["Events"]["Drain"]["Properties"]["ScheduleExpression"]
    assert every == f"rate({DRAINED_EVERY // MINUTE} minutes)"
