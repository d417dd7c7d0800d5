"""Take what is collected out of the queue, and complete the searches that waited for it."""

from marquee.clock import now
from marquee.movies.backfill import FinishBackfillInput, finish_backfill
from marquee.movies.backfill_queue import BackfillQueue
from marquee.movies.catalog import Catalog
from marquee.settings import settings
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.step import JsonObject, step


@step("review_backfill")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of FinishBackfill or of its failure tail; output: FinishBackfillOutput."""
    request = FinishBackfillInput.model_validate(event)
    queue, catalog = BackfillQueue.connect(settings()), Catalog.connect(settings())
    records = WorkflowRecords.connect(settings())
    return finish_backfill(request, queue, catalog, records, now=now()).model_dump(mode="json")
