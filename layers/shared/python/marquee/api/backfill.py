"""The queue of films whose reviews are collected later: what waits, why and until when; and now."""

from typing import TYPE_CHECKING

from pydantic import Field

from marquee.api.call import Call, NoParameters, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.api.waiting import accepted
from marquee.clock import Moment
from marquee.movies.backfill import BackfillRequest
from marquee.movies.backfill_queue import BackfillQueue, Entry, EntryState, as_turn
from marquee.movies.backfill_start import start_backfill
from marquee.movies.off_peak import OffPeak
from marquee.settings import Settings

if TYPE_CHECKING:
    from marquee.api.answers import BackfillTotals

MOST_COUNTED = 100
"""Entries that the statistics read: bounded, whatever waits."""


class QueueFilter(Parameters):
    """Which films."""

    state: EntryState = Field(
        default=EntryState.WAITING,
        description="WAITING: in the queue, the next one first. DONE and GIVEN_UP: those that have "
        "left it within 30 days, the last one first.",
    )
    limit: Limit = 20
    cursor: Cursor = None


class AfterEntry(Position):
    """The last entry listed; its state is the one that is asked for."""

    tmdb_id: int
    turn_at: Moment


def queue(asked: QueueFilter, call: Call) -> Reply:
    """A page of the films whose reviews are collected later, each with its reason and time."""
    from marquee.api.answers import QueueEntry, QueuePage

    films = BackfillQueue.connect(call.settings)
    window, now = OffPeak.parse(call.settings.backfill_window), call.now()
    place = decoded(asked.cursor, AfterEntry)
    after = {"tmdb_id": place.tmdb_id, "turn_at": as_turn(place.turn_at)} if place else None
    found, next_key = films.page(
        asked.state,
        limit=asked.limit,
        after=after and {**after, "state": asked.state.value},
    )
    return Reply(
        QueuePage(
            entries=tuple(
                QueueEntry(
                    **entry.model_dump(include=set(QueueEntry.model_fields)),
                    expected_at=films.expected_at(entry, now, window),
                )
                for entry in found
            ),
            enabled=call.settings.backfill_enabled,
            window=call.settings.backfill_window,
            off_peak=window.is_open(now),
            next_cursor=encoded(AfterEntry(tmdb_id=found[-1].tmdb_id, turn_at=found[-1].turn_at))
            if next_key
            else None,
        )
    )


def run_queue(asked: NoParameters, call: Call) -> Reply:
    """Collect now what waits, whatever the time of day, or join the run that does so already.

    Only what quotas and caps leave above the reserve for searches is used.
    """
    request = BackfillRequest(at_once=True)
    started = start_backfill(request, trigger="api", settings=call.settings, now=call.now())
    return accepted(started, call)


def backfill_totals(settings: Settings) -> "BackfillTotals":
    """The queue in numbers, for the statistics; at most MOST_COUNTED of each are counted."""
    from marquee.api.answers import BackfillTotals

    films = BackfillQueue.connect(settings)
    waiting, more = _counted(films, EntryState.WAITING)
    given_up, more_given_up = _counted(films, EntryState.GIVEN_UP)
    return BackfillTotals(
        films=len(waiting),
        more=more,
        searches=sum(len(entry.waiting) for entry in waiting),
        oldest_at=min((entry.queued_at for entry in waiting), default=None),
        given_up=len(given_up),
        more_given_up=more_given_up,
    )


def _counted(films: BackfillQueue, state: EntryState) -> tuple[list[Entry], bool]:
    """MOST_COUNTED entries in a state, and whether there are more."""
    found, after = films.page(state, limit=MOST_COUNTED + 1)
    return found[:MOST_COUNTED], len(found) > MOST_COUNTED or after is not None
