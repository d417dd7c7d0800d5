"""What all views share: the key, the keyboard, the way back, the notice of TMDB."""

from playwright.sync_api import expect

from tests.page.answers import a_list, a_run, a_summary, installation, reviews
from tests.page.conftest import ADDRESS, KEY, Api, Visitors, main
from tests.support.browser import DESKTOP, PHONE, accessibility_faults

LIST = "/workflow/list"


def listed(api: Api, count: int = 3) -> None:
    """So many runs are there."""
    runs = [a_summary(number) for number in range(1, count + 1)]
    api.answer("GET", LIST, a_list(*runs))
    api.answer("GET", "/workflow/status/.*", a_run())
    api.answer("GET", "/movies/.*", reviews())
    api.answer("GET", "/api/.*", installation())


def test_a_key_that_no_header_can_hold_is_refused_where_it_is_typed(
    visitors: Visitors, api: Api
) -> None:
    listed(api)
    page = visitors.arrive().new_page()
    page.goto(f"{ADDRESS}/#/runs")
    box = page.get_by_label("API key")
    for typed, said in (("  ", "Paste the key first."), ("ключ", "A key is made of letters")):
        box.fill(typed)
        page.keyboard.press("Enter")
        expect(main(page).get_by_text(said)).to_be_visible()
        expect(box).to_be_focused()
    assert api.asked == []
    box.fill(f" {KEY} ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table")).to_be_visible()


def test_a_chord_ends_with_time_with_another_key_and_with_a_modifier(
    visitors: Visitors, api: Api
) -> None:
    listed(api)
    page = visitors.open("/")
    page.get_by_role("link", name="Skip to the content").focus()
    for between in ("Control+c", "q"):
        for key in ("g", between, "r"):
            page.keyboard.press(key)
    page.keyboard.press("g")
    page.wait_for_timeout(1_600)
    page.keyboard.press("r")
    assert page.url == f"{ADDRESS}/#/"
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


def test_the_way_back_leads_to_where_one_was(visitors: Visitors, api: Api) -> None:
    listed(api, 25)
    page = visitors.open("/runs")
    link = page.get_by_role("link", name="Film 24")
    link.scroll_into_view_if_needed()
    was = page.evaluate("scrollY")
    assert was > 200
    link.click()
    expect(page.get_by_role("heading", level=2, name="Step by step")).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(link).to_be_visible()
    page.wait_for_function("was => Math.abs(scrollY - was) < 3", arg=was)
    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    assert page.evaluate("scrollY") == 0


def test_the_bar_covers_nothing_on_a_phone(visitors: Visitors, api: Api) -> None:
    listed(api, 25)
    page = visitors.open("/runs", PHONE)
    expect(page.get_by_role("table")).to_be_visible()
    page.evaluate("scrollTo(0, 600)")
    box = page.get_by_role("banner").bounding_box()
    assert box
    assert box["y"] + box["height"] <= 0


def test_the_notice_of_tmdb_has_its_logo_smaller_than_our_name(
    visitors: Visitors, api: Api
) -> None:
    listed(api)
    page = visitors.open("/")
    logo = page.get_by_role("contentinfo").locator("img")
    page.wait_for_function("image => image.naturalWidth > 0", arg=logo.element_handle())
    box, name = logo.bounding_box(), page.locator(".brand").bounding_box()
    assert box
    assert name
    assert box["width"] * box["height"] < name["width"] * name["height"]


def test_one_thing_of_the_frame_is_filled_at_a_time(visitors: Visitors, api: Api) -> None:
    listed(api)
    page = visitors.open("/system", DESKTOP)
    here = page.locator("nav a[aria-current]")
    expect(here).to_have_count(2)
    colors = here.evaluate_all(
        "links => links.map((link) => getComputedStyle(link).backgroundColor)"
    )
    assert colors[1] == "rgba(0, 0, 0, 0)" != colors[0]


def test_what_is_folded_and_filled_shuts_nobody_out(visitors: Visitors, api: Api) -> None:
    listed(api)
    page = visitors.open("/runs", PHONE)
    expect(page.get_by_role("table")).to_be_visible()
    faults = accessibility_faults(page)
    page.emulate_media(color_scheme="dark")
    page.evaluate("location.hash = '/search/auto-search-1'")
    expect(main(page).get_by_role("img", name="Feeling by month")).to_be_visible()
    assert faults + accessibility_faults(page) == []
