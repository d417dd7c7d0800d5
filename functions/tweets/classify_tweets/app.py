"""Say what each tweet is about, and which go on."""

from marquee.clock import now
from marquee.settings import secrets, settings
from marquee.tweets.classify import classify_tweets
from marquee.tweets.language_model import OpenAi
from marquee.tweets.policy import policies
from marquee.tweets.run import StepInput, resolve, rows_of
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: StepInput; output: StepOutput."""
    asked = StepInput.model_validate(event)
    run, model = resolve(asked.request, settings()), OpenAi.connect(settings(), secrets())
    tweets = TweetStore(rows_of(run, asked.workflow_id, settings(), now=now()))
    done = classify_tweets(run, asked.tweet_ids, tweets, policies(), model, clock=now)
    return done.model_dump(mode="json")
