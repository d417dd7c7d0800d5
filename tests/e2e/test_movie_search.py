"""The movie search end to end: the deployed API, IAM enforced, and upstreams and tables that fail.

Every test searches a film of its own, so that none answers from what another has stored.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from marquee.gateway.retries import EDGES_SECONDS
from marquee_cli.search import FAILED, FOUND, NO_MATCH, PARTIAL
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import SEARCH, Deployed, Json, deployed_in, eventually, workflow_id_of
from tests.support.upstreams import Upstreams

SOURCES = ("tmdb", "x", "bluesky", "mastodon")
STEPS = {
    "FindMovie",
    *(f"CollectReviews/{source}" for source in SOURCES),
    "AnalyzeReviews",
    "RecommendMovies",
    "FinishSearch",
}
NONSENSE = "Zzqxv Wplkj Trfgh"

QUICK_SECONDS = 3.0
"""A stored answer takes 0.2 s on an idle machine; a busy one may take longer."""
LONGEST_WAIT_SECONDS = 25
"""What the API lets a client wait for a result."""
COMMAND_SECONDS = 60.0
CLIENTS = 50
USAGE = 2
"""Click's exit code for a wrong call."""


@pytest.fixture(scope="module")
def running(cloud: RunningCloud) -> Iterator[Deployed]:
    """The movie search of the session's cloud, its workers warm."""
    with deployed_in(cloud) as deployed:
        deployed.calm()
        warmed = deployed.search("Spirited Away", max_reviews=1)
        assert warmed["status"] == "SUCCEEDED", warmed
        yield deployed


@pytest.fixture
def deployed(running: Deployed) -> Iterator[Deployed]:
    """The movie search with upstreams that work, also after the test."""
    running.calm()
    yield running
    running.calm()


def break_down(upstreams: Upstreams, upstream: str, **fault: Any) -> None:
    """Let every call of an upstream fail until the next reset."""
    upstreams.fault(upstream, every=1, **fault)


def reports(status: Json) -> dict[str, Json]:
    """What each source contributed."""
    return {report["source"]: report for report in status["result"]["sources"]}


def assert_delivered(status: Json, *sources: str) -> None:
    """These sources went well and gave something to the analysis."""
    for source in sources:
        assert reports(status)[source]["status"] == "ok"
        assert status["result"]["analysis"]["counts_by_source"][source] > 0


# A search that goes well


def test_a_search_answers_the_film_its_reviews_sentiment_and_recommendations(
    deployed: Deployed,
) -> None:
    asked: Json = {"movie_name": "RRR", "max_reviews": 10, "wait_seconds": LONGEST_WAIT_SECONDS}
    answer = deployed.ask("POST", SEARCH, **asked)
    assert answer.status_code == 200, answer.text
    result = answer.json()["workflow_result"]
    tmdb_id = result["movie"]["tmdb_id"]
    assert (tmdb_id, result["movie"]["title"], result["status"]) == (579974, "RRR", "SUCCEEDED")
    assert set(result["analysis"]["counts_by_source"]) == set(SOURCES)
    assert -1 <= result["analysis"]["average_sentiment"] <= 1
    assert {source["source"]: source["status"] for source in result["sources"]} == dict.fromkeys(
        SOURCES, "ok"
    )
    assert len(result["recommendations"]) == 10
    assert all(film["reasons"] for film in result["recommendations"])
    assert tmdb_id not in {film["tmdb_id"] for film in result["recommendations"]}

    stats = answer.json()["automation_stats"]
    calls = deployed.upstreams.calls()
    assert stats["coordinator_stats"]["api_calls"]["total"] == len(calls)
    assert [call["upstream"] for call in calls].count("tmdb") == 2
    assert stats["coordinator_stats"]["database_operations"]["failed"] == 0
    assert [entry["name"] for entry in stats["trigger_history"]] == [
        "api",
        "ReviewsCollected",
        "RecommendationGenerated",
        "MovieSearchCompleted",
    ]

    stored = [i for i in deployed.items("Reviews") if i["pk"]["S"] == f"MOVIE#{tmdb_id}"]
    assert len(stored) == sum(source["new"] for source in result["sources"])
    parts = {i["sk"]["S"] for i in deployed.items("Movies") if i["pk"]["S"] == f"MOVIE#{tmdb_id}"}
    assert parts == {"DETAILS", "ANALYSIS", "RECOMMENDATIONS", "INTEREST"}

    status = deployed.get(f"/workflow/status/{result['workflow_id']}")
    assert status["result"] == result
    assert {name: step["status"] for name, step in status["steps"].items()} == dict.fromkeys(
        STEPS, "SUCCEEDED"
    )
    film = deployed.get(f"/movies/{tmdb_id}")
    assert (film["movie"], film["analysis"]) == (result["movie"], result["analysis"])
    found = deployed.get(f"/movies/{tmdb_id}/recommendations")["recommendations"]
    assert found == result["recommendations"]


