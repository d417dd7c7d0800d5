"""Which port on loopback to take."""

import socket
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"
ANSWERS_WITHIN_SECONDS = 1.0


def is_listening(port: int) -> bool:
    """Whether someone accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWERS_WITHIN_SECONDS):
            return True
    except OSError:
        return False


def choose_port(preferred: Iterable[int]) -> int:
    """The first preferred port that is free, else any free one."""
    return next((port for port in preferred if _is_free(port)), None) or _any_free_port()


def _is_free(port: int) -> bool:
    # Connecting first: on macOS, binding succeeds beside a listener on all addresses.
    if is_listening(port):
        return False
    with _socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with _socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _socket() -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: a port whose last connections are still winding down is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return probe
