"""Starting once: who starts, who joins, and what happens when a start dies half way."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from marquee.aws import table
from marquee.errors import StoreUnavailable
from marquee.observability import logger
from marquee.settings import Settings
from marquee.workflows.record import Status, StepRecord, WorkflowRecords
from marquee.workflows.start import (
    BELIEVED_FOR,
    FLIGHT_KEPT_FOR,
    MAX_TURNS,
    STARTED_WITHIN,
    Executions,
    Started,
    digest_of,
    start_once,
)
from tests.support.builders import NOW
from tests.support.installation import executions

KIND = "movie_search"
REQUEST = {"movie_name": "RRR", "max_reviews": 10}
SECOND = timedelta(seconds=1)
FRESH_FOR = timedelta(hours=1)


class Machine:
    """Step Functions as far as a start sees it: notes what was started, or refuses."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.running: set[str] = set()
        self.asked: list[str] = []
        self.refusal: Exception | None = None

    def start(self, name: str, payload: str) -> None:
        if self.refusal:
            raise self.refusal
        self.started.append((name, payload))

    def is_running(self, name: str) -> bool:
        self.asked.append(name)
        return name in self.running

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.started]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def flights(settings: Settings) -> Any:
    return table(settings.workflows_table)


type Ask = Callable[..., Started]


@pytest.fixture
def ask(flights: Any, records: WorkflowRecords, machine: Machine) -> Ask:
    """One request for REQUEST; any argument of start_once by keyword."""

    def ask(**arguments: Any) -> Started:
        defaults: dict[str, Any] = {
            "key": REQUEST,
            "trigger": "api",
            "fresh_for": FRESH_FOR,
            "flights": flights,
            "records": records,
            "executions": machine,
            "request": REQUEST,
            "now": NOW,
        }
        return start_once(KIND, **{**defaults, **arguments})

    return ask


def name(generation: int, key: dict[str, Any] = REQUEST) -> str:
    return f"{KIND}-{digest_of(key)}-{generation}"


def stepped(records: WorkflowRecords, workflow_id: str, now: datetime = NOW) -> None:
    step = StepRecord(status=Status.RUNNING, started_at=now)
    records.write_step(workflow_id, KIND, "FindMovie", step, now)


def test_the_first_request_starts_the_execution_with_what_was_asked(
    ask: Ask, machine: Machine, records: WorkflowRecords
) -> None:
    assert ask() == Started(workflow_id=name(1), joined=False)
    assert machine.started == [(name(1), '{"max_reviews": 10, "movie_name": "RRR"}')]
    record = records.get(name(1))
    assert record is not None
    assert (record.status, record.trigger, record.input) == (Status.RUNNING, "api", REQUEST)


def test_an_execution_knows_the_request_that_set_it_off_and_the_log_who_joined(
    ask: Ask, records: WorkflowRecords, caplog: pytest.LogCaptureFixture
) -> None:
    for request in ("first", "second"):
        logger.set_correlation_id(request)
        ask()
    record = records.get(name(1))
    assert record is not None
    assert record.correlation_id == "first"
    said = {line.message: line.__dict__["workflow_id"] for line in caplog.records}
    assert said == {"execution starts": name(1), "execution joined": name(1)}


def test_names_fit_step_functions(ask: Ask) -> None:
    started = ask(key={"movie_name": "x" * 200})
    assert len(started.workflow_id) <= 80
    assert started.workflow_id.replace("-", "").replace("_", "").isalnum()


def test_another_request_is_another_execution(ask: Ask, machine: Machine) -> None:
    ask()
    ask(key={"movie_name": "Dune"})
    assert machine.names == [name(1), name(1, {"movie_name": "Dune"})]


