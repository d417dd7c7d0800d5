"""The canary of the state machine harness: each test names the shim that a newer moto breaks."""

import pkgutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.config import default_user_config

from marquee.clock import now
from tests.support import state_machines as harness
from tests.support.state_machines import (
    REGION,
    Call,
    Catch,
    Execution,
    Failure,
    Json,
    LambdaContext,
    PassingTime,
    Retry,
    Wait,
    failing,
    run,
    state_machines,
)

WORK = f"arn:aws:lambda:{REGION}:123456789012:function:Work"

RETRY = {
    "ErrorEquals": [
        "UpstreamDown",
        "Lambda.ServiceException",
        "Sandbox.Timedout",
        "States.Timeout",
    ],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 3,
    "JitterStrategy": "FULL",
}
CATCH = {
    "ErrorEquals": ["States.ALL"],
    "Assign": {"failure": "{% $states.errorOutput %}"},
    "Output": {"error": "{% $states.errorOutput.Error %}"},
    "Next": "TellFailure",
}


SHIMS = (
    *harness._QUICK,
    *harness._shims({}, harness._Recorder(), harness.PassingTime()),
)
MISSING = object()


def standing_at(target: str) -> Any:
    """What a dotted name stands for, or `MISSING`."""
    owner, _, name = target.rpartition(".")
    try:
        holder = pkgutil.resolve_name(owner)
    except (ImportError, AttributeError):
        return MISSING
    return getattr(holder, name, MISSING)


class UpstreamDown(Exception):
    """Stands for a transient error."""


def echo(event: Json, context: Any) -> Json:
    return event


def a_task(payload: Json = "{% $states.input %}", **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": WORK, "Payload": payload},
        "Output": "{% $states.result.Payload %}",
        "TimeoutSeconds": "{% 60 %}",
        "Retry": [RETRY],
        "Catch": [CATCH],
        "End": True,
        **fields,
    }


def a_machine(**states: dict[str, Any]) -> dict[str, Any]:
    """A machine that starts at its first state and has a place for failures to go."""
    return {
        "QueryLanguage": "JSONata",
        "StartAt": next(iter(states)),
        "States": {
            **states,
            "TellFailure": {
                "Type": "Pass",
                "Output": {"told": "{% $states.input %}", "failure": "{% $failure %}"},
                "End": True,
            },
        },
    }


def run_failing(*errors: Failure) -> Execution:
    return run(a_machine(DoWork=a_task()), {WORK: failing(echo, errors)}, {"film": "RRR"})


@pytest.fixture(autouse=True)
def no_thread_outlives_the_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.parametrize("shim", SHIMS, ids=lambda shim: shim.target.removeprefix("moto."))
def test_moto_still_has_what_the_shim_replaces(shim: harness._Shim) -> None:
    assert standing_at(shim.target) is not MISSING, f"moto lost {shim.target}; {shim.reason}"


def test_expressions_are_evaluated_by_jsonata_python() -> None:
    pick = {
        "Type": "Pass",
        "Output": {
            "films": "{% $states.input.films[year > 2000].title %}",
            "one": "{% [$states.input.films[year < 2000].title] %}",
            "count": "{% $count($states.input.films) %}",
            "nothing": "{% null %}",
            "parsed": "{% $parse('{\"a\": 1}').a %}",
        },
        "End": True,
    }
    films = [
        {"title": "RRR", "year": 2022},
        {"title": "Dune", "year": 2021},
        {"title": "Dune", "year": 1984},
    ]
    done = run(a_machine(PickFilms=pick), {}, {"films": films})
    assert done.output == {
        "films": ["RRR", "Dune"],
        "one": ["Dune"],
        "count": 3,
        "nothing": None,
        "parsed": 1,
    }


