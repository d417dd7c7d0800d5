"""Builders and fakes for the steps before a post: tweets, a run, a model, X, who waits."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from marquee.tweets.download import Timeline
from marquee.tweets.language_model import Answered, Unanswered, Usage
from marquee.tweets.models import Change, Status, Tweet, TweetType
from marquee.tweets.policy import Policies, load_policies
from marquee.tweets.rows import Rows
from marquee.tweets.run import Mode, Run
from marquee.tweets.tweet_store import TweetStore

NOW = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)
OWN = "marquee"
WORKFLOW = "tweet_pipeline-test"


def a_tweet(**fields: Any) -> Tweet:
    """A review on the own account, downloaded just now."""
    facts: dict[str, Any] = {
        "account": OWN,
        "tweet_id": "1900000000000000001",
        "author": fields.get("account", OWN),
        "text": "saw the quiet harbor yesterday, its a wonderful film 8/10",
        "created_at": NOW - timedelta(hours=1),
        "lang": "en",
    }
    tweet = Tweet.model_validate({**facts, **fields})
    if tweet.history:
        return tweet
    return tweet.model_copy(update={"history": (Change(at=NOW, to=tweet.status),)})


def a_run(**fields: Any) -> Run:
    """A run of the own account that posts by itself."""
    facts: dict[str, Any] = {
        "account": OWN,
        "posting_account": OWN,
        "count": 1,
        "tweet_type": None,
        "mode": Mode.AUTO,
        "max_posts": 10,
    }
    return Run.model_validate({**facts, **fields})


def some_policies(**overrides: Any) -> Policies:
    """Policies that post everything as it is, but for what is given for all types."""
    values = {"action": "post", "url": "keep", "foreign": "post", **overrides}
    lines = ["[defaults]", *(f'{name} = "{value}"' for name, value in values.items())]
    for kind in TweetType:
        lines.append(f"[types.{kind}]")
        if kind is TweetType.UNSAFE:
            lines += ['action = "skip"', 'foreign = "skip"']
    return load_policies("\n".join(lines))


def stored(rows: Rows, *tweets: Tweet) -> TweetStore:
    """The store with those tweets."""
    store = TweetStore(rows)
    for tweet in tweets:
        assert store.put(tweet)
    return store


def status_of(rows: Rows, tweet: Tweet) -> Status:
    found = TweetStore(rows).get(tweet.account, tweet.tweet_id)
    assert found
    return found.status


class FakeModel:
    """A model that says what a function of the question says, or fails with what it raises."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Any]) -> None:
        self.name = "fake"
        self.usage = Usage()
        self.asked: list[Mapping[str, Any]] = []
        self.instructions = ""
        self._answer = answer

    def ask[T: BaseModel](
        self, instructions: str, data: Mapping[str, Any], shape: type[T]
    ) -> Answered[T] | Unanswered:
        self.asked.append(data)
        self.instructions = instructions
        self.usage.questions += 1
        said = self._answer(data)
        if isinstance(said, Unanswered):
            return said
        try:
            return Answered(shape.model_validate(said))
        except ValidationError:
            return Unanswered("the model's answer has another shape")


def saying(*texts: str) -> FakeModel:
    """A model that polishes to these texts, one after the other, the last one for ever."""
    said = list(texts)
    return FakeModel(lambda data: {"text": said.pop(0) if len(said) > 1 else said[0]})


def failing(error: Exception) -> FakeModel:
    """A model that is not to be reached."""

    def fail(data: Mapping[str, Any]) -> Any:
        raise error

    return FakeModel(fail)


class FakeX:
    """X with one user's posts, the newest first."""

    def __init__(self, posts: Sequence[Mapping[str, Any]] = (), user_id: str = "42") -> None:
        self.posts = sorted(posts, key=lambda post: -int(post.get("id", 0)))
        self.id = user_id
        self.users_read = 0
        self.read = 0
        self.asked: list[dict[str, Any]] = []

    def user_id(self, username: str) -> str:
        self.users_read += 1
        return self.id

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
        self.usd_per_post = usd_per_post
        self.asked.append(
            {"since_id": since_id, "at_most": at_most, "replies": replies, "retweets": retweets}
        )
        before = min(int(each) for each in (until_id, token, "9" * 20) if each)
        new = [post for post in self.posts if int(since_id or 0) < int(post.get("id", 0)) < before]
        page = new[:at_most]
        self.read += len(page)
        return Timeline(posts=page, next_token=page[-1]["id"] if len(new) > at_most else None)


class FakeTasks:
    """Executions that wait; told what they were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    def succeed(self, token: str, output: dict[str, Any]) -> None:
        if self.error:
            raise self.error
        self.told.append((token, output))


class Clock:
    """A clock that moves by a step at every look."""

    def __init__(self, step: timedelta = timedelta()) -> None:
        self.now = NOW
        self._step = step

    def __call__(self) -> datetime:
        moment = self.now
        self.now += self._step
        return moment
