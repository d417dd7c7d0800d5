"""Start a run that drains the queue, where it would find something to do; on a schedule."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.gateway.accounting import accounted
from marquee.movies.backfill_queue import BackfillQueue
from marquee.movies.backfill_start import start_due_backfill
from marquee.observability import gauge
from marquee.settings import settings


@accounted("StartBackfill")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Input: nothing that matters; output: the execution, or that there is nothing to do."""
    due = start_due_backfill(settings(), now())
    gauge("FilmsQueued", BackfillQueue.connect(settings()).length(), stage=settings().stage)
    return due.model_dump()
