"""The stand-in of a Mastodon server under `/mastodon/api/v1`."""

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee_cli.upstreams.answers import Json, error
from marquee_cli.upstreams.catalog import stable_number
from marquee_cli.upstreams.query import hashtags
from marquee_cli.upstreams.timeline import Timeline, iso_milliseconds, mastodon_id
from marquee_cli.upstreams.voices import Author, Said, Voices, damaged
from marquee_cli.upstreams.windows import Grant, Windows

DOMAIN = "social.marquee.test"
DEFAULT_PAGE_SIZE = 20
LARGEST_PAGE = 40

Json_ = dict[str, Any]


@dataclass(frozen=True)
class _Status:
    """A post with what is asked of it at every look at a hashtag."""

    id: int
    said: Said
    at: datetime
    tags: tuple[str, ...]


class Mastodon:
    """The public timeline of a hashtag, and what the server says of itself."""

    def __init__(self, voices: Voices, windows: Windows, timeline: Timeline) -> None:
        self._voices = voices
        self._windows = windows
        self._timeline = timeline
        self._statuses: list[_Status] = []
        self._statuses_until: datetime | None = None

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/instance", self._instance),
            Route("/api/v1/timelines/tag/{hashtag}", self._tag),
        ]

    def forget(self) -> None:
        """Read the posts anew at the next look."""
        self._statuses_until = None

    async def _instance(self, request: Request) -> Response:
        grant = self._windows.take("mastodon")
        if not grant.allowed:
            return error("mastodon", 429, mastodon_headers(grant))
        about = {
            "uri": DOMAIN,
            "title": "Marquee stand-in",
            "short_description": "A Mastodon server that exists on this machine only.",
            "description": "",
            "email": "",
            "version": "4.4.0",
            "languages": ["en"],
            "registrations": False,
            "approval_required": True,
            "invites_enabled": False,
        }
        return Json(about, headers=mastodon_headers(grant))

    async def _tag(self, request: Request) -> Response:
        grant = self._windows.take("mastodon")
        headers = mastodon_headers(grant)
        if not grant.allowed:
            return error("mastodon", 429, headers)
        page = self._page(request)
        if page:
            headers["Link"] = _links(request, page)
        return Json([_status(status) for status in page], headers=headers)

    def _page(self, request: Request) -> list[_Status]:
        """Statuses with the hashtag, the newest first; `min_id` pages upwards from below."""
        parameters = request.query_params
        size = min(_number(parameters.get("limit"), DEFAULT_PAGE_SIZE), LARGEST_PAGE)
        below = _number(parameters.get("max_id"), 2**63)
        above = max(_number(parameters.get("since_id"), 0), _number(parameters.get("min_id"), 0))
        tag = request.path_params["hashtag"].casefold()
        found = [s for s in self._all() if tag in s.tags and above < s.id < below]
        return found[-size:] if "min_id" in parameters and size else found[:size]

    def _all(self) -> list[_Status]:
        if self._statuses_until != self._timeline.midnight:
            self._statuses_until = self._timeline.midnight
            made = (self._made(said) for said in self._voices.posts("mastodon"))
            self._statuses = sorted(made, key=lambda status: -status.id)
        return self._statuses

    def _made(self, said: Said) -> _Status:
        at = self._timeline.instant(said.key)
        return _Status(mastodon_id(at, said.key), said, at, tuple(hashtags(said.text.text)))


def mastodon_headers(grant: Grant) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(grant.limit),
        "X-RateLimit-Remaining": str(grant.remaining),
        "X-RateLimit-Reset": iso_milliseconds(datetime.fromtimestamp(grant.reset, UTC)),
    }


def _number(value: str | None, default: int) -> int:
    """Mastodon takes what is no number for not given."""
    return int(value) if value and value.isascii() and value.isdigit() else default


def _links(request: Request, page: list[_Status]) -> str:
    def url(**bounds: int) -> URL:
        bare = request.url.remove_query_params(["max_id", "since_id", "min_id"])
        return bare.include_query_params(**bounds)

    return f'<{url(max_id=page[-1].id)}>; rel="next", <{url(min_id=page[0].id)}>; rel="prev"'


def _status(status: _Status) -> Json_:
    said = status.said
    address = f"https://{DOMAIN}/@{said.author.handle}/{status.id}"
    shown = {
        "id": str(status.id),
        "created_at": iso_milliseconds(status.at),
        "in_reply_to_id": None,
        "in_reply_to_account_id": None,
        "sensitive": False,
        "spoiler_text": "",
        "visibility": "public",
        "language": said.text.language,
        "uri": f"https://{DOMAIN}/users/{said.author.handle}/statuses/{status.id}",
        "url": address,
        "replies_count": said.likes // 16,
        "reblogs_count": said.likes // 7,
        "favourites_count": said.likes,
        "edited_at": None,
        "content": _content(said.text.text),
        "reblog": None,
        "account": _account(said.author),
        "media_attachments": [],
        "mentions": [],
        "tags": [{"name": tag, "url": _tag_address(tag)} for tag in status.tags],
        "emojis": [],
        "card": None,
        "poll": None,
    }
    return damaged(shown, said.damage)


def _content(text: str) -> str:
    """The text as Mastodon's HTML: escaped, with links on hashtags and addresses."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(
        r"https://[^\s<]+",
        lambda found: (
            f'<a href="{found[0]}" target="_blank" rel="nofollow noopener">{found[0]}</a>'
        ),
        escaped,
    )
    escaped = re.sub(
        r"(?<!&)#([^\s#.,!?;:()\"'<&]+)",
        lambda found: (
            f'<a href="{_tag_address(found[1].casefold())}" class="mention hashtag" rel="tag">'
            f"#<span>{found[1]}</span></a>"
        ),
        escaped,
    )
    paragraphs = escaped.split("\n\n")
    return "".join(f"<p>{paragraph.replace(chr(10), '<br />')}</p>" for paragraph in paragraphs)


def _tag_address(tag: str) -> str:
    return f"https://{DOMAIN}/tags/{tag}"


def _account(author: Author) -> Json_:
    address = f"https://{DOMAIN}/@{author.handle}"
    followers = stable_number(f"mastodon followers {author.number}") % 900
    return {
        "id": str(100_000_000_000 + author.number),
        "username": author.handle,
        "acct": author.handle,
        "display_name": author.name,
        "locked": False,
        "bot": False,
        "created_at": f"{2018 + author.number % 7}-11-05T00:00:00.000Z",
        "note": "",
        "url": address,
        "uri": f"https://{DOMAIN}/users/{author.handle}",
        "avatar": f"https://{DOMAIN}/avatars/original/missing.png",
        "avatar_static": f"https://{DOMAIN}/avatars/original/missing.png",
        "header": f"https://{DOMAIN}/headers/original/missing.png",
        "header_static": f"https://{DOMAIN}/headers/original/missing.png",
        "followers_count": followers,
        "following_count": 20 + followers // 2,
        "statuses_count": 100 + followers * 3,
        "emojis": [],
        "fields": [],
    }
