"""Every route of the API; the application serves this table and the OpenAPI document shows it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from marquee.api.call import Call, Reply

type Answering = Callable[[Any, Call], Reply]


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: Literal["GET", "POST"]
    path: str
    """Parts in braces are parameters."""
    name: str
    """Of the function that answers, below ``marquee.api``: imported when it is first called, so
    that a cold start pays for the one route that it is asked for."""
    answers: Mapping[int, str] = field(default_factory=dict)
    """Names in ``marquee.api.answers`` by status."""
    problems: tuple[int, ...] = ()
    """Statuses of its problems, beside those that every route has."""
    content_type: str = "application/json"
    keyless: bool = False

    @cached_property
    def answer(self) -> Answering:
        """The function; its docstring describes the operation in the document."""
        module, _, function = self.name.partition(".")
        found: Answering = getattr(import_module(f"marquee.api.{module}"), function)
        return found

    @cached_property
    def parameters(self) -> "type[BaseModel]":
        """The model of all its parameters: what the function's first argument is."""
        first, *_ = inspect.signature(self.answer).parameters.values()
        model: type[BaseModel] = first.annotation
        return model

    @property
    def takes_body(self) -> bool:
        """Its parameters may be given as JSON too."""
        return self.method == "POST"

    @property
    def segments(self) -> list[str]:
        """The path in its parts."""
        return self.path.split("/")

    def is_at(self, path: str) -> bool:
        """Whether the path is one of this route's, whatever the values of its parameters."""
        given = path.rstrip("/").split("/")
        return len(given) == len(self.segments) and all(
            (wanted.startswith("{") and part) or wanted == part
            for wanted, part in zip(self.segments, given, strict=True)
        )


ROUTES = (
    Route(
        "POST",
        "/api/orchestrator/auto-search",
        "searches.auto_search",
        {200: "SearchAnswer", 202: "SearchAccepted"},
        problems=(400, 413, 415, 502),
    ),
    Route(
        "GET",
        "/workflow/status/{workflow_id}",
        "executions.workflow_status",
        {200: "WorkflowStatus"},
        problems=(404,),
    ),
    Route(
        "GET",
        "/workflow/list",
        "executions.workflow_list",
        {200: "WorkflowPage"},
        problems=(400,),
    ),
    Route("GET", "/workflow/health", "health.health", {200: "Health"}, keyless=True),
    Route("GET", "/movies/{tmdb_id}", "films.movie", {200: "MovieAnswer"}, problems=(404,)),
    Route(
        "GET",
        "/movies/{tmdb_id}/reviews",
        "films.reviews",
        {200: "ReviewPage"},
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/movies/{tmdb_id}/set-aside",
        "films.set_aside",
        {200: "SetAsidePage"},
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/movies/{tmdb_id}/recommendations",
        "films.recommendations",
        {200: "RecommendationsAnswer"},
        problems=(404,),
    ),
    Route("GET", "/openapi.json", "openapi.openapi_document"),
    Route("GET", "/docs", "openapi.documentation", content_type="text/html; charset=utf-8"),
)


def methods_at(path: str) -> tuple[str, ...]:
    """The methods that a path knows; none where it is no path of ours."""
    return tuple(sorted(route.method for route in ROUTES if route.is_at(path)))
