"""TMDB v3: the search, and one film whole in one call; what is missing or odd is left out.

A record without its id or title is dropped; an answer that is not what TMDB answers at all raises
UpstreamUnavailable, so that nonsense is never taken for "no match".
"""

import math
import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from marquee.errors import UpstreamUnavailable
from marquee.gateway.calls import Upstream, call
from marquee.movies.models import FilmText, Keyword, Movie, Person, RelatedFilm
from marquee.movies.titles import Hit
from marquee.settings import Secrets, Settings

if TYPE_CHECKING:
    import httpx

APPENDED = (
    "alternative_titles",
    "credits",
    "external_ids",
    "keywords",
    "recommendations",
    "reviews",
    "similar",
    "translations",
)
"""Comes with a film's details in the same call; TMDB allows 20."""

_ENGLISH = "en-US"

MAX_CAST = 10
"""In billing order: the faces by which a film is known."""
MAX_KEYWORDS = 20
MAX_RELATED = 20
"""Of each kind; one page of TMDB."""
MAX_ALTERNATIVE_TITLES = 20
MAX_NAME = 500
MAX_TEXT = 5000
"""Characters; TMDB's longest overview has about 1,000. An item of DynamoDB holds 400 KB."""

MAX_NUMBER = 2**53
"""Above it a JSON number is no longer exact; ids, votes and popularity are far below."""

_V3_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Details:
    """A film, all titles that TMDB knows it by, and its reviews as sent."""

    movie: Movie
    titles: tuple[str, ...]
    reviews: tuple[Any, ...]


@dataclass(frozen=True)
class Tmdb:
    """The calls to TMDB; ``token`` is asked for at the first call, so a cached answer needs none.

    Every call raises Misconfigured without a token, and what ``gateway.calls.call`` raises.
    """

    base_url: str
    token: Callable[[], str] = field(repr=False)
    client: "httpx.Client | None" = field(default=None, repr=False)

    @classmethod
    def connect(cls, settings: Settings, secrets: Secrets) -> "Tmdb":
        """TMDB at the address of the settings, with the stack's token."""
        return cls(settings.tmdb_base_url, partial(secrets.require, "tmdb/token"))

    def search(self, query: str, year: int | None, language: str, region: str | None) -> list[Hit]:
        """The first page (20) of the films that one of their titles matches, in TMDB's order.

        ``year`` keeps the films released somewhere in that year; ``language`` is that of the
        titles in the answer.
        """
        params: dict[str, str | int] = {
            "query": query,
            "language": language,
            "include_adult": "false",
        }
        if year:
            params["year"] = year
        if region:
            params["region"] = region
        body = self._get("search/movie", "/search/movie", params)
        results = _dict(body).get("results")
        if not isinstance(results, list):
            raise _nonsense("search/movie", "the answer holds no list of results")
        hits = [hit for hit in map(_hit, results) if hit]
        if results and not hits:
            raise _nonsense("search/movie", "no result has an id and a title")
        return hits

    def details(self, film: int | str, languages: Set[str], now: datetime) -> Details:
        """One film by its TMDB or IMDb id, with its texts in English and in ``languages``.

        A language is "pt" or "pt-BR"; the texts stand under "pt" for both. Raises
        UpstreamNotFound where TMDB has no such film.
        """
        params = {"language": _ENGLISH, "append_to_response": ",".join(APPENDED)}
        body = self._get("movie", f"/movie/{film}", params)
        details = _details(_dict(body), languages, now)
        if details is None:
            raise _nonsense("movie", "the film has no id or no title")
        return details

    def _get(self, endpoint: str, path: str, params: dict[str, Any]) -> Any:
        token = self.token()
        upstream = (
            Upstream("tmdb", self.base_url, params={"api_key": token})
            if _V3_KEY.fullmatch(token)
            else Upstream("tmdb", self.base_url, headers={"authorization": f"Bearer {token}"})
        )
        return call(upstream, endpoint, path, params=params, client=self.client).body


def _nonsense(endpoint: str, message: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, provider="tmdb", endpoint=endpoint, status=200)


def _hit(result: Any) -> Hit | None:
    film = _dict(result)
    tmdb_id, title = _whole(film.get("id")), _title(film)
    if not tmdb_id or not title:
        return None
    released = _date(film.get("release_date"))
    return Hit(
        tmdb_id=tmdb_id,
        title=title,
        year=released.year if released else None,
        poster_path=_text(film.get("poster_path")) or None,
        original_title=_text(film.get("original_title")),
        vote_count=_whole(film.get("vote_count")),
        popularity=_number(film.get("popularity")),
    )


