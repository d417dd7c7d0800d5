"""The tweet pipeline in a browser: starting runs, deciding by hand, and settling posts in doubt."""

import re

from playwright.sync_api import Locator, Page, expect

from marquee.tweets.text import MAX_WEIGHTED_LENGTH, weighted_length
from tests.e2e.deployed import Json, eventually
from tests.e2e.page.conftest import Visitors, main
from tests.e2e.test_tweet_pipeline import Pipeline
from tests.support.browser import DESKTOP, PHONE

POSTS = "/2/tweets"
SCALE_OF_LONG_WAITS = 0.05
"""Time to do something between a post and the look for it, and little more."""

COUNTED = (
    "cafe\u0301 in 映画",
    "👨‍👩‍👧‍👦 🏳️‍🌈 #1",
    "See example.com, or Example.ORG/x!",
    "映画example.com映画 and http://localhost",
    "😀" * (MAX_WEIGHTED_LENGTH // 2) + "!",
)
"""Texts that X counts otherwise than by their characters; only the last one is too long."""


def card(page: Page, words: str) -> Locator:
    """The tweet with these words, in the queue or among those in doubt."""
    return page.get_by_role("article").filter(has_text=words)


def ask_about(account: Pipeline, *texts: str) -> tuple[str, dict[str, Json]]:
    """A run that asks a person about each of these tweets, and its questions by the texts."""
    ids = {account.tweet(text): text for text in texts}
    run = account.start(count=len(texts), mode="approve")
    asked = account.waiting(*ids)
    return run, {text: asked[tweet_id] for tweet_id, text in ids.items()}


def test_a_run_is_dry_unless_one_says_otherwise_and_shows_what_it_would_post(
    visitors: Visitors, account: Pipeline
) -> None:
    account.tweet("Yi Yi from the aisle seat: 9/10, three hours and I would stay for a fourth.")
    page = visitors.open("/tweets/start", PHONE)
    expect(page.get_by_label("What may it do")).to_have_value("dry_run")
    page.get_by_label("New tweets, at most").fill("1")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("dry run")
    steps = page.get_by_role("table", name="Steps")
    for step in ("Download tweets", "Classify", "Polish", "Sum up"):
        expect(steps.get_by_role("row", name=re.compile(f"^{step} (State: )?✓"))).to_be_visible()
    told = page.get_by_role("table", name="Tweets of this run").get_by_role("row")
    expect(told.filter(has_text="Yi Yi from the aisle seat")).to_contain_text("would be posted")
    assert account.posted() == []


def test_the_queue_is_worked_through_with_the_keyboard_alone(
    visitors: Visitors, account: Pipeline
) -> None:
    good = "Tokyo Story ,again: 10/10.. nobody under sixty was safe."
    meant = "Ran on the big screen: 9/10, the storm came through the speakers.."
    bad = "The poster of Kagemusha gets 9/10 ,the queue for it 1/10."
    run, asked = ask_about(account, good, meant, bad)
    page = visitors.open("/tweets", DESKTOP)
    for text in (good, meant, bad):
        shown = card(page, asked[text]["proposed"])
        expect(shown.get_by_role("deletion").first).to_be_visible()
        length = weighted_length(asked[text]["proposed"])
        expect(shown).to_contain_text(f"{length} of 280 as X counts it · $0.015 to post")
        expect(shown).to_contain_text("The policy lets it through")

    def reach(text: str) -> Locator:
        """Go down the queue to a tweet, as its keys are listed."""
        page.keyboard.press("Escape")
        for key in ("k", "j"):
            for _ in range(page.get_by_role("article").count()):
                wanted = card(page, asked[text]["proposed"])
                if "here" in (wanted.get_attribute("class") or ""):
                    return wanted
                page.keyboard.press(key)
        raise AssertionError(f"no key leads to {text}")

    reach(good)
    page.keyboard.press("a")
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()

    editing = reach(meant)
    page.keyboard.press("e")
    box, post = editing.get_by_label("The whole post"), editing.get_by_role("button", name="Post")
    expect(box).to_be_focused()
    for text in COUNTED:
        box.fill(text)
        expect(editing).to_contain_text(f"{weighted_length(text)} of 280 as X counts it")
    expect(editing).to_contain_text("The policy refuses it")
    expect(post).to_be_disabled()
    final = "Ran on the big screen: 9/10, and the storm came through the speakers. 🎬"
    box.fill(final)
    expect(post).to_be_enabled()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(main(page).get_by_text("Approved with your text")).to_be_visible()

    reach(bad)
    page.keyboard.press("x")
    page.keyboard.type("unkind to posters")
    page.keyboard.press("Enter")
    expect(main(page).get_by_text("Rejected: it will not be posted.")).to_be_visible()

    assert account.deployed.ended(run)["status"] == "SUCCEEDED"
    assert sorted(account.posted()) == sorted([asked[good]["proposed"], final])
    page.goto(f"{visitors.address}#/tweets/all?status=REJECTED")
    rejected = page.get_by_role("row").filter(has_text="The poster of Kagemusha")
    expect(rejected).to_contain_text("unkind to posters")


def test_two_tabs_decide_once_and_a_database_that_refuses_decides_nothing(
    visitors: Visitors, account: Pipeline
) -> None:
    text = "Early Summer before lunch: 9/10, and the bread scene on a full stomach.."
    run, asked = ask_about(account, text)
    proposed = asked[text]["proposed"]
    context = visitors.arrive(PHONE)
    page, other = (visitors.open("/tweets", context=context) for _ in range(2))
    expect(card(other, proposed)).to_be_visible()
    with visitors.deployed.denied("ApiFunction", {"Action": "dynamodb:*", "Resource": "*"}):
        card(page, proposed).get_by_role("button", name="Approve").click()
        expect(card(page, proposed).get_by_role("button", name="Approve")).to_be_enabled()
        assert account.posted() == []
    card(page, proposed).get_by_role("button", name="Approve").click()
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()
    gone = main(other).get_by_text(re.compile("Somebody has decided about it|It is decided"))
    rejecting = card(other, proposed).get_by_role("button", name="Reject", exact=True)
    if rejecting.is_visible():
        rejecting.click()
        card(other, proposed).get_by_role("button", name="Reject it").click()
    expect(gone.first).to_be_visible()
    account.deployed.ended(run)
    assert account.posted() == [proposed]


def test_a_post_in_doubt_is_settled_by_who_has_looked(
    visitors: Visitors, account: Pipeline
) -> None:
    deployed = visitors.deployed
    deployed.upstreams.fault("x", "lost", route=POSTS)
    account.tweet("An Autumn Afternoon at noon: 8/10, tea for everybody in the third row.")
    with deployed.waits_scaled(SCALE_OF_LONG_WAITS, after=0):
        run = account.start(count=1, mode="auto")
        [posted] = eventually(deployed.upstreams.posts)
        account.tweet(posted["text"])  # who could tell the two apart
        deployed.ended(run)
    page = visitors.open("/tweets/doubt", DESKTOP)
    doubted = card(page, posted["text"])
    expect(doubted).to_contain_text("all have its text")
    doubted.get_by_label("Its id on X").fill(posted["id"])
    doubted.get_by_label("What you found").fill("it is there, from noon")
    doubted.get_by_role("button", name="It is on X").click()
    expect(main(page).get_by_text("Noted: it is on X.")).to_be_visible()
    page.goto(f"{visitors.address}#/tweets/all?status=POSTED")
    expect(page.get_by_role("row").filter(has_text=posted["text"]).first).to_be_visible()
    assert account.posted() == [posted["text"]]
