"""Close what an execution left behind that ended outside a step."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.events.receive import JsonObject, detail_of
from marquee.gateway.accounting import accounted
from marquee.gateway.slots import Slots
from marquee.settings import settings
from marquee.workflows.closing import ExecutionEnded, close_execution
from marquee.workflows.record import WorkflowRecords


@accounted("CloseExecution")
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """In: "Step Functions Execution Status Change"; out: what became of the record."""
    ended, records = detail_of(event, ExecutionEnded), WorkflowRecords.connect(settings())
    slots = Slots.connect(settings())
    return close_execution(ended, records, slots, now()).model_dump(mode="json")
