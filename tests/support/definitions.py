"""Checks of a state machine definition as it lies in `statemachine/`: what no linter looks at.

Every check takes plain data and returns its complaints, one sentence each; none means sound.
"""

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfnlint.api import lint  # type: ignore[import-untyped] # ships no types
from cfnlint.config import ManualArgs  # type: ignore[import-untyped] # ships no types

from tests.support.state_machines import ACCOUNT, REGION
from tests.support.templates import Template

type Definition = Mapping[str, Any]

LAMBDA_INVOKE = "arn:aws:states:::lambda:invoke"

# The project's one retry policy: 3 attempts after 2 s, 4 s and 8 s, each with full jitter.
RETRY_POLICY: Mapping[str, Any] = {
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 3,
    "JitterStrategy": "FULL",
}

# What proves that the one function that must not run twice has done nothing: it raises the first
# before it sends only, and Lambda refuses with the second before it runs it.
SENDS = "PublishTweet"
NOTHING_SENT = frozenset({"StoreUnavailable", "Lambda.TooManyRequestsException"})

# Names that AWS reports: Step Functions' own, the Lambda service's, and the runtime's.
AWS_ERRORS = frozenset(
    {
        "States.ALL",
        "States.BranchFailed",
        "States.DataLimitExceeded",
        "States.ExceedToleratedFailureThreshold",
        "States.HeartbeatTimeout",
        "States.Http.Socket",
        "States.ItemReaderFailed",
        "States.NoChoiceMatched",
        "States.Permissions",
        "States.QueryEvaluationError",
        "States.ResultWriterFailed",
        "States.Runtime",
        "States.TaskFailed",
        "States.Timeout",
        "Lambda.AWSLambdaException",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ResourceNotFoundException",
        "Lambda.SdkClientException",
        "Lambda.ServiceException",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Runtime.ExitError",
        "Runtime.ImportModuleError",
        "Sandbox.Timedout",
    }
)

_STATE_NAME = re.compile(r"([A-Z][a-z0-9]+){2,}")
_QUESTION = re.compile(r"[A-Z][^?]*\?")
_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")
_FUNCTION_SUBSTITUTION = re.compile(r"\$\{(\w+)FunctionArn\}")


@dataclass(frozen=True)
class State:
    """One state, wherever it is nested."""

    name: str
    body: dict[str, Any]
    inside: tuple[str, ...]
    """The Map and Parallel states around it, outermost first."""

    @property
    def targets(self) -> list[str]:
        """Where it goes when nothing fails."""
        choices = [choice.get("Next") for choice in self.body.get("Choices", ())]
        return [
            target
            for target in (self.body.get("Next"), self.body.get("Default"), *choices)
            if target
        ]

    @property
    def catch_targets(self) -> list[str]:
        return [catcher["Next"] for catcher in self.body.get("Catch", ()) if "Next" in catcher]


@dataclass(frozen=True)
class Scope:
    """One flat machine: the definition itself, a Map's processor or a Parallel's branch."""

    start: str | None
    states: Mapping[str, State]

    def reach(self, start: str, *, over_catches: bool = True) -> set[str]:
        """The names of the states that can be entered from `start`, itself included."""
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            name = ahead.pop()
            state = self.states.get(name)
            if state is None or name in seen:
                continue
            seen.add(name)
            ahead += state.targets + (state.catch_targets if over_catches else [])
        return seen


def scopes(definition: Definition, inside: tuple[str, ...] = ()) -> Iterator[Scope]:
    """The definition and every machine nested in it, outermost first."""
    states = {
        name: State(name, body, inside) for name, body in definition.get("States", {}).items()
    }
    yield Scope(definition.get("StartAt"), states)
    for name, state in states.items():
        nested = [*state.body.get("Branches", ())]
        if "ItemProcessor" in state.body:
            nested.append(state.body["ItemProcessor"])
        for machine in nested:
            yield from scopes(machine, (*inside, name))


def states(definition: Definition) -> list[State]:
    """Every state, nested ones included."""
    return [state for scope in scopes(definition) for state in scope.states.values()]


def tasks(definition: Definition) -> list[State]:
    return [state for state in states(definition) if state.body.get("Type") == "Task"]


