"""The page's own files in Chromium, against answers that a test gives: no cloud, no server."""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect
from pydantic import BaseModel

from marquee.api.problems import Problem
from marquee.site.page import Page as Site
from marquee.site.serve import serve
from tests.support.browser import (
    DESKTOP,
    Scheme,
    Size,
    Watch,
    browsing,
    chromium,
    running_browser,
    stray_markup,
)
from tests.support.builders import NOW
from tests.support.templates import ROOT

ADDRESS = "http://marquee.localhost"
"""Nobody's: every request is answered here."""
KEY = "a-key"
POSTER = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 3">'
    '<rect fill="#357" width="2" height="3"/></svg>'
)

PATIENCE_MILLISECONDS = 15_000
"""Nothing is far away here."""

CUT = "cut"
"""Instead of an answer: the network is."""
HELD = "held"
"""Instead of an answer: none yet; see ``Api.release``."""

type Json = dict[str, Any]
type Answer = BaseModel | str


@dataclass(frozen=True)
class Asked:
    """A request that the page made of the API."""

    method: str
    path: str
    query: dict[str, str]
    body: Json


def refused(status: int, detail: str = "") -> Problem:
    """A problem document."""
    title = HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail=detail, instance="/", request_id="req-1")


@cache
def site() -> Site:
    """The page as it is deployed."""
    return Site.read(ROOT / "functions" / "site" / "page", posters=f"{ADDRESS}/posters")


@dataclass
class Api:
    """What the page asks, and what it is answered: the newest answer whose path fits."""

    asked: list[Asked] = field(default_factory=list)
    _answers: list[tuple[str, str, Callable[[Asked], Answer]]] = field(default_factory=list)
    _held: list[tuple[Route, Asked]] = field(default_factory=list)

    def answer(self, method: str, path: str, answer: Answer | Callable[[Asked], Answer]) -> None:
        """Answer so from now on; ``path`` is a pattern of the whole path."""
        given = answer if callable(answer) else lambda _: answer
        self._answers.insert(0, (method, path, given))

    def made(self, method: str, path: str) -> list[Asked]:
        """The requests of that kind so far."""
        return [a for a in self.asked if a.method == method and re.fullmatch(path, a.path)]

    def release(self, answer: Answer) -> None:
        """Answer those that were held."""
        held, self._held = self._held, []
        for route, _ in held:
            _fulfill(route, answer)

    def serve(self, route: Route) -> None:
        """A request of the browser."""
        request = route.request
        parts = urlsplit(request.url)
        if parts.path == "/" or parts.path.startswith("/site/"):
            _serve_site(route, parts.path)
        elif parts.path.startswith("/posters/"):
            route.fulfill(body=POSTER, content_type="image/svg+xml")
        else:
            body = json.loads(request.post_data) if request.post_data else {}
            path = unquote(parts.path)
            asked = Asked(request.method, path, dict(parse_qsl(parts.query)), body)
            self.asked.append(asked)
            answer = self._answer(asked)
            if answer == HELD:
                self._held.append((route, asked))
            else:
                _fulfill(route, answer)

    def _answer(self, asked: Asked) -> Answer:
        for method, path, answer in self._answers:
            if method == asked.method and re.fullmatch(path, asked.path):
                return answer(asked)
        return refused(404, f"no test says what {asked.method} {asked.path} is answered")


def _fulfill(route: Route, answer: Answer) -> None:
    if isinstance(answer, str):
        route.abort()
    else:
        status = answer.status if isinstance(answer, Problem) else 200
        route.fulfill(status=status, body=answer.model_dump_json(), content_type="application/json")


def _serve_site(route: Route, path: str) -> None:
    _, _, release, file = (*path.split("/"), "", "")[:4]
    event = {"pathParameters": {"release": release, "file": file} if release else None}
    answer = serve(event, site())
    body = answer["body"]
    route.fulfill(
        status=answer["statusCode"],
        headers=answer["headers"],
        body=b64decode(body) if answer.get("isBase64Encoded") else body,
    )


@dataclass
class Visitors:
    """People with a browser each, who look at the page; all are watched."""

    browser: Browser
    api: Api
    watch: Watch
    stack: ExitStack

    def arrive(
        self, size: Size = DESKTOP, *, scheme: Scheme = "light", **options: Any
    ) -> BrowserContext:
        """Somebody's browser, on the evening of the tests, whose clock can be turned."""
        context = self.stack.enter_context(
            browsing(self.browser, self.watch, size, scheme=scheme, **options)
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        context.clock.install(time=NOW)
        context.route("**/*", self.api.serve)
        return context

    def open(
        self,
        route: str = "/",
        size: Size = DESKTOP,
        *,
        scheme: Scheme = "light",
        context: BrowserContext | None = None,
    ) -> Page:
        """The page at a route, with the key."""
        page = (context or self.arrive(size, scheme=scheme)).new_page()
        page.goto(f"{ADDRESS}/#key={KEY}{route}")
        return page

    def leave(self) -> None:
        """Nothing must have happened that must not."""
        for context in self.browser.contexts:
            for page in context.pages:
                assert stray_markup(page) == []
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
        self.watch.assert_clean()


def main(page: Page) -> Locator:
    """What the page shows, without its frame and what it says aloud."""
    return page.get_by_role("main")


def told(page: Page) -> Locator:
    """What a screen reader is told."""
    return page.locator("#said")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, whose processes end with the tests of a file."""
    program = chromium()
    if program is None:
        pytest.skip("Chromium is not installed: nobody looked at the page")
    with running_browser(program) as running:
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        yield running


@pytest.fixture
def api() -> Api:
    """Answers nothing before a test says what."""
    return Api()


@pytest.fixture
def visitors(browser: Browser, api: Api) -> Iterator[Visitors]:
    """People who look at the page."""
    with ExitStack() as stack:
        found = Visitors(browser, api, Watch(frozenset({ADDRESS}), secret=KEY), stack)
        yield found
        found.leave()
