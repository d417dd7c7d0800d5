"""Which addresses a callback may have, in every spelling that someone may try."""

from ipaddress import ip_address

import pytest

from marquee.errors import BadInput
from marquee.triggers.addresses import (
    ForbiddenAddress,
    checked_addresses,
    destination_of,
    is_public,
)

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4009::200e"]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104 - an address that is refused
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:2800:220:1:248:1893:25c8:1946%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_plain_public_address_may_be_called(text: str) -> None:
    assert is_public(ip_address(text))
    assert checked_addresses([text], secure=True, allow_loopback=False) == [ip_address(text)]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_every_other_address_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(ForbiddenAddress):
        checked_addresses([text], secure=True, allow_loopback=False)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_a_laptop_allows_is_loopback_and_nothing_else(text: str) -> None:
    loopback = text in {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"}
    try:
        checked_addresses([text], secure=True, allow_loopback=True)
    except ForbiddenAddress:
        assert not loopback
    else:
        assert loopback


def test_one_address_that_is_refused_is_enough_to_refuse_the_host() -> None:
    with pytest.raises(ForbiddenAddress, match=r"10\.0\.0\.1"):
        checked_addresses([PUBLIC[0], "10.0.0.1"], secure=True, allow_loopback=False)


def test_a_host_without_an_address_and_an_address_that_is_none_are_refused() -> None:
    for nothing in ([], ["metadata.internal"]):
        with pytest.raises(ForbiddenAddress):
            checked_addresses(nothing, secure=True, allow_loopback=False)


def test_without_tls_only_loopback_is_called() -> None:
    checked_addresses(["127.0.0.1"], secure=False, allow_loopback=True)
    with pytest.raises(ForbiddenAddress, match="use https"):
        checked_addresses([PUBLIC[0]], secure=False, allow_loopback=True)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://EXAMPLE.com/a/b?c=d", "example.com", 443, "/a/b?c=d"),
        ("https://example.com:8443?x", "example.com", 8443, "/?x"),
        ("https://xn--e1afmkfd.example/%D0%BF", "xn--e1afmkfd.example", 443, "/%D0%BF"),
        (f"https://[{PUBLIC[2]}]:65535/", PUBLIC[2], 65535, "/"),
        ("https://93.184.216.34/", "93.184.216.34", 443, "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, target: str) -> None:
    found = destination_of(url, allow_loopback=False)
    assert (found.host, found.port, found.target, found.secure) == (host, port, target, True)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("//example.com/", "https"),
        ("example.com", "https"),
        ("https://user@example.com/", "no user"),
        ("https://user:password@example.com/", "no user"),
        ("https://@example.com/", "no user"),
        ("https://example.com@10.0.0.1/", "no user"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://example.com:22/", "port"),
        ("https://example.com:80/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "read"),
        ("https://example.com:-1/", "read"),
        ("https://example.com:x/", "read"),
        ("https://exa mple.com/", "visible"),
        ("https://example.com/\r\nHost: x", "visible"),
        ("https://example.com\\@10.0.0.1/", "visible"),
        ("https://exämple.com/", "visible"),
        ("https://①②⑦.0.0.1/", "visible"),
        ("https:///path", "names a host"),
        ("https://.../", "names a host"),
        (f"https://{'a' * 64}.com/", "names a host"),
        (f"https://{'a.' * 127}com/", "names a host"),
        ("https://example.com./", "names a host"),
        ("https://a%2eb/", "names a host"),
        ("https://[::1/", "read"),
        ("https://[example.com]/", "read"),
        ("https://[v1.fe]/", "names a host"),
        ("https://127.0.0.1/", "not public"),
        ("https://[::ffff:a00:1]/", "not public"),
        ("https://[fe80::1%25eth0]/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://example.com/" + "a" * 2000, "characters at most"),
    ],
)
def test_a_url_that_may_not_be_called_is_refused_with_the_reason(url: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as refused:
        destination_of(url, allow_loopback=False)
    assert refused.value.field == "url"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
def test_a_name_that_only_the_resolver_reads_as_an_address_is_left_to_it(host: str) -> None:
    assert destination_of(f"https://{host}/", allow_loopback=False).host == host
