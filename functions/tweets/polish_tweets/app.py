"""Give each tweet the text that will be posted, within the output policy."""

from marquee.clock import now
from marquee.settings import secrets, settings
from marquee.tweets.language_model import OpenAi
from marquee.tweets.policy import policies
from marquee.tweets.polish import Style, polish_tweets
from marquee.tweets.run import StepInput, resolve, rows_of
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: StepInput; output: StepOutput."""
    asked = StepInput.model_validate(event)
    run, model = resolve(asked.request, settings()), OpenAi.connect(settings(), secrets())
    rows = rows_of(run, asked.workflow_id, settings(), now=now())
    style, attempt = Style.of(settings()), asked.attempt
    done = polish_tweets(
        run, asked.tweet_ids, rows, policies(), model, style, clock=now, attempt=attempt
    )
    return done.model_dump(mode="json")
