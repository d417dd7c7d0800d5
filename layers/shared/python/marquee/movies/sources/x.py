"""Posts on X: one recent search (the last 7 days) per film, from the newest post we know on.

Every post that X returns is paid for, so the query itself asks for signs of cinema where the title
is a common word, and ``since_id`` keeps known posts out. Authors are not asked for: X charges twice
as much for a user as for a post, and the link leads to the author.
"""

from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from typing import Any

import httpx

from marquee.errors import UpstreamRefused, UpstreamUnavailable
from marquee.gateway.calls import Answer, Upstream, call
from marquee.gateway.prices import X_POST_READ_USD
from marquee.movies.models import Movie, Review
from marquee.movies.sources import (
    NO_WORDS,
    Collected,
    SourceQuery,
    language_code,
    moment,
    read,
    stripped,
)
from marquee.movies.sources.relevance import (
    QUERY_WORDS,
    film_hashtags,
    hashtag,
    hashtags,
    is_wanted,
    needs_context,
    people,
    spoken_title,
)
from marquee.settings import Secrets, Settings

MAX_QUERY_LENGTH = 512
"""Characters of a recent search on self-serve plans."""

MAX_PHRASE_LENGTH = 200
"""Of a title within a query; the longest known has 165."""

MIN_RESULTS = 10
MAX_RESULTS = 100
"""What X takes for ``max_results``."""

SEARCHED_LANGUAGES = frozenset(
    {"ar", "bn", "de", "es", "fr", "hi", "it", "ja", "kn", "ko", "ml", "pt", "ta", "te", "tr"}
)
"""Cinema's languages but English among those that X's ``lang:`` knows: who writes a title in the
film's own language needs to say no "movie"."""

_ENDPOINT = "tweets/search/recent"


def collect(
    query: SourceQuery, settings: Settings, secrets: Secrets, *, client: httpx.Client | None = None
) -> Collected:
    """Posts about the film since ``query.cursor``; raises UpstreamError.

    X returns at least 10 where there are 10; of those the newest ``max_reviews`` are kept.
    """
    text = search_query(query.movie)
    if not text:
        return Collected(problem=NO_WORDS)
    bearer = secrets.require("x/bearer_token")
    upstream = Upstream("x", settings.x_base_url, headers={"authorization": f"Bearer {bearer}"})
    asked: dict[str, str | int] = {
        "query": text,
        "max_results": min(max(query.max_reviews, MIN_RESULTS), MAX_RESULTS),
        "tweet.fields": "created_at,lang,note_tweet",
    }
    body = _search(upstream, asked, query.cursor, client).body
    if not isinstance(body, dict):
        raise UpstreamUnavailable("the answer is no object", provider="x", endpoint=_ENDPOINT)
    # ``errors`` beside ``data`` tell of posts that are gone or hidden: nothing to be done.
    posts = body.get("data") or []
    collected = read(
        posts,
        lambda post: _review(post, query.movie.tmdb_id),
        at_most=query.max_reviews,
        is_wanted=lambda review: is_wanted(review, query.movie),
    )
    newest = (body.get("meta") or {}).get("newest_id")
    return replace(collected, cursor=newest or query.cursor)


def search_query(movie: Movie) -> str:
    """The film in X's search language, at most 512 characters; "" where its title has no letter.

    Titles stand in quotes, where OR, parentheses and colons mean nothing; least telling parts come
    last and are dropped first.
    """
    title = spoken_title(movie)
    titles = [_phrase(said) for said in (title, movie.original_title) if hashtag(said)]
    if not titles:
        return ""
    names = list(dict.fromkeys([*titles, *(f"#{tag}" for tag in hashtags(movie))]))
    context: list[str] = []
    if needs_context(title):
        tags = [f"#{tag}" for tag in film_hashtags(movie)[:1]]
        spoken = movie.original_language
        own = [f"lang:{spoken}"] if spoken in SEARCHED_LANGUAGES else []
        named = [_phrase(name) for name in people(movie)]
        context = [*QUERY_WORDS[:4], *tags, *own, *QUERY_WORDS[4:], *named]
    while len(query := _joined(names, context)) > MAX_QUERY_LENGTH:
        # One sign must stay, or the query would ask for the bare word.
        (context if len(context) > 1 else names).pop()
    return query


def _joined(names: Sequence[str], context: Sequence[str]) -> str:
    parts = [_any_of(part) for part in (names, context) if part]
    return " ".join([*parts, "-is:retweet"])


def _any_of(terms: Sequence[str]) -> str:
    return f"({' OR '.join(terms)})"


def _phrase(text: str) -> str:
    plain = " ".join(text.replace('"', " ").replace("\\", " ").split())
    return f'"{plain[:MAX_PHRASE_LENGTH].rstrip()}"'


def _search(
    upstream: Upstream, asked: dict[str, str | int], since: str | None, client: httpx.Client | None
) -> Answer:
    def send(params: dict[str, str | int]) -> Answer:
        return call(
            upstream,
            _ENDPOINT,
            f"/{_ENDPOINT}",
            params=params,
            price=_price,
            most_usd=X_POST_READ_USD * int(params["max_results"]),
            client=client,
        )

    if since is None:
        return send(asked)
    try:
        return send({**asked, "since_id": since})
    except UpstreamRefused as refusal:
        if refusal.status != 400:
            raise
        # A since_id from before the last 7 days is refused; without it X starts where it can.
        return send(asked)


def _price(body: Any) -> float:
    posts = body.get("data") if isinstance(body, dict) else None
    return X_POST_READ_USD * len(posts or ())


def _review(post: Any, tmdb_id: int) -> Review:
    text = (post.get("note_tweet") or {}).get("text") or post["text"]
    return Review(
        tmdb_id=tmdb_id,
        source="x",
        review_id=post["id"],
        text=stripped(unescape(text)),
        posted_at=moment(post["created_at"]),
        url=f"https://x.com/i/web/status/{post['id']}",
        language=language_code(post.get("lang")),
    )
