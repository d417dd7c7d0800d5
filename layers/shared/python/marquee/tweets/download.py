"""DownloadTweets: the posts of an account that are new since the last run, each stored once.

A row ``#source`` beside the account's tweets holds its user id, which costs a read of its own, and
the cursor: the newest post that was stored or left out. It moves only after storing, and says with
each move what was stored: the outbox tells it. What is past ``count`` is not lost: the oldest new
posts are taken first, and the next run goes on behind them.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from pydantic import Field

from marquee.aws import from_item, to_item
from marquee.clock import Moment
from marquee.errors import StoreUnavailable, UpstreamNotFound
from marquee.gateway.prices import X_OWN_POST_READ_USD, X_POST_READ_USD, X_USER_READ_USD
from marquee.observability import current_tally, logger
from marquee.settings import SET_ASIDE_KEPT_FOR
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import Change, Model, Status, Tweet
from marquee.tweets.policy import Download
from marquee.tweets.rows import In, Item, Rows, Swap, write
from marquee.tweets.run import Run, StepOutput, ready_posts
from marquee.tweets.tweet_store import TweetStore

MIN_READ = 5
MAX_READ = 100
"""What X takes for ``max_results`` of a user's posts."""

MAX_TURNS = 5
MAX_REASON = 300
MAX_RECORD = 50_000
"""Of a post as X gives it; a long one has some 30,000 characters."""

_SOURCE_KEY = "#source"


@dataclass(frozen=True)
class Timeline:
    """The newest posts of a user after ``since_id``, as X gives them, and whether more exist."""

    posts: Sequence[Mapping[str, Any]]
    has_more: bool = False


class XReader(Protocol):
    """Reads X; counts its calls, and leaves their price to the caller."""

    def user_id(self, username: str) -> str:
        """The id of a user; raises UpstreamNotFound where there is none of that name."""

    def timeline(
        self,
        user_id: str,
        *,
        since_id: str | None,
        at_most: int,
        replies: bool,
        retweets: bool,
        usd_per_post: float,
    ) -> Timeline:
        """One page of at most ``at_most`` (5..100) posts, the newest first, with ``created_at,
        entities, lang, note_tweet, referenced_tweets``; raises UpstreamError and SlotAhead.

        ``usd_per_post`` is what must be there to pay for it."""


class Source(Model):
    """What is known of an account whose tweets are downloaded."""

    account: str
    user_id: str
    since_id: str | None = None
    stored: tuple[str, ...] = ()
    """The tweets that the cursor moved over last, those that were left out apart."""
    workflow_id: str | None = None
    """The run that moved it."""
    moved_at: Moment | None = None
    user_read_at: Moment
    version: int = Field(default=1, ge=1)


