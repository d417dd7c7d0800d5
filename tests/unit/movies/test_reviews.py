"""CollectReviews and ApplyParkedReviews: every record ends up somewhere, and nowhere twice."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from marquee.errors import (
    CredentialsRefused,
    CreditsDepleted,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.movies.catalog import Catalog
from marquee.movies.models import Review, ScoredReview, SetAside, SourceReport, SourceStatus
from marquee.movies.review_store import NEWEST_REVIEWS, ParkedMessage, ParkedReviews, ReviewStore
from marquee.movies.reviews import (
    CollectReviewsInput,
    apply_parked_reviews,
    collect_reviews,
)
from marquee.movies.sentiment import SCORER
from marquee.movies.sources import Collected, SourceQuery, Unreadable
from marquee.observability import current_tally, tallying
from tests.support.builders import NOW, a_movie, a_review, a_scored_review
from tests.support.review_tables import leaving_unprocessed, refusing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

FILM = 579974
HOUR = timedelta(hours=1)
TOPICS = "songs bridge tiger stunts friendship dance villain music finale interval".split()  # noqa: SIM905 - easier to read


def some_reviews(count: int, **fields: Any) -> list[Review]:
    """Reviews that say different things, the newest first."""
    return [
        a_review(
            **{
                "review_id": f"review-{number}",
                "text": f"The {TOPICS[number % 10]} made take {number} my favorite",
                "posted_at": NOW - number * HOUR,
                **fields,
            }
        )
        for number in range(count)
    ]


@dataclass
class Asked:
    """A source that gives what it is told and remembers what it was asked."""

    collected: Collected
    queries: list[SourceQuery] = field(default_factory=list)

    def __call__(self, query: SourceQuery) -> Collected:
        self.queries.append(query)
        return self.collected


@dataclass
class Queue:
    """An SQS client that keeps what is sent."""

    bodies: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        assert QueueUrl == "parked"
        if self.refusal:
            raise self.refusal
        self.bodies.append(MessageBody)

    @property
    def messages(self) -> list[ParkedMessage]:
        return [ParkedMessage.model_validate_json(body) for body in self.bodies]


@dataclass
class House:
    """CollectReviews with its tables and queue around it."""

    catalog: Catalog
    store: ReviewStore
    queue: Queue = field(default_factory=Queue)

    def collect(
        self,
        *reviews: Review,
        source: str = "tmdb",
        max_reviews: int = 100,
        now: datetime = NOW,
        **parts: Any,
    ) -> SourceReport:
        given = Asked(Collected(tuple(reviews), **parts))
        return self.ask(given, source=source, max_reviews=max_reviews, now=now)

    def ask(self, source_: Any, *, now: datetime = NOW, **request: Any) -> SourceReport:
        asked = {"source": "tmdb", "tmdb_id": FILM, "max_reviews": 100, **request}
        return collect_reviews(
            CollectReviewsInput.model_validate(asked),
            source_,
            self.catalog,
            self.store,
            ParkedReviews(self.queue, "parked"),
            now=now,
        )


@pytest.fixture
def house(movies_table: "Table", reviews_table: "Table") -> House:
    catalog = Catalog(movies_table)
    catalog.put_movie(a_movie(), [], [])
    return House(catalog, ReviewStore(reviews_table))


def add_up(report: SourceReport) -> int:
    return report.new + report.duplicates + report.irrelevant + report.set_aside + report.parked


def test_new_reviews_are_scored_and_stored(house: House) -> None:
    reviews = some_reviews(3)
    report = house.collect(*reviews)
    assert report == SourceReport(source="tmdb", status=SourceStatus.OK, fetched=3, new=3)
    stored = house.store.newest(FILM)
    assert [Review.model_validate(review.model_dump()) for review in stored] == reviews
    assert {review.sentiment.scorer for review in stored} == {SCORER}
    assert {review.collected_at for review in stored} == {NOW}


def test_collecting_twice_brings_nothing_new_and_writes_nothing(
    house: House, reviews_table: "Table"
) -> None:
    reviews = some_reviews(30)
    house.collect(*reviews)
    disturbed = refusing(reviews_table, "BatchWriteItem", "InternalServerError", status=500)
    again = house.collect(*reviews, now=NOW + HOUR)
    assert (again.status, again.new, again.duplicates) == (SourceStatus.OK, 0, 30)
    assert disturbed.requests == 0


class Crowded(ReviewStore):
    """A film with so many reviews that not all are read."""

    def newest(
        self, tmdb_id: int, limit: int = NEWEST_REVIEWS, *, consistent: bool = False
    ) -> list[ScoredReview]:
        return [a_scored_review(review_id=f"{n}", text=f"{n}") for n in range(limit)]


def test_a_known_review_below_the_newest_is_not_written_again(
    house: House, reviews_table: "Table"
) -> None:
    old = a_review(review_id="old", text="Seen before there were posts", posted_at=NOW - 999 * HOUR)
    house.collect(old)
    house.store = Crowded(reviews_table)
    report = house.collect(old, a_review(review_id="new", text="Something else altogether"))
    assert (report.new, report.duplicates) == (1, 1)


def test_one_text_is_stored_once_and_the_earliest_stays(house: House) -> None:
    text = "RRR is now my whole personality, best movie night of my life, no contest"
    copies = [
        a_review(review_id="late", source="x", text=f"{text} https://t.co/a", posted_at=NOW),
        a_review(review_id="first", source="x", text=text, posted_at=NOW - 2 * HOUR),
        a_review(review_id="tagged", source="x", text=f"{text} #RRR", posted_at=NOW - HOUR),
    ]
    report = house.collect(*copies, source="x")
    assert (report.new, report.duplicates) == (1, 2)
    assert [review.review_id for review in house.store.newest(FILM)] == ["first"]


def test_a_record_that_a_source_gives_twice_counts_once(house: House) -> None:
    report = house.collect(a_review(text="I loved it"), a_review(text="Edited: I hated it"))
    assert (report.fetched, report.new, report.duplicates) == (2, 1, 1)


def test_a_text_that_another_source_has_stored_is_a_duplicate(house: House) -> None:
    (review,) = some_reviews(1)
    house.collect(review)
    report = house.collect(review.model_copy(update={"source": "bluesky"}), source="bluesky")
    assert (report.new, report.duplicates) == (0, 1)


def test_two_sources_that_store_one_text_side_by_side_disturb_nothing(house: House) -> None:
    (review,) = some_reviews(1)
    other = review.model_copy(update={"source": "bluesky"})

    def meanwhile(query: SourceQuery) -> Collected:
        house.collect(other, source="bluesky")
        return Collected((review,))

    assert house.ask(meanwhile).new == 1
    assert {stored.source for stored in house.store.newest(FILM)} == {"tmdb", "bluesky"}
    assert house.collect(review, other).duplicates == 2


def test_what_cannot_be_read_is_set_aside_with_its_reason(house: House) -> None:
    broken = Unreadable({"id": "7", "text": "\ud83d"}, "bad encoding")
    report = house.collect(*some_reviews(2), unreadable=(broken,), irrelevant=3)
    assert report.status is SourceStatus.OK
    assert (report.fetched, report.new, report.set_aside, report.irrelevant) == (6, 2, 1, 3)
    ((aside,), _) = house.store.set_aside(FILM, limit=10)
    assert (aside.reason, aside.source) == ("bad encoding", "tmdb")
    assert json.loads(aside.record) == broken.record


@pytest.mark.parametrize(
    "posted_at", [NOW + timedelta(days=2), datetime.fromisoformat("1970-01-01T00:00:00Z")]
)
def test_a_date_that_cannot_be_right_is_set_aside(house: House, posted_at: datetime) -> None:
    report = house.collect(a_review(posted_at=posted_at))
    assert (report.new, report.set_aside) == (0, 1)
    ((aside,), _) = house.store.set_aside(FILM, limit=10)
    assert "cannot be right" in aside.reason


def test_a_clock_that_is_a_little_fast_is_believed(house: House) -> None:
    assert house.collect(a_review(posted_at=NOW + HOUR)).new == 1


def test_a_text_beyond_what_can_be_stored_is_cut(house: House) -> None:
    long = a_review(review_id="long", text="సినిమా బాగుంది. " * 30_000)
    report = house.collect(long, *some_reviews(2))
    assert report.new == 3
    assert any(review.text.endswith("[…]") for review in house.store.newest(FILM))


def test_a_review_that_dynamodb_never_takes_is_set_aside_and_the_others_stored(
    house: House,
) -> None:
    # 1,024 bytes are the most a sort key may have.
    endless = a_review(review_id="\U0001f3ac" * 200, source="z" * 300, text="no key for me")
    report = house.collect(endless, *some_reviews(30))
    assert (report.new, report.set_aside, report.parked) == (30, 1, 0)
    ((aside,), _) = house.store.set_aside(FILM, limit=10)
    assert "DynamoDB does not take it" in aside.reason


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("InternalServerError", 500),
        ("AccessDeniedException", 400),
    ],
)
def test_what_dynamodb_refuses_waits_in_the_queue(
    house: House, reviews_table: "Table", code: str, status: int
) -> None:
    refusing(reviews_table, "BatchWriteItem", code, status=status, after=1)
    reviews = some_reviews(40)
    report = house.collect(
        *reviews, unreadable=(Unreadable({}, "no id"),), irrelevant=1, cursor="9"
    )
    assert report.status is SourceStatus.PARTIAL
    assert (report.new, report.set_aside, report.parked) == (25, 0, 16)
    assert report.fetched == add_up(report) == 42
    assert code in report.reason
    (message,) = house.queue.messages
    assert (len(message.reviews), len(message.set_aside)) == (15, 1)
    assert house.store.cursor(FILM, "tmdb") is None


def test_what_dynamodb_hands_back_for_ever_waits_in_the_queue(
    house: House, reviews_table: "Table"
) -> None:
    leaving_unprocessed(reviews_table, 2, times=1000)
    report = house.collect(*some_reviews(10))
    assert report.new + report.parked == 10
    assert report.parked == 2
    assert "unprocessed" in report.reason


def test_what_cannot_be_compared_any_more_waits_in_the_queue(
    house: House, reviews_table: "Table"
) -> None:
    old = a_review(review_id="old", text="Seen before there were posts", posted_at=NOW - 999 * HOUR)
    house.collect(old)
    house.store = Crowded(reviews_table)
    refusing(reviews_table, "BatchGetItem", "ThrottlingException")
    known = a_review(review_id="another", text="7")
    found = [old, *some_reviews(2), known]
    report = house.collect(*found, unreadable=(Unreadable({}, "no id"),), cursor="9")
    assert report.status is SourceStatus.PARTIAL
    assert (report.new, report.duplicates, report.parked) == (0, 1, 4)
    assert report.fetched == add_up(report)
    assert "ThrottlingException" in report.reason
    (message,) = house.queue.messages
    assert (len(message.reviews), len(message.set_aside)) == (3, 1)
    assert house.store.cursor(FILM, "tmdb") is None


def test_what_neither_dynamodb_nor_sqs_takes_is_an_error(
    house: House, reviews_table: "Table"
) -> None:
    refusing(reviews_table, "BatchWriteItem", "InternalServerError", status=500)
    house.queue.refusal = ClientError({"Error": {"Code": "Down", "Message": ""}}, "SendMessage")
    with pytest.raises(ClientError):
        house.collect(*some_reviews(1), cursor="9")
    assert house.store.cursor(FILM, "tmdb") is None


def test_a_source_that_gave_only_a_part_is_partial_and_the_part_is_stored(house: House) -> None:
    report = house.collect(*some_reviews(2), problem="mastodon timelines/tag: no answer")
    assert (report.status, report.new) == (SourceStatus.PARTIAL, 2)
    assert report.reason == "mastodon timelines/tag: no answer"


def test_the_cursor_moves_after_the_reviews_are_stored(house: House) -> None:
    first = Asked(Collected(tuple(some_reviews(1)), cursor="9"))
    second = Asked(Collected(cursor="9"))
    house.ask(first, source="x")
    house.ask(second, source="x")
    assert [query.cursor for query in (*first.queries, *second.queries)] == [None, "9"]


def test_a_cursor_that_cannot_be_stored_loses_nothing(house: House, reviews_table: "Table") -> None:
    refusing(reviews_table, "PutItem", "InternalServerError", status=500)
    report = house.collect(*some_reviews(1), cursor="9")
    assert (report.status, report.new) == (SourceStatus.PARTIAL, 1)
    assert "how far tmdb was read" in report.reason


def test_the_source_is_asked_for_the_film_and_no_more_than_wanted(house: House) -> None:
    asked = Asked(Collected())
    report = house.ask(asked, max_reviews=7)
    assert asked.queries == [SourceQuery(a_movie(), 7)]
    assert report == SourceReport(source="tmdb", status=SourceStatus.OK)


@pytest.mark.parametrize(
    "error", [CredentialsRefused, CreditsDepleted, UpstreamRefused, UpstreamNotFound]
)
def test_what_no_retry_mends_is_a_failed_report_in_words(
    house: House, error: type[UpstreamError]
) -> None:
    def source(query: SourceQuery) -> Collected:
        raise error("credits depleted", provider="x", endpoint="tweets/search/recent")

    report = house.ask(source, source="x")
    assert report.status is SourceStatus.FAILED
    assert report.reason == "x tweets/search/recent: credits depleted"


@pytest.mark.parametrize("error", [UpstreamTimeout, UpstreamUnavailable, RateLimited])
def test_what_a_retry_may_mend_rises(house: House, error: type[UpstreamError]) -> None:
    def source(query: SourceQuery) -> Collected:
        raise error("not now", provider="x", endpoint="tweets/search/recent")

    with pytest.raises(error):
        house.ask(source, source="x")


def test_the_report_says_how_many_calls_were_made_and_what_they_cost(house: House) -> None:
    def source(query: SourceQuery) -> Collected:
        current_tally().add_call("x", "search", error="UpstreamTimeout")
        current_tally().add_call("x", "search", usd=0.05)
        return Collected()

    with tallying():
        report = house.ask(source, source="x")
    assert (report.calls, report.cost_usd) == (2, 0.05)


def test_a_film_that_is_not_stored_cannot_be_asked_about(house: House) -> None:
    with pytest.raises(NotFound, match="no film 1 is stored"):
        house.ask(Asked(Collected()), tmdb_id=1)


def test_nothing_is_fetched_that_could_not_be_compared(
    house: House, reviews_table: "Table"
) -> None:
    refusing(reviews_table, "Query", "InternalServerError", status=500)
    source = Asked(Collected())
    with pytest.raises(ClientError):
        house.ask(source)
    assert source.queries == []


@pytest.mark.parametrize("max_reviews", [0, 101, "many"])
def test_a_request_out_of_range_is_refused(max_reviews: Any) -> None:
    with pytest.raises(ValidationError):
        CollectReviewsInput.model_validate(
            {"source": "x", "tmdb_id": FILM, "max_reviews": max_reviews}
        )


def an_sqs_event(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": f"message-{number}", "body": body} for number, body in enumerate(bodies)
        ]
    }


def a_message(**parts: Any) -> str:
    return ParkedMessage(**parts).model_dump_json()


def failed(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_parked_reviews_are_stored_however_often_they_come(house: House) -> None:
    review = a_scored_review()
    aside = SetAside(tmdb_id=FILM, source="x", reason="r", record="{}", set_aside_at=NOW)
    event = an_sqs_event(a_message(reviews=(review,)), a_message(set_aside=(aside,)))
    for _ in range(2):
        assert failed(apply_parked_reviews(event, house.store, now=NOW)) == []
    assert house.store.newest(FILM) == [review]
    assert house.store.set_aside(FILM, limit=10) == ([aside], None)


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}x", '{"tweets": []}', '{"reviews": [1]}'])
def test_a_malformed_message_comes_again_and_the_others_are_stored(house: House, body: str) -> None:
    event = an_sqs_event(body, a_message(reviews=(a_scored_review(),)))
    assert failed(apply_parked_reviews(event, house.store, now=NOW)) == ["message-0"]
    assert len(house.store.newest(FILM)) == 1


def test_messages_come_again_while_dynamodb_refuses(house: House, reviews_table: "Table") -> None:
    disturbed = refusing(reviews_table, "BatchWriteItem", "ThrottlingException", after=1)
    event = an_sqs_event(
        *(a_message(reviews=(a_scored_review(review_id=f"{n}"),)) for n in range(4))
    )
    assert failed(apply_parked_reviews(event, house.store, now=NOW)) == [
        "message-1",
        "message-2",
        "message-3",
    ]
    assert disturbed.requests == 2
