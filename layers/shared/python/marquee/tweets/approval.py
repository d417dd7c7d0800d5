"""What a person must decide: approvals asked for, decided once, or held when nobody answers.

Rows in TweetsTable beside the tweet: ``approval#<tweet>``, in the index ``by_status`` under
``#approvals`` while it is open, and ``token#<tweet>``, the task token of the execution that waits.
Only the sender of an answer reads the token: it is in no model, log or answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from marquee.aws import STORE_ERRORS, as_store_error, client, from_item, to_item
from marquee.clock import Moment, written
from marquee.errors import BadInput, Conflict, Misconfigured, NotFound, StoreUnavailable
from marquee.gateway.prices import X_POST_CREATED_USD, X_POST_WITH_URL_CREATED_USD
from marquee.settings import Settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import Model, Status, Tweet, TweetType
from marquee.tweets.output_policy import Verdict, judge
from marquee.tweets.policy import Policies, decide, frame_of, original_text
from marquee.tweets.rows import (
    FIRST_ID,
    LAST_ID,
    DynamoRows,
    In,
    Item,
    Part,
    Rows,
    Swap,
    row_key,
    write,
)
from marquee.tweets.run import Run, RunRequest
from marquee.tweets.text import same_post, url_spans
from marquee.tweets.tweet_store import TweetStore, tweet_swap

MAX_TURNS = 5
"""Rows lost to someone else in a row before we give up."""

EVERY_POST = "the run asks before every post"

_OPEN = "#approvals"
_UNDECIDED_TWEETS = frozenset({Status.POLISHED, Status.NEEDS_HUMAN})
_GONE = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken", "InvalidTaskToken"})
"""Nobody waits for that token any more."""


class ApprovalState(StrEnum):
    """Where an approval stands."""

    WAITING = "WAITING"
    """An execution waits for it."""
    HELD = "HELD"
    """Nothing waits, and nothing is lost: the next run posts what is approved."""
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    LAPSED = "LAPSED"
    """The tweet went on without it: another run approved or skipped it."""


OPEN_STATES = frozenset({ApprovalState.WAITING, ApprovalState.HELD})


class Verb(StrEnum):
    """What a person may say."""

    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"


class ApprovalDecision(BaseModel):
    """A person's word on one tweet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Verb = Field(description="What is to become of it.")
    text: str | None = Field(
        default=None,
        max_length=2_000,
        description="Of an edit, and only there: the whole post, template included.",
    )
    seen: str | None = Field(
        default=None,
        max_length=2_000,
        description="The proposed text that was seen. Where another one is proposed by now, "
        "nothing is decided (409). Without it, the decision is about whatever is proposed.",
    )
    reason: str = Field(
        default="", max_length=300, description="Why; it is kept in the tweet's history."
    )
    by: str = Field(
        default="", max_length=100, description="Who decides; it is kept in the tweet's history."
    )


class Approval(Model):
    """A tweet that a person must decide about."""

    account: str
    """Whose tweet."""
    tweet_id: str
    posting_account: str
    state: ApprovalState
    author: str
    type: TweetType | None = None
    original: str
    proposed: str | None = None
    """What will be posted; None where there is no text that may, so that it takes an edit."""
    reason: str
    """Why it is asked."""
    has_url: bool = False
    price_usd: float = X_POST_CREATED_USD
    """What X charges for the post as it is proposed."""
    workflow_id: str | None = None
    requested_at: Moment
    expires_at: Moment | None = None
    """When the execution stops waiting."""
    decided_at: Moment | None = None
    decided_by: str = ""
    decision: Verb | None = None
    decision_reason: str = ""
    version: int = Field(default=1, ge=1)

    @property
    def approval_id(self) -> str:
        """The id in addresses; user names hold no hyphen."""
        return f"{self.account}-{self.tweet_id}"

    def next(self, **fields: Any) -> "Approval":
        """The approval with other ``fields``; its next version."""
        return self.model_copy(update={**fields, "version": self.version + 1})


class CheckedText(Verdict):
    """What the output policy says of a text that somebody would have posted, and its price."""

    has_url: bool
    price_usd: float


class Tasks(Protocol):
    """Whoever waits with a task token."""

    def succeed(self, token: str, output: dict[str, Any]) -> None:
        """Let the execution go on; one that waits no more is no error."""