def test_an_equal_search_is_answered_from_the_last_one(deployed: Deployed) -> None:
    first = deployed.search("La La Land")
    before, calls = deployed.executions(), deployed.upstreams.calls()
    began = time.monotonic()
    again = deployed.ask("POST", SEARCH, movie_name="la la LAND!")
    assert time.monotonic() - began < QUICK_SECONDS
    assert again.json()["workflow_result"] == first["result"]
    history = again.json()["automation_stats"]["trigger_history"]
    assert (history[-1]["what"], history[-1]["name"]) == ("joined", "api")
    assert deployed.executions() == before
    assert deployed.upstreams.calls() == calls


def test_the_pages_of_a_films_reviews_hold_each_once_the_newest_first(deployed: Deployed) -> None:
    status = deployed.search("Inside Out 2")
    path = f"/movies/{status['result']['movie']['tmdb_id']}/reviews"

    def pages(**query: Any) -> Iterator[Json]:
        page = deployed.get(path, limit=7, **query)
        yield from page["reviews"]
        while cursor := page["next_cursor"]:
            page = deployed.get(path, limit=7, cursor=cursor, **query)
            yield from page["reviews"]

    reviews = list(pages())
    assert len(reviews) == sum(report["new"] for report in reports(status).values()) > 7
    assert len({(review["source"], review["review_id"]) for review in reviews}) == len(reviews)
    assert reviews == sorted(reviews, key=lambda review: review["posted_at"], reverse=True)
    counted = status["result"]["analysis"]["counts_by_label"]
    for label in ("positive", "negative"):
        wanted = [review for review in reviews if review["sentiment"]["label"] == label]
        assert list(pages(label=label)) == wanted
        assert len(wanted) == counted[label]
    assert list(pages(source="x")) == [r for r in reviews if r["source"] == "x"]


def test_damaged_records_are_set_aside_with_the_reason_and_stop_nothing(
    deployed: Deployed,
) -> None:
    status = deployed.search("Pushpa: The Rise", max_reviews=30)
    assert status["status"] == "SUCCEEDED"
    assert_delivered(status, *SOURCES)
    path = f"/movies/{status['result']['movie']['tmdb_id']}/set-aside"
    found = deployed.get(path, limit=100)["set_aside"]
    assert len(found) == sum(report["set_aside"] for report in reports(status).values())
    assert {record["source"] for record in found} == set(SOURCES)
    reasons = {record["reason"] for record in found}
    assert "the field created_at is missing" in reasons
    assert "not a date: 'yesterday around noon'" in reasons
    assert "text: bad encoding: a lone surrogate, half a character" in reasons
    assert all(record["record"] for record in found)


def test_no_match_says_so_and_is_no_error(deployed: Deployed) -> None:
    status = deployed.search(NONSENSE)
    assert status["status"] == "SUCCEEDED"
    assert status["result"]["movie"] is None
    assert status["result"]["message"] == f'TMDB has no film called "{NONSENSE}".'


def test_executions_are_listed_the_newest_first_page_by_page(deployed: Deployed) -> None:
    names = [deployed.search(f"{NONSENSE} {number}")["workflow_id"] for number in (1, 2, 3)]
    wanted = {"kind": "movie_search", "status": "SUCCEEDED"}
    first = deployed.get("/workflow/list", limit=2, **wanted)
    second = deployed.get("/workflow/list", limit=1, cursor=first["next_cursor"], **wanted)
    listed = [*first["workflows"], *second["workflows"]]
    assert [workflow["workflow_id"] for workflow in listed] == names[::-1]
    failed = deployed.get("/workflow/list", limit=100, kind="movie_search", status="FAILED")
    assert not {workflow["workflow_id"] for workflow in failed["workflows"]} & set(names)


