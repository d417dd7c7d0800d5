"""Approvals: asked, decided once, held, and their token shown to nobody."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pydantic import SecretStr

from marquee.errors import BadInput, Conflict, Misconfigured, NotFound, StoreUnavailable
from marquee.tweets.approval import (
    EVERY_POST,
    Approval,
    ApprovalDecision,
    Approvals,
    ApprovalState,
    RequestApprovalInput,
    StepFunctionsTasks,
    Verb,
    as_it_stands,
    asked,
    check_text,
    decide_approval,
    request_approval,
)
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState, Status, Tweet, TweetType
from marquee.tweets.rows import Rows
from marquee.tweets.run import Mode
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.stage import (
    NOW,
    OWN,
    WORKFLOW,
    FakeTasks,
    a_run,
    a_tweet,
    some_policies,
    stored,
)

TOKEN = "token-canary-77c2"
TEXT = "Saw The Quiet Harbor yesterday. It's a wonderful film! 8/10"
RULES = some_policies()


def polished(**fields: Any) -> Tweet:
    facts = {
        "status": Status.POLISHED,
        "type": TweetType.REVIEW,
        "final_text": TEXT,
        "polished_text": TEXT,
    }
    return a_tweet(**{**facts, **fields})


def requested(
    rows: Rows,
    tweet: Tweet,
    tasks: FakeTasks | None = None,
    *,
    workflow_id: str = WORKFLOW,
    token: str = TOKEN,
) -> None:
    """Ask about the tweet."""
    request = RequestApprovalInput(
        workflow_id=workflow_id, tweet_id=tweet.tweet_id, task_token=SecretStr(token)
    )
    run = a_run(account=tweet.account, mode=Mode.APPROVE, approval_seconds=3600)
    request_approval(request, run, Approvals(rows), RULES, tasks or FakeTasks(), now=NOW)


def decided(
    rows: Rows, verb: Verb, tasks: FakeTasks | None = None, *, tweet_id: str = "", **fields: Any
) -> Approval:
    decision = ApprovalDecision(decision=verb, **fields)
    approval_id = f"{OWN}-{tweet_id or a_tweet().tweet_id}"
    return decide_approval(
        approval_id, decision, Approvals(rows), RULES, tasks or FakeTasks(), now=NOW
    )


def tweet_in(rows: Rows) -> Tweet:
    found = TweetStore(rows).get(OWN, a_tweet().tweet_id)
    assert found
    return found


def test_asking_lists_an_approval_without_the_token(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    [approval], more = Approvals(rows).page(limit=10)
    assert more is None
    assert approval.state is ApprovalState.WAITING
    assert approval.reason == EVERY_POST
    assert approval.proposed == TEXT
    assert approval.expires_at == NOW + timedelta(hours=1)
    assert approval.workflow_id == WORKFLOW
    for shown in (approval.model_dump_json(), repr(approval)):
        assert TOKEN not in shown


def test_approving_lets_the_execution_go_on_and_the_tweet_be_posted(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    tasks = FakeTasks()
    after = decided(rows, Verb.APPROVE, tasks, by="asha")
    assert after.state is ApprovalState.APPROVED
    assert tweet_in(rows).status is Status.APPROVED
    assert tweet_in(rows).history[-1].reason == "approved by asha"
    assert tasks.told == [
        (
            TOKEN,
            {"account": OWN, "source": OWN, "tweet_id": a_tweet().tweet_id, "approved": True},
        )
    ]
    assert Approvals(rows).page(limit=10) == ([], None)


def test_another_text_than_the_one_that_was_seen_is_not_decided_about() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    for verb in (Verb.APPROVE, Verb.REJECT):
        with pytest.raises(Conflict, match="another text is proposed than the one that was seen"):
            decided(rows, verb, seen=f"{TEXT}!")
    assert tweet_in(rows).status is Status.POLISHED
    assert decided(rows, Verb.APPROVE, seen=TEXT).state is ApprovalState.APPROVED
    assert decided(rows, Verb.APPROVE, seen=TEXT).state is ApprovalState.APPROVED
    with pytest.raises(Conflict, match="it is decided: approve"):
        decided(rows, Verb.APPROVE, seen=f"{TEXT}!")


def test_rejecting_ends_it(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    tasks = FakeTasks()
    decided(rows, Verb.REJECT, tasks, reason="dull")
    assert tweet_in(rows).status is Status.REJECTED
    assert tweet_in(rows).history[-1].reason == "rejected: dull"
    assert tasks.told[0][1]["approved"] is False


def test_an_edit_in_policy_is_what_is_posted() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    text = "Saw The Quiet Harbor yesterday, it's a wonderful film. 8/10"
    assert decided(rows, Verb.EDIT, text=text).proposed == text
    assert tweet_in(rows).final_text == text
    assert tweet_in(rows).verdict["ok"] is True


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"text": f"{TEXT} https://evil.example.net"}, "adds the link"),
        ({"text": TEXT.replace("8/10", "9/10")}, "adds the number 9/10"),
        ({"text": f"{TEXT}\u202e"}, "hidden characters"),
        ({"text": ""}, "needs its text"),
        ({}, "needs its text"),
    ],
)
def test_an_edit_out_of_policy_is_refused_and_changes_nothing(
    fields: dict[str, str], complaint: str
) -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    before, tasks = rows.dump(), FakeTasks()
    with pytest.raises(BadInput, match=complaint):
        decided(rows, Verb.EDIT, tasks, **fields)
    assert rows.dump() == before
    assert tasks.told == []


def test_what_the_account_has_posted_itself_is_not_posted_again() -> None:
    said = a_tweet().text
    complaint = "the very text that the account has posted itself"
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    verdict = check_text(f"{OWN}-{a_tweet().tweet_id}", f" {said}", Approvals(rows), RULES)
    assert (verdict.ok, verdict.reasons) == (False, (f"is {complaint}",))
    with pytest.raises(BadInput, match=complaint):
        decided(rows, Verb.EDIT, text=said)
    foreign = polished(account="nasa")
    stored(rows, foreign)
    requested(rows, foreign)
    credited = f"{said} via @nasa"
    assert check_text(f"nasa-{foreign.tweet_id}", credited, Approvals(rows), RULES).ok


def test_only_an_edit_has_a_text() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    with pytest.raises(BadInput, match="only an edit has a text"):
        decided(rows, Verb.APPROVE, text="another")


def test_a_decision_is_taken_once(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    decided(rows, Verb.APPROVE)
    with pytest.raises(Conflict, match="it is decided: approve at 2026-03-14T20:00:00Z"):
        decided(rows, Verb.REJECT)
    assert tweet_in(rows).status is Status.APPROVED


def test_a_decision_whose_answer_was_lost_is_told_again_and_not_taken_again() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    tasks = FakeTasks()
    tasks.error = StoreUnavailable("the execution could not be told")
    with pytest.raises(StoreUnavailable):
        decided(rows, Verb.APPROVE, tasks)
    tasks.error = None
    decided(rows, Verb.APPROVE, tasks)
    decided(rows, Verb.APPROVE, tasks)
    assert len(tasks.told) == 1
    assert len(tweet_in(rows).history) == 2


def test_of_two_people_at_once_one_decides() -> None:
    class Racing(MemoryRows):
        raced = False

        def swap(self, *swaps: Any) -> bool:
            if len(swaps) == 2 and not self.raced:
                self.raced = True
                decided(self, Verb.REJECT, by="first")
            return super().swap(*swaps)

    rows = Racing()
    rows.raced = True
    stored(rows, polished())
    requested(rows, polished())
    rows.raced = False
    with pytest.raises(Conflict, match="it is decided: reject by first at"):
        decided(rows, Verb.APPROVE, by="second")
    assert tweet_in(rows).status is Status.REJECTED


def test_what_nobody_decides_in_time_is_held_and_can_be_decided_later(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    assert Approvals(rows).expire(OWN, a_tweet().tweet_id, WORKFLOW, now=NOW)
    assert not Approvals(rows).expire(OWN, a_tweet().tweet_id, WORKFLOW, now=NOW)
    [approval], _ = Approvals(rows).page(limit=10)
    assert approval.state is ApprovalState.HELD
    assert tweet_in(rows).status is Status.NEEDS_HUMAN
    tasks = FakeTasks()
    decided(rows, Verb.APPROVE, tasks)
    assert tweet_in(rows).status is Status.APPROVED
    assert tasks.told == []


def test_what_another_run_waits_for_is_not_held() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    assert not Approvals(rows).expire(OWN, a_tweet().tweet_id, "tweet_pipeline-other", now=NOW)


def test_a_held_tweet_without_a_text_takes_an_edit() -> None:
    rows = MemoryRows()
    tweet = polished(status=Status.CLASSIFIED, final_text=None)
    stored(rows, tweet)
    question = asked(tweet, None, "refused twice", RULES, posting_account=OWN, now=NOW)
    assert Approvals(rows).hold(tweet, question, reason="refused twice", now=NOW)
    with pytest.raises(BadInput, match="no text that may be posted"):
        decided(rows, Verb.APPROVE)
    decided(rows, Verb.EDIT, text=TEXT)
    assert tweet_in(rows).final_text == TEXT


def test_a_tweet_that_needs_no_word_any_more_lets_the_execution_go_on() -> None:
    rows = MemoryRows()
    tweet = polished(status=Status.APPROVED)
    stored(rows, tweet)
    tasks = FakeTasks()
    requested(rows, tweet, tasks)
    assert tasks.told[0][1]["approved"] is True


def test_asking_again_asks_once(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    requested(rows, polished())
    assert len(Approvals(rows).page(limit=10)[0]) == 1
    tasks = FakeTasks()
    decided(rows, Verb.APPROVE, tasks)
    assert len(tasks.told) == 1


def test_a_run_that_asks_what_another_one_waits_for_lets_that_one_go_on_without(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    tasks = FakeTasks()
    requested(rows, polished(), tasks, workflow_id="tweet_pipeline-other", token="another")
    [(token, output)] = tasks.told
    assert (token, output["approved"]) == (TOKEN, False)
    decided(rows, Verb.APPROVE, tasks)
    assert [(token, output["approved"]) for token, output in tasks.told[1:]] == [("another", True)]


def test_a_run_that_could_not_be_told_is_told_when_the_other_asks_again(rows: Rows) -> None:
    stored(rows, polished())
    requested(rows, polished())
    tasks = FakeTasks()
    tasks.error = StoreUnavailable("the execution could not be told")
    with pytest.raises(StoreUnavailable):
        requested(rows, polished(), tasks, workflow_id="tweet_pipeline-other", token="another")
    tasks.error = None
    requested(rows, polished(), tasks, workflow_id="tweet_pipeline-other", token="another")
    assert [(token, output["approved"]) for token, output in tasks.told] == [(TOKEN, False)]


@pytest.mark.parametrize("status", [Status.APPROVED, Status.SKIPPED])
def test_what_another_run_settled_is_not_decided_and_its_approval_closes(
    rows: Rows, status: Status
) -> None:
    store = stored(rows, polished())
    requested(rows, polished())
    assert store.change(polished(), status, reason="by the policy for its type", now=NOW)
    tasks = FakeTasks()
    with pytest.raises(Conflict, match=f"nothing to decide any more: the tweet is {status} alr"):
        decided(rows, Verb.REJECT, tasks)
    assert tweet_in(rows).status is status
    assert Approvals(rows).page(limit=10) == ([], None)
    assert [(token, said["approved"]) for token, said in tasks.told] == [(TOKEN, False)]
    with pytest.raises(Conflict, match="went on without a decision"):
        decided(rows, Verb.REJECT, tasks)
    assert len(tasks.told) == 1


def test_a_post_in_doubt_is_not_decided_by_an_approval_left_open(rows: Rows) -> None:
    store = stored(rows, polished())
    requested(rows, polished())
    approved = store.change(polished(), Status.APPROVED, now=NOW)
    assert approved
    ledger = PostLedger(rows)
    entry = ledger.claim(OWN, approved, now=NOW)
    for state in (LedgerState.SENDING, LedgerState.NEEDS_HUMAN):
        after = ledger.advance(entry, entry.changed(state, reason="two have its text", now=NOW))
        assert after
        entry = after
    assert tweet_in(rows).status is Status.NEEDS_HUMAN
    with pytest.raises(Conflict, match="its post is NEEDS_HUMAN: decide the post"):
        decided(rows, Verb.APPROVE)
    assert tweet_in(rows).status is Status.NEEDS_HUMAN
    assert Approvals(rows).page(limit=10) == ([], None)


def test_a_run_that_ends_leaves_no_approval_open_of_what_another_settled(rows: Rows) -> None:
    store = stored(rows, polished())
    requested(rows, polished())
    assert store.change(polished(), Status.APPROVED, now=NOW)
    assert Approvals(rows).expire(OWN, a_tweet().tweet_id, WORKFLOW, now=NOW)
    assert Approvals(rows).page(limit=10) == ([], None)
    assert tweet_in(rows).status is Status.APPROVED


@pytest.mark.parametrize(
    ("passed", "goes_on", "state"),
    [
        (timedelta(minutes=59), True, ApprovalState.WAITING),
        (timedelta(minutes=60), True, ApprovalState.HELD),
        (timedelta(minutes=1), False, ApprovalState.HELD),
    ],
)
def test_an_approval_waits_as_long_as_its_run_does(
    passed: timedelta, goes_on: bool, state: ApprovalState
) -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    [approval], _ = Approvals(rows).page(limit=10)
    asked_about: list[str] = []

    def goes(workflow_id: str) -> bool:
        asked_about.append(workflow_id)
        return goes_on

    stands = as_it_stands(approval, goes_on=goes, now=NOW + passed)
    assert stands.state is state
    assert (stands.expires_at is None) == (state is ApprovalState.HELD)
    assert set(asked_about) <= {WORKFLOW}


def test_open_approvals_are_listed_page_by_page_over_all_accounts(rows: Rows) -> None:
    for number in (9, 10, 11):
        for account in (OWN, "another"):
            tweet = polished(account=account, tweet_id=str(number))
            stored(rows, tweet)
            requested(rows, tweet)
    found: list[str] = []
    place = None
    while True:
        page, place = Approvals(rows).page(limit=4, after=place)
        found += [approval.approval_id for approval in page]
        if place is None:
            break
    assert [approval_id.partition("-")[2] for approval_id in found] == [
        "9", "9", "10", "10", "11", "11",
    ]  # fmt: skip
    assert len(set(found)) == 6


@pytest.mark.parametrize("approval_id", ["", "x", "marquee-", "-7", "marquee-7", "marquee-x7"])
def test_an_unknown_approval_is_not_found(approval_id: str) -> None:
    with pytest.raises(NotFound):
        decide_approval(
            approval_id,
            ApprovalDecision(decision=Verb.APPROVE),
            Approvals(MemoryRows()),
            RULES,
            FakeTasks(),
            now=NOW,
        )


def test_asking_about_a_tweet_that_is_not_stored_is_not_found() -> None:
    with pytest.raises(NotFound):
        requested(MemoryRows(), polished())


class _StepFunctions:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def send_task_success(self, **_: Any) -> None:
        if self.error:
            raise self.error


def _refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": TOKEN}}, "SendTaskSuccess")


def test_an_execution_that_waits_no_more_is_no_error() -> None:
    for code in ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken"):
        StepFunctionsTasks(_StepFunctions(_refusal(code))).succeed(TOKEN, {})
    StepFunctionsTasks(_StepFunctions(None)).succeed(TOKEN, {})


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (_refusal("ThrottlingException"), StoreUnavailable),
        (EndpointConnectionError(endpoint_url=TOKEN), StoreUnavailable),
        (_refusal("AccessDeniedException"), Misconfigured),
        (_refusal("InvalidOutput"), Misconfigured),
    ],
)
def test_an_execution_that_could_not_be_told_shows_no_token(
    error: Exception, becomes: type[Exception]
) -> None:
    with pytest.raises(becomes) as raised:
        StepFunctionsTasks(_StepFunctions(error)).succeed(TOKEN, {})
    assert TOKEN not in str(raised.value)
    assert raised.value.__suppress_context__


def test_what_is_decided_is_not_asked_again_by_one_who_did_not_see_the_decision() -> None:
    rows = MemoryRows()
    stored(rows, polished())
    requested(rows, polished())
    seen = Approvals(rows).get(OWN, a_tweet().tweet_id)
    assert seen
    decided(rows, Verb.APPROVE)
    assert not Approvals(rows).wait(seen, SecretStr(TOKEN), FakeTasks())
    after = Approvals(rows).get(OWN, a_tweet().tweet_id)
    assert after
    assert after.state is ApprovalState.APPROVED
