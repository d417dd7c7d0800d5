"""The payload files for `sam local invoke`: each does its function's job, one after the other."""

import json
from typing import Any

from marquee.movies.backfill_queue import BackfillQueue, Reason, Wish
from tests.support.api import Clock, Context
from tests.support.movie_search import MovieSearches, review_backfills
from tests.support.templates import ROOT
from tests.support.upstreams import Upstreams

CONTEXT: Any = Context(Clock())


def payload(name: str) -> Any:
    return json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text())


def test_the_payloads_of_a_backfill_take_a_film_out_of_the_queue(upstreams: Upstreams) -> None:
    with review_backfills(upstreams, "x") as backfills:
        started = backfills.handler("StartBackfill")(payload("start_backfill"), CONTEXT)
        assert started == {"started": None}  # nothing is queued
        wish = Wish(tmdb_id=579974, title="RRR", reason=Reason.STALE, sources=("x", "bluesky"))
        BackfillQueue.connect(backfills.settings).add(wish, backfills.clock.now())
        plan = backfills.handler("PlanBackfill")(payload("plan_backfill"), CONTEXT)
        assert plan["films"] == [579974]
        finished = backfills.handler("FinishBackfill")(payload("finish_backfill"), CONTEXT)
        # The example tells of a source that failed.
        assert (finished["status"], finished["counts"]["new_reviews"]) == ("PARTIAL", 7)
        assert backfills.entry(579974).sources == ("bluesky",)


def test_the_payloads_of_the_steps_make_one_search(tmdb_only: MovieSearches) -> None:
    def invoke(stem: str, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = tmdb_only.handler(stem)(payload(name), CONTEXT)
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