def test_health_needs_no_key_and_finds_everything_in_reach(deployed: Deployed) -> None:
    answer = deployed.ask("GET", "/workflow/health", key="")
    assert answer.json()["status"] == "ok", answer.text
    assert all(source["configured"] for source in answer.json()["sources"])
    assert {source["source"] for source in answer.json()["sources"]} == set(SOURCES)


def test_the_documentation_is_a_page_that_names_every_route(deployed: Deployed) -> None:
    page = deployed.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert [path for path in deployed.document["paths"] if path not in page.text] == []


# Triggers


def test_an_event_on_the_bus_starts_a_search_whose_end_is_announced(deployed: Deployed) -> None:
    bus = deployed.cloud.outputs["EventBusName"]
    asked = {"movie_name": "Coco", "max_reviews": 5}
    entry = {"EventBusName": bus, "Source": "a.test", "DetailType": "MovieSearchRequested"}
    with deployed.listening() as hear:
        put = deployed.aws("events").put_events(Entries=[entry | {"Detail": json.dumps(asked)}])
        assert put["FailedEntryCount"] == 0
        [completed] = hear("MovieSearchCompleted", title="Coco")
        [recommended] = hear("RecommendationGenerated", title="Coco")
    status = deployed.ended(completed["workflow_id"])
    assert (status["trigger"], status["status"]) == ("event", "SUCCEEDED")
    assert asked.items() <= status["input"].items()
    movie = status["result"]["movie"]
    assert (completed["tmdb_id"], completed["title"]) == (movie["tmdb_id"], "Coco")
    assert completed["status"] == "SUCCEEDED"
    assert completed["sources"] == dict.fromkeys(SOURCES, "ok")
    films = [film["tmdb_id"] for film in status["result"]["recommendations"]]
    assert (recommended["tmdb_id"], recommended["recommended"]) == (movie["tmdb_id"], films)


def test_fifty_clients_asking_for_one_new_film_start_one_search(deployed: Deployed) -> None:
    before = deployed.executions()

    def ask(_: int) -> tuple[int, str]:
        answer = deployed.ask("POST", SEARCH, movie_name="Gladiator", max_reviews=5)
        return answer.status_code, workflow_id_of(answer)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    assert {status for status, _ in answers} <= {200, 202}
    [workflow_id] = {workflow_id for _, workflow_id in answers}
    assert deployed.ended(workflow_id)["status"] == "SUCCEEDED"
    assert deployed.executions() - before == {workflow_id}
    paths = [call["path"] for call in deployed.upstreams.calls("tmdb")]
    assert paths.count("/3/search/movie") == 1
    assert len(paths) == 2


def test_an_execution_started_on_the_console_has_a_record(deployed: Deployed) -> None:
    name = f"by-hand-{time.time_ns()}"
    deployed.aws("stepfunctions").start_execution(
        stateMachineArn=deployed.cloud.outputs["MovieSearchArn"],
        name=name,
        input=json.dumps({"movie_name": "Barbie", "max_reviews": 5}),
    )
    status = deployed.ended(name)
    assert (status["kind"], status["status"]) == ("movie_search", "SUCCEEDED")
    assert set(status["steps"]) == STEPS
    started, *_ = status["automation_stats"]["trigger_history"]
    assert (started["what"], started["name"]) == ("started", "console")
    newest = deployed.get("/workflow/list", limit=1)["workflows"]
    assert [workflow["workflow_id"] for workflow in newest] == [name]


def test_an_execution_that_is_stopped_is_closed_as_canceled_and_not_joined(
    deployed: Deployed,
) -> None:
    seconds_of_find_movie = 2
    deployed.upstreams.fault("tmdb", "delay", seconds=seconds_of_find_movie)
    accepted = deployed.ask("POST", SEARCH, movie_name="Oppenheimer", wait_seconds=0)
    assert accepted.status_code == 202
    workflow_id = workflow_id_of(accepted)
    assert accepted.headers["location"].endswith(f"/workflow/status/{workflow_id}")
    path = f"/workflow/status/{workflow_id}"
    eventually(lambda: "FindMovie" in deployed.get(path)["steps"])

    deployed.aws("stepfunctions").stop_execution(executionArn=deployed.arn_of(workflow_id))
    status = deployed.ended(workflow_id)
    assert status["status"] == "CANCELED"
    assert status["error"]["message"] == "the execution ended as ABORTED outside a step"
    # The function that was running ends later; what it writes reopens nothing.
    eventually(lambda: deployed.get(path)["steps"]["FindMovie"]["status"] != "RUNNING")
    assert deployed.get(path)["status"] == "CANCELED"

    again = deployed.search("Oppenheimer")
    assert again["workflow_id"] != workflow_id
    assert again["status"] == "SUCCEEDED"


