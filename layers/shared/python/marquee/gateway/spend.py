"""Money is reserved before a call and settled after it, against caps per day and month.

One row holds what was spent and what is reserved, so that no two executions can spend the same
dollar: together they never pass a cap, as long as no call costs more than was reserved for it.

Whoever dies between the two may have been in the call. Its reservation expires into spent money, in
full: a cap that forgot it could be passed. So a settlement that comes twice, or late, finds nothing
to do. A reservation whose call was never sent is settled at 0.

Days and months are UTC's, by the store's clock. Amounts in the row are whole microdollars.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from marquee.errors import Misconfigured
from marquee.gateway.rows import Item, Key, Rows, change, look

KEY = Key("SPEND", "USD")

TOTAL = "total"
"""Stands for all providers together."""

WARNING_PERCENT = 80
"""Of a cap: whoever reaches it is told once in that day or month."""

WHOLE_PERCENT = 100
"""Likewise whoever is the first to be refused by it."""

RESERVED_FOR = timedelta(minutes=5)
"""Longer than any function runs."""

KEPT_FOR = timedelta(days=400)
"""A row that nothing changes."""

_MICRO = 1_000_000


class Period(StrEnum):
    """What a cap is for."""

    DAY = "day"
    MONTH = "month"

    def name_at(self, at: datetime) -> str:
        """``2026-05-04`` or ``2026-05``."""
        return at.strftime("%Y-%m-%d" if self is Period.DAY else "%Y-%m")

    def end(self, at: datetime) -> datetime:
        """When the next one begins."""
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Period.DAY:
            return midnight + timedelta(days=1)
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True)
class Cap:
    """At most ``usd`` in each period, for a provider or for TOTAL; 0 forbids every paid call."""

    scope: str
    period: Period
    usd: float

    @property
    def micro(self) -> int:
        """In microdollars, rounded down."""
        return int(round(self.usd * _MICRO, 3))


def read_caps(text: str) -> tuple[Cap, ...]:
    """From a setting: ``day=5 month=50 x.day=3 openai.month=10``, in USD.

    Raises Misconfigured naming the part that it can not read.
    """
    return tuple(_cap(part) for part in text.split())


def _cap(part: str) -> Cap:
    name, _, usd = part.partition("=")
    scope, _, period = name.rpartition(".")
    try:
        cap = Cap(scope or TOTAL, Period(period), float(usd))
    except ValueError:
        cap = None
    if cap is None or not 0 <= cap.usd < _MICRO:
        raise Misconfigured(f"cap {part!r}: say [<provider>.]day|month=<USD>")
    return cap


@dataclass(frozen=True)
class Threshold:
    """A cap of which so much is used up now, said once a period for each amount of it."""

    scope: str
    period: str
    """The day or month."""
    cap_usd: float
    used_usd: float
    percent: int = WARNING_PERCENT

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Threshold":
        """As the row holds it."""
        cap, used = facts["cap"] / _MICRO, facts["used"] / _MICRO
        return cls(facts["scope"], facts["period"], cap, used, facts["percent"])


@dataclass(frozen=True)
class Reservation:
    """Whether the call may be paid for; if not, why, and when it may be again where that is known.

    ``opens_at`` is None where an operator has to act.
    """

    granted: bool
    reason: str = ""
    opens_at: datetime | None = None
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True)
class Budget:
    """One cap as people look at it."""

    cap: Cap
    spent_usd: float
    reserved_usd: float
    resets_at: datetime

    @property
    def left_usd(self) -> float:
        """What may still be reserved; a call that cost more than was known leaves 0."""
        return max(0.0, self.cap.usd - self.spent_usd - self.reserved_usd)

    @property
    def share(self) -> float:
        """Of the cap, what is spent or reserved; 1 of a cap of nothing."""
        return (self.spent_usd + self.reserved_usd) / self.cap.usd if self.cap.usd else 1.0


@dataclass(frozen=True)
class Account:
    """What the row holds, and every rule of spending as a pure function."""

    names: Mapping[str, str] = field(default_factory=dict)
    """The current day and month."""
    spent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By period, by provider."""
    reserved: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By holder: provider, micro, expires (epoch seconds)."""
    reached: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The thresholds of the current periods that have been said; ``at``: when."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Providers that an operator has to reopen, and why."""

    @classmethod
    def of(cls, item: Item, at: datetime) -> "Account":
        """The row's content, with dead reservations charged and new periods begun after that."""
        names = ("names", "spent", "reserved", "reached", "closed")
        account = cls(**{name: item[name] for name in names if name in item})
        for holder, held in account.reserved.items():
            if held["expires"] < at.timestamp():
                account = account.settled(holder, held["micro"])
        return account._in_periods_of(at)

    def item(self, at: datetime) -> Item:
        """The row that holds it; one with ``reached_at`` holds what the outbox may have to say."""
        row: dict[str, Any] = {
            "names": dict(self.names),
            "spent": {period: dict(sums) for period, sums in self.spent.items()},
            "reserved": {holder: dict(held) for holder, held in self.reserved.items()},
            "reached": {name: dict(facts) for name, facts in self.reached.items()},
            "closed": dict(self.closed),
            "expires_at": int((at + KEPT_FOR).timestamp()),
        }
        if self.reached:
            row["reached_at"] = max(facts["at"] for facts in self.reached.values())
        return row

    def spent_in(self, cap: Cap) -> int:
        """Microdollars."""
        sums = self.spent.get(cap.period, {})
        return sum(sums.values()) if cap.scope == TOTAL else sums.get(cap.scope, 0)

    def reserved_in(self, cap: Cap) -> int:
        """Microdollars."""
        return sum(
            held["micro"]
            for held in self.reserved.values()
            if cap.scope in (TOTAL, held["provider"])
        )

    def used_in(self, cap: Cap) -> int:
        """Spent or reserved, in microdollars."""
        return self.spent_in(cap) + self.reserved_in(cap)

    def with_reserved(self, holder: str, provider: str, micro: int, at: datetime) -> "Account":
        """The holder may spend so much."""
        expires = int((at + RESERVED_FOR).timestamp())
        held = {"provider": provider, "micro": micro, "expires": expires}
        return replace(self, reserved={**self.reserved, holder: held})

    def settled(self, holder: str, micro: int) -> "Account":
        """The holder's reservation turned into what it spent."""
        provider = self.reserved[holder]["provider"]
        spent = {str(period): dict(self.spent.get(period, {})) for period in Period}
        for sums in spent.values():
            sums[provider] = sums.get(provider, 0) + micro
        left = {name: held for name, held in self.reserved.items() if name != holder}
        return replace(self, spent=spent, reserved=left)

    def with_warnings(
        self, caps: Iterable[Cap], at: datetime
    ) -> tuple["Account", tuple[Threshold, ...]]:
        """The caps nearly used up that have not been said, and the account that knows they are."""
        account, said = self, tuple[Threshold, ...]()
        for cap in caps:
            if self.used_in(cap) >= max(1, cap.micro * WARNING_PERCENT / 100):
                account, more = account.with_reached(cap, WARNING_PERCENT, at)
                said = (*said, *more)
        return account, said

    def with_reached(
        self, cap: Cap, percent: int, at: datetime
    ) -> tuple["Account", tuple[Threshold, ...]]:
        """So much of the cap is used up; nothing more where that has been said.

        A cap that was raised or lowered since is another one.
        """
        name = f"{cap.period} {cap.scope} {percent} {cap.micro}"
        if name in self.reached:
            return self, ()
        facts = {
            "scope": cap.scope,
            "period": self.names[cap.period],
            "cap": cap.micro,
            "used": self.used_in(cap),
            "percent": percent,
            "at": at.isoformat(),
        }
        said = (Threshold.of(facts),)
        return replace(self, reached={**self.reached, name: facts}), said

    def _in_periods_of(self, at: datetime) -> "Account":
        account = self
        for period in Period:
            name = period.name_at(at)
            # Never back: two answers of the table around midnight may come in the wrong order.
            if name > account.names.get(period, ""):
                account = replace(
                    account,
                    names={**account.names, str(period): name},
                    spent={**account.spent, str(period): {}},
                    reached={
                        name: facts
                        for name, facts in account.reached.items()
                        if not name.startswith(f"{period} ")
                    },
                )
        return account


