"""What the change of a search's record says to others."""

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
        yield from _completed(old, new, new["ended_at"])
    elif old.get("status") == PARTIAL and new["status"] == SUCCEEDED:
        yield from _completed(old, new, new["backfilled_at"], "backfilled")


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


def _completed(old: Item, new: Item, at: str, *turn: str) -> Iterator[DomainEvent]:
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
    if gained := _gained(old.get("result", {}), result):
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


def _gained(old: Item, new: Item) -> dict[str, int]:
    """New reviews by source, those that the result before had counted apart."""
    before = {report["source"]: report.get("new", 0) for report in old.get("sources", ())}
    gained = {
        report["source"]: report.get("new", 0) - before.get(report["source"], 0)
        for report in new.get("sources", ())
    }
    return {source: number for source, number in gained.items() if number > 0}
