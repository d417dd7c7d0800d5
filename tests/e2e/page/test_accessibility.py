"""Every view is for everybody: axe-core in light and dark, on a phone and a desktop; what passes is
kept as pictures."""

import os
from base64 import b64decode
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page.conftest import Visitors
from tests.support.browser import DESKTOP, PHONE, Scheme, Size, accessibility_faults

PICTURES = Path(__file__).parent / "pictures"
"""Those that the README shows."""
TAKE_PICTURES = "MARQUEE_PICTURES"
"""The variable that has them taken anew; without it pictures go to the folder of the test."""
PICTURED = {
    ("search", DESKTOP): "search",
    ("search", PHONE): "search-on-a-phone",
    ("run", DESKTOP): "run",
    ("queue", DESKTOP): "queue",
}
QUALITY = 80
LARGEST_PICTURE = 60_000
"""Bytes; the README is read over any network."""


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (PHONE, "dark")],
    ids=["desktop in light", "phone in dark"],
)
def test_no_view_shuts_anybody_out(
    visitors: Visitors, views: dict[str, str], size: Size, scheme: Scheme, tmp_path: Path
) -> None:
    folder = PICTURES if os.environ.get(TAKE_PICTURES) else tmp_path
    context = visitors.arrive(size, scheme=scheme)
    page = visitors.open("/system?window=7d", context=context)
    faults = []
    for name, route in views.items():
        visitors.go(page, route)
        faults += [f"{name}: {fault}" for fault in accessibility_faults(page)]
        if (name, size) in PICTURED:
            take(page, folder / f"{PICTURED[name, size]}.webp")
    stranger = visitors.arrive(size, scheme=scheme).new_page()
    stranger.goto(visitors.address)
    expect(stranger.get_by_label("API key")).to_be_visible()
    faults += [f"without a key: {fault}" for fault in accessibility_faults(stranger)]
    assert faults == []


def take(page: Page, file: Path) -> None:
    """A picture of what is in the window."""
    page.evaluate("scrollTo(0, 0)")
    file.parent.mkdir(exist_ok=True)
    session = page.context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    session.detach()
    file.write_bytes(b64decode(taken["data"]))
    assert file.stat().st_size <= LARGEST_PICTURE


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
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.get_by_role("link", name="Runs")).to_have_attribute("aria-current", "page")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Film")).to_be_visible()
