"""collect-data and store: the halves of a search, and what a client hears when one breaks off."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from marquee.api.halves import MAX_REVIEWS_BYTES
from marquee.api.routes import MAX_IMPORT_BYTES
from marquee.aws import dynamodb
from marquee.errors import CredentialsRefused, Misconfigured
from marquee.movies.catalog import Catalog
from marquee.movies.collect import CollectDataOutput
from marquee.movies.models import Candidate, SourceReport, SourceStatus
from marquee.movies.review_store import ReviewStore
from marquee.settings import Settings
from tests.support.api import Answer, Api
from tests.support.builders import NOW, a_movie, a_review, a_scored_review
from tests.support.functions import Functions, callable_functions

COLLECT = "/api/orchestrator/collect-data"
STORE = "/api/orchestrator/store"
RRR = 579974
FILM = {"tmdb_id": RRR, "title": "RRR"}


@pytest.fixture
def functions(settings: Settings) -> Iterator[Functions]:
    with callable_functions() as functions:
        yield functions


def collected(functions: Functions, **fields: Any) -> None:
    """Let the function find RRR, and report what is said of its sources."""
    asked = tuple(
        report.source
        for report in fields.get("sources", ())
        if not report.reason.startswith("not configured")
    )
    output = CollectDataOutput(
        asked=asked, **{"tmdb_id": RRR, "message": "RRR (2022): exact title.", **fields}
    )
    functions.answers["CollectDataFunction"] = lambda _: output.model_dump(mode="json")


def a_report(source: str, status: SourceStatus = SourceStatus.OK, reason: str = "") -> SourceReport:
    return SourceReport(source=source, status=status, reason=reason)


def a_given_review(**fields: Any) -> dict[str, Any]:
    """A review as collect-data answers it."""
    return a_review(**fields).model_dump(mode="json")


def store(api: Api, *reviews: Any, **film: Any) -> Answer:
    return api.post(STORE, body={"movie": {**FILM, **film}, "reviews": reviews})


# ---- collect-data


def test_the_film_is_asked_for_as_a_search_asks(api: Api, functions: Functions) -> None:
    query = {"movie_name": "RRR", "max_reviews": "7", "year": "2022", "language": "te"}
    assert api.post(COLLECT, query).status == 200
    [(name, payload)] = functions.asked
    assert name == "CollectDataFunction"
    asked = {"movie_name": "RRR", "max_reviews": 7, "year": 2022, "language": "te"}
    assert payload["request"] == {**asked, "tmdb_id": None, "region": None}
    assert payload["request_id"]


def test_facts_reviews_and_each_sources_error_are_answered_and_nothing_analyzed(
    api: Api, functions: Functions, settings: Settings
) -> None:
    Catalog.connect(settings).put_movie(a_movie(), [], [])
    reviews = [
        a_scored_review(review_id="old", text="one", posted_at=NOW - timedelta(days=2)),
        a_scored_review(review_id="new", text="two", posted_at=NOW - timedelta(days=1)),
        a_scored_review(review_id="x1", source="x", text="three", posted_at=NOW),
        a_scored_review(review_id="m1", source="mastodon", text="of earlier", posted_at=NOW),
    ]
    ReviewStore.connect(settings).put(reviews)
    sources = (
        a_report("tmdb"),
        a_report("x", SourceStatus.FAILED, "RateLimited: x tweets/search/recent: 429"),
        a_report("bluesky", SourceStatus.SKIPPED, "the day's budget is used up"),
        a_report("mastodon", SourceStatus.SKIPPED, "not configured"),
    )
    collected(functions, sources=sources, age_seconds=60, source="cache")
    answer = api.post(COLLECT, {"movie_name": "RRR", "max_reviews": "1"}).json()
    assert answer["movie"]["title"] == "RRR"
    assert [review["review_id"] for review in answer["reviews"]] == ["x1", "new"]
    assert not {"sentiment", "collected_at"} & set(answer["reviews"][0])
    assert answer["errors"] == {
        "x": "RateLimited: x tweets/search/recent: 429",
        "bluesky": "the day's budget is used up",
    }
    statuses = [source["status"] for source in answer["sources"]]
    assert statuses == ["ok", "failed", "skipped", "skipped"]
    assert (answer["left_out"], answer["age_seconds"]) == (0, 60)


def test_stored_facts_that_stand_in_are_an_error_of_tmdb(api: Api, functions: Functions) -> None:
    late = a_report("tmdb", SourceStatus.FAILED, "late")
    collected(functions, stale=True, age_seconds=7200, sources=(late,))
    errors = api.post(COLLECT, {"movie_name": "RRR"}).json()["errors"]
    assert errors == {"tmdb": "TMDB did not answer: the film's facts are 2 h old; late"}


def test_that_nothing_matched_is_an_answer(api: Api, functions: Functions) -> None:
    near = Candidate(tmdb_id=1, title="RR", reason="near")
    collected(functions, tmdb_id=None, message="nothing", candidates=(near,))
    answer = api.post(COLLECT, {"movie_name": "R R R R"})
    assert answer.status == 200
    said = answer.json()
    assert (said["movie"], said["reviews"], said["errors"]) == (None, [], {})
    assert said["candidates"][0]["title"] == "RR"


def test_reviews_that_an_answer_has_no_room_for_are_counted(
    api: Api, functions: Functions, settings: Settings
) -> None:
    long = "x" * (MAX_REVIEWS_BYTES // 12)
    reviews = [
        a_scored_review(review_id=f"r{n}", text=long, posted_at=NOW - timedelta(hours=n))
        for n in range(13)
    ]
    ReviewStore.connect(settings).put(reviews)
    collected(functions, sources=(a_report("tmdb"),))
    answer = api.post(COLLECT, {"movie_name": "RRR", "max_reviews": "100"}).json()
    assert [review["review_id"] for review in answer["reviews"]] == [f"r{n}" for n in range(11)]
    assert answer["left_out"] == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CredentialsRefused("answered 401", provider="tmdb", endpoint="movie", status=401), 502),
        (Misconfigured("the SSM parameter tmdb/token is not set"), 503),
        (KeyError("a bug"), 503),
    ],
)
def test_a_collection_that_failed_says_of_what(
    api: Api, functions: Functions, error: Exception, status: int
) -> None:
    def fails(_: Any) -> Any:
        raise error

    functions.answers["CollectDataFunction"] = fails
    answer = api.post(COLLECT, {"movie_name": "RRR"})
    assert answer.status == status
    assert answer.json()["error"] == {"name": type(error).__name__, "message": str(error)}


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (ReadTimeoutError(endpoint_url="lambda"), 503),
        (ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke"), 503),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Invoke"), 500),
    ],
)
def test_a_function_that_cannot_be_called_is_our_fault(
    api: Api, functions: Functions, refusal: Exception, status: int
) -> None:
    functions.refusal = refusal
    assert api.post(COLLECT, {"movie_name": "RRR"}).status == status


# ---- store


def test_what_was_collected_is_stored_elsewhere_and_once(api: Api, settings: Settings) -> None:
    facts = a_movie().model_dump(mode="json", exclude={"related", "texts"})
    reviews = [
        a_given_review(),
        a_given_review(review_id="b", text="Dull.", posted_at=NOW - timedelta(days=9)),
    ]
    body = {"movie": facts, "reviews": reviews}
    first = {"movie_stored": True, "reviews_stored": 2, "duplicates": 0, "rejected": []}
    assert api.post(STORE, body=body).json() == first
    again = {"movie_stored": False, "reviews_stored": 0, "duplicates": 2, "rejected": []}
    assert api.post(STORE, body=body).json() == again
    assert api.get(f"/movies/{RRR}").json()["movie"]["directors"] == facts["directors"]
    listed = api.get(f"/movies/{RRR}/reviews").json()["reviews"]
    assert [review["review_id"] for review in listed] == ["review-1", "b"]


def test_each_review_that_is_wrong_is_refused_by_itself(api: Api) -> None:
    answer = store(api, a_given_review(), {"nonsense": 1}, 7, a_given_review(tmdb_id=1))
    assert answer.status == 200
    said = answer.json()
    assert said["reviews_stored"] == 1
    assert [one["index"] for one in said["rejected"]] == [1, 2, 3]
    assert said["rejected"][2]["reason"] == "tmdb_id: it is about the film 1"


@pytest.mark.parametrize(
    ("film", "field"),
    [
        ({"title": " "}, "movie.title"),
        ({"tmdb_id": "579974"}, "movie.tmdb_id"),
        ({"nonsense": 1}, "movie.nonsense"),
        ({"fetched_at": "2027-01-01T00:00:00Z"}, "movie.fetched_at"),
        ({"genres": [{"id": 1}]}, "movie.genres.0.name"),
    ],
)
def test_a_film_that_is_wrong_is_refused_with_all_its_reviews(
    api: Api, settings: Settings, film: dict[str, Any], field: str
) -> None:
    answer = store(api, a_given_review(), **film)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert ReviewStore.connect(settings).newest(RRR) == []


def test_a_film_and_reviews_belong_in_the_body(api: Api) -> None:
    answer = api.post(STORE, {"movie": "RRR", "reviews": "fine"})
    assert answer.status == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"movie", "reviews"}


def test_an_import_may_be_longer_than_other_bodies_and_has_its_bound(api: Api) -> None:
    long = a_given_review(text="x" * (MAX_IMPORT_BYTES // 2))
    assert store(api, long).json()["reviews_stored"] == 1
    answer = store(api, a_given_review(text="x" * MAX_IMPORT_BYTES))
    assert answer.status == 413
    assert str(MAX_IMPORT_BYTES) in answer.json()["detail"]
    assert api.post(COLLECT, body={"movie_name": "x" * 70_000}).status == 413
    assert store(api, *[{}] * 501).status == 422


def test_where_the_database_takes_no_more_it_is_said_and_the_same_again_stores_the_rest(
    api: Api, settings: Settings
) -> None:
    events = dynamodb().meta.client.meta.events
    topics = ("songs", "bridge", "tiger")
    reviews = [
        a_given_review(
            review_id=f"r{n}",
            text=f"The {topics[n % 3]} made take {n} my favorite",
            posted_at=NOW - timedelta(hours=n),
        )
        for n in range(40)
    ]
    writes = 0

    def refuse_the_third(**_: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == 3:  # the film's, then 25 reviews, then the rest
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "BatchWriteItem")

    events.register("before-call.dynamodb.BatchWriteItem", refuse_the_third)
    try:
        answer = store(api, *reviews)
    finally:
        events.unregister("before-call.dynamodb.BatchWriteItem", refuse_the_third)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "the film and 25 reviews are stored, 15 are not" in answer.json()["detail"]
    again = store(api, *reviews).json()
    assert (again["reviews_stored"], again["duplicates"]) == (15, 25)
    assert len(ReviewStore.connect(settings).newest(RRR)) == 40
