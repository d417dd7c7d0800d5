"""Posts on Bluesky: one search with a session that an app password opens."""

from functools import cache
from typing import Any

import httpx

from marquee.errors import CredentialsRefused, UpstreamRefused, UpstreamUnavailable
from marquee.gateway.calls import Answer, Upstream, call
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
from marquee.movies.sources.relevance import hashtag, is_wanted, needs_context, spoken_title
from marquee.settings import Secrets, Settings

MAX_RESULTS = 100
"""What searchPosts takes for ``limit``; a search is free, so a common word is asked for in full."""

_SESSION = "com.atproto.server.createSession"
_SEARCH = "app.bsky.feed.searchPosts"

type Sessions = dict[tuple[str, str], str]
"""Access tokens by server and handle."""


@cache
def _process_sessions() -> Sessions:
    """Opening a session is limited to 30 in 5 minutes: one lasts as long as the process may."""
    return {}


def collect(
    query: SourceQuery,
    settings: Settings,
    secrets: Secrets,
    *,
    client: httpx.Client | None = None,
    sessions: Sessions | None = None,
) -> Collected:
    """The newest posts that hold the film's title; raises UpstreamError."""
    movie = query.movie
    title = spoken_title(movie)
    if not hashtag(title):
        return Collected(problem=NO_WORDS)
    asked: dict[str, str | int] = {
        "q": f'"{" ".join(title.replace('"', " ").split())}"',
        "sort": "latest",
        "limit": MAX_RESULTS if needs_context(title) else query.max_reviews,
    }
    account = _Account(settings, secrets, _process_sessions() if sessions is None else sessions)
    posts = account.search(asked, client)
    return read(
        posts,
        lambda post: _review(post, movie.tmdb_id),
        at_most=query.max_reviews,
        is_wanted=lambda review: is_wanted(review, movie),
    )


class _Account:
    """Who asks, with the session that is kept for them."""

    def __init__(self, settings: Settings, secrets: Secrets, sessions: Sessions) -> None:
        self._base_url = settings.bluesky_base_url
        self._handle = secrets.require("bluesky/handle")
        self._password = secrets.require("bluesky/app_password")
        self._sessions = sessions

    def search(self, asked: dict[str, str | int], client: httpx.Client | None) -> list[Any]:
        """Search in the kept session; where that is refused (expired, revoked), in a new one."""
        key = (self._base_url, self._handle)
        if token := self._sessions.get(key):
            try:
                return _posts(self._ask(token, asked, client))
            except (CredentialsRefused, UpstreamRefused):
                del self._sessions[key]
        token = self._open(client)
        answer = self._ask(token, asked, client)
        self._sessions[key] = token
        return _posts(answer)

    def _ask(self, token: str, asked: dict[str, str | int], client: httpx.Client | None) -> Answer:
        upstream = Upstream("bluesky", self._base_url, {"authorization": f"Bearer {token}"})
        return call(upstream, _SEARCH, f"/{_SEARCH}", params=asked, client=client)

    def _open(self, client: httpx.Client | None) -> str:
        answer = call(
            Upstream("bluesky", self._base_url),
            _SESSION,
            f"/{_SESSION}",
            method="POST",
            json={"identifier": self._handle, "password": self._password},
            client=client,
        )
        token = answer.body.get("accessJwt") if isinstance(answer.body, dict) else None
        if not isinstance(token, str):
            raise UpstreamUnavailable(
                "the session has no accessJwt", provider="bluesky", endpoint=_SESSION
            )
        return token


def _posts(answer: Answer) -> list[Any]:
    posts = answer.body.get("posts") if isinstance(answer.body, dict) else None
    if not isinstance(posts, list):
        raise UpstreamUnavailable("the answer has no posts", provider="bluesky", endpoint=_SEARCH)
    return posts


def _review(post: Any, tmdb_id: int) -> Review:
    record, author = post["record"], post["author"]
    return Review(
        tmdb_id=tmdb_id,
        source="bluesky",
        review_id=post["uri"],
        text=stripped(record["text"]),
        posted_at=moment(record["createdAt"]),
        author=stripped(author["handle"]),
        url=_link(post["uri"], author["handle"]),
        language=language_code(next(iter(record.get("langs") or ()), None)),
    )


def _link(uri: str, handle: str) -> str:
    """The page of a post: ``at://<did>/app.bsky.feed.post/<key>`` → bsky.app."""
    did, _, key = uri.removeprefix("at://").split("/")
    # A handle that its domain no longer confirms is shown as this; the DID always leads there.
    name = did if handle == "handle.invalid" else handle
    return f"https://bsky.app/profile/{name}/post/{key}"
