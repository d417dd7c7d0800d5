"""A virtual clock for code that waits: actors are threads, of which exactly one runs at a time."""

import heapq
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class VirtualTime:
    """Runs actors in the order of their own waits: the same order every time, in no real time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = count()
        self._due: list[tuple[float, int, threading.Event]] = []
        self._idle = threading.Event()
        self._failures: list[BaseException] = []

    def now(self, skew: float = 0.0) -> datetime:
        """What a clock that is ``skew`` seconds ahead shows."""
        return START + timedelta(seconds=self.seconds + skew)

    def seconds_until(self, moment: datetime) -> float:
        """From now on; below 0 for what has passed."""
        return (moment - START).total_seconds() - self.seconds

    def start(self, actor: Callable[[], None], *, after: float = 0.0) -> None:
        """Have an actor begin so many seconds from now."""

        def body() -> None:
            turn.wait()
            try:
                actor()
            except BaseException as error:
                self._failures.append(error)
            finally:
                self._next()

        turn = self._enqueue(after)
        threading.Thread(target=body, daemon=True).start()

    def sleep(self, seconds: float) -> None:
        """Let everyone else go on for so long; called by actors."""
        turn = self._enqueue(seconds)
        self._next()
        turn.wait()

    def run(self) -> None:
        """Until every actor has ended; raises what one of them raised."""
        self._next()
        self._idle.wait()
        if self._failures:
            raise self._failures[0]

    def _enqueue(self, seconds: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._due, (self.seconds + max(0.0, seconds), next(self._order), turn))
        return turn

    def _next(self) -> None:
        if not self._due:
            self._idle.set()
            return
        self.seconds, _, turn = heapq.heappop(self._due)
        turn.set()
