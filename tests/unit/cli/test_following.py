"""Following an execution: pauses, what a line that breaks for a while does, and when to give up."""

from collections.abc import Iterator, Sequence

import httpx
import pytest

from marquee_cli.client import ApiError, Client
from marquee_cli.following import LONGEST_PAUSE_SECONDS, MISSED_FOR_SECONDS, statuses

FOUND = httpx.Response(200, json={"status": "RUNNING"})
GONE = httpx.Response(404, json={"detail": "there is no workflow of that id"})


class Passing:
    """Time that passes only by pausing."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        return sum(self.pauses)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def seen(
    answers: Sequence[httpx.Response | Exception], seconds: float = 600.0
) -> tuple[int, Passing]:
    """How many documents there were before the time or the answers' last one was over.

    The last answer is repeated for ever.
    """
    given: Iterator[httpx.Response | Exception] = iter(answers)
    last = answers[-1]
    time = Passing()

    def answer(_: httpx.Request) -> httpx.Response:
        next_one = next(given, last)
        if isinstance(next_one, Exception):
            raise next_one
        return next_one

    with Client(
        "http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None
    ) as client:
        found = statuses(client, "w", seconds=seconds, now=time.now, pause=time.pause)
        return sum(1 for _ in found), time


def test_pauses_grow_to_a_second_and_end_with_the_time() -> None:
    count, time = seen([FOUND], seconds=60)
    assert time.pauses[0] < time.pauses[5] < LONGEST_PAUSE_SECONDS
    assert max(time.pauses) == time.pauses[-1] == LONGEST_PAUSE_SECONDS
    assert 60 <= time.now() < 60 + LONGEST_PAUSE_SECONDS
    assert count == len(time.pauses)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("broken"),
        httpx.ReadTimeout("late"),
        httpx.Response(429, json={"message": "Too Many Requests"}),
        httpx.Response(500),
        httpx.Response(502, json={"message": "Internal server error"}),
        httpx.Response(503, json={"detail": "the database did not answer in time"}),
        httpx.Response(504, json={"message": "Endpoint request timed out"}),
    ],
)
def test_trouble_that_passes_is_outlived_and_trouble_that_stays_is_not(
    trouble: httpx.Response | Exception,
) -> None:
    count, _ = seen([FOUND, *[trouble] * 9, FOUND, *[trouble] * 9, FOUND], seconds=60)
    assert count > 2
    with pytest.raises(ApiError):
        seen([FOUND, trouble])


def test_patience_begins_anew_with_every_answer() -> None:
    trouble = httpx.Response(503)
    long_trouble = [trouble] * int(MISSED_FOR_SECONDS - 5)
    count, time = seen([FOUND, *long_trouble, FOUND, *long_trouble, FOUND], seconds=90)
    assert time.now() > 2 * MISSED_FOR_SECONDS
    assert count > 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_ends_it_at_once(status: int) -> None:
    with pytest.raises(ApiError) as refused:
        seen([FOUND, httpx.Response(status)])
    assert refused.value.status == status


def test_an_execution_may_be_unknown_for_the_first_moments_only() -> None:
    count, _ = seen([GONE, GONE, FOUND], seconds=10)
    assert count > 1
    with pytest.raises(ApiError, match="404: there is no workflow of that id"):
        seen([GONE])
    with pytest.raises(ApiError, match="404"):
        seen([*[FOUND] * 30, GONE])
