"""A delivery to its callback: one call for each message, again for a day, then given up.

Nothing waits in a function: after a call that failed, its message stays invisible in the queue
until the next attempt is due. The row of the delivery says when that is, so that a message that
comes twice, or too early, calls nobody. A delivery that was given up stays FAILED in the history
and its message lies with the dead letters: from either it can be sent again, for another day.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from marquee.aws import STORE_ERRORS
from marquee.errors import MarqueeError
from marquee.observability import CORRELATION_HEADER, CORRELATION_ID, emit, logger
from marquee.settings import Secrets
from marquee.triggers.callback import Outcome, Post
from marquee.triggers.models import Attempt, Delivery, DeliveryStatus, Trigger
from marquee.triggers.signature import signed_headers
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import Message, WebhookQueue

BACKOFF_SECONDS = (5, 60, 300, 1_200, 3_600, 7_200, 14_400, 21_600, 36_000)
"""Between the attempts: ten of them in a little under a day."""

JITTER = 0.1
"""By how much a wait may be shorter: what failed together does not come back together."""

LONGEST_RETRY_AFTER_SECONDS = 36_000
"""A receiver may ask for more time than we would take, within what a queue can wait."""

LEASE = timedelta(seconds=60)
"""For which a delivery is ours alone: above the function's Timeout."""

GIVEN_UP_IN_A_ROW = 3
"""Then a callback is switched off: each of them was tried for a day."""

ATTEMPTS_SHOWN = 20
"""The last ones; of two rounds all."""


def deliver_webhooks(
    event: Mapping[str, Any],
    store: TriggerStore,
    queue: WebhookQueue,
    secrets: Secrets,
    post: Post,
    *,
    stage: str,
    clock: Callable[[], datetime],
) -> dict[str, Any]:
    """Attempt the deliveries of an SQS batch; answers which of its messages must come again.

    One that cannot be worked on now (the store refuses) comes again when its invisibility ends;
    one that is no message of ours goes to the dead letters at once.
    """
    delivering = _Delivering(store, queue, secrets, post, stage, clock)
    again: list[str] = []
    for record in event["Records"]:
        try:
            is_done = delivering.work_on(record)
        except (MarqueeError, *STORE_ERRORS):
            logger.exception("a delivery could not be worked on")
            is_done = False
        if not is_done:
            again.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}


