"""Quotas are booked, not polled: an execution gets a slot, waits until then, and calls once.

One row per provider, endpoint and credential holds the latest begun calls and the slots of those
who wait, in the order in which they were booked. A slot is the earliest second at which a call fits
among all others; nobody's slot moves back for someone who booked later. What decides is `begin`,
right before the call: it counts the call as sent or refuses it. So a slot is used (begun), given
back, or lapsed (its holder did not come, and can not begin any more): there is no other way.

Time is the store's, in whole seconds. Of the window's length in any stretch of time, at most the
policy's calls arrive, which holds against fixed windows of any phase and against sliding ones.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import ceil, inf
from typing import Any, NamedTuple

from marquee.clock import in_utc
from marquee.errors import Misconfigured
from marquee.gateway.rows import Item, Key, Rows, change, look

MOST_REMEMBERED = 50
"""Begun calls in a row. A policy of more is kept as one of fewer in a shorter window, which implies
it: the same calls an hour, in smaller bursts, and a row of 1 KB however large the limit is."""

MOST_WAITING = 500
"""Slots booked at once, some 50 KB; whoever comes then is refused and may come later."""

MARGIN_SECONDS = 2
"""Between a call and the one a whole quota later, beyond the window: one second because the store's
time has no fractions, one for the way from the store's answer to the upstream."""

PLANNED_MARGIN_SECONDS = 3
"""The same as it is booked: a holder may be a second late before those behind are put off."""

PATIENCE_SECONDS = 30
"""How late a holder may come for its slot; longer than the retries of a throttled table."""

LEAD_SECONDS = 5
"""How long after a scout the others go: even one that starts cold has its answer by then."""

SCOUTING_AFTER_SECONDS = 30
"""After so long without a call, what is left of a quota is not known."""

KEPT_FOR = timedelta(days=2)
"""A row that nothing changes; longer than the longest window."""

CONSERVATIVE = (15, 60)
ELEVATED = (50, 60)
"""Presets, in calls and seconds."""

_PRESETS = {"conservative": CONSERVATIVE, "elevated": ELEVATED}

_QUARTER, _FIVE_MINUTES = 900, 300

REAL_LIMITS: Mapping[str, tuple[int, int]] = {
    "tmdb": (40, 1),
    "x": (300, _QUARTER),
    "x/tweets/search/recent": (300, _QUARTER),
    "x/users/by/username": (300, _QUARTER),
    "x/users/tweets": (900, _QUARTER),
    "x/users/me": (75, _QUARTER),
    "x/tweets": (100, _QUARTER),
    "bluesky": (3000, _FIVE_MINUTES),
    "bluesky/com.atproto.server.createSession": (30, _FIVE_MINUTES),
    "mastodon": (300, _FIVE_MINUTES),
    "openai": (500, 60),
}
"""Calls and seconds by the vendors' documents of 2026: X's per user, the lower where there are two;
TMDB's is soft; OpenAI's is that of the lowest paid tier. A name without an endpoint is for all."""

PROVIDERS = frozenset(name.partition("/")[0] for name in REAL_LIMITS)
"""All there are: a call of another is refused."""

_TELLING = frozenset({"x"})
"""Who says what is left, and may share a credential with other programs: a burst has a scout."""

APP = "app"
"""The credential of searches. An account's own has no bursts, and so no scouts: it posts one tweet
after the other."""

BOOKED = frozenset({"x"})
"""Whose calls are booked without being named in the setting. The limits of the others count by IP
address, of which Lambda has many, or are out of reach: there a booking would cost time and writes
and keep off nothing."""


