"""Our domain events, version 1 of each: what a detail on the bus holds.

The same as JSON Schema lies in ``schemas/<Type>.v<version>.json``; a test holds the two together. A
new property that readers may pass over keeps the version. Any other change is a version of its own,
a model and a file beside the old ones, and both are published until nobody asks for the old one.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from marquee.clock import Moment


class DomainEvent(BaseModel):
    """What every event of ours says of itself; its type on the bus is the name of its class."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        json_schema_serialization_defaults_required=True,  # all properties are always there
    )

    version: Literal[1] = Field(default=1, description="Of this schema.")
    event_id: str = Field(
        min_length=1,
        description="The same whenever this event comes again: what tells a repetition.",
    )
    occurred_at: Moment = Field(
        description="When the change was stored that this event follows from; UTC."
    )
    correlation_id: str = Field(
        min_length=1,
        description="What it has in common with lines of the log: the id of its workflow, or else "
        "the event's own.",
    )

    @classmethod
    def about(
        cls, *subject: str, occurred_at: Any, correlation_id: str | None = None, **detail: Any
    ) -> Self:
        """The event that happens once to ``subject``, which its id is made of.

        Raises ValidationError where it is not as its schema says.
        """
        event_id = "/".join((cls.__name__, *subject))
        return cls.model_validate(
            {
                "event_id": event_id,
                "occurred_at": occurred_at,
                "correlation_id": correlation_id or event_id,
                **detail,
            }
        )

    @property
    def detail_type(self) -> str:
        """Its type as the bus has it."""
        return type(self).__name__

    @property
    def detail(self) -> dict[str, Any]:
        """Itself as the bus has it."""
        return self.model_dump(mode="json")


class _OfWorkflow(DomainEvent):
    workflow_id: str = Field(min_length=1, description="The execution.")


class _OfFilm(_OfWorkflow):
    tmdb_id: int = Field(description="The film's id on TMDB.")
    title: str = Field(description="The film's.")


class _OfTweet(DomainEvent):
    workflow_id: str | None = Field(
        default=None, description="The run that took the tweet up; null where that is not known."
    )
    account: str = Field(description="The account that posts; lower case.")
    source: str = Field(description="The account whose tweet it is; lower case.")
    tweet_id: str = Field(description="The source tweet's id on X.")
    type: str | None = Field(
        default=None, description="What the tweet is about: review, news, …; null: not known."
    )
    reason: str = Field(default="", description="Why, in words.")


class MovieSearchRequested(_OfWorkflow):
    """A search was asked for, and has begun.

    Put on the bus by others it is the request itself, without the properties that only Marquee can
    know, and starts the search; this one, which Marquee says of any other search, starts nothing.
    """

    trigger: str = Field(description="What asked for it: api, or rerun.")
    movie_name: str = Field(default="", description="As it was asked for; empty: by tmdb_id.")
    year: int | None = Field(default=None, description="The year that was asked for.")
    tmdb_id: int | None = Field(default=None, description="The film that was asked for.")
    max_reviews: int = Field(description="The most that each source contributes.")
    language: str = Field(description="Of title and overview: te or te-IN.")
    region: str | None = Field(default=None, description="The country whose release counts: IN.")
    collect_new_data: bool = Field(description="Whether more than stored reviews is wanted.")


class MovieSearchCompleted(_OfWorkflow):
    """A search has ended with a result; one that lacks something is PARTIAL."""

    tmdb_id: int | None = Field(
        default=None, description="The film's id on TMDB; null where nothing matched."
    )
    title: str | None = Field(default=None, description="The film's; null where nothing matched.")
    status: Literal["SUCCEEDED", "PARTIAL"] = Field(description="PARTIAL: something lacks.")
    message: str = Field(description="Why this film, or that nothing matched, in a sentence.")
    average_sentiment: float | None = Field(
        default=None, ge=-1, le=1, description="Over its reviews, -1 to 1; null without any."
    )
    sample_size: int = Field(default=0, ge=0, description="How many reviews that is.")
    sources: dict[str, str] = Field(
        default_factory=dict,
        description="How each source went: ok, partial, deferred, skipped or failed.",
    )
    backfilled: bool = Field(
        default=False,
        description="True: said before as PARTIAL, and complete now with what was deferred.",
    )


