"""Answers of the API as its own models write them: what the page is shown in tests."""

from datetime import timedelta
from typing import Any

from marquee.api.answers import (
    Accepted,
    ApiCalls,
    ApprovalAnswer,
    ApprovalPage,
    AutomationStats,
    CallTotals,
    CoordinatorStats,
    DatabaseOperations,
    DeliveryAnswer,
    Health,
    HourTotals,
    InstallationStats,
    KnownMovies,
    PostingHealth,
    ProviderTotals,
    QueueDepth,
    ReviewPage,
    StepStatus,
    StepTotals,
    StoreTotals,
    TextCheck,
    TriggerTotals,
    TweetAnswer,
    TweetPage,
    UpstreamTotals,
    WindowStats,
    WorkflowPage,
    WorkflowStatus,
    WorkflowSummary,
    WorkflowTotals,
)
from marquee.movies.models import (
    Analysis,
    Label,
    MovieCard,
    Quote,
    Recommendation,
    ScoredReview,
    Sentiment,
    SourceReport,
)
from marquee.movies.search import SearchResult
from marquee.workflows.record import Status
from tests.support.builders import NOW, a_movie, a_scored_review
from tests.support.gateway_view import a_breaker, a_budget, a_gateway, a_quota

SEARCH = "auto-search-1"
TEXT = "Tokyo Story again: 10/10, nobody under sixty was safe."
OVERVIEW = (
    "Two men who should be enemies become friends, each with a secret that would end it: one "
    "serves the crown he means to rob, the other hunts whoever came for the child. Between a "
    "bridge, a ball and a prison they find out, and the jungle has the last word about it all."
)


def a_step(began: float = 0, took: float | None = 1.1, **fields: Any) -> StepStatus:
    """A step that took so long and began so many seconds after its execution."""
    at = NOW - timedelta(minutes=2) + timedelta(seconds=began)
    whole = {
        "status": Status.RUNNING if took is None else Status.SUCCEEDED,
        "started_at": at,
        "ended_at": None if took is None else at + timedelta(seconds=took),
        "duration_ms": None if took is None else round(took * 1000),
        "cost_usd": 0.0,
    }
    return StepStatus(**{**whole, **fields})


def steps() -> dict[str, StepStatus]:
    """All of a search that lacks nothing."""
    counts = {"fetched": 10, "new": 8, "duplicates": 2, "calls": {"tmdb.ok": 1}}
    return {
        "FindMovie": a_step(0, 0.6),
        "CollectReviews/bluesky": a_step(1, 2.0, counts={"fetched": 0, "new": 0, "parked": 0}),
        "CollectReviews/tmdb": a_step(1, 1.1, counts=counts),
        "CollectReviews/x": a_step(1, 3.0, counts=counts, cost_usd=0.05),
        "AnalyzeReviews": a_step(4, 1.1, counts={"reviews": 36}),
        "RecommendMovies": a_step(6, 0.9),
        "FinishSearch": a_step(7, 0.3),
    }


def stats() -> AutomationStats:
    """Of one execution."""
    return AutomationStats(
        coordinator_stats=CoordinatorStats(
            api_calls=ApiCalls(
                total=7,
                successful=7,
                failed=0,
                success_rate=1.0,
                by_provider={"tmdb": 4, "x": 1, "bluesky": 2},
                cost_usd=0.05,
            ),
            database_operations=DatabaseOperations(
                total=40, failed=0, by_operation={}, read_units=40, write_units=20
            ),
        ),
        trigger_history=(),
    )


def an_analysis(**fields: Any) -> Analysis:
    """Most people like it."""
    whole = {
        "tmdb_id": 579974,
        "average_sentiment": 0.62,
        "confidence_interval": (0.51, 0.73),
        "label": Label.POSITIVE,
        "sample_size": 36,
        "counts_by_label": {"positive": 28, "neutral": 4, "negative": 4, "unscored": 3},
        "histogram": (0, 0, 1, 0, 1, 0, 1, 1, 0, 2, 1, 1, 2, 3, 3, 4, 5, 6, 4, 1),
        "most_positive": (
            Quote(
                text="A wonderful film: I laughed, I cried, and the dancing is great.",
                author="asha",
                source="tmdb",
                url="https://example.org/review-1",
                score=0.96,
            ),
        ),
        "most_negative": (
            Quote(
                text="Three hours, and not a minute of it is quiet.",
                author="tired",
                source="mastodon",
                url="https://example.org/review-2",
                score=-0.71,
            ),
        ),
        "period_from": NOW - timedelta(days=1400),
        "period_to": NOW - timedelta(days=1),
        "analyzed_at": NOW - timedelta(minutes=1),
        "scorer": "vader-3.3.2",
    }
    return Analysis(**{**whole, **fields})


def a_report(source: str, **fields: Any) -> SourceReport:
    """A source that gave what it had."""
    whole = {"source": source, "status": "ok", "fetched": 10, "new": 8, "duplicates": 2, "calls": 1}
    return SourceReport.model_validate({**whole, **fields})


