"""Choose the films of the queue whose reviews are collected now."""

from marquee.clock import now
from marquee.movies.backfill import PlanBackfillInput, plan_backfill
from marquee.movies.backfill_queue import BackfillQueue
from marquee.movies.catalog import Catalog
from marquee.movies.leftover import leftover
from marquee.movies.off_peak import OffPeak
from marquee.movies.sources import plan
from marquee.settings import secrets, settings
from marquee.workflows.step import JsonObject, step


@step("review_backfill")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of PlanBackfill; output: PlanBackfillOutput."""
    request = PlanBackfillInput.model_validate(event).request
    queue, catalog = BackfillQueue.connect(settings()), Catalog.connect(settings())
    sources, _ = plan(settings(), secrets())
    left, window = leftover(settings(), now()), OffPeak.parse(settings().backfill_window)
    planned = plan_backfill(request, queue, catalog, sources, left, window, now=now())
    return planned.model_dump(mode="json")
