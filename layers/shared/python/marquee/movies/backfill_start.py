"""The start of a run that drains the queue: one at a time, on the schedule or on request."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from marquee.aws import table
from marquee.movies.backfill import KIND, BackfillRequest, is_anything_due
from marquee.movies.backfill_queue import BackfillQueue
from marquee.movies.catalog import Catalog
from marquee.movies.off_peak import OffPeak
from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.start import Executions, Started, start_once


class Due(BaseModel):
    """What the schedule came to."""

    model_config = ConfigDict(frozen=True)

    started: Started | None = None
    """None where no film may be collected now: no execution tells of nothing."""


def start_due_backfill(settings: Settings, now: datetime) -> Due:
    """Start a run if there is a film for it."""
    queue, catalog = BackfillQueue.connect(settings), Catalog.connect(settings)
    window = OffPeak.parse(settings.backfill_window)
    if not is_anything_due(queue, catalog, window, now):
        return Due()
    request = BackfillRequest()
    return Due(
        started=start_backfill(request, trigger="schedule:drain", settings=settings, now=now)
    )


def start_backfill(
    request: BackfillRequest,
    *,
    trigger: str,
    settings: Settings,
    now: datetime,
    rerun_of: str | None = None,
) -> Started:
    """Start a run, or join the one that goes on, whatever it was asked for."""
    return start_once(
        KIND,
        request.model_dump(mode="json"),
        key={},
        trigger=trigger,
        fresh_for=timedelta(0),
        flights=table(settings.require("workflows_table")),
        records=WorkflowRecords.connect(settings),
        executions=Executions.connect(settings, KIND),
        now=now,
        rerun_of=rerun_of,
    )
