"""The stand-in of X searches, pages, limits and refuses as X does."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from marquee_cli.upstreams.timeline import snowflake, snowflake_time
from tests.support.upstreams import Upstreams, running_upstreams, x_headers

SEARCH = "/tweets/search/recent"


def search(x: httpx.Client, query: str = "RRR", **parameters: Any) -> dict[str, Any]:
    names = {name.replace("_fields", ".fields"): value for name, value in parameters.items()}
    answer = x.get(SEARCH, params={"query": query, **names})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def every_page(x: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    pages = [search(x, **parameters)]
    while token := pages[-1]["meta"].get("next_token"):
        pages.append(search(x, **parameters, next_token=token))
    return pages


def test_pages_hold_every_post_once_and_the_last_has_no_token(x: httpx.Client) -> None:
    pages = every_page(x, max_results=50)
    posts = [post for page in pages for post in page["data"]]
    ids = [int(post["id"]) for post in posts]
    assert len(ids) >= 120
    assert ids == sorted(set(ids), reverse=True)
    for page in pages:
        assert page["meta"]["newest_id"] == page["data"][0]["id"]
        assert page["meta"]["oldest_id"] == page["data"][-1]["id"]
        assert page["meta"]["result_count"] == len(page["data"])


def test_posts_lie_within_the_last_seven_days_and_ids_tell_their_time(x: httpx.Client) -> None:
    now = datetime.now(UTC)
    for post in search(x, max_results=100, tweet_fields="created_at")["data"]:
        created = datetime.fromisoformat(post["created_at"])
        assert now - timedelta(days=7) < created < now
        assert abs(snowflake_time(int(post["id"])) - created) < timedelta(milliseconds=2)


def test_the_same_search_gives_the_same_posts(x: httpx.Client) -> None:
    assert search(x, max_results=100) == search(x, max_results=100)


def test_since_id_leaves_out_what_is_known(x: httpx.Client) -> None:
    known = search(x, max_results=20)["data"]
    newer = search(x, max_results=20, since_id=known[5]["id"])
    assert [post["id"] for post in newer["data"]] == [post["id"] for post in known[:5]]
    nothing = search(x, since_id=known[0]["id"])
    assert nothing == {"meta": {"result_count": 0}}


def test_times_bound_the_search(x: httpx.Client) -> None:
    posts = search(x, max_results=20, tweet_fields="created_at")["data"]
    times = [post["created_at"] for post in posts]
    between = search(x, max_results=20, start_time=times[7], end_time=times[2])["data"]
    assert [post["id"] for post in between] == [post["id"] for post in posts[3:8]]


def test_fields_come_only_when_asked_for(x: httpx.Client) -> None:
    assert set(search(x)["data"][0]) == {"id", "text", "edit_history_tweet_ids"}
    rich = search(
        x, tweet_fields="author_id,created_at,lang,public_metrics", expansions="author_id"
    )
    authors = {user["id"]: user for user in rich["includes"]["users"]}
    assert {post["author_id"] for post in rich["data"]} == set(authors)
    assert all(set(user) == {"id", "name", "username"} for user in authors.values())


def test_a_language_keeps_its_posts(x: httpx.Client) -> None:
    for language in ("hi", "te", "es"):
        posts = search(x, f"RRR lang:{language}", tweet_fields="lang")["data"]
        assert {post["lang"] for post in posts} == {language}


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({"query": ""}, "query"),
        ({"query": "x" * 513}, "query"),
        ({"query": "(RRR"}, "query"),
        ({"query": "-is:retweet"}, "query"),
        ({"query": "RRR", "max_results": "9"}, "max_results"),
        ({"query": "RRR", "max_results": "101"}, "max_results"),
        ({"query": "RRR", "next_token": "nonsense"}, "next_token"),
        ({"query": "RRR", "since_id": "nonsense"}, "since_id"),
        ({"query": "RRR", "since_id": "1"}, "since_id"),
        ({"query": "RRR", "start_time": "2020-01-01T00:00:00Z"}, "start_time"),
        ({"query": "RRR", "start_time": "today"}, "start_time"),
        ({"query": "RRR", "end_time": "2100-01-01T00:00:00Z"}, "end_time"),
        ({"query": "RRR", "tweet.fields": "wrong"}, "tweet.fields"),
        ({"query": "RRR", "expansions": "wrong"}, "expansions"),
        ({"query": "RRR", "previous_token": "b26"}, "previous_token"),
    ],
)
def test_a_wrong_parameter_is_named_in_the_refusal(
    x: httpx.Client, parameters: dict[str, str], refused: str
) -> None:
    answer = x.get(SEARCH, params=parameters)
    assert answer.status_code == 400
    body = answer.json()
    assert body["title"] == "Invalid Request"
    assert list(body["errors"][0]["parameters"]) == [refused]


def test_a_since_id_older_than_the_reach_is_refused(x: httpx.Client) -> None:
    old = snowflake(datetime.now(UTC) - timedelta(days=8), "")
    assert x.get(SEARCH, params={"query": "RRR", "since_id": old}).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}])
def test_a_wrong_token_is_refused_without_rate_headers(
    nobody: httpx.Client, headers: dict[str, str]
) -> None:
    answer = nobody.get(f"/x/2{SEARCH}", params={"query": "RRR"}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert not [name for name in answer.headers if name.startswith("x-rate-limit")]


def test_the_window_counts_down_and_refuses_until_its_reset(
    upstreams: Upstreams, x: httpx.Client
) -> None:
    assert x.get(SEARCH, params={"query": "RRR"}).headers["x-rate-limit-limit"] == "450"
    upstreams.limit("x/tweets/search/recent", 2, 600)
    answers = [x.get(SEARCH, params={"query": "RRR"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert len({answer.headers["x-rate-limit-reset"] for answer in answers}) == 1
    assert 590 < int(answers[2].headers["x-rate-limit-reset"]) - datetime.now(UTC).timestamp() < 601
    other_endpoint = x.get("/users/by/username/nobody")
    assert other_endpoint.headers["x-rate-limit-remaining"] == "299"


def test_an_author_is_found_by_name_in_any_case(x: httpx.Client) -> None:
    author = search(x, expansions="author_id")["includes"]["users"][0]
    answer = x.get(f"/users/by/username/{author['username'].upper()}").json()
    assert answer["data"] == author


def test_an_unknown_author_is_a_success_with_errors(x: httpx.Client) -> None:
    answer = x.get("/users/by/username/nobody")
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["title"] == "Not Found Error"


def test_an_epoch_fixes_the_day_that_ends_the_posts(tmp_path: Path) -> None:
    day = datetime.now(UTC).date() - timedelta(days=3)
    with running_upstreams(tmp_path, epoch=day) as past:
        query = {"query": "RRR", "max_results": "100", "tweet.fields": "created_at"}
        answer = httpx.get(
            f"{past.x_url}{SEARCH}", params=query, headers=x_headers(), timeout=30
        ).json()
    times = [datetime.fromisoformat(post["created_at"]) for post in answer["data"]]
    midnight = datetime.combine(day, time(), UTC)
    assert midnight - timedelta(days=1) < max(times) < midnight
    assert list(tmp_path.iterdir()) == []
