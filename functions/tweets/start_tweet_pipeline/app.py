"""Start the run that a schedule asks for, or join the one that still goes."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.events.receive import JsonObject, input_of
from marquee.gateway.accounting import accounted
from marquee.settings import settings
from marquee.tweets.start import ScheduledRun, start_run


@accounted("StartTweetPipeline")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """In: ScheduledRun, of a schedule's input; out: the execution that answers it."""
    asked = input_of(event, ScheduledRun)
    started = start_run(asked.request, trigger=asked.trigger, settings=settings(), now=now())
    return started.model_dump()