class RecommendationGenerated(_OfFilm):
    """A search has found what to watch next."""

    recommended: tuple[int, ...] = Field(
        min_length=1, description="The films' ids on TMDB, the best first."
    )


class ReviewsCollected(_OfFilm):
    """A search or a backfill that has ended stored reviews of a film that were not known before."""

    new: int = Field(ge=1, description="How many.")
    sources: dict[str, int] = Field(description="How many from each source that had any.")


class TweetsDownloaded(_OfWorkflow):
    """New tweets of an account are stored."""

    source: str = Field(description="The account; lower case.")
    tweet_ids: tuple[str, ...] = Field(min_length=1, description="Their ids, the oldest first.")


class ApprovalRequested(_OfTweet):
    """A tweet waits for a person's word, and so does its run, or else the tweet is held."""

    approval_id: str = Field(description="For POST /workflow/approvals/{approval_id}.")
    state: Literal["WAITING", "HELD"] = Field(description="WAITING: a run waits for the word.")
    price_usd: float = Field(ge=0, description="What X charges for the post as it is proposed.")
    expires_at: Moment | None = Field(
        default=None, description="Until when the run waits; UTC; null where none does."
    )


class PostPublished(_OfTweet):
    """A tweet was posted."""

    post_id: str = Field(description="The post's id on X.")
    price_usd: float = Field(ge=0, description="What X charged for it.")


class PostNeedsHuman(_OfTweet):
    """Whether X has a post cannot be told without a person; nothing is sent until it is settled."""


class TweetPipelineCompleted(_OfWorkflow):
    """A run of the tweet pipeline has ended."""

    account: str = Field(description="The account that posts; lower case.")
    source: str = Field(description="The account whose tweets they are; lower case.")
    mode: Literal["auto", "approve", "dry_run"] = Field(description="Who decided what is posted.")
    status: Literal["SUCCEEDED", "PARTIAL", "FAILED"] = Field(
        description="PARTIAL: something failed on the way; FAILED: nothing was done."
    )
    tweets: dict[str, int] = Field(
        default_factory=dict, description="How many tweets it left with each status."
    )


class _WithoutResult(_OfWorkflow):
    kind: str = Field(description="movie_search, tweet_pipeline, review_backfill.")
    trigger: str = Field(default="", description="What started it: api, event, schedule, rerun.")


class WorkflowCanceled(_WithoutResult):
    """An execution was stopped on request, before it had a result."""

    message: str = Field(default="", description="Who or what stopped it, in words.")


class WorkflowFailed(_WithoutResult):
    """An execution has ended without a result."""

    error: str = Field(description="The error's name.")
    message: str = Field(default="", description="What went wrong, in words.")


class BudgetThreshold(DomainEvent):
    """So much of a cap is used up; at 100 a paid call was refused, the first in its period."""

    scope: str = Field(description="The upstream that is capped, or total for all of them.")
    period: str = Field(description="The day (2026-05-04) or month (2026-05) of the cap, in UTC.")
    percent: Literal[80, 100] = Field(description="Of the cap.")
    cap_usd: float = Field(ge=0, description="The cap.")
    used_usd: float = Field(ge=0, description="Spent and reserved by then.")


EVENTS: Mapping[str, type[DomainEvent]] = {
    model.__name__: model
    for model in (
        MovieSearchRequested,
        MovieSearchCompleted,
        RecommendationGenerated,
        ReviewsCollected,
        TweetsDownloaded,
        ApprovalRequested,
        PostPublished,
        PostNeedsHuman,
        TweetPipelineCompleted,
        WorkflowFailed,
        WorkflowCanceled,
        BudgetThreshold,
    )
}
"""By type; what else is on the bus was put there by others."""

SEARCH_REQUEST = MovieSearchRequested.__name__
"""The one type that others may put on the bus as well: all else follows from our own changes."""
