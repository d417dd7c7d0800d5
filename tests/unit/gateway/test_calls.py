"""One call to an upstream: its errors by class, its deadline, its accounting, and no credential."""

import json as json_module
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from marquee.errors import (
    TRANSIENT,
    CredentialsRefused,
    CreditsDepleted,
    Misconfigured,
    RateLimited,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.calls import USER_AGENT, Answer, Upstream, call, http_client
from marquee.observability import logger, tallying
from marquee.settings import HTTP_TIMEOUT_SECONDS

SECRET = "s3cr3t-t0k3n"
HEADERS = {"authorization": f"Bearer {SECRET}"}


def answered(respond: Callable[[httpx.Request], httpx.Response], **arguments: Any) -> Answer:
    """What `call` makes of this answer."""
    upstream = Upstream("tmdb", "https://tmdb.test/3", headers=HEADERS)
    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        return call(upstream, "search/movie", "/search/movie", client=client, **arguments)


def a_response(status: int, body: Any = None, **headers: str) -> Callable[[Any], httpx.Response]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, json={} if body is None else body, headers=names)


def broken(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"broken: {request.url} {SECRET}", request=request)

    return fail


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    """What Marquee and the libraries below it log, however unimportant."""
    records, root = Records(), logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    yield records
    root.setLevel(level)
    root.removeHandler(records)