class Spend:
    """The account in CoordinationTable, under its caps.

    A holder is one attempt of one paid call: a retry that followed a death may be charged as well,
    so it reserves anew. Every method raises StoreUnavailable where the table
    does not answer: then no paid call is made.
    """

    def __init__(self, rows: Rows, caps: Iterable[Cap]) -> None:
        self._rows = rows
        self._caps = tuple(caps)

    def reserve(
        self, provider: str, price_usd: float, holder: str, *, now: datetime
    ) -> Reservation:
        """Set aside the most that a call can cost; the same again for a holder that has it.

        What costs nothing is granted without a look.
        """
        micro = _micro(price_usd)
        if micro == 0:
            return Reservation(True)

        def decide(item: Item, at: datetime) -> tuple[Item | None, Reservation]:
            account = Account.of(item, at)
            if reason := account.closed.get(provider):
                return None, Reservation(False, f"{provider} is closed: {reason}")
            held = account.reserved.get(holder)
            if held and held["micro"] >= micro:
                return None, Reservation(True)
            without = account.settled(holder, 0) if held else account
            for cap in self._caps:
                if cap.scope not in (TOTAL, provider):
                    continue
                used = without.used_in(cap)
                if used + micro > cap.micro:
                    account, said = account.with_reached(cap, WHOLE_PERCENT, at)
                    refused = replace(_refused(cap, used, micro, at), thresholds=said)
                    return account.item(at) if said else None, refused
            account = without.with_reserved(holder, provider, micro, at)
            account, thresholds = account.with_warnings(self._caps, at)
            return account.item(at), Reservation(True, thresholds=thresholds)

        return change(self._rows, KEY, decide, now=now).result

    def settle(self, holder: str, actual_usd: float, *, now: datetime) -> tuple[Threshold, ...]:
        """Say what the call cost, 0 where it was never sent; nothing where it is settled already.

        Returns the thresholds that were reached by it, for a call that cost more than was reserved.
        """

        def decide(item: Item, at: datetime) -> tuple[Item | None, tuple[Threshold, ...]]:
            account = Account.of(item, at)
            if holder not in account.reserved:
                return None, ()
            account = account.settled(holder, _micro(actual_usd))
            account, said = account.with_warnings(self._caps, at)
            return account.item(at), said

        return change(self._rows, KEY, decide, now=now).result

    def close(self, provider: str, reason: str, *, now: datetime) -> None:
        """No paid call of the provider until `reopen`: it answered 402."""

        def decide(item: Item, at: datetime) -> tuple[Item | None, None]:
            account = Account.of(item, at)
            if provider in account.closed:
                return None, None
            closed = {**account.closed, provider: reason}
            return replace(account, closed=closed).item(at), None

        change(self._rows, KEY, decide, now=now)

    def reopen(self, provider: str, *, now: datetime) -> bool:
        """An operator has paid; False where it was not closed."""

        def decide(item: Item, at: datetime) -> tuple[Item | None, bool]:
            account = Account.of(item, at)
            if provider not in account.closed:
                return None, False
            closed = {name: why for name, why in account.closed.items() if name != provider}
            return replace(account, closed=closed).item(at), True

        return change(self._rows, KEY, decide, now=now).result

    def budgets(self, *, now: datetime) -> tuple[Budget, ...]:
        """Every cap and what is left of it."""
        item, at = look(self._rows, KEY, now=now)
        return budgets_of(item, self._caps, at)

    def closed(self, *, now: datetime) -> Mapping[str, str]:
        """The providers that are closed, and why."""
        item, at = look(self._rows, KEY, now=now)
        return dict(Account.of(item, at).closed)


def budgets_of(item: Item, caps: Iterable[Cap], at: datetime) -> tuple[Budget, ...]:
    """Every cap and what is left of it, by the account of which ``item`` is the row."""
    account = Account.of(item, at)
    return tuple(
        Budget(
            cap,
            account.spent_in(cap) / _MICRO,
            account.reserved_in(cap) / _MICRO,
            cap.period.end(at),
        )
        for cap in caps
    )


def _refused(cap: Cap, used: int, micro: int, at: datetime) -> Reservation:
    whose = "the total" if cap.scope == TOTAL else cap.scope
    reason = (
        f"{whose} may cost ${cap.usd:.2f} a {cap.period}: ${used / _MICRO:.4f} are spent or "
        f"reserved, and the call needs ${micro / _MICRO:.4f}"
    )
    return Reservation(False, reason, cap.period.end(at))


def _micro(usd: float) -> int:
    """Rounded up: never less than it costs."""
    return max(0, ceil(round(usd * _MICRO, 3)))
