"""Faults that tests set, the log of calls, and the middleware that applies and keeps them."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marquee_cli.upstreams.answers import error, x_headers
from marquee_cli.upstreams.bluesky import bluesky_headers
from marquee_cli.upstreams.catalog import Catalog
from marquee_cli.upstreams.connection import end_connection, reset_connection
from marquee_cli.upstreams.mastodon import mastodon_headers
from marquee_cli.upstreams.openai import openai_headers
from marquee_cli.upstreams.timeline import iso_milliseconds
from marquee_cli.upstreams.voices import SOURCES, Voices
from marquee_cli.upstreams.windows import Limit, Windows
from marquee_cli.upstreams.x_gate import x_endpoint

Kind = Literal["status", "delay", "reset", "cut", "malformed", "lost"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UPSTREAMS = ("tmdb", "x", "bluesky", "mastodon", "openai")
CONTROL = "_control"
LOGGED_HEADERS = ("accept", "content-type", "user-agent")
# Parameters that carry a secret are logged without it.
SECRET_PARAMETERS = ("api_key", "access_token")
# Far more than a test makes; a laptop cloud that stays up for weeks keeps the last ones.
LOGGED_CALLS = 10_000
LONGEST_DELAY_SECONDS = 600
MOST_TEXTS = 5000
TEN_YEARS_SECONDS = 10 * 365 * 86_400


@dataclass
class Fault:
    """What goes wrong, where, and for which calls: the next `count`, or each `every`-th.

    `route` is a glob on the path behind the upstream's prefix (`/3/movie/*`). With neither `count`
    nor `every` the next call only. A status or a delay with `after_effect` comes when the call has
    done its work: as from a gateway that lost the answer, or that holds it back.
    """

    upstream: str
    kind: Kind
    route: str = "*"
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    after_effect: bool = False
    count: int | None = None
    every: int | None = None
    seen: int = 0
    applied: int = 0

    def strikes(self, upstream: str, path: str) -> bool:
        """Whether this call is hit; every call that fits is counted."""
        if upstream != self.upstream or not fnmatchcase(path, self.route) or self.spent:
            return False
        self.seen += 1
        if self.every is not None and self.seen % self.every:
            return False
        self.applied += 1
        return True

    @property
    def spent(self) -> bool:
        return self.count is not None and self.applied >= self.count


class BadControl(ValueError):
    """The control request cannot be followed; the message names the field."""


@dataclass
class Call:
    """One call of an upstream; `status` is None when no whole answer was sent."""

    time: str
    upstream: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int | None = None
    fault: Kind | None = None


class Control:
    """The state behind `/_control`, and the middleware around the upstreams."""

    def __init__(
        self,
        catalog: Catalog,
        voices: Voices,
        windows: Windows,
        now: Callable[[], datetime],
        forget_posts: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._voices = voices
        self._windows = windows
        self._now = now
        self._forget_posts = forget_posts
        self._resets: list[Callable[[], None]] = []
        self._faults: list[Fault] = []
        self._calls: deque[Call] = deque(maxlen=LOGGED_CALLS)

    def also_reset(self, reset: Callable[[], None]) -> None:
        """Call `reset` too when everything is to be as after the start."""
        self._resets.append(reset)

    def routes(self) -> list[Route]:
        return [
            Route("/faults", self._list_faults, methods=["GET"]),
            Route("/faults", self._add_fault, methods=["POST"]),
            Route("/faults", self._clear_faults, methods=["DELETE"]),
            Route("/calls", self._list_calls, methods=["GET"]),
            Route("/calls", self._clear_calls, methods=["DELETE"]),
            Route("/limits", self._list_limits, methods=["GET"]),
            Route("/limits", self._set_limit, methods=["POST"]),
            Route("/texts", self._ask_for_texts, methods=["POST"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with its calls logged and its faults applied."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            upstream, _, path = scope.get("path", "").removeprefix("/").partition("/")
            if scope["type"] != "http" or upstream not in UPSTREAMS:
                await app(scope, receive, send)
                return
            call = self._logged(scope, upstream, f"/{path}")
            fault = next((f for f in self._faults if f.strikes(upstream, f"/{path}")), None)
            call.fault = fault.kind if fault else None

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    call.status = message["status"]
                await send(message)

            match fault:
                case Fault(kind="reset"):
                    await reset_connection(scope, receive)
                case Fault(kind="lost"):
                    await _answered(app, scope, receive)
                    await reset_connection(scope, receive)
                case Fault(kind="status"):
                    if fault.after_effect:
                        await _answered(app, scope, receive)
                    await self._injected(fault, f"/{path}")(scope, receive, watched)
                case Fault(kind="cut"):
                    await _cut(app, scope, receive, send)
                case Fault(kind="malformed"):
                    await _malformed(app, scope, receive, watched)
                case Fault(kind="delay", after_effect=True):
                    messages = await _kept(app, scope, receive)
                    await asyncio.sleep(fault.seconds)
                    for message in messages:
                        await watched(message)
                case Fault(kind="delay"):
                    await asyncio.sleep(fault.seconds)
                    await app(scope, receive, watched)
                case _:
                    await app(scope, receive, watched)

        return observed

    def _logged(self, scope: Scope, upstream: str, path: str) -> Call:
        request = Request(scope)
        call = Call(
            time=iso_milliseconds(self._now()),
            upstream=upstream,
            method=scope["method"],
            path=path,
            query={k: v for k, v in request.query_params.items() if k not in SECRET_PARAMETERS},
            headers={k: v for k, v in Headers(scope=scope).items() if k in LOGGED_HEADERS},
        )
        self._calls.append(call)
        return call

    def _injected(self, fault: Fault, path: str) -> Response:
        """The answer of a status fault: its own body, or the upstream's recorded one."""
        status = fault.status or 500
        headers = {**self._rate_headers(fault.upstream, path, status), **fault.headers}
        if fault.body is None:
            return error(fault.upstream, status, headers)
        if isinstance(fault.body, str):
            return Response(fault.body, status, {"content-type": "text/plain", **headers})
        return JSONResponse(fault.body, status, headers)

    def _rate_headers(self, upstream: str, path: str, status: int) -> dict[str, str]:
        """An injected 429 tells when the window ends, as a real one does."""
        if status != 429 or upstream == "tmdb":
            return {}
        endpoint = {
            "x": x_endpoint(path),
            "bluesky": f"bluesky/{path.rpartition('.')[2]}",
            "mastodon": "mastodon",
            "openai": "openai",
        }[upstream]
        if endpoint not in self._windows.limits:
            return {}
        grant = self._windows.exhausted(endpoint)
        if upstream == "x":
            return x_headers(grant)
        if upstream == "mastodon":
            return mastodon_headers(grant)
        if upstream == "openai":
            return openai_headers(grant)
        return bluesky_headers(grant, self._windows.limits[endpoint].seconds)

    async def _list_faults(self, request: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self._faults])

    async def _add_fault(self, request: Request) -> Response:
        fault = _fault(await body_of(request))
        self._faults.append(fault)
        return JSONResponse(asdict(fault), 201)

    async def _clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _list_calls(self, request: Request) -> Response:
        """The calls in the order they came, of one upstream with `?upstream=`."""
        wanted = request.query_params.get("upstream")
        return JSONResponse([asdict(c) for c in self._calls if wanted in (None, c.upstream)])

    async def _clear_calls(self, request: Request) -> Response:
        self._calls.clear()
        return Response(status_code=204)

    async def _list_limits(self, request: Request) -> Response:
        return JSONResponse({name: asdict(limit) for name, limit in self._windows.limits.items()})

    async def _set_limit(self, request: Request) -> Response:
        body = await body_of(request)
        endpoint = one_of(body, "endpoint", tuple(self._windows.limits))
        calls = number(body, "calls", int, 0, 10**9)
        seconds = number(body, "seconds", float, 0.05, TEN_YEARS_SECONDS)
        self._windows.set(endpoint, Limit(int(calls), seconds))
        return JSONResponse({"endpoint": endpoint, "calls": int(calls), "seconds": seconds})

    async def _ask_for_texts(self, request: Request) -> Response:
        """Let a film have at least `count` reviews or posts at a source."""
        body = await body_of(request)
        film = self._catalog.by_id.get(int(number(body, "tmdb_id", int, 1, 10**12)))
        if film is None:
            raise BadControl(f"tmdb_id: no film has the id {body['tmdb_id']}")
        source = next(s for s in SOURCES if s == one_of(body, "source", SOURCES))
        count = int(number(body, "count", int, 1, MOST_TEXTS))
        texts = self._voices.ask_for(film, source, count)
        self._forget_posts()
        return JSONResponse({"tmdb_id": film.id, "source": source, "texts": texts})

    async def _reset(self, request: Request) -> Response:
        """Everything as after the start: no faults, no calls, fresh windows, the usual limits."""
        self._faults.clear()
        self._calls.clear()
        self._windows.reset()
        if self._voices.reset():
            self._forget_posts()
        for reset in self._resets:
            reset()
        return Response(status_code=204)


