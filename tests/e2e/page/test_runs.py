"""Executions and the state of the installation in a browser."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.deployed import SEARCH, Json, eventually, workflow_id_of
from tests.e2e.page.conftest import Visitors, main
from tests.e2e.test_triggers import TRIGGERS, Hooks
from tests.support.browser import DESKTOP, PHONE
from tests.support.receiver import receiving

REVIEWS = 8
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""
BETWEEN_LOOKS = 15_000
"""Milliseconds; longer than the page waits before it looks again."""


def test_a_run_is_found_by_its_text_read_step_by_step_kept_and_run_again(
    visitors: Visitors, tmp_path: Path
) -> None:
    visitors.deployed.upstreams.fault("bluesky", "reset", route="*searchPosts")
    run = visitors.deployed.search("Amélie", max_reviews=REVIEWS)
    page = visitors.open("/runs", DESKTOP)
    page.get_by_label("What").select_option("movie_search")
    expect(page).to_have_url(re.compile("kind=movie_search"))
    page.get_by_label("Holds the text").fill("amélie")
    page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("table", name="Executions").get_by_role("row")
    expect(rows.filter(has_text="Amélie").first).to_contain_text("film search")
    rows.get_by_role("link", name="Amélie").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Film search: Amélie")
    expect(page).to_have_url(f"{visitors.address}#/runs/{run['workflow_id']}")

    steps = page.get_by_role("table", name="Steps")
    found = steps.get_by_role("row").filter(has_text="Collect reviews, Bluesky")
    expect(found).to_contain_text("after 2 attempts")
    found.get_by_text("what failed").click()
    expect(found).to_contain_text("it could not be reached")
    for words in (r"\d+ (fetched|new|reviews)", r"\d+ calls? of (X|TMDB)"):
        expect(steps).to_contain_text(re.compile(words))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    download.value.save_as(tmp_path / "run.json")
    kept = json.loads((tmp_path / "run.json").read_text())
    assert kept["workflow_id"] == run["workflow_id"]
    assert kept["steps"].keys() == run["steps"].keys()

    page.get_by_role("combobox", name="from").select_option("AnalyzeReviews")
    page.get_by_role("button", name="Run it again").click()
    expect(page.get_by_text("It repeats")).to_be_visible()
    expect(steps.get_by_role("row").filter(has_text="Write it down")).to_contain_text("✓")
    expect(steps).not_to_contain_text("Collect reviews")


def test_a_run_that_goes_is_canceled_and_says_so(visitors: Visitors) -> None:
    visitors.deployed.upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=6)
    query: Json = {"movie_name": "Moana", "max_reviews": REVIEWS, "wait_seconds": 0}
    run = workflow_id_of(visitors.deployed.ask("POST", SEARCH, **query))
    page = visitors.open(f"/runs/{run}", PHONE)
    page.get_by_role("button", name="Cancel it").click()
    expect(main(page).get_by_text("canceled").first).to_be_visible()
    expect(page.get_by_role("button", name="Run it again")).to_be_visible()


def test_the_state_of_all_is_shown_and_refreshed_without_flicker(visitors: Visitors) -> None:
    visitors.deployed.search("Wicked", max_reviews=REVIEWS)
    context = visitors.arrive(DESKTOP)
    context.clock.install()
    page = visitors.open("/system?window=1h", context=context)
    for part in ("Hour by hour", "Steps", "Upstreams", "Queues", "Callbacks"):
        expect(page.get_by_role("heading", name=part, exact=True)).to_be_visible()
    expect(page.get_by_role("table", name="Upstreams")).to_contain_text("TMDB")
    expect(page.get_by_role("table", name="Steps")).to_contain_text("Find the film")
    page.evaluate("document.querySelector('main table').kept = true")
    with page.expect_response(re.compile("automation-stats")):
        context.clock.fast_forward(BETWEEN_LOOKS)
    page.evaluate("new Promise((drawn) => requestAnimationFrame(drawn))")
    assert page.evaluate("document.querySelector('main table').kept") is True

    context.route("**/automation-stats*", lambda route: route.abort())
    context.clock.fast_forward(BETWEEN_LOOKS)
    expect(main(page).get_by_text("It is tried again by itself.")).to_be_visible()
    expect(page.get_by_role("table", name="Upstreams")).to_contain_text("TMDB")
    context.unroute("**/automation-stats*")
    context.clock.fast_forward(2 * BETWEEN_LOOKS)
    expect(main(page).get_by_text("It is tried again by itself.")).to_be_hidden()
    page.get_by_role("link", name="Last week").click()
    expect(page).to_have_url(re.compile("window=7d"))
    expect(page.get_by_role("table", name="Upstreams")).to_contain_text("TMDB")


def test_a_callback_that_failed_is_sent_again_from_the_page(visitors: Visitors) -> None:
    with receiving() as receiver:
        hooks = Hooks(visitors.deployed, receiver)
        made = hooks.register("PageOpened")
        receiver.status = 410
        hooks.happens("PageOpened")
        hooks.ended(made)
        eventually(lambda: not hooks.trigger(made)["enabled"])
        page = visitors.open("/system?window=1h", PHONE)
        row = page.get_by_role("row").filter(has_text=str(receiver.port))
        expect(row).to_contain_text("answered 410")
        receiver.status = 204
        enable = f"{TRIGGERS}/{made['trigger_id']}/enable"
        assert visitors.deployed.ask("POST", enable).status_code == 200
        row.get_by_role("button", name="Send it again").click()
        eventually(lambda: len(receiver.calls) == 2)
        hooks.ended(made)
        visitors.deployed.ask("DELETE", f"{TRIGGERS}/{made['trigger_id']}")
