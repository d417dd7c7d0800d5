"""Timelines and posts of X, in the name of a user, under `/x/2`."""

import html
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee_cli.upstreams.accounts import Written, accounts, user_id
from marquee_cli.upstreams.answers import (
    X_DUPLICATE,
    X_FORBIDDEN,
    X_TOO_LONG,
    Json,
    error,
    not_found,
    x_headers,
)
from marquee_cli.upstreams.catalog import stable_number
from marquee_cli.upstreams.entities import hashtag_spans, name_spans
from marquee_cli.upstreams.timeline import Timeline, iso_milliseconds, snowflake
from marquee_cli.upstreams.user_context import UserContext
from marquee_cli.upstreams.weighing import LONGEST, links, weighted_length
from marquee_cli.upstreams.windows import Windows
from marquee_cli.upstreams.x_gate import Answer, Call, Gate
from marquee_cli.upstreams.x_parameters import (
    KNOWN,
    Invalid,
    check_names,
    chosen,
    identifier,
    moment_of,
    page_size,
    page_token,
    token_id,
)

# Longer than the 7 days in which Marquee takes the same text for the same post.
REPEATED = timedelta(days=10)
DUPLICATE_WITHIN = timedelta(days=1)
PAGE_SIZES = range(5, 101)
SHOWN_OF_LONG_TEXTS = 250
SHOWN_OF_RETWEETS = 140
NOT_IN_POSTS = {"\ufffe", "\ufeff", "\uffff"}
ALWAYS = {"id", "text", "edit_history_tweet_ids"}
ALWAYS_OF_USERS = {"id", "name", "username"}
POST_FIELDS = {"text", "reply", "quote_tweet_id", "reply_settings", "made_with_ai", "nullcast"}


@dataclass(frozen=True)
class Posted:
    """A tweet at its place; `made` through the API, the others are written or were added."""

    id: int
    account: str
    at: datetime
    written: Written
    visible_at: datetime
    made: bool = False


