"""Runs a state machine in this process: moto interprets it and the real handlers answer.

This is the one file that reaches into moto's internals. `_shims` lists what it replaces and why;
`tests/workflows/test_harness.py` names the shim that a newer moto breaks.
"""

import json
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, NoReturn, Self, cast
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from jsonata.jexception import JException  # type: ignore[import-untyped] # ships no types
from jsonata.jsonata import Jsonata  # type: ignore[import-untyped] # ships no types
from jsonata.utils import Utils  # type: ignore[import-untyped] # ships no types
from moto import mock_aws
from moto.backends import get_backend
from moto.core.config import default_user_config
from moto.core.serialize import ResponseSerializer
from moto.dynamodb.parsing import expressions
from moto.dynamodb.parsing.validators import ActionCountValidator
from moto.dynamodb.responses import DynamoHandler
from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.catch.catcher_decl import CatcherDecl
from moto.stepfunctions.parser.asl.component.common.catch.catcher_outcome import (
    CatcherOutcomeCaught,
)
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.intrinsic.jsonata import (
    get_intrinsic_functions_declarations,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcome,
    CallbackOutcomeSuccess,
    CallbackOutcomeTimedOut,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.jsonata.jsonata import extract_jsonata_variable_references
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

type Json = Any
type Handler = Callable[[Json, Any], Json]
type Failure = str | Exception | type[Exception]

REGION = "us-east-1"
ACCOUNT = "123456789012"  # the account that moto pretends to be
DEADLINE_SECONDS = 60.0  # a run takes a second or two; this only ends one that hangs
FIRST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.1  # each look costs moto milliseconds that the run then lacks

# AWS ends the execution on these: `States.ALL` does not catch them, only their own name does.
NOT_IN_STATES_ALL = frozenset({"States.DataLimitExceeded", "States.Runtime"})

_PARSER = "moto.stepfunctions.parser.asl"
_LAMBDA = f"{_PARSER}.component.state.exec.state_task.lambda_eval_utils"


@dataclass(frozen=True)
class Call:
    """One invocation of a function."""

    function: str
    """The ARN as the definition names it."""
    payload: Json


@dataclass(frozen=True)
class Retry:
    """One retry that a `Retry` block granted."""

    state: str
    error: str
    delay_seconds: float
    """The longest delay the block allows here: backoff applied, jitter at its upper bound."""


@dataclass(frozen=True)
class Catch:
    """One error that a `Catch` block took."""

    state: str
    error: str
    next: str


@dataclass(frozen=True)
class Wait:
    """One `Wait` state, passed without waiting."""

    state: str
    seconds: float


class PassingTime:
    """The clock of the machines and of the handlers: it runs, and what they wait for passes."""

    def __init__(self, told: Callable[[timedelta], None] = lambda passed: None) -> None:
        self.passed = timedelta(0)
        """How far it is ahead of the machine's clock."""
        self._told = told
        self.datetime = _datetime_ahead(self)
        """What stands where a module looks for the class `datetime`."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def utcnow(self) -> datetime:
        """The same as moto keeps it."""
        return self.now().replace(tzinfo=None)

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass at once, and tell whoever must follow."""
        self.passed += timedelta(seconds=max(0.0, seconds))
        self._told(self.passed)


def _datetime_ahead(clock: PassingTime) -> type[datetime]:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cast(Self, datetime.now(tz) + clock.passed)

    return Ahead


@dataclass(frozen=True)
class Execution:
    """What one execution did, as the console would show it."""

    arn: str
    name: str
    status: str
    """`SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`."""
    output: Json
    """`None` unless the execution succeeded."""
    error: str | None
    cause: str | None
    history: tuple[str, ...]
    """State names in the order they were entered; those inside a Map may interleave."""
    retries: tuple[Retry, ...]
    catches: tuple[Catch, ...]
    waits: tuple[Wait, ...]
    calls: tuple[Call, ...]
    events: tuple[Mapping[str, Any], ...] = field(repr=False)
    """The history events as `GetExecutionHistory` answers them."""

    @property
    def transitions(self) -> int:
        """Billed transitions: one per state entered and one per retry."""
        return len(self.history) + len(self.retries)

    def payloads(self, function: str) -> list[Json]:
        """The payloads one function got, in order."""
        return [call.payload for call in self.calls if call.function == function]


@dataclass
class LambdaContext:
    """The part of Lambda's context object that handlers and Powertools read."""

    invoked_function_arn: str
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    memory_limit_in_mb: int = 512
    function_version: str = "$LATEST"
    timeout_seconds: float = 30.0
    started: float = field(default_factory=time.monotonic)

    @property
    def function_name(self) -> str:
        return self.invoked_function_arn.rsplit(":", 1)[-1]

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return f"in-process/{self.aws_request_id}"

    def get_remaining_time_in_millis(self) -> int:
        left = self.timeout_seconds - (time.monotonic() - self.started)
        return max(0, int(left * 1000))


class NamedFailure(Exception):
    """Makes the invocation fail under the given name; see `failing`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"forced by the test: {name}")
        self.name = name


def failing(
    handler: Handler,
    errors: Iterable[Failure],
    *,
    when: Callable[[Json], bool] = lambda event: True,
) -> Handler:
    """A handler that fails once per entry of `errors`, in order, and then works.

    An entry is an exception or its class, raised as the handler itself would raise it, or a name:

    - `States.Timeout`: the task runs into its `TimeoutSeconds`.
    - `Lambda.<code>` (`Lambda.ServiceException`, `Lambda.TooManyRequestsException`, ...): the
      Lambda service refuses the invocation.
    - any other (`Sandbox.Timedout`, `Runtime.ExitError`, a class name): the function fails with
      that `errorType`.

    Only events that satisfy `when` use an entry up; the others reach the handler. Give one entry
    more than the retry block has attempts to reach its `Catch`.
    """
    left = deque(errors)

    def handle(event: Json, context: Any) -> Json:
        if when(event):
            try:
                failure = left.popleft()
            except IndexError:
                pass
            else:
                raise NamedFailure(failure) if isinstance(failure, str) else failure
        return handler(event, context)

    return handle


def dying_after_its_first_effect(handler: Handler) -> Handler:
    """A function whose first invocation does its work and is then killed."""

    def work(event: Json, context: Any) -> Json:
        handler(event, context)
        return fails(event, context)

    fails = failing(handler, ["Sandbox.Timedout"])
    return lambda event, context: (work if event["attempt"] == 1 else handler)(event, context)


class StateMachines:
    """Step Functions of this process: create machines, start them, wait for what they did."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._client = boto3.client(
            "stepfunctions",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._recorder = _Recorder()

    def create(self, definition: Mapping[str, Any], name: str | None = None) -> str:
        """The ARN of a new machine. Raises `LookupError` for a function without a handler.

        Without a name it gets one of its own: moto keeps the first definition of a name. The
        definition's substitutions must be resolved: Lambda tasks name whole ARNs.
        """
        missing = sorted(set(_functions_of(definition)) - set(self._handlers))
        if missing:
            raise LookupError(f"no handler for {', '.join(missing)}")
        answer = self._client.create_state_machine(
            name=name or f"machine-{uuid.uuid4()}",
            definition=json.dumps(_one_iteration_at_a_time(definition)),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/state-machine",
        )
        return str(answer["stateMachineArn"])

    def start(self, machine: str, payload: Json, name: str | None = None) -> str:
        """The ARN of a new execution of the machine with that ARN."""
        answer = self._client.start_execution(
            stateMachineArn=machine,
            name=name or f"run-{uuid.uuid4()}",
            input=json.dumps(payload),
        )
        return str(answer["executionArn"])

    def wait(self, execution: str, deadline: float = DEADLINE_SECONDS) -> Execution:
        """What the execution did, once it has ended; also one that a handler or rule started.

        Raises `TimeoutError` with the states entered so far after `deadline` seconds. Retries,
        catches, waits and calls are those recorded since the previous `wait`: start one execution
        at a time where a test looks at them.
        """
        give_up_at = time.monotonic() + deadline
        pause = FIRST_POLL_SECONDS
        while True:
            described = self._client.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                break
            if time.monotonic() > give_up_at:
                entered = " → ".join(_entered(self._events(execution)))
                raise TimeoutError(f"{execution} still runs after {deadline} s: {entered}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
        events = self._events(execution)
        # moto sets the status before the output: the last event holds both.
        last = events[-1]
        failure = last.get("executionFailedEventDetails", {})
        succeeded = last.get("executionSucceededEventDetails")
        recorded = self._recorder.take()
        return Execution(
            arn=execution,
            name=described["name"],
            status=described["status"],
            output=json.loads(succeeded["output"]) if succeeded else None,
            error=failure.get("error"),
            cause=failure.get("cause"),
            history=tuple(_entered(events)),
            retries=tuple(recorded.retries),
            catches=tuple(recorded.catches),
            waits=tuple(recorded.waits),
            calls=tuple(recorded.calls),
            events=tuple(events),
        )

    def _events(self, execution: str) -> list[Mapping[str, Any]]:
        return list(self._client.get_execution_history(executionArn=execution)["events"])


@contextmanager
def state_machines(
    handlers: Mapping[str, Handler], clock: PassingTime | None = None
) -> Iterator[StateMachines]:
    """Step Functions with the given handlers (by function ARN) beside moto's other services.

    Inside an open `mock_aws()` it shares that one's tables, queues and buses; alone it opens one.
    Waits pass at once on the `clock`. A task token must be answered before its function returns:
    nobody answers later, and the state runs into its timeout at once.
    """
    with (
        patch.dict(default_user_config, {"stepfunctions": {"execute_state_machine": True}}),
        mock_aws(),
    ):
        machines = StateMachines(handlers)
        with quick_aws(), ExitStack() as stack:
            for shim in _shims(handlers, machines._recorder, clock or PassingTime()):
                stack.enter_context(patch(shim.target, shim.replacement))
            yield machines


def run(
    definition: Mapping[str, Any],
    handlers: Mapping[str, Handler],
    payload: Json,
    *,
    name: str | None = None,
    deadline: float = DEADLINE_SECONDS,
    clock: PassingTime | None = None,
) -> Execution:
    """Run a definition once, to its end; `name` is the execution's."""
    with state_machines(handlers, clock) as machines:
        return machines.wait(machines.start(machines.create(definition), payload, name), deadline)


@dataclass
class _Recorder:
    """What the shims saw. Map iterations write at once; `list.append` is atomic."""

    calls: list[Call] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    catches: list[Catch] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def take(self) -> "_Recorder":
        taken = _Recorder(self.calls, self.retries, self.catches, self.waits)
        self.calls, self.retries, self.catches, self.waits = [], [], [], []
        return taken


@dataclass(frozen=True)
class _Shim:
    """One name inside moto, what stands there during a run, and why."""

    target: str
    replacement: Any
    reason: str


def _shims(
    handlers: Mapping[str, Handler], recorder: _Recorder, time_: PassingTime
) -> Sequence[_Shim]:
    clock = _RetryClock(recorder)
    common = f"{_PARSER}.component.common"
    return (
        _Shim(
            f"{_PARSER}.parse.asl_parser.AmazonStateLanguageParser.parse",
            _program_of,
            "moto parses a definition twice a run, which takes longer than the run",
        ),
        _Shim(
            f"{common}.string.string_expression.StringJSONata._eval_body",
            _evaluate,
            "moto has no JSONata evaluator, and writes data into the text of every expression",
        ),
        _Shim(
            f"{_LAMBDA}._invoke_lambda_function",
            _invoker(handlers, recorder),
            "a Lambda call runs the handler in this process",
        ),
        _Shim(
            "moto.dynamodb.responses.DynamoHandler.call_action",
            _one_at_a_time(DynamoHandler.call_action),
            "moto's DynamoDB is not made for threads: a conditional write is not whole there",
        ),
        _Shim(
            f"{common}.retry.retrier_decl.time",
            clock,
            "retries are recorded, not waited for",
        ),
        _Shim(
            f"{common}.retry.retrier_decl.RetrierDecl._eval_body",
            clock.watching(RetrierDecl._eval_body),
            "the clock is told which state retries and why",
        ),
        _Shim(
            f"{common}.retry.jitter_strategy_decl.random",
            _UpperBound,
            "full jitter draws its upper bound, so that delays can be compared",
        ),
        _Shim(
            f"{common}.catch.catcher_decl.CatcherDecl._eval_body",
            _recording_catches(CatcherDecl._eval_body, recorder),
            "every Catch that is taken is recorded",
        ),
        _Shim(
            f"{common}.error_name.error_equals_decl.ErrorEqualsDecl._eval_body",
            _all_but_terminal(ErrorEqualsDecl._eval_body),
            "moto lets States.ALL catch what AWS does not",
        ),
        _Shim(
            f"{_PARSER}.component.state.exec.state_map.iteration.iteration_worker.CustomErrorName",
            _IterationErrorName,
            "moto cannot pass a States.* error on from an iteration to its Map",
        ),
        _Shim(
            f"{_PARSER}.component.state.wait.wait_function.wait_function.WaitFunction"
            "._wait_interval",
            _recording_waits(recorder, time_),
            "waits are recorded, not waited for",
        ),
        _Shim(
            f"{_PARSER}.component.state.wait.wait_function.timestamp.Timestamp._get_wait_seconds",
            _seconds_until(time_),
            "moto counts to a timestamp in whole seconds of local time, on the machine's clock",
        ),
        _Shim(
            f"{_PARSER}.component.state.exec.state_task.service.state_task_service_callback"
            ".StateTaskServiceCallback._eval_wait_for_task_token",
            _answered_or_timed_out(time_),
            "a task token is answered by the end of its function, or its timeout passes at once",
        ),
        _Shim(
            f"{_PARSER}.component.state.state.datetime",
            SimpleNamespace(datetime=time_.datetime, timezone=timezone),
            "a state is entered at the time that the waits have made",
        ),
        _Shim(
            "jsonata.timebox.Timebox.current_milli_time",
            lambda: int(time_.now().timestamp() * 1000),
            "$millis() is the time that the waits have made",
        ),
        _Shim(
            "marquee.clock.datetime",
            time_.datetime,
            "handlers ask for the time that the waits have made",
        ),
        _Shim(
            "moto.core.responses.utcnow",
            time_.utcnow,
            "DynamoDB says with every answer what time it is: that which the waits have made",
        ),
    )


def _one_at_a_time(act: Callable[..., Any]) -> Callable[..., Any]:
    turn = threading.Lock()

    def call_action(responder: Any) -> Any:
        with turn:
            return act(responder)

    return call_action


def _program_of(definition: str) -> tuple[Any, Any]:
    """What a run evaluates, made anew for each; what a definition says is parsed once."""
    tree = _syntax_tree(definition)
    return Preprocessor().visit(tree), tree


_parse = AmazonStateLanguageParser.parse


@lru_cache(maxsize=8)
def _syntax_tree(definition: str) -> Any:
    return _parse(definition)[1]


def empty() -> None:
    """Take all items, messages and executions out of moto, and leave what holds them.

    Through the API it would take longer than most tests.
    """
    for table in get_backend("dynamodb")[ACCOUNT][REGION].tables.values():
        table.items.clear()
    for queue in get_backend("sqs")[ACCOUNT][REGION].queues.values():
        queue._messages = []
        queue._pending_messages = set()
        queue.deleted_messages = set()
    for machine in get_backend("stepfunctions")[ACCOUNT][REGION].state_machines:
        machine.executions.clear()


@contextmanager
def quick_aws() -> Iterator[None]:
    """Spare boto3 and moto what they do over and over: half of the time of a test."""
    with ExitStack() as patches:
        for shim in _QUICK:
            patches.enter_context(patch(shim.target, shim.replacement))
        yield


@cache
def _loader(search_path: str | None = None) -> Any:
    return create_loader(search_path)


def _present_members(serialize: Callable[..., None]) -> Callable[..., None]:
    def serialize_type_structure(
        serializer: Any, serialized: dict[str, Any], value: Json, shape: Any, key: str
    ) -> None:
        if shape.name != "AttributeValue" or not isinstance(value, dict):
            serialize(serializer, serialized, value, shape, key)
            return
        typed: dict[str, Any] = {}
        for kind, part in value.items():
            serializer._serialize(typed, part, shape.members[kind], kind)
        serializer._default_serialize(serialized, typed, shape, key)

    return serialize_type_structure


def _at_the_root(verify: Callable[..., Any]) -> Callable[..., Any]:
    def verify_action_counts(validator: Any, node: Any) -> Any:
        return node if node.parent else verify(validator, node)

    return verify_action_counts


_QUICK = (
    _Shim(
        "botocore.session.create_loader",
        _loader,
        "every session reads anew what the services are like",
    ),
    _Shim(
        "moto.core.serialize.ResponseSerializer._serialize_type_structure",
        _present_members(ResponseSerializer._serialize_type_structure),
        "moto looks for each of ten types, under five names, in every value of an item",
    ),
    _Shim(
        "moto.dynamodb.parsing.expressions.UpdateExpressionParser.make",
        lru_cache(maxsize=512)(cast(Any, expressions).UpdateExpressionParser.make),
        "moto parses an update twice, and then changes copies only",
    ),
    _Shim(
        "moto.dynamodb.parsing.validators.ActionCountValidator.verify_action_counts",
        _at_the_root(ActionCountValidator.verify_action_counts),
        "moto counts the clauses below every node of an update, and nodes are nested",
    ),
)


def _evaluate(expression: StringJSONata, env: Any) -> None:
    """Evaluate as AWS does: parsed once, with `$states` and the variables bound as plain data."""
    text = expression.expression
    store = env.variable_store
    known = {**store._outer_scope, **store._inner_scope, "states": env.states._states_data}
    evaluation = copy(_parsed(text))  # an evaluation keeps its state in the object
    Jsonata.CURRENT.jsonata = evaluation
    try:
        value = evaluation.evaluate(None, {name: _bound(each) for name, each in known.items()})
        if value is None:
            raise _query_evaluation_error(env, f"{text} has no value")
        # The round trip turns JSONata's own lists and escaped surrogate pairs into plain JSON.
        env.stack.append(json.loads(json.dumps(Utils.convert_nulls(value))))
    except (JException, TypeError) as error:
        raise _query_evaluation_error(env, f"{text}: {error}") from error


@cache
def _parsed(text: str) -> Jsonata:
    """The expression with those of Step Functions' own functions that it calls."""
    functions = get_intrinsic_functions_declarations(extract_jsonata_variable_references(text))
    parsed = Jsonata(f"({functions}{text})")
    parsed.set_output_convert_nulls(False)  # None is what has no value
    return parsed


def _bound(value: Json) -> Json:
    """A copy of data as an expression knows it: with JSONata's own null."""
    match value:
        case dict():
            return {name: _bound(part) for name, part in value.items()}
        case list():
            return [_bound(part) for part in value]
    return Utils.NULL_VALUE if value is None else value


def _query_evaluation_error(env: Any, cause: str) -> FailureEventException:
    name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
    details = EvaluationFailedEventDetails(error=name.error_name or "", cause=cause)
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.EvaluationFailed,
            event_details=cast(EventDetails, {"evaluationFailedEventDetails": details}),
        )
    )


