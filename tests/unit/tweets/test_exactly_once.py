"""Every tweet is posted exactly once, or says why not, whatever fails, and wherever.

Two proofs over one world (`world.py`): all single and double faults of a run that is written down,
one after the other, and a search by Hypothesis through interleaved executions.
"""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from marquee.observability import logger
from marquee.tweets.models import Change, LedgerState, Status, Tweet
from tests.unit.tweets.world import (
    FAULTS,
    LONGEST_LAG,
    SOURCE,
    START,
    Actor,
    Fault,
    SteppedWorld,
    World,
)

BEHIND, AHEAD = timedelta(minutes=-5), timedelta(minutes=5)
SKEWS = (BEHIND, timedelta(), AHEAD)
LAGS = (timedelta(), LONGEST_LAG)

TEXT = "Popcorn & RRR 🕺🏽 tonight: https://cinema.example.com/rrr?seats=2&row=7 — café"
SAME_TEXT = "Popcorn &amp; RRR 🕺🏽  tonight: https://cinema.example.com/other — cafe\u0301"
OTHER_TEXT = "Naatu Naatu, again and again"

SINGLE_FAULTS = 800
DOUBLE_FAULTS = 7966
"""How many runs there are: a run that gains or loses an effect shows here."""

REFUSALS = {Fault.REFUSED}
"""What X says once and for all."""


def approved(tweet_id: str, text: str) -> Tweet:
    return Tweet(
        account=SOURCE,
        tweet_id=tweet_id,
        author=SOURCE,
        text=text,
        created_at=START,
        status=Status.APPROVED,
        final_text=text,
        history=(Change(at=START, to=Status.APPROVED),),
    )


def scripted(world: World, *texts: str) -> list[str]:
    """Publish, come to rest, and do it all again; the effects up to that rest."""
    for number, text in enumerate(texts, start=101):
        world.approve(approved(str(number), text))
    for number, _ in enumerate(texts, start=101):
        world.publish(str(number))
    world.come_to_rest()
    world.check_rest()
    effects = list(world.effects)
    world.check_replay()
    return effects


def single_faults(effects: list[str], after: int = -1) -> Iterator[tuple[int, Fault]]:
    """Every way in which each effect after that one can go wrong."""
    for number, kind in enumerate(effects):
        if number > after:
            yield from ((number, fault) for fault in FAULTS[kind])


