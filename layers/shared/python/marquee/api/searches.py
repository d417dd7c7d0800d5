"""The search: start or join an execution, wait for it a little, answer what it found."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from marquee.api.call import Call, Reply
from marquee.api.problems import failed_search
from marquee.movies.models import SearchRequest
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords

if TYPE_CHECKING:
    from marquee.api.answers import AutomationStats, TriggerEntry

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.5
"""A read is 0.5 units: 20 s of waiting are about 22 reads."""

MARGIN_SECONDS = 3.0
"""Kept of the invocation's time for reading the result and sending it."""


class AutoSearch(SearchRequest):
    """A search, and how long to wait for it."""

    model_config = ConfigDict(strict=True, defer_build=True)

    wait_seconds: int = Field(
        default=20,
        ge=0,
        le=25,
        description="How long to wait for the result; then the answer is 202 with Location.",
    )


def auto_search(search: AutoSearch, call: Call) -> Reply:
    """200 with the result, 202 where it is not there in time; a failed search is a problem."""
    from marquee.movies.search import start_search

    request = SearchRequest.model_validate(search.model_dump(exclude={"wait_seconds"}))
    asked_at = call.now()
    started = start_search(request, trigger="api", settings=call.settings, now=asked_at)
    record = _awaited(started.workflow_id, search.wait_seconds, call)
    if record is None or record.status is Status.RUNNING:
        return _accepted(started.workflow_id, call)
    return _answered(record, call, joined_at=asked_at if started.joined else None)


def _awaited(workflow_id: str, wait_seconds: float, call: Call) -> WorkflowRecord | None:
    """The record when it has closed, or as it is when the time is up."""
    records = WorkflowRecords.connect(call.settings)
    patience = min(wait_seconds, call.remaining_seconds() - MARGIN_SECONDS)
    give_up_at = call.now() + timedelta(seconds=patience)
    pause = FIRST_PAUSE_SECONDS
    while True:
        record = records.get(workflow_id)
        left = (give_up_at - call.now()).total_seconds()
        if left <= 0 or (record and record.status is not Status.RUNNING):
            return record
        call.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)


def _accepted(workflow_id: str, call: Call) -> Reply:
    from marquee.api.answers import SearchAccepted

    link = call.link(f"/workflow/status/{workflow_id}")
    return Reply(
        SearchAccepted(workflow_id=workflow_id, status=Status.RUNNING, status_url=link),
        status=HTTPStatus.ACCEPTED,
        headers={"Location": link},
    )


def _answered(record: WorkflowRecord, call: Call, *, joined_at: datetime | None) -> Reply:
    from marquee.api.answers import SearchAnswer
    from marquee.movies.catalog import Catalog
    from marquee.movies.search import result_of

    result = result_of(record, Catalog.connect(call.settings))
    if result is None:
        raise failed_search(record)
    stats = automation_stats(record, joined_at=joined_at)
    return Reply(SearchAnswer(workflow_result=result, automation_stats=stats))


def automation_stats(
    record: WorkflowRecord, *, joined_at: datetime | None = None
) -> "AutomationStats":
    """The counts of one execution over all its steps and their attempts, and its triggers."""
    from marquee.api.answers import (
        ApiCalls,
        AutomationStats,
        CoordinatorStats,
        DatabaseOperations,
    )

    calls: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for step in record.steps.values():
        for counts in (step.counts, *(attempt.counts for attempt in step.failed_attempts)):
            calls.update(counts.get("calls", {}))
            operations.update(counts.get("operations", {}))
            for name in ("cost_usd", "read_units", "write_units"):
                sums[name] += counts.get(name, 0)
    by_provider: Counter[str] = Counter()
    by_outcome: Counter[str] = Counter()
    for name, number in calls.items():
        provider, _, outcome = name.rpartition(".")
        by_provider[provider] += number
        by_outcome[outcome] += number
    total = calls.total()
    return AutomationStats(
        coordinator_stats=CoordinatorStats(
            api_calls=ApiCalls(
                total=total,
                successful=by_outcome["successful"],
                failed=by_outcome["failed"],
                success_rate=round(by_outcome["successful"] / total, 4) if total else None,
                by_provider=dict(by_provider),
                cost_usd=round(sums["cost_usd"], 6),
            ),
            database_operations=DatabaseOperations(
                total=operations.total(),
                failed=sum(n for name, n in operations.items() if name.endswith(".failed")),
                by_operation=dict(operations),
                read_units=sums["read_units"],
                write_units=sums["write_units"],
            ),
        ),
        trigger_history=tuple(_history(record, joined_at)),
    )


def _history(record: WorkflowRecord, joined_at: datetime | None) -> "Iterator[TriggerEntry]":
    """What set the execution off, what it published at its end, and this request if it joined.

    An execution that no starter of ours opened was started on the console.
    """
    from marquee.api.answers import TriggerEntry

    entries = [
        TriggerEntry(what="started", name=record.trigger or "console", at=record.started_at),
        *(
            TriggerEntry(what="published", name=event, at=record.ended_at or record.started_at)
            for event in record.result.get("events", ())
        ),
    ]
    if joined_at:
        entries.append(TriggerEntry(what="joined", name="api", at=joined_at))
    yield from sorted(entries, key=lambda entry: entry.at)
