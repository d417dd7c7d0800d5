"""The benchmark's units of a DynamoDB in this process: writes, their indexes, and transactions."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.bench.meter import Charge, Item
from tests.bench.units import Index, Layout, Units, counted, write_units

KEYS = frozenset({"pk"})
WHOLE = Layout(KEYS, (Index(frozenset({"state"}), None),))
PART = Layout(KEYS, (Index(frozenset({"state"}), frozenset({"pk", "state", "name"})),))


def an_item(size: int = 10, **parts: str) -> Item:
    return {"pk": {"S": "a"}, "text": {"S": "x" * size}, **{n: {"S": v} for n, v in parts.items()}}


@pytest.mark.parametrize(
    ("before", "after", "layout", "units"),
    [
        ({}, an_item(), Layout(KEYS), 1),
        ({}, an_item(1500), Layout(KEYS), 2),
        (an_item(2500), an_item(), Layout(KEYS), 3),
        (an_item(2500), {}, Layout(KEYS), 3),
        ({}, {}, Layout(KEYS), 1),
        ({}, an_item(), WHOLE, 1),
        ({}, an_item(state="new"), WHOLE, 1 + 1),
        ({}, an_item(1500, state="new"), WHOLE, 2 + 2),
        ({}, an_item(1500, state="new"), PART, 2 + 1),
        (an_item(state="new"), an_item(1500, state="new"), WHOLE, 2 + 2),
        (an_item(state="new"), an_item(1500, state="new"), PART, 2),
        (an_item(state="new"), an_item(state="old"), PART, 1 + 2),
        (an_item(state="new"), an_item(), PART, 1 + 1),
        (an_item(state="new"), an_item(state="new", name="b"), PART, 1 + 1),
    ],
)
def test_a_write_is_charged_for_the_larger_item_and_for_each_index_it_changes(
    before: Item, after: Item, layout: Layout, units: int
) -> None:
    assert write_units(before, after, layout) == units


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        client.create_table(
            TableName="posts",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "state")
            ],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_state",
                    "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["name"]},
                }
            ],
        )
        yield client


@pytest.fixture
def units(dynamodb: Any) -> Iterator[Units]:
    with counted(dynamodb) as counting:
        yield counting


def put(dynamodb: Any, item: Item, **options: Any) -> None:
    dynamodb.put_item(TableName="posts", Item=item, **options)


def test_requests_of_the_client_are_counted_once(dynamodb: Any, units: Units) -> None:
    put(dynamodb, an_item(1500, state="new"))
    key = {"pk": {"S": "a"}}
    dynamodb.get_item(TableName="posts", Key=key, ConsistentRead=True)
    change: dict[str, Any] = {
        "UpdateExpression": "SET #state = :old",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": {":old": {"S": "old"}},
    }
    dynamodb.update_item(TableName="posts", Key=key, **change)
    dynamodb.delete_item(TableName="posts", Key=key)
    assert units.take() == [
        Charge("PutItem", "posts", write_units=2 + 1),
        Charge("GetItem", "posts", read_units=1),
        Charge("UpdateItem", "posts", write_units=2 + 2),
        Charge("DeleteItem", "posts", write_units=2 + 1),
    ]
    assert units.take() == []


def test_a_transaction_costs_twice_and_a_batch_once(dynamodb: Any, units: Units) -> None:
    puts = [{"Put": {"TableName": "posts", "Item": an_item(1500)}}]
    dynamodb.transact_write_items(TransactItems=puts)
    dynamodb.batch_write_item(RequestItems={"posts": [{"PutRequest": {"Item": an_item()}}]})
    assert units.take() == [
        Charge("TransactWriteItems", "posts", write_units=4),
        Charge("BatchWriteItem", "posts", write_units=2),
    ]


def test_a_condition_that_fails_costs_the_item_that_is_there(dynamodb: Any, units: Units) -> None:
    put(dynamodb, an_item(1500))
    units.take()
    with pytest.raises(ClientError):
        put(dynamodb, an_item(), ConditionExpression="attribute_not_exists(pk)")
    assert units.take() == [Charge("PutItem", "posts", write_units=2)]


def test_what_is_refused_for_another_reason_costs_nothing(dynamodb: Any, units: Units) -> None:
    with pytest.raises(ClientError):
        dynamodb.put_item(TableName="posts", Item={"pk": {"S": ""}})
    assert units.take() == []


def test_after_the_block_nothing_is_counted(dynamodb: Any) -> None:
    with counted(dynamodb) as units:
        pass
    put(dynamodb, an_item())
    assert units.take() == []
