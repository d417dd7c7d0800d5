"""What the changes of records of searches and backfills say to others."""

from collections.abc import Iterator

from marquee.events.models import (
    DomainEvent,
    MovieSearchCompleted,
    MovieSearchRequested,
    RecommendationGenerated,
    ReviewsCollected,
)
from marquee.events.outbox import Item
from marquee.workflows.announce import PARTIAL, RUNNING, SUCCEEDED, has_ended

KIND = "movie_search"
"""`marquee.movies.start.KIND`."""

BACKFILL = "review_backfill"
"""`marquee.movies.backfill.KIND`."""

BY_EVENT = "event"
"""The trigger of a search that was asked for on the bus, where it need not be said again."""


def search_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """A search that was asked for, one that has ended with a result, one that is complete now.

    A request that joins another search changes nothing and says nothing. What is said of a request
    starts no second search: the rule of StartMovieSearch passes over what Marquee itself says.
    """
    if new.get("kind") != KIND:
        return
    if not old and new["status"] == RUNNING and new.get("input"):
        yield from _requested(new)
    elif has_ended(old, new) and new["status"] in (SUCCEEDED, PARTIAL):
        yield from _completed(new, new["ended_at"])
    elif old.get("status") == PARTIAL and new["status"] == SUCCEEDED:
        yield from _completed(new, new["backfilled_at"], "backfilled")


def backfill_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """The reviews that a run of the queue has stored, film by film, whoever waits for them."""
    if new.get("kind") != BACKFILL or not has_ended(old, new):
        return
    for film in new.get("result", {}).get("films", ()):
        if gained := film.get("sources"):
            yield ReviewsCollected.about(
                *(new["workflow_id"], str(film["tmdb_id"])),
                occurred_at=new["ended_at"],
                correlation_id=new["workflow_id"],
                workflow_id=new["workflow_id"],
                tmdb_id=film["tmdb_id"],
                title=film["title"],
                new=sum(gained.values()),
                sources=gained,
            )


def _requested(record: Item) -> Iterator[DomainEvent]:
    if record.get("trigger") != BY_EVENT:
        yield MovieSearchRequested.about(
            record["workflow_id"],
            occurred_at=record["started_at"],
            correlation_id=record["workflow_id"],
            workflow_id=record["workflow_id"],
            trigger=record["trigger"],
            **record["input"],
        )


def _completed(new: Item, at: str, *turn: str) -> Iterator[DomainEvent]:
    """What the search found itself, and its end; of a later ``turn`` the end alone."""
    result = new["result"]
    found, reports = result["found"], result.get("sources", ())
    subject, common = (
        (new["workflow_id"], *turn),
        {
            "occurred_at": at,
            "correlation_id": new["workflow_id"],
            "workflow_id": new["workflow_id"],
            "tmdb_id": found.get("tmdb_id"),
            "title": found.get("title"),
        },
    )
    gained = {report["source"]: report["new"] for report in reports if report.get("new")}
    if gained and not turn:
        yield ReviewsCollected.about(*subject, **common, new=sum(gained.values()), sources=gained)
    if not turn and (recommended := result.get("recommended_ids")):
        yield RecommendationGenerated.about(*subject, **common, recommended=recommended)
    yield MovieSearchCompleted.about(
        *subject,
        **common,
        status=new["status"],
        message=found["message"],
        average_sentiment=result.get("average_sentiment"),
        sample_size=result.get("sample_size", 0),
        sources={report["source"]: report["status"] for report in reports},
        backfilled=bool(turn),
    )