def a_result(**fields: Any) -> SearchResult:
    """All that a search of RRR can find."""
    films = [("Baahubali: The Beginning", 2015), ("Eega", 2012), ("Magadheera", 2009)]
    movie = {
        **a_movie(
            overview=OVERVIEW, tagline="Rise. Roar. Revolt.", poster_path="/rrr.svg"
        ).model_dump(mode="json", exclude={"related"}),
    }
    whole = {
        "workflow_id": SEARCH,
        "status": Status.SUCCEEDED,
        "movie": movie,
        "message": "The best match by title and year.",
        "analysis": an_analysis(),
        "recommendations": tuple(
            Recommendation(
                tmdb_id=number,
                title=title,
                year=year,
                poster_path=f"/film-{number}.svg",
                score=0.8,
                reasons=("by the same director", "people like it"),
            )
            for number, (title, year) in enumerate(films, start=1)
        ),
        "sources": (
            a_report("tmdb"),
            a_report("x", cost_usd=0.05),
            a_report("bluesky", new=0, duplicates=0, fetched=0),
            a_report("mastodon"),
        ),
        "candidates": (),
        "missing": (),
    }
    return SearchResult(**{**whole, **fields})


def a_run(**fields: Any) -> WorkflowStatus:
    """A search that has ended well."""
    began = NOW - timedelta(minutes=2)
    whole = {
        "workflow_id": SEARCH,
        "kind": "movie_search",
        "status": Status.SUCCEEDED,
        "stalled": False,
        "trigger": "api",
        "rerun_of": None,
        "correlation_id": None,
        "input": {"movie_name": "RRR"},
        "started_at": began,
        "ended_at": began + timedelta(seconds=8),
        "duration_ms": 8000,
        "steps": steps(),
        "error": None,
        "backfilled_at": None,
        "result": a_result(),
        "automation_stats": stats(),
    }
    return WorkflowStatus(**{**whole, **fields})


def a_running(**fields: Any) -> WorkflowStatus:
    """A search whose first step goes on."""
    begun = {"FindMovie": a_step(0, None)}
    open_ended = {"ended_at": None, "duration_ms": None, "result": None}
    return a_run(**{"status": Status.RUNNING, "steps": begun, **open_ended, **fields})


def a_summary(number: int, **fields: Any) -> WorkflowSummary:
    """A search in a list, the higher the number the older."""
    whole = {
        "workflow_id": f"auto-search-{number}",
        "kind": "movie_search",
        "status": Status.SUCCEEDED,
        "input": {"movie_name": f"Film {number}"},
        "started_at": NOW - timedelta(minutes=number),
        "ended_at": NOW - timedelta(minutes=number) + timedelta(seconds=8),
        "duration_ms": 8000,
        "status_url": f"workflow/status/auto-search-{number}",
    }
    return WorkflowSummary(**{**whole, **fields})


def a_list(*runs: WorkflowSummary, more: str | None = None) -> WorkflowPage:
    """A page of them."""
    return WorkflowPage(workflows=runs, next_cursor=more)


def reviews(count: int = 40) -> ReviewPage:
    """Of RRR, over four years, most of them happy."""
    scores = (0.8, 0.6, -0.5, 0.9, 0.2)
    found = [
        a_scored_review(
            review_id=f"review-{number}",
            posted_at=NOW - timedelta(days=1 + number * 35),
            sentiment=Sentiment(
                label=Label.POSITIVE, score=scores[number % len(scores)], scorer="vader-3.3.2"
            ),
        )
        for number in range(count)
    ]
    return a_review_page(*found)


def a_review_page(*found: ScoredReview) -> ReviewPage:
    """All reviews of a film."""
    return ReviewPage(tmdb_id=579974, reviews=found, next_cursor=None)


def accepted(workflow_id: str = SEARCH) -> Accepted:
    """A search, or a rerun, that has begun."""
    return Accepted(
        workflow_id=workflow_id,
        status=Status.RUNNING,
        joined=False,
        status_url=f"workflow/status/{workflow_id}",
    )


def films(*titles: str) -> KnownMovies:
    """Films that are known by name."""
    return KnownMovies(
        films=tuple(
            MovieCard(tmdb_id=number, title=title, year=2000 + number)
            for number, title in enumerate(titles, start=1)
        )
    )


def an_approval(number: int = 1, **fields: Any) -> ApprovalAnswer:
    """A tweet that a run waits for."""
    whole = {
        "approval_id": f"marquee-{number}",
        "approval_url": f"workflow/approvals/marquee-{number}",
        "account": "marquee",
        "tweet_id": str(number),
        "posting_account": "marquee",
        "state": "WAITING",
        "author": "marquee",
        "type": "review",
        "original": "Tokyo Story ,again: 10/10.. nobody under sixty was safe",
        "proposed": f"{TEXT} #{number:02}",
        "reason": "the run asks before every post",
        "has_url": False,
        "price_usd": 0.015,
        "workflow_id": "tweets-1",
        "requested_at": NOW - timedelta(minutes=5),
        "expires_at": NOW + timedelta(hours=1),
        "decided_at": None,
        "decided_by": "",
        "decision": None,
        "decision_reason": "",
    }
    return ApprovalAnswer.model_validate({**whole, **fields})


