"""A film and reviews from elsewhere: what is taken, what is refused and why, and nothing twice."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from marquee.errors import BadInput
from marquee.movies.catalog import Catalog
from marquee.movies.imports import MAX_FILM_BYTES, Imported, ImportedFilm, import_film
from marquee.movies.models import Movie
from marquee.movies.review_store import ReviewStore
from marquee.movies.titles import normalize
from marquee.settings import DETAILS_FRESH_FOR, DETAILS_KEPT_FOR
from tests.support.builders import NOW, a_movie, a_related_film, a_review, a_scored_review
from tests.support.review_tables import a_table, refusing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

RRR = 579974
HOUR = timedelta(hours=1)


class Store:
    """The import with its tables."""

    def __init__(self, movies: "Table", reviews: "Table") -> None:
        self.catalog = Catalog(movies)
        self.reviews = ReviewStore(reviews)
        self.reviews_table = reviews

    def take(self, *reviews: Any, now: datetime = NOW, **film: Any) -> Imported:
        return import_film(a_film(**film), reviews, self.catalog, self.reviews, now=now)

    def film(self) -> Movie:
        found = self.catalog.movie(RRR)
        assert found
        return found

    def ids(self) -> list[str]:
        return [review.review_id for review in self.reviews.newest(RRR)]


@pytest.fixture
def store(movies_table: "Table", reviews_table: "Table") -> Store:
    return Store(movies_table, reviews_table)


def a_film(**fields: Any) -> ImportedFilm:
    return ImportedFilm.model_validate({"tmdb_id": RRR, "title": "RRR", **fields})


def given(**fields: Any) -> dict[str, Any]:
    """A review as it is sent."""
    return a_review(**fields).model_dump(mode="json")


def shown(movie: Movie) -> dict[str, Any]:
    """A film as an answer shows it."""
    return movie.model_dump(mode="json", exclude={"related", "texts"})


def test_whatever_an_answer_shows_of_a_film_may_come_back(store: Store) -> None:
    movie = a_movie(popularity=20.123456789, alternative_titles=("Rise Roar Revolt",))
    store.take(**shown(movie))
    kept = store.film()
    wanted = movie.model_copy(
        update={"popularity": 20.123457, "fetched_at": NOW - DETAILS_FRESH_FOR}
    )
    assert kept == wanted
    assert [card.tmdb_id for card in store.catalog.films_titled(normalize("Rise Roar Revolt"))] == [
        RRR
    ]


def test_an_id_and_a_title_are_a_film(store: Store) -> None:
    assert store.take().movie_stored
    assert (store.film().title, store.film().release_date) == ("RRR", None)


@pytest.mark.parametrize("fetched_at", [None, NOW, NOW - HOUR])
def test_facts_from_elsewhere_are_never_so_fresh_that_tmdb_is_not_asked(
    store: Store, fetched_at: datetime | None
) -> None:
    store.take(fetched_at=fetched_at.isoformat() if fetched_at else None)
    assert store.film().fetched_at == NOW - DETAILS_FRESH_FOR


def test_facts_that_are_newer_stay(store: Store) -> None:
    store.catalog.put_movie(a_movie(), [], [])
    assert not store.take(title="Something else").movie_stored
    assert store.film().title == "RRR"


def test_facts_that_are_older_are_replaced_and_what_an_import_cannot_say_stays(
    store: Store,
) -> None:
    related = (a_related_film(),)
    old = a_movie(title="R.R.R.", related=related, fetched_at=NOW - timedelta(days=3))
    store.catalog.put_movie(old, [], [])
    assert store.take(fetched_at=(NOW - timedelta(days=2)).isoformat()).movie_stored
    assert (store.film().title, store.film().related) == ("RRR", related)


def test_the_same_film_again_changes_nothing(store: Store) -> None:
    assert store.take(**shown(a_movie())).movie_stored
    assert not store.take(**shown(a_movie()), now=NOW + HOUR).movie_stored


@pytest.mark.parametrize(
    ("fetched_at", "said"),
    [
        (NOW + timedelta(days=2), "is still to come"),
        (NOW - DETAILS_KEPT_FOR, "older than 175 days"),
    ],
)
def test_facts_of_a_time_that_cannot_be_are_refused_before_anything_is_stored(
    store: Store, fetched_at: datetime, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        store.take(given(), fetched_at=fetched_at.isoformat())
    assert refused.value.field == "movie.fetched_at"
    assert store.ids() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tmdb_id": 0},
        {"tmdb_id": "579974"},
        {"tmdb_id": True},
        {"title": "  "},
        {"title": "x" * 501},
        {"year": 1066},
        {"release_date": 20220324},
        {"release_date": "March"},
        {"vote_average": 11},
        {"popularity": float("inf")},
        {"imdb_id": "8178634"},
        {"genres": [{"id": 1, "name": "Drama", "x": 1}]},
        {"cast": [{"id": n + 1, "name": "x"} for n in range(101)]},
        {"related": []},
        {"alternative_titles": ["x" * 500] * 100, "cast": [{"id": 1, "name": "é" * 500}] * 100}
        | {"directors": [{"id": 1, "name": "é" * 500}] * 100},
    ],
)
def test_a_film_that_is_wrong_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_film(**fields)


def test_the_longest_film_that_is_taken_fits_the_table(store: Store) -> None:
    names = [{"id": n + 1, "name": "é" * 480} for n in range(60)]
    film: dict[str, Any] = {"cast": names, "directors": names, "keywords": names}
    assert len(a_film(**film).model_dump_json().encode()) > 0.85 * MAX_FILM_BYTES
    assert store.take(**film).movie_stored


def test_a_number_too_small_for_the_table_is_none(store: Store) -> None:
    store.take(given(rating=1e-300), vote_average=1e-300)
    assert store.film().vote_average == 0
    assert store.reviews.newest(RRR)[0].rating == 0


def test_reviews_are_scored_and_stored_under_the_film(store: Store) -> None:
    review = given()
    del review["tmdb_id"]
    assert store.take(review).reviews_stored == 1
    [kept] = store.reviews.newest(RRR)
    assert (kept.tmdb_id, kept.collected_at, kept.sentiment.label) == (RRR, NOW, "positive")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tmdb_id": 1}, "tmdb_id: it is about the film 1"),
        ({"source": "Letterboxd"}, "source: String should match pattern"),
        ({"text": " \n"}, "text: String should have at least 1 character"),
        ({"text": 7}, "text: Input should be a valid string"),
        ({"review_id": ""}, "review_id: String should have at least 1 character"),
        ({"posted_at": "yesterday"}, "posted_at: Value error, not a date: 'yesterday'"),
        ({"posted_at": 1_600_000_000}, "posted_at: Value error, not a date: '1600000000'"),
        ({"posted_at": "1066-10-14T09:00:00Z"}, "posted_at: 1066-10-14T09:00:00+00:00 cannot be"),
        ({"posted_at": "2030-01-01T00:00:00Z"}, "posted_at: 2030-01-01T00:00:00+00:00 cannot be"),
        ({"rating": 11}, "rating: Input should be less than or equal to 10"),
        ({"sentiment": "good"}, "sentiment: Extra inputs are not permitted"),
    ],
)
def test_a_review_that_is_wrong_is_refused_by_its_place_and_the_others_are_stored(
    store: Store, fields: dict[str, Any], reason: str
) -> None:
    taken = store.take(
        given(), given() | fields, given(review_id="last", text="The end drags a little.")
    )
    [rejected] = taken.rejected
    assert rejected.index == 1
    assert rejected.reason.startswith(reason)
    assert (taken.reviews_stored, taken.duplicates) == (2, 0)


@pytest.mark.parametrize("nothing", [None, [], "text", 7, {}])
def test_what_is_no_review_at_all_is_refused(store: Store, nothing: Any) -> None:
    [rejected] = store.take(nothing).rejected
    assert rejected.index == 0
    assert rejected.reason


def test_nothing_is_stored_twice_whatever_makes_it_the_same(store: Store) -> None:
    store.reviews.put([a_scored_review()])
    elsewhere = given(source="letterboxd", review_id="1")
    later = given(text="Changed my mind.", posted_at=NOW - 2 * HOUR)
    new = given(review_id="new", text="Three hours, and not one too long.")
    taken = store.take(given(), elsewhere, later, new, new)
    assert (taken.reviews_stored, taken.duplicates, taken.rejected) == (1, 4, ())
    assert sorted(store.ids()) == ["new", "review-1"]
    again = store.take(given(), elsewhere, later, new, new)
    assert (again.reviews_stored, again.duplicates) == (0, 5)


def test_what_the_table_never_takes_is_rejected_by_its_place(store: Store) -> None:
    seen = refusing(store.reviews_table, "BatchWriteItem", "ValidationException")
    taken = store.take({}, given())
    assert seen.requests == 1
    assert [one.index for one in taken.rejected] == [0, 1]
    assert "ValidationException" in taken.rejected[1].reason
    assert taken.reviews_stored == 0


def test_what_the_table_does_not_take_now_is_counted_and_the_same_again_stores_it(
    movies_table: "Table", reviews_table: "Table"
) -> None:
    store = Store(movies_table, reviews_table)
    words = ("songs", "bridge", "tiger", "villain")
    reviews = [
        given(review_id=f"r{n}", text=f"The {words[n % 4]} made take {n} my favorite")
        for n in range(60)
    ]
    refusing(reviews_table, "BatchWriteItem", "ThrottlingException", after=1)
    first = store.take(*reviews)
    assert (first.movie_stored, first.reviews_stored, first.refused) == (True, 25, 35)
    healthy = Store(movies_table, a_table(reviews_table.name))
    again = healthy.take(*reviews)
    assert (again.movie_stored, again.reviews_stored, again.duplicates) == (False, 35, 25)
    assert len(healthy.ids()) == 60


def test_a_date_is_kept_as_one(store: Store) -> None:
    store.take(release_date="2022-03-24")
    assert store.film().release_date == date(2022, 3, 24)
