"""``marquee dead-letters``: what is shown of a letter, and where each goes back to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import click
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws

from marquee_cli.cloud.cloud import Cloud
from marquee_cli.dead_letters import FUNCTION, QUEUE, DeadLetters, Letter, shown
from marquee_cli.main import main
from tests.support.command_line import HOSTILE, moving

STACK = "marquee"
TARGET = "arn:aws:lambda:eu-west-1:123456789012:function:marquee-StartMovieSearch"
EVENT = {"detail-type": "MovieSearchRequested", "detail": {"movie_name": ""}}


def of_lambda() -> str:
    """As Lambda leaves an event that a function failed on."""
    return json.dumps(
        {
            "requestContext": {"functionArn": TARGET, "condition": "RetriesExhausted"},
            "requestPayload": EVENT,
            "responsePayload": {"errorType": "BadInput", "errorMessage": "movie_name: too short"},
        }
    )


class Lambda:
    """Notes what was invoked."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        self.invoked.append((FunctionName, InvocationType, json.loads(Payload)))


CHANGED_AT = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Streams:
    """A shard with three records, or one that has lost them."""

    def __init__(self) -> None:
        self.trimmed = False

    def get_shard_iterator(self, **asked: str) -> dict[str, str]:
        assert asked["SequenceNumber"] == "700"
        if self.trimmed:
            raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetShardIterator")
        return {"ShardIterator": "here"}

    def get_records(self, **asked: Any) -> dict[str, Any]:
        assert asked == {"ShardIterator": "here", "Limit": 3}
        changes = [
            {"SequenceNumber": number, "ApproximateCreationDateTime": CHANGED_AT}
            for number in ("700", "1001", "1002")
        ]
        return {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": one} for one in changes]}


class CloudFormation:
    """Knows a stack's queues, and the function that is its outbox."""

    def __init__(self, queues: dict[str, str]) -> None:
        self._queues = queues

    def get_paginator(self, operation: str) -> "CloudFormation":
        assert operation == "list_stack_resources"
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        assert asked == {"StackName": STACK}
        resources = [
            {"LogicalResourceId": name, "PhysicalResourceId": url, "ResourceType": QUEUE}
            for name, url in self._queues.items()
        ]
        outbox = {
            "LogicalResourceId": "PublishEventsFunction",
            "PhysicalResourceId": "marquee-PublishEvents",
            "ResourceType": FUNCTION,
        }
        return [{"StackResourceSummaries": [outbox]}, {"StackResourceSummaries": resources}]


class Stack(Cloud):
    """Queues in moto, and functions that only note that they were called."""

    def __init__(self) -> None:
        make_client: Any = boto3.client  # typed for literal names only
        sqs = make_client("sqs", "eu-west-1")
        queues = {
            name: sqs.create_queue(QueueName=f"{STACK}-{name}")["QueueUrl"]
            for name in ("WebhookDeadLetters", "EventDeadLetters")
        }
        asked = {"QueueUrl": queues["WebhookDeadLetters"], "AttributeNames": ["QueueArn"]}
        arn = sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        queues["WebhookQueue"] = sqs.create_queue(
            QueueName=f"{STACK}-WebhookQueue", Attributes={"RedrivePolicy": redrive}
        )["QueueUrl"]
        self.functions = Lambda()
        self.streams = Streams()
        self._services = {
            "dynamodbstreams": self.streams,
            "sqs": sqs,
            "lambda": self.functions,
            "cloudformation": CloudFormation(queues),
        }

    def boto3(self, service: str) -> Any:
        return self._services[service]

    def box(self, name: str) -> DeadLetters:
        return DeadLetters(self.boto3, STACK, name, wait_seconds=0)

    def lay(self, name: str, body: str, **attributes: str) -> None:
        """Have a letter in a queue."""
        named = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}
        self.boto3("sqs").send_message(
            QueueUrl=self.box(name).url, MessageBody=body, MessageAttributes=named
        )


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Stack()


def sent_back(box: DeadLetters) -> list[str | None]:
    return [box.send_back(letter) for letter in list(box.letters())]


def test_what_a_function_failed_on_is_handed_to_it_again(stack: Stack) -> None:
    stack.lay("event_dead_letters", of_lambda())
    box = stack.box("event_dead_letters")
    assert sent_back(box) == ["marquee-StartMovieSearch"]
    assert stack.functions.invoked == [(TARGET, "Event", EVENT)]
    assert list(box.letters()) == []


def test_an_event_that_did_not_reach_its_function_is_handed_to_it(stack: Stack) -> None:
    said = {"TARGET_ARN": TARGET, "ERROR_MESSAGE": "throttled"}
    stack.lay("event_dead_letters", json.dumps(EVENT), **said)
    [letter] = stack.box("event_dead_letters").letters()
    assert letter.reason == "throttled"
    assert stack.box("event_dead_letters").send_back(letter)
    assert stack.functions.invoked == [(TARGET, "Event", EVENT)]


