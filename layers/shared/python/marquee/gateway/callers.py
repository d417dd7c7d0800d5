"""Who makes the calls of this invocation: the name under which slots are booked for them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Caller:
    """A step of an execution, or another function; the same name for every attempt."""

    name: str
    can_wait: bool = False
    """Whether it is called again at the time of a slot: a state machine does that."""
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def next_holder(self, provider: str, endpoint: str) -> str:
        """What tells its calls of an endpoint apart; the same in the next attempt."""
        self._calls[provider, endpoint] += 1
        return f"{self.name}/{self._calls[provider, endpoint]}"


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


@contextmanager
def calling_as(caller: Caller) -> Iterator[None]:
    """Whatever is called inside the block is called by ``caller``."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)


def current_caller() -> Caller | None:
    """Who calls; None outside of a handler."""
    return _current.get()
