"""Rate-limit windows of the upstreams' endpoints, with their limits of 2026."""

from collections.abc import Callable
from dataclasses import dataclass

FIFTEEN_MINUTES = 15 * 60
FIVE_MINUTES = 5 * 60
ONE_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Limit:
    """At most `calls` in `seconds`."""

    calls: int
    seconds: float


# From the vendors' documents: per application, of X's `users/…` and `tweets` per user; TMDB's is
# soft and has no headers.
DEFAULT_LIMITS = {
    "tmdb": Limit(40, 1),
    "x/tweets/search/recent": Limit(450, FIFTEEN_MINUTES),
    "x/users/by/username": Limit(300, FIFTEEN_MINUTES),
    "x/users/me": Limit(75, FIFTEEN_MINUTES),
    "x/users/tweets": Limit(900, FIFTEEN_MINUTES),
    "x/tweets": Limit(100, FIFTEEN_MINUTES),
    "x/tweets/day": Limit(10_000, ONE_DAY),
    "x/oauth2/token": Limit(450, FIFTEEN_MINUTES),
    "openai": Limit(500, 60),
    "bluesky/createSession": Limit(30, FIVE_MINUTES),
    "bluesky/searchPosts": Limit(3000, FIVE_MINUTES),
    "mastodon": Limit(300, FIVE_MINUTES),
}


@dataclass(frozen=True)
class Grant:
    """What one call found in its window; `reset` is in seconds since 1970."""

    allowed: bool
    limit: int
    remaining: int
    reset: float


class Windows:
    """Fixed windows that open with the first call of an endpoint and end `seconds` later."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.reset()

    def reset(self) -> None:
        self.limits = dict(DEFAULT_LIMITS)
        self._open: dict[tuple[str, str], tuple[float, int]] = {}

    def set(self, endpoint: str, limit: Limit) -> None:
        self.limits[endpoint] = limit
        for window in [window for window in self._open if window[0] == endpoint]:
            del self._open[window]

    def take(self, endpoint: str, user: str = "") -> Grant:
        """Count one call, of one user where the limit is per user; past the limit it is refused
        and not counted."""
        limit = self.limits[endpoint]
        now = self._now()
        opened, used = self._open.get((endpoint, user), (now, 0))
        if now >= opened + limit.seconds:
            opened, used = now, 0
        allowed = used < limit.calls
        used += allowed
        self._open[endpoint, user] = (opened, used)
        return Grant(allowed, limit.calls, limit.calls - used, opened + limit.seconds)

    def exhausted(self, endpoint: str) -> Grant:
        """The window as a refused call sees it, for an injected 429."""
        limit = self.limits[endpoint]
        opened = min(
            (at for (name, _), (at, _) in self._open.items() if name == endpoint),
            default=self._now(),
        )
        return Grant(False, limit.calls, 0, opened + limit.seconds)
