"""Searches on a laptop cloud of its own: what ran is counted, then priced."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from marquee_cli.client import Client
from marquee_cli.cloud.cloud import SECRETS_PATH, Cloud
from tests.bench.meter import Charge, Meter
from tests.bench.prices import Invocation, Usage
from tests.bench.report import Line, at_most
from tests.support.upstreams import Upstreams

WAIT_SECONDS = 20
"""The API's default: one request that waits for its search."""

MOST_REQUESTS = 3
"""For one search; the functions' first start takes its time on a busy machine."""

SETTLE_SECONDS = 0.5
"""Between two looks at the log: the last lines of an invocation come after its answer."""

LOG_EVENT_OVERHEAD_BYTES = 26
"""CloudWatch Logs charges for these with every event."""

ACCOUNTING_LINES = ('"_aws"', '"step ended"')
"""What the lines hold that are metrics, and the one that each step ends with."""

PUBLISHED = '"event published"'
"""What the line holds that the outbox writes for each event."""

ACCOUNTING_SHARE = 0.05
"""Of a search's price, for counting what it did."""

_REPORT = re.compile(r"REPORT .*\tDuration: (?P<ms>[\d.]+) ms\t.*Memory Size: (?P<mb>\d+) MB")

SOURCES = 2
"""TMDB and X are asked; Bluesky and Mastodon are left without their keys."""

TMDB_CALLS = 2
TRANSITIONS = 7 + SOURCES
FRESH_USD = 0.0003
CACHED_USD = 0.00001

SHOWCASE = ("RRR", 579974)
"""The stand-ins have the most texts on it."""

SMALLER = ((1, "Pushpa: The Rise", 690957), (10, "Joker", 475557))
"""Other films, searched with fewer reviews a source."""

MOST_REVIEWS = 80
"""Of each source; with the 20 that TMDB sends at most this makes 100."""

TEXTS = 200
"""X is let to have so many posts on each film, for some are near-duplicates of others."""


@dataclass(frozen=True)
class Counted:
    """One search: its answer and all that ran for it."""

    answer: Mapping[str, Any]
    usage: Usage
    charges: list[Charge]
    tmdb_calls: int
    accounting: Usage
    """The part of it that only counts what was done."""

    @property
    def reviews(self) -> int:
        """Stored by it."""
        return int(sum(source["new"] for source in self.answer["workflow_result"]["sources"]))

    @property
    def upstream_usd(self) -> float:
        """What the sources charge for what they gave."""
        sources = self.answer["workflow_result"]["sources"]
        return float(sum(source["cost_usd"] for source in sources))


