"""RecommendMovies: rank what to watch after a film.

Candidates are the films that TMDB lists beside it (without their credits and keywords) and films
that Marquee has analyzed, up to ANALYZED_PER_GENRE of those that lead with one of its genres.

A candidate's score, in 0..1, is the weighted sum of seven parts, each in 0..1:

=========  ======  ========================================================================
part       weight  value
=========  ======  ========================================================================
director     0.22  1 where a director made both
cast         0.13  actors in both, of MOST_SHARED_CAST
keywords     0.18  themes in both, of MOST_SHARED_KEYWORDS
genres       0.15  Jaccard index of the genres
listed       0.17  1 under TMDB's recommendations (what the same people like), half under similar
rating       0.10  weighted rating, LOWEST_RATING..HIGHEST_RATING mapped to 0..1
sentiment    0.05  our own mean sentiment, shrunk, -1..1 mapped to 0..1
=========  ======  ========================================================================

People and themes that are not known count nothing; a rating or sentiment that is not known counts
as a middling one. The weights are judgment, held by tests on 923 real films: the other films of a
series come first, and quality decides only among films that are alike.

Weighted rating is IMDb's Bayesian estimate, (v R + m C) / (v + m): R the mean of v votes, C what a
film without votes is taken for, m the votes at which R counts half. Sentiment is shrunk alike,
towards 0, by its number of reviews.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from marquee.errors import NotFound
from marquee.movies.models import (
    AnalyzedFilm,
    FilmFacts,
    Keyword,
    Model,
    Movie,
    Person,
    Recommendation,
    RelatedFilm,
)
from marquee.movies.titles import normalize

if TYPE_CHECKING:
    from marquee.movies.catalog import Catalog

DIRECTOR_WEIGHT = 0.22
CAST_WEIGHT = 0.13
KEYWORDS_WEIGHT = 0.18
GENRES_WEIGHT = 0.15
LISTED_WEIGHT = 0.17
RATING_WEIGHT = 0.10
SENTIMENT_WEIGHT = 0.05

DEFAULT_LIMIT = 10

ANALYZED_PER_GENRE = 50
"""Bounds what one query reads and costs, however many films are stored: about 100 KB."""

MOST_SHARED_CAST = 3
MOST_SHARED_KEYWORDS = 4
"""More than these say nothing new: the two films are of one series."""

SIMILAR = 0.5
"""TMDB's "similar" compares genres and keywords only, which are parts of their own here."""

VOTES_FOR_HALF = 200
"""m: below that many votes a film's own mean says less than C."""

RATING_WITHOUT_VOTES = 6.5
"""C, on 0..10: below 85 % of the 923 well-known films."""

LOWEST_RATING, HIGHEST_RATING = 5.0, 9.0
"""Hardly a weighted rating lies outside."""

REVIEWS_FOR_HALF = 10
"""Reviews at which our own sentiment counts half."""

GOOD_RATING = 7.0
"""Weighted rating from which on it is a reason."""

GOOD_SENTIMENT, LOVED_SENTIMENT = 0.2, 0.5
"""Mean sentiments, after shrinking, from which on they are a reason."""

MAX_REASONS = 3
MAX_NAMES = 3
"""Names in one reason."""

SCORE_DIGITS = 4

NO_THEMES = frozenset({"aftercreditsstinger", "duringcreditsstinger", "sequel", "woman director"})
"""Keywords that say nothing about what a film is about."""


class RecommendMoviesInput(Model):
    """The film after which something is to be watched."""

    tmdb_id: int = Field(ge=1)


class RecommendMoviesOutput(Model):
    """How many films are recommended; the films themselves are stored."""

    tmdb_id: int
    recommended: int
    counts: dict[str, int]


class CandidateFilm(AnalyzedFilm):
    """What is known of a candidate from all that name it."""

    genre_ids: frozenset[int] = frozenset()
    recommended: bool = False
    similar: bool = False


@dataclass(frozen=True)
class Part:
    """One part of a score, with its reason in words where it is worth telling."""

    points: float
    """Weight times value."""
    reason: str = ""


