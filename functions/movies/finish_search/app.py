"""Close the record of a search and announce its result."""

from marquee.clock import now
from marquee.events.publish import Bus
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
    finished = finish_search(request, catalog, records, Bus.connect(settings()), now=now())
    return finished.model_dump(mode="json")
