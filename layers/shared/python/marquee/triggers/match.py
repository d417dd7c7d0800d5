"""An event on the bus to the callbacks that want it: one delivery and one message for each."""

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marquee.clock import Moment
from marquee.errors import BadInput
from marquee.observability import logger
from marquee.triggers.filters import lets_through
from marquee.triggers.models import Delivery, DeliveryStatus, Trigger
from marquee.triggers.trigger_store import TriggerStore, to_text
from marquee.triggers.webhook_queue import WebhookQueue

MAX_PAYLOAD_BYTES = 300_000
"""A delivery is one item of DynamoDB, which has 400 KB."""


class BusEvent(BaseModel):
    """EventBridge's envelope; ``event_id`` and ``occurred_at`` of the detail are more than its own.

    An event that is put on the bus twice has a new envelope, and the same ``event_id``.
    """

    model_config = ConfigDict(frozen=True)

    envelope_id: str = Field(alias="id", min_length=1)
    event_type: str = Field(alias="detail-type", min_length=1)
    time: Moment
    detail: dict[str, Any]

    @property
    def event_id(self) -> str:
        """The same for the same event, however often it comes."""
        return str(self.detail.get("event_id") or self.envelope_id)

    @property
    def occurred_at(self) -> str:
        """When it happened, else when it was put on the bus."""
        return str(self.detail.get("occurred_at") or to_text(self.time))

    @property
    def correlation_id(self) -> str:
        """What the lines of the log have in common."""
        detail = self.detail
        return str(detail.get("correlation_id") or detail.get("workflow_id") or self.event_id)


class Matched(BaseModel):
    """What an event set off."""

    event_id: str
    deliveries: tuple[str, ...]


def match_triggers(
    event: dict[str, Any], store: TriggerStore, queue: WebhookQueue, *, now: datetime
) -> Matched:
    """Make a delivery for each enabled trigger of the event's type that lets it through.

    The same event again, or this function again after it was ended midway, changes nothing but
    what lacks: no delivery is made twice. Raises BadInput for an event that is too long.
    """
    try:
        happened = BusEvent.model_validate(event)
    except ValidationError as error:
        raise BadInput.of(error) from error
    logger.set_correlation_id(happened.correlation_id)
    payload = payload_of(
        happened.event_type, happened.event_id, happened.occurred_at, happened.detail
    )
    matching = list(matching_triggers(happened.event_type, happened.detail, store))
    if matching and len(payload.encode()) > MAX_PAYLOAD_BYTES:
        raise BadInput(f"an event that callbacks want has {MAX_PAYLOAD_BYTES} bytes at most")
    deliveries = [_delivery(trigger, happened, payload, now) for trigger in matching]
    for delivery in deliveries:
        if _lacks_its_message(delivery, store):
            queue.send(delivery.delivery_id)
    if deliveries:
        logger.info("event matched", event_id=happened.event_id, deliveries=len(deliveries))
    return Matched(
        event_id=happened.event_id,
        deliveries=tuple(delivery.delivery_id for delivery in deliveries),
    )


def matching_triggers(
    event_type: str, detail: dict[str, Any], store: TriggerStore
) -> list[Trigger]:
    """The enabled triggers that want an event."""
    return [
        trigger
        for trigger in store.triggers_of(event_type)
        if trigger.enabled and lets_through(trigger.filter, detail)
    ]


def payload_of(event_type: str, event_id: str, occurred_at: str, detail: dict[str, Any]) -> str:
    """What a callback gets: Standard Webhooks' three members, and the event's id."""
    payload = {"type": event_type, "timestamp": occurred_at, "event_id": event_id, "data": detail}
    # All but halves of surrogate pairs as it is: escaped, most scripts are twice as long.
    text = json.dumps(payload, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def delivery_id_of(event_id: str, trigger_id: str) -> str:
    """The same 32 hexadecimal digits for the same event and trigger."""
    return sha256(f"{trigger_id}\n{event_id}".encode()).hexdigest()[:32]


def _lacks_its_message(delivery: Delivery, store: TriggerStore) -> bool:
    """Store the delivery; whether it is new, or was stored by a run that may have sent nothing.

    A message too many does no harm: whoever comes second finds the delivery taken, or done.
    """
    if store.swap(delivery):
        return True
    stored = store.delivery(delivery.delivery_id)
    return stored is None or (stored.status is DeliveryStatus.PENDING and not stored.tries)


def _delivery(trigger: Trigger, happened: BusEvent, payload: str, now: datetime) -> Delivery:
    return Delivery(
        delivery_id=delivery_id_of(happened.event_id, trigger.trigger_id),
        trigger_id=trigger.trigger_id,
        url=trigger.url,
        event_id=happened.event_id,
        event_type=happened.event_type,
        correlation_id=happened.correlation_id,
        payload=payload,
        matched_at=now,
        due_at=now,
    )
