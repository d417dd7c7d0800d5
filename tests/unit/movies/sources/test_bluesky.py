"""Bluesky: sessions, the search, answers by the lexicons and from the stand-in."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from marquee.errors import (
    CredentialsRefused,
    RateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.movies.sources import Collected, SourceQuery
from marquee.movies.sources.bluesky import Sessions, collect
from marquee.settings import Secrets, Settings
from tests.support.builders import a_movie
from tests.support.sources import Answers, some_secrets, some_settings
from tests.support.upstreams import Upstreams

SESSION = {"accessJwt": "token-1", "refreshJwt": "r", "handle": "marquee.test", "did": "did:plc:a"}
EXPIRED = httpx.Response(400, json={"error": "ExpiredToken", "message": "Token has expired"})
KEPT = ("http://bluesky.test/xrpc", "marquee.test")


def a_post(key: str = "3kabc", **record: Any) -> dict[str, Any]:
    return {
        "uri": f"at://did:plc:xyz/app.bsky.feed.post/{key}",
        "cid": "bafy",
        "author": {"did": "did:plc:xyz", "handle": "asha.bsky.social"},
        "record": {
            "$type": "app.bsky.feed.post",
            "text": "RRR is the film I needed",
            "createdAt": "2026-03-14T18:00:00.000Z",
            "langs": ["en-US"],
            **record,
        },
        "indexedAt": "2026-03-14T18:00:01.000Z",
    }


def found(*posts: Any) -> dict[str, Any]:
    return {"posts": list(posts)}


def ask(bluesky: Answers, sessions: Sessions | None = None, **fields: Any) -> Collected:
    query = SourceQuery(**{"movie": a_movie(), "max_reviews": 10, **fields})
    kept = {} if sessions is None else sessions
    return collect(query, some_settings(), some_secrets(), client=bluesky.client, sessions=kept)


def test_a_post_is_read_with_its_author_link_and_language() -> None:
    (review,) = ask(Answers(SESSION, found(a_post()))).reviews
    assert review.text == "RRR is the film I needed"
    assert review.review_id == "at://did:plc:xyz/app.bsky.feed.post/3kabc"
    assert review.url == "https://bsky.app/profile/asha.bsky.social/post/3kabc"
    assert (review.author, review.language) == ("asha.bsky.social", "en")


def test_a_post_whose_handle_is_lost_is_linked_by_its_did() -> None:
    post = a_post()
    post["author"]["handle"] = "handle.invalid"
    (review,) = ask(Answers(SESSION, found(post))).reviews
    assert review.url == "https://bsky.app/profile/did:plc:xyz/post/3kabc"


@pytest.mark.parametrize("langs", [None, []])
def test_a_post_that_declares_no_language_has_none(langs: Any) -> None:
    (review,) = ask(Answers(SESSION, found(a_post(langs=langs)))).reviews
    assert review.language is None


def test_a_session_is_opened_once_and_kept() -> None:
    bluesky = Answers(SESSION, found(a_post()), found(a_post()))
    sessions: Sessions = {}
    ask(bluesky, sessions)
    ask(bluesky, sessions)
    opened, *searches = bluesky.requests
    assert opened.url.path.endswith("com.atproto.server.createSession")
    assert json.loads(opened.content) == {"identifier": "marquee.test", "password": "app-password"}
    assert [search.headers["authorization"] for search in searches] == ["Bearer token-1"] * 2


@pytest.mark.parametrize("refusal", [EXPIRED, httpx.Response(401, json={"error": "AuthMissing"})])
def test_a_kept_session_that_is_refused_is_replaced_once(refusal: httpx.Response) -> None:
    sessions: Sessions = {KEPT: "old"}
    bluesky = Answers(refusal, SESSION, found(a_post()))
    assert len(ask(bluesky, sessions).reviews) == 1
    assert sessions == {KEPT: "token-1"}


def test_a_new_session_that_is_refused_is_an_error_and_not_kept() -> None:
    sessions: Sessions = {}
    with pytest.raises(UpstreamRefused):
        ask(Answers(SESSION, EXPIRED), sessions)
    assert sessions == {}


def test_a_wrong_password_is_an_error_that_shows_no_secret() -> None:
    body = {"error": "AuthenticationRequired", "message": "Invalid identifier or password"}
    with pytest.raises(CredentialsRefused, match="Invalid identifier") as refusal:
        ask(Answers(httpx.Response(401, json=body)))
    assert "app-password" not in str(refusal.value)


def test_a_session_outlives_a_rate_limit_and_a_timeout() -> None:
    sessions: Sessions = {KEPT: "token"}
    with pytest.raises(RateLimited):
        ask(Answers(httpx.Response(429, json={})), sessions)
    with pytest.raises(UpstreamTimeout):
        ask(Answers(httpx.ReadTimeout("slow")), sessions)
    assert sessions == {KEPT: "token"}


@pytest.mark.parametrize("answers", [({},), ([],), (SESSION, {}), (SESSION, {"posts": None})])
def test_an_answer_of_another_shape_is_an_outage(answers: tuple[Any, ...]) -> None:
    with pytest.raises(UpstreamUnavailable):
        ask(Answers(*answers))


def test_damaged_posts_are_set_aside() -> None:
    lost = a_post("lost")
    del lost["record"]
    collected = ask(
        Answers(SESSION, found(lost, a_post("late", createdAt="Sunday"), 7, a_post("whole")))
    )
    assert [review.review_id[-5:] for review in collected.reviews] == ["whole"]
    assert [bad.reason for bad in collected.unreadable] == [
        "the field record is missing",
        "not a date: 'Sunday'",
        "the record is no object",
    ]


@pytest.mark.parametrize(
    ("title", "asked", "limit"),
    [
        ("RRR", '"RRR"', "100"),
        ("Everything Everywhere All at Once", '"Everything Everywhere All at Once"', "10"),
        ('Say "Yes" to me', '"Say Yes to me"', "10"),
    ],
)
def test_the_title_is_searched_as_a_phrase_and_a_common_word_in_full(
    title: str, asked: str, limit: str
) -> None:
    bluesky = Answers(SESSION, found())
    ask(bluesky, movie=a_movie(title=title))
    params = bluesky.requests[1].url.params
    assert (params["q"], params["limit"], params["sort"]) == (asked, limit, "latest")


def test_a_title_without_a_letter_is_not_searched() -> None:
    bluesky = Answers()
    assert "no letter" in ask(bluesky, movie=a_movie(title="!!!")).problem
    assert bluesky.requests == []


def test_what_is_sent_is_in_the_lexicons(shared_data: Path) -> None:
    bluesky = Answers(SESSION, found())
    ask(bluesky)
    session, search = (
        json.loads((shared_data / f"specs/bluesky/{name}.json").read_text())["defs"]["main"]
        for name in ("com.atproto.server.createSession", "app.bsky.feed.searchPosts")
    )
    opened, searched = bluesky.requests
    assert (opened.method, searched.method) == ("POST", "GET")
    body = json.loads(opened.content)
    assert set(session["input"]["schema"]["required"]) <= set(body)
    assert set(body) <= set(session["input"]["schema"]["properties"])
    parameters = search["parameters"]["properties"]
    assert set(searched.url.params) <= set(parameters)
    assert parameters["limit"]["minimum"] <= int(searched.url.params["limit"])
    assert int(searched.url.params["limit"]) <= parameters["limit"]["maximum"]
    assert searched.url.params["sort"] in parameters["sort"]["knownValues"]


def test_the_stand_in_opens_a_session_and_finds_posts(
    live_settings: Settings, live_secrets: Secrets, upstreams: Upstreams
) -> None:
    sessions: Sessions = {}
    with httpx.Client() as client:
        for _ in range(2):
            query = SourceQuery(a_movie(), 20)
            collected = collect(
                query, live_settings, live_secrets, client=client, sessions=sessions
            )
    assert len(collected.reviews) == 20
    assert collected.irrelevant > 0
    assert [call["method"] for call in upstreams.calls("bluesky")] == ["POST", "GET", "GET"]
