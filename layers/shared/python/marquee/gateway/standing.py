"""How quotas, money and breakers stand now, for people: every row at once, by its exact key.

Which rows there are follows from what was called: a breaker's row is written by a call and lives
for a day, so whoever knows the calls of a day (the counters by the hour do) knows all breakers. A
quota's row has the name of a policy, and that of a credential.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from marquee.gateway.breaker import Diagnosis, diagnosed, key_of
from marquee.gateway.quota import Policies, Policy, View, viewed
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import KEY, Account, Budget, Cap, budgets_of

type Called = Collection[tuple[str, str]]
"""Provider and endpoint."""


@dataclass(frozen=True)
class Standing:
    """What the gateway lets through, and why not more."""

    quotas: tuple[tuple[Policy, View], ...]
    """One that nobody used for two days stands there once, under the first credential."""
    budgets: tuple[Budget, ...]
    closed: Mapping[str, str]
    """The providers that an operator has to reopen, and why."""
    breakers: tuple[tuple[tuple[str, str], Diagnosis], ...]


def standing(
    rows: DynamoRows,
    policies: Policies,
    caps: tuple[Cap, ...],
    called: Called,
    credentials: tuple[str, ...],
    *,
    now: datetime,
) -> Standing:
    """How everything stands, from one read of as many rows as there are policies and endpoints.

    ``called`` is what was called within a day, ``credentials`` are the names that calls are booked
    under. Raises StoreUnavailable.
    """
    booked = {name: policies.all_booked(called, name) for name in credentials}
    all_policies = [policy for some in booked.values() for policy in some]
    breakers = {pair: key_of(*pair) for pair in sorted(called)}
    found = rows.at_once([KEY, *(policy.key for policy in all_policies), *breakers.values()])
    used = [policy for policy in all_policies if policy.key in found]
    names = {(policy.provider, policy.endpoint) for policy in used}
    unused = [one for one in booked[credentials[0]] if (one.provider, one.endpoint) not in names]
    money = found.get(KEY, {})
    return Standing(
        tuple((policy, viewed(found.get(policy.key, {}), policy, now)) for policy in used + unused),
        budgets_of(money, caps, now),
        dict(Account.of(money, now).closed),
        tuple((pair, diagnosed(found.get(key, {}), now)) for pair, key in breakers.items()),
    )
