"""GET /movies/...: facts, reviews, records set aside, recommendations."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.api.cursors import encoded
from marquee.api.films import After
from marquee.aws import table
from marquee.movies.catalog import Catalog
from marquee.movies.models import FilmText, Label, Sentiment, SetAside
from marquee.movies.review_store import ReviewStore
from marquee.settings import DETAILS_FRESH_FOR, Settings
from tests.support.api import Api
from tests.support.builders import NOW, a_movie, a_scored_review
from tests.unit.api.conftest import RRR

UNKNOWN = 603


def test_a_film_is_shown_with_its_analysis_and_its_age(api: Api, known_film: int) -> None:
    api.clock.sleep(90)
    answer = api.get(f"/movies/{known_film}")
    assert answer.status == 200
    film = answer.json()
    assert film["movie"]["title"] == "RRR"
    assert "related" not in film["movie"]
    assert (film["age_seconds"], film["stale"]) == (90, False)
    assert film["analysis"]["average_sentiment"] == 0.42


def test_films_are_known_by_what_is_typed_of_a_title(api: Api, known_film: int) -> None:
    for typed in ("r", "RR", "  r-r r "):
        [film] = api.get("/movies", {"title": typed}).json()["films"]
        assert (film["tmdb_id"], film["title"], film["year"]) == (known_film, "RRR", 2022)
    for typed in ("rrrr", "d", " ", "\ufdfa" * 200):
        assert api.get("/movies", {"title": typed}).json() == {"films": []}


def test_facts_past_their_freshness_are_shown_as_stale(api: Api, known_film: int) -> None:
    api.clock.sleep(DETAILS_FRESH_FOR.total_seconds() + 1)
    assert api.get(f"/movies/{known_film}").json()["stale"] is True


def test_a_film_is_shown_in_the_language_asked_for_where_it_is_known(
    api: Api, settings: Settings
) -> None:
    movie = a_movie(texts={"te": FilmText(title="ఆర్ఆర్ఆర్")})
    Catalog.connect(settings).put_movie(movie, ["rrr"], [])
    shown = {
        language: api.get(f"/movies/{RRR}", {"language": language}).json()["movie"]
        for language in ("te", "te-IN", "fr")
    }
    assert shown["te"]["title"] == shown["te-IN"]["title"] == "ఆర్ఆర్ఆర్"
    assert shown["te"]["overview"] == shown["fr"]["overview"]
    assert shown["fr"]["title"] == "RRR"


def test_recommendations_come_with_scores_and_reasons(api: Api, known_film: int) -> None:
    answer = api.get(f"/movies/{known_film}/recommendations")
    assert answer.status == 200
    assert answer.json() == {
        "tmdb_id": known_film,
        "recommendations": [
            {
                "tmdb_id": 256040,
                "title": "Baahubali: The Beginning",
                "year": 2015,
                "poster_path": None,
                "score": 0.81,
                "reasons": ["same director, S. S. Rajamouli"],
            }
        ],
        "recommended_at": "2026-03-14T20:00:00Z",
    }


def test_a_film_without_recommendations_has_none(api: Api, settings: Settings) -> None:
    Catalog.connect(settings).put_movie(a_movie(), ["rrr"], [])
    answer = api.get(f"/movies/{RRR}/recommendations").json()
    assert (answer["recommendations"], answer["recommended_at"]) == ([], None)


@pytest.mark.parametrize("part", ["", "/reviews", "/set-aside", "/recommendations"])
def test_an_unknown_film_is_not_found(api: Api, part: str) -> None:
    answer = api.get(f"/movies/{UNKNOWN}{part}")
    assert answer.status == 404
    assert "603" in answer.json()["detail"]


def test_a_film_whose_facts_have_expired_says_so(
    api: Api, known_film: int, settings: Settings
) -> None:
    details = {"pk": f"MOVIE#{known_film}", "sk": "DETAILS"}
    table(settings.movies_table).delete_item(Key=details)
    assert "expired" in api.get(f"/movies/{known_film}").json()["detail"]
    assert api.get(f"/movies/{known_film}/recommendations").status == 200


@pytest.fixture
def reviewed(settings: Settings) -> list[str]:
    """Nine reviews of RRR from two sources, three labels; their ids, the newest first."""
    labels = [(Label.POSITIVE, 0.8), (Label.NEGATIVE, -0.7), (Label.UNSCORED, None)]
    reviews = []
    for number in range(9):
        label, score = labels[number % 3]
        reviews.append(
            a_scored_review(
                source="tmdb" if number % 2 else "x",
                review_id=f"r{number}",
                text=f"Number {number}",
                posted_at=NOW + timedelta(minutes=number),
                sentiment=Sentiment(label=label, score=score, scorer="vader-3.3.2"),
            )
        )
    ReviewStore.connect(settings).put(reviews)
    return [review.review_id for review in reversed(reviews)]


def reviews(api: Api, **query: Any) -> list[str]:
    """The ids of all pages, following the cursors."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(f"/movies/{RRR}/reviews", {**query, **cursor})
        assert answer.status == 200
        page = answer.json()
        assert len(page["reviews"]) <= query.get("limit", 20)
        found += [review["review_id"] for review in page["reviews"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
def test_all_reviews_are_listed_the_newest_first_whatever_the_page_size(
    api: Api, reviewed: list[str], limit: int
) -> None:
    assert reviews(api, limit=limit) == reviewed


def test_reviews_are_filtered_by_label_and_source(
    api: Api, reviewed: list[str], known_film: int
) -> None:
    assert reviews(api, label="negative") == ["r7", "r4", "r1"]
    assert reviews(api, source="x") == ["r8", "r6", "r4", "r2", "r0"]
    assert reviews(api, label="negative", source="x", limit=1) == ["r4"]
    assert reviews(api, label="neutral") == []


def test_a_review_is_shown_with_its_score(api: Api, reviewed: list[str]) -> None:
    [newest] = api.get(f"/movies/{RRR}/reviews", {"limit": 1}).json()["reviews"]
    assert (newest["text"], newest["source"]) == ("Number 8", "x")
    assert newest["sentiment"] == {"label": "unscored", "score": None, "scorer": "vader-3.3.2"}


def test_a_known_film_without_reviews_has_an_empty_page(api: Api, known_film: int) -> None:
    answer = api.get(f"/movies/{known_film}/reviews")
    assert answer.json() == {"tmdb_id": known_film, "reviews": [], "next_cursor": None}


def test_records_set_aside_are_listed_with_their_reasons(api: Api, settings: Settings) -> None:
    records = [
        SetAside(
            tmdb_id=RRR,
            source="x",
            reason="the field text is missing",
            record=f'{{"id": {number}}}',
            set_aside_at=NOW,
        )
        for number in range(3)
    ]
    ReviewStore.connect(settings).put(records)
    first = api.get(f"/movies/{RRR}/set-aside", {"limit": 2}).json()
    rest = api.get(f"/movies/{RRR}/set-aside", {"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = [*first["set_aside"], *rest["set_aside"]]
    assert {record["record"] for record in listed} == {record.record for record in records}
    assert {record["reason"] for record in listed} == {"the field text is missing"}
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("part", ["reviews", "set-aside"])
@pytest.mark.parametrize(
    "cursor", ["", "x", "eyJhIjoxfQ", encoded(After(after="é" * 512)) + "AAAA"]
)
def test_a_cursor_that_is_not_ours_is_refused_by_name(
    api: Api, known_film: int, part: str, cursor: str
) -> None:
    answer = api.get(f"/movies/{known_film}/{part}", {"cursor": cursor})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("tmdb_id", ["0", "-1", "abc", "1.5", "9" * 30, "٣", "1e3"])
def test_an_id_that_is_none_is_refused_by_name(api: Api, tmdb_id: str) -> None:
    answer = api.get(f"/movies/{tmdb_id}")
    assert answer.status == 422
    assert answer.json()["errors"][0]["field"] == "tmdb_id"
