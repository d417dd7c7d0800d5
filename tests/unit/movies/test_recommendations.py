"""What to watch next, and why: made-up films one trait at a time, real films by their series."""

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import NotFound
from marquee.movies import recommendations
from marquee.movies.catalog import Catalog
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    Keyword,
    Movie,
    Person,
    Recommendation,
    RelatedFilm,
)
from marquee.movies.recommendations import (
    RecommendMoviesInput,
    candidates_for,
    ranked,
    recommend_movies,
    shrunk_sentiment,
    weighted_rating,
)
from tests.support.builders import NOW, a_movie, a_related_film
from tests.support.installation import installed

CATALOG = Path(__file__).parents[4] / "shared" / "data" / "catalog" / "movies.jsonl"

ACTION, DRAMA, ROMANCE = (
    Keyword(id=28, name="Action"),
    Keyword(id=18, name="Drama"),
    Keyword(id=10749, name="Romance"),
)
RAJAMOULI = Person(id=1296845, name="S. S. Rajamouli")
RAM_CHARAN = Person(id=1084878, name="Ram Charan")
NTR = Person(id=1084877, name="N. T. Rama Rao Jr.")
FRIENDSHIP = Keyword(id=1701, name="friendship")


# One candidate


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"directors": [RAJAMOULI]}, "same director, S. S. Rajamouli"),
        ({"cast": [RAM_CHARAN]}, "also with Ram Charan"),
        ({"cast": [RAM_CHARAN, NTR]}, "also with N. T. Rama Rao Jr. and Ram Charan"),
        ({"keywords": [FRIENDSHIP]}, "shared themes: friendship"),
        ({"genres": [DRAMA]}, "also Drama"),
        ({"genres": [DRAMA, ACTION, ROMANCE]}, "both Action and Drama"),
        ({"vote_average": 8.24, "vote_count": 9000}, "viewers rate it 8.2"),
        (
            {"average_sentiment": 0.64, "sample_size": 42},
            "people here love it (0.64 over 42 reviews)",
        ),
        (
            {"average_sentiment": 0.3, "sample_size": 42},
            "people here like it (0.30 over 42 reviews)",
        ),
    ],
)
def test_each_thing_in_common_is_a_reason_and_raises_the_score(
    facts: dict[str, Any], reason: str
) -> None:
    [plain] = recommended(a_movie(), [an_analyzed_film()])
    [alike] = recommended(a_movie(), [an_analyzed_film(**facts)])

    assert plain.reasons == ()
    assert alike.reasons == (reason,)
    assert alike.score > plain.score


def test_two_directors_are_named_together() -> None:
    pair = [Person(id=1, name="Ana"), Person(id=2, name="Bo")]

    [film] = recommended(a_movie(directors=pair), [an_analyzed_film(directors=pair)])

    assert film.reasons == ("same directors, Ana and Bo",)


@pytest.mark.parametrize(
    ("recommended_", "reason"),
    [(True, "people who liked this liked it too"), (False, "TMDB finds it similar")],
)
def test_a_film_that_tmdb_lists_says_so(recommended_: bool, reason: str) -> None:
    listed = a_related_film(recommended=recommended_, genre_ids=(), vote_count=0)

    [film] = recommended(a_movie(related=(listed,)), [])

    assert film.reasons == (reason,)


def test_what_the_same_people_like_counts_more_than_what_looks_alike() -> None:
    liked = a_related_film(tmdb_id=1, title="A", recommended=True)
    similar = a_related_film(tmdb_id=2, title="B", recommended=False)

    films = recommended(a_movie(related=(similar, liked)), [])

    assert [film.tmdb_id for film in films] == [1, 2]


def test_the_three_most_telling_reasons_are_told_the_most_telling_first() -> None:
    film = an_analyzed_film(
        directors=[RAJAMOULI],
        cast=[RAM_CHARAN, NTR],
        genres=[ACTION, DRAMA],
        keywords=[FRIENDSHIP],
        vote_average=8.0,
        vote_count=9000,
    )

    [best] = recommended(a_movie(), [film])

    assert best.reasons == (
        "same director, S. S. Rajamouli",
        "both Action and Drama",
        "also with N. T. Rama Rao Jr. and Ram Charan",
    )


