"""CoordinationTable in moto, and the same rows in a dictionary, with the faults of a network."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import boto3

from marquee.errors import StoreUnavailable
from marquee.gateway.quota import Ledger, Policy, Slot
from marquee.gateway.rows import DynamoRows, Item, Key, Read, Rows, Swap, change
from tests.support.virtual_time import START, VirtualTime

NAME = "marquee-coordination"


def create_coordination_table() -> DynamoRows:
    """Make the table; call inside `mock_aws()`."""
    table = boto3.resource("dynamodb", region_name="us-east-1").create_table(
        TableName=NAME,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    return DynamoRows(table)


def book(rows: Rows, policy: Policy, holder: str, *, now: datetime) -> Slot:
    """A slot for a holder that does not begin yet: the one that it has, or the earliest."""

    def decide(item: Item, at: datetime) -> tuple[Item | None, Slot]:
        tick = int(at.timestamp())
        ledger = Ledger.of(item, policy).without_lapsed(tick)
        own = ledger.of_holder(holder)
        slot_at = own.at if own else ledger.earliest(tick)
        slot = Slot(datetime.fromtimestamp(slot_at, UTC), booked=True)
        if own:
            return None, slot
        return ledger.booked(holder, slot_at).item(at, item.get("limit")), slot

    return change(rows, policy.key, decide, now=now).result


class MemoryRows:
    """`Rows` in a dictionary, with a clock of its own that ``at`` sets."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at
        self.rows: dict[Key, dict[str, Any]] = {}
        self.reads = 0
        self.writes = 0

    def get(self, key: Key) -> Read:
        self.reads += 1
        return Read(self.rows.get(key), self.said())

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        self.writes += 1
        if self.rows.get(key, {}).get("version") != expected:
            return Swap(False, self.said())
        self.rows[key] = {**item, **key._asdict()}
        return Swap(True, self.said())

    def said(self) -> datetime:
        """As a Date header says it."""
        return self.at.replace(microsecond=0)

    def later(self, seconds: float) -> datetime:
        """Let time pass; returns what it is then."""
        self.at += timedelta(seconds=seconds)
        return self.at


class RacingRows(MemoryRows):
    """Someone else writes between our read and our write, as often as ``rivals`` says."""

    def __init__(self, rivals: list[Callable[[MemoryRows], object]]) -> None:
        super().__init__()
        self._rivals = rivals

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        if self._rivals:
            plain = MemoryRows(self.at)
            plain.rows = self.rows
            self._rivals.pop(0)(plain)
        return super().swap(key, expected, item)


class NetworkRows(MemoryRows):
    """Rows behind a network in virtual time: latency, throttling, and answers that get lost."""

    def __init__(
        self, time: VirtualTime, random: Random, *, throttled: float = 0.0, lost: float = 0.0
    ) -> None:
        super().__init__()
        self._time = time
        self._random = random
        self._throttled = throttled
        self._lost = lost
        self.refusals = 0

    def get(self, key: Key) -> Read:
        self._travel()
        self.at = self._time.now()
        read = super().get(key)
        self._travel()
        return read

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        self._travel()
        self.at = self._time.now()
        swap = super().swap(key, expected, item)
        self._travel()
        if self._random.random() < self._lost:
            raise StoreUnavailable("the answer was lost")
        return swap

    def _travel(self) -> None:
        """One way; a throttled request takes the client's own retries, then fails or not."""
        self._time.sleep(self._random.uniform(0.001, 0.006))
        if self._throttled and self._random.random() < self._throttled / 2:
            self._time.sleep(self._random.uniform(0.1, 2.0))
            if self._random.random() < 0.5:
                self.refusals += 1
                raise StoreUnavailable("throttled")
