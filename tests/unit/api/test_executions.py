"""Executions: status, listing, cancel, rerun, cleanup."""

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
from botocore.exceptions import ConnectTimeoutError

from marquee.api.executions import LOOKED_AT
from marquee.aws import client, table
from marquee.settings import Settings
from marquee.tweets.finish import RunSummary, TweetOutcome
from marquee.tweets.models import Status as TweetStatus
from marquee.tweets.run import Mode
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from marquee.workflows.start import BELIEVED_FOR
from tests.support.api import Api
from tests.support.builders import NOW
from tests.support.installation import executions
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


def test_a_record_that_runs_for_long_without_an_execution_is_shown_as_stalled(
    api: Api, running: str
) -> None:
    api.clock.time = NOW + BELIEVED_FOR
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


def at(seconds: int) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"since": at(2)}, {"run-6", "run-5", "run-4"}),
        ({"until": at(1)}, {"run-3", "run-2", "run-1", "run-0"}),
        ({"since": at(1), "until": at(2)}, {"run-5", "run-4", "run-3", "run-2"}),
        ({"since": at(1), "until": at(2), "status": "SUCCEEDED"}, {"run-3"}),
        ({"since": at(4)}, set()),
    ],
)
def test_executions_are_filtered_by_when_they_started(
    api: Api, seven: list[str], query: dict[str, str], expected: set[str]
) -> None:
    for limit in (1, 100):
        found = pages(api, limit=limit, **query)
        assert sorted(name for page in found for name in page) == sorted(expected)


def test_a_cursor_from_outside_of_the_time_asked_for_is_refused(api: Api, seven: list[str]) -> None:
    cursor = api.get("/workflow/list", {"limit": 1}).json()["next_cursor"]
    answer = api.get("/workflow/list", {"cursor": cursor, "until": at(0)})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run-4", {"run-4"}),
        ("dUNe", {"dune"}),
        ("rr", {f"run-{n}" for n in range(7)}),
        ("no", set()),
    ],
)
def test_executions_are_found_by_their_id_and_by_what_they_were_asked(
    api: Api, seven: list[str], records: WorkflowRecords, text: str, expected: set[str]
) -> None:
    request = {"movie_name": "Dune", "year": 2021}
    records.open("dune", "movie_search", trigger="api", request=request, now=NOW)
    for limit in (1, 100):
        found = pages(api, limit=limit, text=text)
        assert sorted(name for page in found for name in page) == sorted(expected)


def test_a_search_for_a_text_looks_at_so_many_executions_and_goes_on_from_there(
    api: Api, records: WorkflowRecords
) -> None:
    records.open("sought", "movie_search", trigger="api", request={}, now=NOW)
    for number in range(LOOKED_AT):
        later = NOW + timedelta(seconds=1)
        records.open(f"run-{number}", "movie_search", trigger="api", request={}, now=later)
    assert pages(api, text="sought") == [[], ["sought"]]


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


PIPELINE = "tweet_pipeline"
RUN_ID = "tweet_pipeline-0123456789abcdef-1"


@pytest.fixture
def posting(settings: Settings) -> Api:
    """The API of an installation with an account that posts."""
    return Api(
        settings.model_copy(
            update={"posting_account": "marquee_demo", "workflow_default_username": "marquee_demo"}
        )
    )


def arn_of(settings: Settings, workflow_id: str) -> str:
    machine = (
        settings.tweet_pipeline_arn
        if workflow_id.startswith(PIPELINE)
        else settings.movie_search_arn
    )
    return f"{machine.replace(':stateMachine:', ':execution:')}:{workflow_id}"


def status_in_step_functions(settings: Settings, workflow_id: str) -> str:
    described = client("stepfunctions").describe_execution(
        executionArn=arn_of(settings, workflow_id)
    )
    return str(described["status"])


