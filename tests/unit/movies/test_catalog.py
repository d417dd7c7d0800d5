"""MoviesTable: what is put comes back equal, by its key, and expires when it must."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from marquee.movies.catalog import Catalog, KnownFilm, StoredAnswer
from marquee.movies.interest import FRESH_FOR, KEPT_UP_FOR, Interest
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    Candidate,
    FilmText,
    FoundMovie,
    Keyword,
    Label,
    Quote,
    Recommendation,
)
from marquee.settings import DETAILS_KEPT_FOR, NO_MATCH_FRESH_FOR
from tests.support.builders import NOW, a_movie, a_related_film

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

EXPIRES = (NOW + DETAILS_KEPT_FOR).timestamp()


@pytest.fixture
def catalog(movies_table: "Table") -> Catalog:
    return Catalog(movies_table)


def an_analysis(tmdb_id: int = 579974, *, minutes_ago: int = 0) -> Analysis:
    return Analysis(
        tmdb_id=tmdb_id,
        average_sentiment=0.42,
        confidence_interval=(0.3, 0.54),
        label=Label.POSITIVE,
        sample_size=12,
        counts_by_label={"positive": 9, "negative": 3},
        histogram=tuple(range(20)),
        most_positive=(Quote(text="Great!", author="asha", source="tmdb", url=None, score=0.9),),
        period_from=NOW - timedelta(days=9),
        period_to=NOW,
        analyzed_at=NOW - timedelta(minutes=minutes_ago),
        scorer="vader-3.3.2",
    )


def an_analyzed_film(
    tmdb_id: int = 579974, *genres: int, score: float | None = 0.42
) -> AnalyzedFilm:
    return AnalyzedFilm(
        tmdb_id=tmdb_id,
        title=f"Film {tmdb_id}",
        genres=tuple(Keyword(id=genre, name=f"Genre {genre}") for genre in genres),
        vote_average=7.7,
        average_sentiment=score,
        sample_size=12,
    )


def a_recommendation(tmdb_id: int = 256040) -> Recommendation:
    return Recommendation(
        tmdb_id=tmdb_id, title="Bāhubali", year=2015, score=0.75, reasons=("same director",)
    )


def test_an_empty_table_knows_nothing(catalog: Catalog) -> None:
    assert catalog.movie(579974) is None
    assert catalog.answer("rrr") is None
    assert catalog.tmdb_reviews(579974) == []
    assert catalog.films_titled("rrr") == []
    assert catalog.analyzed_films(28, 10) == []
    assert catalog.known(579974) == KnownFilm()


def test_a_film_comes_back_as_it_was_put(catalog: Catalog) -> None:
    movie = a_movie(
        poster_path="/rrr.jpg",
        alternative_titles=("Rise Roar Revolt",),
        texts={"hi": FilmText(title="आरआरआर"), "de": FilmText()},
        related=(a_related_film(), a_related_film(tmdb_id=690957, recommended=False)),
    )
    catalog.put_movie(movie, ["rrr"], [])
    assert catalog.movie(579974) == movie


def test_a_film_without_anything_optional_comes_back(catalog: Catalog) -> None:
    bare = a_movie(
        year=None, release_date=None, runtime=None, imdb_id=None, genres=(), directors=(), cast=()
    )
    catalog.put_movie(bare, [], [])
    assert catalog.movie(579974) == bare


def test_reviews_come_back_as_tmdb_sent_them(catalog: Catalog) -> None:
    reviews = [{"id": "1", "content": "నాటు నాటు", "author_details": {"rating": 7.5}}, None, "odd"]
    catalog.put_movie(a_movie(), [], reviews)
    assert catalog.tmdb_reviews(579974) == reviews


def test_half_a_surrogate_pair_in_a_review_is_kept_for_its_reader(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(), [], [{"content": "\ud83d"}])
    assert catalog.tmdb_reviews(579974) == [{"content": "\ud83d"}]


def test_a_title_leads_to_every_film_that_has_it(catalog: Catalog) -> None:
    for tmdb_id, year in ((841, 1984), (438631, 2021)):
        dune = a_movie(tmdb_id=tmdb_id, title="Dune", year=year)
        catalog.put_movie(dune, ["dune", "dune", f"tt{tmdb_id}"], [])
    found = [(card.tmdb_id, card.title, card.year) for card in catalog.films_titled("dune")]
    assert sorted(found) == [(841, "Dune", 1984), (438631, "Dune", 2021)]
    assert [card.tmdb_id for card in catalog.films_titled("tt841")] == [841]


def test_a_title_leads_to_no_film_whose_title_only_begins_so(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(tmdb_id=1), ["dune"], [])
    catalog.put_movie(a_movie(tmdb_id=2), ["duneparttwo", "dune#3"], [])
    assert [card.tmdb_id for card in catalog.films_titled("dune")] == [1]


def test_what_is_typed_of_a_title_leads_to_each_film_once_by_title(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(tmdb_id=2, title="Dune: Part Two"), ["duneparttwo", "dune2"], [])
    catalog.put_movie(a_movie(tmdb_id=1, title="Dune"), ["dune", "dunepartone"], [])
    catalog.put_movie(a_movie(tmdb_id=3, title="Arrival"), ["arrival"], [])
    assert [card.tmdb_id for card in catalog.films_beginning("dun", 5)] == [1, 2]
    assert [card.tmdb_id for card in catalog.films_beginning("dun", 1)] == [1]
    assert [card.tmdb_id for card in catalog.films_beginning("dunepartt", 5)] == [2]
    assert catalog.films_beginning("x", 5) == []


def test_what_tmdb_said_expires_before_its_terms_end(
    catalog: Catalog, movies_table: "Table"
) -> None:
    catalog.put_movie(a_movie(), ["rrr"], [{"id": "1"}])
    catalog.put_answer(
        "rrr", StoredAnswer(found=FoundMovie(tmdb_id=1, message=""), answered_at=NOW)
    )
    items = movies_table.scan()["Items"]
    assert {item["expires_at"] for item in items} == {EXPIRES}
    assert len(items) == 4


def test_no_match_expires_within_the_hour(catalog: Catalog, movies_table: "Table") -> None:
    catalog.put_answer("zzz", StoredAnswer(found=FoundMovie(message="none"), answered_at=NOW))
    [item] = movies_table.scan()["Items"]
    assert item["expires_at"] == (NOW + NO_MATCH_FRESH_FOR).timestamp()


def test_an_answer_comes_back_with_its_candidates(catalog: Catalog) -> None:
    other = Candidate(tmdb_id=841, title="Dune", year=1984, reason="another film with this title")
    found = FoundMovie(tmdb_id=438631, title="Dune", year=2021, message="m", candidates=(other,))
    answer = StoredAnswer(found=found, answered_at=NOW)
    catalog.put_answer("dune", answer)
    assert catalog.answer("dune") == answer


def test_facts_analysis_and_recommendations_come_in_one_query(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(), ["rrr"], [])
    catalog.put_analysis(an_analysis(), an_analyzed_film(579974, 28))
    catalog.put_recommendations(579974, [a_recommendation()], NOW)
    assert catalog.known(579974) == KnownFilm(
        movie=a_movie(),
        analysis=an_analysis(),
        recommendations=(a_recommendation(),),
        recommended_at=NOW,
    )


def an_interest(tmdb_id: int, *, due: timedelta) -> Interest:
    """Of a film that is due so long after NOW."""
    return Interest(tmdb_id=tmdb_id).searched(NOW).collected(NOW - FRESH_FOR + due)


def test_films_come_when_they_are_due_the_longest_due_first(catalog: Catalog) -> None:
    films = [an_interest(n, due=timedelta(hours=hours)) for n, hours in ((1, -1), (2, 1), (3, -9))]
    for film in films:
        catalog.put_interest(film, NOW)
    assert catalog.due_films(NOW, 10) == [films[2], films[0]]
    assert catalog.due_films(NOW, 1) == [films[2]]
    assert catalog.interest(1) == catalog.known(1).interest == films[0]
    catalog.put_off(3, NOW + timedelta(hours=2))
    catalog.put_off(99, NOW)
    assert catalog.due_films(NOW, 10) == [films[0]]
    assert catalog.interest(99) is None


def test_a_film_that_nobody_looks_at_is_not_due_and_expires(
    catalog: Catalog, movies_table: "Table"
) -> None:
    catalog.put_interest(Interest(tmdb_id=1).searched(NOW), NOW + KEPT_UP_FOR * 2)
    assert catalog.due_films(NOW + KEPT_UP_FOR * 9, 10) == []
    [item] = movies_table.scan()["Items"]
    assert item["expires_at"] == (NOW + KEPT_UP_FOR).timestamp()


def test_an_analysis_stays_when_the_facts_are_put_again(catalog: Catalog) -> None:
    catalog.put_analysis(an_analysis(), an_analyzed_film(579974, 28))
    catalog.put_movie(a_movie(), [], [])
    assert catalog.known(579974).analysis == an_analysis()


def test_analyzed_films_come_by_first_genre_the_last_analyzed_first(catalog: Catalog) -> None:
    for tmdb_id, genres, minutes in ((1, (28, 18), 9), (2, (28,), 3), (3, (18, 28), 1)):
        catalog.put_analysis(
            an_analysis(tmdb_id, minutes_ago=minutes), an_analyzed_film(tmdb_id, *genres)
        )
    assert catalog.analyzed_films(28, 10) == [an_analyzed_film(2, 28), an_analyzed_film(1, 28, 18)]
    assert [film.tmdb_id for film in catalog.analyzed_films(28, 1)] == [2]


@pytest.mark.parametrize(
    "film", [an_analyzed_film(579974, 28, score=None), an_analyzed_film(579974)]
)
def test_a_film_without_sentiment_or_genre_is_stored_and_no_candidate(
    catalog: Catalog, film: AnalyzedFilm
) -> None:
    catalog.put_analysis(an_analysis(), film)
    assert catalog.known(579974).analysis == an_analysis()
    assert catalog.analyzed_films(28, 10) == []
