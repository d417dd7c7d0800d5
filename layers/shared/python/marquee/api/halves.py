"""The two halves of a search, each alone: collect what is said about a film, and store such data.

Collecting happens in a function of its own, which this one waits for: it alone holds the sources'
secrets, and its threads take nothing from other requests.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field, SkipValidation

from marquee.api.call import Call, Parameters, Reply
from marquee.api.problems import RETRY_AFTER_SECONDS, Refused, failed
from marquee.aws import invoke
from marquee.errors import FunctionFailed
from marquee.movies.imports import MAX_REVIEWS, ImportedFilm, ImportedReview, import_film
from marquee.movies.models import FilmRequest, Review, SourceStatus
from marquee.workflows.record import MAX_MESSAGE, StepError

if TYPE_CHECKING:
    from marquee.movies.collect import CollectDataOutput

MAX_REVIEWS_BYTES = 2_000_000
"""Of one answer: Lambda sends 6 MB at most, of a text that is escaped once more."""


class CollectData(FilmRequest):
    """Which film."""

    model_config = ConfigDict(strict=True, defer_build=True)


class StoreData(Parameters):
    """A film, and what people said about it."""

    movie: ImportedFilm = Field(description="As collect-data answers it, or less.")
    reviews: list[SkipValidation[ImportedReview]] = Field(
        default=[],
        max_length=MAX_REVIEWS,
        description="One that is wrong is refused by itself, with its index.",
    )


def collect_data(asked: CollectData, call: Call) -> Reply:
    """Ask TMDB and every source about a film, side by side, and answer what they say.

    Nothing is analyzed. It is stored as a search stores it, so that who asks again gets it all and
    X is paid for newer posts only. A source that fails, or is not done in 20 s, is in errors; none
    is asked twice.
    """
    from marquee.api.answers import CollectedData
    from marquee.movies.catalog import Catalog
    from marquee.movies.collect import CollectDataInput, CollectDataOutput
    from marquee.movies.search import shown

    request = FilmRequest.model_validate(asked.model_dump())
    task = CollectDataInput(request=request, request_id=call.request_id)
    function = call.settings.require("collect_data_function")
    try:
        collected = CollectDataOutput.model_validate(invoke(function, task.model_dump(mode="json")))
    except FunctionFailed as error:
        cause = StepError(name=error.name, message=str(error)[:MAX_MESSAGE])
        raise failed("collection", cause) from error
    known = Catalog.connect(call.settings).movie(collected.tmdb_id) if collected.tmdb_id else None
    reviews = _reviews(collected, request.max_reviews, call)
    shown_reviews = _with_room(reviews)
    return Reply(
        CollectedData(
            movie=shown(known, request.language) if known else None,
            message=collected.message,
            source=collected.source,
            age_seconds=collected.age_seconds,
            stale=collected.stale,
            candidates=collected.candidates,
            reviews=tuple(shown_reviews),
            left_out=len(reviews) - len(shown_reviews),
            sources=collected.sources,
            errors=_errors(collected),
        )
    )


def store(given: StoreData, call: Call) -> Reply:
    """Store a film and its reviews that come from elsewhere, each review once.

    Facts stand in where TMDB does not answer; newer ones are kept. The same request again stores
    what is missing, and nothing twice: send it again after a 503, which says what is stored.
    """
    from marquee.api.answers import RejectedReview, StoredData
    from marquee.movies.catalog import Catalog
    from marquee.movies.review_store import ReviewStore

    stored = import_film(
        given.movie,
        given.reviews,
        Catalog.connect(call.settings),
        ReviewStore.connect(call.settings),
        now=call.now(),
    )
    if stored.refused:
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the film and {stored.reviews_stored} reviews are stored, {stored.refused} are not: "
            "the database took no more; send the same again, nothing is stored twice",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    return Reply(
        StoredData(
            movie_stored=stored.movie_stored,
            reviews_stored=stored.reviews_stored,
            duplicates=stored.duplicates,
            rejected=tuple(
                RejectedReview(index=one.index, reason=one.reason) for one in stored.rejected
            ),
        )
    )


def _reviews(collected: "CollectDataOutput", max_reviews: int, call: Call) -> list[Review]:
    """What is stored of each source that was asked, the newest first."""
    from marquee.movies.review_store import ReviewStore

    if collected.tmdb_id is None:
        return []
    store = ReviewStore.connect(call.settings)
    facts = set(Review.model_fields)
    reviews: list[Review] = []
    for source in collected.asked:
        newest, _ = store.page(collected.tmdb_id, limit=max_reviews, source=source, consistent=True)
        reviews += [Review(**one.model_dump(include=facts)) for one in newest]
    return sorted(reviews, key=lambda review: review.posted_at, reverse=True)


def _with_room(reviews: Sequence[Review]) -> Sequence[Review]:
    """The first ones, as many as an answer has room for."""
    room = MAX_REVIEWS_BYTES
    for count, review in enumerate(reviews):
        room -= len(review.model_dump_json().encode())
        if room < 0:
            return reviews[:count]
    return reviews


def _errors(collected: "CollectDataOutput") -> dict[str, str]:
    """By source that was asked, why it gave nothing or not all."""
    errors = {
        report.source: report.reason
        for report in collected.sources
        if report.source in collected.asked and report.status is not SourceStatus.OK
    }
    if collected.stale:
        hours = collected.age_seconds / 3600
        old = f"TMDB did not answer: the film's facts are {hours:.0f} h old"
        errors["tmdb"] = "; ".join(filter(None, [old, errors.get("tmdb")]))
    return errors
