"""A search as it is watched and read, and what is said of what it lacks."""

import re

from playwright.sync_api import expect

from marquee.movies.models import Label, Sentiment
from marquee.workflows.record import Status
from tests.page.answers import (
    SEARCH,
    a_list,
    a_report,
    a_result,
    a_review_page,
    a_run,
    a_running,
    a_step,
    a_summary,
    accepted,
    films,
    reviews,
)
from tests.page.conftest import CUT, HELD, Api, Visitors, main, refused, told
from tests.support.browser import DESKTOP, PHONE
from tests.support.builders import NOW, a_scored_review

START = "/api/orchestrator/auto-search"
STATUS = f"/workflow/status/{SEARCH}"
ROUTE = f"/search/{SEARCH}"
REVIEWS = "/movies/579974/reviews"


def found(api: Api, **fields: object) -> None:
    """The search has ended with a result."""
    api.answer("GET", STATUS, a_run(result=a_result(**fields)))
    api.answer("GET", REVIEWS, reviews())
    api.answer("GET", "/movies", films())


def test_what_people_came_for_is_on_the_first_screen(visitors: Visitors, api: Api) -> None:
    found(api)
    for size in (DESKTOP, PHONE):
        page = visitors.open(ROUTE, size)
        verdict = page.get_by_text("People love it")
        expect(verdict).to_be_visible()
        box = verdict.bounding_box()
        poster = page.get_by_role("img", name="Poster of RRR").bounding_box()
        assert box
        assert poster
        assert box["y"] < 400
        assert box["x"] > poster["x"] + poster["width"]
        assert box["y"] < poster["y"] + poster["height"]


def test_a_long_description_is_folded_on_a_phone_and_can_be_read(
    visitors: Visitors, api: Api
) -> None:
    found(api)
    page = visitors.open(ROUTE, PHONE)
    text = page.locator("#overview")
    expect(text).to_be_visible()
    folded = text.bounding_box()
    page.get_by_role("button", name="More", exact=True).click()
    whole = text.bounding_box()
    assert folded
    assert whole
    assert whole["height"] > folded["height"] + 20
    expect(page.get_by_role("button", name="Less")).to_have_attribute("aria-expanded", "true")


def test_a_picture_in_a_link_is_not_named_twice(visitors: Visitors, api: Api) -> None:
    found(api)
    page = visitors.open(ROUTE)
    recommended = page.get_by_role("region", name="Recommendations")
    expect(recommended.get_by_role("link", name="Eega (2012)", exact=True)).to_be_visible()
    expect(main(page).get_by_role("img", name="Poster of")).to_have_count(1)


def test_a_deferred_source_promises_only_what_is_planned(visitors: Visitors, api: Api) -> None:
    until = {"status": "deferred", "deferred_until": "2026-03-14T20:14:00Z"}
    partly = "DynamoDB refused 2 records; asked again at 2026-03-14T21:05:00Z"
    found(
        api,
        sources=(
            a_report("x", **until),
            a_report("mastodon", **until, expected_at="2026-03-14T22:00:00Z"),
            a_report("tmdb", status="partial", reason=partly),
        ),
        missing=("other things, until 2026-03-14T20:14:00Z",),
    )
    page = visitors.open(ROUTE)
    chips = page.get_by_role("region", name="Sources").get_by_role("listitem")
    expect(chips.nth(0)).to_contain_text("its quota is used up until 1:44 AM")
    expect(chips.nth(0)).not_to_contain_text("expected")
    expect(chips.nth(1)).to_contain_text("until 1:44 AM; expected by 3:30 AM")
    expect(chips.nth(2)).to_contain_text("asked again at 2:35 AM")
    expect(main(page).get_by_text("Other things, until 1:44 AM")).to_be_visible()


def test_feeling_over_time_is_on_an_axis_of_time_and_in_a_table(
    visitors: Visitors, api: Api
) -> None:
    found(api)
    page = visitors.open(ROUTE)
    chart = page.get_by_role("img", name="Feeling by month")
    expect(chart).to_be_visible()
    labels = chart.locator("text").all_text_contents()
    assert labels == ["+1", "0", "\N{MINUS SIGN}1", "2023", "2024", "2025", "2026"]
    page.get_by_text("The same in numbers").click()
    table = page.get_by_role("table", name="Feeling by month, in numbers")
    expect(table.get_by_role("row").nth(1)).to_contain_text("March 2026")

    api.answer(
        "GET",
        REVIEWS,
        a_review_page(
            *(
                a_scored_review(
                    review_id=f"review-{day}",
                    posted_at=NOW.replace(day=day),
                    sentiment=Sentiment(label=Label.POSITIVE, score=0.5, scorer="vader-3.3.2"),
                )
                for day in (1, 2, 11)
            )
        ),
    )
    page.reload()
    bars = page.get_by_role("img", name="Feeling by day").locator("rect")
    expect(bars).to_have_count(3)
    first, second, last = (float(bar.get_attribute("x") or 0) for bar in bars.all())
    assert last - second > 8 * (second - first)