def _invoker(
    handlers: Mapping[str, Handler], recorder: _Recorder
) -> Callable[..., dict[str, Json]]:
    def invoke(
        parameters: Mapping[str, Any], region: str, state_credentials: Any
    ) -> dict[str, Json]:
        function = str(parameters["FunctionName"])
        event = json.loads(parameters.get("Payload", "{}"))
        recorder.calls.append(Call(function, event))
        handler = handlers.get(function)
        if handler is None:
            _refuse("ResourceNotFoundException", f"Function not found: {function}")
        context = LambdaContext(function)
        answer = {"StatusCode": 200, "ExecutedVersion": context.function_version}
        try:
            return answer | {"Payload": _as_lambda_answers(handler(event, context))}
        except NamedFailure as failure:
            if failure.name == "States.Timeout":
                raise TimeoutError from failure
            service, _, code = failure.name.partition(".")
            if service == "Lambda":
                _refuse(code, str(failure))
            error: Exception = failure
            error_type = failure.name
        except Exception as raised:
            error = raised
            error_type = type(raised).__name__
        return answer | {
            "FunctionError": "Unhandled",
            "Payload": {
                "errorMessage": str(error),
                "errorType": error_type,
                "requestId": context.aws_request_id,
                "stackTrace": traceback.format_tb(error.__traceback__),
            },
        }

    return invoke


