"""One browser for the page's tests, and people who look at the page with it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import Deployed, deployed_in
from tests.e2e.test_tweet_pipeline import Pipeline
from tests.support.browser import (
    DESKTOP,
    PATIENCE_SECONDS,
    Scheme,
    Size,
    Watch,
    browsing,
    chromium,
    running_browser,
    stray_markup,
)

LOOK_MILLISECONDS = 20
_GO = """(route) => new Promise((arrived) => {
  if (location.hash === `#${route}`) arrived();
  addEventListener("hashchange", () => setTimeout(arrived), { once: true });
  location.hash = route;
})"""

REVIEWS = 9
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""


@dataclass
class Visitors:
    """People with a browser of their own each, who look at a deployed page; all are watched."""

    deployed: Deployed
    browser: Browser
    watch: Watch
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def address(self) -> str:
        """The page's address, without a key and a route."""
        return f"{self.deployed.cloud.api_url}/"

    def arrive(
        self, size: Size = DESKTOP, *, scheme: Scheme = "light", **options: Any
    ) -> BrowserContext:
        """Somebody's browser, with no page open; `options` are Playwright's."""
        return self.stack.enter_context(
            browsing(self.browser, self.watch, size, scheme=scheme, **options)
        )

    def open(
        self,
        route: str = "/",
        size: Size = DESKTOP,
        *,
        scheme: Scheme = "light",
        context: BrowserContext | None = None,
        **options: Any,
    ) -> Page:
        """The page at a route (`/runs`), opened as `make run` gives its address: with the key."""
        page = (context or self.arrive(size, scheme=scheme, **options)).new_page()
        page.goto(f"{self.address}#key={self.deployed.cloud.api_key}{route}")
        return page

    def go(self, page: Page, route: str) -> None:
        """Follow a link to another route, until its view shows what it has to show."""
        page.evaluate(_GO, route)
        self.settle(page)

    def settle(self, page: Page) -> None:
        """Wait until the view shows what it has to show."""
        expect(main(page).locator("h1, .hero, article").first).to_be_visible()
        expect(main(page).locator(".loading")).to_have_count(0)
        deadline = monotonic() + PATIENCE_SECONDS
        while self.watch.under_way:
            assert monotonic() < deadline, [request.url for request in self.watch.under_way]
            page.wait_for_timeout(LOOK_MILLISECONDS)

    def leave(self) -> None:
        """Close all browsers; nothing must have happened in them that must not."""
        with self.stack:
            for context in self.browser.contexts:
                for page in context.pages:
                    assert stray_markup(page) == []
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                        f"{page.url} is wider than its window"
                    )
        self.watch.assert_clean()


def main(page: Page) -> Locator:
    """What the page shows, without its frame and what it says aloud."""
    return page.get_by_role("main")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a browser one test stands for all of this folder, and says that none was run.

    At collection: a fixture would skip them only once the laptop cloud is up.
    """
    looking = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if chromium() or not looking:
        return
    said = f"Chromium is not installed: none of {len(looking)} tests looked at the page"
    looking[0].add_marker(pytest.mark.skip(reason=said))
    items[:] = [item for item in items if item not in looking[1:]]
    config.hook.pytest_deselected(items=looking[1:])


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, whose processes end with the tests of this folder."""
    program = chromium()
    assert program is not None
    with running_browser(program) as running:
        yield running


@pytest.fixture(scope="package")
def deployed(browser: Browser, cloud: RunningCloud) -> Iterator[Deployed]:
    """The stack whose page is looked at."""
    with deployed_in(cloud) as running:
        yield running


@pytest.fixture(scope="package")
def account(deployed: Deployed) -> Iterator[Pipeline]:
    """The pipeline, all that its account said before read; what these tests add is forgotten."""
    pipeline = Pipeline(deployed)
    deployed.calm()
    pipeline.tweet("The curtain rises on time, and nobody is here to see it.")
    pipeline.run(count=1)
    tables = ("Tweets", "Posts")
    before = {table: keys(deployed, table) for table in tables}
    yield pipeline
    query = {"kind": "tweet_pipeline", "status": "RUNNING"}
    for left in deployed.get("/workflow/list", **query)["workflows"]:
        deployed.ask("POST", f"/workflow/{left['workflow_id']}/cancel")
    for table in tables:
        for name, tweet_id in keys(deployed, table) - before[table]:
            deployed.aws("dynamodb").delete_item(
                TableName=deployed.cloud.outputs[f"{table}TableName"],
                Key={"account": {"S": name}, "tweet_id": {"S": tweet_id}},
            )


def keys(deployed: Deployed, table: str) -> set[tuple[str, str]]:
    """The keys of all rows of a table about tweets."""
    return {(row["account"]["S"], row["tweet_id"]["S"]) for row in deployed.items(table)}


@pytest.fixture(scope="module")
def views(account: Pipeline) -> Iterator[dict[str, str]]:
    """The route of each view, with something to show in each; no tweet waits for a word after."""
    deployed = account.deployed
    search = deployed.search("RRR", max_reviews=REVIEWS)["workflow_id"]
    asked = account.tweet("Still Life ,two times in a row.. 9/10, and the bridge is really gone.")
    run = account.start(count=1, mode="approve")
    approval = account.waiting(asked)[asked]
    yield {
        "home": "/",
        "search": f"/search/{search}",
        "runs": "/runs",
        "run": f"/runs/{search}",
        "queue": f"/tweets/approvals/{approval['approval_id']}",
        "doubt": "/tweets/doubt",
        "tweets": "/tweets/all",
        "new run": "/tweets/start",
        "system": "/system?window=1h",
    }
    account.decide(approval, decision="reject")
    deployed.ended(run)


@pytest.fixture
def visitors(browser: Browser, deployed: Deployed) -> Iterator[Visitors]:
    """People who look at the page, with upstreams that work, also after the test."""
    deployed.calm()
    cloud = deployed.cloud
    origins = {_origin(cloud.api_url), _origin(cloud.upstreams_url)}
    visitors = Visitors(deployed, browser, Watch(frozenset(origins), secret=cloud.api_key))
    try:
        yield visitors
        visitors.leave()
    finally:
        visitors.stack.close()
        deployed.calm()


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
