"""BackfillTable: the films whose reviews are collected later, each once, the best first.

A film's one entry is the item under its ``tmdb_id``. The index ``by_turn`` (``state``, ``turn_at``)
holds those that wait in the order in which they are taken, so that the best is read first, and
those that are done or given up by when that was, until they expire.

An entry's turn is a time, fixed when it is queued: at once for a film that somebody waits for, and
later by a patience that is the shorter the more often the film was searched for. So a waiting user
comes first, then popularity and age decide; and whoever has waited out its patience is taken before
all that were queued after its turn, waiting users too: however many come, nobody starves.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError
from pydantic import Field

from marquee.aws import from_item, table, to_item
from marquee.clock import Moment
from marquee.errors import StoreUnavailable
from marquee.movies.models import Model
from marquee.movies.off_peak import OffPeak
from marquee.settings import RECORD_KEPT_FOR, Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

PATIENCE = timedelta(days=8)
"""Of a film that nobody has searched for in a week; every search then divides it: 4 days, 2.7 …"""

MAX_ATTEMPTS = 6
"""That failed; then the entry leaves the queue."""

FIRST_PAUSE = timedelta(minutes=15)
"""After a failed attempt, twice that after the next one, and so on: an outage of 7 hours is
survived."""

DRAINED_EVERY = timedelta(minutes=15)
"""How often the schedule of the template looks."""

ENDED_KEPT_FOR = timedelta(days=30)
"""What was done, and what was given up with its reason."""

MOST_WAITING = 200
"""Searches that one entry knows of; more keep their PARTIAL."""

MAX_TURNS = 10
"""Conditional writes lost in a row before we give up."""


class EntryState(StrEnum):
    """Where a film stands: WAITING is in the queue, the others have left it."""

    WAITING = "WAITING"
    DONE = "DONE"
    GIVEN_UP = "GIVEN_UP"


class Reason(StrEnum):
    """Why a film is queued, the strongest first."""

    DEFERRED = "deferred"
    """A search had to go on without a source, and somebody waits for it."""
    OFTEN = "searched often"
    """Many look at it, and its reviews are older than a day."""
    STALE = "stale"
    """Its reviews are so old that the sources will soon not find what came since."""


class Wish(Model):
    """That a film's reviews be collected from these sources."""

    tmdb_id: int
    title: str
    year: int | None = None
    reason: Reason
    sources: tuple[str, ...]
    workflow_id: str | None = None
    """The search that waits for it."""
    popularity: int = 0
    """Searches for the film in the last 7 days: ours, not TMDB's figure, which says what the world
    looks at, not who comes here."""
    max_reviews: int = 10
    not_before: Moment | None = None
    """The first slot that was free."""


class Entry(Model):
    """A film in the queue, or one that has left it."""

    tmdb_id: int
    title: str
    year: int | None = None
    state: EntryState = EntryState.WAITING
    reason: Reason
    sources: tuple[str, ...]
    """What is still to be collected."""
    waiting: tuple[str, ...] = ()
    """The searches that become complete by it."""
    popularity: int = 0
    max_reviews: int = 10
    queued_at: Moment
    turn_at: Moment
    """Of an entry that waits, its place in the queue; of others, when they left it."""
    not_before: Moment | None = None
    """No attempt is made before."""
    attempts: int = 0
    """That failed."""
    last_at: Moment | None = None
    last_outcome: str = ""
    """Of the last attempt, in words."""
    last_run: str = ""
    """The execution that made it."""
    expires_at: int = 0
    version: int = Field(default=0, ge=0)

    def is_due(self, now: datetime) -> bool:
        """Whether an attempt may be made."""
        return self.not_before is None or self.not_before <= now


