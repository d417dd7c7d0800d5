"""What the change of the account of spending says to others."""

from collections.abc import Iterator

from marquee.events.models import BudgetThreshold, DomainEvent
from marquee.events.outbox import Item
from marquee.gateway.spend import KEY, Threshold


def budget_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """The thresholds that were reached with this change."""
    if (new["pk"], new["sk"]) != KEY:
        return
    for name, facts in new.get("reached", {}).items():
        # The same threshold as yesterday's is another one.
        if facts != old.get("reached", {}).get(name):
            said = Threshold.of(facts)
            subject = (said.period, said.scope, str(said.percent), f"{said.cap_usd:g}")
            yield BudgetThreshold.about(*subject, occurred_at=facts["at"], **vars(said))
