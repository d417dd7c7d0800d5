"""CollectReviews: take what one source says about a film, score it, and store each review once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field, ValidationError

from marquee.aws import STORE_ERRORS
from marquee.clock import written
from marquee.errors import (
    BreakerOpen,
    CredentialsRefused,
    CreditsDepleted,
    Deferred,
    Misconfigured,
    NotFound,
    RateLimited,
    SpendRefused,
    StoreUnavailable,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
)
from marquee.gateway.retries import LONGEST_TOLD
from marquee.movies.catalog import Catalog
from marquee.movies.models import Model, Review, ScoredReview, SetAside, SourceReport, SourceStatus
from marquee.movies.near_duplicates import SeenTexts
from marquee.movies.review_store import (
    NEWEST_REVIEWS,
    ParkedMessage,
    ParkedReviews,
    Record,
    ReviewStore,
    fitted,
    review_key,
    unreadable,
)
from marquee.movies.sentiment import score
from marquee.movies.sources import Collect, SourceQuery, Unreadable
from marquee.observability import current_tally, logger

CLOCK_SKEW = timedelta(days=1)
"""A review dated further ahead has a wrong date, and would be the newest of its film for years."""

EARLIEST_REVIEW = datetime(1991, 8, 6, tzinfo=UTC)
"""The first web site; an older date is a wrong one."""

_LASTING = (
    BreakerOpen,
    CredentialsRefused,
    CreditsDepleted,
    Misconfigured,
    UpstreamNotFound,
    UpstreamRefused,
)
"""What no retry mends: reported in words at once. Transient errors rise, for the definition."""


class CollectReviewsInput(Model):
    """Which source to ask about which film, for how many reviews."""

    source: str
    tmdb_id: int
    max_reviews: int = Field(ge=1, le=100)


def collect_reviews(
    request: CollectReviewsInput,
    source: Collect,
    catalog: Catalog,
    store: ReviewStore,
    parked: ParkedReviews,
    *,
    now: datetime,
) -> SourceReport:
    """Ask ``source`` about a film; every record it gives is then stored, set aside or parked.

    In the report ``fetched`` is the sum of new, duplicates, irrelevant, set_aside and parked.
    Raises what may have passed a few seconds later (a timeout, a 5xx, a rate limit that does not
    say that it lasts, DynamoDB refusing before that, SQS), SlotAhead, and NotFound for a film that
    is not stored.
    """
    movie = catalog.movie(request.tmdb_id)
    if movie is None:
        raise NotFound(f"no film {request.tmdb_id} is stored")
    known = store.newest(request.tmdb_id)
    cursor = store.cursor(request.tmdb_id, request.source)
    try:
        collected = source(SourceQuery(movie, request.max_reviews, cursor))
    except Deferred as error:
        return _deferred(request, error, error.at)
    except RateLimited as error:
        if error.retry_at is None or error.retry_at <= now + LONGEST_TOLD:
            raise
        return _deferred(request, error, error.retry_at)
    except SpendRefused as error:
        return _report(request, SourceStatus.SKIPPED, reason=str(error))
    except _LASTING as error:
        return _report(request, SourceStatus.FAILED, reason=str(error))
    aside = [_unreadable(request, found, now) for found in collected.unreadable]
    aside += [_misdated(review, now) for review in collected.reviews if not is_dated(review, now)]
    dated = [review for review in collected.reviews if is_dated(review, now)]
    try:
        new = new_reviews(dated, known, older_keys(dated, known, store))
        kept = _keep([*(scored(review, now) for review in new), *aside], store, now)
    except (StoreUnavailable, *STORE_ERRORS) as error:
        # Which of them are stored is not known, and they may have been paid for: from the queue
        # each is stored over itself.
        new = new_reviews(dated, known)
        kept = _Kept(0, 0, (*(scored(review, now) for review in new), *aside), str(error))
    parked.park(kept.refused)
    problems = [collected.problem] if collected.problem else []
    if kept.refused:
        problems.append(f"DynamoDB refused {len(kept.refused)} records, parked: {kept.reason}")
    elif collected.cursor and collected.cursor != cursor:
        problems.extend(_move_cursor(request, collected.cursor, store))
    return _report(
        request,
        SourceStatus.PARTIAL if problems else SourceStatus.OK,
        reason="; ".join(problems),
        fetched=collected.fetched,
        new=kept.new,
        duplicates=len(dated) - len(new),
        irrelevant=collected.irrelevant,
        set_aside=kept.set_aside,
        parked=len(kept.refused),
    )


def apply_parked_reviews(
    event: Mapping[str, Any], store: ReviewStore, *, now: datetime
) -> dict[str, Any]:
    """Store what the messages of an SQS batch hold; answers which of them must come again.

    A malformed message comes again until the queue hands it to the dead letters; the others are
    not held up by it. Once DynamoDB refuses, the rest of the batch is not tried: the client's
    retries have taken most of the function's time.
    """
    failed: list[str] = []
    refusing = False
    for message in event["Records"]:
        try:
            parked = ParkedMessage.model_validate_json(message["body"])
        except ValidationError as error:
            logger.error("a parked message is malformed", reason=str(error.errors()[0]["msg"]))
            failed.append(message["messageId"])
            continue
        if not refusing:
            kept = _keep([*parked.reviews, *parked.set_aside], store, now)
            refusing = bool(kept.refused)
        if refusing:
            failed.append(message["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


@dataclass(frozen=True)
class _Kept:
    """What became of a batch that was to be stored."""

    new: int
    set_aside: int
    refused: tuple[Record, ...]
    reason: str


def _keep(records: Iterable[Record], store: ReviewStore, now: datetime) -> _Kept:
    """Store the records; what DynamoDB will never take is set aside with DynamoDB's words."""
    first = store.put(records)
    second = store.put([_rejected(record, reason, now) for record, reason in first.invalid])
    stored = [*first.stored, *second.stored]
    new = sum(isinstance(record, ScoredReview) for record in stored)
    refused = (*first.refused, *second.refused, *(record for record, _ in second.invalid))
    reason = first.reason or second.reason
    if refused:
        logger.warning("records were refused", refused=len(refused), reason=reason)
    return _Kept(new, len(stored) - new, refused, reason)


