"""What stands before every endpoint of X: who calls, the rate windows, the credits."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from marquee_cli.upstreams.answers import (
    X_APP_ONLY,
    X_CREDITS_USED_UP_OLDER,
    X_ERRORS,
    Json,
    error,
    x_headers,
)
from marquee_cli.upstreams.user_context import UserContext
from marquee_cli.upstreams.windows import Windows
from marquee_cli.upstreams.x_parameters import Invalid

# By the name that the control endpoint takes.
CREDITS: Mapping[str, dict[str, Any] | None] = {
    "left": None,
    "used up": X_ERRORS[402],
    "used up, older words": X_CREDITS_USED_UP_OLDER,
}


@dataclass(frozen=True)
class Call:
    """A call that may be answered; `account` is None for an app without a user."""

    request: Request
    account: str | None
    body: bytes


type Answer = dict[str, Any] | Response
type Handler = Callable[[Request], Awaitable[Response]]


class Gate:
    """Lets through whom X knows, within the windows, while there are credits."""

    def __init__(self, context: UserContext, windows: Windows) -> None:
        self._context = context
        self._windows = windows
        self.reset()

    def reset(self) -> None:
        """There are credits."""
        self.credits = "left"

    def guarded(
        self, endpoint: str, answer: Callable[[Call], Answer], *, users_only: bool = False
    ) -> Handler:
        """The endpoint of `answer`, which is asked for an object or a whole response."""

        async def guarded(request: Request) -> Response:
            body = await request.body()
            caller = self._context.caller(request)
            if caller is None:
                return error("x", 401)
            if users_only and caller.account is None:
                return Json(X_APP_ONLY, 403)
            grant = self._windows.take(endpoint, caller.account or "")
            headers = x_headers(grant)
            if not grant.allowed:
                return error("x", 429, headers)
            if depleted := CREDITS[self.credits]:
                return Json(depleted, 402, headers)
            try:
                given = answer(Call(request, caller.account, body))
            except Invalid as invalid:
                return Json(invalid.body, 400, headers)
            if isinstance(given, Response):
                # Its own headers, of another window, come first.
                for name, value in headers.items():
                    given.headers.setdefault(name, value)
                return given
            return Json(given, headers=headers)

        return guarded


def x_endpoint(path: str) -> str:
    """The window that a call counts in, by its path behind `/x`."""
    if path.startswith("/2/users/"):
        if path.startswith("/2/users/by/"):
            return "x/users/by/username"
        return "x/users/me" if path == "/2/users/me" else "x/users/tweets"
    return f"x{path.removeprefix('/2')}"
