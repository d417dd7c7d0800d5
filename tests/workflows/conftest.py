"""One server of stand-ins for all tests of this folder, and the movie search installed for each."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from marquee.gateway.calls import http_client
from marquee.tweets.language_model import connections
from tests.support.movie_search import MovieSearches, movie_searches
from tests.support.upstreams import Upstreams, running_upstreams


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    folder = tmp_path_factory.mktemp("upstreams")
    # The day is fixed so that a run over midnight sees one set of posts.
    with running_upstreams(folder, epoch=datetime.now(UTC).date()) as running:
        yield running
        for client in (http_client, connections):
            client().close()
            client.cache_clear()


@pytest.fixture
def upstreams(server: Upstreams) -> Upstreams:
    server.reset()
    return server


@pytest.fixture
def searches(upstreams: Upstreams) -> Iterator[MovieSearches]:
    """The movie search with every source."""
    with movie_searches(upstreams, "x", "bluesky", "mastodon") as installed:
        yield installed


@pytest.fixture
def tmdb_only(upstreams: Upstreams) -> Iterator[MovieSearches]:
    """The movie search with the one source that is always there: the quickest."""
    with movie_searches(upstreams) as installed:
        yield installed


@pytest.fixture
def impatient() -> Iterator[None]:
    """HTTP calls that wait for a moment only."""
    client = http_client()
    patient = client.timeout
    client.timeout = 0.3
    yield
    client.timeout = patient
