"""What tests of the command line need: an API on loopback, and words that attack a terminal."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.servers import serving

HOSTILE = (
    "[red]not markup[/red] [link=https://evil.test]x[/link] :bomb: "
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x7f "
    "\u202egnikcart\u202c \u2066isolate\u2069 \u200fmark \ufeff\u200b two\r\nlines\u2028three"
)
"""Markup, an emoji code, escapes of 7 and 8 bits, direction marks, invisible and line ends."""


def moving(text: str) -> set[str]:
    """The characters of the text that a terminal would act upon."""
    return {
        character
        for character in text
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
    }


@dataclass(frozen=True)
class Asked:
    """A request as a server on loopback got it."""

    method: str
    path: str
    query: dict[str, str]
    key: str | None
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.content)


@contextmanager
def an_api(answers: Callable[[Asked], tuple[int, bytes]]) -> Iterator[str]:
    """A server on loopback that answers each request with what ``answers`` says."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query))
            key = self.headers.get("x-api-key")
            status, body = answers(Asked(self.command, address.path, query, key, content))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal of the tests."""

    with serving(Handler) as url:
        yield url
