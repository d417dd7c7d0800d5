"""AWS clients and tables: made on first use, with bounded waits, counting what DynamoDB charges."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from itertools import batched
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from pydantic import BaseModel

from marquee.errors import FunctionFailed, StoreUnavailable
from marquee.observability import Stopwatch, StoreRequest, current_tally, logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

BOUNDED = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
)
"""boto3's defaults wait 60 s for an answer; a step has less than that in all."""

ONCE = Config(
    connect_timeout=2, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 1}
)
"""For a function that is waited for: below the 29 s of the API, and never called twice."""

STORE_ERRORS = (ClientError, BotoCoreError)
"""What boto3 raises when a request was refused or never answered."""


@contextmanager
def only_logged(what: str) -> Iterator[None]:
    """Let a store that fails in the block cost nobody the answer: ``what`` was lost is logged."""
    try:
        yield
    except (StoreUnavailable, *STORE_ERRORS):
        logger.exception("could not be written down", what=what)


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
    "TooManyRequestsException",
    "TransactionInProgressException",
}


def as_store_error(error: Exception) -> Exception:
    """A refusal that may pass as StoreUnavailable; any other (denied, invalid) as it is."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] not in _PASSING:
        return error
    return StoreUnavailable(str(error))


_WATCH = "marquee_watch"

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


def invoke(function: str, payload: Mapping[str, Any]) -> Any:
    """What a function of ours answers; it is called once and waited for.

    Raises FunctionFailed with the name of the error that ended it, or StoreUnavailable where
    Lambda has no room for it; a refusal for good rises as it is.
    """
    try:
        answer = client("lambda", ONCE).invoke(
            FunctionName=function, Payload=json.dumps(payload).encode()
        )
        said = json.loads(answer["Payload"].read())
    except ReadTimeoutError as error:
        raise FunctionFailed("Timeout", "it did not answer in time") from error
    except STORE_ERRORS as error:
        raise as_store_error(error) from error
    if "FunctionError" in answer:
        raise FunctionFailed(said.get("errorType", "Error"), said.get("errorMessage", ""))
    return said


@cache
def dynamodb() -> "DynamoDBServiceResource":
    """The DynamoDB resource; every request reports its units to the current tally."""
    resource = boto3.resource("dynamodb", config=BOUNDED)
    events = resource.meta.client.meta.events
    events.register("before-parameter-build.dynamodb", _begin)
    events.register("after-call.dynamodb", _count_units)
    events.register("after-call-error.dynamodb", _count_silence)
    return resource


MOST_KEYS = 100
"""Of one BatchGetItem."""

MAX_TURNS = 5
"""Of asking again for what a throttled table left out."""


def items_at(
    table: str, keys: Sequence[Mapping[str, Any]], *, consistent: bool = False
) -> Iterator[dict[str, Any]]:
    """The items that lie at these keys, in no order: one request for MOST_KEYS of them.

    Raises StoreUnavailable where the table stays throttled, or what boto3 raises.
    """
    for some in batched(keys, MOST_KEYS, strict=False):
        asked: Any = {table: {"Keys": list(some), "ConsistentRead": consistent}}
        for _ in range(MAX_TURNS):
            answer = dynamodb().batch_get_item(RequestItems=asked)
            yield from answer["Responses"][table]
            asked = answer.get("UnprocessedKeys")
            if not asked:
                break
        else:
            raise StoreUnavailable(f"{table}: throttled {MAX_TURNS} times in a row")


_making = Lock()


def table(name: str) -> "Table":
    """The DynamoDB table called ``name``, for the thread that asks for it."""
    with _making:  # boto3's resources may not be shared by threads, only their clients
        return dynamodb().Table(name)


def _begin(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    """Ask for the units, and start the watch: nothing answers a request before this."""
    if model.name in _COUNTED:
        params.setdefault("ReturnConsumedCapacity", "TOTAL")
    context[_WATCH] = Stopwatch()


def _count_units(
    model: Any, parsed: Mapping[str, Any], http_response: Any, context: Any, **_: Any
) -> None:
    tally = current_tally()
    failed = http_response.status_code >= 400
    error = parsed.get("Error", {}).get("Code") or "Unknown" if failed else ""
    retries = parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    tally.store_requests.append(StoreRequest(model.name, error, context[_WATCH].ms, retries))
    consumed = parsed.get("ConsumedCapacity") or []
    for entry in consumed if isinstance(consumed, Sequence) else [consumed]:
        units = float(entry.get("CapacityUnits", 0.0))
        if model.name in {"GetItem", "Query", "BatchGetItem"}:
            tally.read_units += units
        else:
            tally.write_units += units


def _count_silence(exception: Exception, event_name: str, context: Any, **_: Any) -> None:
    """Count a request that was never answered."""
    operation, error = event_name.rpartition(".")[2], type(exception).__name__
    retries = context.get("retries", {}).get("attempt", 1) - 1
    request = StoreRequest(operation, error, context[_WATCH].ms, retries)
    current_tally().store_requests.append(request)


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
