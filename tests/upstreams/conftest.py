"""One running server of stand-ins for all tests of this folder, as after a start for each."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.upstreams import (
    Upstreams,
    openai_headers,
    running_upstreams,
    tmdb_headers,
    x_headers,
)

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    folder = tmp_path_factory.mktemp("upstreams")
    # The day is fixed so that a run over midnight sees one set of posts.
    with running_upstreams(folder, epoch=datetime.now(UTC).date()) as running:
        yield running


@pytest.fixture
def upstreams(server: Upstreams) -> Upstreams:
    server.reset()
    return server


@pytest.fixture(scope="session")
def clients(server: Upstreams) -> Iterator[dict[str, httpx.Client]]:
    """One client an upstream for all tests, and one of nobody: each costs time to make."""
    with ExitStack() as stack:
        made = {
            "tmdb": httpx.Client(base_url=server.tmdb_url, headers=tmdb_headers()),
            "x": httpx.Client(base_url=server.x_url, headers=x_headers()),
            "bluesky": httpx.Client(base_url=server.bluesky_url),
            "mastodon": httpx.Client(base_url=server.mastodon_url),
            "nobody": httpx.Client(base_url=server.url),
            "demo": httpx.Client(base_url=server.x_url),
            "openai": httpx.Client(base_url=server.openai_url, headers=openai_headers()),
        }
        for client in made.values():
            stack.enter_context(client)
        account = {
            "identifier": DEMONSTRATION.bluesky_handle,
            "password": DEMONSTRATION.bluesky_app_password,
        }
        session = made["bluesky"].post("/com.atproto.server.createSession", json=account).json()
        made["bluesky"].headers["authorization"] = f"Bearer {session['accessJwt']}"
        yield made


@pytest.fixture
def tmdb(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["tmdb"]


@pytest.fixture
def x(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["x"]


@pytest.fixture
def bluesky(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    """A client with a session."""
    return clients["bluesky"]


@pytest.fixture
def mastodon(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["mastodon"]


@pytest.fixture
def demo(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    """A client of X for the user @marquee_demo, by an OAuth 2 token."""
    token = upstreams.x_tokens("marquee_demo")["oauth2_access_token"]
    clients["demo"].headers["authorization"] = f"Bearer {token}"
    return clients["demo"]


@pytest.fixture
def openai(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    return clients["openai"]


@pytest.fixture
def nobody(upstreams: Upstreams, clients: dict[str, httpx.Client]) -> httpx.Client:
    """A client without credentials, of the whole server."""
    return clients["nobody"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the recorded answers and specifications are not beside the project")
    return SHARED_DATA