@dataclass(frozen=True)
class Policy:
    """At most ``calls`` in any ``seconds`` with one credential; raises Misconfigured for nonsense.

    ``credential`` is a name, never the secret. With ``scouting``, the first call after a pause goes
    alone and the others follow when its answer is known.
    """

    provider: str
    endpoint: str
    credential: str
    calls: int
    seconds: int
    scouting: bool = False

    def __post_init__(self) -> None:
        if self.calls < 1 or self.seconds < 1:
            raise Misconfigured(f"the quota of {self.provider}/{self.endpoint} must be above 0")

    @property
    def key(self) -> Key:
        """Where its row lies."""
        return Key(f"QUOTA#{self.provider}", f"{self.endpoint}#{self.credential}")

    @property
    def pace(self) -> tuple[int, int]:
        """The calls and seconds that are enforced: the policy's, or fewer in a shorter window."""
        parts = ceil(self.calls / MOST_REMEMBERED)
        return self.calls // parts, ceil(self.seconds / parts)


class Policies:
    """The policy of every provider and endpoint: the real limits, and what a setting overrides."""

    def __init__(self, text: str = "") -> None:
        """``text``: ``x=conservative tmdb=20/1 x/users/me=75/900``, in calls/seconds.

        A provider's override is for all its endpoints that the text does not name. Raises
        Misconfigured naming the part that it can not read.
        """
        self._given = dict(_override(part) for part in text.split())

    def booked(self, provider: str, endpoint: str, credential: str = APP) -> Policy | None:
        """The policy by which the call is booked; None where it needs no slot."""
        named = {f"{provider}/{endpoint}", provider} & {*self._given}
        return self.of(provider, endpoint, credential) if named or provider in BOOKED else None

    def all_booked(
        self, called: Iterable[tuple[str, str]], credential: str = APP
    ) -> tuple[Policy, ...]:
        """Every policy by which calls are booked, by its name here or by an endpoint ``called``."""
        named = (name.partition("/") for name in (*REAL_LIMITS, *self._given))
        # X limits each endpoint by itself: its name alone is no policy.
        pairs = {(provider, endpoint or "*") for provider, _, endpoint in named}
        pairs = {*pairs, *called} - {("x", "*")}
        policies = (self.booked(*pair, credential) for pair in sorted(pairs))
        return tuple({policy.key: policy for policy in policies if policy}.values())

    def of(self, provider: str, endpoint: str, credential: str = APP) -> Policy:
        """The policy; an unknown provider raises Misconfigured: no limit is ever guessed.

        Endpoints without a limit of their own share that of their provider.
        """
        name = f"{provider}/{endpoint}"
        scouting = provider in _TELLING and credential == APP
        for table in (self._given, REAL_LIMITS):
            if limit := table.get(name):
                return Policy(provider, endpoint, credential, *limit, scouting)
            if limit := table.get(provider):
                # X limits each endpoint by itself, the others all of them together.
                own = name in REAL_LIMITS or provider == "x"
                shared = endpoint if own else "*"
                return Policy(provider, shared, credential, *limit, scouting)
        raise Misconfigured(f"no quota is known for {name}")


def _override(part: str) -> tuple[str, tuple[int, int]]:
    name, _, limit = part.partition("=")
    calls, _, seconds = limit.partition("/")
    if limit in _PRESETS:
        return name, _PRESETS[limit]
    if not (name and calls.isdecimal() and seconds.isdecimal()):
        raise Misconfigured(f"quota {part!r}: say <provider>[/<endpoint>]=<calls>/<seconds>")
    return name, (int(calls), int(seconds))


@dataclass(frozen=True)
class Slot:
    """When a call may be made. Exactly one is true:

    - ``begun``: now, and it counts as made; send it once, at once.
    - ``booked``: at ``at``; wait until then and `begin` again.
    - neither: nothing is booked; it would be at ``at``, further away than was asked for.
    """

    at: datetime
    begun: bool = False
    booked: bool = False
    left_percent: float = field(default=0.0, compare=False)
    """Of the policy's calls, how many may still begin now, with nobody waiting."""


@dataclass(frozen=True)
class View:
    """A quota as people look at it; ``left`` is what may begin now, with nobody waiting."""

    calls: int
    seconds: int
    used: int
    left: int
    waiting: int
    next_at: datetime
    blocked_until: datetime | None


