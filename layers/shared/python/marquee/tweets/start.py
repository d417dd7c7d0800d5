"""The start of a run: on request, on a schedule, or as the repetition of another run."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from marquee.aws import table
from marquee.settings import Settings
from marquee.tweets.run import KIND, Mode, Run, RunRequest, resolve
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.start import Executions, Started, start_once


class ScheduledRun(BaseModel):
    """What a schedule sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Its name in the settings file."""
    request: RunRequest

    @property
    def trigger(self) -> str:
        """What the record says set the run off."""
        return f"schedule:{self.schedule}"


def start_run(
    request: RunRequest,
    *,
    trigger: str,
    settings: Settings,
    now: datetime,
    rerun_of: str | None = None,
) -> Started:
    """Start the run, or join the equal one that still goes; one that has ended answers for none.

    Raises BadInput where there is no account to take up, Misconfigured where none posts.
    """
    return start_once(
        KIND,
        request.model_dump(mode="json", exclude_none=True),
        key=key_of(resolve(request, settings)),
        trigger=trigger,
        fresh_for=timedelta(0),
        flights=table(settings.require("workflows_table")),
        records=WorkflowRecords.connect(settings),
        executions=Executions.connect(settings, KIND),
        now=now,
        rerun_of=rerun_of,
    )


def key_of(run: Run) -> dict[str, Any]:
    """What makes two runs equal: they would take up the same tweets, and both post or neither."""
    return {
        "account": run.account,
        "tweet_type": run.tweet_type,
        "dry_run": run.mode is Mode.DRY_RUN,
    }
