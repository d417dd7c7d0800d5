"""The state of the installation in a browser, and what can be done about it there."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.deployed import Json, eventually
from tests.e2e.page.conftest import Visitors, main, region, rewrite, sizes, told
from tests.e2e.test_triggers import TRIGGERS, Hooks
from tests.support.browser import PHONE, Size
from tests.support.upstreams import Upstreams

STATS = re.compile(r"/automation-stats\?")
REVIEWS = 9
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""


@sizes
def test_the_state_of_all_is_shown_for_each_window(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    page = visitors.open(views["system"], size)
    for part, words in (
        ("Hour by hour", "Executions"),
        ("Steps", "Find the film"),
        ("Upstreams", "TMDB"),
        ("Queues", "empty"),
        ("Callbacks", "answered 410"),
    ):
        expect(region(page, part)).to_contain_text(words)
    numbers = main(page).locator("dl.numbers").first
    expect(numbers).to_contain_text(re.compile(r"film search\s*\d+ %", re.IGNORECASE))
    expect(numbers).to_contain_text(re.compile(r"spent on upstreams\s*\$\d", re.IGNORECASE))
    steps = region(page, "Steps").get_by_role("row").filter(has_text="Collect reviews")
    expect(steps.first).to_contain_text(re.compile(r"\d s"))
    expect(region(page, "Upstreams").get_by_role("row").filter(has_text="Bluesky")).to_contain_text(
        re.compile(r"\d Upstream\w+")
    )
    page.get_by_role("link", name="Last week").click()
    expect(page).to_have_url(re.compile("window=7d"))
    expect(page.get_by_role("table", name="Upstreams")).to_contain_text("TMDB")
    page.reload()
    expect(page.get_by_role("link", name="Last week")).to_have_attribute("aria-current", "page")


@sizes
def test_what_cannot_be_counted_is_said_where_it_would_have_been(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    """What the API answers while a table of it does not: parts are null."""

    def partly(stats: Json) -> Json:
        queues = [{**queue, "messages": None} for queue in stats["queues"]]
        return {**stats, "gateway": None, "triggers": None, "backfill": None, "queues": queues}

    page = visitors.open("/tweets/start", size)
    rewrite(page, STATS, partly)
    visitors.go(page, views["system"])
    for words in ("Quotas, budgets and breakers are not known", "callbacks are not known"):
        expect(main(page).get_by_text(words)).to_be_visible()
    expect(region(page, "Queues")).to_contain_text("not known")
    expect(region(page, "Upstreams")).to_contain_text("TMDB")


@sizes
def test_nothing_done_yet_is_said_with_what_to_do(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    """An installation of today: all that is counted is counted as nothing."""

    def empty(stats: Json) -> Json:
        hours = [{**hour, "calls": 0, "workflows": 0} for hour in stats["hours"]]
        calls = {**stats["coordinator_stats"]["api_calls"], "by_provider": {}, "total": 0}
        triggers = {**stats["triggers"], "recent": []}
        return {
            **stats,
            "hours": hours,
            "workflows": {},
            "triggers": triggers,
            "coordinator_stats": {**stats["coordinator_stats"], "api_calls": calls},
        }

    page = visitors.open("/tweets/start", size)
    rewrite(page, STATS, empty)
    visitors.go(page, views["system"])
    expect(main(page).get_by_text("Nothing was done in this time.")).to_be_visible()
    expect(main(page).get_by_text("Nothing was delivered yet.")).to_be_visible()
    main(page).get_by_role("link", name="Search a film").click()
    expect(page.get_by_role("combobox", name="Film")).to_be_visible()


@sizes
def test_a_refresh_takes_neither_focus_nor_place(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    context = visitors.arrive(size, turns_clock=True)
    page = visitors.open(views["system"], context=context)
    table = page.get_by_role("group", name="Upstreams")
    table.focus()
    page.evaluate("document.querySelector('main table').kept = true; scrollTo(0, 300)")
    with page.expect_response(STATS):
        page.clock.fast_forward(15_000)
    page.evaluate("new Promise((drawn) => requestAnimationFrame(drawn))")
    assert page.evaluate("document.querySelector('main table').kept") is True
    assert page.evaluate("scrollY") == 300
    expect(table).to_be_focused()


@sizes
def test_two_tabs_count_the_same_and_one_asks_nothing_while_it_is_hidden(
    visitors: Visitors, views: dict[str, str], size: Size
) -> None:
    context = visitors.arrive(size, turns_clock=True)
    tabs = [visitors.open(views["system"], context=context) for _ in range(2)]
    shown = []
    for tab in tabs:
        expect(region(tab, "Steps")).to_be_visible()
        shown.append(region(tab, "Steps").inner_text())
    assert shown[0] == shown[1]
    hidden, asked = tabs[0], []
    hidden.on("request", lambda request: asked.append(request.url))
    hidden.evaluate(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })"
    )
    hidden.clock.fast_forward(15_000)
    hidden.wait_for_timeout(50)
    asked.clear()  # one may have been on its way
    hidden.clock.fast_forward(60_000)
    hidden.wait_for_timeout(50)
    assert asked == []
    with hidden.expect_request(STATS):
        hidden.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )


@sizes
def test_a_callback_that_failed_is_sent_again_from_the_page(
    visitors: Visitors, undelivered: Hooks, size: Size
) -> None:
    number = 0 if size == PHONE else 1
    receiver = undelivered.receiver
    listed = undelivered.deployed.get(TRIGGERS)["triggers"]
    [mine] = [one for one in listed if one["url"] == f"{receiver.url}&number={number}"]
    page = visitors.open("/system?window=1h", size)
    row = page.get_by_role("row").filter(has_text=mine["url"])
    expect(row).to_contain_text("answered 410")
    enable = f"{TRIGGERS}/{mine['trigger_id']}/enable"
    assert undelivered.deployed.ask("POST", enable).status_code == 200
    before, receiver.status = len(receiver.calls), 204
    try:
        row.get_by_role("button", name="Send it again").click()
        expect(told(page)).to_contain_text("It is sent again")
        eventually(lambda: len(receiver.calls) == before + 1)
    finally:
        receiver.status = 410
    assert f"number={number}" in receiver.calls[-1].path


@sizes
@pytest.mark.usefixtures("views")
def test_an_upstream_that_is_paid_nothing_more_is_paid_again_once_somebody_says_so(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    film = "Alien" if size == PHONE else "Arrival"
    upstreams.x(credits="used up")
    visitors.deployed.search(film, max_reviews=REVIEWS)
    page = visitors.open("/system?window=1h", size, turns_clock=True)
    expect(main(page).get_by_text("X is paid nothing more")).to_be_visible()
    upstreams.x(credits="left")
    reopen = page.get_by_role("button", name="It is mended: pay it again")
    reopen.click()
    expect(reopen).to_have_count(0)
    assert visitors.deployed.get("/api/orchestrator/automation-stats")["gateway"]["closed"] == []
    page.clock.fast_forward(15_000)
    visitors.turn(page, region(page, "Quotas").or_(region(page, "Steps")))
    expect(main(page).get_by_text("X is paid nothing more")).to_have_count(0)
