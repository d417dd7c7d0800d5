"""The tweet pipeline in a browser: starting runs, deciding by hand, and settling posts in doubt."""

import re
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Locator, Page, expect

from marquee.tweets.text import MAX_WEIGHTED_LENGTH, weighted_length
from tests.e2e.deployed import Json
from tests.e2e.page.conftest import Stage, Visitors, card, main, respond, rewrite, sizes, told
from tests.e2e.test_tweet_pipeline import ACCOUNT, FOREIGN, Pipeline, outcomes
from tests.support.browser import DESKTOP, PHONE, Size
from tests.support.upstreams import Upstreams

COUNTED = (
    "cafe\u0301 in 映画",
    "👨‍👩‍👧‍👦 🏳️‍🌈 #1",
    "See example.com, or Example.ORG/x!",
    "映画example.com映画 and http://localhost",
    "😀" * (MAX_WEIGHTED_LENGTH // 2) + "!",
)
"""Texts that X counts otherwise than by their characters; only the last one is too long."""
TEXTS = (
    "Tokyo Story ,again: 10/10.. nobody under sixty was safe.",
    "Ran on the big screen: 9/10, the storm came through the speakers..",
    "The poster of Kagemusha gets 9/10 ,the queue for it 1/10.",
    "Yojimbo with the sound off: 8/10 ,the dust does the talking..",
    "Ugetsu in the fog: 10/10 ,the lake stayed with us..",
    "The trailer of Sanjuro gets 8/10 ,the man beside me 1/10.",
    "Early Summer before lunch: 9/10, and the bread scene on a full stomach..",
    "Late Autumn after dinner: 9/10, and a daughter who will not marry..",
    "Woman in the Dunes: 9/10 ,sand in every pocket for a week..",
)


@dataclass
class Asked:
    """A run that asks a person about each of these tweets, and what was said of them."""

    account: Pipeline
    run: str
    questions: dict[str, Json]
    posts: dict[str, str] = field(default_factory=dict)
    """What is to be posted, by the original text; no test says a word of the others."""

    def proposed(self, text: str) -> str:
        """What would be posted of a tweet."""
        found: str = self.questions[text]["proposed"]
        return found

    def approve(self, text: str, final: str | None = None) -> None:
        """Note that a person said so."""
        self.posts[text] = final or self.proposed(text)


@pytest.fixture(scope="module")
def asked(stage: Stage, account: Pipeline) -> Asked:
    """One run for all of these tests; it posts what they approve, once all are decided.

    Not before the stage is set, whose runs would find this one going.
    """
    account.deployed.calm()
    ids = {account.tweet(text): text for text in TEXTS}
    run = account.start(count=len(TEXTS), mode="approve")
    waiting = account.waiting(*ids)
    return Asked(account, run, {text: waiting[tweet_id] for tweet_id, text in ids.items()})


@sizes
def test_a_run_is_dry_unless_one_says_otherwise_and_shows_what_it_would_post(
    visitors: Visitors, account: Pipeline, size: Size
) -> None:
    film = "Yi Yi" if size == PHONE else "Nobody Knows"
    text = f"{film} from the aisle seat: 9/10, three hours and I would stay for a fourth."
    tweet_id = account.tweet(text)
    page = visitors.open("/tweets/start", size)
    expect(page.get_by_label("What may it do")).to_have_value("dry_run")
    page.get_by_label("New tweets, at most").fill("5")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("dry run")
    steps = page.get_by_role("table", name="Steps")
    for step in ("Download tweets", "Classify", "Polish", "Sum up"):
        expect(steps.get_by_role("row", name=re.compile(f"^{step} (State: )?✓"))).to_be_visible()
    shown = page.get_by_role("table", name="Tweets of this run").get_by_role("row")
    expect(shown.filter(has_text=f"{film} from the aisle seat")).to_contain_text("would be posted")
    assert account.post_of(tweet_id) is None


@sizes
def test_a_run_is_started_with_all_that_was_chosen_and_a_refusal_is_said(
    visitors: Visitors, waiting: tuple[str, list[Json]], size: Size
) -> None:
    """The run that is answered is one that goes already."""
    run, _ = waiting
    page = visitors.open("/tweets/start", size)
    mode, start = page.get_by_label("What may it do"), page.get_by_role("button", name="Start")
    mode.select_option("auto")
    expect(main(page).get_by_text("This posts in public.")).to_be_visible()
    mode.select_option("approve")
    expect(main(page).get_by_text("This posts in public.")).to_be_hidden()
    page.get_by_label("Account").fill(FOREIGN)
    page.get_by_label("New tweets, at most").fill("2")
    page.get_by_label("Only of the type").select_option("review")
    page.get_by_label("Begin with").select_option("PolishTweets")

    refusal = visitors.deployed.ask("POST", "/workflow/execute", body={"username": "no name"})
    assert refusal.status_code == 422
    path = re.compile("/workflow/execute$")
    page.route(path, lambda route: respond(route, refusal))
    start.click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile("username", re.IGNORECASE))
    page.unroute(path)

    accepted = visitors.deployed.ask(
        "POST", "/workflow/execute", body={"username": FOREIGN, "count": 2, "mode": "approve"}
    )
    assert accepted.json()["workflow_id"] == run
    page.route(path, lambda route: respond(route, accepted))
    with page.expect_request(path) as sent:
        start.click()
    assert sent.value.post_data_json == {
        "mode": "approve",
        "username": FOREIGN,
        "count": 2,
        "tweet_type": "review",
        "from_step": "PolishTweets",
    }
    expect(page).to_have_url(re.compile(run))
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"@{FOREIGN}")


