"""Executions that share 15 calls a minute, in virtual time: the upstream's limiter is the judge."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.support.quota_simulation import Outcome, Scene, Simulation, booked, compare
from tests.support.virtual_time import VirtualTime

CALLS, WINDOW = 15, 60


def run(**options: object) -> Outcome:
    return Simulation(Scene(**options)).run(booked)  # type: ignore[arg-type]  # a Scene's own


def assert_no_limit_is_broken(outcome: Outcome) -> None:
    assert outcome.refused == 0
    assert outcome.most_in_a_window <= CALLS


@pytest.mark.parametrize(
    ("executions", "seed", "phase"), [(50, 1, 0.0), (50, 2, 17.3), (50, 3, 41.9), (200, 4, 55.0)]
)
def test_all_are_served_in_turn_without_a_429_and_the_quota_is_used(
    executions: int, seed: int, phase: float
) -> None:
    outcome = run(executions=executions, seed=seed, phase=phase, clock_error=5)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("called") == executions
    assert outcome.overtaken == 0
    assert outcome.quota_used >= 0.95
    assert outcome.most_steps == 2  # asked once, and at its slot: nobody polls


@pytest.mark.parametrize("executions", [50, 200])
def test_killed_holders_cost_their_own_slots_and_nobody_elses(executions: int) -> None:
    outcome = run(executions=executions, killed=0.2, clock_error=5, phase=12.5)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("killed") > 2
    assert outcome.ended("killed") + outcome.ended("called") == executions
    assert outcome.overtaken == 0
    assert outcome.quota_used >= 0.95
    assert outcome.most_steps == 2


@pytest.mark.parametrize(("phase", "eaten"), [(0.0, 10), (37.0, 10), (23.0, 14), (50.0, 5)])
def test_someone_else_who_uses_the_quota_gets_its_share_and_we_the_rest(
    phase: float, eaten: int
) -> None:
    outcome = run(executions=50, eaten=eaten, phase=phase, clock_error=5)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("called") == 50
    assert outcome.overtaken == 0
    assert set(outcome.used_of_what_was_left) == {CALLS - eaten}


def test_someone_else_who_is_met_at_a_windows_edge_costs_a_few_429s_once() -> None:
    """The scout went in the window before: what it heard says nothing of the one that follows."""
    outcomes = [run(executions=50, eaten=1 + n, phase=n * 2.1, clock_error=5) for n in range(6)]
    assert max(outcome.refused for outcome in outcomes) <= 3
    for outcome in outcomes:
        assert outcome.most_in_a_window <= CALLS
        assert outcome.ended("called") == 50


@pytest.mark.parametrize(("executions", "throttled", "lost"), [(50, 0.3, 0.05), (200, 0.05, 0.02)])
def test_a_throttled_table_makes_it_slower_and_breaks_no_limit(
    executions: int, throttled: float, lost: float
) -> None:
    outcome = run(executions=executions, throttled=throttled, lost=lost, clock_error=5)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("called") + outcome.ended("failed") == executions
    assert outcome.ended("failed") <= executions * 0.05
    assert outcome.quota_used > 0.75 if throttled > 0.1 else outcome.quota_used > 0.9


def test_even_timers_that_are_off_by_five_seconds_break_no_limit() -> None:
    outcome = run(executions=50, clock_error=5, timer_error=5, phase=30)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("called") == 50
    assert outcome.quota_used > 0.85


def test_what_is_given_back_serves_those_who_come_later() -> None:
    outcome = run(executions=200, arriving_within=600, giving_back=0.2, clock_error=5)
    assert_no_limit_is_broken(outcome)
    assert outcome.ended("gave back") > 20
    assert outcome.ended("called") + outcome.ended("gave back") == 200
    kept = [e for e in outcome.executions if e.end == "called"]
    assert all(later - first <= 2 for e in kept for first, later in pairwise(e.slots))


def test_booking_needs_no_polls_where_a_token_bucket_does_and_gets_429s() -> None:
    booking, polling = compare(Scene(executions=50, seed=1))
    assert (booking.refused, booking.overtaken, booking.most_steps) == (0, 0, 2)
    assert polling.refused >= 10
    assert polling.overtaken > 100
    assert polling.steps > 10 * booking.steps
    assert polling.waited > booking.waited
    assert polling.ended("called") == 50


def test_every_slot_is_used_given_back_or_lapsed() -> None:
    simulation = Simulation(Scene(executions=80, killed=0.2, giving_back=0.2, clock_error=5))
    outcome = simulation.run(booked)
    [row] = simulation.rows.rows.values()
    ends = Counter(execution.end for execution in outcome.executions)
    assert row["count"] == ends["called"] == len(outcome.arrivals)
    left = {entry[2] for entry in row["queue"]}
    assert left <= {e.name for e in outcome.executions if e.end == "killed"}


def test_virtual_time_runs_actors_in_the_order_of_their_waits() -> None:
    time, seen = VirtualTime(), list[tuple[str, float]]()

    def actor(name: str, pause: float) -> None:
        for _ in range(2):
            time.sleep(pause)
            seen.append((name, time.seconds))

    time.start(lambda: actor("slow", 3))
    time.start(lambda: actor("late", 1), after=1.5)
    time.run()
    assert seen == [("late", 2.5), ("slow", 3), ("late", 3.5), ("slow", 6)]


def test_virtual_time_raises_what_an_actor_raises() -> None:
    time = VirtualTime()
    time.start(lambda: [][1])
    with pytest.raises(IndexError):
        time.run()
