"""The second half of a search alone: store a film and its reviews that come from elsewhere.

A film that is wrong is refused as a whole; of the reviews each one that is wrong is refused by
itself, with its reason. Everything lies under a key of its own, so a request that broke off in the
middle, or whose answer was lost, is simply sent again.

Facts from elsewhere stand in where TMDB does not answer; they never keep Marquee from asking it,
and never replace newer ones.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from marquee.errors import BadInput
from marquee.movies.catalog import Catalog
from marquee.movies.find import title_keys
from marquee.movies.models import Model, Movie, Review, ScoredReview
from marquee.movies.review_store import ReviewStore, review_key
from marquee.movies.reviews import CLOCK_SKEW, is_dated, new_reviews, older_keys, scored
from marquee.movies.sources import moment
from marquee.settings import DETAILS_FRESH_FOR, DETAILS_KEPT_FOR

MAX_REVIEWS = 500
"""Of one request: as many as an analysis reads."""

MAX_LISTED = 100
"""Names in one of a film's lists."""

MAX_FILM_BYTES = 200_000
"""A film as JSON in UTF-8; an item of DynamoDB holds 400 KB."""

MAX_NUMBER = 2**53
"""Above it a JSON number is no longer exact."""


def _day(text: Any) -> date:
    if not isinstance(text, str):
        raise ValueError("must be a date like 2022-03-24")  # noqa: TRY004 - bad data
    return date.fromisoformat(text)


def _rounded(number: float) -> float:
    # DynamoDB knows no number between 0 and 1E-130.
    return round(number, 6)


def _or_none[T](read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000)]
Id = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Number = Annotated[float, Field(ge=0, le=MAX_NUMBER), AfterValidator(_rounded)]
Rating = Annotated[float, Field(ge=0, le=10), AfterValidator(_rounded)]


class _Imported(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class ImportedName(_Imported):
    """A person, genre or keyword by its id on TMDB."""

    id: Id
    name: Name


class ImportedFilm(_Imported):
    """A film: its id on TMDB, its title, and whatever else is known, as an answer shows it."""

    tmdb_id: Id
    title: Name
    year: Annotated[int, Field(ge=1870, le=2100)] | None = None
    poster_path: Line | None = None
    genres: list[ImportedName] = Field(default=[], max_length=MAX_LISTED)
    directors: list[ImportedName] = Field(default=[], max_length=MAX_LISTED)
    cast: list[ImportedName] = Field(default=[], max_length=MAX_LISTED)
    keywords: list[ImportedName] = Field(default=[], max_length=MAX_LISTED)
    vote_average: Rating = 0.0
    vote_count: Annotated[int, Field(ge=0, le=MAX_NUMBER)] = 0
    popularity: Number = 0.0
    original_title: Line = ""
    original_language: Annotated[str, Field(pattern=r"^([a-z]{2})?$")] = ""
    alternative_titles: list[Name] = Field(default=[], max_length=MAX_LISTED)
    overview: Text = ""
    tagline: Text = ""
    release_date: Annotated[date | None, BeforeValidator(_or_none(_day))] = None
    runtime: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None, description="Minutes."
    )
    imdb_id: Annotated[str, Field(pattern=r"^tt\d{7,10}$")] | None = None
    fetched_at: Annotated[datetime | None, BeforeValidator(_or_none(moment))] = Field(
        default=None, description="When TMDB said so; absent: 12 hours ago."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.model_dump_json().encode()) > MAX_FILM_BYTES:
            raise ValueError(f"a film has {MAX_FILM_BYTES} bytes at most")
        return self


class ImportedReview(_Imported):
    """One person's words about the film; ``source`` and ``review_id`` make it itself."""

    tmdb_id: Id | None = Field(default=None, description="Of the same film, where it is given.")
    source: Annotated[str, Field(pattern=r"^[a-z]{1,40}$")]
    review_id: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    posted_at: Annotated[datetime, BeforeValidator(moment)] = Field(
        description="ISO 8601; without a zone it is UTC."
    )
    author: Line = ""
    url: Annotated[str, Field(max_length=2000)] | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] | None = Field(
        default=None, description="ISO 639-1."
    )
    rating: Rating | None = Field(default=None, description="Stars, 0..10.")


class Rejected(Model):
    """A review that was not stored, by its place in the request."""

    index: int
    reason: str


