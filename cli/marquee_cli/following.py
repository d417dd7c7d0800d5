"""An execution on its way: its status again and again, and its steps told as they end."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.text import Text

from marquee.workflows.record import Status, StepError, StepRecord
from marquee_cli.client import ApiError, Client
from marquee_cli.terminal import plain

FIRST_PAUSE_SECONDS = 0.3
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.1
"""Steps take a second or so, and waits take minutes."""

MISSED_FOR_SECONDS = 30.0
"""The status may be out of reach for that long: a line that broke, a request too many."""

MAY_PASS = frozenset({None, 429, 500, 502, 503, 504})
"""Refusals that say nothing about the execution; None is no answer."""

RECORDED_WITHIN_SECONDS = 5.0
"""A read that is eventually consistent may not find yet what was started a moment ago."""

MARKS = {"RUNNING": "…", "SUCCEEDED": "✓", "PARTIAL": "✓", "FAILED": "✗", "CANCELED": "✗"}

type Clock = Callable[[], float]
type Pause = Callable[[float], None]


class Execution(BaseModel):
    """What is read of any execution's status document."""

    model_config = ConfigDict(frozen=True)

    status: Status
    steps: dict[str, StepRecord] = {}
    error: StepError | None = None


def read[T: BaseModel](model: type[T], document: Mapping[str, Any], what: str = "status") -> T:
    """The document as a model; raises ApiError where it is something else."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ApiError(f"the {what} is unreadable: {field}: {first['msg']}") from error


def workflow_id_of(answer: Mapping[str, Any]) -> str:
    """The execution that an answer names; raises ApiError where it names none."""
    workflow_id = answer.get("workflow_id")
    if not isinstance(workflow_id, str):
        raise ApiError("the answer names no workflow_id")
    return workflow_id


def statuses(
    client: Client,
    workflow_id: str,
    *,
    seconds: float,
    now: Clock = time.monotonic,
    pause: Pause = time.sleep,
) -> Iterator[dict[str, Any]]:
    """The status documents of an execution, one after the other, until the time is up.

    Raises ApiError where the API refuses for good, or is out of reach for too long.
    """
    began = answered = now()
    wait = FIRST_PAUSE_SECONDS
    while now() - began < seconds:
        try:
            document = client.status(workflow_id)
        except ApiError as error:
            late = now() - answered
            new = error.status == 404 and now() - began < RECORDED_WITHIN_SECONDS
            if not new and (error.status not in MAY_PASS or late >= MISSED_FOR_SECONDS):
                raise
        else:
            answered = now()
            yield document
        pause(wait)
        wait = min(wait * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)


class Progress:
    """Tells steps that ended, and attempts after a failed one, each once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, str] = {}

    def tell(self, steps: Mapping[str, StepRecord]) -> None:
        """Print what is new since the last time, in the order the steps began."""
        for name, step in sorted(steps.items(), key=lambda item: item[1].started_at):
            state = f"{step.status} {step.attempts}"
            begun = step.status is Status.RUNNING and step.attempts == 1
            if self._told.get(name) == state or begun:
                continue
            self._told[name] = state
            self._console.print(_step_line(name, step))


def _step_line(name: str, step: StepRecord) -> Text:
    line = Text(plain(f"  {MARKS[step.status]} {name}"))
    if step.duration_ms is not None:
        line.append(f"  {step.duration_ms / 1000:.1f} s", style="dim")
    if step.attempts > 1:
        line.append(f"  attempt {step.attempts}", style="yellow")
    if step.error:
        line.append(plain(f"  {step.error.name}: {step.error.message}"), style="red")
    return line
