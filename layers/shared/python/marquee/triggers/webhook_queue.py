"""The queue that deliveries wait in: for their turn, for their next attempt, for an operator."""

import math
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from marquee.aws import STORE_ERRORS, as_store_error, client
from marquee.settings import Settings

LONGEST_WAIT_SECONDS = 12 * 3600
"""What SQS keeps a received message invisible for at most."""


class Message(BaseModel):
    """What a message says; all else is in the delivery's row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delivery_id: str


@dataclass(frozen=True)
class WebhookQueue:
    """WebhookQueue and WebhookDeadLetters."""

    sqs: Any
    queue_url: str
    dead_letters_url: str = ""

    @classmethod
    def connect(cls, settings: Settings) -> "WebhookQueue":
        """The queues that the template gave us; only DeliverWebhook has both."""
        return cls(
            client("sqs"),
            settings.require("webhook_queue_url"),
            settings.webhook_dead_letters_url,
        )

    def send(self, delivery_id: str) -> None:
        """Let the delivery be attempted; raises what SQS raises."""
        body = Message(delivery_id=delivery_id).model_dump_json()
        try:
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)
        except STORE_ERRORS as error:
            raise as_store_error(error) from error

    def postpone(self, receipt_handle: str, seconds: float) -> None:
        """Let a received message come again that much later; its batch must report it as failed."""
        self.sqs.change_message_visibility(
            QueueUrl=self.queue_url,
            ReceiptHandle=receipt_handle,
            VisibilityTimeout=min(max(math.ceil(seconds), 1), LONGEST_WAIT_SECONDS),
        )

    def give_up(self, body: str) -> None:
        """Put a message with the dead letters, from where an operator can move it back."""
        self.sqs.send_message(QueueUrl=self.dead_letters_url, MessageBody=body)
