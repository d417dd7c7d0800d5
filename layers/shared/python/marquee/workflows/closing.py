"""Closing what executions left behind that ended outside a step: timed out, aborted, or broken."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from marquee.aws import only_logged
from marquee.gateway.slots import Slots
from marquee.workflows.record import Status, StepError, WorkflowRecords, in_words

_STATUS = {
    "SUCCEEDED": Status.SUCCEEDED,
    "FAILED": Status.FAILED,
    "TIMED_OUT": Status.FAILED,
    "ABORTED": Status.CANCELED,
}


class ExecutionEnded(BaseModel):
    """The detail of "Step Functions Execution Status Change" for an execution that has ended."""

    name: str
    state_machine_arn: str = Field(alias="stateMachineArn")
    status: Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    error: str | None = None
    cause: str | None = None


class Closed(BaseModel):
    """What closing did; ``changed`` is False where the workflow had closed its record itself."""

    workflow_id: str
    status: Status
    changed: bool


def close_execution(
    ended: ExecutionEnded, records: WorkflowRecords, slots: Slots, now: datetime
) -> Closed:
    """Give the record of an ended execution its end, where the workflow has not done so itself.

    The slots that it waited for are free for others; those that can not be freed lapse.
    """
    status = _STATUS[ended.status]
    error = None
    if status is not Status.SUCCEEDED:
        message = in_words(ended.cause or f"the execution ended as {ended.status} outside a step")
        error = StepError(name=ended.error or f"States.{ended.status}", message=message)
    kind = _kind_of(ended.state_machine_arn)
    changed = records.close(ended.name, kind, status, now=now, error=error)
    with only_logged("that slots are not needed"):
        slots.give_back(ended.name, now=now)
    return Closed(workflow_id=ended.name, status=status, changed=changed)


def _kind_of(state_machine_arn: str) -> str:
    """The kind of a workflow is its state machine's name without the stack's and stage's prefix."""
    return state_machine_arn.rpartition(":")[2].rpartition("-")[2]