def test_a_step_shows_what_all_its_attempts_cost(
    api: Api, records: WorkflowRecords, running: str
) -> None:
    for attempt, cost in ((1, 0.01), (2, 0.015)):
        step = StepRecord(
            status=Status.FAILED if attempt == 1 else Status.SUCCEEDED,
            started_at=NOW,
            ended_at=NOW + timedelta(seconds=attempt),
            attempts=attempt,
            counts={"cost_usd": cost},
        )
        records.write_step(ID, "movie_search", "CollectReviews/x", step, NOW)
    free = StepRecord(status=Status.RUNNING, started_at=NOW)
    records.write_step(ID, "movie_search", "FindMovie", free, NOW)
    steps = api.get(f"/workflow/status/{ID}").json()["steps"]
    assert steps["CollectReviews/x"]["cost_usd"] == 0.025
    assert steps["FindMovie"]["cost_usd"] == 0


def test_a_run_shows_its_own_kind_of_result(api: Api, records: WorkflowRecords) -> None:
    records.open(RUN_ID, PIPELINE, trigger="schedule:daily", request={"count": 5}, now=NOW)
    assert api.get(f"/workflow/status/{RUN_ID}").json()["result"] is None
    summary = RunSummary(
        account="butaca_nueve",
        posting_account="marquee_demo",
        mode=Mode.APPROVE,
        tweets=(TweetOutcome(tweet_id="1", status=TweetStatus.NEEDS_HUMAN, reason="held"),),
        missing=("DownloadTweets: RateLimited: x",),
    )
    result = summary.model_dump(mode="json", exclude_defaults=True)
    records.close(RUN_ID, PIPELINE, Status.PARTIAL, now=NOW, result=result)
    status = api.get(f"/workflow/status/{RUN_ID}").json()
    assert (status["kind"], status["trigger"]) == (PIPELINE, "schedule:daily")
    assert RunSummary.model_validate(status["result"]) == summary
    assert status["automation_stats"]["trigger_history"][0]["name"] == "schedule:daily"


def test_a_run_that_waits_for_a_person_for_days_is_not_stalled(posting: Api) -> None:
    workflow_id = posting.post("/workflow/execute").json()["workflow_id"]
    posting.clock.time += timedelta(days=6)
    path = f"/workflow/status/{workflow_id}"
    assert posting.get(path).json()["stalled"] is False
    client("stepfunctions").stop_execution(executionArn=arn_of(posting.settings, workflow_id))
    assert posting.get(path).json()["stalled"] is True


def test_where_step_functions_cannot_be_asked_nothing_is_claimed(
    api: Api, running: str, settings: Settings
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url="states")

    api.clock.time = NOW + BELIEVED_FOR + timedelta(seconds=1)
    events = client("stepfunctions").meta.events
    events.register("before-call.stepfunctions", refuse)
    try:
        assert api.get(f"/workflow/status/{ID}").json()["stalled"] is None
    finally:
        events.unregister("before-call.stepfunctions", refuse)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_executions_of_both_kinds_are_listed_together_by_time(
    api: Api, records: WorkflowRecords, limit: int
) -> None:
    kinds = ("movie_search", PIPELINE)
    for number in range(7):
        now = NOW + timedelta(seconds=number)
        name = f"run-{number}"
        records.open(name, kinds[number % 3 == 0], trigger="api", request={}, now=now)
    newest_first = [f"run-{number}" for number in range(6, -1, -1)]
    assert [name for page in pages(api, limit=limit) for name in page] == newest_first
    runs = [name for page in pages(api, limit=limit, kind=PIPELINE) for name in page]
    assert runs == ["run-6", "run-3", "run-0"]


@pytest.mark.parametrize("kind", ["movie_search", PIPELINE])
def test_an_execution_that_runs_is_canceled(posting: Api, kind: str) -> None:
    workflow_id = started(posting, kind)
    answer = posting.post(f"/workflow/{workflow_id}/cancel")
    assert answer.status == 200
    status = answer.json()
    assert (status["workflow_id"], status["status"]) == (workflow_id, "CANCELED")
    assert status["error"] == {"name": "Canceled", "message": "stopped on request"}
    assert status["ended_at"] is not None
    assert status_in_step_functions(posting.settings, workflow_id) == "ABORTED"
    assert started(posting, kind) != workflow_id


