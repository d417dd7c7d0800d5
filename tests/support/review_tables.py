"""ReviewsTable and its queue in moto, and a DynamoDB that refuses as the real one may."""

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config

from tests.support.state_machines import REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


def a_table(name: str) -> "Table":
    """A table with a client of its own, which a test may disturb, and which does not retry."""
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    return boto3.resource("dynamodb", region_name=REGION, config=once).Table(name)


class Disturbance:
    """What was asked of a disturbed table."""

    def __init__(self) -> None:
        self.requests = 0


def refusing(
    table: "Table", operation: str, code: str, *, status: int = 400, after: int = 0
) -> Disturbance:
    """Let every ``operation`` be refused with ``code``, but for the first ``after`` ones.

    A refused request never reaches the table; the client's own retries are passed over.
    """
    seen = Disturbance()
    refusal = {
        "Error": {"Code": code, "Message": "refused by test"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }

    def answer(request_signer: Any, **_: Any) -> Any:
        seen.requests += 1
        if seen.requests <= after:
            return None
        headers: Any = HeadersDict()
        return AWSResponse("", status, headers, None), refusal

    table.meta.client.meta.events.register_first(f"before-call.dynamodb.{operation}", answer)
    return seen


def leaving_unprocessed(table: "Table", count: int, *, times: int) -> Disturbance:
    """Let DynamoDB hand back the last ``count`` items of the first ``times`` batch writes."""
    seen = Disturbance()
    held: list[Any] = []

    def take(params: dict[str, Any], **_: Any) -> None:
        seen.requests += 1
        body = json.loads(params["body"])
        held.clear()
        if seen.requests <= times:
            for puts in body["RequestItems"].values():
                held.extend(puts[-count:])
                del puts[-count:]
        params["body"] = json.dumps(body)

    def give_back(parsed: dict[str, Any], **_: Any) -> None:
        if held:
            parsed["UnprocessedItems"] = {table.name: list(held)}

    events = table.meta.client.meta.events
    events.register("before-call.dynamodb.BatchWriteItem", take)
    events.register_first("after-call.dynamodb.BatchWriteItem", give_back)
    return seen


def leaving_unread(table: "Table", *, times: int) -> Disturbance:
    """Let DynamoDB hand back all keys of the first ``times`` batch reads."""
    seen = Disturbance()
    asked: dict[str, Any] = {}

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.requests += 1
        asked.update(json.loads(params["body"])["RequestItems"])

    def give_back(parsed: dict[str, Any], **_: Any) -> None:
        if seen.requests <= times:
            parsed["Responses"] = {table.name: []}
            parsed["UnprocessedKeys"] = dict(asked)

    events = table.meta.client.meta.events
    events.register("before-call.dynamodb.BatchGetItem", note)
    events.register_first("after-call.dynamodb.BatchGetItem", give_back)
    return seen
