"""Post one approved tweet, at most once."""

from marquee.clock import now
from marquee.settings import settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.publish import PublishTweetInput, publish_tweet
from marquee.tweets.tweet_store import TweetStore
from marquee.tweets.x_account import XApi
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: PublishTweetInput; output: Outcome."""
    request = PublishTweetInput.model_validate(event)
    tweets, ledger = TweetStore.connect(settings()), PostLedger.connect(settings())
    x = XApi.connect(settings(), request.account)
    return publish_tweet(request, tweets, ledger, x, clock=now).model_dump(mode="json")