def test_genres_of_a_related_film_are_named_by_the_film_itself() -> None:
    listed = a_related_film(genre_ids=(18, 99), vote_count=0)

    [film] = recommended(a_movie(related=(listed,)), [])

    assert film.reasons == ("people who liked this liked it too", "also Drama")


def test_a_keyword_about_the_credits_is_no_theme() -> None:
    stinger = Keyword(id=5, name="duringcreditsstinger")

    [film] = recommended(a_movie(keywords=[stinger]), [an_analyzed_film(keywords=[stinger])])

    assert film.reasons == ()


@pytest.mark.parametrize(
    ("mean", "votes", "expected"),
    [(10.0, 0, 6.5), (10.0, 2, 6.5347), (8.0, 200, 7.25), (8.0, 200_000, 7.9985)],
)
def test_a_rating_counts_by_its_votes(mean: float, votes: int, expected: float) -> None:
    film = an_analyzed_film(vote_average=mean, vote_count=votes)

    assert weighted_rating(film) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("mean", "reviews", "expected"),
    [(None, 0, 0.0), (0.9, 1, 0.0818), (0.9, 10, 0.45), (-0.5, 90, -0.45)],
)
def test_our_sentiment_counts_by_its_reviews(
    mean: float | None, reviews: int, expected: float
) -> None:
    film = an_analyzed_film(average_sentiment=mean, sample_size=reviews)

    assert shrunk_sentiment(film) == pytest.approx(expected, abs=1e-4)


def test_two_votes_of_ten_do_not_win() -> None:
    unknown = an_analyzed_film(tmdb_id=1, title="Unknown", vote_average=10.0, vote_count=2)
    good = an_analyzed_film(tmdb_id=2, title="Good", vote_average=7.5, vote_count=5000)

    films = recommended(a_movie(), [unknown, good])

    assert [film.title for film in films] == ["Good", "Unknown"]
    assert "viewers rate it 10.0" not in films[1].reasons


# All of them


def test_no_candidates_are_no_recommendations() -> None:
    assert recommended(a_movie(), []) == []


def test_the_film_itself_is_never_recommended() -> None:
    movie = a_movie(related=(a_related_film(tmdb_id=579974, title="RRR", year=2022),))
    itself = an_analyzed_film(tmdb_id=579974, title="RRR")
    second_entry = an_analyzed_film(tmdb_id=7, title="R.R.R.", year=2022)

    assert recommended(movie, [itself, second_entry]) == []


def test_a_film_that_several_name_is_one_with_all_that_is_known() -> None:
    listed = a_related_film(tmdb_id=5, vote_average=8.0, vote_count=900)
    similar = a_related_film(tmdb_id=5, recommended=False)
    analyzed = an_analyzed_film(
        tmdb_id=5, directors=[RAJAMOULI], average_sentiment=0.5, sample_size=3, vote_count=10
    )

    [film] = candidates_for(a_movie(related=(similar, listed)), [analyzed])

    assert film.recommended
    assert film.similar
    assert film.directors == (RAJAMOULI,)
    assert film.genre_ids == {28, 12}
    assert (film.vote_average, film.vote_count, film.sample_size) == (8.0, 900, 3)


def test_of_two_entries_of_one_title_and_year_the_better_stays() -> None:
    poor = an_analyzed_film(tmdb_id=1, title="Baahubali", year=2015)
    good = an_analyzed_film(tmdb_id=2, title="Bāhubali", year=2015, directors=[RAJAMOULI])
    later = an_analyzed_film(tmdb_id=3, title="Baahubali", year=2017)
    same = an_analyzed_film(tmdb_id=4, title="BAAHUBALI!", year=2015, cast=[NTR])

    films = recommended(a_movie(), [poor, good, later, same])

    assert [film.tmdb_id for film in films] == [2, 4, 3]


def test_equal_scores_rank_by_votes_and_then_by_id() -> None:
    films = [
        an_analyzed_film(tmdb_id=3, title="C", vote_average=6.5, vote_count=10),
        an_analyzed_film(tmdb_id=2, title="B", vote_average=6.5, vote_count=10),
        an_analyzed_film(tmdb_id=9, title="I", vote_average=6.5, vote_count=90),
    ]

    assert [film.tmdb_id for film in recommended(a_movie(), films)] == [9, 2, 3]


