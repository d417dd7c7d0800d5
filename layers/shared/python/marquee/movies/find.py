"""FindMovie: which film a search means, from the cache while it is fresh, else from TMDB.

At most two calls: the search and the film's details. Where TMDB does not answer, what is stored
stands in, however old; where nothing is stored the error rises, and the state machine tries again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from marquee.errors import Misconfigured, UpstreamError, UpstreamNotFound
from marquee.movies.catalog import Catalog, StoredAnswer
from marquee.movies.models import (
    Candidate,
    FoundMovie,
    Movie,
    SearchRequest,
    SourceReport,
)
from marquee.movies.titles import (
    MAX_CANDIDATES,
    Hit,
    Query,
    candidate,
    choose,
    fitting_title,
    normalize,
    parse,
)
from marquee.movies.tmdb import Details, Tmdb
from marquee.observability import logger
from marquee.settings import DETAILS_FRESH_FOR, DETAILS_KEPT_FOR, NO_MATCH_FRESH_FOR

MAX_TITLE_KEYS = 4
"""Stored titles that lead to one film; each costs one write."""

MAX_LANGUAGES = 5
"""Languages of a film's stored texts: the one asked for, and some of those asked for before."""

BY_TMDB_ID = "the film with this TMDB id"

type Plan = tuple[tuple[str, ...], tuple[SourceReport, ...]]
"""The sources to ask, and a report on each that is not configured."""


class FindMovieInput(BaseModel):
    """The state's payload."""

    model_config = ConfigDict(frozen=True)

    request: SearchRequest

    @field_validator("request", mode="before")
    @classmethod
    def _of_the_execution(cls, value: Any) -> Any:
        """The input of an execution carries its ``workflow_id``, which is no part of a request."""
        if isinstance(value, Mapping):
            return {name: part for name, part in value.items() if name != "workflow_id"}
        return value


class FindMovieOutput(FoundMovie):
    """What was found, and whom to ask what people say about it."""

    sources: tuple[str, ...]
    skipped: tuple[SourceReport, ...]


def find_movie(
    request: SearchRequest, tmdb: Tmdb, catalog: Catalog, sources: Plan, *, now: datetime
) -> FindMovieOutput:
    """The film that ``request`` means; ``tmdb_id`` None where TMDB has none.

    Raises UpstreamError or Misconfigured where TMDB did not answer and nothing is stored.
    """
    query = parse(request.movie_name, request.year, this_year=now.year)
    asked, skipped = sources
    found = _Search(request, query, tmdb, catalog, now).run()
    return FindMovieOutput(**found.model_dump(), sources=asked, skipped=skipped)


def title_keys(movie: Movie) -> list[str]:
    """What leads to a stored film: its IMDb id and its titles, normalized, the first few."""
    texts = (text.title for text in movie.texts.values())
    titles = [movie.title, movie.original_title, *texts, *movie.alternative_titles]
    keys = dict.fromkeys(normalize(title) for title in titles if title)
    ids = [movie.imdb_id] if movie.imdb_id else []
    return [*ids, *keys][:MAX_TITLE_KEYS]


