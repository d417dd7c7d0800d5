"""The workflow record: one item per execution in WorkflowsTable, from which the API answers."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field

from marquee.aws import from_item, table, to_item
from marquee.clock import Moment
from marquee.observability import current_tally
from marquee.settings import RECORD_KEPT_FOR, Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

_STEP = "step/"
_FAILED = "failed/"
_VALUE = re.compile(r":\w+")
_ALIASED = ("status", "trigger", "input", "result", "error")
"""Words that DynamoDB reserves."""

MAX_MESSAGE = 500
"""An error's text in the record; the whole of it is in the log."""


class Status(StrEnum):
    """Where a workflow or one of its steps stands; PARTIAL: done, but something lacks."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class StepError(BaseModel):
    """Why an attempt failed: the class name that Retry and Catch see, and its message."""

    model_config = ConfigDict(frozen=True)

    name: str
    message: str


class _LambdaCause(BaseModel):
    """What Lambda puts into a Cause: a stack trace beside the message."""

    message: str = Field(alias="errorMessage")


def in_words(cause: str) -> str:
    """The message of a Cause, where that is Lambda's JSON, behind what a Fail state put before."""
    before, brace, rest = cause.partition("{")
    try:
        message = before + _LambdaCause.model_validate_json(brace + rest).message
    except ValueError:
        message = cause
    return message[:MAX_MESSAGE]


class FailedAttempt(BaseModel):
    """An attempt of a step that failed and was tried again."""

    model_config = ConfigDict(frozen=True)

    ended_at: Moment | None = None
    counts: dict[str, Any] = Field(default_factory=dict)
    error: StepError | None = None


class LastFailure(BaseModel):
    """What the attempt that begins knows of the latest one of its step that failed."""

    model_config = ConfigDict(frozen=True)

    attempts: int = 1
    error: StepError | None = None
    fault: dict[str, Any] | None = None
    """What it left for the next one."""


class StepRecord(BaseModel):
    """One step of an execution; a step of a Map is called ``<state>/<item>``."""

    model_config = ConfigDict(frozen=True)

    status: Status
    started_at: Moment
    ended_at: Moment | None = None
    duration_ms: int | None = None
    attempts: int = 1
    counts: dict[str, Any] = Field(default_factory=dict)
    """What the step says of itself, and the tally of its calls and operations."""
    error: StepError | None = None
    failed_attempts: tuple[FailedAttempt, ...] = ()
    """Those before this one: their calls and operations count too."""


class WorkflowRecord(BaseModel):
    """One execution, as WorkflowsTable holds it."""

    workflow_id: str
    kind: str
    status: Status
    trigger: str = ""
    rerun_of: str | None = None
    """The execution that this one repeats."""
    correlation_id: str | None = None
    """Of the request or event that set it off; from there on it is the ``workflow_id``."""
    input: dict[str, Any] = Field(default_factory=dict)
    started_at: Moment
    ended_at: Moment | None = None
    steps: dict[str, StepRecord] = Field(default_factory=dict)
    result: dict[str, Any] = Field(default_factory=dict)
    """A summary in ids and counts; its shape belongs to the kind."""
    error: StepError | None = None
    backfilled_at: Moment | None = None
    """When what a PARTIAL one lacked had come, and made it SUCCEEDED."""


