"""TMDB's reviews, as they came with the details."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from marquee.movies.catalog import Catalog
from marquee.movies.models import Review
from marquee.movies.sources import Collected, SourceQuery
from marquee.movies.sources.tmdb import collect
from tests.support.builders import a_movie
from tests.support.sources import some_secrets, some_settings
from tests.support.state_machines import REGION
from tests.support.templates import Template, create_tables


def a_tmdb_review(**fields: Any) -> dict[str, Any]:
    return {
        "author": "asha",
        "author_details": {"name": "", "username": "asha", "avatar_path": None, "rating": 8.0},
        "content": "  Loud, long and lovely.\r\n",
        "created_at": "2022-03-26T10:00:00.000Z",
        "id": "623ee8",
        "updated_at": "2022-03-26T10:00:00.000Z",
        "url": "https://www.themoviedb.org/review/623ee8",
        **fields,
    }


def collected_from(*reviews: Any, max_reviews: int = 20) -> Collected:
    with mock_aws():
        template = Template.load()
        create_tables(template)
        table = boto3.resource("dynamodb", region_name=REGION).Table(
            template.name_of("MoviesTable")
        )
        catalog = Catalog(table)
        movie = a_movie()
        catalog.put_movie(movie, [], reviews)
        query = SourceQuery(movie, max_reviews)
        return collect(query, some_settings(), some_secrets(), catalog=catalog)


def test_a_review_that_came_with_the_details_is_read_with_its_stars() -> None:
    (review,) = collected_from(a_tmdb_review()).reviews
    assert review == Review(
        tmdb_id=579974,
        source="tmdb",
        review_id="623ee8",
        text="Loud, long and lovely.",
        posted_at="2022-03-26T10:00:00Z",
        author="asha",
        url="https://www.themoviedb.org/review/623ee8",
        rating=8.0,
    )


@pytest.mark.parametrize("details", [None, {}, {"rating": None}])
def test_a_review_without_stars_has_none(details: Any) -> None:
    (review,) = collected_from(a_tmdb_review(author_details=details)).reviews
    assert review.rating is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"content": ""}, "text:"),
        ({"content": None}, "a text was expected"),
        ({"created_at": "2022-13-45T99:00:00Z"}, "not a date"),
        ({"author_details": {"rating": 11}}, "rating:"),
        ({"author_details": "none"}, "no attribute"),
        ({"content": "half \ud83d"}, "lone surrogate"),
    ],
)
def test_a_damaged_review_does_not_stop_the_others(damage: dict[str, Any], reason: str) -> None:
    collected = collected_from(a_tmdb_review(**damage), a_tmdb_review(id="whole"))
    assert [review.review_id for review in collected.reviews] == ["whole"]
    (unreadable,) = collected.unreadable
    assert reason in unreadable.reason


def test_no_more_are_taken_than_asked_for() -> None:
    reviews = [a_tmdb_review(id=f"{number}") for number in range(5)]
    assert len(collected_from(*reviews, max_reviews=3).reviews) == 3


def test_a_film_without_reviews_has_none() -> None:
    assert collected_from() == Collected()


def test_recorded_reviews_are_read_whole(shared_data: Path) -> None:
    recorded = json.loads(
        (shared_data / "recorded/tmdb/GET_3_movie_47964_reviews.json").read_text()
    )
    results = recorded["response"]["body"]["results"]
    collected = collected_from(*results)
    assert len(collected.reviews) == len(results) > 0
    assert collected.unreadable == ()
    assert collected.reviews[0].rating == 4.0
