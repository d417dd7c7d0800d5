"""Searching a film in a browser: what people do, and what they see when something is wrong."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.deployed import Json
from tests.e2e.page.conftest import (
    FILM,
    STATUSES,
    Visitors,
    chip,
    main,
    region,
    rewrite,
    sizes,
    told,
)
from tests.e2e.page.conftest import REVIEWS as KNOWN_REVIEWS
from tests.e2e.test_movie_search import make_older
from tests.support.browser import DESKTOP, PHONE, ZONE, Size
from tests.support.templates import ROOT
from tests.support.upstreams import Upstreams

REVIEWS = 7
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""
DEFINITION = Path(ROOT, "statemachine", "movie_search.asl.json")


def query(**asked: str | int) -> str:
    """The route that starts a search."""
    given = {"max_reviews": REVIEWS, **asked}
    return "/search?" + "&".join(f"{name}={value}" for name, value in given.items())


def searched_once(visitors: Visitors, movie_name: str) -> Json:
    """A search that has ended, made past the page."""
    return visitors.deployed.search(movie_name, max_reviews=REVIEWS)


def choose_reviews(page: Page, count: int) -> None:
    """Ask for so many of each source."""
    page.get_by_text("Options").click()
    page.get_by_label("Reviews a source, at most").fill(str(count))


def assert_found(page: Page, title: str) -> None:
    """The page shows all of a search that lacks nothing."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    poster = page.get_by_role("img", name=f"Poster of {title.partition(' (')[0]}")
    expect(poster.first).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 0", arg=poster.first.element_handle())
    expect(region(page, "The film")).to_contain_text(re.compile(r"\S\d\.\d\d"))
    feeling = region(page, "How people feel")
    expect(feeling).to_contain_text(re.compile(r"with 95 % confidence between .\d\.\d\d and .\d"))
    expect(feeling).to_contain_text(re.compile(r"from \d+ scored reviews"))
    for chart in ("Average feeling", "How the reviews spread", "Feeling by"):
        expect(feeling.get_by_role("img", name=chart)).to_be_visible()
    for side in ("For it", "Against it"):
        expect(feeling.get_by_role("heading", name=side)).to_be_visible()
    expect(feeling.get_by_role("blockquote").first).to_be_visible()
    expect(feeling.get_by_role("link").first).to_have_attribute("href", re.compile("^https://"))
    for source in ("TMDB", "X", "Bluesky", "Mastodon"):
        expect(chip(page, source)).to_contain_text("asked")
    expect(chip(page, "X")).to_contain_text(re.compile(r"\$0\.\d\d|free"))
    expect(region(page, "Recommendations").get_by_role("listitem").first).to_be_visible()


