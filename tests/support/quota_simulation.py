"""Executions that share a quota, in virtual time: booked slots beside a polled token bucket.

The upstream is the judge: it counts what arrives in fixed windows of any phase and in every sliding
window, and answers 429 when either is full.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from random import Random
from typing import Any

from marquee.errors import StoreUnavailable
from marquee.gateway.quota import Policy, Quota, Slot
from marquee.gateway.rows import Item, change
from tests.support.coordination_table import NetworkRows
from tests.support.virtual_time import START, VirtualTime

BOUNDED_RETRIES = (2.0, 4.0, 8.0)
"""The retry block of the definitions: 2, 4, 8 s with full jitter, then the step fails."""


@dataclass(frozen=True)
class Scene:
    """What is simulated; fractions are of executions or requests, times in seconds."""

    executions: int = 50
    calls: int = 15
    seconds: int = 60
    arriving_within: float = 1.0
    phase: float = 0.0
    clock_error: float = 0.0
    """Every function's clock is off by up to so much, either way, and so is the upstream's."""
    timer_error: float = 0.0
    """The same of the clock by which executions wait."""
    killed: float = 0.0
    giving_back: float = 0.0
    eaten: int = 0
    """Calls of another program in every fixed window."""
    throttled: float = 0.0
    lost: float = 0.0
    seed: int = 1


@dataclass
class Execution:
    """What became of one."""

    name: str
    booked_at: float | None = None
    turn: float = 0
    slots: list[float] = field(default_factory=list)
    called_at: float | None = None
    arrived_at: float | None = None
    steps: int = 0
    """Invocations before the call, and the polls among them."""
    refused: int = 0
    end: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the upstream saw, and what it cost the executions."""

    scene: Scene
    executions: tuple[Execution, ...]
    arrivals: tuple[float, ...]
    """Ours that were answered, in order."""
    refused: int
    most_in_a_window: int
    """The most of ours in any stretch of the window's length."""
    writes: int
    reads: int

    @property
    def quota_used(self) -> float:
        """The share of the quota given out while anyone waited, over whole quotas.

        The slot of one that was killed is given out, and lapses.
        """
        slots = sorted(e.slots[-1] for e in self.executions if e.slots and e.end != "gave back")
        whole = (len(slots) - 1) // self.scene.calls
        took = slots[whole * self.scene.calls] - slots[0]
        return whole * self.scene.seconds / took if took else 1.0

    @property
    def overtaken(self) -> int:
        """Pairs in which the one that booked later was given the earlier slot."""
        slots = [e.slots[-1] for e in sorted(self.executions, key=lambda e: e.turn) if e.slots]
        return sum(
            later < earlier - 0.5
            for place, earlier in enumerate(slots)
            for later in slots[place + 1 :]
        )

    @property
    def used_of_what_was_left(self) -> list[int]:
        """Of ours, by the upstream's own window, for as long as anyone waited."""
        scene = self.scene
        windows = [int((at - scene.phase) // scene.seconds) for at in self.arrivals]
        return [windows.count(window) for window in range(windows[0] + 1, windows[-1])]

    @property
    def steps(self) -> float:
        """Admission steps of an execution, on average."""
        return sum(e.steps for e in self.executions) / len(self.executions)

    @property
    def most_steps(self) -> int:
        """Of the unluckiest."""
        return max(e.steps for e in self.executions)

    @property
    def waited(self) -> float:
        """Seconds from the start to the call that was answered, on average."""
        waits = [
            e.called_at - e.booked_at
            for e in self.executions
            if e.called_at is not None and e.booked_at is not None
        ]
        return sum(waits) / len(waits)

    def ended(self, end: str) -> int:
        """How many ended so."""
        return sum(e.end == end for e in self.executions)


class Upstream:
    """A limiter that is stricter than any real one: fixed windows and sliding ones at once."""

    def __init__(self, time: VirtualTime, scene: Scene, random: Random) -> None:
        self._time, self._scene = time, scene
        self._skew = random.uniform(-1, 1) * scene.clock_error
        self._fixed: dict[int, int] = {}
        self.ours: list[float] = []
        self.refused = 0

    def answer(self, *, ours: bool = True) -> tuple[int, Mapping[str, str]]:
        """The status and headers that a call gets which arrives now."""
        now, scene = self._time.seconds, self._scene
        window = int((now - scene.phase) // scene.seconds)
        used = self._fixed.get(window, 0)
        recent = len(self.ours) - bisect_left(self.ours, now - scene.seconds + 1e-9)
        allowed = used < scene.calls and (not ours or recent < scene.calls)
        if allowed:
            used += 1
            self._fixed[window] = used
        if ours:
            if allowed:
                self.ours.append(now)
            else:
                self.refused += 1
        reset = START.timestamp() + (window + 1) * scene.seconds + scene.phase + self._skew
        return 200 if allowed else 429, {
            "date": format_datetime(self._time.now(self._skew), usegmt=True),
            "x-rate-limit-limit": str(scene.calls),
            "x-rate-limit-remaining": str(scene.calls - used),
            "x-rate-limit-reset": str(int(reset)),
        }


class Simulation:
    """One scene on one virtual clock."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.random = Random(scene.seed)  # noqa: S311  # a reproducible experiment
        self.time = VirtualTime()
        self.upstream = Upstream(self.time, scene, self.random)
        self.rows = NetworkRows(self.time, self.random, throttled=scene.throttled, lost=scene.lost)
        self.policy = Policy("x", "search", "app", scene.calls, scene.seconds, scouting=True)
        self.executions = [Execution(f"run-{number}") for number in range(scene.executions)]
        self._turns = 0

    def run(self, admit: Callable[["Simulation", Execution], None]) -> Outcome:
        """Every execution through ``admit``, and what came of it."""
        for execution in self.executions:
            self.time.start(
                partial(admit, self, execution),
                after=self.random.uniform(0, self.scene.arriving_within),
            )
        if self.scene.eaten:
            self.time.start(self._eat)
        self.time.run()
        arrivals = tuple(sorted(self.upstream.ours))
        return Outcome(
            self.scene,
            tuple(self.executions),
            arrivals,
            self.upstream.refused,
            _most_within(arrivals, self.scene.seconds),
            self.rows.writes,
            self.rows.reads,
        )

    def local(self) -> datetime:
        """What the clock of the next function shows."""
        return self.time.now(self.random.uniform(-1, 1) * self.scene.clock_error)

    def invoked(self, execution: Execution) -> None:
        """One more function: warm most of the time."""
        execution.steps += 1
        cold = self.random.random() < 0.05
        self.time.sleep(self.random.uniform(0.4, 1.6) if cold else self.random.uniform(0.01, 0.08))

    def retried[T](self, execution: Execution, attempt: Callable[[], T]) -> T | None:
        """As a state's Retry does it; None where its attempts are used up."""
        for delay in (*BOUNDED_RETRIES, None):
            self.invoked(execution)
            try:
                return attempt()
            except StoreUnavailable:
                if delay is not None:
                    self.time.sleep(self.random.uniform(0, delay))
        execution.end = "failed"
        return None

    def wait_until(self, moment: datetime) -> None:
        """A Wait state: punctual to some tenths of a second, by the service's own clock."""
        error = self.random.uniform(-1, 1) * self.scene.timer_error
        self.time.sleep(self.time.seconds_until(moment) + error + self.random.uniform(0, 0.3))

    def call(self, execution: Execution) -> tuple[int, Mapping[str, str]]:
        """To the upstream and back."""
        self.time.sleep(self.random.uniform(0.03, 0.6))
        execution.arrived_at = self.time.seconds
        status, headers = self.upstream.answer()
        self.time.sleep(self.random.uniform(0.03, 0.6))
        if status == 429:
            execution.refused += 1
        else:
            execution.called_at, execution.end = execution.arrived_at, "called"
        return status, headers

    def note(self, execution: Execution, slot: Slot) -> None:
        """A slot as the execution was told it; one that begins late has been told before."""
        if slot.begun and execution.slots:
            return
        row = self.rows.rows[self.policy.key]
        begun_behind = row.get("turns", 0) - 0.5  # all that have booked so far
        turns = (entry[1] for entry in row.get("queue", ()) if entry[2] == execution.name)
        execution.turn = next(turns, begun_behind)
        at = (slot.at - START).total_seconds()
        if not execution.slots or execution.slots[-1] != at:
            execution.slots.append(at)

    def turn(self) -> int:
        """The place of one that asks now."""
        self._turns += 1
        return self._turns

    def _eat(self) -> None:
        """Another program: some calls at the beginning of every window, while we are there."""
        scene = self.scene
        self.time.sleep((scene.phase % scene.seconds) + 0.01)
        while any(not execution.end for execution in self.executions):
            for _ in range(scene.eaten):
                self.upstream.answer(ours=False)
            self.time.sleep(scene.seconds)


def booked(simulation: Simulation, execution: Execution) -> None:
    """An execution that asks, waits until its slot, asks again and calls, as a state machine does.

    Those that are killed or give back do so while they wait.
    """
    quota, policy, scene = Quota(simulation.rows), simulation.policy, simulation.scene
    execution.booked_at = simulation.time.seconds
    killed = simulation.random.random() < scene.killed
    giving_back = simulation.random.random() < scene.giving_back
    name = execution.name

    def begin() -> Slot:
        return quota.begin(policy, name, now=simulation.local())

    slot = simulation.retried(execution, begin)
    while slot:
        simulation.note(execution, slot)
        if slot.begun:
            status, headers = simulation.call(execution)
            with suppress(StoreUnavailable):  # nobody calls again for what could not be learned
                quota.used(policy, headers, now=simulation.local(), refused=status == 429)
            if status == 200:
                return
        elif killed:
            execution.end = "killed"
            return
        elif giving_back:
            wait = simulation.time.seconds_until(slot.at)
            simulation.time.sleep(simulation.random.uniform(0, max(0.0, wait)))
            simulation.retried(
                execution, lambda: quota.give_back(policy, name, now=simulation.local())
            )
            execution.end = "gave back"
            return
        else:
            simulation.wait_until(slot.at)
        slot = simulation.retried(execution, begin)


POLL_SECONDS = 4.0
"""A quarter of the quota's own rate: fast enough to use it, slow enough to be affordable."""


def polled(simulation: Simulation, execution: Execution) -> None:
    """The same with a token bucket in the same table, asked again until it has a token."""
    scene = simulation.scene
    execution.booked_at = simulation.time.seconds
    execution.turn = simulation.turn()

    def take(item: Item, at: datetime) -> tuple[Item | None, bool]:
        now = at.timestamp()
        rate = scene.calls / scene.seconds
        tokens = min(
            float(scene.calls),
            item.get("tokens", float(scene.calls)) + (now - item.get("at", now)) * rate,
        )
        if tokens < 1:
            return None, False
        return {"tokens": tokens - 1, "at": now}, True

    while True:
        taken: Any = simulation.retried(
            execution,
            lambda: (
                change(simulation.rows, simulation.policy.key, take, now=simulation.local()).result
            ),
        )
        if taken is None:
            return
        if taken:
            if not execution.slots:
                simulation.note(execution, Slot(simulation.time.now()))
            if simulation.call(execution)[0] == 200:
                execution.slots[-1] = execution.called_at or 0.0
                return
        elif not execution.turn:
            simulation._turns += 1
            execution.turn = simulation._turns
        simulation.time.sleep(simulation.random.uniform(0.5, 1.0) * POLL_SECONDS)


def compare(scene: Scene) -> tuple[Outcome, Outcome]:
    """The same load, booked and polled."""
    return Simulation(scene).run(booked), Simulation(scene).run(polled)


def _most_within(times: tuple[float, ...], seconds: float) -> int:
    """The most in any stretch ``[t, t + seconds)``."""
    return max(
        (place - bisect_left(times, time - seconds + 1e-9) + 1 for place, time in enumerate(times)),
        default=0,
    )
