"""FinishRun: what became of each tweet of a run, the balance, and the end of its record."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from marquee.events.publish import Bus, Event
from marquee.observability import logger
from marquee.tweets.approval import Approvals
from marquee.tweets.ledger import PostLedger, balance
from marquee.tweets.models import LedgerEntry, LedgerState, Model, Status, Tweet, TweetType
from marquee.tweets.policy import Action, Policies, decide
from marquee.tweets.rows import Rows
from marquee.tweets.run import KIND, Mode, Run, RunRequest, listed
from marquee.tweets.text import url_spans
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.record import Status as RunStatus
from marquee.workflows.record import StepError, WorkflowRecords

_EVENTS_AT_ONCE = 10
_MAX_CAUSE = 500


class CaughtError(BaseModel):
    """``$states.errorOutput`` of a Catch."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(alias="Error")
    cause: str = Field(default="", alias="Cause")

    def in_words(self) -> str:
        """The message; Lambda's Cause is JSON around it."""
        try:
            return LambdaCause.model_validate_json(self.cause).message[:_MAX_CAUSE]
        except ValueError:
            return self.cause[:_MAX_CAUSE]


class LambdaCause(BaseModel):
    """What Lambda puts into a Cause."""

    message: str = Field(alias="errorMessage")


class Problem(BaseModel):
    """A step that failed for good while the run went on."""

    model_config = ConfigDict(frozen=True)

    step: str
    error: CaughtError


