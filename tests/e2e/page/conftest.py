"""One browser for the page's tests, people who look at the page with it, and what its views show:
brought into being once, looked at on every width and with every fault."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from re import Pattern
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from marquee.api.problems import refusal_of
from marquee.errors import StoreUnavailable
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import (
    SEARCH,
    Answer,
    Deployed,
    Json,
    deployed_in,
    eventually,
    workflow_id_of,
)
from tests.e2e.test_triggers import Hooks
from tests.e2e.test_tweet_pipeline import ACCOUNT, FOREIGN, Pipeline
from tests.support.browser import (
    DESKTOP,
    PATIENCE_SECONDS,
    PHONE,
    Scheme,
    Size,
    Watch,
    browsing,
    chromium,
    running_browser,
    stray_markup,
)
from tests.support.receiver import receiving
from tests.support.upstreams import Upstreams

LOOK_MILLISECONDS = 40
A_WHILE = 20_000
"""Milliseconds; longer than the page waits before it asks again."""
SCALE_OF_LONG_WAITS = 0.05
"""Time to do something between a post and the look for it, and little more."""
_GO = """(route) => new Promise((arrived) => {
  if (location.hash === `#${route}`) arrived();
  addEventListener("hashchange", () => setTimeout(arrived), { once: true });
  location.hash = route;
})"""

FILM = "RRR"
RELATED = ("Baahubali: The Beginning", "Eega")
"""So that there is something to recommend."""
REVIEWS = 40
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""
IN_DOUBT = (
    "An Autumn Afternoon at noon: 8/10, tea for everybody in the third row.",
    "Late Spring by the window: 9/10, the apple was peeled in silence.",
    "Floating Weeds in the rain: 9/10, two umbrellas and one stage.",
    "Good Morning at midnight: 8/10, the television won the argument.",
)
TO_DECIDE = (
    "Still Life ,two times in a row.. 9/10, and the bridge is really gone.",
    "A Touch of Sin ,once and never alone.. 8/10 for the man with the horse.",
)
STATUSES = "**/workflow/status/*"
REFUSED = {"Action": "dynamodb:*", "Resource": "*"}

sizes = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])


@dataclass
class Visitors:
    """People with a browser of their own each, who look at a deployed page; all are watched."""

    deployed: Deployed
    browser: Browser
    watch: Watch
    stack: ExitStack = field(default_factory=ExitStack)
    contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The page's address, without a key and a route."""
        return f"{self.deployed.cloud.api_url}/"

    def arrive(
        self,
        size: Size = DESKTOP,
        *,
        scheme: Scheme = "light",
        turns_clock: bool = False,
        **options: Any,
    ) -> BrowserContext:
        """Somebody's browser, with no page open, whose clock may be one that `turn` turns;
        `options` are Playwright's."""
        context = self.stack.enter_context(
            browsing(self.browser, self.watch, size, scheme=scheme, **options)
        )
        if turns_clock:
            context.clock.install()
        self.contexts.append(context)
        return context

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

    def turn(self, page: Page, shown: Locator, *, is_there: bool = True) -> None:
        """Turn the clock on until something is shown, or is not: what is tried again is tried now.

        Not while a request is under way: the page would give it up as one without an end.
        """
        deadline = monotonic() + PATIENCE_SECONDS
        while shown.first.is_visible() is not is_there:
            assert monotonic() < deadline, f"{shown}: {not is_there}"
            if not self.watch.under_way:
                page.clock.fast_forward(A_WHILE)
            page.wait_for_timeout(LOOK_MILLISECONDS)

    def look_over(self) -> None:
        """Nothing must have happened in any page that must not."""
        for context in self.contexts:
            for page in context.pages:
                assert stray_markup(page) == []
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    f"{page.url} is wider than its window"
                )
        self.watch.assert_clean()


def main(page: Page) -> Locator:
    """What the page shows, without its frame and what it says aloud."""
    return page.get_by_role("main")


def told(page: Page) -> Locator:
    """What a screen reader is told."""
    return page.locator("#said")


def region(page: Page, name: str) -> Locator:
    """A part of the page by what it is called."""
    return page.get_by_role("region", name=name, exact=True)


