"""Nothing that others wrote is ever markup in the page: payloads in every field that there is."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from marquee.movies.tmdb import APPENDED
from tests.e2e.deployed import Deployed, Json
from tests.e2e.page.conftest import Visitors, chip, main, region
from tests.e2e.test_triggers import TRIGGERS, Hooks
from tests.e2e.test_tweet_pipeline import Pipeline
from tests.support.browser import DESKTOP, PHONE, poisoned, stray_markup
from tests.support.receiver import receiving
from tests.support.upstreams import Upstreams, tmdb_headers
from tests.support.xss import PAYLOADS

FILM = 775
"""A film that no other test asks for."""
REVIEWS = 100
KEPT = {"created_at", "iso_3166_1", "iso_639_1", "job", "original_language", "release_date"}
"""What TMDB is not poisoned in: without these there is no film."""
STRUCTURE = {
    "to",
    "kind",
    "status",
    "state",
    "label",
    "workflow_id",
    "approval_id",
    "source",
    "tweet_id",
}
"""What the API is not poisoned in at first: it decides what the page shows at all."""
SHARE = 4
"""Each payload of so many is a review; few of them can be shown as quotes."""
LEAST_SHOWN = 25
"""Different payloads that the fullest view shows, at least."""
EMPTY = {"new run"}
"""Views that show nothing of what these tests did."""

TITLE = "<img src=x onerror=xss(0)> Moon"
texts = [payload.text for payload in PAYLOADS]


def film_as_told_by_an_attacker(deployed: Deployed) -> Json:
    """What TMDB says of the film, each text of it a payload."""
    told: Json = deployed.http.get(
        f"{deployed.upstreams.tmdb_url}/movie/{FILM}",
        params={"append_to_response": ",".join(APPENDED)},
        headers=tmdb_headers(),
    ).json()
    payloads = cycle(texts)
    film: Json = poisoned(told, lambda: next(payloads), lambda name, _: name in KEPT)
    film |= {"title": TITLE, "original_title": TITLE, "overview": "\n".join(texts)}
    film |= {"poster_path": '/"onerror="xss(0).jpg', "tagline": texts[0]}
    at = datetime.now(UTC).isoformat()
    film["reviews"]["results"] = [
        {
            "id": f"review{number}",
            "author": text,
            "content": said(number, text),
            "created_at": at,
            "url": text,
            "author_details": {"rating": 1.0 + number % 2 * 9, "username": text, "name": text},
        }
        for number, text in enumerate(texts[::SHARE])
    ]
    return film


def said(number: int, text: str) -> str:
    """A strong opinion of the film: what is shown as a quote."""
    mood = "Brilliant, wonderful, great." if number % 2 else "Terrible, awful, a disaster."
    return f"{text} {TITLE} {number} {mood} #Moon"


def posts_of_attackers() -> dict[str, tuple[str, Any]]:
    """What X, Bluesky and Mastodon find: route and answer."""
    now = datetime.now(UTC) - timedelta(minutes=5)
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    numbered = list(enumerate(texts[1::SHARE]))
    x = {
        "data": [
            {"id": str(2**60 + n), "text": said(n, text), "created_at": at, "lang": "en"}
            for n, text in numbered
        ],
        "meta": {"result_count": len(texts), "newest_id": str(2**60 + len(texts))},
    }
    bluesky = {
        "posts": [
            {
                "uri": f"at://did:plc:a/app.bsky.feed.post/{quote(text, safe='')}{n}",
                "author": {"handle": text, "displayName": text, "did": "did:plc:a"},
                "record": {"text": said(n, text), "createdAt": at, "langs": ["en"]},
                "indexedAt": at,
            }
            for n, text in numbered
        ]
    }
    mastodon = [
        {
            "id": str(10**17 + n),
            "created_at": at,
            "content": f"<p>{html.escape(said(n, text))}</p>{text}",
            "url": text,
            "uri": text,
            "language": "en",
            "visibility": "public",
            "account": {"acct": text, "username": text, "display_name": text, "url": text},
        }
        for n, text in numbered
    ]
    return {
        "x": ("/2/tweets/search/recent", x),
        "bluesky": ("*searchPosts", bluesky),
        "mastodon": ("*/timelines/tag/*", mastodon),
    }


@pytest.fixture
def forgetful(deployed: Deployed) -> Iterator[None]:
    """No payload stays in a table, where a search of another test might find it."""
    yield
    keys = {"Movies": ("pk", "sk"), "Reviews": ("pk", "sk")}
    for table, names in keys.items():
        for item in deployed.items(table):
            if "xss" in str(item):
                deployed.aws("dynamodb").delete_item(
                    TableName=deployed.cloud.outputs[f"{table}TableName"],
                    Key={name: item[name] for name in names},
                )


@pytest.mark.usefixtures("forgetful")
def test_what_upstreams_say_of_a_film_stays_text(visitors: Visitors, upstreams: Upstreams) -> None:
    film = film_as_told_by_an_attacker(visitors.deployed)
    told = {"tmdb": ("/3/movie/*", film), **posts_of_attackers()}
    for upstream, (route, body) in told.items():
        upstreams.fault(upstream, "status", status=200, route=route, body=body, count=99)
    # Without the policy that would hold it back, so that only the page itself is judged.
    context = visitors.arrive(DESKTOP, bypass_csp=True)
    page = visitors.open(f"/search?tmdb_id={FILM}&max_reviews={REVIEWS}", context=context)
    expect(page.get_by_role("heading", level=1)).to_contain_text(TITLE)
    expect(page.get_by_role("region", name="The film")).to_contain_text(texts[0])
    feeling = region(page, "How people feel")
    expect(feeling.get_by_role("blockquote").first).to_contain_text("Moon")
    expect(region(page, "Recommendations")).to_contain_text("xss(")
    assert stray_markup(page) == []

    visitors.deployed.calm()
    refusal = {"title": texts[0], "detail": texts[1], "error": texts[2], "message": texts[3]}
    upstreams.fault("tmdb", "status", status=200, route="/3/movie/*", body=film, count=99)
    for upstream, status in (("x", 403), ("bluesky", 400), ("mastodon", 422)):
        upstreams.fault(upstream, "status", status=status, body=refusal, count=99)
    page.goto(f"{visitors.address}#/search?tmdb_id={FILM}&max_reviews={REVIEWS - 1}")
    expect(chip(page, "Bluesky")).to_contain_text("xss(")
    visitors.go(page, page.url.partition("#")[2].replace("search", "runs", 1))
    lacks = main(page).get_by_role("listitem").filter(has_text="reviews from bluesky")
    expect(lacks.first).to_contain_text("xss(")
    assert stray_markup(page) == []


def test_what_is_tweeted_polished_refused_and_typed_stays_text(
    visitors: Visitors, account: Pipeline, upstreams: Upstreams
) -> None:
    tweets = [f"Moon 9/10 wonderful {text}"[:270] for text in texts[::6]]
    for text in tweets:
        account.tweet(text)
    upstreams.model("say", text="Moon 9/10 wonderful <img src=x onerror=xss(0)>")
    upstreams.fault("x", "status", status=403, route="/2/tweets", body={"detail": texts[0]})
    context = visitors.arrive(PHONE, bypass_csp=True)
    page = visitors.open(context=context)
    account.run(count=len(tweets), mode="auto")
    page.goto(f"{visitors.address}#/tweets/all")
    table = page.get_by_role("table")
    for text in tweets[:3]:
        expect(table).to_contain_text(" ".join(text.split()))
    assert stray_markup(page) == []

    page.goto(f"{visitors.address}#/runs?text={quote(texts[0])}")
    expect(page.get_by_label("Holds the text")).to_have_value(texts[0])
    for route in (f"/runs/{quote(texts[0], safe='')}", f"/{quote(texts[0], safe='')}"):
        visitors.go(page, route)
        assert stray_markup(page) == []


def test_addresses_and_reasons_of_callbacks_stay_text(visitors: Visitors) -> None:
    with receiving() as receiver:
        hooks = Hooks(visitors.deployed, receiver)
        url = f"http://127.0.0.1:{receiver.port}/'><img src=x onerror=xss(0)>"
        made = hooks.register("PageAttacked", url=url.replace(" ", "/"))
        receiver.status = 410
        hooks.happens("PageAttacked", said=texts)
        hooks.ended(made)
        off = f"{TRIGGERS}/{made['trigger_id']}/disable"
        visitors.deployed.ask("POST", off, body={"reason": texts[0]})
        context = visitors.arrive(DESKTOP, bypass_csp=True)
        page = visitors.open("/system?window=1h", context=context)
        expect(page.get_by_role("row").filter(has_text=str(receiver.port))).to_be_visible()
        assert stray_markup(page) == []
        visitors.deployed.ask("DELETE", f"{TRIGGERS}/{made['trigger_id']}")


def is_structure(name: str, value: str) -> bool:
    """What decides whether and where the page shows an answer: states, ids and times."""
    return name in STRUCTURE or re.match(r"\d{4}-\d\d-\d\d", value) is not None


@contextmanager
def poisoned_answers(page: Page, api: str, is_spared: Callable[[str, str], bool]) -> Iterator[None]:
    """The texts that the API answers a page are payloads, but those that are spared."""
    payloads = cycle(texts)

    def attack(route: Route) -> None:
        answer = route.fetch()
        if "json" not in answer.headers.get("content-type", ""):
            route.fulfill(response=answer)
            return
        body = poisoned(answer.json(), lambda: next(payloads), is_spared)
        route.fulfill(response=answer, json=body)

    page.route(f"{api}/**", attack)
    try:
        yield
    finally:
        page.unroute_all(behavior="wait")


def test_whatever_the_api_answers_stays_text_in_every_view(
    visitors: Visitors, views: dict[str, str]
) -> None:
    page = visitors.open("/tweets/start", context=visitors.arrive(DESKTOP, bypass_csp=True))
    shown = {}
    with poisoned_answers(page, visitors.deployed.cloud.api_url, is_structure):
        for name, route in views.items():
            visitors.go(page, route)
            words = main(page).inner_text()
            shown[name] = sum(" ".join(text.split()) in words for text in texts)
            assert stray_markup(page) == [], name
    assert [name for name in views if not shown[name] and name not in EMPTY] == []
    assert shown["search"] >= LEAST_SHOWN, shown


def test_an_answer_that_makes_no_sense_at_all_runs_nothing_and_leaves_nobody_waiting(
    visitors: Visitors, views: dict[str, str]
) -> None:
    page = visitors.open("/tweets/start", context=visitors.arrive(PHONE, bypass_csp=True))
    with poisoned_answers(page, visitors.deployed.cloud.api_url, lambda *_: False):
        for name, route in views.items():
            visitors.go(page, route)
            assert stray_markup(page) == [], name
    visitors.watch.broken.clear()  # what the page could not make sense of
