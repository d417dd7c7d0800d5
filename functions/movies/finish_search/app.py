"""Close the record of a search with its result."""

from marquee.clock import now
from marquee.movies.backfill_queue import BackfillQueue
from marquee.movies.catalog import Catalog
from marquee.movies.search import FinishSearchInput, finish_search
from marquee.settings import settings
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.step import JsonObject, step


@step("movie_search")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of FinishSearch or of its failure tail; output: FinishSearchOutput."""
    request = FinishSearchInput.model_validate(event)
    catalog, records = Catalog.connect(settings()), WorkflowRecords.connect(settings())
    queue = BackfillQueue.connect(settings())
    return finish_search(request, catalog, records, queue, now=now()).model_dump(mode="json")
