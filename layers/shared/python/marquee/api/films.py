"""What Marquee knows of one film: facts, analysis, reviews, recommendations."""

from typing import Annotated

from pydantic import Field, field_validator

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.errors import NotFound
from marquee.movies.catalog import Catalog, KnownFilm
from marquee.movies.models import MAX_NAME_LENGTH, Label
from marquee.settings import DETAILS_FRESH_FOR

LONGEST_SORT_KEY = 1024
"""Bytes; DynamoDB's own limit."""

TmdbId = Annotated[int, Field(strict=True, ge=1, le=2**53, description="The film's id on TMDB.")]


class Film(Parameters):
    """Which film."""

    tmdb_id: TmdbId


class TitleBeginning(Parameters):
    """What somebody has typed of a title."""

    title: str = Field(
        min_length=1, max_length=MAX_NAME_LENGTH, description="The beginning of a title."
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=20, description="Films at most.")] = 8


class FilmInLanguage(Film):
    """Which film, in whose words."""

    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
        description="Of title and overview, where somebody has searched in it; else English.",
    )


class SetAsideFilter(Film):
    """Which page of the records set aside."""

    limit: Limit = 20
    cursor: Cursor = None


class ReviewFilter(SetAsideFilter):
    """Which reviews."""

    label: Label | None = Field(default=None, description="Absent: any.")
    source: str | None = Field(
        default=None, pattern=r"^[a-z]{1,40}$", description="tmdb, x, ...; absent: any."
    )


class After(Position):
    """The sort key of the last record listed."""

    after: str = Field(min_length=1)

    @field_validator("after")
    @classmethod
    def _is_a_sort_key(cls, after: str) -> str:
        if len(after.encode()) > LONGEST_SORT_KEY:
            raise ValueError("is longer than a sort key")
        return after


def known_movies(asked: TitleBeginning, call: Call) -> Reply:
    """Films that Marquee knows whose title begins so, in any of its languages, by title.

    Case, accents, punctuation and spaces do not count.
    """
    from marquee.api.answers import KnownMovies
    from marquee.movies.titles import normalize

    beginning = normalize(asked.title)
    catalog = Catalog.connect(call.settings)
    films = catalog.films_beginning(beginning, asked.limit) if beginning else ()
    return Reply(KnownMovies(films=tuple(films)))


def movie(asked: FilmInLanguage, call: Call) -> Reply:
    """The film's facts and its analysis."""
    from marquee.api.answers import MovieAnswer
    from marquee.movies.search import shown

    known = _known(asked.tmdb_id, call)
    if known.movie is None:
        raise NotFound(f"the facts of the film {asked.tmdb_id} have expired: search for it again")
    age = call.now() - known.movie.fetched_at
    return Reply(
        MovieAnswer(
            movie=shown(known.movie, asked.language),
            age_seconds=round(age.total_seconds()),
            stale=age > DETAILS_FRESH_FOR,
            analysis=known.analysis,
        )
    )


def recommendations(asked: Film, call: Call) -> Reply:
    """What to watch after the film."""
    from marquee.api.answers import RecommendationsAnswer

    known = _known(asked.tmdb_id, call)
    return Reply(
        RecommendationsAnswer(
            tmdb_id=asked.tmdb_id,
            recommendations=known.recommendations,
            recommended_at=known.recommended_at,
        )
    )


def reviews(asked: ReviewFilter, call: Call) -> Reply:
    """A page of the film's reviews, the newest first."""
    from marquee.api.answers import ReviewPage
    from marquee.movies.review_store import ReviewStore

    position = decoded(asked.cursor, After)
    found, after = ReviewStore.connect(call.settings).page(
        asked.tmdb_id,
        limit=asked.limit,
        after=position.after if position else None,
        label=asked.label,
        source=asked.source,
    )
    if not found:
        _known(asked.tmdb_id, call)
    return Reply(
        ReviewPage(tmdb_id=asked.tmdb_id, reviews=tuple(found), next_cursor=_cursor(after))
    )


def set_aside(asked: SetAsideFilter, call: Call) -> Reply:
    """A page of the records about the film that could not be read."""
    from marquee.api.answers import SetAsidePage
    from marquee.movies.review_store import ReviewStore

    position = decoded(asked.cursor, After)
    found, after = ReviewStore.connect(call.settings).set_aside(
        asked.tmdb_id, limit=asked.limit, after=position.after if position else None
    )
    if not found:
        _known(asked.tmdb_id, call)
    return Reply(
        SetAsidePage(tmdb_id=asked.tmdb_id, set_aside=tuple(found), next_cursor=_cursor(after))
    )


def _known(tmdb_id: int, call: Call) -> KnownFilm:
    """What is stored of the film; raises NotFound where nothing is."""
    known = Catalog.connect(call.settings).known(tmdb_id)
    if known == KnownFilm():
        raise NotFound(f"Marquee does not know the film {tmdb_id}: search for it first")
    return known


def _cursor(after: str | None) -> str | None:
    return encoded(After(after=after)) if after is not None else None
