"""The registry of sources, and how a record becomes a review or is kept with its reason."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import marquee.movies.sources
from marquee.errors import BadInput
from marquee.movies.models import SourceStatus
from marquee.movies.sources import (
    SOURCES,
    connect,
    language_code,
    moment,
    plan,
    read,
)
from tests.support.builders import a_review
from tests.support.sources import PREFIX, some_secrets, some_settings


def test_every_source_is_planned_where_everything_is_configured() -> None:
    names, skipped = plan(some_settings(), some_secrets())
    assert names == ("tmdb", "x", "bluesky", "mastodon")
    assert skipped == ()


def test_a_source_that_lacks_something_is_skipped_with_what_it_lacks() -> None:
    names, skipped = plan(
        some_settings(mastodon_base_url=""), some_secrets(bluesky__handle="marquee.test")
    )
    assert names == ("tmdb",)
    assert {report.source: report.reason for report in skipped} == {
        "x": f"not configured: the SSM parameter {PREFIX}/x/bearer_token not set",
        "bluesky": f"not configured: the SSM parameter {PREFIX}/bluesky/app_password not set",
        "mastodon": "not configured: the setting MASTODON_BASE_URL not set",
    }
    assert {report.status for report in skipped} == {SourceStatus.SKIPPED}


def test_every_registered_source_has_its_module_and_every_module_with_collect_its_line() -> None:
    folder = Path(marquee.movies.sources.__file__).parent
    modules = {file.stem for file in folder.glob("*.py") if "def collect(" in file.read_text()}
    assert modules == {source.name for source in SOURCES}
    for source in SOURCES:
        assert callable(connect(source.name, some_settings(), some_secrets()))


def test_a_source_that_is_not_registered_is_bad_input() -> None:
    with pytest.raises(BadInput, match="no source is called relevance"):
        connect("relevance", some_settings(), some_secrets())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "the field id is missing"),
        ("a string", "the record is no object"),
        (None, "the record is no object"),
        ({"id": ""}, "review_id: String should have at least 1 character"),
        ({"id": "a\ud83d"}, "lone surrogate"),
        ({"id": 7}, "review_id: Input should be a valid string"),
    ],
)
def test_a_record_that_is_no_review_is_kept_with_its_reason(record: Any, reason: str) -> None:
    collected = read([record], lambda given: a_review(review_id=given["id"]), at_most=10)
    assert collected.reviews == ()
    assert collected.unreadable[0].record is record
    assert reason in collected.unreadable[0].reason
    assert collected.fetched == 1


def test_reading_stops_when_there_are_enough_wanted_reviews() -> None:
    records = [{"id": f"{number}"} for number in range(9)]
    collected = read(
        records,
        lambda record: a_review(review_id=record["id"]),
        at_most=2,
        is_wanted=lambda review: int(review.review_id) % 2 == 1,
    )
    assert [review.review_id for review in collected.reviews] == ["1", "3"]
    assert (collected.irrelevant, collected.fetched) == (2, 4)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2022-10-07T23:06:12.000Z", datetime(2022, 10, 7, 23, 6, 12, tzinfo=UTC)),
        ("2022-10-08T01:06:12+02:00", datetime(2022, 10, 7, 23, 6, 12, tzinfo=UTC)),
        ("2022-10-07T23:06:12", datetime(2022, 10, 7, 23, 6, 12, tzinfo=UTC)),
    ],
)
def test_moments_are_in_utc(text: str, at: datetime) -> None:
    assert moment(text) == at


@pytest.mark.parametrize(
    "text", ["yesterday", "", None, 1665184962, "2022-13-45T99:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_iso_time_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="not a date"):
        moment(text)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("in", "id"),
        ("und", None),
        ("qme", None),
        ("", None),
        (None, None),
    ],
)
def test_language_codes(tag: str | None, code: str | None) -> None:
    assert language_code(tag) == code
