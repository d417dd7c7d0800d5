"""The stand-in of TMDB v3 under `/tmdb/3`."""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee_cli.upstreams.answers import Json, error
from marquee_cli.upstreams.catalog import Catalog, Film, overview, stable_number
from marquee_cli.upstreams.credentials import Credentials
from marquee_cli.upstreams.voices import Said, Voices, damaged
from marquee_cli.upstreams.windows import Windows

PAGE_SIZE = 20
LAST_PAGE = 500
APPENDED_AT_MOST = 20
# A keyword or person id of our own making lies far above TMDB's, so that it names no one else.
OWN_IDS_FROM = 90_000_000
# Reviews are spread over the years after a film's release, none after the data were written.
REVIEWS_UNTIL = datetime(2026, 6, 30, tzinfo=UTC)

# How TMDB names the languages of `data/translations.toml`.
LANGUAGES = {
    "en": {
        "iso_3166_1": "US",
        "iso_639_1": "en",
        "name": "English",
        "english_name": "English",
    },
    "es": {
        "iso_3166_1": "ES",
        "iso_639_1": "es",
        "name": "Español",
        "english_name": "Spanish",
    },
    "hi": {"iso_3166_1": "IN", "iso_639_1": "hi", "name": "हिन्दी", "english_name": "Hindi"},
    "te": {"iso_3166_1": "IN", "iso_639_1": "te", "name": "తెలుగు", "english_name": "Telugu"},
}

Json_ = dict[str, Any]
Part = Callable[[Film, Request], Json_]


