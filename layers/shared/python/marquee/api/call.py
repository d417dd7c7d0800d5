"""What a route is handed beside its parameters, and what it hands back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from marquee.settings import Settings

JSON = "application/json"
HTML = "text/html; charset=utf-8"


class Parameters(BaseModel):
    """The base of a route's parameters: what is not one of them is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class NoParameters(Parameters):
    """Nothing may be given."""


@dataclass(frozen=True)
class Call:
    """One request, apart from its parameters."""

    settings: Settings
    request_id: str
    path: str
    """As routed: without the stage."""
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    remaining_seconds: Callable[[], float]
    """Until Lambda ends this invocation."""

    def link(self, path: str) -> str:
        """A reference to ``path`` ("/workflow/list"), relative to the address that was called.

        Whatever stands before our paths, a stage, a custom domain's base path, the local cloud's
        own prefix, is not for us to know: a relative reference holds behind all of them.
        """
        return "../" * (self.path.count("/") - 1) + path.removeprefix("/")


@dataclass(frozen=True)
class Reply:
    """An answer that is no problem."""

    body: BaseModel | str
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The body as it is sent."""
        return self.body if isinstance(self.body, str) else self.body.model_dump_json()
