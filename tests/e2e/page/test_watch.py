"""What watches the page in the browser tests finds every payload where a page is careless."""

import re

from playwright.sync_api import Browser, Page

from tests.support.browser import DESKTOP, Watch, browsing, stray_markup
from tests.support.xss import CARELESS, PAYLOADS, Payload

ADDRESS = "http://careless.invalid"
STEP_MILLISECONDS = 10
MOST_STEPS = 300


def found(payload: Payload, page: Page, watch: Watch) -> bool:
    """Whether the payload was seen to run, to be markup, or to call another host."""
    named = re.compile(rf"(xss\(|data-xss=|/){payload.number}\b")
    return str(payload.number) in watch.ran or any(
        named.search(words) for words in (*stray_markup(page), *watch.strangers)
    )


def test_every_payload_is_found_where_a_page_takes_it_for_more_than_text(browser: Browser) -> None:
    watch = Watch(origins=frozenset({ADDRESS}))
    missed = []
    with browsing(browser, watch, DESKTOP) as context:
        context.route("**/*", lambda route: route.abort())
        context.route(f"{ADDRESS}/", lambda route: route.fulfill(body=CARELESS))
        page = context.new_page()
        page.goto(f"{ADDRESS}/")
        for payload in PAYLOADS:
            page.evaluate("([place, text]) => { SINKS[place](text); }", payload[1:])
            for _ in range(MOST_STEPS):
                if found(payload, page, watch):
                    break
                page.wait_for_timeout(STEP_MILLISECONDS)
            else:
                missed.append(payload)
            page.evaluate("out.replaceChildren()")
    assert missed == []