def started(api: Api, kind: str) -> str:
    if kind == PIPELINE:
        return str(api.post("/workflow/execute").json()["workflow_id"])
    body = {"movie_name": "RRR", "wait_seconds": 0}
    return str(api.post("/api/orchestrator/auto-search", body=body).json()["workflow_id"])


def test_canceling_twice_is_canceling_once(posting: Api) -> None:
    path = f"/workflow/{started(posting, PIPELINE)}/cancel"
    first = posting.post(path)
    posting.clock.sleep(60)
    assert posting.post(path).json() == first.json()


@pytest.mark.parametrize(
    "status", [Status.SUCCEEDED, Status.PARTIAL, Status.FAILED, Status.CANCELED]
)
def test_an_execution_that_has_ended_is_not_canceled(
    api: Api, records: WorkflowRecords, running: str, status: Status
) -> None:
    records.close(ID, "movie_search", status, now=NOW)
    answer = api.post(f"/workflow/{ID}/cancel")
    assert (answer.status, answer.json()["detail"]) == (409, f"it has ended: {status}")
    record = records.get(ID)
    assert record is not None
    assert (record.status, record.error) == (status, None)


def test_an_execution_that_ends_while_it_is_canceled_keeps_its_end(
    api: Api, records: WorkflowRecords
) -> None:
    workflow_id = started(api, "movie_search")

    def finish(**_: Any) -> None:
        records.close(workflow_id, "movie_search", Status.SUCCEEDED, now=NOW)

    events = client("stepfunctions").meta.events
    events.register("before-call.stepfunctions.StopExecution", finish)
    try:
        answer = api.post(f"/workflow/{workflow_id}/cancel")
    finally:
        events.unregister("before-call.stepfunctions.StopExecution", finish)
    assert (answer.status, answer.json()["detail"]) == (409, "it has ended: SUCCEEDED")


def test_an_execution_that_is_only_being_started_is_not_canceled_yet(
    api: Api, records: WorkflowRecords, running: str
) -> None:
    answer = api.post(f"/workflow/{ID}/cancel")
    assert answer.status == 409
    assert "being started" in answer.json()["detail"]
    record = records.get(ID)
    assert record is not None
    assert record.status is Status.RUNNING


def test_a_record_whose_execution_never_began_is_closed_by_canceling_it(
    api: Api, running: str
) -> None:
    api.clock.time = NOW + timedelta(minutes=1)
    answer = api.post(f"/workflow/{ID}/cancel")
    assert (answer.status, answer.json()["status"]) == (200, "CANCELED")


def ended(api: Api, records: WorkflowRecords, kind: str, **body: Any) -> str:
    """The id of an execution that was asked for so and has failed."""
    if kind == PIPELINE:
        answer = api.post("/workflow/execute", body=body)
    else:
        body = {"movie_name": "RRR", "wait_seconds": 0, **body}
        answer = api.post("/api/orchestrator/auto-search", body=body)
    workflow_id = str(answer.json()["workflow_id"])
    records.close(workflow_id, kind, Status.FAILED, now=api.clock.now())
    return workflow_id


