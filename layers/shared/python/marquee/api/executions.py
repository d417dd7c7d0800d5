"""What is known of executions: the status of one, and the listing."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.clock import Moment
from marquee.errors import NotFound
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from marquee.workflows.start import LONGEST_EXECUTION

if TYPE_CHECKING:
    from marquee.api.answers import WorkflowSummary

Kind = Literal["movie_search"]
"""Every kind of workflow there is."""

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
    limit: Limit = 20
    cursor: Cursor = None


def workflow_status(asked: WorkflowId, call: Call) -> Reply:
    """The record of one execution; raises NotFound where there is none."""
    from marquee.api.answers import WorkflowStatus
    from marquee.api.searches import automation_stats
    from marquee.movies.catalog import Catalog
    from marquee.movies.search import KIND, result_of

    records = WorkflowRecords.connect(call.settings)
    record = records.get(asked.workflow_id) if WORKFLOW_ID.fullmatch(asked.workflow_id) else None
    if record is None:
        raise NotFound("there is no workflow of that id")
    is_search = record.kind == KIND
    facts = record.model_dump(include=set(WorkflowStatus.model_fields) - {"result"})
    return Reply(
        WorkflowStatus(
            **facts,
            stalled=record.status is Status.RUNNING
            and call.now() - record.started_at > LONGEST_EXECUTION,
            duration_ms=_duration_ms(record),
            result=result_of(record, Catalog.connect(call.settings)) if is_search else None,
            automation_stats=automation_stats(record),
        )
    )


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
    found: list[WorkflowRecord] = []
    more = False
    for kind in (asked.kind,) if asked.kind else get_args(Kind):
        page, next_key = records.page(
            kind,
            status=asked.status,
            limit=asked.limit,
            after=_key(kind, asked.status, after[kind]) if kind in after else None,
        )
        found += page
        more = more or next_key is not None
    # Stable: executions of one kind that began together stay in the order of their index.
    found.sort(key=lambda record: record.started_at, reverse=True)
    shown = found[: asked.limit]
    for record in shown:
        after[record.kind] = Listed(workflow_id=record.workflow_id, started_at=record.started_at)
    return Reply(
        WorkflowPage(
            workflows=tuple(_summary(record, call) for record in shown),
            next_cursor=encoded(Place(after=after)) if more or len(found) > len(shown) else None,
        )
    )


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
