"""AWS clients and tables: made on first use, with bounded waits, counting what DynamoDB charges."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel

from marquee.errors import StoreUnavailable
from marquee.observability import current_tally

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

BOUNDED = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
)
"""boto3's defaults wait 60 s for an answer; a step has less than that in all."""

STORE_ERRORS = (ClientError, BotoCoreError)
"""What boto3 raises when a request was refused or never answered."""

_PASSING = {
    "ExecutionLimitExceeded",
    "InternalServerError",
    "InternalServiceError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Throttling",
    "ThrottlingException",
    "TransactionInProgressException",
}


def as_store_error(error: Exception) -> Exception:
    """A refusal that may pass as StoreUnavailable; any other (denied, invalid) as it is."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] not in _PASSING:
        return error
    return StoreUnavailable(str(error))


_COUNTED = {
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "Query",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactWriteItems",
}


@cache
def client(service: str, config: Config = BOUNDED) -> Any:
    """The boto3 client of ``service``."""
    return boto3.client(service, config=config)  # type: ignore[call-overload]  # by name


@cache
def dynamodb() -> "DynamoDBServiceResource":
    """The DynamoDB resource; every request reports its units to the current tally."""
    resource = boto3.resource("dynamodb", config=BOUNDED)
    events = resource.meta.client.meta.events
    events.register("before-parameter-build.dynamodb", _ask_for_units)
    events.register("after-call.dynamodb", _count_units)
    return resource


def table(name: str) -> "Table":
    """The DynamoDB table called ``name``."""
    return dynamodb().Table(name)


def _ask_for_units(params: dict[str, Any], model: Any, **_: Any) -> None:
    if model.name in _COUNTED:
        params.setdefault("ReturnConsumedCapacity", "TOTAL")


def _count_units(model: Any, parsed: Mapping[str, Any], http_response: Any, **_: Any) -> None:
    tally = current_tally()
    failed = http_response.status_code >= 400
    tally.operations[f"{model.name}.failed" if failed else model.name] += 1
    consumed = parsed.get("ConsumedCapacity") or []
    for entry in consumed if isinstance(consumed, Sequence) else [consumed]:
        units = float(entry.get("CapacityUnits", 0.0))
        if model.name in {"GetItem", "Query", "BatchGetItem"}:
            tally.read_units += units
        else:
            tally.write_units += units


def to_item(value: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """A model or mapping as DynamoDB takes it: floats as Decimal, no None, no empty sets."""
    dumped = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)
    plain = json.loads(dumped, parse_float=Decimal)
    return {name: part for name, part in plain.items() if part is not None}


def from_item(value: Any) -> Any:
    """What DynamoDB gave, its Decimals as int or float: what JSON can say."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: from_item(part) for name, part in value.items()}
    if isinstance(value, list):
        return [from_item(part) for part in value]
    return value
