"""``marquee dead-letters``: what a queue of dead letters holds, and its way back once it is mended.

A letter goes back to where it came from: to the queue whose messages end here, or to the function
that could not be reached or that failed. It is deleted here only then. Whatever works on it does so
once, however often it comes: a letter that is sent back twice does no harm.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click
from botocore.exceptions import ClientError
from rich.console import Console
from rich.text import Text

from marquee_cli.stack import Connect, asks_a_stack
from marquee_cli.terminal import plain

QUEUE, FUNCTION = "AWS::SQS::Queue", "AWS::Lambda::Function"

OUTBOX = "PublishEventsFunction"
"""Sets aside what it cannot read of a stream, in the shape in which it takes it back."""

AT_ONCE = 10
"""Messages of one request to SQS."""

HELD_SECONDS = 60
"""For which nobody else sees what we look at; until it ends, a letter is not shown again."""

SHOWN_CHARACTERS = 500
"""Of a letter; --json prints it whole."""

EXIT_LEFT = 1


@dataclass(frozen=True)
class Letter:
    """A message that could not be worked on.

    EventBridge and the Scheduler leave the event, and say in attributes what it was for; Lambda
    leaves what it says of the event that a function failed on, or of the place of a batch in its
    stream; the outbox the record that it could not read.
    """

    body: str
    attributes: Mapping[str, str]
    handle: str

    @property
    def function(self) -> str | None:
        """Which function it was for; None where it was for a queue, or does not say."""
        named = self.attributes.get("TARGET_ARN") or self._said("requestContext").get("functionArn")
        return named if named and ":function:" in named else None

    @property
    def payload(self) -> str | None:
        """What that function was to work on; None where it is not in the letter."""
        if "requestContext" not in self._content:
            return self.body
        event = self._content.get("requestPayload")
        return None if event is None else json.dumps(event)

    @property
    def reason(self) -> str:
        """Why it is here, as far as it says."""
        answer = self._said("responsePayload")
        named = ": ".join(filter(None, (answer.get("errorType"), answer.get("errorMessage"))))
        condition = self._said("requestContext").get("condition")
        own = self._content.get("reason")
        return str(self.attributes.get("ERROR_MESSAGE") or named or condition or own or "")

    @property
    def batch(self) -> dict[str, Any]:
        """The place in a stream of what it is about; empty where it is about no stream."""
        return self._said("DDBStreamBatchInfo")

    @property
    def is_of_the_outbox(self) -> bool:
        """Whether it is a record that the outbox set aside."""
        records = self._content.get("Records")
        return bool(isinstance(records, list) and "reason" in self._content)

    def _said(self, name: str) -> dict[str, Any]:
        found = self._content.get(name)
        return found if isinstance(found, dict) else {}

    @cached_property
    def _content(self) -> dict[str, Any]:
        """The body where that is a JSON object; empty where it is not."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}


