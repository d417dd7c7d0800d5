"""Call the callbacks that deliveries in the queue are for."""

from functools import partial

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.events.receive import JsonObject
from marquee.gateway.accounting import accounted
from marquee.settings import secrets, settings
from marquee.triggers.callback import post
from marquee.triggers.deliver import deliver_webhooks
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import WebhookQueue


@accounted("DeliverWebhook")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """Input: a batch of SQS messages; output: which of them must come again."""
    store, queue = TriggerStore.connect(settings()), WebhookQueue.connect(settings())
    call = partial(post, allow_loopback=settings().allow_loopback_webhooks)
    stage = settings().stage
    return deliver_webhooks(event, store, queue, secrets(), call, stage=stage, clock=now)
