"""/posts: the ledger as a person reads it, and the person's word where a machine cannot tell."""

from typing import Any

import pytest

from marquee.aws import table
from marquee.settings import Settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry, LedgerState, Status
from marquee.tweets.rows import DynamoRows, Rows
from marquee.tweets.tweet_store import TweetStore
from tests.support.api import Api
from tests.unit.api.test_openapi import keeps_to_the_document
from tests.unit.api.test_tweets import FORGED
from tests.unit.tweets.test_ledger import approved, claimed, moved, posted
from tests.unit.tweets.world import ACCOUNT, SOURCE

CANARY = "canary-holder-4be1"
POSTS = f"/posts/{ACCOUNT}"
ONE = f"{POSTS}/101"


@pytest.fixture
def rows(settings: Settings) -> Rows:
    return DynamoRows.connect(settings)


def doubtful(rows: Rows, **fields: Any) -> LedgerEntry:
    sending = moved(rows, claimed(rows, **fields), LedgerState.SENDING, owner=CANARY)
    return moved(rows, sending, LedgerState.UNKNOWN, reason="no answer")


def for_a_human(rows: Rows, **fields: Any) -> LedgerEntry:
    reason = "posts 1, 2 all have its text"
    return moved(rows, doubtful(rows, **fields), LedgerState.NEEDS_HUMAN, reason=reason)


def status_of(rows: Rows) -> Status:
    tweet = TweetStore(rows).get(SOURCE, "101")
    assert tweet
    return tweet.status


def test_a_post_says_where_it_stands_why_and_what_is_next(api: Api, rows: Rows) -> None:
    entry = for_a_human(rows, text="Tonight: example.com")
    [post] = api.get(POSTS).json()["posts"]
    assert (post["state"], post["reason"]) == ("NEEDS_HUMAN", "posts 1, 2 all have its text")
    assert post["next_step"].startswith("Look for its text on the posting account")
    assert [change["to"] for change in post["history"]] == [
        "CLAIMED",
        "SENDING",
        "UNKNOWN",
        "NEEDS_HUMAN",
    ]
    assert (post["text"], post["price_usd"]) == ("Tonight: example.com", 0.2)
    assert LedgerEntry.model_validate(post).text_hash == entry.text_hash


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_all_posts_are_listed_the_newest_source_first_whatever_the_page_size(
    api: Api, rows: Rows, limit: int
) -> None:
    for tweet_id in ("9", "10", "101"):
        claimed(rows, tweet_id=tweet_id, text=f"number {tweet_id}")
    PostLedger(rows).claim("another", approved(rows, "50", "another's"), now=api.clock.now())
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(f"/posts/@{ACCOUNT.upper()}", {"limit": limit, **cursor})
        assert answer.status == 200
        found += [post["tweet_id"] for post in answer.json()["posts"]]
        if answer.json()["next_cursor"] is None:
            break
        cursor = {"cursor": answer.json()["next_cursor"]}
    assert found == ["101", "10", "9"]


def test_nothing_but_posts_is_shown_of_the_ledger(api: Api, rows: Rows, settings: Settings) -> None:
    posted(rows, claimed(rows))
    doubtful(rows, tweet_id="102", text="another")
    table(settings.posts_table).put_item(
        Item={"account": ACCOUNT, "tweet_id": "credentials", "version": 1, "holder": CANARY}
    )
    answer = api.get(POSTS)
    assert [post["tweet_id"] for post in answer.json()["posts"]] == ["102", "101"]
    assert CANARY not in answer.text


def test_an_account_without_posts_has_an_empty_page(api: Api) -> None:
    page = api.get("/posts/nobody").json()
    assert page == {"account": "nobody", "posts": [], "next_cursor": None}


def test_a_cursor_of_another_account_shows_only_the_account_asked_for(api: Api, rows: Rows) -> None:
    claimed(rows, tweet_id="101")
    claimed(rows, tweet_id="102", text="another")
    cursor = api.get(POSTS, {"limit": 1}).json()["next_cursor"]
    assert api.get("/posts/nobody", {"cursor": cursor}).json()["posts"] == []


