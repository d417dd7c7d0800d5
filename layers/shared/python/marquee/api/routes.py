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

MAX_BODY_BYTES = 64 * 1024
"""A search is a few hundred bytes."""

MAX_IMPORT_BYTES = 1024 * 1024
"""A film and 500 reviews of 2 KB. Lambda takes 6 MB, of a text that is escaped once more."""


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: Literal["GET", "POST", "DELETE"]
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
    max_body_bytes: int = MAX_BODY_BYTES

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
        {200: "SearchAnswer", 202: "Accepted"},
        problems=(400, 413, 415, 502),
    ),
    Route(
        "POST",
        "/api/orchestrator/collect-data",
        "halves.collect_data",
        {200: "CollectedData"},
        problems=(400, 413, 415, 502),
    ),
    Route(
        "POST",
        "/api/orchestrator/store",
        "halves.store",
        {200: "StoredData"},
        problems=(400, 413, 415),
        max_body_bytes=MAX_IMPORT_BYTES,
    ),
    Route(
        "GET",
        "/api/orchestrator/automation-stats",
        "automation.automation_stats",
        {200: "InstallationStats"},
    ),
    Route(
        "POST",
        "/api/orchestrator/providers/{provider}/reopen",
        "providers.reopen",
        {200: "Reopened"},
        problems=(400, 404, 413, 415),
    ),
    Route("GET", "/api/orchestrator/queue", "backfill.queue", {200: "QueuePage"}, problems=(400,)),
    Route(
        "POST",
        "/api/orchestrator/queue/run",
        "backfill.run_queue",
        {202: "Accepted"},
        problems=(400, 413, 415),
    ),
    Route(
        "POST",
        "/workflow/execute",
        "runs.execute",
        {202: "Accepted"},
        problems=(400, 409, 413, 415),
    ),
    Route(
        "POST",
        "/workflow/execute-sync",
        "runs.execute_sync",
        {200: "WorkflowStatus", 202: "Accepted"},
        problems=(400, 409, 413, 415, 502),
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
    Route(
        "GET",
        "/workflow/approvals",
        "approvals.approvals",
        {200: "ApprovalPage"},
        problems=(400,),
    ),
    Route(
        "POST",
        "/workflow/approvals/{approval_id}",
        "approvals.decide",
        {200: "ApprovalAnswer"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route(
        "POST",
        "/workflow/approvals/{approval_id}/check",
        "approvals.check",
        {200: "TextCheck"},
        problems=(400, 404, 413, 415),
    ),
    Route(
        "POST",
        "/workflow/{workflow_id}/cancel",
        "executions.cancel",
        {200: "WorkflowStatus"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route(
        "POST",
        "/workflow/{workflow_id}/rerun",
        "executions.rerun",
        {202: "Accepted"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route("DELETE", "/workflow/cleanup", "executions.cleanup", {200: "Cleaned"}),
    Route("GET", "/workflow/health", "health.health", {200: "Health"}, keyless=True),
    Route("GET", "/movies", "films.known_movies", {200: "KnownMovies"}, problems=(400,)),
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
    Route("GET", "/tweets", "tweets.tweets", {200: "TweetPage"}, problems=(400,)),
    Route("GET", "/posts/{account}", "posts.posts", {200: "PostPage"}, problems=(400,)),
    Route(
        "POST",
        "/posts/{account}/{tweet_id}",
        "posts.settle",
        {200: "PostAnswer"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route(
        "POST",
        "/triggers",
        "triggers.register_trigger",
        {201: "TriggerCreated"},
        problems=(400, 409, 413, 415),
    ),
    Route("GET", "/triggers", "triggers.trigger_list", {200: "TriggerPage"}, problems=(400,)),
    Route(
        "GET",
        "/triggers/history",
        "triggers.trigger_history",
        {200: "DeliveryPage"},
        problems=(400,),
    ),
    Route(
        "GET",
        "/triggers/history/{delivery_id}",
        "triggers.delivery",
        {200: "DeliveryAnswer"},
        problems=(404,),
    ),
    Route(
        "POST",
        "/triggers/history/{delivery_id}/redeliver",
        "triggers.redeliver",
        {202: "DeliveryAnswer"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route(
        "GET", "/triggers/{trigger_id}", "triggers.trigger", {200: "TriggerAnswer"}, problems=(404,)
    ),
    Route(
        "DELETE",
        "/triggers/{trigger_id}",
        "triggers.delete_trigger",
        {200: "TriggerAnswer"},
        problems=(404,),
    ),
    Route(
        "POST",
        "/triggers/{trigger_id}/test",
        "triggers.test_trigger",
        {202: "DeliveryAnswer"},
        problems=(400, 404, 413, 415),
    ),
    Route(
        "POST",
        "/triggers/{trigger_id}/disable",
        "triggers.disable_trigger",
        {200: "TriggerAnswer"},
        problems=(400, 404, 413, 415),
    ),
    Route(
        "POST",
        "/triggers/{trigger_id}/enable",
        "triggers.enable_trigger",
        {200: "TriggerAnswer"},
        problems=(400, 404, 413, 415),
    ),
    Route(
        "POST",
        "/triggers/{trigger_id}/redeliver",
        "triggers.redeliver_failed",
        {200: "Redelivered"},
        problems=(400, 404, 409, 413, 415),
    ),
    Route(
        "POST",
        "/events",
        "custom_events.put_event",
        {200: "EventAnswer"},
        problems=(400, 413, 415),
    ),
    Route("GET", "/openapi.json", "openapi.openapi_document"),
    Route("GET", "/docs", "openapi.documentation", content_type="text/html; charset=utf-8"),
)


def methods_at(path: str) -> tuple[str, ...]:
    """The methods that a path knows; none where it is no path of ours."""
    return tuple(sorted(route.method for route in ROUTES if route.is_at(path)))