def test_an_expression_meets_the_data_of_each_evaluation_and_its_nulls() -> None:
    tell = {
        "Type": "Pass",
        "Output": {
            "year": "{% $states.input.year %}",
            "is_null": "{% $states.input.year = null %}",
            "kept": "{% $year %}",
            "all": "{% [$states.input.lists] %}",
        },
        "End": True,
    }
    keep = {"Type": "Pass", "Assign": {"year": "{% $states.input.year %}"}, "Next": "TellIt"}
    definition = a_machine(KeepYear=keep, TellIt=tell)
    for year in (2022, None, 1984):
        lists: list[Json] = [[], [None], [1, [2]]]
        done = run(definition, {}, {"year": year, "lists": lists})
        assert done.output == {"year": year, "is_null": year is None, "kept": year, "all": lists}


def test_an_expression_whose_value_is_a_function_is_a_query_evaluation_error() -> None:
    done = run(a_machine(DoWork=a_task("{% $count %}")), {WORK: echo}, {})
    assert [catch.error for catch in done.catches] == ["States.QueryEvaluationError"]


def test_a_definition_that_runs_again_starts_afresh() -> None:
    payload = {"attempt": "{% $states.context.State.RetryCount + 1 %}"}
    definition = a_machine(DoWork=a_task(payload))
    for _ in range(2):
        done = run(definition, {WORK: failing(echo, ["UpstreamDown"])}, {})
        assert [call.payload["attempt"] for call in done.calls] == [1, 2]
        assert done.transitions == 2


def test_an_item_comes_back_whole_in_every_type() -> None:
    item: dict[str, Any] = {
        "title": {"S": "RRR"},
        "year": {"N": "2022"},
        "poster": {"B": b"\x00\xff"},
        "seen": {"BOOL": False},
        "sequel": {"NULL": True},
        "genres": {"SS": ["Action", "Drama"]},
        "cast": {"L": [{"M": {"name": {"S": "Ram Charan"}, "roles": {"L": []}}}]},
    }
    with state_machines({}):
        client = boto3.client("dynamodb", region_name=REGION)
        client.create_table(
            TableName="films",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "title", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "title", "KeyType": "HASH"}],
        )
        client.put_item(TableName="films", Item=item)
        assert client.get_item(TableName="films", Key={"title": item["title"]})["Item"] == item
        assert client.scan(TableName="films")["Items"] == [item]


@pytest.mark.parametrize("title", ['She said "no"', "a\\b\nc", "Amélie 😀", "$x ? 'y' : {% z %}"])
def test_a_variable_carries_any_text_as_it_is(title: str) -> None:
    remember = {"Type": "Pass", "Assign": {"title": "{% $states.input.title %}"}, "Next": "TellIt"}
    tell = {"Type": "Pass", "Output": "{% $title %}", "End": True}
    assert run(a_machine(KeepTitle=remember, TellIt=tell), {}, {"title": title}).output == title


def test_an_expression_without_a_value_or_with_an_error_is_a_query_evaluation_error() -> None:
    for expression in ("{% $states.input.absent %}", "{% $states.input.film + 1 %}"):
        done = run(a_machine(DoWork=a_task(expression)), {WORK: echo}, {"film": "RRR"})
        assert [catch.error for catch in done.catches] == ["States.QueryEvaluationError"]
        assert done.calls == ()


def test_a_lambda_call_runs_the_handler_with_a_payload_that_went_through_json() -> None:
    def double(event: Json, context: LambdaContext) -> Json:
        assert 29_000 < context.get_remaining_time_in_millis() <= 30_000
        return {
            "films": (event["films"] * 2),
            "name": context.function_name,
            "request": len(context.aws_request_id),
            "score": Decimal("0.5"),
        }

    done = run(a_machine(DoWork=a_task()), {WORK: double}, {"films": ["RRR"]}, name="search-1")
    assert (done.status, done.name, done.history) == ("SUCCEEDED", "search-1", ("DoWork",))
    assert done.output == {"films": ["RRR", "RRR"], "name": "Work", "request": 36, "score": 0.5}
    assert done.calls == (Call(WORK, {"films": ["RRR"]}),)


