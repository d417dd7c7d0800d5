"""The bench's comparison of booked slots with a polled token bucket, on a small load."""

from tests.bench import quotas


def test_booking_takes_fewer_steps_and_less_waiting_than_polling() -> None:
    lines = list(quotas.lines(bursts=(30,)))
    assert [line.what for line in lines if line.met is False] == []
    assert {line.met for line in lines} == {True, None}
    booked = next(line for line in lines if "steps, booked" in line.what)
    assert 1 < float(booked.figure) <= 2
