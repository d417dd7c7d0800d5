"""A row is replaced by version, in DynamoDB as in a dictionary; lost answers and races included."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from marquee.errors import StoreUnavailable
from marquee.gateway.rows import MAX_TURNS, DynamoRows, Item, Key, Rows, Swap, change, look
from tests.support.coordination_table import MemoryRows, RacingRows, create_coordination_table

KEY = Key("QUOTA#x", "search#app")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def dynamo() -> Iterator[DynamoRows]:
    with mock_aws():
        yield create_coordination_table()


@pytest.fixture(params=["dictionary", "dynamodb"])
def rows(request: pytest.FixtureRequest) -> Rows:
    if request.param == "dictionary":
        return MemoryRows()
    dynamo: DynamoRows = request.getfixturevalue("dynamo")
    return dynamo


def count_up(item: Item, at: datetime) -> tuple[Item, int]:
    count = item.get("count", 0) + 1
    return {"count": count}, count


def counted(rows: Rows) -> int:
    return change(rows, KEY, count_up, now=NOW).result


def test_a_row_is_made_once_and_replaced_at_its_version_only(rows: Rows) -> None:
    assert rows.get(KEY).item is None
    assert rows.swap(KEY, None, {"version": 1, "text": "first"}).done
    assert not rows.swap(KEY, None, {"version": 1, "text": "second"}).done
    assert rows.swap(KEY, 1, {"version": 2, "text": "third"}).done
    assert not rows.swap(KEY, 1, {"version": 2, "text": "fourth"}).done
    item = rows.get(KEY).item
    assert item
    assert (item["text"], item["pk"], item["sk"]) == ("third", "QUOTA#x", "search#app")


def test_the_store_says_what_time_it_is_with_every_answer(dynamo: DynamoRows) -> None:
    reply = dynamo.swap(KEY, None, {"version": 1})
    refusal = dynamo.swap(KEY, None, {"version": 1})
    for at in (reply.at, refusal.at, dynamo.get(KEY).at):
        assert at
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_change_goes_by_the_clock_of_the_store_and_by_ours_where_it_has_none() -> None:
    class Silent(MemoryRows):
        def said(self) -> Any:
            return None

    stored = MemoryRows(NOW + timedelta(seconds=90.7))
    told = change(stored, KEY, lambda item, at: ({}, at), now=NOW)
    assert told.result == told.at == NOW + timedelta(seconds=90)
    assert change(Silent(), KEY, count_up, now=NOW).at == NOW
    assert look(Silent(), KEY, now=NOW) == ({}, NOW)


def test_changes_follow_one_another(rows: Rows) -> None:
    assert [counted(rows) for _ in range(3)] == [1, 2, 3]


def test_what_decides_to_write_nothing_writes_nothing() -> None:
    rows = MemoryRows()
    assert change(rows, KEY, lambda item, at: (None, "as it is"), now=NOW).result == "as it is"
    assert rows.writes == 0


def test_a_change_that_lost_a_race_is_decided_again_on_what_won() -> None:
    rows = RacingRows([counted])
    assert counted(rows) == 2


def test_a_race_against_real_conditions_loses_no_change(dynamo: DynamoRows) -> None:
    class Raced:
        """Lets a rival in between the read and the write."""

        rivals = 3

        def get(self, key: Key) -> Any:
            return dynamo.get(key)

        def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
            if self.rivals:
                self.rivals -= 1
                counted(dynamo)
            return dynamo.swap(key, expected, item)

    assert counted(Raced()) == 4
    assert counted(dynamo) == 5


def test_who_loses_every_turn_gives_up() -> None:
    with pytest.raises(StoreUnavailable, match="lost 50 turns"):
        counted(RacingRows([counted] * MAX_TURNS))


class Faulty:
    """A table whose first write is stored or not, and answered by an error either way."""

    def __init__(self, rows: Rows, error: Exception | None, *, stored: bool) -> None:
        self._rows, self._error, self._stored = rows, error, stored
        self._failed = False
        self.broken = False

    def get(self, key: Key) -> Any:
        if self.broken and self._failed:
            raise StoreUnavailable("still away")
        return self._rows.get(key)

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        if self._failed:
            return self._rows.swap(key, expected, item)
        self._failed = True
        if self._stored:
            self._rows.swap(key, expected, item)
        if self._error:
            raise self._error
        return self._rows.swap(key, expected, item)


def test_a_write_whose_answer_was_lost_is_found_to_be_ours(rows: Rows) -> None:
    assert counted(Faulty(rows, StoreUnavailable("lost"), stored=True)) == 1
    assert counted(rows) == 2


def test_a_write_that_the_client_sent_twice_is_found_to_be_ours(rows: Rows) -> None:
    assert counted(Faulty(rows, None, stored=True)) == 1
    assert counted(rows) == 2


def test_a_write_that_was_not_stored_is_no_change(rows: Rows) -> None:
    with pytest.raises(StoreUnavailable, match="lost"):
        counted(Faulty(rows, StoreUnavailable("lost"), stored=False))
    assert counted(rows) == 1


def test_a_write_of_which_nothing_is_known_is_no_success(rows: Rows) -> None:
    faulty = Faulty(rows, StoreUnavailable("lost"), stored=True)
    faulty.broken = True
    with pytest.raises(StoreUnavailable, match="still away"):
        counted(faulty)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://localhost"),
        ReadTimeoutError(endpoint_url="http://localhost"),
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "PutItem"),
    ],
)
def test_a_table_that_does_not_answer_is_unavailable(error: Exception) -> None:
    rows = DynamoRows(broken(error))
    with pytest.raises(StoreUnavailable):
        rows.get(KEY)
    with pytest.raises(StoreUnavailable):
        rows.swap(KEY, None, {"version": 1})


def test_what_is_denied_is_said_as_it_is() -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutItem")
    with pytest.raises(ClientError, match="AccessDenied"):
        DynamoRows(broken(denied)).swap(KEY, None, {"version": 1})


def test_an_answer_without_a_date_or_with_a_strange_one_has_no_time() -> None:
    class Table:
        def __init__(self, **headers: str) -> None:
            self.headers = headers

        def get_item(self, **_: Any) -> Any:
            return {"ResponseMetadata": {"HTTPHeaders": self.headers}}

    for headers in ({}, {"date": "today"}):
        table: Any = Table(**headers)
        assert DynamoRows(table).get(KEY).at is None


def broken(error: Exception) -> Any:
    class Table:
        def fail(self, **_: Any) -> Any:
            raise error

        get_item = put_item = fail

    return Table()
