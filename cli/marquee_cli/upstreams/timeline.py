"""When posts were made, and the ids that X, Mastodon and Bluesky derive from the time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from marquee_cli.upstreams.catalog import stable_number

# X's recent search reaches back 7 days. Posts repeat every 6 days and end at midnight UTC, so that
# all of them lie within that reach at every moment of the day, and nothing changes during a day.
CYCLE = timedelta(days=6)
# X shows nothing younger than 30 s: the newest post is older than that even at midnight.
QUIET = timedelta(minutes=1)

_X_EPOCH_MILLISECONDS = 1_288_834_974_657  # first millisecond of X's snowflake ids
_X_SEQUENCE_BITS = 22
_MASTODON_SEQUENCE_BITS = 16
_BLUESKY_CLOCK_BITS = 10
_BLUESKY_KEY_LENGTH = 13
_BASE32_SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"  # the alphabet of AT Protocol record keys


@dataclass(frozen=True)
class Timeline:
    """Places posts on the days before midnight of the current UTC day, or of the `epoch` day."""

    now: Callable[[], datetime]
    epoch: date | None = None

    @property
    def midnight(self) -> datetime:
        return datetime.combine(self.epoch or self.now().astimezone(UTC).date(), time(), UTC)

    def instant(self, key: str, repeated: timedelta = CYCLE) -> datetime:
        """The time of the post known by `key`: the same all day, and on until it is as old as the
        cycle is long."""
        cycle = int(repeated / timedelta(milliseconds=1))
        phase = stable_number(f"time {key}") % cycle
        newest = _milliseconds(self.midnight - QUIET)
        return _from_milliseconds(newest - (newest - phase) % cycle)


def snowflake(at: datetime, key: str) -> int:
    """The id of an X post."""
    return (_milliseconds(at) - _X_EPOCH_MILLISECONDS) << _X_SEQUENCE_BITS | stable_number(
        key, _X_SEQUENCE_BITS
    )


def snowflake_time(identifier: int) -> datetime:
    """When the X post with this id was made."""
    return _from_milliseconds((identifier >> _X_SEQUENCE_BITS) + _X_EPOCH_MILLISECONDS)


def mastodon_id(at: datetime, key: str) -> int:
    """The id of a Mastodon status."""
    return _milliseconds(at) << _MASTODON_SEQUENCE_BITS | stable_number(
        key, _MASTODON_SEQUENCE_BITS
    )


def record_key(at: datetime, key: str) -> str:
    """The key (TID) of a Bluesky record: microseconds and a clock id in sortable base 32."""
    number = (_milliseconds(at) * 1000) << _BLUESKY_CLOCK_BITS | stable_number(
        key, _BLUESKY_CLOCK_BITS
    )
    digits = ""
    while len(digits) < _BLUESKY_KEY_LENGTH:
        number, digit = divmod(number, len(_BASE32_SORTABLE))
        digits = _BASE32_SORTABLE[digit] + digits
    return digits


def iso_milliseconds(at: datetime) -> str:
    """`2026-03-01T12:30:15.250Z`, the form all three networks use."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _from_milliseconds(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