class _Delivering:
    """One batch; each method that answers bool says whether the message is done with."""

    def __init__(
        self,
        store: TriggerStore,
        queue: WebhookQueue,
        secrets: Secrets,
        post: Post,
        stage: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._queue = queue
        self._secrets = secrets
        self._post = post
        self._stage = stage
        self._clock = clock

    def work_on(self, record: Mapping[str, Any]) -> bool:
        """One message."""
        try:
            message = Message.model_validate_json(record["body"])
        except ValidationError:
            logger.error("a message names no delivery")
            self._queue.give_up(record["body"])
            return True
        delivery = self._store.delivery(message.delivery_id)
        if delivery is None or delivery.status is DeliveryStatus.DELIVERED:
            return True
        if delivery.status is DeliveryStatus.FAILED and _was_received_before(record):
            return True  # a second message of what was given up; one moved back is received anew
        logger.set_correlation_id(delivery.correlation_id)
        now = self._clock()
        if delivery.status is DeliveryStatus.PENDING and delivery.due_at > now:
            return self._later(record, delivery.due_at - now)
        trigger = self._store.trigger(delivery.trigger_id)
        obstacle = _obstacle(trigger, delivery)
        if trigger is None or obstacle:
            return self._end(delivery, DeliveryStatus.FAILED, obstacle)
        taken = self._store.swap(_begun(delivery, now))
        if taken is None:
            return self._later(record, LEASE)
        return self._attempt(record, taken, trigger)

    def _attempt(self, record: Mapping[str, Any], delivery: Delivery, trigger: Trigger) -> bool:
        began = self._clock()
        outcome = self._called(delivery, trigger, began)
        attempt = Attempt(
            at=began,
            duration_ms=outcome.duration_ms,
            status_code=outcome.status_code,
            error=outcome.error,
        )
        attempts = (*delivery.attempts, attempt)[-ATTEMPTS_SHOWN:]
        delivery = delivery.model_copy(update={"attempts": attempts})
        logger.info(
            "callback called",
            trigger_id=delivery.trigger_id,
            delivery_id=delivery.delivery_id,
            attempt=delivery.tries,
            status=outcome.status_code,
            error=outcome.error,
            duration_ms=outcome.duration_ms,
        )
        if not outcome.error:
            if trigger.failures:
                self._store.forget_failures(trigger.trigger_id)
            return self._end(delivery, DeliveryStatus.DELIVERED, "")
        if delivery.is_test:
            return self._end(delivery, DeliveryStatus.FAILED, outcome.error)
        is_last = delivery.tries > len(BACKOFF_SECONDS)
        if is_last or outcome.is_final or outcome.is_gone:
            return self._give_up(record, delivery, outcome)
        wait = _wait(delivery, outcome)
        pending = {"due_at": self._clock() + wait, "reason": outcome.error}
        self._store.swap(delivery.model_copy(update=pending))
        return self._later(record, wait)

    def _called(self, delivery: Delivery, trigger: Trigger, at: datetime) -> Outcome:
        secret = self._secrets.get(trigger.trigger_id)
        if secret is None:
            return Outcome(None, "the secret to sign with is gone", 0)
        body = delivery.payload.encode()
        seconds = int(at.timestamp())
        headers = signed_headers(secret, delivery.delivery_id, seconds, body)
        if CORRELATION_ID.fullmatch(delivery.correlation_id):
            headers[CORRELATION_HEADER] = delivery.correlation_id
        return self._post(trigger.url, headers, body)

    def _give_up(self, record: Mapping[str, Any], delivery: Delivery, outcome: Outcome) -> bool:
        # First the message: ended in between, this attempt is made again, and nothing is lost.
        self._queue.give_up(record["body"])
        tries = "1 attempt" if delivery.tries == 1 else f"{delivery.tries} attempts"
        done = self._end(
            delivery, DeliveryStatus.FAILED, f"given up after {tries}: {outcome.error}"
        )
        counted = self._store.count_failure(delivery.trigger_id)
        if counted and counted.enabled:
            if outcome.is_gone:
                self._switch_off(counted, f"the receiver wants no more: {outcome.error}")
            elif counted.failures >= GIVEN_UP_IN_A_ROW:
                self._switch_off(
                    counted,
                    f"{counted.failures} deliveries in a row were given up, the last one because"
                    f" of this: {outcome.error}",
                )
        return done

    def _switch_off(self, trigger: Trigger, reason: str) -> None:
        self._store.switch(trigger.trigger_id, enabled=False, reason=reason, now=self._clock())
        logger.warning("trigger switched off", trigger_id=trigger.trigger_id, reason=reason)
        emit({"TriggersSwitchedOff": [1]}, stage=self._stage)

    def _end(self, delivery: Delivery, status: DeliveryStatus, reason: str) -> bool:
        # Where someone came between, the message comes again and finds what that one left.
        ended = {"status": status, "reason": reason}
        return self._store.swap(delivery.model_copy(update=ended)) is not None

    def _later(self, record: Mapping[str, Any], wait: timedelta) -> bool:
        self._queue.postpone(record["receiptHandle"], wait.total_seconds())
        return False


def _was_received_before(record: Mapping[str, Any]) -> bool:
    return int(record["attributes"]["ApproximateReceiveCount"]) > 1


def _obstacle(trigger: Trigger | None, delivery: Delivery) -> str:
    """Why a delivery is not even tried; empty where it may be."""
    if trigger is None:
        return "the trigger was deleted"
    if not trigger.enabled and not delivery.is_test:
        return f"the trigger is disabled: {trigger.disabled_reason}"
    return ""


def _begun(delivery: Delivery, now: datetime) -> Delivery:
    """The delivery as ours for this attempt, the first one of a round if it had been given up."""
    tries = 0 if delivery.status is DeliveryStatus.FAILED else delivery.tries
    return delivery.model_copy(
        update={"status": DeliveryStatus.PENDING, "tries": tries + 1, "due_at": now + LEASE}
    )


def _wait(delivery: Delivery, outcome: Outcome) -> timedelta:
    """Until the next attempt: as the receiver asks, but not below ours."""
    share = int(delivery.delivery_id[:8], 16) / 0xFFFFFFFF
    ours = BACKOFF_SECONDS[delivery.tries - 1] * (1 - JITTER * share)
    asked = min(outcome.retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS)
    return timedelta(seconds=max(ours, asked))