def _rejected(record: Record, reason: str, now: datetime) -> SetAside:
    # Without what differs from one collection to the next: the same record, the same key.
    passing = {"collected_at", "sentiment", "set_aside_at"}
    return unreadable(
        record.model_dump(mode="json", exclude=passing),
        f"DynamoDB does not take it: {reason}",
        tmdb_id=record.tmdb_id,
        source=record.source,
        now=now,
    )


def older_keys(reviews: Iterable[Review], known: Sequence[Review], store: ReviewStore) -> set[str]:
    """The keys of the reviews that are stored and not among ``known``, the newest of their film.

    TMDB's reviews are old. Raises what `ReviewStore.stored_keys` raises.
    """
    if len(known) < NEWEST_REVIEWS:
        return set()
    newest = {review_key(review) for review in known}
    return store.stored_keys([review for review in reviews if review_key(review) not in newest])


def new_reviews(
    reviews: Iterable[Review], known: Sequence[Review], older: Collection[str] = ()
) -> list[Review]:
    """The reviews that are not stored and say nothing that is, the earliest of equals.

    Stored are those ``known``, and those with the keys ``older``.
    """
    stored = {*(review_key(review) for review in known), *older}
    seen = SeenTexts(review.text for review in known)
    new: dict[str, Review] = {}
    for review in sorted(reviews, key=review_key):
        key = review_key(review)
        if key not in stored and key not in new and seen.add(review.text):
            new[key] = review
    return list(new.values())


def scored(review: Review, now: datetime) -> ScoredReview:
    """The review as it is stored, cut where it would not fit."""
    parts = {**review.model_dump(), "sentiment": score(review), "collected_at": now}
    return fitted(ScoredReview.model_validate(parts))


def is_dated(review: Review, now: datetime) -> bool:
    """Whether it can have been posted then."""
    return EARLIEST_REVIEW <= review.posted_at <= now + CLOCK_SKEW


def _misdated(review: Review, now: datetime) -> SetAside:
    return unreadable(
        review.model_dump(mode="json"),
        f"posted_at: {review.posted_at.isoformat()} cannot be right",
        tmdb_id=review.tmdb_id,
        source=review.source,
        now=now,
    )


def _unreadable(request: CollectReviewsInput, found: Unreadable, now: datetime) -> SetAside:
    return unreadable(
        found.record, found.reason, tmdb_id=request.tmdb_id, source=request.source, now=now
    )


def _move_cursor(request: CollectReviewsInput, cursor: str, store: ReviewStore) -> list[str]:
    """Remember where to go on; what is read again because that failed changes nothing."""
    try:
        store.put_cursor(request.tmdb_id, request.source, cursor)
    except STORE_ERRORS as error:
        logger.warning("the cursor could not be stored", source=request.source, exc_info=True)
        return [f"DynamoDB refused to note how far {request.source} was read: {error}"]
    return []


def _deferred(
    request: CollectReviewsInput, error: UpstreamError, at: datetime | None
) -> SourceReport:
    until = f", deferred until {written(at)}" if at else ""
    report = _report(request, SourceStatus.DEFERRED, reason=f"{error}{until}")
    return report.model_copy(update={"deferred_until": at})


def _report(
    request: CollectReviewsInput, status: SourceStatus, *, reason: str, **counts: int
) -> SourceReport:
    tally = current_tally()
    return SourceReport(
        source=request.source,
        status=status,
        reason=reason,
        calls=len(tally.upstream_calls),
        cost_usd=round(tally.cost_usd, 6),
        **counts,
    )
