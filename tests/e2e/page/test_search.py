"""Searching a film in a browser: what people do, and what they see when something is wrong."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.deployed import SEARCH, Json, workflow_id_of
from tests.e2e.page.conftest import Visitors, main
from tests.e2e.test_movie_search import make_older
from tests.support.browser import DESKTOP, PHONE, ZONE, Size

REVIEWS = 7
"""Of each source: no other test asks for as many, so no search here is equal to another one's."""

sizes = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])


def query(**asked: str | int) -> str:
    """The route that starts a search."""
    given = {"max_reviews": REVIEWS, **asked}
    return "/search?" + "&".join(f"{name}={value}" for name, value in given.items())


def searched(visitors: Visitors, movie_name: str) -> Json:
    """A search that has ended, made past the page."""
    return visitors.deployed.search(movie_name, max_reviews=REVIEWS)


def region(page: Page, name: str) -> Locator:
    """A part of the page by what it is called."""
    return page.get_by_role("region", name=name)


def chip(page: Page, source: str) -> Locator:
    """What the page says of a source."""
    return region(page, "Sources").get_by_role("listitem").filter(has_text=source)


def assert_found(page: Page, title: str) -> None:
    """The page shows all of a search that lacks nothing."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    poster = page.get_by_role("img", name=f"Poster of {title.partition(' (')[0]}")
    expect(poster.first).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 0", arg=poster.first.element_handle())
    feeling = region(page, "How people feel")
    expect(feeling).to_contain_text(re.compile(r"with 95 % confidence between .\d\.\d\d and .\d"))
    expect(feeling).to_contain_text(re.compile(r"from \d+ scored reviews"))
    for chart in ("Average feeling", "How the reviews spread", "Feeling by day"):
        expect(feeling.get_by_role("img", name=chart)).to_be_visible()
    for side in ("For it", "Against it"):
        expect(feeling.get_by_role("heading", name=side)).to_be_visible()
    expect(feeling.get_by_role("blockquote").first).to_be_visible()
    expect(feeling.get_by_role("link").first).to_have_attribute("href", re.compile("^https://"))
    for source in ("TMDB", "X", "Bluesky", "Mastodon"):
        expect(chip(page, source)).to_contain_text("asked just now")
    expect(chip(page, "X")).to_contain_text(re.compile(r"\$0\.\d\d|free"))
    expect(region(page, "Recommendations").get_by_role("listitem").first).to_be_visible()


@sizes
def test_a_film_is_searched_watched_read_and_left_for_the_next_one(
    visitors: Visitors, size: Size
) -> None:
    page = visitors.open(size=size)
    film = "Barbie (2023)" if size == PHONE else "Mad Max: Fury Road (2015)"
    page.get_by_text("Options").click()
    page.get_by_label("Reviews a source, at most").fill(str(REVIEWS))
    page.get_by_role("combobox", name="Film").fill(film)
    page.keyboard.press("Enter")
    expect(main(page).get_by_text("Find the film")).to_be_visible()
    expect(main(page).get_by_text("Collect reviews, Bluesky")).to_be_visible()
    assert_found(page, film)
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
    assert_found(page, film)


def test_known_films_are_offered_while_a_title_is_typed(visitors: Visitors) -> None:
    searched(visitors, "Avengers: Endgame")
    page = visitors.open(size=PHONE)
    box = page.get_by_role("combobox", name="Film")
    box.press_sequentially("avengers: en")
    offered = page.get_by_role("option", name="Avengers: Endgame (2019)")
    expect(offered).to_be_visible()
    box.press("ArrowDown")
    expect(offered).to_have_attribute("aria-selected", "true")
    box.press("Escape")
    expect(offered).to_be_hidden()
    box.press_sequentially("d")
    offered.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Avengers: Endgame (2019)")
    expect(region(page, "Sources")).to_be_visible()


def test_an_ambiguous_title_offers_the_others_and_an_unknown_one_says_what_to_try(
    visitors: Visitors,
) -> None:
    page = visitors.open(query(movie_name="The Lion King"))
    expect(page.get_by_role("heading", name="Did you mean another one?")).to_be_visible()
    other = page.get_by_role("link", name="The Lion King (").first
    title = other.inner_text()
    other.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page = visitors.open(query(movie_name="no film is called this"))
    expect(main(page).get_by_text("Try the original title")).to_be_visible()


def test_a_shared_address_shows_the_same_to_whoever_has_a_key(visitors: Visitors) -> None:
    route = f"/search/{searched(visitors, 'Dune: Part Two')['workflow_id']}"
    mine = visitors.arrive()
    page, second = visitors.open(route, context=mine), visitors.open(route, context=mine)
    for tab in (page, second):
        expect(tab.get_by_role("heading", level=1)).to_have_text("Dune: Part Two (2024)")

    stranger = visitors.arrive().new_page()
    stranger.goto(page.url)
    stranger.get_by_label("API key").fill("not the key")
    stranger.keyboard.press("Enter")
    expect(main(stranger).get_by_text("Marquee refused the key.")).to_be_visible()
    stranger.get_by_label("API key").fill(visitors.deployed.cloud.api_key)
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Dune: Part Two (2024)")


def test_two_tabs_that_search_the_same_watch_one_execution(visitors: Visitors) -> None:
    before = visitors.deployed.executions()
    visitors.deployed.upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=2)
    context = visitors.arrive()
    tabs = [visitors.open(query(movie_name="Wicked"), context=context) for _ in range(2)]
    for tab in tabs:
        expect(tab.get_by_role("heading", level=1)).to_have_text("Wicked (2024)")
    assert tabs[0].url == tabs[1].url
    assert len(visitors.deployed.executions() - before) == 1


def test_the_key_leaves_the_address_and_is_kept_by_the_tab_alone(visitors: Visitors) -> None:
    context = visitors.arrive()
    page = visitors.open("/runs", context=context)
    key = visitors.deployed.cloud.api_key
    expect(page).to_have_url(f"{visitors.address}#/runs")
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


def test_a_source_that_fails_or_has_no_quota_says_so_where_it_stands(visitors: Visitors) -> None:
    upstreams = visitors.deployed.upstreams
    upstreams.fault("mastodon", "status", status=503, count=99)
    upstreams.limit("x/tweets/search/recent", 0, 900)
    before = datetime.now(UTC)
    page = visitors.open(query(movie_name="Gladiator II"), PHONE)
    expect(chip(page, "Bluesky")).to_contain_text("asked just now")
    expect(chip(page, "Mastodon")).to_contain_text("nothing stored")
    quota = chip(page, "X").filter(has_text="its quota is used up until")
    expect(quota).to_be_visible()
    # In the zone of whoever looks, which is not the one of the server.
    slot = re.search(r"until (?:.*, )?(\d\d:\d\d) ([AP]M)", quota.inner_text())
    assert slot is not None
    moments = (before + timedelta(minutes=15, seconds=s) for s in range(-60, 120))
    local = {moment.astimezone(ZoneInfo(ZONE)).strftime("%I:%M %p") for moment in moments}
    assert " ".join(slot.groups()) in local


def test_without_tmdb_a_known_film_is_shown_with_the_age_of_its_facts(visitors: Visitors) -> None:
    known = searched(visitors, "Avatar: The Way of Water")
    make_older(visitors.deployed, known["result"]["movie"]["tmdb_id"], timedelta(hours=30))
    visitors.deployed.upstreams.fault("tmdb", "status", status=503, count=99)
    page = visitors.open(query(movie_name="Avatar: The Way of Water", max_reviews=3))
    expect(page.get_by_role("heading", level=1)).to_have_text("Avatar: The Way of Water (2022)")
    expect(main(page).get_by_text("these facts are from yesterday")).to_be_visible()


def test_a_search_that_fails_says_why_and_is_run_again_from_there(visitors: Visitors) -> None:
    visitors.deployed.upstreams.fault("tmdb", "status", status=503, count=99)
    page = visitors.open(query(movie_name="Joker: Folie à Deux"))
    failure = main(page).get_by_text("This search failed")
    expect(failure).to_be_visible()
    visitors.deployed.calm()
    page.get_by_role("button", name="Search again").click()
    expect(failure).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_text("Joker: Folie à Deux (2024)")


def test_a_step_that_waits_for_quota_says_until_when(visitors: Visitors) -> None:
    visitors.deployed.upstreams.limit("x/tweets/search/recent", 0, 5)
    with visitors.deployed.waits_scaled(1, after=0):
        page = visitors.open(query(movie_name="Spider-Man: No Way Home"))
        expect(
            main(page).get_by_text(re.compile(r"waiting until \d\d:\d\d [AP]M for quota"))
        ).to_be_visible()
        visitors.deployed.calm()
        expect(chip(page, "X")).to_contain_text("new")


def test_a_network_that_is_cut_in_the_middle_is_said_and_the_search_is_seen_through(
    visitors: Visitors,
) -> None:
    visitors.deployed.upstreams.fault("tmdb", "delay", route="/3/search/*", seconds=2)
    context = visitors.arrive(PHONE)
    page = visitors.open(query(movie_name="Toy Story"), context=context)
    expect(main(page).get_by_text("Find the film")).to_be_visible()
    context.set_offline(True)
    expect(main(page).get_by_text("Marquee cannot be reached")).to_be_visible()
    context.set_offline(False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Toy Story (1995)")
    expect(main(page).get_by_text("Marquee cannot be reached")).to_be_hidden()


def test_a_database_that_refuses_is_a_sentence_and_a_button_that_tries_again(
    visitors: Visitors,
) -> None:
    search = workflow_id_of(
        visitors.deployed.ask("POST", SEARCH, movie_name="Dune: Part Two", max_reviews=REVIEWS)
    )
    refused = {"Action": "dynamodb:*", "Resource": "*"}
    with visitors.deployed.denied("ApiFunction", refused):
        page = visitors.open(f"/search/{search}", PHONE)
        problem = main(page).get_by_text("tried again")
        expect(problem).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dune: Part Two (2024)")
    expect(problem).to_be_hidden()
