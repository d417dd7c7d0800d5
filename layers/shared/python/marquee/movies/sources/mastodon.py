"""Posts on Mastodon: the public timelines of the film's hashtags on one server."""

from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import httpx

from marquee.errors import UpstreamError, UpstreamUnavailable
from marquee.gateway.calls import Upstream, call
from marquee.movies.models import Review
from marquee.movies.sources import (
    NO_WORDS,
    Collected,
    SourceQuery,
    language_code,
    moment,
    read,
    stripped,
)
from marquee.movies.sources.relevance import hashtags, is_wanted
from marquee.settings import Secrets, Settings

PAGE_SIZE = 40
"""The most a timeline gives at once."""

MAX_PAGES = 3
"""100 reviews; each page may take the full deadline of a call, and the function has 45 s."""

_ENDPOINT = "timelines/tag"


def collect(
    query: SourceQuery, settings: Settings, secrets: Secrets, *, client: httpx.Client | None = None
) -> Collected:
    """The newest public posts under the film's hashtags; raises UpstreamError for the first page.

    A later page that fails leaves what was read before, with the ``problem``.
    """
    tags = hashtags(query.movie)
    if not tags:
        return Collected(problem=NO_WORDS)
    upstream = Upstream("mastodon", settings.require("mastodon_base_url"))
    collected = Collected()
    seen: dict[str | int, Any] = {}
    answered = False
    pages_left = MAX_PAGES
    for tag in tags:
        below: str | None = None
        while pages_left and len(collected.reviews) < query.max_reviews:
            pages_left -= 1
            try:
                page = _page(upstream, tag, below, client)
            except UpstreamError as error:
                if not answered:
                    raise
                return replace(collected, problem=str(error))
            answered = True
            seen |= {_id(status) or id(status): status for status in page}
            collected = _read(seen.values(), query)
            below = _id(page[-1]) if len(page) == PAGE_SIZE else None
            if below is None:
                break
    return collected


def _page(
    upstream: Upstream, tag: str, below: str | None, client: httpx.Client | None
) -> list[Any]:
    params: dict[str, str | int] = {"limit": PAGE_SIZE}
    if below is not None:
        params["max_id"] = below
    path = f"/{_ENDPOINT}/{quote(tag, safe='')}"
    page = call(upstream, _ENDPOINT, path, params=params, client=client).body
    if not isinstance(page, list):
        raise UpstreamUnavailable("the answer is no list", provider="mastodon", endpoint=_ENDPOINT)
    return page


def _id(status: Any) -> str | None:
    given = status.get("id") if isinstance(status, dict) else None
    return given if isinstance(given, str) else None


def _read(statuses: Iterable[Any], query: SourceQuery) -> Collected:
    return read(
        filter(_is_public, statuses),
        lambda status: _review(status, query.movie.tmdb_id),
        at_most=query.max_reviews,
        is_wanted=lambda review: is_wanted(review, query.movie),
    )


def _is_public(status: Any) -> bool:
    """No boost, and meant for everyone; what is no status at all is for ``read`` to judge."""
    if not isinstance(status, dict):
        return True
    return not status.get("reblog") and status.get("visibility", "public") == "public"


def _review(status: Any, tmdb_id: int) -> Review:
    return Review(
        tmdb_id=tmdb_id,
        source="mastodon",
        review_id=status["id"],
        text=plain_text(stripped(status["content"])),
        posted_at=moment(status["created_at"]),
        author=stripped(status["account"]["acct"]),
        url=status.get("url") or status.get("uri"),
        language=language_code(status.get("language")),
    )


def plain_text(content: str) -> str:
    """Mastodon's HTML as text: paragraphs and breaks as newlines, links and mentions as words."""
    parser = _Text()
    parser.feed(content)
    parser.close()
    return "".join(parser.parts).strip()


class _Text(HTMLParser):
    """Collects the text between the tags, entities decoded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br" or (tag == "p" and self.parts):
            self.parts.append("\n" if tag == "br" else "\n\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
