"""A proxy before the emulator's DynamoDB that counts the units AWS would charge for each request.

Writes are taken from the emulator's own ``ConsumedCapacity``, which follows item sizes and indexes.
Its reads are a constant, so they are computed here from the items that were read, by the rules of
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from types import TracebackType
from typing import Any, Self

import httpx

READ_BLOCK_BYTES = 4096
LOOPBACK = "127.0.0.1"
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "content-encoding", "date")
"""Headers of one connection, which are not passed on."""

READS = ("GetItem", "Query", "BatchGetItem", "Scan")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")

type Item = Mapping[str, Any]
type Whole = Callable[[str, Item], Item]
"""Finds the item of a table and a key."""


@dataclass(frozen=True)
class Charge:
    """One request and its units."""

    operation: str
    table: str
    read_units: float = 0
    write_units: float = 0


class Meter:
    """The proxy, listening on a free port of loopback while the block lasts."""

    def __init__(self, endpoint_url: str, dynamodb: Any) -> None:
        """``dynamodb`` is a client of the emulator itself: it reads what a projection left out."""
        self._endpoint_url = endpoint_url
        self._dynamodb = dynamodb
        self._charges: list[Charge] = []
        self._http = httpx.Client(timeout=60, trust_env=False)
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._http.close()

    @property
    def url(self) -> str:
        """Where the functions are to look for DynamoDB."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def take(self) -> list[Charge]:
        """What was charged since the last time."""
        taken, self._charges = self._charges, []
        return taken

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        meter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # The signature covers the host, so the headers go on as they came.
                answer = meter._http.post(
                    meter._endpoint_url + self.path, content=body, headers=dict(self.headers)
                )
                operation = self.headers["X-Amz-Target"].partition(".")[2]
                meter._count(operation, json.loads(body), answer)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *args: Any) -> None:
                """The table is the only output."""

        return Handler

    def _count(self, operation: str, request: Item, answer: httpx.Response) -> None:
        body = answer.json()
        if operation in WRITES and answer.status_code == httpx.codes.BAD_REQUEST:
            refused = str(body.get("__type", "")).endswith("ConditionalCheckFailedException")
            # What a failed condition costs at least: the item's size is not in the answer.
            self._charges.append(
                Charge(operation, request["TableName"], write_units=float(refused))
            )
        elif answer.is_success and operation in WRITES:
            self._charges.extend(_written(operation, body))
        elif answer.is_success and operation in READS:
            self._charges.extend(read_charges(operation, request, body, self._whole))
        elif answer.is_success:
            raise NotImplementedError(f"the meter does not know what {operation} costs")

    def _whole(self, table: str, key: Item) -> Item:
        item: Item = self._dynamodb.get_item(TableName=table, Key=key).get("Item", {})
        return item


def read_charges(operation: str, request: Item, body: Item, whole: Whole) -> Iterable[Charge]:
    """What a read of ``READS`` is charged; ``whole`` finds what a projection left out."""
    if operation == "BatchGetItem":
        for table, asked in request["RequestItems"].items():
            items = [whole(table, key) for key in asked["Keys"]]
            sizes = [item_bytes(item) for item in items]
            units = sum(read_units([size], asked.get("ConsistentRead")) for size in sizes)
            yield Charge(operation, table, read_units=units)
        return
    table, consistent = request["TableName"], request.get("ConsistentRead")
    if operation == "GetItem":
        projected = "ProjectionExpression" in request
        item = whole(table, request["Key"]) if projected else body.get("Item", {})
        yield Charge(operation, table, read_units=read_units([item_bytes(item)], consistent))
        return
    if {"FilterExpression", "ProjectionExpression"} & request.keys():
        raise NotImplementedError("the meter sees what a filter leaves, not what was read")
    sizes = [item_bytes(item) for item in body["Items"]]
    index = f"/{request['IndexName']}" if "IndexName" in request else ""
    yield Charge(operation, table + index, read_units=read_units(sizes, consistent))


def _written(operation: str, body: Item) -> Iterable[Charge]:
    consumed = body["ConsumedCapacity"]
    for entry in consumed if isinstance(consumed, list) else [consumed]:
        yield Charge(operation, entry["TableName"], write_units=entry["CapacityUnits"])


def read_units(sizes: Iterable[int], consistent: bool | None = False) -> float:
    """Of one GetItem or Query over items of these sizes in bytes; finding nothing costs a block."""
    blocks = max(1, ceil(sum(sizes) / READ_BLOCK_BYTES))
    return blocks * (1.0 if consistent else 0.5)


def item_bytes(item: Item) -> int:
    """The size that DynamoDB charges for: names and values of all attributes."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(typed: Item) -> int:
    """The size of ``{type: value}``; for a number DynamoDB documents an estimate."""
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return _number_bytes(value)
        case "B":
            return len(value if isinstance(value, bytes) else b64decode(value))
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _value_bytes(each) for each in value)
        case "M":
            return 3 + sum(
                1 + len(name.encode()) + _value_bytes(each) for name, each in value.items()
            )
    return sum(_value_bytes({kind[0]: each}) for each in value)


def _number_bytes(number: str) -> int:
    """A byte for two significant digits, one for the exponent, one for the sign if negative."""
    digits = number.lstrip("-").replace(".", "").strip("0")
    return ceil(len(digits) / 2) + 1 + number.startswith("-")