def test_equal_requests_have_one_digest_however_they_are_ordered() -> None:
    assert digest_of({"a": 1, "b": "é"}) == digest_of({"b": "é", "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_a_request_joins_the_execution_that_runs(
    ask: Ask, machine: Machine, records: WorkflowRecords
) -> None:
    ask()
    stepped(records, name(1))
    for seconds in (1, 60, 119):
        assert ask(now=NOW + seconds * SECOND) == Started(workflow_id=name(1), joined=True)
    assert machine.names == [name(1)]
    assert machine.asked == []


@pytest.mark.parametrize(
    ("status", "age", "joined"),
    [
        (Status.SUCCEEDED, FRESH_FOR - SECOND, True),
        (Status.SUCCEEDED, FRESH_FOR, False),
        (Status.PARTIAL, SECOND, False),
        (Status.FAILED, SECOND, False),
        (Status.CANCELED, SECOND, False),
    ],
)
def test_only_a_fresh_whole_result_answers_again(
    ask: Ask,
    machine: Machine,
    records: WorkflowRecords,
    status: Status,
    age: timedelta,
    joined: bool,
) -> None:
    ask()
    records.close(name(1), KIND, status, now=NOW)
    expected = name(1) if joined else name(2)
    assert ask(now=NOW + age) == Started(workflow_id=expected, joined=joined)
    assert machine.names == ([name(1)] if joined else [name(1), name(2)])


def test_generations_count_up(ask: Ask, machine: Machine, records: WorkflowRecords) -> None:
    for generation in range(1, 5):
        ask(now=NOW + generation * FRESH_FOR * 2)
        records.close(
            name(generation), KIND, Status.SUCCEEDED, now=NOW + generation * FRESH_FOR * 2
        )
    assert machine.names == [name(1), name(2), name(3), name(4)]


def test_a_starter_that_died_before_the_record_is_waited_for_and_then_replaced(
    ask: Ask, machine: Machine, flights: Any
) -> None:
    dying = FailingRecords()
    with pytest.raises(Died):
        ask(records=dying)
    assert machine.names == []
    assert ask(now=NOW + STARTED_WITHIN) == Started(workflow_id=name(1), joined=True)
    assert machine.names == []
    assert ask(now=NOW + STARTED_WITHIN + SECOND) == Started(workflow_id=name(1), joined=False)
    assert machine.names == [name(1)]


class Died(Exception):
    """The process is gone."""


class FailingRecords:
    """Dies in the moment between taking the flight and opening the record."""

    def open(self, *_: Any, **__: Any) -> None:
        raise Died


def test_a_starter_that_died_between_record_and_start_is_replaced_under_the_same_name(
    ask: Ask, machine: Machine
) -> None:
    class Dying(BaseException):
        """Not an Exception: nothing is tidied up, as when a process is killed."""

    class Deadly(Machine):
        def start(self, name: str, payload: str) -> None:
            raise Dying

    with pytest.raises(Dying):
        ask(executions=Deadly())
    assert ask(now=NOW + SECOND) == Started(workflow_id=name(1), joined=True)
    late = NOW + STARTED_WITHIN + SECOND
    # Equal is not the same: what starts is what the record says.
    equal = {**REQUEST, "movie_name": "rrr"}
    assert ask(request=equal, now=late) == Started(workflow_id=name(1), joined=False)
    assert machine.started == [(name(1), '{"max_reviews": 10, "movie_name": "RRR"}')]


def test_a_start_that_is_refused_closes_the_record_and_the_next_request_starts_anew(
    ask: Ask, machine: Machine, records: WorkflowRecords
) -> None:
    machine.refusal = StoreUnavailable("throttled")
    with pytest.raises(StoreUnavailable):
        ask()
    record = records.get(name(1))
    assert record is not None
    assert record.status is Status.FAILED
    assert record.error is not None
    assert (record.error.name, record.error.message) == (
        "StoreUnavailable",
        "not started: throttled",
    )
    machine.refusal = None
    assert ask(now=NOW + SECOND) == Started(workflow_id=name(2), joined=False)


def test_an_execution_that_never_reported_is_given_up_after_the_longest_time(
    ask: Ask, machine: Machine
) -> None:
    ask()
    late = NOW + BELIEVED_FOR
    assert ask(now=late) == Started(workflow_id=name(2), joined=False)
    assert machine.names == [name(1), name(2)]


def test_a_record_that_says_running_for_long_is_joined_while_step_functions_says_the_same(
    ask: Ask, machine: Machine, records: WorkflowRecords
) -> None:
    ask()
    stepped(records, name(1))
    machine.running = {name(1)}
    assert ask(now=NOW + BELIEVED_FOR - SECOND).joined
    assert machine.asked == []
    week = timedelta(days=7)
    for age in (BELIEVED_FOR, week):
        assert ask(now=NOW + age) == Started(workflow_id=name(1), joined=True)
    machine.running = set()
    assert ask(now=NOW + week) == Started(workflow_id=name(2), joined=False)
    assert machine.asked == [name(1)] * 3


def test_a_flight_whose_record_has_expired_starts_a_new_generation(
    ask: Ask, machine: Machine, flights: Any
) -> None:
    ask()
    flights.delete_item(Key={"workflow_id": name(1)})
    assert ask(now=NOW + timedelta(days=95)) == Started(workflow_id=name(2), joined=False)


def test_a_flight_outlives_the_records_that_it_counts(ask: Ask, flights: Any) -> None:
    ask()
    flight = flights.get_item(Key={"workflow_id": f"flight#{KIND}#{digest_of(REQUEST)}"})["Item"]
    record = flights.get_item(Key={"workflow_id": name(1)})["Item"]
    assert flight["expires_at"] == int((NOW + FLIGHT_KEPT_FOR).timestamp())
    assert flight["expires_at"] - record["expires_at"] > 30 * 24 * 3600


class OneAtATime:
    """The table as DynamoDB has it, each conditional write whole; moto's are not in threads."""

    def __init__(self, inner: Any, lock: threading.Lock) -> None:
        self._inner = inner
        self._lock = lock

    def get_item(self, **arguments: Any) -> Any:
        with self._lock:
            return self._inner.get_item(**arguments)

    def update_item(self, **arguments: Any) -> Any:
        with self._lock:
            return self._inner.update_item(**arguments)


def test_of_fifty_equal_requests_at_once_one_starts_and_all_get_its_execution(
    ask: Ask, machine: Machine, flights: Any
) -> None:
    lock = threading.Lock()
    together = threading.Barrier(50)
    shared: Any = OneAtATime(flights, lock)

    def request(_: int) -> Started:
        together.wait()
        return ask(flights=shared, records=WorkflowRecords(shared))

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(request, range(50)))
    assert machine.names == [name(1)]
    assert {answer.workflow_id for answer in answers} == {name(1)}
    assert sum(not answer.joined for answer in answers) == 1