def turn_of(wish: Wish, queued_at: datetime) -> datetime:
    """When it is the film's turn."""
    if wish.workflow_id:
        return queued_at
    turn = queued_at + PATIENCE / (1 + wish.popularity)
    return turn.replace(microsecond=turn.microsecond // 1000 * 1000)


def queued(entry: Entry | None, wish: Wish, now: datetime) -> Entry:
    """The film's entry with the wish in it; the same again where it is there already.

    One that has left the queue begins anew. A wish never moves a film back.
    """
    turn_at = turn_of(wish, now)
    own = (wish.workflow_id,) if wish.workflow_id else ()
    if entry is None or entry.state is not EntryState.WAITING:
        facts = wish.model_dump(exclude={"workflow_id"})
        version = entry.version if entry else 0
        return Entry(
            **facts,
            waiting=own,
            queued_at=now,
            turn_at=turn_at,
            expires_at=_expiry(now, RECORD_KEPT_FOR),
            version=version,
        )
    waiting = tuple(dict.fromkeys((*entry.waiting, *own)))[:MOST_WAITING]
    rank = list(Reason).index
    return entry.model_copy(
        update={
            "reason": min(entry.reason, wish.reason, key=rank),
            "sources": tuple(dict.fromkeys((*entry.sources, *wish.sources))),
            "waiting": waiting,
            "popularity": max(entry.popularity, wish.popularity),
            "max_reviews": max(entry.max_reviews, wish.max_reviews),
            "turn_at": min(entry.turn_at, turn_at),
            "not_before": _earlier(entry, wish),
            "expires_at": _expiry(now, RECORD_KEPT_FOR),
        }
    )


def _earlier(entry: Entry, wish: Wish) -> datetime | None:
    """After a failed attempt its pause holds; else the earlier of the two slots."""
    if entry.attempts:
        return entry.not_before
    known = [at for at in (entry.not_before, wish.not_before) if at]
    return min(known) if len(known) == 2 else None


def put_back(
    entry: Entry,
    outcome: str,
    now: datetime,
    *,
    sources: tuple[str, ...],
    not_before: datetime | None = None,
) -> Entry:
    """The entry after an attempt that had to be put off: nobody's failure, and so not counted."""
    return entry.model_copy(
        update={
            "sources": sources,
            "not_before": not_before,
            "last_at": now,
            "last_outcome": outcome,
        }
    )


def failed(entry: Entry, outcome: str, now: datetime, *, sources: tuple[str, ...]) -> Entry:
    """The entry after an attempt that failed: later and later, and given up after the last."""
    attempts = entry.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        words = f"{outcome} ({attempts} attempts)"
        return _left(entry, EntryState.GIVEN_UP, words, now, sources=sources, attempts=attempts)
    pause = FIRST_PAUSE * 2 ** (attempts - 1)
    back = put_back(entry, outcome, now, sources=sources, not_before=now + pause)
    return back.model_copy(update={"attempts": attempts})


def done(entry: Entry, outcome: str, now: datetime) -> Entry:
    """The entry when everything is collected."""
    return _left(entry, EntryState.DONE, outcome, now, sources=(), waiting=())


def _left(entry: Entry, state: EntryState, outcome: str, now: datetime, **fields: Any) -> Entry:
    return entry.model_copy(
        update={
            "state": state,
            "turn_at": now,
            "not_before": None,
            "last_at": now,
            "last_outcome": outcome,
            "expires_at": _expiry(now, ENDED_KEPT_FOR),
            **fields,
        }
    )


class BackfillQueue:
    """The entries in BackfillTable."""

    def __init__(self, entries: "Table", *, is_drained: bool = True) -> None:
        """``is_drained``: whether the schedule runs, or nobody but who asks for it."""
        self._table = entries
        self._is_drained = is_drained

    @classmethod
    def connect(cls, settings: Settings) -> "BackfillQueue":
        """The queue in the table that the template gave us."""
        entries = table(settings.require("backfill_table"))
        return cls(entries, is_drained=settings.backfill_enabled)

    def expected_at(
        self, entry: Entry, now: datetime, window: OffPeak | None = None
    ) -> datetime | None:
        """By when it is collected, if there is quota and budget left then; None: not by itself.

        What somebody waits for is not kept until the off-peak hours; of the rest it is not known
        without a ``window``.
        """
        if entry.state is not EntryState.WAITING or not self._is_drained:
            return None
        earliest = max(now, entry.not_before or now)
        if entry.waiting:
            return earliest + DRAINED_EVERY
        return window.opens_at(earliest) + DRAINED_EVERY if window else None

    def entry(self, tmdb_id: int) -> Entry | None:
        """A film's entry as of now, whether it waits or has left the queue."""
        answer = self._table.get_item(Key={"tmdb_id": tmdb_id}, ConsistentRead=True)
        item = answer.get("Item")
        return _entry(item) if item else None

    def add(self, wish: Wish, now: datetime) -> Entry:
        """Queue a film, or add the wish to its entry; the entry as it is stored now."""
        added = self.change(wish.tmdb_id, lambda entry: queued(entry, wish, now))
        if added is None:
            raise AssertionError("a wish always makes an entry")
        return added

    def change(self, tmdb_id: int, decide: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Store what ``decide`` makes of the film's entry, again where someone came between.

        None leaves it as it is. Returns the entry as it is stored now. Raises StoreUnavailable
        where others keep winning.
        """
        for _ in range(MAX_TURNS):
            before = self.entry(tmdb_id)
            after = decide(before)
            if after is None or after == before:
                return before
            if stored := self._swap(after):
                return stored
        raise StoreUnavailable(f"the entry of {tmdb_id}: lost {MAX_TURNS} writes in a row")

    def page(
        self, state: EntryState, *, limit: int, after: Mapping[str, Any] | None = None
    ) -> tuple[list[Entry], dict[str, Any] | None]:
        """Entries in a state, and the next key: of those that wait the next one first, of the
        others that which left last."""
        query: dict[str, Any] = {
            "IndexName": "by_turn",
            "KeyConditionExpression": Key("state").eq(state),
            "ScanIndexForward": state is EntryState.WAITING,
            "Limit": limit,
        }
        if after:
            query["ExclusiveStartKey"] = dict(after)
        answer = self._table.query(**query)
        return [_entry(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")

    def length(self) -> int:
        """How many films wait, or as many of them as one query reads (1 MB, some thousands)."""
        waiting = Key("state").eq(EntryState.WAITING)
        answer = self._table.query(
            IndexName="by_turn", KeyConditionExpression=waiting, Select="COUNT"
        )
        return answer["Count"]

    def _swap(self, entry: Entry) -> Entry | None:
        """Store the entry where nobody has changed it since; None where someone came between."""
        stored = entry.model_copy(update={"version": entry.version + 1})
        here = Attr("version").eq(entry.version) if entry.version else Attr("tmdb_id").not_exists()
        try:
            self._table.put_item(
                Item={**to_item(stored), "turn_at": as_turn(stored.turn_at)},
                ConditionExpression=here,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            # The client itself sends again what got no answer, and then fails its own condition.
            return stored if self.entry(entry.tmdb_id) == stored else None
        return stored


def as_turn(at: datetime) -> str:
    """The time as the index orders it: always as long."""
    return at.isoformat(timespec="milliseconds")


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry.model_validate(from_item(item))


def _expiry(now: datetime, kept_for: timedelta) -> int:
    return int((now + kept_for).timestamp())
