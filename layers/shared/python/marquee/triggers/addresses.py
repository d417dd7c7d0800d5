"""Where a callback may be: on the public internet, so that none reaches into our own network.

Whoever registers a callback chooses an address that our function then calls from inside. So a name
is resolved once, every address that it stands for must be plain public unicast, and the call goes
to one of these addresses, not to the name: a second answer of the DNS has no effect.
"""

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from marquee.errors import BadInput

MAX_URL_LENGTH = 2000

HTTPS_PORT = 443
FIRST_FREE_PORT = 1024
"""Below it, other services than a callback's listen; 443 is the exception."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is assigned to hosts. Outside of it lie ::1, mapped and translated IPv4
(::ffff:0:0/96, 64:ff9b::/96), link-local, unique-local, site-local and multicast addresses."""

_VISIBLE = re.compile(r"[!-\[\]-~]+")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_MAX_NAME_LENGTH = 253

type Address = IPv4Address | IPv6Address
type Resolver = Callable[[str, int], Iterable[str]]
"""From a host's name and a port to its addresses; raises OSError where it has none."""


@dataclass(frozen=True)
class Destination:
    """A callback's URL in the parts that a call needs."""

    secure: bool
    host: str
    """Without the brackets of an IPv6 address."""
    port: int
    authority: str
    """What goes into the Host header."""
    target: str
    """Path and query."""


class ForbiddenAddress(Exception):
    """A host stands for an address that no callback may have."""


def destination_of(url: str, *, allow_loopback: bool) -> Destination:
    """The parts of a URL; raises BadInput with what is wrong with it.

    A host that is an address is checked here; a name has to be resolved first, see
    ``checked_addresses``. Plain http is for loopback only, where that is allowed.
    """
    if len(url) > MAX_URL_LENGTH:
        raise _wrong(f"has {MAX_URL_LENGTH} characters at most")
    if not _VISIBLE.fullmatch(url):
        raise _wrong("has visible ASCII characters only, and no backslash; escape the others")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _wrong("cannot be read") from error
    if parts.scheme not in (("https", "http") if allow_loopback else ("https",)):
        raise _wrong("begins with https://")
    if parts.username is not None or parts.password is not None:
        raise _wrong("holds no user and no password: what is signed needs none")
    if "#" in url:
        raise _wrong("has no fragment: it would not be sent")
    secure = parts.scheme == "https"
    port = port if port is not None else HTTPS_PORT if secure else 80
    if port != HTTPS_PORT and port < FIRST_FREE_PORT and secure:
        raise _wrong(f"has port {HTTPS_PORT} or one from {FIRST_FREE_PORT} up")
    _check_host(parts, host, secure=secure, allow_loopback=allow_loopback)
    return Destination(
        secure=secure,
        host=host,
        port=port,
        authority=parts.netloc,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _check_host(parts: SplitResult, host: str, *, secure: bool, allow_loopback: bool) -> None:
    literal = _literal(host)
    if literal is None:
        if "[" in parts.netloc or len(host) > _MAX_NAME_LENGTH or not _NAME.fullmatch(host):
            raise _wrong("names a host")
        return
    try:
        checked_addresses([host], secure=secure, allow_loopback=allow_loopback)
    except ForbiddenAddress as error:
        raise BadInput(str(error), field="url") from error


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them; raises OSError for none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def checked_addresses(
    addresses: Iterable[str], *, secure: bool, allow_loopback: bool
) -> list[Address]:
    """The addresses of one host, if each may be called; raises ForbiddenAddress if one may not.

    One is enough to refuse them all: a host that mixes them is up to something. ``secure``: by
    TLS; without it only loopback may be called.
    """
    checked = []
    for text in addresses:
        address = _literal(text)
        if address is None:
            raise ForbiddenAddress(f"{text[:100]} is no address")
        may_be = (allow_loopback and address.is_loopback) or (secure and is_public(address))
        if not may_be:
            kind = "not public" if secure else "not loopback: use https"
            raise ForbiddenAddress(f"the host stands for {address}, which is {kind}")
        checked.append(address)
    if not checked:
        raise ForbiddenAddress("the host stands for no address")
    return checked


def is_public(address: Address) -> bool:
    """Whether it is a plain unicast address of the public internet."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    return (
        address.scope_id is None
        and address in GLOBAL_UNICAST
        and address.is_global  # neither 6to4 nor Teredo is
    )


def _literal(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _wrong(what: str) -> BadInput:
    return BadInput(f"a callback's URL {what}", field="url")
