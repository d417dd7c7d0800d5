"""The shapes of all answers: what the routes build, and what the OpenAPI document says of them.

Only a route that is called imports this module, and only its own models are built.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from marquee.clock import Moment
from marquee.movies.models import Analysis, Recommendation, ScoredReview, SetAside
from marquee.movies.search import SearchResult
from marquee.workflows.record import Status, StepError, StepRecord

Link = Annotated[str, Field(description="Relative to the address of the request.")]
Cursor = Annotated[
    str | None, Field(description="Where the next page begins; null on the last one.")
]


class Shape(BaseModel):
    """The base of an answer: built on first use."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class ApiCalls(Shape):
    """Calls of upstreams; cost at list price."""

    total: int
    successful: int
    failed: int
    success_rate: float | None = Field(ge=0, le=1, description="Null where there was no call.")
    by_provider: dict[str, int]
    cost_usd: float


class DatabaseOperations(Shape):
    """DynamoDB requests and the units that they used."""

    total: int
    failed: int
    by_operation: dict[str, int]
    read_units: float
    write_units: float


class CoordinatorStats(Shape):
    """What the execution did, over all steps and attempts."""

    api_calls: ApiCalls
    database_operations: DatabaseOperations


class TriggerEntry(Shape):
    """Something that set the execution off, or that it set off."""

    what: Literal["started", "joined", "published"]
    name: str = Field(description="api, event, console, or the type of the published event.")
    at: Moment


class AutomationStats(Shape):
    """The counts of this execution, and its triggers in the order of time."""

    coordinator_stats: CoordinatorStats
    trigger_history: tuple[TriggerEntry, ...]


class SearchAnswer(Shape):
    """A search that has ended with a result, which may be that nothing matched."""

    success: Literal[True] = True
    workflow_result: SearchResult
    automation_stats: AutomationStats


class SearchAccepted(Shape):
    """A search that is not done yet."""

    workflow_id: str
    status: Status
    status_url: Link


class WorkflowSummary(Shape):
    """One execution in a listing."""

    workflow_id: str
    kind: str
    status: Status
    input: dict[str, Any]
    started_at: Moment
    ended_at: Moment | None
    duration_ms: int | None
    status_url: Link


class WorkflowPage(Shape):
    """Executions, the newest first."""

    workflows: tuple[WorkflowSummary, ...]
    next_cursor: Cursor


class WorkflowStatus(Shape):
    """One execution with its steps, and its result once it has ended with one."""

    workflow_id: str
    kind: str
    status: Status
    stalled: bool = Field(
        description="True: it says RUNNING for longer than any execution may run, so it has ended "
        "and could not say how."
    )
    trigger: str
    input: dict[str, Any]
    started_at: Moment
    ended_at: Moment | None
    duration_ms: int | None
    steps: dict[str, StepRecord]
    error: StepError | None
    result: SearchResult | None
    automation_stats: AutomationStats


class MovieAnswer(Shape):
    """A film as Marquee knows it."""

    movie: dict[str, Any]
    age_seconds: int = Field(description="Since TMDB said so.")
    stale: bool = Field(description="Older than the facts are used without asking again.")
    analysis: Analysis | None


class ReviewPage(Shape):
    """Reviews of one film, the newest first; a page may be short and still have a next one."""

    tmdb_id: int
    reviews: tuple[ScoredReview, ...]
    next_cursor: Cursor


class SetAsidePage(Shape):
    """Records about one film that could not be read, with their reasons."""

    tmdb_id: int
    set_aside: tuple[SetAside, ...]
    next_cursor: Cursor


class RecommendationsAnswer(Shape):
    """What to watch after one film, the best first."""

    tmdb_id: int
    recommendations: tuple[Recommendation, ...]
    recommended_at: Moment | None = Field(description="Null where the film was never analyzed.")


class SourceHealth(Shape):
    """A source of facts or reviews."""

    source: str
    configured: bool | None = Field(description="Null where the secrets could not be listed.")
    lacks: tuple[str, ...] = Field(description="Names of the parameters and settings to set.")


class PartHealth(Shape):
    """A part of the installation that the API needs."""

    part: str
    reachable: bool
    reason: str = Field(description="The error's name; empty where reachable.")
    duration_ms: int


class Health(Shape):
    """What is configured and what is reachable; never a secret."""

    status: Literal["ok", "degraded"]
    stage: str
    sources: tuple[SourceHealth, ...]
    parts: tuple[PartHealth, ...]
