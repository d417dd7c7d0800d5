"""Executions of every kind: the status of one, the listing, cancel, rerun and cleanup."""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.problems import bad_cursor
from marquee.api.waiting import MARGIN_SECONDS, accepted
from marquee.aws import STORE_ERRORS
from marquee.clock import Moment
from marquee.errors import BadInput, Conflict, NotFound
from marquee.observability import logger
from marquee.workflows.record import Status, StepError, WorkflowRecord, WorkflowRecords
from marquee.workflows.start import BELIEVED_FOR, STARTED_WITHIN, Executions, Started

if TYPE_CHECKING:
    from marquee.api.answers import WorkflowStatus, WorkflowSummary
    from marquee.movies.backfill import BackfillSummary
    from marquee.movies.search import SearchResult
    from marquee.tweets.finish import RunSummary

Kind = Literal["movie_search", "review_backfill", "tweet_pipeline"]
"""Every kind of workflow there is."""

FromStep = Literal[
    "FindMovie",
    "AnalyzeReviews",
    "PlanBackfill",
    "DownloadTweets",
    "ClassifyTweets",
    "PolishTweets",
]

BEGINNINGS: dict[str, dict[FromStep, dict[str, Any]]] = {
    "movie_search": {
        "FindMovie": {"collect_new_data": True},
        "AnalyzeReviews": {"collect_new_data": False},
    },
    "review_backfill": {"PlanBackfill": {}},
    "tweet_pipeline": {
        "DownloadTweets": {"from_step": None},
        "ClassifyTweets": {"from_step": "ClassifyTweets"},
        "PolishTweets": {"from_step": "PolishTweets"},
    },
}
"""The states that an execution of a kind may begin with, by what makes it do so in its input."""

CANCELED = StepError(name="Canceled", message="stopped on request")

LOOKED_AT = 100
"""Executions that a request reads for the sake of a text: about 50 KB of an index."""

WORKFLOW_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""What Step Functions takes as an execution's name; other keys of the table are no records."""

Limit = Annotated[int, Field(strict=True, ge=1, le=100, description="Entries on a page.")]
Cursor = Annotated[
    str | None,
    Field(max_length=2000, description="next_cursor of the page before; absent: the first page."),
]


class WorkflowId(Parameters):
    """Which execution."""

    workflow_id: str = Field(description="The execution's name.")


class WorkflowFilter(Parameters):
    """Which executions."""

    kind: Kind | None = Field(default=None, description="Absent: all kinds.")
    status: Status | None = Field(default=None, description="Absent: any.")
    since: Moment | None = Field(default=None, description="Started then or later.")
    until: Moment | None = Field(default=None, description="Started then or earlier.")
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only those whose id or input holds it, in any case. So many executions are "
        f"looked at for a page: {LOOKED_AT}; it may be short, or empty, and still have a next one.",
    )
    limit: Limit = 20
    cursor: Cursor = None


def workflow_status(asked: WorkflowId, call: Call) -> Reply:
    """The record of one execution; raises NotFound where there is none."""
    return Reply(status_of(_found(asked.workflow_id, call), call))


def _found(workflow_id: str, call: Call, *, consistent: bool = False) -> WorkflowRecord:
    records = WorkflowRecords.connect(call.settings)
    is_name = WORKFLOW_ID.fullmatch(workflow_id)
    record = records.get(workflow_id, consistent=consistent) if is_name else None
    if record is None:
        raise NotFound("there is no workflow of that id")
    return record


def status_of(record: WorkflowRecord, call: Call) -> "WorkflowStatus":
    """The execution as it is shown, of whichever kind."""
    from marquee.api.answers import StepStatus, WorkflowStatus
    from marquee.api.statistics import automation_stats, cost_usd_of

    facts = record.model_dump(include=set(WorkflowStatus.model_fields) - {"result", "steps"})
    return WorkflowStatus(
        **facts,
        stalled=_is_stalled(record, call),
        duration_ms=_duration_ms(record),
        steps={
            name: StepStatus(**step.model_dump(), cost_usd=cost_usd_of(step))
            for name, step in record.steps.items()
        },
        result=_result_of(record, call),
        automation_stats=automation_stats(record),
    )


