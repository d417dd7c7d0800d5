"""What the change of a workflow record says to others, whatever its kind.

Rows are read as they lie in the tables, here and in the modules like this one: to import those that
write them would cost each start of the outbox more than all else it does. Tests hold the two
together.
"""

from collections.abc import Iterator

from marquee.events.models import DomainEvent, WorkflowFailed
from marquee.events.outbox import Item

RUNNING, SUCCEEDED, PARTIAL, FAILED = "RUNNING", "SUCCEEDED", "PARTIAL", "FAILED"
"""Of `marquee.workflows.record.Status`."""


def workflow_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """The end of an execution without a result, whoever wrote it down."""
    if has_ended(old, new) and new["status"] == FAILED:
        error = new.get("error", {})
        yield WorkflowFailed.about(
            new["workflow_id"],
            occurred_at=new["ended_at"],
            correlation_id=new["workflow_id"],
            workflow_id=new["workflow_id"],
            kind=new["kind"],
            trigger=new.get("trigger", ""),
            error=error.get("name", "Unknown"),
            message=error.get("message", ""),
        )


def has_ended(old: Item, new: Item) -> bool:
    """Whether this change ended the execution; what lies beside the records never ends."""
    was, now = old.get("status", RUNNING), new.get("status", RUNNING)
    return bool(was == RUNNING != now)
