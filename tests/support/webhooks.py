"""Triggers on moto, and a queue in the time of a test, as Lambda's event source works on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError

from marquee.settings import Secrets
from marquee.triggers.callback import Outcome
from marquee.triggers.deliver import deliver_webhooks
from marquee.triggers.match import Matched, match_triggers
from marquee.triggers.models import Trigger
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import WebhookQueue
from tests.support.api import Clock
from tests.support.builders import NOW
from tests.support.parameters import Parameters

SECRET = "whsec_bWFycXVlZSBzaWducyB3aGF0IGl0IHNheXMhISEh"
URL = "https://callback.example/hook"
TRIGGER_ID = "MovieSearchCompleted-00000000000000a1"
VISIBILITY = timedelta(seconds=270)
"""Of the template's queue."""
LETTERS = "dead-letters"


def a_trigger(**fields: Any) -> Trigger:
    """A callback for ends of searches."""
    facts = {
        "trigger_id": TRIGGER_ID,
        "event_type": "MovieSearchCompleted",
        "url": URL,
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Trigger.model_validate({**facts, **fields})


def an_event(event_id: str = "search-1", **fields: Any) -> dict[str, Any]:
    """The end of a search as EventBridge hands it over; keywords are parts of the envelope."""
    detail = {
        "event_id": event_id,
        "occurred_at": "2026-03-14T19:59:59.500+00:00",
        "workflow_id": "movie_search-1",
        "status": "SUCCEEDED",
    }
    envelope = {
        "id": "0b5f2b3e-6d0e-4c53-9d0c-3e0d7f3f5c11",
        "detail-type": "MovieSearchCompleted",
        "source": "marquee",
        "time": "2026-03-14T20:00:00Z",
        "detail": detail,
    }
    return {**envelope, **fields}


@dataclass
class Waiting:
    """One message in the queue."""

    message_id: str
    body: str
    visible_at: datetime
    receipt: str = ""
    receives: int = 0


@dataclass
class Sqs:
    """SQS as far as deliveries need it, by the clock of a test."""

    clock: Clock
    waiting: list[Waiting] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    refuses: int = 0
    """The next so many messages are not taken."""
    _made: int = 0

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:
        if self.refuses:
            self.refuses -= 1
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "?"}}, "Send")
        if QueueUrl == LETTERS:
            self.dead.append(MessageBody)
            return
        self._made += 1
        self.waiting.append(Waiting(f"message-{self._made}", MessageBody, self.clock.now()))

    def change_message_visibility(
        self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> None:
        assert 0 <= VisibilityTimeout <= 43_200
        message = next(m for m in self.waiting if m.receipt == ReceiptHandle)
        message.visible_at = self.clock.now() + timedelta(seconds=VisibilityTimeout)

    def receive(self, most: int) -> list[Waiting]:
        """What is visible, made invisible."""
        due = [m for m in self.waiting if m.visible_at <= self.clock.now()][:most]
        for message in due:
            message.receives += 1
            message.receipt = f"{message.message_id}-{message.receives}"
            message.visible_at = self.clock.now() + VISIBILITY
        return due

    def redrive(self) -> None:
        """What StartMessageMoveTask does: the dead letters lie in the queue again."""
        letters, self.dead = self.dead, []
        for body in letters:
            self.send_message("queue", body)


@dataclass
class Callbacks:
    """A `Post` that answers what a test says, and remembers who was called, when and with what."""

    clock: Clock
    outcomes: Callable[[int], Outcome] = lambda n: Outcome(204, "", 12)
    """By the number of the call, from 0."""
    calls: list[tuple[datetime, str, Mapping[str, str], bytes]] = field(default_factory=list)
    during: Callable[[], object] = lambda: None
    """What happens while a callback is called."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        self.calls.append((self.clock.now(), url, headers, body))
        self.during()
        return self.outcomes(len(self.calls) - 1)

    @property
    def waits(self) -> list[float]:
        """The seconds between calls."""
        times = [at for at, *_ in self.calls]
        return [(later - earlier).total_seconds() for earlier, later in pairwise(times)]


@dataclass
class Hooks:
    """The bus, the queue, the function behind it, and the receivers, in one process."""

    store: TriggerStore
    clock: Clock = field(default_factory=Clock)
    parameters: Parameters = field(default_factory=lambda: Parameters(**{TRIGGER_ID: SECRET}))
    batch_size: int = 10

    def __post_init__(self) -> None:
        self.sqs = Sqs(self.clock)
        self.queue = WebhookQueue(self.sqs, "queue", LETTERS)
        self.callbacks = Callbacks(self.clock)

    def happens(self, event: dict[str, Any] | None = None) -> Matched:
        """Put an event on the bus."""
        event = an_event() if event is None else event
        return match_triggers(event, self.store, self.queue, now=self.clock.now())

    def work(self) -> list[str]:
        """One batch of what is due; the ids of the messages that must come again."""
        batch = self.sqs.receive(self.batch_size)
        records = [
            {
                "messageId": m.message_id,
                "receiptHandle": m.receipt,
                "body": m.body,
                "attributes": {"ApproximateReceiveCount": str(m.receives)},
            }
            for m in batch
        ]
        answer = deliver_webhooks(
            {"Records": records},
            self.store,
            self.queue,
            Secrets(self.parameters.client, "/marquee-webhooks/test"),
            self.callbacks,
            stage="test",
            clock=self.clock.now,
        )
        again = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        done = {m.message_id for m in batch} - set(again)
        self.sqs.waiting = [m for m in self.sqs.waiting if m.message_id not in done]
        return again

    def run(self, most: timedelta = timedelta(days=3)) -> None:
        """Let time pass until nothing waits any more."""
        until = self.clock.now() + most
        while self.sqs.waiting:
            self.clock.time = max(
                self.clock.now(), min(message.visible_at for message in self.sqs.waiting)
            )
            assert self.clock.now() <= until, "something waits for ever"
            self.work()