def retriers(definition: Definition) -> list[tuple[str, str]]:
    """Every (state, error name) that a Retry block answers to: each wants a test that takes it."""
    return _answered(definition, "Retry")


def catchers(definition: Definition) -> list[tuple[str, str]]:
    """Every (state, error name) that a Catch block answers to: each wants a test that takes it."""
    return _answered(definition, "Catch")


def substitute(definition: Definition, values: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with every `${Name}` replaced, as CloudFormation does it in the text.

    Raises `KeyError` for a name without a value.
    """
    text = json.dumps(definition)
    resolved = _SUBSTITUTION.sub(lambda match: str(values[match[1]]), text)
    return dict(json.loads(resolved))


def failure_tail(definition: Definition) -> set[str]:
    """The states of the top level from which every way, errors aside, leads to its Fail state."""
    top = next(scopes(definition))
    return {
        name
        for name in top.states
        if {
            top.states[end].body.get("Type")
            for end in top.reach(name, over_catches=False)
            if not top.states[end].targets
        }
        == {"Fail"}
    }


def format_faults(text: str) -> list[str]:
    """Complaints about the file's text: JSON as it lies there, two spaces a level."""
    try:
        json.loads(text)
    except ValueError as error:
        return [f"not valid JSON: {error}"]
    faults = [] if text.endswith("}\n") else ["the file does not end with one line break"]
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.lstrip()
        if not bare:
            faults.append(f"line {number} is empty")
            continue
        structure = re.sub(r'"(?:\\.|[^"\\])*"', "", bare)
        closing = re.match(r"[\]},]*", structure)
        level = depth - sum(char in "]}" for char in (closing[0] if closing else ""))
        if line[: len(line) - len(bare)] != "  " * level:
            faults.append(f"line {number} is not indented by {2 * level} spaces")
        depth += sum((char in "[{") - (char in "]}") for char in structure)
    return faults


def field_faults(definition: Definition) -> list[str]:
    """What cfn-lint says of the definition's fields (E3601).

    It opens neither a `DefinitionUri` nor the `Definition` of a SAM resource, which the transform
    turns into text: so the definition stands in a plain CloudFormation resource here. Two things
    that Step Functions accepts and cfn-lint does not know are taken out first: a JSONata string as
    `TimeoutSeconds` and the `Comment` of a choice rule.
    """
    known: dict[str, Any] = json.loads(json.dumps(definition))
    for state in states(known):
        if str(state.body.get("TimeoutSeconds")).startswith("{%"):
            del state.body["TimeoutSeconds"]
        for choice in state.body.get("Choices", ()):
            choice.pop("Comment", None)
    substitutions = set(_SUBSTITUTION.findall(json.dumps(definition)))
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/machine",
            "DefinitionSubstitutions": dict.fromkeys(sorted(substitutions), "1"),
            "Definition": known,
        },
    }
    template = json.dumps({"Resources": {"Machine": machine}})
    return [
        f"{match.rule.id} {match.message} at {'/'.join(map(str, (match.path or ())[4:]))}"
        for match in lint(template, config=ManualArgs(regions=[REGION]))
    ]


def query_language_faults(definition: Definition) -> list[str]:
    """Complaints unless JSONata is named once, at the top."""
    faults = []
    if definition.get("QueryLanguage") != "JSONata":
        faults.append("the top level does not say QueryLanguage: JSONata")
    faults += [
        f"{state.name} names a QueryLanguage of its own"
        for state in states(definition)
        if "QueryLanguage" in state.body
    ]
    return faults


def graph_faults(definition: Definition) -> list[str]:
    """Complaints about dangling targets, unreachable states and ways without an end."""
    return [fault for scope in scopes(definition) for fault in _graph_faults_of(scope)]


def task_faults(definition: Definition) -> list[str]:
    """Complaints about Tasks without their own timeout, Retry or Catch.

    A Task of the failure tail may go without Catch: what it would go to is the Fail state.
    """
    tail = failure_tail(definition)
    faults = []
    for task in tasks(definition):
        needed = {"TimeoutSeconds", "Retry", "Catch"}
        if task.name in tail and not task.inside:
            needed.remove("Catch")
        faults += [f"{task.name} has no {name}" for name in sorted(needed - task.body.keys())]
    return faults


