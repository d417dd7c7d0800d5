"""Starting an execution once: equal requests in flight join the one that runs.

A flight is an item ``flight#<kind>#<digest>`` in WorkflowsTable, the digest taken of the request,
with a generation number. Its execution is called ``<kind>-<digest>-<generation>``: whoever knows
the request and the generation knows the name. A new generation is taken only when the execution of
the last one has ended and its result is no longer fresh, by one conditional write, so of any number
of clients at once exactly one makes it and the others read it.

Whether an execution has ended its record says; one that has said RUNNING for long is not believed
without Step Functions, for it may have died without a word, or wait for a person.
"""

import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from marquee.aws import client
from marquee.errors import StoreUnavailable
from marquee.observability import logger
from marquee.settings import RECORD_KEPT_FOR, Settings
from marquee.workflows.record import Status, StepError, WorkflowRecord, WorkflowRecords

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

STARTED_WITHIN = timedelta(seconds=30)
"""A flight without a step by then belongs to a start that died: it is started again."""

BELIEVED_FOR = timedelta(minutes=2)
"""Longer than most executions: a record that says RUNNING for longer is joined only where Step
Functions says the same."""

FLIGHT_KEPT_FOR = 2 * RECORD_KEPT_FOR
"""Longer than the records it counts, whichever TTL deletes first: no generation comes twice."""

MAX_TURNS = 5
"""Conditional writes lost in a row before we give up; each loss means someone else won."""


class Executions:
    """The executions of one state machine, by name."""

    def __init__(self, stepfunctions: Any, state_machine_arn: str) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn

    @classmethod
    def connect(cls, settings: Settings, kind: str) -> "Executions":
        """Those of the state machine of that kind, which the template gave us."""
        return cls(client("stepfunctions"), settings.require(f"{kind}_arn"))

    def start(self, name: str, payload: str) -> None:
        """Start the execution with that input, JSON; one of that name counts as started."""
        try:
            self._stepfunctions.start_execution(
                stateMachineArn=self._state_machine_arn, name=name, input=payload
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    def is_running(self, name: str) -> bool:
        """Whether Step Functions says so; one that it does not know has never begun."""
        try:
            found = self._stepfunctions.describe_execution(executionArn=self._arn_of(name))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False
        return bool(found["status"] == "RUNNING")

    def stop(self, name: str, reason: str) -> bool:
        """End the execution as ABORTED, unless it has ended; False where it has never begun."""
        try:
            self._stepfunctions.stop_execution(
                executionArn=self._arn_of(name), error="Canceled", cause=reason
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExecutionDoesNotExist":
                return False
            # Not every Step Functions says yes to stopping what has ended.
            if code != "ValidationException" or self.is_running(name):
                raise
        return True

    def _arn_of(self, name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


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
    executions: Executions,
    now: datetime,
    rerun_of: str | None = None,
) -> Started:
    """Join the execution for ``key``, or start a new one with ``request`` as its input.

    Requests with the same ``key`` are equal, however they were written. A SUCCEEDED execution that
    ended less than ``fresh_for`` ago answers again; a PARTIAL or FAILED one does not. ``rerun_of``
    is the execution that this one repeats. Raises StoreUnavailable where too many others keep
    winning.
    """
    digest = digest_of(key)
    flight_id = f"flight#{kind}#{digest}"

    def begin(workflow_id: str, asked: dict[str, Any]) -> Started:
        _begin(workflow_id, kind, asked, trigger, records, executions, now, rerun_of)
        return Started(workflow_id=workflow_id, joined=False)

    for _ in range(MAX_TURNS):
        item = flights.get_item(Key={"workflow_id": flight_id}, ConsistentRead=True).get("Item")
        generation = int(str(item["generation"])) if item else 0
        if generation:
            workflow_id = f"{kind}-{digest}-{generation}"
            record = records.get(workflow_id, consistent=True)
            began = record is not None and (record.steps or record.status is not Status.RUNNING)
            taken_at = datetime.fromisoformat(str(item["taken_at"])) if item else now
            age = now - taken_at
            if not began and STARTED_WITHIN < age < BELIEVED_FOR:
                # As the one that died was asked: its record stands.
                return begin(workflow_id, record.input if record else request)
            if record:
                answers = _answers(record, fresh_for, executions, now)
            else:
                answers = age <= STARTED_WITHIN
            if answers:
                logger.info("execution joined", workflow_id=workflow_id, trigger=trigger)
                return Started(workflow_id=workflow_id, joined=True)
        if _take(flights, flight_id, generation + 1, now):
            return begin(f"{kind}-{digest}-{generation + 1}", request)
    raise StoreUnavailable(f"{flight_id}: lost {MAX_TURNS} conditional writes in a row")


def _answers(
    record: WorkflowRecord, fresh_for: timedelta, executions: Executions, now: datetime
) -> bool:
    if record.status is Status.RUNNING:
        is_young = now - record.started_at < BELIEVED_FOR
        return is_young or executions.is_running(record.workflow_id)
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
    executions: Executions,
    now: datetime,
    rerun_of: str | None,
) -> None:
    """Open the record, then start; a start that is refused closes the record as FAILED."""
    records.open(
        workflow_id,
        kind,
        trigger=trigger,
        request=request,
        now=now,
        rerun_of=rerun_of,
        correlation_id=logger.get_correlation_id(),
    )
    logger.info("execution starts", workflow_id=workflow_id, trigger=trigger)
    try:
        executions.start(workflow_id, json.dumps(request, sort_keys=True))
    except Exception as error:
        failure = StepError(name=type(error).__name__, message=f"not started: {error}"[:500])
        records.close(workflow_id, kind, Status.FAILED, now=now, error=failure)
        raise
