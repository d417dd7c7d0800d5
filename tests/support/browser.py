"""A real browser that looks at the page, and watches for what must never happen there."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUM = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
"""What Debian, other Linuxes and Google call it; first the build without windows, which costs a
third of the processor's time."""

PHONE = (390, 844)
DESKTOP = (1280, 800)
"""Width and height in CSS pixels."""

ZONE = "Asia/Kolkata"
"""Where everybody sits who looks: not in UTC, and half an hour off."""

PATIENCE_SECONDS = 30
"""How long a page may take to show what is waited for, on a busy machine."""

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""The rules of axe-core, by the names of its groups."""
OF_COLORS = ["color-contrast", "link-in-text-block"]
"""Those of them that judge colors."""

type Size = tuple[int, int]
type Scheme = Literal["light", "dark"]

# Runs in every document and frame before its own scripts.
_WATCHER = """
window.xss = (number) => { report("ran", `${number}`); };
addEventListener("securitypolicyviolation", (event) => {
  report("refused", `${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
});
"""

# Elements and attributes that no text of the page may become, each in words.
_STRAY_MARKUP = """() => {
  const strays = [];
  const never = new Set(
    ("applet base embed frame frameset iframe marquee math noscript object portal "
      + "template").split(" "),
  );
  const addresses = new Set("action data formaction href poster src xlink:href".split(" "));
  const look = (root) => {
    for (const element of root.querySelectorAll("*")) {
      const name = element.localName;
      const say = (what) => strays.push(`<${name}> ${what}`);
      const number = element.getAttribute("data-xss");
      if (number !== null) say(`data-xss=${number}`);
      if (never.has(name)) say("is never in the page");
      if (element instanceof HTMLUnknownElement || name.includes("-")) say("is no known element");
      if (name === "style") say("is inline");
      if (name === "script" && !element.src) say("is inline");
      if (name === "meta" && element.httpEquiv) say(`http-equiv=${element.httpEquiv}`);
      for (const { name: attribute, value } of element.attributes) {
        if (attribute.startsWith("on")) say(`has ${attribute}=${value}`);
        if (addresses.has(attribute)) {
          const address = URL.parse(value, document.baseURI);
          const known = ["http:", "https:"].includes(address?.protocol);
          if (value && !known) say(`has ${attribute}=${value}`);
        }
      }
      if (element.shadowRoot) look(element.shadowRoot);
      if (name === "template") look(element.content);
    }
  };
  look(document);
  return strays;
}"""


@dataclass
class Watch:
    """What must not happen in a page and yet did; each in words."""

    origins: frozenset[str]
    """Whom the page may call: scheme, host and port."""
    secret: str = ""
    """What no address, referrer or message may hold."""
    ran: list[str] = field(default_factory=list)
    """The numbers of the payloads that ran."""
    refused: list[str] = field(default_factory=list)
    """What the content security policy held back."""
    broken: list[str] = field(default_factory=list)
    """Errors that nobody caught, errors on the console, dialogs."""
    strangers: list[str] = field(default_factory=list)
    """Addresses of other hosts that were called."""
    told: list[str] = field(default_factory=list)
    """Where the secret was seen."""
    under_way: set[Request] = field(default_factory=set)
    """What was asked and is not answered yet."""

    def follow(self, context: BrowserContext) -> None:
        """Watch every page of the context from now on."""
        context.expose_function("report", self._hear)
        context.add_init_script(_WATCHER)
        context.on("request", self._look_at)
        context.on("requestfinished", lambda request: self.under_way.discard(request))
        context.on("requestfailed", lambda request: self.under_way.discard(request))
        context.on("console", self._read)
        context.on("dialog", self._close)
        context.on("weberror", lambda problem: self.broken.append(str(problem.error)))

    def assert_clean(self) -> None:
        """Nothing of all that has happened."""
        seen = {
            "ran": self.ran,
            "refused by the policy": self.refused,
            "broken": self.broken,
            "called": self.strangers,
            "told the key": self.told,
        }
        assert not any(seen.values()), {what: words for what, words in seen.items() if words}

    def _hear(self, what: str, words: str) -> None:
        (self.ran if what == "ran" else self.refused).append(words)

    def _look_at(self, request: Request) -> None:
        self.under_way.add(request)
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and self._origin(request.url) not in self.origins:
            self.strangers.append(request.url)
        seen = [request.url, request.headers.get("referer", ""), request.post_data or ""]
        if self.secret and any(self.secret in words for words in seen):
            self.told.append(f"{request.method} {request.url}")

    def _read(self, message: ConsoleMessage) -> None:
        if self.secret and self.secret in message.text:
            self.told.append(f"console: {message.text}")
        # What the network or the API refuses, Chromium reports by itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.broken.append(message.text)

    def _close(self, dialog: Dialog) -> None:
        self.broken.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    @staticmethod
    def _origin(address: str) -> str:
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.netloc}"


@cache
def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def running_browser(program: str) -> Iterator[Browser]:
    """The browser, until the block ends; its processes end with it.

    Within the block the calling thread counts as one with a running event loop.
    """
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, handle_sigint=False)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browsing(
    browser: Browser,
    watch: Watch,
    size: Size = DESKTOP,
    *,
    scheme: Scheme = "light",
    **options: Any,
) -> Iterator[BrowserContext]:
    """A person's browser, with nothing of other tests in it, that is watched; `options` are
    Playwright's."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == PHONE,
        reduced_motion="reduce",
        timezone_id=ZONE,
        locale="en-US",
        **options,
    )
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    watch.follow(context)
    try:
        yield context
    finally:
        context.close()


def stray_markup(page: Page) -> list[str]:
    """Elements and attributes in the page that no text may become."""
    found: list[str] = page.evaluate(_STRAY_MARKUP)
    return found


def accessibility_faults(page: Page, *, only_colors: bool = False) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and good practice, with where it is.

    `only_colors` asks for the rules that another color scheme may break, and no others.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    rules = (
        {"type": "rule", "values": OF_COLORS} if only_colors else {"type": "tag", "values": WCAG}
    )
    results = page.evaluate(
        "(options) => axe.run(document, options)",
        {"resultTypes": ["violations"], "runOnly": rules},
    )
    return [
        f"{violation['impact']} {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def poisoned(answer: Any, payload: Callable[[], str], is_spared: Callable[[str, str], bool]) -> Any:
    """The JSON with every text in it replaced by a payload, but those spared by name and value."""

    def change(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: change(inner, part) for inner, part in value.items()}
        if isinstance(value, list):
            return [change(name, part) for part in value]
        spared = not isinstance(value, str) or is_spared(name, value)
        return value if spared else payload()

    return change("", answer)