def _as_lambda_answers(result: Json) -> Json:
    try:
        # NaN is refused although Lambda would send it: Step Functions cannot read it.
        return json.loads(json.dumps(result, default=_decimal, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise NamedFailure("Runtime.MarshalError") from error


def _decimal(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse(code: str, message: str) -> NoReturn:
    raise ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": 500,
                "RequestId": str(uuid.uuid4()),
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "Invoke",
    )


class _RetryClock:
    """Stands where the interpreter looks for `time`: notes a retry instead of waiting."""

    def __init__(self, recorder: _Recorder) -> None:
        self._recorder = recorder
        self._current = threading.local()

    def watching(self, evaluate: Callable[..., None]) -> Callable[..., None]:
        def eval_body(retrier: RetrierDecl, env: Any) -> None:
            self._current.retry = _state_of(env), env.stack[-1].error_name
            evaluate(retrier, env)

        return eval_body

    def sleep(self, seconds: float) -> None:
        state, error = self._current.retry
        self._recorder.retries.append(Retry(state, error, seconds))


class _IterationErrorName(CustomErrorName):
    """The name of the error that ended an iteration; unlike a custom one it may be `States.*`."""

    def __init__(self, error_name: str | None) -> None:
        ErrorName.__init__(self, error_name)


class _UpperBound:
    """Stands where the interpreter looks for `random`."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return high


def _recording_catches(evaluate: Callable[..., None], recorder: _Recorder) -> Callable[..., None]:
    def eval_body(catcher: CatcherDecl, env: Any) -> None:
        state, error = _state_of(env), env.stack[-1].error_name.error_name
        evaluate(catcher, env)
        if isinstance(env.stack[-1], CatcherOutcomeCaught):
            recorder.catches.append(Catch(state, error, catcher.next_decl.name))

    return eval_body


def _all_but_terminal(evaluate: Callable[..., None]) -> Callable[..., None]:
    def eval_body(names: ErrorEqualsDecl, env: Any) -> None:
        error = env.stack[-1].error_name
        if error in NOT_IN_STATES_ALL and all(n.error_name != error for n in names.error_names):
            env.stack[-1] = False
        else:
            evaluate(names, env)

    return eval_body


def _recording_waits(recorder: _Recorder, clock: PassingTime) -> Callable[..., None]:
    def wait_interval(wait: Any, env: Any, wait_seconds: float) -> None:
        recorder.waits.append(Wait(_state_of(env), wait_seconds))
        clock.wait(wait_seconds)

    return wait_interval


def _seconds_until(clock: PassingTime) -> Callable[..., float]:
    def get_wait_seconds(wait: Any, env: Any) -> float:
        wait.string.eval(env=env)
        text = str(env.stack.pop())
        if wait._from_timestamp_string(text) is None:
            raise FailureEventException(wait._create_failure_event(env, text))
        return (datetime.fromisoformat(text) - clock.now()).total_seconds()

    return get_wait_seconds


def _answered_or_timed_out(clock: PassingTime) -> Callable[..., CallbackOutcome]:
    def wait_for_task_token(
        task: Any, env: Any, timeout_seconds: float, callback_endpoint: Any, heartbeat_endpoint: Any
    ) -> CallbackOutcome:
        outcome: CallbackOutcome | None = callback_endpoint.get_outcome()
        if outcome is not None:
            return outcome
        if not env.is_running():
            # Stopped meanwhile: it has worked out no timeout, and goes nowhere from here.
            return CallbackOutcomeSuccess(callback_endpoint.callback_id, "null")
        clock.wait(timeout_seconds)
        return CallbackOutcomeTimedOut(callback_endpoint.callback_id)

    return wait_for_task_token


def _state_of(env: Any) -> str:
    return str(env.states.context_object.context_object_data["State"]["Name"])


def _entered(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (
        event["stateEnteredEventDetails"]["name"]
        for event in events
        if "stateEnteredEventDetails" in event
    )


def _one_iteration_at_a_time(node: Json) -> Json:
    """A copy whose Maps run their items in turn: moto's iterations share one RetryCount."""
    if isinstance(node, Mapping):
        copy = {name: _one_iteration_at_a_time(part) for name, part in node.items()}
        return copy | {"MaxConcurrency": 1} if node.get("Type") == "Map" else copy
    return [_one_iteration_at_a_time(part) for part in node] if isinstance(node, list) else node


def _functions_of(node: Json) -> Iterator[str]:
    """Every literal `FunctionName` in a definition."""
    if isinstance(node, Mapping):
        name = node.get("FunctionName")
        if isinstance(name, str) and not name.startswith("{%"):
            yield name
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _functions_of(child)