def test_a_record_that_the_outbox_could_not_read_is_handed_to_it_again(stack: Stack) -> None:
    letter = {"reason": "KeyError: kind", "Records": [{"eventSource": "aws:dynamodb"}]}
    stack.lay("event_dead_letters", json.dumps(letter))
    assert sent_back(stack.box("event_dead_letters")) == ["marquee-PublishEvents"]
    assert stack.functions.invoked == [("marquee-PublishEvents", "Event", letter)]
    assert Letter(json.dumps(letter), {}, "").reason == "KeyError: kind"


STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/posts/stream/1"
OF_A_STREAM = {
    "requestContext": {"functionArn": TARGET, "condition": "RetryAttemptsExhausted"},
    "DDBStreamBatchInfo": {
        "streamArn": STREAM,
        "shardId": "shard-1",
        "startSequenceNumber": "700",
        "endSequenceNumber": "1001",
        "batchSize": 3,
    },
}


def test_a_batch_that_was_given_up_is_fetched_from_its_stream(stack: Stack) -> None:
    stack.lay("event_dead_letters", json.dumps(OF_A_STREAM))
    assert sent_back(stack.box("event_dead_letters")) == ["marquee-StartMovieSearch"]
    [(_, _, payload)] = stack.functions.invoked
    assert payload == {
        "Records": [
            {
                "eventSource": "aws:dynamodb",
                "eventSourceARN": STREAM,
                "dynamodb": {
                    "SequenceNumber": number,
                    "ApproximateCreationDateTime": CHANGED_AT.timestamp(),
                },
            }
            for number in ("700", "1001")
        ]
    }


def test_a_batch_that_its_stream_has_no_more_stays_with_its_reason(stack: Stack) -> None:
    stack.streams.trimmed = True
    stack.lay("event_dead_letters", json.dumps(OF_A_STREAM))
    assert sent_back(stack.box("event_dead_letters")) == [None]
    assert Letter(json.dumps(OF_A_STREAM), {}, "").reason == "RetryAttemptsExhausted"


def test_a_message_of_a_queue_goes_back_to_that_queue(stack: Stack) -> None:
    stack.lay("webhook_dead_letters", "a delivery")
    box = stack.box("webhook_dead_letters")
    assert box.source is not None
    assert sent_back(box) == [box.source.rpartition("/")[2]]
    [message] = stack.boto3("sqs").receive_message(QueueUrl=box.source)["Messages"]
    assert message["Body"] == "a delivery"
    assert list(box.letters()) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("not ours", {}),
        (json.dumps({"requestContext": {"functionArn": TARGET}, "stream": 1}), {}),
        (json.dumps(EVENT), {"TARGET_ARN": "arn:aws:sns:eu-west-1:123456789012:topic"}),
    ],
)
def test_a_letter_that_does_not_say_where_to_stays(
    stack: Stack, body: str, said: dict[str, str]
) -> None:
    stack.lay("event_dead_letters", body, **said)
    box = stack.box("event_dead_letters")
    [letter] = box.letters()
    assert box.send_back(letter) is None
    box.let_go(letter)
    assert [again.body for again in box.letters()] == [body]


@pytest.mark.parametrize("name", ["webhook_queue", "gone_dead_letters", "x"])
def test_a_queue_that_holds_no_dead_letters_is_refused(stack: Stack, name: str) -> None:
    with pytest.raises(click.UsageError, match="has no queue"):
        list(stack.box(name).letters())


def run(stack: Stack, *words: str) -> Result:
    command = main.commands["dead-letters"]
    return CliRunner().invoke(command, words, obj=stack)


def test_the_command_shows_a_letter_with_its_reason_and_sends_it_back(stack: Stack) -> None:
    stack.lay("event_dead_letters", of_lambda())
    looked = run(stack, "event_dead_letters")
    assert looked.exit_code == 1
    for words in ("BadInput: movie_name: too short", "MovieSearchRequested", "1 left."):
        assert words in looked.stdout
    replayed = run(stack, "event_dead_letters", "--replay")
    assert (replayed.exit_code, replayed.stdout) == (
        0,
        "Sent back to marquee-StartMovieSearch.\nevent_dead_letters is empty.\n",
    )


def test_letters_can_be_had_as_they_are(stack: Stack) -> None:
    stack.lay("event_dead_letters", of_lambda())
    done = run(stack, "event_dead_letters", "--json")
    first, *_ = done.output.splitlines()
    assert json.loads(first)["body"] == of_lambda()


def test_a_call_that_means_nothing_is_refused(stack: Stack) -> None:
    assert run(stack, "event_dead_letters", "--profile", "mine").exit_code == 2


def test_a_letter_cannot_move_the_terminal() -> None:
    letter = Letter(HOSTILE, {"ERROR_MESSAGE": HOSTILE}, "handle")
    assert moving(shown(letter).plain.replace("\n", "")) == set()
