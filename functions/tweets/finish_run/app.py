"""Close the record of a run with what became of each tweet."""

from marquee.clock import now
from marquee.settings import settings
from marquee.tweets.finish import FinishRunInput, finish_run
from marquee.tweets.policy import policies
from marquee.tweets.run import resolve, rows_of
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: FinishRunInput; output: FinishRunOutput."""
    request = FinishRunInput.model_validate(event)
    run = resolve(request.request, settings())
    rows = rows_of(run, request.workflow_id, settings(), now=now())
    records = WorkflowRecords.connect(settings())
    ended = finish_run(request, run, rows, policies(), records, now=now())
    return ended.model_dump(mode="json")
