"""DownloadTweets: the posts of an account that are new since the last run, each stored once.

A row ``#source`` beside the account's tweets holds its user id, which costs a read of its own, and
the cursor: the newest post that was stored or left out. It moves only after storing, and says with
each move what was stored: the outbox tells it.

The oldest new posts are taken first, and X shows the newest first. So a run reads page by page down
to the cursor, and the row keeps the ids of what is past ``count``: the next runs read only as many
of those as they take, until they are used up. A run that is cut short on its way down goes on from
there.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import takewhile
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

MOST_PAGES = 32
"""X shows the last 3,200 posts of a timeline."""

MAX_TURNS = 5
MAX_REASON = 300
MAX_RECORD = 50_000
"""Of a post as X gives it; a long one has some 30,000 characters."""

_SOURCE_KEY = "#source"


@dataclass(frozen=True)
class Timeline:
    """The newest posts of a user between two ids, as X gives them, and the next page's token."""

    posts: Sequence[Mapping[str, Any]]
    next_token: str | None = None


class XReader(Protocol):
    """Reads X; counts its calls, and leaves their price to the caller."""

    def user_id(self, username: str) -> str:
        """The id of a user; raises UpstreamNotFound where there is none of that name."""

    def timeline(
        self,
        user_id: str,
        *,
        since_id: str | None,
        until_id: str | None,
        token: str | None,
        at_most: int,
        replies: bool,
        retweets: bool,
        usd_per_post: float,
    ) -> Timeline:
        """One page of at most ``at_most`` (5..100) posts between ``since_id`` and ``until_id``,
        both exclusive, the newest first, with ``created_at, edit_history_tweet_ids, entities,
        lang, note_tweet, referenced_tweets``; raises UpstreamError and SlotAhead.

        ``usd_per_post`` is what must be there to pay for it."""


class Source(Model):
    """What is known of an account whose tweets are downloaded."""

    account: str
    user_id: str
    since_id: str | None = None
    unread: tuple[str, ...] = ()
    """Posts behind the cursor that X has shown, none of them stored, the oldest first."""
    read_down_to: str | None = None
    """Between the cursor and this post there may be more than ``unread`` says; None: there are
    none."""
    stored: tuple[str, ...] = ()
    """The tweets that the cursor moved over last, those that were left out apart."""
    workflow_id: str | None = None
    """The run that moved it."""
    moved_at: Moment | None = None
    user_read_at: Moment
    version: int = Field(default=1, ge=1)

    def moved(self, cursor: str | None, **fields: Any) -> "Source":
        """The source with its cursor there, or where it is, if that is newer."""
        newest = max(cursor, self.since_id, key=lambda post_id: int(post_id or 0))
        behind = int(newest or 0)
        down_to = self.read_down_to
        known = {
            "since_id": newest,
            "unread": tuple(post_id for post_id in self.unread if int(post_id) > behind),
            "read_down_to": down_to if down_to and int(down_to) > behind + 1 else None,
        }
        return self.model_copy(update={**fields, **known})


