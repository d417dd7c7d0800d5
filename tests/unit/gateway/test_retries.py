"""What is retried and when: learned from how long faults lasted, within the definitions' bounds."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil, inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marquee.errors import RateLimited, StoreUnavailable, UpstreamError, UpstreamUnavailable
from marquee.gateway.quota import Policies
from marquee.gateway.retries import (
    DELAYS_SECONDS,
    EDGES_SECONDS,
    KNOWN_FROM,
    LONGEST_DELAY_SECONDS,
    LONGEST_TOLD,
    MEMORY,
    MOST_RETRIES,
    Do,
    Fault,
    Lasting,
    Retries,
    Verdict,
    met,
)
from marquee.gateway.rows import Key, Read
from tests.support.coordination_table import MemoryRows
from tests.support.definitions import RETRY_POLICY
from tests.support.fault_traces import (
    FIXED_SECONDS,
    PATTERNS,
    PROBES_A_SECOND,
    Comparison,
    compare,
    load,
    record,
)
from tests.support.virtual_time import START

SECONDS = st.floats(0, 60)


class Clinic:
    """Faults of one kind at TMDB, over rows in a dictionary; whoever draws, draws ``drawn``."""

    def __init__(self, drawn: float = 0.5, policies: str = "") -> None:
        self.rows = MemoryRows()
        self.retries = Retries(self.rows, Policies(policies), lambda: drawn)

    @property
    def now(self) -> datetime:
        return self.rows.at

    def fault(self, error: UpstreamError | None = None) -> Fault:
        return met(error or an_error(), None, began=self.now, now=self.now)

    def learn(self, over_by: float, *, outlasted: float = 0.0, times: int = 1) -> None:
        fault = self.fault().model_copy(update={"outlasted": outlasted})
        for _ in range(times):
            self.retries.learn(fault, over_by, now=self.now)

    def decide(self, error: UpstreamError | None = None, attempt: int = 1) -> Verdict:
        error = error or an_error()
        return self.retries.decide(error, self.fault(error), attempt, now=self.now)

    def delay(self, error: UpstreamError | None = None) -> float:
        verdict = self.decide(error)
        assert (verdict.do, bool(verdict.at)) == (Do.RETRY, True)
        assert verdict.at
        assert verdict.at.microsecond == 0
        return (verdict.at - self.now).total_seconds()


def an_error(status: int | None = 500, retry_at: datetime | None = None) -> UpstreamError:
    return UpstreamUnavailable(
        "down", provider="tmdb", endpoint="movie", status=status, retry_at=retry_at
    )


def test_the_bounds_are_those_of_the_definitions() -> None:
    delays = [
        RETRY_POLICY["IntervalSeconds"] * RETRY_POLICY["BackoffRate"] ** number
        for number in range(RETRY_POLICY["MaxAttempts"])
    ]
    assert RETRY_POLICY["MaxAttempts"] == MOST_RETRIES
    assert delays == list(FIXED_SECONDS)
    assert max(DELAYS_SECONDS) == LONGEST_DELAY_SECONDS == delays[-1]
    assert timedelta(seconds=sum(delays)) == LONGEST_TOLD


def test_until_a_few_faults_are_known_the_definition_decides() -> None:
    clinic = Clinic()
    for _ in range(ceil(KNOWN_FROM)):
        assert clinic.decide().do is Do.AS_DEFINED
        clinic.learn(over_by=0.5)
    assert clinic.decide().do is Do.RETRY


def test_what_is_over_at_once_is_retried_at_once() -> None:
    clinic = Clinic()
    clinic.learn(over_by=0.2, times=10)
    assert clinic.delay() == 0


def test_what_lasts_for_some_seconds_is_retried_after_them() -> None:
    clinic = Clinic(drawn=0.0)
    clinic.learn(outlasted=2.5, over_by=4, times=10)
    assert 4 <= clinic.delay() <= 6


def test_what_never_recovers_is_not_retried() -> None:
    clinic = Clinic()
    clinic.learn(outlasted=14, over_by=inf, times=4)
    verdict = clinic.decide()
    assert verdict.do is Do.GIVE_UP
    assert verdict.reason.endswith("of such faults are over within seconds")


def test_now_and_then_what_looks_hopeless_is_retried_once() -> None:
    clinic = Clinic(drawn=0.05)
    clinic.learn(outlasted=14, over_by=inf, times=20)
    assert clinic.decide().do is Do.RETRY
    assert clinic.decide(attempt=2).do is Do.GIVE_UP


def test_what_has_outlasted_most_of_its_kind_is_given_up() -> None:
    clinic = Clinic()
    clinic.learn(over_by=1, times=10)
    clinic.learn(outlasted=14, over_by=inf, times=10)
    assert clinic.decide().do is Do.RETRY
    worn = clinic.fault().model_copy(update={"outlasted": 2.0})
    assert clinic.retries.decide(an_error(), worn, 2, now=clinic.rows.later(2)).do is Do.GIVE_UP


def test_after_a_change_for_the_better_it_is_retried_again() -> None:
    clinic = Clinic()
    clinic.learn(outlasted=14, over_by=inf, times=20)
    assert clinic.decide().do is Do.GIVE_UP
    clinic.learn(over_by=0.5, times=5)
    assert clinic.delay() == 0


def test_what_was_long_ago_is_forgotten() -> None:
    clinic = Clinic()
    clinic.learn(outlasted=14, over_by=inf, times=20)
    clinic.rows.later(24 * 3600)
    assert clinic.decide().do is Do.AS_DEFINED


def test_no_more_retries_than_the_definition_makes() -> None:
    clinic = Clinic()
    clinic.learn(over_by=0.5, times=10)
    assert clinic.decide(attempt=MOST_RETRIES).do is Do.RETRY
    assert clinic.decide(attempt=MOST_RETRIES + 1).do is Do.GIVE_UP
    told = an_error(503, retry_at=clinic.now)
    assert clinic.decide(told, attempt=MOST_RETRIES + 1).do is Do.GIVE_UP


def test_kinds_of_faults_are_learned_apart() -> None:
    clinic = Clinic()
    clinic.learn(over_by=0.5, times=10)
    assert clinic.decide(an_error(503)).do is Do.AS_DEFINED
    assert clinic.decide(an_error(None)).do is Do.AS_DEFINED
    elsewhere = UpstreamUnavailable("down", provider="bluesky", endpoint="search", status=500)
    assert clinic.decide(elsewhere).do is Do.AS_DEFINED


@pytest.mark.parametrize("ahead", [0.0, 0.3, 5.0, 14.0])
def test_what_an_upstream_says_wins_over_what_was_learned(ahead: float) -> None:
    clinic = Clinic()
    clinic.learn(outlasted=14, over_by=inf, times=20)
    delay = clinic.delay(an_error(503, retry_at=clinic.now + timedelta(seconds=ahead)))
    assert ahead <= delay <= ahead + 2


def test_nobody_waits_for_longer_than_the_definition_would() -> None:
    clinic = Clinic()
    far = an_error(503, retry_at=clinic.now + LONGEST_TOLD + timedelta(seconds=1))
    assert clinic.decide(far).do is Do.GIVE_UP


def test_what_an_upstream_says_is_neither_looked_up_nor_learned() -> None:
    clinic = Clinic()
    told = an_error(503, retry_at=clinic.now)
    clinic.decide(told)
    fault = met(told, clinic.fault(told), began=clinic.now, now=clinic.now)
    clinic.retries.learn(fault, 3.0, now=clinic.now)
    assert (clinic.rows.reads, clinic.rows.writes) == (0, 0)


def test_a_rate_limit_is_left_to_the_quota_that_is_booked() -> None:
    clinic = Clinic(policies="tmdb=5/10")
    soon = clinic.now + timedelta(seconds=3)
    limited = RateLimited("full", provider="tmdb", endpoint="movie", retry_at=soon)
    assert clinic.decide(limited).do is Do.AS_DEFINED
    assert Clinic().delay(limited) >= 3


def test_a_failure_costs_a_read_and_a_fault_that_was_retried_a_read_and_a_write() -> None:
    clinic = Clinic()
    clinic.decide()
    assert (clinic.rows.reads, clinic.rows.writes) == (1, 0)
    clinic.learn(over_by=1)
    assert (clinic.rows.reads, clinic.rows.writes) == (2, 1)
    clinic.learn(over_by=inf)  # nobody retried
    assert (clinic.rows.reads, clinic.rows.writes) == (2, 1)


def test_a_row_stays_small_however_much_is_learned() -> None:
    clinic = Clinic()
    for number in range(200):
        clinic.learn(outlasted=number % 9, over_by=number % 9 + 1)
    [row] = clinic.rows.rows.values()
    assert len(json.dumps(row, default=str)) < 400
    assert sum(map(float, row["faults"])) == pytest.approx(MEMORY, abs=0.01)
    assert row["expires_at"] > clinic.now.timestamp()


def test_a_table_that_does_not_answer_is_said() -> None:
    class Down(MemoryRows):
        def get(self, key: Key) -> Read:
            raise StoreUnavailable("down")

    clinic = Clinic()
    clinic.retries = replace(clinic.retries, rows=Down())
    with pytest.raises(StoreUnavailable):
        clinic.decide()
    with pytest.raises(StoreUnavailable):
        clinic.learn(over_by=1)


# How long faults last


@given(
    st.lists(st.tuples(SECONDS, SECONDS | st.just(inf)), max_size=30),
    st.floats(0, EDGES_SECONDS[-1]),
    SECONDS,
    SECONDS,
)
def test_a_chance_is_one_and_grows_with_the_wait(
    spans: list[tuple[float, float]], outlasted: float, sooner: float, later: float
) -> None:
    lasting = Lasting()
    for one, other in spans:
        if one < other:
            lasting = lasting.with_fault(one, other)
    assert lasting.known <= MEMORY + 1e-6
    sooner, later = sorted((sooner, later))
    low, high = lasting.chance(outlasted, sooner), lasting.chance(outlasted, later)
    assert 0 <= low <= high < 1


@given(SECONDS, SECONDS | st.just(inf))
@example(outlasted=0.0, over_by=5e-324)
@example(outlasted=14.0, over_by=14.0)
def test_every_fault_counts_once(outlasted: float, over_by: float) -> None:
    assert Lasting().with_fault(outlasted, over_by).known == pytest.approx(1)


def test_a_span_is_filled_in_the_proportions_of_what_is_known() -> None:
    short = Lasting()
    for _ in range(10):
        short = short.with_fault(0.0, 0.5)
    wide = short.with_fault(0.0, 8.0)
    assert wide.faults[0] - short.faults[0] > 0.9
    assert Lasting().with_fault(0.0, 8.0).faults[0] < 0.3


def test_the_fault_of_an_attempt_is_that_of_the_one_before_or_a_new_one() -> None:
    later = [START + timedelta(seconds=seconds) for seconds in (0, 3, 4)]
    first = met(an_error(), None, began=START, now=later[0])
    assert (first.kind, first.since, first.outlasted) == ("UpstreamUnavailable/500", START, 0)
    second = met(an_error(), first, began=later[1], now=later[2])
    assert (second.since, second.outlasted) == (START, 3)
    other = met(an_error(None), first, began=later[1], now=later[2])
    assert (other.kind, other.since) == ("UpstreamUnavailable", later[2])


# On recorded faults


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare()


def test_the_recorder_still_meets_what_the_file_holds() -> None:
    traces, seconds = load(), 15
    assert list(traces) == list(PATTERNS)
    for name, trace in traces.items():
        assert record(name, seconds) == trace[: seconds * PROBES_A_SECOND], name


@pytest.mark.parametrize("known", ["learned and told", "learned alone"])
@pytest.mark.parametrize("jitter", [True, False])
def test_it_beats_the_fixed_delays_on_time_to_success_and_on_wasted_calls(
    compared: Comparison, jitter: bool, known: str
) -> None:
    ours, fixed = compared.adaptive, compared.with_jitter if jitter else compared.without_jitter
    if known == "learned alone":
        ours, fixed = ours.untold(), fixed.untold()
    assert ours.seconds_to_success < fixed.seconds_to_success
    assert ours.wasted < 0.9 * fixed.wasted
    assert ours.served >= fixed.served


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("jitter", [True, False])
def test_it_is_nowhere_much_worse(compared: Comparison, name: str, jitter: bool) -> None:
    fixed = (compared.with_jitter if jitter else compared.without_jitter).by_pattern[name]
    ours = compared.adaptive.by_pattern[name]
    # A breaker that opens for one call more or less refuses ten others: these are few.
    assert ours.seconds_to_success < 1.1 * fixed.seconds_to_success + 1
    assert ours.wasted <= 1.1 * fixed.wasted + 10
    assert ours.served > 0.85 * fixed.served


def test_what_it_stores_is_at_most_two_reads_and_a_write_for_a_failed_call(
    compared: Comparison,
) -> None:
    for replayed in compared.adaptive.by_pattern.values():
        failures = sum(request.calls - request.answered for request in replayed.requests)
        assert replayed.reads <= 2 * failures
        assert replayed.writes <= failures
