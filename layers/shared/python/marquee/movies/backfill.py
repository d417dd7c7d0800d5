"""PlanBackfill and FinishBackfill: which films are collected now, and what became of each.

Films come into the queue by searches that had to go on without a source (FinishSearch), and by the
plan itself, which asks the index ``refresh_due`` of MoviesTable for those that are searched often
or whose reviews are stale. They leave it when all is collected, or with the reason when they have
failed too often.

What somebody waits for is taken at any hour, as soon as the slot that its search was told of has
come; the rest in the off-peak hours only. Both may use only what is left of quotas and caps above
the reserve for searches, so that nobody who searches now is put off by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from marquee.movies.backfill_queue import (
    MAX_ATTEMPTS,
    BackfillQueue,
    Entry,
    EntryState,
    Reason,
    Wish,
    done,
    failed,
    put_back,
)
from marquee.movies.catalog import Catalog
from marquee.movies.interest import FRESH_FOR, OFTEN
from marquee.movies.leftover import Leftover
from marquee.movies.models import Analysis, Model, SourceReport, SourceStatus
from marquee.movies.off_peak import OffPeak
from marquee.movies.search import FailedSource, SearchSummary, lack_of
from marquee.movies.sources import SOURCES
from marquee.movies.start import KIND as SEARCHES
from marquee.workflows.problems import CaughtError, Problem, listed
from marquee.workflows.record import Status, WorkflowRecords

KIND = "review_backfill"
"""The kind of these workflows, and the name of their state machine."""

MAX_FILMS = 10
"""Of one run: a run stays short, and the next one is a quarter of an hour away at most."""

LOOKED_AT = 200
"""Entries that one plan reads at most; those that can not be taken now lie between the others."""

PAGE = 50

REFILLED = 20
"""Films that are due, queued by one plan."""

DUE_AGAIN = timedelta(days=1)
"""A film that is due and was queued is not looked at again for so long."""

SKIPPED_FOR = timedelta(hours=1)
"""Until a source that was skipped is tried again: a cap reached, a secret not set."""

GAVE = (SourceStatus.OK, SourceStatus.PARTIAL)


class BackfillRequest(BaseModel):
    """What a run is asked for; the input of the workflow."""

    model_config = ConfigDict(frozen=True)

    at_once: bool = False
    """Someone asks for it: off-peak hours and pauses do not count, quotas and caps do."""


class PlanBackfillInput(BaseModel):
    """The state's payload."""

    model_config = ConfigDict(frozen=True)

    request: BackfillRequest = BackfillRequest()


class CollectTask(Model):
    """One source to be asked about one film."""

    tmdb_id: int
    source: str
    max_reviews: int


class PlanBackfillOutput(BaseModel):
    """The films of this run, and what of them is collected."""

    model_config = ConfigDict(frozen=True)

    films: tuple[int, ...] = ()
    tasks: tuple[CollectTask, ...] = ()
    held: tuple[str, ...] = ()
    """Why there are not more."""
    counts: dict[str, int] = Field(default_factory=dict)


def plan_backfill(
    request: BackfillRequest,
    queue: BackfillQueue,
    catalog: Catalog,
    sources: Sequence[str],
    left: Leftover,
    window: OffPeak,
    *,
    now: datetime,
) -> PlanBackfillOutput:
    """The first films of the queue that may be collected now, as far as quota and budget go.

    ``sources`` are those that are configured. Nothing is changed but that due films are queued: a
    run that dies leaves the queue as it was.
    """
    at_any_hour = request.at_once or window.is_open(now)
    added = _refill(queue, catalog, sources, now) if at_any_hour else 0
    films: list[int] = []
    tasks: list[CollectTask] = []
    held: dict[str, None] = {}
    for entry in _in_turn(queue):
        if len(films) == MAX_FILMS:
            held["more films wait for the next run"] = None
            break
        if not request.at_once and not _may_be_taken(entry, at_any_hour, now):
            continue
        found = []
        for source in entry.sources:
            if why := left.take(source, entry.max_reviews):
                held[why] = None
            else:
                task = CollectTask(
                    tmdb_id=entry.tmdb_id, source=source, max_reviews=entry.max_reviews
                )
                found.append(task)
        if found:
            films.append(entry.tmdb_id)
            tasks += found
    counts = {"films": len(films), "tasks": len(tasks), "queued": added}
    return PlanBackfillOutput(
        films=tuple(films),
        tasks=tuple(tasks),
        held=tuple(held),
        counts={name: count for name, count in counts.items() if count},
    )


