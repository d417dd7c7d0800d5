"""Make a delivery for every callback that an event on the bus matches."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.events.receive import JsonObject
from marquee.gateway.accounting import accounted
from marquee.settings import settings
from marquee.triggers.match import match_triggers
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import WebhookQueue


@accounted("MatchTriggers")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """In: any event, in EventBridge's envelope; out: the deliveries that it set off."""
    store, queue = TriggerStore.connect(settings()), WebhookQueue.connect(settings())
    return match_triggers(event, store, queue, now=now()).model_dump()
