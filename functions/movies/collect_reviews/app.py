"""Collect what one source says about a film and store it."""

from marquee.clock import now
from marquee.movies.catalog import Catalog
from marquee.movies.review_store import ParkedReviews, ReviewStore
from marquee.movies.reviews import CollectReviewsInput, collect_reviews
from marquee.movies.sources import connect
from marquee.settings import secrets, settings
from marquee.workflows.step import JsonObject, step


@step("movie_search", counted=("fetched", "new", "duplicates", "irrelevant", "set_aside", "parked"))
def handler(event: JsonObject) -> JsonObject:
    """Input: the state's payload; output: SourceReport."""
    request = CollectReviewsInput.model_validate(event)
    report = collect_reviews(
        request,
        connect(request.source, settings(), secrets()),
        Catalog.connect(settings()),
        ReviewStore.connect(settings()),
        ParkedReviews.connect(settings()),
        now=now(),
    )
    return report.model_dump(mode="json")
