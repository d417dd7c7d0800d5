"""PlanBackfill and FinishBackfill: which films are taken when, and what becomes of each."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from marquee.movies.backfill import (
    DUE_AGAIN,
    KIND,
    LOOKED_AT,
    MAX_FILMS,
    SKIPPED_FOR,
    BackfillRequest,
    BackfillSummary,
    FilmState,
    FinishBackfillInput,
    FinishBackfillOutput,
    PlanBackfillOutput,
    backfilled,
    finish_backfill,
    is_anything_due,
    plan_backfill,
)
from marquee.movies.backfill_queue import (
    FIRST_PAUSE,
    MAX_ATTEMPTS,
    BackfillQueue,
    Entry,
    EntryState,
    Reason,
    Wish,
    failed,
)
from marquee.movies.catalog import Catalog
from marquee.movies.interest import FRESH_FOR, FRESH_FOR_OFTEN, Interest
from marquee.movies.leftover import Leftover
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    FoundMovie,
    SourceReport,
    SourceStatus,
)
from marquee.movies.off_peak import OffPeak
from marquee.movies.search import SearchSummary, lack_of
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from tests.support.builders import NOW

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

RRR, DUNE = 579974, 438631
OPEN, SHUT = OffPeak.parse("00:00-00:00"), OffPeak.parse("01:00-02:00")
MINUTE = timedelta(minutes=1)
RUN = "review_backfill-44136fa355b3678a-1"


class Left(Leftover):
    """So many films a source; others are not bounded."""

    def __init__(self, **films: int) -> None:
        self.films = films

    def take(self, source: str, max_reviews: int) -> str:
        if self.films.get(source, 1) < 1:
            return f"{source}: used up"
        self.films[source] = self.films.get(source, 99) - 1
        return ""


@pytest.fixture
def catalog(movies_table: "Table") -> Catalog:
    return Catalog(movies_table)


def put(queue: BackfillQueue, tmdb_id: int = RRR, *, at: datetime = NOW, **fields: Any) -> Entry:
    facts = {"title": f"Film {tmdb_id}", "reason": Reason.STALE, "sources": ("x",)}
    return queue.add(Wish.model_validate({"tmdb_id": tmdb_id, **facts, **fields}), at)


def planned(
    queue: BackfillQueue,
    catalog: Catalog,
    left: Left | None = None,
    window: OffPeak = OPEN,
    *,
    at_once: bool = False,
    sources: tuple[str, ...] = ("tmdb", "x", "bluesky"),
    now: datetime = NOW,
) -> PlanBackfillOutput:
    request = BackfillRequest(at_once=at_once)
    return plan_backfill(request, queue, catalog, sources, left or Left(), window, now=now)


def test_the_first_of_the_queue_are_planned_each_with_what_it_lacks(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    put(queue, 1, sources=("x", "bluesky"))
    put(queue, 2, workflow_id="search", max_reviews=40)
    plan = planned(queue, catalog)
    assert plan.films == (2, 1)
    assert [(task.tmdb_id, task.source, task.max_reviews) for task in plan.tasks] == [
        (2, "x", 40),
        (1, "x", 10),
        (1, "bluesky", 10),
    ]
    assert plan.held == ()


def test_outside_of_the_off_peak_hours_only_what_somebody_waits_for(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    put(queue, 1)
    assert not is_anything_due(queue, catalog, SHUT, NOW)
    assert is_anything_due(queue, catalog, OPEN, NOW)
    put(queue, 2, workflow_id="search")
    assert is_anything_due(queue, catalog, SHUT, NOW)
    assert planned(queue, catalog, window=SHUT).films == (2,)
    assert planned(queue, catalog, window=SHUT, at_once=True).films == (2, 1)


def test_not_before_the_slot_that_the_search_was_told_of(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    put(queue, workflow_id="search", not_before=NOW + 5 * MINUTE)
    assert planned(queue, catalog).films == ()
    assert not is_anything_due(queue, catalog, OPEN, NOW)
    assert planned(queue, catalog, now=NOW + 5 * MINUTE).films == (RRR,)
    assert planned(queue, catalog, at_once=True).films == (RRR,)


def test_a_run_is_as_large_as_what_is_left(queue: BackfillQueue, catalog: Catalog) -> None:
    for number in range(1, 6):
        put(queue, number, sources=("x", "bluesky") if number == 4 else ("x",))
    plan = planned(queue, catalog, Left(x=3))
    assert plan.films == (1, 2, 3, 4)
    assert [task.source for task in plan.tasks] == ["x", "x", "x", "bluesky"]
    assert plan.held == ("x: used up",)


def test_a_run_has_so_many_films_at_most(queue: BackfillQueue, catalog: Catalog) -> None:
    for number in range(1, MAX_FILMS + 3):
        put(queue, number)
    plan = planned(queue, catalog)
    assert len(plan.films) == MAX_FILMS
    assert plan.held == ("more films wait for the next run",)


def test_films_that_can_not_be_taken_now_do_not_stand_in_the_way(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    for number in range(1, 61):
        put(queue, number, workflow_id="search", not_before=NOW + MINUTE)
    put(queue, 99)
    assert LOOKED_AT > 60
    assert planned(queue, catalog).films == (99,)


def test_films_that_are_due_are_queued_off_peak_with_what_can_be_asked(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    often = Interest(tmdb_id=RRR, title="RRR", year=2022)
    for hours in (1, 2, 3):
        often = often.searched(NOW - timedelta(days=2, hours=hours))
    old = Interest(tmdb_id=DUNE, title="Dune").searched(NOW - timedelta(days=9))
    for film in (often, old):
        catalog.put_interest(film.collected(NOW - timedelta(days=8)), NOW - timedelta(days=2))
    assert planned(queue, catalog, window=SHUT).counts == {}
    assert is_anything_due(queue, catalog, OPEN, NOW)
    plan = planned(queue, catalog)
    assert plan.films == (RRR, DUNE)
    assert plan.counts == {"films": 2, "tasks": 4, "queued": 2}
    entry = queue.entry(RRR)
    assert entry
    assert (entry.reason, entry.popularity, entry.year) == (Reason.OFTEN, 3, 2022)
    assert entry.sources == ("x", "bluesky")
    other = queue.entry(DUNE)
    assert other
    assert other.reason is Reason.STALE
    assert catalog.due_films(NOW, 10) == []
    assert len(catalog.due_films(NOW + DUE_AGAIN, 10)) == 2


def test_where_no_source_can_be_asked_nothing_is_queued(
    queue: BackfillQueue, catalog: Catalog
) -> None:
    catalog.put_interest(Interest(tmdb_id=RRR).searched(NOW), NOW)
    assert planned(queue, catalog, sources=("tmdb",)).counts == {}
    assert queue.entry(RRR) is None
    assert catalog.due_films(NOW, 10) == []


# The end of a run


@pytest.fixture
def records(workflows_table: "Table") -> WorkflowRecords:
    records = WorkflowRecords(workflows_table)
    records.open(RUN, KIND, trigger="api", request={}, now=NOW)
    return records


DEFERRED = SourceReport(
    source="x", status=SourceStatus.DEFERRED, reason="no slot is near; it is queued"
)


def a_search(
    records: WorkflowRecords,
    name: str = "search",
    *,
    missing: tuple[str, ...] = (),
    reports: tuple[SourceReport, ...] = (DEFERRED,),
    status: Status = Status.PARTIAL,
) -> None:
    """A search that ended without some sources."""
    summary = SearchSummary(
        found=FoundMovie(tmdb_id=RRR, title="RRR", message="RRR (2022): exact title."),
        sources=reports,
        missing=(*(lack_of(report) for report in reports if lack_of(report)), *missing),
    )
    result = summary.model_dump(mode="json", exclude_defaults=True)
    records.close(name, "movie_search", status, now=NOW, result=result)


def know(catalog: Catalog) -> None:
    analysis = Analysis(
        tmdb_id=RRR, average_sentiment=0.5, sample_size=17, analyzed_at=NOW, scorer="vader"
    )
    catalog.put_analysis(analysis, AnalyzedFilm(tmdb_id=RRR, title="RRR"))


def a_report(status: str = "ok", source: str = "x", **fields: Any) -> dict[str, Any]:
    return {"tmdb_id": RRR, "report": {"source": source, "status": status, **fields}}


def an_end(*reports: dict[str, Any], **fields: Any) -> FinishBackfillInput:
    given = {"collected": reports, "analyzed": [{"tmdb_id": RRR}], "plan": {"films": [RRR]}}
    return FinishBackfillInput.model_validate({"workflow_id": RUN, **given, **fields})


def finish(
    request: FinishBackfillInput,
    queue: BackfillQueue,
    catalog: Catalog,
    records: WorkflowRecords,
    now: datetime = NOW,
) -> FinishBackfillOutput:
    return finish_backfill(request, queue, catalog, records, now=now)


def record_of(records: WorkflowRecords, name: str = "search") -> WorkflowRecord:
    record = records.get(name, consistent=True)
    assert record
    return record


def summary(records: WorkflowRecords) -> BackfillSummary:
    return BackfillSummary.model_validate(record_of(records, RUN).result)


def result(records: WorkflowRecords, name: str = "search") -> SearchSummary:
    return SearchSummary.model_validate(record_of(records, name).result)


def test_a_search_that_lacks_nothing_any_more_is_complete(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    know(catalog)
    a_search(records)
    put(queue, workflow_id="search")
    later = NOW + 20 * MINUTE
    finished = finish(an_end(a_report(new=7)), queue, catalog, records, later)
    assert finished.status is Status.SUCCEEDED
    assert finished.counts == {"complete": 1, "searches_completed": 1, "new_reviews": 7}
    record, found = record_of(records), result(records)
    assert (record.status, record.backfilled_at, record.ended_at) == ("SUCCEEDED", later, NOW)
    assert (found.missing, found.average_sentiment, found.sample_size) == ((), 0.5, 17)
    assert [report.status for report in found.sources] == [SourceStatus.OK]
    listed, _ = records.page("movie_search", status=Status.SUCCEEDED)
    assert [one.workflow_id for one in listed] == ["search"]
    assert records.page("movie_search", status=Status.PARTIAL)[0] == []
    entry = queue.entry(RRR)
    assert entry
    assert (entry.state, entry.last_outcome) == (EntryState.DONE, "7 new reviews")


def test_what_each_source_had_is_said_of_a_film_also_where_its_analysis_failed(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    put(queue, sources=("x", "bluesky", "mastodon"))
    reports = (a_report(new=7), a_report(source="bluesky"), a_report(source="mastodon", new=2))
    failed = [{"tmdb_id": RRR, "error": {"Error": "E", "Cause": "why"}}]
    finish(an_end(*reports, analyzed=failed), queue, catalog, records)
    [film] = summary(records).films
    assert (film.failed, film.new, film.sources) == (True, 9, {"x": 7, "mastodon": 2})


def test_a_search_that_lacks_something_else_stays_partial_with_what_has_come(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    a_search(records, missing=("RecommendMovies: StoreUnavailable: too busy",))
    put(queue, workflow_id="search")
    finish(an_end(a_report(new=7)), queue, catalog, records)
    record, found = record_of(records), result(records)
    assert (record.status, record.backfilled_at) == ("PARTIAL", None)
    assert found.missing == ("RecommendMovies: StoreUnavailable: too busy",)
    assert found.sources[0].new == 7
    assert summary(records).films[0].completed == ()
    entry = queue.entry(RRR)
    assert entry
    assert entry.state is EntryState.DONE


def test_a_search_that_lacks_two_sources_waits_for_the_second(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    other = DEFERRED.model_copy(update={"source": "bluesky"})
    a_search(records, reports=(DEFERRED, other))
    put(queue, workflow_id="search", sources=("x", "bluesky"))
    finish(an_end(a_report(new=7)), queue, catalog, records)
    entry = queue.entry(RRR)
    assert entry
    assert (entry.state, entry.sources, entry.waiting) == ("WAITING", ("bluesky",), ("search",))
    assert (entry.attempts, entry.not_before) == (0, None)
    assert record_of(records).status is Status.PARTIAL
    assert result(records).missing == (lack_of(other),)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED])
def test_a_search_that_ended_otherwise_stays_as_it_ended(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords, status: Status
) -> None:
    a_search(records, status=status)
    before = record_of(records)
    put(queue, workflow_id="search")
    put(queue, workflow_id="gone")
    finish(an_end(a_report(new=7)), queue, catalog, records)
    assert record_of(records) == before
    assert records.get("gone") is None
    entry = queue.entry(RRR)
    assert entry
    assert entry.state is EntryState.DONE


def test_a_search_whose_end_is_being_written_is_completed_by_the_next_run(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    records.open("search", "movie_search", trigger="api", request={}, now=NOW)
    put(queue, workflow_id="search")
    finish(an_end(a_report(new=7)), queue, catalog, records)
    entry = queue.entry(RRR)
    assert entry
    assert (entry.state, entry.sources, entry.waiting) == ("WAITING", ("x",), ("search",))


def test_a_search_that_comes_while_its_film_is_collected_waits_for_the_next_run(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    a_search(records)
    put(queue, workflow_id="search")

    class Late(Catalog):
        def known(self, tmdb_id: int) -> Any:
            put(queue, workflow_id="late")
            return super().known(tmdb_id)

    finish(an_end(a_report(new=7)), queue, Late(catalog._table), records)
    entry = queue.entry(RRR)
    assert entry
    assert (entry.state, entry.sources, entry.waiting) == ("WAITING", ("x",), ("late",))
    assert record_of(records).status is Status.SUCCEEDED


def test_what_has_no_slot_goes_back_until_there_is_one(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    put(queue, workflow_id="search")
    until = (NOW + 15 * MINUTE).isoformat()
    report = a_report("deferred", reason="no slot is near", deferred_until=until)
    assert finish(an_end(report), queue, catalog, records).status is Status.SUCCEEDED
    entry = queue.entry(RRR)
    assert entry
    assert (entry.attempts, entry.not_before) == (0, NOW + 15 * MINUTE)
    assert entry.last_outcome == "x: no slot is near"
    [film] = summary(records).films
    assert (film.state, film.failed) == (FilmState.BACK_IN_THE_QUEUE, False)


def test_what_may_not_be_paid_for_goes_back_for_an_hour(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    put(queue, workflow_id="search")
    finish(an_end(a_report("skipped", reason="x is closed")), queue, catalog, records)
    entry = queue.entry(RRR)
    assert entry
    assert (entry.attempts, entry.not_before) == (0, NOW + SKIPPED_FOR)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "x: x search: answered 403"),
        ({"analyzed": [{"tmdb_id": RRR, "error": {"Error": "E", "Cause": "why"}}]}, "x: x search"),
        ({"collected": []}, "nothing was collected"),
        (
            {"collected": [a_report()], "analyzed": []},
            "it was not analyzed",
        ),
        (
            {
                "collected": [a_report()],
                "analyzed": [{"tmdb_id": RRR, "error": {"Error": "E", "Cause": "why"}}],
            },
            "AnalyzeReviews: E: why",
        ),
    ],
)
def test_what_fails_goes_back_for_later_and_counts(
    queue: BackfillQueue,
    catalog: Catalog,
    records: WorkflowRecords,
    fields: dict[str, Any],
    reason: str,
) -> None:
    a_search(records)
    put(queue, workflow_id="search")
    given = {"collected": [a_report("failed", reason="x search: answered 403")], **fields}
    request = an_end(**given)
    assert finish(request, queue, catalog, records).status is Status.PARTIAL
    entry = queue.entry(RRR)
    assert entry
    assert (entry.attempts, entry.not_before) == (1, NOW + FIRST_PAUSE)
    assert entry.last_outcome.startswith(reason)
    assert (entry.sources, entry.waiting) == (("x",), ("search",))
    assert record_of(records).status is Status.PARTIAL
    assert summary(records).films[0].failed


def test_a_film_that_always_fails_is_given_up_and_its_searches_say_so(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    catalog.put_interest(Interest(tmdb_id=RRR).searched(NOW), NOW)
    other = DEFERRED.model_copy(update={"source": "bluesky"})
    a_search(records, reports=(DEFERRED, other))
    put(queue, workflow_id="search", sources=("x", "bluesky"))
    for _ in range(MAX_ATTEMPTS - 1):
        queue.change(RRR, lambda entry: entry and failed(entry, "", NOW, sources=entry.sources))
    finish(an_end(a_report("failed", reason="answered 403")), queue, catalog, records)
    entry = queue.entry(RRR)
    assert entry
    assert (entry.state, entry.attempts) == (EntryState.GIVEN_UP, MAX_ATTEMPTS)
    assert entry.last_outcome == f"x: answered 403 ({MAX_ATTEMPTS} attempts)"
    assert summary(records).films[0].state is FilmState.GIVEN_UP
    assert result(records).missing == (
        "reviews from x: answered 403",
        "reviews from bluesky: given up: x: answered 403",
    )
    assert {report.status for report in result(records).sources} == {SourceStatus.FAILED}
    assert entry.waiting == ()
    assert record_of(records).status is Status.PARTIAL
    assert catalog.due_films(NOW + FRESH_FOR - MINUTE, 10) == []
    assert len(catalog.due_films(NOW + FRESH_FOR, 10)) == 1


def test_what_is_collected_is_fresh_again(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    interest = Interest(tmdb_id=RRR)
    for hours in range(3):
        interest = interest.searched(NOW - timedelta(hours=hours))
    catalog.put_interest(interest, NOW)
    put(queue)
    finish(an_end(a_report("partial", reason="half of it")), queue, catalog, records)
    assert catalog.due_films(NOW + FRESH_FOR_OFTEN - MINUTE, 10) == []
    assert catalog.due_films(NOW + FRESH_FOR_OFTEN, 10) == [interest.collected(NOW)]


def test_the_step_again_changes_nothing(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    a_search(records)
    put(queue, workflow_id="search")
    request = an_end(a_report("failed", reason="answered 403"))
    finish(request, queue, catalog, records)
    entry, record = queue.entry(RRR), record_of(records, RUN)
    again = finish(request, queue, catalog, records, NOW + MINUTE)
    assert again.status is Status.PARTIAL
    assert (queue.entry(RRR), record_of(records, RUN)) == (entry, record)


def test_the_step_again_after_it_died_before_its_record_counts_no_failure_twice(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    put(queue, workflow_id="search")
    request = an_end(a_report("failed", reason="answered 403"))

    class Dying(WorkflowRecords):
        def close(self, *arguments: Any, **fields: Any) -> bool:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        finish(request, queue, catalog, Dying(records._table))
    assert finish(request, queue, catalog, records).status is Status.PARTIAL
    entry = queue.entry(RRR)
    assert entry
    assert entry.attempts == 1
    assert summary(records).films[0].failed


def test_a_run_that_failed_leaves_the_queue_as_it_was(
    queue: BackfillQueue, catalog: Catalog, records: WorkflowRecords
) -> None:
    before = put(queue, workflow_id="search")
    failure = {"Error": "BadInput", "Cause": "wrong"}
    finished = finish(an_end(failure=failure), queue, catalog, records)
    assert finished.status is Status.FAILED
    record = record_of(records, RUN)
    assert record.error
    assert (record.status, record.error.name) == (Status.FAILED, "BadInput")
    assert queue.entry(RRR) == before


def test_of_a_result_only_what_was_deferred_is_replaced() -> None:
    failed_source = SourceReport(source="bluesky", status=SourceStatus.FAILED, reason="down")
    before = SearchSummary(
        found=FoundMovie(tmdb_id=RRR, message=""),
        sources=(DEFERRED, failed_source),
        missing=("facts of the film: old", lack_of(DEFERRED), lack_of(failed_source)),
    )
    news = {
        "x": SourceReport(source="x", status=SourceStatus.PARTIAL, reason="half"),
        "bluesky": SourceReport(source="bluesky", status=SourceStatus.OK, new=3),
    }
    after = backfilled(before, news, None)
    assert after.sources == (news["x"], failed_source)
    assert after.missing == (
        "facts of the film: old",
        "reviews from x: half",
        lack_of(failed_source),
    )
    assert backfilled(before, {}, None) == before