def test_a_film_of_which_nothing_is_known_can_be_asked_about_and_recommended() -> None:
    bare = Movie(tmdb_id=1, title="", fetched_at=NOW)
    nameless = RelatedFilm(tmdb_id=2, title="Two", recommended=False)

    [film] = recommended(bare.model_copy(update={"related": (nameless,)}), [])

    assert film.tmdb_id == 2


people = st.lists(st.integers(1, 4).map(lambda n: Person(id=n, name=f"P{n}")), max_size=4)
words = st.lists(st.integers(1, 6).map(lambda n: Keyword(id=n, name=f"k{n}")), max_size=6)
facts_ = {
    "tmdb_id": st.integers(1, 8),
    "title": st.sampled_from(["One", "Two", "one!", "Three"]),
    "year": st.sampled_from([None, 2000, 2001]),
    "vote_average": st.floats(0, 10),
    "vote_count": st.integers(0, 10**6),
}
related_films = st.builds(
    RelatedFilm,
    **facts_,
    genre_ids=st.lists(st.integers(1, 6), max_size=3).map(tuple),
    recommended=st.booleans(),
)
analyzed_films = st.builds(
    AnalyzedFilm,
    **facts_,
    genres=words,
    directors=people,
    cast=people,
    keywords=words,
    average_sentiment=st.none() | st.floats(-1, 1),
    sample_size=st.integers(0, 500),
)
movies = st.builds(
    Movie,
    **facts_,
    genres=words,
    directors=people,
    cast=people,
    keywords=words,
    related=st.lists(related_films, max_size=8),
    fetched_at=st.just(NOW),
)


@given(movies, st.lists(analyzed_films, max_size=8), st.randoms())
def test_a_ranking_keeps_its_promises_in_any_order_of_its_candidates(
    movie: Movie, analyzed: list[AnalyzedFilm], dice: random.Random
) -> None:
    films = recommended(movie, analyzed)

    ids = [film.tmdb_id for film in films]
    assert movie.tmdb_id not in ids
    assert len(set(ids)) == len(ids)
    assert len({(film.title.rstrip("!").lower(), film.year) for film in films}) == len(films)
    assert all(0 <= film.score <= 1 for film in films)
    assert all(len(film.reasons) <= 3 for film in films)
    assert [film.score for film in films] == sorted((film.score for film in films), reverse=True)

    related = list(movie.related)
    dice.shuffle(related)
    dice.shuffle(analyzed)
    shuffled = movie.model_copy(update={"related": tuple(related)})
    assert recommended(shuffled, analyzed) == films


def test_the_weights_are_a_whole() -> None:
    weights = [
        value
        for name, value in vars(recommendations).items()
        if name.endswith("_WEIGHT") and isinstance(value, float)
    ]

    assert len(weights) == 7
    assert sum(weights) == pytest.approx(1)


# Against films that everybody knows, without TMDB's lists


@pytest.mark.parametrize(
    ("title", "next_"),
    [
        ("The Godfather", ["The Godfather Part II"]),
        ("The Dark Knight", ["The Dark Knight Rises"]),
        ("Toy Story", ["Toy Story 2", "Toy Story 3"]),
        ("Star Wars", ["The Empire Strikes Back", "Return of the Jedi"]),
        ("Dune", ["Dune: Part Two"]),
        (
            "The Lord of the Rings: The Fellowship of the Ring",
            [
                "The Lord of the Rings: The Return of the King",
                "The Lord of the Rings: The Two Towers",
            ],
        ),
        (
            "Harry Potter and the Philosopher's Stone",
            ["Harry Potter and the Chamber of Secrets"],
        ),
    ],
)
def test_the_other_films_of_a_series_come_first(title: str, next_: list[str]) -> None:
    films = real_films()
    movie = max((film for film in films if film.title == title), key=lambda film: film.vote_count)

    best = recommended(as_movie(movie), films)

    assert [film.title for film in best[: len(next_)]] == next_