def test_all_steps_that_changed_are_told(visitors: Visitors, api: Api) -> None:
    begun = {"FindMovie": a_step(0, 0.6)}
    both = {"CollectReviews/tmdb": a_step(1, None), "CollectReviews/x": a_step(1, None)}
    api.answer("GET", STATUS, a_running(steps=begun))
    page = visitors.open(ROUTE)
    expect(told(page)).to_have_text("Find the film: 0.6 s")
    api.answer("GET", STATUS, a_running(steps=begun | both))
    expect(told(page)).to_have_text("Collect reviews, TMDB: started. Collect reviews, X: started")
    api.answer("GET", STATUS, a_run(status=Status.FAILED, result=None, steps=begun))
    expect(told(page)).to_have_text("The search is failed")


def test_a_title_that_is_typed_while_a_search_starts_stays(visitors: Visitors, api: Api) -> None:
    api.answer("POST", START, HELD)
    api.answer("GET", STATUS, a_running())
    api.answer("GET", "/movies", films())
    page = visitors.open("/search?movie_name=RRR")
    expect(main(page).get_by_text("Starting the search")).to_be_visible()
    box = page.get_by_role("combobox", name="Film")
    box.fill("Eega")
    api.release(accepted())
    expect(page).to_have_url(re.compile(f"#{ROUTE}$"))
    expect(main(page).get_by_text("running since")).to_be_visible()
    expect(box).to_have_value("Eega")
    expect(box).to_be_focused()


def test_who_leaves_while_a_search_starts_stays_away(visitors: Visitors, api: Api) -> None:
    api.answer("POST", START, HELD)
    api.answer("GET", "/workflow/list", a_list(a_summary(1)))
    page = visitors.open("/search?movie_name=RRR")
    expect(main(page).get_by_text("Starting the search")).to_be_visible()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("table")).to_be_visible()
    api.release(accepted())
    page.wait_for_timeout(100)
    expect(page).to_have_url(re.compile("#/runs$"))


def test_a_search_that_could_not_be_repeated_says_so_once(visitors: Visitors, api: Api) -> None:
    found(api)
    api.answer("POST", ".*/rerun", refused(503, "not now"))
    page = visitors.open(ROUTE)
    for turn in (1, 2):
        page.get_by_role("button", name="Search again now").click()
        expect(main(page).get_by_text("Not now. (request req-1)")).to_have_count(1)
        assert len(api.made("POST", ".*/rerun")) == turn


def test_a_request_without_an_end_is_given_up(visitors: Visitors, api: Api) -> None:
    api.answer("GET", STATUS, HELD)
    context = visitors.arrive()
    context.add_init_script(
        "const real = AbortSignal.timeout.bind(AbortSignal);"
        "AbortSignal.timeout = (ms) => real(ms / 100);"
    )
    page = visitors.open(ROUTE, context=context)
    expect(main(page).get_by_text("Marquee cannot be reached")).to_be_visible()
    found(api)
    expect(main(page).get_by_text("Marquee cannot be reached")).to_have_count(0, timeout=20_000)
    api.release(CUT)


def test_a_watch_of_an_hour_does_not_pile_up_listeners(visitors: Visitors, api: Api) -> None:
    api.answer("GET", STATUS, a_running())
    context = visitors.arrive()
    context.add_init_script("""
        window.added = 0;
        const add = EventTarget.prototype.addEventListener;
        EventTarget.prototype.addEventListener = function (name, ...more) {
          if (["online", "abort", "visibilitychange"].includes(name)) added += 1;
          return add.call(this, name, ...more);
        };""")
    page = visitors.open(ROUTE, context=context)
    expect(main(page).get_by_text("running since")).to_be_visible()
    before = page.evaluate("added")
    for _ in range(5):
        with page.expect_response(re.compile(STATUS)):
            page.clock.fast_forward(1_000)
    assert page.evaluate("added") == before


def test_times_go_on_where_nothing_else_does(visitors: Visitors, api: Api) -> None:
    found(api)
    page = visitors.open(ROUTE)
    expect(main(page).get_by_text("asked 2 minutes ago").first).to_be_visible()
    page.clock.fast_forward(300_000)
    expect(main(page).get_by_text("asked 7 minutes ago").first).to_be_visible()
    assert "Done in 8.0 s, 7 minutes ago" in main(page).inner_text()
