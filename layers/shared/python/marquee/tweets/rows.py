"""Rows of TweetsTable and PostsTable: read whole, replaced by version, several all or none.

Every change is decided in Python on rows that were read, and written only if none of them has
changed since: the version is the one condition there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from marquee.aws import STORE_ERRORS, as_store_error, table
from marquee.errors import StoreUnavailable
from marquee.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

type Item = Mapping[str, Any]
type Cursor = dict[str, str]
"""Where a page ended, for the next one to begin; its keys as strings."""

_LOST = {"ConditionalCheckFailedException", "TransactionConflictException"}
_SOMEONE_ELSE = {"None", "ConditionalCheckFailed", "TransactionConflict"}
_ID_DIGITS = 20
"""Wider than any id of X, so that ids sort as numbers do."""


class In(StrEnum):
    """The two tables."""

    TWEETS = "tweets"
    POSTS = "posts"


@dataclass(frozen=True)
class Swap:
    """``item`` in the place of a row; None removes it."""

    table: In
    account: str
    key: str
    expected: int | None
    """The row's version as it was read; None: there is no such row."""
    item: Item | None


@dataclass(frozen=True)
class Part:
    """The rows of one partition whose sort key lies in ``low..high``, in its order."""

    table: In
    index: str | None
    partition: tuple[str, str]
    """The name and value of the partition key."""
    sort: str
    low: str
    high: str
    descending: bool = False


class Rows(Protocol):
    """Where rows lie: DynamoDB, and a dictionary in tests that never end otherwise."""

    def get(self, table: In, account: str, key: str) -> Item | None:
        """The row as of now (consistent read)."""

    def swap(self, *swaps: Swap) -> bool:
        """Write all or none; False where one is not at its expected version any more.

        Raises StoreUnavailable where it is not known whether they were written.
        """

    def page(
        self, part: Part, limit: int, after: Cursor | None
    ) -> tuple[list[Item], Cursor | None]:
        """At most ``limit`` rows, and where more begin; an index may lag behind."""


class DynamoRows:
    """The rows in DynamoDB."""

    def __init__(self, tweets: "Table", posts: "Table") -> None:
        self._tables = {In.TWEETS: tweets, In.POSTS: posts}

    @classmethod
    def connect(cls, settings: Settings) -> "DynamoRows":
        """The rows of the tables that the template gave us."""
        return cls(table(settings.require("tweets_table")), table(settings.require("posts_table")))

    def get(self, table: In, account: str, key: str) -> Item | None:
        """See Rows."""
        try:
            answer = self._tables[table].get_item(
                Key={"account": account, "tweet_id": key}, ConsistentRead=True
            )
        except STORE_ERRORS as error:
            raise as_store_error(error) from error
        return answer.get("Item")

    def swap(self, *swaps: Swap) -> bool:
        """See Rows."""
        requests = [self._request(swap) for swap in swaps]
        try:
            if len(requests) == 1:
                self._single(requests[0])
            else:
                client = self._tables[In.POSTS].meta.client
                client.transact_write_items(TransactItems=requests)
        except STORE_ERRORS as error:
            if _lost(error):
                return False
            raise as_store_error(error) from error
        return True

    def page(
        self, part: Part, limit: int, after: Cursor | None
    ) -> tuple[list[Item], Cursor | None]:
        """See Rows."""
        name, value = part.partition
        request: dict[str, Any] = {
            "KeyConditionExpression": Key(name).eq(value)
            & Key(part.sort).between(part.low, part.high),
            "Limit": limit,
            "ScanIndexForward": not part.descending,
        }
        if part.index:
            request["IndexName"] = part.index
        if after:
            request["ExclusiveStartKey"] = after
        try:
            answer = self._tables[part.table].query(**request)
        except STORE_ERRORS as error:
            raise as_store_error(error) from error
        last = answer.get("LastEvaluatedKey")
        cursor = {name: str(value) for name, value in last.items()} if last else None
        return list(answer["Items"]), cursor

    def _request(self, swap: Swap) -> Any:
        condition: dict[str, Any] = {
            "TableName": self._tables[swap.table].name,
            "ConditionExpression": "attribute_not_exists(account)",
        }
        if swap.expected is not None:
            condition["ConditionExpression"] = "#version = :expected"
            condition["ExpressionAttributeNames"] = {"#version": "version"}
            condition["ExpressionAttributeValues"] = {":expected": swap.expected}
        if swap.item is None:
            key = {"account": swap.account, "tweet_id": swap.key}
            return {"Delete": {**condition, "Key": key}}
        return {"Put": {**condition, "Item": dict(swap.item)}}

    def _single(self, request: Any) -> None:
        client = self._tables[In.POSTS].meta.client
        if "Put" in request:
            client.put_item(**request["Put"])
        else:
            client.delete_item(**request["Delete"])


def write(rows: Rows, wanted: Swap, *others: Swap) -> bool:
    """Swap, and where the answer was lost read what came of it; ``wanted`` stands for them all.

    False where someone else was first. Raises StoreUnavailable where nothing was written, or
    cannot be read either; it may still be written a moment later.
    """
    try:
        if rows.swap(wanted, *others):
            return True
    except StoreUnavailable:
        if rows.get(wanted.table, wanted.account, wanted.key) != wanted.item:
            raise
        return True
    # The client itself sends again what got no answer, and then fails its own condition.
    return rows.get(wanted.table, wanted.account, wanted.key) == wanted.item


def row_key(tweet_id: str) -> str:
    """The key of a tweet's rows: its id at a fixed width."""
    return tweet_id.zfill(_ID_DIGITS)


def stamp(moment: datetime) -> str:
    """A time as a sort key: ISO 8601 at a fixed width."""
    return moment.isoformat(timespec="milliseconds")


FIRST_ID, LAST_ID = "0" * _ID_DIGITS, "9" * _ID_DIGITS
"""Every row key of a tweet lies between these."""


def _lost(error: Exception) -> bool:
    """Whether someone else was there first."""
    if not isinstance(error, ClientError):
        return False
    code = error.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        reasons: Any = error.response.get("CancellationReasons", ())
        return bool(reasons) and {reason.get("Code", "None") for reason in reasons} <= _SOMEONE_ELSE
    return code in _LOST
