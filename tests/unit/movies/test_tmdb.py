"""The TMDB client: what it sends, what it reads out of an answer, and what it makes of nonsense."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from marquee.errors import Misconfigured, UpstreamNotFound, UpstreamUnavailable
from marquee.movies.models import FilmText, Keyword, Person
from marquee.movies.tmdb import (
    APPENDED,
    MAX_ALTERNATIVE_TITLES,
    MAX_CAST,
    MAX_KEYWORDS,
    MAX_RELATED,
    Details,
    Tmdb,
)
from marquee.settings import Secrets, Settings
from tests.support.builders import NOW, a_tmdb_film, a_tmdb_hit
from tests.support.state_machines import REGION

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "recorded" / "tmdb"
V3_KEY = "0123456789abcdef0123456789abcdef"
V4_TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"


def tmdb_answering(
    answer: Any, *, sent: list[httpx.Request] | None = None, token: str = V4_TOKEN
) -> Tmdb:
    """A client whose every request is answered with ``answer``; JSON may be given as text."""

    def respond(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return httpx.Response(200, text=text)

    client = httpx.Client(transport=httpx.MockTransport(respond))
    return Tmdb("https://tmdb.test/3", lambda: token, client)


def details_of(body: Any, *languages: str) -> Details:
    return tmdb_answering(body).details(579974, set(languages), NOW)


def recorded(name: str) -> Any:
    path = RECORDED / name
    if not path.is_file():
        pytest.skip("the recorded answers of TMDB are not beside the project")
    return json.loads(path.read_text("utf-8"))["response"]["body"]


def test_a_v4_token_goes_into_the_header_and_nowhere_else() -> None:
    sent: list[httpx.Request] = []
    tmdb_answering({"results": []}, sent=sent).search("RRR", None, "en", None)
    assert sent[0].headers["authorization"] == f"Bearer {V4_TOKEN}"
    assert V4_TOKEN not in str(sent[0].url)


def test_a_v3_key_goes_into_the_query_and_nowhere_else() -> None:
    sent: list[httpx.Request] = []
    tmdb_answering({"results": []}, sent=sent, token=V3_KEY).search("RRR", None, "en", None)
    assert sent[0].url.params["api_key"] == V3_KEY
    assert "authorization" not in sent[0].headers


def test_the_representation_shows_no_token() -> None:
    assert V4_TOKEN not in repr(tmdb_answering({}))


def test_the_token_is_asked_for_at_the_first_call_only() -> None:
    settings = Settings(stage="test", parameter_prefix="/marquee/test/movies")
    with mock_aws():
        ssm = boto3.client("ssm", region_name=REGION)
        tmdb = Tmdb.connect(settings, Secrets(ssm, settings.parameter_prefix))
        with pytest.raises(Misconfigured, match="/marquee/test/movies/tmdb/token"):
            tmdb.search("RRR", None, "en", None)


def test_a_search_asks_for_the_name_year_language_and_region() -> None:
    sent: list[httpx.Request] = []
    tmdb_answering({"results": []}, sent=sent).search("R & R?", 2022, "hi", "IN")
    assert sent[0].url.path == "/3/search/movie"
    assert dict(sent[0].url.params) == {
        "query": "R & R?",
        "year": "2022",
        "language": "hi",
        "region": "IN",
        "include_adult": "false",
    }


def test_a_hit_is_read() -> None:
    [hit] = tmdb_answering({"results": [a_tmdb_hit()]}).search("RRR", None, "en", None)
    assert hit.model_dump() == {
        "tmdb_id": 579974,
        "title": "RRR",
        "year": 2022,
        "poster_path": "/rrr.jpg",
        "original_title": "రౌద్రం రణం రుధిరం",
        "vote_count": 1200,
        "popularity": 20.0,
    }


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "RRR",
        [],
        {},
        a_tmdb_hit(id=None),
        a_tmdb_hit(id="579974"),
        a_tmdb_hit(id=True),
        a_tmdb_hit(id=-1),
        a_tmdb_hit(id=10**400),
        a_tmdb_hit(title=None, original_title=None),
        a_tmdb_hit(title=" ", original_title=7),
    ],
)
def test_a_hit_without_id_or_title_is_dropped_and_the_others_stay(broken: Any) -> None:
    hits = tmdb_answering({"results": [broken, a_tmdb_hit()]}).search("RRR", None, "en", None)
    assert [hit.tmdb_id for hit in hits] == [579974]


@pytest.mark.parametrize("odd", [None, "", "soon", "2022-13-45", 2022, [], {}])
def test_an_odd_release_date_is_an_unknown_one(odd: Any) -> None:
    [hit] = tmdb_answering({"results": [a_tmdb_hit(release_date=odd)]}).search("RRR", 0, "en", None)
    assert hit.year is None
    assert details_of(a_tmdb_film(release_date=odd)).movie.release_date is None


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        "no",
        7,
        {},
        {"results": None},
        {"results": {}},
        {"results": [{}]},
        {"success": False},
    ],
)
def test_a_search_answer_that_is_none_is_an_outage_and_not_an_absence(nonsense: Any) -> None:
    with pytest.raises(UpstreamUnavailable, match="tmdb search/movie"):
        tmdb_answering(nonsense).search("RRR", None, "en", None)


@pytest.mark.parametrize("nonsense", [None, [], "no", {}, {"id": 1}, {"title": "RRR"}])
def test_details_without_id_or_title_are_an_outage(nonsense: Any) -> None:
    with pytest.raises(UpstreamUnavailable, match="tmdb movie"):
        details_of(nonsense)


def test_details_come_whole_in_one_call_in_english() -> None:
    sent: list[httpx.Request] = []
    tmdb_answering(a_tmdb_film(), sent=sent).details("tt8178634", {"hi"}, NOW)
    assert [request.url.path for request in sent] == ["/3/movie/tt8178634"]
    assert sent[0].url.params["language"] == "en-US"
    assert sent[0].url.params["append_to_response"].split(",") == list(APPENDED)


def test_a_film_is_read_whole() -> None:
    details = details_of(a_tmdb_film())
    movie = details.movie
    assert (movie.tmdb_id, movie.title, movie.year, movie.runtime) == (579974, "RRR", 2022, 185)
    assert movie.release_date == date(2022, 3, 24)
    assert movie.directors == (Person(id=1296845, name="S. S. Rajamouli"),)
    assert [person.name for person in movie.cast] == ["N. T. Rama Rao Jr.", "Ram Charan"]
    assert movie.genres == (Keyword(id=28, name="Action"), Keyword(id=18, name="Drama"))
    assert movie.keywords == (Keyword(id=1701, name="friendship"),)
    assert movie.alternative_titles == ("Rise Roar Revolt",)
    assert [(film.tmdb_id, film.recommended) for film in movie.related] == [
        (256040, True),
        (690957, False),
    ]
    assert movie.fetched_at == NOW
    assert details.titles == ("RRR", "రౌద్రం రణం రుధిరం", "Rise Roar Revolt", "आरआरआर")
    assert details.reviews == ({"id": "r1", "author": "asha", "content": "Wonderful."},)


def test_lists_are_trimmed() -> None:
    def many(count: int) -> list[dict[str, Any]]:
        return [a_tmdb_hit(id=number + 1, title=f"Film {number}") for number in range(count)]

    people = [{"id": number + 1, "name": f"Actor {number}"} for number in range(99)]
    movie = details_of(
        a_tmdb_film(
            credits={"cast": people, "crew": []},
            keywords={"keywords": people},
            recommendations={"results": many(99)},
            similar={"results": many(99)[50:]},
            alternative_titles={"titles": many(99)},
        )
    ).movie
    assert len(movie.cast) == MAX_CAST
    assert len(movie.keywords) == MAX_KEYWORDS
    assert len(movie.related) == 2 * MAX_RELATED
    assert len(movie.alternative_titles) == MAX_ALTERNATIVE_TITLES


def test_a_film_is_not_related_to_itself_and_recommended_wins_over_similar() -> None:
    other = a_tmdb_hit(id=7, title="Other")
    movie = details_of(
        a_tmdb_film(
            recommendations={"results": [a_tmdb_hit(), other]}, similar={"results": [other, other]}
        )
    ).movie
    assert [(film.tmdb_id, film.recommended) for film in movie.related] == [(7, True)]


def test_one_who_has_two_jobs_is_one_person() -> None:
    crew = [
        {"id": 5, "name": "Ana", "job": "Director"},
        {"id": 5, "name": "Ana", "job": "Director"},
    ]
    assert len(details_of(a_tmdb_film(credits={"crew": crew, "cast": None})).movie.directors) == 1


def a_translation(code: str, country: str, title: str, overview: str = "") -> dict[str, Any]:
    return {
        "iso_639_1": code,
        "iso_3166_1": country,
        "data": {"title": title, "overview": overview, "tagline": ""},
    }


def test_texts_are_kept_for_the_languages_asked_for() -> None:
    texts = details_of(a_tmdb_film(), "hi", "de").movie.texts
    assert texts == {"hi": FilmText(title="आरआरआर", overview="दो दोस्त।"), "de": FilmText()}


@pytest.mark.parametrize(("language", "title"), [("pt-BR", "Dois"), ("pt-PT", "Um"), ("pt", "Um")])
def test_the_translation_of_the_country_comes_first(language: str, title: str) -> None:
    entries = [a_translation("pt", "PT", "Um"), a_translation("pt", "BR", "Dois")]
    film = a_tmdb_film(translations={"translations": entries})
    assert details_of(film, language).movie.texts["pt"].title == title


def test_an_empty_title_in_the_films_own_language_is_the_original_one() -> None:
    film = a_tmdb_film(translations={"translations": [a_translation("te", "IN", "", "కథ")]})
    text = details_of(film, "te").movie.texts["te"]
    assert text == FilmText(title="రౌద్రం రణం రుధిరం", overview="కథ")


def test_half_a_surrogate_pair_does_not_break_a_film() -> None:
    body = json.dumps(a_tmdb_film()).replace("Two men", "Two \\ud83d men")
    assert details_of(body).movie.overview.startswith("Two ? men")


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "1e300", "-3", '"7.7"', "true", "null", "[]"])
def test_an_odd_number_counts_as_none(odd: str) -> None:
    body = json.dumps(a_tmdb_film(vote_average=77777, popularity=77777)).replace("77777", odd)
    movie = details_of(body).movie
    assert (movie.vote_average, movie.popularity) == (0.0, 0.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3)
    ),
    max_leaves=8,
)
PARTS = sorted(set(a_tmdb_film()) - {"id", "title"})


@given(st.dictionaries(st.sampled_from(PARTS), JSON, max_size=6))
def test_no_odd_part_breaks_a_film(odd: dict[str, Any]) -> None:
    details = details_of(json.dumps(a_tmdb_film(**odd)), "hi")
    assert details.movie.title == "RRR"
    assert details.movie.model_dump_json()


def test_the_recorded_film_is_read() -> None:
    body = recorded("GET_3_movie_tt1345836__append_to_response-credits,images,keywords.json")
    movie = details_of(body).movie
    assert (movie.tmdb_id, movie.title, movie.year) == (49026, "The Dark Knight Rises", 2012)
    assert [person.name for person in movie.directors] == ["Christopher Nolan"]
    assert movie.cast[0].name == "Christian Bale"
    assert len(movie.keywords) == MAX_KEYWORDS
    assert movie.imdb_id == "tt1345836"


def test_the_recorded_parts_of_a_film_are_read() -> None:
    parts = {
        "alternative_titles": "alternative_titles__country-US",
        "credits": "credits",
        "keywords": "keywords",
        "recommendations": "recommendations",
        "reviews": "reviews",
        "similar": "similar",
        "translations": "translations",
    }
    film = recorded("GET_3_movie_47964.json")
    film |= {part: recorded(f"GET_3_movie_47964_{name}.json") for part, name in parts.items()}
    details = details_of(film, "de")
    movie = details.movie
    assert (movie.tmdb_id, movie.title) == (47964, "A Good Day to Die Hard")
    assert "Die Hard 5" in movie.alternative_titles
    assert movie.texts["de"].title == "Stirb langsam - Ein guter Tag zum Sterben"
    assert "Die Hard - Un buon giorno per morire" in details.titles
    assert {film.recommended for film in movie.related} == {True, False}
    assert details.reviews


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("GET_3_search_movie__include_adult-false_query-007_year-1962.json", "Dr. No", 1),
        ("GET_3_search_movie__include_adult-false_page-1_query-007.json", "Conductor 007", 20),
    ],
)
def test_the_recorded_searches_are_read(name: str, first: str, count: int) -> None:
    hits = tmdb_answering(recorded(name)).search("007", None, "en", None)
    assert (hits[0].title, len(hits)) == (first, count)


def test_the_recorded_404_says_that_there_is_no_such_film() -> None:
    body = recorded("GET_3_movie_999999999.json")
    respond: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(404, json=body)  # noqa: E731 - one answer
    client = httpx.Client(transport=httpx.MockTransport(respond))
    with pytest.raises(UpstreamNotFound):
        Tmdb("https://tmdb.test/3", lambda: V4_TOKEN, client).details(999999999, set(), NOW)