# Upstreams that fail


DOWN: dict[str, tuple[str, str, Json, int, str]] = {
    "500": ("bluesky", "Inception", {"kind": "status", "status": 500}, 4, "answered 500"),
    "reset": ("bluesky", "Interstellar", {"kind": "reset"}, 4, "the connection failed"),
    "cut": ("mastodon", "Dune (2021)", {"kind": "cut"}, 4, "the connection failed"),
    "malformed": ("mastodon", "Joker", {"kind": "malformed"}, 4, "the answer is no JSON"),
    "401": ("bluesky", "Avatar", {"kind": "status", "status": 401}, 1, "answered 401"),
}
"""How a source breaks: the source, a film, the fault, how often it is tried, and what is said."""


@pytest.mark.parametrize(("source", "film", "fault", "attempts", "said"), DOWN.values(), ids=DOWN)
def test_a_source_that_is_down_is_reported_in_words_while_the_others_deliver(
    deployed: Deployed, source: str, film: str, fault: Json, attempts: int, said: str
) -> None:
    break_down(deployed.upstreams, source, **fault)
    status = deployed.search(film)
    assert status["status"] == "PARTIAL"
    report = reports(status)[source]
    assert report["status"] == "failed"
    assert source in report["reason"]
    assert said in report["reason"]
    assert status["result"]["missing"] == [f"reviews from {source}: {report['reason']}"]
    assert_delivered(status, *(other for other in SOURCES if other != source))

    step = status["steps"][f"CollectReviews/{source}"]
    assert step["attempts"] == attempts
    assert len(step["failed_attempts"]) == attempts - 1
    calls = status["automation_stats"]["coordinator_stats"]["api_calls"]
    assert calls["total"] == len(deployed.upstreams.calls())
    assert calls["failed"] >= attempts


def test_a_source_that_says_when_its_window_opens_is_not_asked_before_then(
    deployed: Deployed,
) -> None:
    break_down(deployed.upstreams, "mastodon", kind="status", status=429)
    status = deployed.search("The Batman")
    assert status["status"] == "PARTIAL"
    report = reports(status)["mastodon"]
    assert report["status"] == "deferred"
    assert "rate limit reached, deferred until" in report["reason"]
    assert datetime.fromisoformat(report["deferred_until"]) > datetime.now(UTC)
    assert status["steps"]["CollectReviews/mastodon"]["attempts"] == 1
    assert_delivered(status, *(other for other in SOURCES if other != "mastodon"))


def test_a_fault_of_a_known_kind_is_retried_by_what_is_known_of_it(deployed: Deployed) -> None:
    key = {"pk": {"S": "RETRY#bluesky"}, "sk": {"S": "UpstreamUnavailable/502"}}
    at_once = [{"S": "10"}, *[{"S": "0"}] * len(EDGES_SECONDS)]
    known = {"faults": {"L": at_once}, "at": {"N": f"{time.time():.0f}"}, "version": {"N": "1"}}
    gateway = {"TableName": deployed.cloud.outputs["GatewayTableName"]}
    deployed.aws("dynamodb").put_item(**gateway, Item={**key, **known})
    deployed.upstreams.fault("bluesky", "status", status=502)
    status = deployed.search("Whiplash", max_reviews=7)
    assert_delivered(status, *SOURCES)
    assert status["steps"]["CollectReviews/bluesky"]["attempts"] == 2
    # What its Catch took, which a Retry would not have let through.
    assert "RetryAhead" in json.dumps(deployed.history(status["workflow_id"]), default=str)
    learned = deployed.aws("dynamodb").get_item(**gateway, Key=key)["Item"]
    assert learned["version"] == {"N": "2"}


