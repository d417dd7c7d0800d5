"""The shapes of all answers: what the routes build, and what the OpenAPI document says of them.

Only a route that is called imports this module, and only its own models are built.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from marquee.clock import Moment
from marquee.movies.backfill import BackfillSummary
from marquee.movies.backfill_queue import EntryState, Reason
from marquee.movies.models import (
    Analysis,
    Candidate,
    MovieCard,
    Recommendation,
    Review,
    ScoredReview,
    SetAside,
    SourceReport,
)
from marquee.movies.search import SearchResult
from marquee.triggers.models import Attempt, DeliveryStatus
from marquee.tweets.approval import ApprovalState, Verb
from marquee.tweets.finish import RunSummary
from marquee.tweets.models import Change, LedgerState, TweetType
from marquee.tweets.models import Status as TweetStatus
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
    name: str = Field(
        description="api, event, rerun, schedule:<its name>, console, or the type of the "
        "published event."
    )
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


class CollectedData(Shape):
    """What TMDB and the other sources say about a film; nothing of it is analyzed."""

    movie: dict[str, Any] | None = Field(
        description="As an import takes it; null where nothing matched."
    )
    message: str = Field(description="Why this film, or that nothing matched.")
    source: str = Field(description="tmdb; cache where stored facts were used.")
    age_seconds: int = Field(description="Of these facts.")
    stale: bool = Field(description="Stored facts stand in: TMDB did not answer.")
    candidates: tuple[Candidate, ...] = Field(description="Films that were meant less likely.")
    reviews: tuple[Review, ...] = Field(
        description="The newest of each source that was asked, up to max_reviews of each, those "
        "of earlier calls among them; the newest first."
    )
    left_out: int = Field(
        description="Reviews that this answer had no room for: /movies/{tmdb_id}/reviews has them."
    )
    sources: tuple[SourceReport, ...] = Field(description="What each contributed now.")
    errors: dict[str, str] = Field(
        description="By source, why it gave nothing, or not all; one without a key is none."
    )


class RejectedReview(Shape):
    """A review that was not stored."""

    index: int = Field(description="Its place in the request, from 0.")
    reason: str


class StoredData(Shape):
    """What became of a film and its reviews from elsewhere."""

    movie_stored: bool = Field(description="False: the same facts or newer ones were there.")
    reviews_stored: int
    duplicates: int = Field(description="Stored already, or the text of another review again.")
    rejected: tuple[RejectedReview, ...]


class Accepted(Shape):
    """An execution that is not done yet."""

    workflow_id: str
    status: Status
    joined: bool = Field(description="True: it was running already; nothing new was started.")
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


class StepStatus(StepRecord):
    """One step of an execution."""

    model_config = ConfigDict(defer_build=True)

    cost_usd: float = Field(description="Of the calls of all its attempts, at list price.")


class WorkflowStatus(Shape):
    """One execution with its steps, and its result once it has ended with one."""

    workflow_id: str
    kind: str
    status: Status
    stalled: bool | None = Field(
        description="True: it says RUNNING, but Step Functions says that it does not run: it has "
        "ended and could not say how. Null where Step Functions could not be asked."
    )
    trigger: str = Field(
        description="api, event, rerun, schedule:<its name>; empty: the console, or not known."
    )
    rerun_of: str | None = Field(description="The execution that this one repeats.")
    correlation_id: str | None = Field(
        description="Of the request or event that set it off: its x-correlation-id or own id. "
        "`marquee logs` finds everything by either id."
    )
    input: dict[str, Any]
    started_at: Moment
    ended_at: Moment | None
    duration_ms: int | None
    steps: dict[str, StepStatus]
    error: StepError | None
    backfilled_at: Moment | None = Field(
        description="When a search that was PARTIAL became complete by what was collected later."
    )
    result: SearchResult | RunSummary | BackfillSummary | None = Field(
        description="Of a movie_search a SearchResult, of a tweet_pipeline a RunSummary, of a "
        "review_backfill a BackfillSummary."
    )
    automation_stats: AutomationStats


class Cleaned(Shape):
    """What a cleanup deleted."""

    deleted: int
    more: bool = Field(description="True: the time was up before the end; ask again.")


class KnownMovies(Shape):
    """Films that are known already: no search is needed to name them."""

    films: tuple[MovieCard, ...]


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


class ApprovalAnswer(Shape):
    """A tweet that a person decides about, or has decided."""

    approval_id: str
    approval_url: Link = Field(description="Where to POST the decision.")
    account: str = Field(description="Whose tweet.")
    tweet_id: str
    posting_account: str
    state: ApprovalState
    author: str
    type: TweetType | None
    original: str
    proposed: str | None = Field(
        description="What will be posted; null where there is no text that may: edit it."
    )
    reason: str = Field(description="Why it is asked.")
    has_url: bool
    price_usd: float = Field(description="What X charges for the post as it is proposed.")
    workflow_id: str | None = Field(description="The run that asked.")
    requested_at: Moment
    expires_at: Moment | None = Field(description="Null where no run waits.")
    decided_at: Moment | None
    decided_by: str
    decision: Verb | None
    decision_reason: str


class TextCheck(Shape):
    """What the output policy says of a text; nothing is changed."""

    ok: bool = Field(description="Whether it may be posted.")
    reasons: tuple[str, ...] = Field(description="Why not: it ...")
    length: int = Field(description="As X counts it, of 280.")
    similarity: float = Field(ge=0, le=1, description="Likeness to the original.")
    has_url: bool
    price_usd: float = Field(description="What X charges for it.")


class ApprovalPage(Shape):
    """What waits for a decision."""

    approvals: tuple[ApprovalAnswer, ...]
    next_cursor: Cursor


class TweetAnswer(Shape):
    """A tweet, and what became of it."""

    account: str
    tweet_id: str
    author: str
    text: str
    created_at: Moment
    lang: str | None
    urls: tuple[str, ...]
    status: TweetStatus
    reason: str = Field(description="Why it has that status.")
    next_step: str = Field(description="What is next, in words; empty where nothing is.")
    type: TweetType | None
    classified_by: str | None
    polished_text: str | None
    final_text: str | None = Field(description="What was, or will be, posted.")
    verdict: dict[str, Any] = Field(description="What the output policy said of that text.")
    post_id: str | None
    history: tuple[Change, ...]


class TweetPage(Shape):
    """Tweets of one account, the newest first."""

    username: str
    tweets: tuple[TweetAnswer, ...]
    next_cursor: Cursor


class PostAnswer(Shape):
    """A post, and what became of it."""

    account: str
    tweet_id: str = Field(description="The source tweet.")
    source: str = Field(description="The account whose tweet it is.")
    state: LedgerState
    reason: str = Field(description="Why it stands there.")
    next_step: str = Field(description="What is next, in words; empty where nothing is.")
    text: str = Field(description="Frozen when it was claimed.")
    text_hash: str
    has_url: bool
    price_usd: float = Field(description="What X charges for it, once it is posted.")
    post_id: str | None
    claimed_at: Moment
    updated_at: Moment
    sending_at: Moment | None = Field(description="When it was sent last.")
    not_before: Moment | None = Field(description="When X may take it again.")
    reads_absent: int = Field(description="Reads of the timeline, since then, without it.")
    times_absent: int = Field(description="How often its absence was proved.")
    history: tuple[Change, ...]


class PostPage(Shape):
    """Posts of one account, that of the newest source tweet first."""

    account: str
    posts: tuple[PostAnswer, ...]
    next_cursor: Cursor


class TriggerAnswer(Shape):
    """A callback that is told of events; its secret is never said again."""

    trigger_id: str
    trigger_url: Link
    event_type: str
    url: str
    filter: dict[str, Any] = Field(description="Empty lets all events of the type through.")
    enabled: bool
    disabled_reason: str = Field(description="Why it was switched off; empty while it is on.")
    failures: int = Field(description="Deliveries given up since the last one that arrived.")
    created_at: Moment
    changed_at: Moment = Field(description="When it was registered, or last switched on or off.")


class TriggerCreated(TriggerAnswer):
    """A callback that is registered now, with its secret, which is said this once."""

    secret: str = Field(description="What Standard Webhooks' libraries take to verify a call.")


class TriggerPage(Shape):
    """Triggers by event type."""

    triggers: tuple[TriggerAnswer, ...]
    next_cursor: Cursor


class DeliveryAnswer(Shape):
    """An event on its way to a callback, or arrived, or given up."""

    delivery_id: str = Field(description="What the callback sees as webhook-id.")
    delivery_url: Link
    trigger_id: str
    url: str
    event_id: str
    event_type: str
    is_test: bool
    status: DeliveryStatus
    reason: str = Field(description="Why it is not delivered; empty where it is.")
    matched_at: Moment
    due_at: Moment | None = Field(description="The next attempt; null where there is none.")
    latency_ms: int | None = Field(description="Of the last call; null before the first.")
    attempts: tuple[Attempt, ...] = Field(description="The last 20 calls, the oldest first.")


class DeliveryPage(Shape):
    """Deliveries, the newest first."""

    deliveries: tuple[DeliveryAnswer, ...]
    next_cursor: Cursor


class Redelivered(Shape):
    """What was sent again."""

    redelivered: int
    more: bool = Field(description="True: the time was up before the end; ask again.")


class MatchAnswer(Shape):
    """A callback that an event matches."""

    trigger_id: str
    trigger_url: Link
    url: str


class EventAnswer(Shape):
    """An event that is on the bus."""

    event_id: str
    type: str
    matches: tuple[MatchAnswer, ...] = Field(description="The callbacks that will be called.")


class SourceHealth(Shape):
    """A source of facts or reviews."""

    source: str
    configured: bool | None = Field(description="Null where the secrets could not be listed.")
    lacks: tuple[str, ...] = Field(description="Names of the parameters and settings to set.")


class PostingHealth(Shape):
    """The account that posts, and what the tweet pipeline has to do its work with."""

    account: str = Field(description="Without @; empty where none is set.")
    configured: bool | None = Field(description="Null where the secrets could not be listed.")
    lacks: tuple[str, ...] = Field(description="Names of the parameters and settings to set.")
    schedules_enabled: bool
    language_model: bool | None = Field(
        description="Whether it has its key; without, rules classify and every text is held. "
        "Null where the secrets could not be listed."
    )


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
    posting: PostingHealth
    parts: tuple[PartHealth, ...]


class EndpointTotals(Shape):
    """How many, and how many of them failed."""

    total: int
    failed: int


class CallTotals(Shape):
    """Calls in a window; durations in milliseconds, exact to 12 percent, null of none."""

    total: int
    successful: int
    failed: int
    success_rate: float | None = Field(ge=0, le=1, description="Null where there was no call.")
    retries: int
    errors: dict[str, int] = Field(description="The failed ones by class.")
    p50_ms: float | None
    p95_ms: float | None


class ProviderTotals(CallTotals):
    """Calls of one upstream; cost at list price."""

    cost_usd: float
    by_endpoint: dict[str, EndpointTotals]


class UpstreamTotals(CallTotals):
    """Calls of all upstreams; retries are those of a step's later attempts."""

    cost_usd: float
    by_provider: dict[str, ProviderTotals]


