"""Executions in a browser: found by filters, read step by step, kept, canceled, run again."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.e2e.deployed import SEARCH, Json, workflow_id_of
from tests.e2e.page.conftest import FILM, Visitors, main, rewrite, sizes, told
from tests.support.browser import PHONE, Size
from tests.support.upstreams import Upstreams

REVIEWS = 8
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""
LISTED = re.compile(r"/workflow/list\?")


def open_filters(page: Page, size: Size) -> None:
    """They are folded on a phone."""
    if size == PHONE:
        page.get_by_text("Filter", exact=True).click()
    expect(page.get_by_role("button", name="Show")).to_be_visible()


@sizes
def test_a_run_is_found_by_kind_state_text_and_day(
    visitors: Visitors, searched: Json, waiting: tuple[str, list[Json]], size: Size
) -> None:
    run, _ = waiting
    page = visitors.open("/runs", size)
    open_filters(page, size)
    rows = page.get_by_role("table", name="Executions").locator("tbody tr")
    show = page.get_by_role("button", name="Show")
    mine = page.locator(f'a[href="#/runs/{searched["workflow_id"]}"]')
    theirs = page.locator(f'a[href="#/runs/{run}"]')
    expect(mine).to_be_visible()
    expect(theirs).to_be_visible()

    page.get_by_label("What").select_option("movie_search")
    show.click()
    expect(page).to_have_url(re.compile("kind=movie_search"))
    expect(theirs).to_have_count(0)
    expect(mine).to_be_visible()
    page.get_by_label("Holds the text").fill(FILM.lower())
    page.get_by_label("State").select_option("SUCCEEDED")
    show.click()
    expect(page).to_have_url(re.compile("status=SUCCEEDED.*text=rrr"))
    expect(rows.filter(has_not_text=FILM)).to_have_count(0)
    expect(rows.filter(has_text=FILM).first).to_contain_text("film search")
    there = page.url

    tomorrow = datetime.now(UTC) + timedelta(days=2)
    page.get_by_label("From").fill(f"{tomorrow:%Y-%m-%d}")
    show.click()
    expect(main(page).get_by_text("Nothing of that kind")).to_be_visible()
    page.get_by_label("From").fill("")
    page.get_by_label("Until").fill(f"{tomorrow:%Y-%m-%d}")
    show.click()
    expect(mine).to_be_visible()

    page.goto(there)  # an address is a state
    page.reload()
    expect(page.get_by_label("Holds the text")).to_have_value("rrr")
    expect(page.get_by_label("State")).to_have_value("SUCCEEDED")
    expect(mine).to_be_visible()
    page.get_by_label("State").select_option("RUNNING")
    page.get_by_label("What").select_option("")
    page.get_by_label("Holds the text").fill("")
    show.click()
    expect(theirs).to_be_visible()
    expect(mine).to_have_count(0)


@sizes
def test_runs_are_read_page_by_page(visitors: Visitors, views: dict[str, str], size: Size) -> None:
    """The API is asked for two a page instead of 25."""
    context = visitors.arrive(size)
    context.route(
        LISTED, lambda route: route.continue_(url=route.request.url.replace("limit=25", "limit=2"))
    )
    page = visitors.open(views["runs"], context=context)
    rows = page.get_by_role("table", name="Executions").locator("tbody tr")
    expect(rows).to_have_count(2)
    first = rows.first.get_attribute("data-key")
    page.get_by_role("link", name="Older").click()
    expect(page).to_have_url(re.compile("cursor="))
    expect(page.locator(f'tr[data-key="{first}"]')).to_have_count(0)
    expect(rows).to_have_count(2)
    page.reload()
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="The newest").click()
    expect(page.locator(f'tr[data-key="{first}"]')).to_be_visible()


@sizes
def test_a_run_is_read_step_by_step_and_kept(
    visitors: Visitors, searched: Json, size: Size, tmp_path: Path
) -> None:
    page = visitors.open(f"/runs/{searched['workflow_id']}", size)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Film search: {FILM}")
    rows = page.get_by_role("table", name="Steps").locator("tbody tr")
    expect(rows).to_have_count(len(searched["steps"]))
    for step, *words in (
        ("Find the film", "calls? of TMDB"),
        ("Collect reviews, Bluesky", r"\d+ fetched, \d+ new", "after 2 attempts", "what failed"),
        ("Collect reviews, X", r"\d+ calls? of X", "database request", r"\$0\.\d+"),
        ("Read the room", r"\d+ reviews"),
        ("Write it down", "✓"),
    ):
        row = rows.filter(has_text=step)
        for word in words:
            expect(row).to_contain_text(re.compile(word))
        expect(row.get_by_role("img", name="When it ran")).to_be_visible()
    row = rows.filter(has_text="Collect reviews, Bluesky")
    row.get_by_text("what failed").click()
    expect(row).to_contain_text("it could not be reached")
    expect(main(page).get_by_text("Cost", exact=True).first).to_be_visible()

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    download.value.save_as(tmp_path / "run.json")
    kept = json.loads((tmp_path / "run.json").read_text())
    assert kept["workflow_id"] == searched["workflow_id"]
    assert kept["steps"].keys() == searched["steps"].keys()


@sizes
def test_a_run_is_run_again_from_a_step(
    visitors: Visitors, upstreams: Upstreams, searched: Json, size: Size
) -> None:
    before = visitors.deployed.executions()
    page = visitors.open(f"/runs/{searched['workflow_id']}", size)
    page.get_by_role("combobox", name="from").select_option("AnalyzeReviews")
    page.get_by_role("button", name="Run it again").click()
    expect(page.get_by_text("It repeats")).to_be_visible()
    steps = page.get_by_role("table", name="Steps")
    expect(steps.get_by_role("row").filter(has_text="Write it down")).to_contain_text("✓")
    expect(steps).not_to_contain_text("Collect reviews")
    assert len(visitors.deployed.executions() - before) == 1
    assert upstreams.calls("bluesky") == []


@sizes
def test_a_run_that_is_run_again_in_two_tabs_at_once_runs_once(
    visitors: Visitors, upstreams: Upstreams, searched: Json, size: Size
) -> None:
    before = visitors.deployed.executions()
    upstreams.fault("tmdb", "delay", route="/3/movie/*", seconds=3)
    context = visitors.arrive(size)
    repeated = f"/runs/{searched['workflow_id']}"
    tabs = [visitors.open(repeated, context=context) for _ in range(2)]
    again = [tab.get_by_role("button", name="Run it again") for tab in tabs]
    for button in again:
        expect(button).to_be_visible()
    for button in again:
        button.click()
    for tab in tabs:
        expect(tab.get_by_text("It repeats")).to_be_visible()
        expect(tab.get_by_role("button", name="Run it again")).to_be_visible()
    assert tabs[0].url == tabs[1].url
    assert len(visitors.deployed.executions() - before) == 1


@sizes
def test_a_run_that_goes_is_canceled_in_one_tab_and_says_so_in_both(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=3)
    asked: Json = {"movie_name": "Moana", "max_reviews": REVIEWS + (size == PHONE)}
    run = workflow_id_of(visitors.deployed.ask("POST", SEARCH, wait_seconds=0, **asked))
    context = visitors.arrive(size, turns_clock=True)
    page, other = (visitors.open(f"/runs/{run}", context=context) for _ in range(2))
    expect(other.get_by_role("button", name="Cancel it")).to_be_visible()
    page.get_by_role("button", name="Cancel it").click()
    for tab in (page, other):
        visitors.turn(tab, tab.get_by_role("button", name="Run it again"))
        expect(main(tab).get_by_text("canceled").first).to_be_visible()
        expect(tab.get_by_role("button", name="Cancel it")).to_have_count(0)
        expect(told(tab)).to_contain_text("canceled")
    assert visitors.deployed.ended(run)["status"] == "CANCELED"


@sizes
def test_a_refresh_moves_nothing_under_who_looks(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    """A run that goes, to which each refresh finds another step done."""
    context = visitors.arrive(size, turns_clock=True)
    seen = []

    def another(status: Json) -> Json:
        seen.append(1)
        begun = datetime.now(UTC) - timedelta(hours=1)
        step = {**status["steps"]["FinishSearch"], "started_at": begun.isoformat()}
        added = {f"CollectReviews/source{number}": step for number in range(len(seen))}
        return {**status, "status": "RUNNING", "steps": {**added, **status["steps"]}}

    rewrite(context, "**/workflow/status/*", another)
    page = visitors.open(views["run"], context=context)
    row = page.get_by_role("row").filter(has_text="Collect reviews, Bluesky")
    row.get_by_text("what failed").click()
    summary = row.locator("summary")
    expect(summary).to_be_focused()
    page.evaluate("element => { element.kept = true; }", row.element_handle())
    top = page.evaluate("scrollY")
    rows = page.get_by_role("table", name="Steps").locator("tbody tr")
    before = rows.count()
    with page.expect_response("**/workflow/status/*"):
        page.clock.fast_forward(5_000)
    expect(rows).not_to_have_count(before)
    assert page.evaluate("element => element.kept", row.element_handle()) is True
    expect(row.locator("details")).to_have_attribute("open", "")
    expect(summary).to_be_focused()
    assert page.evaluate("scrollY") >= top


@sizes
def test_days_are_those_of_who_looks(visitors: Visitors, searched: Json, size: Size) -> None:
    """Half past five hours ahead of UTC, where a day begins at 18:30."""
    page = visitors.open("/tweets/start", size)
    with page.expect_request(LISTED) as sent:
        visitors.go(page, "/runs?since=2026-01-02&until=2026-01-02")
    query = parse_qs(urlsplit(sent.value.url).query)
    assert query["since"] == ["2026-01-01T18:30:00.000Z"]
    assert query["until"] == ["2026-01-02T18:29:59.999Z"]
    expect(main(page).get_by_text("Nothing of that kind")).to_be_visible()
    with page.expect_request(LISTED) as sent:
        visitors.go(page, "/runs?since=abc")
    assert "since" not in parse_qs(urlsplit(sent.value.url).query)
    expect(page.locator(f'a[href="#/runs/{searched["workflow_id"]}"]')).to_be_visible()
