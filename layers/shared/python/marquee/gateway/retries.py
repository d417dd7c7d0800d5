"""Whether a call that failed is made again, and when: by how long such faults have lasted of late.

For every kind of fault (a provider, an error and its status) a row of GatewayTable holds a
histogram: how many of the latest faults were over after so many seconds. Who retried, and got
through or gave up, counts its fault there. Nobody sees the moment at which a fault ends, only a
span in which it did, from the last retry that failed to the one that got through: the count is
spread over that span in the proportions of what is known already (Efron's redistribution to the
right; one round of Turnbull's estimator for censored times).

From it follows how likely a retry after a wait is to get through, given what the fault has
outlasted already. Of all waits the one is taken that costs least for each retry that gets through;
where hardly any would, none. What an upstream itself says (Retry-After, the reset of a quota) is
believed instead. The state machine waits; nothing here does.

Nothing is read or written for a call that succeeds at once. A failed one costs a read, and a fault
that was retried a read and a write when its step is done with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from math import inf
from random import random

from pydantic import BaseModel, ConfigDict

from marquee import aws
from marquee.clock import Moment, written
from marquee.errors import RateLimited, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from marquee.gateway.quota import Policies
from marquee.gateway.rows import DynamoRows, Item, Key, Rows, change, look
from marquee.settings import Settings

MOST_RETRIES = 3
FIRST_DELAY_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 8.0
"""What the definitions' own Retry blocks say, which a test holds equal."""

LONGEST_TOLD = timedelta(seconds=14)
"""How long after its first failure a call is put off because the upstream says so: as long as the
three delays of a definition together."""

EDGES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 14.0)
"""The histogram's; what lasts longer is one column more."""

DELAYS_SECONDS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, LONGEST_DELAY_SECONDS)
"""What there is to choose from: a Wait state knows whole seconds only."""

SPREAD = 0.5
"""Share of a delay that is drawn, so that those who failed together do not come back together. Full
jitter, as in the definitions, would draw the whole of it; but then much of what was learned is lost
again (tests/support/fault_traces.py compares them)."""

KNOWN_FROM = 2.5
"""Faults in the histogram from which on it is believed: three, of which the oldest count less."""

MEMORY = 20.0
"""Faults that it holds at most; each new one makes the older ones count less."""

HALF_LIFE = timedelta(hours=6)
"""After which a fault counts half: what was so yesterday may be otherwise."""

DOUBT = 0.5
"""Faults that we pretend to have seen, half of them long ones: nothing is ever certain."""

TICK_SECONDS = 0.001
"""The least that lies between two moments."""

CALL_SECONDS = 3.0
"""What a call that is made in vain costs, in seconds that one would rather wait."""

HARDLY_ANY = 0.15
"""Chance below which a retry is not made."""

STILL_TRIED = 0.1
"""Share of the faults that look hopeless and are retried once all the same: who never looks does
not see that they have become short again."""

NEVER = 1e-9
"""Stands for a chance of none where one is divided by it."""

KEPT_FOR = timedelta(days=7)
"""A row that nothing changes."""

RETRIED = (UpstreamTimeout, UpstreamUnavailable, RateLimited)
"""What an upstream may have got over a few seconds later."""


class Fault(BaseModel):
    """What the attempts of a step have met so far; it goes from one to the next in their record."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    provider: str
    kind: str
    """The error's class, and the status of the answer where there was one."""
    since: Moment
    """When the first of them failed."""
    outlasted: float = 0.0
    """Seconds after that at which the last one began that failed too; 0: nobody has retried."""
    told: bool = False
    """The upstream itself said how long: there is nothing to learn."""

    def age(self, at: datetime) -> float:
        """Seconds, at least those of a retry at once; never fewer than before: clocks differ."""
        return max(self.outlasted, EDGES_SECONDS[0], (at - self.since).total_seconds())


class Do(StrEnum):
    """What becomes of a call that failed."""

    RETRY = "retry"
    GIVE_UP = "give up"
    AS_DEFINED = "as defined"
    """The definition's own Retry knows as much."""


@dataclass(frozen=True)
class Verdict:
    """What to do and why; ``at`` is when to retry, in whole seconds."""

    do: Do
    reason: str
    at: datetime | None = None


@dataclass(frozen=True)
class Lasting:
    """How long the latest faults of a kind lasted: how many of them, by EDGES_SECONDS."""

    faults: tuple[float, ...] = (0.0,) * (len(EDGES_SECONDS) + 1)

    @classmethod
    def of(cls, item: Item, at: datetime) -> "Lasting":
        """A row's content, by now."""
        if not item:
            return cls()
        passed = max(0.0, at.timestamp() - item["at"])
        left = 0.5 ** (passed / HALF_LIFE.total_seconds())
        return cls(tuple(left * float(count) for count in item["faults"]))

    def item(self, at: datetime) -> Item:
        """The row that holds it."""
        return {
            "faults": [str(round(count, 4)) for count in self.faults],
            "at": int(at.timestamp()),
            "expires_at": int((at + KEPT_FOR).timestamp()),
        }

    @property
    def known(self) -> float:
        """Faults that it counts."""
        return sum(self.faults)

    def chance(self, outlasted: float, over_by: float) -> float:
        """The share of those that outlasted so many seconds that were over by a later one."""
        return self._between(outlasted, over_by) / self._between(outlasted, inf)

    def with_fault(self, outlasted: float, over_by: float) -> "Lasting":
        """With one more that ended between; ``over_by`` infinite: nobody saw its end.

        Two moments that our clock does not tell apart are a TICK_SECONDS apart.
        """
        over_by = max(over_by, outlasted + TICK_SECONDS)
        over_by = over_by if over_by <= EDGES_SECONDS[-1] else inf
        kept = min(1.0, (MEMORY - 1) / self.known) if self.known else 1.0
        whole = self._between(outlasted, over_by)
        return Lasting(
            tuple(
                kept * count + self._of_column(column, outlasted, over_by) / whole
                for column, count in enumerate(self.faults)
            )
        )

    def _between(self, low: float, high: float) -> float:
        return sum(self._of_column(column, low, high) for column in range(len(self.faults)))

    def _of_column(self, column: int, low: float, high: float) -> float:
        """How many of a column's faults, and of those that we pretend, ended in that span."""
        begins, ends = _COLUMNS[column]
        if ends == inf:
            share = float(high == inf)
        else:
            share = max(0.0, min(high, ends) - max(low, begins)) / (ends - begins)
        return share * (self.faults[column] + _DOUBTS[column])


