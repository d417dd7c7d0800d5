"""The benchmark's arithmetic: what AWS charges for a usage."""

import pytest

from tests.bench.prices import Invocation, Usage


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(), 0),
        (Usage(transitions=1_000), 0.025),
        (Usage(write_units=1_000_000), 0.625),
        (Usage(read_units=1_000_000), 0.125),
        (Usage(api_requests=1_000_000), 3.50),
        (Usage(events=1_000_000), 1.00),
        (Usage(log_bytes=10**9), 0.50),
        (Usage(invocations=(Invocation(0, 512),) * 1_000), 0.0002),
        (Usage(invocations=(Invocation(2_000_000, 512),)), 0.0133334 + 0.0000002),
    ],
)
def test_each_part_costs_its_list_price(usage: Usage, usd: float) -> None:
    assert usage.usd == pytest.approx(usd)


def some_of(*durations: float) -> Usage:
    return Usage(invocations=tuple(Invocation(ms, 512) for ms in durations))


def test_each_invocation_is_rounded_up_to_the_millisecond() -> None:
    billed = some_of(1, 1, 1).costs()["Lambda time"]
    assert some_of(0.1, 0.5, 1.0).costs()["Lambda time"] == pytest.approx(billed)


def test_costs_are_the_whole_of_a_search() -> None:
    usage = Usage(8, 20.5, 130, (Invocation(120, 512), Invocation(40, 512)), 1, 2, 3_000)
    assert sum(usage.costs().values()) == pytest.approx(usage.usd)
    assert usage.usd == pytest.approx(
        0.0002
        + 130 * 0.625e-6
        + 20.5 * 0.125e-6
        + 2 * 0.2e-6
        + 0.160 * 0.5 * 0.0000133334
        + 3.5e-6
        + 2e-6
        + 3_000 * 0.5e-9
    )
