"""Rows in a dictionary and in DynamoDB do the same: the one may stand for the other in tests."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from marquee.errors import StoreUnavailable
from marquee.tweets.rows import DynamoRows, In, Part, Rows, Swap
from tests.support.tweet_tables import MemoryRows, create_tweet_tables, plain

BY_STATUS = ("account_status", "nasa#APPROVED")


def a_swap(key: str = "1", expected: int | None = None, **fields: Any) -> Swap:
    version = (expected or 0) + 1
    item = {"account": "nasa", "tweet_id": key, "version": version, **fields}
    return Swap(In.TWEETS, "nasa", key, expected, item)


def a_removal(key: str, expected: int | None) -> Swap:
    return Swap(In.TWEETS, "nasa", key, expected, None)


def test_a_row_that_is_not_there_is_none(rows: Rows) -> None:
    assert rows.get(In.TWEETS, "nasa", "1") is None


def test_a_row_is_made_once(rows: Rows) -> None:
    assert rows.swap(a_swap(text="first"))
    assert not rows.swap(a_swap(text="second"))
    row = rows.get(In.TWEETS, "nasa", "1")
    assert row
    assert row["text"] == "first"


def test_a_row_is_replaced_at_the_version_that_was_read_only(rows: Rows) -> None:
    rows.swap(a_swap(text="first"))
    assert rows.swap(a_swap(expected=1, text="second"))
    assert not rows.swap(a_swap(expected=1, text="third"))
    row = rows.get(In.TWEETS, "nasa", "1")
    assert row
    assert (row["text"], row["version"]) == ("second", 2)


def test_a_row_is_removed_at_its_version_only(rows: Rows) -> None:
    rows.swap(a_swap())
    assert not rows.swap(a_removal("1", expected=2))
    assert rows.swap(a_removal("1", expected=1))
    assert rows.get(In.TWEETS, "nasa", "1") is None


def test_of_several_rows_all_are_written_or_none(rows: Rows) -> None:
    rows.swap(a_swap("1"))
    assert not rows.swap(a_swap("2"), a_swap("1"))
    assert rows.get(In.TWEETS, "nasa", "2") is None
    posted = Swap(In.POSTS, "nasa", "2", None, {"account": "nasa", "tweet_id": "2", "version": 1})
    assert rows.swap(a_swap("2"), a_removal("1", expected=1), posted)
    assert rows.get(In.TWEETS, "nasa", "1") is None
    assert rows.get(In.POSTS, "nasa", "2")


def test_an_index_is_paged_in_order_and_holds_only_rows_that_have_its_key(rows: Rows) -> None:
    for key in ("5", "3", "4", "1", "2"):
        rows.swap(a_swap(key) if key == "3" else a_swap(key, account_status="nasa#APPROVED"))
    part = Part(In.TWEETS, "by_status", BY_STATUS, "tweet_id", "2", "9")
    first, cursor = rows.page(part, 2, None)
    assert [row["tweet_id"] for row in first] == ["2", "4"]
    assert cursor
    second, _ = rows.page(part, 2, cursor)
    assert [row["tweet_id"] for row in second] == ["5"]


swaps = st.builds(
    lambda key, expected, removed: a_removal(key, expected) if removed else a_swap(key, expected),
    st.sampled_from("abc"),
    st.none() | st.integers(1, 3),
    st.booleans(),
)


@settings(max_examples=15, deadline=None, database=None, derandomize=True)
@given(st.lists(st.lists(swaps, min_size=1, max_size=3, unique_by=lambda s: s.key), max_size=12))
def test_whatever_is_swapped_both_kinds_of_rows_end_alike(batches: list[list[Swap]]) -> None:
    memory = MemoryRows()
    with mock_aws():
        dynamo = create_tweet_tables()
        for batch in batches:
            # A removal of what is not there, for it is to be absent, is nothing anyone asks for.
            asked = [swap for swap in batch if swap.item or swap.expected]
            if asked:
                assert memory.swap(*asked) == dynamo.swap(*asked)
        for key in "abc":
            row, same = (kind.get(In.TWEETS, "nasa", key) for kind in (memory, dynamo))
            assert (row and plain(row)) == (same and plain(same))


class BrokenTable:
    """A DynamoDB table and its client that answer every request with one error."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.meta = self
        self.client = self

    def _fail(self, **_: Any) -> Any:
        raise self._error

    get_item = put_item = delete_item = query = transact_write_items = _fail


def refusal(code: str, reasons: list[str] | None = None) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}}
    if reasons is not None:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "TransactWriteItems")


def broken(error: Exception) -> DynamoRows:
    table: Any = BrokenTable(error)
    return DynamoRows(table, table)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://localhost"),
        refusal("ThrottlingException"),
    ],
)
def test_what_dynamodb_does_not_answer_is_unavailable(error: Exception) -> None:
    rows = broken(error)
    part = Part(In.TWEETS, "by_status", BY_STATUS, "tweet_id", "0", "9")
    with pytest.raises(StoreUnavailable):
        rows.get(In.TWEETS, "nasa", "1")
    with pytest.raises(StoreUnavailable):
        rows.swap(a_swap())
    with pytest.raises(StoreUnavailable):
        rows.page(part, 1, None)


@pytest.mark.parametrize("reason", ["ConditionalCheckFailed", "TransactionConflict"])
def test_a_transaction_that_someone_else_won_is_lost_and_no_error(reason: str) -> None:
    rows = broken(refusal("TransactionCanceledException", ["None", reason]))
    assert not rows.swap(a_swap("1"), a_swap("2"))


def test_a_row_that_a_transaction_is_at_is_lost_and_no_error() -> None:
    assert not broken(refusal("TransactionConflictException")).swap(a_swap())


def test_a_transaction_that_was_canceled_for_another_reason_is_an_error() -> None:
    rows = broken(refusal("TransactionCanceledException", ["ValidationError", "None"]))
    with pytest.raises(ClientError):
        rows.swap(a_swap("1"), a_swap("2"))
