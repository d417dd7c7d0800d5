"""Every view and every button, on a phone and a desktop, while the API is slow, cut off, or refused
by DynamoDB. What the API answers meanwhile is what it really answers; only when, is up to a test.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.deployed import Deployed, Json
from tests.e2e.page.conftest import (
    REFUSED,
    STATUSES,
    Visitors,
    card,
    content,
    main,
    refuse,
    region,
    rewrite,
    told,
    visiting,
)
from tests.support.browser import DESKTOP, PHONE, Size

API = re.compile(r"/(workflow|tweets|posts|movies|triggers|api/orchestrator)(/|\?|$)")
CUT = "Marquee cannot be reached"
NO_STORE = "The database did not answer"
FORBIDDEN = "Something went wrong on our side"
AGAIN = "It is tried again by itself."
LIVE = ("search", "runs", "run", "run that goes", "queue", "system")
"""Views that ask again by themselves; the others have a button."""
READ = (*LIVE, "home", "doubt", "tweets")
KEPT = ("runs", "run that goes", "queue", "system", "search that goes")
"""Views that are refreshed while one looks."""


@dataclass
class Held:
    """Requests that wait for their answers."""

    routes: list[Route] = field(default_factory=list)
    is_over: bool = False

    def hold(self, route: Route) -> None:
        """Let a request wait."""
        if self.is_over:
            route.continue_()
        else:
            self.routes.append(route)

    def answer(self, fault: str) -> Callable[[Route], None]:
        """What becomes of a request while the API is slow, cut off or refused."""
        ways: dict[str, Callable[[Route], None]] = {
            "slow": self.hold,
            "cut off": lambda route: route.abort(),
            "refused": refuse,
        }
        return ways[fault]

    def let_go(self) -> None:
        """All are answered, and those that come after."""
        self.is_over = True
        for route in self.routes:
            route.continue_()


@pytest.fixture(scope="module", params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def visitor(
    request: pytest.FixtureRequest, browser: Browser, deployed: Deployed
) -> Iterator[tuple[Visitors, Page]]:
    """Somebody with the page open, whose clock can be turned."""
    size: Size = request.param
    with visiting(browser, deployed) as visitors:
        yield visitors, visitors.open("/tweets/start", size, turns_clock=True)


@pytest.fixture
def page(visitor: tuple[Visitors, Page]) -> Iterator[Page]:
    """A page that shows nothing yet, with a network that works."""
    visitors, page = visitor
    visitors.go(page, "/tweets/start")
    yield page
    page.unroute_all(behavior="ignoreErrors")
    page.context.set_offline(False)
    visitors.look_over()


def follow(page: Page, route: str) -> None:
    """Follow a link, and wait for nothing."""
    page.evaluate("route => { location.hash = route; }", route)


@contextmanager
def cut(page: Page) -> Iterator[None]:
    """Without a network until the block ends."""
    page.context.set_offline(True)
    yield
    page.context.set_offline(False)


@contextmanager
def refused(page: Page) -> Iterator[None]:
    """DynamoDB refuses the API until the block ends."""
    page.route(API, refuse)
    yield
    page.unroute_all(behavior="wait")


def assert_comes_back(visitors: Visitors, page: Page, view: str) -> None:
    """What a view is looked at for comes by itself, or with the button that is offered."""
    if view not in LIVE:
        main(page).get_by_role("button", name="Try again").click()
    visitors.turn(page, content(page, view))
    visitors.turn(page, main(page).get_by_text(AGAIN), is_there=False)


@pytest.mark.parametrize("view", READ)
def test_a_slow_answer_is_waited_for_in_words(page: Page, views: dict[str, str], view: str) -> None:
    held = Held()
    page.route(API, held.hold)
    follow(page, views[view])
    # Who begins waits for nothing: a film can be searched already.
    expect(main(page).locator(".hero" if view == "home" else ".loading").first).to_be_visible()
    expect(content(page, view)).to_have_count(0)
    held.let_go()
    expect(content(page, view)).to_be_visible()
    expect(main(page).locator(".loading")).to_have_count(0)


@pytest.mark.parametrize("view", READ)
@pytest.mark.parametrize(
    ("fault", "words"), [(cut, CUT), (refused, NO_STORE)], ids=["cut off", "database refuses"]
)
def test_a_view_that_cannot_be_read_says_so_and_comes_once_it_can(
    visitor: tuple[Visitors, Page],
    page: Page,
    views: dict[str, str],
    view: str,
    fault: Callable[[Page], AbstractContextManager[None]],
    words: str,
) -> None:
    visitors, _ = visitor
    with fault(page):
        follow(page, views[view])
        visitors.turn(page, main(page).get_by_text(words))
        expect(main(page).locator(".loading")).to_have_count(0)
    assert_comes_back(visitors, page, view)


def going(status: Json) -> Json:
    """A search, as it was while it collected."""
    steps = {name: step for name, step in status["steps"].items() if name[0] in "FC"}
    ended: Json = {"status": "RUNNING", "ended_at": None, "duration_ms": None, "result": None}
    return {**status, **ended, "steps": steps}


@pytest.mark.parametrize("view", KEPT)
def test_what_one_looks_at_stays_while_it_cannot_be_refreshed(
    visitor: tuple[Visitors, Page], page: Page, views: dict[str, str], view: str
) -> None:
    """A search that goes on is a real one, said to be running."""
    visitors, _ = visitor
    if view == "search that goes":
        rewrite(page, STATUSES, going)
        seen = main(page).locator(".steps")
    else:
        seen = content(page, view)
    follow(page, views[view.replace("search that goes", "search")])
    expect(seen).to_be_visible()
    trouble = main(page).get_by_text(AGAIN)
    with cut(page):
        page.unroute_all(behavior="wait")
        visitors.turn(page, trouble.filter(has_text=CUT))
        expect(seen).to_be_visible()
        if view == "search that goes":
            rewrite(page, STATUSES, going)
    expect(trouble).to_have_count(0)  # at once: the browser says that it is online
    with refused(page):
        visitors.turn(page, trouble.filter(has_text=NO_STORE))
        expect(seen).to_be_visible()
    if view == "search that goes":
        rewrite(page, STATUSES, going)
    visitors.turn(page, trouble, is_there=False)
    expect(trouble).to_have_count(0)
    expect(seen).to_be_visible()


@dataclass(frozen=True)
class Deed:
    """Something that the page asks for: in which view, how, and with which button."""

    view: str
    button: str
    path: str
    inside: Callable[[Page], Locator] = main
    before: Callable[[Page], None] = lambda page: None


def first_card(page: Page) -> Locator:
    return page.get_by_role("article").first


def current(page: Page) -> Locator:
    return page.locator("article.here")


def editing(page: Page) -> None:
    """The first tweet is edited, and may be posted."""
    current(page).get_by_role("button", name="Edit").click()
    expect(current(page).get_by_role("button", name="Post this text")).to_be_enabled()


def rejecting(page: Page) -> None:
    current(page).get_by_role("button", name="Reject", exact=True).click()


def looked(page: Page) -> None:
    first_card(page).get_by_label("I looked at the account").check()


def found(page: Page) -> None:
    first_card(page).get_by_label("Its id on X").fill("12345")


DEEDS = {
    "search again": Deed("search", "Search again now", r"/rerun$"),
    "run again": Deed("run", "Run it again", r"/rerun$"),
    "cancel": Deed("run that goes", "Cancel it", r"/cancel$"),
    "approve": Deed("queue", "Approve", r"/workflow/approvals/[^/]+$", current),
    "edit": Deed("queue", "Post this text", r"/workflow/approvals/[^/]+$", current, editing),
    "reject": Deed("queue", "Reject it", r"/workflow/approvals/[^/]+$", current, rejecting),
    "it is on X": Deed("doubt", "It is on X", r"/posts/\w+/\d+$", first_card, found),
    "send it": Deed("doubt", "It is not: send it", r"/posts/\w+/\d+$", first_card, looked),
    "give it up": Deed("doubt", "Give it up", r"/posts/\w+/\d+$", first_card),
    "start a run": Deed("new run", "Start the run", r"/workflow/execute$"),
    "send a callback": Deed("system", "Send it again", r"/redeliver$"),
}
"""What is asked of the API; nothing of it reaches the API here."""


@pytest.mark.parametrize("name", DEEDS)
def test_what_is_asked_for_is_asked_once_and_what_came_between_is_said(
    visitor: tuple[Visitors, Page],
    page: Page,
    views: dict[str, str],
    name: str,
) -> None:
    """Slow, then cut off, then refused: each time nothing was done, and it can be tried again."""
    deed = DEEDS[name]
    visitors, _ = visitor
    visitors.go(page, views[deed.view])
    expect(content(page, deed.view)).to_be_visible()
    deed.before(page)
    path = re.compile(deed.path)
    button = deed.inside(page).get_by_role("button", name=deed.button, exact=True).first
    held = Held()
    page.route(path, held.hold)
    button.click()
    expect(button).to_be_disabled()
    button.click(force=True)
    page.wait_for_timeout(20)
    [route] = held.routes
    route.abort()
    expect(deed.inside(page).get_by_text(CUT).first).to_be_visible()
    expect(button).to_be_enabled()
    page.unroute(path)

    page.route(path, refuse)
    button.click()
    expect(deed.inside(page).get_by_text(NO_STORE).first).to_be_visible()
    expect(deed.inside(page).get_by_text(CUT)).to_have_count(0)
    expect(button).to_be_enabled()


@pytest.mark.parametrize("fault", ["slow and then cut off", "refused"])
def test_a_search_that_cannot_begin_says_so_and_can_be_tried_again(
    page: Page, views: dict[str, str], searched: Json, fault: str
) -> None:
    path = re.compile("auto-search$")
    held = Held()
    if fault == "refused":
        page.route(path, refuse)
    else:
        page.route(path, held.hold)
    asked = searched["input"]
    follow(page, f"/search?movie_name=RRR&max_reviews={asked['max_reviews']}")
    if fault != "refused":
        expect(main(page).get_by_text("Starting the search")).to_be_visible()
        held.routes[0].abort()
    expect(main(page).get_by_text(NO_STORE if fault == "refused" else CUT)).to_be_visible()
    expect(main(page).locator(".loading")).to_have_count(0)
    page.unroute(path)
    main(page).get_by_role("button", name="Try again").click()
    expect(content(page, "search")).to_be_visible()


@pytest.mark.parametrize("fault", ["slow", "cut off", "refused"])
def test_a_title_can_be_searched_though_no_film_is_offered(
    page: Page, searched: Json, fault: str
) -> None:
    path = re.compile(r"/movies\?")
    held = Held()
    page.route(path, held.answer(fault))
    follow(page, f"/search/{searched['workflow_id']}")
    expect(content(page, "search")).to_be_visible()
    box = page.get_by_role("combobox", name="Film")
    with page.expect_request(path):
        box.fill("no film is called this")
        page.clock.fast_forward(1_000)
    expect(page.get_by_role("listbox", name="Known films")).to_have_count(0)
    box.press("Enter")
    expect(main(page).get_by_text("Try the original title")).to_be_visible()


@pytest.mark.parametrize("fault", ["slow", "cut off", "refused"])
def test_reviews_that_cannot_be_read_lack_in_the_trend_alone(
    visitor: tuple[Visitors, Page], page: Page, views: dict[str, str], fault: str
) -> None:
    visitors, _ = visitor
    path = re.compile(r"/movies/\d+/reviews")
    held = Held()
    page.route(path, held.answer(fault))
    follow(page, views["search"])
    expect(content(page, "search")).to_be_visible()
    feeling = region(page, "How people feel")
    words = {"slow": "Reading the reviews", "cut off": CUT, "refused": NO_STORE}[fault]
    visitors.turn(page, feeling.get_by_text(words))
    expect(feeling.get_by_role("img", name="How the reviews spread")).to_be_visible()
    expect(region(page, "Recommendations").get_by_role("listitem").first).to_be_visible()
    if fault == "slow":
        held.let_go()
        expect(feeling.get_by_role("img", name="Feeling by")).to_be_visible()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_view_outlives_a_database_that_really_refuses(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    context = visitors.arrive(size, turns_clock=True)
    read = [view for view in READ if view != "run"]
    with visitors.deployed.denied("ApiFunction", REFUSED):
        tabs = {view: visitors.open(views[view], context=context) for view in read}
        for view, tab in tabs.items():
            visitors.turn(tab, main(tab).get_by_text(re.compile(f"{FORBIDDEN}|not known just now")))
            if view == "queue":
                expect(tab.get_by_role("article")).to_have_count(0)
    for view, tab in tabs.items():
        if view not in LIVE:
            main(tab).get_by_role("button", name="Try again").click()
        visitors.turn(tab, content(tab, view))


def test_going_offline_and_online_is_told(page: Page) -> None:
    with cut(page):
        expect(told(page)).to_have_text("You are offline")
    expect(told(page)).to_have_text("You are online again")


def test_a_word_that_the_database_refuses_is_not_taken_for_one(
    visitors: Visitors, waiting: tuple[str, list[Json]]
) -> None:
    _, [approval, *_] = waiting
    page = visitors.open("/tweets", PHONE)
    tweet = card(page, approval["proposed"])
    approve = tweet.get_by_role("button", name="Approve")
    expect(approve).to_be_visible()
    with visitors.deployed.denied("ApiFunction", REFUSED):
        approve.click()
        expect(tweet.get_by_text(FORBIDDEN).first).to_be_visible()
        expect(approve).to_be_enabled()
    listed = visitors.deployed.get("/workflow/approvals", limit=100)["approvals"]
    assert approval["approval_id"] in {one["approval_id"] for one in listed}
