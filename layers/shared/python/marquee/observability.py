"""The logger, and the tally of what one invocation did: upstream calls, DynamoDB operations."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools import Logger

logger = Logger(service="marquee")
"""JSON to CloudWatch Logs; level by the variable POWERTOOLS_LOG_LEVEL."""


@dataclass
class Tally:
    """What one invocation did; steps add theirs to the workflow record."""

    calls: Counter[str] = field(default_factory=Counter)
    """Upstream calls by ``<provider>.<outcome>``, outcome ``successful`` or ``failed``."""
    cost_usd: float = 0.0
    """What the upstreams charge for these calls, at list price."""
    operations: Counter[str] = field(default_factory=Counter)
    """DynamoDB requests by operation name, failed ones as ``<operation>.failed``."""
    read_units: float = 0.0
    write_units: float = 0.0

    def add_call(self, provider: str, *, successful: bool, cost_usd: float = 0.0) -> None:
        """Count one upstream call that was sent."""
        self.calls[f"{provider}.{'successful' if successful else 'failed'}"] += 1
        self.cost_usd += cost_usd

    def as_counts(self) -> dict[str, Any]:
        """The tally as it stands in a workflow record, without what is nothing."""
        counts = {
            "calls": dict(self.calls),
            "cost_usd": round(self.cost_usd, 6),
            "operations": dict(self.operations),
            "read_units": self.read_units,
            "write_units": self.write_units,
        }
        return {name: count for name, count in counts.items() if count}


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tallying() -> Iterator[Tally]:
    """Collect what happens inside the block."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def current_tally() -> Tally:
    """The tally of the block we are in; outside of one, a tally that nobody reads."""
    return _current.get() or Tally()
