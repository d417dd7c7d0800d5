"""The stand-in of a Bluesky server (PDS) under `/bluesky/xrpc`."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee_cli.upstreams.answers import Json, error
from marquee_cli.upstreams.credentials import Credentials
from marquee_cli.upstreams.query import Post, Predicate, QueryError, hashtags, parse
from marquee_cli.upstreams.timeline import Timeline, iso_milliseconds, record_key
from marquee_cli.upstreams.voices import Author, Said, Voices, damaged
from marquee_cli.upstreams.windows import Grant, Windows

ACCESS_LIFETIME = timedelta(hours=2)
REFRESH_LIFETIME = timedelta(days=60)
# Signs the session tokens of the stand-in; fixed, so that a session survives its restart.
SIGNING_KEY = b"marquee stand-in session"
PAGE_SIZES = range(1, 101)
DEFAULT_PAGE_SIZE = 25
SEARCH = "app.bsky.feed.searchPosts"
CREATE_SESSION = "com.atproto.server.createSession"

Json_ = dict[str, Any]


@dataclass(frozen=True)
class _Record:
    """A post with what is asked of it at every search."""

    said: Said
    at: datetime
    searchable: Post


class Bluesky:
    """Sessions by app password, and the search of posts."""

    def __init__(
        self, voices: Voices, credentials: Credentials, windows: Windows, timeline: Timeline
    ) -> None:
        self._voices = voices
        self._credentials = credentials
        self._windows = windows
        self._timeline = timeline
        self._records: list[_Record] = []
        self._records_until: datetime | None = None

    def routes(self) -> list[Route]:
        return [
            Route(f"/xrpc/{CREATE_SESSION}", self._create_session, methods=["POST"]),
            Route(f"/xrpc/{SEARCH}", self._search_posts, methods=["GET"]),
        ]

    def forget(self) -> None:
        """Read the posts anew at the next search."""
        self._records_until = None

    async def _create_session(self, request: Request) -> Response:
        body = await request.body()
        return self._limited("bluesky/createSession", lambda: self._session(body))

    async def _search_posts(self, request: Request) -> Response:
        return self._limited("bluesky/searchPosts", lambda: self._found(request))

    def _limited(self, endpoint: str, answer: Callable[[], Json_]) -> Response:
        grant = self._windows.take(endpoint)
        headers = bluesky_headers(grant, self._windows.limits[endpoint].seconds)
        if not grant.allowed:
            return error("bluesky", 429, headers)
        try:
            return Json(answer(), headers=headers)
        except _Refused as refused:
            return Json(refused.body, refused.status, headers)

    def _session(self, body: bytes) -> Json_:
        try:
            asked = json.loads(body)
            identifier, password = asked["identifier"], asked["password"]
        except (ValueError, KeyError, TypeError) as problem:
            raise _Refused(
                400, "InvalidRequest", 'Input must have the properties "identifier" and "password"'
            ) from problem
        known = (self._credentials.bluesky_handle, self._credentials.bluesky_app_password)
        if (identifier, password) != known:
            raise _Refused(401, "AuthenticationRequired", "Invalid identifier or password")
        handle = self._credentials.bluesky_handle
        return {
            "did": _did(handle),
            "handle": handle,
            "accessJwt": self._token("com.atproto.appPass", ACCESS_LIFETIME),
            "refreshJwt": self._token("com.atproto.refresh", REFRESH_LIFETIME),
            "active": True,
        }

    def _token(self, scope: str, lifetime: timedelta) -> str:
        expiry = int((self._timeline.now() + lifetime).timestamp())
        claims = {"scope": scope, "sub": _did(self._credentials.bluesky_handle), "exp": expiry}
        signed = f"{_encoded({'typ': 'at+jwt', 'alg': 'HS256'})}.{_encoded(claims)}"
        return f"{signed}.{_signature(signed)}"

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _Refused(401, "AuthMissing", "Authentication Required")
        signed, _, signature = token.strip().rpartition(".")
        if not hmac.compare_digest(signature.encode(), _signature(signed).encode()):
            raise _Refused(400, "InvalidToken", "Token could not be verified")
        claims = json.loads(_decoded(signed.partition(".")[2]))
        if claims["scope"] == "com.atproto.refresh":
            raise _Refused(400, "InvalidToken", "Bad token scope")
        if claims["exp"] <= self._timeline.now().timestamp():
            raise _Refused(400, "ExpiredToken", "Token has expired")

    def _found(self, request: Request) -> Json_:
        self._check_token(request)
        parameters = request.query_params
        if "q" not in parameters:
            raise _Refused(400, "InvalidRequest", 'Error: Params must have the property "q"')
        matches = _parsed(parameters["q"])
        size = _whole_number(request, "limit", PAGE_SIZES, DEFAULT_PAGE_SIZE)
        first = _whole_number(request, "cursor", range(1_000_000), 0)
        since = _moment(request, "since") or datetime.min.replace(tzinfo=UTC)
        until = _moment(request, "until") or datetime.max.replace(tzinfo=UTC)
        language = parameters.get("lang")
        tags = {tag.casefold() for tag in parameters.getlist("tag")}
        found = [
            record
            for record in self._all()
            if since <= record.at < until
            and language in (None, record.said.text.language)
            and tags <= record.searchable.hashtags
            and matches(record.searchable)
        ]
        if parameters.get("sort") == "top":
            found.sort(key=lambda record: -record.said.likes)
        answer: Json_ = {"posts": [_view(record) for record in found[first : first + size]]}
        if len(found) > first + size:
            answer["cursor"] = str(first + size)
        return answer

    def _all(self) -> list[_Record]:
        if self._records_until != self._timeline.midnight:
            self._records_until = self._timeline.midnight
            made = (
                _Record(
                    said,
                    self._timeline.instant(said.key),
                    Post.of(said.text.text, said.text.language, _handle(said.author)),
                )
                for said in self._voices.posts("bluesky")
            )
            self._records = sorted(made, key=lambda record: record.at, reverse=True)
        return self._records


def bluesky_headers(grant: Grant, seconds: float) -> dict[str, str]:
    return {
        "ratelimit-limit": str(grant.limit),
        "ratelimit-remaining": str(grant.remaining),
        "ratelimit-reset": str(int(grant.reset)),
        "ratelimit-policy": f"{grant.limit};w={seconds:.0f}",
    }


class _Refused(Exception):
    """The request ends in an XRPC error of this name."""

    def __init__(self, status: int, name: str, message: str) -> None:
        self.status = status
        self.body = {"error": name, "message": message}


def _parsed(query: str) -> Predicate:
    try:
        return parse(query)
    except QueryError as problem:
        raise _Refused(400, "BadQueryString", str(problem)) from problem


def _whole_number(request: Request, name: str, allowed: range, default: int) -> int:
    value = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and int(value) in allowed):
        raise _Refused(
            400,
            "InvalidRequest",
            f"Error: {name} must be a whole number from {allowed.start} to {allowed.stop - 1}",
        )
    return int(value)


def _moment(request: Request, name: str) -> datetime | None:
    """A datetime, or a date, which stands for its first moment in UTC."""
    value = request.query_params.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as problem:
        raise _Refused(400, "InvalidRequest", f"Error: {name} must be a datetime") from problem
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _view(record: _Record) -> Json_:
    """The post as `app.bsky.feed.defs#postView`."""
    said, at = record.said, iso_milliseconds(record.at)
    text = said.text.text
    did = _did(_handle(said.author))
    view = {
        "uri": f"at://{did}/app.bsky.feed.post/{record_key(record.at, said.key)}",
        "cid": _cid(said.key),
        "author": {
            "did": did,
            "handle": _handle(said.author),
            "displayName": said.author.name,
            "labels": [],
            "createdAt": f"{2023 + said.author.number % 3}-07-04T08:00:00.000Z",
        },
        "record": {
            "$type": "app.bsky.feed.post",
            "createdAt": at,
            "langs": [said.text.language],
            "text": text,
            "facets": _facets(text),
        },
        "bookmarkCount": said.likes // 30,
        "replyCount": said.likes // 12,
        "repostCount": said.likes // 8,
        "likeCount": said.likes,
        "quoteCount": said.likes // 50,
        "indexedAt": at,
        "viewer": {"bookmarked": False, "threadMuted": False, "embeddingDisabled": False},
        "labels": [],
    }
    return damaged(view, said.damage)


def _facets(text: str) -> list[Json_]:
    """The hashtags with their places, which Bluesky counts in bytes of UTF-8."""
    facets: list[Json_] = []
    lowered = text.casefold() if len(text.casefold()) == len(text) else text
    position = 0
    for tag in hashtags(text):
        start = lowered.find(f"#{tag}", position)
        if start < 0:
            continue
        position = start + len(tag) + 1
        facets.append(
            {
                "index": {
                    "byteStart": len(text[:start].encode()),
                    "byteEnd": len(text[:position].encode()),
                },
                "features": [
                    {"$type": "app.bsky.richtext.facet#tag", "tag": text[start + 1 : position]}
                ],
            }
        )
    return facets


def _handle(author: Author) -> str:
    return f"{author.handle.replace('_', '-')}.bsky.social"


def _did(handle: str) -> str:
    return f"did:plc:{_base32(handle)[:24]}"


def _cid(key: str) -> str:
    """A CIDv1 as Bluesky writes it: DAG-CBOR, SHA-256, base 32."""
    multihash = b"\x01\x71\x12\x20" + hashlib.sha256(key.encode()).digest()
    return "b" + base64.b32encode(multihash).decode().lower().rstrip("=")


def _base32(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()


def _encoded(claims: Json_) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _signature(signed: str) -> str:
    digest = hmac.new(SIGNING_KEY, signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
