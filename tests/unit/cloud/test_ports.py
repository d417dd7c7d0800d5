"""The choice of a port on loopback."""

import socket
from collections.abc import Iterator

import pytest

from marquee_cli.cloud.ports import LOOPBACK, choose_port, is_listening


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def a_free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_the_first_preferred_port_that_is_free_is_taken(listener: socket.socket) -> None:
    free = a_free_port()
    assert choose_port([listener.getsockname()[1], free, a_free_port()]) == free


def test_without_a_free_one_among_them_any_other_is_taken(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    port = choose_port([taken])
    assert port not in (0, taken)
    assert not is_listening(port)


def test_a_port_that_someone_listens_on_at_every_address_is_taken() -> None:
    with socket.create_server(("", 0)) as server:
        taken = server.getsockname()[1]
        assert choose_port([taken]) != taken


def test_listening_is_noticed(listener: socket.socket) -> None:
    assert is_listening(listener.getsockname()[1])
    assert not is_listening(a_free_port())