@sizes
def test_a_film_is_searched_watched_read_and_left_for_the_next_one(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    upstreams.fault("bluesky", "delay", route="*searchPosts", seconds=2)
    page = visitors.open(size=size)
    film = "Barbie (2023)" if size == PHONE else "Mad Max: Fury Road (2015)"
    choose_reviews(page, REVIEWS)
    page.get_by_role("combobox", name="Film").fill(film)
    page.keyboard.press("Enter")
    expect(main(page).get_by_text("Find the film")).to_be_visible()
    expect(main(page).get_by_text("Collect reviews, Bluesky")).to_be_visible()
    assert_found(page, film)
    expect(told(page)).to_have_text(re.compile("The search is done"))
    first = page.url
    page.reload()
    assert_found(page, film)

    other = region(page, "Recommendations").get_by_role("link").first
    title = other.locator("strong").inner_text()
    other.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(region(page, "Sources")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.get_by_role("heading", level=1)).to_have_text(film)


@sizes
def test_known_films_are_offered_while_a_title_is_typed(
    visitors: Visitors, searched: Json, size: Size
) -> None:
    page = visitors.open(size=size)
    choose_reviews(page, KNOWN_REVIEWS)  # as the search that is there already
    box = page.get_by_role("combobox", name="Film")
    box.press_sequentially(FILM[:2].lower())
    films = page.get_by_role("listbox", name="Known films").get_by_role("option")
    offered = films.filter(has_text=f"{FILM} (2022)")
    expect(offered).to_be_visible()
    expect(told(page)).to_contain_text("use the arrow keys")
    box.press("ArrowDown")
    expect(films.first).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(offered).to_be_hidden()
    box.press_sequentially(FILM[2:].lower())
    expect(offered).to_be_visible()
    if size == PHONE:
        offered.click()
    else:
        box.press("ArrowDown")
        box.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{FILM} (2022)")
    expect(region(page, "Sources")).to_be_visible()


@sizes
@pytest.mark.usefixtures("upstreams")
def test_an_ambiguous_title_offers_the_others_and_an_unknown_one_says_what_to_try(
    visitors: Visitors, size: Size
) -> None:
    page = visitors.open(query(movie_name="The Lion King"), size)
    expect(page.get_by_role("heading", name="Did you mean another one?")).to_be_visible()
    other = page.get_by_role("link", name="The Lion King (").first
    title = other.inner_text()
    other.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(region(page, "Sources")).to_be_visible()
    visitors.go(page, query(movie_name="no film is called this"))
    expect(main(page).get_by_text("Try the original title")).to_be_visible()


def test_a_shared_address_shows_the_same_to_whoever_has_a_key(
    visitors: Visitors, searched: Json
) -> None:
    title = f"{FILM} (2022)"
    page = visitors.open(f"/search/{searched['workflow_id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)

    stranger = visitors.arrive(PHONE).new_page()
    stranger.goto(page.url)
    stranger.get_by_label("API key").fill("not-the-key")
    stranger.keyboard.press("Enter")
    expect(main(stranger).get_by_text("Marquee refused the key.")).to_be_visible()
    stranger.get_by_label("API key").fill(visitors.deployed.cloud.api_key)
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("heading", level=1)).to_have_text(title)


@sizes
def test_two_tabs_that_search_the_same_watch_one_execution(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    before = visitors.deployed.executions()
    upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=1)
    context = visitors.arrive(size)
    asked = query(movie_name="Wicked", max_reviews=5 if size == PHONE else 6)
    tabs = [visitors.open(asked, context=context) for _ in range(2)]
    for tab in tabs:
        expect(tab.get_by_role("heading", level=1)).to_have_text("Wicked (2024)")
    assert tabs[0].url == tabs[1].url
    assert len(visitors.deployed.executions() - before) == 1


def test_the_key_leaves_the_address_and_is_kept_by_the_tab_alone(visitors: Visitors) -> None:
    context = visitors.arrive()
    page = visitors.open("/tweets/start", context=context)
    key = visitors.deployed.cloud.api_key
    expect(page).to_have_url(f"{visitors.address}#/tweets/start")
    assert page.evaluate("Object.values(sessionStorage)") == [key]
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    expect(page.get_by_label("API key")).to_be_hidden()
    page.go_back()
    assert key not in page.url
    another = context.new_page()
    another.goto(visitors.address)
    expect(another.get_by_label("API key")).to_be_visible()
    assert visitors.deployed.logged(key) == []


def test_sources_that_fail_or_have_no_quota_say_so_and_the_system_knows_when_it_passes(
    visitors: Visitors, upstreams: Upstreams
) -> None:
    upstreams.fault("mastodon", "status", status=503, count=99)
    upstreams.limit("x/tweets/search/recent", 0, 900)
    before = datetime.now(UTC)
    ended = searched_once(visitors, "Gladiator II")
    for size in (PHONE, DESKTOP):
        page = visitors.open(f"/search/{ended['workflow_id']}", size)
        expect(chip(page, "Bluesky")).to_contain_text("asked just now")
        expect(chip(page, "Mastodon")).to_contain_text("nothing stored")
        quota = chip(page, "X").filter(has_text="its quota is used up")
        expect(quota).to_be_visible()
        # In the zone of whoever looks, which is not the one of the server.
        slot = re.search(r"until (?:.*, )?(\d?\d:\d\d [AP]M)", quota.inner_text())
        assert slot is not None
        moments = (before + timedelta(minutes=15, seconds=s) for s in range(-60, 180))
        local = {moment.astimezone(ZoneInfo(ZONE)).strftime("%I:%M %p") for moment in moments}
        assert slot[1].zfill(8) in local

        visitors.go(page, "/system?window=1h")
        for name, words in (
            ("Quotas", r"X tweets/search/recent.*from \d"),
            ("Budget", r"Everything, today.*\$"),
            ("Breakers", "Mastodon"),
            ("Collected later", r"\d films? waits? for quota"),
        ):
            expect(region(page, name)).to_contain_text(re.compile(words, re.DOTALL))
        film = region(page, "Collected later").get_by_role("row", name="Gladiator II")
        expect(film.get_by_role("link")).to_have_attribute("href", re.compile("tmdb_id="))
        expect(region(page, "Upstreams").get_by_role("row", name="Mastodon")).to_contain_text(
            "Upstream"
        )


def test_a_film_of_which_no_source_answers_is_shown_with_what_each_lacks(
    visitors: Visitors, upstreams: Upstreams
) -> None:
    for upstream in ("x", "bluesky", "mastodon"):
        upstreams.fault(upstream, "status", status=503, count=99)
    upstreams.fault("tmdb", "status", status=503, route="/3/movie/*/reviews*", count=99)
    ended = visitors.deployed.search("Moana", max_reviews=4)
    for size in (PHONE, DESKTOP):
        page = visitors.open(f"/search/{ended['workflow_id']}", size)
        for source in ("X", "Bluesky", "Mastodon"):
            expect(chip(page, source)).to_contain_text("it could not be reached")
            expect(chip(page, source)).not_to_contain_text("asked")
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Moana"))


@sizes
def test_without_tmdb_a_known_film_is_shown_with_the_age_of_its_facts(
    visitors: Visitors, upstreams: Upstreams, searched: Json, size: Size
) -> None:
    make_older(visitors.deployed, searched["result"]["movie"]["tmdb_id"], timedelta(hours=30))
    upstreams.fault("tmdb", "status", status=503, count=99)
    page = visitors.open(query(movie_name=FILM, max_reviews=3 if size == PHONE else 2), size)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{FILM} (2022)")
    expect(main(page).get_by_text("these facts are from yesterday")).to_be_visible()


@sizes
def test_a_search_that_fails_says_why_and_is_run_again_from_there(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    upstreams.fault("tmdb", "status", status=503, count=99)
    film = "Joker: Folie à Deux (2024)" if size == PHONE else "Oppenheimer (2023)"
    page = visitors.open(query(movie_name=film), size)
    failure = main(page).get_by_text("This search failed")
    expect(failure).to_be_visible()
    visitors.deployed.calm()
    page.get_by_role("button", name="Search again").click()
    expect(failure).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_text(film)


def test_a_step_that_waits_for_quota_says_until_when(
    visitors: Visitors, upstreams: Upstreams
) -> None:
    upstreams.limit("x/tweets/search/recent", 0, 5)
    with visitors.deployed.waits_scaled(1, after=0):
        page = visitors.open(query(movie_name="Spider-Man: No Way Home"))
        expect(
            main(page).get_by_text(re.compile(r"waiting until \d?\d:\d\d [AP]M for quota"))
        ).to_be_visible()
        visitors.deployed.calm()
        expect(chip(page, "X")).to_contain_text("new")


@sizes
def test_a_network_that_is_cut_while_tmdb_is_slow_is_said_and_the_search_is_seen_through(
    visitors: Visitors, upstreams: Upstreams, size: Size
) -> None:
    upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=2)
    context = visitors.arrive(size)
    film = "Toy Story" if size == PHONE else "Finding Nemo"
    page = visitors.open(query(movie_name=film), context=context)
    expect(main(page).locator(".step").filter(has_text="Find the film")).to_contain_text("started")
    context.set_offline(True)
    expect(main(page).get_by_text("Marquee cannot be reached")).to_be_visible()
    expect(main(page).get_by_text("Find the film")).to_be_visible()
    context.set_offline(False)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(rf"{film} \(\d{{4}}\)"))
    expect(main(page).get_by_text("Marquee cannot be reached")).to_be_hidden()


