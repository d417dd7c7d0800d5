"""DynamoDB as Marquee uses it: values that fit, units that are counted, refusals by name."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from marquee.aws import STORE_ERRORS, as_store_error, client, from_item, table, to_item
from marquee.errors import StoreUnavailable
from marquee.observability import tallying
from tests.support.builders import a_movie
from tests.support.installation import installed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

KEY = {"pk": "a", "sk": "b"}


@pytest.fixture
def movies() -> Iterator["Table"]:
    with installed() as settings:
        yield table(settings.require("movies_table"))


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutItem")


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("RequestLimitExceeded"),
        refusal("InternalServerError"),
        refusal("ServiceUnavailable"),
        ConnectTimeoutError(endpoint_url="http://127.0.0.1"),
        ReadTimeoutError(endpoint_url="http://127.0.0.1"),
    ],
    ids=str,
)
def test_a_refusal_that_may_pass_is_retried(error: Exception) -> None:
    assert isinstance(error, STORE_ERRORS)
    assert isinstance(as_store_error(error), StoreUnavailable)


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "ValidationException",
        "ResourceNotFoundException",
        "ConditionalCheckFailedException",
        "UnrecognizedClientException",
    ],
)
def test_a_refusal_that_will_come_again_keeps_its_name(code: str) -> None:
    error = refusal(code)
    assert as_store_error(error) is error


def test_a_mapping_becomes_an_item_without_floats_and_nulls() -> None:
    assert to_item({"a": 0.1, "b": None, "c": [1.5, {"d": 2}], "e": True}) == {
        "a": Decimal("0.1"),
        "c": [Decimal("1.5"), {"d": 2}],
        "e": True,
    }


def test_a_model_becomes_an_item_that_dynamodb_takes(movies: "Table") -> None:
    movies.put_item(Item={**KEY, "movie": to_item(a_movie())})
    item = movies.get_item(Key=KEY)["Item"]
    assert type(a_movie()).model_validate(item["movie"]) == a_movie()


JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_an_item_says_what_the_mapping_said(mapping: dict[str, object]) -> None:
    assert from_item(to_item(mapping)) == mapping


def test_every_request_is_counted_with_its_units(movies: "Table") -> None:
    with tallying() as tally:
        movies.put_item(Item=KEY)
        movies.get_item(Key=KEY, ConsistentRead=True)
        movies.query(
            KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": KEY["pk"]}
        )
        with movies.batch_writer() as batch:
            batch.delete_item(Key=KEY)
    assert dict(tally.operations) == {"PutItem": 1, "GetItem": 1, "Query": 1, "BatchWriteItem": 1}
    assert tally.read_units > 0
    assert tally.write_units > 0


def test_a_refused_request_is_counted_as_failed(movies: "Table") -> None:
    with tallying() as tally, pytest.raises(ClientError):
        movies.put_item(Item=KEY, ConditionExpression="attribute_exists(pk)")
    assert dict(tally.operations) == {"PutItem.failed": 1}


def test_each_request_is_told_with_its_code_and_how_long_it_took(movies: "Table") -> None:
    with tallying() as tally:
        movies.get_item(Key=KEY)
        with pytest.raises(ClientError):
            movies.put_item(Item=KEY, ConditionExpression="attribute_exists(pk)")
    told = [(one.operation, one.error, one.retries) for one in tally.store_requests]
    assert told == [("GetItem", "", 0), ("PutItem", "ConditionalCheckFailedException", 0)]
    assert all(one.ms > 0 for one in tally.store_requests)


@pytest.mark.parametrize(
    ("error", "retries"),
    [(ValueError("broken"), 0), (ReadTimeoutError(endpoint_url="http://127.0.0.1"), 3)],
    ids=["not repeated", "repeated"],
)
def test_a_request_that_is_never_answered_is_counted_with_what_boto3_repeated(
    movies: "Table", monkeypatch: pytest.MonkeyPatch, error: Exception, retries: int
) -> None:
    def break_down(**_: Any) -> None:
        raise error

    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    events = movies.meta.client.meta.events
    events.register_first("before-send.dynamodb", break_down)
    try:
        with tallying() as tally, pytest.raises(type(error)):
            movies.get_item(Key=KEY)
    finally:
        events.unregister("before-send.dynamodb", break_down)
    [told] = tally.store_requests
    assert (told.operation, told.error, told.retries) == ("GetItem", type(error).__name__, retries)


def test_a_request_that_asks_for_units_by_index_keeps_its_wish(movies: "Table") -> None:
    answer = movies.put_item(Item=KEY, ReturnConsumedCapacity="INDEXES")
    assert "Table" in answer["ConsumedCapacity"]


def test_requests_outside_of_an_invocation_are_not_counted_in_the_next(movies: "Table") -> None:
    movies.put_item(Item=KEY)
    with tallying() as tally:
        pass
    assert not tally.operations


def test_clients_wait_less_than_a_step_and_are_made_once(movies: "Table") -> None:
    configs: list[Any] = [client("sqs").meta.config, movies.meta.client.meta.config]
    for config in configs:
        assert config.connect_timeout + config.read_timeout < 10
        assert config.retries["mode"] == "standard"
    assert client("sqs") is client("sqs")
