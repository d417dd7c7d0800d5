"""Starting an execution once: equal requests in flight join the one that runs.

A flight is an item ``flight#<kind>#<digest>`` in WorkflowsTable, the digest taken of the request,
with a generation number. Its execution is called ``<kind>-<digest>-<generation>``: whoever knows
the request and the generation knows the name. A new generation is taken only when the execution of
the last one has ended and its result is no longer fresh, by one conditional write, so of any number
of clients at once exactly one makes it and the others read it.
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from marquee.errors import StoreUnavailable
from marquee.settings import RECORD_KEPT_FOR
from marquee.workflows.record import Status, StepError, WorkflowRecord, WorkflowRecords

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

STARTED_WITHIN = timedelta(seconds=30)
"""A flight without a step by then belongs to a start that died: it is started again."""

LONGEST_EXECUTION = timedelta(minutes=20)
"""Above every definition's TimeoutSeconds: a record that still runs by then is not joined."""

FLIGHT_KEPT_FOR = 2 * RECORD_KEPT_FOR
"""Longer than the records it counts, whichever TTL deletes first: no generation comes twice."""

MAX_TURNS = 5
"""Conditional writes lost in a row before we give up; each loss means someone else won."""

type StartExecution = Callable[[str, str], None]
"""Starts the execution called by the first argument with the second as its input; starting one
that is there already changes nothing."""


class Started(BaseModel):
    """The execution that answers a request."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    joined: bool
    """It was running, or its result is still fresh: nothing was started."""


def digest_of(request: dict[str, Any]) -> str:
    """The same 16 hexadecimal digits for equal requests."""
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def start_once(
    kind: str,
    request: dict[str, Any],
    *,
    key: dict[str, Any],
    trigger: str,
    fresh_for: timedelta,
    flights: "Table",
    records: WorkflowRecords,
    start: StartExecution,
    now: datetime,
) -> Started:
    """Join the execution for ``key``, or start a new one with ``request`` as its input.

    Requests with the same ``key`` are equal, however they were written. A SUCCEEDED execution that
    ended less than ``fresh_for`` ago answers again; a PARTIAL or FAILED one does not. Raises
    StoreUnavailable where too many others keep winning.
    """
    digest = digest_of(key)
    flight_id = f"flight#{kind}#{digest}"
    for _ in range(MAX_TURNS):
        item = flights.get_item(Key={"workflow_id": flight_id}, ConsistentRead=True).get("Item")
        generation = int(str(item["generation"])) if item else 0
        if generation:
            workflow_id = f"{kind}-{digest}-{generation}"
            record = records.get(workflow_id, consistent=True)
            began = record is not None and (record.steps or record.status is not Status.RUNNING)
            taken_at = datetime.fromisoformat(str(item["taken_at"])) if item else now
            age = now - taken_at
            if not began and STARTED_WITHIN < age < LONGEST_EXECUTION:
                _begin(workflow_id, kind, request, trigger, records, start, now)
                return Started(workflow_id=workflow_id, joined=False)
            answers = _answers(record, fresh_for, now) if record else age <= STARTED_WITHIN
            if answers:
                return Started(workflow_id=workflow_id, joined=True)
        if _take(flights, flight_id, generation + 1, now):
            workflow_id = f"{kind}-{digest}-{generation + 1}"
            _begin(workflow_id, kind, request, trigger, records, start, now)
            return Started(workflow_id=workflow_id, joined=False)
    raise StoreUnavailable(f"{flight_id}: lost {MAX_TURNS} conditional writes in a row")


def _answers(record: WorkflowRecord, fresh_for: timedelta, now: datetime) -> bool:
    if record.status is Status.RUNNING:
        return now - record.started_at < LONGEST_EXECUTION
    ended = record.ended_at or record.started_at
    return record.status is Status.SUCCEEDED and now - ended < fresh_for


def _take(flights: "Table", flight_id: str, generation: int, now: datetime) -> bool:
    """Whether the generation is ours: a retry whose first answer was lost finds its own mark."""
    mark = uuid.uuid4().hex
    try:
        flights.update_item(
            Key={"workflow_id": flight_id},
            UpdateExpression=(
                "SET generation = :next, taken_at = :now, taken_by = :mark, expires_at = :expires"
            ),
            ConditionExpression="attribute_not_exists(generation) OR generation = :last",
            ExpressionAttributeValues={
                ":next": generation,
                ":last": generation - 1,
                ":now": now.isoformat(),
                ":mark": mark,
                ":expires": int((now + FLIGHT_KEPT_FOR).timestamp()),
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        found: Any = error.response.get("Item", {})
        return bool(found.get("taken_by") == {"S": mark})
    return True


def _begin(
    workflow_id: str,
    kind: str,
    request: dict[str, Any],
    trigger: str,
    records: WorkflowRecords,
    start: StartExecution,
    now: datetime,
) -> None:
    """Open the record, then start; a start that is refused closes the record as FAILED."""
    records.open(workflow_id, kind, trigger=trigger, request=request, now=now)
    try:
        start(workflow_id, json.dumps(request, sort_keys=True))
    except Exception as error:
        failure = StepError(name=type(error).__name__, message=f"not started: {error}"[:500])
        records.close(workflow_id, kind, Status.FAILED, now=now, error=failure)
        raise


def execution_starter(stepfunctions: Any, state_machine_arn: str) -> StartExecution:
    """StartExecution of that state machine; an execution of that name counts as started."""

    def start(name: str, payload: str) -> None:
        try:
            stepfunctions.start_execution(
                stateMachineArn=state_machine_arn, name=name, input=payload
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    return start
