"""FindMovie: what it answers, in how many calls, what it keeps and what stands in for TMDB."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from marquee.errors import (
    CredentialsRefused,
    CreditsDepleted,
    Misconfigured,
    RateLimited,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.movies.catalog import Catalog
from marquee.movies.find import (
    MAX_LANGUAGES,
    MAX_TITLE_KEYS,
    FindMovieInput,
    FindMovieOutput,
    find_movie,
)
from marquee.movies.models import SourceReport, SourceStatus
from marquee.movies.tmdb import Tmdb
from marquee.settings import DETAILS_FRESH_FOR, DETAILS_KEPT_FOR, NO_MATCH_FRESH_FOR
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.builders import NOW, a_movie, a_request, a_tmdb_film
from tests.support.upstreams import Upstreams, running_upstreams

SOURCES = ("tmdb", "mastodon")
SKIPPED = (SourceReport(source="x", status=SourceStatus.SKIPPED, reason="no token"),)


def a_film_called(title: str, released: str, **fields: Any) -> dict[str, Any]:
    """An English film without an IMDb id."""
    names: dict[str, Any] = {
        "title": title,
        "original_title": title,
        "imdb_id": None,
        "external_ids": {},
    }
    return a_tmdb_film(**names, release_date=released, **fields)


DUNE_1984 = a_film_called("Dune", "1984-12-14", id=841, vote_count=3000)
DUNE_2021 = a_film_called("Dune", "2021-09-15", id=438631, vote_count=13000)
DUNE_TWO = a_film_called("Dune: Part Two", "2024-02-27", id=693134, vote_count=90000)
DR_NO = a_film_called(
    "Dr. No", "1962-10-07", id=646, alternative_titles={"titles": [{"title": "Agent 007"}]}
)
RRR = a_tmdb_film()
Answer = Callable[[httpx.Request], httpx.Response]

NOT_FOUND = {"success": False, "status_code": 34, "status_message": "Could not be found."}


@dataclass
class FilmsOnTmdb:
    """A TMDB that knows a few films; its search knows their words, as TMDB's does."""

    films: list[dict[str, Any]]
    searchable: dict[str, list[int]] = field(default_factory=dict)
    """Further queries and the ids that they find."""
    fault: Answer | None = None
    fault_on: str = ""
    """The part of the path that is broken; all by default."""
    calls: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        if self.fault and self.fault_on in request.url.path:
            return self.fault(request)
        if request.url.path == "/3/search/movie":
            return httpx.Response(200, json={"results": self._found(request.url.params)})
        wanted = request.url.path.rpartition("/")[2]
        for film in self.films:
            if wanted in {str(film["id"]), film["imdb_id"]}:
                return httpx.Response(200, json=film)
        return httpx.Response(404, json=NOT_FOUND)

    def _found(self, params: httpx.QueryParams) -> list[dict[str, Any]]:
        query, year = params["query"].casefold(), params.get("year", "")
        return [
            film
            for film in self.films
            if film["release_date"].startswith(year)
            and (
                set(query.split()) <= set(film["title"].casefold().replace(":", "").split())
                or film["id"] in self.searchable.get(query, ())
            )
        ]

    @property
    def asked(self) -> list[str]:
        """The paths of the calls, without the API's root."""
        return [request.url.path.removeprefix("/3") for request in self.calls]


