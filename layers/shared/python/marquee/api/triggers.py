"""Triggers: callbacks registered, switched, tested, deleted; their deliveries, sent again."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.triggers import register as triggers
from marquee.triggers.callback_secrets import WritingSecrets
from marquee.triggers.models import Delivery, DeliveryStatus, ListedDelivery, Trigger
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import WebhookQueue

if TYPE_CHECKING:
    from marquee.api.answers import DeliveryAnswer, TriggerAnswer

EVENT_TYPE = r"^[A-Za-z][A-Za-z0-9]{0,63}$"
TRIGGER_ID = r"^[A-Za-z][A-Za-z0-9]{0,63}-[0-9a-f]{16}$"
DELIVERY_ID = r"^[0-9a-f]{32}$"

SECONDS_LEFT = 5.0
"""What an answer needs of the request's time, after the last delivery that was sent again."""


class NewTrigger(Parameters):
    """A callback, and the events that it is for."""

    event_type: str = Field(
        pattern=EVENT_TYPE, description="MovieSearchCompleted, say, or a type of your own."
    )
    url: str = Field(
        min_length=1, description="Where to POST: https, public, without user or fragment."
    )
    secret: str | None = Field(
        default=None,
        json_schema_extra={"writeOnly": True},
        description="What signs: whsec_ and the base64 of 24 to 64 random bytes. Absent: one is "
        "made, and said in the answer, once.",
    )
    filter: dict[str, Any] = Field(
        default_factory=dict,
        description="Values that the event's detail must have, in its own shape; a list stands "
        "for any of its values.",
    )


class OneTrigger(Parameters):
    """Which trigger."""

    trigger_id: str = Field(pattern=TRIGGER_ID, description="As registering it answered.")


class Disabling(OneTrigger):
    """Which trigger, and why."""

    reason: str = Field(
        default="on request", min_length=1, max_length=200, description="Shown with the trigger."
    )


class TriggerFilter(Parameters):
    """Which page of the triggers."""

    limit: Limit = 20
    cursor: Cursor = None


class DeliveryFilter(Parameters):
    """Which deliveries."""

    trigger_id: str | None = Field(
        default=None, pattern=TRIGGER_ID, description="Absent: those of all triggers."
    )
    status: DeliveryStatus | None = Field(default=None, description="Absent: any.")
    limit: Limit = 20
    cursor: Cursor = None


class OneDelivery(Parameters):
    """Which delivery."""

    delivery_id: str = Field(
        pattern=DELIVERY_ID, description="As the history lists it, and webhook-id says it."
    )


class AfterTrigger(Position):
    """The last trigger listed."""

    trigger_id: str = Field(pattern=TRIGGER_ID)


class BeforePlace(Position):
    """The place of the last delivery listed."""

    place: str = Field(min_length=1, max_length=100)


def register_trigger(asked: NewTrigger, call: Call) -> Reply:
    """Register a callback: it is told of each event of a type, signed as Standard Webhooks.

    Whoever is called answers 2xx within 10 seconds; otherwise it is called again for a day. It may
    be called twice for one event: webhook-id is the same then.
    """
    from marquee.api.answers import TriggerCreated

    registered = triggers.register(
        asked.event_type,
        asked.url,
        asked.secret,
        asked.filter,
        _store(call),
        WritingSecrets.connect(call.settings),
        allow_loopback=call.settings.allow_loopback_webhooks,
        now=call.now(),
    )
    shown = _shown(registered.trigger, call)
    created = TriggerCreated(**shown.model_dump(), secret=registered.secret)
    return Reply(created, HTTPStatus.CREATED, headers={"Location": shown.trigger_url})


def trigger_list(asked: TriggerFilter, call: Call) -> Reply:
    """A page of the triggers, by event type."""
    from marquee.api.answers import TriggerPage

    position = decoded(asked.cursor, AfterTrigger)
    found, more = _store(call).page_of_triggers(
        limit=asked.limit, after=position.trigger_id if position else None
    )
    cursor = encoded(AfterTrigger(trigger_id=more)) if more else None
    shown = tuple(_shown(trigger, call) for trigger in found)
    return Reply(TriggerPage(triggers=shown, next_cursor=cursor))


def trigger(asked: OneTrigger, call: Call) -> Reply:
    """One trigger; why it was switched off, if it was."""
    return Reply(_shown(triggers.known_trigger(asked.trigger_id, _store(call)), call))


