"""The stand-ins as one application: each upstream under its prefix, `/_control` beside them."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.answers import error
from marquee_cli.upstreams.bluesky import Bluesky
from marquee_cli.upstreams.catalog import Catalog
from marquee_cli.upstreams.control import CONTROL, UPSTREAMS, BadControl, Control, refused
from marquee_cli.upstreams.credentials import DEMONSTRATION, Credentials
from marquee_cli.upstreams.mastodon import Mastodon
from marquee_cli.upstreams.network_control import NetworkControl
from marquee_cli.upstreams.openai import OpenAi
from marquee_cli.upstreams.posters import Posters, with_posters
from marquee_cli.upstreams.timeline import Timeline
from marquee_cli.upstreams.tmdb import Tmdb
from marquee_cli.upstreams.user_context import UserContext
from marquee_cli.upstreams.voices import Voices
from marquee_cli.upstreams.windows import Windows
from marquee_cli.upstreams.x import X
from marquee_cli.upstreams.x_gate import Gate
from marquee_cli.upstreams.x_posts import XPosts


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    credentials: Credentials = DEMONSTRATION,
    *,
    epoch: date | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> ASGIApp:
    """The stand-ins; posts end at midnight UTC of the current day, or of `epoch` if given.

    The faults `reset` and `cut` need the server of `connection.serve`.
    """
    catalog = with_posters(Catalog.load())
    voices = Voices(catalog)
    windows = Windows(lambda: now().timestamp())
    timeline = Timeline(now, epoch)
    tmdb = Tmdb(catalog, voices, credentials, windows)
    users = accounts()
    context = UserContext(
        credentials, {name: user.id for name, user in users.items()}, lambda: now().timestamp()
    )
    gate = Gate(context, windows)
    x = X(voices, gate, timeline, {name: user.as_user() for name, user in users.items()})
    x_posts = XPosts(context, gate, windows, timeline, now)
    openai = OpenAi(credentials, windows, now)
    bluesky = Bluesky(voices, credentials, windows, timeline)
    mastodon = Mastodon(voices, windows, timeline)

    def forget_posts() -> None:
        for network in (x, bluesky, mastodon):
            network.forget()

    control = Control(catalog, voices, windows, now, forget_posts)
    networks = NetworkControl(x_posts, gate, context, openai)
    control.also_reset(networks.reset)

    async def health(request: Request) -> Response:
        return JSONResponse({"films": len(catalog.films), "upstreams": list(UPSTREAMS)})

    app = Starlette(
        routes=[
            Route("/", health),
            Mount("/tmdb", routes=tmdb.routes()),
            Mount("/images", routes=Posters(catalog).routes()),
            Mount("/x", routes=[*x.routes(), *x_posts.routes()]),
            Mount("/bluesky", routes=bluesky.routes()),
            Mount("/mastodon", routes=mastodon.routes()),
            Mount("/openai", routes=openai.routes()),
            Mount(f"/{CONTROL}", routes=[*control.routes(), *networks.routes()]),
        ],
        exception_handlers={BadControl: refused, HTTPException: _no_such_route},
    )
    return control.around(app)


async def _no_such_route(request: Request, problem: Exception) -> Response:
    """An unknown path in the words of the upstream it was meant for."""
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    upstream = request.url.path.split("/")[1]
    if upstream in UPSTREAMS and status == 404:
        return error(upstream, status)
    return JSONResponse({"error": f"{request.method} {request.url.path}: {status}"}, status)
