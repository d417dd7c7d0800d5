"""One call of a callback, over the wire: receivers that are slow, broken, huge, or not public."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from marquee.gateway.calls import USER_AGENT
from marquee.triggers.callback import Outcome, post
from tests.support.receiver import Receiver, misbehaving, receiving

BODY = b'{"type":"TriggerTest"}'
QUICKLY = 0.3
"""Seconds: enough on loopback, and short to wait for."""
SOON = 2.0
"""Seconds within which a call of QUICKLY has ended on a busy machine."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def call(url: str, **options: object) -> Outcome:
    """Call it as a laptop does, which may call itself."""
    given = {"allow_loopback": True, "timeout_seconds": QUICKLY, **options}
    return post(url, {"webhook-id": "7d5e1c0f"}, BODY, **given)  # type: ignore[arg-type] # by name


def test_a_callback_gets_the_body_with_its_headers_and_path(receiver: Receiver) -> None:
    outcome = call(receiver.url, timeout_seconds=10)
    assert (outcome.status_code, outcome.error, outcome.is_final) == (204, "", False)
    assert outcome.duration_ms < 10_000
    [received] = receiver.calls
    assert (received.path, received.body) == ("/callback?from=marquee", BODY)
    assert received.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": USER_AGENT,
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "connection": "close",
        "webhook-id": "7d5e1c0f",
    }


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_answer_other_than_2xx_is_a_failure_that_may_pass(
    receiver: Receiver, status: int
) -> None:
    receiver.status = status
    outcome = call(receiver.url, timeout_seconds=10)
    assert (outcome.status_code, outcome.error) == (status, f"answered {status}")
    assert not outcome.is_final
    assert not outcome.is_gone


def test_a_receiver_may_say_that_it_wants_no_more(receiver: Receiver) -> None:
    receiver.status = 410
    assert call(receiver.url, timeout_seconds=10).is_gone


@pytest.mark.parametrize(
    ("value", "seconds"), [("120", 120), ("Sat, 14 Mar 2026 20:00:00 GMT", 0), ("9" * 400, 0)]
)
def test_a_receiver_may_ask_for_time(receiver: Receiver, value: str, seconds: int) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": value}
    assert call(receiver.url, timeout_seconds=10).retry_after_seconds == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with receiving() as other:
        receiver.status, receiver.headers = status, {"Location": other.url}
        outcome = call(receiver.url, timeout_seconds=10)
        assert outcome.error == f"answered {status}, and redirects are not followed"
        assert other.calls == []


def test_loopback_is_not_called_where_it_is_not_allowed(receiver: Receiver) -> None:
    secure = receiver.url.replace("http:", "https:")
    for url in (receiver.url, secure, secure.replace("127.0.0.1", "localhost")):
        outcome = call(url, allow_loopback=False)
        assert outcome.is_final
        assert outcome.error
    assert receiver.calls == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
def test_every_spelling_of_loopback_is_found_out_by_resolving_it(
    receiver: Receiver, host: str
) -> None:
    url = f"https://{host}:{receiver.port}/"
    outcome = call(url, allow_loopback=False)
    assert (outcome.status_code, outcome.is_final) == (None, True)
    assert "not public" in outcome.error
    assert call(url).error != outcome.error


def test_a_name_that_is_bound_anew_after_the_check_is_called_where_it_was_checked(
    receiver: Receiver,
) -> None:
    answers = itertools.chain([["127.0.0.1"]], itertools.repeat(["127.0.0.9"]))
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return next(answers)

    url = f"http://rebind.example:{receiver.port}/"
    assert call(url, resolver=rebinding, timeout_seconds=10).status_code == 204
    assert asked == [("rebind.example", receiver.port)]
    assert [received.headers["host"] for received in receiver.calls] == [
        f"rebind.example:{receiver.port}"
    ]


def test_a_name_with_one_private_address_is_not_called_at_all(receiver: Receiver) -> None:
    outcome = call(
        f"https://mixed.example:{receiver.port}/",
        resolver=lambda host, port: ["127.0.0.1", "10.0.0.1"],
    )
    assert outcome.is_final
    assert "10.0.0.1" in outcome.error
    assert receiver.calls == []


def test_the_next_address_is_tried_where_nobody_listens_at_the_first(receiver: Receiver) -> None:
    outcome = call(
        f"http://two.example:{receiver.port}/",
        resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"],
        timeout_seconds=10,
    )
    assert outcome.status_code == 204


def test_a_name_that_cannot_be_resolved_may_be_later() -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    outcome = call("https://nobody.example/", resolver=nobody)
    assert outcome.error == "the host's name cannot be resolved"
    assert not outcome.is_final


