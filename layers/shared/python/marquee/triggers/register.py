"""What a person asks for: register a callback, switch it, test it, delete it, send again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from marquee.errors import Conflict, NotFound
from marquee.triggers.addresses import destination_of
from marquee.triggers.callback_secrets import WritingSecrets
from marquee.triggers.filters import check_filter
from marquee.triggers.match import delivery_id_of, payload_of
from marquee.triggers.models import TEST_EVENT, Delivery, DeliveryStatus, Trigger
from marquee.triggers.signature import key_of, new_secret
from marquee.triggers.trigger_store import TriggerStore, to_text
from marquee.triggers.webhook_queue import WebhookQueue

MOST_OF_A_TYPE = 100
"""Triggers of one event type: each event reads them all."""

OVERDUE_AFTER = timedelta(minutes=5)
"""A delivery that is due for so long has lost its message."""

SENT_AGAIN_AT_ONCE = 100
"""Deliveries that are read at a time to be sent again."""


@dataclass(frozen=True)
class Registered:
    """A new trigger, and its secret, which is said once."""

    trigger: Trigger
    secret: str


def register(
    event_type: str,
    url: str,
    secret: str | None,
    wanted: Mapping[str, Any],
    store: TriggerStore,
    secrets: WritingSecrets,
    *,
    allow_loopback: bool,
    now: datetime,
) -> Registered:
    """Register a callback; raises BadInput for what is wrong, Conflict for one that is there."""
    destination_of(url, allow_loopback=allow_loopback)
    check_filter(wanted)
    secret = secret or new_secret()
    key_of(secret)
    others = list(store.triggers_of(event_type))
    same = next((one for one in others if (one.url, one.filter) == (url, wanted)), None)
    if same:
        raise Conflict(f"that callback is registered: {same.trigger_id}")
    if len(others) >= MOST_OF_A_TYPE:
        raise Conflict(f"{event_type} has {MOST_OF_A_TYPE} triggers, which is the most; delete one")
    trigger = Trigger(
        trigger_id=f"{event_type}-{uuid4().hex[:16]}",
        event_type=event_type,
        url=url,
        filter=dict(wanted),
        created_at=now,
        changed_at=now,
    )
    # A trigger without its secret would be called unsigned, or not at all.
    secrets.put(trigger.trigger_id, secret)
    store.put_trigger(trigger)
    return Registered(trigger, secret)


def known_trigger(trigger_id: str, store: TriggerStore) -> Trigger:
    """The trigger; raises NotFound."""
    trigger = store.trigger(trigger_id)
    if trigger is None:
        raise NotFound(f"there is no trigger {trigger_id}")
    return trigger


def known_delivery(delivery_id: str, store: TriggerStore) -> Delivery:
    """The delivery; raises NotFound."""
    delivery = store.delivery(delivery_id)
    if delivery is None:
        raise NotFound(f"there is no delivery {delivery_id}; they are kept for 30 days")
    return delivery


def switch(
    trigger_id: str, store: TriggerStore, *, enabled: bool, reason: str, now: datetime
) -> Trigger:
    """Switch a trigger on or off; one that is so stays as it is. Raises NotFound."""
    switched = store.switch(trigger_id, enabled=enabled, reason=reason, now=now)
    return switched or known_trigger(trigger_id, store)


def delete(trigger_id: str, store: TriggerStore, secrets: WritingSecrets) -> Trigger:
    """Delete a trigger with its secret, and return it as it was; raises NotFound.

    What is on its way to it fails; the history stays.
    """
    trigger = known_trigger(trigger_id, store)
    # The row last: while it is there, deleting can be asked for again.
    secrets.delete(trigger_id)
    store.delete_trigger(trigger_id)
    return trigger


def send_test(
    trigger_id: str, store: TriggerStore, queue: WebhookQueue, *, now: datetime
) -> Delivery:
    """Send a TriggerTest to a callback, once, whether it is enabled or not; raises NotFound."""
    trigger = known_trigger(trigger_id, store)
    event_id = f"test-{uuid4().hex}"
    detail = {"trigger_id": trigger_id, "event_type": trigger.event_type}
    delivery = Delivery(
        delivery_id=delivery_id_of(event_id, trigger_id),
        trigger_id=trigger_id,
        url=trigger.url,
        event_id=event_id,
        event_type=TEST_EVENT,
        correlation_id=event_id,
        payload=payload_of(TEST_EVENT, event_id, to_text(now), detail),
        is_test=True,
        matched_at=now,
        due_at=now,
    )
    stored = store.swap(delivery)
    queue.send(delivery.delivery_id)
    return stored or delivery


def redeliver(
    delivery_id: str, store: TriggerStore, queue: WebhookQueue, *, now: datetime
) -> Delivery:
    """Send a delivery again that has failed, or has arrived; with all the attempts of a new one.

    Raises NotFound, and Conflict where it is on its way, or where its trigger takes none.
    """
    delivery = known_delivery(delivery_id, store)
    trigger = store.trigger(delivery.trigger_id)
    if trigger is None:
        raise Conflict("its trigger was deleted")
    if not delivery.is_test:
        _check_enabled(trigger)
    if delivery.status is DeliveryStatus.PENDING and delivery.due_at + OVERDUE_AFTER > now:
        raise Conflict(f"it is on its way; the next attempt is due at {to_text(delivery.due_at)}")
    sent = _send_again(delivery, store, queue, now)
    if sent is None:
        raise Conflict("it has just changed; look at it again")
    return sent


def redeliver_failed(
    trigger_id: str,
    store: TriggerStore,
    queue: WebhookQueue,
    *,
    now: datetime,
    has_time: Callable[[], bool],
) -> tuple[int, bool]:
    """Send all deliveries of a trigger again that have failed, the newest first.

    How many were sent, and whether there are more for which the time did not suffice. Raises
    NotFound, and Conflict where the trigger is disabled.
    """
    _check_enabled(known_trigger(trigger_id, store))
    sent = 0
    before: str | None = None
    while True:
        failed, before = store.page(
            limit=SENT_AGAIN_AT_ONCE,
            before=before,
            trigger_id=trigger_id,
            statuses=[DeliveryStatus.FAILED],
        )
        for listed in failed:
            if not has_time():
                return sent, True
            if listed.is_test:
                continue
            delivery = store.delivery(listed.delivery_id)
            if (
                delivery
                and delivery.status is DeliveryStatus.FAILED
                and _send_again(delivery, store, queue, now)
            ):
                sent += 1
        if before is None:
            return sent, False


def _check_enabled(trigger: Trigger) -> None:
    if not trigger.enabled:
        raise Conflict(f"the trigger is disabled: {trigger.disabled_reason}; enable it first")


def _send_again(
    delivery: Delivery, store: TriggerStore, queue: WebhookQueue, now: datetime
) -> Delivery | None:
    again = {"status": DeliveryStatus.PENDING, "tries": 0, "due_at": now, "reason": "sent again"}
    stored = store.swap(delivery.model_copy(update=again))
    if stored:
        queue.send(delivery.delivery_id)
    return stored
