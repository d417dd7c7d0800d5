"""Tweets: where each one of an account stands, why, and what is next."""

from typing import TYPE_CHECKING

from pydantic import Field

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.errors import BadInput
from marquee.tweets.models import Status, Tweet
from marquee.tweets.next_steps import after_tweet
from marquee.tweets.tweet_store import TweetStore

if TYPE_CHECKING:
    from marquee.api.answers import TweetAnswer


class TweetFilter(Parameters):
    """Which tweets."""

    username: str | None = Field(
        default=None,
        pattern=r"^@?[A-Za-z0-9_]{1,20}$",
        description="Whose tweets; absent: those of the default account.",
    )
    status: Status | None = Field(default=None, description="Absent: any.")
    limit: Limit = 20
    cursor: Cursor = None


class Before(Position):
    """The last tweet listed; the account and the status are those that are asked for."""

    before: str = Field(pattern=r"^[1-9][0-9]{0,19}$")


def tweets(asked: TweetFilter, call: Call) -> Reply:
    """A page of an account's tweets, the newest first: what became of each, and why.

    The history says each status with its time and reason; next_step what happens now, and what a
    person may do.
    """
    from marquee.api.answers import TweetPage

    username = asked.username or call.settings.workflow_default_username
    if not username:
        raise BadInput("say whose tweets: there is no default account", field="username")
    account = username.removeprefix("@").lower()
    position = decoded(asked.cursor, Before)
    found, before = TweetStore.connect(call.settings).newest(
        account,
        status=asked.status,
        limit=asked.limit,
        before=position.before if position else None,
    )
    return Reply(
        TweetPage(
            username=account,
            tweets=tuple(map(_shown, found)),
            next_cursor=encoded(Before(before=before)) if before else None,
        )
    )


def _shown(tweet: Tweet) -> "TweetAnswer":
    from marquee.api.answers import TweetAnswer

    return TweetAnswer(
        **tweet.model_dump(include=set(TweetAnswer.model_fields)),
        reason=tweet.history[-1].reason if tweet.history else "",
        next_step=after_tweet(tweet),
    )
