"""What all invocations did, hour by hour: calls, DynamoDB requests, steps and ends, as counters.

An invocation adds what it did in one write to a row of GatewayTable. DynamoDB charges a write by
the whole item, so each hour has SHARDS rows, and which one an invocation adds to follows from what
it is part of ("CollectReviews/x"): the same counters always lie together, rows stay small, and
parts that run at once do not meet. Nothing here can fail an invocation: what could not be added is
missing from the statistics, and the log says so.

Durations are counted in buckets, each a quarter wider than the one before, so that any number of
rows can be summed. A percentile that is read from them is the middle of the bucket that holds it:
at most PERCENTILE_ERROR away from the exact one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import batched
from math import ceil, floor, log, sqrt
from threading import Thread
from uuid import uuid4
from zlib import crc32

from marquee import aws
from marquee.clock import now
from marquee.gateway.callers import Caller, calling_as
from marquee.observability import MAX_METRIC_VALUES, Tally, emit, logger, tallying
from marquee.settings import Settings, settings

SHARDS = 8
"""Rows of an hour. One takes 1,000 writes a second, and reading a week takes 169 times as many."""

KEPT_FOR = timedelta(days=40)

FLUSH_SECONDS = 1.5
"""What an invocation waits for its counters at most; a healthy table takes some 10 ms."""

GROWTH = 1.25
"""How much wider each bucket is; 62 of them reach from 1 ms to the 15 minutes of a function."""

PERCENTILE_ERROR = sqrt(GROWTH) - 1
"""Relative, of durations from 1 ms on: 11.8 %. Shorter ones count as 1 ms."""

OK = "ok"
"""Stands where an error's class would."""

type Name = tuple[str, ...]
type Counters = Mapping[Name, int]
"""By name:

========================================== ================================================
``call``, provider, endpoint, error or OK   upstream calls
``retry``, provider                         those of a step's later attempts
``ms``, provider, bucket                    their durations
``usd``, provider                           millionths of USD
``op``, operation, error or OK              DynamoDB requests
``op_retry``                                what boto3 itself repeated of them
``op_ms``, bucket                           their durations
``half_units``, ``read`` or ``write``       twice what DynamoDB charges for
``step``, kind, step, bucket                durations of attempts of steps
``step_error``, kind, step, error           attempts that failed
``end``, kind, status                       executions that ended
========================================== ================================================
"""


def bucket(ms: float) -> int:
    """The bucket that counts a duration: the n-th holds from GROWTH**n up to the next one's."""
    return floor(log(max(1.0, ms), GROWTH))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration in ms that ``share`` (0 to 1) of those counted do not exceed; None of none.

    The exact one is the ``ceil(share * n)``-th of n in their order; see PERCENTILE_ERROR.
    """
    rank = max(1, ceil(share * sum(buckets.values())))
    for number in sorted(buckets):
        rank -= buckets[number]
        if rank <= 0:
            return float(GROWTH ** (number + 0.5))
    return None


def counters_of(tally: Tally) -> Counter[Name]:
    """What a tally adds to the counters."""
    counters: Counter[Name] = Counter()
    for call in tally.upstream_calls:
        counters["call", call.provider, call.endpoint, call.error or OK] += 1
        counters["ms", call.provider, str(bucket(call.ms))] += 1
        if tally.attempt > 1:
            counters["retry", call.provider] += 1
    for provider, usd in tally.costs_usd.items():
        counters["usd", provider] = round(usd * 1_000_000)
    for request in tally.store_requests:
        counters["op", request.operation, request.error or OK] += 1
        counters["op_ms", str(bucket(request.ms))] += 1
        counters["op_retry",] += request.retries
    counters["half_units", "read"] = round(tally.read_units * 2)
    counters["half_units", "write"] = round(tally.write_units * 2)
    for step in tally.steps:
        counters["step", step.kind, step.step, str(bucket(step.ms))] += 1
        if step.error:
            counters["step_error", step.kind, step.step, step.error] += 1
    for (kind, status), number in tally.workflows.items():
        counters["end", kind, status] += number
    return +counters


def measure(tally: Tally, *, stage: str) -> None:
    """Write what a tally holds as metrics for CloudWatch."""
    failed = Counter(call.provider for call in tally.upstream_calls if call.error)
    for provider in {call.provider for call in tally.upstream_calls}:
        took = [round(call.ms, 1) for call in tally.upstream_calls if call.provider == provider]
        more: dict[str, list[float]] = {"UpstreamFailures": [failed[provider]]}
        if usd := tally.costs_usd.get(provider):
            more["SpendUsd"] = [round(usd, 6)]
        for some in batched(took, MAX_METRIC_VALUES, strict=False):
            emit({"UpstreamLatency": some, **more}, stage=stage, Provider=provider)
            more = {}
    if unserved := sum(bool(request.error) for request in tally.store_requests):
        emit({"StoreFailures": [unserved]}, stage=stage)
    for (kind, status), number in tally.workflows.items():
        emit({"WorkflowsEnded": [number]}, stage=stage, Kind=kind, Status=status)


class HourlyCounters:
    """The rows ``stats#<hour>#<shard>`` of GatewayTable."""

    def __init__(self, table: str) -> None:
        self._table = table

    @classmethod
    def connect(cls, given: Settings) -> "HourlyCounters":
        """Those in the table that the template gave us."""
        return cls(given.require("gateway_table"))

    def add(self, part: str, at: datetime, counters: Counters) -> None:
        """Add to the counters of that hour, in one write; raises what boto3 raises.

        A write whose answer was lost is sent again by boto3, and then counted twice.
        """
        hour = hour_of(at)
        names = {f"#{number}": "|".join(name) for number, name in enumerate(counters)}
        values = {f":{number}": value for number, value in enumerate(counters.values())}
        added = ", ".join(f"#{number} :{number}" for number in range(len(counters)))
        aws.table(self._table).update_item(
            Key=_key(hour, shard_of(part)),
            UpdateExpression=f"SET expires_at = :expires ADD {added}",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values | {":expires": int((hour + KEPT_FOR).timestamp())},
        )

    def read(self, hours: Sequence[datetime]) -> dict[datetime, Counter[Name]]:
        """The counters of each of these hours; raises StoreUnavailable, or what boto3 raises.

        It reads exact keys, so many whatever has happened: SHARDS for an hour.
        """
        read: dict[datetime, Counter[Name]] = {hour: Counter() for hour in hours}
        hour_of_key = {_key(hour, n)["pk"]: hour for hour in hours for n in range(SHARDS)}
        keys = [_key(hour, n) for hour in hours for n in range(SHARDS)]
        for item in aws.items_at(self._table, keys):
            read[hour_of_key[item.pop("pk")]].update(
                {tuple(name.split("|")): int(item[name]) for name in item.keys() - _NO_COUNTERS}
            )
        return read


