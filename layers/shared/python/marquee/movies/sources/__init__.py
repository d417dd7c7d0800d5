"""Where reviews come from: a source is a module here with ``collect`` and one line in SOURCES."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from marquee.clock import in_utc
from marquee.errors import BadInput
from marquee.gateway.prices import X_POST_READ_USD
from marquee.movies.models import Movie, Review, SourceReport, SourceStatus
from marquee.settings import Secrets, Settings

NO_WORDS = "the title holds no letter or digit to search for"
"""The problem of a title like "???" at a source that is searched by words."""


HALF_CHARACTER = "bad encoding: a lone surrogate, half a character"
"""JSON can carry it, UTF-8 and so DynamoDB cannot."""


@dataclass(frozen=True)
class SourceQuery:
    """What a source is asked for: at most ``max_reviews`` about a film."""

    movie: Movie
    max_reviews: int
    cursor: str | None = None
    """What the source gave as ``Collected.cursor`` the last time."""


@dataclass(frozen=True)
class Unreadable:
    """A record as it came, and why it is no review."""

    record: Any
    reason: str


@dataclass(frozen=True)
class Collected:
    """What a source gave."""

    reviews: tuple[Review, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    irrelevant: int = 0
    """About something else of that name, or spam."""
    cursor: str | None = None
    """Where to go on the next time; to be stored after the reviews."""
    problem: str = ""
    """Why this is not all that was asked for."""

    @property
    def fetched(self) -> int:
        """The records looked at."""
        return len(self.reviews) + len(self.unreadable) + self.irrelevant


type Collect = Callable[[SourceQuery], Collected]


@dataclass(frozen=True)
class Source:
    """A registered source and what it must be given; ``name`` is its module's name."""

    name: str
    secrets: tuple[str, ...] = ()
    """SSM parameters below the prefix."""
    setting: str | None = None
    endpoint: str = ""
    """Under which its calls are counted; empty where it makes none: TMDB's reviews come with the
    film."""
    usd_per_review: float = 0.0
    least_reviews: int = 0
    """That it gives and charges for, however few are asked for."""

    def most_usd(self, max_reviews: int) -> float:
        """What collecting one film can cost."""
        return self.usd_per_review * max(max_reviews, self.least_reviews)


SOURCES = (
    Source("tmdb"),
    Source(
        "x",
        secrets=("x/bearer_token",),
        endpoint="tweets/search/recent",
        usd_per_review=X_POST_READ_USD,
        least_reviews=10,
    ),
    Source(
        "bluesky",
        secrets=("bluesky/handle", "bluesky/app_password"),
        endpoint="app.bsky.feed.searchPosts",
    ),
    Source("mastodon", setting="mastodon_base_url", endpoint="timelines/tag"),
)


def plan(settings: Settings, secrets: Secrets) -> tuple[tuple[str, ...], tuple[SourceReport, ...]]:
    """The sources that can be asked, and a report on each that cannot, naming what it lacks."""
    lacking = {source.name: _lacks(source, settings, secrets) for source in SOURCES}
    skipped = (
        SourceReport(
            source=name,
            status=SourceStatus.SKIPPED,
            reason=f"not configured: {' and '.join(lacks)} not set",
        )
        for name, lacks in lacking.items()
        if lacks
    )
    return tuple(name for name, lacks in lacking.items() if not lacks), tuple(skipped)


def connect(name: str, settings: Settings, secrets: Secrets) -> Collect:
    """The ``collect`` of the source ``name``; raises BadInput where none is registered.

    Its module is imported here, so that planning costs no HTTP client.
    """
    if name not in {source.name for source in SOURCES}:
        raise BadInput(f"no source is called {name}", field="source")
    collect = import_module(f"{__name__}.{name}").collect
    return partial(collect, settings=settings, secrets=secrets)


def read(
    records: Iterable[Any],
    as_review: Callable[[Any], Review],
    *,
    at_most: int,
    is_wanted: Callable[[Review], bool] = lambda review: True,
) -> Collected:
    """The first ``at_most`` wanted reviews among the records.

    ``as_review`` may raise what a record of another shape makes it raise.
    """
    reviews: list[Review] = []
    unreadable: list[Unreadable] = []
    irrelevant = 0
    for record in records:
        if len(reviews) == at_most:
            break
        if not isinstance(record, dict):
            unreadable.append(Unreadable(record, "the record is no object"))
            continue
        try:
            review = as_review(record)
            review.model_dump_json()
        except _MALFORMED as error:
            unreadable.append(Unreadable(record, _said(error)))
            continue
        if is_wanted(review):
            reviews.append(review)
        else:
            irrelevant += 1
    return Collected(tuple(reviews), tuple(unreadable), irrelevant)


def stripped(text: Any) -> str:
    """The text without space around it; raises ValueError for what is no text."""
    if not isinstance(text, str):
        raise ValueError(f"a text was expected, not {str(text)[:60]!r}")  # noqa: TRY004 - bad data
    return text.strip()


def moment(text: Any) -> datetime:
    """An ISO 8601 time in UTC; raises ValueError for anything else, also for epoch seconds."""
    try:
        return in_utc(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a date: {str(text)[:60]!r}") from error


_MALFORMED = (LookupError, TypeError, AttributeError, ValueError, OverflowError, AssertionError)
"""What reading a record of another shape raises; the last is HTMLParser's word for bad markup."""

_LANGUAGE = re.compile(r"([a-z]{2})(?:[-_].*)?", re.IGNORECASE)
_RENAMED = {"in": "id", "iw": "he", "ji": "yi"}
"""Codes that ISO 639-1 replaced in 1989 and X still sends."""


def language_code(tag: str | None) -> str | None:
    """The ISO 639-1 code of a language tag; None for "und", X's "qme" and the like."""
    found = _LANGUAGE.fullmatch(tag or "")
    if not found:
        return None
    code = found[1].lower()
    return _RENAMED.get(code, code)


def _lacks(source: Source, settings: Settings, secrets: Secrets) -> list[str]:
    lacks = [
        f"the SSM parameter {settings.parameter_prefix}/{name}"
        for name in source.secrets
        if not secrets.get(name)
    ]
    if source.setting and not getattr(settings, source.setting):
        lacks.append(f"the setting {source.setting.upper()}")
    return lacks


def _said(error: Exception) -> str:
    """Why a record could not be read, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        why = HALF_CHARACTER if first["type"] == "string_unicode" else first["msg"]
        return f"{'.'.join(map(str, first['loc']))}: {why}"
    if isinstance(error, PydanticSerializationError):
        return HALF_CHARACTER
    if isinstance(error, KeyError):
        return f"the field {error.args[0]} is missing"
    return str(error) or type(error).__name__
