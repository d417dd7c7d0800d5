"""CollectData with the stand-ins of the upstreams: what a search collects, within one request."""

from typing import Any

from tests.support.api import Clock, Context
from tests.support.movie_search import MovieSearches
from tests.support.upstreams import Upstreams

RRR = 579974
CONTEXT: Any = Context(Clock())


def collect(searches: MovieSearches) -> dict[str, Any]:
    event = {"request": {"movie_name": "RRR (2022)", "max_reviews": 10}}
    answer: dict[str, Any] = searches.handler("CollectData")(event, CONTEXT)
    return answer


def gave(report: dict[str, Any]) -> bool:
    """Whether the source did as it was asked; how much of that is new and fits, differs by day."""
    return bool(report["status"] == "ok" and report["fetched"] >= 10 and report["new"] > 0)


def test_all_sources_give_what_they_give_a_search_and_a_search_then_finds_it_stored(
    searches: MovieSearches,
) -> None:
    found = collect(searches)
    assert (found["tmdb_id"], found["source"]) == (RRR, "tmdb")
    reports = {report["source"]: gave(report) for report in found["sources"]}
    assert reports == dict.fromkeys(("tmdb", "x", "bluesky", "mastodon"), True)
    assert len(searches.reviews(RRR)) == sum(report["new"] for report in found["sources"]) >= 30
    searches.run({"movie_name": "RRR", "max_reviews": 10})
    result = searches.result()
    assert [report.new for report in result.sources] == [0, 0, 0, 0]
    assert result.analysis is not None
    assert result.analysis.sample_size >= 25


def test_a_source_that_fails_is_reported_beside_the_others(
    searches: MovieSearches, upstreams: Upstreams
) -> None:
    upstreams.fault("mastodon", "reset")
    reports = {report["source"]: report for report in collect(searches)["sources"]}
    failed = reports.pop("mastodon")
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("UpstreamUnavailable: mastodon ")
    assert {report["status"] for report in reports.values()} == {"ok"}
    again = {report["source"]: report for report in collect(searches)["sources"]}
    assert gave(again["mastodon"])