@contextmanager
def a_server(answer: bytes | None) -> Iterator[str]:
    """A server on loopback that sends ``answer`` to one caller; None resets the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    # An abort: what is unsent is dropped and the peer gets a reset.
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join(timeout=5)


def test_an_answer_is_its_json_and_its_headers() -> None:
    answer = answered(a_response(200, {"page": 1}, X_Rate_Limit_Remaining="7"))
    assert answer.body == {"page": 1}
    assert answer.headers["x-rate-limit-remaining"] == "7"


def test_a_request_carries_the_parameters_of_both_upstream_and_call() -> None:
    sent: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    upstream = Upstream("tmdb", "https://tmdb.test/3", params={"api_key": SECRET})
    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        call(
            upstream,
            "session",
            "/session",
            method="POST",
            params={"page": 2},
            json={"name": "x"},
            client=client,
        )
    [request] = sent
    assert (request.method, str(request.url)) == (
        "POST",
        f"https://tmdb.test/3/session?api_key={SECRET}&page=2",
    )
    assert json_module.loads(request.content) == {"name": "x"}


@pytest.mark.parametrize(
    ("status", "error", "transient"),
    [
        (301, UpstreamUnavailable, True),
        (400, UpstreamRefused, False),
        (401, CredentialsRefused, False),
        (402, CreditsDepleted, False),
        (403, CredentialsRefused, False),
        (404, UpstreamNotFound, False),
        (408, UpstreamTimeout, True),
        (422, UpstreamRefused, False),
        (429, RateLimited, True),
        (500, UpstreamUnavailable, True),
        (503, UpstreamUnavailable, True),
    ],
)
def test_a_status_has_its_error(status: int, error: type[UpstreamError], transient: bool) -> None:
    with pytest.raises(UpstreamError) as raised:
        answered(a_response(status, {"status_message": "Not today."}))
    assert type(raised.value) is error
    assert isinstance(raised.value, TRANSIENT) is transient
    assert raised.value.status == status
    assert (raised.value.provider, raised.value.endpoint) == ("tmdb", "search/movie")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (httpx.ConnectTimeout, UpstreamTimeout),
        (httpx.ReadTimeout, UpstreamTimeout),
        (httpx.PoolTimeout, UpstreamTimeout),
        (httpx.ConnectError, UpstreamUnavailable),
        (httpx.ReadError, UpstreamUnavailable),
        (httpx.RemoteProtocolError, UpstreamUnavailable),
    ],
)
def test_a_broken_connection_has_its_error(
    fault: type[httpx.TransportError], error: type[UpstreamError]
) -> None:
    with pytest.raises(error) as raised:
        answered(broken(fault))
    assert raised.value.status is None


@pytest.mark.parametrize(
    "text", ["", "{", "<html>busy</html>", "{'a': 1}", "[" * 100_000], ids=lambda text: text[:9]
)
def test_a_success_without_json_is_an_outage(text: str) -> None:
    with pytest.raises(UpstreamUnavailable, match="no JSON"):
        answered(lambda _: httpx.Response(200, text=text))


def test_a_success_in_a_broken_encoding_is_an_outage() -> None:
    with pytest.raises(UpstreamUnavailable):
        answered(lambda _: httpx.Response(200, content=b'{"title": "\xff\xfe"}'))


@pytest.mark.parametrize("text", ["", "<html>no such page</html>", "[]", "[" * 100_000])
def test_a_404_that_is_not_the_apis_own_is_an_outage(text: str) -> None:
    with pytest.raises(UpstreamUnavailable):
        answered(lambda _: httpx.Response(404, text=text))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status_code": 7, "status_message": "Invalid API key"}, "(Invalid API key)"),
        ({"title": "Forbidden", "detail": "Not yours"}, "(Not yours)"),
        ({"title": "Forbidden"}, "(Forbidden)"),
        ({"error": "AuthRequired", "message": "Log in"}, "(Log in)"),
        ({"error": "The access token is invalid"}, "(The access token is invalid)"),
        ({"error": {"code": 1}}, "403"),
        (["no"], "403"),
    ],
)
def test_an_error_says_what_the_upstream_said(body: Any, said: str) -> None:
    with pytest.raises(CredentialsRefused) as raised:
        answered(a_response(403, body))
    assert str(raised.value).startswith("tmdb search/movie: answered 403")
    assert str(raised.value).endswith(said)


def test_an_error_page_is_not_quoted_without_end() -> None:
    with pytest.raises(UpstreamUnavailable) as raised:
        answered(a_response(500, {"message": "x" * 10_000}))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("headers", "reset_at"),
    [
        ({"x_rate_limit_reset": "1767225600"}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"ratelimit_reset": "1767225600"}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"x_ratelimit_reset": "2026-01-01T00:00:00.000Z"}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({}, None),
        ({"x_rate_limit_reset": "soon"}, None),
        ({"x_rate_limit_reset": "9" * 30}, None),
        ({"x_ratelimit_reset": "soon"}, None),
    ],
)
def test_a_rate_limit_says_when_it_ends(headers: dict[str, str], reset_at: datetime | None) -> None:
    with pytest.raises(RateLimited) as raised:
        answered(a_response(429, **headers))
    assert raised.value.retry_at == reset_at


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0"}, 0),
        # By the upstream's own clock, which may be wrong.
        (
            {
                "retry_after": "Thu, 01 Jan 2026 00:00:30 GMT",
                "date": "Thu, 01 Jan 2026 00:00:25 GMT",
            },
            5,
        ),
        ({"retry_after": "7", "x_rate_limit_reset": "9999999999"}, 7),
    ],
)
def test_a_failure_says_when_to_ask_again(
    status: int, headers: dict[str, str], seconds: int
) -> None:
    with pytest.raises(UpstreamError) as raised:
        answered(a_response(status, **headers))
    assert raised.value.retry_at
    ahead = (raised.value.retry_at - datetime.now(UTC)).total_seconds()
    assert seconds - 5 < ahead <= seconds + 1


def test_an_http_date_is_believed_without_a_clock_of_the_upstream() -> None:
    with pytest.raises(UpstreamUnavailable) as raised:
        answered(a_response(503, retry_after="Thu, 01 Jan 2026 00:00:30 GMT"))
    assert raised.value.retry_at == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x_rate_limit_reset": "1767225600", "x_rate_limit_remaining": "0"}, True),
        ({"x_rate_limit_reset": "1767225600", "x_rate_limit_remaining": "3"}, False),
        ({"x_rate_limit_reset": "1767225600"}, False),
        ({"retry_after": "later"}, False),
        ({"retry_after": "-1"}, False),
        ({"retry_after": "9" * 30}, False),
    ],
)
def test_the_reset_of_a_quota_counts_for_other_failures_only_where_it_is_used_up(
    headers: dict[str, str], said: bool
) -> None:
    with pytest.raises(UpstreamUnavailable) as raised:
        answered(a_response(503, **headers))
    assert (raised.value.retry_at is not None) is said


def test_calls_and_their_cost_are_counted() -> None:
    with tallying() as tally:
        answered(a_response(200, {"posts": 3}), price=lambda body: 0.005 * body["posts"])
        with pytest.raises(UpstreamError):
            answered(a_response(500), price=lambda _: 1.0)
        with pytest.raises(UpstreamError):
            answered(broken(httpx.ReadTimeout))
        with pytest.raises(UpstreamError):
            answered(lambda _: httpx.Response(200, text="{"))
    assert dict(tally.calls) == {"tmdb.successful": 1, "tmdb.failed": 3}
    assert tally.cost_usd == pytest.approx(0.015)


def test_a_refused_connection_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with httpx.Client() as client, pytest.raises(UpstreamUnavailable, match="ConnectError"):
        call(Upstream("x", f"http://127.0.0.1:{port}"), "search", "/", client=client)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"page"',
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["reset", "closed", "cut", "another protocol"],
)
def test_a_connection_that_breaks_is_an_outage(answer: bytes | None) -> None:
    with (
        a_server(answer) as url,
        httpx.Client(timeout=5) as client,
        pytest.raises(UpstreamUnavailable),
    ):
        call(Upstream("x", url), "search", "/", client=client)


def test_silence_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, httpx.Client(timeout=0.05) as client:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UpstreamTimeout):
            call(Upstream("x", url), "search", "/", client=client)


def test_the_client_of_the_process_has_the_deadline_and_follows_no_redirect() -> None:
    client = http_client()
    assert client.timeout == httpx.Timeout(HTTP_TIMEOUT_SECONDS)
    assert client.headers["user-agent"] == USER_AGENT
    assert not client.follow_redirects


FAULTS = [
    a_response(401, {"status_message": "no"}),
    a_response(500),
    broken(httpx.ReadTimeout),
    broken(httpx.ConnectError),
    lambda _: httpx.Response(200, text="{"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "upstream",
    [
        Upstream("tmdb", "https://tmdb.test/3", headers=HEADERS),
        Upstream("tmdb", "https://tmdb.test/3", params={"api_key": SECRET}),
    ],
    ids=["header", "parameter"],
)
def test_no_error_or_log_of_ours_shows_a_credential(
    fault: Callable[[httpx.Request], httpx.Response],
    upstream: Upstream,
    records: Records,
) -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(fault)) as client,
        pytest.raises(UpstreamError) as raised,
    ):
        call(upstream, "search/movie", "/search/movie", client=client)
    assert SECRET not in f"{raised.value} {raised.value!r} {upstream!r}"
    assert any(record.name == logger.service for record in records.kept)
    assert SECRET not in str([(record.getMessage(), vars(record)) for record in records.kept])


def test_httpx_does_not_log_the_urls_that_it_calls(records: Records) -> None:
    upstream = Upstream("tmdb", "https://tmdb.test/3", params={"api_key": SECRET})
    with httpx.Client(transport=httpx.MockTransport(a_response(200))) as client:
        call(upstream, "search/movie", "/search/movie", client=client)
    assert SECRET not in str([record.getMessage() for record in records.kept])


@pytest.mark.parametrize("stray", ["\n", "\r\n", "\x00", "\u2026", "\u00e9"])
def test_a_credential_that_no_header_can_carry_is_not_quoted(stray: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        Upstream(
            "tmdb", "https://tmdb.test/3", headers={"authorization": f"Bearer {SECRET}{stray}"}
        )
    assert "tmdb" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_failed_call_is_logged_by_its_name(records: Records) -> None:
    with pytest.raises(UpstreamError):
        answered(a_response(503))
    [said] = [vars(record) for record in records.kept if record.name == logger.service]
    assert (said["provider"], said["endpoint"], said["status"], said["error"]) == (
        "tmdb",
        "search/movie",
        503,
        "UpstreamUnavailable",
    )
