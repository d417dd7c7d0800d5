"""The client: what it sends, and how every answer that is no success reads."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from marquee_cli.client import ApiError, Client, is_loopback
from tests.support.command_line import an_api

type Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def a_client(answer: Answer, url: str = "http://api.test/local") -> Iterator[Client]:
    client = Client(url, "the-key", httpx.MockTransport(answer), pause=lambda _: None)
    try:
        yield client
    finally:
        client.close()


def refusal(response: httpx.Response, url: str = "http://api.test/local") -> ApiError:
    with a_client(lambda _: response, url) as client, pytest.raises(ApiError) as refused:
        client.status("movie_search-1")
    return refused.value


def test_a_search_is_posted_as_json_with_the_key() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(202, json={"workflow_id": "w"})

    with a_client(answer) as client:
        assert client.search({"movie_name": "RRR"}, wait_seconds=0) == {"workflow_id": "w"}
    (request,) = sent
    assert request.method == "POST"
    assert str(request.url) == "http://api.test/local/api/orchestrator/auto-search"
    assert request.headers["x-api-key"] == "the-key"
    assert json.loads(request.content) == {"movie_name": "RRR", "wait_seconds": 0}


def test_a_proxy_of_the_environment_is_asked_for_a_deployed_endpoint_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    client = Client("http://127.0.0.1:9", "the-key")  # the discard port: nothing listens
    try:
        with pytest.raises(ApiError, match=r"127\.0\.0\.1:9 does not answer \(ConnectError\)"):
            client.status("w")
    finally:
        client.close()
    with an_api(lambda asked: (200, b'{"seen": true}')) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with Client("http://api.test", "the-key") as behind_proxy:
            assert behind_proxy.status("w") == {"seen": True}


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
def test_an_api_that_does_not_answer_is_said_by_its_address(
    failure: type[httpx.HTTPError],
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure("broken")

    with a_client(answer) as client, pytest.raises(ApiError) as refused:
        client.status("w")
    assert str(refused.value) == f"http://api.test/local does not answer ({failure.__name__})"
    assert refused.value.status is None


def test_a_problem_document_speaks_through_its_detail() -> None:
    problem = {"title": "Unprocessable Content", "status": 422, "detail": "year: must be 1870.."}
    error = refusal(httpx.Response(422, json=problem))
    assert (str(error), error.status) == ("422: year: must be 1870..", 422)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://127.0.0.1:4566/local", "`marquee up` renews the key."),
        ("https://api.test/prod", "Is the key its own?"),
    ],
)
def test_a_refused_key_says_what_to_look_at(status: int, url: str, hint: str) -> None:
    error = refusal(httpx.Response(status, json={"message": "Forbidden"}), url)
    assert str(error) == f"{status}: Forbidden. {hint}"
    assert error.status == status


def test_a_redirect_is_an_error_and_the_key_does_not_follow_it() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://elsewhere.test/"})

    with a_client(answer) as client, pytest.raises(ApiError) as refused:
        client.status("w")
    assert asked == ["api.test"]
    assert str(refused.value) == (
        "307: http://api.test/local sends us on to https://elsewhere.test/, which gets no key"
    )


def test_a_name_stays_one_part_of_the_path_whatever_is_in_it() -> None:
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"posts": [], "next_cursor": None})

    name = "../a?b#c/d"
    quoted = "..%2Fa%3Fb%23c%2Fd"
    with a_client(answer) as client:
        client.status(name)
        client.cancel(name)
        client.rerun(name, from_step=None)
        client.decide_approval(name, {})
        client.decide_post(name, name, {})
        list(client.posts(name))
    assert paths == [
        f"/local/workflow/status/{quoted}",
        f"/local/workflow/{quoted}/cancel",
        f"/local/workflow/{quoted}/rerun",
        f"/local/workflow/approvals/{quoted}",
        f"/local/posts/{quoted}/{quoted}",
        f"/local/posts/{quoted}?limit=100",
    ]


def test_a_listing_is_read_page_by_page_until_the_last_one() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        first = "cursor" not in asked[-1]
        tweets = [{"tweet_id": "3"}, {"tweet_id": "2"}] if first else [{"tweet_id": "1"}]
        return httpx.Response(200, json={"tweets": tweets, "next_cursor": "c" if first else None})

    with a_client(answer) as client:
        found = list(client.tweets(username="me", status="UNKNOWN"))
    assert [tweet["tweet_id"] for tweet in found] == ["3", "2", "1"]
    query = {"limit": "100", "status": "UNKNOWN", "username": "me"}
    assert asked == [query, query | {"cursor": "c"}]


def test_a_listing_that_is_none_is_an_error() -> None:
    with (
        a_client(lambda _: httpx.Response(200, json={"approvals": None})) as client,
        pytest.raises(ApiError, match="the answer lists no approvals"),
    ):
        list(client.approvals())


@pytest.mark.parametrize(
    ("url", "is_it"),
    [
        ("http://127.0.0.1:4566/x", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:80/", True),
        ("http://localhost:80", True),
        ("http://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("http://10.0.0.1", False),
    ],
)
def test_loopback_is_known_by_its_address_and_not_by_a_name_like_it(url: str, is_it: bool) -> None:
    assert is_loopback(url) is is_it


@pytest.mark.parametrize("content", [b"<h1>oops</h1>", b"", b'"a string"', b"\xff\xfe", b"[1]"])
def test_an_error_without_a_document_is_said_by_its_status(content: bytes) -> None:
    error = refusal(httpx.Response(500, content=content))
    assert str(error) == "500: Internal Server Error"


@pytest.mark.parametrize("content", [b"<h1>hello</h1>", b"", b"[1, 2]", b"null", b"\xff"])
def test_a_success_that_is_no_json_object_is_an_error(content: bytes) -> None:
    error = refusal(httpx.Response(200, content=content))
    assert str(error) == "200: the answer is no JSON object"
