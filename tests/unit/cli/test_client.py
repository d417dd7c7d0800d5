"""The client: what it sends, and how every answer that is no success reads."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from marquee_cli.client import ApiError, Client

type Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def a_client(answer: Answer) -> Iterator[Client]:
    client = Client("http://api.test/local", "the-key", httpx.MockTransport(answer))
    try:
        yield client
    finally:
        client.close()


def refusal(response: httpx.Response) -> ApiError:
    with a_client(lambda _: response) as client, pytest.raises(ApiError) as refused:
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


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    client = Client("http://127.0.0.1:9", "the-key")  # the discard port: nothing listens
    try:
        with pytest.raises(ApiError, match=r"127\.0\.0\.1:9 does not answer \(ConnectError\)"):
            client.status("w")
    finally:
        client.close()


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
def test_a_refused_key_says_how_to_renew_it(status: int) -> None:
    error = refusal(httpx.Response(status, json={"message": "Forbidden"}))
    assert str(error) == f"{status}: Forbidden. `marquee up` renews the key."
    assert error.status == status


@pytest.mark.parametrize("content", [b"<h1>oops</h1>", b"", b'"a string"', b"\xff\xfe", b"[1]"])
def test_an_error_without_a_document_is_said_by_its_status(content: bytes) -> None:
    error = refusal(httpx.Response(500, content=content))
    assert str(error) == "500: Internal Server Error"


@pytest.mark.parametrize("content", [b"<h1>hello</h1>", b"", b"[1, 2]", b"null", b"\xff"])
def test_a_success_that_is_no_json_object_is_an_error(content: bytes) -> None:
    error = refusal(httpx.Response(200, content=content))
    assert str(error) == "200: the answer is no JSON object"
