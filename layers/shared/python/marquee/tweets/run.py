"""A run of the pipeline: what was asked, what its steps hand on, and which tweets they take up."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeIs

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from marquee.errors import BadInput
from marquee.settings import Settings
from marquee.tweets.dry_run import DryRows
from marquee.tweets.models import Model, Status, Tweet, TweetType
from marquee.tweets.rows import Cursor, DynamoRows, Rows
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.problems import Problem, listed

KIND = "tweet_pipeline"
"""The kind of these workflows, and the name of their state machine."""

MAX_COUNT = 100
"""New tweets a run: what one page of a timeline holds."""

TAKEN_UP_AT_ONCE = 200
"""Tweets that one step looks at; the rest is for its next turn or the next run."""

_PAGE = 100
_MOST_PAGES = 20
"""Of leftovers that one step reads to find those of its type."""


class Mode(StrEnum):
    """Who decides what is posted: the policy, a person for every post, or nobody."""

    AUTO = "auto"
    APPROVE = "approve"
    DRY_RUN = "dry_run"


type FromStep = Literal["ClassifyTweets", "PolishTweets"]
"""The states that a run may begin with, beside DownloadTweets."""


class RunRequest(BaseModel):
    """The input of a run; what is left out comes from the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str | None = Field(
        default=None,
        pattern=r"^@?[A-Za-z0-9_]{1,20}$",
        description="Whose tweets; absent: the default account's.",
    )
    count: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=MAX_COUNT,
        description="New tweets at most; absent: the default count.",
    )
    tweet_type: TweetType | None = Field(
        default=None, description="Only tweets of this type; the others stay where they are."
    )
    mode: Mode | None = Field(
        default=None,
        description="auto: the policy decides; approve: a person, for every post; dry_run: nothing "
        "is posted or changed.",
    )
    dry_run: bool | None = Field(
        default=None, strict=True, description="True: the same as the mode dry_run."
    )
    from_step: FromStep | None = Field(
        default=None, description="The state to begin with, on what earlier runs left."
    )

    @field_validator("tweet_type")
    @classmethod
    def _is_posted(cls, kind: TweetType | None) -> TweetType | None:
        if kind is TweetType.UNSAFE:
            raise ValueError("unsafe tweets are never posted")
        return kind


class Run(Model):
    """A run with every default filled in."""

    account: str
    """Whose tweets; lower case."""
    posting_account: str
    """That posts; lower case."""
    count: int
    tweet_type: TweetType | None
    mode: Mode
    max_posts: int
    approval_seconds: int = 79_200
    """How long a run waits for a person's word."""

    @property
    def is_own(self) -> bool:
        """Whether the tweets are those of the account that posts."""
        return self.account == self.posting_account


class StepInput(BaseModel):
    """The input of every step before the posts."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str = Field(min_length=1, max_length=80)
    attempt: int = Field(default=1, ge=1)
    """As the state's Retry counts them."""
    request: RunRequest = RunRequest()
    tweet_ids: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    """What the step before handed on; indexes may not show it yet."""


class Post(Model):
    """One item of the Map that posts."""

    account: str
    source: str
    tweet_id: str


class StepOutput(Model):
    """The output of every step before the posts."""

    tweet_ids: tuple[str, ...] = ()
    """What this step and those before it took up."""
    posts: tuple[Post, ...] = ()
    """What is approved and not posted yet, what earlier runs left included."""
    approvals: tuple[str, ...] = ()
    """Source tweets that wait for a person's word before this run may go on."""
    left: int = 0
    """What there was no time for: the step may run again."""
    problems: tuple[Problem, ...] = ()
    """What failed for good while the rest of the step was done."""
    counts: dict[str, int | str] = Field(default_factory=dict)


def resolve(request: RunRequest, settings: Settings) -> Run:
    """The run that is asked for; raises BadInput without an account, Misconfigured.

    Where automatic posting is switched off, ``auto`` is ``approve``: the operator's word is the
    last.
    """
    username = request.username or settings.workflow_default_username
    if not username:
        raise BadInput("say whose tweets: there is no default account", field="username")
    mode = request.mode or Mode.AUTO
    if mode is Mode.AUTO and not settings.workflow_enable_auto_posting:
        mode = Mode.APPROVE
    if request.dry_run:
        mode = Mode.DRY_RUN
    return Run(
        account=username.removeprefix("@").lower(),
        posting_account=settings.require("posting_account").lower(),
        count=request.count or settings.workflow_default_count,
        tweet_type=request.tweet_type,
        mode=mode,
        max_posts=settings.max_posts_per_run,
        approval_seconds=settings.approval_seconds,
    )


def rows_of(run: Run, workflow_id: str, settings: Settings, *, now: datetime) -> Rows:
    """The rows that the run works on: the real ones, or a dry run's own over them."""
    rows = DynamoRows.connect(settings)
    return DryRows(rows, workflow_id, now=now) if run.mode is Mode.DRY_RUN else rows


def taken_up(
    tweets: TweetStore, run: Run, status: Status, tweet_ids: Sequence[str] = ()
) -> list[Tweet]:
    """The run's tweets of that status, the oldest first: those handed on, and older leftovers."""

    def is_wanted(tweet: Tweet | None) -> TypeIs[Tweet]:
        return (
            tweet is not None
            and tweet.status is status
            and (status is Status.DOWNLOADED or run.tweet_type in {None, tweet.type})
        )

    handed_on = (tweets.get(run.account, tweet_id) for tweet_id in set(tweet_ids))
    wanted = list(filter(is_wanted, handed_on))
    cursor: Cursor | None = None
    for _ in range(_MOST_PAGES):
        page, cursor = tweets.by_status(run.account, status, limit=_PAGE, after=cursor)
        wanted += [each for each in page if is_wanted(each) and each.tweet_id not in tweet_ids]
        if cursor is None or len(wanted) >= TAKEN_UP_AT_ONCE:
            break
    return sorted(wanted, key=lambda tweet: int(tweet.tweet_id))


def ready_posts(tweets: TweetStore, run: Run, tweet_ids: Sequence[str] = ()) -> tuple[Post, ...]:
    """What the run may post now, at most ``max_posts``; nothing in a dry run."""
    if run.mode is Mode.DRY_RUN:
        return ()
    approved = taken_up(tweets, run, Status.APPROVED, tweet_ids)
    return tuple(
        Post(account=run.posting_account, source=run.account, tweet_id=tweet.tweet_id)
        for tweet in approved[: run.max_posts]
    )
