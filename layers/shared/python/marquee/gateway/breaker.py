"""A sick upstream is left alone: one probe an interval asks whether it is well again.

Closed, a breaker costs one read a call and no write: a row is written when a call fails, and when
one succeeds only while there are failures in the window. Successes before the first failure are
thus not counted; that is why it takes a least number of calls, counted from that failure on.

Open, calls are refused. Once an interval, one of them is let through as a probe: to be let through
is to move the time of the next one, in one write, so no two are, whatever becomes of the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from marquee.clock import written
from marquee.errors import Misconfigured, StoreUnavailable, UpstreamTimeout, UpstreamUnavailable
from marquee.gateway.rows import Item, Key, Rows, change, look
from marquee.observability import logger
from marquee.settings import HTTP_TIMEOUT_SECONDS

BUCKETS = 6
"""Parts of the window, which slides by one of them."""

KEPT_FOR = timedelta(days=1)
"""A row that nothing changes."""


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    """A probe is on its way."""


@dataclass(frozen=True)
class Sensitivity:
    """When a breaker opens, and how often it probes; seconds are whole.

    It opens at ``share`` failures of at least ``least_calls`` calls within ``window_seconds``.
    """

    share: float = 0.5
    least_calls: int = 5
    window_seconds: int = 60
    interval_seconds: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.least_calls < 1 or self.window_seconds < BUCKETS:
            raise Misconfigured("a breaker opens at a share in (0, 1] of at least one call")
        if self.interval_seconds <= HTTP_TIMEOUT_SECONDS:
            raise Misconfigured("a probe must have ended before the next: lengthen the interval")


@dataclass(frozen=True)
class Pass:
    """Whether the call may be made; `record` is told what came of it, `hand_back` that none was."""

    allowed: bool
    reason: str = ""
    retry_at: datetime | None = None
    """When the next probe goes, unless the breaker is closed."""
    probe: bool = False
    quiet: bool = False
    """There are no failures in the window: a success need not be recorded."""


@dataclass(frozen=True)
class Health:
    """What a breaker's row holds, and every rule of it as a pure function; times in seconds."""

    calls: Mapping[int, int] = field(default_factory=dict)
    failures: Mapping[int, int] = field(default_factory=dict)
    """By bucket."""
    opened_at: int = 0
    """0: closed."""
    probe_at: int = 0
    """When the next probe may go."""
    probing: bool = False

    @classmethod
    def of(cls, item: Item, at: datetime, sensitivity: Sensitivity) -> "Health":
        """The row's content, without what has left the window."""
        oldest = _bucket(at, sensitivity) - BUCKETS
        calls, failures = (
            {int(name): count for name, count in item.get(part, {}).items() if int(name) > oldest}
            for part in ("calls", "failures")
        )
        opened_at, probe_at = item.get("opened_at", 0), item.get("probe_at", 0)
        return cls(calls, failures, opened_at, probe_at, bool(item.get("probing")))

    def item(self, at: datetime) -> Item:
        """The row that holds it."""
        return {
            "calls": {str(bucket): count for bucket, count in self.calls.items()},
            "failures": {str(bucket): count for bucket, count in self.failures.items()},
            "opened_at": self.opened_at,
            "probe_at": self.probe_at,
            "probing": self.probing,
            "expires_at": int((at + KEPT_FOR).timestamp()),
        }

    def state(self, at: datetime) -> State:
        """A probe whose interval has passed is given up."""
        if not self.opened_at:
            return State.CLOSED
        probing = self.probing and at.timestamp() < self.probe_at
        return State.HALF_OPEN if probing else State.OPEN

    def with_call(self, at: datetime, sensitivity: Sensitivity, *, failed: bool) -> "Health":
        """One more call counted, and open where too many of them failed."""
        bucket = _bucket(at, sensitivity)
        calls = {**self.calls, bucket: self.calls.get(bucket, 0) + 1}
        failures = {**self.failures, bucket: self.failures.get(bucket, 0) + failed}
        health = replace(self, calls=calls, failures=failures)
        total = sum(calls.values())
        if total < sensitivity.least_calls or sum(failures.values()) < sensitivity.share * total:
            return health
        now = int(at.timestamp())
        return replace(health, opened_at=now, probe_at=now + sensitivity.interval_seconds)


@dataclass(frozen=True)
class Diagnosis:
    """A breaker as people look at it."""

    state: State
    failure_share: float | None
    """Of the calls that were counted in the window; None where none was."""
    opened_at: datetime | None
    """None while it is closed."""
    retry_at: datetime | None
    """When the next probe may go, while it is not closed."""