def test_after_a_film_of_miyazaki_come_films_of_miyazaki() -> None:
    films = real_films()
    [movie] = [film for film in films if film.title == "Spirited Away"]

    best = recommended(as_movie(movie), films)[:4]

    assert {film.reasons[0] for film in best} == {"same director, Hayao Miyazaki"}


# The step, on the tables of the template


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with installed("RecommendMoviesFunction") as settings:
        yield Catalog.connect(settings)


def test_recommendations_from_tmdb_and_from_analyzed_films_are_stored(catalog: Catalog) -> None:
    movie = a_movie(related=(a_related_film(tmdb_id=1, title="Listed"),))
    catalog.put_movie(movie, ["rrr"], [])
    analyze(catalog, an_analyzed_film(tmdb_id=2, title="Second", genres=[DRAMA, ROMANCE]))
    analyze(catalog, an_analyzed_film(tmdb_id=3, title="Elsewhere", genres=[ROMANCE, DRAMA]))
    analyze(catalog, an_analyzed_film(tmdb_id=579974, title="RRR", genres=[ACTION, DRAMA]))

    output = recommend_movies(RecommendMoviesInput(tmdb_id=579974), catalog, now=NOW)

    assert output.recommended == 2
    assert output.counts == {"candidates": 2, "related": 1, "analyzed": 2, "recommended": 2}
    known = catalog.known(579974)
    assert [film.title for film in known.recommendations] == ["Listed", "Second"]
    assert known.recommended_at == NOW


def test_at_most_ten_films_are_recommended_unless_more_are_wanted(catalog: Catalog) -> None:
    related = tuple(a_related_film(tmdb_id=n, title=f"Film {n}") for n in range(1, 21))
    catalog.put_movie(a_movie(related=related), ["rrr"], [])
    request = RecommendMoviesInput(tmdb_id=579974)

    assert recommend_movies(request, catalog, now=NOW).recommended == 10
    assert recommend_movies(request, catalog, limit=15, now=NOW).recommended == 15


def test_a_film_without_candidates_gets_an_empty_list(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(genres=()), ["rrr"], [])

    output = recommend_movies(RecommendMoviesInput(tmdb_id=579974), catalog, now=NOW)

    assert output.recommended == 0
    assert catalog.known(579974).recommended_at == NOW


def test_an_unknown_film_has_no_recommendations(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="999"):
        recommend_movies(RecommendMoviesInput(tmdb_id=999), catalog, now=NOW)


def recommended(movie: Movie, analyzed: list[AnalyzedFilm]) -> list[Recommendation]:
    return ranked(movie, candidates_for(movie, analyzed))


def analyze(catalog: Catalog, film: AnalyzedFilm) -> None:
    analysis = Analysis(tmdb_id=film.tmdb_id, analyzed_at=NOW, scorer="vader")
    catalog.put_analysis(
        analysis, film.model_copy(update={"average_sentiment": 0.4, "sample_size": 8})
    )


def an_analyzed_film(**fields: Any) -> AnalyzedFilm:
    """A film that has nothing in common with RRR."""
    return AnalyzedFilm.model_validate({"tmdb_id": 5, "title": "Elsewhere", "year": 1999, **fields})


def as_movie(film: AnalyzedFilm) -> Movie:
    return Movie(**film.model_dump(), fetched_at=NOW)


@cache
def real_films() -> list[AnalyzedFilm]:
    """The films of the shared catalog, as if each had been analyzed; ids are by name."""
    if not CATALOG.exists():
        pytest.skip("the film facts of ../shared/data are not here")
    numbers: dict[str, int] = {}

    def numbered(names: list[str]) -> list[dict[str, Any]]:
        return [{"id": numbers.setdefault(name, len(numbers)), "name": name} for name in names]

    films = []
    for line in CATALOG.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        film = {
            **row,
            "tmdb_id": row["id"],
            "genres": numbered(row["genres"]),
            "directors": numbered([row["director"]] if row["director"] else []),
            "cast": numbered(row["cast"]),
            "keywords": numbered(row["keywords"]),
        }
        films.append(AnalyzedFilm.model_validate(film))
    return films