@dataclass(frozen=True)
class Answered:
    """What an upstream's headers say of its quota; None where they do not."""

    limit: int | None
    remaining: int | None
    resets_in: int | None
    """Seconds, by the upstream's own clock where it tells it."""

    @classmethod
    def read(cls, headers: Mapping[str, str], now: datetime) -> "Answered":
        """From headers with names in lower case: X's, Bluesky's, Mastodon's, and Retry-After."""
        values = {
            name: headers.get(f"x-rate-limit-{name}")
            or headers.get(f"ratelimit-{name}")
            or headers.get(f"x-ratelimit-{name}")
            for name in ("limit", "remaining", "reset")
        }
        resets_in = _whole(headers.get("retry-after"))
        if reset := _moment(values["reset"]):
            resets_in = max(
                0, ceil((reset - (_moment(headers.get("date")) or now)).total_seconds())
            )
        return cls(_whole(values["limit"]), _whole(values["remaining"]), resets_in)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 12 else None


def _moment(text: str | None) -> datetime | None:
    """Epoch seconds, an ISO time, or an HTTP date; None for anything else."""
    if not text:
        return None
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC)
        return in_utc(
            datetime.fromisoformat(text) if text[0].isdecimal() else parsedate_to_datetime(text)
        )
    except (ValueError, OverflowError, OSError):
        return None


class Waiting(NamedTuple):
    """A booked slot. Sorts by time, then in the order of booking."""

    at: int
    turn: int
    holder: str


