"""FinishRun: what became of each tweet of a run, the balance, and the end of its record."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from marquee.observability import logger
from marquee.tweets.approval import Approval, Approvals, ApprovalState
from marquee.tweets.ledger import PostLedger, balance
from marquee.tweets.models import LedgerEntry, LedgerState, Model, Status, Tweet, TweetType
from marquee.tweets.policy import Action, Policies, decide
from marquee.tweets.rows import Rows
from marquee.tweets.run import KIND, Mode, Run, RunRequest
from marquee.tweets.text import url_spans
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.problems import Problem, listed
from marquee.workflows.record import Status as RunStatus
from marquee.workflows.record import WorkflowRecords

MOST_TOLD = 200
"""Tweets in a record, each about 1 KB: an item of DynamoDB is 400 KB at most."""


class FinishRunInput(BaseModel):
    """What the run took up, and what failed on its way."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    request: RunRequest = RunRequest()
    tweet_ids: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    problems: Annotated[tuple[Problem, ...], BeforeValidator(listed)] = ()


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
    """The result in the workflow record.

    Beside the record's status it tells apart what SUCCEEDED may mean: no ``tweets``, there was
    nothing to do; NEEDS_HUMAN among the ``statuses``, a person must decide (in a dry run: would
    have to); else all is done. PARTIAL and FAILED have their reasons in ``missing``.
    """

    account: str
    posting_account: str
    mode: Mode
    tweets: tuple[TweetOutcome, ...] = ()
    """The newest ``MOST_TOLD`` of them; ``statuses`` counts all."""
    statuses: dict[str, int] = Field(default_factory=dict)
    posted_usd: float = 0.0
    balance: dict[str, Any] = Field(default_factory=dict)
    """Of the tweets of this run: post-worthy = posted + rejected + skipped + pending."""
    missing: tuple[str, ...] = ()
    """What failed, in words; empty where the status is SUCCEEDED."""


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
    *,
    now: datetime,
) -> FinishRunOutput:
    """Close the run's record with what became of each tweet; a run that has ended stays so.

    Approvals that the run waited for in vain are held. FAILED where a step failed and nothing was
    taken up; PARTIAL where a step failed, X refused a post, one is left to the sweep, or the
    balance does not hold.
    """
    record = records.get(request.workflow_id, consistent=True)
    if record and record.status is not RunStatus.RUNNING:
        return FinishRunOutput(workflow_id=record.workflow_id, status=record.status)
    approvals, store, ledger = Approvals(rows), TweetStore(rows), PostLedger(rows)
    tweets: list[Tweet] = []
    entries: dict[str, LedgerEntry] = {}
    asked: dict[str, Approval] = {}
    for tweet_id in sorted(set(request.tweet_ids), key=int):
        if run.mode is not Mode.DRY_RUN:
            approvals.expire(run.account, tweet_id, request.workflow_id, now=now)
        tweet = store.get(run.account, tweet_id)
        entry = ledger.get(run.posting_account, tweet_id)
        if tweet:
            tweets.append(tweet)
        if entry:
            entries[tweet_id] = entry
        if tweet and tweet.status is Status.POLISHED and run.mode is not Mode.DRY_RUN:
            approval = approvals.get(run.account, tweet_id)
            if approval and approval.state is ApprovalState.WAITING:
                asked[tweet_id] = approval
    outcomes = tuple(
        _outcome(tweet, entries.get(tweet.tweet_id), asked.get(tweet.tweet_id), run, policies)
        for tweet in tweets
    )
    account = balance(entries.values(), tweets)
    if not account.holds:
        logger.error("the balance does not hold", balance=account.model_dump())
    missing = (
        *map(str, request.problems),
        *filter(None, map(_shortfall, entries.values())),
        *account.faults,
    )
    if len(missing) > MOST_TOLD:
        missing = (*missing[:MOST_TOLD], f"and {len(missing) - MOST_TOLD} more")
    error = None
    if request.problems and not tweets:
        status, error = RunStatus.FAILED, request.problems[0].error.as_step_error()
    else:
        status = RunStatus.PARTIAL if missing or not account.holds else RunStatus.SUCCEEDED
    statuses: dict[str, int] = {}
    for outcome in outcomes:
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
    summary = RunSummary(
        account=run.account,
        posting_account=run.posting_account,
        mode=run.mode,
        tweets=outcomes[-MOST_TOLD:],
        statuses=statuses,
        posted_usd=round(sum(outcome.price_usd for outcome in outcomes), 6),
        balance=account.model_dump(),
        missing=missing,
    )
    records.close(
        request.workflow_id,
        KIND,
        status,
        now=now,
        result=summary.model_dump(mode="json", exclude_defaults=True),
        error=error,
    )
    counts = {name.lower(): count for name, count in statuses.items()}
    return FinishRunOutput(
        workflow_id=request.workflow_id,
        status=status,
        counts={"tweets": len(outcomes), **counts},
    )


def _outcome(
    tweet: Tweet,
    entry: LedgerEntry | None,
    asked: Approval | None,
    run: Run,
    policies: Policies,
) -> TweetOutcome:
    reason = tweet.history[-1].reason if tweet.history else ""
    if asked:
        reason = f"{asked.workflow_id} has asked a person, and nobody has decided yet"
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


def _shortfall(entry: LedgerEntry) -> str | None:
    """What a post lacks that is neither made nor a person's to decide, in words."""
    match entry.state:
        case LedgerState.REJECTED:
            return f"the post of {entry.tweet_id} is REJECTED: {entry.reason}"
        case LedgerState.CLAIMED | LedgerState.SENDING | LedgerState.UNKNOWN:
            why = f" ({entry.reason})" if entry.reason else ""
            return f"the post of {entry.tweet_id} is {entry.state}{why}: the sweep goes on with it"
    return None
