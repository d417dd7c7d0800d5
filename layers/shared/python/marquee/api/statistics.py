"""What an execution did, over all its steps and their attempts, and what set it off."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from marquee.workflows.record import Status, StepRecord, WorkflowRecord

if TYPE_CHECKING:
    from marquee.api.answers import AutomationStats, TriggerEntry
    from marquee.events.models import DomainEvent


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
        for counts in _attempts(step):
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


def cost_usd_of(step: StepRecord) -> float:
    """What the upstreams charge for the step's calls, at list price."""
    return round(sum(float(counts.get("cost_usd", 0)) for counts in _attempts(step)), 6)


def _attempts(step: StepRecord) -> Iterator[dict[str, Any]]:
    """The counts of every attempt of a step."""
    yield step.counts
    for attempt in step.failed_attempts:
        yield attempt.counts


def _history(record: WorkflowRecord, joined_at: datetime | None) -> "Iterator[TriggerEntry]":
    """What set the execution off, what it published at its end, and this request if it joined.

    An execution that no starter of ours opened was started on the console.
    """
    from marquee.api.answers import TriggerEntry

    entries = [
        TriggerEntry(what="started", name=record.trigger or "console", at=record.started_at),
        *(
            TriggerEntry(what="published", name=event.detail_type, at=event.occurred_at)
            for event in _published(record)
        ),
    ]
    if joined_at:
        entries.append(TriggerEntry(what="joined", name="api", at=joined_at))
    yield from sorted(entries, key=lambda entry: entry.at)


def _published(record: WorkflowRecord) -> "list[DomainEvent]":
    """What the outbox says of the execution's end; nothing where an older release wrote it."""
    from marquee.coordination.outbox import record_events
    from marquee.events.outbox import UNREADABLE

    if record.ended_at:
        with suppress(*UNREADABLE):
            return list(record_events({"status": Status.RUNNING}, record.model_dump(mode="json")))
    return []
