"""The tables of the tweet pipeline in moto, and the same rows in a dictionary, for speed."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import boto3

from marquee.events.models import DomainEvent
from marquee.tweets.announce import post_events, tweet_events
from marquee.tweets.rows import Cursor, DynamoRows, In, Item, Part, Swap

REGION = "us-east-1"
TWEETS_TABLE = "marquee-tweets"
POSTS_TABLE = "marquee-posts"

_INDEXES = {
    TWEETS_TABLE: ("by_status", "account_status", "tweet_id"),
    POSTS_TABLE: ("open_by_state", "open_state", "updated_at"),
}


def create_tweet_tables() -> DynamoRows:
    """Make both tables, with keys, index and expiry; call inside `mock_aws()`."""
    resource = boto3.resource("dynamodb", region_name=REGION)
    for name, (index, partition, sort) in _INDEXES.items():
        resource.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": "S"}
                for attribute in dict.fromkeys(("account", "tweet_id", partition, sort))
            ],
            KeySchema=_keys("account", "tweet_id"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": index,
                    "KeySchema": _keys(partition, sort),
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
    resource.meta.client.update_time_to_live(
        TableName=POSTS_TABLE,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"},
    )
    return DynamoRows(resource.Table(TWEETS_TABLE), resource.Table(POSTS_TABLE))


def _keys(partition: str, sort: str) -> Any:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


class MemoryRows:
    """`Rows` in a dictionary; `written` is called with every row after it was replaced."""

    def __init__(self, written: Callable[[Swap], None] = lambda swap: None) -> None:
        self.rows: dict[tuple[In, str, str], dict[str, Any]] = {}
        self._written = written

    def get(self, table: In, account: str, key: str) -> Item | None:
        return self.rows.get((table, account, key))

    def swap(self, *swaps: Swap) -> bool:
        for swap in swaps:
            row = self.rows.get((swap.table, swap.account, swap.key))
            if (row["version"] if row else None) != swap.expected:
                return False
        for swap in swaps:
            if swap.item is None:
                self.rows.pop((swap.table, swap.account, swap.key), None)
            else:
                self.rows[swap.table, swap.account, swap.key] = dict(swap.item)
        for swap in swaps:
            self._written(swap)
        return True

    def page(
        self, part: Part, limit: int, after: Cursor | None
    ) -> tuple[list[Item], Cursor | None]:
        name, value = part.partition
        wanted = sorted(
            (
                row
                for (table, _, _), row in self.rows.items()
                if table is part.table
                and row.get(name) == value
                and part.low <= row.get(part.sort, "") <= part.high
            ),
            key=lambda row: _place(part, row),
            reverse=part.descending,
        )
        if after:
            begun = _place(part, after)
            wanted = [
                row
                for row in wanted
                if (_place(part, row) < begun if part.descending else _place(part, row) > begun)
            ]
        if len(wanted) < limit:
            return list(wanted), None
        last = wanted[limit - 1]
        cursor = {key: last[key] for key in {name, part.sort, "account", "tweet_id"}}
        return list(wanted[:limit]), cursor

    def dump(self) -> list[dict[str, Any]]:
        """Every row, as JSON would hold it, in the order of their keys."""
        return [plain(row) for _, row in sorted(self.rows.items())]


class TellingRows(MemoryRows):
    """And what the outbox says of each change that was stored."""

    def __init__(self, written: Callable[[Swap], None] = lambda swap: None) -> None:
        super().__init__(written)
        self.told: list[DomainEvent] = []

    def swap(self, *swaps: Swap) -> bool:
        before = [self.rows.get((swap.table, swap.account, swap.key), {}) for swap in swaps]
        announce = {In.TWEETS: tweet_events, In.POSTS: post_events}
        done = False
        try:
            done = super().swap(*swaps)
            return done
        finally:
            for old, swap in zip(before, swaps, strict=True):
                key = swap.table, swap.account, swap.key
                if swap.item and (done or self.rows.get(key) == swap.item):
                    self.told += announce[swap.table](plain(old), plain(swap.item))


def _place(part: Part, row: Item) -> tuple[str, str, str]:
    return row[part.sort], row["account"], row["tweet_id"]


def plain(row: Item) -> dict[str, Any]:
    """The row without DynamoDB's own number type."""
    loaded: dict[str, Any] = json.loads(json.dumps(row, default=_number))
    return loaded


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
