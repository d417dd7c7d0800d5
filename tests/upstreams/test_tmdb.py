"""The stand-in of TMDB finds, pages and refuses as TMDB does."""

import httpx
import pytest

from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.upstreams import Upstreams

RRR = 579974
DUNE_1984, DUNE_2021, DUNE_PART_TWO = 841, 438631, 693134


def found(tmdb: httpx.Client, query: str, **parameters: int) -> list[int]:
    answer = tmdb.get("/search/movie", params={"query": query, **parameters})
    assert answer.status_code == 200
    return [film["id"] for film in answer.json()["results"]]


@pytest.mark.parametrize(
    "query",
    ["RRR", "rrr", "రౌద్రం రణం రుధిరం", "Rise Roar Revolt", "roudram", " rrr! "],
)
def test_a_film_is_found_by_any_of_its_titles(tmdb: httpx.Client, query: str) -> None:
    assert found(tmdb, query) == [RRR]


@pytest.mark.parametrize("query", ["amelie", "AMÉLIE", "Amélie!"])
def test_case_accents_and_punctuation_do_not_matter(tmdb: httpx.Client, query: str) -> None:
    films = tmdb.get("/search/movie", params={"query": query}).json()["results"]
    assert [film["title"] for film in films] == ["Amélie"]


def test_a_popular_sequel_comes_before_the_exact_title(tmdb: httpx.Client) -> None:
    assert found(tmdb, "dune") == [DUNE_PART_TWO, DUNE_2021, DUNE_1984]


@pytest.mark.parametrize("name", ["year", "primary_release_year"])
def test_a_year_keeps_the_films_of_that_year(tmdb: httpx.Client, name: str) -> None:
    assert found(tmdb, "dune", **{name: 1984}) == [DUNE_1984]


@pytest.mark.parametrize("query", ["no film is called this", "", "!!!"])
def test_nothing_found_is_an_empty_success(tmdb: httpx.Client, query: str) -> None:
    answer = tmdb.get("/search/movie", params={"query": query})
    assert answer.status_code == 200
    assert answer.json() == {"page": 1, "results": [], "total_pages": 1, "total_results": 0}


def test_every_result_of_a_search_is_on_exactly_one_page(tmdb: httpx.Client) -> None:
    first = tmdb.get("/search/movie", params={"query": "the"}).json()
    assert first["total_pages"] > 2
    pages = [found(tmdb, "the", page=page + 1) for page in range(first["total_pages"])]
    assert {len(page) for page in pages[:-1]} == {20}
    every = [film for page in pages for film in page]
    assert len(every) == len(set(every)) == first["total_results"]
    assert found(tmdb, "the", page=first["total_pages"] + 1) == []


@pytest.mark.parametrize("page", ["0", "501", "two", "-1"])
def test_a_page_out_of_range_is_refused(tmdb: httpx.Client, page: str) -> None:
    answer = tmdb.get("/search/movie", params={"query": "dune", "page": page})
    assert (answer.status_code, answer.json()["status_code"]) == (400, 22)


@pytest.mark.parametrize(
    "path", ["/movie/999999999", "/movie/tt0000000", "/movie/x", "/movie/1/no"]
)
def test_what_is_not_there_is_a_404_in_tmdbs_words(tmdb: httpx.Client, path: str) -> None:
    answer = tmdb.get(path)
    assert (answer.status_code, answer.json()["status_code"]) == (404, 34)


def test_only_the_demonstration_token_is_accepted(nobody: httpx.Client) -> None:
    url = f"/tmdb/3/movie/{RRR}"
    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic x"}):
        answer = nobody.get(url, headers=headers)
        assert (answer.status_code, answer.json()["status_code"]) == (401, 7)
    with_key = nobody.get(url, params={"api_key": DEMONSTRATION.tmdb_token})
    assert with_key.json()["title"] == "RRR"


def test_one_call_brings_a_film_with_all_its_parts(tmdb: httpx.Client) -> None:
    parts = ["credits", "keywords", "recommendations", "similar", "reviews", "external_ids"]
    film = tmdb.get("/movie/tt8178634", params={"append_to_response": ",".join(parts)}).json()
    assert film["id"] == RRR
    for part in parts:
        alone = tmdb.get(f"/movie/{RRR}/{part}").json()
        alone.pop("id", None)
        assert film[part] == alone


def test_more_than_twenty_parts_are_refused(tmdb: httpx.Client) -> None:
    many = ",".join(["credits"] * 21)
    answer = tmdb.get(f"/movie/{RRR}", params={"append_to_response": many})
    assert (answer.status_code, answer.json()["status_code"]) == (400, 27)


@pytest.mark.parametrize(
    ("imdb_id", "films"), [("tt8178634", [RRR]), ("tt1160419", [DUNE_2021]), ("tt0000000", [])]
)
def test_find_knows_films_by_their_imdb_id(
    tmdb: httpx.Client, imdb_id: str, films: list[int]
) -> None:
    answer = tmdb.get(f"/find/{imdb_id}", params={"external_source": "imdb_id"}).json()
    assert [film["id"] for film in answer["movie_results"]] == films


def test_a_film_without_translation_has_no_overview_in_that_language(tmdb: httpx.Client) -> None:
    def overview(film: int, language: str) -> str:
        text: str = tmdb.get(f"/movie/{film}", params={"language": language}).json()["overview"]
        return text

    assert "दिल्ली" in overview(RRR, "hi-IN")
    assert overview(DUNE_1984, "hi-IN") == ""
    assert overview(DUNE_1984, "en-US") != ""


def test_reviews_come_in_pages_and_in_one_language_when_asked(tmdb: httpx.Client) -> None:
    pages = [tmdb.get(f"/movie/{RRR}/reviews", params={"page": n}).json() for n in (1, 2)]
    reviews = [review for page in pages for review in page["results"]]
    assert pages[0]["total_results"] == len({review["id"] for review in reviews}) >= 25
    hindi = tmdb.get(f"/movie/{RRR}/reviews", params={"language": "hi-IN"}).json()
    assert 0 < hindi["total_results"] < pages[0]["total_results"]


def test_a_films_own_series_is_recommended_first(tmdb: httpx.Client) -> None:
    films = tmdb.get(f"/movie/{DUNE_PART_TWO}/recommendations").json()["results"]
    assert films[0]["id"] == DUNE_2021
    assert DUNE_PART_TWO not in [film["id"] for film in films]
    assert len({film["id"] for film in films}) == len(films) == 20


def test_calls_past_the_limit_are_refused(upstreams: Upstreams, tmdb: httpx.Client) -> None:
    upstreams.limit("tmdb", 2, 60)
    statuses = [tmdb.get("/configuration").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert tmdb.get("/configuration").json()["status_code"] == 25