@dataclass(frozen=True)
class Ledger:
    """What a quota's row holds, and every rule of booking as a pure function; times in seconds."""

    calls: int
    seconds: int
    scouting: bool = False
    begun: tuple[int, ...] = ()
    """When the latest ``calls`` began."""
    queue: tuple[Waiting, ...] = ()
    turns: int = 0
    count: int = 0
    """Calls begun, ever."""
    ceiling: int = 0
    """What ``count`` must not pass before ``reset``: someone else uses the quota, or we got 429."""
    reset: int = 0

    @classmethod
    def of(cls, item: Item, policy: Policy) -> "Ledger":
        """The row's content under the policy as it is today."""
        calls, seconds = policy.pace
        calls = min(calls, item.get("limit") or calls)
        return cls(
            calls,
            seconds,
            policy.scouting,
            tuple(item.get("begun", ()))[-calls:],
            tuple(Waiting(*entry) for entry in item.get("queue", ())),
            *(item.get(name, 0) for name in ("turns", "count", "ceiling", "reset")),
        )

    def item(self, now: datetime, limit: int | None) -> Item:
        """The row that holds it."""
        latest = max([int(now.timestamp()), self.reset, *(entry.at for entry in self.queue)])
        return {
            "begun": list(self.begun),
            "queue": [list(entry) for entry in self.queue],
            "turns": self.turns,
            "count": self.count,
            "ceiling": self.ceiling,
            "reset": self.reset,
            "expires_at": latest + int(KEPT_FOR.total_seconds()),
            **({"limit": limit} if limit else {}),
        }

    def of_holder(self, holder: str) -> Waiting | None:
        """The slot that the holder waits for."""
        return next((entry for entry in self.queue if entry.holder == holder), None)

    def without(self, holder: str) -> "Ledger":
        """Its slot is free for whoever books next; those who wait sleep, and keep theirs."""
        return replace(self, queue=tuple(e for e in self.queue if e.holder != holder))

    def without_any_of(self, workflow_id: str) -> "Ledger":
        """The same of every slot that the execution's steps hold."""
        own = f"{workflow_id}/"
        return replace(self, queue=tuple(e for e in self.queue if not e.holder.startswith(own)))

    def without_lapsed(self, now: int) -> "Ledger":
        """Who has not come for its slot will not: it may have been killed."""
        return replace(self, queue=tuple(e for e in self.queue if e.at + PATIENCE_SECONDS >= now))

    def earliest(self, now: int) -> int:
        """The first second from ``now`` on at which one more call fits among all others."""
        taken = sorted([*self.begun, *(entry.at for entry in self.queue)])
        span = self.seconds + PLANNED_MARGIN_SECONDS
        candidates = {now, self._opens, *(at + span for at in taken)}
        if self.scouting:
            candidates |= {at + LEAD_SECONDS for at in taken}
        return next(
            at
            for at in sorted(candidate for candidate in candidates if candidate >= now)
            if self._fits(taken, at, span)
        )

    def booked(self, holder: str, at: int) -> "Ledger":
        """With that slot for the holder, in the place of the one that it has."""
        old = self.of_holder(holder)
        turn = old.turn if old else self.turns
        queue = sorted([*self.without(holder).queue, Waiting(at, turn, holder)])
        return replace(self, queue=tuple(queue), turns=self.turns + (old is None))

    def may_begin_at(self, now: int) -> int:
        """The first second from ``now`` on at which a call may begin, whatever is booked."""
        at = now
        if len(self.begun) >= self.calls:
            at = max(at, self.begun[-self.calls] + self.seconds + MARGIN_SECONDS)
        if at < self._opens and self.count >= self.ceiling:
            at = self._opens
        return at

    def with_begun(self, holder: str, now: int) -> "Ledger":
        """With one more call begun, and whoever does not fit behind it put off."""
        begun = tuple(sorted([*self.begun, now]))[-self.calls :]
        return replace(self.without(holder), begun=begun, count=self.count + 1).put_off(now)

    def moved(self, begun_at: int, now: int) -> "Ledger":
        """A call that was recorded at ``begun_at`` leaves only now."""
        begun = list(self.begun)
        if begun_at in begun:
            begun.remove(begun_at)
        return replace(self, begun=tuple(sorted([*begun, now]))[-self.calls :]).put_off(now)

    def put_off(self, now: int) -> "Ledger":
        """Slots that can not be kept any more moved back, in their order, as little as possible."""
        laid, queue = list(self.begun), list[Waiting]()
        room = self.ceiling - self.count
        for entry in self.queue:
            at = entry.at
            if at < self._opens:
                if room <= 0:
                    # The window that opens then has a scout too.
                    scouted = self.scouting and laid and laid[-1] >= self._opens
                    at = self._opens + (LEAD_SECONDS if scouted else 0)
                room -= 1
            if at > now:  # one that is due is judged when it begins
                at = max(at, queue[-1].at if queue else 0)
                if len(laid) >= self.calls:
                    at = max(at, laid[-self.calls] + self.seconds + MARGIN_SECONDS)
            insort(laid, at)
            queue.append(entry._replace(at=at))
        return replace(self, queue=tuple(sorted(queue)))

    def heard(self, answer: Answered, now: int, *, refused: bool) -> "Ledger":
        """What the upstream says is believed where it leaves less than our own calls explain."""
        resets_at = now + (self.seconds if answer.resets_in is None else answer.resets_in)
        left = 0 if refused else answer.remaining
        if left is None or (answer.resets_in is None and not refused):
            return self
        if not refused and answer.limit is not None:
            since = resets_at - self.seconds - MARGIN_SECONDS - 1
            if answer.limit - left <= len(self.begun) - bisect_left(self.begun, since):
                return self  # nobody but us
        ceiling = self.count + left
        same_window = abs(resets_at - self.reset) <= MARGIN_SECONDS
        if same_window:
            ceiling, resets_at = min(ceiling, self.ceiling), max(resets_at, self.reset)
        elif resets_at < self.reset:
            return self  # an old answer, late
        if not same_window and left >= self.most_until(resets_at - now):
            return self
        return replace(self, ceiling=ceiling, reset=resets_at).put_off(now)

    def used(self, now: int) -> int:
        """Calls begun within the window."""
        return sum(begun > now - self.seconds for begun in self.begun)

    def left(self, now: int) -> int:
        """Calls that may begin now, with nobody waiting."""
        left = self.calls - self.used(now)
        return min(left, max(0, self.ceiling - self.count)) if now <= self.reset else left

    def left_percent(self, now: int) -> float:
        """The same of all calls."""
        return 100 * self.left(now) / self.calls

    def most_until(self, seconds: int) -> int:
        """The most calls that this policy itself lets begin in so many seconds from now."""
        return self.calls * (seconds // self.seconds + 1)

    @property
    def _opens(self) -> int:
        """When a ceiling ends: the reset, which is known to the second, has passed for certain."""
        return self.reset + 1

    def _fits(self, taken: Sequence[int], at: int, span: int) -> bool:
        place = bisect_right(taken, at)
        if place >= self.calls and taken[place - self.calls] + span > at:
            return False
        if at < self._opens:
            before = sum(entry.at < self._opens for entry in self.queue)
            if before >= self.ceiling - self.count:
                return False
        near = [
            *taken[max(0, place - self.calls) : place],
            at,
            *taken[place : place + self.calls],
        ]
        if any(last - first < span for first, last in zip(near, near[self.calls :], strict=False)):
            return False
        return not self.scouting or at >= self._scout_heard(taken, at)

    @staticmethod
    def _scout_heard(taken: Sequence[int], at: int) -> float:
        """When the answer of the scout that went last before ``at`` is known."""
        heard = -inf
        for place in range(bisect_right(taken, at - LEAD_SECONDS), bisect_right(taken, at)):
            if place == 0 or taken[place] - taken[place - 1] > SCOUTING_AFTER_SECONDS:
                heard = taken[place] + LEAD_SECONDS
        return heard


class Quota:
    """The quotas in CoordinationTable.

    A holder is whoever makes one call: the execution's name and the step's, and what tells its
    calls apart where it makes several. Every method raises StoreUnavailable where the table does
    not answer: then no call is made.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def begin(
        self, policy: Policy, holder: str, *, now: datetime, within: timedelta | None = None
    ) -> Slot:
        """Count the holder's call as made if its slot has come; call this last before the call.

        Books where the holder has no slot, so that a free quota costs one write. A slot that has
        begun is gone: who asks again, for a retry, gets another.
        """

        def decide(item: Item, at: datetime) -> tuple[Item | None, Slot]:
            ledger, tick = _opened(item, policy, at)
            own = ledger.of_holder(holder)
            found = max(own.at, tick) if own else _found(ledger, holder, tick)
            if found == tick:
                found = ledger.may_begin_at(tick)
            if found == tick:
                ledger = ledger.with_begun(holder, tick)
                slot = _slot(tick, ledger.left_percent(tick), begun=True)
                return _stored(ledger, item, at), slot
            left = ledger.left_percent(tick)
            if own and own.at == found:
                return None, _slot(found, left, booked=True)
            if not own and _too_far(found, tick, within, ledger):
                return None, _slot(found, left)
            ledger = ledger.booked(holder, found).put_off(tick)
            after = ledger.of_holder(holder)
            return _stored(ledger, item, at), _slot(after.at if after else found, left, booked=True)

        changed = change(self._rows, policy.key, decide, now=now)
        slot = changed.result
        # A write may take long; what counts for the window is when the call leaves, after it.
        while slot.begun and _tick(changed.at) > _tick(slot.at):
            changed = self._moved(policy, slot, now=now)
            slot = changed.result
        return slot

    def _moved(self, policy: Policy, slot: Slot, *, now: datetime) -> Any:
        def decide(item: Item, at: datetime) -> tuple[Item | None, Slot]:
            ledger, tick = _opened(item, policy, at)
            moved = ledger.moved(_tick(slot.at), tick)
            return _stored(moved, item, at), _slot(tick, slot.left_percent, begun=True)

        return change(self._rows, policy.key, decide, now=now)

    def give_back(self, policy: Policy, holder: str, *, now: datetime) -> None:
        """Free a slot that the holder will not use; nothing where it has none, or has begun.

        Whoever books next gets it; those who wait keep theirs.
        """
        self._free(policy, lambda ledger: ledger.without(holder), now)

    def give_back_all(self, policy: Policy, workflow_id: str, *, now: datetime) -> None:
        """The same for every slot that the steps of an execution hold, which has ended."""
        self._free(policy, lambda ledger: ledger.without_any_of(workflow_id), now)

    def _free(self, policy: Policy, freed: Callable[[Ledger], Ledger], now: datetime) -> None:
        def decide(item: Item, at: datetime) -> tuple[Item | None, None]:
            ledger, _ = _opened(item, policy, at)
            after = freed(ledger)
            return (None if after == ledger else _stored(after, item, at)), None

        change(self._rows, policy.key, decide, now=now)

    def used(
        self,
        policy: Policy,
        headers: Mapping[str, str],
        *,
        now: datetime,
        refused: bool = False,
    ) -> None:
        """Learn from the headers of an answer, names in lower case; ``refused``: it was a 429.

        Writes only where someone else uses the quota too, or after a 429: then all wait until the
        reset. Touches the table only where there is something to compare.
        """
        answer = Answered.read(headers, now)
        calls, seconds = policy.pace
        if not refused:
            if answer.remaining is None or answer.resets_in is None:
                return
            low = answer.limit is not None and answer.limit < calls
            if not low and answer.remaining >= Ledger(calls, seconds).most_until(answer.resets_in):
                return

        def decide(item: Item, at: datetime) -> tuple[Item | None, None]:
            before = Ledger.of(item, policy)
            after = before.heard(Answered.read(headers, at), _tick(at), refused=refused)
            limit = item.get("limit")
            if answer.limit and answer.limit != limit and (limit or answer.limit < calls):
                limit = answer.limit
            if after == before and limit == item.get("limit"):
                return None, None
            return after.item(at, limit), None

        change(self._rows, policy.key, decide, now=now)

    def view(self, policy: Policy, *, now: datetime) -> View:
        """How the quota stands."""
        item, at = look(self._rows, policy.key, now=now)
        return viewed(item, policy, at)


def viewed(item: Item, policy: Policy, at: datetime) -> View:
    """The quota of which ``item`` is the row, empty where there is none."""
    ledger, tick = _opened(item, policy, at)
    left = ledger.left(tick)
    return View(
        ledger.calls,
        ledger.seconds,
        ledger.used(tick),
        left,
        len(ledger.queue),
        _moment_of(ledger.earliest(tick)),
        _moment_of(ledger.reset) if tick <= ledger.reset and left == 0 else None,
    )


def _opened(item: Item, policy: Policy, at: datetime) -> tuple[Ledger, int]:
    ledger, tick = Ledger.of(item, policy), _tick(at)
    # Never back: a table's answers may come from hosts whose clocks differ by a little.
    tick = max(tick, *ledger.begun[-1:]) if ledger.begun else tick
    return ledger.without_lapsed(tick), tick


def _found(ledger: Ledger, holder: str, tick: int) -> int:
    return ledger.without(holder).earliest(tick)


def _too_far(found: int, tick: int, within: timedelta | None, ledger: Ledger) -> bool:
    full = found > tick and len(ledger.queue) >= MOST_WAITING
    return full or (within is not None and found - tick > within.total_seconds())


def _stored(ledger: Ledger, item: Item, at: datetime) -> Item:
    return ledger.item(at, item.get("limit"))


def _tick(at: datetime) -> int:
    return int(at.timestamp())


def _moment_of(tick: int) -> datetime:
    return datetime.fromtimestamp(tick, UTC)


def _slot(tick: int, left_percent: float, *, begun: bool = False, booked: bool = False) -> Slot:
    return Slot(_moment_of(tick), begun, booked, left_percent)