@pytest.mark.parametrize(
    ("kind", "body", "asked", "expected"),
    [
        (PIPELINE, {"count": 5}, {}, {"count": 5}),
        (PIPELINE, {"count": 5}, {"from_step": "DownloadTweets"}, {"count": 5}),
        (
            PIPELINE,
            {"count": 5},
            {"from_step": "PolishTweets"},
            {"count": 5, "from_step": "PolishTweets"},
        ),
        (
            PIPELINE,
            {"from_step": "PolishTweets"},
            {"from_step": "ClassifyTweets"},
            {"from_step": "ClassifyTweets"},
        ),
        (PIPELINE, {"from_step": "PolishTweets"}, {"from_step": "DownloadTweets"}, {}),
        (PIPELINE, {"from_step": "PolishTweets"}, {}, {"from_step": "PolishTweets"}),
        ("movie_search", {}, {}, {"collect_new_data": True}),
        ("movie_search", {}, {"from_step": "AnalyzeReviews"}, {"collect_new_data": False}),
        (
            "movie_search",
            {"collect_new_data": False},
            {"from_step": "FindMovie"},
            {"collect_new_data": True},
        ),
    ],
)
def test_a_rerun_is_a_new_execution_with_the_input_of_the_old_one(
    posting: Api,
    records: WorkflowRecords,
    kind: str,
    body: dict[str, Any],
    asked: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    old = ended(posting, records, kind, **body)
    answer = posting.post(f"/workflow/{old}/rerun", body=asked)
    assert answer.status == 202
    new = answer.json()["workflow_id"]
    assert new != old
    assert answer.json()["joined"] is False
    location = urljoin(f"https://x.example/workflow/{old}/rerun", answer.headers["location"])
    status = posting.get(location.removeprefix("https://x.example")).json()
    assert (status["workflow_id"], status["kind"]) == (new, kind)
    assert (status["rerun_of"], status["trigger"]) == (old, "rerun")
    if kind == PIPELINE:
        assert status["input"] == expected
    else:
        assert status["input"] == {**status["input"], "movie_name": "RRR", **expected}
    assert status_in_step_functions(posting.settings, new) == "RUNNING"


def test_a_rerun_of_a_search_whose_result_is_fresh_searches_again(
    api: Api, records: WorkflowRecords, settings: Settings
) -> None:
    old = started(api, "movie_search")
    records.close(old, "movie_search", Status.SUCCEEDED, now=NOW)
    answer = api.post(f"/workflow/{old}/rerun")
    assert answer.json()["joined"] is False
    assert executions(settings) == [answer.json()["workflow_id"], old]


@pytest.mark.parametrize("kind", ["movie_search", PIPELINE])
def test_a_rerun_joins_an_equal_execution_that_runs(
    posting: Api, records: WorkflowRecords, kind: str
) -> None:
    old = ended(posting, records, kind)
    running = started(posting, kind)
    answer = posting.post(f"/workflow/{old}/rerun")
    assert answer.status == 202
    assert answer.json()["workflow_id"] == running
    assert answer.json()["joined"] is True


def test_an_execution_that_runs_is_not_repeated(posting: Api) -> None:
    workflow_id = started(posting, PIPELINE)
    answer = posting.post(f"/workflow/{workflow_id}/rerun")
    assert answer.status == 409
    assert "has not ended" in answer.json()["detail"]


def test_an_execution_from_the_console_is_not_repeated_for_want_of_its_input(
    posting: Api, records: WorkflowRecords, settings: Settings
) -> None:
    step = StepRecord(status=Status.RUNNING, started_at=NOW)
    records.write_step("by-hand", PIPELINE, "DownloadTweets", step, NOW)
    records.close("by-hand", PIPELINE, Status.FAILED, now=NOW)
    answer = posting.post("/workflow/by-hand/rerun")
    assert answer.status == 409
    assert "console" in answer.json()["detail"]
    assert executions(settings, PIPELINE) == []


def test_an_input_that_is_no_longer_valid_is_not_repeated(
    posting: Api, records: WorkflowRecords
) -> None:
    records.open(RUN_ID, PIPELINE, trigger="api", request={"tweets": 5}, now=NOW)
    records.close(RUN_ID, PIPELINE, Status.FAILED, now=NOW)
    answer = posting.post(f"/workflow/{RUN_ID}/rerun")
    assert answer.status == 409
    assert "tweets" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "from_step"),
    [
        ("movie_search", "ClassifyTweets"),
        (PIPELINE, "AnalyzeReviews"),
        (PIPELINE, "PublishTweets"),
        (PIPELINE, 3),
    ],
)
def test_a_state_that_the_kind_cannot_begin_with_is_refused_by_name(
    posting: Api, records: WorkflowRecords, kind: str, from_step: Any
) -> None:
    old = ended(posting, records, kind)
    answer = posting.post(f"/workflow/{old}/rerun", body={"from_step": from_step})
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["from_step"]


