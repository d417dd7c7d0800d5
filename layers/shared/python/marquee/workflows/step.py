"""``@step``: what every state's function does around its one call.

It reads who is asking (``workflow_id``, ``step``, ``attempt``) from the event, writes into the
workflow record that the step runs and how it ended, with the tally of its calls, and turns errors
into names that the definition knows. A record that cannot be written never fails the step.
"""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field, ValidationError

from marquee.aws import STORE_ERRORS, as_store_error
from marquee.clock import now
from marquee.errors import BadInput
from marquee.gateway.accounting import accounted
from marquee.gateway.callers import Caller
from marquee.gateway.retries import Fault
from marquee.observability import Ended, Tally, logger, tallying
from marquee.settings import settings
from marquee.workflows.record import (
    MAX_MESSAGE,
    Status,
    StepError,
    StepRecord,
    WorkflowRecords,
)
from marquee.workflows.retrying import Attempt

type JsonObject = dict[str, Any]
type Step = Callable[[JsonObject], JsonObject]
type Handler = Callable[[JsonObject, LambdaContext], JsonObject]


class Asking(BaseModel):
    """The part of every Task's payload that says which execution and state it is."""

    workflow_id: str = Field(min_length=1, max_length=80)
    step: str = Field(min_length=1)
    attempt: int = Field(default=1, ge=1)
    retry_when_told: bool = False
    """Whether the state waits and comes again after RetryAhead."""
    kind: str | None = None
    """Of the workflow, where that is another than the one that the function was made for."""

    @property
    def caller(self) -> str:
        """The name under which its calls are booked.

        A third part of a step's name says only which turn it is (``PublishTweet/123/2``): what one
        turn has booked is for the next.
        """
        state, *parts = self.step.split("/")
        return "/".join([self.workflow_id, state, *parts[:1]])


def step(kind: str, *, counted: Collection[str] = ()) -> Callable[[Step], Handler]:
    """Make a handler of ``function``: event in, JSON out, one state of a workflow of ``kind``.

    Into the record goes, with the tally, what its output holds as ``counts``, and under the names
    in ``counted``.
    """

    def decorate(function: Step) -> Handler:
        @wraps(function)
        def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
            logger.set_correlation_id(str(event.get("workflow_id")))
            asking = _validated(Asking, event)
            caller = Caller(asking.caller, can_wait=True)
            with accounted(asking.step, attempt=asking.attempt, caller=caller) as whole:
                return _run(function, asking.kind or kind, asking, event, whole, counted)

        return handler

    return decorate


def _run(
    function: Step,
    kind: str,
    asking: Asking,
    event: JsonObject,
    whole: Tally,
    counted: Collection[str],
) -> JsonObject:
    """The attempt between the two writes of its record, which ``whole`` counts beside it."""
    records = WorkflowRecords.connect(settings())
    running = StepRecord(status=Status.RUNNING, started_at=now(), attempts=asking.attempt)
    attempt = _begun(records, kind, asking, running)
    running = running.model_copy(update={"attempts": attempt.number})
    whole.attempt = attempt.number
    with tallying() as tally:
        try:
            output = function(event)
        except Exception as error:
            named = _named(error)
            logger.exception("step failed", step=asking.step, error=type(named).__name__)
            failure = StepError(name=type(named).__name__, message=str(named)[:MAX_MESSAGE])
            failed = _ended(running, Status.FAILED, tally.as_counts(), error=failure)
            raised, fault = attempt.failed(named)
            _close(records, kind, asking, failed, whole, fault)
            raise raised from error
        finally:
            whole.add(tally)
    attempt.succeeded(tally)
    came = {name: output[name] for name in counted}
    counts = {**output.get("counts", {}), **came, **tally.as_counts()}
    _close(records, kind, asking, _ended(running, Status.SUCCEEDED, counts), whole)
    return output


def _begun(records: WorkflowRecords, kind: str, asking: Asking, running: StepRecord) -> Attempt:
    """The attempt that begins, which the record now tells of."""
    began, decides = running.started_at, asking.retry_when_told
    try:
        last = records.begin_step(asking.workflow_id, kind, asking.step, running, now())
    except STORE_ERRORS:
        logger.warning("the workflow record could not be written", exc_info=True)
        return Attempt(asking.attempt, asking.attempt, began)
    return Attempt.of(asking.attempt, last, began, decides=decides)


def _close(
    records: WorkflowRecords,
    kind: str,
    asking: Asking,
    ended: StepRecord,
    whole: Tally,
    fault: Fault | None = None,
) -> None:
    _write(records, kind, asking, ended, fault)
    state, took = asking.step.partition("/")[0], float(ended.duration_ms or 0)
    whole.steps.append(Ended(kind, state, ended.error.name if ended.error else "", took))
    logger.info(
        "step ended",
        step=asking.step,
        status=ended.status,
        attempt=ended.attempts,
        duration_ms=ended.duration_ms,
        counts=ended.counts,
    )


def _validated[T: BaseModel](model: type[T], event: JsonObject) -> T:
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise _named(error) from error


def _named(error: Exception) -> Exception:
    """The error under the name that definitions match."""
    if isinstance(error, ValidationError):
        return BadInput.of(error)
    if isinstance(error, STORE_ERRORS):
        return as_store_error(error)
    return error


def _ended(
    running: StepRecord, status: Status, counts: JsonObject, *, error: StepError | None = None
) -> StepRecord:
    ended = now()
    elapsed = ended - running.started_at
    return running.model_copy(
        update={
            "status": status,
            "ended_at": ended,
            "duration_ms": round(elapsed.total_seconds() * 1000),
            "counts": counts,
            "error": error,
        }
    )


def _write(
    records: WorkflowRecords, kind: str, asking: Asking, record: StepRecord, fault: Fault | None
) -> None:
    known = fault.model_dump(mode="json") if fault else None
    try:
        records.write_step(asking.workflow_id, kind, asking.step, record, now(), fault=known)
    except STORE_ERRORS:
        logger.warning("the workflow record could not be written", exc_info=True)
