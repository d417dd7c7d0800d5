"""Reserving and settling: no cap is passed, nothing counts twice, nobody's death frees money."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from marquee.errors import Misconfigured, StoreUnavailable
from marquee.gateway.rows import DynamoRows, Item, Key, Read, Swap
from marquee.gateway.spend import RESERVED_FOR, TOTAL, Cap, Period, Spend, Threshold, read_caps
from tests.support.coordination_table import (
    MemoryRows,
    NetworkRows,
    RacingRows,
    create_coordination_table,
)
from tests.support.virtual_time import START, VirtualTime

CAPS = (Cap(TOTAL, Period.DAY, 1.0), Cap("x", Period.DAY, 0.5), Cap(TOTAL, Period.MONTH, 2.0))


class Till:
    """An account on a table in a dictionary, asked at one time after another."""

    def __init__(self, caps: tuple[Cap, ...] = CAPS) -> None:
        self.rows = MemoryRows()
        self.spend = Spend(self.rows, caps)

    def reserve(self, usd: float, holder: str, provider: str = "x") -> Any:
        return self.spend.reserve(provider, usd, holder, now=self.rows.at)

    def settle(self, holder: str, usd: float) -> Any:
        return self.spend.settle(holder, usd, now=self.rows.at)

    def pay(self, usd: float, holder: str, provider: str = "x") -> None:
        assert self.reserve(usd, holder, provider).granted
        self.settle(holder, usd)

    def sums(self) -> list[tuple[float, float]]:
        budgets = self.spend.budgets(now=self.rows.at)
        return [(budget.spent_usd, budget.reserved_usd) for budget in budgets]


def test_money_is_reserved_and_then_spent() -> None:
    till = Till()
    assert till.reserve(0.2, "a").granted
    assert till.sums() == [(0, 0.2)] * 3
    till.settle("a", 0.15)
    assert till.sums() == [(0.15, 0)] * 3


def test_what_costs_nothing_is_not_even_looked_up() -> None:
    till = Till()
    assert till.reserve(0, "a", "tmdb").granted
    assert (till.rows.reads, till.rows.writes) == (0, 0)


def test_a_cap_is_reached_but_not_passed() -> None:
    till = Till()
    till.pay(0.3, "a")
    assert till.reserve(0.2, "b").granted
    refused = till.reserve(0.000_001, "c")
    assert not refused.granted
    assert refused.reason == (
        "x may cost $0.50 a day: $0.5000 are spent or reserved, and the call needs $0.0000"
    )
    assert refused.opens_at == datetime(2026, 5, 5, tzinfo=UTC)
    assert till.reserve(0.5, "d", "openai").granted
    assert till.reserve(0.1, "e", "openai").reason.startswith("the total may cost $1.00 a day")


def test_the_next_day_and_the_next_month_begin_with_nothing_spent() -> None:
    till = Till()
    till.pay(0.5, "a")
    till.rows.later(24 * 3600)
    assert till.sums() == [(0, 0), (0, 0), (0.5, 0)]
    for day in range(3):
        till.pay(0.5, f"day {day}")
        till.rows.later(24 * 3600)
    refused = till.reserve(0.1, "b")
    assert "the total may cost $2.00 a month" in refused.reason
    assert refused.opens_at == datetime(2026, 6, 1, tzinfo=UTC)
    till.rows.at = datetime(2026, 6, 1, tzinfo=UTC)
    assert till.reserve(0.1, "b").granted


def test_a_clock_that_is_behind_does_not_bring_yesterday_back() -> None:
    till = Till()
    till.rows.at = datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC)
    till.pay(0.5, "a")
    till.rows.at -= timedelta(seconds=5)
    assert not till.reserve(0.1, "b").granted


def test_the_same_holder_reserves_once() -> None:
    till = Till()
    for _ in range(3):
        assert till.reserve(0.3, "a").granted
    assert till.sums()[0] == (0, 0.3)
    assert till.reserve(0.4, "a").granted
    assert till.sums()[0] == (0, 0.4)
    assert not till.reserve(0.6, "a").granted
    assert till.sums()[0] == (0, 0.4)


def test_a_settlement_that_comes_twice_counts_once() -> None:
    till = Till()
    till.pay(0.2, "a")
    till.settle("a", 0.2)
    assert till.sums()[0] == (0.2, 0)


def test_a_call_that_was_never_sent_frees_its_money() -> None:
    till = Till()
    till.reserve(0.5, "a")
    till.settle("a", 0)
    assert till.sums()[0] == (0, 0)


def test_whoever_dies_holding_money_has_spent_it() -> None:
    till = Till()
    till.reserve(0.5, "killed")
    till.rows.later(RESERVED_FOR.total_seconds() + 1)
    assert till.sums()[0] == (0.5, 0)
    assert not till.reserve(0.1, "b").granted
    till.settle("killed", 0.1)
    assert till.sums()[0] == (0.5, 0)


def test_a_call_may_cost_more_than_was_reserved_and_all_of_it_counts() -> None:
    till = Till()
    till.reserve(0.1, "a")
    assert [said.scope for said in till.settle("a", 0.45)] == ["x"]
    assert till.sums()[1] == (0.45, 0)


def test_a_threshold_is_said_once_a_period() -> None:
    till = Till()
    assert till.reserve(0.39, "a").thresholds == ()
    assert till.reserve(0.01, "b").thresholds == (Threshold("x", "2026-05-04", 0.5, 0.4),)
    assert till.reserve(0.01, "c").thresholds == ()
    till.rows.later(24 * 3600)
    assert [said.period for said in till.reserve(0.4, "d").thresholds] == ["2026-05-05"]


def test_the_first_refusal_by_a_cap_is_said_once_a_period() -> None:
    till = Till()
    till.pay(0.5, "a")
    full = Threshold("x", "2026-05-04", 0.5, 0.5, percent=100)
    assert till.reserve(0.1, "b").thresholds == (full,)
    assert till.reserve(0.1, "b").thresholds == ()
    assert till.reserve(0.1, "c").thresholds == ()
    till.rows.later(24 * 3600)
    till.pay(0.5, "d")
    assert [said.period for said in till.reserve(0.1, "e").thresholds] == ["2026-05-05"]


def test_a_cap_that_was_raised_says_its_own_thresholds() -> None:
    till = Till((Cap("x", Period.DAY, 0.5),))
    till.pay(0.5, "a")
    assert [said.percent for said in till.reserve(0.1, "b").thresholds] == [100]
    till.spend = Spend(till.rows, (Cap("x", Period.DAY, 1.0),))
    assert till.reserve(0.2, "c").thresholds == ()
    assert till.reserve(0.2, "d").thresholds == (Threshold("x", "2026-05-04", 1.0, 0.9),)
    assert [said.percent for said in till.reserve(0.2, "e").thresholds] == [100]


def test_a_refusal_takes_nothing_from_what_its_holder_had() -> None:
    till = Till()
    till.reserve(0.3, "a")
    assert not till.reserve(0.6, "a").granted
    assert till.sums()[0] == (0, 0.3)


def test_money_of_the_dead_is_charged_to_the_day_on_which_it_was_reserved() -> None:
    till = Till()
    till.reserve(0.5, "killed")
    till.rows.later(24 * 3600)
    assert till.sums() == [(0, 0), (0, 0), (0.5, 0)]


def test_a_cap_of_nothing_forbids_every_paid_call() -> None:
    till = Till((Cap("x", Period.DAY, 0.0), Cap(TOTAL, Period.DAY, 5.0)))
    assert not till.reserve(0.005, "a").granted
    assert till.reserve(0.1, "b", "openai").thresholds == ()


def test_without_caps_everything_is_granted_and_counted() -> None:
    till = Till(())
    assert till.reserve(100, "a").granted


def test_a_402_closes_a_provider_until_an_operator_reopens_it() -> None:
    till = Till()
    till.spend.close("x", "402: no credits are left", now=till.rows.at)
    till.spend.close("x", "again", now=till.rows.at)
    refused = till.reserve(0.1, "a")
    assert (refused.granted, refused.opens_at) == (False, None)
    assert refused.reason == "x is closed: 402: no credits are left"
    assert till.reserve(0.1, "b", "openai").granted
    till.rows.later(40 * 24 * 3600)
    assert not till.reserve(0.1, "a").granted
    assert till.spend.closed(now=till.rows.at) == {"x": "402: no credits are left"}
    assert till.spend.reopen("x", now=till.rows.at)
    assert not till.spend.reopen("x", now=till.rows.at)
    assert till.reserve(0.1, "a").granted


def test_no_table_no_paid_call() -> None:
    class Away(MemoryRows):
        def get(self, key: Key) -> Read:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        Spend(Away(), CAPS).reserve("x", 0.1, "a", now=START)


def test_of_two_that_race_for_the_last_cent_one_is_refused() -> None:
    def rival(rows: MemoryRows) -> None:
        assert Spend(rows, CAPS).reserve("x", 0.3, "rival", now=START).granted

    assert not Spend(RacingRows([rival]), CAPS).reserve("x", 0.3, "a", now=START).granted


def test_caps_are_read_from_a_setting() -> None:
    assert read_caps("day=5 month=50 x.day=0.25") == (
        Cap(TOTAL, Period.DAY, 5),
        Cap(TOTAL, Period.MONTH, 50),
        Cap("x", Period.DAY, 0.25),
    )
    assert read_caps("") == ()


@pytest.mark.parametrize("text", ["5", "year=5", "day=", "day=-1", "day=nan", "day=1e12", "x.=1"])
def test_a_setting_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="say"):
        read_caps(text)


@pytest.fixture
def dynamo() -> Iterator[DynamoRows]:
    with mock_aws():
        yield create_coordination_table()


def test_an_account_survives_the_table(dynamo: DynamoRows) -> None:
    spend = Spend(dynamo, CAPS)
    assert spend.reserve("x", 0.45, "a", now=START).thresholds
    assert spend.reserve("x", 0.45, "a", now=START).granted
    assert not spend.reserve("x", 0.45, "b", now=START).granted
    spend.settle("a", 0.123456, now=START)
    assert [budget.spent_usd for budget in spend.budgets(now=START)] == [0.123456] * 3
    spend.close("x", "402", now=START)
    assert not spend.reserve("x", 0.1, "c", now=START).granted
    assert spend.reopen("x", now=START)


def test_a_reservation_whose_answer_was_lost_is_made_once(dynamo: DynamoRows) -> None:
    class Lossy:
        lost = True

        def get(self, key: Key) -> Read:
            return dynamo.get(key)

        def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
            swapped = dynamo.swap(key, expected, item)
            if self.lost:
                self.lost = False
                raise StoreUnavailable("lost")
            return swapped

    assert Spend(Lossy(), CAPS).reserve("x", 0.1, "a", now=START).granted
    [total, *_] = Spend(dynamo, CAPS).budgets(now=START)
    assert total.reserved_usd == 0.1


@pytest.mark.parametrize("seed", range(4))
def test_twenty_at_once_never_pass_the_cap(seed: int) -> None:
    """Each pays again and again until it is refused; some die in a call that was charged."""
    cap = Cap("x", Period.DAY, 1.0)
    time, random = VirtualTime(), Random(seed)  # noqa: S311  # a reproducible experiment
    rows = NetworkRows(time, random, throttled=0.05, lost=0.02)
    charged: list[int] = []
    refused: list[str] = []
    said: list[Threshold] = []

    def execution(name: str) -> None:
        spend = Spend(rows, [cap])
        for call in range(100):
            micro = random.choice([5_000, 10_000, 15_000])
            try:
                given = spend.reserve("x", micro / 1e6, f"{name} {call}", now=time.now())
            except StoreUnavailable:
                continue
            said.extend(given.thresholds)
            if not given.granted:
                refused.append(name)
                return
            time.sleep(random.uniform(0.1, 1.0))
            charged.append(micro)
            if random.random() < 0.05:
                return
            try:
                spend.settle(f"{name} {call}", micro / 1e6, now=time.now())
            except StoreUnavailable:
                continue

    for number in range(20):
        time.start(partial(execution, f"run-{number}"))
    time.run()
    assert refused
    assert 0.9 * 1_000_000 < sum(charged) <= 1_000_000
    assert [threshold.percent for threshold in said] in ([80, 100], [80], [100])


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "settle", "wait"]),
            st.integers(0, 9),
            st.integers(1, 300_000),
        ),
        max_size=40,
    )
)
def test_whatever_happens_what_was_charged_is_under_the_cap(
    happening: list[tuple[str, int, int]],
) -> None:
    till = Till((Cap(TOTAL, Period.MONTH, 1.0),))
    held: dict[str, int] = {}
    charged = 0
    for what, who, number in happening:
        holder = f"run-{who}"
        if what == "reserve" and till.reserve(number / 1e6, holder).granted:
            held[holder] = max(number, held.get(holder, 0))
        elif what == "settle" and holder in held:
            charged += min(number, held[holder])
            till.settle(holder, min(number, held.pop(holder)) / 1e6)
        elif what == "wait":
            till.rows.later(number / 1000)
            if number / 1000 > RESERVED_FOR.total_seconds():
                charged += sum(held.values())
                held.clear()
        assert charged <= 1_000_000
        [(spent, reserved)] = till.sums()
        assert spent + reserved <= 1.0