class WorkflowRecords:
    """WorkflowsTable: key ``workflow_id``; indexes ``by_kind`` and ``by_kind_and_status``.

    A write for an execution whose record is not there yet makes the record: whichever of starter
    and first step comes first.
    """

    def __init__(self, records: "Table") -> None:
        self._table = records

    @classmethod
    def connect(cls, settings: Settings) -> "WorkflowRecords":
        """The records in the table that the template gave us."""
        return cls(table(settings.require("workflows_table")))

    def get(self, workflow_id: str, *, consistent: bool = False) -> WorkflowRecord | None:
        """The record, or None where there is none."""
        item = self._table.get_item(
            Key={"workflow_id": workflow_id}, ConsistentRead=consistent
        ).get("Item")
        return _record(item) if item else None

    def open(
        self,
        workflow_id: str,
        kind: str,
        *,
        trigger: str,
        request: Mapping[str, Any],
        now: datetime,
        rerun_of: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """The execution is about to be started; changes nothing where the record is there."""
        changes: dict[str, Any] = {
            "#trigger = if_not_exists(#trigger, :trigger)": trigger,
            "#input = if_not_exists(#input, :input)": to_item(request),
        }
        if rerun_of:
            changes["rerun_of = if_not_exists(rerun_of, :rerun_of)"] = rerun_of
        if correlation_id:
            kept = "correlation_id = if_not_exists(correlation_id, :correlation_id)"
            changes[kept] = correlation_id
        self._update(workflow_id, kind, now, changes)

    def begin_step(
        self, workflow_id: str, kind: str, name: str, step: StepRecord, now: datetime
    ) -> LastFailure | None:
        """The step ``name`` runs; None where no attempt has failed since it last succeeded.

        The answer of the write tells, so it costs nothing to know.
        """
        before = self._put_step(workflow_id, kind, name, step, now, returning="ALL_OLD")
        if before.get(f"{_STEP}{name}", {}).get("status") == Status.SUCCEEDED:
            return None
        failed = _failed_attempts(before, name)
        return LastFailure.model_validate(failed[-1]) if failed else None

    def write_step(
        self,
        workflow_id: str,
        kind: str,
        name: str,
        step: StepRecord,
        now: datetime,
        *,
        fault: Mapping[str, Any] | None = None,
    ) -> None:
        """Where the step ``name`` stands now; a failed attempt is kept beside the next one.

        ``fault`` is what the next one is to know of it.
        """
        self._put_step(workflow_id, kind, name, step, now, fault=fault)

    def _put_step(
        self,
        workflow_id: str,
        kind: str,
        name: str,
        step: StepRecord,
        now: datetime,
        *,
        fault: Mapping[str, Any] | None = None,
        returning: Literal["NONE", "ALL_OLD"] = "NONE",
    ) -> dict[str, Any]:
        """The record as it was, where that is to be returned."""
        item = to_item(step.model_dump(mode="json", exclude_defaults=True))
        changes = {"#step = :step": item}
        names = {"#step": f"{_STEP}{name}"}
        if step.status is Status.FAILED:
            changes["#failed = :failed"] = {**item, "fault": to_item(fault)} if fault else item
            names["#failed"] = f"{_FAILED}{name}/{step.attempts}"
        return self._update(workflow_id, kind, now, changes, names=names, returning=returning)

    def close(
        self,
        workflow_id: str,
        kind: str,
        status: Status,
        *,
        now: datetime,
        result: Mapping[str, Any] | None = None,
        error: StepError | None = None,
    ) -> bool:
        """The execution has ended; False where the record had ended before, which then stands."""
        changes: dict[str, Any] = {"ended_at = :ended": now.isoformat()}
        if result is not None:
            changes["#result = :result"] = to_item(result)
        if error is not None:
            changes["#error = :error"] = error.model_dump()
        try:
            self._update(workflow_id, kind, now, changes, status=status)
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        current_tally().workflows[kind, status] += 1
        return True

    def amend(
        self,
        workflow_id: str,
        kind: str,
        result: Mapping[str, Any],
        *,
        complete: bool,
        now: datetime,
    ) -> bool:
        """What an execution lacked has come; with ``complete`` nothing is missing any more.

        False where the record is not PARTIAL: then it stays as it is.
        """
        changes = ["#result = :result"]
        names = {"#result": "result", "#status": "status"}
        values: dict[str, Any] = {":result": to_item(result), ":partial": Status.PARTIAL}
        if complete:
            changes += ["#status = :status", "kind_status = :kind_status", "backfilled_at = :now"]
            values |= {
                ":status": Status.SUCCEEDED,
                ":kind_status": f"{kind}#{Status.SUCCEEDED}",
                ":now": now.isoformat(),
            }
        try:
            self._table.update_item(
                Key={"workflow_id": workflow_id},
                UpdateExpression=f"SET {', '.join(changes)}",
                ConditionExpression="#status = :partial",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def page(
        self,
        kind: str,
        *,
        status: Status | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        after: Mapping[str, Any] | None = None,
    ) -> tuple[list[WorkflowRecord], dict[str, Any] | None]:
        """The newest executions of a kind first, without steps and result; and the next key.

        ``since`` and ``until`` bound when they started; both are within.
        """
        index, key, value = (
            ("by_kind_and_status", "kind_status", f"{kind}#{status}")
            if status
            else ("by_kind", "kind", kind)
        )
        condition: ConditionBase = Key(key).eq(value)
        if since or until:
            # "0" is before and "9" after the text of any time.
            first, last = (
                time.isoformat() if time else end for time, end in ((since, "0"), (until, "9"))
            )
            condition &= Key("started_at").between(first, last)
        query: dict[str, Any] = {
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if after:
            query["ExclusiveStartKey"] = dict(after)
        answer = self._table.query(**query)
        return [_record(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")

    def forget_ended(self, kind: str, before: datetime) -> Iterator[bool]:
        """Delete the records of a kind that ended before then, the oldest first, one at a turn.

        Yields whether the record went: one that the index shows and the table no longer so stays.
        """
        gone = Attr("status").ne(Status.RUNNING) & Attr("ended_at").lt(before.isoformat())
        query: dict[str, Any] = {
            "IndexName": "by_kind",
            "KeyConditionExpression": Key("kind").eq(kind)
            & Key("started_at").lt(before.isoformat()),
            "FilterExpression": gone,
            "ProjectionExpression": "workflow_id",
        }
        while True:
            answer = self._table.query(**query)
            for item in answer["Items"]:
                yield self._delete(str(item["workflow_id"]), gone & Attr("kind").eq(kind))
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _delete(self, workflow_id: str, condition: ConditionBase) -> bool:
        try:
            self._table.delete_item(Key={"workflow_id": workflow_id}, ConditionExpression=condition)
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def _update(
        self,
        workflow_id: str,
        kind: str,
        now: datetime,
        changes: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
        status: Status | None = None,
        returning: Literal["NONE", "ALL_OLD"] = "NONE",
    ) -> dict[str, Any]:
        """Apply ``changes`` ("<path> = <expression with one :value>": value)."""
        values: dict[str, Any] = {
            ":kind": kind,
            ":status": status or Status.RUNNING,
            ":kind_status": f"{kind}#{status or Status.RUNNING}",
            ":now": now.isoformat(),
            ":expires": int((now + RECORD_KEPT_FOR).timestamp()),
        }
        keep = "{0} = if_not_exists({0}, {1})".format
        state = (
            ["#status = :status", "kind_status = :kind_status"]
            if status
            else [keep("#status", ":status"), keep("kind_status", ":kind_status")]
        )
        for change, value in changes.items():
            values[_VALUE.findall(change)[0]] = value
        expression = ", ".join(
            [
                keep("kind", ":kind"),
                keep("started_at", ":now"),
                keep("expires_at", ":expires"),
                *state,
                *changes,
            ]
        )
        aliases = {f"#{name}": name for name in _ALIASED if f"#{name}" in expression}
        arguments: dict[str, Any] = {}
        if status:
            arguments["ConditionExpression"] = Attr("status").not_exists() | Attr("status").eq(
                Status.RUNNING
            )
        answer = self._table.update_item(
            Key={"workflow_id": workflow_id},
            UpdateExpression=f"SET {expression}",
            ExpressionAttributeNames={**aliases, **(names or {})},
            ExpressionAttributeValues=values,
            ReturnValues=returning,
            **arguments,
        )
        before: dict[str, Any] = from_item(answer.get("Attributes", {}))
        return before


def _record(item: Mapping[str, Any]) -> WorkflowRecord:
    """The item as a record: its ``step/<name>`` attributes folded into ``steps``.

    A step has an attribute of its own, so that branches of a Map write side by side; so has each
    failed attempt, ``failed/<name>/<attempt>``, of which the last may be where the step stands.
    """
    plain = from_item(item)
    steps = {
        name.removeprefix(_STEP): value for name, value in plain.items() if name.startswith(_STEP)
    }
    for name, step in steps.items():
        step["failed_attempts"] = [
            attempt
            for attempt in _failed_attempts(plain, name)
            if attempt["ended_at"] != step.get("ended_at")
        ]
    return WorkflowRecord.model_validate({**plain, "steps": steps})


def _failed_attempts(plain: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Those of the step ``name``, in their order."""
    numbered = [
        (int(key.rpartition("/")[2]), attempt)
        for key, attempt in plain.items()
        if key.rpartition("/")[0] == f"{_FAILED}{name}"
    ]
    return [attempt for _, attempt in sorted(numbered, key=itemgetter(0))]