def most_retries() -> int:
    """How often the state machine tries a step again."""
    states = json.loads(DEFINITION.read_text())["States"].values()
    return max(int(retry["MaxAttempts"]) for one in states for retry in one.get("Retry", ()))


def under_way(status: Json) -> Json:
    """A search while its steps do all that steps can do."""
    find, soon = status["steps"]["FindMovie"], datetime.now(UTC) + timedelta(minutes=3)
    error = {"name": "UpstreamTimeout", "message": "mastodon said nothing in 10 s"}
    slot = {"name": "SlotAhead", "message": f"x: slot at {soon:%Y-%m-%dT%H:%M:%SZ}"}
    going: Json = {**find, "status": "RUNNING", "ended_at": None, "duration_ms": None}
    failed: Json = {**find, "status": "FAILED", "error": error}
    ended: Json = {"status": "RUNNING", "ended_at": None, "duration_ms": None, "result": None}
    steps = {
        "FindMovie": {**find, "attempts": 2},
        "CollectReviews/tmdb": going,
        "CollectReviews/bluesky": {**going, "attempts": 2},
        "CollectReviews/mastodon": {**failed, "attempts": most_retries()},
        "CollectReviews/x": {**failed, "error": slot},
        "AnalyzeReviews": {**failed, "attempts": most_retries() + 1},
    }
    return {**status, **ended, "steps": steps}


@sizes
def test_each_step_says_what_it_does_while_it_does_it(
    visitors: Visitors, searched: Json, size: Size
) -> None:
    """The answers are those of a search that has ended, said to be under way: what would take
    minutes, and faults at the right moment."""
    context = visitors.arrive(size, turns_clock=True)
    rewrite(context, STATUSES, under_way)
    page = visitors.open(f"/search/{searched['workflow_id']}", context=context)
    for step, words in (
        ("Find the film", "after 2 attempts"),
        ("Collect reviews, TMDB", "started"),
        ("Collect reviews, Bluesky", "started, retried, attempt 2"),
        ("Collect reviews, Mastodon", "tried again shortly: it did not answer in time"),
        ("Collect reviews, X", r"waiting until \d?\d:\d\d [AP]M for quota"),
        ("Read the room", f"failed, attempt {most_retries() + 1}: it did not answer in time"),
        ("Pick what to watch next", "to come"),
    ):
        line = main(page).locator(".step").filter(has_text=step)
        expect(line).to_contain_text(re.compile(words))
    expect(told(page)).to_contain_text("Bluesky: started, retried, attempt 2")
    expect(told(page)).to_contain_text("Mastodon: tried again shortly")
    context.unroute_all(behavior="wait")
    visitors.turn(page, region(page, "Recommendations"))
    expect(told(page)).to_contain_text("The search is done")