def _result_of(
    record: WorkflowRecord, call: Call
) -> "SearchResult | RunSummary | BackfillSummary | None":
    match record.kind:
        case "movie_search":
            from marquee.movies.catalog import Catalog
            from marquee.movies.search import result_of

            return result_of(record, Catalog.connect(call.settings))
        case "review_backfill" if record.result:
            from marquee.movies.backfill import BackfillSummary

            return BackfillSummary.model_validate(record.result)
        case "tweet_pipeline" if record.result:
            from marquee.tweets.finish import RunSummary

            return RunSummary.model_validate(record.result)
    return None


def _is_stalled(record: WorkflowRecord, call: Call) -> bool | None:
    """Whether it ended without a word; a run may well wait for a person for a week."""
    if record.status is not Status.RUNNING or call.now() - record.started_at <= BELIEVED_FOR:
        return False
    try:
        return not _executions(record, call).is_running(record.workflow_id)
    except STORE_ERRORS:
        logger.warning("Step Functions could not be asked", exc_info=True)
        return None


def _executions(record: WorkflowRecord, call: Call) -> Executions:
    return Executions.connect(call.settings, record.kind)


def cancel(asked: WorkflowId, call: Call) -> Reply:
    """Stop an execution that runs; what it has done stays done.

    A tweet that it was about to post is posted at most once, by whoever takes it up next.
    """
    record = _found(asked.workflow_id, call, consistent=True)
    if record.status is Status.RUNNING:
        _stop(record, call)
        record = _found(asked.workflow_id, call, consistent=True)
    if record.error != CANCELED:
        raise Conflict(f"it has ended: {record.status}")
    return Reply(status_of(record, call))


def _stop(record: WorkflowRecord, call: Call) -> None:
    """Stop it, then close its record: what dies between the two, its end closes."""
    has_begun = _executions(record, call).stop(record.workflow_id, CANCELED.message)
    if not has_begun and call.now() - record.started_at <= STARTED_WITHIN:
        raise Conflict("it is only being started: ask again in a moment")
    WorkflowRecords.connect(call.settings).close(
        record.workflow_id, record.kind, Status.CANCELED, now=call.now(), error=CANCELED
    )


class Rerun(WorkflowId):
    """Which execution to repeat, and from where."""

    from_step: FromStep | None = Field(
        default=None,
        description="The state to begin with: FindMovie or AnalyzeReviews (on stored reviews) of "
        "a movie_search; PlanBackfill of a review_backfill; DownloadTweets, ClassifyTweets or "
        "PolishTweets (on stored tweets) of a tweet_pipeline. Absent: as the execution began.",
    )


def rerun(asked: Rerun, call: Call) -> Reply:
    """Start a new execution with the input of one that has ended, or join an equal one that runs.

    The new one says whose rerun it is. One that was started on the console is not repeated: what
    it was asked is not in its record.
    """
    record = _found(asked.workflow_id, call, consistent=True)
    if record.status is Status.RUNNING:
        raise Conflict("it has not ended: cancel it first, or wait")
    if not record.trigger:
        raise Conflict("it was started on the console, and what it was asked is not known here")
    given = dict(record.input)
    if asked.from_step:
        beginnings = BEGINNINGS[record.kind]
        if asked.from_step not in beginnings:
            message = f"a {record.kind} begins with {' or '.join(beginnings)}"
            raise BadInput(message, field="from_step")
        given |= beginnings[asked.from_step]
    try:
        started = _started_again(record, given, call)
    except ValidationError as error:
        raise Conflict(f"its input is no longer valid: {BadInput.of(error)}") from error
    return accepted(started, call)


def _started_again(record: WorkflowRecord, given: dict[str, Any], call: Call) -> Started:
    if record.kind == "movie_search":
        from marquee.movies.models import SearchRequest
        from marquee.movies.start import start_search

        return start_search(
            SearchRequest.model_validate(given),
            trigger="rerun",
            settings=call.settings,
            now=call.now(),
            rerun_of=record.workflow_id,
        )
    if record.kind == "review_backfill":
        from marquee.movies.backfill import BackfillRequest
        from marquee.movies.backfill_start import start_backfill

        return start_backfill(
            BackfillRequest.model_validate(given),
            trigger="rerun",
            settings=call.settings,
            now=call.now(),
            rerun_of=record.workflow_id,
        )
    from marquee.api.runs import run_started
    from marquee.tweets.run import RunRequest

    request = RunRequest.model_validate(given)
    return run_started(request, call, trigger="rerun", rerun_of=record.workflow_id)