@pytest.mark.parametrize("verb", ["cancel", "rerun"])
@pytest.mark.parametrize("unknown", ["nope", "a.b", "x" * 81])
def test_what_is_not_there_is_neither_canceled_nor_repeated(
    api: Api, verb: str, unknown: str
) -> None:
    assert api.post(f"/workflow/{unknown}/{verb}").status == 404


@pytest.mark.parametrize("verb", ["cancel", "rerun"])
def test_which_execution_is_said_in_the_path_only(api: Api, running: str, verb: str) -> None:
    answer = api.post(f"/workflow/{ID}/{verb}", body={"workflow_id": ID})
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["workflow_id"]


def clean(api: Api, days: Any) -> Any:
    return api.send("DELETE", "/workflow/cleanup", {"older_than_days": days})


@pytest.fixture
def history(records: WorkflowRecords) -> None:
    """Executions of both kinds that ended 1, 2, … 6 days ago, and one that still runs."""
    for number in range(1, 7):
        kind = ("movie_search", PIPELINE)[number % 2]
        then = NOW - timedelta(days=number)
        records.open(f"ended-{number}", kind, trigger="api", request={}, now=then)
        records.close(f"ended-{number}", kind, Status.PARTIAL, now=then)
    long_ago = NOW - timedelta(days=7)
    records.open("running", PIPELINE, trigger="api", request={}, now=long_ago)


def left(api: Api) -> list[str]:
    return [name for page in pages(api) for name in page]


def test_cleanup_deletes_what_ended_long_ago_and_says_how_many(api: Api, history: None) -> None:
    api.clock.time += timedelta(seconds=1)
    answer = clean(api, 4)
    assert answer.status == 200
    assert answer.json() == {"deleted": 3, "more": False}
    assert left(api) == ["ended-1", "ended-2", "ended-3", "running"]
    assert clean(api, 4).json() == {"deleted": 0, "more": False}


def test_cleanup_touches_nothing_but_records(
    api: Api, settings: Settings, records: WorkflowRecords
) -> None:
    old = ended(api, records, "movie_search")
    for name in (settings.tweets_table, settings.posts_table):
        row = {"account": "marquee_demo", "tweet_id": "1", "ended_at": "2020-01-01"}
        table(name).put_item(Item=row)
    api.clock.time += timedelta(days=30)
    assert clean(api, 1).json()["deleted"] == 1
    assert records.get(old) is None
    [flight] = table(settings.workflows_table).scan()["Items"]
    assert str(flight["workflow_id"]).startswith("flight#")
    for name in (settings.tweets_table, settings.posts_table):
        assert len(table(name).scan()["Items"]) == 1
    assert started(api, "movie_search") == old[:-1] + "2"


def test_cleanup_that_has_no_time_left_says_that_there_may_be_more(
    settings: Settings, history: None
) -> None:
    api = Api(settings, timeout_seconds=2)
    api.clock.time += timedelta(seconds=1)
    answers = [clean(api, 3).json() for _ in range(5)]
    assert answers[:4] == [{"deleted": 1, "more": True}] * 4
    assert answers[4] == {"deleted": 0, "more": False}
    assert left(api) == ["ended-1", "ended-2", "running"]


@pytest.mark.parametrize("days", ["0", "366", "-1", "1.5", "x", "", "1e2"])
def test_how_old_is_a_number_of_days(api: Api, history: None, days: str) -> None:
    answer = clean(api, days)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["older_than_days"]
    assert len(left(api)) == 7


def test_cleanup_is_not_asked_for_by_accident(api: Api, history: None) -> None:
    assert api.send("DELETE", "/workflow/cleanup").status == 422
    assert api.post("/workflow/cleanup", {"older_than_days": 1}).status == 405
    assert len(left(api)) == 7