def assert_judged(page: Page, asked: Asked, text: str) -> Locator:
    """A tweet in the queue with its verdict."""
    proposed = asked.proposed(text)
    shown = card(page, proposed)
    shown.scroll_into_view_if_needed()
    expect(shown.get_by_role("deletion").first).to_be_visible()
    length = weighted_length(proposed)
    expect(shown).to_contain_text(f"{length} of 280 as X counts it · $0.015 to post")
    expect(shown).to_contain_text("The policy lets it through")
    return shown


def test_the_queue_is_worked_through_with_the_keyboard_alone(
    visitors: Visitors, asked: Asked
) -> None:
    good, meant, bad = TEXTS[:3]
    page = visitors.open("/tweets", DESKTOP)
    for text in (good, meant, bad):
        assert_judged(page, asked, text)

    def reach(text: str) -> Locator:
        """Go down the queue to a tweet, as its keys are listed."""
        page.keyboard.press("Escape")
        for key in ("k", "j"):
            for _ in range(page.get_by_role("article").count()):
                wanted = card(page, asked.proposed(text))
                if "here" in (wanted.get_attribute("class") or ""):
                    page.wait_for_timeout(700)  # what has just come is not decided about
                    return wanted
                page.keyboard.press(key)
        raise AssertionError(f"no key leads to {text}")

    reach(good)
    page.keyboard.press("a")
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()
    expect(told(page)).to_contain_text("Approved: it will be posted.")
    asked.approve(good)

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
    asked.approve(meant, final)

    reach(bad)
    page.keyboard.press("x")
    page.keyboard.type("unkind to posters")
    page.keyboard.press("Enter")
    expect(main(page).get_by_text("Rejected: it will not be posted.")).to_be_visible()


def test_the_queue_is_worked_through_with_a_finger(visitors: Visitors, asked: Asked) -> None:
    good, meant, bad = TEXTS[3:6]
    page = visitors.open("/tweets", PHONE)
    assert_judged(page, asked, good).get_by_role("button", name="Approve").tap()
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()
    asked.approve(good)

    editing = assert_judged(page, asked, meant)
    editing.get_by_role("button", name="Edit").tap()
    box, post = editing.get_by_label("The whole post"), editing.get_by_role("button", name="Post")
    box.fill("Now at https://b.example")
    expect(editing).to_contain_text("The policy refuses it")
    expect(post).to_be_disabled()
    final = "Ugetsu in the fog: 10/10, and the lake stayed with us."
    box.fill(final)
    expect(post).to_be_enabled()
    post.tap()
    expect(main(page).get_by_text("Approved with your text")).to_be_visible()
    asked.approve(meant, final)

    rejecting = assert_judged(page, asked, bad)
    rejecting.get_by_role("button", name="Reject", exact=True).tap()
    rejecting.get_by_role("button", name="Keep it").tap()
    rejecting.get_by_role("button", name="Reject", exact=True).tap()
    rejecting.get_by_label("Why").fill("unkind to neighbors")
    rejecting.get_by_role("button", name="Reject it").tap()
    expect(main(page).get_by_text("Rejected: it will not be posted.")).to_be_visible()