class Sources:
    """The rows ``#source`` of TweetsTable."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, account: str) -> Source | None:
        """What is known of the account, or None where it is new."""
        item = self._rows.get(In.TWEETS, account, _SOURCE_KEY)
        return Source.model_validate(from_item(dict(item))) if item else None

    def put(self, source: Source, before: Source | None) -> Source:
        """Store what is known; of two cursors the newer one stays. Raises StoreUnavailable."""
        for _ in range(MAX_TURNS):
            since = [source.since_id]
            if before and before.user_id == source.user_id:
                since.append(before.since_id)
            newest = max(since, key=lambda post_id: int(post_id or 0))
            version = before.version + 1 if before else 1
            source = source.model_copy(update={"since_id": newest, "version": version})
            swap = _swap(source, before)
            if write(self._rows, swap):
                return source
            before = self.get(source.account)
        raise StoreUnavailable(f"the cursor of {source.account}: lost {MAX_TURNS} turns in a row")


def download_tweets(
    run: Run,
    rows: Rows,
    x: XReader,
    wanted: Download,
    *,
    workflow_id: str,
    now: datetime,
) -> StepOutput:
    """Store at most ``count`` new tweets of the run's account; see StepOutput.

    On the first run the newest ones, from then on the oldest of those behind the cursor. What the
    pipeline itself has posted is left out: it would post it again, and so for ever. Raises
    UpstreamError, StoreUnavailable; what was stored by then stays.
    """
    sources, tweets, ledger = Sources(rows), TweetStore(rows), PostLedger(rows)
    source = sources.get(run.account) or _found(run, x, sources, None, now)
    try:
        timeline = _read(run, source, x, wanted)
    except UpstreamNotFound:
        # The name may belong to another account by now.
        source = _found(run, x, sources, source, now)
        timeline = _read(run, source, x, wanted)
    posts = sorted(timeline.posts, key=_post_id)
    if source.since_id is None:
        # Nobody asked for the account's whole past.
        posts = posts[-run.count :]
    stored: list[str] = []
    moved_over: list[str] = []
    counts = {"read": len(timeline.posts), "downloaded": 0, "left_out": 0, "set_aside": 0}
    counts["behind"] = 0
    cursor = source.since_id
    for post in posts:
        if len(stored) == run.count:
            counts["behind"] += 1
            continue
        try:
            tweet = read_post(post, run.account, now=now)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            _set_aside(post, run.account, f"{type(error).__name__}: {error}", rows, now)
            counts["set_aside"] += 1
            cursor = str(_post_id(post) or cursor or "") or None
            continue
        unwanted = (tweet.is_reply and not wanted.replies) or (
            tweet.is_retweet and not wanted.retweets
        )
        if unwanted or (run.is_own and ledger.has_made(run.account, tweet.tweet_id, tweet.text)):
            counts["left_out"] += 1
        else:
            if tweets.put(tweet):
                stored.append(tweet.tweet_id)
            # One that is stored already is behind the cursor because a run died before moving it.
            moved_over.append(tweet.tweet_id)
        cursor = str(_post_id(post))
    if cursor != source.since_id:
        moved = {
            "since_id": cursor,
            "stored": tuple(moved_over),
            "workflow_id": workflow_id,
            "moved_at": now,
        }
        sources.put(source.model_copy(update=moved), source)
    counts["downloaded"] = len(stored)
    told: dict[str, int | str] = {**counts}
    if timeline.has_more and source.since_id is not None:
        told["gap"] = (
            f"more than {MAX_READ} new posts: those before {_post_id(posts[0])} are not read"
        )
        logger.warning("a timeline grew faster than it is read", account=run.account)
    return StepOutput(tweet_ids=tuple(stored), posts=ready_posts(tweets, run), counts=told)


def _found(run: Run, x: XReader, sources: Sources, before: Source | None, now: datetime) -> Source:
    user_id = x.user_id(run.account)
    current_tally().add_cost("x", X_USER_READ_USD)
    since = before.since_id if before and before.user_id == user_id else None
    source = Source(account=run.account, user_id=user_id, since_id=since, user_read_at=now)
    return sources.put(source, before)


def _read(run: Run, source: Source, x: XReader, wanted: Download) -> Timeline:
    first = source.since_id is None
    price = X_OWN_POST_READ_USD if run.is_own else X_POST_READ_USD
    timeline = x.timeline(
        source.user_id,
        since_id=source.since_id,
        at_most=max(run.count, MIN_READ) if first else MAX_READ,
        replies=wanted.replies,
        retweets=wanted.retweets,
        usd_per_post=price,
    )
    current_tally().add_cost("x", price * len(timeline.posts))
    return timeline


def _post_id(post: Mapping[str, Any]) -> int:
    try:
        return int(post["id"])
    except (KeyError, TypeError, ValueError):
        return 0


def _set_aside(
    post: Mapping[str, Any], account: str, reason: str, rows: Rows, now: datetime
) -> None:
    """Keep a post that cannot be read, with the reason, where an operator finds it."""
    record = json.dumps(post, sort_keys=True, default=str)
    logger.warning("a post is set aside", account=account, post_id=_post_id(post), reason=reason)
    key = f"set_aside#{sha256(record.encode()).hexdigest()[:16]}"
    item = {
        "account": account,
        "tweet_id": key,
        "account_status": f"{account}#SET_ASIDE",
        "reason": reason[:MAX_REASON],
        "record": record[:MAX_RECORD],
        "expires_at": int((now + SET_ASIDE_KEPT_FOR).timestamp()),
        "version": 1,
    }
    rows.swap(Swap(In.TWEETS, account, key, None, item))


def read_post(post: Mapping[str, Any], account: str, *, now: datetime) -> Tweet:
    """A post as X gives it, as a downloaded tweet: its whole text, links expanded.

    Links to the post's own pictures and videos are left out: they show nothing elsewhere. Raises
    KeyError, TypeError, ValueError for one that cannot be read.
    """
    long = post.get("note_tweet") or {}
    text = html.unescape(str(long.get("text") or post["text"]))
    entities = (long.get("entities") if long.get("text") else None) or post.get("entities") or {}
    urls = []
    for entity in entities.get("urls") or ():
        expanded = str(entity.get("unwound_url") or entity.get("expanded_url") or "")
        shown = str(entity.get("display_url") or "")
        if entity.get("media_key") or shown.startswith(("pic.x.com/", "pic.twitter.com/")):
            expanded = ""
        elif expanded:
            urls.append(expanded)
        else:
            continue
        text = text.replace(str(entity["url"]), expanded)
    kinds = {reference["type"] for reference in post.get("referenced_tweets") or ()}
    return Tweet(
        account=account,
        tweet_id=str(post["id"]),
        author=account,
        text=text.strip(),
        created_at=post["created_at"],
        lang=post.get("lang"),
        is_reply="replied_to" in kinds,
        is_quote="quoted" in kinds,
        is_retweet="retweeted" in kinds,
        urls=tuple(urls),
        history=(Change(at=now, to=Status.DOWNLOADED),),
    )


def _swap(source: Source, before: Source | None) -> Swap:
    item: Item = {**to_item(source), "tweet_id": _SOURCE_KEY}
    expected = before.version if before else None
    return Swap(In.TWEETS, source.account, _SOURCE_KEY, expected, item)
