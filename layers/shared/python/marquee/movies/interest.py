"""How much a film is looked at, and when its reviews are to be collected again by themselves."""

from datetime import datetime, timedelta

from marquee.clock import Moment
from marquee.movies.models import Model

WEEK = timedelta(days=7)
"""Searches count for so long."""

OFTEN = 3
"""Searches in a week, from which on a film is searched often."""

FRESH_FOR_OFTEN = timedelta(days=1)

FRESH_FOR = timedelta(days=6)
"""X finds the posts of the last 7 days: collected a day earlier, none is missed."""

KEPT_UP_FOR = timedelta(days=30)
"""After the last search: what nobody looks at is not paid for."""

MOST_SEARCHES = 20
"""Remembered of a film, the latest."""


class Interest(Model):
    """The searches for a film of the last weeks, and when its reviews were collected last."""

    tmdb_id: int
    title: str = ""
    year: int | None = None
    searched_at: tuple[Moment, ...] = ()
    collected_at: Moment | None = None

    def searched(self, at: datetime) -> "Interest":
        """With a search that began then; the same again changes nothing."""
        oldest = at - KEPT_UP_FOR
        times = sorted({*(time for time in self.searched_at if time > oldest), at})
        return self.model_copy(update={"searched_at": tuple(times[-MOST_SEARCHES:])})

    def collected(self, at: datetime) -> "Interest":
        """With reviews that were collected then."""
        return self.model_copy(update={"collected_at": at})

    def popularity(self, now: datetime) -> int:
        """Searches in the last week."""
        return sum(now - time < WEEK for time in self.searched_at)

    def due_at(self, now: datetime) -> datetime | None:
        """When its reviews are to be collected again, as it is looked at now.

        None where nobody has searched for it of late.
        """
        if not self.searched_at or now - self.searched_at[-1] > KEPT_UP_FOR:
            return None
        if self.collected_at is None:
            return now
        is_often = self.popularity(now) >= OFTEN
        return self.collected_at + (FRESH_FOR_OFTEN if is_often else FRESH_FOR)
