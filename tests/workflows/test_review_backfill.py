"""The backfill as deployed: what a search had to go without is collected, each film once.

Every Retry and Catch of the definition is taken here.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

import pytest

from marquee.clock import written
from marquee.errors import (
    BadInput,
    RetryAhead,
    SlotAhead,
    StoreUnavailable,
    UpstreamUnavailable,
)
from marquee.movies.backfill import BackfillSummary, FilmState, FinishBackfillInput
from marquee.movies.backfill_queue import BackfillQueue, EntryState, Reason, Wish
from marquee.movies.models import FoundMovie, SourceReport, SourceStatus
from marquee.movies.search import SearchSummary, lack_of
from marquee.workflows.record import Status, WorkflowRecords
from tests.support.builders import a_movie
from tests.support.definitions import catchers, retriers
from tests.support.movie_search import ReviewBackfills, review_backfills
from tests.support.state_machines import (
    Catch,
    Execution,
    Handler,
    Json,
    Retry,
    dying_after_its_first_effect,
    failing,
)
from tests.support.templates import ROOT
from tests.support.upstreams import Upstreams

RRR = 579974
ENDPOINT = ("x", "tweets/search/recent")
TAIL = "FinishBackfillAfterFailure"
FUNCTIONS = {
    "PlanBackfill": "PlanBackfill",
    "CollectReviewsFromSource": "CollectReviews",
    "AnalyzeReviewsOfFilm": "AnalyzeReviews",
    "FinishBackfill": "FinishBackfill",
}
"""The function behind each Task of the way that goes well, in its order."""

DEFINITION = json.loads((ROOT / "statemachine" / "review_backfill.asl.json").read_text())
RETRIED = retriers(DEFINITION)
TOO_BUSY = StoreUnavailable("too busy")


@pytest.fixture
def backfills(upstreams: Upstreams) -> Iterator[ReviewBackfills]:
    """One call of X in 20 s, which somebody else makes: a search goes without it."""
    with review_backfills(upstreams, "x", quotas="x=1/20") as installed:
        yield installed


def search_without_x(backfills: ReviewBackfills, name: str = "search", **request: Any) -> None:
    """Search while X's quota is used up, then let that pass."""
    backfills.use_up(*ENDPOINT)
    done = backfills.search({"movie_name": "RRR", **request}, name)
    assert done.output["status"] == "PARTIAL"
    backfills.clock.wait(30)


def defer(backfills: ReviewBackfills, name: str = "search") -> None:
    """What such a search leaves behind, without its other steps."""
    now = backfills.clock.now()
    backfills.catalog().put_movie(a_movie(fetched_at=now), ["rrr"], [])
    deferred = SourceReport(source="x", status=SourceStatus.DEFERRED, reason="no slot is near")
    search = SearchSummary(
        found=FoundMovie(tmdb_id=RRR, title="RRR", message="RRR (2022): exact title."),
        sources=(deferred,),
        missing=(lack_of(deferred),),
    )
    result = search.model_dump(mode="json", exclude_defaults=True)
    records = WorkflowRecords.connect(backfills.settings)
    records.close(name, "movie_search", Status.PARTIAL, now=now, result=result)
    wish = Wish(tmdb_id=RRR, title="RRR", reason=Reason.DEFERRED, sources=("x",), workflow_id=name)
    BackfillQueue.connect(backfills.settings).add(wish, now)


def summary(backfills: ReviewBackfills, name: str = "run") -> BackfillSummary:
    return BackfillSummary.model_validate(backfills.record(name).result)


def calls(upstreams: Upstreams) -> list[int]:
    """The statuses that X has answered with."""
    return [call["status"] for call in upstreams.calls("x")]


# A search that had to go without a source