@dataclass(frozen=True)
class DeadLetters:
    """A queue of a stack by its name in the statistics (``event_dead_letters``)."""

    connect: Connect
    stack: str
    name: str
    wait_seconds: int = 1
    """For letters: SQS asked without any patience may find none where there are some."""

    def letters(self) -> Iterator[Letter]:
        """All that are visible now, each once."""
        sqs, url = self.connect("sqs"), self.url
        while messages := sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=AT_ONCE,
            VisibilityTimeout=HELD_SECONDS,
            WaitTimeSeconds=self.wait_seconds,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            for message in messages:
                named = message.get("MessageAttributes", {})
                values = {name: one["StringValue"] for name, one in named.items()}
                yield Letter(message["Body"], values, message["ReceiptHandle"])

    def send_back(self, letter: Letter) -> str | None:
        """Where the letter went, and is deleted here; None where it does not say where to."""
        if self.source:
            self.connect("sqs").send_message(QueueUrl=self.source, MessageBody=letter.body)
            to = self.source.rpartition("/")[2]
        else:
            function = self._resources.get(OUTBOX) if letter.is_of_the_outbox else letter.function
            payload = self._payload_of(letter)
            if not function or payload is None:
                return None
            self.connect("lambda").invoke(
                FunctionName=function, InvocationType="Event", Payload=payload.encode()
            )
            to = function.rpartition(":")[2]
        self.connect("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=letter.handle)
        return to

    def _payload_of(self, letter: Letter) -> str | None:
        """What the function is handed; None where its stream, which keeps a day, has it no more."""
        place = letter.batch
        if not place:
            return letter.payload
        streams = self.connect("dynamodbstreams")
        try:
            iterator = streams.get_shard_iterator(
                StreamArn=place["streamArn"],
                ShardId=place["shardId"],
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                SequenceNumber=place["startSequenceNumber"],
            )["ShardIterator"]
            found = streams.get_records(ShardIterator=iterator, Limit=place["batchSize"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "TrimmedDataAccessException":
                raise
            return None
        records = [
            {**record, "eventSourceARN": place["streamArn"]}
            for record in found["Records"]
            if int(record["dynamodb"]["SequenceNumber"]) <= int(place["endSequenceNumber"])
        ]
        # As Lambda hands them over: times are numbers there.
        return json.dumps({"Records": records}, default=lambda at: at.timestamp())

    def let_go(self, letter: Letter) -> None:
        """Others may see it again at once."""
        self.connect("sqs").change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=letter.handle, VisibilityTimeout=0
        )

    @cached_property
    def url(self) -> str:
        """Its address; raises UsageError where the stack has no such queue."""
        logical_id = "".join(word.capitalize() for word in self.name.split("_"))
        found = self._queues.get(logical_id)
        if not found or not self.name.endswith("dead_letters"):
            raise click.UsageError(f"{self.stack} has no queue {self.name} of dead letters")
        return found

    @cached_property
    def source(self) -> str | None:
        """The queue whose messages end here; None where events do."""
        own = self.url.rpartition("/")[2]
        for url in self._queues.values():
            policy = self._attributes(url).get("RedrivePolicy")
            if policy and json.loads(policy)["deadLetterTargetArn"].endswith(f":{own}"):
                return url
        return None

    def _attributes(self, url: str) -> dict[str, str]:
        asked = {"QueueUrl": url, "AttributeNames": ["RedrivePolicy"]}
        found: dict[str, str] = (
            self.connect("sqs").get_queue_attributes(**asked).get("Attributes", {})
        )
        return found

    @cached_property
    def _queues(self) -> dict[str, str]:
        """The addresses of the stack's queues, by logical id."""
        return {name: found for name, found in self._resources.items() if "://" in found}

    @cached_property
    def _resources(self) -> dict[str, str]:
        """The physical ids of the stack's queues and functions, by logical id."""
        pages = self.connect("cloudformation").get_paginator("list_stack_resources")
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages.paginate(StackName=self.stack)
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] in (QUEUE, FUNCTION)
        }


def shown(letter: Letter) -> Text:
    """A letter for a person."""
    where = f"for {letter.function.rpartition(':')[2]}" if letter.function else ""
    said = plain("  ".join(filter(None, (where, letter.reason))) or "no reason is given")
    return Text(f"✗ {said}", style="red").append(
        f"\n    {plain(letter.payload or letter.body)[:SHOWN_CHARACTERS]}", style="dim not red"
    )


@click.command("dead-letters")
@click.argument("queue")
@click.option("--replay", is_flag=True, help="Send every letter back to where it came from.")
@click.option("--json", "as_json", is_flag=True, help="The letters as they are.")
@asks_a_stack
def dead_letters(connect: Connect, stack: str, queue: str, replay: bool, as_json: bool) -> None:
    """Show what QUEUE (such as event_dead_letters) holds and why. Exit code 1: something is left.

    Mend the cause first, then --replay: what fails again comes back here.
    """
    box = DeadLetters(connect, stack, queue)
    out = Console(highlight=False, soft_wrap=True)
    left = 0
    for letter in list(box.letters()):
        sent_to = box.send_back(letter) if replay else None
        if sent_to:
            click.echo(f"Sent back to {plain(sent_to)}.")
            continue
        left += 1
        box.let_go(letter)
        if as_json:
            click.echo(json.dumps({"body": letter.body, "attributes": dict(letter.attributes)}))
        else:
            out.print(shown(letter))
    click.echo(f"{left} left." if left else f"{plain(queue)} is empty.", err=as_json)
    if left:
        raise SystemExit(EXIT_LEFT)
