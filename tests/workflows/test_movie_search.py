"""The movie search as deployed: its definition, its handlers, its tables, and upstreams that fail.

Every Retry and Catch of the definition is taken here.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from operator import itemgetter
from typing import Any

import boto3
import pytest

from marquee import aws
from marquee.clock import written
from marquee.errors import BadInput, StoreUnavailable
from marquee.movies.models import ScoredReview, SourceStatus
from marquee.movies.search import SearchResult
from marquee.workflows.record import Status, WorkflowRecord
from tests.support.definitions import catchers, retriers
from tests.support.movie_search import MACHINE, SECRETS, Items, MovieSearches, movie_searches
from tests.support.review_tables import refusing
from tests.support.state_machines import (
    Catch,
    Execution,
    Json,
    LambdaContext,
    Retry,
    dying_after_its_first_effect,
    failing,
    state_machines,
)
from tests.support.templates import ROOT
from tests.support.upstreams import Upstreams

RRR = 579974
DUNE = 438631
SOURCES = ("tmdb", "x", "bluesky", "mastodon")
TAIL = "FinishSearchAfterFailure"

# The function behind each Task of the way that goes well, in its order.
FUNCTIONS = {
    "FindMovie": "FindMovie",
    "CollectReviewsFromSource": "CollectReviews",
    "AnalyzeReviews": "AnalyzeReviews",
    "RecommendMovies": "RecommendMovies",
    "FinishSearch": "FinishSearch",
}
# What the one source of most tests makes of the states' names in the record.
STEPS = {state: state for state in FUNCTIONS} | {"CollectReviewsFromSource": "CollectReviews/tmdb"}

DEFINITION = json.loads((ROOT / "statemachine" / f"{MACHINE}.asl.json").read_text())
RETRIED = retriers(DEFINITION)
SMALL_BYTES = 8 * 1024
TRACE = re.compile(r"Traceback|stackTrace|\.py\b")

# How an upstream breaks, and under which name. A delay is longer than an impatient call waits.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "500": ({"kind": "status", "status": 500}, "UpstreamUnavailable"),
    "reset": ({"kind": "reset"}, "UpstreamUnavailable"),
    "cut": ({"kind": "cut"}, "UpstreamUnavailable"),
    "malformed": ({"kind": "malformed"}, "UpstreamUnavailable"),
    "delay": ({"kind": "delay", "seconds": 3}, "UpstreamTimeout"),
    "429": ({"kind": "status", "status": 429}, "RateLimited"),
    "401": ({"kind": "status", "status": 401}, "CredentialsRefused"),
    "402": ({"kind": "status", "status": 402}, "CreditsDepleted"),
}
TRANSIENT = {"UpstreamUnavailable", "UpstreamTimeout", "RateLimited"}
every_fault = pytest.mark.parametrize(("fault", "error"), FAULTS.values(), ids=FAULTS)


def break_down(upstreams: Upstreams, upstream: str, fault: dict[str, Any]) -> None:
    """Let every call of an upstream fail until the next reset."""
    upstreams.fault(upstream, every=1, **fault)


def statuses(result: SearchResult) -> dict[str, SourceStatus]:
    return {report.source: report.status for report in result.sources}


# A search that goes well


@dataclass(frozen=True)
class Finished:
    """All that a search with every source left behind."""

    done: Execution
    record: WorkflowRecord
    result: SearchResult
    reviews: list[ScoredReview]
    events: list[tuple[str, dict[str, Any]]]
    publishing: int
    """Invocations that it took to announce them."""
    calls: list[dict[str, Any]]


@pytest.fixture(scope="module")
def finished(server: Upstreams) -> Finished:
    server.reset()
    server.texts(RRR, "x", 100)
    with movie_searches(server, *SOURCES) as searches:
        listener = searches.listen()
        done = searches.run({"movie_name": "RRR", "max_reviews": 100})
        return Finished(
            done=done,
            record=searches.record(),
            result=searches.result(),
            reviews=searches.reviews(RRR),
            events=listener.heard(),
            publishing=listener.outbox.invocations,
            calls=server.calls(),
        )


def test_the_states_follow_each_other_within_their_transitions(finished: Finished) -> None:
    assert finished.done.history == (
        "FindMovie",
        "Movie found?",
        "CollectReviews",
        *["CollectReviewsFromSource"] * len(SOURCES),
        "AnalyzeReviews",
        "RecommendMovies",
        "FinishSearch",
    )
    assert finished.done.transitions <= 7 + len(SOURCES)
    assert finished.done.status == "SUCCEEDED"
    assert finished.done.output["status"] == "SUCCEEDED"


def test_tmdb_is_called_twice_and_x_once(finished: Finished) -> None:
    upstreams = [call["upstream"] for call in finished.calls]
    assert upstreams.count("tmdb") == 2
    assert upstreams.count("x") == 1


def test_the_record_tells_of_every_step(finished: Finished) -> None:
    record = finished.record
    assert record.status is Status.SUCCEEDED
    assert set(record.steps) == {
        "FindMovie",
        *(f"CollectReviews/{source}" for source in SOURCES),
        "AnalyzeReviews",
        "RecommendMovies",
        "FinishSearch",
    }
    for step in record.steps.values():
        assert (step.status, step.attempts, step.error) == (Status.SUCCEEDED, 1, None)
        assert step.ended_at is not None
        assert step.counts["operations"]
    assert record.steps["FindMovie"].counts["calls"] == {"tmdb.successful": 2}
    assert record.steps["CollectReviews/x"].counts["calls"] == {"x.successful": 1}
    assert record.steps["CollectReviews/x"].counts["cost_usd"] > 0
    for report in finished.result.sources:
        counts = record.steps[f"CollectReviews/{report.source}"].counts
        told = report.model_dump(include={"fetched", "new", "duplicates", "irrelevant"})
        assert told.items() <= counts.items()
        assert counts["new"] > 0


def test_the_tables_hold_what_the_result_says(finished: Finished) -> None:
    result = finished.result
    assert result.status is Status.SUCCEEDED
    assert result.missing == ()
    assert result.movie is not None
    assert (result.movie["tmdb_id"], result.movie["title"]) == (RRR, "RRR")
    assert statuses(result) == dict.fromkeys(SOURCES, SourceStatus.OK)
    for report in result.sources:
        stored = sum(review.source == report.source for review in finished.reviews)
        assert stored == report.new > 0
    analysis = result.analysis
    assert analysis is not None
    assert analysis.average_sentiment is not None
    assert 0 < analysis.sample_size <= len(finished.reviews)
    assert set(analysis.counts_by_source) == set(SOURCES)
    assert len(result.recommendations) == 10
    assert all(film.reasons and film.tmdb_id != RRR for film in result.recommendations)


def test_the_result_is_announced_on_the_bus(finished: Finished) -> None:
    about = {"workflow_id": "run", "tmdb_id": RRR, "title": "RRR"}
    names = [name for name, _ in finished.events]
    assert names == ["ReviewsCollected", "RecommendationGenerated", "MovieSearchCompleted"]
    collected, recommended, completed = (detail for _, detail in finished.events)
    for name, detail in finished.events:
        assert detail.items() >= {**about, "event_id": f"{name}/run"}.items()
        assert datetime.fromisoformat(detail["occurred_at"]) == finished.record.ended_at
    assert (completed["status"], completed["backfilled"]) == ("SUCCEEDED", False)
    assert completed["sources"] == dict.fromkeys(SOURCES, "ok")
    analysis = finished.result.analysis
    assert analysis
    assert completed["sample_size"] == analysis.sample_size
    assert recommended["recommended"] == [f.tmdb_id for f in finished.result.recommendations]
    assert collected["sources"] == {r.source: r.new for r in finished.result.sources}
    assert collected["new"] == len(finished.reviews)


def test_of_all_that_a_search_writes_one_change_invokes_the_outbox(finished: Finished) -> None:
    assert finished.publishing == 1


def test_payloads_stay_small_whatever_is_collected(finished: Finished) -> None:
    assert len(finished.reviews) > 100
    for call in finished.done.calls:
        assert len(json.dumps(call.payload)) < SMALL_BYTES


def test_the_history_holds_neither_a_secret_nor_a_review(finished: Finished) -> None:
    history = json.dumps(finished.done.events, default=str, ensure_ascii=False)
    assert [name for name, secret in SECRETS.items() if secret in history] == []
    assert [review.text for review in finished.reviews if review.text[:40] in history] == []


@pytest.mark.parametrize(
    ("request_", "tmdb_id", "calls"),
    [
        ({"movie_name": "rrr!"}, RRR, 2),
        ({"movie_name": "Dune (2021)"}, DUNE, 2),
        ({"movie_name": "tt8178634"}, RRR, 1),
        ({"tmdb_id": RRR}, RRR, 1),
    ],
    ids=["title", "title and year", "IMDb id", "TMDB id"],
)
def test_a_film_is_found_however_it_is_named(
    tmdb_only: MovieSearches, upstreams: Upstreams, request_: Json, tmdb_id: int, calls: int
) -> None:
    done = tmdb_only.run(request_)
    assert (done.output["status"], done.output["tmdb_id"]) == ("SUCCEEDED", tmdb_id)
    assert len(upstreams.calls("tmdb")) == calls


def test_a_source_without_its_secret_is_skipped_with_the_reason(tmdb_only: MovieSearches) -> None:
    tmdb_only.run({"movie_name": "RRR"})
    result = tmdb_only.result()
    assert result.status is Status.SUCCEEDED
    skipped = dict.fromkeys(SOURCES[1:], SourceStatus.SKIPPED)
    assert statuses(result) == {"tmdb": SourceStatus.OK, **skipped}
    reasons = {report.source: report.reason for report in result.sources}
    assert "/movies/x/bearer_token" in reasons["x"]
    assert "MASTODON_BASE_URL" in reasons["mastodon"]


def test_no_match_is_a_success_that_says_so(tmdb_only: MovieSearches) -> None:
    listener = tmdb_only.listen()
    done = tmdb_only.run({"movie_name": "No such film was ever shot"})
    assert done.status == "SUCCEEDED"
    assert done.history == ("FindMovie", "Movie found?", "FinishSearch")
    result = tmdb_only.result()
    assert (result.status, result.movie) == (Status.SUCCEEDED, None)
    assert "No such film was ever shot" in result.message
    assert [name for name, _ in listener.heard()] == ["MovieSearchCompleted"]


def test_without_new_data_nobody_is_asked(tmdb_only: MovieSearches, upstreams: Upstreams) -> None:
    tmdb_only.run({"movie_name": "RRR"}, name="before")
    upstreams.reset()
    tmdb_only.age(RRR, timedelta(days=2))
    done = tmdb_only.run({"movie_name": "RRR", "collect_new_data": False})
    assert done.output["status"] == "SUCCEEDED"
    assert done.history == (
        "FindMovie",
        "Movie found?",
        "AnalyzeReviews",
        "RecommendMovies",
        "FinishSearch",
    )
    assert upstreams.calls() == []
    assert tmdb_only.result().analysis is not None


# Every Retry


@pytest.mark.parametrize("error", sorted({error for state, error in RETRIED if state != TAIL}))
def test_every_state_that_retries_an_error_gets_over_it(
    tmdb_only: MovieSearches, error: str
) -> None:
    states = [state for state in FUNCTIONS if (state, error) in RETRIED]
    broken = {
        FUNCTIONS[state]: failing(tmdb_only.handler(FUNCTIONS[state]), [error] * 2)
        for state in states
    }
    done = tmdb_only.run({"movie_name": "RRR"}, broken=broken)
    assert done.output["status"] == "SUCCEEDED"
    assert done.retries == tuple(Retry(state, error, s) for state in states for s in (2, 4))
    assert done.catches == ()
    steps = tmdb_only.record().steps
    retried = {STEPS[state] for state in states}
    assert {name: step.attempts for name, step in steps.items()} == {
        name: 3 if name in retried else 1 for name in STEPS.values()
    }
    assert all(step.status is Status.SUCCEEDED for step in steps.values())


@pytest.mark.parametrize("error", [error for state, error in RETRIED if state == TAIL])
def test_the_failure_tail_gets_over_every_error_it_retries(
    tmdb_only: MovieSearches, error: str
) -> None:
    done = tmdb_only.run(
        {"movie_name": "RRR"},
        broken={
            "FindMovie": failing(tmdb_only.handler("FindMovie"), [BadInput("wrong")]),
            "FinishSearch": failing(tmdb_only.handler("FinishSearch"), [error] * 2),
        },
    )
    assert done.status == "FAILED"
    assert done.retries == (Retry(TAIL, error, 2), Retry(TAIL, error, 4))
    assert_failed_with(tmdb_only.record(), "BadInput", "wrong")


def test_every_retry_is_taken_by_one_of_the_tests_above() -> None:
    assert {state for state, _ in RETRIED} == {*FUNCTIONS, TAIL}


# Every Catch

# Where each state goes when it fails for good, and how the search ends then.
CAUGHT = {
    "FindMovie": (TAIL, Status.FAILED),
    "CollectReviewsFromSource": ("ReportFailedSource", Status.PARTIAL),
    "AnalyzeReviews": ("RecommendMovies", Status.PARTIAL),
    "RecommendMovies": ("FinishSearch", Status.PARTIAL),
    "FinishSearch": (TAIL, Status.FAILED),
}
LACKS = {
    "CollectReviewsFromSource": "reviews from tmdb: StoreUnavailable: too busy",
    "AnalyzeReviews": "AnalyzeReviews: StoreUnavailable: too busy",
    "RecommendMovies": "RecommendMovies: StoreUnavailable: too busy",
}
TOO_BUSY = StoreUnavailable("too busy")


def assert_failed_with(record: WorkflowRecord, name: str, message: str) -> None:
    assert record.status is Status.FAILED
    assert record.ended_at is not None
    assert record.error is not None
    assert (record.error.name, record.error.message) == (name, message)
    assert not TRACE.search(record.model_dump_json())


@pytest.mark.parametrize("state", CAUGHT)
def test_a_state_that_fails_for_good_goes_where_its_catch_says(
    tmdb_only: MovieSearches, state: str
) -> None:
    next_state, status = CAUGHT[state]
    function = FUNCTIONS[state]
    broken = failing(tmdb_only.handler(function), [TOO_BUSY] * 4)
    done = tmdb_only.run({"movie_name": "RRR"}, broken={function: broken})
    assert done.catches == (Catch(state, "StoreUnavailable", next_state),)
    assert [retry.delay_seconds for retry in done.retries] == [2, 4, 8]
    record = tmdb_only.record()
    if status is Status.FAILED:
        assert (done.status, done.error) == ("FAILED", "SearchFailed")
        assert_failed_with(record, "StoreUnavailable", "too busy")
    else:
        assert done.output["status"] == "PARTIAL"
        assert record.status is Status.PARTIAL
        result = tmdb_only.result()
        assert result.missing == (LACKS[state],)
        assert result.movie is not None
        assert not TRACE.search(record.model_dump_json() + result.model_dump_json())


def test_a_failed_source_is_reported_with_its_reason(tmdb_only: MovieSearches) -> None:
    broken = failing(tmdb_only.handler("CollectReviews"), [KeyError("surprise")])
    tmdb_only.run({"movie_name": "RRR"}, broken={"CollectReviews": broken})
    report = tmdb_only.result().sources[0]
    assert (report.source, report.status) == ("tmdb", SourceStatus.FAILED)
    assert report.reason == "KeyError: 'surprise'"


def test_a_map_that_breaks_leaves_the_search_with_what_is_stored(tmdb_only: MovieSearches) -> None:
    tmdb_only.run({"movie_name": "RRR"}, name="before")
    definition = tmdb_only.definition()
    iteration = definition["States"]["CollectReviews"]["ItemProcessor"]["States"]
    # With it no source breaks the Map: what does is a fault of Step Functions itself.
    del iteration["CollectReviewsFromSource"]["Catch"]
    broken = failing(tmdb_only.handler("CollectReviews"), [BadInput("wrong")])
    done = tmdb_only.run(
        {"movie_name": "RRR"}, definition=definition, broken={"CollectReviews": broken}
    )
    assert done.catches == (Catch("CollectReviews", "BadInput", "AnalyzeReviews"),)
    result = tmdb_only.result()
    assert result.status is Status.PARTIAL
    (missing,) = result.missing
    assert missing.startswith("CollectReviews: BadInput: ")
    assert result.analysis is not None
    assert result.analysis.sample_size > 0


def test_where_the_tail_fails_too_the_end_of_the_execution_closes_the_record(
    tmdb_only: MovieSearches,
) -> None:
    done = tmdb_only.run(
        {"movie_name": "RRR"},
        broken={
            "FindMovie": failing(tmdb_only.handler("FindMovie"), [BadInput("wrong")]),
            "FinishSearch": failing(tmdb_only.handler("FinishSearch"), [TOO_BUSY] * 4),
        },
    )
    assert done.catches == (
        Catch("FindMovie", "BadInput", TAIL),
        Catch(TAIL, "StoreUnavailable", "SearchFailed"),
    )
    assert (done.status, done.error) == ("FAILED", "SearchFailed")
    # The stack trace is for the console of Step Functions only.
    tmdb_only.invoke("CloseExecution", tmdb_only.end_of(done))
    assert_failed_with(tmdb_only.record(), "SearchFailed", "BadInput: wrong")


def test_an_execution_that_is_aborted_before_its_first_step_ends_is_closed_as_canceled(
    tmdb_only: MovieSearches,
) -> None:
    lost = failing(tmdb_only.handler("FindMovie"), ["States.Runtime"])
    done = tmdb_only.run({"movie_name": "RRR"}, broken={"FindMovie": lost})
    aborted = tmdb_only.end_of(done, status="ABORTED", error=None, cause=None)
    tmdb_only.invoke("CloseExecution", aborted)
    assert tmdb_only.record().status is Status.CANCELED


# Where a state goes that has no quota left for a few seconds, and whose quota that is.
WAITED_FOR = {
    "FindMovie": ("WaitToFind", "tmdb=2/6", ("tmdb", "search/movie")),
    "CollectReviewsFromSource": ("WaitForSlot", "x=1/6", ("x", "tweets/search/recent")),
}


@pytest.mark.parametrize("state", WAITED_FOR)
def test_a_slot_in_reach_is_waited_for_by_the_definition(upstreams: Upstreams, state: str) -> None:
    wait_state, quotas, endpoint = WAITED_FOR[state]
    with movie_searches(upstreams, "x", quotas=quotas) as searches:
        searches.use_up(*endpoint)
        done = searches.run({"movie_name": "RRR"})
        assert done.catches == (Catch(state, "SlotAhead", wait_state),)
        [wait] = done.waits
        assert (wait.state, 2 < wait.seconds <= 9) == (wait_state, True)
        assert done.retries == ()
        assert done.output["status"] == "SUCCEEDED"
        assert searches.result().missing == ()


# Where the same states go whose upstream failed, and what fails there.
FAILS = {
    "FindMovie": ("WaitToFind", "tmdb"),
    "CollectReviewsFromSource": ("WaitForSlot", "mastodon"),
}


@pytest.mark.parametrize("state", FAILS)
def test_what_is_known_to_pass_is_retried_when_it_has_passed(
    upstreams: Upstreams, state: str
) -> None:
    wait_state, provider = FAILS[state]
    with movie_searches(upstreams, "mastodon") as searches:
        searches.teach(provider, "UpstreamUnavailable/500", outlasted=2.1, over_by=4)
        upstreams.fault(provider, "status", status=500)
        done = searches.run({"movie_name": "RRR"})
        assert done.catches == (Catch(state, "RetryAhead", wait_state),)
        [wait] = done.waits
        assert (wait.state, 2 <= wait.seconds <= 8) == (wait_state, True)
        assert done.retries == ()
        assert searches.result().status is Status.SUCCEEDED
        step = searches.record().steps[
            "FindMovie" if provider == "tmdb" else "CollectReviews/mastodon"
        ]
        assert (step.status, step.attempts) == (Status.SUCCEEDED, 2)
        [failed] = step.failed_attempts
        assert failed.error is not None
        assert (failed.error.name, failed.counts["calls"]) == (
            "UpstreamUnavailable",
            {f"{provider}.failed": 1},
        )


def test_what_hardly_ever_passes_is_not_retried_and_named_as_it_is(
    tmdb_only: MovieSearches, upstreams: Upstreams
) -> None:
    tmdb_only.teach("tmdb", "UpstreamUnavailable/500", outlasted=14, over_by=inf)
    break_down(upstreams, "tmdb", FAULTS["500"][0])
    done = tmdb_only.run({"movie_name": "RRR"})
    assert done.retries == ()
    # One in ten looks whether that is still so.
    assert len(upstreams.calls("tmdb")) == 1 + len(done.waits) <= 2
    record = tmdb_only.record()
    assert record.error is not None
    assert_failed_with(record, "UpstreamUnavailable", record.error.message)
    assert record.error.message.startswith("tmdb search/movie: answered 500")


def test_an_upstream_is_asked_again_when_it_says_so_and_three_times_at_most(
    tmdb_only: MovieSearches, upstreams: Upstreams
) -> None:
    upstreams.fault("tmdb", "status", every=1, status=503, headers={"retry-after": "2"})
    done = tmdb_only.run({"movie_name": "RRR"})
    assert done.catches == (
        *[Catch("FindMovie", "RetryAhead", "WaitToFind")] * 3,
        Catch("FindMovie", "GivenUp", TAIL),
    )
    assert all(1.5 < wait.seconds <= 4 for wait in done.waits)
    assert done.retries == ()
    assert len(upstreams.calls("tmdb")) == 4
    step = tmdb_only.record().steps["FindMovie"]
    assert (step.attempts, len(step.failed_attempts)) == (4, 3)
    record = tmdb_only.record()
    assert record.error is not None
    assert_failed_with(record, "UpstreamUnavailable", record.error.message)


def test_searches_learn_from_each_other(tmdb_only: MovieSearches, upstreams: Upstreams) -> None:
    retried = []
    for film in ("RRR", "Dune", "Inception", "Interstellar"):
        upstreams.fault("tmdb", "status", status=500)
        done = tmdb_only.run({"movie_name": film}, name=film)
        assert done.output["status"] == "SUCCEEDED"
        retried.append((len(done.retries), len(done.waits)))
        tmdb_only.clock.wait(60)  # a breaker would open
    # Three as the definition says, and from these the fourth knows better.
    assert retried == [(1, 0)] * 3 + [(0, 1)]


def test_every_catch_is_taken_by_one_of_the_tests_above() -> None:
    taken = {(state, "States.ALL") for state in (*CAUGHT, "CollectReviews", TAIL)}
    taken |= {(state, "SlotAhead") for state in WAITED_FOR}
    assert set(catchers(DEFINITION)) == taken | {(state, "RetryAhead") for state in FAILS}


# Upstreams that fail


@every_fault
@pytest.mark.usefixtures("impatient")
def test_without_tmdb_and_without_a_stored_film_the_search_fails_and_stores_nothing(
    tmdb_only: MovieSearches, upstreams: Upstreams, fault: dict[str, Any], error: str
) -> None:
    break_down(upstreams, "tmdb", fault)
    done = tmdb_only.run({"movie_name": "RRR"})
    assert done.status == "FAILED"
    assert len(done.retries) == (3 if error in TRANSIENT else 0)
    record = tmdb_only.record()
    assert record.error is not None
    assert_failed_with(record, error, record.error.message)
    assert record.error.message.startswith("tmdb search/movie: ")
    assert not any(tmdb_only.items().values())
    upstreams.reset()
    assert tmdb_only.run({"movie_name": "RRR"}, name="again").output["tmdb_id"] == RRR


def test_without_tmdb_a_stored_film_stands_in_and_the_result_says_how_old_it_is(
    tmdb_only: MovieSearches, upstreams: Upstreams
) -> None:
    tmdb_only.run({"movie_name": "RRR"}, name="before")
    tmdb_only.age(RRR, timedelta(days=2))
    break_down(upstreams, "tmdb", FAULTS["500"][0])
    done = tmdb_only.run({"movie_name": "RRR"})
    assert done.output["status"] == "PARTIAL"
    result = tmdb_only.result()
    assert (result.source, result.stale) == ("cache", True)
    assert result.age_seconds >= timedelta(days=2).total_seconds()
    assert result.movie is not None
    assert result.missing == ("facts of the film: TMDB did not answer, they are 48 h old",)
    assert result.analysis is not None
    assert len(result.recommendations) == 10


@every_fault
@pytest.mark.usefixtures("impatient")
def test_sources_that_fail_are_reported_in_words_while_the_others_deliver(
    searches: MovieSearches, upstreams: Upstreams, fault: dict[str, Any], error: str
) -> None:
    down = SOURCES[1:]
    for source in down:
        break_down(upstreams, source, fault)
    done = searches.run({"movie_name": "RRR"})
    assert done.output["status"] == "PARTIAL"
    result = searches.result()
    # They say when their windows open: nobody asks again before.
    told = set(down) if error == "RateLimited" else set()
    assert statuses(result) == {
        "tmdb": SourceStatus.OK,
        **dict.fromkeys(down, SourceStatus.DEFERRED if told else SourceStatus.FAILED),
    }
    for report in result.sources[1:]:
        # What may pass is given up by the definition, which puts the name before the words.
        name = f"{error}: " if error in TRANSIENT and not told else ""
        assert report.reason.startswith(f"{name}{report.source} ")
        assert f"reviews from {report.source}: {report.reason}" in result.missing
        step = searches.record().steps[f"CollectReviews/{report.source}"]
        tries = 4 if error in TRANSIENT and not told else 1
        assert step.attempts == tries
    assert len(result.missing) == len(down)
    assert result.analysis is not None
    assert set(result.analysis.counts_by_source) == {"tmdb"}
    assert not TRACE.search(result.model_dump_json() + searches.record().model_dump_json())


# The gateway lets no call go


def test_a_slot_out_of_reach_defers_the_source_and_the_search_says_until_when(
    upstreams: Upstreams,
) -> None:
    with movie_searches(upstreams, "x", quotas="x=1/900") as searches:
        searches.use_up("x", "tweets/search/recent")
        done = searches.run({"movie_name": "RRR"})
        assert (done.waits, done.retries, done.catches) == ((), (), ())
        assert done.output["status"] == "PARTIAL"
        result = searches.result()
        deferred = result.sources[1]
        assert (deferred.status, deferred.calls) == (SourceStatus.DEFERRED, 0)
        assert deferred.deferred_until
        assert deferred.deferred_until - searches.clock.now() > timedelta(minutes=14)
        assert f"deferred until {written(deferred.deferred_until)}" in deferred.reason
        assert result.missing == (f"reviews from x: {deferred.reason}",)
    assert [call for call in upstreams.calls() if call["upstream"] == "x"] == []


def test_what_may_not_be_paid_for_is_left_out_and_free_sources_deliver(
    upstreams: Upstreams,
) -> None:
    with movie_searches(upstreams, "x", "bluesky", caps="day=0.04") as searches:
        searches.run({"movie_name": "RRR"})
        result = searches.result()
    assert statuses(result)["x"] is SourceStatus.SKIPPED
    assert statuses(result)["bluesky"] is SourceStatus.OK
    assert result.missing[0].startswith(
        "reviews from x: x tweets/search/recent: the total may cost"
    )
    assert [call for call in upstreams.calls() if call["upstream"] == "x"] == []


def test_after_402_not_one_more_paid_call_is_made(upstreams: Upstreams) -> None:
    with movie_searches(upstreams, "x") as searches:
        upstreams.fault("x", "status", status=402)
        searches.run({"movie_name": "RRR"})
        searches.run({"movie_name": "Dune"}, name="next")
        assert statuses(searches.result("next"))["x"] is SourceStatus.SKIPPED
        assert "x is closed" in searches.result("next").missing[0]
    assert len([call for call in upstreams.calls() if call["upstream"] == "x"]) == 1


def test_a_source_that_is_down_is_left_alone_and_asked_again_after_an_interval(
    upstreams: Upstreams,
) -> None:
    with movie_searches(upstreams, "mastodon") as searches:
        break_down(upstreams, "mastodon", FAULTS["500"][0])
        for name in ("first", "second", "third"):
            searches.run({"movie_name": "RRR"}, name=name)
        assert len([call for call in upstreams.calls() if call["upstream"] == "mastodon"]) == 5
        report = searches.result("third").sources[1]
        assert (report.status, report.calls) == (SourceStatus.FAILED, 0)
        assert report.reason.startswith("mastodon timelines/tag: mastodon timelines/tag has failed")
        upstreams.reset()
        searches.clock.wait(30)
        searches.run({"movie_name": "RRR"}, name="well")
        assert statuses(searches.result("well"))["mastodon"] is SourceStatus.OK


def test_where_tmdb_is_left_alone_a_stored_film_stands_in(
    tmdb_only: MovieSearches, upstreams: Upstreams
) -> None:
    tmdb_only.run({"movie_name": "RRR"}, name="before")
    break_down(upstreams, "tmdb", FAULTS["500"][0])
    for name in ("first", "second"):
        tmdb_only.run({"movie_name": "Dune"}, name=name)
    asked = len(upstreams.calls())
    tmdb_only.age(RRR, timedelta(days=2))
    tmdb_only.run({"movie_name": "RRR"})
    assert len(upstreams.calls()) == asked
    assert (tmdb_only.result().source, tmdb_only.result().stale) == ("cache", True)


@pytest.mark.parametrize("down", SOURCES[1:])
def test_a_source_that_is_down_takes_no_other_with_it(
    searches: MovieSearches, upstreams: Upstreams, down: str
) -> None:
    break_down(upstreams, down, FAULTS["500"][0])
    searches.run({"movie_name": "RRR"})
    result = searches.result()
    assert result.status is Status.PARTIAL
    expected = dict.fromkeys(SOURCES, SourceStatus.OK) | {down: SourceStatus.FAILED}
    assert statuses(result) == expected
    assert all(report.new > 0 for report in result.sources if report.source != down)


# Once is enough


def steady(items: Items) -> Items:
    """The items without the times at which they were worked out, in one order.

    And without those that tell how often a film is searched for.
    """
    kept = deepcopy(items)
    for rows in kept.values():
        rows[:] = [row for row in rows if row["sk"] != "INTEREST"]
        rows.sort(key=itemgetter("pk", "sk"))
        for row in rows:
            for part in (row, row.get("analysis", {})):
                for name in ("analyzed_at", "recommended_at"):
                    part.pop(name, None)
    return kept


def test_the_same_search_again_stores_nothing_new(searches: MovieSearches) -> None:
    searches.run({"movie_name": "RRR"}, name="first")
    before = steady(searches.items())
    searches.run({"movie_name": "RRR"}, name="second")
    assert steady(searches.items()) == before
    for report in searches.result("second").sources:
        assert report.status is SourceStatus.OK
        assert report.new == 0
        # X is asked for what is newer only, and pays for nothing twice.
        assert report.duplicates == (0 if report.source == "x" else 10)


def test_a_step_that_is_delivered_again_changes_nothing(searches: MovieSearches) -> None:
    done = searches.run({"movie_name": "RRR"})
    before, record = steady(searches.items()), searches.record()
    searches.clock.wait(10)  # the first call of a burst to X goes alone
    with searches.at_its_time():
        for call in done.calls:
            searches.handlers[call.function](call.payload, LambdaContext(call.function))
    assert steady(searches.items()) == before
    after = searches.record()
    assert (after.status, after.ended_at) == (record.status, record.ended_at)
    assert after.result == record.result


def test_a_step_that_dies_after_its_effect_is_done_once(tmdb_only: MovieSearches) -> None:
    tmdb_only.run({"movie_name": "RRR"}, name="undisturbed")
    undisturbed = steady(tmdb_only.items())
    names = set(FUNCTIONS.values())
    broken = {name: dying_after_its_first_effect(tmdb_only.handler(name)) for name in names}
    done = tmdb_only.run({"movie_name": "RRR"}, broken=broken)
    assert done.output["status"] == "SUCCEEDED"
    assert [retry.state for retry in done.retries] == list(FUNCTIONS)
    assert steady(tmdb_only.items()) == undisturbed


def test_reviews_that_dynamodb_refuses_wait_in_the_queue_and_count_later(
    tmdb_only: MovieSearches,
) -> None:
    # Found before, so that only reviews are left to be written.
    tmdb_only.run({"movie_name": "RRR", "collect_new_data": False}, name="before")
    refusing(aws.table(tmdb_only.settings.reviews_table), "BatchWriteItem", "AccessDeniedException")
    tmdb_only.run({"movie_name": "RRR"}, name="refused")
    result = tmdb_only.result("refused")
    report = result.sources[0]
    assert result.status is Status.PARTIAL
    assert (report.status, report.new, report.parked) == (SourceStatus.PARTIAL, 0, 10)
    assert "DynamoDB refused 10 records, parked" in report.reason
    assert tmdb_only.reviews(RRR) == []

    aws.dynamodb.cache_clear()  # another process, to which DynamoDB answers
    answer = tmdb_only.handler("ApplyParkedReviews")(
        {"Records": tmdb_only.parked()}, LambdaContext("apply")
    )
    assert answer == {"batchItemFailures": []}
    assert len(tmdb_only.reviews(RRR)) == 10
    tmdb_only.run({"movie_name": "RRR", "collect_new_data": False}, name="later")
    analysis = tmdb_only.result("later").analysis
    assert analysis is not None
    assert analysis.counts_by_source == {"tmdb": 10}


# Many at once


def test_fifty_clients_asking_for_one_new_film_start_one_search(
    tmdb_only: MovieSearches, upstreams: Upstreams
) -> None:
    machine = tmdb_only.template.machines[MACHINE]
    ask = tmdb_only.handler("StartMovieSearch")
    event = {"id": "1", "detail-type": "MovieSearchRequested", "detail": {"movie_name": "RRR"}}
    with state_machines(tmdb_only.handlers) as machines:
        machines.create(tmdb_only.definition(), name=machine.name)
        with ThreadPoolExecutor(50) as clients:
            answers = list(clients.map(lambda _: ask(event, LambdaContext("start")), range(50)))
        (execution,) = boto3.client("stepfunctions").list_executions(stateMachineArn=machine.arn)[
            "executions"
        ]
        done = machines.wait(execution["executionArn"])
    assert {answer["workflow_id"] for answer in answers} == {done.name}
    assert [answer["joined"] for answer in answers].count(False) == 1
    assert done.output["status"] == "SUCCEEDED"
    assert [call["path"] for call in upstreams.calls("tmdb")].count("/3/search/movie") == 1
    record = tmdb_only.record(done.name)
    assert (record.trigger, record.input["movie_name"]) == ("event", "RRR")
