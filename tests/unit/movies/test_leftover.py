"""What the queue may use: what is left of quotas and caps above the reserve for searches."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.gateway.breaker import Diagnosis, State
from marquee.gateway.prices import X_POST_READ_USD
from marquee.gateway.quota import APP, Policies, View
from marquee.gateway.spend import Budget, Cap, Period
from marquee.gateway.standing import Standing
from marquee.movies.leftover import Leftover, leftover
from marquee.movies.sources import SOURCES, bluesky, mastodon, x
from marquee.settings import Settings
from tests.support.builders import NOW

SECOND = timedelta(seconds=1)
POLICIES = Policies("x=10/60 mastodon=4/60")
X = ("x", "tweets/search/recent")
FILM = X_POST_READ_USD * 10


def a_view(left: int, *, calls: int = 10, waiting: int = 0) -> View:
    return View(calls, 60, calls - left, left, waiting, NOW, None)


def a_cap(usd: float, spent: float = 0, *, scope: str = "total", reserved: float = 0) -> Budget:
    return Budget(Cap(scope, Period.DAY, usd), spent, reserved, NOW + timedelta(hours=4))


def a_leftover(
    *, x: View | None = None, reserve: float = 0.5, budgets: tuple[Budget, ...] = (), **fields: Any
) -> Leftover:
    quotas = ((POLICIES.of(*X, APP), x),) if x else ()
    whole = {"closed": {}, "breakers": (), **fields}
    return Leftover(
        SOURCES, POLICIES, Standing(quotas=quotas, budgets=budgets, **whole), reserve, NOW
    )


def taken(left: Leftover, source: str = "x", max_reviews: int = 10) -> int:
    """How many films may be collected there, 50 at most."""
    return next((n for n in range(50) if left.take(source, max_reviews)), 50)


@pytest.mark.parametrize(
    ("left", "reserve", "films"),
    [
        (10, 0.5, 5),
        (7, 0.5, 2),
        (5, 0.5, 0),
        (2, 0.5, 0),
        (10, 0.0, 10),
        (10, 1.0, 0),
        (3, 0.25, 1),
    ],
)
def test_of_a_quota_the_reserve_is_left_to_searches(left: int, reserve: float, films: int) -> None:
    assert taken(a_leftover(x=a_view(left), reserve=reserve)) == films


def test_of_the_smallest_quota_the_one_call_may_be_used() -> None:
    assert taken(a_leftover(x=a_view(1, calls=1))) == 1


def test_where_searches_wait_for_a_slot_nothing_is_left() -> None:
    assert a_leftover(x=a_view(9, waiting=1)).take("x", 10) == "x: searches wait for its quota"


def test_a_quota_that_nobody_books_bounds_nothing() -> None:
    assert taken(a_leftover(), "bluesky") == 50
    assert taken(a_leftover(x=a_view(0)), "tmdb") == 50


def test_it_says_why_not() -> None:
    why = "x: 6 of 10 calls in 60 s are used, 5 are kept for searches"
    assert a_leftover(x=a_view(4)).take("x", 10) == why


@pytest.mark.parametrize(
    ("budget", "films"),
    [
        (a_cap(1.0), 10),
        (a_cap(1.0, spent=0.3), 4),
        (a_cap(1.0, spent=0.3, reserved=0.1), 2),
        (a_cap(1.0, spent=0.6), 0),
        (a_cap(0.4, scope="x"), 4),
        (a_cap(0.0, scope="openai"), 50),
    ],
)
def test_of_a_cap_the_reserve_is_left_to_searches(budget: Budget, films: int) -> None:
    assert taken(a_leftover(budgets=(budget,))) == films
    assert taken(a_leftover(budgets=(budget,)), "bluesky") == 50


def test_the_dearer_a_film_the_fewer() -> None:
    left = a_leftover(budgets=(a_cap(1.0),))
    assert taken(left, max_reviews=50) == 2
    assert left.take("x", 10).startswith("x: the rest of $1.00 a day is kept")


def test_money_that_is_taken_from_one_cap_is_taken_from_all() -> None:
    left = a_leftover(budgets=(a_cap(1.0), a_cap(0.6, scope="x")))
    assert taken(left) == 6
    assert left.take("x", 10) == "x: the rest of $0.60 a day for x is kept for searches"


def test_a_closed_provider_is_left_alone() -> None:
    left = a_leftover(closed={"x": "answered 402", "bluesky": "never paid"})
    assert left.take("x", 10) == "x is closed: answered 402"
    assert left.take("bluesky", 10) == ""


@pytest.mark.parametrize(
    ("state", "retry_in", "films"),
    [(State.CLOSED, 0, 50), (State.OPEN, 20, 0), (State.OPEN, -1, 1), (State.HALF_OPEN, 20, 0)],
)
def test_an_upstream_that_fails_gets_one_film_as_a_probe(
    state: State, retry_in: int, films: int
) -> None:
    breaker = Diagnosis(state, 0.9, NOW - SECOND, NOW + retry_in * SECOND)
    assert taken(a_leftover(breakers=((X, breaker),))) == films


def test_it_looks_at_the_installation_as_it_stands(settings: Settings) -> None:
    given = settings.model_copy(update={"quota_policies": "x=4/60", "spend_caps": "day=1"})
    left = leftover(given, NOW)
    assert taken(left) == 2
    assert leftover(given, NOW).take("x", 100) == ""


@pytest.mark.parametrize(
    ("source", "endpoint"),
    [("x", x._ENDPOINT), ("bluesky", bluesky._SEARCH), ("mastodon", mastodon._ENDPOINT)],
)
def test_a_source_is_known_by_the_endpoint_that_its_calls_are_counted_under(
    source: str, endpoint: str
) -> None:
    assert {known.name: known.endpoint for known in SOURCES}[source] == endpoint


def test_a_film_costs_at_least_what_the_source_gives_at_least() -> None:
    [paid] = [known for known in SOURCES if known.usd_per_review]
    assert (paid.name, paid.least_reviews) == ("x", x.MIN_RESULTS)
    assert paid.most_usd(1) == paid.most_usd(10) == pytest.approx(FILM)
    assert paid.most_usd(40) == pytest.approx(4 * FILM)
