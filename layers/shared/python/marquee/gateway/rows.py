"""Rows of CoordinationTable, each read, decided on and replaced by version, by the store's clock.

Executions run on many hosts whose clocks disagree; what they share is the table, and DynamoDB says
with every answer what time it is. That is the clock quotas and breakers go by.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import uuid4

from botocore.exceptions import ClientError

from marquee.aws import STORE_ERRORS, as_store_error, from_item, items_at
from marquee.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

type Item = Mapping[str, Any]

MAX_TURNS = 50
"""Writes lost in a row before we give up: half a second in which 50 others were served."""


class Key(NamedTuple):
    """The table's ``pk`` and ``sk``."""

    pk: str
    sk: str


@dataclass(frozen=True)
class Read:
    """A row as of now, None where there is none, and the store's time to the second if it says."""

    item: Item | None
    at: datetime | None


@dataclass(frozen=True)
class Swap:
    """Whether the row was replaced, and the store's time to the second if it says."""

    done: bool
    at: datetime | None


@dataclass(frozen=True)
class Changed[T]:
    """What was decided, and when it was known to be stored."""

    result: T
    at: datetime


type Decide[T] = Callable[[Item, datetime], tuple[Item | None, T]]
"""From a row (empty where there is none) and the time: its new content, None to leave it alone."""


class Rows(Protocol):
    """Where rows lie: DynamoDB, and a dictionary in simulations."""

    def get(self, key: Key) -> Read:
        """The row (consistent read). Raises StoreUnavailable."""

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        """Put ``item`` where the row is still at version ``expected``; None: there is no row.

        Raises StoreUnavailable where it is not known whether it was written.
        """


class DynamoRows:
    """The rows in DynamoDB."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def get(self, key: Key) -> Read:
        """See Rows."""
        try:
            answer = self._table.get_item(Key=key._asdict(), ConsistentRead=True)
        except STORE_ERRORS as error:
            raise as_store_error(error) from error
        return Read(answer.get("Item"), _said_at(answer))

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        """See Rows."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if expected is not None:
            condition = {
                "ConditionExpression": "#version = :expected",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":expected": expected},
            }
        try:
            answer = self._table.put_item(Item={**item, **key._asdict()}, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return Swap(False, _said_at(error.response))
            raise as_store_error(error) from error
        except STORE_ERRORS as error:
            raise as_store_error(error) from error
        return Swap(True, _said_at(answer))

    def at_once(self, keys: Collection[Key]) -> dict[Key, Item]:
        """Those of the rows that there are (consistent read), in few requests.

        Raises StoreUnavailable.
        """
        try:
            asked = [key._asdict() for key in keys]
            items = map(from_item, items_at(self._table.name, asked, consistent=True))
            return {Key(item["pk"], item["sk"]): item for item in items}
        except STORE_ERRORS as error:
            raise as_store_error(error) from error


def change[T](rows: Rows, key: Key, decide: Decide[T], *, now: datetime) -> Changed[T]:
    """Read the row, decide, and write; again where someone came between.

    ``decide`` may be called several times, each time with a row that is the latest; ``now`` stands
    in for a store that does not tell the time. Raises StoreUnavailable where nothing was written,
    where that is not known, or after MAX_TURNS; the caller may then ask again.
    """
    for _ in range(MAX_TURNS):
        read = rows.get(key)
        before: Item = from_item(dict(read.item or {}))
        at = read.at or now
        content, result = decide(before, at)
        if content is None:
            return Changed(result, at)
        version = before.get("version")
        after = {**content, "version": (version or 0) + 1, "written_by": uuid4().hex}
        written = _write(rows, key, version, after)
        if written.done:
            return Changed(result, written.at or at)
    raise StoreUnavailable(f"{key.pk} {key.sk}: lost {MAX_TURNS} turns in a row")


def look(rows: Rows, key: Key, *, now: datetime) -> tuple[Item, datetime]:
    """The row, empty where there is none, and the time. Raises StoreUnavailable."""
    read = rows.get(key)
    return from_item(dict(read.item or {})), read.at or now


def _write(rows: Rows, key: Key, expected: int | None, item: Item) -> Swap:
    """Swap, and where the answer was lost read what came of it: our own mark tells."""
    try:
        written = rows.swap(key, expected, item)
        unsure: StoreUnavailable | None = None
    except StoreUnavailable as error:
        written, unsure = Swap(False, None), error
    if written.done:
        return written
    # The client itself sends again what got no answer, and then fails its own condition.
    read = rows.get(key)
    if read.item and read.item.get("written_by") == item["written_by"]:
        return Swap(True, read.at)
    if unsure:
        raise unsure
    return written


def _said_at(answer: Any) -> datetime | None:
    """The Date header of an answer."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(said).astimezone(UTC) if said else None
    except ValueError:
        return None
