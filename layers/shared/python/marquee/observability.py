"""The logger, metrics, and the tally of one invocation: upstream calls, DynamoDB requests, ends."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aws_lambda_powertools import Logger

logger = Logger(service="marquee")
"""JSON to CloudWatch Logs; level by the variable POWERTOOLS_LOG_LEVEL."""

CORRELATION_HEADER = "x-correlation-id"
"""By which a client names its request, and callbacks are told what theirs is about."""

CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
"""One that is fit for a header and a line of the log."""

NAMESPACE = "Marquee"
"""Of our own metrics in CloudWatch."""

MAX_METRIC_VALUES = 100
"""Of one metric in one line; CloudWatch drops a line with more."""


class Metric(NamedTuple):
    """A metric of ours: its unit, and the dimensions it has beside Stage."""

    unit: str
    dimensions: tuple[str, ...] = ()


METRICS: Mapping[str, Metric] = {
    "UpstreamLatency": Metric("Milliseconds", ("Provider",)),  # its SampleCount: the calls
    "UpstreamFailures": Metric("Count", ("Provider",)),
    "SpendUsd": Metric("None", ("Provider",)),
    "QuotaLeft": Metric("Percent", ("Provider",)),  # as a call is admitted or put off
    "SlotSeconds": Metric("Seconds", ("Provider",)),  # until its slot, 0 for one that begins
    "FilmsQueued": Metric("Count"),
    "StoreFailures": Metric("Count"),
    "WorkflowsEnded": Metric("Count", ("Kind", "Status")),
    "PostsNeedHuman": Metric("Count"),
    "TriggersSwitchedOff": Metric("Count"),
    "BreakersOpened": Metric("Count"),
    "BudgetWarnings": Metric("Count"),
}
"""All that we emit: CloudWatch charges for each combination of dimensions, so they are few.

What AWS measures by itself (executions, the functions' durations, queues) is not among them."""


def emit(values: Mapping[str, Sequence[float]], *, stage: str, **dimensions: str) -> None:
    """Write a line of the log that CloudWatch reads as metrics, all with these dimensions.

    ``values`` has up to MAX_METRIC_VALUES of each. It is written whatever the logger's level.
    """
    named = {"Stage": stage, **dimensions}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(named)],
        "Metrics": [{"Name": name, "Unit": METRICS[name].unit} for name in values],
    }
    about = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive]}
    line = {"_aws": about, **named, **{name: list(given) for name, given in values.items()}}
    print(json.dumps(line, separators=(",", ":")), flush=True)


def gauge(name: str, count: int, *, stage: str) -> None:
    """Say how many there are now, of an installation.

    Say 0 too: it is what clears an alarm.
    """
    emit({name: [count]}, stage=stage)


class UpstreamCall(NamedTuple):
    """One call of an upstream that was sent; ``error`` is the class, empty for a success."""

    provider: str
    endpoint: str
    error: str
    ms: float


class StoreRequest(NamedTuple):
    """One request to DynamoDB; ``error`` is its code, ``retries`` what boto3 itself repeated."""

    operation: str
    error: str
    ms: float
    retries: int


class Ended(NamedTuple):
    """An attempt of a step that has ended; ``error`` is the class, empty for a success."""

    kind: str
    step: str
    error: str
    ms: float


@dataclass
class Tally:
    """What one invocation did; steps add theirs to the workflow record."""

    attempt: int = 1
    """Of the step: the calls of a later one than the first are retries."""
    upstream_calls: list[UpstreamCall] = field(default_factory=list)
    costs_usd: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """What the upstreams charge for these calls, at list price, by provider."""
    store_requests: list[StoreRequest] = field(default_factory=list)
    read_units: float = 0.0
    write_units: float = 0.0
    steps: list[Ended] = field(default_factory=list)
    workflows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Executions that ended, by kind and status."""

    @property
    def calls(self) -> Counter[str]:
        """Upstream calls by ``<provider>.<outcome>``, outcome ``successful`` or ``failed``."""
        return Counter(
            f"{call.provider}.{'failed' if call.error else 'successful'}"
            for call in self.upstream_calls
        )

    @property
    def operations(self) -> Counter[str]:
        """DynamoDB requests by operation name, failed ones as ``<operation>.failed``."""
        return Counter(
            f"{request.operation}.failed" if request.error else request.operation
            for request in self.store_requests
        )

    @property
    def cost_usd(self) -> float:
        """Of all providers."""
        return sum(self.costs_usd.values())

    def add_call(
        self, provider: str, endpoint: str, *, error: str = "", ms: float = 0.0, usd: float = 0.0
    ) -> None:
        """Count one upstream call that was sent: its class of error, how long it took, its cost."""
        self.upstream_calls.append(UpstreamCall(provider, endpoint, error, ms))
        self.add_cost(provider, usd)

    def add_cost(self, provider: str, usd: float) -> None:
        """Count what a provider charges for calls that are counted already."""
        if usd:
            self.costs_usd[provider] += usd

    def add(self, other: "Tally") -> None:
        """Count what another block did."""
        self.upstream_calls += other.upstream_calls
        self.store_requests += other.store_requests
        self.steps += other.steps
        for provider, usd in other.costs_usd.items():
            self.add_cost(provider, usd)
        self.workflows.update(other.workflows)
        self.read_units += other.read_units
        self.write_units += other.write_units

    def as_counts(self) -> dict[str, Any]:
        """The tally as it stands in a workflow record, without what is nothing."""
        counts = {
            "calls": dict(self.calls),
            "cost_usd": round(self.cost_usd, 6),
            "operations": dict(self.operations),
            "read_units": self.read_units,
            "write_units": self.write_units,
        }
        return {name: count for name, count in counts.items() if count}


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tallying() -> Iterator[Tally]:
    """Collect what happens inside the block."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def current_tally() -> Tally:
    """The tally of the block we are in; outside of one, a tally that nobody reads."""
    return _current.get() or Tally()


class Stopwatch:
    """Time since it was made, by a clock that never goes back."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds."""
        return (time.perf_counter() - self._began) * 1000
