"""Score a film's reviews and sum up how people feel about it."""

from marquee.clock import now
from marquee.movies.catalog import Catalog
from marquee.movies.review_store import ReviewStore
from marquee.movies.sentiment import AnalyzeReviewsInput, analyze_reviews
from marquee.settings import settings
from marquee.workflows.step import JsonObject, step


@step("movie_search")
def handler(event: JsonObject) -> JsonObject:
    """Input: the payload of AnalyzeReviews; output: AnalyzeReviewsOutput."""
    request = AnalyzeReviewsInput.model_validate(event)
    catalog, store = Catalog.connect(settings()), ReviewStore.connect(settings())
    analyzed = analyze_reviews(request, catalog, store, now=now())
    return analyzed.model_dump(mode="json")
