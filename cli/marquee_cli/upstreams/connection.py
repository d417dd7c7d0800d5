"""Run the stand-ins under uvicorn so that a fault can break the TCP connection itself."""

import asyncio
import socket
import struct
from pathlib import Path
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK = "127.0.0.1"
_TRANSPORT = "marquee.transport"
# Long enough for a local answer to be written, short enough for a test to end at once.
SHUTDOWN_SECONDS = 1
# SO_LINGER on with a linger of 0 seconds: closing then sends RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BreakableProtocol(H11Protocol):
    """HTTP/1.1 that hands each request its TCP transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        app = cast(ASGIApp, self.app)

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _TRANSPORT: transport}, receive, send)

        self.app = with_transport


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """Answer nothing: the peer sees a TCP reset."""
    transport = _transport(scope)
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE
    )
    transport.abort()
    await _gone(receive)


async def end_connection(scope: Scope, receive: Receive) -> None:
    """Close after what was written; an announced length that was not reached is then a cut."""
    _transport(scope).close()
    await _gone(receive)


def _transport(scope: Scope) -> asyncio.Transport:
    return cast(asyncio.Transport, scope[_TRANSPORT])


async def _gone(receive: Receive) -> None:
    """Wait until uvicorn knows that the peer is gone, so that it does not answer in our place."""
    while (await receive())["type"] != "http.disconnect":
        pass


def serve(app: ASGIApp, port: int, port_file: Path | None) -> None:
    """Serve on loopback until SIGTERM or SIGINT; port 0 takes a free one.

    The port is written to `port_file` once the socket listens, by a rename, so that whoever waits
    for the file never reads half of it. Raises OSError when the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
        if port_file is not None:
            unfinished = port_file.with_suffix(".part")
            unfinished.write_text(str(listener.getsockname()[1]))
            unfinished.replace(port_file)
        config = uvicorn.Config(
            app,
            http=BreakableProtocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
