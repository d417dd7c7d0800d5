"""Find the film that a search names, on TMDB or in the cache."""

from marquee.clock import now
from marquee.movies.catalog import Catalog
from marquee.movies.find import FindMovieInput, find_movie
from marquee.movies.sources import plan
from marquee.movies.tmdb import Tmdb
from marquee.settings import secrets, settings
from marquee.workflows.step import JsonObject, step


@step("movie_search")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of FindMovie; output: FindMovieOutput."""
    request = FindMovieInput.model_validate(event).request
    tmdb, catalog = Tmdb.connect(settings(), secrets()), Catalog.connect(settings())
    found = find_movie(request, tmdb, catalog, plan(settings(), secrets()), now=now())
    return found.model_dump(mode="json")