@sizes
def test_a_decision_of_one_tab_is_seen_in_the_other_which_keeps_what_was_typed(
    visitors: Visitors, asked: Asked, size: Size
) -> None:
    text = TEXTS[6] if size == PHONE else TEXTS[7]
    proposed = asked.proposed(text)
    context = visitors.arrive(size, turns_clock=True)
    page, other = (visitors.open("/tweets", context=context) for _ in range(2))
    editing = card(other, proposed)
    editing.get_by_role("button", name="Edit").click()
    box = other.get_by_label("The whole post")
    box.fill("Mine: 9/10, typed for a while.")
    card(page, proposed).get_by_role("button", name="Approve").click()
    expect(main(page).get_by_text("Approved: it will be posted.")).to_be_visible()
    asked.approve(text)
    visitors.turn(other, main(other).get_by_text("Somebody has decided about it"))
    expect(box).to_have_value("Mine: 9/10, typed for a while.")
    expect(box).not_to_be_editable()
    expect(told(other)).to_contain_text("Somebody has decided about it")


def test_a_tab_that_decides_too_late_is_told_and_decides_nothing(
    visitors: Visitors, asked: Asked
) -> None:
    text = TEXTS[8]
    page = visitors.open("/tweets", PHONE, turns_clock=True)
    late = card(page, asked.proposed(text))
    late.get_by_role("button", name="Reject", exact=True).click()
    answer = asked.account.decide(asked.questions[text], decision="approve", by="Ana")
    assert answer.status_code == 200
    asked.approve(text)
    late.get_by_role("button", name="Reject it").click()
    expect(main(page).get_by_text("Somebody has decided about it")).to_be_visible()


def test_once_all_are_decided_what_was_approved_is_posted_and_nothing_else(
    visitors: Visitors, asked: Asked
) -> None:
    account = asked.account
    for question in asked.questions.values():
        account.decide(question, decision="reject", reason="nobody said a word of it")
    status = account.deployed.ended(asked.run)
    assert status["status"] == "SUCCEEDED"
    posted = {one["text"] for one in outcomes(status).values() if one["status"] == "POSTED"}
    assert posted == set(asked.posts.values())
    assert posted <= set(account.posted())
    assert len(account.posted()) == len(set(account.posted()))

    for size in (PHONE, DESKTOP):
        page = visitors.open("/tweets/all", size)
        if size == PHONE:
            page.get_by_text("Filter", exact=True).click()
        page.get_by_label("State").select_option("REJECTED")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile("status=REJECTED"))
        row = page.get_by_role("row").filter(has_text="The poster of Kagemusha")
        if TEXTS[0] in asked.posts:
            expect(row).to_contain_text("unkind to posters")
        row.get_by_text("history").click()
        expect(row.get_by_role("listitem").filter(has_text="rejected")).to_be_visible()
        page.get_by_label("State").select_option("")
        page.get_by_label("Whose").fill(FOREIGN)
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("table", name=f"Tweets of @{FOREIGN}")).to_contain_text("Still")


@sizes
def test_all_tweets_are_read_page_by_page(
    visitors: Visitors, account: Pipeline, asked: Asked, size: Size
) -> None:
    """The API is asked for three tweets a page instead of 25."""
    context = visitors.arrive(size)
    fewer = re.compile(r"/tweets\?")
    context.route(
        fewer, lambda route: route.continue_(url=re.sub("limit=25", "limit=3", route.request.url))
    )
    page = visitors.open("/tweets/all", context=context)
    rows = page.get_by_role("table", name=f"Tweets of @{ACCOUNT}").locator("tbody tr")
    expect(rows).to_have_count(3)
    first = rows.first.inner_text()
    page.get_by_role("link", name="Older").click()
    expect(page).to_have_url(re.compile("cursor="))
    expect(rows).to_have_count(3)
    assert rows.first.inner_text() != first
    page.get_by_role("link", name="The newest").click()
    expect(page).not_to_have_url(re.compile("cursor="))
    expect(page.get_by_role("link", name="Older")).to_be_visible()


