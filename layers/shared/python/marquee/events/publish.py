"""Putting events on the bus."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Protocol

from marquee.aws import STORE_ERRORS, client
from marquee.errors import StoreUnavailable
from marquee.observability import logger
from marquee.settings import Settings

SOURCE = "marquee"
"""The ``source`` of every event of ours; rules match on it."""

AT_ONCE = 10
"""Events of one PutEvents; ours have a few KB each, and it takes 256 KB."""

MAX_TURNS = 3
"""Of offering what the bus refused out of a request that it took."""


class Tellable(Protocol):
    """What can be put on the bus."""

    @property
    def detail_type(self) -> str:
        """In past tense."""

    @property
    def detail(self) -> dict[str, Any]:
        """JSON."""


@dataclass(frozen=True)
class Bus:
    """The custom event bus."""

    events: Any
    name: str

    @classmethod
    def connect(cls, settings: Settings) -> "Bus":
        """The bus that the template gave us."""
        return cls(client("events"), settings.require("event_bus"))

    def put(self, event: Tellable, *, source: str = SOURCE) -> str:
        """Put one event; returns the id that the bus gave it. Raises StoreUnavailable."""
        [event_id] = self.offer([event], source=source)
        if event_id is None:
            raise StoreUnavailable("the event bus refused the event")
        return event_id

    def offer(self, events: Sequence[Tellable], *, source: str = SOURCE) -> list[str | None]:
        """Put any number of events; returns the id of each, None of one that the bus refused."""
        ids: list[str | None] = []
        for some in batched(events, AT_ONCE, strict=False):
            ids += self._offer(some, source)
        return ids

    def _offer(self, events: Sequence[Tellable], source: str) -> list[str | None]:
        ids: list[str | None] = [None] * len(events)
        for _ in range(MAX_TURNS):
            left = [place for place, event_id in enumerate(ids) if event_id is None]
            if not left:
                break
            entries = [
                {
                    "EventBusName": self.name,
                    "Source": source,
                    "DetailType": events[place].detail_type,
                    "Detail": json.dumps(events[place].detail),
                }
                for place in left
            ]
            try:
                answers = self.events.put_events(Entries=entries)["Entries"]
            except STORE_ERRORS:
                logger.exception("the event bus took no events")
                break
            for place, answer in zip(left, answers, strict=True):
                ids[place] = answer.get("EventId")
                if "ErrorCode" in answer:
                    logger.warning("the event bus refused an event", answer=answer)
        return ids
