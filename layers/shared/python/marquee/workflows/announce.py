"""What the change of a workflow record says to others, whatever its kind.

Rows are read as they lie in the tables, here and in the modules like this one: to import those that
write them would cost each start of the outbox more than all else it does. Tests hold the two
together.
"""

from collections.abc import Iterator

from marquee.events.models import DomainEvent, WorkflowCanceled, WorkflowFailed
from marquee.events.outbox import Item

RUNNING, SUCCEEDED, PARTIAL = "RUNNING", "SUCCEEDED", "PARTIAL"
FAILED, CANCELED = "FAILED", "CANCELED"
"""Of `marquee.workflows.record.Status`."""


def workflow_events(old: Item, new: Item) -> Iterator[DomainEvent]:
    """The end of an execution without a result, whoever wrote it down."""
    if not has_ended(old, new) or new["status"] not in (FAILED, CANCELED):
        return
    error = new.get("error", {})
    said = {
        "occurred_at": new["ended_at"],
        "correlation_id": new["workflow_id"],
        "workflow_id": new["workflow_id"],
        "kind": new["kind"],
        "trigger": new.get("trigger", ""),
        "message": error.get("message", ""),
    }
    if new["status"] == FAILED:
        yield WorkflowFailed.about(new["workflow_id"], **said, error=error.get("name", "Unknown"))
    else:
        yield WorkflowCanceled.about(new["workflow_id"], **said)


def has_ended(old: Item, new: Item) -> bool:
    """Whether this change ended the execution; what lies beside the records never ends."""
    was, now = old.get("status", RUNNING), new.get("status", RUNNING)
    return bool(was == RUNNING != now)