def states(world: World) -> list[LedgerState]:
    return [entry.state for entry in world.all_entries()]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Every fault is logged with its traceback; here there are thousands."""
    level = logger.log_level
    logger.setLevel("CRITICAL")
    yield
    logger.setLevel(level)


def test_no_single_fault_doubles_or_loses_a_post() -> None:
    endings: Counter[LedgerState] = Counter()
    for skew, lag, refuses_duplicates in (
        (BEHIND, LONGEST_LAG, False),
        (AHEAD, LONGEST_LAG, False),
        (timedelta(), timedelta(), False),
        (BEHIND, LONGEST_LAG, True),
    ):
        world_with = partial(
            World,
            skew=skew,
            lag=lag,
            refuses_duplicates=refuses_duplicates,
            # As often as an execution looks that follows its waits, and more often than the timer.
            sweeps_every=timedelta(seconds=130),
        )
        calm = world_with()
        effects = scripted(calm, TEXT, SAME_TEXT, OTHER_TEXT)
        assert states(calm) == [LedgerState.POSTED, LedgerState.SKIPPED, LedgerState.POSTED]
        assert calm.calls == 2
        for number, fault in single_faults(effects):
            world = world_with({number: fault})
            scripted(world, TEXT, SAME_TEXT, OTHER_TEXT)
            ended = states(world)
            endings.update(ended)
            # What X refused, the other tweet may say; nothing else is left unposted.
            assert ended.count(LedgerState.POSTED) == 2 or fault in REFUSALS, (number, fault)
            assert ended.count(LedgerState.REJECTED) == world.refusals, (number, fault)
    assert endings[LedgerState.NEEDS_HUMAN] == 0
    print(f"{sum(endings.values()) // 3} single faults: {dict(endings)}")
    assert sum(endings.values()) // 3 == SINGLE_FAULTS


def test_no_two_faults_double_or_lose_a_post() -> None:
    """X neither refuses duplicates here nor shows posts soon: the ledger stands alone; and its
    clock is behind or ahead, each in half of the cases."""
    endings: Counter[LedgerState] = Counter()
    clocks = random.Random(DOUBLE_FAULTS)  # noqa: S311 - no secret

    def world_with(faults: dict[int, Fault] | None = None) -> World:
        return World(faults or {}, skew=clocks.choice((BEHIND, AHEAD)), lag=LONGEST_LAG)

    for first in single_faults(scripted(world_with(), TEXT)):
        effects = scripted(world_with(dict([first])), TEXT)
        for second in single_faults(effects, after=first[0]):
            world = world_with(dict([first, second]))
            scripted(world, TEXT)
            [ended] = states(world)
            endings[ended] += 1
            # A refusal whose answer was lost is no refusal: it is sent again, and X may take it.
            refused = ended is LedgerState.REJECTED and world.refusals
            assert ended is LedgerState.POSTED or refused, (first, second)
    print(f"{sum(endings.values())} double faults: {dict(endings)}")
    assert sum(endings.values()) == DOUBLE_FAULTS


class ExactlyOnce(RuleBasedStateMachine):
    """Executions of every kind, stopped and killed between any two of their effects."""

    @initialize(
        skew=st.sampled_from(SKEWS), lag=st.sampled_from(LAGS), refuses_duplicates=st.booleans()
    )
    def begin(self, skew: timedelta, lag: timedelta, refuses_duplicates: bool) -> None:
        self.world = SteppedWorld(skew=skew, lag=lag, refuses_duplicates=refuses_duplicates)
        self.actors: list[Actor] = []
        self.tweet_ids: list[str] = []
        self.approve(TEXT)

    @precondition(lambda self: len(self.tweet_ids) < 4)
    @rule(text=st.sampled_from((TEXT, SAME_TEXT, OTHER_TEXT)))
    def approve(self, text: str) -> None:
        tweet_id = str(101 + len(self.tweet_ids))
        self.tweet_ids.append(tweet_id)
        self.world.approve(approved(tweet_id, text))

    @precondition(lambda self: len(self.actors) < 4)
    @rule(data=st.data(), kind=st.sampled_from(("publish", "publish", "reconcile", "sweep")))
    def start(self, data: st.DataObject, kind: str) -> None:
        world, tweet_id = self.world, data.draw(st.sampled_from(self.tweet_ids))
        what = {
            "publish": lambda: world.publish(tweet_id),
            "reconcile": lambda: world.reconcile(tweet_id),
            "sweep": world.sweep,
        }[kind]
        self._keep(Actor(world, what))

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        self.actors.remove(actor)
        for _ in range(steps):
            if not actor.done:
                actor.step()
        self._keep(actor)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        self.actors.remove(actor)
        others = {
            Fault.INTRUDER_BEFORE,
            Fault.INTRUDER_AFTER,
            Fault.PAUSE_BEFORE,
            Fault.PAUSE_AFTER,
        }
        faults = [fault for fault in FAULTS[actor.kind] if fault not in others]
        actor.step(data.draw(st.sampled_from(faults)))
        self._keep(actor)

    @rule(seconds=st.sampled_from((1, 45, 61, 130, 300, 620)))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(timedelta(seconds=seconds))

    @invariant()
    def the_balance_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def _keep(self, actor: Actor) -> None:
        if not actor.done:
            self.actors.append(actor)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for actor in self.actors:
            while not actor.done:
                actor.step(Fault.CRASH_BEFORE)
            actor.join()
        self.world.come_to_rest()
        self.world.check_rest()
        self.world.check_replay()


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    database=None,
    # The same interleavings on every run: a red build is a change's doing.
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