class StoreTotals(CallTotals):
    """DynamoDB requests, without those that count; a condition that did not hold is a failure."""

    by_operation: dict[str, EndpointTotals]
    read_units: float
    write_units: float


class WindowStats(Shape):
    """What all invocations did."""

    api_calls: UpstreamTotals
    database_operations: StoreTotals


class StepTotals(Shape):
    """Attempts of a step, the failed ones by class of error; durations of all of them."""

    attempts: int
    failed: int
    errors: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None


class WorkflowTotals(Shape):
    """Executions of one kind that ended, and the steps that ran."""

    total: int
    by_status: dict[str, int]
    steps: dict[str, StepTotals]


class QueueDepth(Shape):
    """What waits in a queue now, messages that are being worked on included."""

    queue: str
    url: str = Field(description="By which SQS knows it.")
    messages: int | None = Field(description="About so many; null where it could not be asked.")
    dead_letters: bool = Field(description="True: an operator has to look at what is in it.")


class TriggerTotals(Shape):
    """The callbacks there are, and what became of the last events that they were called for."""

    total: int = Field(description="100 at most; GET /triggers lists all.")
    more: bool = Field(default=False, description="There are more, which are not looked at here.")
    switched_off: tuple[str, ...] = Field(description="Their ids.")
    outcomes: dict[DeliveryStatus, int] = Field(description="Of the last 50 deliveries.")
    recent: tuple[DeliveryAnswer, ...] = Field(description="The last 10, the newest first.")