class XPosts:
    """The accounts' timelines, what is posted to them, and the renewal of their tokens."""

    def __init__(
        self,
        context: UserContext,
        gate: Gate,
        windows: Windows,
        timeline: Timeline,
        now: Callable[[], datetime],
    ) -> None:
        self._context = context
        self._gate = gate
        self._windows = windows
        self._timeline = timeline
        self._now = now
        self.reset()

    def reset(self) -> None:
        """No posts but the written ones, seen at once, by a clock that is right."""
        self.lag = timedelta(0)
        self.ahead = timedelta(0)
        self._added: list[Posted] = []

    def routes(self) -> list[Route]:
        tweets, me = "x/users/tweets", "x/users/me"
        return [
            Route("/2/users/me", self._gate.guarded(me, self._me, users_only=True)),
            Route("/2/users/{id:int}/tweets", self._gate.guarded(tweets, self._timeline_of)),
            Route(
                "/2/tweets",
                self._gate.guarded("x/tweets", self._post, users_only=True),
                methods=["POST"],
            ),
            Route("/2/oauth2/token", self._refresh, methods=["POST"]),
        ]

    def posts(self, account: str | None) -> list[dict[str, Any]]:
        """The posts that were made through the API, in order: the judge of exactly once."""
        return [
            {
                "id": str(post.id),
                "account": post.account,
                "text": post.written.text,
                "shown": shown(post.written.text)[0],
                "created_at": iso_milliseconds(post.at),
                "visible_at": iso_milliseconds(post.visible_at),
            }
            for post in self._added
            if post.made and account in (None, post.account)
        ]

    def add(self, account: str, written: Written, *, made: bool = False) -> Posted:
        """Put a tweet at the top of a timeline, by X's clock."""
        at = self._now() + self.ahead
        number = snowflake(at, f"{account} {len(self._added)}")
        if self._added:
            number = max(number, self._added[-1].id + 1)
        # Only what is made through the API is late: the rest is there before a test begins.
        visible = at + self.lag if made else at
        post = Posted(number, account, at, written, visible, made)
        self._added.append(post)
        return post

    def _me(self, call: Call) -> Answer:
        check_names(call.request, KNOWN["users"])
        fields = ALWAYS_OF_USERS | chosen(call.request, "user.fields")
        assert call.account is not None  # noqa: S101 - the gate lets users through only
        user = accounts()[call.account].as_user()
        return {"data": {name: value for name, value in user.items() if name in fields}}

    def _timeline_of(self, call: Call) -> Answer:
        request = call.request
        check_names(request, KNOWN["users/tweets"])
        fields = ALWAYS | chosen(request, "tweet.fields")
        expansions = chosen(request, "expansions")
        user_fields = ALWAYS_OF_USERS | chosen(request, "user.fields")
        size = page_size(request, PAGE_SIZES)
        wanted = str(request.path_params["id"])
        account = next((a for a in accounts().values() if a.id == wanted), None)
        if account is None:
            return {"errors": [not_found("user", "id", wanted)]}
        found = list(self._found(request, account.username))
        page = found[:size]
        meta: dict[str, Any] = {"result_count": len(page)}
        if not page:
            return {"meta": meta}
        meta = {"newest_id": str(page[0].id), "oldest_id": str(page[-1].id)} | meta
        if len(found) > size:
            meta["next_token"] = page_token(page[-1].id)
        answer: dict[str, Any] = {"data": [_tweet(post, fields) for post in page], "meta": meta}
        if "author_id" in expansions:
            user = account.as_user()
            answer["includes"] = {"users": [{k: v for k, v in user.items() if k in user_fields}]}
        return answer

    def _found(self, request: Request, account: str) -> Iterator[Posted]:
        """The tweets that are asked for and were not on an earlier page, the newest first."""
        excluded = chosen(request, "exclude")
        given = request.query_params
        since = identifier(request, "since_id") if "since_id" in given else 0
        before = token_id(request)
        if "until_id" in given:
            before = min(before, identifier(request, "until_id"))
        start = moment_of(request, "start_time") or datetime.min.replace(tzinfo=UTC)
        end = moment_of(request, "end_time") or datetime.max.replace(tzinfo=UTC)
        if start > end:
            raise Invalid(
                "start_time", given["start_time"], "'start_time' must be before 'end_time'"
            )
        for post in self._tweets(account):
            hidden = ("replies" in excluded and post.written.reply_to) or (
                "retweets" in excluded and post.written.retweet
            )
            # X's times have whole seconds in a query.
            if since < post.id < before and start <= post.at <= end and not hidden:
                yield post

    def _tweets(self, account: str) -> list[Posted]:
        """What can be seen of an account now, the newest first."""
        now = self._now() + self.ahead
        written = (
            self._placed(account, number, tweet)
            for number, tweet in enumerate(accounts()[account].tweets)
        )
        added = (post for post in self._added if post.account == account)
        seen = [post for post in (*written, *added) if post.visible_at <= now]
        return sorted(seen, key=lambda post: -post.id)

    def _placed(self, account: str, number: int, tweet: Written) -> Posted:
        key = f"{account}/{number}"
        at = self._timeline.instant(key, REPEATED)
        return Posted(snowflake(at, key), account, at, tweet, at)

    def _post(self, call: Call) -> Answer:
        assert call.account is not None  # noqa: S101 - the gate lets users through only
        day = self._windows.take("x/tweets/day")
        if not day.allowed:
            limits = {
                f"x-app-limit-24hour-{n.rpartition('-')[2]}": v for n, v in x_headers(day).items()
            }
            return error("x", 429, limits)
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        if not isinstance(body, dict) or set(body) - POST_FIELDS:
            raise Invalid("body", "", "The request body is not a Tweet")
        text = body.get("text")
        if not isinstance(text, str) or not text.strip() or NOT_IN_POSTS & set(text):
            raise Invalid("text", "", "The text is empty or holds a character that is not allowed")
        if "reply" in body or "quote_tweet_id" in body:
            return Json(X_FORBIDDEN, 403)
        if weighted_length(text) > LONGEST:
            return Json(X_TOO_LONG, 400)
        if len(_entities(text)[0].get("cashtags", ())) > 1:
            return Json(X_FORBIDDEN, 403)
        if self._is_duplicate(call.account, text):
            return Json(X_DUPLICATE, 403)
        post = self.add(call.account, Written(text), made=True)
        data = {
            "id": str(post.id),
            "text": shown(text)[0],
            "edit_history_tweet_ids": [str(post.id)],
        }
        location = f"https://api.twitter.com/2/tweets/{post.id}"
        return Json({"data": data}, 201, {"location": location})

    def _is_duplicate(self, account: str, text: str) -> bool:
        """Whether the account said the same lately, seen or not yet seen."""
        since = self._now() + self.ahead - DUPLICATE_WITHIN
        seen = (*self._tweets(account), *(p for p in self._added if p.account == account))
        return any(p.at >= since and _folded(p.written.text) == _folded(text) for p in seen)

    async def _refresh(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        grant = self._windows.take("x/oauth2/token")
        if not grant.allowed:
            return error("x", 429, x_headers(grant))
        authorization = request.headers.get("authorization", "")
        if not self._context.is_client(form, authorization):
            return Json(
                {
                    "error": "unauthorized_client",
                    "error_description": "Missing valid authorization header",
                },
                401,
            )
        if form.get("grant_type") != "refresh_token":
            return _invalid_token_request("Missing required parameter [grant_type].")
        renewed = self._context.refresh(form, authorization)
        if renewed is None:
            return _invalid_token_request("Value passed for the token was invalid.")
        return Json(renewed)


def as_json(post: Posted) -> dict[str, Any]:
    """An added tweet, for whoever added it."""
    return {"id": str(post.id), "account": post.account, **asdict(post.written)}


def shown(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The text as X gives it, its links as t.co and `<>&` escaped, and the links' entities."""
    parts: list[str] = []
    entities: list[dict[str, Any]] = []
    length = position = 0
    for link in links(text):
        words = html.escape(text[position : link.start], quote=False)
        short = _short(link.address)
        start = length + len(words)
        whole = link.address if "://" in link.address else f"http://{link.address}"
        entities.append(
            {
                "start": start,
                "end": start + len(short),
                "url": short,
                "expanded_url": whole,
                "display_url": whole.partition("://")[2][:27],
            }
        )
        parts += [words, short]
        length = start + len(short)
        position = link.end
    parts.append(html.escape(text[position:], quote=False))
    return "".join(parts), entities


def _invalid_token_request(description: str) -> Response:
    return Json({"error": "invalid_request", "error_description": description}, 400)


def _short(address: str) -> str:
    return f"https://t.co/{sha256(address.encode()).hexdigest()[:10]}"


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _entities(text: str) -> tuple[dict[str, Any], str]:
    """All entities of a text as X shows it, and that text."""
    given, urls = shown(text)
    found: dict[str, Any] = {
        "urls": urls,
        "hashtags": [{"start": s, "end": e, "tag": tag} for s, e, tag in hashtag_spans(given)],
        "mentions": [
            {"start": s, "end": e, "username": name, "id": user_id(name)}
            for s, e, name in name_spans(given, "@")
        ],
        "cashtags": [{"start": s, "end": e, "tag": tag} for s, e, tag in name_spans(given, "$")],
    }
    # X leaves out empty lists.
    return {name: values for name, values in found.items() if values}, given


def _tweet(post: Posted, fields: set[str]) -> dict[str, Any]:
    tweet, number = post.written, str(post.id)
    entities, text = _entities(tweet.text)
    whole: dict[str, Any] = {
        "id": number,
        "author_id": user_id(post.account),
        "conversation_id": number,
        "created_at": iso_milliseconds(post.at),
        "edit_history_tweet_ids": [number],
        "lang": tweet.language,
        "possibly_sensitive": False,
        "reply_settings": "everyone",
        "public_metrics": {
            "retweet_count": post.id % 7,
            "reply_count": post.id % 3,
            "like_count": post.id % 40,
            "quote_count": 0,
            "bookmark_count": post.id % 5,
            "impression_count": 90 + post.id % 2000,
        },
    }
    if weighted_length(tweet.text) > LONGEST:
        whole["note_tweet"] = {"text": text, **({"entities": entities} if entities else {})}
        text, entities = _cut(text, number)
    if tweet.reply_to:
        whole["in_reply_to_user_id"] = user_id(tweet.reply_to)
        whole["referenced_tweets"] = [_reference("replied_to", number)]
    if tweet.retweet:
        text, entities = f"RT @{tweet.retweet}: {text}", {}
        if len(text) > SHOWN_OF_RETWEETS:
            text = text[: SHOWN_OF_RETWEETS - 1] + "…"
        whole["referenced_tweets"] = [_reference("retweeted", number)]
    if tweet.quote:
        quoted = _reference("quoted", number)
        address = f"https://twitter.com/{tweet.quote}/status/{quoted['id']}"
        text, entities = _with_link(text, entities, address)
        whole["referenced_tweets"] = [quoted]
    if entities:
        whole["entities"] = entities
    whole["text"] = text
    return {name: value for name, value in whole.items() if name in fields}


def _cut(text: str, number: str) -> tuple[str, dict[str, Any]]:
    """The beginning of a long text, with a link to the whole of it."""
    beginning = text[:SHOWN_OF_LONG_TEXTS].rpartition(" ")[0] + "…"
    return _with_link(beginning, {}, f"https://twitter.com/i/web/status/{number}")


def _with_link(text: str, entities: dict[str, Any], address: str) -> tuple[str, dict[str, Any]]:
    short = _short(address)
    link = {
        "start": len(text) + 1,
        "end": len(text) + 1 + len(short),
        "url": short,
        "expanded_url": address,
        "display_url": address.partition("://")[2][:27],
    }
    return f"{text} {short}", {**entities, "urls": [*entities.get("urls", ()), link]}


def _reference(kind: str, number: str) -> dict[str, str]:
    return {"type": kind, "id": str(int(number) - 10_000_000 - stable_number(number, 20))}
