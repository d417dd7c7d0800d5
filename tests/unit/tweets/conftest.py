"""Rows to test on: a dictionary, and DynamoDB as moto plays it."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from marquee.tweets.rows import Rows
from tests.support.tweet_tables import MemoryRows, create_tweet_tables


@pytest.fixture(params=["memory", "dynamodb"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    """Both kinds of rows: what holds for one holds for the other."""
    if request.param == "memory":
        yield MemoryRows()
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield create_tweet_tables()