_COLUMNS = tuple(pairwise((0.0, *EDGES_SECONDS, inf)))
_DOUBTS = (*(DOUBT / 2 / len(EDGES_SECONDS) for _ in EDGES_SECONDS), DOUBT / 2)


@dataclass(frozen=True)
class Retries:
    """The rows, and what is decided by them.

    Both methods raise StoreUnavailable where the table does not answer.
    """

    rows: Rows
    policies: Policies
    draw: Callable[[], float] = random
    """From 0 up to 1."""

    @classmethod
    def connect(cls, given: Settings) -> "Retries":
        """Those of an installation."""
        rows = DynamoRows(aws.table(given.require("gateway_table")))
        return cls(rows, Policies(given.quota_policies))

    def decide(self, error: UpstreamError, fault: Fault, attempt: int, *, now: datetime) -> Verdict:
        """What becomes of the step whose ``attempt`` (from 1) failed just now."""
        if attempt > MOST_RETRIES:
            return Verdict(Do.GIVE_UP, f"it has failed {attempt} times")
        if isinstance(error, RateLimited) and self.policies.booked(error.provider, error.endpoint):
            return Verdict(Do.AS_DEFINED, "the quota is booked, and knows until when")
        if error.retry_at:
            if error.retry_at > fault.since + LONGEST_TOLD:
                return Verdict(Do.GIVE_UP, f"not before {written(error.retry_at)}, it says")
            # All who are told the same would come at once.
            spread = timedelta(seconds=self.draw())
            at = _whole_second(error.retry_at + spread, up=True)
            return Verdict(Do.RETRY, "the upstream says when", at)
        item, at = look(self.rows, _key(fault), now=now)
        lasting = Lasting.of(item, at)
        if lasting.known < KNOWN_FROM:
            return Verdict(Do.AS_DEFINED, "such faults are not known yet")
        delay, chance = _best(lasting, fault, now)
        if chance < HARDLY_ANY and (attempt > 1 or self.draw() >= STILL_TRIED):
            return Verdict(Do.GIVE_UP, f"{chance:.0%} of such faults are over within seconds")
        reason = f"{chance:.0%} of such faults are over within {delay:g} s more"
        drawn = now + timedelta(seconds=delay * (1 - SPREAD * self.draw()))
        latest = _whole_second(now + timedelta(seconds=LONGEST_DELAY_SECONDS - 0.5))
        return Verdict(Do.RETRY, reason, min(_whole_second(drawn), latest))

    def learn(self, fault: Fault, over_by: float, *, now: datetime) -> None:
        """Count a fault that was retried: over after so many seconds; infinite: not to our eyes."""
        if fault.told or (over_by == inf and not fault.outlasted):
            return

        def decide(item: Item, at: datetime) -> tuple[Item, None]:
            return Lasting.of(item, at).with_fault(fault.outlasted, over_by).item(at), None

        change(self.rows, _key(fault), decide, now=now)


def met(error: UpstreamError, before: Fault | None, *, began: datetime, now: datetime) -> Fault:
    """The fault that an attempt has met: the one of the attempt before it, or a new one."""
    kind = f"{type(error).__name__}/{error.status}" if error.status else type(error).__name__
    told = error.retry_at is not None
    if before and (before.provider, before.kind) == (error.provider, kind):
        return before.model_copy(
            update={"outlasted": before.age(began), "told": before.told or told}
        )
    return Fault(provider=error.provider, kind=kind, since=now, told=told)


def _best(lasting: Lasting, fault: Fault, at: datetime) -> tuple[float, float]:
    """The delay that costs least for each retry that gets through, and the chance of one."""

    def chance(delay: float) -> float:
        return lasting.chance(fault.outlasted, fault.age(at + _on_average(delay)))

    def price(delay: float) -> float:
        spent = _on_average(delay).total_seconds() + CALL_SECONDS
        return spent / (chance(delay) or NEVER)

    best = min(DELAYS_SECONDS, key=price)
    return best, chance(best)


def _on_average(delay: float) -> timedelta:
    """As it is drawn."""
    return timedelta(seconds=delay * (1 - SPREAD / 2))


def _whole_second(moment: datetime, *, up: bool = False) -> datetime:
    """The nearest, or the next: a Wait state takes no account of fractions."""
    whole = timedelta(seconds=1, microseconds=-1) if up else timedelta(milliseconds=500)
    return (moment + whole).replace(microsecond=0)


def _key(fault: Fault) -> Key:
    return Key(f"RETRY#{fault.provider}", fault.kind)
