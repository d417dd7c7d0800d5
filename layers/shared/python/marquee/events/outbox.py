"""The outbox: what DynamoDB Streams tell of changed rows, put on the bus as events.

A change that is stored is in the stream of its table, whatever became of whoever stored it, and is
handed over until it is done: no event is lost, and none is told of what was not stored. It may be
handed over twice; then its events have the same ``event_id`` again.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from marquee.aws import STORE_ERRORS, client, from_item
from marquee.events.models import DomainEvent
from marquee.events.publish import Bus
from marquee.observability import logger
from marquee.settings import Settings

type JsonObject = dict[str, Any]
type Item = Mapping[str, Any]
"""A row as JSON would say it."""

type Announce = Callable[[Item, Item], Iterable[DomainEvent]]
"""From a row before a change, empty where it is new, and after: what the change says to others.

A pure function. Rows that are deleted say nothing: they have expired, or an operator cleans up.
"""

UNREADABLE = (LookupError, TypeError, AttributeError, ValueError)
"""What an Announce raises of a row that is not as it should be, pydantic's errors included."""

MAX_REASON = 500
"""Characters; the log has them all."""


@dataclass(frozen=True)
class DeadLetters:
    """Where records go that cannot be read, with the reason, until somebody has mended it."""

    sqs: Any
    url: str
    function_arn: str
    """Which they are for."""

    @classmethod
    def connect(cls, settings: Settings, function_arn: str) -> "DeadLetters":
        """The queue that the template gave us."""
        return cls(client("sqs"), settings.require("event_dead_letters_url"), function_arn)

    def put(self, record: JsonObject, reason: str) -> None:
        """Keep the record as a batch of its own, with what EventBridge says of its dead letters."""
        said = {"TARGET_ARN": self.function_arn, "ERROR_MESSAGE": reason[:MAX_REASON]}
        self.sqs.send_message(
            QueueUrl=self.url,
            MessageBody=json.dumps({"Records": [record]}),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in said.items()
            },
        )


def publish_changes(
    batch: JsonObject, announcers: Mapping[str, Announce], bus: Bus, dead_letters: DeadLetters
) -> JsonObject:
    """Put on the bus what a batch of changes says; answers from which record it must come again.

    ``announcers`` are named by table. A record that cannot be read goes to the dead letters and
    stops nobody. Lambda takes a batch up again at the first record that is answered, in order.
    """
    told: list[tuple[str, DomainEvent]] = []
    failed: list[str] = []
    for record in batch["Records"]:
        number = record["dynamodb"]["SequenceNumber"]
        try:
            events = _events(record, announcers)
        except UNREADABLE as error:
            if not _set_aside(record, error, dead_letters):
                failed.append(number)
            continue
        told += [(number, event) for event in events]
    ids = bus.offer([event for _, event in told])
    failed += [number for (number, _), event_id in zip(told, ids, strict=True) if event_id is None]
    for (_, event), event_id in zip(told, ids, strict=True):
        if event_id:
            logger.info(
                "event published",
                type=event.detail_type,
                event_id=event.event_id,
                correlation_id=event.correlation_id,
            )
    return {"batchItemFailures": [{"itemIdentifier": number} for number in dict.fromkeys(failed)]}


def _events(record: JsonObject, announcers: Mapping[str, Announce]) -> list[DomainEvent]:
    """What the change says to others; raises one of UNREADABLE."""
    # arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>
    announce = announcers[record["eventSourceARN"].split("/")[1]]
    images = record["dynamodb"]
    if "NewImage" not in images:
        return []
    return list(announce(_plain(images.get("OldImage", {})), _plain(images["NewImage"])))


def _set_aside(record: JsonObject, error: Exception, dead_letters: DeadLetters) -> bool:
    reason = f"{type(error).__name__}: {error}"
    logger.error("a change could not be read", reason=reason, keys=record["dynamodb"].get("Keys"))
    try:
        dead_letters.put(record, reason)
    except STORE_ERRORS:
        logger.exception("a record could not be set aside")
        return False
    return True


def _plain(image: Mapping[str, Any]) -> JsonObject:
    """An image in DynamoDB's JSON as plain JSON."""
    read = TypeDeserializer().deserialize
    return {name: from_item(read(value)) for name, value in image.items()}
