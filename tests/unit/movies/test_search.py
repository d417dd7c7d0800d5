"""FinishSearch and the answer: what is closed, announced and missing."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from marquee.movies.backfill_queue import DRAINED_EVERY, BackfillQueue
from marquee.movies.catalog import Catalog
from marquee.movies.find import FindMovieOutput
from marquee.movies.interest import FRESH_FOR
from marquee.movies.models import Analysis, AnalyzedFilm, FilmText, Label, Recommendation
from marquee.movies.search import (
    FinishSearchInput,
    FinishSearchOutput,
    SearchResult,
    finish_search,
    result_of,
    shown,
)
from marquee.movies.start import KIND
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords
from tests.support.builders import NOW, a_movie
from tests.support.review_tables import a_table, refusing

WORKFLOW_ID = "movie_search-0123456789abcdef-1"


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return Catalog.connect(settings)


@pytest.fixture
def records(settings: Settings) -> WorkflowRecords:
    records = WorkflowRecords.connect(settings)
    records.open(WORKFLOW_ID, KIND, trigger="api", request={"movie_name": "RRR"}, now=NOW)
    return records


def an_end(**fields: Any) -> FinishSearchInput:
    found = FindMovieOutput(
        tmdb_id=579974,
        title="RRR",
        year=2022,
        message="RRR (2022): exact title.",
        sources=("tmdb",),
        skipped=(),
    )
    given = {"found": found.model_dump(mode="json"), "reports": [], "problems": [], **fields}
    return FinishSearchInput.model_validate({"workflow_id": WORKFLOW_ID, **given})


def know_rrr(catalog: Catalog) -> None:
    catalog.put_movie(a_movie(), ["rrr"], [])
    analysis = Analysis(
        tmdb_id=579974,
        average_sentiment=0.4,
        label=Label.POSITIVE,
        sample_size=12,
        analyzed_at=NOW,
        scorer="vader",
    )
    catalog.put_analysis(analysis, AnalyzedFilm(tmdb_id=579974, title="RRR"))
    eega = Recommendation(tmdb_id=1, title="Eega", year=2012, score=0.5, reasons=("alike",))
    catalog.put_recommendations(579974, [eega], NOW)


def finish(
    request: FinishSearchInput,
    catalog: Catalog,
    records: WorkflowRecords,
    queue: BackfillQueue | None = None,
    now: datetime = NOW,
) -> FinishSearchOutput:
    return finish_search(request, catalog, records, queue or Unused(), now=now)


class Unused(BackfillQueue):
    """A queue that nothing may be put into."""

    def __init__(self) -> None: ...


def closed(records: WorkflowRecords) -> WorkflowRecord:
    record = records.get(WORKFLOW_ID, consistent=True)
    assert record
    return record


def result(records: WorkflowRecords, catalog: Catalog) -> SearchResult:
    found = result_of(closed(records), catalog)
    assert found
    return found


def test_a_whole_search_succeeds_with_its_result(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    report = {"source": "tmdb", "status": "ok", "fetched": 12, "new": 12}
    finished = finish(an_end(reports=[report]), catalog, records)
    assert (finished.status, closed(records).status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    assert closed(records).result["recommended_ids"] == [1]
    answer = result(records, catalog)
    assert answer.movie
    assert answer.movie["title"] == "RRR"
    assert [film.title for film in answer.recommendations] == ["Eega"]
    assert answer.missing == ()


LATER = NOW + timedelta(minutes=15)
DEFERRED = {
    "source": "x",
    "status": "deferred",
    "reason": "no slot is near",
    "deferred_until": LATER.isoformat(),
}


@pytest.fixture
def queue(settings: Settings) -> BackfillQueue:
    return BackfillQueue.connect(settings)


def test_a_deferred_source_is_queued_and_the_result_says_until_when(
    catalog: Catalog, records: WorkflowRecords, queue: BackfillQueue
) -> None:
    other = {**DEFERRED, "source": "bluesky", "deferred_until": NOW.isoformat()}
    reports = [{"source": "tmdb", "status": "ok"}, DEFERRED, other]
    finished = finish(an_end(reports=reports), catalog, records, queue)
    assert finished.status is Status.PARTIAL
    entry = queue.entry(579974)
    assert entry
    assert (entry.waiting, entry.sources) == ((WORKFLOW_ID,), ("x", "bluesky"))
    assert (entry.title, entry.year, entry.max_reviews) == ("RRR", 2022, 10)
    assert (entry.reason, entry.not_before, entry.popularity) == ("deferred", NOW, 1)
    answer = result(records, catalog)
    assert answer.sources[1].expected_at == NOW + DRAINED_EVERY
    promise = "no slot is near; it is queued, and expected by 2026-03-14T20:15:00Z"
    assert answer.missing == (f"reviews from x: {promise}", f"reviews from bluesky: {promise}")


def test_where_nothing_drains_the_queue_no_time_is_promised(
    catalog: Catalog, records: WorkflowRecords, queue: BackfillQueue
) -> None:
    idle = BackfillQueue(queue._table, is_drained=False)
    finish(an_end(reports=[DEFERRED]), catalog, records, idle)
    assert result(records, catalog).missing == ("reviews from x: no slot is near; it is queued",)


def test_a_retry_queues_nothing_twice_and_counts_one_search(
    catalog: Catalog, records: WorkflowRecords, queue: BackfillQueue
) -> None:
    class Dying(WorkflowRecords):
        def close(self, *arguments: Any, **fields: Any) -> bool:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        finish(an_end(reports=[DEFERRED]), catalog, Dying(records._table), queue)
    finish(an_end(reports=[DEFERRED]), catalog, records, queue, LATER)
    entry, interest = queue.entry(579974), catalog.interest(579974)
    assert entry
    assert interest
    assert (entry.waiting, entry.turn_at) == ((WORKFLOW_ID,), NOW)
    assert interest.popularity(LATER) == 1


def test_a_queue_that_refuses_costs_no_result(
    catalog: Catalog, records: WorkflowRecords, settings: Settings
) -> None:
    entries = a_table(settings.backfill_table)
    refusing(entries, "PutItem", "ProvisionedThroughputExceededException")
    finish(an_end(reports=[DEFERRED]), catalog, records, BackfillQueue(entries))
    assert result(records, catalog).missing == ("reviews from x: no slot is near",)


def test_a_film_that_was_collected_is_due_again_in_its_time(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    finish(an_end(reports=[{"source": "x", "status": "ok"}]), catalog, records)
    interest = catalog.interest(579974)
    assert interest
    assert (interest.title, interest.year, interest.collected_at) == ("RRR", 2022, NOW)
    assert catalog.due_films(NOW + FRESH_FOR - timedelta(seconds=1), 10) == []
    assert catalog.due_films(NOW + FRESH_FOR, 10) == [interest]


def test_a_search_on_stored_reviews_collects_nothing(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    finish(an_end(), catalog, records)
    interest = catalog.interest(579974)
    assert interest
    assert (interest.popularity(NOW), interest.collected_at) == (1, None)


def test_a_search_without_a_match_succeeds_with_its_message(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    nothing = FindMovieOutput(message="TMDB knows no such film.", sources=(), skipped=())
    finish(an_end(found=nothing.model_dump(mode="json")), catalog, records)
    answer = result(records, catalog)
    assert (answer.status, answer.movie, answer.analysis) == (Status.SUCCEEDED, None, None)
    assert answer.message == "TMDB knows no such film."


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (
            {"reports": [{"source": "x", "status": "partial", "reason": "one page of two"}]},
            "reviews from x: one page of two",
        ),
        (
            {
                "reports": {
                    "source": "x",
                    "status": "failed",
                    "error": {
                        "Error": "UpstreamTimeout",
                        "Cause": json.dumps({"errorMessage": "x: no answer", "stackTrace": ["x"]}),
                    },
                }
            },
            "reviews from x: UpstreamTimeout: x: no answer",
        ),
        (
            {"problems": {"step": "AnalyzeReviews", "error": {"Error": "States.Timeout"}}},
            "AnalyzeReviews: States.Timeout: ",
        ),
    ],
    ids=["partial source", "failed source, alone in its list", "failed step, alone in its list"],
)
def test_what_is_missing_makes_the_search_partial_and_is_said(
    fields: dict[str, Any], missing: str, catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    finished = finish(an_end(**fields), catalog, records)
    assert finished.status is Status.PARTIAL
    assert result(records, catalog).missing == (missing,)


def test_stale_facts_are_missing_fresh_ones(catalog: Catalog, records: WorkflowRecords) -> None:
    know_rrr(catalog)
    found = an_end().found
    assert found
    stale = found.model_copy(update={"stale": True, "source": "cache", "age_seconds": 90_000})
    finish(an_end(found=stale.model_dump(mode="json")), catalog, records)
    answer = result(records, catalog)
    assert answer.missing == ("facts of the film: TMDB did not answer, they are 25 h old",)
    assert (answer.source, answer.age_seconds) == ("cache", 90_000)


def test_sources_that_are_not_configured_are_reported_and_lack_nothing(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    found = an_end().found
    assert found
    skipped = {"source": "x", "status": "skipped", "reason": "x/bearer_token is not set"}
    facts = found.model_dump(mode="json") | {"skipped": [skipped]}
    finish(an_end(found=facts), catalog, records)
    answer = result(records, catalog)
    assert (answer.status, answer.sources[0].reason) == (
        Status.SUCCEEDED,
        "x/bearer_token is not set",
    )


def test_the_failure_tail_closes_the_record_with_the_message_and_without_a_stack_trace(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    cause = json.dumps({"errorMessage": "tmdb search/movie: no answer", "stackTrace": ["secret"]})
    failure = {"Error": "UpstreamTimeout", "Cause": cause}
    tail = FinishSearchInput.model_validate({"workflow_id": WORKFLOW_ID, "failure": failure})
    assert finish(tail, catalog, records).status is Status.FAILED
    record = closed(records)
    assert record.error
    assert (record.error.name, record.error.message) == (
        "UpstreamTimeout",
        "tmdb search/movie: no answer",
    )
    assert result_of(record, catalog) is None


def test_a_second_end_changes_nothing(catalog: Catalog, records: WorkflowRecords) -> None:
    know_rrr(catalog)
    finish(an_end(), catalog, records)
    problem = {"step": "AnalyzeReviews", "error": {"Error": "StoreUnavailable"}}
    assert finish(an_end(problems=[problem]), catalog, records).status is Status.SUCCEEDED
    assert result(records, catalog).missing == ()


def test_a_film_is_shown_in_the_language_asked_for_and_in_english_where_words_lack() -> None:
    movie = a_movie(texts={"hi": FilmText(title="आरआरआर")})
    assert shown(movie, "hi-IN")["title"] == "आरआरआर"
    assert shown(movie, "hi")["overview"] == movie.overview
    assert shown(movie)["title"] == "RRR"
    assert "related" not in shown(movie)
