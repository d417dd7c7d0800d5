"""Titles as people type them: when two are equal, what a query says, and which hit it means."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum
from itertools import pairwise

from marquee.movies.models import MAX_NAME_LENGTH, Candidate, FilmFacts, MovieCard

MAX_CANDIDATES = 5
"""Films a person can tell apart at a glance."""

CLOSE_SPELLING = 0.85
"""Ratio of SequenceMatcher: one letter wrong in seven, so "Interstelar" and "Parasyte" pass."""

ANNOUNCED_AHEAD = 5
"""Years: a number further in the future is no year of release ("Blade Runner 2049")."""

_UNDECOMPOSED = str.maketrans(
    {
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u00f0": "d",
        "\u00fe": "th",
        "\u0131": "i",
    }
)
"""Latin letters that Unicode does not take apart, as people without that key type them."""

_APOSTROPHES = frozenset("'\u2018\u2019\u02bb\u02bc\u2032`")
"""They join a word ("Schindler's" is typed "Schindlers") where other punctuation parts words."""

_LAST_EUROPEAN = "\u052f"
"""Latin, Greek and Cyrillic end here: a mark on their letters is an accent. On any later letter it
may be a vowel or a voicing, without which the word is another one."""

_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"
_SPELLED = "one two three four five six seven eight nine ten"
_NUMERALS = {
    word: str(value)
    for numerals in (_ROMAN, _SPELLED)
    for value, word in enumerate(numerals.split(), start=1)
}
_ARTICLES = frozenset({"the", "a", "an"})

_IMDB_ID = re.compile(r"\btt\d{7,10}\b", re.IGNORECASE)
_YEAR = r"(?P<year>(?:18[7-9]|19[0-9]|20[0-9])[0-9])"
_MARKED_YEAR = re.compile(rf"(?P<name>.+?)[\s,]*[(\[]\s*{_YEAR}\s*[)\]]", re.DOTALL)
_BARE_YEAR = re.compile(rf"(?P<name>.+?)[\s,]+(?:[-\u2013\u2014]\s+)?{_YEAR}", re.DOTALL)
_LEADS_TO_A_NUMBER = frozenset({"of", "to", "from", "since", "the"})
"""After these a year belongs to the title: "Class of 1984", "The Legend of 1900"."""


def words(title: str) -> tuple[str, ...]:
    """The words of a title without case, accents and punctuation.

    ``&`` is "and"; "II" and "two" are "2", except where the title begins with them.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", title).casefold())
    letters: list[str] = []
    base = ""
    for letter in folded.translate(_UNDECOMPOSED):
        category = unicodedata.category(letter)
        if category.startswith("M"):
            letters.append(letter if base > _LAST_EUROPEAN and base.isalpha() else "")
        elif letter == "&":
            letters.append(" and ")
        elif letter not in _APOSTROPHES and category != "Cf":
            base = letter
            letters.append(letter if letter.isalnum() else " ")
    found = unicodedata.normalize("NFC", "".join(letters)).split()
    return tuple(
        _NUMERALS.get(word, word) if len(before) > 1 else word
        for before, word in pairwise(["", *found])
    )


def normalize(title: str) -> str:
    """The key under which equal titles meet: "Spider-Man 2", "spiderman II" and "SPIDER MAN 2".

    Insensitive to case, accents, punctuation and spaces; a title of signs alone is its own key. At
    most 200 characters, so that it fits into a DynamoDB key whatever was typed.
    """
    return _joined(words(title)) or "".join(title.split())[:MAX_NAME_LENGTH]


def _joined(parts: Sequence[str]) -> str:
    return unicodedata.normalize("NFC", "".join(parts))[:MAX_NAME_LENGTH]


@dataclass(frozen=True)
class Reading:
    """One way to understand a query: a title, and the year asked for with it."""

    name: str
    year: int | None = None


@dataclass(frozen=True)
class Query:
    """What a query says.

    ``text`` and ``year`` are what TMDB is asked for, chosen so that the hits hold the film
    whichever of ``readings`` is right; these are in the order in which they are tried.
    """

    text: str
    year: int | None
    readings: tuple[Reading, ...]
    imdb_id: str | None = None


def parse(text: str, year: int | None = None, *, this_year: int) -> Query:
    """Read a query; ``year`` is the year asked for beside it, which wins over one in the text.

    "Dune (2021)" names its year. In "dune 2021" the number may be a year or, as in "Wonder Woman
    1984", a part of the title: TMDB is then asked for the rest alone, which finds both.
    """
    text = text.strip()
    if imdb_id := _IMDB_ID.search(text):
        name = imdb_id[0].lower()
        return Query(name, None, (Reading(name),), imdb_id=name)
    if marked := _MARKED_YEAR.fullmatch(text):
        text, year = marked["name"], year or int(marked["year"])
    if (bare := _BARE_YEAR.fullmatch(text)) and _may_be_a_release(bare, year, this_year):
        name = bare["name"]
        return Query(name, year, (Reading(text, year), Reading(name, int(bare["year"]))))
    return Query(text, year, (Reading(text, year),))


def _may_be_a_release(bare: re.Match[str], year: int | None, this_year: int) -> bool:
    name, number = words(bare["name"]), int(bare["year"])
    return (
        bool(name)
        and name[-1] not in _LEADS_TO_A_NUMBER
        and number <= this_year + ANNOUNCED_AHEAD
        and year in (None, number)
    )