def chip(page: Page, source: str) -> Locator:
    """What the page says of a source."""
    return region(page, "Sources").get_by_role("listitem").filter(has_text=source)


def card(page: Page, words: str) -> Locator:
    """The tweet with these words, in the queue or among those in doubt."""
    return page.get_by_role("article").filter(has_text=words)


def respond(route: Route, answer: Answer) -> None:
    """Answer a request as the API has answered another one."""
    route.fulfill(
        status=answer.status_code,
        body=answer.content,
        content_type=answer.headers["content-type"],
        headers={"retry-after": answer.headers.get("retry-after", "")},
    )


def refuse(route: Route) -> None:
    """Answer a request as the API does while DynamoDB takes no more."""
    path = urlsplit(route.request.url).path
    refusal = refusal_of(StoreUnavailable("throttled"), method=route.request.method, path=path)
    reply = refusal.reply(path=path, request_id="a-request")
    route.fulfill(
        status=reply.status,
        body=reply.text(),
        content_type=reply.content_type,
        headers=dict(reply.headers),
    )


def rewrite(
    page: Page | BrowserContext, path: str | Pattern[str], change: Callable[[Json], Json]
) -> None:
    """From now on the API's answers at a path are changed on their way."""

    def changed(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=change(answer.json()))

    page.route(path, changed)


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, whose processes end with the tests of a file."""
    program = chromium()
    assert program is not None
    with running_browser(program) as running:
        yield running


@pytest.fixture(scope="package")
def deployed(cloud: RunningCloud) -> Iterator[Deployed]:
    """The stack whose page is looked at."""
    with deployed_in(cloud) as running:
        running.calm()
        yield running
        running.calm()


@pytest.fixture
def upstreams(deployed: Deployed) -> Iterator[Upstreams]:
    """The stand-ins, for who lets them fail or searches much: they work, also after the test."""
    deployed.calm()
    yield deployed.upstreams
    deployed.calm()


def keys(deployed: Deployed, table: str) -> set[tuple[str, str]]:
    """The keys of all rows of a table about tweets."""
    return {(row["account"]["S"], row["tweet_id"]["S"]) for row in deployed.items(table)}


@pytest.fixture(scope="package")
def account(deployed: Deployed) -> Iterator[Pipeline]:
    """The pipeline, all that its accounts said before read; what these tests add is forgotten."""
    pipeline = Pipeline(deployed)
    for name in (ACCOUNT, FOREIGN):
        pipeline.tweet("The curtain rises on time, and nobody is here to see it.", name)
    related = [begun(deployed, name) for name in RELATED]
    runs = [pipeline.start(count=1, username=name) for name in (ACCOUNT, FOREIGN)]
    for workflow_id in (*related, *runs):
        deployed.ended(workflow_id)
    for held in deployed.get("/workflow/approvals", limit=100)["approvals"]:
        pipeline.decide(held, decision="reject")
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


def begun(deployed: Deployed, movie_name: str) -> str:
    """A search that goes on."""
    query: Json = {"movie_name": movie_name, "max_reviews": REVIEWS, "wait_seconds": 0}
    return workflow_id_of(deployed.ask("POST", SEARCH, **query))


@dataclass(frozen=True)
class Stage:
    """What the views show."""

    search: Json
    """One that lacks nothing, though a source had to be asked twice."""
    run: str
    """It goes on while tweets wait for a word, about which no test decides."""
    approvals: list[Json]
    doubted: list[str]
    """Texts of posts of which nobody can tell whether X has them."""
    hooks: Hooks
    """Callbacks, whose receiver answers 410 until a test says otherwise."""


@pytest.fixture(scope="package")
def stage(account: Pipeline) -> Iterator[Stage]:
    """All that the views show, brought into being side by side, as far as it goes."""
    deployed = account.deployed
    ids = [account.tweet(text, FOREIGN) for text in TO_DECIDE]
    run = account.start(count=len(ids), mode="approve", username=FOREIGN)
    with receiving() as receiver:
        hooks = Hooks(deployed, receiver)
        urls = [f"{receiver.url}&number={number}" for number in range(3)]
        made = [hooks.register("PageOpened", url=url) for url in urls]
        receiver.status = 410
        hooks.happens("PageOpened")
        deployed.upstreams.fault("bluesky", "reset", route="*searchPosts")
        searching = begun(deployed, FILM)
        doubted = in_doubt(account)
        search = deployed.ended(searching)
        approvals = list(account.waiting(*ids).values())
        for one in made:
            hooks.ended(one)
        yield Stage(search, run, approvals, doubted, hooks)
        for one in made:
            deployed.ask("DELETE", f"/triggers/{one['trigger_id']}")


def in_doubt(account: Pipeline) -> list[str]:
    """Posts whose answers were lost, while somebody tweeted the same."""
    deployed = account.deployed
    before = len(deployed.upstreams.posts())

    def posted(count: int) -> list[Json]:
        posts = deployed.upstreams.posts()[before:]
        return posts if len(posts) > count else []

    for text in IN_DOUBT:
        account.tweet(text)
    deployed.upstreams.fault("x", "lost", route="/2/tweets", count=len(IN_DOUBT))
    with deployed.waits_scaled(SCALE_OF_LONG_WAITS, after=0):
        run = account.start(count=len(IN_DOUBT), mode="auto")
        for number in range(len(IN_DOUBT)):
            [*_, newest] = eventually(partial(posted, number))
            account.tweet(newest["text"])  # who could tell the two apart
        deployed.ended(run)
    return [post["text"] for post in posted(0)]


@pytest.fixture(scope="package")
def searched(stage: Stage) -> Json:
    """A search that lacks nothing, though a source had to be asked twice."""
    return stage.search


@pytest.fixture(scope="package")
def doubted(stage: Stage) -> list[str]:
    """The texts of posts of which nobody can tell whether X has them."""
    return stage.doubted


@pytest.fixture(scope="package")
def waiting(stage: Stage) -> tuple[str, list[Json]]:
    """A run that goes on while two tweets wait for a word, about which no test decides."""
    return stage.run, stage.approvals


@pytest.fixture(scope="package")
def undelivered(stage: Stage) -> Hooks:
    """Callbacks, whose receiver answers 410 until a test says otherwise."""
    return stage.hooks


@pytest.fixture(scope="package")
def views(stage: Stage) -> dict[str, str]:
    """The route of each view, with something to show in each."""
    searched, run, approval = stage.search, stage.run, stage.approvals[0]
    return {
        "home": "/",
        "search": f"/search/{searched['workflow_id']}",
        "runs": "/runs",
        "run": f"/runs/{searched['workflow_id']}",
        "run that goes": f"/runs/{run}",
        "queue": f"/tweets/approvals/{approval['approval_id']}",
        "doubt": "/tweets/doubt",
        "tweets": "/tweets/all",
        "new run": "/tweets/start",
        "system": "/system?window=1h",
    }


def content(page: Page, view: str) -> Locator:
    """What a view is looked at for."""
    return {
        "home": page.get_by_role("heading", name="Searched lately"),
        "search": region(page, "Sources"),
        "runs": page.get_by_role("table", name="Executions"),
        "run": page.get_by_role("table", name="Steps"),
        "run that goes": page.get_by_role("table", name="Steps"),
        "queue": page.get_by_role("article"),
        "doubt": page.get_by_role("article"),
        "tweets": page.get_by_role("table", name="Tweets of"),
        "new run": page.get_by_role("button", name="Start the run"),
        "system": page.get_by_role("table", name="Upstreams"),
    }[view].first


@contextmanager
def visiting(browser: Browser, deployed: Deployed) -> Iterator[Visitors]:
    """People who look at the page until the block ends."""
    cloud = deployed.cloud
    origins = {_origin(cloud.api_url), _origin(cloud.upstreams_url)}
    with ExitStack() as stack:
        watch = Watch(frozenset(origins), secret=cloud.api_key)
        visitors = Visitors(deployed, browser, watch, stack)
        yield visitors
        visitors.look_over()


@pytest.fixture
def visitors(browser: Browser, deployed: Deployed) -> Iterator[Visitors]:
    """People who look at the page."""
    with visiting(browser, deployed) as found:
        yield found


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