async def refused(request: Request, problem: Exception) -> Response:
    """The 400 of a control request that cannot be followed."""
    return JSONResponse({"error": str(problem)}, 400)


async def _cut(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the call have its effect, send half of the answer, then end the connection."""
    start, body = await _answered(app, scope, receive)
    await send(start)
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await end_connection(scope, receive)


async def _malformed(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the call have its effect and answer a success with the first half of its JSON."""
    start, body = await _answered(app, scope, receive)
    broken = body[: len(body) // 2] or b"{"
    headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
    headers.append((b"content-length", str(len(broken)).encode()))
    status = start["status"] if start["status"] < 300 else 200
    await send({**start, "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": broken})


async def _answered(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """The whole answer of the application, not yet sent."""
    messages = await _kept(app, scope, receive)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _kept(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


def _fault(body: dict[str, Any]) -> Fault:
    known = {f.name for f in fields(Fault)} - {"seen", "applied"}
    if unknown := sorted(set(body) - known):
        raise BadControl(f"{unknown[0]}: not one of {', '.join(sorted(known))}")
    kind = next(k for k in KINDS if k == one_of(body, "kind", KINDS))
    fault = Fault(one_of(body, "upstream", UPSTREAMS), kind, body=body.get("body"))
    route = body.get("route", "*")
    if not isinstance(route, str):
        raise BadControl("route: must be a glob on the path, such as /3/movie/*")
    fault.route = route
    headers = body.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise BadControl("headers: must be an object of strings")
    fault.headers = headers
    if "count" in body and "every" in body:
        raise BadControl("every: give count or every, not both")
    if "every" in body:
        fault.every = int(number(body, "every", int, 1, 10**6))
    else:
        fault.count = int(number({"count": 1, **body}, "count", int, 1, 10**6))
    if not isinstance(body.get("after_effect", False), bool):
        raise BadControl("after_effect: must be true or false")
    fault.after_effect = body.get("after_effect", False)
    if kind == "status":
        fault.status = int(number(body, "status", int, 200, 599))
    if kind == "delay":
        fault.seconds = number(body, "seconds", float, 0, LONGEST_DELAY_SECONDS)
    return fault


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a control request."""
    try:
        body = json.loads(await request.body())
    except ValueError as problem:
        raise BadControl(f"body: not JSON ({problem})") from problem
    if not isinstance(body, dict):
        raise BadControl("body: must be a JSON object")
    return body


def one_of(body: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """The value of a field that is one of few."""
    value = body.get(name)
    if value not in allowed:
        raise BadControl(f"{name}: must be one of {', '.join(allowed)}")
    return str(value)


def number(
    body: dict[str, Any], name: str, kind: type[int] | type[float], least: float, most: float
) -> float:
    """The value of a field that is a number within bounds."""
    value = body.get(name)
    numeric = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not numeric or not least <= value <= most:  # type: ignore[operator] # numeric says it is a number
        what = "a whole number" if kind is int else "a number"
        raise BadControl(f"{name}: must be {what} from {least:g} to {most:g}")
    return value  # type: ignore[return-value] # numeric says it is a number
