"""Every view in every state is for everybody: axe-core in light and dark, on a phone and a desktop;
what passes is kept as pictures."""

import os
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.deployed import Json
from tests.e2e.page.conftest import STATUSES, Visitors, content, main, refuse, rewrite
from tests.e2e.page.test_search import under_way
from tests.support.browser import DESKTOP, PHONE, Scheme, Size, accessibility_faults

PICTURES = Path(__file__).parent / "pictures"
"""Those that the README shows."""
TAKE_PICTURES = "MARQUEE_PICTURES"
"""The variable that has them taken anew; without it pictures go to the folder of the test."""
PICTURED = {
    ("home", DESKTOP, "light"): "home",
    ("running", DESKTOP, "light"): "search-running",
    ("search", DESKTOP, "light"): "search",
    ("search", PHONE, "dark"): "search-on-a-phone",
    ("run", DESKTOP, "light"): "run",
    ("queue", DESKTOP, "light"): "queue",
    ("system", DESKTOP, "light"): "system",
}
TALL = {("search", DESKTOP): 2040, ("system", DESKTOP): 1200}
"""How many pixels of a picture are shown, where that is more than a window."""
QUALITY = 40
IMAGES_ARE_THERE = """() => [...document.images].every(
  (image) => image.complete || image.getBoundingClientRect().top > innerHeight)"""
"""Those in the window; the others are not asked for."""
LARGEST_PICTURE = 120_000
"""Bytes; the README is read over any network."""


def folded_open(page: Page) -> None:
    """All that is folded."""
    main(page).locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")


def offered(page: Page) -> None:
    """Films are offered, one of them chosen by key."""
    box = page.get_by_role("combobox", name="Film")
    box.press_sequentially("r")
    expect(page.get_by_role("listbox", name="Known films")).to_be_visible()
    box.press("ArrowDown")


def help_open(page: Page) -> None:
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def editing(page: Page) -> None:
    page.get_by_role("article").first.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("textbox", name="The whole post")).to_be_focused()


def rejecting(page: Page) -> None:
    page.get_by_role("button", name="Reject", exact=True).first.click()


def public(page: Page) -> None:
    page.get_by_label("What may it do").select_option("auto")


DONE: dict[str, tuple[str, Callable[[Page], None]]] = {
    "runs with filters": ("runs", folded_open),
    "run unfolded": ("run", folded_open),
    "search unfolded": ("search", folded_open),
    "films offered": ("home", offered),
    "help": ("home", help_open),
    "edit": ("queue", editing),
    "reject": ("queue", rejecting),
    "public run": ("new run", public),
    "tweets unfolded": ("tweets", folded_open),
}
"""What is done in a view before it is looked at."""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_view_shuts_anybody_out(
    visitors: Visitors, views: dict[str, str], size: Size, tmp_path: Path
) -> None:
    folder = PICTURES if os.environ.get(TAKE_PICTURES) else tmp_path
    page = visitors.open("/system?window=7d", size)
    faults: list[str] = []

    schemes: tuple[Scheme, ...] = ("light", "dark")

    def look(state: str) -> None:
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            only_colors = scheme == "dark"
            faults.extend(
                f"{state} in {scheme}: {fault}"
                for fault in accessibility_faults(page, only_colors=only_colors)
            )
            if name := PICTURED.get((state, size, scheme)):
                take(page, folder / f"{name}.webp", TALL.get((state, size), size[1]))
        page.emulate_media(color_scheme="light")

    for name, route in views.items():
        visitors.go(page, route)
        expect(content(page, name)).to_be_visible()
        look(name)
    for name, (view, do) in DONE.items():
        visitors.go(page, "/tweets/start")
        visitors.go(page, views[view])
        expect(content(page, view)).to_be_visible()
        do(page)
        look(name)
        page.keyboard.press("Escape")

    visitors.go(page, "/runs?text=no+film+is+called+this")
    expect(main(page).get_by_text("Nothing of that kind")).to_be_visible()
    look("runs without a match")

    def no_match(status: Json) -> Json:
        result = {**status["result"], "movie": None, "message": "No film matches."}
        return {**status, "result": result}

    def failed(status: Json) -> Json:
        error = {"name": "UpstreamUnavailable", "message": "tmdb answered 503"}
        return {**status, "status": "FAILED", "result": None, "error": error}

    for name, change, words in (
        ("running", under_way, "tried again shortly"),
        ("no match", no_match, "Try the original title"),
        ("failed", failed, "This search failed"),
    ):
        visitors.go(page, "/tweets/start")
        rewrite(page, STATUSES, change)
        page.evaluate("route => { location.hash = route; }", views["search"])
        expect(main(page).get_by_text(re.compile(words)).first).to_be_visible()
        look(name)
        page.evaluate("location.hash = '/tweets/start'")
        page.unroute_all(behavior="wait")

    page.route(STATUSES, refuse)
    page.evaluate("route => { location.hash = route; }", views["search"])
    expect(main(page).get_by_text("The database did not answer")).to_be_visible()
    look("error")
    page.unroute_all(behavior="wait")

    page.evaluate("sessionStorage.clear()")
    page.goto(visitors.address)
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()
    page.keyboard.press("Enter")
    look("without a key")
    assert faults == []


def take(page: Page, file: Path, height: int) -> None:
    """A picture of what is in the window, or of so much of the page."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    window = page.viewport_size
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function(IMAGES_ARE_THERE)
    file.parent.mkdir(exist_ok=True)
    session = page.context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    session.detach()
    file.write_bytes(b64decode(taken["data"]))
    assert file.stat().st_size <= LARGEST_PICTURE, f"{file.name}: {file.stat().st_size}"
    assert window is not None
    page.set_viewport_size(window)


def test_the_page_is_walked_through_by_keyboard(visitors: Visitors, views: dict[str, str]) -> None:
    page = visitors.open(views["search"])
    visitors.settle(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Film")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for keys, name in (("gr", "Runs"), ("gt", "Tweets"), ("gy", "System")):
        for key in keys:
            page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Film")).to_be_visible()
