"""/workflow/approvals: what waits, who waits for it, and a decision that is taken once."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from marquee.api.approvals import After
from marquee.api.cursors import encoded
from marquee.aws import client
from marquee.settings import Settings
from marquee.tweets.approval import Approvals, RequestApprovalInput, asked, request_approval
from marquee.tweets.models import Status, Tweet, TweetType
from marquee.tweets.policy import policies
from marquee.tweets.run import KIND, Mode
from marquee.tweets.text import weighted_length
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.record import Status as RunStatus
from marquee.workflows.record import WorkflowRecords
from tests.support.api import Answer, Api
from tests.unit.api.test_openapi import keeps_to_the_document
from tests.unit.tweets.stage import NOW, OWN, FakeTasks, a_run, a_tweet

LIST = "/workflow/approvals"
TOKEN = "token-canary-77c2"
TEXT = "Saw The Quiet Harbor yesterday. It's a wonderful film! 8/10"
RUN = "tweet_pipeline-run"


def polished(number: int = 1, **fields: Any) -> Tweet:
    facts: dict[str, Any] = {
        "tweet_id": f"190000000000000000{number}",
        "status": Status.POLISHED,
        "type": TweetType.REVIEW,
        "final_text": TEXT,
    }
    return a_tweet(**{**facts, **fields})


def path_of(number: int = 1) -> str:
    return f"{LIST}/{OWN}-{polished(number).tweet_id}"


@pytest.fixture(autouse=True)
def running(settings: Settings, records: WorkflowRecords) -> None:
    """The run that asks is running."""
    records.open(RUN, KIND, trigger="api", request={}, now=NOW)


def wait_for_a_word(settings: Settings, *numbers: int) -> None:
    """What RequestApproval does for each of these tweets."""
    approvals = Approvals.connect(settings)
    run = a_run(mode=Mode.APPROVE, approval_seconds=3600)
    for number in numbers:
        tweet = polished(number)
        TweetStore(approvals.rows).put(tweet)
        request = RequestApprovalInput(
            workflow_id=RUN, tweet_id=tweet.tweet_id, task_token=SecretStr(TOKEN)
        )
        request_approval(request, run, approvals, policies(), FakeTasks(), now=NOW)


def tweet_in(settings: Settings, number: int = 1) -> Tweet:
    tweet = TweetStore.connect(settings).get(OWN, polished(number).tweet_id)
    assert tweet
    return tweet


class Waiting:
    """Step Functions as far as a decision meets it: what it was told, and what it says."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.refuses: str | None = None

    def sent(self, params: dict[str, Any], **_: Any) -> Any:
        if self.refuses:
            raise ClientError(
                {"Error": {"Code": self.refuses, "Message": f"the token {TOKEN}"}},
                "SendTaskSuccess",
            )
        self.told.append(params)


@pytest.fixture
def waiting(settings: Settings) -> Iterator[Waiting]:
    """Moto knows no tokens of its own, so what is sent is caught before it."""
    found = Waiting()
    events = client("stepfunctions").meta.events

    def catch(params: dict[str, Any], **more: Any) -> Any:
        return found.sent(params, **more) or (Ok(), {})

    events.register("before-call.stepfunctions.SendTaskSuccess", catch)
    yield found
    events.unregister("before-call.stepfunctions.SendTaskSuccess", catch)


class Ok:
    """An answer of AWS, as far as botocore looks at it."""

    status_code = 200


def approvals(api: Api) -> list[dict[str, Any]]:
    answer = api.get(LIST)
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()["approvals"]
    return found


def test_what_waits_is_listed_with_both_texts_the_price_and_until_when(
    api: Api, settings: Settings
) -> None:
    wait_for_a_word(settings, 1)
    [approval] = approvals(api)
    assert approval["approval_id"] == f"{OWN}-{polished().tweet_id}"
    assert approval["approval_url"] == f"../{path_of().removeprefix('/')}"
    assert (approval["state"], approval["expires_at"]) == ("WAITING", "2026-03-14T21:00:00Z")
    assert (approval["original"], approval["proposed"]) == (polished().text, TEXT)
    assert (approval["price_usd"], approval["workflow_id"]) == (0.015, RUN)


