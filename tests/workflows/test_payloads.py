"""The payload files for `sam local invoke`: each does its function's job, one after the other."""

import json
from typing import Any

from tests.support.api import Clock, Context
from tests.support.movie_search import MovieSearches
from tests.support.templates import ROOT

CONTEXT: Any = Context(Clock())


def test_the_payloads_of_the_steps_make_one_search(tmdb_only: MovieSearches) -> None:
    def invoke(stem: str, payload: str) -> dict[str, Any]:
        event = json.loads((ROOT / "tests" / "events" / f"{payload}.json").read_text())
        answer: dict[str, Any] = tmdb_only.handler(stem)(event, CONTEXT)
        return answer

    found = invoke("FindMovie", "find_movie")
    assert found["tmdb_id"] == 579974
    report = invoke("CollectReviews", "collect_reviews")
    assert (report["status"], report["new"]) == ("ok", 10)
    assert invoke("ApplyParkedReviews", "apply_parked_reviews") == {"batchItemFailures": []}
    again = invoke("CollectData", "collect_data")
    assert [(source["source"], source["new"]) for source in again["sources"]][:1] == [("tmdb", 0)]
    assert invoke("AnalyzeReviews", "analyze_reviews")["sample_size"] >= 10
    assert invoke("RecommendMovies", "recommend_movies")["recommended"] == 10
    finished = invoke("FinishSearch", "finish_search")
    # The example tells of a source that failed.
    assert (finished["status"], finished["tmdb_id"]) == ("PARTIAL", 579974)
