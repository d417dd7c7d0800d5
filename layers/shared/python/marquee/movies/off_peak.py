"""The hours of a day in which few people search: ``01:00-07:00 UTC``, in any time zone."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Self

# Every installation of boto3 has it, and it brings the time zones that an image may lack.
from dateutil import tz  # type: ignore[import-untyped]  # ships no types

from marquee.clock import in_utc
from marquee.errors import Misconfigured

_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_HOURS = re.compile(rf"({_TIME})-({_TIME})(?: (\S+))?")


@dataclass(frozen=True)
class OffPeak:
    """From ``begins`` until before ``ends``, over midnight where that is earlier.

    A day whose two times are equal is off-peak as a whole.
    """

    begins: time
    ends: time
    zone: tzinfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """``01:00-07:00 Europe/Berlin``; without a zone it is UTC.

        Raises Misconfigured for other text and for a zone that nobody knows.
        """
        found = _HOURS.fullmatch(text)
        zone = tz.gettz(found[3] or "UTC") if found else None
        if found is None or zone is None:
            raise Misconfigured(f"BACKFILL_WINDOW is {text!r}: say 01:00-07:00 and a time zone")
        return cls(time.fromisoformat(found[1]), time.fromisoformat(found[2]), zone)

    def is_open(self, now: datetime) -> bool:
        """Whether it is off-peak."""
        clock = now.astimezone(self.zone).time()
        if self.begins < self.ends:
            return self.begins <= clock < self.ends
        return clock >= self.begins or clock < self.ends

    def opens_at(self, now: datetime) -> datetime:
        """``now`` where it is off-peak, else when that begins; in UTC."""
        if self.is_open(now):
            return in_utc(now)
        local = now.astimezone(self.zone)
        opening = datetime.combine(local.date(), self.begins, self.zone)
        # By the wall clock: in another time zone a day may have 23 or 25 hours.
        return in_utc(opening if opening > local else opening + timedelta(days=1))
