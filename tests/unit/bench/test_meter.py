"""The benchmark's meter: read units from item sizes, and what it makes of requests on the wire."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from tests.bench.meter import Charge, Meter, item_bytes, read_units
from tests.support.servers import serving


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"pk": {"S": "abc"}}, 5),
        ({"t": {"S": "é"}}, 3),
        ({"n": {"N": "7"}}, 3),
        ({"n": {"N": "-123.45"}}, 1 + 5),
        ({"n": {"N": "1000"}}, 3),
        ({"b": {"B": "AAEC"}}, 4),
        ({"b": {"B": b"\x00\x01"}}, 3),
        ({"o": {"BOOL": True}, "x": {"NULL": True}}, 4),
        ({"l": {"L": [{"S": "a"}, {"S": "bc"}]}}, 1 + 3 + 2 + 3),
        ({"m": {"M": {"k": {"S": "v"}}}}, 1 + 3 + 1 + 2),
        ({"s": {"SS": ["ab", "c"]}}, 4),
    ],
)
def test_an_item_is_as_large_as_dynamodb_says(item: dict[str, Any], size: int) -> None:
    assert item_bytes(item) == size


@pytest.mark.parametrize(
    ("sizes", "consistent", "units"),
    [
        ([], False, 0.5),
        ([], True, 1),
        ([4096], False, 0.5),
        ([4097], False, 1),
        ([2000, 2000, 2000], False, 1),
        ([9000], True, 3),
    ],
)
def test_reads_are_charged_in_blocks_of_four_kilobytes(
    sizes: list[int], consistent: bool, units: float
) -> None:
    assert read_units(sizes, consistent) == units


ITEM = {"pk": {"S": "a"}, "text": {"S": "x" * 6000}}


class Whole:
    """The emulator's own client: it has the one item."""

    def get_item(self, TableName: str, Key: dict[str, Any]) -> dict[str, Any]:
        return {"Item": ITEM} if Key["pk"] == ITEM["pk"] else {}


@contextmanager
def a_dynamodb(answers: Mapping[str, tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """A server that gives each operation its answer, and the signature back as a header."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = answers[self.headers["X-Amz-Target"].partition(".")[2]]
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Saw", f"{self.headers['Host']} {self.headers['Authorization']}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal of the tests."""

    with serving(Handler) as url:
        yield url


def charged(operation: str, request: dict[str, Any], status: int, answer: Any) -> list[Charge]:
    """What the meter counts for one request, which must come back as the server answered it."""
    headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Authorization": "signed"}
    with a_dynamodb({operation: (status, answer)}) as url, Meter(url, Whole()) as meter:
        with httpx.Client(trust_env=False) as client:
            response = client.post(meter.url, json=request, headers=headers)
        assert (response.status_code, response.json()) == (status, answer)
        assert response.headers["x-saw"] == f"{meter.url.removeprefix('http://')} signed"
        charges = meter.take()
        assert meter.take() == []
    return charges


@pytest.mark.parametrize(
    ("operation", "request_body", "answer", "units"),
    [
        ("GetItem", {"TableName": "films"}, {"Item": ITEM}, 1.0),
        ("GetItem", {"TableName": "films", "ConsistentRead": True}, {"Item": ITEM}, 2.0),
        ("GetItem", {"TableName": "films"}, {}, 0.5),
        ("Query", {"TableName": "films"}, {"Items": [ITEM, ITEM]}, 1.5),
        (
            "GetItem",
            {"TableName": "films", "Key": {"pk": ITEM["pk"]}, "ProjectionExpression": "pk"},
            {"Item": {"pk": ITEM["pk"]}},
            1.0,
        ),
        (
            "BatchGetItem",
            {"RequestItems": {"films": {"Keys": [{"pk": {"S": "a"}}, {"pk": {"S": "absent"}}]}}},
            {"Responses": {"films": [{"pk": {"S": "a"}}]}},
            1.5,
        ),
    ],
)
def test_reads_are_charged_by_the_items_that_were_read(
    operation: str, request_body: dict[str, Any], answer: dict[str, Any], units: float
) -> None:
    assert charged(operation, request_body, 200, answer) == [
        Charge(operation, "films", read_units=units)
    ]


def test_a_query_of_an_index_is_told_apart() -> None:
    request = {"TableName": "films", "IndexName": "by_genre"}
    (charge,) = charged("Query", request, 200, {"Items": []})
    assert charge == Charge("Query", "films/by_genre", read_units=0.5)


def test_writes_are_charged_as_the_emulator_says() -> None:
    consumed = {"TableName": "films", "CapacityUnits": 7.0}
    put = charged("PutItem", {"TableName": "films"}, 200, {"ConsumedCapacity": consumed})
    assert put == [Charge("PutItem", "films", write_units=7.0)]
    batch = charged("BatchWriteItem", {}, 200, {"ConsumedCapacity": [consumed, consumed]})
    assert batch == [Charge("BatchWriteItem", "films", write_units=7.0)] * 2


def test_a_condition_that_fails_costs_a_write_and_another_refusal_nothing() -> None:
    failed = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
    assert charged("UpdateItem", {"TableName": "films"}, 400, failed) == [
        Charge("UpdateItem", "films", write_units=1.0)
    ]
    invalid = {"__type": "com.amazon.coral.validate#ValidationException"}
    (refused,) = charged("UpdateItem", {"TableName": "films"}, 400, invalid)
    assert refused.write_units == 0