class Tmdb:
    """The routes of TMDB that Marquee may call."""

    def __init__(
        self, catalog: Catalog, voices: Voices, credentials: Credentials, windows: Windows
    ) -> None:
        self._catalog = catalog
        self._voices = voices
        self._token = credentials.tmdb_token
        self._windows = windows
        self._parts: dict[str, Part] = {
            "alternative_titles": self._alternative_titles,
            "credits": self._credits,
            "external_ids": self._external_ids,
            "keywords": self._keywords,
            "recommendations": self._recommendations,
            "release_dates": self._release_dates,
            "reviews": self._reviews,
            "similar": self._similar,
            "translations": self._translations,
        }

    def routes(self) -> list[Route]:
        return [
            Route("/3/configuration", self._guarded(self._configuration)),
            Route("/3/genre/movie/list", self._guarded(self._genres)),
            Route("/3/search/movie", self._guarded(self._search)),
            Route("/3/find/{external_id}", self._guarded(self._find)),
            Route("/3/movie/{movie_id}", self._guarded(self._movie)),
            Route("/3/movie/{movie_id}/{part}", self._guarded(self._movie_part)),
            Route("/{anything:path}", self._guarded(self._unknown)),
        ]

    def _guarded(self, answer: Callable[[Request], Json_]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            if not self._authorized(request):
                return error("tmdb", 401)
            if not self._windows.take("tmdb").allowed:
                return error("tmdb", 429)
            try:
                return Json(answer(request))
            except _Refused as refused:
                return refused.answer

        return endpoint

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query_params.get("api_key", "")
        return hmac.compare_digest(token.strip().encode(), self._token.encode())

    def _unknown(self, request: Request) -> Json_:
        raise _Refused(404)

    def _configuration(self, request: Request) -> Json_:
        return {
            "images": {
                "base_url": "http://image.tmdb.org/t/p/",
                "secure_base_url": "https://image.tmdb.org/t/p/",
                "backdrop_sizes": ["w300", "w780", "w1280", "original"],
                "logo_sizes": ["w45", "w92", "w154", "w185", "w300", "w500", "original"],
                "poster_sizes": ["w92", "w154", "w185", "w342", "w500", "w780", "original"],
                "profile_sizes": ["w45", "w185", "h632", "original"],
                "still_sizes": ["w92", "w185", "w300", "original"],
            },
            "change_keys": ["images", "overview", "title", "translations"],
        }

    def _genres(self, request: Request) -> Json_:
        return {"genres": [_named(i, name) for name, i in self._catalog.genre_ids.items()]}

    def _search(self, request: Request) -> Json_:
        query = request.query_params
        year = query.get("primary_release_year") or query.get("year") or ""
        found = self._catalog.search(query.get("query", ""), int(year) if year.isdigit() else None)
        return self._page(request, found, partial(self._summary, request))

    def _find(self, request: Request) -> Json_:
        film = None
        if request.query_params.get("external_source") == "imdb_id":
            film = self._catalog.by_imdb_id.get(request.path_params["external_id"])
        found = [self._summary(request, film) | {"media_type": "movie"}] if film else []
        others = ("person_results", "tv_results", "tv_episode_results", "tv_season_results")
        return {"movie_results": found, **{name: [] for name in others}}

    def _movie(self, request: Request) -> Json_:
        film = self._film(request)
        asked = [
            part for part in request.query_params.get("append_to_response", "").split(",") if part
        ]
        if len(asked) > APPENDED_AT_MOST:
            raise _Refused(
                400,
                {
                    "success": False,
                    "status_code": 27,
                    "status_message": "Too many append to response objects: The maximum number of "
                    "remote calls is 20.",
                },
            )
        details = self._details(request, film)
        for part in asked:
            if part in self._parts:
                appended = self._parts[part](film, request)
                appended.pop("id", None)
                details[part] = appended
        return details

    def _movie_part(self, request: Request) -> Json_:
        part = self._parts.get(request.path_params["part"])
        if part is None:
            raise _Refused(404)
        return part(self._film(request), request)

    def _film(self, request: Request) -> Film:
        wanted = request.path_params["movie_id"]
        film = (
            self._catalog.by_id.get(int(wanted))
            if wanted.isascii() and wanted.isdigit()
            else self._catalog.by_imdb_id.get(wanted)
        )
        if film is None:
            raise _Refused(404)
        return film

    def _text(self, request: Request, film: Film) -> tuple[str, str]:
        """The title and overview in the language asked for; without a translation, TMDB leaves the
        overview empty and the title as it is, or the original one in the film's own language."""
        language = _language(request) or "en"
        if language == "en":
            return film.title, self._overview(film)
        translated = self._catalog.translations.get(str(film.id), {}).get(language, {})
        untranslated = film.original_title if language == film.language else film.title
        return translated.get("title", untranslated), translated.get("overview", "")

    def _overview(self, film: Film) -> str:
        return self._voices.voice(film).overview or overview(film)

    def _summary(self, request: Request, film: Film) -> Json_:
        title, text = self._text(request, film)
        return {
            "adult": False,
            "backdrop_path": film.backdrop_path,
            "genre_ids": [self._catalog.genre_ids[genre] for genre in film.genres],
            "id": film.id,
            "title": title,
            "original_language": film.language,
            "original_title": film.original_title,
            "overview": text,
            "popularity": film.popularity,
            "poster_path": film.poster_path,
            "release_date": film.release_date,
            "softcore": False,
            "video": False,
            "vote_average": film.vote_average,
            "vote_count": film.vote_count,
        }

    def _details(self, request: Request, film: Film) -> Json_:
        summary = self._summary(request, film)
        del summary["genre_ids"]
        return summary | {
            "belongs_to_collection": film.collection
            and {
                **_named(_own_id(film.collection), film.collection),
                "poster_path": None,
                "backdrop_path": None,
            },
            "budget": 0,
            "genres": [_named(self._catalog.genre_ids[genre], genre) for genre in film.genres],
            "homepage": "",
            "imdb_id": film.imdb_id,
            "origin_country": [],
            "production_companies": [],
            "production_countries": [],
            "revenue": 0,
            "runtime": film.runtime,
            "spoken_languages": [],
            "status": "Released" if film.vote_count else "Planned",
            "tagline": "",
        }

    def _credits(self, film: Film, request: Request) -> Json_:
        cast = [
            _person(name, "Acting")
            | {
                "cast_id": order + 1,
                "character": "",
                "credit_id": _hexadecimal(f"cast {film.id} {name}"),
                "order": order,
            }
            for order, name in enumerate(film.cast)
        ]
        director = _person(film.director, "Directing") | {
            "credit_id": _hexadecimal(f"director {film.id}"),
            "department": "Directing",
            "job": "Director",
        }
        return {"id": film.id, "cast": cast, "crew": [director]}

    def _keywords(self, film: Film, request: Request) -> Json_:
        named = [_named(_own_id(f"keyword {name}"), name) for name in film.keywords]
        return {"id": film.id, "keywords": named}

    def _external_ids(self, film: Film, request: Request) -> Json_:
        others = ("wikidata_id", "facebook_id", "instagram_id", "twitter_id")
        return {"id": film.id, "imdb_id": film.imdb_id, **dict.fromkeys(others)}

    def _alternative_titles(self, film: Film, request: Request) -> Json_:
        titles = [
            {"iso_3166_1": "US", "title": title, "type": ""} for title in film.alternative_titles
        ]
        return {"id": film.id, "titles": titles}

    def _release_dates(self, film: Film, request: Request) -> Json_:
        release = {
            "certification": "",
            "descriptors": [],
            "iso_639_1": "",
            "note": "",
            "release_date": f"{film.release_date}T00:00:00.000Z",
            "type": 3,
        }
        return {"id": film.id, "results": [{"iso_3166_1": "US", "release_dates": [release]}]}

    def _translations(self, film: Film, request: Request) -> Json_:
        english = {"title": film.title, "overview": self._overview(film)}
        texts = {"en": english, **self._catalog.translations.get(str(film.id), {})}
        return {
            "id": film.id,
            "translations": [
                {
                    **LANGUAGES[language],
                    "data": {"homepage": "", "runtime": film.runtime, "tagline": "", **text},
                }
                for language, text in texts.items()
            ],
        }

    def _recommendations(self, film: Film, request: Request) -> Json_:
        return self._neighbors(request, self._catalog.recommendations(film)[: 2 * PAGE_SIZE])

    def _similar(self, film: Film, request: Request) -> Json_:
        return self._neighbors(request, self._catalog.similar(film))

    def _neighbors(self, request: Request, films: Sequence[Film]) -> Json_:
        return self._page(
            request, films, lambda film: self._summary(request, film) | {"media_type": "movie"}
        )

    def _reviews(self, film: Film, request: Request) -> Json_:
        """The reviews in the language asked for, or all, in no order of their dates."""
        language = _language(request)
        said = [
            review
            for review in self._voices.reviews(film)
            if language is None or review.text.language == language
        ]
        return {"id": film.id, **self._page(request, said, _review)}

    def _page[Item](
        self, request: Request, items: Sequence[Item], shown: Callable[[Item], Json_]
    ) -> Json_:
        # A page asked for with append_to_response is the first; it belongs to no part.
        asked = (
            "1"
            if "append_to_response" in request.query_params
            else request.query_params.get("page", "1")
        )
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= LAST_PAGE):
            raise _Refused(400)
        page = int(asked)
        first = (page - 1) * PAGE_SIZE
        return {
            "page": page,
            "results": [shown(item) for item in items[first : first + PAGE_SIZE]],
            "total_pages": max(1, -(-len(items) // PAGE_SIZE)),
            "total_results": len(items),
        }


class _Refused(Exception):
    """The request ends in a TMDB error."""

    def __init__(self, status: int, body: Json_ | None = None) -> None:
        self.answer = Json(body, status) if body else error("tmdb", status)


def _language(request: Request) -> str | None:
    """`hi` of `hi-IN`; None when no language was asked for."""
    return request.query_params.get("language", "").split("-")[0].lower() or None


def _named(identifier: int, name: str) -> Json_:
    return {"id": identifier, "name": name}


def _own_id(name: str) -> int:
    return OWN_IDS_FROM + stable_number(name, 23)


def _hexadecimal(key: str) -> str:
    """Ids of reviews and credits on TMDB are 24 hexadecimal digits."""
    return f"{stable_number(key):016x}{stable_number(f'{key}+', 32):08x}"


def _person(name: str, department: str) -> Json_:
    return {
        "adult": False,
        "gender": 0,
        "id": _own_id(f"person {name}"),
        "known_for_department": department,
        "name": name,
        "original_name": name,
        "popularity": 1.0,
        "profile_path": None,
    }


def _review(said: Said) -> Json_:
    identifier = _hexadecimal(said.key)
    released = datetime.fromisoformat(said.film.release_date).replace(tzinfo=UTC)
    # TMDB took reviews from about 2014 on.
    first = max(released, datetime(2014, 1, 1, tzinfo=UTC))
    span = max(REVIEWS_UNTIL - first, timedelta(days=30))
    created = first + span * (stable_number(f"date {said.key}") % 10_000 / 10_000)
    at = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    review = {
        "author": said.author.name,
        "author_details": {
            "name": said.author.name,
            "username": said.author.handle,
            "avatar_path": None,
            "rating": said.text.rating,
        },
        "content": said.text.text,
        "created_at": at,
        "id": identifier,
        "updated_at": at,
        "url": f"https://www.themoviedb.org/review/{identifier}",
    }
    return damaged(review, said.damage)