class OlderThan(Parameters):
    """Which ended executions may go."""

    older_than_days: Annotated[int, Field(strict=True, ge=1, le=365)] = Field(
        description="Days since they ended, at least."
    )


def cleanup(asked: OlderThan, call: Call) -> Reply:
    """Delete the records of executions that ended so long ago.

    Only those: films, reviews, tweets and the ledger of posts stay. What there is no time for is
    left to the next request.
    """
    from marquee.api.answers import Cleaned

    records = WorkflowRecords.connect(call.settings)
    before = call.now() - timedelta(days=asked.older_than_days)
    deleted = 0
    for kind in get_args(Kind):
        for gone in records.forget_ended(kind, before):
            deleted += gone
            if call.remaining_seconds() < MARGIN_SECONDS:
                return Reply(Cleaned(deleted=deleted, more=True))
    return Reply(Cleaned(deleted=deleted, more=False))


class Listed(Position):
    """Up to where the executions of one kind have been listed."""

    workflow_id: str = Field(pattern=WORKFLOW_ID.pattern)
    started_at: Moment


class Place(Position):
    """Up to where each kind has been listed; a kind that is absent has not begun."""

    after: dict[str, Listed]


def workflow_list(asked: WorkflowFilter, call: Call) -> Reply:
    """A page of executions, the newest first over all the kinds asked for."""
    from marquee.api.answers import WorkflowPage

    records = WorkflowRecords.connect(call.settings)
    place = decoded(asked.cursor, Place)
    after = dict(place.after) if place else {}
    if not all(_is_within(asked, listed.started_at) for listed in after.values()):
        raise bad_cursor()
    read = LOOKED_AT if asked.text else asked.limit
    found: list[WorkflowRecord] = []
    more = False
    for kind in (asked.kind,) if asked.kind else get_args(Kind):
        page, next_key = records.page(
            kind,
            status=asked.status,
            since=asked.since,
            until=asked.until,
            limit=read,
            after=_key(kind, asked.status, after[kind]) if kind in after else None,
        )
        found += page
        more = more or next_key is not None
    # Stable: executions of one kind that began together stay in the order of their index.
    found.sort(key=lambda record: record.started_at, reverse=True)
    shown: list[WorkflowRecord] = []
    looked_at = 0
    for record in found[:read]:
        if len(shown) == asked.limit:
            break
        looked_at += 1
        after[record.kind] = Listed(workflow_id=record.workflow_id, started_at=record.started_at)
        if _holds(record, asked.text):
            shown.append(record)
    return Reply(
        WorkflowPage(
            workflows=tuple(_summary(record, call) for record in shown),
            next_cursor=encoded(Place(after=after)) if more or len(found) > looked_at else None,
        )
    )


def _is_within(asked: WorkflowFilter, moment: datetime) -> bool:
    too_early = asked.since and moment < asked.since
    return not (too_early or (asked.until and moment > asked.until))


def _holds(record: WorkflowRecord, text: str | None) -> bool:
    """Whether the execution's id or a value of its input holds the text."""
    if text is None:
        return True
    said = (record.workflow_id, *map(str, record.input.values()))
    return any(text.casefold() in value.casefold() for value in said)


def _key(kind: str, status: Status | None, listed: Listed) -> dict[str, Any]:
    """The key of the last execution listed, in the index that answers the filter."""
    partition = {"kind_status": f"{kind}#{status}"} if status else {"kind": kind}
    started_at = listed.started_at.isoformat()
    return {"workflow_id": listed.workflow_id, "started_at": started_at, **partition}


def _summary(record: WorkflowRecord, call: Call) -> "WorkflowSummary":
    from marquee.api.answers import WorkflowSummary

    return WorkflowSummary(
        workflow_id=record.workflow_id,
        kind=record.kind,
        status=record.status,
        input=record.input,
        started_at=record.started_at,
        ended_at=record.ended_at,
        duration_ms=_duration_ms(record),
        status_url=call.link(f"/workflow/status/{record.workflow_id}"),
    )


def _duration_ms(record: WorkflowRecord) -> int | None:
    if record.ended_at is None:
        return None
    return round((record.ended_at - record.started_at).total_seconds() * 1000)