@pytest.mark.parametrize("answer", [{1, 2}, float("nan"), object()])
def test_an_answer_that_is_no_json_fails_as_the_runtime_reports_it(answer: Any) -> None:
    done = run(a_machine(DoWork=a_task()), {WORK: lambda event, context: answer}, {})
    assert [catch.error for catch in done.catches] == ["Runtime.MarshalError"]


def test_an_exception_of_the_handler_arrives_as_lambda_reports_it() -> None:
    done = run_failing(KeyError("title"))
    assert done.output["told"] == {"error": "KeyError"}
    failure = done.output["failure"]
    assert failure["Error"] == "KeyError"
    for part in ('"errorMessage":"\'title\'"', '"errorType":"KeyError"', '"stackTrace":["'):
        assert part in failure["Cause"]
    assert done.catches == (Catch("DoWork", "KeyError", "TellFailure"),)
    assert done.retries == ()


@pytest.mark.parametrize(
    "error",
    [
        UpstreamDown,
        UpstreamDown("reset"),
        "UpstreamDown",
        "Lambda.ServiceException",
        "Sandbox.Timedout",
        "States.Timeout",
    ],
)
def test_each_kind_of_failure_can_be_forced_into_retry_and_into_catch(error: Failure) -> None:
    name = error if isinstance(error, str) else "UpstreamDown"
    recovered = run_failing(error)
    assert recovered.output == {"film": "RRR"}
    assert recovered.retries == (Retry("DoWork", name, 2),)
    assert recovered.catches == ()
    assert recovered.transitions == 2

    exhausted = run_failing(*[error] * 4)
    assert exhausted.output["told"] == {"error": name}
    assert [retry.delay_seconds for retry in exhausted.retries] == [2, 4, 8]
    assert exhausted.catches == (Catch("DoWork", name, "TellFailure"),)
    assert exhausted.history == ("DoWork", "TellFailure")
    assert exhausted.transitions == 5


def test_retries_are_counted_in_the_context_and_take_no_time() -> None:
    payload = {"attempt": "{% $states.context.State.RetryCount + 1 %}"}
    started = time.monotonic()
    done = run(a_machine(DoWork=a_task(payload)), {WORK: failing(echo, ["UpstreamDown"] * 3)}, {})
    assert time.monotonic() - started < 10  # the delays asked for add up to 14 s
    assert [call.payload["attempt"] for call in done.calls] == [1, 2, 3, 4]
    assert done.output == {"attempt": 4}


def test_a_task_that_outlasts_its_timeout_times_out() -> None:
    release = threading.Event()

    def hang(event: Json, context: Any) -> Json:
        release.wait(timeout=10)
        return event

    definition = a_machine(DoWork=a_task(TimeoutSeconds="{% 1 %}", Retry=[]))
    done = run(definition, {WORK: hang}, {})
    release.set()
    assert done.catches == (Catch("DoWork", "States.Timeout", "TellFailure"),)


def test_what_aws_does_not_let_states_all_catch_ends_the_execution() -> None:
    done = run(a_machine(DoWork=a_task()), {WORK: lambda event, context: "x" * 262_144}, {})
    assert (done.status, done.error) == ("FAILED", "States.DataLimitExceeded")
    assert done.output is None
    by_name = {**CATCH, "ErrorEquals": ["States.DataLimitExceeded"]}
    definition = a_machine(DoWork=a_task(Catch=[by_name]))
    done = run(definition, {WORK: lambda event, context: "x" * 262_144}, {})
    assert done.status == "SUCCEEDED"


