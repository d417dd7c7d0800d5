"""Deciding about tweets: once, about what was seen, and never past what somebody writes."""

import re
from collections.abc import Iterator

from playwright.sync_api import Locator, Page, expect

from tests.page.answers import TEXT, a_check, a_queue, a_tweet, an_approval, health, tweets
from tests.page.conftest import CUT, HELD, Answer, Api, Asked, Visitors, main, refused, told
from tests.support.browser import DESKTOP, PHONE

LIST = "/workflow/approvals"
ONE = "/workflow/approvals/[a-z]+-[0-9]+"
CHECK = f"{ONE}/check"
BETWEEN_POLLS = 5_100
READ = 700
"""Milliseconds, and a little more than the page waits."""


def waiting(api: Api, count: int = 3) -> None:
    """So many tweets wait, each decision is taken and each text may be posted."""
    api.answer("GET", LIST, a_queue(*(an_approval(number + 1) for number in range(count))))
    api.answer("POST", ONE, an_approval(state="APPROVED"))
    api.answer("POST", CHECK, a_check())


def card(page: Page, number: int = 1) -> Locator:
    """The tweet of that number."""
    return page.get_by_role("article").filter(has_text=f"#{number:02}")


def poll(page: Page, times: int = 1) -> None:
    """Let the page look again."""
    for _ in range(times):
        with page.expect_response(re.compile(f"{LIST}\\?")):
            page.clock.fast_forward(BETWEEN_POLLS)
        page.evaluate("new Promise((drawn) => setTimeout(drawn))")


def test_a_key_that_is_held_or_pressed_twice_decides_about_one_tweet(
    visitors: Visitors, api: Api
) -> None:
    waiting(api)
    page = visitors.open("/tweets")
    expect(card(page)).to_contain_text("54 of 280")
    page.keyboard.down("a")
    expect(main(page).get_by_text("Approved: it will be posted.")).to_have_count(1)
    page.clock.fast_forward(READ)
    page.keyboard.down("a")
    page.keyboard.up("a")
    assert len(api.made("POST", ONE)) == 1
    page.keyboard.press("a")
    expect(main(page).get_by_text("Approved: it will be posted.")).to_have_count(2)
    page.keyboard.press("a")
    expect(told(page)).to_contain_text("read it first")
    assert [asked.path[-1] for asked in api.made("POST", ONE)] == ["1", "2"]


def test_the_same_words_are_told_for_each_decision(visitors: Visitors, api: Api) -> None:
    waiting(api)
    page = visitors.open("/tweets")
    page.evaluate("""() => {
      window.heard = [];
      new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true });
    }""")
    for number in (1, 2):
        card(page, number).get_by_role("button", name="Approve").click()
        expect(main(page).get_by_text("Approved: it will be posted.")).to_have_count(number)
        page.wait_for_timeout(150)
    words = "Approved: it will be posted."
    assert page.evaluate("heard.slice(-3)") == [words, "", words]


def test_an_edit_outlives_a_listing_that_lags_and_another_ones_decision(
    visitors: Visitors, api: Api
) -> None:
    waiting(api, 2)
    page = visitors.open("/tweets")
    card(page).get_by_role("button", name="Edit").click()
    box = page.get_by_label("The whole post")
    box.fill("What I wrote by hand.")
    api.answer("GET", LIST, a_queue(an_approval(2)))
    poll(page)
    expect(box).to_be_editable()
    poll(page)
    expect(main(page).get_by_text("Somebody has decided about it")).to_be_visible()
    expect(told(page)).to_contain_text("Somebody has decided about it")
    expect(box).to_have_value("What I wrote by hand.")
    expect(box).not_to_be_editable()
    expect(card(page, 2)).to_be_focused()
    api.answer("GET", LIST, a_queue(an_approval(1), an_approval(2)))
    poll(page)
    expect(card(page).get_by_role("button", name="Approve")).to_be_enabled()


