"""Executions and the installation: what refreshes leaves alone, and buttons that mean one thing."""

import json
import re
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from marquee.workflows.record import Status
from tests.page.answers import (
    a_delivery,
    a_list,
    a_run,
    a_running,
    a_step,
    a_summary,
    accepted,
    installation,
    steps,
)
from tests.page.conftest import CUT, HELD, Api, Visitors, main, refused
from tests.support.browser import PHONE
from tests.support.builders import NOW
from tests.support.gateway_view import a_closed_provider, a_gateway

LIST = "/workflow/list"
ONE = "/workflow/status/auto-search-1"
RUN = "/runs/auto-search-1"
STATS = "/api/orchestrator/automation-stats"


def poll(page: Page, path: str, seconds: int) -> None:
    """Let the page look again."""
    with page.expect_event("requestfinished", lambda r: path in r.url):
        page.clock.fast_forward(1000 * seconds)
    page.evaluate("new Promise((drawn) => setTimeout(drawn))")


def test_a_second_click_on_cancel_does_not_run_it_again(visitors: Visitors, api: Api) -> None:
    api.answer("GET", ONE, a_running())
    api.answer("POST", "/workflow/.*/cancel", accepted())
    page = visitors.open(RUN)
    cancel = page.get_by_role("button", name="Cancel it")
    box = cancel.bounding_box()
    assert box
    cancel.click()
    api.answer("GET", ONE, a_run(status=Status.CANCELED, result=None))
    poll(page, ONE, 2)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.mouse.click(box["x"] + 9, box["y"] + 9)
    page.wait_for_timeout(100)
    assert api.made("POST", ".*/rerun") == []

    api.answer("POST", ".*/rerun", refused(503, "the database did not answer"))
    page.get_by_role("button", name="Run it again").click()
    expect(main(page).get_by_text("The database did not answer. (request req-1)")).to_be_visible()


def test_who_leaves_while_a_rerun_begins_stays_away(visitors: Visitors, api: Api) -> None:
    api.answer("GET", ONE, a_run())
    api.answer("GET", LIST, a_list(a_summary(1)))
    api.answer("POST", ".*/rerun", HELD)
    page = visitors.open(RUN)
    page.get_by_role("button", name="Run it again").click()
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("table")).to_be_visible()
    api.release(accepted("auto-search-2"))
    page.wait_for_timeout(100)
    expect(page).to_have_url(re.compile("#/runs$"))


def test_a_refresh_that_fails_takes_nothing_away(visitors: Visitors, api: Api) -> None:
    api.answer("GET", LIST, a_list(a_summary(1), a_summary(2)))
    page = visitors.open("/runs")
    row = page.get_by_role("link", name="Film 2")
    row.focus()
    api.answer("GET", LIST, refused(503, "not now"))
    poll(page, LIST, 5)
    expect(main(page).get_by_text("It is tried again by itself.")).to_be_visible()
    expect(row).to_be_focused()
    api.answer("GET", LIST, a_list(a_summary(0), a_summary(1), a_summary(2)))
    poll(page, LIST, 10)
    expect(main(page).get_by_text("It is tried again by itself.")).to_have_count(0)
    expect(page.get_by_role("row")).to_have_count(4)
    expect(row).to_be_focused()


def test_what_is_open_in_a_run_stays_open(visitors: Visitors, api: Api) -> None:
    failure = {"error": {"name": "UpstreamTimeout", "message": "no answer in 5 s"}}
    found = {
        "FindMovie": a_step(0, 0.6),
        "CollectReviews/x": a_step(1, None, attempts=2, failed_attempts=(failure,)),
    }
    api.answer("GET", ONE, a_running(steps=found))
    page = visitors.open(RUN)
    page.get_by_text("what failed").click()
    for answer in (refused(503), a_running(steps=found, stalled=True), a_running(steps=found)):
        api.answer("GET", ONE, answer)
        poll(page, ONE, 3)
        expect(page.get_by_text("it did not answer in time")).to_be_visible()


def test_filters_show_at_once_and_leave_focus_and_form_alone(visitors: Visitors, api: Api) -> None:
    api.answer("GET", LIST, a_list(a_summary(1)))
    page = visitors.open("/runs?since=abc")
    expect(page.get_by_role("link", name="Film 1")).to_be_visible()
    api.answer("GET", LIST, a_list(a_summary(2)))
    what = page.get_by_label("What")
    what.focus()
    what.select_option("movie_search")
    expect(page.get_by_role("link", name="Film 2")).to_be_visible()
    expect(page).to_have_url(re.compile("#/runs.kind=movie_search$"))
    expect(what).to_be_focused()
    page.get_by_label("Holds the text").fill("film")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("kind=movie_search&text=film$"))
    page.go_back()
    expect(page.get_by_label("Holds the text")).to_have_value("")
    expect(page.get_by_label("What")).to_have_value("movie_search")
    assert api.made("GET", LIST)[0].query == {"limit": "25"}