def test_without_any_source_but_tmdb_there_still_is_an_analysis(deployed: Deployed) -> None:
    down = SOURCES[1:]
    for source in down:
        break_down(deployed.upstreams, source, kind="status", status=503)
    status = deployed.search("Knives Out")
    assert status["status"] == "PARTIAL"
    assert len(status["result"]["missing"]) == len(down)
    assert_delivered(status, "tmdb")
    assert set(status["result"]["analysis"]["counts_by_source"]) == {"tmdb"}


def test_a_fault_that_passes_is_got_over_by_trying_again(deployed: Deployed) -> None:
    deployed.upstreams.fault("bluesky", "reset", count=2)
    deployed.upstreams.fault("tmdb", "status", status=500)
    status = deployed.search("3 Idiots")
    assert status["status"] == "SUCCEEDED"
    assert status["steps"]["FindMovie"]["attempts"] == 2
    assert status["steps"]["CollectReviews/bluesky"]["attempts"] == 3
    assert_delivered(status, *SOURCES)


def test_without_tmdb_a_stored_film_stands_in_with_its_age(deployed: Deployed) -> None:
    before = deployed.search("Parasite", max_reviews=5)
    age = timedelta(hours=30)
    make_older(deployed, before["result"]["movie"]["tmdb_id"], age)
    break_down(deployed.upstreams, "tmdb", kind="status", status=503)
    status = deployed.search("Parasite", max_reviews=6)
    result = status["result"]
    assert status["status"] == "PARTIAL"
    assert (result["source"], result["stale"]) == ("cache", True)
    assert age.total_seconds() <= result["age_seconds"] < age.total_seconds() + COMMAND_SECONDS
    assert result["missing"] == ["facts of the film: TMDB did not answer, they are 30 h old"]
    assert result["movie"]["title"] == "Parasite"
    assert len(result["recommendations"]) == 10
    assert_delivered(status, *SOURCES)


def make_older(deployed: Deployed, tmdb_id: int, age: timedelta) -> None:
    """Let what TMDB said of a film, and that a search meant it, be of that age."""
    then = {"S": (datetime.now(UTC) - age).isoformat()}
    movies = deployed.cloud.outputs["MoviesTableName"]
    facts = {"pk": {"S": f"MOVIE#{tmdb_id}"}, "sk": {"S": "DETAILS"}}
    found = {"tmdb_id": {"N": str(tmdb_id)}}.items()
    answers = [
        {"pk": item["pk"], "sk": item["sk"]}
        for item in deployed.items("Movies")
        if found <= item.get("answer", {}).get("M", {}).get("found", {}).get("M", {}).items()
    ]
    assert answers
    for key, path in (
        (facts, "movie.fetched_at"),
        *((key, "answer.answered_at") for key in answers),
    ):
        deployed.aws("dynamodb").update_item(
            TableName=movies,
            Key=key,
            UpdateExpression=f"SET {path} = :then",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":then": then},
        )


def test_without_tmdb_and_without_a_stored_film_the_search_fails_and_stores_nothing(
    deployed: Deployed,
) -> None:
    stored = deployed.items("Movies")
    break_down(deployed.upstreams, "tmdb", kind="status", status=503)
    asked: Json = {"movie_name": "Alien", "wait_seconds": LONGEST_WAIT_SECONDS}
    answer = deployed.ask("POST", SEARCH, **asked)
    assert answer.status_code == 502
    problem = answer.json()
    assert problem["error"]["name"] == "UpstreamUnavailable"
    assert "tmdb search/movie: answered 503" in problem["detail"]
    status = deployed.ended(problem["workflow_id"])
    assert (status["status"], status["result"]) == ("FAILED", None)
    assert status["steps"]["FindMovie"]["attempts"] == 4
    assert deployed.items("Movies") == stored

    deployed.upstreams.reset()
    again = deployed.search("Alien")
    assert again["status"] == "SUCCEEDED"
    assert again["result"]["movie"]["title"] == "Alien"
    assert again["workflow_id"] != status["workflow_id"]


# A database that refuses


