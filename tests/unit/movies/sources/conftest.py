"""The stand-ins as one running server, and the recorded answers and specifications."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marquee.settings import Secrets, Settings
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.sources import some_secrets, some_settings
from tests.support.upstreams import Upstreams, running_upstreams

SHARED_DATA = Path(__file__).parents[5] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the recorded answers and specifications are not beside the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    with running_upstreams(tmp_path_factory.mktemp("upstreams")) as running:
        yield running


@pytest.fixture
def upstreams(server: Upstreams) -> Upstreams:
    server.reset()
    return server


@pytest.fixture
def live_settings(upstreams: Upstreams) -> Settings:
    return some_settings(
        x_base_url=upstreams.x_url,
        bluesky_base_url=upstreams.bluesky_url,
        mastodon_base_url=upstreams.mastodon_url,
    )


@pytest.fixture
def live_secrets() -> Secrets:
    return some_secrets(
        x__bearer_token=DEMONSTRATION.x_bearer_token,
        bluesky__handle=DEMONSTRATION.bluesky_handle,
        bluesky__app_password=DEMONSTRATION.bluesky_app_password,
    )
