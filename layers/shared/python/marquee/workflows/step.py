"""``@step``: what every state's function does around its one call.

It reads who is asking (``workflow_id``, ``step``, ``attempt``) from the event, writes into the
workflow record that the step runs and how it ended, with the tally of its calls, and turns errors
into names that the definition knows. A record that cannot be written never fails the step.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field, ValidationError

from marquee.aws import STORE_ERRORS, as_store_error
from marquee.clock import now
from marquee.errors import BadInput
from marquee.observability import logger, tallying
from marquee.settings import settings
from marquee.workflows.record import (
    MAX_MESSAGE,
    Status,
    StepError,
    StepRecord,
    WorkflowRecords,
)

type JsonObject = dict[str, Any]
type Step = Callable[[JsonObject], JsonObject]
type Handler = Callable[[JsonObject, LambdaContext], JsonObject]


class Asking(BaseModel):
    """The part of every Task's payload that says which execution and state it is."""

    workflow_id: str = Field(min_length=1, max_length=80)
    step: str = Field(min_length=1)
    attempt: int = Field(default=1, ge=1)


def step(kind: str) -> Callable[[Step], Handler]:
    """Make a handler of ``function``: event in, JSON out, one state of a workflow of ``kind``.

    ``counts`` in its output, where there is such a key, goes into the record with the tally.
    """

    def decorate(function: Step) -> Handler:
        @wraps(function)
        def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
            logger.set_correlation_id(str(event.get("workflow_id")))
            asking = _validated(Asking, event)
            records = WorkflowRecords.connect(settings())
            running = StepRecord(status=Status.RUNNING, started_at=now(), attempts=asking.attempt)
            _write(records, kind, asking, running)
            with tallying() as tally:
                try:
                    output = function(event)
                except Exception as error:
                    named = _named(error)
                    logger.exception("step failed", step=asking.step, error=type(named).__name__)
                    failure = StepError(name=type(named).__name__, message=str(named)[:MAX_MESSAGE])
                    failed = _ended(running, Status.FAILED, tally.as_counts(), error=failure)
                    _write(records, kind, asking, failed)
                    raise named from error
            counts = {**output.get("counts", {}), **tally.as_counts()}
            _write(records, kind, asking, _ended(running, Status.SUCCEEDED, counts))
            return output

        return handler

    return decorate


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


def _write(records: WorkflowRecords, kind: str, asking: Asking, record: StepRecord) -> None:
    try:
        records.write_step(asking.workflow_id, kind, asking.step, record, now())
    except STORE_ERRORS:
        logger.warning("the workflow record could not be written", exc_info=True)
