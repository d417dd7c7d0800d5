"""The stand-in of Bluesky opens sessions, searches and refuses as a PDS does."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from marquee_cli.upstreams.app import create_app
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.upstreams import Upstreams

SEARCH = "/app.bsky.feed.searchPosts"
SESSION = "/com.atproto.server.createSession"
ACCOUNT = {
    "identifier": DEMONSTRATION.bluesky_handle,
    "password": DEMONSTRATION.bluesky_app_password,
}


def test_pages_hold_every_post_once_and_the_last_has_no_cursor(bluesky: httpx.Client) -> None:
    pages = [bluesky.get(SEARCH, params={"q": "RRR", "limit": 15}).json()]
    while cursor := pages[-1].get("cursor"):
        parameters = {"q": "RRR", "limit": "15", "cursor": cursor}
        pages.append(bluesky.get(SEARCH, params=parameters).json())
    posts = [post for page in pages for post in page["posts"]]
    assert len({post["uri"] for post in posts}) == len(posts) >= 40
    times = [post["record"]["createdAt"] for post in posts]
    assert times == sorted(times, reverse=True)


def test_since_until_lang_and_sort_narrow_the_search(bluesky: httpx.Client) -> None:
    posts = bluesky.get(SEARCH, params={"q": "RRR", "limit": 10}).json()["posts"]
    bounds = {"since": posts[6]["indexedAt"], "until": posts[2]["indexedAt"]}
    between = bluesky.get(SEARCH, params={"q": "RRR", **bounds}).json()["posts"]
    assert [post["uri"] for post in between] == [post["uri"] for post in posts[3:7]]
    hindi = bluesky.get(SEARCH, params={"q": "RRR", "lang": "hi"}).json()["posts"]
    assert {tuple(post["record"]["langs"]) for post in hindi} == {("hi",)}
    top = bluesky.get(SEARCH, params={"q": "RRR", "sort": "top"}).json()["posts"]
    likes = [post["likeCount"] for post in top]
    assert likes == sorted(likes, reverse=True)


def test_facets_point_at_their_hashtags_in_bytes(bluesky: httpx.Client) -> None:
    posts = bluesky.get(SEARCH, params={"q": "RRR", "limit": 100}).json()["posts"]
    facets = [(post["record"], facet) for post in posts for facet in post["record"]["facets"]]
    assert facets
    for record, facet in facets:
        place = facet["index"]
        marked = record["text"].encode()[place["byteStart"] : place["byteEnd"]].decode()
        assert marked == f"#{facet['features'][0]['tag']}"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"q": "RRR", "limit": "0"}, {"q": "RRR", "limit": "101"}, {"q": "RRR", "since": "x"}],
)
def test_a_wrong_parameter_is_an_invalid_request(
    bluesky: httpx.Client, parameters: dict[str, str]
) -> None:
    answer = bluesky.get(SEARCH, params=parameters)
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidRequest")


@pytest.mark.parametrize("q", ["", '"', "("])
def test_a_query_that_cannot_be_read_is_a_bad_query_string(bluesky: httpx.Client, q: str) -> None:
    answer = bluesky.get(SEARCH, params={"q": q})
    assert (answer.status_code, answer.json()["error"]) == (400, "BadQueryString")


def test_sessions_and_searches_are_refused_to_strangers(nobody: httpx.Client) -> None:
    session, search = f"/bluesky/xrpc{SESSION}", f"/bluesky/xrpc{SEARCH}?q=RRR"
    wrong = nobody.post(session, json={**ACCOUNT, "password": "guess"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "AuthenticationRequired")
    unreadable = nobody.post(session, content=b"[")
    assert (unreadable.status_code, unreadable.json()["error"]) == (400, "InvalidRequest")
    none = nobody.get(search)
    assert (none.status_code, none.json()["error"]) == (401, "AuthMissing")
    refresh = nobody.post(session, json=ACCOUNT).json()["refreshJwt"]
    for token in ("x.y.z", "nonsense", refresh):
        bad = nobody.get(search, headers={"authorization": f"Bearer {token}"})
        assert (bad.status_code, bad.json()["error"]) == (400, "InvalidToken")


def test_a_session_expires_after_two_hours() -> None:
    clock = [datetime(2026, 3, 1, 12, tzinfo=UTC)]

    async def searches_then_and_later() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(now=lambda: clock[0]))
        base_url = "http://stand-in/bluesky/xrpc"
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            token = (await client.post(SESSION, json=ACCOUNT)).json()["accessJwt"]
            client.headers["authorization"] = f"Bearer {token}"
            at_once = await client.get(SEARCH, params={"q": "RRR"})
            clock[0] += timedelta(hours=2)
            return [at_once, await client.get(SEARCH, params={"q": "RRR"})]

    at_once, later = asyncio.run(searches_then_and_later())
    assert at_once.status_code == 200
    assert (later.status_code, later.json()["error"]) == (400, "ExpiredToken")


def test_the_window_is_told_in_headers(upstreams: Upstreams, bluesky: httpx.Client) -> None:
    headers = bluesky.get(SEARCH, params={"q": "RRR"}).headers
    assert headers["ratelimit-policy"] == "3000;w=300"
    assert headers["ratelimit-remaining"] == "2999"
    upstreams.limit("bluesky/searchPosts", 0, 60)
    refused = bluesky.get(SEARCH, params={"q": "RRR"})
    assert (refused.status_code, refused.json()["error"]) == (429, "RateLimitExceeded")
