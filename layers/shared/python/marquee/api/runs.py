"""Runs of the tweet pipeline: start or join one, and wait for it a little where that is asked."""

from typing import Annotated

from pydantic import ConfigDict, Field

from marquee.api.call import Call, Reply
from marquee.api.problems import failed_workflow
from marquee.api.waiting import LONGEST_WAIT_SECONDS, accepted, ended
from marquee.errors import Conflict
from marquee.tweets.run import RunRequest
from marquee.tweets.start import start_run
from marquee.workflows.record import Status
from marquee.workflows.start import Started


class RunAndWait(RunRequest):
    """A run, and how long to wait for it."""

    model_config = ConfigDict(defer_build=True)

    wait_seconds: Annotated[int, Field(strict=True, ge=0, le=LONGEST_WAIT_SECONDS)] = Field(
        default=LONGEST_WAIT_SECONDS,
        description="How long to wait for the end; then the answer is 202 with Location.",
    )


def execute(request: RunRequest, call: Call) -> Reply:
    """Start a run of the tweet pipeline, or join the equal one that still goes.

    Equal are runs of one account and type that both post, or both do not.
    """
    return accepted(run_started(request, call), call)


def execute_sync(asked: RunAndWait, call: Call) -> Reply:
    """The same, and wait: 200 with its status once it has ended, 202 where it has not in time.

    A run that failed or was canceled is a problem, which names it.
    """
    from marquee.api.executions import status_of

    request = RunRequest.model_validate(asked.model_dump(exclude={"wait_seconds"}))
    started = run_started(request, call)
    record = ended(started.workflow_id, asked.wait_seconds, call)
    if record is None:
        return accepted(started, call)
    if record.status in (Status.FAILED, Status.CANCELED):
        raise failed_workflow(record)
    return Reply(status_of(record, call))


def run_started(
    request: RunRequest, call: Call, *, trigger: str = "api", rerun_of: str | None = None
) -> Started:
    """The run that answers; raises Conflict in an installation without an account that posts."""
    if not call.settings.posting_account:
        raise Conflict("no account posts here: the parameter PostingAccount of the stack is empty")
    return start_run(
        request, trigger=trigger, settings=call.settings, now=call.now(), rerun_of=rerun_of
    )