class Sources:
    """The rows ``#source`` of TweetsTable."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, account: str) -> Source | None:
        """What is known of the account, or None where it is new."""
        item = self._rows.get(In.TWEETS, account, _SOURCE_KEY)
        return Source.model_validate(from_item(dict(item))) if item else None

    def put(self, source: Source, before: Source | None) -> Source:
        """Store what is known; of two cursors the newer one stays. Raises StoreUnavailable.

        Where another run was first, what it knows of unread posts stays, too.
        """
        for _ in range(MAX_TURNS):
            version = before.version + 1 if before else 1
            source = source.model_copy(update={"version": version})
            if write(self._rows, _swap(source, before)):
                return source
            before = self.get(source.account)
            if before and before.user_id == source.user_id:
                theirs = {"unread": before.unread, "read_down_to": before.read_down_to}
                source = source.model_copy(update=theirs).moved(before.since_id)
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
    reading = _Reading(run, x, wanted)
    try:
        source, due = _due(source, sources, reading)
    except UpstreamNotFound:
        # The name may belong to another account by now.
        source = _found(run, x, sources, source, now)
        reading = _Reading(run, x, wanted)
        source, due = _due(source, sources, reading)
    for post in reading.without_id:
        _set_aside(post, run.account, "it has no id", rows, now)
    stored: list[str] = []
    moved_over: list[str] = []
    counts: dict[str, int | str] = {"read": reading.count, "downloaded": 0}
    left_out, set_aside = 0, len(reading.without_id)
    cursor = source.since_id
    for post_id in due:
        if len(stored) == run.count:
            break
        cursor = post_id
        found = reading.posts.get(post_id)
        if found is None:
            # It was deleted since X showed it to an earlier run.
            left_out += 1
            continue
        try:
            tweet = read_post(found, run.account, now=now)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            _set_aside(found, run.account, f"{type(error).__name__}: {error}", rows, now)
            set_aside += 1
            continue
        unwanted = (tweet.is_reply and not wanted.replies) or (
            tweet.is_retweet and not wanted.retweets
        )
        if unwanted or _is_known(found, tweet, run, tweets, ledger):
            left_out += 1
            continue
        if tweets.put(tweet):
            stored.append(tweet.tweet_id)
        # One that is stored already is behind the cursor because a run died before moving it.
        moved_over.append(tweet.tweet_id)
    moved = source.moved(cursor, stored=tuple(moved_over), workflow_id=workflow_id, moved_at=now)
    if cursor != source.since_id:
        sources.put(moved, source)
    counts |= {"downloaded": len(stored), "left_out": left_out, "set_aside": set_aside}
    return StepOutput(
        tweet_ids=tuple(stored),
        posts=ready_posts(tweets, run),
        counts={**counts, "behind": len(moved.unread)},
    )


def _found(run: Run, x: XReader, sources: Sources, before: Source | None, now: datetime) -> Source:
    user_id = x.user_id(run.account)
    current_tally().add_cost("x", X_USER_READ_USD)
    since = before.since_id if before and before.user_id == user_id else None
    source = Source(account=run.account, user_id=user_id, since_id=since, user_read_at=now)
    return sources.put(source, before)


class _Reading:
    """What one step reads of a timeline, at its price."""

    def __init__(self, run: Run, x: XReader, wanted: Download) -> None:
        self.run = run
        self.posts: dict[str, Mapping[str, Any]] = {}
        """By id."""
        self.without_id: list[Mapping[str, Any]] = []
        self.count = 0
        self._x = x
        self._wanted = wanted

    def page(
        self, source: Source, *, at_most: int, until_id: str | None = None, token: str | None = None
    ) -> tuple[tuple[str, ...], str | None]:
        """The ids of a page behind the cursor, the oldest first, and the token of the next one."""
        price = X_OWN_POST_READ_USD if self.run.is_own else X_POST_READ_USD
        timeline = self._x.timeline(
            source.user_id,
            since_id=source.since_id,
            until_id=until_id,
            token=token,
            at_most=at_most,
            replies=self._wanted.replies,
            retweets=self._wanted.retweets,
            usd_per_post=price,
        )
        current_tally().add_cost("x", price * len(timeline.posts))
        self.count += len(timeline.posts)
        page = {str(_post_id(post)): post for post in timeline.posts if _post_id(post)}
        self.without_id += [post for post in timeline.posts if not _post_id(post)]
        self.posts |= page
        return tuple(sorted(page, key=int)), timeline.next_token


def _due(source: Source, sources: Sources, reading: _Reading) -> tuple[Source, tuple[str, ...]]:
    """The oldest unread posts, as far as they are read now, and the source that knows of the rest.

    At least ``count`` where there are so many; one that is not in ``reading`` is gone.
    """
    count = reading.run.count
    if source.since_id is None:
        # Nobody asked for the account's whole past.
        ids, _ = reading.page(source, at_most=max(count, MIN_READ))
        return source, ids[-count:]
    if source.read_down_to is None and len(source.unread) >= count:
        # Half of an own timeline may be what we posted, which is left out.
        due = source.unread[: min(MAX_READ, 2 * count if reading.run.is_own else count)]
        after = str(int(due[-1]) + 1)
        at_most, token = max(MIN_READ, len(due)), None
        for _ in range(MOST_PAGES):
            _, token = reading.page(source, until_id=after, token=token, at_most=at_most)
            if token is None:
                return source, due
        return source, ()  # what was not shown yet is not gone
    if source.read_down_to is None:
        source = source.model_copy(update={"unread": ()})
    until_id, token = source.read_down_to, None
    for _ in range(MOST_PAGES):
        ids, token = reading.page(source, until_id=until_id, token=token, at_most=MAX_READ)
        unread = (*ids, *source.unread)
        down_to = unread[0] if token and unread else None
        read = source.model_copy(update={"unread": unread, "read_down_to": down_to})
        if token is None:
            return read, tuple(takewhile(reading.posts.__contains__, unread))
        source = sources.put(read, source)
        if source.unread != unread:
            # Another run was first: what it knows is what there is to go on from.
            return _due(source, sources, reading)
    return source, ()


def _is_known(
    post: Mapping[str, Any], tweet: Tweet, run: Run, tweets: TweetStore, ledger: PostLedger
) -> bool:
    """Whether a post is ours, or an edit, which X gives a new id, of one that is ours or stored."""
    versions = post.get("edit_history_tweet_ids") or post.get("edit_history_post_ids") or ()
    earlier = [str(version) for version in versions if str(version) != tweet.tweet_id]
    return any(tweets.get(run.account, version) for version in earlier) or (
        run.is_own
        and any(
            ledger.has_made(run.account, version, tweet.text)
            for version in (tweet.tweet_id, *earlier)
        )
    )


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