def is_anything_due(queue: BackfillQueue, catalog: Catalog, window: OffPeak, now: datetime) -> bool:
    """Whether a run would find a film that it may take, quotas and caps aside."""
    at_any_hour = window.is_open(now)
    if any(_may_be_taken(entry, at_any_hour, now) for entry in _in_turn(queue)):
        return True
    return at_any_hour and bool(catalog.due_films(now, 1))


def _may_be_taken(entry: Entry, at_any_hour: bool, now: datetime) -> bool:
    return entry.is_due(now) and (at_any_hour or bool(entry.waiting))


def _in_turn(queue: BackfillQueue) -> Iterable[Entry]:
    after: Mapping[str, Any] | None = None
    for _ in range(LOOKED_AT // PAGE):
        page, after = queue.page(EntryState.WAITING, limit=PAGE, after=after)
        yield from page
        if after is None:
            return


def _refill(queue: BackfillQueue, catalog: Catalog, sources: Sequence[str], now: datetime) -> int:
    """Queue the films that are due; how many that were. TMDB's reviews come with the film."""
    asked = {source.name for source in SOURCES if source.endpoint}
    wanted = tuple(source for source in sources if source in asked)
    due = catalog.due_films(now, REFILLED)
    for film in due:
        popularity = film.popularity(now)
        if wanted:
            queue.add(
                Wish(
                    tmdb_id=film.tmdb_id,
                    title=film.title,
                    year=film.year,
                    reason=Reason.OFTEN if popularity >= OFTEN else Reason.STALE,
                    sources=wanted,
                    popularity=popularity,
                ),
                now,
            )
        catalog.put_off(film.tmdb_id, now + DUE_AGAIN)
    return len(due) if wanted else 0


class Collected(BaseModel):
    """What one task of the plan came to."""

    model_config = ConfigDict(frozen=True)

    tmdb_id: int
    report: FailedSource | SourceReport

    @property
    def said(self) -> SourceReport:
        """The report, whichever way it went."""
        return self.report.report() if isinstance(self.report, FailedSource) else self.report


class Analyzed(BaseModel):
    """What the analysis of one film came to."""

    model_config = ConfigDict(frozen=True)

    tmdb_id: int
    error: CaughtError | None = None


class FinishBackfillInput(BaseModel):
    """The end of the happy path, or of the failure tail (``failure``)."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    plan: PlanBackfillOutput = PlanBackfillOutput()
    collected: Annotated[list[Collected], BeforeValidator(listed)] = []
    analyzed: Annotated[list[Analyzed], BeforeValidator(listed)] = []
    problems: Annotated[list[Problem], BeforeValidator(listed)] = []
    failure: CaughtError | None = None


class FilmState(StrEnum):
    """What became of a film in a run."""

    COMPLETE = "complete"
    BACK_IN_THE_QUEUE = "back in the queue"
    GIVEN_UP = "given up"


class FilmOutcome(BaseModel):
    """A film of a run."""

    model_config = ConfigDict(frozen=True)

    tmdb_id: int
    title: str
    state: FilmState
    reason: str = ""
    """Why it is not complete."""
    failed: bool = False
    """Something went wrong, other than that it had to be put off."""
    new: int = 0
    """Reviews that were not known."""
    sources: dict[str, int] = Field(default_factory=dict)
    """How many of them from each source that had any."""
    completed: tuple[str, ...] = ()
    """The searches that lack nothing any more."""


class BackfillSummary(BaseModel):
    """The result in the workflow record."""

    model_config = ConfigDict(frozen=True)

    films: tuple[FilmOutcome, ...] = ()
    held: tuple[str, ...] = ()
    """Why there were not more films."""
    problems: tuple[str, ...] = ()


class FinishBackfillOutput(BaseModel):
    """How the run ended."""

    workflow_id: str
    status: Status
    counts: dict[str, int] = Field(default_factory=dict)


def finish_backfill(
    request: FinishBackfillInput,
    queue: BackfillQueue,
    catalog: Catalog,
    records: WorkflowRecords,
    *,
    now: datetime,
) -> FinishBackfillOutput:
    """Take what is collected out of the queue, complete the searches that waited, close the record.

    A run that has ended stays as it ended. A retry finds what the attempt before it did, and does
    the rest.
    """
    record = records.get(request.workflow_id, consistent=True)
    if record and record.status is not Status.RUNNING:
        return FinishBackfillOutput(workflow_id=record.workflow_id, status=record.status)
    if request.failure:
        error = request.failure.as_step_error()
        records.close(request.workflow_id, KIND, Status.FAILED, now=now, error=error)
        return FinishBackfillOutput(workflow_id=request.workflow_id, status=Status.FAILED)
    finishing = _Finishing(request, queue, catalog, records, now)
    outcomes = tuple(filter(None, map(finishing.finish, request.plan.films)))
    problems = tuple(map(str, request.problems))
    went_wrong = problems or any(film.failed for film in outcomes)
    status = Status.PARTIAL if went_wrong else Status.SUCCEEDED
    summary = BackfillSummary(films=outcomes, held=request.plan.held, problems=problems)
    result = summary.model_dump(mode="json")
    records.close(request.workflow_id, KIND, status, now=now, result=result)
    counts = {
        "complete": sum(film.state is FilmState.COMPLETE for film in outcomes),
        "searches_completed": sum(len(film.completed) for film in outcomes),
        "new_reviews": sum(film.new for film in outcomes),
    }
    return FinishBackfillOutput(workflow_id=request.workflow_id, status=status, counts=counts)


class _Finishing:
    """The end of one run, film by film."""

    def __init__(
        self,
        request: FinishBackfillInput,
        queue: BackfillQueue,
        catalog: Catalog,
        records: WorkflowRecords,
        now: datetime,
    ) -> None:
        self._run = request.workflow_id
        self._queue = queue
        self._catalog = catalog
        self._records = records
        self._now = now
        self._reports: dict[int, dict[str, SourceReport]] = {}
        for task in request.collected:
            self._reports.setdefault(task.tmdb_id, {})[task.said.source] = task.said
        self._analyzed = {film.tmdb_id: film.error for film in request.analyzed}

    def finish(self, tmdb_id: int) -> FilmOutcome | None:
        """What became of the film; None where it has left the queue meanwhile."""
        entry = self._queue.entry(tmdb_id)
        if entry is None:
            return None
        reports = self._reports.get(tmdb_id, {})
        trouble = self._trouble(tmdb_id, reports)
        if entry.last_run == self._run:  # by an attempt of this step that died later
            return self._outcome(entry, failed=bool(trouble))
        if entry.state is not EntryState.WAITING:
            return None
        gave = {
            source: report
            for source, report in reports.items()
            if report.status in GAVE and not self._analysis_failed(tmdb_id)
        }
        told = dict(gave)
        if trouble and entry.attempts + 1 >= MAX_ATTEMPTS:
            told |= _given_up(entry.sources, reports, told, trouble)
        if gave and (interest := self._catalog.interest(tmdb_id)):
            self._catalog.put_interest(interest.collected(self._now), self._now)
        served = self._serve(entry, told)

        def after(entry: Entry | None) -> Entry | None:
            if entry is None or entry.state is not EntryState.WAITING:
                return None
            return self._after(entry, reports, gave, trouble, served).model_copy(
                update={"last_run": self._run}
            )

        stored = self._queue.change(tmdb_id, after)
        if stored is None:
            return None
        if stored.state is EntryState.GIVEN_UP:
            # As stale as before, but not tomorrow again.
            self._catalog.put_off(tmdb_id, self._now + FRESH_FOR)
        completed = tuple(workflow_id for workflow_id, is_complete in served.items() if is_complete)
        return self._outcome(stored, failed=bool(trouble), completed=completed)

    def _analysis_failed(self, tmdb_id: int) -> bool:
        return self._analyzed.get(tmdb_id) is not None or tmdb_id not in self._analyzed

    def _trouble(self, tmdb_id: int, reports: Mapping[str, SourceReport]) -> str:
        """What went wrong with the film, in words; empty where it was only put off."""
        found = [
            f"{report.source}: {report.reason}"
            for report in reports.values()
            if report.status is SourceStatus.FAILED
        ]
        if not reports:
            found.append("nothing was collected")
        elif error := self._analyzed.get(tmdb_id):
            found.append(f"AnalyzeReviews: {error}")
        elif tmdb_id not in self._analyzed:
            found.append("it was not analyzed")
        return "; ".join(found)

    def _serve(self, entry: Entry, told: Mapping[str, SourceReport]) -> dict[str, bool]:
        """Tell the searches that wait what has come: those that wait no more, and whether they are
        complete."""
        known = self._catalog.known(entry.tmdb_id)
        served = {}
        for workflow_id in entry.waiting:
            record = self._records.get(workflow_id, consistent=True)
            if record and record.status is Status.RUNNING:
                continue  # it is about to end, and will then wait
            if record is None or record.status is not Status.PARTIAL or not record.result:
                served[workflow_id] = False
                continue
            before = SearchSummary.model_validate(record.result)
            summary = backfilled(before, told, known.analysis)
            complete = not summary.missing
            if summary != before:
                self._records.amend(
                    workflow_id,
                    SEARCHES,
                    summary.model_dump(mode="json", exclude_defaults=True),
                    complete=complete,
                    now=self._now,
                )
            if not any(report.status is SourceStatus.DEFERRED for report in summary.sources):
                served[workflow_id] = complete
        return served

    def _after(
        self,
        entry: Entry,
        reports: Mapping[str, SourceReport],
        gave: Mapping[str, SourceReport],
        trouble: str,
        served: Mapping[str, bool],
    ) -> Entry:
        """The entry as it goes on; a search that came to it meanwhile waits for the next run."""
        waiting = tuple(one for one in entry.waiting if one not in served)
        remaining = tuple(source for source in entry.sources if source not in gave)
        left = entry.model_copy(update={"waiting": waiting})
        new = sum(report.new for report in gave.values())
        if trouble:
            return failed(left, trouble, self._now, sources=remaining or entry.sources)
        if not remaining and not waiting:
            return done(entry, f"{new} new reviews", self._now)
        put_off = {source: report for source, report in reports.items() if source not in gave}
        words = "; ".join(f"{source}: {report.reason}" for source, report in put_off.items())
        slots = [report.deferred_until or self._now + SKIPPED_FOR for report in put_off.values()]
        return put_back(
            left,
            words or f"{new} new reviews, and more to come",
            self._now,
            sources=remaining or entry.sources,
            # Where one was not even asked, there was no quota for it: that may change at any time.
            not_before=min(slots) if slots and len(slots) == len(remaining) else None,
        )

    def _outcome(
        self, entry: Entry, *, failed: bool = False, completed: tuple[str, ...] = ()
    ) -> FilmOutcome:
        states = {
            EntryState.DONE: FilmState.COMPLETE,
            EntryState.WAITING: FilmState.BACK_IN_THE_QUEUE,
            EntryState.GIVEN_UP: FilmState.GIVEN_UP,
        }
        reports = self._reports.get(entry.tmdb_id, {})
        gained = {source: report.new for source, report in reports.items() if report.new}
        return FilmOutcome(
            tmdb_id=entry.tmdb_id,
            title=entry.title,
            state=states[entry.state],
            reason="" if entry.state is EntryState.DONE else entry.last_outcome,
            failed=failed,
            new=sum(gained.values()),
            sources=gained,
            completed=completed,
        )


def _given_up(
    sources: Iterable[str],
    reports: Mapping[str, SourceReport],
    gave: Mapping[str, SourceReport],
    trouble: str,
) -> dict[str, SourceReport]:
    """What searches are told of sources that nobody asks for them any more."""
    found = {}
    for source in sources:
        report = reports.get(source)
        if source in gave:
            continue
        if report is None or report.status is not SourceStatus.FAILED:
            reason = f"given up: {trouble}"
            report = SourceReport(source=source, status=SourceStatus.FAILED, reason=reason)
        found[source] = report
    return found


def backfilled(
    summary: SearchSummary, reports: Mapping[str, SourceReport], analysis: Analysis | None
) -> SearchSummary:
    """The result of a search with what came later in the place of what was deferred."""
    news = {
        report.source: reports[report.source]
        for report in summary.sources
        if report.status is SourceStatus.DEFERRED and report.source in reports
    }
    if not news:
        return summary
    before = {lack_of(report): report.source for report in summary.sources if lack_of(report)}
    missing = (
        lack_of(news[before[lack]]) if before.get(lack) in news else lack
        for lack in summary.missing
    )
    return summary.model_copy(
        update={
            "sources": tuple(news.get(report.source, report) for report in summary.sources),
            "missing": tuple(filter(None, missing)),
            "average_sentiment": analysis.average_sentiment if analysis else None,
            "sample_size": analysis.sample_size if analysis else 0,
        }
    )