def test_what_searches_went_without_is_collected_once_and_makes_them_complete(
    backfills: ReviewBackfills, upstreams: Upstreams
) -> None:
    search_without_x(backfills, max_reviews=20)
    before = backfills.record("search")
    [deferred] = [r for r in backfills.result("search").sources if r.source == "x"]
    assert deferred.status is SourceStatus.DEFERRED
    assert deferred.expected_at
    assert f"it is queued, and expected by {written(deferred.expected_at)}" in deferred.reason
    assert backfills.result("search").missing == (f"reviews from x: {deferred.reason}",)
    entry = backfills.entry(RRR)
    assert (entry.state, entry.reason, entry.sources) == ("WAITING", Reason.DEFERRED, ("x",))
    assert (entry.waiting, entry.max_reviews, entry.title) == (("search",), 20, "RRR")
    assert calls(upstreams) == []

    defer(backfills, "another")
    done = backfills.run({})
    assert done.history == (
        "PlanBackfill",
        "Anything to collect?",
        "CollectReviews",
        "CollectReviewsFromSource",
        "AnalyzeReviews",
        "AnalyzeReviewsOfFilm",
        "FinishBackfill",
    )
    assert (done.status, done.output["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert calls(upstreams) == [200]
    record, result = backfills.record("search"), backfills.result("search")
    assert (record.status, result.status, result.missing) == ("SUCCEEDED", "SUCCEEDED", ())
    assert record.backfilled_at
    assert (record.started_at, record.ended_at) == (before.started_at, before.ended_at)
    [collected] = [report for report in result.sources if report.source == "x"]
    assert (collected.status, collected.expected_at) == (SourceStatus.OK, None)
    assert collected.new > 10
    assert result.analysis
    assert result.analysis.counts_by_source["x"] == collected.new
    assert record.result["sample_size"] == result.analysis.sample_size
    assert backfills.entry(RRR).state is EntryState.DONE
    [film] = summary(backfills).films
    assert (film.state, film.new) == (FilmState.COMPLETE, collected.new)
    assert film.completed == ("search", "another")
    assert backfills.record("another").status is Status.SUCCEEDED
    steps = backfills.record().steps
    assert set(steps) == {
        "PlanBackfill",
        f"CollectReviews/{RRR}/x",
        f"AnalyzeReviews/{RRR}",
        "FinishBackfill",
    }
    assert backfills.record().kind == "review_backfill"


def test_an_empty_queue_is_a_run_that_does_nothing(backfills: ReviewBackfills) -> None:
    done = backfills.run({})
    assert done.history == ("PlanBackfill", "Anything to collect?", "FinishBackfill")
    assert done.output["status"] == "SUCCEEDED"
    assert summary(backfills) == BackfillSummary()


def test_without_quota_above_the_reserve_the_film_stays_and_the_run_says_why(
    upstreams: Upstreams,
) -> None:
    with review_backfills(upstreams, "x", quotas="x=4/20") as backfills:
        defer(backfills)
        backfills.use_up(*ENDPOINT)
        backfills.clock.wait(6)  # the first call of a burst to X goes alone
        backfills.use_up(*ENDPOINT)
        done = backfills.run({"at_once": True})
        assert "CollectReviewsFromSource" not in done.history
        held = "x: 4 of 4 calls in 20 s are used, 2 are kept for searches"
        assert summary(backfills).held == (held,)
        assert backfills.entry(RRR).attempts == 0
    assert calls(upstreams) == []


def used_up_after(backfills: ReviewBackfills) -> Handler:
    """A plan, right after which somebody else makes all the calls that it has counted on."""
    plan = backfills.handler("PlanBackfill")

    def handle(event: Json, context: Any) -> Json:
        planned = plan(event, context)
        backfills.use_up(*ENDPOINT)
        return planned

    return handle


def test_a_slot_out_of_reach_puts_the_film_back_and_nobody_is_asked(
    backfills: ReviewBackfills, upstreams: Upstreams
) -> None:
    defer(backfills)
    done = backfills.run({}, broken={"PlanBackfill": used_up_after(backfills)})
    assert (done.waits, done.retries, done.catches) == ((), (), ())
    [film] = summary(backfills).films
    assert (film.state, film.failed) == (FilmState.BACK_IN_THE_QUEUE, False)
    entry = backfills.entry(RRR)
    assert (entry.state, entry.attempts, entry.waiting) == ("WAITING", 0, ("search",))
    assert entry.not_before
    assert entry.not_before > backfills.clock.now()
    assert "no slot is near" in entry.last_outcome
    assert calls(upstreams) == []
    assert backfills.record("search").status is Status.PARTIAL


def test_a_step_that_fails_for_good_leaves_the_film_queued_and_the_next_run_collects_it(
    backfills: ReviewBackfills,
) -> None:
    defer(backfills)
    broken = failing(backfills.handler("CollectReviews"), [KeyError("surprise")])
    done = backfills.run({}, broken={"CollectReviews": broken})
    assert done.output["status"] == "PARTIAL"
    entry = backfills.entry(RRR)
    assert (entry.state, entry.attempts, entry.waiting) == ("WAITING", 1, ("search",))
    assert "KeyError: 'surprise'" in entry.last_outcome
    assert backfills.record("search").status is Status.PARTIAL
    backfills.clock.wait(20 * 60)
    backfills.run({}, name="next")
    assert backfills.record("search").status is Status.SUCCEEDED


# Once is enough


def test_a_step_that_dies_after_its_effect_is_done_once(
    backfills: ReviewBackfills, upstreams: Upstreams
) -> None:
    defer(backfills)
    names = ("PlanBackfill", "AnalyzeReviews", "FinishBackfill")
    broken = {name: dying_after_its_first_effect(backfills.handler(name)) for name in names}
    done = backfills.run({}, broken=broken)
    assert [retry.error for retry in done.retries] == ["Sandbox.Timedout"] * 3
    assert done.output["status"] == "SUCCEEDED"
    entry = backfills.entry(RRR)
    assert (entry.state, entry.attempts) == (EntryState.DONE, 0)
    assert backfills.record("search").status is Status.SUCCEEDED
    assert calls(upstreams) == [200]


# Every Retry

# What the functions say to the definition: what they do is tested above, and below.
REPORT = {"source": "x", "status": "ok", "new": 7}
SAYING: Mapping[str, Handler] = {
    "PlanBackfill": lambda event, context: {
        "films": [RRR],
        "tasks": [{"tmdb_id": RRR, "source": "x", "max_reviews": 10}],
        "held": [],
    },
    "CollectReviews": lambda event, context: REPORT,
    "AnalyzeReviews": lambda event, context: {"tmdb_id": event["tmdb_id"]},
    "FinishBackfill": lambda event, context: {"status": "SUCCEEDED"},
}


@pytest.fixture(scope="module")
def saying(server: Upstreams) -> Iterator[ReviewBackfills]:
    with review_backfills(server) as installed:
        yield installed


def told(backfills: ReviewBackfills, done: Execution) -> FinishBackfillInput:
    """What FinishBackfill was handed."""
    *_, payload = done.payloads(backfills.arn("FinishBackfill"))
    return FinishBackfillInput.model_validate(payload)


RETRIED_BY = {state: [error for name, error in RETRIED if name == state] for state, _ in RETRIED}


@pytest.mark.parametrize("state", FUNCTIONS)
def test_every_state_gets_over_every_error_that_it_retries(
    saying: ReviewBackfills, state: str
) -> None:
    function = FUNCTIONS[state]
    for errors in batched(RETRIED_BY[state], 3, strict=False):
        broken = {**SAYING, function: failing(SAYING[function], errors)}
        done = saying.run({}, broken=broken, name="-".join(errors)[:80].replace(".", "-"))
        assert (done.status, done.catches) == ("SUCCEEDED", ())
        assert done.retries == tuple(
            Retry(state, error, seconds) for error, seconds in zip(errors, (2, 4, 8), strict=False)
        )
        assert [task.said.new for task in told(saying, done).collected] == [7]


def test_the_failure_tail_gets_over_every_error_that_it_retries(saying: ReviewBackfills) -> None:
    for errors in batched(RETRIED_BY[TAIL], 3, strict=False):
        broken = {
            **SAYING,
            "PlanBackfill": failing(SAYING["PlanBackfill"], [BadInput("wrong")]),
            "FinishBackfill": failing(SAYING["FinishBackfill"], errors),
        }
        done = saying.run({}, broken=broken, name="-".join(errors)[:80].replace(".", "-"))
        assert (done.status, done.error) == ("FAILED", "BackfillFailed")
        assert [(retry.state, retry.error) for retry in done.retries] == [
            (TAIL, error) for error in errors
        ]
        failure = told(saying, done).failure
        assert failure
        assert failure.as_step_error().model_dump() == {"name": "BadInput", "message": "wrong"}


def test_every_retry_is_taken_by_one_of_the_tests_above() -> None:
    assert set(RETRIED_BY) == {*FUNCTIONS, TAIL}


# Every Catch

CAUGHT = {
    "PlanBackfill": TAIL,
    "CollectReviewsFromSource": "ReportFailedSource",
    "AnalyzeReviewsOfFilm": "ReportFailedFilm",
    "FinishBackfill": TAIL,
}
"""Where each state goes when it fails for good."""


@pytest.mark.parametrize("state", CAUGHT)
def test_a_state_that_fails_for_good_goes_where_its_catch_says(
    saying: ReviewBackfills, state: str
) -> None:
    function = FUNCTIONS[state]
    broken = {**SAYING, function: failing(SAYING[function], [TOO_BUSY] * 4)}
    done = saying.run({}, broken=broken)
    assert done.catches == (Catch(state, "StoreUnavailable", CAUGHT[state]),)
    assert [retry.delay_seconds for retry in done.retries] == [2, 4, 8]
    finish = told(saying, done)
    match state:
        case "CollectReviewsFromSource":
            [task] = finish.collected
            assert (task.tmdb_id, task.said.source, task.said.status) == (RRR, "x", "failed")
            assert task.said.reason == "StoreUnavailable: too busy"
        case "AnalyzeReviewsOfFilm":
            [film] = finish.analyzed
            assert (film.tmdb_id, str(film.error)) == (RRR, "StoreUnavailable: too busy")
        case _:
            assert (done.status, done.error) == ("FAILED", "BackfillFailed")
            assert str(finish.failure) == "StoreUnavailable: too busy"


@pytest.mark.parametrize(
    ("map_state", "task"),
    [
        ("CollectReviews", "CollectReviewsFromSource"),
        ("AnalyzeReviews", "AnalyzeReviewsOfFilm"),
    ],
)
def test_a_map_that_breaks_is_told_and_the_run_comes_to_its_end(
    saying: ReviewBackfills, map_state: str, task: str
) -> None:
    definition = saying.definition()
    iteration = definition["States"][map_state]["ItemProcessor"]["States"]
    # With it no film breaks the Map: what does is a fault of Step Functions itself.
    del iteration[task]["Catch"]
    broken = {**SAYING, map_state: failing(SAYING[map_state], [BadInput("wrong")])}
    done = saying.run({}, definition=definition, broken=broken)
    assert done.catches == (Catch(map_state, "BadInput", "FinishBackfill"),)
    assert done.status == "SUCCEEDED"
    [problem] = told(saying, done).problems
    assert str(problem).startswith(f"{map_state}: BadInput: ")


def test_where_the_tail_fails_too_the_end_of_the_execution_closes_the_record(
    saying: ReviewBackfills,
) -> None:
    broken = {
        **SAYING,
        "PlanBackfill": failing(SAYING["PlanBackfill"], [BadInput("wrong")]),
        "FinishBackfill": failing(SAYING["FinishBackfill"], [TOO_BUSY] * 4),
    }
    done = saying.run({}, broken=broken, name="lost")
    assert done.catches == (
        Catch("PlanBackfill", "BadInput", TAIL),
        Catch(TAIL, "StoreUnavailable", "BackfillFailed"),
    )
    saying.invoke("CloseExecution", saying.end_of(done))
    record = saying.record("lost")
    assert (record.status, record.kind) == (Status.FAILED, "review_backfill")


X, SEARCH = "x", "tweets/search/recent"
DOWN = UpstreamUnavailable("answered 503", provider=X, endpoint=SEARCH)
TELLING: Mapping[str, Callable[[datetime], Exception]] = {
    "SlotAhead": lambda at: SlotAhead(provider=X, endpoint=SEARCH, at=at),
    "RetryAhead": lambda at: RetryAhead(DOWN, at),
}


@pytest.mark.parametrize("error", TELLING)
def test_a_time_that_a_source_is_told_is_waited_for(saying: ReviewBackfills, error: str) -> None:
    later = TELLING[error](saying.clock.now() + timedelta(seconds=8))
    broken = {**SAYING, "CollectReviews": failing(SAYING["CollectReviews"], [later])}
    done = saying.run({}, broken=broken)
    assert done.catches == (Catch("CollectReviewsFromSource", error, "WaitForSlot"),)
    [wait] = done.waits
    assert (wait.state, 5 < wait.seconds <= 8) == ("WaitForSlot", True)
    assert [task.said.new for task in told(saying, done).collected] == [7]


def test_every_catch_is_taken_by_one_of_the_tests_above() -> None:
    waited = {("CollectReviewsFromSource", error) for error in TELLING}
    taken = {(state, "States.ALL") for state in (*CAUGHT, "CollectReviews", "AnalyzeReviews", TAIL)}
    assert set(catchers(DEFINITION)) == taken | waited