def test_a_map_runs_its_items_apart_with_the_outer_variables_and_context() -> None:
    fan_out = {
        "Type": "Map",
        "Items": "{% $states.input.sources %}",
        "ItemSelector": {
            "source": "{% $states.context.Map.Item.Value %}",
            "index": "{% $states.context.Map.Item.Index %}",
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "DoWork",
            "States": {
                "DoWork": a_task(
                    {"source": "{% $states.input.source %}", "film": "{% $film %}"},
                    Catch=[
                        {
                            "ErrorEquals": ["States.ALL"],
                            "Output": {"failed": "{% $states.input.source %}"},
                            "Next": "NoteFailure",
                        }
                    ],
                ),
                "NoteFailure": {"Type": "Pass", "End": True},
            },
        },
        "Output": {"reports": "{% $states.result %}"},
        "End": True,
    }
    keep = {"Type": "Pass", "Assign": {"film": "{% $states.input.film %}"}, "Next": "AskSources"}
    down = failing(echo, ["UpstreamDown"] * 4, when=lambda event: event["source"] == "x")
    done = run(
        a_machine(KeepFilm=keep, AskSources=fan_out),
        {WORK: down},
        {"film": "RRR", "sources": ["tmdb", "x"]},
    )
    assert done.output == {"reports": [{"source": "tmdb", "film": "RRR"}, {"failed": "x"}]}
    assert sorted(done.history) == ["AskSources", "DoWork", "DoWork", "KeepFilm", "NoteFailure"]
    assert [retry.state for retry in done.retries] == ["DoWork"] * 3
    assert done.transitions == 8
    assert len(done.payloads(WORK)) == 5


def test_a_choice_goes_where_its_condition_says() -> None:
    choice = {
        "Type": "Choice",
        "Choices": [{"Condition": "{% $states.input.found %}", "Next": "DoWork"}],
        "Default": "StopHere",
    }
    stop = {"Type": "Fail", "Error": "NoFilm", "Cause": "{% $states.input.why %}"}
    definition = a_machine(Asked=choice, DoWork=a_task(), StopHere=stop)
    assert run(definition, {WORK: echo}, {"found": True}).history == ("Asked", "DoWork")
    done = run(definition, {WORK: echo}, {"found": False, "why": "none such"})
    assert (done.status, done.error, done.cause) == ("FAILED", "NoFilm", "none such")


def test_a_map_gets_the_name_of_the_error_that_ended_an_iteration() -> None:
    fan_out = {
        "Type": "Map",
        "Items": [1],
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "DoWork",
            "States": {"DoWork": a_task(Retry=[], Catch=[])},
        },
        "Catch": [CATCH],
        "End": True,
    }
    definition = a_machine(AskSources=fan_out)
    done = run(definition, {WORK: failing(echo, ["States.Timeout"])}, {})
    assert done.catches == (Catch("AskSources", "States.Timeout", "TellFailure"),)


def test_a_fail_state_may_not_take_a_name_that_is_reserved_for_step_functions() -> None:
    definition = a_machine(DoWork=a_task(Retry=[]))
    definition["States"]["TellFailure"] = {"Type": "Fail", "Error": "{% $failure.Error %}"}
    done = run(definition, {WORK: failing(echo, ["States.Timeout"])}, {})
    assert (done.status, done.error) == ("FAILED", "States.Runtime")
    assert "MUST NOT begin with the prefix 'States.'" in (done.cause or "")


def test_a_wait_is_recorded_and_passes_at_once() -> None:
    pause = {"Type": "Wait", "Seconds": 3600, "End": True}
    assert run(a_machine(PauseHere=pause), {}, {}).waits == (Wait("PauseHere", 3600),)


def test_a_wait_lets_the_time_pass_for_expressions_states_and_handlers() -> None:
    times = {"millis": "{% $millis() %}", "entered": "{% $states.context.State.EnteredTime %}"}
    until = {"Type": "Wait", "Timestamp": "{% $fromMillis($millis() + 90500) %}"}
    tell = a_task({"before": "{% $before %}", "after": times})
    clock, began = PassingTime(), datetime.now(UTC)

    def look(event: Json, context: Any) -> Json:
        return event | {"now": now().isoformat()}

    done = run(
        a_machine(
            NoteTime={"Type": "Pass", "Assign": {"before": times}, "Next": "WaitLong"},
            WaitLong={**until, "Next": "TellTime"},
            TellTime=tell,
        ),
        {WORK: look},
        {},
        clock=clock,
    )
    [wait] = done.waits
    assert 90.4 < wait.seconds <= 90.5
    before, after = done.output["before"], done.output["after"]
    assert after["millis"] - before["millis"] >= 90_000
    entered = [datetime.fromisoformat(time["entered"]) for time in (before, after)]
    assert entered[1] - entered[0] >= timedelta(seconds=90)
    assert datetime.fromisoformat(done.output["now"]) - began >= timedelta(seconds=90)
    assert clock.now() - began >= timedelta(seconds=90)


