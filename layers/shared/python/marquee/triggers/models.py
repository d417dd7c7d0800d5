"""Trigger and delivery; times are UTC."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from marquee.clock import Moment

TEST_EVENT = "TriggerTest"
"""The type of the event that a test of a callback delivers."""


class Trigger(BaseModel):
    """A callback that is told of events of one type."""

    model_config = ConfigDict(frozen=True)

    trigger_id: str
    """The event type and 16 hexadecimal digits, with a hyphen between."""
    event_type: str
    url: str
    filter: dict[str, Any] = Field(default_factory=dict)
    """See ``filters``; empty lets all events of the type through."""
    enabled: bool = True
    disabled_reason: str = ""
    failures: int = 0
    """Deliveries that were given up since the last one that arrived."""
    created_at: Moment
    changed_at: Moment
    """When it was registered, or last switched on or off."""


class DeliveryStatus(StrEnum):
    """PENDING: it will be tried (again); FAILED: it was given up, and can be sent again."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class Attempt(BaseModel):
    """One call of a callback."""

    model_config = ConfigDict(frozen=True)

    at: Moment
    duration_ms: int
    status_code: int | None = None
    """None where no answer came."""
    error: str = ""
    """Empty where it was delivered."""


class ListedDelivery(BaseModel):
    """A delivery as the history lists it: all but the body that is sent."""

    model_config = ConfigDict(frozen=True)

    delivery_id: str
    """What a receiver sees as ``webhook-id``, at every attempt."""
    trigger_id: str
    url: str
    event_id: str
    event_type: str
    correlation_id: str
    """The workflow that the event is about, else the event."""
    is_test: bool = False
    """Tried once, whether the trigger is enabled or not, and not held against it."""
    matched_at: Moment
    status: DeliveryStatus = DeliveryStatus.PENDING
    reason: str = ""
    """Why it stands there; of what was delivered, nothing."""
    due_at: Moment
    """No attempt before."""
    tries: int = 0
    """Attempts of this round: it begins when the delivery does, and when it is sent again."""
    attempts: tuple[Attempt, ...] = ()
    """Those whose end is known, the last ones."""


class Delivery(ListedDelivery):
    """One event on its way to one callback; the same two are always the same delivery."""

    payload: str
    """The body that is sent, byte for byte the same at every attempt."""
    version: int = 0
    """0: not stored yet."""