def test_what_no_run_waits_for_any_more_is_held(
    api: Api, settings: Settings, records: WorkflowRecords
) -> None:
    wait_for_a_word(settings, 1)
    api.clock.sleep(3600)
    assert [(a["state"], a["expires_at"]) for a in approvals(api)] == [("HELD", None)]
    api.clock.time = NOW + timedelta(minutes=1)
    assert [a["state"] for a in approvals(api)] == ["WAITING"]
    records.close(RUN, KIND, RunStatus.CANCELED, now=NOW)
    assert [(a["state"], a["expires_at"]) for a in approvals(api)] == [("HELD", None)]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_all_that_waits_is_listed_whatever_the_page_size(
    api: Api, settings: Settings, limit: int
) -> None:
    wait_for_a_word(settings, 3, 1, 2)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get(LIST, {"limit": limit, **cursor}).json()
        found += [approval["tweet_id"] for approval in page["approvals"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [polished(number).tweet_id for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("said", "state", "status"),
    [
        ({"decision": "approve", "by": "asha"}, "APPROVED", Status.APPROVED),
        ({"decision": "edit", "text": TEXT.replace("!", ".")}, "APPROVED", Status.APPROVED),
        ({"decision": "reject", "reason": "dull"}, "REJECTED", Status.REJECTED),
    ],
)
def test_a_decision_is_taken_once_and_the_run_goes_on(
    api: Api,
    settings: Settings,
    waiting: Waiting,
    said: dict[str, str],
    state: str,
    status: Status,
) -> None:
    wait_for_a_word(settings, 1)
    answer = api.post(path_of(), body=said)
    assert answer.status == 200
    decided = answer.json()
    assert (decided["state"], decided["decision"]) == (state, said["decision"])
    assert decided["proposed"] == said.get("text", TEXT)
    assert (decided["decided_by"], decided["decision_reason"]) == (
        said.get("by", ""),
        said.get("reason", ""),
    )
    assert tweet_in(settings).status is status
    assert approvals(api) == []
    # Said again, as by one who did not hear the answer.
    assert api.post(path_of(), body=said).json() == decided
    assert len(waiting.told) == 1


def test_another_decision_than_the_one_taken_is_a_conflict(
    api: Api, settings: Settings, waiting: Waiting
) -> None:
    wait_for_a_word(settings, 1)
    api.post(path_of(), body={"decision": "approve", "by": "asha"})
    answer = api.post(path_of(), body={"decision": "reject"})
    assert answer.status == 409
    assert answer.json()["detail"] == "it is decided: approve by asha at 2026-03-14T20:00:00Z"
    assert tweet_in(settings).status is Status.APPROVED


def test_what_another_run_settled_is_a_conflict_that_says_where_it_stands(
    api: Api, settings: Settings, waiting: Waiting
) -> None:
    wait_for_a_word(settings, 1)
    store = TweetStore.connect(settings)
    assert store.change(tweet_in(settings), Status.SKIPPED, reason="its policy", now=NOW)
    answer = api.post(path_of(), body={"decision": "approve"})
    assert answer.status == 409
    assert "the tweet is SKIPPED already" in answer.json()["detail"]
    assert approvals(api) == []


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"decision": "edit", "text": f"{TEXT} https://evil.example.net"}, "text", "adds the link"),
        ({"decision": "edit", "text": TEXT.replace("8/10", "9/10")}, "text", "the number 9/10"),
        ({"decision": "edit", "text": f"{TEXT}\u202e"}, "text", "hidden characters"),
        ({"decision": "edit", "text": TEXT * 6}, "text", "of 280"),
        ({"decision": "edit", "text": "x" * 2001}, "text", "2000"),
        ({"decision": "edit"}, "text", "needs its text"),
        ({"decision": "approve", "text": TEXT}, "text", "only an edit has a text"),
        ({"decision": "post"}, "decision", "approve"),
        ({}, "decision", "required"),
        ({"decision": "approve", "task_token": "x"}, "task_token", "unknown"),
        ({"decision": "approve", "approval_id": "x-1"}, "approval_id", "belongs in the path"),
        ({"decision": "reject", "reason": "x" * 301}, "reason", "300"),
    ],
)
def test_a_decision_that_cannot_be_is_refused_by_name_and_changes_nothing(
    api: Api,
    settings: Settings,
    waiting: Waiting,
    said: dict[str, str],
    field: str,
    words: str,
) -> None:
    wait_for_a_word(settings, 1)
    answer = api.post(path_of(), body=said)
    assert answer.status == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert words in answer.json()["detail"]
    assert tweet_in(settings).status is Status.POLISHED
    assert waiting.told == []


def test_a_text_is_wrong_with_every_reason_in_words(
    api: Api, settings: Settings, waiting: Waiting
) -> None:
    wait_for_a_word(settings, 1)
    text = f"{TEXT.replace('8/10', '9/10')} #ad https://evil.example.net"
    detail = api.post(path_of(), body={"decision": "edit", "text": text}).json()["detail"]
    for reason in ("adds the link", "adds the hashtag ad", "adds the number 9/10"):
        assert reason in detail


def test_what_is_held_without_a_text_takes_an_edit(
    api: Api, settings: Settings, waiting: Waiting
) -> None:
    tweet = polished(status=Status.CLASSIFIED, final_text=None)
    found = Approvals.connect(settings)
    TweetStore(found.rows).put(tweet)
    question = asked(tweet, None, "refused twice", policies(), posting_account=OWN, now=NOW)
    assert found.hold(tweet, question, reason="refused twice", now=NOW)
    assert [a["proposed"] for a in approvals(api)] == [None]
    answer = api.post(path_of(), body={"decision": "approve"})
    assert (answer.status, answer.json()["errors"][0]["field"]) == (422, "decision")
    assert api.post(path_of(), body={"decision": "edit", "text": TEXT}).status == 200