@dataclass(frozen=True)
class _Search:
    """One search: what is asked for, where to look, and when."""

    request: SearchRequest
    query: Query
    tmdb: Tmdb
    catalog: Catalog
    now: datetime

    def run(self) -> FoundMovie:
        """The stored answer while it is fresh, else TMDB's, else what is stored."""
        answer, movie = self._remembered()
        if answer and answer.found.tmdb_id is None:
            if self._age(answer.answered_at) < NO_MATCH_FRESH_FOR:
                return self._from_cache(answer.found, answer.answered_at)
        elif answer and movie and self._is_current(answer, movie):
            return self._from_cache(answer.found, movie.fetched_at)
        if not self.request.collect_new_data and (stored := self._stored(answer, movie)):
            return stored
        try:
            return self._on_tmdb(movie)
        except (UpstreamError, Misconfigured) as error:
            stored = self._stored(answer, movie)
            if stored is None:
                raise
            logger.warning("stored facts stand in for TMDB", error=type(error).__name__)
            return stored.model_copy(update={"stale": True})

    def _remembered(self) -> tuple[StoredAnswer | None, Movie | None]:
        """What an equal search found, and the facts of that film, as far as they are stored."""
        if self.request.tmdb_id is not None:
            movie = self._movie(self.request.tmdb_id)
            if movie is None:
                return None, None
            found = self._found(movie, BY_TMDB_ID)
            return StoredAnswer(found=found, answered_at=movie.fetched_at), movie
        answer = self.catalog.answer(self._key())
        if answer is None or answer.found.tmdb_id is None:
            return answer, None
        return answer, self._movie(answer.found.tmdb_id)

    def _stored(self, answer: StoredAnswer | None, movie: Movie | None) -> FoundMovie | None:
        """The film that an equal search found, else a stored one of that title, however old."""
        if answer and movie:
            return self._from_cache(answer.found, movie.fetched_at)
        if self.request.tmdb_id is not None:
            return None
        for reading in self.query.readings:
            cards = self.catalog.films_titled(normalize(reading.name))
            of_year = [card for card in cards if reading.year in (None, card.year)]
            movies = [self._movie(card.tmdb_id) for card in of_year[: MAX_CANDIDATES + 1]]
            known = sorted(filter(None, movies), key=lambda film: -film.vote_count)
            if known:
                best, *rest = known
                reason = "the most voted stored film of this title"
                others = [candidate(film, "another stored film of this title") for film in rest]
                return self._from_cache(self._found(best, reason, others), best.fetched_at)
        return None

    def _on_tmdb(self, known: Movie | None) -> FoundMovie:
        """TMDB's answer, stored; a TMDB id needs no stored answer, it leads to the facts itself."""
        if self.request.tmdb_id is not None:
            return self._identified(self.request.tmdb_id, known, BY_TMDB_ID)
        if self.query.imdb_id is not None:
            found = self._identified(self.query.imdb_id, known, "the film with this IMDb id")
        else:
            found = self._searched()
        answer = found.model_copy(update={"source": "tmdb", "age_seconds": 0})
        self.catalog.put_answer(self._key(), StoredAnswer(found=answer, answered_at=self.now))
        return found

    def _identified(self, film_id: int | str, known: Movie | None, reason: str) -> FoundMovie:
        try:
            details = self._fetch(film_id, known)
        except UpstreamNotFound:
            return FoundMovie(message=f"TMDB has no film with the id {film_id}.")
        return self._found(self._keep(details), reason)

    def _searched(self) -> FoundMovie:
        query = self.query
        choice = choose(query, self._hits(query.year))
        if choice is None:
            return self._no_match(self._from_other_years() if query.year else ())
        known = self._movie(choice.film.tmdb_id)
        if choice.verified and known and self._is_fresh(known):
            found = self._found(known, choice.reason, choice.candidates)
            return self._from_cache(found, known.fetched_at)
        try:
            details = self._fetch(choice.film.tmdb_id, known)
        except UpstreamNotFound:
            return self._no_match(choice.candidates)
        reason = choice.reason
        if not choice.verified:
            title = fitting_title(query, details.titles)
            if title is None:
                return self._no_match()
            reason = f'found by another of its titles, "{title}"'
        return self._found(self._keep(details), reason, choice.candidates)

    def _from_other_years(self) -> Sequence[Candidate]:
        """What the name means without its year; without details to fetch, a call is left."""
        choice = choose(self.query, self._hits(None))
        if choice is None or not choice.verified:
            return ()
        return (candidate(choice.film, choice.reason), *choice.candidates)[:MAX_CANDIDATES]

    def _hits(self, year: int | None) -> list[Hit]:
        return self.tmdb.search(self.query.text, year, self.request.language, self.request.region)

    def _no_match(self, candidates: Sequence[Candidate] = ()) -> FoundMovie:
        year = f" from {self.query.year}" if self.query.year else ""
        others = " The candidates come near." if candidates else ""
        message = f'TMDB has no film called "{self.query.text}"{year}.{others}'
        return FoundMovie(message=message, candidates=tuple(candidates))

    def _fetch(self, film_id: int | str, known: Movie | None) -> Details:
        """The film's details, with texts in the language asked for now and in those before."""
        asked = [self.request.language] if self._is_translated() else []
        before = set(known.texts if known else ()) - {self.request.language[:2]}
        return self.tmdb.details(film_id, {*asked, *sorted(before)[: MAX_LANGUAGES - 1]}, self.now)

    def _keep(self, details: Details) -> Movie:
        movie = details.movie
        self.catalog.put_movie(movie, title_keys(movie), details.reviews)
        return movie

    def _found(self, movie: Movie, reason: str, candidates: Sequence[Candidate] = ()) -> FoundMovie:
        text = movie.texts.get(self.request.language[:2])
        title = (text.title if text else "") or movie.title
        return FoundMovie(
            tmdb_id=movie.tmdb_id,
            title=title,
            year=movie.year,
            message=f"{title} ({movie.year or 'year unknown'}): {reason}.",
            candidates=tuple(candidates),
        )

    def _from_cache(self, found: FoundMovie, since: datetime) -> FoundMovie:
        age = max(0, int(self._age(since).total_seconds()))
        return found.model_copy(update={"source": "cache", "age_seconds": age})

    def _movie(self, tmdb_id: int) -> Movie | None:
        """The stored facts; not those that TTL has yet to remove."""
        movie = self.catalog.movie(tmdb_id)
        return movie if movie and self._age(movie.fetched_at) < DETAILS_KEPT_FOR else None

    def _is_current(self, answer: StoredAnswer, movie: Movie) -> bool:
        return self._age(answer.answered_at) < DETAILS_FRESH_FOR and self._is_fresh(movie)

    def _is_fresh(self, movie: Movie) -> bool:
        readable = not self._is_translated() or self.request.language[:2] in movie.texts
        return readable and self._age(movie.fetched_at) < DETAILS_FRESH_FOR

    def _is_translated(self) -> bool:
        return not self.request.language.startswith("en")

    def _age(self, moment: datetime) -> timedelta:
        return self.now - moment

    def _key(self) -> str:
        """The same for equal searches: their words, year, language and region."""
        years = [reading.year for reading in self.query.readings]
        parts = [self.query.year, *years, self.request.language, self.request.region]
        return "#".join([normalize(self.query.text), *(str(part or "") for part in parts)])
