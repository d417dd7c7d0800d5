"""The API as one function: routing by the Powertools resolver, answers by the table of routes.

What answering takes is imported with the first request, and of that only what its route needs.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler.api_gateway import (
    APIGatewayRestResolver,
    CORSConfig,
    Response,
)

from marquee import clock
from marquee.api.routes import ROUTES, Route
from marquee.observability import CORRELATION_HEADER, CORRELATION_ID, logger
from marquee.settings import Settings

if TYPE_CHECKING:
    from marquee.api.call import Reply

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

PREFLIGHT_SECONDS = 600
"""For how long a browser need not ask again."""

EXPOSED_HEADERS = ["Location", "Retry-After", CORRELATION_HEADER]


@cache
def application(
    settings: Settings,
    now: Callable[[], datetime] = clock.now,
    sleep: Callable[[float], None] = time.sleep,
) -> APIGatewayRestResolver:
    """The resolver that serves every route; one for each process."""
    origin = settings.cors_origin
    app = APIGatewayRestResolver(
        cors=CORSConfig(
            origin,
            allow_headers=[CORRELATION_HEADER],
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
        if origin
        else None,
        debug=False,
    )

    def serve(route: Route) -> None:
        def answer(**path_values: str) -> Response[str]:
            from marquee.api.call import Call
            from marquee.api.reading import read

            event = app.current_event
            context: Any = app.lambda_context
            call = Call(
                settings=settings,
                request_id=_correlated(app),
                path=event.path,
                now=now,
                sleep=sleep,
                remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000,
            )
            asked = read(
                route.parameters,
                event.raw_event,
                path_values,
                takes_body=route.takes_body,
                max_body_bytes=route.max_body_bytes,
            )
            return _response(route.answer(asked, call))

        app.route(route.path.replace("{", "<").replace("}", ">"), route.method)(answer)

    def refuse(error: Exception) -> Response[str]:
        from marquee.api.problems import refusal_of

        event = app.current_event
        request_id = _correlated(app)
        refused = refusal_of(error, method=event.http_method, path=event.path)
        if refused.is_our_fault:
            logger.error("request failed", status=refused.status, path=event.path, exc_info=error)
        return _response(refused.reply(path=event.path, request_id=request_id))

    for route in ROUTES:
        serve(route)
    app.exception_handler(Exception)(refuse)
    return app


def _correlated(app: APIGatewayRestResolver) -> str:
    """The id of the request, which every line of the log carries from here on.

    It is the client's own, where that has one; else API Gateway's.
    """
    event = app.current_event
    given = event.headers.get(CORRELATION_HEADER, "")
    own = given if CORRELATION_ID.fullmatch(given) else ""
    request_id = own or event.request_context.request_id or ""
    logger.set_correlation_id(request_id)
    return request_id


def _response(reply: "Reply") -> Response[str]:
    correlated = {CORRELATION_HEADER: logger.get_correlation_id() or ""}
    headers = {**HEADERS, **correlated, **reply.headers}
    return Response(int(reply.status), reply.content_type, reply.text(), headers)
