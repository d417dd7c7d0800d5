"""A 402 with many at work: whoever asks after it is known is refused, until an operator reopens."""

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from marquee.errors import BreakerOpen, CreditsDepleted, SpendRefused, StoreUnavailable
from marquee.gateway.admission import Gate
from marquee.gateway.callers import Caller
from marquee.gateway.quota import Policies
from marquee.gateway.spend import TOTAL, Cap, Period, Spend
from tests.support.coordination_table import NetworkRows
from tests.support.virtual_time import VirtualTime

ENDPOINT = ("openai", "responses")
EXECUTIONS = 20
DEPLETED = CreditsDepleted("answered 402", provider="openai", endpoint="responses", status=402)


class Office:
    """Executions that pay for calls again and again, of an upstream whose credits run out."""

    def __init__(self, seed: int, depleted_at: float) -> None:
        self.time, self.random = VirtualTime(), Random(seed)  # noqa: S311  # a reproducible experiment
        self.rows = NetworkRows(self.time, self.random)
        self.gate = Gate(
            self.rows, Policies(), (Cap(TOTAL, Period.DAY, 1000.0),), "test", self.time.now
        )
        self.depleted_at = depleted_at
        self.sent: list[float] = []
        self.refused_402: list[float] = []
        self.known_at = 0.0
        """When the first 402 was written down."""

    def execution(self, name: str, ends: Callable[[], bool]) -> None:
        while not ends():
            self.time.sleep(self.random.uniform(0.1, 2.0))
            try:
                with self.gate.admitted(Caller(name), *ENDPOINT, most_usd=0.01):
                    self.sent.append(self.time.seconds)
                    self.time.sleep(self.random.uniform(0.2, 1.5))
                    if self.time.seconds >= self.depleted_at:
                        self.refused_402.append(self.time.seconds)
                        raise DEPLETED
            except CreditsDepleted:
                self.known_at = self.known_at or self.time.seconds
                return
            except (SpendRefused, BreakerOpen, StoreUnavailable):
                continue


@pytest.mark.parametrize("seed", range(3))
def test_after_the_first_402_each_pays_for_no_more_than_the_call_it_was_in(seed: int) -> None:
    office = Office(seed, depleted_at=20.0)

    def ends() -> bool:
        return office.time.seconds > 60

    for number in range(EXECUTIONS):
        office.time.start(partial(office.execution, f"run-{number}", ends))
    office.time.run()
    assert len(office.sent) > EXECUTIONS
    assert 1 <= len(office.refused_402) <= EXECUTIONS
    assert [at for at in office.sent if at > office.known_at] == []


def test_once_reopened_those_who_were_refused_are_let_through_again() -> None:
    office = Office(seed=7, depleted_at=10.0)

    def mend() -> None:
        office.depleted_at = float("inf")
        assert Spend(office.rows, ()).reopen(ENDPOINT[0], now=office.time.now())

    for number in range(3):
        name = f"run-{number}"
        office.time.start(partial(office.execution, name, lambda: office.time.seconds > 60))
    office.time.start(mend, after=30.0)
    late = partial(office.execution, "late", lambda: office.time.seconds > 60)
    office.time.start(late, after=20.0)
    office.time.run()
    assert office.known_at < 20
    later = [at for at in office.sent if at > office.known_at]
    assert later
    assert min(later) > 30
