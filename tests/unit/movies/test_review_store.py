"""ReviewsTable and its queue: reading, paging, writing against every kind of refusal, parking."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import Misconfigured, StoreUnavailable
from marquee.movies.models import Label, ScoredReview, Sentiment, SetAside
from marquee.movies.review_store import (
    CUT_MARKER,
    MAX_MESSAGE_BYTES,
    MAX_REVIEW_BYTES,
    ParkedMessage,
    ParkedReviews,
    ReviewStore,
    fitted,
    review_key,
    unreadable,
)
from marquee.settings import SET_ASIDE_KEPT_FOR
from tests.support.builders import NOW, a_scored_review
from tests.support.review_tables import leaving_unprocessed, leaving_unread, refusing
from tests.support.sources import some_settings
from tests.support.state_machines import REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

FILM = 579974
MINUTE = timedelta(minutes=1)


def some_reviews(count: int, **fields: Any) -> list[ScoredReview]:
    """Reviews a minute apart, the newest first."""
    return [
        a_scored_review(
            **{
                "review_id": f"review-{number}",
                "text": f"Take {number}: I laughed",
                "posted_at": NOW - number * MINUTE,
                **fields,
            }
        )
        for number in range(count)
    ]


def a_record(number: int = 1) -> SetAside:
    return unreadable({"id": number}, "no date", tmdb_id=FILM, source="x", now=NOW)


@pytest.fixture
def store(reviews_table: "Table") -> ReviewStore:
    return ReviewStore(reviews_table)


def test_what_was_stored_is_read_back_newest_first_over_all_sources(store: ReviewStore) -> None:
    first, second, third = some_reviews(3)
    second = second.model_copy(update={"source": "x", "rating": None, "url": None})
    written = store.put([third, first, second])
    assert set(written.stored) == {first, second, third}
    assert store.newest(FILM) == [first, second, third]
    assert store.newest(FILM, limit=2) == [first, second]
    assert store.newest(FILM + 1) == []


def test_storing_twice_changes_nothing(store: ReviewStore, reviews_table: "Table") -> None:
    reviews = some_reviews(30)
    store.put(reviews)
    before = reviews_table.scan()["Items"]
    store.put([*reviews, *reviews])
    assert reviews_table.scan()["Items"] == before


def test_a_key_is_of_fixed_width_so_that_keys_sort_as_times() -> None:
    whole = a_scored_review(posted_at="2026-03-14T18:00:00Z")
    parts = a_scored_review(posted_at="2026-03-14T18:00:00.25Z")
    assert review_key(whole) == "2026-03-14T18:00:00.000+00:00#tmdb#review-1"
    assert review_key(whole) < review_key(parts)


def test_pages_follow_each_other_to_the_end(store: ReviewStore) -> None:
    reviews = some_reviews(5)
    store.put(reviews)
    read: list[ScoredReview] = []
    after = None
    for _ in range(4):
        page, after = store.page(FILM, limit=2, after=after)
        read.extend(page)
        if after is None:
            break
    assert read == reviews
    assert after is None


def test_pages_are_filtered_by_label_and_source(store: ReviewStore) -> None:
    sad = Sentiment(label=Label.NEGATIVE, score=-0.5, scorer="s")
    wanted = some_reviews(7, source="x", sentiment=sad)
    store.put([*wanted, *some_reviews(7), *some_reviews(7, source="bluesky", sentiment=sad)])
    first, after = store.page(FILM, limit=4, label=Label.NEGATIVE, source="x")
    assert after is not None
    rest, end = store.page(FILM, limit=4, after=after, label=Label.NEGATIVE, source="x")
    assert first + rest == wanted
    assert end is None
    assert len(store.page(FILM, limit=50, label=Label.NEGATIVE)[0]) == 14
    assert len(store.page(FILM, limit=50, source="tmdb")[0]) == 7
    assert store.page(FILM, limit=50, source="mastodon") == ([], None)


def test_stored_keys_are_found_however_many_are_asked_for(store: ReviewStore) -> None:
    reviews = some_reviews(120)
    store.put(reviews[:110])
    assert store.stored_keys([*reviews, *reviews]) == {
        review_key(review) for review in reviews[:110]
    }
    assert store.stored_keys([]) == set()


def test_keys_that_are_not_answered_do_not_count_as_absent(
    store: ReviewStore, reviews_table: "Table"
) -> None:
    reviews = some_reviews(3)
    store.put(reviews)
    disturbed = leaving_unread(reviews_table, times=6)
    with pytest.raises(StoreUnavailable, match="throttled 4 times"):
        store.stored_keys(reviews)
    assert len(store.stored_keys(reviews)) == 3
    assert disturbed.requests == 4 + 3


def test_set_aside_records_are_listed_and_expire(
    store: ReviewStore, reviews_table: "Table"
) -> None:
    records = [a_record(number) for number in range(3)]
    assert store.put([*records, *records]).stored == tuple(records)
    first, after = store.set_aside(FILM, limit=2)
    rest, end = store.set_aside(FILM, limit=2, after=after)
    assert {record.record for record in first + rest} == {f'{{"id": {n}}}' for n in range(3)}
    assert end is None
    expected = int((NOW + SET_ASIDE_KEPT_FOR).timestamp())
    assert {item["expires_at"] for item in reviews_table.scan()["Items"]} == {expected}
    assert store.newest(FILM) == []


def test_a_cursor_is_kept_per_film_and_source(store: ReviewStore) -> None:
    store.put_cursor(FILM, "x", "17")
    assert store.cursor(FILM, "x") == "17"
    assert store.cursor(FILM, "bluesky") is None
    assert store.cursor(FILM + 1, "x") is None


def test_rescoring_changes_the_score_and_nothing_else(store: ReviewStore) -> None:
    (review,) = some_reviews(1)
    store.put([review])
    later = Sentiment(label=Label.UNSCORED, scorer="later")
    store.rescore(review.model_copy(update={"sentiment": later, "text": "forged"}))
    assert store.newest(FILM) == [review.model_copy(update={"sentiment": later})]


def test_a_review_that_is_gone_is_not_brought_back_by_a_score(store: ReviewStore) -> None:
    store.rescore(a_scored_review())
    assert store.newest(FILM) == []


def test_items_handed_back_are_sent_again(store: ReviewStore, reviews_table: "Table") -> None:
    disturbed = leaving_unprocessed(reviews_table, 5, times=2)
    reviews = some_reviews(20)
    written = store.put(reviews)
    assert len(written.stored) == 20
    assert written.refused == ()
    assert disturbed.requests == 3
    assert len(store.newest(FILM)) == 20


def test_items_handed_back_for_ever_are_refused_and_the_others_stored(
    store: ReviewStore, reviews_table: "Table"
) -> None:
    disturbed = leaving_unprocessed(reviews_table, 1, times=1000)
    reviews = some_reviews(40)
    written = store.put(reviews)
    assert "unprocessed" in written.reason
    assert set(written.refused) == {reviews[24], *reviews[25:]}
    assert set(written.stored) == set(reviews[:24])
    assert disturbed.requests == 4


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("InternalServerError", 500),
        ("AccessDeniedException", 400),
        ("ResourceNotFoundException", 400),
    ],
)
def test_after_a_refusal_nothing_more_is_sent(
    store: ReviewStore, reviews_table: "Table", code: str, status: int
) -> None:
    disturbed = refusing(reviews_table, "BatchWriteItem", code, status=status, after=1)
    reviews = some_reviews(60)
    written = store.put(reviews)
    assert set(written.stored) == set(reviews[:25])
    assert set(written.refused) == set(reviews[25:])
    assert code in written.reason
    assert disturbed.requests == 2


def test_a_dynamodb_that_cannot_be_reached_refuses(
    store: ReviewStore, reviews_table: "Table"
) -> None:
    def unreachable(request: Any, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)

    events = reviews_table.meta.client.meta.events
    events.register_first("before-send.dynamodb.BatchWriteItem", unreachable)
    reviews = some_reviews(3)
    written = store.put(reviews)
    assert set(written.refused) == set(reviews)
    assert "Could not connect" in written.reason


def test_one_invalid_review_does_not_take_the_others_with_it(store: ReviewStore) -> None:
    reviews = some_reviews(30)
    huge = a_scored_review(review_id="huge", text="x" * 500_000)
    written = store.put([*reviews[:10], huge, *reviews[10:]])
    assert set(written.stored) == set(reviews)
    ((record, reason),) = written.invalid
    assert record == huge
    assert "Item size" in reason
    assert store.newest(FILM) == reviews


def test_two_invalid_reviews_in_one_chunk_are_both_isolated(store: ReviewStore) -> None:
    huge = [a_scored_review(review_id=f"huge-{n}", text="x" * 500_000) for n in range(2)]
    reviews = some_reviews(9)
    written = store.put([huge[0], *reviews, huge[1]])
    assert {record for record, _ in written.invalid} == set(huge)
    assert set(written.stored) == set(reviews)


def test_nothing_to_store_is_no_request(store: ReviewStore, reviews_table: "Table") -> None:
    disturbed = refusing(reviews_table, "BatchWriteItem", "InternalServerError", status=500)
    assert store.put([]).reason == ""
    assert disturbed.requests == 0


@given(
    head=st.text(st.characters(codec="utf-8"), max_size=40),
    unit=st.sampled_from(["x", "é", "సి", "🔥", '"', "\n"]),
    excess=st.integers(-20, 50),
)
def test_a_text_is_cut_where_the_whole_would_not_fit(head: str, unit: str, excess: int) -> None:
    room = MAX_REVIEW_BYTES - len(a_scored_review(text="x").model_dump_json())
    text = head + unit * ((room + excess) // len(unit.encode()))
    review = a_scored_review(text=text)
    kept = fitted(review)
    assert len(kept.model_dump_json().encode()) <= MAX_REVIEW_BYTES
    if len(review.model_dump_json().encode()) <= MAX_REVIEW_BYTES:
        assert kept == review
    else:
        assert kept.text.endswith(CUT_MARKER)
        assert text.startswith(kept.text.removesuffix(CUT_MARKER))


def test_a_cut_review_fits_the_table_and_the_queue(store: ReviewStore, queue: Any) -> None:
    review = fitted(a_scored_review(text="సినిమా " * 60_000))
    assert store.put([review]).stored == (review,)
    ParkedReviews(*queue).park([review])
    assert parked(queue) == [ParkedMessage(reviews=(review,))]


def test_an_unreadable_record_is_kept_as_json_and_cut() -> None:
    record = unreadable({"text": "\ud83d" * 5_000}, "broken", tmdb_id=FILM, source="x", now=NOW)
    assert record.record.startswith('{"text": "\\ud83d')
    assert len(record.record) == 4_000


@pytest.fixture
def queue(tables: object, request: pytest.FixtureRequest) -> tuple[Any, str]:
    sqs = boto3.client("sqs", region_name=REGION)
    name = f"parked-{abs(hash(request.node.nodeid))}"
    return sqs, sqs.create_queue(QueueName=name)["QueueUrl"]


def parked(queue: tuple[Any, str]) -> list[ParkedMessage]:
    """The messages in the queue, each as large as SQS would take it."""
    sqs, url = queue
    messages = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            assert len(message["Body"].encode()) <= MAX_MESSAGE_BYTES
            messages.append(ParkedMessage.model_validate_json(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def test_a_usual_batch_waits_in_one_message(queue: tuple[Any, str]) -> None:
    reviews, record = some_reviews(100), a_record()
    ParkedReviews(*queue).park([*reviews, record])
    assert parked(queue) == [ParkedMessage(reviews=tuple(reviews), set_aside=(record,))]


def test_a_large_batch_is_shared_out_over_messages(queue: tuple[Any, str]) -> None:
    reviews = some_reviews(9, text="é" * 40_000)
    ParkedReviews(*queue).park(reviews)
    messages = parked(queue)
    assert len(messages) == 3
    assert {review for message in messages for review in message.reviews} == set(reviews)


def test_characters_that_sqs_refuses_are_escaped(queue: tuple[Any, str]) -> None:
    review = a_scored_review(text="odd \ufffe and \uffff and \x00")
    ParkedReviews(*queue).park([review])
    assert parked(queue) == [ParkedMessage(reviews=(review,))]


def test_nothing_to_park_is_no_message(queue: tuple[Any, str]) -> None:
    ParkedReviews(*queue).park([])
    assert parked(queue) == []


def test_a_store_without_its_table_names_the_variable() -> None:
    with pytest.raises(Misconfigured, match="REVIEWS_TABLE"):
        ReviewStore.connect(some_settings())
    with pytest.raises(Misconfigured, match="PARKED_REVIEWS_QUEUE_URL"):
        ParkedReviews.connect(some_settings())
