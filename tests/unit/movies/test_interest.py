"""Who looks at a film, and when its reviews are due again."""

from datetime import timedelta

from marquee.movies.interest import (
    FRESH_FOR,
    FRESH_FOR_OFTEN,
    KEPT_UP_FOR,
    MOST_SEARCHES,
    OFTEN,
    Interest,
)
from tests.support.builders import NOW

DAY = timedelta(days=1)


def searched(*days_ago: int) -> Interest:
    interest = Interest(tmdb_id=579974)
    for days in sorted(days_ago, reverse=True):
        interest = interest.searched(NOW - days * DAY)
    return interest


def test_a_search_that_is_told_twice_counts_once() -> None:
    once = searched(0)
    assert once.searched(NOW) == once
    assert once.popularity(NOW) == 1


def test_searches_count_for_a_week() -> None:
    assert searched(0, 3, 6, 7, 20).popularity(NOW) == 3


def test_the_latest_searches_are_remembered() -> None:
    interest = Interest(tmdb_id=1)
    for hours in range(50):
        interest = interest.searched(NOW + timedelta(hours=hours))
    assert len(interest.searched_at) == MOST_SEARCHES
    assert interest.searched_at[-1] == NOW + timedelta(hours=49)
    late = NOW + KEPT_UP_FOR * 2
    assert interest.searched(late).searched_at == (late,)


def test_reviews_are_due_sooner_where_many_search() -> None:
    few = searched(0).collected(NOW)
    many = searched(*range(OFTEN)).collected(NOW)
    assert few.due_at(NOW) == NOW + FRESH_FOR
    assert many.due_at(NOW) == NOW + FRESH_FOR_OFTEN


def test_what_was_never_collected_is_due_now_and_what_nobody_searches_for_never() -> None:
    assert searched(0).due_at(NOW) == NOW
    assert searched(31).collected(NOW).due_at(NOW) is None
    assert Interest(tmdb_id=1).collected(NOW).due_at(NOW) is None
