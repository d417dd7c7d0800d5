"""The stand-in of the X API v2 under `/x/2`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from marquee_cli.upstreams.answers import not_found
from marquee_cli.upstreams.catalog import stable_number
from marquee_cli.upstreams.entities import hashtag_spans
from marquee_cli.upstreams.query import Post, QueryError, parse
from marquee_cli.upstreams.timeline import Timeline, iso_milliseconds, snowflake, snowflake_time
from marquee_cli.upstreams.voices import Author, Said, Voices, damaged
from marquee_cli.upstreams.x_gate import Call, Gate
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

REACH = timedelta(days=7)
QUERY_LENGTH = 512
PAGE_SIZES = range(10, 101)
END_TIME_BEFORE_NOW = timedelta(seconds=10)
ALWAYS = {"id", "text", "edit_history_tweet_ids"}
ALWAYS_OF_USERS = {"id", "name", "username"}

Json_ = dict[str, Any]


@dataclass(frozen=True)
class _Tweet:
    """A post with what is asked of it at every search."""

    id: int
    said: Said
    at: datetime
    searchable: Post


class X:
    """Recent search and users by name."""

    def __init__(
        self, voices: Voices, gate: Gate, timeline: Timeline, users: Mapping[str, Json_]
    ) -> None:
        self._voices = voices
        self._gate = gate
        self._timeline = timeline
        self._users = users
        self._tweets: list[_Tweet] = []
        self._tweets_until: datetime | None = None

    def routes(self) -> list[Route]:
        search, user = "x/tweets/search/recent", "x/users/by/username"
        return [
            Route("/2/tweets/search/recent", self._gate.guarded(search, self._search)),
            Route("/2/users/by/username/{username}", self._gate.guarded(user, self._user)),
        ]

    def forget(self) -> None:
        """Read the posts anew at the next search."""
        self._tweets_until = None

    def _search(self, call: Call) -> Json_:
        request = call.request
        check_names(request, KNOWN["search/recent"])
        fields = ALWAYS | chosen(request, "tweet.fields")
        user_fields = ALWAYS_OF_USERS | chosen(request, "user.fields")
        expansions = chosen(request, "expansions")
        size = page_size(request, PAGE_SIZES)
        found = self._found(request)
        page = found[:size]
        meta: Json_ = {"result_count": len(page)}
        if not page:
            return {"meta": meta}
        meta = {"newest_id": str(page[0].id), "oldest_id": str(page[-1].id)} | meta
        if len(found) > size:
            meta["next_token"] = page_token(page[-1].id)
        answer: Json_ = {"data": [_tweet(tweet, fields) for tweet in page], "meta": meta}
        if "author_id" in expansions:
            authors = {tweet.said.author.number: tweet.said.author for tweet in page}
            answer["includes"] = {
                "users": [_user(author, user_fields) for author in authors.values()]
            }
        return answer

    def _found(self, request: Request) -> list[_Tweet]:
        """The posts that match and were not on an earlier page, the newest first."""
        parameters = request.query_params
        query = parameters.get("query", "")
        if not query.strip():
            raise Invalid("query", query, "The `query` query parameter can not be empty")
        if len(query) > QUERY_LENGTH:
            raise Invalid(
                "query", query, f"Query length {len(query)} exceeds the limit of {QUERY_LENGTH}"
            )
        try:
            matches = parse(query)
        except QueryError as problem:
            raise Invalid(
                "query", query, f"There were errors processing your request: {problem}"
            ) from problem
        oldest = self._timeline.now() - REACH
        since, start = self._lower_bounds(request, oldest)
        before = token_id(request)
        if "until_id" in parameters:
            before = min(before, identifier(request, "until_id"))
        end = moment_of(request, "end_time") or datetime.max.replace(tzinfo=UTC)
        latest_end = self._timeline.now() - END_TIME_BEFORE_NOW
        if "end_time" in parameters and end > latest_end:
            raise Invalid(
                "end_time",
                parameters["end_time"],
                f"Invalid 'end_time':'{parameters['end_time']}'. 'end_time' must be a minimum of "
                "10 seconds prior to the request time.",
            )
        return [
            tweet
            for tweet in self._all()
            if since < tweet.id < before and start <= tweet.at < end and matches(tweet.searchable)
        ]

    def _lower_bounds(self, request: Request, oldest: datetime) -> tuple[int, datetime]:
        """The id and the time after which posts are wanted; both must lie within the reach."""
        since = identifier(request, "since_id") if "since_id" in request.query_params else 0
        if since and snowflake_time(since) < oldest:
            raise Invalid(
                "since_id",
                str(since),
                f"'since_id' must be a tweet id created after [{iso_milliseconds(oldest)}]. Please "
                f"use a 'since_id' that is larger than {snowflake(oldest, '')}",
            )
        start = moment_of(request, "start_time")
        if start and start < oldest:
            raise Invalid(
                "start_time",
                request.query_params["start_time"],
                f"Invalid 'start_time':'{request.query_params['start_time']}'. 'start_time' must "
                f"be on or after {iso_milliseconds(oldest)}.",
            )
        return since, start or datetime.min.replace(tzinfo=UTC)

    def _all(self) -> list[_Tweet]:
        if self._tweets_until != self._timeline.midnight:
            self._tweets_until = self._timeline.midnight
            made = (self._made(said) for said in self._voices.posts("x"))
            self._tweets = sorted(made, key=lambda tweet: -tweet.id)
        return self._tweets

    def _made(self, said: Said) -> _Tweet:
        at = self._timeline.instant(said.key)
        searchable = Post.of(said.text.text, said.text.language, said.author.handle)
        return _Tweet(snowflake(at, said.key), said, at, searchable)

    def _user(self, call: Call) -> Json_:
        request = call.request
        check_names(request, KNOWN["users"])
        fields = ALWAYS_OF_USERS | chosen(request, "user.fields")
        username = request.path_params["username"]
        if account := self._users.get(username.casefold()):
            return {"data": {name: value for name, value in account.items() if name in fields}}
        for author in self._voices.authors:
            if author.handle == username.casefold():
                return {"data": _user(author, fields)}
        return {"errors": [not_found("user", "username", username)]}


def _tweet(tweet: _Tweet, fields: set[str]) -> Json_:
    said = tweet.said
    whole = {
        "id": str(tweet.id),
        "text": said.text.text,
        "edit_history_tweet_ids": [str(tweet.id)],
        "author_id": _user_id(said.author),
        "conversation_id": str(tweet.id),
        "created_at": iso_milliseconds(tweet.at),
        "lang": said.text.language,
        "possibly_sensitive": False,
        "reply_settings": "everyone",
        "public_metrics": {
            "retweet_count": said.likes // 9,
            "reply_count": said.likes // 14,
            "like_count": said.likes,
            "quote_count": said.likes // 60,
            "bookmark_count": said.likes // 25,
            "impression_count": 40 + said.likes * 31,
        },
        "entities": {
            "hashtags": [
                {"start": start, "end": end, "tag": tag}
                for start, end, tag in hashtag_spans(said.text.text)
            ]
        },
    }
    if not whole["entities"]["hashtags"]:  # type: ignore[index] # X leaves out empty entities
        del whole["entities"]
    return damaged({name: value for name, value in whole.items() if name in fields}, said.damage)


def _user_id(author: Author) -> str:
    return str(10_000_000 + stable_number(f"x user {author.number}", 30))


def _user(author: Author, fields: set[str]) -> Json_:
    followers = stable_number(f"followers {author.number}") % 4000
    whole = {
        "id": _user_id(author),
        "name": author.name,
        "username": author.handle,
        "created_at": f"{2009 + author.number % 14}-05-17T09:12:44.000Z",
        "description": "",
        "protected": False,
        "verified": False,
        "public_metrics": {
            "followers_count": followers,
            "following_count": 50 + followers // 3,
            "tweet_count": 200 + followers * 2,
            "listed_count": followers // 100,
        },
    }
    return {name: value for name, value in whole.items() if name in fields}
