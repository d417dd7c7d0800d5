"""Take up posts that executions left behind; on a schedule."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.gateway.accounting import accounted
from marquee.observability import gauge
from marquee.settings import settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.reconcile import sweep
from marquee.tweets.tweet_store import TweetStore
from marquee.tweets.x_account import XApi


@accounted("SweepPosts")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Input: nothing that matters; output: Sweep."""
    tweets, ledger = TweetStore.connect(settings()), PostLedger.connect(settings())
    x_of = partial(XApi.connect, settings())
    swept = sweep(ledger, tweets, x_of, max_posts=settings().max_posts_per_run, clock=now)
    gauge("PostsNeedHuman", len(swept.needs_human), stage=settings().stage)
    return swept.model_dump(mode="json")