def test_reviews_that_dynamodb_refuses_wait_in_the_queue_and_are_stored_later(
    deployed: Deployed,
) -> None:
    outputs = deployed.cloud.outputs
    table = deployed.aws("dynamodb").describe_table(TableName=outputs["ReviewsTableName"])["Table"]
    writes: Json = {
        "Action": ["dynamodb:BatchWriteItem", "dynamodb:PutItem"],
        "Resource": table["TableArn"],
    }
    with delivered_again_after(deployed, seconds=5):
        with (
            not_consuming_parked_reviews(deployed),
            deployed.denied("CollectReviewsFunction", writes),
        ):
            status = deployed.search("Dangal")
            path = f"/movies/{status['result']['movie']['tmdb_id']}/reviews"
            assert deployed.get(path)["reviews"] == []
            waiting = deployed.aws("sqs").get_queue_attributes(
                QueueUrl=outputs["ParkedReviewsQueueUrl"],
                AttributeNames=["ApproximateNumberOfMessages"],
            )
            assert int(waiting["Attributes"]["ApproximateNumberOfMessages"]) == len(SOURCES)

        assert status["status"] == "PARTIAL"
        assert status["result"]["analysis"]["sample_size"] == 0
        assert len(status["result"]["missing"]) == len(SOURCES)
        for report in reports(status).values():
            said = f"DynamoDB refused {report['parked']} records, parked: "
            assert (report["status"], report["new"]) == ("partial", 0)
            assert report["reason"].startswith(said)
        parked = sum(report["parked"] for report in reports(status).values())
        assert parked > 0
        eventually(lambda: len(deployed.get(path, limit=100)["reviews"]) == parked)

    again = deployed.search("Dangal", collect_new_data=False)
    assert again["status"] == "SUCCEEDED"
    assert again["result"]["analysis"]["sample_size"] > 0


@contextmanager
def not_consuming_parked_reviews(deployed: Deployed) -> Iterator[None]:
    """Leave parked reviews in their queue, as they stay there while DynamoDB is down."""
    functions = deployed.aws("lambda")
    [mapping] = functions.list_event_source_mappings(
        FunctionName=deployed.physical_id("ApplyParkedReviewsFunction")
    )["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def delivered_again_after(deployed: Deployed, seconds: int) -> Iterator[None]:
    """Let a parked message whose delivery failed come again sooner than the template says."""
    sqs, url = deployed.aws("sqs"), deployed.cloud.outputs["ParkedReviewsQueueUrl"]
    name = "VisibilityTimeout"
    usual = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=usual)


# What a role may not do


type Act = Callable[[Callable[[str], Any], Any], Any]

KEY = {"pk": {"S": "TEST#0"}, "sk": {"S": "0"}}
RECORD = {"workflow_id": {"S": "TEST#0"}}
TOKEN = "/marquee/local/movies/tmdb/token"