class StepFunctionsTasks:
    """Executions of Step Functions."""

    def __init__(self, stepfunctions: Any) -> None:
        self._stepfunctions = stepfunctions

    @classmethod
    def connect(cls) -> "StepFunctionsTasks":
        """Those of our account."""
        return cls(client("stepfunctions"))

    def succeed(self, token: str, output: dict[str, Any]) -> None:
        """See Tasks; raises StoreUnavailable or Misconfigured, without the token in their texts."""
        try:
            self._stepfunctions.send_task_success(taskToken=token, output=json.dumps(output))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _GONE:
                return
            said = as_store_error(error)
            if isinstance(said, StoreUnavailable):
                raise StoreUnavailable("the execution could not be told") from None
            raise Misconfigured(f"Step Functions takes no answer from us: {code}") from None
        except STORE_ERRORS:
            raise StoreUnavailable("the execution could not be told") from None


class RequestApprovalInput(BaseModel):
    """The payload of the state that waits."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    request: RunRequest = RunRequest()
    tweet_id: str
    task_token: SecretStr


class ApprovalRequested(Model):
    """What asking did."""

    tweet_id: str
    state: ApprovalState | None = None
    """None where there is nothing to ask any more."""


class Place(NamedTuple):
    """Which approval a page ended with."""

    account: str
    tweet_id: str


@dataclass(frozen=True)
class Approvals:
    """The approvals in TweetsTable."""

    rows: Rows

    @classmethod
    def connect(cls, settings: Settings) -> "Approvals":
        """Those in the table that the template gave us."""
        return cls(DynamoRows.connect(settings))

    def get(self, account: str, tweet_id: str) -> Approval | None:
        """The approval of a tweet, or None where none was ever asked for."""
        item = self.rows.get(In.TWEETS, account, _approval_key(tweet_id))
        return _approval(item) if item else None

    def page(
        self, *, limit: int, after: Place | None = None
    ) -> tuple[list[Approval], Place | None]:
        """The open approvals of all accounts, by source tweet, and where more begin."""
        part = Part(
            In.TWEETS,
            "by_status",
            ("account_status", _OPEN),
            "tweet_id",
            _approval_key(FIRST_ID),
            _approval_key(LAST_ID),
        )
        begin = {"account_status": _OPEN, **_key_of(*after)} if after else None
        items, cursor = self.rows.page(part, limit, begin)
        approvals = [_approval(item) for item in items]
        more = cursor is not None
        return approvals, Place(approvals[-1].account, approvals[-1].tweet_id) if more else None

    def hold(self, tweet: Tweet, approval: Approval, *, reason: str, now: datetime) -> Tweet | None:
        """Let the tweet wait for a person, no execution with it; None where it changed meanwhile.

        ``approval`` is what to ask (see ``asked``); the tweet becomes NEEDS_HUMAN, with the final
        text that is proposed.
        """
        held = tweet.changed(
            Status.NEEDS_HUMAN, reason=reason, now=now, final_text=approval.proposed
        )
        current = self.get(tweet.account, tweet.tweet_id)
        wanted = _numbered(approval, current)
        written = write(self.rows, _swap(wanted, current), tweet_swap(held, expected=tweet.version))
        return held if written else None

    def moot(self, approval: Approval, tweet: Tweet | None) -> str | None:
        """Why there is nothing to decide about the tweet any more; None where there is.

        A tweet whose post is in the ledger was approved: what is open then is what became of the
        post, which is for ``decide_post``.
        """
        if tweet is None:
            return "the tweet is not stored any more"
        if tweet.status not in _UNDECIDED_TWEETS:
            return f"the tweet is {tweet.status} already"
        if tweet.status is Status.NEEDS_HUMAN:
            post = PostLedger(self.rows).get(approval.posting_account, tweet.tweet_id)
            if post:
                return f"its post is {post.state}: decide the post"
        return None

    def lapse(self, approval: Approval, tasks: Tasks) -> None:
        """Close an approval that is moot, and let go on whoever waits for it.

        Where the approval has changed meanwhile, nothing happens.
        """
        lapsed = approval.next(state=ApprovalState.LAPSED, expires_at=None)
        if write(self.rows, _swap(lapsed, approval)):
            self.tell(lapsed, tasks)

    def expire(self, account: str, tweet_id: str, workflow_id: str, *, now: datetime) -> bool:
        """Hold what the execution waited for in vain; True where it was waiting."""
        tweets = TweetStore(self.rows)
        for _ in range(MAX_TURNS):
            current = self.get(account, tweet_id)
            if (
                current is None
                or current.state is not ApprovalState.WAITING
                or current.workflow_id != workflow_id
            ):
                return False
            tweet = tweets.get(account, tweet_id)
            state = ApprovalState.LAPSED if self.moot(current, tweet) else ApprovalState.HELD
            swaps = [_swap(current.next(state=state, expires_at=None), current)]
            if tweet and tweet.status is Status.POLISHED:
                held = tweet.changed(
                    Status.NEEDS_HUMAN, reason="nobody decided in time: held", now=now
                )
                swaps.append(tweet_swap(held, expected=tweet.version))
            if write(self.rows, *swaps, *self._without_token(account, tweet_id)):
                return True
        raise StoreUnavailable(f"holding {tweet_id}: lost {MAX_TURNS} turns in a row")

    def wait(self, approval: Approval, token: SecretStr, tasks: Tasks) -> bool:
        """Store what an execution waits for, with its token.

        Another execution that waited for the same goes on without it, told first: whoever dies
        between the two leaves none waiting in vain. False where a row has changed, and where it is
        decided: it is not asked again.
        """
        current = self.get(approval.account, approval.tweet_id)
        if current and current.state not in OPEN_STATES:
            return False
        key = _token_key(approval.tweet_id)
        known = self.rows.get(In.TWEETS, approval.account, key)
        version = int(known["version"]) if known else None
        item = {
            "account": approval.account,
            "tweet_id": key,
            "token": token.get_secret_value(),
            "version": (version or 0) + 1,
        }
        if known and current and current.workflow_id != approval.workflow_id:
            tasks.succeed(str(known["token"]), answer_of(approval))
        return write(
            self.rows,
            _swap(_numbered(approval, current), current),
            Swap(In.TWEETS, approval.account, key, version, item),
        )

    def settle(self, before: Approval, after: Approval, tweet: Tweet, changed: Tweet) -> bool:
        """Store a decision with what it makes of the tweet; False where either has changed."""
        return write(self.rows, _swap(after, before), tweet_swap(changed, expected=tweet.version))

    def tell(self, approval: Approval, tasks: Tasks) -> None:
        """Let the execution that waits for a decided approval go on, and forget its token."""
        key = _token_key(approval.tweet_id)
        row = self.rows.get(In.TWEETS, approval.account, key)
        if row is None:
            return
        tasks.succeed(str(row["token"]), answer_of(approval))
        for swap in self._without_token(approval.account, approval.tweet_id):
            self.rows.swap(swap)

    def _without_token(self, account: str, tweet_id: str) -> list[Swap]:
        key = _token_key(tweet_id)
        row = self.rows.get(In.TWEETS, account, key)
        return [Swap(In.TWEETS, account, key, int(row["version"]), None)] if row else []


def answer_of(approval: Approval) -> dict[str, Any]:
    """What the waiting state puts out: an item of the Map that posts, and whether to post it."""
    return {
        "account": approval.posting_account,
        "source": approval.account,
        "tweet_id": approval.tweet_id,
        "approved": approval.state is ApprovalState.APPROVED,
    }


def as_it_stands(approval: Approval, *, goes_on: Callable[[str], bool], now: datetime) -> Approval:
    """The approval as a person may see it: HELD where no execution waits for it any more.

    ``goes_on`` says whether an execution still runs. One that was stopped from outside holds
    nothing itself, and one whose time is up may be about to.
    """
    if approval.state is not ApprovalState.WAITING:
        return approval
    in_time = approval.expires_at is not None and now < approval.expires_at
    if in_time and approval.workflow_id and goes_on(approval.workflow_id):
        return approval
    return approval.model_copy(update={"state": ApprovalState.HELD, "expires_at": None})


def asked(
    tweet: Tweet,
    proposed: str | None,
    reason: str,
    policies: Policies,
    *,
    posting_account: str,
    now: datetime,
) -> Approval:
    """The question whether ``proposed`` may be posted, as it is held."""
    has_url, price_usd = _priced(proposed or "")
    return Approval(
        account=tweet.account,
        tweet_id=tweet.tweet_id,
        posting_account=posting_account,
        state=ApprovalState.HELD,
        author=tweet.author,
        type=tweet.type,
        original=original_text(tweet, policies),
        proposed=proposed,
        reason=reason,
        has_url=has_url,
        price_usd=price_usd,
        requested_at=now,
    )


def _priced(text: str) -> tuple[bool, float]:
    """Whether the text holds a link, and what X charges for it as a post, in USD."""
    has_url = bool(url_spans(text))
    return has_url, X_POST_WITH_URL_CREATED_USD if has_url else X_POST_CREATED_USD


def request_approval(
    request: RequestApprovalInput,
    run: Run,
    approvals: Approvals,
    policies: Policies,
    tasks: Tasks,
    *,
    now: datetime,
) -> ApprovalRequested:
    """Ask a person, and keep the token of the execution that waits for the answer.

    Where there is nothing to ask any more, the execution goes on at once. Asking again is asking
    once. Raises NotFound, StoreUnavailable.
    """
    tweets = TweetStore(approvals.rows)
    for _ in range(MAX_TURNS):
        tweet = tweets.get(run.account, request.tweet_id)
        if tweet is None:
            raise NotFound(f"no tweet {request.tweet_id} of {run.account} is stored")
        if tweet.status is not Status.POLISHED:
            output = {
                "account": run.posting_account,
                "source": run.account,
                "tweet_id": tweet.tweet_id,
                "approved": tweet.status is Status.APPROVED,
            }
            tasks.succeed(request.task_token.get_secret_value(), output)
            return ApprovalRequested(tweet_id=tweet.tweet_id)
        account = run.posting_account
        reason = decide(tweet, policies, own_account=account).reason or EVERY_POST
        question = asked(
            tweet, tweet.final_text, reason, policies, posting_account=account, now=now
        )
        approval = question.model_copy(
            update={
                "state": ApprovalState.WAITING,
                "workflow_id": request.workflow_id,
                "expires_at": now + timedelta(seconds=run.approval_seconds),
            }
        )
        if approvals.wait(approval, request.task_token, tasks):
            return ApprovalRequested(tweet_id=tweet.tweet_id, state=approval.state)
    raise StoreUnavailable(f"asking about {request.tweet_id}: lost {MAX_TURNS} turns in a row")


def check_text(
    approval_id: str, text: str, approvals: Approvals, policies: Policies
) -> CheckedText:
    """Hold a text against the output policy as ``decide_approval`` would; changes nothing.

    Raises NotFound.
    """
    account, _, tweet_id = approval_id.rpartition("-")
    approval = approvals.get(account, tweet_id)
    tweet = TweetStore(approvals.rows).get(account, tweet_id)
    if approval is None or tweet is None:
        raise NotFound(f"there is no approval {approval_id}")
    verdict = _judged(tweet, text, approval.posting_account, policies)
    has_url, price_usd = _priced(text)
    return CheckedText(**verdict.model_dump(), has_url=has_url, price_usd=price_usd)


def decide_approval(
    approval_id: str,
    decision: ApprovalDecision,
    approvals: Approvals,
    policies: Policies,
    tasks: Tasks,
    *,
    now: datetime,
) -> Approval:
    """Take a person's decision, once; the same one again only tells the execution again.

    Raises NotFound; Conflict for another decision than the one that was taken, where the tweet went
    on without one, and where another text is proposed than was seen; BadInput for a
    text that the output policy refuses, and where there is no text to approve.
    """
    account, _, tweet_id = approval_id.rpartition("-")
    tweets = TweetStore(approvals.rows)
    for _ in range(MAX_TURNS):
        approval = approvals.get(account, tweet_id) if account and tweet_id.isdecimal() else None
        if approval is None:
            raise NotFound(f"there is no approval {approval_id}")
        if approval.state not in OPEN_STATES:
            _check_same(approval, decision)
            approvals.tell(approval, tasks)
            return approval
        tweet = tweets.get(account, tweet_id)
        why = approvals.moot(approval, tweet)
        if tweet is None or why:
            approvals.lapse(approval, tasks)
            raise Conflict(f"there is nothing to decide any more: {why}")
        if decision.seen not in {None, tweet.final_text}:
            raise Conflict("another text is proposed than the one that was seen: read it first")
        decided = _decided(approval, decision, now)
        changed = _changed(tweet, approval, decision, policies, now)
        decided = decided.model_copy(update={"proposed": changed.final_text})
        if approvals.settle(approval, decided, tweet, changed):
            approvals.tell(decided, tasks)
            return decided
    raise StoreUnavailable(f"deciding {approval_id}: lost {MAX_TURNS} turns in a row")


def _check_same(approval: Approval, decision: ApprovalDecision) -> None:
    if approval.decision is None:
        raise Conflict("there is nothing to decide any more: the tweet went on without a decision")
    same = approval.decision is decision.decision and (
        decision.text == approval.proposed
        if decision.decision is Verb.EDIT
        else decision.seen in {None, approval.proposed}
    )
    if not same:
        who = f" by {approval.decided_by}" if approval.decided_by else ""
        when = f" at {written(approval.decided_at)}" if approval.decided_at else ""
        raise Conflict(f"it is decided: {approval.decision}{who}{when}")


def _decided(approval: Approval, decision: ApprovalDecision, now: datetime) -> Approval:
    rejected = decision.decision is Verb.REJECT
    return approval.next(
        state=ApprovalState.REJECTED if rejected else ApprovalState.APPROVED,
        decision=decision.decision,
        decision_reason=decision.reason,
        decided_at=now,
        decided_by=decision.by,
    )


def _changed(
    tweet: Tweet,
    approval: Approval,
    decision: ApprovalDecision,
    policies: Policies,
    now: datetime,
) -> Tweet:
    who = f" by {decision.by}" if decision.by else ""
    why = f": {decision.reason}" if decision.reason else ""
    if decision.decision is Verb.REJECT:
        return tweet.changed(Status.REJECTED, reason=f"rejected{who}{why}", now=now)
    if decision.decision is Verb.EDIT:
        if not decision.text:
            raise BadInput("an edit needs its text", field="text")
        text, what = decision.text, "edited"
    elif decision.text is not None:
        raise BadInput("only an edit has a text", field="text")
    else:
        if tweet.final_text is None:
            raise BadInput("there is no text that may be posted: edit it", field="decision")
        text, what = tweet.final_text, "approved"
    verdict = _judged(tweet, text, approval.posting_account, policies)
    if not verdict.ok:
        reasons = "; ".join(verdict.reasons)
        raise BadInput(f"the output policy refuses the text: it {reasons}", field="text")
    return tweet.changed(
        Status.APPROVED,
        reason=f"{what}{who}{why}",
        now=now,
        final_text=text,
        verdict=verdict.model_dump(),
    )


def _judged(tweet: Tweet, text: str, posting_account: str, policies: Policies) -> Verdict:
    frame = frame_of(tweet, policies, own_account=posting_account)
    original = original_text(tweet, policies)
    verdict = judge(original, text, frame, unsafe_words=policies.unsafe.words)
    if tweet.account == posting_account and same_post(text, tweet.text):
        reasons = (*verdict.reasons, "is the very text that the account has posted itself")
        return verdict.model_copy(update={"ok": False, "reasons": reasons})
    return verdict


def _numbered(approval: Approval, current: Approval | None) -> Approval:
    return approval.model_copy(update={"version": current.version + 1 if current else 1})


def _swap(approval: Approval, current: Approval | None) -> Swap:
    key = _approval_key(approval.tweet_id)
    item = {**to_item(approval), "source_tweet_id": approval.tweet_id, "tweet_id": key}
    if approval.state in OPEN_STATES:
        item["account_status"] = _OPEN
    expected = current.version if current else None
    return Swap(In.TWEETS, approval.account, key, expected, item)


def _approval(item: Item) -> Approval:
    return Approval.model_validate({**from_item(item), "tweet_id": item["source_tweet_id"]})


def _key_of(account: str, tweet_id: str) -> dict[str, str]:
    return {"account": account, "tweet_id": _approval_key(tweet_id)}


def _approval_key(tweet_id: str) -> str:
    return f"approval#{row_key(tweet_id)}"


def _token_key(tweet_id: str) -> str:
    return f"token#{row_key(tweet_id)}"