@pytest.mark.parametrize("cursor", FORGED)
def test_a_cursor_that_is_not_ours_is_refused_by_name(api: Api, cursor: str) -> None:
    answer = api.get(POSTS, {"cursor": cursor})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"state": "POSTED", "post_id": "9001", "reason": "it is there"}, Status.POSTED),
        ({"state": "CLAIMED", "reason": "it is not there"}, Status.APPROVED),
        ({"state": "REJECTED", "reason": "too late"}, Status.REJECTED),
    ],
)
def test_a_person_settles_a_post_once(
    api: Api, rows: Rows, said: dict[str, str], status: Status
) -> None:
    for_a_human(rows)
    answer = api.post(ONE, body=said)
    assert answer.status == 200
    post = answer.json()
    assert (post["state"], post["reason"]) == (said["state"], said["reason"])
    assert post["post_id"] == said.get("post_id")
    assert status_of(rows) is status
    assert api.post(ONE, body=said).json() == post


def test_what_x_refused_may_be_sent_after_all(api: Api, rows: Rows) -> None:
    moved(rows, doubtful(rows), LedgerState.REJECTED, reason="X answered 402")
    [post] = api.get(POSTS).json()["posts"]
    assert "CLAIMED sends" in post["next_step"]
    answer = api.post(ONE, body={"state": "CLAIMED", "reason": "paid"})
    assert (answer.status, answer.json()["state"]) == (200, "CLAIMED")


def test_a_post_that_a_machine_is_at_is_a_conflict(api: Api, rows: Rows) -> None:
    doubtful(rows)
    answer = api.post(ONE, body={"state": "CLAIMED", "reason": "again"})
    assert answer.status == 409
    assert answer.json()["detail"] == "the post is UNKNOWN: there is nothing to decide"


def test_a_post_of_another_tweet_is_a_conflict_that_names_it(api: Api, rows: Rows) -> None:
    posted(rows, claimed(rows, tweet_id="100", text="first"), post_id="9002")
    for_a_human(rows)
    answer = api.post(ONE, body={"state": "POSTED", "post_id": "9002", "reason": "there"})
    assert (answer.status, answer.json()["detail"]) == (409, "the post 9002 is that of tweet 100")


def test_a_post_that_was_never_claimed_is_not_found(api: Api, rows: Rows) -> None:
    answer = api.post(ONE, body={"state": "CLAIMED", "reason": "again"})
    assert answer.status == 404


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"state": "SENDING", "reason": "x"}, "state"),
        ({"state": "CLAIMED"}, "reason"),
        ({"state": "CLAIMED", "reason": ""}, "reason"),
        ({"state": "CLAIMED", "reason": "x" * 301}, "reason"),
        ({"state": "POSTED", "reason": "x"}, "post_id"),
        ({"state": "REJECTED", "reason": "x", "post_id": "1"}, "post_id"),
        ({"state": "POSTED", "reason": "x", "post_id": "1a"}, "post_id"),
        ({"state": "POSTED", "reason": "x", "post_id": "\u0661"}, "post_id"),
        ({"state": "CLAIMED", "reason": "x", "text": "y"}, "text"),
        ({"state": "CLAIMED", "reason": "x", "account": "y"}, "account"),
    ],
)
def test_a_word_that_cannot_be_is_refused_by_name(
    api: Api, rows: Rows, said: dict[str, Any], field: str
) -> None:
    for_a_human(rows)
    answer = api.post(ONE, body=said)
    assert answer.status == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert status_of(rows) is Status.NEEDS_HUMAN


@pytest.mark.parametrize("path", ["/posts/a-b", "/posts/" + "x" * 21])
def test_an_account_that_is_none_is_refused_by_name(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status, answer.json()["errors"][0]["field"]) == (422, "account")


def test_the_answers_keep_to_the_document(api: Api, rows: Rows) -> None:
    for_a_human(rows)
    posted(rows, claimed(rows, tweet_id="102", text="another"))
    for query in ({"limit": 1}, {}, {"cursor": "x"}, {"limit": 0}):
        keeps_to_the_document(api.get(POSTS, query), "GET", "/posts/{account}")
    said: list[Any] = [{"state": "POSTED"}, {"state": "CLAIMED", "reason": "absent"}, "{"]
    answers = [api.post(ONE, body=body) for body in said]
    answers.append(api.post(f"{POSTS}/102", body={"state": "REJECTED", "reason": "too late"}))
    answers.append(api.post(f"{POSTS}/7", body={"state": "REJECTED", "reason": "too late"}))
    assert [answer.status for answer in answers] == [422, 200, 400, 409, 404]
    for answer in answers:
        keeps_to_the_document(answer, "POST", "/posts/{account}/{tweet_id}")
