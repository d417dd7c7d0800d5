"""From a batch of changed rows to the bus: nothing lost, nothing invented, and what comes twice has
the same id."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from marquee.events.models import DomainEvent, WorkflowFailed
from marquee.events.outbox import DeadLetters, Item, publish_changes
from marquee.events.publish import Bus

type Json = dict[str, Any]

TABLE = "RowsTable"
AT = "2026-05-04T20:00:00Z"
FUNCTION = "arn:aws:lambda:us-east-1:1:function:publish"


def announce(old: Item, new: Item) -> Iterable[DomainEvent]:
    """As many events as the row says, about its name and version."""
    for number in range(new["events"]):
        yield WorkflowFailed.about(
            *(new["name"], str(number)),
            occurred_at=AT,
            workflow_id=new["name"],
            kind="test",
            error="Broken",
        )


def a_record(number: int, *, events: Any = 1, table: str = TABLE, **fields: Any) -> Json:
    """The change of a row as Lambda hands it over."""
    row = {"name": {"S": f"row-{number}"}, "events": {"N": str(events)}}
    return {
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "eventSourceARN": f"arn:aws:dynamodb:us-east-1:1:table/{table}/stream/2026",
        "dynamodb": {
            "SequenceNumber": str(number),
            "Keys": {"name": row["name"]},
            "OldImage": row,
            "NewImage": row,
            **fields,
        },
    }


@dataclass
class FakeEventBridge:
    """Takes what it does not refuse."""

    refuses: dict[str, int] = field(default_factory=dict)
    """How often it refuses an event, by its workflow."""
    down: bool = False
    taken: list[Json] = field(default_factory=list)
    offered: list[list[str]] = field(default_factory=list)

    def put_events(self, Entries: Sequence[Json]) -> Json:
        assert 1 <= len(Entries) <= 10
        if self.down:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "?"}}, "PutEvents")
        details = [json.loads(entry["Detail"]) for entry in Entries]
        self.offered.append([detail["workflow_id"] for detail in details])
        answers = []
        for entry, detail in zip(Entries, details, strict=True):
            name = detail["workflow_id"]
            if self.refuses.get(name, 0) > 0:
                self.refuses[name] -= 1
                answers.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"})
            else:
                self.taken.append({**entry, "Detail": detail})
                answers.append({"EventId": str(len(self.taken))})
        refused = sum("ErrorCode" in answer for answer in answers)
        return {"FailedEntryCount": refused, "Entries": answers}

    def ids(self) -> list[str]:
        return [entry["Detail"]["event_id"] for entry in self.taken]


@dataclass
class FakeQueue:
    """SQS, which may be down."""

    down: bool = False
    letters: list[Json] = field(default_factory=list)
    said: list[dict[str, str]] = field(default_factory=list)

    def send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: Json) -> None:
        if self.down:
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "?"}}, "Send")
        self.letters.append(json.loads(MessageBody))
        self.said.append({n: one["StringValue"] for n, one in MessageAttributes.items()})


@dataclass
class Installed:
    """The outbox between fakes."""

    events: FakeEventBridge = field(default_factory=FakeEventBridge)
    queue: FakeQueue = field(default_factory=FakeQueue)

    def publish(self, *records: Json) -> list[str]:
        """The sequence numbers that are reported as failed."""
        letters = DeadLetters(self.queue, "dead-letters", FUNCTION)
        answer = publish_changes(
            {"Records": list(records)}, {TABLE: announce}, Bus(self.events, "bus"), letters
        )
        assert answer.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def outbox() -> Installed:
    return Installed()


def test_what_changes_say_is_put_on_the_bus_in_their_order(outbox: Installed) -> None:
    assert outbox.publish(a_record(1), a_record(2, events=0), a_record(3, events=2)) == []
    [first, second, third] = outbox.events.taken
    assert (first["Source"], first["DetailType"]) == ("marquee", "WorkflowFailed")
    assert [entry["Detail"]["workflow_id"] for entry in (first, second, third)] == [
        "row-1",
        "row-3",
        "row-3",
    ]


def test_the_same_change_again_has_the_same_ids(outbox: Installed) -> None:
    outbox.publish(a_record(1, events=3))
    outbox.publish(a_record(1, events=3))
    assert outbox.events.ids()[:3] == outbox.events.ids()[3:]
    assert len(set(outbox.events.ids())) == 3


def test_a_row_that_was_deleted_says_nothing(outbox: Installed) -> None:
    gone = a_record(1)
    del gone["dynamodb"]["NewImage"]
    assert outbox.publish(gone) == []
    assert outbox.events.taken == outbox.queue.letters == []


def test_of_a_request_that_is_taken_in_part_only_the_rest_is_offered_again(
    outbox: Installed,
) -> None:
    outbox.events.refuses = {"row-1": 1, "row-3": 2}
    assert outbox.publish(*(a_record(number) for number in range(1, 5))) == []
    assert outbox.events.offered == [
        ["row-1", "row-2", "row-3", "row-4"],
        ["row-1", "row-3"],
        ["row-3"],
    ]
    assert sorted(outbox.events.ids()) == [f"WorkflowFailed/row-{n}/0" for n in range(1, 5)]


def test_a_batch_comes_again_from_the_first_record_that_the_bus_goes_on_refusing(
    outbox: Installed,
) -> None:
    outbox.events.refuses = {"row-3": 99}
    assert outbox.publish(*(a_record(number, events=2) for number in range(1, 6))) == ["3"]
    taken = {entry["Detail"]["workflow_id"] for entry in outbox.events.taken}
    assert taken == {"row-1", "row-2", "row-4", "row-5"}


def test_a_bus_that_is_down_loses_nothing(outbox: Installed) -> None:
    outbox.events.down = True
    assert outbox.publish(a_record(1), a_record(2, events=0), a_record(3)) == ["1", "3"]
    outbox.events.down = False
    assert outbox.publish(a_record(1), a_record(2, events=0), a_record(3)) == []
    assert outbox.events.ids() == ["WorkflowFailed/row-1/0", "WorkflowFailed/row-3/0"]


def test_more_events_than_one_request_takes_go_in_several(outbox: Installed) -> None:
    assert outbox.publish(a_record(1, events=23)) == []
    assert [len(offered) for offered in outbox.events.offered] == [10, 10, 3]


UNREADABLE = {
    "a row without what is announced": {"NewImage": {"name": {"S": "row-2"}}},
    "a value of another type": {
        "NewImage": {"name": {"S": "row-2"}, "events": {"S": "many"}},
    },
    "an event that its schema does not allow": {
        "NewImage": {"name": {"S": ""}, "events": {"N": "1"}},
    },
}


@pytest.mark.parametrize("fields", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_change_that_cannot_be_read_is_set_aside_and_stops_nobody(
    outbox: Installed, fields: Json
) -> None:
    bad = a_record(2, **fields)
    assert outbox.publish(a_record(1), bad, a_record(3)) == []
    assert outbox.events.ids() == ["WorkflowFailed/row-1/0", "WorkflowFailed/row-3/0"]
    [letter] = outbox.queue.letters
    assert letter["Records"] == [bad]
    [said] = outbox.queue.said
    assert said["TARGET_ARN"] == FUNCTION
    assert said["ERROR_MESSAGE"]


def test_what_was_set_aside_can_be_handed_to_the_function_once_it_is_mended(
    outbox: Installed,
) -> None:
    outbox.publish(a_record(1, table="AnotherTable"))
    [letter] = outbox.queue.letters
    letters = DeadLetters(outbox.queue, "dead-letters", FUNCTION)
    bus = Bus(outbox.events, "bus")
    publish_changes(letter, {"AnotherTable": announce}, bus, letters)
    assert outbox.events.ids() == ["WorkflowFailed/row-1/0"]


def test_a_change_that_can_neither_be_read_nor_set_aside_comes_again(outbox: Installed) -> None:
    outbox.queue.down = True
    assert outbox.publish(a_record(1), a_record(2, NewImage={"name": {"S": "x"}})) == ["2"]