class FinishRunInput(BaseModel):
    """What the run took up, what failed on its way, or what ended it."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    request: RunRequest = RunRequest()
    tweet_ids: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    problems: Annotated[tuple[Problem, ...], BeforeValidator(listed)] = ()
    failure: CaughtError | None = None


class TweetOutcome(Model):
    """What became of one tweet in a run."""

    tweet_id: str
    status: Status
    type: TweetType | None = None
    reason: str = ""
    text: str | None = None
    """What was, or would be, posted."""
    post_id: str | None = None
    price_usd: float = 0.0
    """What X charged for the post."""


class RunSummary(Model):
    """The result in the workflow record."""

    account: str
    posting_account: str
    mode: Mode
    tweets: tuple[TweetOutcome, ...] = ()
    statuses: dict[str, int] = Field(default_factory=dict)
    posted_usd: float = 0.0
    balance: dict[str, Any] = Field(default_factory=dict)
    """Of the tweets of this run: post-worthy = posted + rejected + skipped + pending."""
    missing: tuple[str, ...] = ()
    """What failed, in words; empty where the status is SUCCEEDED."""
    events: tuple[str, ...] = ()


class FinishRunOutput(Model):
    """How the run ended."""

    workflow_id: str
    status: RunStatus
    counts: dict[str, int] = Field(default_factory=dict)


def finish_run(
    request: FinishRunInput,
    run: Run,
    rows: Rows,
    policies: Policies,
    records: WorkflowRecords,
    bus: Bus,
    *,
    now: datetime,
) -> FinishRunOutput:
    """Close the run's record with what became of each tweet; a second call changes nothing.

    Approvals that the run waited for in vain are held. FAILED where something ended the run;
    PARTIAL where a step failed, a post is in doubt, or the balance does not hold.
    """
    approvals, store, ledger = Approvals(rows), TweetStore(rows), PostLedger(rows)
    tweets: list[Tweet] = []
    entries: dict[str, LedgerEntry] = {}
    for tweet_id in sorted(set(request.tweet_ids), key=int):
        if run.mode is not Mode.DRY_RUN:
            approvals.expire(run.account, tweet_id, request.workflow_id, now=now)
        tweet = store.get(run.account, tweet_id)
        entry = ledger.get(run.posting_account, tweet_id)
        if tweet:
            tweets.append(tweet)
        if entry:
            entries[tweet_id] = entry
    outcomes = tuple(_outcome(t, entries.get(t.tweet_id), run, policies) for t in tweets)
    account = balance(entries.values(), tweets)
    if not account.holds:
        logger.error("the balance does not hold", balance=account.model_dump())
    missing = (
        *(f"{problem.step}: {_in_words(problem.error)}" for problem in request.problems),
        *(f"the post of {entry.tweet_id} is {entry.state}" for entry in _in_doubt(entries)),
        *account.faults,
    )
    if request.failure:
        status = RunStatus.FAILED
    else:
        status = RunStatus.PARTIAL if missing or not account.holds else RunStatus.SUCCEEDED
    statuses: dict[str, int] = {}
    for outcome in outcomes:
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
    events = _events(request.workflow_id, run, status, outcomes, statuses)
    summary = RunSummary(
        account=run.account,
        posting_account=run.posting_account,
        mode=run.mode,
        tweets=outcomes,
        statuses=statuses,
        posted_usd=round(sum(outcome.price_usd for outcome in outcomes), 6),
        balance=account.model_dump(),
        missing=missing,
        events=tuple(dict.fromkeys(event.detail_type for event in events)),
    )
    # The events go first: a crash between the two repeats them, and never ends a run in silence.
    for first in range(0, len(events), _EVENTS_AT_ONCE):
        bus.put(events[first : first + _EVENTS_AT_ONCE])
    records.close(
        request.workflow_id,
        KIND,
        status,
        now=now,
        result=summary.model_dump(mode="json", exclude_defaults=True),
        error=_step_error(request.failure),
    )
    counts = {name.lower(): count for name, count in statuses.items()}
    return FinishRunOutput(
        workflow_id=request.workflow_id,
        status=status,
        counts={"tweets": len(outcomes), **counts, "events": len(events)},
    )


def _outcome(tweet: Tweet, entry: LedgerEntry | None, run: Run, policies: Policies) -> TweetOutcome:
    reason = tweet.history[-1].reason if tweet.history else ""
    if run.mode is Mode.DRY_RUN and tweet.status is Status.POLISHED:
        decision = decide(tweet, policies, own_account=run.posting_account)
        reason = (
            "would be posted"
            if decision.action is Action.POST
            else f"would be held: {decision.reason}"
        )
        if tweet.final_text and url_spans(tweet.final_text):
            reason += ", with a link"
    return TweetOutcome(
        tweet_id=tweet.tweet_id,
        status=tweet.status,
        type=tweet.type,
        reason=entry.reason if entry and entry.reason else reason,
        text=tweet.final_text,
        post_id=entry.post_id if entry else tweet.post_id,
        price_usd=entry.price_usd if entry and entry.post_id else 0.0,
    )


def _in_doubt(entries: dict[str, LedgerEntry]) -> list[LedgerEntry]:
    doubtful = {LedgerState.SENDING, LedgerState.UNKNOWN}
    return [entry for entry in entries.values() if entry.state in doubtful]


def _in_words(error: CaughtError) -> str:
    return f"{error.name}: {error.in_words()}"


def _step_error(failure: CaughtError | None) -> StepError | None:
    return StepError(name=failure.name, message=failure.in_words()) if failure else None


def _events(
    workflow_id: str,
    run: Run,
    status: RunStatus,
    outcomes: Sequence[TweetOutcome],
    statuses: dict[str, int],
) -> list[Event]:
    about = {"workflow_id": workflow_id, "account": run.posting_account, "source": run.account}
    posted = [
        Event(
            "TweetPosted",
            {
                **about,
                "tweet_id": outcome.tweet_id,
                "post_id": outcome.post_id,
                "type": outcome.type.value if outcome.type else None,
                "price_usd": outcome.price_usd,
            },
        )
        for outcome in outcomes
        if outcome.status is Status.POSTED
    ]
    completed = {**about, "mode": run.mode.value, "status": status.value, "tweets": statuses}
    return [*posted, Event("TweetPipelineCompleted", completed)]
