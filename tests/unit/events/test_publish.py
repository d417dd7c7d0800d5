"""Putting events on the bus: all of them arrive, or the caller hears of it."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from marquee.errors import StoreUnavailable
from marquee.events.models import MovieSearchCompleted, RecommendationGenerated
from marquee.events.publish import SOURCE, Bus
from marquee.settings import Settings
from tests.support.builders import NOW
from tests.support.installation import installed
from tests.support.state_machines import ACCOUNT, REGION

ABOUT: dict[str, Any] = {"occurred_at": NOW, "correlation_id": "run-1", "workflow_id": "run-1"}
COMPLETED = MovieSearchCompleted.about(
    "run-1", **ABOUT, title="పుష్ప", status="SUCCEEDED", message="the exact title"
)
RECOMMENDED = RecommendationGenerated.about(
    "run-1", **ABOUT, tmdb_id=7, title="పుష్ప", recommended=(1, 2)
)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with installed() as settings:
        yield settings


def delivered(bus_name: str) -> "Iterator[Any]":
    """Listen on the bus with a rule like those of the template; yields what has arrived."""
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="listener")["QueueUrl"]
    events = boto3.client("events")
    events.put_rule(
        Name="all", EventBusName=bus_name, EventPattern=json.dumps({"source": [SOURCE]})
    )
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:listener"
    events.put_targets(Rule="all", EventBusName=bus_name, Targets=[{"Id": "1", "Arn": arn}])
    yield None
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    yield [json.loads(message["Body"]) for message in messages]


def test_events_arrive_on_the_bus_whole(settings: Settings) -> None:
    listening = delivered(settings.event_bus)
    next(listening)
    ids = Bus.connect(settings).offer([COMPLETED, RECOMMENDED])
    arrived = next(listening)
    assert [event["id"] for event in arrived] == ids
    assert [(event["detail-type"], event["detail"]) for event in arrived] == [
        ("MovieSearchCompleted", COMPLETED.detail),
        ("RecommendationGenerated", RECOMMENDED.detail),
    ]
    assert {event["source"] for event in arrived} == {"marquee"}


class Refusing:
    """A bus that takes all entries but the last."""

    def put_events(self, Entries: list[Any]) -> Any:
        taken = [{"EventId": "1"} for _ in Entries[:-1]]
        refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
        return {"FailedEntryCount": 1, "Entries": [*taken, refused]}


def test_an_event_that_the_bus_refused_is_an_error_that_is_tried_again() -> None:
    bus = Bus(Refusing(), "marquee")
    assert bus.offer([COMPLETED, RECOMMENDED]) == ["1", None]
    with pytest.raises(StoreUnavailable, match="refused"):
        bus.put(COMPLETED)
