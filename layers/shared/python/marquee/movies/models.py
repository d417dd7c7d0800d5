"""The nouns of a movie search; times are UTC, sentiments lie in -1..1, money is in USD."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from marquee.clock import Moment

MAX_NAME_LENGTH = 200
"""The longest film title known has 165 characters."""


class Model(BaseModel):
    """Frozen; unknown fields are dropped; built at first use, as no step needs all of them."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class FilmRequest(BaseModel):
    """Which film, in whose words, and how many reviews of it each source contributes at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    movie_name: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH)
    ] = Field(
        default="",
        description="A title, with or without its year, or an IMDb id; not needed with tmdb_id.",
    )
    year: int | None = Field(
        default=None, ge=1870, le=2100, description="The year that the film came out."
    )
    tmdb_id: int | None = Field(default=None, ge=1, le=2**53, description="The film's id on TMDB.")
    max_reviews: int = Field(
        default=10, ge=1, le=100, description="The most that each source contributes."
    )
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
        description="Of title and overview: te or te-IN; where TMDB has none, English.",
    )
    region: str | None = Field(
        default=None, pattern=r"^[A-Z]{2}$", description="The country whose release counts: IN."
    )

    @model_validator(mode="after")
    def _names_a_film(self) -> Self:
        if not self.movie_name and self.tmdb_id is None:
            raise PydanticCustomError("no_film", "give a movie_name or a tmdb_id")
        return self


class SearchRequest(FilmRequest):
    """What a user asks for; the input of the workflow without its ``workflow_id``."""

    collect_new_data: bool = Field(
        default=True, description="False: only the reviews that are stored already."
    )


class Person(Model):
    """A director or actor."""

    id: int
    name: str


class Keyword(Model):
    """A keyword or genre of TMDB."""

    id: int
    name: str


class FilmFacts(Model):
    """What is compared between two films."""

    tmdb_id: int
    title: str
    year: int | None = None
    poster_path: str | None = None
    genres: tuple[Keyword, ...] = ()
    directors: tuple[Person, ...] = ()
    cast: tuple[Person, ...] = ()
    keywords: tuple[Keyword, ...] = ()
    vote_average: float = 0.0
    vote_count: int = 0
    popularity: float = 0.0


class RelatedFilm(Model):
    """A film that TMDB lists under recommendations or similar: no credits, genres as ids only."""

    tmdb_id: int
    title: str
    year: int | None = None
    poster_path: str | None = None
    genre_ids: tuple[int, ...] = ()
    vote_average: float = 0.0
    vote_count: int = 0
    popularity: float = 0.0
    recommended: bool
    """Under recommendations (people who liked one liked the other); else under similar."""


class FilmText(Model):
    """A film's words in one language; an empty part falls back to English."""

    title: str = ""
    overview: str = ""
    tagline: str = ""


class Movie(FilmFacts):
    """A film as Marquee keeps it; its own texts are English."""

    original_title: str = ""
    original_language: str = ""
    alternative_titles: tuple[str, ...] = ()
    overview: str = ""
    tagline: str = ""
    texts: dict[str, FilmText] = Field(default_factory=dict)
    """By ISO 639-1 code, for the languages that somebody has asked for."""
    release_date: date | None = None
    runtime: int | None = None
    """Minutes."""
    imdb_id: str | None = None
    related: tuple[RelatedFilm, ...] = ()
    fetched_at: Moment
    """When TMDB said so."""


class MovieCard(Model):
    """A film as an answer shows it in a list."""

    tmdb_id: int
    title: str
    year: int | None = None
    poster_path: str | None = None


class Candidate(MovieCard):
    """A film that the search could have meant; ``reason`` says why it was not chosen."""

    reason: str