def a_queue(*waiting: ApprovalAnswer, more: str | None = None) -> ApprovalPage:
    """What waits for a word."""
    return ApprovalPage(approvals=waiting, next_cursor=more)


def a_check(**fields: Any) -> TextCheck:
    """A text that may be posted."""
    whole = {
        "ok": True,
        "reasons": (),
        "length": 54,
        "similarity": 0.9,
        "has_url": False,
        "price_usd": 0.015,
    }
    return TextCheck(**{**whole, **fields})


def a_tweet(**fields: Any) -> TweetAnswer:
    """One whose post is in doubt."""
    changed = [
        {"at": NOW - timedelta(hours=2), "to": "APPROVED", "reason": "approved"},
        {"at": NOW - timedelta(hours=1), "to": "NEEDS_HUMAN", "reason": "two posts have its text"},
    ]
    whole = {
        "account": "marquee",
        "tweet_id": "7",
        "author": "marquee",
        "text": TEXT,
        "created_at": NOW - timedelta(hours=3),
        "lang": "en",
        "urls": (),
        "status": "NEEDS_HUMAN",
        "reason": "two posts have its text",
        "next_step": "Look at the account, and decide the post.",
        "type": "review",
        "classified_by": "rules",
        "polished_text": TEXT,
        "final_text": TEXT,
        "verdict": {},
        "post_id": None,
        "history": changed,
    }
    return TweetAnswer.model_validate({**whole, **fields})


def tweets(*found: TweetAnswer) -> TweetPage:
    """A page of them."""
    return TweetPage(username="marquee", tweets=found, next_cursor=None)


def health() -> Health:
    """Everything is well."""
    posting = PostingHealth(
        account="marquee", configured=True, lacks=(), schedules_enabled=False, language_model=True
    )
    return Health(status="ok", stage="dev", sources=(), posting=posting, parts=())


def a_delivery(**fields: Any) -> DeliveryAnswer:
    """One that was given up."""
    attempt = {"at": NOW - timedelta(minutes=3), "duration_ms": 20, "status_code": 410}
    whole = {
        "delivery_id": "delivery-1",
        "delivery_url": "triggers/history/delivery-1",
        "trigger_id": "trigger-1",
        "url": "https://hooks.example.org/marquee",
        "event_id": "event-1",
        "event_type": "MovieSearchCompleted",
        "is_test": False,
        "status": "FAILED",
        "reason": "answered 410",
        "matched_at": NOW - timedelta(minutes=4),
        "due_at": None,
        "latency_ms": 20,
        "attempts": (attempt,),
    }
    return DeliveryAnswer.model_validate({**whole, **fields})


def calls(**fields: Any) -> dict[str, Any]:
    """Totals of calls."""
    whole = CallTotals(
        total=120,
        successful=118,
        failed=2,
        success_rate=118 / 120,
        retries=1,
        errors={"UpstreamTimeout": 2},
        p50_ms=120,
        p95_ms=900,
    )
    return {**whole.model_dump(), **fields}


def installation(*deliveries: DeliveryAnswer, **fields: Any) -> InstallationStats:
    """A day of work."""
    provider = ProviderTotals(**calls(), cost_usd=0.4, by_endpoint={})
    step = StepTotals(attempts=12, failed=0, errors={}, p50_ms=400, p95_ms=1500)
    done = {"SUCCEEDED": 10, "PARTIAL": 2}
    whole = {
        "window": "24h",
        "since": NOW - timedelta(hours=24),
        "until": NOW,
        "coordinator_stats": WindowStats(
            api_calls=UpstreamTotals(**calls(), cost_usd=0.4, by_provider={"tmdb": provider}),
            database_operations=StoreTotals(
                **calls(), by_operation={}, read_units=900, write_units=300
            ),
        ),
        "workflows": {
            "movie_search": WorkflowTotals(
                total=12, by_status=done, steps={"FindMovie": step, "AnalyzeReviews": step}
            )
        },
        "cost_usd": {"x": 0.4},
        "triggers": TriggerTotals(total=1, switched_off=(), outcomes={}, recent=deliveries),
        "queues": (
            QueueDepth(queue="parked_reviews", url="q", messages=0, dead_letters=False),
            QueueDepth(queue="dead_letters", url="q", messages=2, dead_letters=True),
        ),
        "gateway": a_gateway(
            quotas=(a_quota(used=45), a_quota(provider="tmdb", endpoint="*", used=3)),
            budgets=(a_budget(0.4), a_budget(3, 40, period="month")),
            breakers=(a_breaker(), a_breaker(provider="bluesky", endpoint="search", state="open")),
        ),
        "backfill": None,
        "hours": tuple(
            HourTotals(
                hour=NOW - timedelta(hours=24 - hour),
                calls=hour * 3 % 17,
                failed_calls=int(hour == 8),
                database_operations=40,
                workflows=hour % 4,
                failed_workflows=0,
                cost_usd=0.01 * (hour % 3),
            )
            for hour in range(24)
        ),
    }
    return InstallationStats(**{**whole, **fields})