def _details(body: dict[str, Any], languages: Set[str], now: datetime) -> Details | None:
    tmdb_id, title = _whole(body.get("id")), _title(body)
    if not tmdb_id or not title:
        return None
    released = _date(body.get("release_date"))
    original_title = _text(body.get("original_title"))
    alternatives = [
        text
        for entry in _records(body, "alternative_titles", "titles")
        if (text := _text(entry.get("title")))
    ]
    translations = list(_records(body, "translations", "translations"))
    translated = [_text(_dict(entry.get("data")).get("title")) for entry in translations]
    movie = Movie(
        tmdb_id=tmdb_id,
        title=title,
        year=released.year if released else None,
        release_date=released,
        poster_path=_text(body.get("poster_path")) or None,
        genres=_keywords(body.get("genres")),
        directors=_people(
            entry for entry in _records(body, "credits", "crew") if entry.get("job") == "Director"
        ),
        cast=_people(_records(body, "credits", "cast"))[:MAX_CAST],
        keywords=_keywords(_dict(body.get("keywords")).get("keywords"))[:MAX_KEYWORDS],
        vote_average=_number(body.get("vote_average")),
        vote_count=_whole(body.get("vote_count")),
        popularity=_number(body.get("popularity")),
        original_title=original_title,
        original_language=_text(body.get("original_language")),
        alternative_titles=_unique(alternatives)[:MAX_ALTERNATIVE_TITLES],
        overview=_text(body.get("overview"), MAX_TEXT),
        tagline=_text(body.get("tagline")),
        texts={language[:2]: _film_text(language, translations, body) for language in languages},
        runtime=_whole(body.get("runtime")) or None,
        imdb_id=_text(body.get("imdb_id"))
        or _text(_dict(body.get("external_ids")).get("imdb_id"))
        or None,
        related=_related(body, tmdb_id),
        fetched_at=now,
    )
    reviews = _dict(body.get("reviews")).get("results")
    return Details(
        movie,
        _unique([title, original_title, *alternatives, *translated]),
        tuple(reviews) if isinstance(reviews, list) else (),
    )


def _film_text(language: str, translations: list[dict[str, Any]], body: dict[str, Any]) -> FilmText:
    """The words in ``language``, of its country where it names one; empty where untranslated.

    TMDB leaves the title of a translation empty where it is the original one.
    """
    code, _, country = language.partition("-")
    entries = [entry for entry in translations if entry.get("iso_639_1") == code]
    entries.sort(key=lambda entry: entry.get("iso_3166_1") != country)
    data = _dict(entries[0].get("data")) if entries else {}
    title = _text(data.get("title"))
    if not title and body.get("original_language") == code:
        title = _text(body.get("original_title"))
    return FilmText(
        title=title,
        overview=_text(data.get("overview"), MAX_TEXT),
        tagline=_text(data.get("tagline")),
    )


def _related(body: dict[str, Any], tmdb_id: int) -> tuple[RelatedFilm, ...]:
    """Recommended films first; one that is similar too counts as recommended."""
    related: dict[int, RelatedFilm] = {}
    for part, recommended in (("recommendations", True), ("similar", False)):
        for entry in list(_records(body, part, "results"))[:MAX_RELATED]:
            hit = _hit(entry)
            if hit and hit.tmdb_id != tmdb_id and hit.tmdb_id not in related:
                related[hit.tmdb_id] = RelatedFilm(
                    **hit.model_dump(exclude={"original_title"}),
                    genre_ids=tuple(filter(None, map(_whole, _list(entry.get("genre_ids"))))),
                    vote_average=_number(entry.get("vote_average")),
                    recommended=recommended,
                )
    return tuple(related.values())


def _people(entries: Iterator[dict[str, Any]]) -> tuple[Person, ...]:
    people: dict[int, Person] = {}
    for entry in entries:
        person_id, name = _whole(entry.get("id")), _text(entry.get("name"))
        if person_id and name:
            people.setdefault(person_id, Person(id=person_id, name=name))
    return tuple(people.values())


def _keywords(value: Any) -> tuple[Keyword, ...]:
    named = (
        (_whole(entry.get("id")), _text(entry.get("name"))) for entry in map(_dict, _list(value))
    )
    return tuple(
        Keyword(id=keyword_id, name=name) for keyword_id, name in named if keyword_id and name
    )


def _title(film: dict[str, Any]) -> str:
    return _text(film.get("title")) or _text(film.get("original_title"))


def _records(body: dict[str, Any], part: str, name: str) -> Iterator[dict[str, Any]]:
    """The objects in the list ``name`` of an appended part."""
    return (entry for entry in _list(_dict(body.get(part)).get(name)) if isinstance(entry, dict))


def _unique(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, texts)))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, longest: int = MAX_NAME) -> str:
    """A string without surrounding space and without halves of surrogate pairs; else empty."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().strip()[:longest]


def _number(value: Any) -> float:
    """A finite number in 0..2^53; else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= MAX_NUMBER and math.isfinite(value) else 0.0


def _whole(value: Any) -> int:
    """A whole number in 0..2^53; else 0."""
    return int(_number(value)) if isinstance(value, int) else 0


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(_text(value)[:10])
    except ValueError:
        return None