class Imported(Model):
    """What became of a film and its reviews."""

    movie_stored: bool
    """False: the same facts or newer ones were there."""
    reviews_stored: int
    duplicates: int
    """Stored already, or the text of another review again."""
    rejected: tuple[Rejected, ...]
    refused: int = 0
    """What DynamoDB did not take now: to be sent again."""


def import_film(
    film: ImportedFilm,
    reviews: Sequence[Any],
    catalog: Catalog,
    store: ReviewStore,
    *,
    now: datetime,
) -> Imported:
    """Store the film, then those of ``reviews`` (ImportedReview each) that are right and new.

    Raises BadInput for a film whose ``fetched_at`` cannot be, and what DynamoDB raises where it
    does not answer: then the same request again stores what is missing.
    """
    movie = _as_movie(film, now)
    read, rejected = _read(reviews, film.tmdb_id, now)
    movie_stored = _keep_film(movie, catalog)
    known = store.newest(film.tmdb_id, consistent=True)
    unknown = _unknown(read, known)
    new = new_reviews(unknown, known, older_keys(unknown, known, store))
    written = store.put(scored(review, now) for review in new)
    places = {review_key(review): index for index, review in reversed(read.items())}
    invalid = [
        Rejected(index=places[review_key(record)], reason=reason)
        for record, reason in written.invalid
        if isinstance(record, ScoredReview)
    ]
    return Imported(
        movie_stored=movie_stored,
        reviews_stored=len(written.stored),
        duplicates=len(read) - len(new),
        rejected=tuple(sorted([*rejected, *invalid], key=lambda one: one.index)),
        refused=len(written.refused),
    )


def _as_movie(film: ImportedFilm, now: datetime) -> Movie:
    """The film as it is stored: never so fresh that TMDB would not be asked."""
    at = film.fetched_at or now
    if at > now + CLOCK_SKEW:
        raise BadInput(f"{at.isoformat()} is still to come", field="movie.fetched_at")
    if at <= now - DETAILS_KEPT_FOR:
        days = DETAILS_KEPT_FOR / timedelta(days=1)
        raise BadInput(
            f"older than {days:.0f} days: TMDB's terms let nobody keep it", field="movie.fetched_at"
        )
    facts = film.model_dump() | {"fetched_at": min(at, now - DETAILS_FRESH_FOR)}
    return Movie.model_validate(facts)


def _keep_film(movie: Movie, catalog: Catalog) -> bool:
    """Store it where nothing newer and nothing equal is; what it cannot say is kept."""
    known = catalog.movie(movie.tmdb_id)
    if known:
        whole = {"texts": known.texts, "related": known.related}
        movie = movie.model_copy(update=whole)
        same = movie.model_copy(update={"fetched_at": known.fetched_at}) == known
        if same or known.fetched_at >= movie.fetched_at:
            return False
    catalog.put_movie(movie, title_keys(movie), [])
    return True


def _read(
    reviews: Sequence[Any], tmdb_id: int, now: datetime
) -> tuple[dict[int, Review], list[Rejected]]:
    """The reviews that are right by their places, and why the others are not."""
    read: dict[int, Review] = {}
    rejected: list[Rejected] = []
    for index, given in enumerate(reviews):
        try:
            review = _as_review(given, tmdb_id, now)
        except BadInput as fault:
            rejected.append(Rejected(index=index, reason=str(fault)))
        else:
            read[index] = review
    return read, rejected


def _as_review(given: Any, tmdb_id: int, now: datetime) -> Review:
    try:
        imported = ImportedReview.model_validate(given)
    except ValidationError as error:
        raise BadInput.of(error) from error
    if imported.tmdb_id not in (None, tmdb_id):
        raise BadInput(f"tmdb_id: it is about the film {imported.tmdb_id}", field="tmdb_id")
    review = Review.model_validate(imported.model_dump() | {"tmdb_id": tmdb_id})
    if not is_dated(review, now):
        raise BadInput(f"posted_at: {review.posted_at.isoformat()} cannot be right")
    return review


def _unknown(read: dict[int, Review], known: Sequence[Review]) -> list[Review]:
    """Those that are not stored under another time of posting, each once."""
    seen = {(review.source, review.review_id) for review in known}
    unknown = []
    for review in read.values():
        name = (review.source, review.review_id)
        if name not in seen:
            seen.add(name)
            unknown.append(review)
    return unknown
