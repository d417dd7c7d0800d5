"""Putting domain events on the bus."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marquee.aws import client
from marquee.errors import StoreUnavailable
from marquee.settings import Settings

SOURCE = "marquee"
"""The ``source`` of every event of ours; rules match on it."""


@dataclass(frozen=True)
class Event:
    """One domain event: ``detail_type`` in past tense, ``detail`` in ids and counts."""

    detail_type: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Bus:
    """The custom event bus."""

    events: Any
    name: str

    @classmethod
    def connect(cls, settings: Settings) -> "Bus":
        """The bus that the template gave us."""
        return cls(client("events"), settings.require("event_bus"))

    def put(self, events: Sequence[Event], *, source: str = SOURCE) -> list[str]:
        """Put up to 10 events; returns the ids that the bus gave them.

        Raises StoreUnavailable if it refused any of them.
        """
        answer = self.events.put_events(
            Entries=[
                {
                    "EventBusName": self.name,
                    "Source": source,
                    "DetailType": event.detail_type,
                    "Detail": json.dumps(event.detail),
                }
                for event in events
            ]
        )
        if answer["FailedEntryCount"]:
            refused = [entry for entry in answer["Entries"] if entry.get("ErrorCode")]
            raise StoreUnavailable(f"the event bus refused {refused}")
        return [str(entry["EventId"]) for entry in answer["Entries"]]
