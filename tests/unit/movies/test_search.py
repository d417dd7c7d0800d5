"""FinishSearch and the answer: what is closed, announced and missing."""

import json
from typing import Any

import pytest

from marquee.errors import StoreUnavailable
from marquee.events.publish import Bus
from marquee.movies.catalog import Catalog
from marquee.movies.find import FindMovieOutput
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

WORKFLOW_ID = "movie_search-0123456789abcdef-1"


class Events:
    """An EventBridge that keeps what it is given, or refuses it."""

    def __init__(self, *, refusing: bool = False) -> None:
        self.refusing = refusing
        self.entries: list[dict[str, Any]] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.refusing:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    def detail(self, detail_type: str) -> dict[str, Any]:
        [entry] = [entry for entry in self.entries if entry["DetailType"] == detail_type]
        detail: dict[str, Any] = json.loads(entry["Detail"])
        return detail


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
    request: FinishSearchInput, catalog: Catalog, records: WorkflowRecords, events: Events
) -> FinishSearchOutput:
    return finish_search(request, catalog, records, Bus(events, "bus"), now=NOW)


def closed(records: WorkflowRecords) -> WorkflowRecord:
    record = records.get(WORKFLOW_ID, consistent=True)
    assert record
    return record


def result(records: WorkflowRecords, catalog: Catalog) -> SearchResult:
    found = result_of(closed(records), catalog)
    assert found
    return found


def test_a_whole_search_succeeds_and_is_announced(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    events = Events()
    report = {"source": "tmdb", "status": "ok", "fetched": 12, "new": 12}
    finished = finish(an_end(reports=[report]), catalog, records, events)
    assert (finished.status, closed(records).status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    completed = events.detail("MovieSearchCompleted")
    assert completed["average_sentiment"] == 0.4
    assert completed["sources"] == {"tmdb": "ok"}
    assert events.detail("RecommendationGenerated")["recommended"] == [1]
    answer = result(records, catalog)
    assert answer.movie
    assert answer.movie["title"] == "RRR"
    assert [film.title for film in answer.recommendations] == ["Eega"]
    assert answer.missing == ()


def test_a_search_without_a_match_succeeds_with_its_message(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    nothing = FindMovieOutput(message="TMDB knows no such film.", sources=(), skipped=())
    events = Events()
    finish(an_end(found=nothing.model_dump(mode="json")), catalog, records, events)
    answer = result(records, catalog)
    assert (answer.status, answer.movie, answer.analysis) == (Status.SUCCEEDED, None, None)
    assert answer.message == "TMDB knows no such film."
    assert [entry["DetailType"] for entry in events.entries] == ["MovieSearchCompleted"]


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
    finished = finish(an_end(**fields), catalog, records, Events())
    assert finished.status is Status.PARTIAL
    assert result(records, catalog).missing == (missing,)


def test_stale_facts_are_missing_fresh_ones(catalog: Catalog, records: WorkflowRecords) -> None:
    know_rrr(catalog)
    found = an_end().found
    assert found
    stale = found.model_copy(update={"stale": True, "source": "cache", "age_seconds": 90_000})
    finish(an_end(found=stale.model_dump(mode="json")), catalog, records, Events())
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
    finish(an_end(found=facts), catalog, records, Events())
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
    events = Events()
    assert finish(tail, catalog, records, events).status is Status.FAILED
    record = closed(records)
    assert record.error
    assert (record.error.name, record.error.message) == (
        "UpstreamTimeout",
        "tmdb search/movie: no answer",
    )
    assert events.entries == []
    assert result_of(record, catalog) is None


def test_a_second_end_changes_and_announces_nothing(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    finish(an_end(), catalog, records, Events())
    again = Events()
    problem = {"step": "AnalyzeReviews", "error": {"Error": "StoreUnavailable"}}
    assert finish(an_end(problems=[problem]), catalog, records, again).status is Status.SUCCEEDED
    assert (again.entries, result(records, catalog).missing) == ([], ())


def test_a_bus_that_refuses_leaves_the_search_open_for_the_next_attempt(
    catalog: Catalog, records: WorkflowRecords
) -> None:
    know_rrr(catalog)
    with pytest.raises(StoreUnavailable):
        finish(an_end(), catalog, records, Events(refusing=True))
    assert closed(records).status is Status.RUNNING


def test_a_film_is_shown_in_the_language_asked_for_and_in_english_where_words_lack() -> None:
    movie = a_movie(texts={"hi": FilmText(title="आरआरआर")})
    assert shown(movie, "hi-IN")["title"] == "आरआरआर"
    assert shown(movie, "hi")["overview"] == movie.overview
    assert shown(movie)["title"] == "RRR"
    assert "related" not in shown(movie)
