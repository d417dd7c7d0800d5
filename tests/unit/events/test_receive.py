"""Reading what EventBridge delivers."""

from typing import Any

import pytest

from marquee.errors import BadInput
from marquee.events.receive import detail_of
from marquee.movies.models import SearchRequest


def an_event(detail: Any) -> dict[str, Any]:
    return {"id": "17", "detail-type": "MovieSearchRequested", "detail": detail}


def test_the_detail_is_read_as_its_model() -> None:
    request = detail_of(an_event({"movie_name": " RRR ", "year": 2022}), SearchRequest)
    assert request == SearchRequest(movie_name="RRR", year=2022)


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ({"movie_name": "RRR", "max_reviews": 101}, "max_reviews: Input should be less"),
        ({"movie_name": "RRR", "max_reviews": "10"}, "max_reviews: Input should be a valid int"),
        ({"movie_name": "RRR", "colour": "red"}, "colour: Extra inputs are not permitted"),
        ({}, "give a movie_name or a tmdb_id"),
        ("RRR", "Input should be a valid dictionary"),
        (None, "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_detail_is_bad_input_that_says_why(detail: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=f"^{reason}"):
        detail_of(an_event(detail), SearchRequest)