class QueueEntry(Shape):
    """A film whose reviews are collected later."""

    tmdb_id: int
    title: str
    year: int | None
    state: EntryState
    reason: Reason = Field(description="Why it was queued.")
    sources: tuple[str, ...] = Field(description="What is still to be collected.")
    waiting: tuple[str, ...] = Field(description="The searches that become complete by it.")
    popularity: int = Field(description="Searches for the film in the week before.")
    max_reviews: int
    queued_at: Moment
    turn_at: Moment = Field(
        description="Its place: the earliest is taken first. Of one that has left, when it did."
    )
    not_before: Moment | None = Field(description="No attempt is made before.")
    expected_at: Moment | None = Field(
        description="By when it is collected, if there is quota and budget left then; null where "
        "it has left the queue, or nothing drains it by itself."
    )
    attempts: int = Field(description="That failed; after six the film is given up.")
    last_at: Moment | None = Field(description="When the last attempt ended.")
    last_outcome: str = Field(description="What came of it, in words.")


class QueuePage(Shape):
    """Films whose reviews are collected later, in their order."""

    entries: tuple[QueueEntry, ...]
    enabled: bool = Field(description="False: nothing drains the queue by itself.")
    window: str = Field(description="The off-peak hours, for what nobody waits for.")
    off_peak: bool = Field(description="Whether it is off-peak now.")
    next_cursor: Cursor


