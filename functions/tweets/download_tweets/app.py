"""Store what is new on the timeline of the run's account."""

from marquee.clock import now
from marquee.settings import settings
from marquee.tweets.download import download_tweets
from marquee.tweets.policy import policies
from marquee.tweets.run import StepInput, resolve, rows_of
from marquee.tweets.x_account import XApi
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: StepInput; output: StepOutput."""
    asked = StepInput.model_validate(event)
    run = resolve(asked.request, settings())
    rows = rows_of(run, asked.workflow_id, settings(), now=now())
    x = XApi.connect(settings(), run.posting_account)
    wanted, workflow_id = policies().download, asked.workflow_id
    output = download_tweets(run, rows, x, wanted, workflow_id=workflow_id, now=now())
    return output.model_dump(mode="json")