def test_a_text_that_changed_is_shown_and_said_and_only_what_was_seen_is_approved(
    visitors: Visitors, api: Api
) -> None:
    waiting(api, 1)
    page = visitors.open("/tweets")
    expect(card(page)).to_contain_text("54 of 280")
    other = an_approval(proposed="Another text altogether #01")
    api.answer("GET", LIST, a_queue(other))
    api.answer("POST", ONE, refused(409, "another text is proposed than the one that was seen"))
    card(page).get_by_role("button", name="Approve").click()
    expect(card(page)).to_contain_text("Another text is proposed than the one that was seen.")
    expect(card(page)).to_contain_text("Another text altogether")
    [asked] = api.made("POST", ONE)
    assert asked.body == {"decision": "approve", "seen": f"{TEXT} #01"}

    api.answer("GET", LIST, a_queue(an_approval(proposed="And one more #01")))
    poll(page)
    expect(card(page)).to_contain_text("The text has changed since you saw it.")
    expect(told(page)).to_contain_text("The text has changed since you saw it")
    api.answer("POST", ONE, an_approval(state="APPROVED"))
    page.keyboard.press("a")
    assert len(api.made("POST", ONE)) == 1
    page.clock.fast_forward(READ)
    page.keyboard.press("a")
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()
    assert api.made("POST", ONE)[-1].body["seen"] == "And one more #01"
    assert api.made("POST", CHECK)[-1].body["text"] == "And one more #01"


def test_who_leaves_while_a_decision_is_under_way_stays_away(visitors: Visitors, api: Api) -> None:
    waiting(api)
    api.answer("POST", ONE, HELD)
    api.answer("GET", "/tweets", tweets())
    page = visitors.open("/tweets")
    with page.expect_request(re.compile("approvals/marquee-1$")):
        card(page).get_by_role("button", name="Approve").click()
    page.get_by_role("link", name="All tweets").click()
    expect(main(page).get_by_text("No tweets of that kind.")).to_be_visible()
    api.release(an_approval(state="APPROVED"))
    page.wait_for_timeout(100)
    expect(page).to_have_url(re.compile("#/tweets/all$"))
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_only_tweets_that_come_into_sight_are_checked_and_once_more_where_that_may_pass(
    visitors: Visitors, api: Api
) -> None:
    waiting(api, 14)
    turns: Iterator[Answer] = iter([refused(503, "not now"), CUT])
    api.answer("POST", CHECK, lambda _: next(turns, a_check()))
    page = visitors.open("/tweets", DESKTOP)
    expect(card(page)).to_contain_text("54 of 280")
    checked = {asked.path for asked in api.made("POST", CHECK)}
    assert "/workflow/approvals/marquee-14/check" not in checked
    card(page, 14).scroll_into_view_if_needed()
    expect(card(page, 14)).to_contain_text("54 of 280")
    assert card(page).get_by_role("status").count() == 0
    card(page).get_by_role("button", name="Edit").click()
    expect(card(page).get_by_role("status")).to_contain_text("54 of 280")
    page.keyboard.press("Escape")
    assert card(page).get_by_role("status").count() == 0


def test_more_than_can_be_listed_are_not_taken_for_decided(visitors: Visitors, api: Api) -> None:
    waiting(api)

    def endless(asked: Asked) -> Answer:
        first = not asked.query.get("cursor")
        return a_queue(*([an_approval(1)] if first else []), more="on")

    api.answer("GET", LIST, a_queue(an_approval(1), an_approval(2)))
    page = visitors.open("/tweets")
    expect(card(page, 2)).to_be_visible()
    api.answer("GET", LIST, endless)
    for _ in range(3):
        poll(page)
        page.wait_for_timeout(200)
    expect(card(page, 2).get_by_role("button", name="Approve")).to_be_enabled()


def test_a_post_is_sent_again_only_by_who_says_to_have_looked_and_once(
    visitors: Visitors, api: Api
) -> None:
    api.answer("GET", "/tweets", tweets(a_tweet()))
    api.answer("GET", "/workflow/health", health())
    api.answer("POST", "/posts/marquee/7", HELD)
    page = visitors.open("/tweets/doubt", PHONE)
    send = page.get_by_role("button", name="It is not: send it")
    expect(send).to_be_disabled()
    page.get_by_label("I looked at the account").check()
    send.click()
    expect(send).to_be_disabled()
    expect(page.get_by_role("button", name="Give it up")).to_be_disabled()
    api.release(refused(409, "it is POSTED"))
    expect(main(page).get_by_text("It is POSTED.")).to_be_visible()
    api.answer("POST", "/posts/marquee/7", a_tweet())
    send.click()
    expect(main(page).get_by_text("It will be sent, with the same text.")).to_be_visible()
    assert [asked.body["state"] for asked in api.made("POST", "/posts/.*")] == ["CLAIMED"] * 2
