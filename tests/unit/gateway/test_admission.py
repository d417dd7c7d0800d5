"""Before a call the gateway is asked, and after it told: no answer is lost to that."""

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from marquee.errors import (
    BreakerOpen,
    CreditsDepleted,
    Deferred,
    NotAdmitted,
    RateLimited,
    SlotAhead,
    SpendRefused,
    StoreUnavailable,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.admission import Call, Gate, admitted
from marquee.gateway.breaker import Breakers, Pass
from marquee.gateway.callers import Caller, calling_as, current_caller
from marquee.gateway.quota import Policies, Quota
from marquee.gateway.rows import Item, Key, Read, Swap
from marquee.gateway.spend import KEY as SPEND
from marquee.gateway.spend import Cap, Period, Spend
from marquee.observability import METRICS
from tests.support.coordination_table import MemoryRows

SEARCH = ("x", "tweets/search/recent")


class House:
    """A gate over rows in a dictionary, with a dollar a day and two calls to X in 20 s."""

    def __init__(self, rows: MemoryRows | None = None, policies: str = "x=2/20") -> None:
        self.rows = rows or MemoryRows()
        self.cap = Cap("total", Period.DAY, 1.0)
        self.gate = Gate(self.rows, Policies(policies), (self.cap,), "test", lambda: self.rows.at)
        self.executions = 0

    def execution(self) -> Caller:
        self.executions += 1
        return Caller(f"execution-{self.executions}/CollectReviews/x", can_wait=True)

    def call(
        self,
        caller: Caller | None = None,
        *,
        to: tuple[str, str] = SEARCH,
        usd: float = 0.0,
        within: timedelta | None = timedelta(seconds=10),
        does: Callable[[Call], None] = lambda call: None,
    ) -> None:
        with self.gate.admitted(
            caller or self.execution(), *to, most_usd=usd, credential="me", within=within
        ) as call:
            does(call)

    def fail(self, error: Exception, *, to: tuple[str, str] = SEARCH, usd: float = 0.0) -> None:
        def does(call: Call) -> None:
            raise error

        with pytest.raises(type(error)):
            self.call(to=to, usd=usd, does=does)

    @property
    def money(self) -> tuple[float, float]:
        """Spent and reserved today."""
        [budget] = Spend(self.rows, (self.cap,)).budgets(now=self.rows.at)
        return budget.spent_usd, budget.reserved_usd


def x_error(kind: type, status: int | None = None) -> Exception:
    given = {} if kind is RateLimited else {"status": status}
    error: Exception = kind("told", provider="x", endpoint=SEARCH[1], **given)
    return error


def answered(usd: float) -> Callable[[Call], None]:
    def does(call: Call) -> None:
        call.usd = usd

    return does


class Broken(MemoryRows):
    """The table answers the first so many requests, and no more."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers

    def get(self, key: Key) -> Read:
        self._answer()
        return super().get(key)

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        self._answer()
        return super().swap(key, expected, item)

    def _answer(self) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise StoreUnavailable("the table is down")


def test_what_is_free_and_has_no_quota_costs_one_read() -> None:
    house = House()
    house.call(to=("tmdb", "movie"))
    assert (house.rows.reads, house.rows.writes) == (1, 0)


def test_a_quota_costs_a_read_and_a_write_and_money_two_of_each() -> None:
    house = House()
    house.call(usd=0.05, does=answered(0.01))
    assert (house.rows.reads, house.rows.writes) == (1 + 1 + 2, 1 + 2)


def test_a_slot_in_reach_is_booked_and_found_again_under_the_same_name() -> None:
    house = House()
    house.call()
    house.call()
    house.rows.later(15)
    waiting = [house.execution(), house.execution()]
    for caller in waiting:
        with pytest.raises(SlotAhead, match=r"slot at [0-9T:-]+Z$") as ahead:
            house.call(caller)
    house.rows.at = ahead.value.at
    with pytest.raises(Deferred):
        house.call()  # whoever comes later does not overtake
    for caller in waiting:
        house.call(Caller(caller.name, can_wait=True))


def test_a_slot_out_of_reach_is_not_booked() -> None:
    house = House()
    house.call()
    house.call()
    with pytest.raises(Deferred) as deferred:
        house.call()
    assert deferred.value.at
    house.rows.at = deferred.value.at
    house.call()


def test_whoever_is_not_called_again_books_nothing() -> None:
    house = House()
    house.call()
    house.call()
    house.rows.later(20)
    with pytest.raises(Deferred):
        house.call(Caller("SweepPosts/1"))


def test_a_run_waits_however_long() -> None:
    house = House(policies="x=1/900")
    house.call()
    with pytest.raises(SlotAhead) as ahead:
        house.call(within=None)
    assert ahead.value.at - house.rows.at > timedelta(minutes=14)


def test_money_is_not_held_while_one_waits_for_a_slot() -> None:
    house = House()
    house.call(usd=0.05, does=answered(0.05))
    house.call(usd=0.05, does=answered(0.05))
    with pytest.raises(Deferred):
        house.call(usd=0.5)
    assert house.money == pytest.approx((0.1, 0.0))


def test_a_call_above_the_cap_is_refused_until_the_day_ends() -> None:
    house = House()
    with pytest.raises(SpendRefused, match="the total may cost") as refused:
        house.call(usd=1.01)
    assert refused.value.at
    assert refused.value.at.time().isoformat() == "00:00:00"


@pytest.mark.parametrize(
    ("error", "usd"),
    [
        (x_error(UpstreamRefused, 400), 0.0),
        (x_error(UpstreamUnavailable, 503), 0.0),
        (x_error(RateLimited), 0.0),
        (x_error(UpstreamTimeout), 0.3),  # it may have been answered, and charged
        (x_error(UpstreamUnavailable, 200), 0.3),  # charged, and no JSON
        (RuntimeError("a fault of ours"), 0.3),
    ],
)
def test_a_call_without_an_answer_costs_all_it_could_unless_it_was_refused(
    error: Exception, usd: float
) -> None:
    house = House()
    house.fail(error, usd=0.3)
    assert house.money == pytest.approx((usd, 0.0))


def test_after_402_no_paid_call_is_made_and_free_ones_are() -> None:
    house = House(policies="")
    house.fail(x_error(CreditsDepleted, 402), usd=0.3)
    with pytest.raises(SpendRefused, match="x is closed") as refused:
        house.call(usd=0.001)
    assert refused.value.at is None
    house.call()


def test_a_429_holds_back_everyone_until_the_reset() -> None:
    house = House(policies="x=50/20")

    def refuse(call: Call) -> None:
        call.headers = {"retry-after": "300"}
        raise x_error(RateLimited)

    with pytest.raises(RateLimited):
        house.call(does=refuse)
    with pytest.raises(Deferred) as deferred:
        house.call()
    assert deferred.value.at
    assert deferred.value.at - house.rows.at >= timedelta(seconds=300)


def test_a_failing_upstream_is_left_alone_and_asked_again_once_an_interval() -> None:
    house = House(policies="x=50/20")
    for _ in range(5):
        house.fail(x_error(UpstreamUnavailable, 503))
    with pytest.raises(BreakerOpen) as opened:
        house.call()
    assert opened.value.at
    house.rows.at = opened.value.at
    house.call()
    house.call()


def sick(house: House) -> datetime:
    """X fails until it is left alone; returns when it is asked again."""
    for _ in range(5):
        house.fail(x_error(UpstreamUnavailable, 503))
    with pytest.raises(BreakerOpen) as opened:
        house.call()
    assert opened.value.at
    return opened.value.at


def open_breaker(house: House) -> None:
    """X has failed for others, whatever its quota is."""
    for _ in range(5):
        down = x_error(UpstreamUnavailable, 503)
        Breakers(house.rows).record(*SEARCH, Pass(True), down, now=house.rows.at)


def again(caller: Caller) -> Caller:
    """The next attempt of its step."""
    return Caller(caller.name, can_wait=True)


def test_a_probe_for_which_there_is_no_slot_is_the_next_calls() -> None:
    house = House(policies="x=1/20")
    open_breaker(house)
    house.rows.later(30)
    search = house.gate.policies.of(*SEARCH, "me")
    assert Quota(house.rows).begin(search, "another", now=house.rows.at).begun
    caller = house.execution()
    with pytest.raises(SlotAhead) as ahead:
        house.call(again(caller), within=None)
    house.rows.at = ahead.value.at  # before the next probe would go
    house.call(caller)


def test_a_probe_that_may_not_be_paid_for_is_the_next_calls() -> None:
    house = House(policies="x=50/20")
    house.rows.at = sick(house)
    with pytest.raises(SpendRefused):
        house.call(usd=1.01)
    house.call()


def test_a_probe_is_handed_back_where_the_table_fails_before_it_is_sent() -> None:
    class Penniless(MemoryRows):
        fails = False

        def get(self, key: Key) -> Read:
            if self.fails and key == SPEND:
                raise StoreUnavailable("throttled")
            return super().get(key)

    rows = Penniless()
    house = House(rows, policies="x=50/20")
    rows.at = sick(house)
    rows.fails = True
    with pytest.raises(StoreUnavailable):
        house.call(usd=0.1)
    rows.fails = False
    house.call(usd=0.1)


def one_that_waits(house: House) -> Caller:
    """An execution whose slot is a minute away."""
    house.call()
    caller = house.execution()
    with pytest.raises(SlotAhead):
        house.call(again(caller), within=None)
    return caller


def waiting(house: House) -> int:
    policy = house.gate.policies.of(*SEARCH, "me")
    return Quota(house.rows).view(policy, now=house.rows.at).waiting


def test_whoever_finds_the_upstream_failing_at_its_slot_gives_it_back() -> None:
    house = House(policies="x=1/60")
    caller = one_that_waits(house)
    open_breaker(house)
    with pytest.raises(BreakerOpen):
        house.call(caller)
    assert waiting(house) == 0


def test_whoever_may_not_pay_at_its_slot_gives_it_back() -> None:
    house = House(policies="x=1/60")
    caller = one_that_waits(house)
    with pytest.raises(SpendRefused):
        house.call(house.execution(), usd=1.01)  # holds none
    assert waiting(house) == 1
    with pytest.raises(SpendRefused):
        house.call(caller, usd=1.01)
    assert waiting(house) == 0


def test_a_slot_is_kept_where_the_table_fails_for_a_moment() -> None:
    rows = Broken(1000)
    house = House(rows, policies="x=1/60")
    caller = one_that_waits(house)
    for answers in range(3):
        rows.answers = answers
        with pytest.raises(StoreUnavailable):
            house.call(again(caller), usd=0.1)
    rows.answers = 1000
    assert waiting(house) == 1


def test_an_opened_breaker_is_a_metric_and_each_failed_probe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    house = House(policies="x=50/20")
    house.rows.at = sick(house)
    assert capsys.readouterr().out.count('"BreakersOpened":[1]') == 1
    house.fail(x_error(UpstreamUnavailable, 503))
    assert capsys.readouterr().out.count('"BreakersOpened":[1]') == 1


def test_a_quota_is_a_metric_as_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    house = House()
    for _ in range(2):
        house.call()
    with pytest.raises(Deferred):
        house.call()
    house.call(to=("tmdb", "movie"))  # no quota is booked there
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["Provider"], *one["QuotaLeft"], *one["SlotSeconds"]) for one in said] == [
        ("x", 50, 0),
        ("x", 0, 0),
        ("x", 0, 23),
    ]
    for one in said:
        [directive] = one["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            dimensions = METRICS[metric["Name"]].dimensions
            assert directive["Dimensions"] == [["Stage", *dimensions]]


def test_a_budget_nearly_used_up_is_a_metric_once(capsys: pytest.CaptureFixture[str]) -> None:
    house = House(policies="x=50/20")
    for _ in range(9):
        house.call(usd=0.1, does=answered(0.1))
    assert capsys.readouterr().out.count('"BudgetWarnings":[1]') == 1


def test_an_error_that_is_told_and_not_raised_counts_too() -> None:
    house = House(policies="x=50/20")

    def told(call: Call) -> None:
        call.error = x_error(CreditsDepleted, 402)

    house.call(usd=0.3, does=told)
    with pytest.raises(SpendRefused):
        house.call(usd=0.3)


@pytest.mark.parametrize("answers", range(5))
def test_no_call_is_made_while_the_table_is_down(answers: int) -> None:
    house = House(Broken(answers))
    called: list[Call] = []
    with pytest.raises(StoreUnavailable):
        house.call(usd=0.3, does=called.append)
    assert called == []


@pytest.mark.parametrize("answers", range(5, 10))
def test_an_answer_is_kept_where_the_table_fails_after_the_call(
    answers: int, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(Broken(answers))
    called: list[Call] = []
    with caplog.at_level(logging.CRITICAL):
        house.call(usd=0.3, does=called.append)
    assert len(called) == 1


def test_whatever_is_called_outside_of_a_handler_is_let_through() -> None:
    assert current_caller() is None
    with admitted(*SEARCH, most_usd=1e6):
        pass


def test_calls_of_a_step_are_told_apart_and_the_same_in_its_next_attempt() -> None:
    first, second = Caller("e/CollectReviews/x"), Caller("e/CollectReviews/x")
    held = [first.next_holder(*SEARCH), first.next_holder(*SEARCH), first.next_holder("x", "me")]
    assert held == ["e/CollectReviews/x/1", "e/CollectReviews/x/2", "e/CollectReviews/x/1"]
    assert second.next_holder(*SEARCH) == held[0]


def test_the_caller_is_that_of_the_block() -> None:
    caller = Caller("e/FindMovie")
    with calling_as(caller):
        assert current_caller() is caller
    assert current_caller() is None


def test_only_a_slot_ahead_passes_those_who_go_on_without_an_answer() -> None:
    assert not issubclass(SlotAhead, NotAdmitted)
