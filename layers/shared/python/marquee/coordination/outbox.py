"""Whose changes are announced: for each table with a stream, what its rows say to others."""

from collections.abc import Iterator, Mapping

from marquee.events.models import DomainEvent
from marquee.events.outbox import Announce, Item
from marquee.gateway.announce import budget_events
from marquee.movies.announce import backfill_events, search_events
from marquee.settings import Settings
from marquee.tweets.announce import post_events, run_events, tweet_events
from marquee.workflows.announce import workflow_events


def announcers(settings: Settings) -> Mapping[str, Announce]:
    """By the names of the tables that the template gave us."""
    return {
        settings.require("workflows_table"): record_events,
        settings.require("tweets_table"): tweet_events,
        settings.require("posts_table"): post_events,
        settings.require("gateway_table"): budget_events,
    }


def record_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """Of WorkflowsTable: what a record says by its kind, and by its end."""
    yield from search_events(old, new)
    yield from backfill_events(old, new)
    yield from run_events(old, new)
    yield from workflow_events(old, new)