def test_filters_are_folded_on_a_phone_and_a_run_takes_two_lines(
    visitors: Visitors, api: Api
) -> None:
    api.answer("GET", LIST, a_list(*(a_summary(number) for number in range(1, 6))))
    page = visitors.open("/runs", PHONE)
    rows = page.get_by_role("row").filter(has=page.get_by_role("link"))
    box = rows.first.bounding_box()
    assert box
    assert box["height"] < 80
    assert box["y"] < 300
    expect(page.get_by_label("What")).to_be_hidden()
    page.get_by_text("Filter", exact=True).click()
    expect(page.get_by_label("What")).to_be_visible()


def test_a_run_is_kept_as_it_is_now_not_as_it_was_first(
    visitors: Visitors, api: Api, tmp_path: Path
) -> None:
    api.answer("GET", ONE, a_running())
    page = visitors.open(RUN)
    expect(page.get_by_role("row").filter(has_text="Find the film")).to_be_visible()
    api.answer("GET", ONE, a_running(steps=steps()))
    poll(page, ONE, 2)
    expect(page.get_by_role("row").filter(has_text="Write it down")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    download.value.save_as(tmp_path / "run.json")
    assert len(json.loads((tmp_path / "run.json").read_text())["steps"]) == len(steps())


def test_counts_of_nothing_are_said_and_times_have_one_form(visitors: Visitors, api: Api) -> None:
    api.answer("GET", ONE, a_run())
    page = visitors.open(RUN)
    row = page.get_by_role("row").filter(has_text="Collect reviews, Bluesky")
    expect(row).to_contain_text("0 fetched, 0 new")
    expect(row).not_to_contain_text("parked")
    expect(main(page).get_by_text("1:28 AM", exact=True)).to_be_visible()
    assert page.get_by_text("✓ 2.0 s").evaluate("node => node.getClientRects().length") == 1


def test_what_is_under_way_outlives_a_refresh_that_moves_its_row(
    visitors: Visitors, api: Api
) -> None:
    api.answer("GET", STATS, installation(a_delivery()))
    api.answer("POST", "/triggers/.*", HELD)
    page = visitors.open("/system")
    page.get_by_role("button", name="Send it again").click()
    other = a_delivery(delivery_id="delivery-2", url="https://hooks.example.org/other")
    api.answer("GET", STATS, installation(other, a_delivery()))
    poll(page, STATS, 11)
    rows = page.get_by_role("row").filter(has=page.get_by_role("button"))
    first = rows.filter(has_text="hooks.example.org/marquee")
    second = rows.filter(has_text="hooks.example.org/other")
    expect(second.get_by_role("button")).to_be_enabled()
    expect(first.get_by_role("button")).to_be_disabled()
    api.release(refused(503, "not now"))
    expect(first.get_by_text("Not now. (request req-1)")).to_be_visible()
    poll(page, STATS, 11)
    expect(first.get_by_text("Not now. (request req-1)")).to_be_visible()
    second.get_by_role("button").click()
    assert api.made("POST", ".*")[-1].path == "/triggers/history/delivery-2/redeliver"


def test_a_closed_provider_is_reopened_or_says_once_why_not(visitors: Visitors, api: Api) -> None:
    gateway = a_gateway(closed=(a_closed_provider(reason="refused at 2026-03-14T19:00:00Z"),))
    api.answer("GET", STATS, installation(gateway=gateway))
    api.answer("POST", "/api/.*/reopen", CUT)
    page = visitors.open("/system")
    expect(main(page).get_by_text("refused at 12:30 AM")).to_be_visible()
    for _ in range(2):
        page.get_by_role("button", name="It is mended").click()
        expect(main(page).get_by_text("Marquee cannot be reached")).to_have_count(1)


def test_numbers_of_before_say_of_when_they_are(visitors: Visitors, api: Api) -> None:
    api.answer("GET", STATS, installation(until=NOW - timedelta(minutes=10)))
    api.answer("GET", LIST, a_list())
    page = visitors.open("/system")
    expect(main(page).get_by_text("As of 1:20 AM")).to_be_visible()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(main(page).get_by_text("Nothing has run yet.")).to_be_visible()
    api.answer("GET", STATS, HELD)
    page.get_by_role("link", name="System", exact=True).click()
    expect(main(page).get_by_text("As of 1:20 AM")).to_be_visible()
    api.answer("GET", STATS, CUT)
    api.release(CUT)
    expect(main(page).get_by_text("What you see is from 1:20 AM.")).to_be_visible()
