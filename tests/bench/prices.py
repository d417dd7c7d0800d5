"""What a workflow used and what AWS charges for it, at list price.

Prices are those of us-east-1 in 2026, on demand, without the free tier; they move, and are to be
checked against aws.amazon.com/<service>/pricing.
"""

from dataclasses import dataclass, fields
from math import ceil
from typing import NamedTuple

TRANSITION_USD = 0.025 / 1_000
"""Step Functions Standard: one state entered; a retry enters it again."""

WRITE_UNIT_USD = 0.625 / 1_000_000
"""DynamoDB on demand: 1 KB written."""

READ_UNIT_USD = 0.125 / 1_000_000
"""DynamoDB on demand: 4 KB read consistently; an eventually consistent read takes half a unit."""

LAMBDA_REQUEST_USD = 0.20 / 1_000_000
LAMBDA_GB_SECOND_USD = 0.0000133334
"""Lambda on arm64, the template's default."""

API_REQUEST_USD = 3.50 / 1_000_000
"""API Gateway, REST."""

EVENT_USD = 1.00 / 1_000_000
"""EventBridge: one custom event of up to 64 KB; the events of AWS services are free."""

LOG_BYTE_USD = 0.50 / 1e9
"""CloudWatch Logs: one byte taken in."""


class Invocation(NamedTuple):
    """How long a function ran, and its MemorySize."""

    ms: float
    mb: int


@dataclass(frozen=True)
class Usage:
    """What ran; each field is charged for."""

    transitions: int = 0
    read_units: float = 0
    write_units: float = 0
    invocations: tuple[Invocation, ...] = ()
    api_requests: int = 0
    events: int = 0
    log_bytes: int = 0

    def costs(self) -> dict[str, float]:
        """USD by service; Lambda bills each invocation rounded up to the millisecond."""
        gb_seconds = sum(ceil(call.ms) / 1000 * call.mb / 1024 for call in self.invocations)
        return {
            "Step Functions": self.transitions * TRANSITION_USD,
            "DynamoDB writes": self.write_units * WRITE_UNIT_USD,
            "DynamoDB reads": self.read_units * READ_UNIT_USD,
            "Lambda requests": len(self.invocations) * LAMBDA_REQUEST_USD,
            "Lambda time": gb_seconds * LAMBDA_GB_SECOND_USD,
            "API Gateway": self.api_requests * API_REQUEST_USD,
            "EventBridge": self.events * EVENT_USD,
            "CloudWatch Logs": self.log_bytes * LOG_BYTE_USD,
        }

    @property
    def usd(self) -> float:
        """All of it."""
        return sum(self.costs().values())

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