def retry_faults(definition: Definition) -> list[str]:
    """Complaints about retry blocks that leave the policy or differ for the same errors."""
    faults = []
    first: dict[frozenset[str], tuple[str, Mapping[str, Any]]] = {}
    for state in states(definition):
        for block in state.body.get("Retry", ()):
            faults += [
                f"{state.name} retries with {name} {block.get(name)!r}, not {value!r}"
                for name, value in RETRY_POLICY.items()
                if block.get(name) != value
            ]
            errors = frozenset(block["ErrorEquals"])
            waits = {key: block[key] for key in block.keys() - {"Comment", "ErrorEquals"}}
            elder, same = first.setdefault(errors, (state.name, waits))
            if waits != same:
                faults.append(
                    f"{state.name} and {elder} retry {', '.join(sorted(errors))} differently"
                )
    return faults


def sending_faults(definition: Definition) -> list[str]:
    """Complaints about a Task that sends and retries anything but what proves nothing was sent.

    What it catches beside that must go where the post is looked for, not sent.
    """
    faults = []
    for state in tasks(definition):
        if state.name != SENDS:
            continue
        retried = {error for name, error in retriers(definition) if name == state.name}
        if retried != NOTHING_SENT:
            odd = ", ".join(sorted(retried ^ NOTHING_SENT))
            faults.append(f"{state.name} retries other than what proves nothing was sent: {odd}")
        faults += [
            f"{state.name} goes back to itself after {', '.join(catcher['ErrorEquals'])}"
            for catcher in state.body.get("Catch", ())
            if catcher["Next"] == state.name
        ]
        if not state.body.get("Catch") or state.body["Catch"][-1]["ErrorEquals"] != ["States.ALL"]:
            faults.append(f"{state.name} lets errors pass whose outcome is not known")
    return faults


def waiting_faults(definition: Definition) -> list[str]:
    """Complaints about a Task that tells its function to say when it retries, and does not listen.

    Or the other way round; and unless it goes where it waits for a slot.
    """
    faults = []
    for task in tasks(definition):
        payload = task.body.get("Arguments", {}).get("Payload", {})
        caught = [catcher["ErrorEquals"] for catcher in task.body.get("Catch", ())]
        listens = ["SlotAhead", "RetryAhead"] in caught
        if payload.get("retry_when_told", False) is not listens:
            faults.append(f"{task.name} says retry_when_told, or catches RetryAhead, but not both")
        if any("RetryAhead" in errors or "SlotAhead" in errors for errors in caught) > listens:
            faults.append(f"{task.name} does not wait alike for SlotAhead and RetryAhead")
    return faults


def name_faults(definition: Definition) -> list[str]:
    """Complaints about state names: a verb and a noun, a question where it is a Choice."""
    faults = []
    seen: set[str] = set()
    for state in states(definition):
        if state.body.get("Type") == "Choice":
            if not _QUESTION.fullmatch(state.name):
                faults.append(f"the choice {state.name!r} is not a question")
        elif not _STATE_NAME.fullmatch(state.name):
            faults.append(f"{state.name!r} is not a verb and a noun in one CamelCase word")
        if state.name in seen:
            faults.append(f"two states are named {state.name}")
        seen.add(state.name)
    return faults


def error_name_faults(definition: Definition, own_errors: Collection[str]) -> list[str]:
    """Complaints about error names that are neither a class of ours nor AWS's."""
    known = AWS_ERRORS | set(own_errors)
    return sorted(
        {
            f"{state} names {error}, which nothing raises"
            for state, error in retriers(definition) + catchers(definition)
            if error not in known
        }
    )


def tail_faults(definition: Definition) -> list[str]:
    """Complaints unless the definition fails in one place."""
    fails = [state.name for state in states(definition) if state.body.get("Type") == "Fail"]
    return [] if len(fails) == 1 else [f"{len(fails)} Fail states instead of one: {fails}"]


def substitution_faults(definition: Definition, given: Collection[str]) -> list[str]:
    """Complaints about substitutions that only one side knows."""
    used = set(_SUBSTITUTION.findall(json.dumps(definition)))
    return [f"${{{name}}} is not given by the template" for name in sorted(used - set(given))] + [
        f"the template gives {name}, which the definition does not use"
        for name in sorted(set(given) - used)
    ]


