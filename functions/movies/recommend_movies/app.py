"""Rank what to watch next."""

from marquee.clock import now
from marquee.movies.catalog import Catalog
from marquee.movies.recommendations import RecommendMoviesInput, recommend_movies
from marquee.settings import settings
from marquee.workflows.step import JsonObject, step


@step("movie_search")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of RecommendMovies; output: RecommendMoviesOutput."""
    request = RecommendMoviesInput.model_validate(event)
    recommended = recommend_movies(request, Catalog.connect(settings()), now=now())
    return recommended.model_dump(mode="json")
