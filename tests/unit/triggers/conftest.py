"""Triggers in the table of an installation, and everything that works on them."""

import pytest

from marquee.settings import Settings
from marquee.triggers.trigger_store import TriggerStore
from tests.support.webhooks import Hooks


@pytest.fixture
def store(settings: Settings) -> TriggerStore:
    return TriggerStore.connect(settings)


@pytest.fixture
def hooks(store: TriggerStore) -> Hooks:
    return Hooks(store)
