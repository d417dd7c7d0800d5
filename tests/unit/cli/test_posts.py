"""``marquee posts``, ``settle`` and ``tweets``: what is listed, and what a word becomes."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from marquee.tweets.models import LedgerState
from marquee_cli.main import main
from tests.support.command_line import HOSTILE, Asked, an_api, moving

type Document = dict[str, Any]


def a_post(**fields: Any) -> Document:
    post = {
        "account": "marquee_demo",
        "tweet_id": "2034567890123456789",
        "source": "marquee_demo",
        "state": "POSTED",
        "text": "RRR is a joy",
        "text_hash": "0" * 64,
        "has_url": False,
        "price_usd": 0.015,
        "claimed_at": "2026-03-14T20:00:00Z",
        "updated_at": "2026-03-14T20:00:01Z",
        "post_id": "2034567890123459999",
        "reason": "",
        "next_step": "",
    }
    return {**post, **fields}


def a_tweet(**fields: Any) -> Document:
    tweet = {
        "account": "marquee_demo",
        "tweet_id": "2034567890123456789",
        "author": "marquee_demo",
        "text": "rrr is joy",
        "created_at": "2026-03-14T10:00:00Z",
        "status": "NEEDS_HUMAN",
        "type": "review",
        "final_text": "RRR is joy",
        "reason": "holds a link",
        "next_step": "Approve it.",
        "history": [{"at": "2026-03-14T20:00:00Z", "to": "NEEDS_HUMAN", "reason": "holds a link"}],
    }
    return {**tweet, **fields}


def marquee(url: str, *words: str) -> Result:
    environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key", "COLUMNS": "120"}
    return CliRunner(mix_stderr=False, env=environment).invoke(main, words)


def listed(name: str, *entries: Document) -> tuple[int, bytes]:
    return 200, json.dumps({name: entries, "next_cursor": None}).encode()


def test_the_ledger_says_what_became_of_each_post_and_what_to_do() -> None:
    asked: list[Asked] = []
    doubtful = a_post(tweet_id="7", state="NEEDS_HUMAN", post_id=None, reason="two are alike")
    doubtful["next_step"] = "Look for it on X."

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        return listed("posts", a_post(), doubtful)

    with an_api(answer) as url:
        result = marquee(url, "posts", "@Marquee_Demo")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()][:3] == [
        ["tweet", "state", "since", "(UTC)", "why", "price"],
        [
            "2034567890123456789",
            "POSTED",
            "2026-03-14",
            "20:00",
            "post",
            "2034567890123459999",
            "$0.015",
        ],
        ["7", "NEEDS_HUMAN", "2026-03-14", "20:00", "two", "are", "alike"],
    ]
    assert "What is next\n  7: Look for it on X.\n\nDecide a post: marquee settle" in result.stdout
    assert asked[0].path == "/posts/marquee_demo"


@pytest.mark.parametrize("state", list(LedgerState))
def test_how_to_settle_a_post_is_said_where_the_api_takes_a_persons_word(
    state: LedgerState,
) -> None:
    with an_api(lambda _: listed("posts", a_post(state=state))) as url:
        result = marquee(url, "posts", "marquee_demo")
    decidable = state in {LedgerState.NEEDS_HUMAN, LedgerState.REJECTED}
    assert ("marquee settle" in result.stdout) is decidable


def test_no_more_is_shown_than_was_asked_for() -> None:
    entries = [a_post(tweet_id=str(number)) for number in range(1, 6)]
    with an_api(lambda _: listed("posts", *entries)) as url:
        result = marquee(url, "posts", "me", "--limit", "2")
    assert result.stdout.count("POSTED") == 2


def test_an_empty_ledger_and_an_empty_status_are_said_to_be_empty() -> None:
    with an_api(lambda each: listed(each.path.split("/")[1])) as url:
        assert marquee(url, "posts", "me").stdout == "No post yet.\n"
        assert marquee(url, "tweets").stdout == "No such tweet.\n"


def test_tweets_are_listed_with_the_reason_why_they_stand_there() -> None:
    asked: list[Asked] = []

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        bare = a_tweet(final_text=None, history=[], type=None, reason="", next_step="")
        return listed("tweets", a_tweet(), bare)

    with an_api(answer) as url:
        result = marquee(url, "tweets", "--username", "me", "--status", "UNKNOWN")
    assert result.stdout.splitlines() == [
        "",
        "2034567890123456789  NEEDS_HUMAN, review, since 2026-03-14 20:00 UTC",
        "  “RRR is joy”",
        "  holds a link",
        "  Approve it.",
        "",
        "2034567890123456789  NEEDS_HUMAN",
        "  “rrr is joy”",
    ]
    assert asked[0].query == {"limit": "100", "status": "UNKNOWN", "username": "me"}


def test_nothing_that_strangers_wrote_reaches_the_terminal_as_a_command() -> None:
    words = {"reason": HOSTILE, "next_step": HOSTILE}
    post = a_post(tweet_id=HOSTILE, post_id=HOSTILE, **words)
    tweet = a_tweet(text=HOSTILE, final_text=None, **words)
    with an_api(
        lambda each: listed("posts", post) if "posts" in each.path else listed("tweets", tweet)
    ) as url:
        for command in (["posts", "me"], ["tweets"]):
            result = marquee(url, *command)
            assert result.exit_code == 0
            assert moving(result.stdout) == set()
            assert "[red]" in result.stdout


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["--posted", "99"], {"state": "POSTED", "post_id": "99"}),
        (["--send"], {"state": "CLAIMED"}),
        (["--reject"], {"state": "REJECTED"}),
    ],
)
def test_a_post_in_doubt_is_settled_by_what_a_person_found(
    options: list[str], body: Document
) -> None:
    asked: list[Asked] = []

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        return 200, b"{}"

    with an_api(answer) as url:
        result = marquee(url, "settle", "@Me", "7", *options, "--reason", "looked")
    assert (result.exit_code, result.stdout) == (0, f"The post of 7 is {body['state']}.\n")
    assert (asked[0].method, asked[0].path) == ("POST", "/posts/me/7")
    assert asked[0].body == {**body, "reason": "looked"}


@pytest.mark.parametrize(
    "words",
    [
        ["settle", "me", "7", "--reason", "r"],
        ["settle", "me", "7", "--send", "--reject", "--reason", "r"],
        ["settle", "me", "7", "--send"],
        ["tweets", "--status", "LOST"],
        ["posts"],
        ["posts", "me", "--limit", "0"],
    ],
)
def test_a_wrong_call_is_a_usage_error(words: list[str]) -> None:
    assert marquee("http://127.0.0.1:9", *words).exit_code == 2


def test_an_entry_that_cannot_be_read_is_an_error() -> None:
    with an_api(lambda _: listed("posts", {"state": "POSTED"})) as url:
        result = marquee(url, "posts", "me")
    assert result.exit_code == 1
    assert "the post is unreadable: account" in result.stderr
