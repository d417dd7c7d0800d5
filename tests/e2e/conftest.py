"""A whole laptop cloud for the end-to-end tests: a home of its own, no keys, every upstream a
stand-in; brought up once a session and taken down after it, without a process left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from marquee_cli.cloud.cloud import Cloud
from marquee_cli.cloud.home import Api
from marquee_cli.cloud.ports import is_listening
from marquee_cli.cloud.processes import marked


@dataclass(frozen=True)
class RunningCloud:
    """A laptop cloud that is up; what it says is read anew, so a restart does not make it stale."""

    cloud: Cloud

    @property
    def api_url(self) -> str:
        """The REST API's address, without a slash at the end."""
        return self._api.url

    @property
    def api_key(self) -> str:
        """What the API wants as x-api-key."""
        return self._api.key

    @property
    def endpoint_url(self) -> str:
        """The emulator's address."""
        return self.cloud.endpoint_url

    @property
    def upstreams_url(self) -> str:
        """The stand-ins' address; every upstream and the control endpoint are below it."""
        stand_ins = self.cloud.home.read().stand_ins
        assert stand_ins is not None
        return stand_ins.url

    @property
    def outputs(self) -> Mapping[str, str]:
        """What the stack says of itself: names and addresses of its resources."""
        return self.cloud.home.read().outputs

    def boto3(self, service: str) -> Any:
        """A client of the emulator, as its root user."""
        return self.cloud.boto3(service)

    @property
    def _api(self) -> Api:
        api = self.cloud.home.read().api
        assert api is not None
        return api


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The laptop cloud, as a user without any key has it."""
    folder = tmp_path_factory.mktemp("laptop-cloud")
    # What stand-ins charge in these tests is more than a day's budget; and nothing is collected by
    # itself while a test counts calls.
    parameters = {"SpendCaps": "day=1000", "BackfillEnabled": "false"}
    cloud = Cloud(folder / "home", env_file=folder / "no.env", parameters=parameters)
    try:
        cloud.up()
        yield RunningCloud(cloud)
    finally:
        cloud.down()
    assert marked(cloud.home.folder) == []
    record = cloud.home.read()
    for service in (record.emulator, record.stand_ins):
        assert service is not None
        assert not is_listening(service.port)
