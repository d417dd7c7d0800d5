"""GET /workflow/status and /workflow/list."""

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest

from marquee.aws import table
from marquee.settings import Settings
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from marquee.workflows.start import LONGEST_EXECUTION
from tests.support.api import Api
from tests.support.builders import NOW
from tests.unit.api.conftest import End

ID = "movie_search-0123456789abcdef-1"


@pytest.fixture
def running(records: WorkflowRecords) -> str:
    records.open(
        ID, "movie_search", trigger="event", request={"movie_name": "RRR", "year": 2022}, now=NOW
    )
    return ID


def test_a_running_execution_shows_what_was_asked_and_its_steps(
    api: Api, records: WorkflowRecords, running: str
) -> None:
    done = StepRecord(
        status=Status.SUCCEEDED,
        started_at=NOW,
        ended_at=NOW + timedelta(milliseconds=812),
        duration_ms=812,
        attempts=2,
        counts={"calls": {"tmdb.successful": 2}, "read_units": 1.5, "candidates": 3},
    )
    records.write_step(ID, "movie_search", "FindMovie", done, NOW)
    failed = StepRecord(
        status=Status.FAILED,
        started_at=NOW,
        ended_at=NOW,
        duration_ms=0,
        error=StepError(name="RateLimited", message="x search: rate limit reached"),
    )
    records.write_step(ID, "movie_search", "CollectReviews/x", failed, NOW)
    answer = api.get(f"/workflow/status/{ID}")
    assert answer.status == 200
    status = answer.json()
    assert (status["status"], status["trigger"], status["kind"]) == (
        "RUNNING",
        "event",
        "movie_search",
    )
    assert status["input"] == {"movie_name": "RRR", "year": 2022}
    assert (status["started_at"], status["ended_at"]) == ("2026-03-14T20:00:00Z", None)
    assert (status["stalled"], status["result"], status["error"]) == (False, None, None)
    found = status["steps"]["FindMovie"]
    assert (found["status"], found["attempts"], found["duration_ms"]) == ("SUCCEEDED", 2, 812)
    assert found["counts"] == {
        "calls": {"tmdb.successful": 2},
        "read_units": 1.5,
        "candidates": 3,
    }
    assert status["steps"]["CollectReviews/x"]["error"]["name"] == "RateLimited"


def test_an_execution_that_has_ended_shows_its_result(
    api: Api, known_film: int, end_search: End
) -> None:
    api.clock.after(2, end_search)
    searched = api.post("/api/orchestrator/auto-search", {"movie_name": "RRR"}).json()
    result = searched["workflow_result"]
    status = api.get(f"/workflow/status/{result['workflow_id']}").json()
    assert status["status"] == "SUCCEEDED"
    assert status["result"] == result
    assert status["duration_ms"] == pytest.approx(2000, abs=1000)
    assert status["automation_stats"] == searched["automation_stats"]


def test_an_execution_that_failed_shows_why(
    api: Api, records: WorkflowRecords, running: str
) -> None:
    error = StepError(name="States.TIMED_OUT", message="too long")
    records.close(ID, "movie_search", Status.FAILED, now=NOW, error=error)
    status = api.get(f"/workflow/status/{ID}").json()
    assert (status["status"], status["result"]) == ("FAILED", None)
    assert status["error"] == {"name": "States.TIMED_OUT", "message": "too long"}


def test_a_record_that_runs_longer_than_any_execution_can_is_shown_as_stalled(
    api: Api, running: str
) -> None:
    api.clock.time = NOW + LONGEST_EXECUTION
    assert api.get(f"/workflow/status/{ID}").json()["stalled"] is False
    api.clock.time += timedelta(seconds=1)
    status = api.get(f"/workflow/status/{ID}").json()
    assert (status["status"], status["stalled"]) == ("RUNNING", True)


def test_an_execution_from_the_console_says_so(api: Api, records: WorkflowRecords) -> None:
    step = StepRecord(status=Status.RUNNING, started_at=NOW)
    records.write_step("by-hand", "movie_search", "FindMovie", step, NOW)
    status = api.get("/workflow/status/by-hand").json()
    assert status["automation_stats"]["trigger_history"][0]["name"] == "console"


@pytest.mark.parametrize("unknown", ["nope", "a.b", "x" * 81, "50%", "a b"])
def test_an_unknown_id_is_not_found(api: Api, unknown: str) -> None:
    answer = api.get(f"/workflow/status/{unknown}")
    assert (answer.status, answer.json()["title"]) == (404, "Not Found")


