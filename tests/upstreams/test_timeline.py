"""Posts are always recent, and stay where they are while they are."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from marquee_cli.upstreams.timeline import Timeline, record_key, snowflake, snowflake_time
from marquee_cli.upstreams.windows import Limit, Windows

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds UTC


@given(MOMENTS, st.text())
def test_a_post_is_never_older_than_seven_days_nor_younger_than_x_shows(
    now: datetime, key: str
) -> None:
    at = Timeline(lambda: now).instant(key)
    assert now - timedelta(days=7) < at <= now - timedelta(seconds=30)


@given(MOMENTS, st.text())
def test_a_post_stays_where_it_is_until_it_is_too_old(now: datetime, key: str) -> None:
    today, tomorrow = Timeline(lambda: now), Timeline(lambda: now + timedelta(days=1))
    moved = tomorrow.instant(key) - today.instant(key)
    assert moved in (timedelta(0), timedelta(days=6))


def test_an_epoch_fixes_the_day() -> None:
    fixed = Timeline(lambda: datetime(2030, 5, 5, tzinfo=UTC), date(2026, 3, 1))
    assert fixed.midnight == datetime(2026, 3, 1, tzinfo=UTC)


@given(MOMENTS, st.text())
def test_ids_tell_the_time_and_grow_with_it(at: datetime, key: str) -> None:
    assert abs(snowflake_time(snowflake(at, key)) - at) < timedelta(milliseconds=1)
    later = at + timedelta(milliseconds=2)
    assert snowflake(later, key) > snowflake(at, key)
    assert record_key(later, key) > record_key(at, key)
    assert len(record_key(at, key)) == 13


def test_a_window_refuses_past_its_limit_and_opens_again() -> None:
    now = [1000.0]
    windows = Windows(lambda: now[0])
    windows.set("tmdb", Limit(2, 10))
    assert [windows.take("tmdb").remaining for _ in range(2)] == [1, 0]
    now[0] += 9.9
    refused = windows.take("tmdb")
    assert (refused.allowed, refused.remaining, refused.reset) == (False, 0, 1010)
    now[0] += 0.1
    assert windows.take("tmdb").allowed
    windows.reset()
    assert windows.take("tmdb").limit == 40