def test_a_name_that_takes_all_the_time_to_resolve_is_not_called(receiver: Receiver) -> None:
    def slow(host: str, port: int) -> list[str]:
        time.sleep(QUICKLY)
        return ["127.0.0.1"]

    outcome = call(f"http://slow.example:{receiver.port}/", resolver=slow)
    assert (outcome.error, outcome.is_final) == ("no answer within 0.3 s", False)
    assert receiver.calls == []


def test_a_port_where_nobody_listens_is_a_failure_that_may_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = call(f"http://127.0.0.1:{port}/")
    assert outcome.error == "the connection failed (ConnectionRefusedError)"
    assert not outcome.is_final


def in_pieces(text: bytes, every: float) -> Callable[[socket.socket, threading.Event], None]:
    """One byte after the other."""

    def behave(connection: socket.socket, done: threading.Event) -> None:
        connection.recv(65536)
        for byte in itertools.cycle(text):
            connection.sendall(bytes([byte]))
            if done.wait(every):
                return

    return behave


def silent(connection: socket.socket, done: threading.Event) -> None:
    done.wait(10)


@pytest.mark.parametrize(
    "behave",
    [
        silent,
        in_pieces(b"HTTP/1.1 200 OK\r\nx: y\r\n", 0.05),
        in_pieces(b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    ],
    ids=["silent", "a byte at a time", "100 for ever"],
)
def test_ten_seconds_are_for_the_whole_call_however_slowly_it_goes(
    behave: Callable[[socket.socket, threading.Event], None],
) -> None:
    with misbehaving(behave) as url:
        began = time.monotonic()
        outcome = call(url)
        assert time.monotonic() - began < SOON
    assert outcome.error == "no answer within 0.3 s"
    assert outcome.status_code is None
    assert outcome.duration_ms >= QUICKLY * 1000


def test_a_receiver_that_does_not_read_is_not_written_to_for_ever() -> None:
    with misbehaving(silent) as url:
        began = time.monotonic()
        outcome = post(url, {}, b"x" * 50_000_000, allow_loopback=True, timeout_seconds=QUICKLY)
        assert time.monotonic() - began < SOON
    assert outcome.error == "no answer within 0.3 s"


def test_nor_one_that_reads_too_slowly() -> None:
    def behave(connection: socket.socket, done: threading.Event) -> None:
        while not done.wait(0.02):
            connection.recv(65536)

    with misbehaving(behave) as url:
        began = time.monotonic()
        outcome = post(url, {}, b"x" * 50_000_000, allow_loopback=True, timeout_seconds=QUICKLY)
        assert time.monotonic() - began < SOON
    assert outcome.error == "no answer within 0.3 s"


def test_headers_without_an_end_are_not_read_for_long() -> None:
    sent = 0

    def endless(connection: socket.socket, done: threading.Event) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not done.is_set():
            sent += connection.send(b"x: y\r\n" * 1000)

    with misbehaving(endless) as url:
        assert call(url, timeout_seconds=10).error == "the answer is no HTTP"
    assert sent < 50_000_000


def test_a_huge_answer_is_not_read() -> None:
    sent = 0

    def endless(connection: socket.socket, done: threading.Event) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
        while not done.is_set():
            sent += connection.send(b"x" * 65536)

    with misbehaving(endless) as url:
        assert call(url, timeout_seconds=10).status_code == 200
    assert sent < 50_000_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"\x00" * 100_000,
    ],
    ids=["nothing", "ssh", "no status", "zeros"],
)
def test_an_answer_that_is_no_http_is_a_failure(answer: bytes) -> None:
    def behave(connection: socket.socket, done: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    with misbehaving(behave) as url:
        outcome = call(url, timeout_seconds=10)
    assert outcome.status_code is None
    assert outcome.error == "the answer is no HTTP"


def test_a_connection_that_is_reset_is_a_failure() -> None:
    def behave(connection: socket.socket, done: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with misbehaving(behave) as url:
        assert call(url, timeout_seconds=10).error.startswith("the connection failed (")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server called callback.example, and of a client that trusts its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callback.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("callback.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def test_tls_is_checked_against_the_name_although_an_address_is_called(
    certified: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certified
    with receiving(server) as receiver:
        url = f"https://callback.example:{receiver.port}/"
        outcome = call(url, resolver=to_loopback, tls=client, timeout_seconds=10)
        assert (outcome.status_code, outcome.error) == (204, "")
        other = call(
            url.replace("callback", "other"), resolver=to_loopback, tls=client, timeout_seconds=10
        )
        assert other.error.startswith("the certificate does not hold: ")
        assert len(receiver.calls) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    certified: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with receiving(certified[0]) as receiver:
        url = f"https://callback.example:{receiver.port}/"
        outcome = call(url, resolver=to_loopback, timeout_seconds=10)
        assert outcome.error.startswith("the certificate does not hold: ")
        assert receiver.calls == []