def diagnosed(item: Item, at: datetime, sensitivity: Sensitivity | None = None) -> Diagnosis:
    """The breaker of which ``item`` is the row, empty where there is none."""
    health = Health.of(item, at, sensitivity or Sensitivity())
    calls = sum(health.calls.values())
    is_open = bool(health.opened_at)
    return Diagnosis(
        health.state(at),
        round(sum(health.failures.values()) / calls, 4) if calls else None,
        datetime.fromtimestamp(health.opened_at, UTC) if is_open else None,
        datetime.fromtimestamp(health.probe_at, UTC) if is_open else None,
    )


class Breakers:
    """The breakers in CoordinationTable, one for each provider and endpoint."""

    def __init__(self, rows: Rows, sensitivity: Sensitivity | None = None) -> None:
        self._rows = rows
        self._sensitivity = sensitivity or Sensitivity()

    def ask(self, provider: str, endpoint: str, *, now: datetime) -> Pass:
        """Whether a call may be made now. Raises StoreUnavailable: then none is made."""
        key = key_of(provider, endpoint)
        item, at = look(self._rows, key, now=now)
        health = Health.of(item, at, self._sensitivity)
        if not health.opened_at:
            return Pass(True, quiet=not any(health.failures.values()))
        if at.timestamp() < health.probe_at:
            return _refusal(provider, endpoint, health)

        def decide(item: Item, at: datetime) -> tuple[Item | None, Pass]:
            health = Health.of(item, at, self._sensitivity)
            if not health.opened_at:
                return None, Pass(True)
            if at.timestamp() < health.probe_at:
                return None, _refusal(provider, endpoint, health)
            probe_at = int(at.timestamp()) + self._sensitivity.interval_seconds
            probing = replace(health, probing=True, probe_at=probe_at)
            next_at = datetime.fromtimestamp(probe_at, UTC)
            return probing.item(at), Pass(True, probe=True, retry_at=next_at)

        return change(self._rows, key, decide, now=now).result

    def hand_back(self, provider: str, endpoint: str, given: Pass, *, now: datetime) -> None:
        """The call that was let through is not made: if it was the probe, the next one is it.

        Raises StoreUnavailable: then the next probe goes when its interval has passed.
        """
        if not given.probe or given.retry_at is None:
            return
        own = int(given.retry_at.timestamp())

        def decide(item: Item, at: datetime) -> tuple[Item | None, None]:
            health = Health.of(item, at, self._sensitivity)
            if not health.probing or health.probe_at != own:
                return None, None
            handed_back = replace(health, probing=False, probe_at=int(at.timestamp()))
            return handed_back.item(at), None

        change(self._rows, key_of(provider, endpoint), decide, now=now)

    def record(
        self,
        provider: str,
        endpoint: str,
        given: Pass,
        error: Exception | None,
        *,
        now: datetime,
    ) -> bool:
        """What came of the call that was let through; True where it opened the breaker, or was the
        probe that found it as sick as before.

        A count that can not be stored is lost, never the answer that it is about.
        """
        failed = is_outage(error)
        if given.quiet and not failed:
            return False

        def decide(item: Item, at: datetime) -> tuple[Item | None, bool]:
            health = Health.of(item, at, self._sensitivity)
            if health.opened_at:
                if not given.probe:
                    return None, False
                health = replace(health, probing=False) if failed else Health()
                return health.item(at), failed
            if not failed and not any(health.failures.values()):
                return None, False
            after = health.with_call(at, self._sensitivity, failed=failed)
            return after.item(at), bool(after.opened_at)

        try:
            return change(self._rows, key_of(provider, endpoint), decide, now=now).result
        except StoreUnavailable:
            logger.warning("breaker not told", provider=provider, endpoint=endpoint, failed=failed)
            return False

    def state(self, provider: str, endpoint: str, *, now: datetime) -> State:
        """How it stands."""
        item, at = look(self._rows, key_of(provider, endpoint), now=now)
        return Health.of(item, at, self._sensitivity).state(at)


def is_outage(error: Exception | None) -> bool:
    """Whether the upstream is to blame: it did not answer, or said itself that it can not.

    A refusal, a rate limit or a 404 is the answer of one that is well.
    """
    return isinstance(error, UpstreamTimeout | UpstreamUnavailable)


def key_of(provider: str, endpoint: str) -> Key:
    """Where a breaker's row lies."""
    return Key(f"BREAKER#{provider}", endpoint)


def _bucket(at: datetime, sensitivity: Sensitivity) -> int:
    return int(at.timestamp() * BUCKETS // sensitivity.window_seconds)


def _refusal(provider: str, endpoint: str, health: Health) -> Pass:
    since, probe_at = (
        datetime.fromtimestamp(seconds, UTC) for seconds in (health.opened_at, health.probe_at)
    )
    reason = f"{provider} {endpoint} has failed since {written(since)}; the next probe goes at"
    return Pass(False, f"{reason} {written(probe_at)}", retry_at=probe_at)