def recommend_movies(
    request: RecommendMoviesInput,
    catalog: "Catalog",
    *,
    limit: int = DEFAULT_LIMIT,
    now: datetime,
) -> RecommendMoviesOutput:
    """Store the ``limit`` best films to watch next; raises NotFound where the film is unknown."""
    movie = catalog.movie(request.tmdb_id)
    if movie is None:
        raise NotFound(f"no film is stored under the TMDB id {request.tmdb_id}")
    analyzed = [
        film
        for genre in movie.genres
        for film in catalog.analyzed_films(genre.id, ANALYZED_PER_GENRE)
    ]
    candidates = candidates_for(movie, analyzed)
    recommendations = ranked(movie, candidates)[:limit]
    catalog.put_recommendations(movie.tmdb_id, recommendations, now)
    return RecommendMoviesOutput(
        tmdb_id=movie.tmdb_id,
        recommended=len(recommendations),
        counts={
            "candidates": len(candidates),
            "related": len(movie.related),
            "analyzed": len(analyzed),
            "recommended": len(recommendations),
        },
    )


def candidates_for(movie: Movie, analyzed: Iterable[AnalyzedFilm]) -> list[CandidateFilm]:
    """TMDB's related films and the analyzed ones, each once, without the film itself."""
    known: dict[int, CandidateFilm] = {}
    for film in (*map(_related, movie.related), *map(_analyzed, analyzed)):
        if film.tmdb_id != movie.tmdb_id:
            before = known.get(film.tmdb_id)
            known[film.tmdb_id] = _merged(before, film) if before else film
    return list(known.values())


def ranked(movie: Movie, candidates: Iterable[CandidateFilm]) -> list[Recommendation]:
    """The candidates as recommendations, the best first.

    Of two entries of one title and year only the better one stays. Equal scores rank by weighted
    rating, then votes, then id.
    """
    entries = [(_parts(movie, film), film) for film in candidates]
    scored = [(_score(parts), film, parts) for parts, film in entries]
    scored.sort(
        key=lambda entry: (
            -entry[0],
            -weighted_rating(entry[1]),
            -entry[1].vote_count,
            entry[1].tmdb_id,
        )
    )
    seen = {_same_film(movie)}
    recommendations: list[Recommendation] = []
    for score, film, parts in scored:
        if _same_film(film) in seen:
            continue
        seen.add(_same_film(film))
        recommendations.append(
            Recommendation(
                tmdb_id=film.tmdb_id,
                title=film.title,
                year=film.year,
                poster_path=film.poster_path,
                score=score,
                reasons=_reasons(parts),
            )
        )
    return recommendations


def weighted_rating(film: FilmFacts) -> float:
    """IMDb's Bayesian estimate of a film's rating, in 0..10."""
    votes = film.vote_count
    total = votes * film.vote_average + VOTES_FOR_HALF * RATING_WITHOUT_VOTES
    return total / (votes + VOTES_FOR_HALF)


def shrunk_sentiment(film: AnalyzedFilm) -> float:
    """Our mean sentiment in -1..1, nearer to 0 the fewer reviews it rests on."""
    if film.average_sentiment is None:
        return 0.0
    return film.average_sentiment * film.sample_size / (film.sample_size + REVIEWS_FOR_HALF)


def _related(film: RelatedFilm) -> CandidateFilm:
    facts = film.model_dump(include=set(FilmFacts.model_fields))
    return CandidateFilm(
        **facts,
        genre_ids=frozenset(film.genre_ids),
        recommended=film.recommended,
        similar=not film.recommended,
    )


def _analyzed(film: AnalyzedFilm) -> CandidateFilm:
    return CandidateFilm(**dict(film), genre_ids=frozenset(genre.id for genre in film.genres))


def _merged(one: CandidateFilm, other: CandidateFilm) -> CandidateFilm:
    """Both entries of a film as one; which comes first makes no difference."""
    fuller = max(one, other, key=lambda film: (film.sample_size, film.model_dump_json()))
    voted = max(one, other, key=lambda film: (film.vote_count, film.vote_average))
    return fuller.model_copy(
        update={
            "genre_ids": one.genre_ids | other.genre_ids,
            "recommended": one.recommended or other.recommended,
            "similar": one.similar or other.similar,
            "vote_average": voted.vote_average,
            "vote_count": voted.vote_count,
        }
    )


