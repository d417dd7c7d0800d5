"""What the queue may use now: of every quota and cap, what is left above a reserve for searches.

Nothing is booked here: the gateway stands before every call as before any other. A look that is out
of date a moment later costs a slot out of reach, never a call too many.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import floor

from marquee import aws
from marquee.clock import written
from marquee.gateway.breaker import Diagnosis, State
from marquee.gateway.quota import APP, Policies, View
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import TOTAL, Budget, read_caps
from marquee.gateway.standing import Standing, standing
from marquee.movies.sources import SOURCES, Source
from marquee.settings import Settings


@dataclass
class _Pot:
    """What is left of a cap above the reserve."""

    budget: Budget
    usd: float

    def pays_for(self, source: str) -> bool:
        return self.budget.cap.scope in (TOTAL, source)


class Leftover:
    """Calls and money that are left, less with every film that is taken."""

    def __init__(
        self,
        sources: Iterable[Source],
        policies: Policies,
        stands: Standing,
        reserve: float,
        now: datetime,
    ) -> None:
        """``reserve``: the share of every quota and cap that is kept for searches, 0..1."""
        quotas = {policy.key: view for policy, view in stands.quotas}
        breakers = dict(stands.breakers)
        self._sources = {source.name: source for source in sources}
        self._pots = [_Pot(budget, _above(budget, reserve)) for budget in stands.budgets]
        self._calls: dict[str, int] = {}
        """A source that is not bounded is absent."""
        self._why: dict[str, str] = {}
        for source in self._sources.values():
            if not source.endpoint:
                continue
            if breaker := breakers.get((source.name, source.endpoint)):
                self._mind_breaker(source.name, breaker, now)
            policy = policies.booked(source.name, source.endpoint)
            if policy and policy.key in quotas:
                self._mind_quota(source.name, quotas[policy.key], reserve)
            if source.usd_per_review and source.name in stands.closed:
                why = f"{source.name} is closed: {stands.closed[source.name]}"
                self._bound(source.name, 0, why)

    def take(self, source: str, max_reviews: int) -> str:
        """Take what collecting one film there needs; else say why that is not left."""
        if self._calls.get(source, 1) < 1:
            return self._why[source]
        known = self._sources.get(source)
        price = known.most_usd(max_reviews) if known else 0.0
        pots = [pot for pot in self._pots if price and pot.pays_for(source)]
        for pot in pots:
            if pot.usd < price:
                cap = pot.budget.cap
                of = "" if cap.scope == TOTAL else f" for {cap.scope}"
                return (
                    f"{source}: the rest of ${cap.usd:.2f} a {cap.period}{of} is kept for searches"
                )
        for pot in pots:
            pot.usd -= price
        if source in self._calls:
            self._calls[source] -= 1
        return ""

    def _mind_breaker(self, source: str, breaker: Diagnosis, now: datetime) -> None:
        if breaker.state is State.CLOSED or breaker.retry_at is None:
            return
        # Once its time has come one call is let through, as a probe.
        calls = int(breaker.retry_at <= now)
        again = written(breaker.retry_at)
        why = f"{source} has failed too often; it is asked again at {again}"
        self._bound(source, calls, why)

    def _mind_quota(self, source: str, quota: View, reserve: float) -> None:
        if quota.waiting:
            self._bound(source, 0, f"{source}: searches wait for its quota")
            return
        kept = floor(quota.calls * reserve)
        why = f"{source}: {quota.used} of {quota.calls} calls in {quota.seconds} s are used"
        self._bound(source, quota.left - kept, f"{why}, {kept} are kept for searches")

    def _bound(self, source: str, calls: int, why: str) -> None:
        if calls < self._calls.get(source, calls + 1):
            self._calls[source], self._why[source] = calls, why


def leftover(settings: Settings, now: datetime) -> Leftover:
    """What is left at this moment; raises StoreUnavailable where that is not known."""
    policies = Policies(settings.quota_policies)
    called = [(source.name, source.endpoint) for source in SOURCES if source.endpoint]
    stands = standing(
        DynamoRows(aws.table(settings.require("gateway_table"))),
        policies,
        read_caps(settings.spend_caps),
        called,
        (APP,),
        now=now,
    )
    return Leftover(SOURCES, policies, stands, settings.backfill_reserve_percent / 100, now)


def _above(budget: Budget, reserve: float) -> float:
    return budget.cap.usd * (1 - reserve) - budget.spent_usd - budget.reserved_usd
