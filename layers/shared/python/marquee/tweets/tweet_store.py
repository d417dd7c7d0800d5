"""TweetsTable: every downloaded tweet once, with the status that it has reached.

Key ``account`` + ``tweet_id`` (20 digits); index ``by_status``: ``account_status`` + ``tweet_id``.
"""

from datetime import datetime
from typing import Any

from marquee.aws import from_item, to_item
from marquee.settings import Settings
from marquee.tweets.models import Status, Tweet
from marquee.tweets.rows import (
    FIRST_ID,
    LAST_ID,
    Cursor,
    DynamoRows,
    In,
    Item,
    Part,
    Rows,
    Swap,
    row_key,
    write,
)


class TweetStore:
    """The tweets in TweetsTable."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @classmethod
    def connect(cls, settings: Settings) -> "TweetStore":
        """The store in the table that the template gave us."""
        return cls(DynamoRows.connect(settings))

    def get(self, account: str, tweet_id: str) -> Tweet | None:
        """The tweet as of now, or None where there is none."""
        item = self._rows.get(In.TWEETS, account, row_key(tweet_id))
        return _tweet(item) if item else None

    def put(self, tweet: Tweet) -> bool:
        """Store a new tweet; False, and nothing changes, where it is stored already."""
        return write(self._rows, tweet_swap(tweet, expected=None))

    def change(
        self, tweet: Tweet, to: Status, *, reason: str = "", now: datetime, **fields: Any
    ) -> Tweet | None:
        """Give a tweet that was read another status, and other ``fields``.

        None where it has changed since. Raises ValueError where a tweet of its status may not
        become that.
        """
        changed = tweet.changed(to, reason=reason, now=now, **fields)
        wanted = tweet_swap(changed, expected=tweet.version)
        return changed if write(self._rows, wanted) else None

    def by_status(
        self, account: str, status: Status, *, limit: int, after: Cursor | None = None
    ) -> tuple[list[Tweet], Cursor | None]:
        """The tweets of an account with that status, the oldest first, and where more begin."""
        part = Part(
            In.TWEETS,
            "by_status",
            ("account_status", _account_status(account, status)),
            "tweet_id",
            FIRST_ID,
            LAST_ID,
        )
        items, cursor = self._rows.page(part, limit, after)
        return [_tweet(item) for item in items], cursor

    def newest(
        self, account: str, *, status: Status | None, limit: int, before: str | None = None
    ) -> tuple[list[Tweet], str | None]:
        """The tweets of an account (with that status), the newest first.

        A page begins ``before`` a tweet, which need not exist; given back is the one before which
        more begin.
        """
        name, value = "account", account
        begin = {"account": account, "tweet_id": row_key(before)} if before else None
        if status:
            name, value = "account_status", _account_status(account, status)
            begin = {**begin, name: value} if begin else None
        part = Part(
            In.TWEETS,
            "by_status" if status else None,
            (name, value),
            "tweet_id",
            FIRST_ID,
            LAST_ID,
            descending=True,
        )
        items, cursor = self._rows.page(part, limit, begin)
        tweets = [_tweet(item) for item in items]
        return tweets, tweets[-1].tweet_id if cursor else None


def tweet_swap(tweet: Tweet, *, expected: int | None) -> Swap:
    """What writes the tweet over the version ``expected``."""
    key = row_key(tweet.tweet_id)
    item = {
        **to_item(tweet),
        "tweet_id": key,
        "account_status": _account_status(tweet.account, tweet.status),
    }
    return Swap(In.TWEETS, tweet.account, key, expected, item)


def _account_status(account: str, status: Status) -> str:
    return f"{account}#{status}"


def _tweet(item: Item) -> Tweet:
    return Tweet.model_validate({**from_item(item), "tweet_id": str(item["tweet_id"]).lstrip("0")})
