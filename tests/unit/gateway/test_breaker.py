"""A breaker opens by the share of failures, probes once an interval, and closes by a probe."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from marquee.errors import (
    CreditsDepleted,
    Misconfigured,
    RateLimited,
    StoreUnavailable,
    UpstreamNotFound,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.breaker import Breakers, Pass, Sensitivity, State, is_outage
from marquee.gateway.rows import DynamoRows, Key, Read
from tests.support.coordination_table import (
    MemoryRows,
    NetworkRows,
    RacingRows,
    create_coordination_table,
)
from tests.support.virtual_time import START, VirtualTime

DOWN = UpstreamUnavailable("answered 503", provider="x", endpoint="search")
INTERVAL = Sensitivity().interval_seconds


class Ward:
    """One breaker on a table in a dictionary."""

    def __init__(self, rows: MemoryRows | None = None) -> None:
        self.rows = rows or MemoryRows()
        self.breakers = Breakers(self.rows)

    def ask(self) -> Pass:
        return self.breakers.ask("x", "search", now=self.rows.at)

    def record(self, given: Pass, error: Exception | None = None) -> bool:
        return self.breakers.record("x", "search", given, error, now=self.rows.at)

    def hand_back(self, given: Pass) -> None:
        self.breakers.hand_back("x", "search", given, now=self.rows.at)

    def call(self, error: Exception | None = None) -> bool:
        """One call with that outcome; whether the breaker is open because of it."""
        given = self.ask()
        assert given.allowed
        return self.record(given, error)

    def state(self) -> State:
        return self.breakers.state("x", "search", now=self.rows.at)


def an_open_one() -> Ward:
    ward = Ward()
    assert [ward.call(DOWN) for _ in range(5)] == [False] * 4 + [True]
    return ward


def test_an_upstream_that_is_well_costs_one_read_a_call() -> None:
    ward = Ward()
    for _ in range(20):
        ward.call()
    assert (ward.rows.reads, ward.rows.writes) == (20, 0)


def test_it_opens_at_the_share_of_failures_and_not_before() -> None:
    ward = Ward()
    outcomes = [DOWN, None, None, None, DOWN, DOWN]
    assert [ward.call(error) for error in outcomes] == [False] * 5 + [True]
    assert ward.state() is State.OPEN


def test_too_few_calls_open_nothing() -> None:
    ward = Ward()
    for _ in range(4):
        assert not ward.call(DOWN)
    assert ward.state() is State.CLOSED


def test_failures_leave_the_window_and_successes_are_free_again() -> None:
    ward = Ward()
    for _ in range(4):
        ward.call(DOWN)
    ward.rows.later(61)
    writes = ward.rows.writes
    ward.call()
    assert ward.rows.writes == writes
    assert not ward.call(DOWN)


def test_an_open_one_refuses_and_says_since_when_and_until_when() -> None:
    ward = an_open_one()
    given = ward.ask()
    assert not given.allowed
    assert given.retry_at == START + timedelta(seconds=INTERVAL)
    assert given.reason == (
        "x search has failed since 2026-05-04T12:00:00Z; the next probe goes at "
        "2026-05-04T12:00:30Z"
    )


def test_one_probe_goes_each_interval_whatever_becomes_of_it() -> None:
    ward = an_open_one()
    ward.rows.later(INTERVAL)
    assert ward.ask().probe
    assert ward.state() is State.HALF_OPEN
    assert not ward.ask().allowed
    ward.rows.later(INTERVAL - 1)
    assert not ward.ask().allowed
    ward.rows.later(1)
    assert ward.state() is State.OPEN
    assert ward.ask().probe


def test_a_probe_that_fails_leaves_it_open_and_one_that_succeeds_closes_it() -> None:
    ward = an_open_one()
    ward.rows.later(INTERVAL)
    assert ward.record(ward.ask(), DOWN)
    assert ward.state() is State.OPEN
    ward.rows.later(INTERVAL)
    assert not ward.record(ward.ask())
    assert ward.state() is State.CLOSED
    assert ward.ask().quiet


def test_a_probe_that_is_not_sent_is_the_next_calls() -> None:
    ward = an_open_one()
    ward.rows.later(INTERVAL)
    ward.hand_back(ward.ask())
    assert ward.state() is State.OPEN
    ward.rows.later(1)
    assert ward.ask().probe
    assert not ward.ask().allowed


def test_only_the_probe_that_is_on_its_way_can_be_handed_back() -> None:
    ward = an_open_one()
    ward.rows.later(INTERVAL)
    slow = ward.ask()
    ward.rows.later(INTERVAL)
    assert ward.ask().probe
    ward.hand_back(slow)
    assert not ward.ask().allowed
    before = dict(ward.rows.rows)
    for no_probe in (Pass(True), Pass(True, quiet=True), ward.ask()):
        ward.hand_back(no_probe)
    assert ward.rows.rows == before


def test_a_call_that_was_under_way_when_it_opened_neither_closes_nor_prolongs_it() -> None:
    ward = Ward()
    slow = [ward.ask(), ward.ask()]
    for _ in range(5):
        ward.call(DOWN)
    before = dict(ward.rows.rows)
    assert not ward.record(slow[0], DOWN)
    assert not ward.record(slow[1])
    assert ward.rows.rows == before


def test_of_two_that_ask_at_once_one_is_the_probe() -> None:
    second: list[Pass] = []
    ward = an_open_one()
    ward.rows.later(INTERVAL)
    rows = RacingRows([lambda other: second.append(Ward(other).ask())])
    rows.rows, rows.at = ward.rows.rows, ward.rows.at
    assert not Ward(rows).ask().allowed
    assert second[0].probe


def test_a_refusal_is_the_answer_of_an_upstream_that_is_well() -> None:
    about: Any = {"provider": "x", "endpoint": "search"}
    assert is_outage(DOWN)
    assert is_outage(UpstreamTimeout("no answer", **about))
    for error in (RateLimited, CreditsDepleted, UpstreamNotFound):
        assert not is_outage(error("no", **about))
    assert not is_outage(None)


def test_no_table_no_call_but_an_answer_is_kept() -> None:
    class Away(MemoryRows):
        def get(self, key: Key) -> Read:
            raise StoreUnavailable("away")

    ward = Ward(Away())
    with pytest.raises(StoreUnavailable):
        ward.ask()
    assert not ward.record(Pass(True), DOWN)


@pytest.mark.parametrize(
    "options", [{"share": 0}, {"least_calls": 0}, {"window_seconds": 3}, {"interval_seconds": 10}]
)
def test_a_sensitivity_that_makes_no_sense_is_refused(options: Any) -> None:
    with pytest.raises(Misconfigured):
        Sensitivity(**options)


@pytest.fixture
def dynamo() -> Iterator[DynamoRows]:
    with mock_aws():
        yield create_coordination_table()


def test_a_breaker_survives_the_table(dynamo: DynamoRows) -> None:
    breakers = Breakers(dynamo)
    outcomes: list[bool] = []
    for error in (DOWN, None, DOWN, DOWN, DOWN):
        given = breakers.ask("x", "search", now=START)
        outcomes.append(breakers.record("x", "search", given, error, now=START))
    assert outcomes == [False] * 4 + [True]
    assert not breakers.ask("x", "search", now=START).allowed
    assert breakers.ask("x", "users/me", now=START).allowed


@pytest.mark.parametrize("seed", range(3))
def test_an_upstream_that_is_down_is_probed_once_an_interval_and_found_well_within_one(
    seed: int,
) -> None:
    """Twenty executions call on and on; it is down from 60 s to 660 s, and clocks are off by 5."""
    down, up, end = 60.0, 660.0, 760.0
    time, random = VirtualTime(), Random(seed)  # noqa: S311  # a reproducible experiment
    rows = NetworkRows(time, random, throttled=0.02, lost=0.01)
    calls: list[tuple[float, bool]] = []

    def execution() -> None:
        breakers = Breakers(rows)
        while time.seconds < end:
            time.sleep(random.uniform(1, 5))
            try:
                given = breakers.ask("x", "search", now=time.now(random.uniform(-5, 5)))
            except StoreUnavailable:
                continue
            if not given.allowed:
                continue
            calls.append((time.seconds, given.probe))
            failed = down <= time.seconds < up
            time.sleep(random.uniform(0.1, 9.0) if failed else 0.2)
            breakers.record("x", "search", given, DOWN if failed else None, now=time.now())

    for _ in range(20):
        time.start(execution)
    time.run()
    probes = [at for at, probe in calls if probe]
    gaps = [later - at for at, later in pairwise(probes)]
    # The table's clock has whole seconds, and the way back from it takes time.
    assert min(gaps) > INTERVAL - 1.5
    opened = max(at for at, probe in calls if not probe and at < up)
    assert opened < down + 15
    back = min(at for at, probe in calls if not probe and at > up)
    assert back < up + INTERVAL + 10
    assert len(probes) <= (up - down) / INTERVAL + 1


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 25)), max_size=60))
def test_whatever_happens_an_open_breaker_lets_one_call_through_an_interval(
    happening: list[tuple[bool, int]],
) -> None:
    ward = Ward()
    last = START - timedelta(days=1)
    for works, pause in happening:
        ward.rows.later(pause)
        state = ward.state()
        given = ward.ask()
        assert given.allowed or state is not State.CLOSED
        if given.probe:
            assert ward.rows.at - last >= timedelta(seconds=INTERVAL)
            last = ward.rows.at
        if given.allowed:
            ward.record(given, None if works else DOWN)
            assert not given.probe or (ward.state() is State.CLOSED) == works
