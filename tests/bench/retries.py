"""Adaptive retry beside the fixed 2, 4 and 8 s, on the same recorded faults."""

from collections.abc import Iterator

from tests.bench.report import Line, at_most
from tests.support.fault_traces import Result, compare


def lines() -> Iterator[Line]:
    """Ratios, below 1 where ours is better; virtual time, real breaker and real decisions."""
    compared = compare()
    for name, fixed in (
        ("2, 4, 8 s with full jitter", compared.with_jitter),
        ("2, 4, 8 s without jitter", compared.without_jitter),
    ):
        yield from _against(name, compared.adaptive, fixed)
        yield from _against(
            f"{name}, where no upstream says when", compared.adaptive.untold(), fixed.untold()
        )


def _against(name: str, ours: Result, fixed: Result) -> Iterator[Line]:
    seconds = ours.seconds_to_success / fixed.seconds_to_success
    yield at_most(f"time to success ÷ that of {name}", round(seconds, 2), 1.0)
    yield at_most(f"wasted calls ÷ those of {name}", round(ours.wasted / fixed.wasted, 2), 1.0)