def _same_film(film: FilmFacts) -> tuple[str, int | None]:
    return normalize(film.title), film.year


def _parts(movie: Movie, film: CandidateFilm) -> list[Part]:
    return [
        _director(movie, film),
        _cast(movie, film),
        _keywords(movie, film),
        _genres(movie, film),
        _listed(film),
        _rating(film),
        _sentiment(film),
    ]


def _score(parts: Iterable[Part]) -> float:
    return round(min(1.0, sum(part.points for part in parts)), SCORE_DIGITS)


def _reasons(parts: Iterable[Part]) -> tuple[str, ...]:
    """The reasons of the parts that brought most, at equal points in the order of the formula."""
    telling = sorted(
        (part for part in parts if part.reason), key=lambda part: part.points, reverse=True
    )
    return tuple(part.reason for part in telling[:MAX_REASONS])


def _director(movie: Movie, film: CandidateFilm) -> Part:
    shared = _shared(movie.directors, film.directors)
    if not shared:
        return Part(0)
    noun = "director" if len(shared) == 1 else "directors"
    return Part(DIRECTOR_WEIGHT, f"same {noun}, {_listing(shared)}")


def _cast(movie: Movie, film: CandidateFilm) -> Part:
    shared = _shared(movie.cast, film.cast)
    value = min(len(shared) / MOST_SHARED_CAST, 1)
    return Part(CAST_WEIGHT * value, f"also with {_listing(shared)}" if shared else "")


def _keywords(movie: Movie, film: CandidateFilm) -> Part:
    shared = [name for name in _shared(movie.keywords, film.keywords) if name not in NO_THEMES]
    value = min(len(shared) / MOST_SHARED_KEYWORDS, 1)
    return Part(KEYWORDS_WEIGHT * value, f"shared themes: {_listing(shared)}" if shared else "")


def _genres(movie: Movie, film: CandidateFilm) -> Part:
    names = {genre.id: genre.name for genre in movie.genres}
    shared = [name for number, name in names.items() if number in film.genre_ids]
    if not shared:
        return Part(0)
    value = len(shared) / len(names.keys() | film.genre_ids)
    word = "both" if len(shared) == 2 else "also"
    return Part(GENRES_WEIGHT * value, f"{word} {_listing(shared)}")


def _listed(film: CandidateFilm) -> Part:
    if film.recommended:
        return Part(LISTED_WEIGHT, "people who liked this liked it too")
    if film.similar:
        return Part(LISTED_WEIGHT * SIMILAR, "TMDB finds it similar")
    return Part(0)


def _rating(film: CandidateFilm) -> Part:
    rating = weighted_rating(film)
    value = (rating - LOWEST_RATING) / (HIGHEST_RATING - LOWEST_RATING)
    reason = f"viewers rate it {film.vote_average:.1f}" if rating >= GOOD_RATING else ""
    return Part(RATING_WEIGHT * min(max(value, 0), 1), reason)


def _sentiment(film: CandidateFilm) -> Part:
    shrunk = shrunk_sentiment(film)
    reason = ""
    if shrunk >= GOOD_SENTIMENT:
        verb = "love" if shrunk >= LOVED_SENTIMENT else "like"
        over = f"{film.sample_size} review{'' if film.sample_size == 1 else 's'}"
        reason = f"people here {verb} it ({film.average_sentiment:.2f} over {over})"
    return Part(SENTIMENT_WEIGHT * (shrunk + 1) / 2, reason)


def _shared(ours: Sequence[Person | Keyword], theirs: Sequence[Person | Keyword]) -> list[str]:
    """The names of what both have, in the order of ours."""
    their_ids = {entry.id for entry in theirs}
    return list({entry.id: entry.name for entry in ours if entry.id in their_ids}.values())


def _listing(names: Sequence[str]) -> str:
    """The first MAX_NAMES names as a sentence has them."""
    *others, last = names[:MAX_NAMES]
    return f"{', '.join(others)} and {last}" if others else last