def a_task_that_waits() -> dict[str, Any]:
    return a_task(
        {"token": "{% $states.context.Task.Token %}"},
        Resource="arn:aws:states:::lambda:invoke.waitForTaskToken",
        Output="{% $states.result %}",
        TimeoutSeconds=3600,
        Retry=[],
    )


def test_a_task_token_that_is_answered_lets_the_state_go_on_with_the_answer() -> None:
    def answer(event: Json, context: Any) -> Json:
        client = boto3.client("stepfunctions", region_name=REGION)
        client.send_task_success(taskToken=event["token"], output='{"approved": true}')
        return {"ignored": True}

    done = run(a_machine(AskThem=a_task_that_waits()), {WORK: answer}, {})
    assert done.output == {"approved": True}


def test_a_task_token_that_nobody_answers_times_out_at_once_and_the_time_has_passed() -> None:
    clock = PassingTime()
    done = run(a_machine(AskThem=a_task_that_waits()), {WORK: echo}, {}, clock=clock)
    assert done.catches == (Catch("AskThem", "States.Timeout", "TellFailure"),)
    assert clock.passed == timedelta(hours=1)


def test_handlers_share_the_tables_of_the_mock_around_the_run() -> None:
    def store(event: Json, context: Any) -> Json:
        table = boto3.client("dynamodb", region_name=REGION)
        table.put_item(TableName="films", Item={"title": {"S": event["film"]}})
        return event

    with mock_aws():
        table = boto3.client("dynamodb", region_name=REGION)
        table.create_table(
            TableName="films",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "title", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "title", "KeyType": "HASH"}],
        )
        run(a_machine(DoWork=a_task()), {WORK: store}, {"film": "RRR"})
        assert table.scan(TableName="films")["Items"] == [{"title": {"S": "RRR"}}]


def test_an_execution_that_a_handler_starts_can_be_waited_for() -> None:
    with state_machines({WORK: echo}) as machines:
        machine = machines.create(a_machine(DoWork=a_task()), "search")
        client = boto3.client("stepfunctions", region_name=REGION)
        started = client.start_execution(stateMachineArn=machine, name="a", input='{"film": 1}')
        done = machines.wait(started["executionArn"])
    assert (machine.rsplit(":", 1)[-1], done.name, done.output) == ("search", "a", {"film": 1})


def test_a_function_without_a_handler_is_named_before_anything_runs() -> None:
    with pytest.raises(LookupError, match=WORK):
        run(a_machine(DoWork=a_task()), {}, {})


def test_an_execution_that_does_not_end_is_given_up_with_what_it_entered() -> None:
    release = threading.Event()

    def hang(event: Json, context: Any) -> Json:
        release.wait(timeout=10)
        return event

    try:
        with pytest.raises(TimeoutError, match="DoWork"):
            run(a_machine(DoWork=a_task()), {WORK: hang}, {}, deadline=0.3)
    finally:
        release.set()


def test_moto_is_left_as_it_was_found() -> None:
    config = dict(default_user_config)
    before = [standing_at(shim.target) for shim in SHIMS]
    with state_machines({}):
        during = [standing_at(shim.target) for shim in SHIMS]
    assert all(one is not other for one, other in zip(before, during, strict=True))
    assert [standing_at(shim.target) for shim in SHIMS] == before
    assert default_user_config == config