def start_execution(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("stepfunctions").start_execution(
        stateMachineArn=outputs["MovieSearchArn"], input="{}"
    )


def stop_execution(connect: Callable[[str], Any], outputs: Any) -> Any:
    machine = outputs["MovieSearchArn"]
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:none"
    return connect("stepfunctions").stop_execution(executionArn=arn)


def delete_workflows(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("dynamodb").delete_table(TableName=outputs["WorkflowsTableName"])


def delete_record(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("dynamodb").delete_item(TableName=outputs["WorkflowsTableName"], Key=RECORD)


def read_secret(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("ssm").get_parameter(Name=TOKEN, WithDecryption=True)


def put_review(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("dynamodb").put_item(TableName=outputs["ReviewsTableName"], Item=KEY)


def put_event(connect: Callable[[str], Any], outputs: Any) -> Any:
    entry = {"EventBusName": outputs["EventBusName"], "Source": "x", "DetailType": "x"}
    return connect("events").put_events(Entries=[entry | {"Detail": "{}"}])


def park(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("sqs").send_message(QueueUrl=outputs["ParkedReviewsQueueUrl"], MessageBody="{}")


def read_film(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("dynamodb").get_item(TableName=outputs["MoviesTableName"], Key=KEY)


def read_record(connect: Callable[[str], Any], outputs: Any) -> Any:
    return connect("dynamodb").get_item(TableName=outputs["WorkflowsTableName"], Key=RECORD)


ROLES: dict[str, tuple[Act, tuple[Act, ...]]] = {
    "AnalyzeReviewsFunction": (
        read_film,
        (start_execution, delete_workflows, delete_record, read_secret, put_event, park),
    ),
    "FindMovieFunction": (read_secret, (put_review, start_execution, put_event, delete_workflows)),
    "CollectReviewsFunction": (
        read_secret,
        (start_execution, stop_execution, put_event, delete_record),
    ),
    "ApiFunction": (read_record, (read_secret, park, delete_workflows)),
}
"""What a function's role may do, so that its credentials are known to be good, and may not."""


@pytest.mark.parametrize("function", ROLES)
def test_a_functions_role_may_do_what_its_function_does_and_nothing_else(
    deployed: Deployed, function: str
) -> None:
    allowed, forbidden = ROLES[function]
    with deployed.as_role_of(function) as connect:
        allowed(connect, deployed.cloud.outputs)
        for act in forbidden:
            with pytest.raises(ClientError, match=f"AccessDenied.*{function}"):
                act(connect, deployed.cloud.outputs)


# The command


def marquee_search(deployed: Deployed, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `marquee search` as a user does."""
    marquee, home = Path(sys.executable).with_name("marquee"), deployed.cloud.cloud.home.folder
    done = subprocess.run(  # noqa: S603 - our own command
        [marquee, "--home", home, "search", *arguments],
        # Neither the terminal's width nor the locale of whoever runs the tests shows.
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=COMMAND_SECONDS,
        check=False,
    )
    deployed.said.append(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_shows_a_film_that_it_has_found(deployed: Deployed) -> None:
    done = marquee_search(deployed, "The Matrix", "--max-reviews", "5")
    assert done.returncode == FOUND
    assert "✓ FinishSearch" in done.stderr
    for words in ("The Matrix (1999)", "What people feel", "Sources", "Watch next"):
        assert words in done.stdout


def test_the_command_says_that_nothing_matches(deployed: Deployed) -> None:
    done = marquee_search(deployed, f"{NONSENSE} again")
    assert done.returncode == NO_MATCH
    assert f'TMDB has no film called "{NONSENSE} again".' in done.stdout


def test_the_command_prints_json_with_what_is_missing(deployed: Deployed) -> None:
    break_down(deployed.upstreams, "mastodon", kind="status", status=500)
    done = marquee_search(deployed, "Wicked", "--json")
    assert (done.returncode, done.stderr) == (PARTIAL, "")
    document = json.loads(done.stdout)
    assert document == deployed.get(f"/workflow/status/{document['workflow_id']}")
    [missing] = document["result"]["missing"]
    assert missing.startswith("reviews from mastodon: UpstreamUnavailable: mastodon")


def test_the_command_says_why_a_search_failed(deployed: Deployed) -> None:
    break_down(deployed.upstreams, "tmdb", kind="status", status=500)
    done = marquee_search(deployed, "Pulp Fiction")
    assert done.returncode == FAILED
    assert "The search failed. UpstreamUnavailable: tmdb search/movie" in done.stdout


def test_the_command_says_what_is_wrong_with_a_call(deployed: Deployed) -> None:
    done = marquee_search(deployed, "")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "give a movie_name or a tmdb_id" in done.stderr


# Secrets. Last, so that it looks at what all tests of the session have left.


def test_no_secret_is_in_a_history_a_record_a_log_or_an_answer(deployed: Deployed) -> None:
    """Credentials that an upstream refuses are the likeliest to be told of."""
    for upstream in SOURCES[1:]:
        break_down(deployed.upstreams, upstream, kind="status", status=401)
    status = deployed.search("The Dark Knight")
    assert status["status"] == "PARTIAL"
    break_down(deployed.upstreams, "tmdb", kind="status", status=401)
    failed = deployed.search("Blade Runner 2049")
    assert failed["error"]["name"] == "CredentialsRefused"

    places = {
        "histories": [str(deployed.history(name)) for name in deployed.executions()],
        "records": [str(item) for item in deployed.items("Workflows")],
        "films": [str(item) for item in deployed.items("Movies")],
        "reviews": [str(item) for item in deployed.items("Reviews")],
        "answers": deployed.said,
    }

    def holding(words: str) -> set[str]:
        holds = {place for place, texts in places.items() if any(words in text for text in texts)}
        return holds | ({"logs"} if deployed.logged(words) else set())

    for search in (status, failed):
        assert holding(search["workflow_id"]) == {"histories", "records", "logs", "answers"}
    for secret in (
        DEMONSTRATION.tmdb_token,
        DEMONSTRATION.x_bearer_token,
        DEMONSTRATION.bluesky_app_password,
        deployed.cloud.api_key,
        "Bearer ",
    ):
        assert holding(secret) == set()
