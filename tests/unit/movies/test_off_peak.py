"""Off-peak hours: in any time zone, over midnight, and on days of another length."""

from datetime import UTC, datetime

import pytest

from marquee.errors import Misconfigured
from marquee.movies.off_peak import OffPeak


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "is_open"),
    [
        ("01:00-07:00 UTC", "2026-03-14 00:59", False),
        ("01:00-07:00 UTC", "2026-03-14 01:00", True),
        ("01:00-07:00", "2026-03-14 06:59", True),
        ("01:00-07:00", "2026-03-14 07:00", False),
        ("22:00-04:00", "2026-03-14 23:00", True),
        ("22:00-04:00", "2026-03-14 03:59", True),
        ("22:00-04:00", "2026-03-14 12:00", False),
        ("00:00-00:00", "2026-03-14 12:00", True),
        ("01:00-07:00 Asia/Kolkata", "2026-03-13 19:29", False),
        ("01:00-07:00 Asia/Kolkata", "2026-03-13 19:30", True),
    ],
)
def test_it_is_off_peak_between_the_two_times(window: str, now: str, is_open: bool) -> None:
    assert OffPeak.parse(window).is_open(at(now)) is is_open


@pytest.mark.parametrize(
    ("window", "now", "opens_at"),
    [
        ("01:00-07:00", "2026-03-14 03:00", "2026-03-14 03:00"),
        ("01:00-07:00", "2026-03-14 00:30", "2026-03-14 01:00"),
        ("01:00-07:00", "2026-03-14 20:00", "2026-03-15 01:00"),
        ("22:00-04:00", "2026-03-14 12:00", "2026-03-14 22:00"),
        # The night in which Berlin's clocks go forward: the next opening is 23 hours later.
        ("01:00-02:00 Europe/Berlin", "2026-03-28 12:00", "2026-03-29 00:00"),
        ("03:00-05:00 Europe/Berlin", "2026-03-28 04:30", "2026-03-29 01:00"),
    ],
)
def test_it_opens_at_the_next_beginning(window: str, now: str, opens_at: str) -> None:
    assert OffPeak.parse(window).opens_at(at(now)) == at(opens_at)


@pytest.mark.parametrize(
    "text", ["", "01:00", "1-7", "01:00-24:00", "25:00-07:00", "01:00-07:00 Nowhere/Land"]
)
def test_what_is_no_window_is_named(text: str) -> None:
    with pytest.raises(Misconfigured, match="BACKFILL_WINDOW is"):
        OffPeak.parse(text)
