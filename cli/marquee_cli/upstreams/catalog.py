"""The films the stand-ins know: facts, TMDB-like search, and neighbors by shared facts."""

import json
import math
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

DATA = Path(__file__).parent / "data"

# TMDB's popularity follows what is talked about now. The reference year is fixed so that the order
# of search results never changes with the calendar; a film of that year counts seven times.
POPULARITY_REFERENCE_YEAR = 2026
RECENCY_BOOST = 6.0

# Both kinds stand inside a word: "it's" is one.
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
_ASCII_WORD = re.compile("[A-Za-z0-9]+")


@dataclass(frozen=True)
class Film:
    """The facts of one film, named as in `data/films.jsonl`."""

    id: int
    title: str
    release_date: str
    genres: tuple[str, ...]
    runtime: int
    vote_average: float
    vote_count: int
    director: str
    cast: tuple[str, ...]
    keywords: tuple[str, ...]
    language: str
    original_title: str
    imdb_id: str | None
    alternative_titles: tuple[str, ...]
    collection: str | None
    poster_path: str | None
    backdrop_path: str | None

    @property
    def year(self) -> int:
        return int(self.release_date[:4])

    @property
    def popularity(self) -> float:
        age = max(0, POPULARITY_REFERENCE_YEAR - self.year)
        return round(math.sqrt(self.vote_count) * (1 + RECENCY_BOOST / (1 + age)), 4)

    @property
    def hashtag(self) -> str:
        """The title as people write it behind `#`: `DunePartTwo`."""
        return "".join(word[:1].upper() + word[1:] for word in words(self.title))

    @cached_property
    def searchable(self) -> tuple[tuple[str, ...], ...]:
        titles = (self.title, self.original_title, *self.alternative_titles)
        return tuple(folded_words(title) for title in titles)


def stable_number(text: str, bits: int = 64) -> int:
    """A number that is the same for the same text in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> (64 - bits)


def words(text: str) -> list[str]:
    """The runs of letters, marks and digits of any script; `\\w` would cut Telugu at its vowels."""
    if text.isascii():
        return _ASCII_WORD.findall(text.replace("'", ""))
    spaced = (
        char if unicodedata.category(char)[0] in "LMN" else "" if char in APOSTROPHES else " "
        for char in text
    )
    return "".join(spaced).split()


def folded_words(text: str) -> tuple[str, ...]:
    """The words of a text without case and accents, for comparison only."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return tuple(words(bare))


class Catalog:
    """Every film, with the lookups that TMDB offers on them."""

    def __init__(self, films: Sequence[Film], genre_ids: dict[str, int]) -> None:
        self.films = sorted(films, key=lambda film: (-film.popularity, film.id))
        self.genre_ids = genre_ids
        self.by_id = {film.id: film for film in films}
        self.by_imdb_id = {film.imdb_id: film for film in films if film.imdb_id}

    @classmethod
    def load(cls) -> "Catalog":
        lines = (DATA / "films.jsonl").read_text("utf-8").splitlines()
        genre_ids = json.loads((DATA / "genres.json").read_text("utf-8"))
        return cls([_film(json.loads(line)) for line in lines], genre_ids)

    @cached_property
    def translations(self) -> dict[str, dict[str, dict[str, str]]]:
        """Film id → language → title and overview, for the few films that have them."""
        return tomllib.loads((DATA / "translations.toml").read_text("utf-8"))

    def search(self, query: str, year: int | None = None) -> list[Film]:
        """Films of which one title has every word of the query as the start of one of its words.

        The most popular come first, as on TMDB, so a sequel may stand before the exact title.
        """
        wanted = folded_words(query)
        if not wanted:
            return []
        return [
            film
            for film in self.films
            if (year is None or film.year == year) and _matches(wanted, film.searchable)
        ]

    def recommendations(self, film: Film) -> list[Film]:
        """Films of the same collection, director, cast, keywords and genres, the nearest first."""
        return self._nearest(film, collection=10, director=4, cast=2, keywords=0.75, genres=0.5)

    def similar(self, film: Film) -> list[Film]:
        """Films with the same keywords and genres, whoever made them, the nearest first."""
        return self._nearest(film, collection=0, director=0, cast=0, keywords=1, genres=1)

    def _nearest(
        self,
        film: Film,
        *,
        collection: float,
        director: float,
        cast: float,
        keywords: float,
        genres: float,
    ) -> list[Film]:
        def nearness(other: Film) -> float:
            return (
                collection * (film.collection is not None and film.collection == other.collection)
                + director * (film.director == other.director)
                + cast * len({*film.cast} & {*other.cast})
                + keywords * len({*film.keywords} & {*other.keywords})
                + genres * len({*film.genres} & {*other.genres})
            )

        # Sorting is stable, so films equally near stay ordered by popularity.
        scored = [(nearness(other), other) for other in self.films if other.id != film.id]
        return [other for score, other in sorted(scored, key=lambda pair: -pair[0]) if score > 0]


def _matches(wanted: tuple[str, ...], titles: tuple[tuple[str, ...], ...]) -> bool:
    return any(
        all(any(word.startswith(part) for word in title) for part in wanted) for title in titles
    )


def overview(film: Film) -> str:
    """Two sentences on a film made from its facts."""
    kind = " ".join(film.genres[:2]).lower() or "feature"
    article = "An" if re.match("[aeiou]", kind) else "A"
    cast = _listed(film.cast[:3])
    about = f" It turns on {_listed(film.keywords[:3])}." if film.keywords else ""
    starring = f", with {cast}" if cast else ""
    return f"{article} {kind} film from {film.year}, directed by {film.director}{starring}.{about}"


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts or ("",)
    return f"{', '.join(first)} and {last}" if first else last


def _film(facts: dict[str, object]) -> Film:
    optional: dict[str, object] = dict.fromkeys(
        ("imdb_id", "collection", "poster_path", "backdrop_path")
    )
    empty: dict[str, object] = {
        "runtime": 0,
        "vote_count": 0,
        "vote_average": 0.0,
        "genres": (),
        "cast": (),
        "keywords": (),
        "alternative_titles": (),
        "original_title": facts["title"],
    }
    known = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    return Film(**{**optional, **empty, **known})  # type: ignore[arg-type] # facts are our own file