def chain_faults(
    definition: Definition, given: Mapping[str, Any], template: Template, root: Path
) -> list[str]:
    """Complaints about Tasks whose stem cannot be followed through the house.

    State → substitution → resource → folder → function of the shared layer → test file. A Task
    inside a Map and one of the failure tail may carry a longer name that begins with the stem.
    `given` are the template's substitutions for this definition, unresolved.
    """
    faults = []
    tail = failure_tail(definition)
    for task in tasks(definition):
        if task.body.get("Resource") != LAMBDA_INVOKE:
            continue
        function_name = str(task.body.get("Arguments", {}).get("FunctionName"))
        match = _FUNCTION_SUBSTITUTION.fullmatch(function_name)
        if not match:
            faults.append(f"{task.name} calls {function_name}, not ${{<Stem>FunctionArn}}")
            continue
        stem = match[1]
        longer_allowed = bool(task.inside) or task.name in tail
        if task.name != stem and not (longer_allowed and task.name.startswith(stem)):
            faults.append(f"{task.name} calls the function of another stem, {stem}")
        faults += _stem_faults(stem, given, template, root)
    return faults


def _stem_faults(
    stem: str, given: Mapping[str, Any], template: Template, root: Path
) -> Iterator[str]:
    resource = f"{stem}Function"
    if given.get(f"{resource}Arn") != {"Fn::GetAtt": [resource, "Arn"]}:
        yield f"{resource}Arn is not !GetAtt {resource}.Arn"
        return
    if resource not in template.functions:
        yield f"{resource} is not a function of the template"
        return
    step = _snake_case(stem)
    app = template.functions[resource].app
    parts = app.parts
    if len(parts) != 4 or (parts[0], *parts[2:]) != ("functions", step, "app.py"):
        yield f"{resource} lies in {app}, not in functions/<domain>/{step}/app.py"
        return
    domain = parts[1]
    if not (root / app).is_file():
        yield f"{app} does not exist"
        return
    module = _module_called(ast.parse((root / app).read_text()), f"marquee.{domain}", step)
    if module is None:
        yield f"{app} does not call a function {step} of marquee.{domain}"
        return
    test = Path("tests", "unit", domain, f"test_{module.rsplit('.', 1)[-1]}.py")
    if not (root / test).is_file():
        yield f"{test} does not exist"


def _module_called(tree: ast.Module, package: str, function: str) -> str | None:
    """The module under `package` whose `function` the source imports and calls."""
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        for name in node.names:
            known_as = name.asname or name.name
            if node.module.startswith(f"{package}.") and name.name == function:
                module = node.module
                call = known_as
            else:
                module = f"{node.module}.{name.name}"
                call = f"{known_as}.{function}"
            if module.startswith(f"{package}.") and call in called:
                return module
    return None


def _graph_faults_of(scope: Scope) -> Iterator[str]:
    if scope.start is None or scope.start not in scope.states:
        yield f"StartAt {scope.start!r} is no state"
        return
    for state in scope.states.values():
        yield from (
            f"{state.name} goes to {target!r}, which is no state"
            for target in state.targets + state.catch_targets
            if target not in scope.states
        )
        kind = state.body.get("Type")
        ends = kind in {"Succeed", "Fail"} or state.body.get("End") is True
        if not ends and not state.targets:
            yield f"{state.name} neither ends nor goes on"
        if ends and state.targets:
            yield f"{state.name} both ends and goes on"
        if kind == "Choice" and "Default" not in state.body:
            yield f"the choice {state.name} has no Default"
    reachable = scope.reach(scope.start)
    yield from (f"{name} is unreachable" for name in scope.states if name not in reachable)
    yield from (
        f"no way from {name} comes to an end"
        for name in scope.states
        if not any(not scope.states[end].targets for end in scope.reach(name))
    )


def _answered(definition: Definition, block: str) -> list[tuple[str, str]]:
    return [
        (state.name, error)
        for state in states(definition)
        for answer in state.body.get(block, ())
        for error in answer.get("ErrorEquals", ())
    ]


def _snake_case(stem: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