class Rewriting:
    """A table whose conditional write is sent twice, its first answer having been lost."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def get_item(self, **arguments: Any) -> Any:
        return self._inner.get_item(**arguments)

    def update_item(self, **arguments: Any) -> Any:
        self._inner.update_item(**arguments)
        return self._inner.update_item(**arguments)


def test_a_write_whose_first_answer_was_lost_is_known_as_our_own(
    ask: Ask, machine: Machine, flights: Any
) -> None:
    assert ask(flights=Rewriting(flights)) == Started(workflow_id=name(1), joined=False)
    assert machine.names == [name(1)]


class AlwaysLosing:
    """A table in which somebody else is always a moment faster."""

    def __init__(self) -> None:
        self.writes = 0

    def get_item(self, **_: Any) -> Any:
        return {}

    def update_item(self, **_: Any) -> Any:
        self.writes += 1
        refusal: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}
        raise ClientError(refusal, "UpdateItem")


def test_a_race_that_is_lost_time_and_again_is_given_up(ask: Ask, machine: Machine) -> None:
    losing = AlwaysLosing()
    with pytest.raises(StoreUnavailable, match="lost 5 conditional writes"):
        ask(flights=losing)
    assert losing.writes == MAX_TURNS
    assert machine.names == []


def test_a_refusal_other_than_the_condition_is_raised(ask: Ask) -> None:
    class Denied(AlwaysLosing):
        def update_item(self, **_: Any) -> Any:
            refusal: Any = {"Error": {"Code": "AccessDeniedException", "Message": ""}}
            raise ClientError(refusal, "UpdateItem")

    with pytest.raises(ClientError, match="AccessDenied"):
        ask(flights=Denied())


@pytest.fixture
def searches(settings: Settings) -> Executions:
    """Those of a state machine on moto, where one runs until it is stopped."""
    return Executions(boto3.client("stepfunctions"), settings.movie_search_arn)


def test_starting_what_is_there_already_changes_nothing(
    searches: Executions, settings: Settings
) -> None:
    searches.start("run-1", '{"movie_name": "RRR"}')
    searches.start("run-1", '{"movie_name": "Dune"}')
    assert executions(settings) == ["run-1"]


def test_an_execution_runs_until_it_is_stopped(searches: Executions, settings: Settings) -> None:
    searches.start("run-1", "{}")
    assert searches.is_running("run-1")
    assert searches.stop("run-1", "nobody needs it")
    assert not searches.is_running("run-1")
    answer = boto3.client("stepfunctions").list_executions(
        stateMachineArn=settings.movie_search_arn
    )
    assert [execution["status"] for execution in answer["executions"]] == ["ABORTED"]
    assert searches.stop("run-1", "twice does not harm")


def test_what_never_began_neither_runs_nor_is_stopped(searches: Executions) -> None:
    assert not searches.is_running("nobody")
    assert not searches.stop("nobody", "it is not there")


@pytest.mark.parametrize(("status", "is_over"), [("FAILED", True), ("RUNNING", False)])
def test_a_refusal_to_stop_what_has_ended_is_none(status: str, is_over: bool) -> None:
    class Strict:
        """Holds what AWS leaves open against us: it stops only what runs."""

        def stop_execution(self, **_: str) -> None:
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "not running"}},
                "StopExecution",
            )

        def describe_execution(self, **_: str) -> dict[str, str]:
            return {"status": status}

    executions = Executions(Strict(), "arn:aws:states:us-east-1:1:stateMachine:m")
    if is_over:
        assert executions.stop("run-1", "nobody needs it")
    else:
        with pytest.raises(ClientError, match="ValidationException"):
            executions.stop("run-1", "nobody needs it")


def test_any_other_refusal_is_raised(settings: Settings) -> None:
    nowhere = Executions(boto3.client("stepfunctions"), settings.movie_search_arn + "-gone")
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        nowhere.start("run-1", "{}")
    nothing = Executions(boto3.client("stepfunctions"), "no-arn")
    with pytest.raises(ClientError, match="InvalidArn"):
        nothing.is_running("run-1")
    with pytest.raises(ClientError, match="InvalidArn"):
        nothing.stop("run-1", "in vain")
