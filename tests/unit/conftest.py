"""The installation on moto: made once for a module that asks for it, emptied after each test."""

from collections.abc import Iterator

import pytest

from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecords
from tests.support.installation import installed
from tests.support.state_machines import empty


@pytest.fixture(scope="module")
def installation() -> Iterator[Settings]:
    with installed() as settings:
        yield settings


@pytest.fixture
def settings(installation: Settings) -> Iterator[Settings]:
    yield installation
    empty()


@pytest.fixture
def records(settings: Settings) -> WorkflowRecords:
    return WorkflowRecords.connect(settings)
