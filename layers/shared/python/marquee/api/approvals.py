"""Approvals: what waits for a person's word, and the word."""

from functools import cache
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import Position, decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.tweets.approval import (
    Approval,
    ApprovalDecision,
    Approvals,
    Place,
    StepFunctionsTasks,
    as_it_stands,
    check_text,
    decide_approval,
)
from marquee.tweets.policy import policies
from marquee.workflows.record import Status, WorkflowRecords

if TYPE_CHECKING:
    from marquee.api.answers import ApprovalAnswer

ACCOUNT = r"^[a-z0-9_]{1,20}$"
TWEET_ID = r"^[1-9][0-9]{0,19}$"
APPROVAL_ID = r"^[a-z0-9_]{1,20}-[1-9][0-9]{0,19}$"


class ApprovalFilter(Parameters):
    """Which page of what waits."""

    limit: Limit = 20
    cursor: Cursor = None


class After(Position):
    """The last approval listed."""

    account: str = Field(pattern=ACCOUNT)
    tweet_id: str = Field(pattern=TWEET_ID)


class ApprovalWord(ApprovalDecision):
    """Which approval, and the decision."""

    model_config = ConfigDict(defer_build=True)

    approval_id: str = Field(
        pattern=APPROVAL_ID,
        description="As the listing gives it: account and source tweet, with a hyphen between.",
    )


class TextToCheck(Parameters):
    """Which approval, and what somebody would have posted."""

    approval_id: str = Field(pattern=APPROVAL_ID, description="As the listing gives it.")
    text: str = Field(max_length=2_000, description="The whole post, template included.")


def approvals(asked: ApprovalFilter, call: Call) -> Reply:
    """A page of what waits for a decision, over all accounts, by source tweet, oldest first.

    WAITING: a run waits until expires_at, and goes on with the decision. HELD: none does, and what
    is approved is posted by the next run.
    """
    from marquee.api.answers import ApprovalPage

    position = decoded(asked.cursor, After)
    after = Place(position.account, position.tweet_id) if position else None
    found, more = Approvals.connect(call.settings).page(limit=asked.limit, after=after)
    records = WorkflowRecords.connect(call.settings)

    @cache
    def goes_on(workflow_id: str) -> bool:
        record = records.get(workflow_id)
        return record is not None and record.status is Status.RUNNING

    now = call.now()
    return Reply(
        ApprovalPage(
            approvals=tuple(
                _shown(as_it_stands(approval, goes_on=goes_on, now=now), call) for approval in found
            ),
            next_cursor=encoded(After(account=more.account, tweet_id=more.tweet_id))
            if more
            else None,
        )
    )


def decide(asked: ApprovalWord, call: Call) -> Reply:
    """Take a decision about a tweet, once: approve what is proposed, edit it, or reject it.

    The same decision again is the same answer. What is edited is held against the output policy,
    whose reasons the problem says.
    """
    decision = ApprovalDecision.model_validate(asked.model_dump(exclude={"approval_id"}))
    approval = decide_approval(
        asked.approval_id,
        decision,
        Approvals.connect(call.settings),
        policies(),
        StepFunctionsTasks.connect(),
        now=call.now(),
    )
    return Reply(_shown(approval, call))


def check(asked: TextToCheck, call: Call) -> Reply:
    """Hold a text against the output policy, as an edit would be; decides and changes nothing."""
    from marquee.api.answers import TextCheck

    found = check_text(asked.approval_id, asked.text, Approvals.connect(call.settings), policies())
    return Reply(TextCheck(**found.model_dump()))


def _shown(approval: Approval, call: Call) -> "ApprovalAnswer":
    from marquee.api.answers import ApprovalAnswer

    approval_id = approval.approval_id
    facts = approval.model_dump(include=set(ApprovalAnswer.model_fields))
    url = call.link(f"/workflow/approvals/{approval_id}")
    return ApprovalAnswer(**facts, approval_id=approval_id, approval_url=url)
