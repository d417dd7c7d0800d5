"""Waiting for a quota: booked slots against a polled token bucket, on the same simulated load."""

from collections.abc import Iterator

from tests.bench.report import Line, at_most
from tests.support.quota_simulation import Outcome, Scene, compare

BURSTS = (50, 200)
"""Executions that begin within a second, on 15 calls in any 60 s."""

STEPS = 2
"""Admission steps of an execution that books and waits: it asks, and asks again at its slot."""


def lines(bursts: tuple[int, ...] = BURSTS) -> Iterator[Line]:
    """What an execution takes until its call is answered; every figure is the average of them."""
    for executions in bursts:
        booking, polling = compare(Scene(executions=executions))
        yield from _lines_of(executions, booking, polling)


def _lines_of(executions: int, booking: Outcome, polling: Outcome) -> Iterator[Line]:
    what = f"{executions} executions on 15 calls / 60 s"
    yield at_most(f"{what}: admission steps, booked", booking.steps, STEPS, "{:.2f}")
    yield Line(f"{what}: admission steps, polled", f"{polling.steps:.1f}")
    yield at_most("  booked against polled", booking.steps / polling.steps, 1, "{:.3f} x")
    yield Line(f"{what}: seconds waited, booked", f"{booking.waited:.0f}")
    yield Line(f"{what}: seconds waited, polled", f"{polling.waited:.0f}")
    yield at_most("  booked against polled", booking.waited / polling.waited, 1, "{:.3f} x")
    yield at_most(f"{what}: answers 429, booked", booking.refused, 0)
    yield Line(f"{what}: answers 429, polled", f"{polling.refused}")
    requests = (booking.reads + booking.writes) / (polling.reads + polling.writes)
    yield at_most(f"{what}: requests to the table, booked against polled", requests, 1, "{:.3f} x")