@pytest.mark.parametrize("approval_id", [f"{OWN}-7", "nobody-1900000000000000001"])
def test_an_approval_that_was_never_asked_for_is_not_found(api: Api, approval_id: str) -> None:
    answer = api.post(f"{LIST}/{approval_id}", body={"decision": "approve"})
    assert answer.status == 404


@pytest.mark.parametrize("approval_id", ["x", "marquee-", "-7", "marquee-x7", "marquee-07", "%00"])
def test_an_id_that_is_none_is_refused_by_name(api: Api, approval_id: str) -> None:
    answer = api.post(f"{LIST}/{approval_id}", body={"decision": "approve"})
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["approval_id"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "eyJhIjoxfQ", encoded(After.model_construct(account="a#b", tweet_id="1")),
     encoded(After.model_construct(account=OWN, tweet_id="token#1"))],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused_by_name(
    api: Api, settings: Settings, cursor: str
) -> None:
    wait_for_a_word(settings, 1)
    answer = api.get(LIST, {"cursor": cursor})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_a_run_that_waits_no_more_does_not_stop_a_decision(
    api: Api, settings: Settings, waiting: Waiting
) -> None:
    wait_for_a_word(settings, 1)
    waiting.refuses = "TaskTimedOut"
    assert api.post(path_of(), body={"decision": "approve"}).status == 200
    assert tweet_in(settings).status is Status.APPROVED


def test_no_answer_or_log_holds_the_token_of_the_run_that_waits(
    api: Api, settings: Settings, waiting: Waiting, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    wait_for_a_word(settings, 1, 2)
    answers: list[Answer] = []
    with caplog.at_level(logging.DEBUG, logger="marquee"):
        answers.append(api.get(LIST))
        for refused in ("ThrottlingException", "AccessDeniedException", None):
            waiting.refuses = refused
            answers.append(api.post(path_of(1), body={"decision": "approve"}))
        answers.append(api.post(path_of(2), body={"decision": "edit", "text": "no"}))
        answers.append(api.post(path_of(2), body={"decision": "reject"}))
        answers.append(api.get("/tweets", {"username": OWN}))
        answers.append(api.get(f"/posts/{OWN}"))
    assert [answer.status for answer in answers] == [200, 503, 500, 200, 422, 200, 200, 200]
    assert [params["taskToken"] for params in map(_body, waiting.told)] == [TOKEN, TOKEN]
    said = [answer.text + str(answer.headers) for answer in answers]
    said += [caplog.text, *capsys.readouterr()]
    assert not [text for text in said if TOKEN in text]


def test_the_answers_keep_to_the_document(api: Api, settings: Settings, waiting: Waiting) -> None:
    one = f"{LIST}/{{approval_id}}"
    wait_for_a_word(settings, 1, 2)
    for query in ({"limit": 1}, {}, {"cursor": "x"}, {"limit": 0}):
        keeps_to_the_document(api.get(LIST, query), "GET", LIST)
    said: list[Any] = [{"decision": "edit"}, {"decision": "approve"}, {"decision": "reject"}, "{"]
    answers = [api.post(path_of(), body=body) for body in said]
    answers.append(api.post(f"{LIST}/{OWN}-7", body={"decision": "approve"}))
    assert [answer.status for answer in answers] == [422, 200, 409, 400, 404]
    for answer in answers:
        keeps_to_the_document(answer, "POST", one)


def _body(params: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(params["body"])
    return sent


def check(api: Api, text: str) -> dict[str, Any]:
    answer = api.post(f"{path_of()}/check", body={"text": text})
    assert answer.status == 200
    keeps_to_the_document(answer, "POST", f"{LIST}/{{approval_id}}/check")
    found: dict[str, Any] = answer.json()
    return found


def test_a_text_is_held_against_the_policy_without_deciding_anything(
    api: Api, settings: Settings
) -> None:
    wait_for_a_word(settings, 1)
    before = tweet_in(settings), approvals(api)
    fine = check(api, TEXT)
    assert (fine["ok"], fine["reasons"], fine["length"]) == (True, [], weighted_length(TEXT))
    assert (fine["has_url"], fine["price_usd"]) == (False, 0.015)
    linked = check(api, f"{TEXT} https://example.com")
    assert (linked["ok"], linked["has_url"], linked["price_usd"]) == (False, True, 0.2)
    assert linked["reasons"][0].startswith("adds the link")
    assert check(api, "")["reasons"][0] == "is empty"
    assert (tweet_in(settings), approvals(api)) == before


def test_what_is_refused_as_an_edit_is_refused_by_the_check_in_the_same_words(
    api: Api, settings: Settings
) -> None:
    wait_for_a_word(settings, 1)
    text = TEXT.replace("8/10", "9/10")
    refused = api.post(path_of(), body={"decision": "edit", "text": text})
    assert refused.status == 422
    assert "; ".join(check(api, text)["reasons"]) in refused.json()["detail"]


def test_there_is_nothing_to_check_where_nothing_was_asked(api: Api) -> None:
    answer = api.post(f"{path_of()}/check", body={"text": TEXT})
    assert answer.status == 404
    keeps_to_the_document(answer, "POST", f"{LIST}/{{approval_id}}/check")
