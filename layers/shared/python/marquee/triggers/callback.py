"""One POST to a callback: resolved once, checked, connected by address, within ten seconds.

The client is our own because none lets its caller check an address and then connect to just that
one, nor bound the whole of a call: an answer that trickles in byte by byte never runs into a
timeout for each read. Only resolving the name cannot be cut short: it ends when the system's
resolver gives up; where that took longer than ten seconds, nobody is called. h11 does the HTTP, the
standard library TLS. Of the answer only its status counts; its body is neither read nor kept, so
that nobody reads our network through us.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import h11

from marquee.errors import BadInput
from marquee.gateway.calls import USER_AGENT
from marquee.triggers.addresses import (
    Address,
    Destination,
    ForbiddenAddress,
    Resolver,
    checked_addresses,
    destination_of,
    resolve,
)

TIMEOUT_SECONDS = 10.0
"""From the name to the status; what takes longer to resolve is not called."""

CONNECT_SECONDS = 3.0
"""For each address of a host: the first may be one that nobody answers at."""

_PIECE = 16 * 1024
_GONE = 410

type Remaining = Callable[[], float]
"""The seconds that are left; raises TimeoutError where none are."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    status_code: int | None
    """None where no answer came."""
    error: str
    """Empty for a 2xx."""
    duration_ms: int
    is_final: bool = False
    """It will not be otherwise the next time."""
    is_gone: bool = False
    """The receiver says that it wants no more calls."""
    retry_after_seconds: int = 0
    """What the receiver asks for; 0 where it does not."""


class Post(Protocol):
    """What calls a callback; never raises for what the receiver does."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """POST ``body`` as JSON."""


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allow_loopback: bool = False,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Outcome:
    """POST ``body`` as JSON to ``url`` and say what came of it; see the module.

    Redirects are not followed. ``allow_loopback``: this machine may be called too, and without TLS.
    """
    began = time.monotonic()

    def remaining() -> float:
        left = began + timeout_seconds - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def ended(error: str, response: h11.Response | None = None, *, final: bool = False) -> Outcome:
        return Outcome(
            status_code=response.status_code if response else None,
            error=error,
            duration_ms=round((time.monotonic() - began) * 1000),
            is_final=final,
            is_gone=response is not None and response.status_code == _GONE,
            retry_after_seconds=_retry_after(response) if response else 0,
        )

    try:
        destination = destination_of(url, allow_loopback=allow_loopback)
        found = resolver(destination.host, destination.port)
        addresses = checked_addresses(
            found, secure=destination.secure, allow_loopback=allow_loopback
        )
        with _connected(destination, addresses, tls or _tls(), remaining) as connection:
            response = _exchanged(connection, destination, headers, body, remaining)
    except (BadInput, ForbiddenAddress) as error:
        return ended(str(error), final=True)
    except socket.gaierror:
        return ended("the host's name cannot be resolved")
    except TimeoutError:
        return ended(f"no answer within {timeout_seconds:g} s")
    except ssl.SSLCertVerificationError as error:
        return ended(f"the certificate does not hold: {error.verify_message}")
    except h11.RemoteProtocolError:
        return ended("the answer is no HTTP")
    except OSError as error:
        return ended(f"the connection failed ({type(error).__name__})")
    return ended(_complaint(response.status_code), response)


def _complaint(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return f"answered {status}" + (", and redirects are not followed" if status < 400 else "")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _connected(
    destination: Destination,
    addresses: Iterable[Address],
    tls: ssl.SSLContext,
    remaining: Remaining,
) -> socket.socket:
    """A connection to the first of the addresses that takes one; raises OSError where none does."""
    refused: OSError = ConnectionError()
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(CONNECT_SECONDS, remaining()))
            connection.connect((str(address), destination.port))
            connection.settimeout(remaining())
            if destination.secure:
                return tls.wrap_socket(connection, server_hostname=destination.host)
        except OSError as error:
            connection.close()
            refused = error
        else:
            return connection
    raise refused


def _exchanged(
    connection: socket.socket,
    destination: Destination,
    headers: Mapping[str, str],
    body: bytes,
    remaining: Remaining,
) -> h11.Response:
    """Send the request and return the head of its answer."""
    http = h11.Connection(h11.CLIENT)  # takes 16 KiB of headers at most
    all_headers = {
        "host": destination.authority,
        "user-agent": USER_AGENT,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    request = h11.Request(
        method="POST", target=destination.target, headers=list(all_headers.items())
    )
    sent = http.send(request) or b""
    sent += (http.send(h11.Data(data=body)) or b"") + (http.send(h11.EndOfMessage()) or b"")
    for start in range(0, len(sent), _PIECE):
        connection.settimeout(remaining())
        connection.sendall(sent[start : start + _PIECE])
    while True:
        event = http.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            connection.settimeout(remaining())
            http.receive_data(connection.recv(_PIECE))


def _retry_after(response: h11.Response) -> int:
    """The seconds of Retry-After; 0 without, or where it gives a date."""
    value = dict(response.headers).get(b"retry-after", b"")
    return int(value) if value.isdigit() and len(value) < 10 else 0