@dataclass
class Finder:
    """find_movie with its ports, and a clock to be set."""

    on_tmdb: FilmsOnTmdb
    catalog: Catalog
    now: datetime = NOW

    def find(self, **request: Any) -> FindMovieOutput:
        client = httpx.Client(transport=httpx.MockTransport(self.on_tmdb))
        tmdb = Tmdb("https://tmdb.test/3", lambda: "token", client)
        self.on_tmdb.calls.clear()
        asked = a_request(**request)
        return find_movie(asked, tmdb, self.catalog, (SOURCES, SKIPPED), now=self.now)

    def wait(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def finder(movies_table: Any) -> Finder:
    films = [DUNE_TWO, DUNE_2021, DUNE_1984, RRR, DR_NO]
    return Finder(FilmsOnTmdb(films), Catalog(movies_table))


def status(code: int, **headers: str) -> Answer:
    return lambda _: httpx.Response(code, json={"status_message": "no"}, headers=headers)


def raising(error: type[httpx.TransportError]) -> Answer:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("broken", request=request)

    return fail


OUTAGES = {
    "timeout": (raising(httpx.ReadTimeout), UpstreamTimeout),
    "connection refused": (raising(httpx.ConnectError), UpstreamUnavailable),
    "connection reset": (raising(httpx.ReadError), UpstreamUnavailable),
    "answer cut": (raising(httpx.RemoteProtocolError), UpstreamUnavailable),
    "401": (status(401), CredentialsRefused),
    "402": (status(402), CreditsDepleted),
    "403": (status(403), CredentialsRefused),
    "422": (status(422), UpstreamRefused),
    "429": (status(429), RateLimited),
    "500": (status(500), UpstreamUnavailable),
    "404 of a proxy": (lambda _: httpx.Response(404, text="<html>"), UpstreamUnavailable),
    "no JSON": (lambda _: httpx.Response(200, text='{"results": [{'), UpstreamUnavailable),
    "empty": (lambda _: httpx.Response(200, text=""), UpstreamUnavailable),
    "nonsense": (lambda _: httpx.Response(200, json={"results": "none"}), UpstreamUnavailable),
}
outages = pytest.mark.parametrize(
    ("fault", "error"), [pytest.param(*outage, id=name) for name, outage in OUTAGES.items()]
)


def test_a_search_takes_two_calls(finder: Finder) -> None:
    found = finder.find(movie_name="rrr")
    assert (found.tmdb_id, found.title, found.year) == (579974, "RRR", 2022)
    assert (found.source, found.age_seconds, found.stale) == ("tmdb", 0, False)
    assert found.message == "RRR (2022): exact title."
    assert finder.on_tmdb.asked == ["/search/movie", "/movie/579974"]


def test_what_was_found_is_stored_with_its_reviews(finder: Finder) -> None:
    finder.find(movie_name="rrr")
    movie = finder.catalog.movie(579974)
    assert movie is not None
    assert movie.fetched_at == NOW
    assert finder.catalog.tmdb_reviews(579974) == RRR["reviews"]["results"]
    assert [film.tmdb_id for film in finder.catalog.films_titled("riseroarrevolt")] == [579974]


def test_the_sources_to_ask_come_with_the_film(finder: Finder) -> None:
    found = finder.find(movie_name="rrr")
    assert (found.sources, found.skipped) == (SOURCES, SKIPPED)


@pytest.mark.parametrize("name", ["Dune (2021)", "dune 2021", "DUNE, 2021", "dune", "Düne"])
def test_a_name_finds_its_film_and_lists_the_others(finder: Finder, name: str) -> None:
    finder.on_tmdb.searchable["düne"] = [438631, 841]
    found = finder.find(movie_name=name)
    assert found.tmdb_id == 438631
    assert 438631 not in {film.tmdb_id for film in found.candidates}


def test_an_explicit_year_is_a_condition(finder: Finder) -> None:
    found = finder.find(movie_name="dune", year=1984)
    assert found.tmdb_id == 841
    assert finder.on_tmdb.calls[0].url.params["year"] == "1984"


def test_a_bare_year_is_not_sent_so_that_one_answer_serves_both_readings(finder: Finder) -> None:
    finder.find(movie_name="dune 1984")
    sent = finder.on_tmdb.calls[0].url.params
    assert (sent["query"], "year" in sent) == ("dune", False)


def test_candidates_say_why_they_were_not_chosen(finder: Finder) -> None:
    found = finder.find(movie_name="Dune")
    assert found.message == "Dune (2021): exact title, the most voted of 2 films with it."
    assert [(film.tmdb_id, film.poster_path, film.reason) for film in found.candidates] == [
        (841, "/rrr.jpg", "another film with this title, 1984"),
        (693134, "/rrr.jpg", "its title begins with these words"),
    ]


def test_a_film_of_another_year_is_offered_and_not_taken(finder: Finder) -> None:
    found = finder.find(movie_name="Dune (1999)")
    assert found.tmdb_id is None
    assert found.message == ('TMDB has no film called "Dune" from 1999. The candidates come near.')
    assert [(film.tmdb_id, film.reason) for film in found.candidates] == [
        (841, "exact title, though not from 1999"),
        (438631, "another film with this title, 2021"),
        (693134, "its title begins with these words"),
    ]
    assert finder.on_tmdb.asked == ["/search/movie", "/search/movie"]


def test_a_tmdb_id_takes_one_call_and_wins_over_the_name(finder: Finder) -> None:
    found = finder.find(movie_name="Dune", tmdb_id=579974)
    assert found.title == "RRR"
    assert found.message == "RRR (2022): the film with this TMDB id."
    assert finder.on_tmdb.asked == ["/movie/579974"]


def test_an_imdb_id_takes_one_call(finder: Finder) -> None:
    assert finder.find(movie_name="tt8178634").tmdb_id == 579974
    assert finder.on_tmdb.asked == ["/movie/tt8178634"]


@pytest.mark.parametrize("request_", [{"tmdb_id": 999}, {"movie_name": "tt9999999"}])
def test_an_id_that_tmdb_does_not_have_is_no_match(finder: Finder, request_: Any) -> None:
    found = finder.find(**request_)
    assert found.tmdb_id is None
    assert found.message.startswith("TMDB has no film with the id ")


def test_no_hit_is_no_match(finder: Finder) -> None:
    found = finder.find(movie_name="zzzzqqq")
    assert (found.tmdb_id, found.candidates, found.source) == (None, (), "tmdb")
    assert found.message == 'TMDB has no film called "zzzzqqq".'


def test_a_hit_by_an_alternative_title_is_verified_with_its_details(finder: Finder) -> None:
    finder.on_tmdb.searchable["007"] = [646]
    found = finder.find(movie_name="007", year=1962)
    assert found.tmdb_id == 646
    assert found.message == 'Dr. No (1962): found by another of its titles, "Agent 007".'


def test_a_hit_that_none_of_its_titles_explains_is_no_match(finder: Finder) -> None:
    finder.on_tmdb.searchable["zzzzqqq"] = [646]
    found = finder.find(movie_name="zzzzqqq")
    assert (found.tmdb_id, len(finder.on_tmdb.calls)) == (None, 2)
    assert finder.catalog.movie(646) is None


def test_a_hit_whose_details_are_gone_is_no_match(finder: Finder) -> None:
    finder.on_tmdb.fault, finder.on_tmdb.fault_on = status(404), "/movie/579974"
    assert finder.find(movie_name="rrr").tmdb_id is None


@pytest.mark.parametrize(
    "again",
    [
        {"movie_name": "RRR!"},
        {"movie_name": " rrr "},
        {"tmdb_id": 579974},
        {"movie_name": "rrr", "max_reviews": 99},
    ],
)
def test_an_equal_search_takes_no_call_for_12_hours(finder: Finder, again: Any) -> None:
    finder.find(movie_name="rrr")
    finder.wait(DETAILS_FRESH_FOR - timedelta(seconds=1))
    found = finder.find(**again)
    assert (found.tmdb_id, found.source, found.stale) == (579974, "cache", False)
    assert found.age_seconds == 12 * 3600 - 1
    assert finder.on_tmdb.asked == []


@pytest.mark.parametrize(
    "other", [{"year": 2022}, {"language": "hi"}, {"region": "IN"}, {"movie_name": "rrr 2"}]
)
def test_another_search_asks_again(finder: Finder, other: Any) -> None:
    finder.find(movie_name="rrr")
    finder.find(**{"movie_name": "rrr", **other})
    assert finder.on_tmdb.asked[:1] == ["/search/movie"]


def test_after_12_hours_tmdb_is_asked_again(finder: Finder) -> None:
    finder.find(movie_name="rrr")
    finder.wait(DETAILS_FRESH_FOR)
    found = finder.find(movie_name="rrr")
    assert (found.source, found.age_seconds) == ("tmdb", 0)
    assert len(finder.on_tmdb.calls) == 2


def test_fresh_facts_of_another_search_save_the_details_call(finder: Finder) -> None:
    finder.find(tmdb_id=579974)
    finder.wait(timedelta(hours=1))
    found = finder.find(movie_name="rrr")
    assert finder.on_tmdb.asked == ["/search/movie"]
    assert (found.source, found.age_seconds) == ("cache", 3600)
    assert found.message == "RRR (2022): exact title."


def test_candidates_are_remembered(finder: Finder) -> None:
    first = finder.find(movie_name="dune")
    assert finder.find(movie_name="dune").candidates == first.candidates


def test_no_match_is_remembered_for_an_hour(finder: Finder) -> None:
    first = finder.find(movie_name="zzzzqqq")
    finder.wait(NO_MATCH_FRESH_FOR - timedelta(seconds=1))
    again = finder.find(movie_name="zzzzqqq")
    assert (again.tmdb_id, again.message, again.source) == (None, first.message, "cache")
    assert finder.on_tmdb.asked == []
    finder.wait(timedelta(seconds=1))
    finder.find(movie_name="zzzzqqq")
    assert finder.on_tmdb.asked == ["/search/movie"]


def test_no_match_expires_from_the_table_within_the_hour(finder: Finder, movies_table: Any) -> None:
    finder.find(movie_name="zzzzqqq")
    [item] = movies_table.scan()["Items"]
    assert item["expires_at"] == (NOW + NO_MATCH_FRESH_FOR).timestamp()


@outages
def test_an_outage_with_nothing_stored_rises_and_stores_nothing(
    finder: Finder, movies_table: Any, fault: Answer, error: type[UpstreamError]
) -> None:
    finder.on_tmdb.fault = fault
    for request in ({"movie_name": "rrr"}, {"movie_name": "tt8178634"}, {"tmdb_id": 579974}):
        with pytest.raises(error):
            finder.find(**request)
    assert movies_table.scan()["Items"] == []


@outages
@pytest.mark.parametrize("request_", [{"movie_name": "rrr"}, {"tmdb_id": 579974}])
def test_in_an_outage_stored_facts_stand_in_however_old(
    finder: Finder, fault: Answer, error: type[UpstreamError], request_: Any
) -> None:
    first = finder.find(**request_)
    finder.wait(timedelta(days=100))
    finder.on_tmdb.fault = fault
    found = finder.find(**request_)
    assert (found.tmdb_id, found.message) == (579974, first.message)
    assert (found.source, found.stale, found.age_seconds) == ("cache", True, 100 * 86400)


def test_details_that_fail_after_the_search_are_an_outage_too(finder: Finder) -> None:
    finder.on_tmdb.fault, finder.on_tmdb.fault_on = status(503), "/movie/579974"
    with pytest.raises(UpstreamUnavailable):
        finder.find(movie_name="rrr")
    finder.on_tmdb.fault = None
    assert finder.find(movie_name="rrr").tmdb_id == 579974


def test_an_old_no_match_does_not_stand_in(finder: Finder) -> None:
    finder.find(movie_name="zzzzqqq")
    finder.wait(NO_MATCH_FRESH_FOR)
    finder.on_tmdb.fault = status(500)
    with pytest.raises(UpstreamUnavailable):
        finder.find(movie_name="zzzzqqq")


@pytest.mark.parametrize(
    "request_",
    [
        {"movie_name": "Rise, Roar, Revolt!"},
        {"movie_name": "rrr (2022)"},
        {"movie_name": "rrr 2022"},
        {"movie_name": "tt8178634"},
        {"movie_name": "రౌద్రం రణం రుధిరం"},
    ],
)
def test_in_an_outage_a_film_is_found_by_any_stored_title(finder: Finder, request_: Any) -> None:
    finder.find(tmdb_id=579974)
    finder.on_tmdb.fault = status(500)
    found = finder.find(**request_)
    assert (found.tmdb_id, found.source, found.stale) == (579974, "cache", True)


def test_in_an_outage_the_most_voted_stored_namesake_stands_in(finder: Finder) -> None:
    finder.find(tmdb_id=841)
    finder.find(tmdb_id=438631)
    finder.on_tmdb.fault = status(500)
    found = finder.find(movie_name="dune")
    assert found.tmdb_id == 438631
    assert found.message == "Dune (2021): the most voted stored film of this title."
    assert [film.tmdb_id for film in found.candidates] == [841]


def test_in_an_outage_a_stored_film_of_another_year_does_not_stand_in(finder: Finder) -> None:
    finder.find(tmdb_id=841)
    finder.on_tmdb.fault = status(500)
    for name in ("Dune (2021)", "dune 2021"):
        with pytest.raises(UpstreamUnavailable):
            finder.find(movie_name=name)


def test_facts_older_than_tmdbs_terms_allow_are_not_used(finder: Finder) -> None:
    finder.find(movie_name="rrr")
    finder.wait(DETAILS_KEPT_FOR)
    finder.on_tmdb.fault = status(500)
    for request in ({"movie_name": "rrr"}, {"tmdb_id": 579974}):
        with pytest.raises(UpstreamUnavailable):
            finder.find(**request)


def test_without_a_token_stored_facts_stand_in(finder: Finder) -> None:
    def no_token() -> str:
        raise Misconfigured("the SSM parameter /marquee/test/movies/tmdb/token is not set")

    tmdb = Tmdb("https://tmdb.test/3", no_token)
    request, plan = a_request(movie_name="rrr"), (SOURCES, SKIPPED)
    with pytest.raises(Misconfigured):
        find_movie(request, tmdb, finder.catalog, plan, now=NOW)
    finder.find(movie_name="rrr")
    later = NOW + timedelta(days=1)
    assert find_movie(request, tmdb, finder.catalog, plan, now=later).stale


def test_without_new_data_old_facts_do_and_are_not_called_stale(finder: Finder) -> None:
    finder.find(movie_name="rrr")
    finder.wait(timedelta(days=30))
    for request in ({"movie_name": "rrr"}, {"tmdb_id": 579974}, {"movie_name": "Rise Roar Revolt"}):
        found = finder.find(collect_new_data=False, **request)
        assert (found.tmdb_id, found.source, found.stale) == (579974, "cache", False)
        assert finder.on_tmdb.asked == []


def test_without_new_data_an_unknown_film_is_still_looked_up(finder: Finder) -> None:
    assert finder.find(movie_name="rrr", collect_new_data=False).source == "tmdb"


def test_a_title_is_shown_in_the_language_asked_for(finder: Finder) -> None:
    assert finder.find(movie_name="rrr", language="hi").title == "आरआरआर"
    assert finder.find(tmdb_id=579974, language="hi-IN").source == "cache"


def test_a_title_without_translation_falls_back_to_english(finder: Finder) -> None:
    assert finder.find(movie_name="rrr", language="de").title == "RRR"
    assert finder.find(movie_name="rrr", language="de").source == "cache"


def test_a_further_language_is_fetched_once_and_the_former_ones_stay(finder: Finder) -> None:
    for language in ("hi", "de", "en-GB", "hi"):
        finder.find(tmdb_id=579974, language=language)
    movie = finder.catalog.movie(579974)
    assert movie is not None
    assert set(movie.texts) == {"hi", "de"}
    assert finder.on_tmdb.asked == []


def test_the_languages_of_a_film_are_few(finder: Finder) -> None:
    for language in ("hi", "de", "fr", "es", "it", "pt", "te"):
        finder.find(tmdb_id=579974, language=language)
    movie = finder.catalog.movie(579974)
    assert movie is not None
    assert len(movie.texts) == MAX_LANGUAGES
    assert "te" in movie.texts


def test_a_film_of_many_titles_costs_few_writes(finder: Finder, movies_table: Any) -> None:
    titles = {"titles": [{"title": f"Title {number}"} for number in range(60)]}
    finder.on_tmdb.films = [a_tmdb_film(alternative_titles=titles)]
    finder.find(tmdb_id=579974)
    keys = [item["pk"] for item in movies_table.scan()["Items"]]
    assert sum(key.startswith("TITLE#") for key in keys) == MAX_TITLE_KEYS


def test_a_title_of_unfolding_characters_fits_into_a_key(finder: Finder) -> None:
    assert finder.find(movie_name="\ufdfa" * 200).tmdb_id is None


def test_finding_twice_at_once_leaves_what_finding_once_leaves(
    finder: Finder, movies_table: Any
) -> None:
    def items() -> list[Any]:
        return sorted(movies_table.scan()["Items"], key=lambda item: (item["pk"], item["sk"]))

    finder.find(movie_name="rrr")
    once = items()
    Finder(finder.on_tmdb, finder.catalog).find(movie_name="rrr")
    assert items() == once


def test_the_input_of_an_execution_may_carry_its_id() -> None:
    event = {"workflow_id": "w", "request": {"workflow_id": "w", "movie_name": "RRR"}}
    assert FindMovieInput.model_validate(event).request == a_request()


def test_a_stored_film_may_lack_everything_optional(finder: Finder) -> None:
    bare = a_movie(imdb_id=None, original_title="", year=None, release_date=None)
    finder.catalog.put_movie(bare, ["rrr"], [])
    found = finder.find(tmdb_id=579974)
    assert (found.year, found.message) == (None, "RRR (year unknown): the film with this TMDB id.")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    with running_upstreams(tmp_path_factory.mktemp("upstreams")) as running:
        yield running


@pytest.mark.parametrize(
    ("request_", "tmdb_id"),
    [
        ({"movie_name": "RRR"}, 579974),
        ({"movie_name": "Dune (2021)"}, 438631),
        ({"movie_name": "dune 2021"}, 438631),
        ({"movie_name": "dune", "year": 1984}, 841),
        ({"movie_name": "dune part two"}, 693134),
        ({"movie_name": "tt8178634"}, 579974),
        ({"tmdb_id": 690957}, 690957),
        ({"movie_name": "pushpa the rise"}, 690957),
        ({"movie_name": "となりのトトロ"}, 8392),
        ({"movie_name": "nosferatu eine symphonie des grauens"}, 653),
        ({"movie_name": "आरआरआर", "language": "hi", "tmdb_id": 579974}, 579974),
        ({"movie_name": "zzzzqqq"}, None),
        ({"tmdb_id": 999999999}, None),
    ],
)
def test_films_are_found_on_the_stand_in_in_two_calls(
    stand_ins: Upstreams, finder: Finder, request_: Any, tmdb_id: int | None
) -> None:
    stand_ins.reset()
    with httpx.Client() as client:
        tmdb = Tmdb(stand_ins.tmdb_url, lambda: DEMONSTRATION.tmdb_token, client)
        request = a_request(**{"movie_name": "", **request_})
        found = find_movie(request, tmdb, finder.catalog, (SOURCES, SKIPPED), now=NOW)
    assert found.tmdb_id == tmdb_id
    assert 1 <= len(stand_ins.calls("tmdb")) <= 2


def test_the_stand_in_has_the_translations_that_a_film_is_shown_with(
    stand_ins: Upstreams, finder: Finder
) -> None:
    stand_ins.reset()
    with httpx.Client() as client:
        tmdb = Tmdb(stand_ins.tmdb_url, lambda: DEMONSTRATION.tmdb_token, client)
        request = a_request(tmdb_id=579974, language="te")
        found = find_movie(request, tmdb, finder.catalog, (SOURCES, SKIPPED), now=NOW)
    assert found.title == "ఆర్ఆర్ఆర్"
