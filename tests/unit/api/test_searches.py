"""POST /api/orchestrator/auto-search: waiting, joining, answering, failing."""

from typing import Any
from urllib.parse import urljoin

import boto3
import pytest

from marquee.movies.models import FoundMovie
from marquee.movies.search import SearchSummary
from marquee.settings import Settings
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from tests.support.api import STAGE, Api
from tests.support.builders import NOW
from tests.support.installation import executions
from tests.unit.api.conftest import RRR, End

PATH = "/api/orchestrator/auto-search"


def search(api: Api, **query: Any) -> Any:
    return api.post(PATH, {"movie_name": "RRR", **query})


def test_a_search_that_ends_in_time_is_answered_with_its_result(
    api: Api, known_film: int, end_search: End, settings: Settings
) -> None:
    api.clock.after(3, end_search)
    answer = search(api, max_reviews=10)
    assert answer.status == 200
    body = answer.json()
    assert set(body) == {"success", "workflow_result", "automation_stats"}
    assert body["success"] is True
    result = body["workflow_result"]
    assert result["workflow_id"] == executions(settings)[0]
    assert result["movie"]["tmdb_id"] == RRR
    assert result["movie"]["title"] == "RRR"
    assert result["analysis"]["average_sentiment"] == 0.42
    assert result["recommendations"][0]["reasons"] == ["same director, S. S. Rajamouli"]
    assert result["sources"][0]["source"] == "tmdb"
    assert result["candidates"] == []
    assert result["message"] == "the exact title"


def test_the_stats_are_the_counts_of_this_execution(
    api: Api, known_film: int, end_search: End
) -> None:
    api.clock.after(1, end_search)
    stats = search(api).json()["automation_stats"]
    assert stats["coordinator_stats"] == {
        "api_calls": {
            "total": 3,
            "successful": 2,
            "failed": 1,
            "success_rate": 0.6667,
            "by_provider": {"tmdb": 2, "x": 1},
            "cost_usd": 0.05,
        },
        "database_operations": {
            "total": 5,
            "failed": 1,
            "by_operation": {"PutItem": 3, "Query": 1, "PutItem.failed": 1},
            "read_units": 1.5,
            "write_units": 4.0,
        },
    }


def test_the_counts_of_failed_attempts_are_among_the_stats(
    api: Api, known_film: int, end_search: End, records: WorkflowRecords, settings: Settings
) -> None:
    def fail_first() -> None:
        failed = StepRecord(
            status=Status.FAILED,
            started_at=NOW,
            ended_at=NOW,
            counts={"calls": {"tmdb.failed": 4}, "operations": {"GetItem": 2}},
        )
        workflow_id = executions(settings)[0]
        records.write_step(workflow_id, "movie_search", "FindMovie", failed, NOW)

    api.clock.after(1, fail_first)
    api.clock.after(3, end_search)
    stats = search(api).json()["automation_stats"]["coordinator_stats"]
    assert stats["api_calls"]["failed"] == 5
    assert stats["api_calls"]["success_rate"] == round(2 / 7, 4)
    assert stats["database_operations"]["total"] == 7


def test_the_history_says_what_set_the_search_off_and_what_it_published(
    api: Api, known_film: int, end_search: End
) -> None:
    api.clock.after(1, end_search)
    history = search(api).json()["automation_stats"]["trigger_history"]
    assert [(entry["what"], entry["name"]) for entry in history] == [
        ("started", "api"),
        ("published", "ReviewsCollected"),
        ("published", "RecommendationGenerated"),
        ("published", "MovieSearchCompleted"),
    ]
    assert history[0]["at"] == "2026-03-14T20:00:00Z"


def test_a_fresh_result_answers_without_an_execution_or_a_pause(
    api: Api, known_film: int, end_search: End, settings: Settings
) -> None:
    api.clock.after(1, end_search)
    first = search(api).json()
    api.clock.slept.clear()
    api.clock.sleep(60)
    again = search(api, movie_name="  rrr! ")
    assert again.status == 200
    assert again.json()["workflow_result"] == first["workflow_result"]
    assert api.clock.slept == [60]
    assert len(executions(settings)) == 1
    joined = again.json()["automation_stats"]["trigger_history"][-1]
    assert (joined["what"], joined["name"]) == ("joined", "api")


def test_a_result_that_is_no_longer_fresh_is_searched_for_again(
    api: Api, known_film: int, end_search: End, settings: Settings
) -> None:
    api.clock.after(1, end_search)
    search(api)
    api.clock.sleep(settings.search_fresh_seconds)
    api.clock.after(1, end_search)
    assert search(api).status == 200
    assert len(executions(settings)) == 2


def test_a_search_that_is_not_done_in_time_is_accepted_with_its_location(
    api: Api, settings: Settings
) -> None:
    answer = search(api, wait_seconds=5)
    assert answer.status == 202
    [workflow_id] = executions(settings)
    assert answer.json() == {
        "workflow_id": workflow_id,
        "status": "RUNNING",
        "joined": False,
        "status_url": answer.headers["location"],
    }
    assert sum(api.clock.slept) == pytest.approx(5)


@pytest.mark.parametrize(
    "root",
    [
        f"https://abc.execute-api.us-east-1.amazonaws.com/{STAGE}",
        "https://films.example.org",
        "http://localhost:4566/_aws/execute-api/abc/local",
    ],
)
@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_the_location_leads_to_the_status_wherever_the_api_is_reached(
    api: Api, settings: Settings, root: str, path: str
) -> None:
    answer = api.post(path, {"movie_name": "RRR", "wait_seconds": 0})
    location = urljoin(root + path, answer.headers["location"])
    assert location == f"{root}/workflow/status/{executions(settings)[0]}"
    assert api.get(location.removeprefix(root)).json()["status"] == "RUNNING"


