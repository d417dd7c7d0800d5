"""Waiting for an execution: a little, within the request; then the client is told where to look."""

from datetime import timedelta
from http import HTTPStatus

from marquee.api.call import Call, Reply
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from marquee.workflows.start import Started

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.5
"""A read is 0.5 units: 20 s of waiting are about 22 reads."""

LONGEST_WAIT_SECONDS = 25
"""API Gateway gives up at 29."""

MARGIN_SECONDS = 3.0
"""Kept of the invocation's time for reading the result and sending it."""


def ended(workflow_id: str, wait_seconds: float, call: Call) -> WorkflowRecord | None:
    """The record once it has closed; None where it has not when the time is up."""
    records = WorkflowRecords.connect(call.settings)
    patience = min(wait_seconds, call.remaining_seconds() - MARGIN_SECONDS)
    give_up_at = call.now() + timedelta(seconds=patience)
    pause = FIRST_PAUSE_SECONDS
    while True:
        record = records.get(workflow_id)
        if record and record.status is not Status.RUNNING:
            return record
        left = (give_up_at - call.now()).total_seconds()
        if left <= 0:
            return None
        call.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)


def accepted(started: Started, call: Call) -> Reply:
    """202: the execution runs, and its status is where Location says."""
    from marquee.api.answers import Accepted

    link = call.link(f"/workflow/status/{started.workflow_id}")
    return Reply(
        Accepted(
            workflow_id=started.workflow_id,
            status=Status.RUNNING,
            joined=started.joined,
            status_url=link,
        ),
        status=HTTPStatus.ACCEPTED,
        headers={"Location": link},
    )
