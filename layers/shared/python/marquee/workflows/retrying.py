"""What a step makes of an upstream's failure: it waits as it does for a slot, gives up, or neither.

The attempts of a step know of each other through its record, across the Retry and the Wait states
of a definition. Where the record or GatewayTable does not answer, an error stays what it is, and
the definition's own Retry decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf

from marquee.clock import now
from marquee.errors import GivenUp, NotAdmitted, RetryAhead, SlotAhead
from marquee.gateway.retries import MOST_RETRIES, RETRIED, Do, Fault, Retries, met
from marquee.observability import Tally, logger
from marquee.settings import settings
from marquee.workflows.record import LastFailure


@dataclass(frozen=True)
class Attempt:
    """One attempt of a step."""

    number: int
    """From 1, over all the ways on which a step is called again; a wait for a slot counts none."""
    of_definition: int
    """The same as the definition's Retry counts it, which begins anew after a Wait."""
    began: datetime
    fault: Fault | None = None
    """What the ones before it have met."""
    decides: bool = False
    """Its state waits where it is told to, and the record knows the attempts before this one."""

    @classmethod
    def of(
        cls, of_definition: int, last: LastFailure | None, began: datetime, *, decides: bool
    ) -> "Attempt":
        """The one that follows the last failure, if there was one."""
        if last is None:
            return cls(of_definition, of_definition, began, decides=decides)
        called = last.error is None or last.error.name != SlotAhead.__name__
        fault = Fault.model_validate(last.fault) if last.fault else None
        number = max(of_definition, last.attempts + called)
        return cls(number, of_definition, began, fault, decides)

    def failed(self, error: Exception) -> tuple[Exception, Fault | None]:
        """The error under which the step ends, and what the next attempt is to know."""
        if not self.decides:
            return error, None
        if isinstance(error, NotAdmitted):
            self._learn(self.fault, inf)
            return error, None
        if not isinstance(error, RETRIED):
            return error, self.fault
        fault = met(error, self.fault, began=self.began, now=now())
        verdict = _known(lambda retries: retries.decide(error, fault, self.number, now=now()))
        if verdict is None:
            return error, fault
        logger.info("retry", verdict=verdict.do, reason=verdict.reason, attempt=self.number)
        if verdict.at:
            return RetryAhead(error, verdict.at), fault
        if verdict.do is Do.AS_DEFINED:
            return error, fault
        self._learn(fault, inf)
        # After its last attempt the definition itself lets the error pass, under its own name.
        return error if self.of_definition > MOST_RETRIES else GivenUp(error), None

    def succeeded(self, tally: Tally) -> None:
        """The step has ended, with an answer of the upstream or without."""
        if self.decides and self.fault:
            calls = [call for call in tally.upstream_calls if call.provider == self.fault.provider]
            answered = any(not call.error for call in calls)
            self._learn(self.fault, self.fault.age(self.began) if answered else inf)

    @staticmethod
    def _learn(fault: Fault | None, over_by: float) -> None:
        if fault:
            _known(lambda retries: retries.learn(fault, over_by, now=now()))


def _known[T](ask: Callable[[Retries], T]) -> T | None:
    """What the rows say; None where they do not: whatever it is, it costs no step its end."""
    try:
        return ask(Retries.connect(settings()))
    except Exception:
        logger.warning("how long faults last is not known", exc_info=True)
        return None