def test_not_waiting_at_all_does_not_pause(api: Api) -> None:
    assert search(api, wait_seconds=0).status == 202
    assert api.clock.slept == []


def test_pauses_grow_from_a_fifth_of_a_second_to_one(api: Api) -> None:
    search(api)
    pauses = api.clock.slept
    assert pauses[0] == pytest.approx(0.2)
    assert max(pauses) == pytest.approx(1)
    assert pauses[:-1] == sorted(pauses[:-1])
    assert sum(pauses) == pytest.approx(20)
    assert len(pauses) <= 24


def test_waiting_ends_before_the_invocation_does(settings: Settings) -> None:
    api = Api(settings, timeout_seconds=10)
    answer = search(api, wait_seconds=25)
    assert answer.status == 202
    assert sum(api.clock.slept) == pytest.approx(7)


def test_an_invocation_with_no_time_left_still_says_where_to_look(settings: Settings) -> None:
    answer = search(Api(settings, timeout_seconds=1))
    assert answer.status == 202
    assert answer.headers["location"]


def test_equal_requests_join_one_execution(api: Api, settings: Settings) -> None:
    asked = [search(api, wait_seconds=0, movie_name=name) for name in ("RRR", "rrr", " rrr! ")]
    assert {answer.json()["workflow_id"] for answer in asked} == set(executions(settings))
    assert len(executions(settings)) == 1
    search(api, wait_seconds=0, year=2022)
    assert len(executions(settings)) == 2


def test_how_long_a_client_waits_is_not_part_of_what_it_asks(api: Api, settings: Settings) -> None:
    for seconds in (0, 1, 2):
        search(api, wait_seconds=seconds)
    assert len(executions(settings)) == 1
    arn = settings.movie_search_arn.replace(":stateMachine:", ":execution:")
    described = boto3.client("stepfunctions").describe_execution(
        executionArn=f"{arn}:{executions(settings)[0]}"
    )
    assert "wait_seconds" not in described["input"]


def test_no_match_is_a_success_without_a_film(api: Api, end_search: End) -> None:
    nothing = SearchSummary(found=FoundMovie(message="TMDB knows no film called Xyzzy"))
    result = nothing.model_dump(mode="json", exclude_defaults=True)
    api.clock.after(1, lambda: end_search(result=result))
    body = search(api, movie_name="Xyzzy").json()
    assert body["success"] is True
    assert body["workflow_result"]["movie"] is None
    assert body["workflow_result"]["analysis"] is None
    assert body["workflow_result"]["recommendations"] == []
    assert body["workflow_result"]["message"] == "TMDB knows no film called Xyzzy"


def test_a_partial_result_is_answered_and_says_what_it_lacks(
    api: Api, known_film: int, end_search: End
) -> None:
    lacking = SearchSummary(
        found=FoundMovie(tmdb_id=RRR, title="RRR", message="the exact title", stale=True),
        missing=("reviews from x: RateLimited",),
    )
    result = lacking.model_dump(mode="json", exclude_defaults=True)
    api.clock.after(1, lambda: end_search(Status.PARTIAL, result=result))
    answer = search(api)
    assert answer.status == 200
    found = answer.json()["workflow_result"]
    assert (found["status"], found["stale"]) == ("PARTIAL", True)
    assert found["missing"] == ["reviews from x: RateLimited"]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (Status.FAILED, "UpstreamTimeout", 502),
        (Status.FAILED, "UpstreamUnavailable", 502),
        (Status.FAILED, "RateLimited", 502),
        (Status.FAILED, "CredentialsRefused", 502),
        (Status.FAILED, "BadInput", 422),
        (Status.FAILED, "StoreUnavailable", 503),
        (Status.FAILED, "States.Timeout", 503),
        (Status.CANCELED, "States.ABORTED", 503),
    ],
)
def test_a_failed_search_is_a_problem_that_names_the_workflow_and_the_reason(
    api: Api, end_search: End, settings: Settings, status: Status, error: str, expected: int
) -> None:
    failure = StepError(name=error, message="no answer within 10 s")
    api.clock.after(1, lambda: end_search(status, result=None, error=failure))
    answer = search(api)
    assert answer.status == expected
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["workflow_id"] == executions(settings)[0]
    assert problem["error"] == {"name": error, "message": "no answer within 10 s"}
    assert problem["detail"] == f"the search failed: {error}: no answer within 10 s"


def test_an_execution_that_ended_without_a_result_is_a_failed_one(
    api: Api, end_search: End
) -> None:
    api.clock.after(1, lambda: end_search(result=None))
    answer = search(api)
    assert (answer.status, answer.json()["error"]["name"]) == (503, "NoResult")


def test_a_search_that_failed_is_started_anew_by_the_next_request(
    api: Api, known_film: int, end_search: End, settings: Settings
) -> None:
    failure = StepError(name="UpstreamTimeout", message="no answer")
    api.clock.after(1, lambda: end_search(Status.FAILED, result=None, error=failure))
    assert search(api).status == 502
    api.clock.after(1, end_search)
    assert search(api).status == 200
    assert len(executions(settings)) == 2


def test_a_body_says_the_same_as_a_query(api: Api, settings: Settings) -> None:
    by_query = search(api, year=2022, collect_new_data="false", wait_seconds=0)
    body = {"movie_name": "RRR", "year": 2022, "collect_new_data": False, "wait_seconds": 0}
    by_body = api.post(PATH, body=body)
    mixed = api.post(PATH, {"year": 2022, "wait_seconds": 0}, body=without(body, "year"))
    ids = {answer.json()["workflow_id"] for answer in (by_query, by_body, mixed)}
    assert ids == set(executions(settings))
    assert len(ids) == 1


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in (*names, "wait_seconds")}
