"""Start the search that an event on the bus asks for, or join the one that runs."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.events.receive import JsonObject, detail_of
from marquee.gateway.accounting import accounted
from marquee.movies.models import SearchRequest
from marquee.movies.start import start_search
from marquee.settings import settings


@accounted("StartMovieSearch")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """In: EventBridge's envelope around a SearchRequest; out: the execution that answers it."""
    request = detail_of(event, SearchRequest)
    return start_search(request, trigger="event", settings=settings(), now=now()).model_dump()