class Installation:
    """A laptop cloud whose functions reach DynamoDB through a meter."""

    def __init__(self, cloud: Cloud, meter: Meter, upstreams: Upstreams) -> None:
        record = cloud.home.read()
        assert record.api
        self.cloud = cloud
        self.meter = meter
        self.upstreams = upstreams
        self.outputs = record.outputs
        self._client = Client(record.api.url, record.api.key)

    def count(self, movie_name: str, max_reviews: int, **options: Any) -> Counted:
        """Search once and count what ran; the installation must be at rest."""
        logged, began = len(self._log()), self._executions()
        tmdb_calls = len(self.upstreams.calls("tmdb"))
        self.meter.take()
        answer, requests = self._search(
            {"movie_name": movie_name, "max_reviews": max_reviews, **options}
        )
        self._rest()
        log = self._settled_log()[logged:]
        charges = self.meter.take()
        usage = Usage(
            transitions=sum(map(self._transitions, self._executions() - began)),
            read_units=sum(charge.read_units for charge in charges),
            write_units=sum(charge.write_units for charge in charges),
            invocations=tuple(_invocations(log)),
            api_requests=requests,
            events=sum(PUBLISHED in line for line in log),
            log_bytes=log_bytes(log),
        )
        called = len(self.upstreams.calls("tmdb")) - tmdb_calls
        return Counted(answer, usage, charges, called, self._accounting(charges, log))

    def _accounting(self, charges: list[Charge], log: list[str]) -> Usage:
        """Writes of counters, the only updates of their table, and the lines that tell of them."""
        table = self.outputs["GatewayTableName"]
        writes = [c for c in charges if (c.table, c.operation) == (table, "UpdateItem")]
        lines = [line for line in log if any(mark in line for mark in ACCOUNTING_LINES)]
        return Usage(write_units=sum(c.write_units for c in writes), log_bytes=log_bytes(lines))

    def _search(self, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
        """The answer, and how often it was asked for: more than once on a busy machine."""
        for requests in range(1, MOST_REQUESTS + 1):
            answer = self._client.search(request, wait_seconds=WAIT_SECONDS)
            if "workflow_result" in answer:
                return answer, requests
        raise RuntimeError(f"{request} did not end within {MOST_REQUESTS * WAIT_SECONDS} seconds")

    def _executions(self) -> set[str]:
        pages = self.cloud.boto3("stepfunctions").get_paginator("list_executions")
        return {
            execution["executionArn"]
            for page in pages.paginate(stateMachineArn=self.outputs["MovieSearchArn"])
            for execution in page["executions"]
        }

    def _rest(self) -> None:
        """Wait for the executions' end: the answer comes when the record closes, just before."""
        stepfunctions = self.cloud.boto3("stepfunctions")
        while stepfunctions.list_executions(
            stateMachineArn=self.outputs["MovieSearchArn"], statusFilter="RUNNING"
        )["executions"]:
            time.sleep(SETTLE_SECONDS)

    def _transitions(self, execution_arn: str) -> int:
        """States entered; inside a Map, where the emulator records none, tasks scheduled."""
        pages = self.cloud.boto3("stepfunctions").get_paginator("get_execution_history")
        kinds = [
            event["type"]
            for page in pages.paginate(executionArn=execution_arn)
            for event in page["events"]
        ]
        entered = sum(kind.endswith("StateEntered") for kind in kinds)
        outside_map = kinds.count("TaskStateEntered")
        return int(entered + kinds.count("TaskScheduled") - outside_map)

    def _log(self) -> list[str]:
        logs = self.cloud.boto3("logs")
        return [
            event["message"]
            for group in logs.describe_log_groups()["logGroups"]
            for page in logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
            for event in page["events"]
        ]

    def _settled_log(self) -> list[str]:
        before: list[str] = []
        while before != (after := self._log()):
            before = after
            time.sleep(SETTLE_SECONDS)
        return after


@contextmanager
def installation() -> Iterator[Installation]:
    """A laptop cloud in a folder of its own, with two sources, until the block ends."""
    with TemporaryDirectory(prefix="marquee-bench-") as folder:
        home = Path(folder)
        cloud = Cloud(
            home / "home",
            env_file=home / "no.env",
            parameters={
                "MastodonBaseUrl": "",
                "SpendCaps": "day=1000",
            },
        )
        try:
            record = cloud.up()
            assert record.stand_ins
            for name in ("handle", "app_password"):
                cloud.boto3("ssm").delete_parameter(Name=f"{SECRETS_PATH}/movies/bluesky/{name}")
            with (
                Meter(cloud.endpoint_url, cloud.boto3("dynamodb")) as meter,
                httpx.Client(trust_env=False) as client,
            ):
                _let_functions_use(meter, cloud)
                yield Installation(cloud, meter, Upstreams(record.stand_ins.url, client))
        finally:
            cloud.down()


def _let_functions_use(meter: Meter, cloud: Cloud) -> None:
    functions = cloud.boto3("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            variables = function["Environment"]["Variables"]
            functions.update_function_configuration(
                FunctionName=function["FunctionName"],
                Environment={"Variables": {**variables, "AWS_ENDPOINT_URL_DYNAMODB": meter.url}},
            )


def log_bytes(log: list[str]) -> int:
    """What CloudWatch Logs charges for these lines."""
    return sum(len(line.encode()) + LOG_EVENT_OVERHEAD_BYTES for line in log)


def _invocations(log: list[str]) -> Iterator[Invocation]:
    for line in log:
        if reported := _REPORT.match(line):
            yield Invocation(float(reported["ms"]), int(reported["mb"]))


def lines(installed: Installation) -> Iterator[Line]:
    """Fresh searches with few and many reviews, and the last of them again from the cache."""
    installed.count("Dune (2021)", 1)  # the functions are warm after it
    for max_reviews, name, tmdb_id in (*SMALLER, (MOST_REVIEWS, *SHOWCASE)):
        installed.upstreams.texts(tmdb_id, "x", TEXTS)
        fresh = installed.count(name, max_reviews)
        yield from _fresh_lines(fresh)
    yield from _shares(fresh)
    cached = installed.count(SHOWCASE[0], MOST_REVIEWS)
    yield at_most("cached: transitions", cached.usage.transitions, 0)
    yield at_most("cached: TMDB calls", cached.tmdb_calls, 0)
    yield Line("cached: DynamoDB units", units(cached.usage))
    yield at_most("cached: AWS list price", cached.usage.usd, CACHED_USD, "${:.7f}")
    ratio = cached.usage.usd / fresh.usage.usd
    yield Line("cached against fresh, price", f"{ratio:.3f} x")


def _fresh_lines(fresh: Counted) -> Iterator[Line]:
    what = f"fresh, {fresh.reviews} reviews"
    yield at_most(f"{what}: TMDB calls", fresh.tmdb_calls, TMDB_CALLS)
    yield at_most(f"{what}: transitions", fresh.usage.transitions, TRANSITIONS)
    yield Line(f"{what}: DynamoDB units", units(fresh.usage))
    scans = sum(charge.operation == "Scan" for charge in fresh.charges)
    yield at_most(f"{what}: table scans", scans, 0)
    yield at_most(f"{what}: AWS list price", fresh.usage.usd, FRESH_USD, "${:.7f}")
    share = fresh.accounting.usd / fresh.usage.usd
    yield at_most(f"{what}: of this, the accounting", share, ACCOUNTING_SHARE, "{:.1%}")
    yield Line(f"{what}: X charges for its posts, beside AWS", f"${fresh.upstream_usd:.3f}")


def _shares(fresh: Counted) -> Iterator[Line]:
    for service, usd in fresh.usage.costs().items():
        yield Line(f"  of this, {service}", f"${usd:.7f}")
    seconds = sum(call.ms for call in fresh.usage.invocations) / 1000
    yield Line(f"  seconds in {len(fresh.usage.invocations)} invocations", f"{seconds:.2f}")


def units(usage: Usage) -> str:
    """Read and write units in one cell."""
    return f"{usage.read_units:g} R + {usage.write_units:g} W"
