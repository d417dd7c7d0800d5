"""Find a film and collect what all sources say about it, within one request."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.gateway.accounting import accounted
from marquee.movies.collect import CollectDataInput, Collecting, collect_data
from marquee.observability import logger
from marquee.settings import secrets, settings


@accounted("CollectData")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """In: CollectDataInput; out: CollectDataOutput."""
    asked = CollectDataInput.model_validate(event)
    logger.set_correlation_id(asked.request_id)
    collected = collect_data(
        asked.request,
        Collecting.connect(settings(), secrets()),
        now=now(),
        remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000,
    )
    return collected.model_dump(mode="json")