class FoundMovie(Model):
    """What a search found; ``tmdb_id`` is None where nothing matched."""

    tmdb_id: int | None = None
    title: str | None = None
    year: int | None = None
    message: str
    """Why this film, or that nothing matched, in a sentence for the user."""
    source: str = "tmdb"
    """``tmdb`` where TMDB answered now, ``cache`` where stored facts were used."""
    age_seconds: int = 0
    """How old the facts are."""
    stale: bool = False
    """Stored facts past their freshness, used because TMDB did not answer."""
    candidates: tuple[Candidate, ...] = ()


class Label(StrEnum):
    """How a review feels; UNSCORED where the scorer does not know its language."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    UNSCORED = "unscored"


class Review(Model):
    """One person's words about a film, as its source gave them: immutable."""

    tmdb_id: int
    source: str = Field(pattern=r"^[a-z]+$")
    review_id: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1)
    posted_at: Moment
    author: str = Field(default="", max_length=500)
    url: str | None = Field(default=None, max_length=2000)
    language: str | None = None
    """ISO 639-1, as the source declares it; None where it does not."""
    rating: float | None = Field(default=None, ge=0, le=10)
    """Stars the author gave, 0..10."""


class Sentiment(Model):
    """What the scorer says of one review."""

    label: Label
    score: float | None = Field(default=None, ge=-1, le=1)
    """None where unscored."""
    scorer: str
    """Name and version of the scorer; a review scored by another one is scored again."""


class ScoredReview(Review):
    """A stored review."""

    sentiment: Sentiment
    collected_at: Moment


class SetAside(Model):
    """A record that could not be read, kept with its reason so that nothing is lost."""

    tmdb_id: int
    source: str
    reason: str
    record: str
    """The record as it came: JSON, cut at 4,000 characters."""
    set_aside_at: Moment


class SourceStatus(StrEnum):
    """How collecting from one source went."""

    OK = "ok"
    PARTIAL = "partial"
    DEFERRED = "deferred"
    """Its quota has no slot in reach."""
    SKIPPED = "skipped"
    FAILED = "failed"


class SourceReport(Model):
    """What one source contributed to a search."""

    source: str
    status: SourceStatus
    reason: str = ""
    """In words, wherever the status is not ok."""
    deferred_until: Moment | None = None
    """The first slot that was free."""
    expected_at: Moment | None = None
    """Of a deferred source: by when it is collected, where there is quota and budget then."""
    fetched: int = 0
    new: int = 0
    duplicates: int = 0
    """Already stored, or the text of another review again."""
    irrelevant: int = 0
    """About something else of that name, or spam."""
    set_aside: int = 0
    parked: int = 0
    """Waiting in the queue because DynamoDB refused them."""
    calls: int = 0
    cost_usd: float = 0.0


class Quote(Model):
    """A review worth showing."""

    text: str
    author: str
    source: str
    url: str | None
    score: float


class Analysis(Model):
    """How people feel about a film, over its newest reviews."""

    tmdb_id: int
    average_sentiment: float | None = None
    """Mean of the scored reviews in -1..1; None where none is scored."""
    confidence_interval: tuple[float, float] | None = None
    """95 % interval of the mean; None below two scored reviews."""
    label: Label = Label.UNSCORED
    sample_size: int = 0
    """Scored reviews, near-identical texts counted once."""
    counts_by_label: dict[str, int] = Field(default_factory=dict)
    counts_by_source: dict[str, int] = Field(default_factory=dict)
    histogram: tuple[int, ...] = ()
    """20 bins of width 0.1 over -1..1."""
    most_positive: tuple[Quote, ...] = ()
    most_negative: tuple[Quote, ...] = ()
    period_from: Moment | None = None
    period_to: Moment | None = None
    analyzed_at: Moment
    scorer: str


class AnalyzedFilm(FilmFacts):
    """A film that Marquee has analyzed, as the index by genre holds it."""

    average_sentiment: float | None = None
    sample_size: int = 0


class Recommendation(MovieCard):
    """A film to watch next: ``score`` in 0..1 and the reasons in words."""

    score: float
    reasons: tuple[str, ...]
