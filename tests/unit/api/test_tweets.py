"""GET /tweets: what became of an account's tweets, why, and what is next."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.api.cursors import Position, encoded
from marquee.api.tweets import Before
from marquee.settings import Settings
from marquee.tweets.dry_run import DryRows
from marquee.tweets.models import Status
from marquee.tweets.rows import DynamoRows
from marquee.tweets.tweet_store import TweetStore
from tests.support.api import Api
from tests.unit.api.test_openapi import keeps_to_the_document
from tests.unit.tweets.stage import NOW, OWN, a_tweet

OTHER = "nasa"


@pytest.fixture
def ids(settings: Settings) -> list[str]:
    """Seven tweets of the own account, every other one skipped; the newest first."""
    store = TweetStore.connect(settings)
    found = [str(number) for number in (9, 10, 11, 99, 100, 101, 1000)]
    for place, tweet_id in enumerate(found):
        tweet = a_tweet(tweet_id=tweet_id)
        store.put(tweet)
        if place % 2:
            store.change(tweet, Status.SKIPPED, reason="a retweet is not ours to post", now=NOW)
    store.put(a_tweet(account=OTHER, tweet_id="55"))
    return found[::-1]


def tweets(api: Api, **query: Any) -> list[str]:
    """The ids of all pages, following the cursors."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get("/tweets", {"username": OWN, **query, **cursor})
        assert answer.status == 200
        page = answer.json()
        assert {tweet["account"] for tweet in page["tweets"]} <= {page["username"]}
        found += [tweet["tweet_id"] for tweet in page["tweets"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_all_tweets_are_listed_the_newest_first_whatever_the_page_size(
    api: Api, ids: list[str], limit: int
) -> None:
    assert tweets(api, limit=limit) == ids


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_tweets_are_listed_by_status(api: Api, ids: list[str], limit: int) -> None:
    assert tweets(api, status="SKIPPED", limit=limit) == ids[1::2]
    assert tweets(api, status="DOWNLOADED", limit=limit) == ids[::2]
    assert tweets(api, status="POSTED", limit=limit) == []


def test_a_tweet_says_where_it_stands_since_when_why_and_what_is_next(
    api: Api, settings: Settings
) -> None:
    store = TweetStore.connect(settings)
    tweet = a_tweet(status=Status.CLASSIFIED)
    store.put(tweet)
    later = NOW + timedelta(minutes=1)
    store.change(tweet, Status.NEEDS_HUMAN, reason="the model refused", now=later)
    [shown] = api.get("/tweets", {"username": f"@{OWN.upper()}"}).json()["tweets"]
    assert (shown["status"], shown["reason"]) == ("NEEDS_HUMAN", "the model refused")
    assert shown["next_step"] == f"Edit or reject the approval {OWN}-{tweet.tweet_id}."
    assert shown["history"][-1] == {
        "at": "2026-03-14T20:01:00Z",
        "to": "NEEDS_HUMAN",
        "reason": "the model refused",
    }
    assert "version" not in shown


def test_without_a_name_it_is_the_default_account(
    api: Api, settings: Settings, ids: list[str]
) -> None:
    refused = api.get("/tweets")
    assert refused.status == 422
    assert refused.json()["errors"][0]["field"] == "username"
    own = settings.model_copy(update={"workflow_default_username": OTHER.upper()})
    assert [t["tweet_id"] for t in Api(own).get("/tweets").json()["tweets"]] == ["55"]


def test_an_account_without_tweets_has_an_empty_page(api: Api) -> None:
    assert api.get("/tweets", {"username": "nobody"}).json() == {
        "username": "nobody",
        "tweets": [],
        "next_cursor": None,
    }


def test_what_a_dry_run_tried_is_not_shown(api: Api, settings: Settings, ids: list[str]) -> None:
    dry = DryRows(DynamoRows.connect(settings), "tweet_pipeline-dry", now=NOW)
    TweetStore(dry).put(a_tweet(tweet_id="2000"))
    assert tweets(api) == ids
    assert tweets(api, status="DOWNLOADED") == ids[::2]


@pytest.mark.parametrize("status", [{}, {"status": "DOWNLOADED"}])
def test_a_cursor_of_another_account_shows_only_the_account_asked_for(
    api: Api, ids: list[str], status: dict[str, str]
) -> None:
    page = api.get("/tweets", {"username": OWN, "limit": 1, **status}).json()
    query = {"username": OTHER, "cursor": page["next_cursor"], **status}
    assert [t["tweet_id"] for t in api.get("/tweets", query).json()["tweets"]] == ["55"]


class Elsewhere(Position):
    """A place in another partition."""

    before: str
    account: str


FORGED = [
    "",
    "x",
    "eyJhIjoxfQ",
    encoded(Before.model_construct(before="token#00000000000000000009")),
    encoded(Before.model_construct(before="9" * 21)),
    encoded(Before.model_construct(before="09")),
    encoded(Before.model_construct(before="\u0669")),
    encoded(Elsewhere(before="9", account=OTHER)),
]


@pytest.mark.parametrize("cursor", FORGED)
def test_a_cursor_that_is_not_ours_is_refused_by_name(
    api: Api, ids: list[str], cursor: str
) -> None:
    answer = api.get("/tweets", {"username": OWN, "cursor": cursor})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"username": "a#b"}, "username"),
        ({"username": "x" * 21}, "username"),
        ({"username": OWN, "status": "posted"}, "status"),
        ({"username": OWN, "limit": 0}, "limit"),
        ({"username": OWN, "limit": 101}, "limit"),
        ({"username": OWN, "account": OWN}, "account"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    api: Api, query: dict[str, str | int], field: str
) -> None:
    answer = api.get("/tweets", query)
    assert answer.status == 422
    assert answer.json()["errors"][0]["field"] == field


def test_the_answers_keep_to_the_document(api: Api, ids: list[str]) -> None:
    for query in ({"limit": 2}, {"status": "SKIPPED"}, {"cursor": "x"}, {"limit": 0}):
        answer = api.get("/tweets", {"username": OWN, **query})
        keeps_to_the_document(answer, "GET", "/tweets")