def disable_trigger(asked: Disabling, call: Call) -> Reply:
    """Switch a trigger off: its callback hears of no more events, nor of those on their way."""
    switched = triggers.switch(
        asked.trigger_id, _store(call), enabled=False, reason=asked.reason, now=call.now()
    )
    return Reply(_shown(switched, call))


def enable_trigger(asked: OneTrigger, call: Call) -> Reply:
    """Switch a trigger on again; what it missed since is sent by redeliver, if it had begun."""
    switched = triggers.switch(
        asked.trigger_id, _store(call), enabled=True, reason="", now=call.now()
    )
    return Reply(_shown(switched, call))


def delete_trigger(asked: OneTrigger, call: Call) -> Reply:
    """Delete a trigger with its secret; the answer is what it was, and its history stays."""
    secrets = WritingSecrets.connect(call.settings)
    return Reply(_shown(triggers.delete(asked.trigger_id, _store(call), secrets), call))


def test_trigger(asked: OneTrigger, call: Call) -> Reply:
    """Call a callback once with a TriggerTest, enabled or not; Location says what came of it."""
    queue = WebhookQueue.connect(call.settings)
    sent = triggers.send_test(asked.trigger_id, _store(call), queue, now=call.now())
    return _on_its_way(sent, call)


def trigger_history(asked: DeliveryFilter, call: Call) -> Reply:
    """A page of the deliveries of 30 days, the newest first: each event and where it went.

    DELIVERED: the callback answered 2xx. PENDING: it will be called, at due_at at the earliest.
    FAILED: it was given up, for the reason that is said; redeliver sends it again.
    """
    from marquee.api.answers import DeliveryPage

    position = decoded(asked.cursor, BeforePlace)
    found, more = _store(call).page(
        limit=asked.limit,
        before=position.place if position else None,
        trigger_id=asked.trigger_id,
        statuses=[asked.status] if asked.status else tuple(DeliveryStatus),
    )
    cursor = encoded(BeforePlace(place=more)) if more else None
    shown = tuple(told(delivery, call) for delivery in found)
    return Reply(DeliveryPage(deliveries=shown, next_cursor=cursor))


def delivery(asked: OneDelivery, call: Call) -> Reply:
    """One delivery, with each call that was made for it."""
    return Reply(told(triggers.known_delivery(asked.delivery_id, _store(call)), call))


def redeliver(asked: OneDelivery, call: Call) -> Reply:
    """Send a delivery again that has failed, or has arrived; with all attempts of a new one."""
    queue = WebhookQueue.connect(call.settings)
    sent = triggers.redeliver(asked.delivery_id, _store(call), queue, now=call.now())
    return _on_its_way(sent, call)


def redeliver_failed(asked: OneTrigger, call: Call) -> Reply:
    """Send all deliveries of a trigger again that have failed."""
    from marquee.api.answers import Redelivered

    sent, more = triggers.redeliver_failed(
        asked.trigger_id,
        _store(call),
        WebhookQueue.connect(call.settings),
        now=call.now(),
        has_time=lambda: call.remaining_seconds() > SECONDS_LEFT,
    )
    return Reply(Redelivered(redelivered=sent, more=more))


def _store(call: Call) -> TriggerStore:
    return TriggerStore.connect(call.settings)


def _shown(trigger: Trigger, call: Call) -> "TriggerAnswer":
    from marquee.api.answers import TriggerAnswer

    return TriggerAnswer(
        **trigger.model_dump(), trigger_url=call.link(f"/triggers/{trigger.trigger_id}")
    )


def told(delivery: ListedDelivery, call: Call) -> "DeliveryAnswer":
    """A delivery as an answer shows it."""
    from marquee.api.answers import DeliveryAnswer

    facts = delivery.model_dump(include=set(DeliveryAnswer.model_fields))
    last = delivery.attempts[-1] if delivery.attempts else None
    facts["due_at"] = delivery.due_at if delivery.status is DeliveryStatus.PENDING else None
    url = call.link(f"/triggers/history/{delivery.delivery_id}")
    latency = last.duration_ms if last else None
    return DeliveryAnswer(**facts, latency_ms=latency, delivery_url=url)


def _on_its_way(delivery: Delivery, call: Call) -> Reply:
    sent = told(delivery, call)
    return Reply(sent, HTTPStatus.ACCEPTED, headers={"Location": sent.delivery_url})