@pytest.mark.parametrize(
    ("size", "number", "answer", "state"),
    [
        (DESKTOP, 0, "It is on X", "POSTED"),
        (PHONE, 1, "Give it up", "REJECTED"),
        (PHONE, 2, "It is not: send it", "CLAIMED"),
    ],
    ids=["it is on X", "it is given up", "it is sent again"],
)
def test_a_post_in_doubt_is_settled_by_who_has_looked(
    visitors: Visitors,
    account: Pipeline,
    doubted: list[str],
    size: Size,
    number: int,
    answer: str,
    state: str,
) -> None:
    text = doubted[number]
    context = visitors.arrive(size)
    page, other = (visitors.open("/tweets/doubt", context=context) for _ in range(2))
    doubt, late = card(page, text), card(other, text)
    expect(doubt).to_contain_text("all have its text")
    expect(late).to_be_visible()
    settle = doubt.get_by_role("button", name=answer)
    doubt.get_by_label("What you found").fill("from noon")
    if answer == "It is on X":
        doubt.get_by_label("Its id on X").fill("1234567")
    if answer == "It is not: send it":
        expect(settle).to_be_disabled()
        doubt.get_by_label("I looked at the account").check()
    settle.click()
    words = {"POSTED": "Noted: it is on X.", "REJECTED": "Given up", "CLAIMED": "It will be sent"}
    expect(main(page).get_by_text(words[state])).to_be_visible()
    expect(told(page)).to_contain_text(words[state])

    if state == "POSTED":  # what is in the world cannot be given up in another tab
        late.get_by_role("button", name="Give it up").click()
        expect(late.locator(".note.bad")).to_be_visible()
    listed = account.deployed.get(f"/posts/{ACCOUNT}", limit=100)["posts"]
    [entry] = [post for post in listed if post["text"] == text]
    assert entry["state"] == state


@sizes
def test_a_run_that_is_started_in_two_tabs_at_once_is_one(
    visitors: Visitors, account: Pipeline, upstreams: Upstreams, size: Size
) -> None:
    before = account.deployed.executions("TweetPipeline")
    upstreams.fault("x", "delay", route="/2/users/*/tweets", seconds=3)
    context = visitors.arrive(size)
    tabs = [visitors.open("/tweets/start", context=context) for _ in range(2)]
    for tab in tabs:
        tab.get_by_label("New tweets, at most").fill("4" if size == PHONE else "3")
    for tab in tabs:
        tab.get_by_role("button", name="Start the run").click()
    for tab in tabs:
        expect(tab).to_have_url(re.compile("#/runs/"))
        expect(main(tab).get_by_role("button", name="Run it again")).to_be_visible()
    assert tabs[0].url == tabs[1].url
    assert len(account.deployed.executions("TweetPipeline") - before) == 1


def test_a_text_that_changed_since_it_was_seen_is_not_approved_unseen(
    visitors: Visitors, waiting: tuple[str, list[Json]]
) -> None:
    """What the page is shown first is another text than the one that is really proposed."""
    _, [approval, *_] = waiting
    stale = "Still Life, once: 7/10, and the bridge is there."

    def before(page: Json) -> Json:
        return {**page, "approvals": [{**one, "proposed": stale} for one in page["approvals"]]}

    page = visitors.open("/tweets/start", DESKTOP, turns_clock=True)
    path = re.compile(r"/workflow/approvals\?")
    rewrite(page, path, before)
    visitors.go(page, f"/tweets/approvals/{approval['approval_id']}")
    tweet = page.get_by_role("article").first
    expect(tweet).to_contain_text(stale)
    page.unroute_all(behavior="wait")
    tweet.get_by_role("button", name="Approve").click()
    expect(
        tweet.get_by_text(
            re.compile("text has changed|another text is proposed", re.IGNORECASE)
        ).first
    ).to_be_visible()
    expect(tweet).not_to_contain_text(stale)
    listed = visitors.deployed.get("/workflow/approvals", limit=100)["approvals"]
    assert approval["approval_id"] in {one["approval_id"] for one in listed}