class Fit(IntEnum):
    """How a title fits the name asked for, the best first."""

    EXACT = 0
    BUT_FOR_ARTICLE = 1
    BEGINS = 2
    CONTAINS = 3
    CLOSE = 4
    NONE = 5


_IN_WORDS = {
    Fit.EXACT: "exact {}",
    Fit.BUT_FOR_ARTICLE: "the {} but for its article",
    Fit.BEGINS: "its {} begins with these words",
    Fit.CONTAINS: "its {} contains these words",
    Fit.CLOSE: "its {} is spelled nearly so",
}


def fit(name: str, title: str) -> Fit:
    """How ``title`` fits ``name``."""
    asked, given = words(name), words(title)
    key, title_key = normalize(name), normalize(title)
    if key == title_key:
        return Fit.EXACT
    if not asked or not given:
        return Fit.NONE
    if (bare := _without_article(asked)) == _without_article(given):
        return Fit.BUT_FOR_ARTICLE
    # A short beginning says nothing: "it" is no way to ask for "Italian".
    if _without_article(given)[: len(bare)] == bare or (len(key) > 3 and title_key.startswith(key)):
        return Fit.BEGINS
    if set(asked) <= set(given):
        return Fit.CONTAINS
    if SequenceMatcher(None, key, title_key, autojunk=False).ratio() >= CLOSE_SPELLING:
        return Fit.CLOSE
    return Fit.NONE


def _without_article(title: tuple[str, ...]) -> tuple[str, ...]:
    return title[1:] if len(title) > 1 and title[0] in _ARTICLES else title


class Hit(MovieCard):
    """A film that TMDB's search answered."""

    original_title: str = ""
    vote_count: int = 0
    popularity: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The film that a query means; ``reason`` says why, in words."""

    film: MovieCard
    reason: str
    candidates: tuple[Candidate, ...] = ()
    verified: bool = True
    """False where no title that the search answer shows fits: TMDB knows the film by another."""


@dataclass(frozen=True)
class _Judged:
    hit: Hit
    reading: Reading
    fit: Fit
    original: bool
    order: tuple[float, ...]

    @property
    def other_year(self) -> bool:
        return self.reading.year not in (None, self.hit.year)


def choose(query: Query, hits: Sequence[Hit]) -> Choice | None:
    """The film among ``hits``, which are in TMDB's order, that ``query`` means.

    An exact title comes first (with the year asked for, then from the nearest year), then titles
    that begin with the words, contain them all, or are spelled nearly so, those of the year first;
    among equals the votes decide. Where no title fits, TMDB's first hit is taken unverified, since
    TMDB searches alternative titles too. None without hits.
    """
    if not hits:
        return None
    judged = sorted(
        (_judge(query, hit, position) for position, hit in enumerate(hits)),
        key=lambda film: film.order,
    )
    plausible = [film for film in judged if film.fit is not Fit.NONE]
    if not plausible:
        return Choice(hits[0], "", verified=False)
    best, *others = plausible
    return Choice(
        best.hit,
        _why(best, plausible),
        tuple(_candidate(film, best) for film in others[:MAX_CANDIDATES]),
    )


def _judge(query: Query, hit: Hit, position: int) -> _Judged:
    judged = []
    for index, reading in enumerate(query.readings):
        fits = [fit(reading.name, title) for title in (hit.title, hit.original_title)]
        best = min(fits)
        # The whole text of "dune 2021" is a title only where it is the title.
        if index < len(query.readings) - 1 and best > Fit.BUT_FOR_ARTICLE:
            continue
        distance = abs((hit.year or 0) - (reading.year or hit.year or 0))
        whole_title = best <= Fit.BUT_FOR_ARTICLE
        group = 0 if whole_title else 2 if best is Fit.NONE else 1
        order = (
            group,
            distance > 0,
            best,
            index,
            distance,
            -hit.vote_count,
            -hit.popularity,
            position,
        )
        judged.append(_Judged(hit, reading, best, original=best < fits[0], order=order))
    return min(judged, key=lambda film: film.order)


def _why(best: _Judged, plausible: Sequence[_Judged]) -> str:
    reason = _described(best)
    if best.other_year:
        return f"{reason}, though not from {best.reading.year}"
    rivals = [film for film in plausible if film.fit is best.fit and not film.other_year]
    if best.reading.year is not None:
        reason += f", from {best.reading.year}"
    if len(rivals) > 1:
        reason += f", the most voted of {len(rivals)} films with it"
    return reason


def _candidate(film: _Judged, best: _Judged) -> Candidate:
    if film.fit is Fit.EXACT and best.fit is Fit.EXACT:
        reason = f"another film with this title, {film.hit.year or 'year unknown'}"
    else:
        reason = _described(film)
    return candidate(film.hit, reason)


def candidate(film: MovieCard | FilmFacts, reason: str) -> Candidate:
    """``film`` as one that was not chosen, for ``reason``."""
    return Candidate(**film.model_dump(include=set(MovieCard.model_fields)), reason=reason)


def _described(film: _Judged) -> str:
    return _IN_WORDS[film.fit].format("original title" if film.original else "title")


def fitting_title(query: Query, titles: Iterable[str]) -> str | None:
    """The one of a film's further titles that fits ``query`` best; None where none does."""
    best = min(
        ((fit(reading.name, title), title) for reading in query.readings for title in titles),
        default=(Fit.NONE, ""),
        key=lambda pair: pair[0],
    )
    return None if best[0] is Fit.NONE else best[1]
