"""The nouns of the tweet pipeline; times are UTC, money is in USD."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field

from marquee.clock import Moment

MAX_HISTORY = 50
"""Changes kept in a row: the first one and the newest; a post that X rate-limits has no end."""


class Model(BaseModel):
    """Frozen; unknown fields are dropped; built at first use, as no step needs all of them."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class Status(StrEnum):
    """Where a tweet stands in the pipeline."""

    DOWNLOADED = "DOWNLOADED"
    CLASSIFIED = "CLASSIFIED"
    POLISHED = "POLISHED"
    APPROVED = "APPROVED"
    POSTED = "POSTED"
    SKIPPED = "SKIPPED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    """Sent, and whether X has it is not known yet."""
    NEEDS_HUMAN = "NEEDS_HUMAN"


STATUS_CHANGES: dict[Status, frozenset[Status]] = {
    Status.DOWNLOADED: frozenset({Status.CLASSIFIED, Status.SKIPPED}),
    Status.CLASSIFIED: frozenset({Status.POLISHED, Status.SKIPPED, Status.NEEDS_HUMAN}),
    Status.POLISHED: frozenset(
        {Status.APPROVED, Status.SKIPPED, Status.REJECTED, Status.NEEDS_HUMAN}
    ),
    Status.APPROVED: frozenset(
        {Status.POSTED, Status.SKIPPED, Status.REJECTED, Status.UNKNOWN, Status.NEEDS_HUMAN}
    ),
    Status.UNKNOWN: frozenset(
        {Status.POSTED, Status.APPROVED, Status.REJECTED, Status.NEEDS_HUMAN}
    ),
    Status.NEEDS_HUMAN: frozenset({Status.APPROVED, Status.REJECTED, Status.POSTED}),
    Status.REJECTED: frozenset({Status.APPROVED, Status.POSTED}),
    Status.SKIPPED: frozenset({Status.POSTED}),
}
"""The changes that are allowed. To POSTED lead also such as X alone can force upon us: it has the
post, whatever was decided meanwhile."""


class LedgerState(StrEnum):
    """Where a post stands; only SENDING may be on its way to X."""

    CLAIMED = "CLAIMED"
    SENDING = "SENDING"
    POSTED = "POSTED"
    REJECTED = "REJECTED"
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"
    NEEDS_HUMAN = "NEEDS_HUMAN"


OPEN_STATES = frozenset(
    {LedgerState.CLAIMED, LedgerState.SENDING, LedgerState.UNKNOWN, LedgerState.NEEDS_HUMAN}
)
"""Something is still to be done or decided."""

STATE_CHANGES: dict[LedgerState, frozenset[LedgerState]] = {
    LedgerState.CLAIMED: frozenset(
        {LedgerState.SENDING, LedgerState.SKIPPED, LedgerState.POSTED, LedgerState.REJECTED}
    ),
    LedgerState.SENDING: frozenset(
        {
            LedgerState.POSTED,
            LedgerState.REJECTED,
            LedgerState.CLAIMED,
            LedgerState.UNKNOWN,
            LedgerState.NEEDS_HUMAN,
        }
    ),
    LedgerState.UNKNOWN: frozenset(
        {
            LedgerState.POSTED,
            LedgerState.REJECTED,
            LedgerState.CLAIMED,
            LedgerState.NEEDS_HUMAN,
        }
    ),
    LedgerState.NEEDS_HUMAN: frozenset(
        {LedgerState.POSTED, LedgerState.CLAIMED, LedgerState.REJECTED}
    ),
    LedgerState.REJECTED: frozenset({LedgerState.CLAIMED, LedgerState.POSTED}),
    LedgerState.SKIPPED: frozenset({LedgerState.POSTED}),
}
"""The changes that are allowed, as for tweets."""


class TweetType(StrEnum):
    """What a tweet is about; UNSAFE ones go no further."""

    REVIEW = "review"
    RECOMMENDATION = "recommendation"
    NEWS = "news"
    TRAILER = "trailer"
    QUESTION = "question"
    OPINION = "opinion"
    PROMOTION = "promotion"
    OTHER = "other"
    UNSAFE = "unsafe"


class Change(Model):
    """One step of a history: what it became, when, and why."""

    at: Moment
    to: str
    reason: str = ""


class Tweet(Model):
    """A downloaded tweet on its way through the pipeline, as TweetsTable holds it."""

    account: str = Field(pattern=r"^[a-z0-9_]{1,20}$")
    """Whose timeline it was downloaded from; lower case."""
    tweet_id: str = Field(pattern=r"^[1-9]\d{0,19}$")
    author: str
    text: str
    """Whole, with entities decoded and t.co links expanded."""
    created_at: Moment
    lang: str | None = None
    is_reply: bool = False
    is_quote: bool = False
    is_retweet: bool = False
    urls: tuple[str, ...] = ()
    status: Status = Status.DOWNLOADED
    type: TweetType | None = None
    classified_by: str | None = None
    """``model:<name>`` or ``rules``."""
    unsafe_reason: str | None = None
    polished_text: str | None = None
    final_text: str | None = None
    """What will be posted, once the tweet is approved."""
    verdict: dict[str, Any] = Field(default_factory=dict)
    """What the output policy said of the final text."""
    post_id: str | None = None
    history: tuple[Change, ...] = ()
    version: int = Field(default=1, ge=1)

    def changed(self, to: Status, *, reason: str = "", now: datetime, **fields: Any) -> Self:
        """The tweet with another status, and other ``fields``; ValueError where not allowed."""
        if to not in STATUS_CHANGES.get(self.status, frozenset()):
            raise ValueError(f"tweet {self.tweet_id}: {self.status} does not become {to}")
        return self.model_validate(
            {
                **self.model_dump(),
                **fields,
                "status": to,
                "history": _with(self.history, Change(at=now, to=to, reason=reason)),
                "version": self.version + 1,
            }
        )


class LedgerEntry(Model):
    """What became of one post: one entry per posting account and source tweet."""

    account: str
    """That posts; its credentials are used."""
    tweet_id: str
    source: str
    """The account whose tweet it is; often the same."""
    type: TweetType | None = None
    """The tweet's, when it was claimed."""
    workflow_id: str | None = None
    """The run that claimed it."""
    state: LedgerState
    text: str
    """Frozen at the claim: what is sent, however often, is these bytes."""
    text_hash: str
    has_url: bool
    price_usd: float
    """What X charges for creating this post."""
    claimed_at: Moment
    updated_at: Moment
    owner: str | None = None
    """The token of the one invocation that sent it last; no two share one."""
    sending_at: Moment | None = None
    not_before: Moment | None = None
    """When X may take it again."""
    post_id: str | None = None
    reads_absent: int = 0
    """Reads of the own timeline, since it was sent last, in which it was not."""
    first_absent_at: Moment | None = None
    last_absent_at: Moment | None = None
    times_absent: int = 0
    """How often its absence was proved."""
    reason: str = ""
    history: tuple[Change, ...] = ()
    version: int = Field(default=1, ge=1)

    def changed(self, to: LedgerState, *, reason: str = "", now: datetime, **fields: Any) -> Self:
        """The entry in another state, and with other ``fields``; ValueError where not allowed."""
        if to not in STATE_CHANGES.get(self.state, frozenset()):
            raise ValueError(f"post of {self.tweet_id}: {self.state} does not become {to}")
        history = _with(self.history, Change(at=now, to=to, reason=reason))
        return self.noted(now=now, **{"reason": reason, **fields}, state=to, history=history)

    def noted(self, *, now: datetime, **fields: Any) -> Self:
        """The entry with other ``fields``; its next version."""
        return self.model_copy(update={**fields, "updated_at": now, "version": self.version + 1})


class Outcome(Model):
    """How publishing or reconciling ended, as the state machine reads it."""

    account: str
    tweet_id: str
    state: LedgerState
    reason: str = ""
    post_id: str | None = None
    price_usd: float = 0.0
    wait_until: Moment | None = None
    """When to look again or to send; None where nothing is left to do for a machine."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def counts(self) -> dict[str, str]:
        """Where the post stands, as the record of the step keeps it."""
        counts = {"state": self.state.value}
        if self.wait_until:
            counts["wait_until"] = self.wait_until.isoformat()
        if self.post_id:
            counts["post_id"] = self.post_id
        return counts


def _with(history: tuple[Change, ...], change: Change) -> tuple[Change, ...]:
    grown = (*history, change)
    return grown if len(grown) <= MAX_HISTORY else (grown[0], *grown[2:])