class BackfillTotals(Shape):
    """The queue of films in numbers, each counted up to 100."""

    films: int = Field(description="That wait.")
    more: bool = Field(default=False, description="More films wait.")
    searches: int = Field(description="That become complete by them.")
    oldest_at: Moment | None = Field(description="When the film was queued that waits longest.")
    given_up: int = Field(description="Within 30 days; GET /api/orchestrator/queue says why.")
    more_given_up: bool = Field(default=False, description="More films were given up.")


class HourTotals(Shape):
    """One hour."""

    hour: Moment
    calls: int
    failed_calls: int
    database_operations: int
    workflows: int
    failed_workflows: int
    cost_usd: float


class QuotaNow(Shape):
    """How often an endpoint may be called with one credential, and what is left of that."""

    provider: str
    endpoint: str = Field(description="* stands for all that have no limit of their own.")
    credential: str = Field(description="app, or the account that posts; never a secret.")
    calls: int = Field(description="So many in any seconds.")
    seconds: int
    used: int = Field(description="Calls begun within the last seconds.")
    left: int = Field(description="What may begin now, nobody waiting.")
    waiting: int = Field(description="Slots that are booked and not begun.")
    next_at: Moment = Field(description="The next slot that is free.")
    blocked_until: Moment | None = Field(
        description="The upstream itself says that nothing is left until then."
    )


class BudgetNow(Shape):
    """A cap, and what is left of it in the current day or month (UTC)."""

    scope: str = Field(description="A provider, or total: all of them together.")
    period: Literal["day", "month"]
    cap_usd: float
    spent_usd: float
    reserved_usd: float = Field(description="For calls that are under way.")
    left_usd: float
    share: float = Field(ge=0, description="Of the cap, what is spent or reserved.")
    opens_at: Moment = Field(description="When the next day or month begins.")


class ClosedProvider(Shape):
    """A provider that is paid nothing more until an operator says so."""

    provider: str
    reason: str = Field(description="What it answered.")
    reopen_url: Link = Field(description="Where to POST once it is mended.")


class BreakerNow(Shape):
    """Whether an endpoint that was called within a day is left alone, for it fails."""

    provider: str
    endpoint: str
    state: Literal["closed", "open", "half-open"] = Field(
        description="open: calls are refused; half-open: one is under way to see."
    )
    failure_share: float | None = Field(
        ge=0,
        le=1,
        description="Of the calls since the first failure within a minute; null where none failed.",
    )
    opened_at: Moment | None
    retry_at: Moment | None = Field(description="When the next call may go to see.")


class GatewayNow(Shape):
    """What the gateway to the upstreams lets through now."""

    quotas: tuple[QuotaNow, ...] = Field(
        description="Those that are booked; what nobody used for two days stands there as free."
    )
    budgets: tuple[BudgetNow, ...]
    closed: tuple[ClosedProvider, ...]
    breakers: tuple[BreakerNow, ...]


class Reopened(Shape):
    """A provider that may be paid again."""

    provider: str
    reopened: bool = Field(description="False: it was open; nothing was changed.")
    message: str = Field(description="What was changed, and why it had been closed.")


class InstallationStats(Shape):
    """What the installation did in a window of whole hours, and how it stands now."""

    window: Literal["1h", "24h", "7d"]
    since: Moment = Field(description="The beginning of the first hour that is counted.")
    until: Moment
    coordinator_stats: WindowStats
    workflows: dict[str, WorkflowTotals]
    cost_usd: dict[str, float] = Field(description="What each provider charges, at list price.")
    triggers: TriggerTotals | None = Field(description="Null where they are not known.")
    queues: tuple[QueueDepth, ...]
    gateway: GatewayNow | None = Field(description="Null where it is not known.")
    backfill: BackfillTotals | None = Field(
        description="What waits to be collected later; null where it is not known."
    )
    hours: tuple[HourTotals, ...] = Field(description="The oldest first.")
