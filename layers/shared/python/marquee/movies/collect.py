"""The first half of a search alone: find the film, and ask all sources about it side by side.

What is collected is stored exactly as a search stores it, for three reasons: X charges for each
post it returns, so what is thrown away is paid again; a source that is not done in time has not
worked for nothing; and who has lost the answer may ask again and gets it all, while X is asked for
newer posts only. Nothing is analyzed, recommended or announced.

Each source gets one attempt: who retries is the caller, as in a search it is the definition.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from marquee.aws import STORE_ERRORS, as_store_error
from marquee.errors import UpstreamTimeout
from marquee.movies.catalog import Catalog
from marquee.movies.find import Plan, find_movie
from marquee.movies.models import (
    FilmRequest,
    FoundMovie,
    Model,
    SearchRequest,
    SourceReport,
    SourceStatus,
)
from marquee.movies.review_store import ParkedReviews, ReviewStore
from marquee.movies.reviews import CollectReviewsInput, collect_reviews
from marquee.movies.sources import Collect, connect, plan
from marquee.movies.tmdb import Tmdb
from marquee.observability import Tally, current_tally, logger, tallying
from marquee.settings import Secrets, Settings

MAX_THREADS = 8
"""Sources asked at once; more wait for the first to end. There are four."""

THREADS = "collect"
"""How their names begin."""

MARGIN_SECONDS = 2.0
"""Kept of the invocation's time for the answer."""


class CollectDataInput(Model):
    """The film, and the id of the request that the log is searched by."""

    request: FilmRequest
    request_id: str = ""


class CollectDataOutput(FoundMovie):
    """What was found, and what each source contributed; the film and its reviews are stored."""

    asked: tuple[str, ...] = ()
    """The sources that are configured."""
    sources: tuple[SourceReport, ...] = ()


@dataclass(frozen=True)
class Collecting:
    """Whom to ask, and where to store what they say.

    Made before the threads start: boto3's clients may be shared by them, but not made by them.
    """

    tmdb: Tmdb
    catalog: Catalog
    store: ReviewStore
    parked: ParkedReviews
    plan: Plan
    source: Callable[[str], Collect]

    @classmethod
    def connect(cls, settings: Settings, secrets: Secrets) -> "Collecting":
        """What the template and the operator's secrets give us."""
        return cls(
            Tmdb.connect(settings, secrets),
            Catalog.connect(settings),
            ReviewStore.connect(settings),
            ParkedReviews.connect(settings),
            plan(settings, secrets),
            partial(connect, settings=settings, secrets=secrets),
        )

    def find(self, request: FilmRequest, now: datetime) -> FoundMovie:
        """The film, as a search finds it."""
        search = SearchRequest.model_validate(request.model_dump())
        return find_movie(search, self.tmdb, self.catalog, self.plan, now=now)

    def collect(self, request: CollectReviewsInput, now: datetime) -> SourceReport:
        """What one source says; a source that fails, however it does, is a report of that."""
        try:
            return collect_reviews(
                request,
                self.source(request.source),
                self.catalog,
                self.store,
                self.parked,
                now=now,
            )
        except Exception as error:
            named = as_store_error(error) if isinstance(error, STORE_ERRORS) else error
            logger.exception("a source failed", source=request.source, error=type(named).__name__)
            tally = current_tally()
            return SourceReport(
                source=request.source,
                status=SourceStatus.FAILED,
                reason=f"{type(named).__name__}: {named}",
                calls=tally.calls.total(),
                cost_usd=round(tally.cost_usd, 6),
            )


def collect_data(
    request: FilmRequest,
    collecting: Collecting,
    *,
    now: datetime,
    remaining_seconds: Callable[[], float],
) -> CollectDataOutput:
    """The film and what every configured source said of it before the time was up.

    ``remaining_seconds`` of the invocation bound it all. A source that is not done in time is
    reported so; its thread may end later, and stores then what the next call shows. Raises what
    ``find_movie`` raises, and UpstreamTimeout where even the film took too long.
    """
    asked, skipped = collecting.plan
    pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=THREADS)
    try:
        finding = _Job(pool, partial(collecting.find, request, now))
        if not finding.is_done_within(remaining_seconds() - MARGIN_SECONDS):
            raise UpstreamTimeout("not done within the request", provider="tmdb", endpoint="movie")
        found = finding.result()
        if found.tmdb_id is None:
            return _output(found)
        jobs = {
            source: _Job(
                pool,
                partial(
                    collecting.collect,
                    CollectReviewsInput(
                        source=source, tmdb_id=found.tmdb_id, max_reviews=request.max_reviews
                    ),
                    now,
                ),
            )
            for source in asked
        }
        reports = [
            job.result()
            if job.is_done_within(remaining_seconds() - MARGIN_SECONDS)
            else _late(source, job.tally)
            for source, job in jobs.items()
        ]
        return _output(found, asked, (*reports, *skipped))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Job[T]:
    """Work in a thread of its own, with a tally of its own, which becomes part of ours."""

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> None:
        self.tally = Tally()
        self._outer = current_tally()
        self._work = work
        self._future: Future[T] = pool.submit(copy_context().run, self._run)

    def is_done_within(self, seconds: float) -> bool:
        """Wait that long at most; from then on its calls are counted, those of a late one too."""
        done, _ = wait([self._future], timeout=max(seconds, 0.0))
        self._outer.add(self.tally)
        return bool(done)

    def result(self) -> T:
        """What it returned; raises what it raised."""
        return self._future.result()

    def _run(self) -> T:
        with tallying() as self.tally:
            return self._work()


def _late(source: str, tally: Tally) -> SourceReport:
    return SourceReport(
        source=source,
        status=SourceStatus.FAILED,
        reason="not done within the request; what it stores later, the next call shows",
        calls=tally.calls.total(),
        cost_usd=round(tally.cost_usd, 6),
    )


def _output(
    found: FoundMovie, asked: tuple[str, ...] = (), reports: tuple[SourceReport, ...] = ()
) -> CollectDataOutput:
    facts = found.model_dump(include=set(FoundMovie.model_fields))
    return CollectDataOutput(**facts, asked=asked, sources=reports)