def test_a_flight_is_no_workflow(api: Api, settings: Settings) -> None:
    api.post("/api/orchestrator/auto-search", {"movie_name": "RRR", "wait_seconds": 0})
    items = table(settings.workflows_table).scan()["Items"]
    [flight] = [str(item["workflow_id"]) for item in items if "generation" in item]
    assert api.get(f"/workflow/status/{flight}").status == 404
    assert len(api.get("/workflow/list").json()["workflows"]) == 1


@pytest.fixture
def seven(records: WorkflowRecords) -> list[str]:
    """Seven executions, the newest first; every third one has succeeded."""
    ids = []
    for number in range(7):
        workflow_id = f"run-{number}"
        now = NOW + timedelta(seconds=number // 2)
        records.open(
            workflow_id, "movie_search", trigger="api", request={"movie_name": "RRR"}, now=now
        )
        if number % 3 == 0:
            end = now + timedelta(seconds=4)
            records.close(workflow_id, "movie_search", Status.SUCCEEDED, now=end)
        ids.append(workflow_id)
    return ids[::-1]


def pages(api: Api, **query: Any) -> list[list[str]]:
    """The ids of every page, following the cursors."""
    found = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get("/workflow/list", {**query, **cursor})
        assert answer.status == 200
        page = answer.json()
        found.append([workflow["workflow_id"] for workflow in page["workflows"]])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("kind", [{}, {"kind": "movie_search"}])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_every_execution_is_listed_once_whatever_the_page_size(
    api: Api, seven: list[str], kind: dict[str, str], limit: int
) -> None:
    found = pages(api, limit=limit, **kind)
    assert sorted(name for page in found for name in page) == sorted(seven)
    assert all(len(page) <= limit for page in found)


def test_the_newest_executions_come_first(api: Api, seven: list[str]) -> None:
    listed = api.get("/workflow/list").json()["workflows"]
    times = [workflow["started_at"] for workflow in listed]
    assert times == sorted(times, reverse=True)


def test_a_listed_execution_says_what_was_asked_and_where_its_status_is(
    api: Api, seven: list[str]
) -> None:
    listed = api.get("/workflow/list", {"status": "SUCCEEDED"}).json()["workflows"]
    first = listed[0]
    assert {name: first[name] for name in ("workflow_id", "kind", "status", "input")} == {
        "workflow_id": "run-6",
        "kind": "movie_search",
        "status": "SUCCEEDED",
        "input": {"movie_name": "RRR"},
    }
    assert first["duration_ms"] == 4000
    address = urljoin("https://api.example.org/prod/workflow/list", first["status_url"])
    assert address == "https://api.example.org/prod/workflow/status/run-6"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("SUCCEEDED", {"run-6", "run-3", "run-0"}),
        ("RUNNING", {"run-5", "run-4", "run-2", "run-1"}),
        ("PARTIAL", set()),
        ("FAILED", set()),
        ("CANCELED", set()),
    ],
)
def test_executions_are_filtered_by_status(
    api: Api, seven: list[str], status: str, expected: set[str]
) -> None:
    found = pages(api, status=status, limit=2)
    assert {name for page in found for name in page} == expected


def a_cursor(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "ÿ",
        "AAAA",
        a_cursor([]),
        a_cursor({}),
        a_cursor({"after": 3}),
        a_cursor({"after": {"movie_search": {"workflow_id": "flight#x", "started_at": "now"}}}),
        a_cursor({"after": {"movie_search": {"workflow_id": 3, "started_at": "2026-01-01"}}}),
        a_cursor({"after": {}, "more": 1}),
        a_cursor({"after": {"movie_search": {"workflow_id": "a"}}}),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused_by_name(api: Api, cursor: str) -> None:
    answer = api.get("/workflow/list", {"cursor": cursor})
    assert answer.status == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]


def test_a_cursor_of_another_filter_lists_on_from_its_time(api: Api, seven: list[str]) -> None:
    cursor = api.get("/workflow/list", {"limit": 2}).json()["next_cursor"]
    answer = api.get("/workflow/list", {"cursor": cursor, "status": "SUCCEEDED"})
    assert [found["workflow_id"] for found in answer.json()["workflows"]] == ["run-3", "run-0"]


def test_the_result_of_an_expired_film_still_says_what_was_found(api: Api, end_search: End) -> None:
    api.clock.after(1, end_search)
    result = api.post("/api/orchestrator/auto-search", {"movie_name": "RRR"}).json()
    found = result["workflow_result"]
    assert (found["movie"], found["message"]) == (None, "the exact title")
