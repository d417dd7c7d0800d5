"""What stands before every call of an upstream, and learns from its answer.

::

    with admitted("x", "tweets/search/recent", most_usd=0.05) as call:
        answer = …            # made at once: it counts as made
        call.headers = …      # what the answer says of the quota
        call.usd = …          # what it cost

The order is: is the upstream well (breaker), may it be paid for (spend), is there quota (slot).
Whoever is not let through gets an error that says when: SlotAhead, Deferred, SpendRefused or
BreakerOpen. Where GatewayTable does not answer that is StoreUnavailable, and no call is made. What
can not be written down after a call is logged, and never costs the answer: a reservation that is
not settled becomes spent money by itself.

A breaker is one read a call, for every upstream. A slot is one read and one write, where a quota is
booked at all (`quota.BOOKED`); a reservation two of each, where a call has a price.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from marquee import aws
from marquee.aws import only_logged
from marquee.clock import now
from marquee.errors import (
    BreakerOpen,
    CreditsDepleted,
    Deferred,
    RateLimited,
    SlotAhead,
    SpendRefused,
)
from marquee.gateway.breaker import Breakers, Pass
from marquee.gateway.callers import Caller, current_caller
from marquee.gateway.quota import APP, Policies, Policy, Quota
from marquee.gateway.rows import DynamoRows, Rows
from marquee.gateway.spend import Cap, Spend, Threshold, read_caps
from marquee.observability import emit, gauge, logger
from marquee.settings import Settings, settings

IN_REACH = timedelta(seconds=10)
"""How long a search waits for a slot: somebody waits for it."""

NOT_AT_ALL = timedelta(0)
"""For whoever is not called again."""


@dataclass
class Call:
    """A call that may be made now; whoever makes it says what came of it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer, names in lower case."""
    usd: float | None = None
    """What it cost. Left at None it cost nothing if the upstream refused it, else all it could."""
    error: Exception | None = None
    """Why there is no answer to use, where that is not raised."""


@dataclass(frozen=True)
class Gate:
    """The three questions, asked of the same rows by everyone."""

    rows: Rows
    policies: Policies
    caps: tuple[Cap, ...]
    stage: str
    clock: Callable[[], datetime] = now

    @classmethod
    def connect(cls, given: Settings) -> "Gate":
        """That of an installation; raises Misconfigured where a setting can not be read."""
        return cls(
            DynamoRows(aws.table(given.require("gateway_table"))),
            Policies(given.quota_policies),
            read_caps(given.spend_caps),
            given.stage,
        )

    @contextmanager
    def admitted(
        self,
        caller: Caller,
        provider: str,
        endpoint: str,
        *,
        most_usd: float = 0.0,
        credential: str = APP,
        within: timedelta | None = IN_REACH,
    ) -> Iterator[Call]:
        """See `admitted` below."""
        at = self.clock()
        policy = self.policies.booked(provider, endpoint, credential)
        holder = caller.next_holder(provider, endpoint)
        # An attempt that died may have been in its call: the next one pays for itself.
        payer = f"{holder}/{uuid4().hex}"
        with ExitStack() as undo:  # whoever is refused further on keeps nothing from others
            try:
                passed = self._ask(provider, endpoint, at)
                undo.callback(self._hand_back, provider, endpoint, passed)
                self._reserve(provider, endpoint, most_usd, payer, at)
            except (BreakerOpen, SpendRefused):
                if policy and caller.can_wait:
                    self._give_back(policy, holder)
                raise
            undo.callback(self._settle, payer, most_usd, 0.0)
            if policy:
                self._begin(policy, endpoint, holder, within if caller.can_wait else NOT_AT_ALL, at)
            undo.pop_all()
        call = Call()
        try:
            yield call
        except Exception as error:
            call.error = error
            raise
        finally:
            self._settle(payer, most_usd, _cost(call, most_usd))
            self._learn(provider, endpoint, policy, passed, call)

    def _ask(self, provider: str, endpoint: str, at: datetime) -> Pass:
        passed = Breakers(self.rows).ask(provider, endpoint, now=at)
        if not passed.allowed:
            raise BreakerOpen(
                passed.reason, provider=provider, endpoint=endpoint, at=passed.retry_at
            )
        return passed

    def _hand_back(self, provider: str, endpoint: str, passed: Pass) -> None:
        with only_logged("that a probe was not sent"):
            Breakers(self.rows).hand_back(provider, endpoint, passed, now=self.clock())

    def _give_back(self, policy: Policy, holder: str) -> None:
        with only_logged("that a slot is not needed"):
            Quota(self.rows).give_back(policy, holder, now=self.clock())

    def _reserve(
        self, provider: str, endpoint: str, most_usd: float, payer: str, at: datetime
    ) -> None:
        reserved = self._spend.reserve(provider, most_usd, payer, now=at)
        self._tell(reserved.thresholds)
        if not reserved.granted:
            raise SpendRefused(
                reserved.reason, provider=provider, endpoint=endpoint, at=reserved.opens_at
            )

    def _begin(
        self, policy: Policy, endpoint: str, holder: str, within: timedelta | None, at: datetime
    ) -> None:
        slot = Quota(self.rows).begin(policy, holder, now=at, within=within)
        seconds = 0.0 if slot.begun else max(0.0, (slot.at - at).total_seconds())
        emit(
            {"SlotSeconds": [seconds], "QuotaLeft": [slot.left_percent]},
            stage=self.stage,
            Provider=policy.provider,
        )
        if slot.booked:
            raise SlotAhead(provider=policy.provider, endpoint=endpoint, at=slot.at)
        if not slot.begun:
            reason = f"no slot is near ({policy.calls} calls in {policy.seconds} s)"
            raise Deferred(reason, provider=policy.provider, endpoint=endpoint, at=slot.at)

    def _settle(self, payer: str, most_usd: float, usd: float) -> None:
        if most_usd:
            with only_logged("what a call cost"):
                self._tell(self._spend.settle(payer, usd, now=self.clock()))

    def _learn(
        self, provider: str, endpoint: str, policy: Policy | None, passed: Pass, call: Call
    ) -> None:
        at = self.clock()
        if policy:
            refused = isinstance(call.error, RateLimited)
            with only_logged("what is left of a quota"):
                Quota(self.rows).used(policy, call.headers, now=at, refused=refused)
        if isinstance(call.error, CreditsDepleted):
            with only_logged("that a provider's credits are used up"):
                self._spend.close(provider, str(call.error), now=at)
        with only_logged("how an upstream is"):
            opened = Breakers(self.rows).record(provider, endpoint, passed, call.error, now=at)
            if opened:
                logger.error("an upstream is left alone", provider=provider, endpoint=endpoint)
                gauge("BreakersOpened", 1, stage=self.stage)

    def _tell(self, thresholds: tuple[Threshold, ...]) -> None:
        for threshold in thresholds:
            logger.warning("a budget is nearly used up", **vars(threshold))
            gauge("BudgetWarnings", 1, stage=self.stage)

    @property
    def _spend(self) -> Spend:
        return Spend(self.rows, self.caps)


@contextmanager
def admitted(
    provider: str,
    endpoint: str,
    *,
    most_usd: float = 0.0,
    credential: str = APP,
    within: timedelta | None = IN_REACH,
) -> Iterator[Call]:
    """Let the block make one call, if it may be made now, and learn from what it says of it.

    ``most_usd`` is the most that the call can cost, ``credential`` the name of who is limited.
    ``within`` is how far away a slot may be to be waited for; None: however far. Raises SlotAhead,
    a NotAdmitted, StoreUnavailable, or Misconfigured, all before the block. Outside of a handler
    (a test of one module, a look by hand) nothing is asked.
    """
    caller = current_caller()
    if caller is None:
        yield Call()
        return
    gate = Gate.connect(settings())
    with gate.admitted(
        caller, provider, endpoint, most_usd=most_usd, credential=credential, within=within
    ) as call:
        yield call


def _cost(call: Call, most_usd: float) -> float:
    if call.usd is not None:
        return call.usd
    refused = (getattr(call.error, "status", None) or 0) >= 400
    return 0.0 if refused else most_usd
