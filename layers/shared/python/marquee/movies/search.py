"""FinishSearch, and what a search answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from marquee.aws import only_logged
from marquee.clock import written
from marquee.movies.backfill_queue import BackfillQueue, Reason, Wish
from marquee.movies.catalog import Catalog
from marquee.movies.find import FindMovieOutput
from marquee.movies.interest import Interest
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
    recommended_ids: tuple[int, ...] = ()
    """Films of TMDB, the best first."""
    missing: tuple[str, ...] = ()
    """What the result lacks and why, in words; empty where the status is SUCCEEDED."""


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
    queue: BackfillQueue,
    *,
    now: datetime,
) -> FinishSearchOutput:
    """Close the record with the result; a search that has ended stays as it ended.

    Sources that were deferred are queued first: no record says so of what is not.
    """
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
    if found.tmdb_id is not None:
        interest = (known.interest if known else None) or Interest(tmdb_id=found.tmdb_id)
        interest = _looked_at(interest, found, record, collected, now)
        with only_logged("who looks at a film"):
            catalog.put_interest(interest, now)
        with only_logged("what is to be collected later"):
            collected = _queued(collected, interest, request.workflow_id, record, queue, now)
    missing = _missing(found, collected, request.problems)
    status = Status.PARTIAL if missing else Status.SUCCEEDED
    reports = (*collected, *found.skipped)
    recommendations = known.recommendations if known else ()
    summary = SearchSummary(
        found=FoundMovie.model_validate(found.model_dump()),
        sources=reports,
        average_sentiment=analysis.average_sentiment if analysis else None,
        sample_size=analysis.sample_size if analysis else 0,
        recommended_ids=tuple(film.tmdb_id for film in recommendations),
        missing=missing,
    )
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
    )


def _looked_at(
    interest: Interest,
    found: FoundMovie,
    record: WorkflowRecord | None,
    reports: Sequence[SourceReport],
    now: datetime,
) -> Interest:
    """With this search in it; by the time that it began, so that a retry counts it once."""
    named = interest.model_copy(update={"title": found.title or "", "year": found.year})
    searched = named.searched(record.started_at if record else now)
    gave = any(report.status in (SourceStatus.OK, SourceStatus.PARTIAL) for report in reports)
    return searched.collected(now) if gave else searched


def _queued(
    reports: list[SourceReport],
    interest: Interest,
    workflow_id: str,
    record: WorkflowRecord | None,
    queue: BackfillQueue,
    now: datetime,
) -> list[SourceReport]:
    """The reports, those of deferred sources saying that they are queued, and until when."""
    deferred = [report for report in reports if report.status is SourceStatus.DEFERRED]
    if not deferred:
        return reports
    slots = [report.deferred_until for report in deferred if report.deferred_until]
    wish = Wish(
        tmdb_id=interest.tmdb_id,
        title=interest.title,
        year=interest.year,
        reason=Reason.DEFERRED,
        sources=tuple(report.source for report in deferred),
        workflow_id=workflow_id,
        popularity=interest.popularity(now),
        max_reviews=int((record.input if record else {}).get("max_reviews", 10)),
        not_before=min(slots) if len(slots) == len(deferred) else None,
    )
    at = queue.expected_at(queue.add(wish, now), now)
    return [_with_promise(report, at) if report in deferred else report for report in reports]


def _with_promise(report: SourceReport, at: datetime | None) -> SourceReport:
    when = f", and expected by {written(at)}" if at else ""
    reason = f"{report.reason}; it is queued{when}"
    return report.model_copy(update={"reason": reason, "expected_at": at})


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
    missing += [lack for report in reports if (lack := lack_of(report))]
    return (*missing, *map(str, problems))


def lack_of(report: SourceReport) -> str:
    """What a search lacks by this source; empty where that is nothing."""
    if report.status is SourceStatus.OK:
        return ""
    return f"reviews from {report.source}: {report.reason or report.status.value}"


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
