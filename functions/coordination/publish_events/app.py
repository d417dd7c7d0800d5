"""Put on the bus what changed rows say to others."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.coordination.outbox import announcers
from marquee.events.outbox import DeadLetters, publish_changes
from marquee.events.publish import Bus
from marquee.events.receive import JsonObject
from marquee.gateway.accounting import accounted
from marquee.settings import settings


@accounted("PublishEvents")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """In: a batch of one table's stream; out: from which record it must come again."""
    dead_letters = DeadLetters.connect(settings(), context.invoked_function_arn)
    return publish_changes(event, announcers(settings()), Bus.connect(settings()), dead_letters)
