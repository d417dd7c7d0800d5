"""FinishSearch, and what a search answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from marquee.events.publish import Bus, Event
from marquee.movies.catalog import Catalog
from marquee.movies.find import FindMovieOutput
from marquee.movies.models import (
    Analysis,
    Candidate,
    FoundMovie,
    Movie,
    Recommendation,
    SourceReport,
    SourceStatus,
)
from marquee.movies.start import KIND
from marquee.workflows.problems import CaughtError, Problem, listed
from marquee.workflows.record import Status, WorkflowRecord, WorkflowRecords


class FailedSource(BaseModel):
    """What ReportFailedSource says of a source whose task failed for good."""

    model_config = ConfigDict(frozen=True)

    source: str
    error: CaughtError

    def report(self) -> SourceReport:
        """The same as every other source's report."""
        return SourceReport(source=self.source, status=SourceStatus.FAILED, reason=str(self.error))


class FinishSearchInput(BaseModel):
    """The end of the happy path (``found``, ``reports``, ``problems``) or of the failure tail."""

    workflow_id: str
    found: FindMovieOutput | None = None
    reports: Annotated[list[FailedSource | SourceReport], BeforeValidator(listed)] = []
    problems: Annotated[list[Problem], BeforeValidator(listed)] = []
    failure: CaughtError | None = None


class SearchSummary(BaseModel):
    """The result in the workflow record: ids and counts; the rest is read from MoviesTable."""

    model_config = ConfigDict(frozen=True)

    found: FoundMovie
    sources: tuple[SourceReport, ...] = ()
    average_sentiment: float | None = None
    sample_size: int = 0
    recommended: int = 0
    missing: tuple[str, ...] = ()
    """What the result lacks and why, in words; empty where the status is SUCCEEDED."""
    events: tuple[str, ...] = ()
    """The events put on the bus."""


class FinishSearchOutput(BaseModel):
    """How the search ended."""

    workflow_id: str
    status: Status
    tmdb_id: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)


def finish_search(
    request: FinishSearchInput,
    catalog: Catalog,
    records: WorkflowRecords,
    bus: Bus,
    *,
    now: datetime,
) -> FinishSearchOutput:
    """Close the record and announce the result; a search that has ended stays as it ended."""
    record = records.get(request.workflow_id, consistent=True)
    if record and record.status is not Status.RUNNING:
        return FinishSearchOutput(workflow_id=record.workflow_id, status=record.status)
    if request.failure or request.found is None:
        return _close_failed(request, records, now)
    found = request.found
    known = catalog.known(found.tmdb_id) if found.tmdb_id is not None else None
    analysis = known.analysis if known else None
    collected = [
        report.report() if isinstance(report, FailedSource) else report
        for report in request.reports
    ]
    missing = _missing(found, collected, request.problems)
    status = Status.PARTIAL if missing else Status.SUCCEEDED
    reports = (*collected, *found.skipped)
    recommendations = known.recommendations if known else ()
    events = _events(request.workflow_id, status, found, reports, analysis, recommendations)
    summary = SearchSummary(
        found=FoundMovie.model_validate(found.model_dump()),
        sources=reports,
        average_sentiment=analysis.average_sentiment if analysis else None,
        sample_size=analysis.sample_size if analysis else 0,
        recommended=len(recommendations),
        missing=missing,
        events=tuple(event.detail_type for event in events),
    )
    # The events go first: a crash between the two repeats them; no search closes in silence.
    bus.put(events)
    records.close(
        request.workflow_id,
        KIND,
        status,
        now=now,
        result=summary.model_dump(mode="json", exclude_defaults=True),
    )
    return FinishSearchOutput(
        workflow_id=request.workflow_id,
        status=status,
        tmdb_id=found.tmdb_id,
        counts={"events": len(events)},
    )


def _close_failed(
    request: FinishSearchInput, records: WorkflowRecords, now: datetime
) -> FinishSearchOutput:
    failure = request.failure or CaughtError(Error="NoResult", Cause="no film was handed on")
    error = failure.as_step_error()
    records.close(request.workflow_id, KIND, Status.FAILED, now=now, error=error)
    return FinishSearchOutput(workflow_id=request.workflow_id, status=Status.FAILED)


def _missing(
    found: FindMovieOutput, reports: Sequence[SourceReport], problems: Sequence[Problem]
) -> tuple[str, ...]:
    missing = []
    if found.stale:
        hours = found.age_seconds / 3600
        missing.append(f"facts of the film: TMDB did not answer, they are {hours:.0f} h old")
    missing += [
        f"reviews from {report.source}: {report.reason or report.status.value}"
        for report in reports
        if report.status is not SourceStatus.OK
    ]
    return (*missing, *map(str, problems))


def _events(
    workflow_id: str,
    status: Status,
    found: FoundMovie,
    reports: Sequence[SourceReport],
    analysis: Analysis | None,
    recommendations: Sequence[Recommendation],
) -> list[Event]:
    about = {"workflow_id": workflow_id, "tmdb_id": found.tmdb_id, "title": found.title}
    completed = Event(
        "MovieSearchCompleted",
        {
            **about,
            "status": status.value,
            "message": found.message,
            "average_sentiment": analysis.average_sentiment if analysis else None,
            "sample_size": analysis.sample_size if analysis else 0,
            "sources": {report.source: report.status.value for report in reports},
        },
    )
    if not recommendations:
        return [completed]
    recommended = [film.tmdb_id for film in recommendations]
    return [completed, Event("RecommendationGenerated", {**about, "recommended": recommended})]


class SearchResult(BaseModel):
    """What a search answers: the API's ``workflow_result``."""

    workflow_id: str
    status: Status
    movie: dict[str, Any] | None
    """Movie without its related films, in the language asked for; None where nothing matched."""
    message: str
    source: str = "tmdb"
    age_seconds: int = 0
    stale: bool = False
    analysis: Analysis | None
    recommendations: tuple[Recommendation, ...]
    sources: tuple[SourceReport, ...]
    candidates: tuple[Candidate, ...]
    missing: tuple[str, ...]


def result_of(record: WorkflowRecord, catalog: Catalog) -> SearchResult | None:
    """The result of a search that has ended with one; None where it runs or has failed."""
    if not record.result:
        return None
    summary = SearchSummary.model_validate(record.result)
    found = summary.found
    known = catalog.known(found.tmdb_id) if found.tmdb_id is not None else None
    language = str(record.input.get("language", "en"))
    return SearchResult(
        workflow_id=record.workflow_id,
        status=record.status,
        movie=shown(known.movie, language) if known and known.movie else None,
        message=found.message,
        source=found.source,
        age_seconds=found.age_seconds,
        stale=found.stale,
        analysis=known.analysis if known else None,
        recommendations=known.recommendations if known else (),
        sources=summary.sources,
        candidates=found.candidates,
        missing=summary.missing,
    )


def shown(movie: Movie, language: str = "en") -> dict[str, Any]:
    """The film as an answer shows it: without related films, texts in ``language`` or English."""
    facts = movie.model_dump(mode="json", exclude={"related", "texts"})
    text = movie.texts.get(language[:2])
    if text:
        facts |= {name: words for name, words in text.model_dump().items() if words}
    return facts