_NO_COUNTERS = {"sk", "expires_at"}


def shard_of(part: str) -> int:
    """The row of an hour that a part of the work adds to: always the same one."""
    return crc32(part.encode()) % SHARDS


def hour_of(at: datetime) -> datetime:
    """The beginning of its hour."""
    return at.replace(minute=0, second=0, microsecond=0)


def hours_of(window: timedelta, at: datetime) -> list[datetime]:
    """The hours that the window before ``at`` touches, the oldest first: the last one goes on."""
    first, last = hour_of(at - window), hour_of(at)
    return [
        first + timedelta(hours=number)
        for number in range((last - first) // timedelta(hours=1) + 1)
    ]


def total(counters: Iterable[Counters]) -> Counter[Name]:
    """The sum of the counters of several hours."""
    summed: Counter[Name] = Counter()
    for some in counters:
        summed.update(some)
    return summed


@contextmanager
def accounted(
    part: str,
    *,
    attempt: int = 1,
    caller: Caller | None = None,
    clock: Callable[[], datetime] = now,
) -> Iterator[Tally]:
    """Count all that happens inside the block, which is a handler's work, and add it at its end.

    Of a handler that is no step it is the decorator. ``part`` says what it is part of (the step's
    name, or the function's), and the log says it with every line. ``caller`` makes the calls: a
    step of an execution, or else this invocation alone. An installation without the table writes
    metrics only.
    """
    logger.append_keys(part=part)
    with tallying() as tally, calling_as(caller or Caller(f"{part}/{uuid4().hex}")):
        tally.attempt = attempt
        try:
            yield tally
        finally:
            _flush(part, tally, clock)


def _flush(part: str, tally: Tally, clock: Callable[[], datetime]) -> None:
    try:
        given = settings()
        measure(tally, stage=given.stage)
        if given.gateway_table and (counters := counters_of(tally)):
            _add_in_time(HourlyCounters.connect(given), part, clock(), counters)
    except Exception:
        logger.warning("what was done could not be measured", exc_info=True)


def _add_in_time(hourly: HourlyCounters, part: str, at: datetime, counters: Counters) -> None:
    """Add, and wait for that as long as an invocation may be held up.

    In a thread of its own, so that the connection which is there can be used: boto3 cannot be told
    how long to try this once.
    """

    def add() -> None:
        try:
            hourly.add(part, at, counters)
        except Exception as error:
            logger.warning("the counters could not be written", reason=str(error))

    adding = Thread(target=add, name="accounting", daemon=True)
    adding.start()
    adding.join(FLUSH_SECONDS)
    if adding.is_alive():
        logger.warning("the counters are not written yet")


def _key(hour: datetime, shard: int) -> dict[str, str]:
    return {"pk": f"stats#{hour:%Y-%m-%dT%H}#{shard}", "sk": "counters"}
