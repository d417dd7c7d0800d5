"""Counts the units that AWS would charge for what this process asks of a DynamoDB on moto.

moto answers a constant, so writes are computed from the items before and after, by the rules of
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import boto3

from tests.bench.meter import READS, Charge, Item, item_bytes, read_charges

WRITE_BLOCK_BYTES = 1024
TRANSACTED = 2
"""Times the units of the same write outside a transaction."""

KINDS = ("Put", "Update", "Delete", "ConditionCheck")


@dataclass(frozen=True)
class Index:
    """What an index holds of an item; ``projected`` is None where that is all of it."""

    keys: frozenset[str]
    projected: frozenset[str] | None

    def entry(self, item: Item) -> Item:
        """The item in the index; empty where it is not in there."""
        if not self.keys <= item.keys():
            return {}
        return {n: v for n, v in item.items() if self.projected is None or n in self.projected}


@dataclass(frozen=True)
class Layout:
    """The keys of a table, and its indexes."""

    keys: frozenset[str]
    indexes: tuple[Index, ...] = ()

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Layout":
        """That of a table as DescribeTable answers it."""
        keys = _names(described["KeySchema"])
        indexes = []
        for index in described.get("GlobalSecondaryIndexes", ()):
            own, kept = _names(index["KeySchema"]), index["Projection"]
            named = frozenset(kept.get("NonKeyAttributes", ()))
            everything = kept["ProjectionType"] == "ALL"
            indexes.append(Index(own, None if everything else named | own | keys))
        return cls(keys, tuple(indexes))


def _names(schema: Iterable[Mapping[str, str]]) -> frozenset[str]:
    return frozenset(part["AttributeName"] for part in schema)


def write_units(before: Item, after: Item, layout: Layout) -> int:
    """Of one write that was done; an absent item is empty, and one that stays gone costs a unit."""
    units = max(1, _blocks(before), _blocks(after))
    for index in layout.indexes:
        old, new = index.entry(before), index.entry(after)
        if old == new:
            continue
        if old and new and all(old[key] == new[key] for key in index.keys):
            units += max(_blocks(old), _blocks(new))
        else:
            units += _blocks(old) + _blocks(new)  # one entry goes, another comes
    return units


def _blocks(item: Item) -> int:
    return ceil(item_bytes(item) / WRITE_BLOCK_BYTES)


class Units:
    """Listens to one boto3 client, and looks at the tables through another."""

    def __init__(self, looking: Any) -> None:
        self._looking = looking
        self._layouts: dict[str, Layout] = {}
        self._charges: list[Charge] = []

    def take(self) -> list[Charge]:
        """What was charged since the last time."""
        taken, self._charges = self._charges, []
        return taken

    def before(self, model: Any, params: Mapping[str, Any], context: Any, **_: Any) -> None:
        """Note what a request is about to change."""
        request = json.loads(params["body"])
        changed = [(t, k, self._whole(t, k)) for t, k in self._keys(model.name, request)]
        context["marquee_units"] = request, changed

    def after(self, model: Any, http_response: Any, context: Any, **_: Any) -> None:
        """Charge for it."""
        request, changed = context["marquee_units"]
        body = json.loads(http_response.content)
        done = http_response.status_code < 400
        times = TRANSACTED if model.name == "TransactWriteItems" else 1
        if model.name in READS and done:
            self._charges.extend(read_charges(model.name, request, body, self._whole))
        elif done or _refused(body):
            for table, key, before in changed:
                units = max(1, _blocks(before))
                if done:
                    units = write_units(before, self._whole(table, key), self._layout(table))
                self._charges.append(Charge(model.name, table, write_units=times * units))

    def _keys(self, operation: str, request: Item) -> Iterator[tuple[str, Item]]:
        """Table and key of every item that a request writes or checks."""
        if operation in READS:
            return
        if operation == "TransactWriteItems":
            for action in request["TransactItems"]:
                yield from (self._key(action[kind]) for kind in KINDS if kind in action)
        elif operation == "BatchWriteItem":
            for table, actions in request["RequestItems"].items():
                for action in actions:
                    ((_, asked),) = action.items()
                    yield self._key({"TableName": table, **asked})
        elif operation in {"PutItem", "UpdateItem", "DeleteItem"}:
            yield self._key(request)
        else:
            raise NotImplementedError(f"what {operation} costs is not known here")

    def _key(self, asked: Item) -> tuple[str, Item]:
        table = asked["TableName"]
        item = asked.get("Key") or asked["Item"]
        return table, {name: item[name] for name in self._layout(table).keys}

    def _layout(self, table: str) -> Layout:
        if table not in self._layouts:
            described = self._looking.describe_table(TableName=table)["Table"]
            self._layouts[table] = Layout.of(described)
        return self._layouts[table]

    def _whole(self, table: str, key: Item) -> Item:
        item: Item = self._looking.get_item(TableName=table, Key=key, ConsistentRead=True).get(
            "Item", {}
        )
        return item


def _refused(body: Item) -> bool:
    kind = str(body.get("__type", ""))
    return kind.endswith(("ConditionalCheckFailedException", "TransactionCanceledException"))


@contextmanager
def counted(client: Any) -> Iterator[Units]:
    """Count what the boto3 ``client`` of DynamoDB is charged while the block lasts."""
    units = Units(boto3.client("dynamodb", region_name=client.meta.region_name))
    hooks = (("before-call.dynamodb", units.before), ("after-call.dynamodb", units.after))
    for event, hook in hooks:
        client.meta.events.register(event, hook)
    try:
        yield units
    finally:
        for event, hook in hooks:
            client.meta.events.unregister(event, hook)
