"""Checks of the template that no linter makes; every one returns its complaints."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cfnlint.api import lint  # type: ignore[import-untyped] # ships no types
from cfnlint.config import ManualArgs  # type: ignore[import-untyped] # ships no types

from tests.support.state_machines import REGION
from tests.support.templates import Template, statements

type Resources = Mapping[str, Mapping[str, Any]]

# Every statement that reaches further than named actions on named resources, and why it may.
# The key is (owner's logical id as a pattern, action, resource or `None` for a named one).
WIDE_STATEMENTS: Mapping[tuple[str, str, str | None], str] = {
    ("*FunctionRole", "sqs:SendMessage*", None): (
        "SAM's SQSSendMessagePolicy writes it so: SendMessage and SendMessageBatch, one queue"
    ),
    ("ApiFunctionRole", "ssm:DescribeParameters", "*"): (
        "IAM knows no resources for it: the names of the secrets that are set, never their values"
    ),
    ("ApplySettingsFunctionRole", "scheduler:ListSchedules", "*"): (
        "IAM knows no resources for it: the names of schedules, to find those of the stack"
    ),
}

# AWS's own policies are wide by nature: only these may be attached.
MANAGED_POLICIES: Mapping[str, str] = {
    "AWSLambdaBasicExecutionRole": "SAM attaches it to every function: writing logs",
    "AWSLambdaDynamoDBExecutionRole": "SAM attaches it for a DynamoDB event: reading streams",
    "AWSLambdaSQSQueueExecutionRole": "SAM attaches it for an SQS event: reading the queue",
    "AWSXrayWriteOnlyAccess": "SAM attaches it to every function that is traced: sending traces",
    "AWSXRayDaemonWriteAccess": "SAM attaches it to state machines that are traced: the same",
}

# What Lambda allows.
MAX_FUNCTION_SECONDS = 900

# Tables whose items stay: none so far.
TABLES_WITHOUT_EXPIRY: frozenset[str] = frozenset()


def lint_faults(text: str) -> list[str]:
    """What cfn-lint says of a template's text; of definitions see `definitions.field_faults`."""
    return [
        f"{match.rule.id} {match.message} at {'/'.join(map(str, match.path or ()))}"
        for match in lint(text, config=ManualArgs(regions=[REGION]))
    ]


def wide_statement_faults(
    document: Mapping[str, Any],
    allowed: Mapping[tuple[str, str, str | None], str] = WIDE_STATEMENTS,
) -> list[str]:
    """Complaints about statements of the transformed template with a `*` as resource or action."""
    faults = []
    for owner, statement in statements(document):
        if statement["Effect"] != "Allow":
            continue
        if "NotAction" in statement or "NotResource" in statement:
            faults.append(f"{owner} allows everything but what it names")
            continue
        everywhere = "*" if "*" in _listed(statement.get("Resource")) else None
        for action in _listed(statement["Action"]):
            if (everywhere or "*" in action) and not any(
                fnmatch(owner, who) and (action, everywhere) == (what, where)
                for who, what, where in allowed
            ):
                faults.append(f"{owner} allows {action} on {everywhere or 'named resources'}")
    return faults


def managed_policy_faults(
    document: Mapping[str, Any], allowed: Mapping[str, str] = MANAGED_POLICIES
) -> list[str]:
    """Complaints about AWS's managed policies that are not on the list."""
    return [
        f"{logical_id} carries {arn}"
        for logical_id, role in _of_type(document, "AWS::IAM::Role")
        for arn in role.get("ManagedPolicyArns", ())
        if str(arn).rsplit("/", 1)[-1] not in allowed
    ]


def queue_faults(document: Mapping[str, Any]) -> list[str]:
    """Complaints about queues that neither have a dead-letter queue nor are one."""
    queues = dict(_of_type(document, "AWS::SQS::Queue"))
    dead_letters = {
        str(logical_id)
        for target in dead_letter_arns(document)
        if isinstance(target, dict)
        for logical_id in target.get("Fn::GetAtt", ())[:1]
    }
    return [
        f"{logical_id} has no RedrivePolicy and is nobody's dead-letter queue"
        for logical_id, properties in queues.items()
        if "RedrivePolicy" not in properties and logical_id not in dead_letters
    ]


def target_faults(document: Mapping[str, Any]) -> list[str]:
    """Complaints about targets of rules and schedules without a dead-letter queue."""
    targets = [
        (logical_id, target)
        for logical_id, rule in _of_type(document, "AWS::Events::Rule")
        for target in rule.get("Targets", ())
    ] + [
        (logical_id, schedule["Target"])
        for logical_id, schedule in _of_type(document, "AWS::Scheduler::Schedule")
    ]
    return [
        f"the target of {logical_id} has no DeadLetterConfig"
        for logical_id, target in targets
        if "Arn" not in target.get("DeadLetterConfig", {})
    ]


def event_source_faults(document: Mapping[str, Any]) -> list[str]:
    """Complaints about event sources where one bad record fails its whole batch."""
    return [
        f"{logical_id} does not report single failures"
        for logical_id, mapping in _of_type(document, "AWS::Lambda::EventSourceMapping")
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", ())
    ]


def log_faults(document: Mapping[str, Any]) -> list[str]:
    """Complaints about functions whose logs are kept for ever."""
    groups = dict(_of_type(document, "AWS::Logs::LogGroup"))
    kept = {
        logical_id for logical_id, group in groups.items() if group.get("RetentionInDays") is None
    }
    faults = [f"{logical_id} has no RetentionInDays" for logical_id in sorted(kept)]
    for logical_id, function in _of_type(document, "AWS::Lambda::Function"):
        own = {"Fn::Sub": f"/aws/lambda/${{{logical_id}}}"}
        wanted = function.get("LoggingConfig", {}).get("LogGroup", own)
        if not any(
            wanted in ({"Ref": group_id}, group.get("LogGroupName"))
            for group_id, group in groups.items()
        ):
            faults.append(f"{logical_id} writes to no log group of the template")
    return faults


def table_faults(
    template: Template, without_expiry: frozenset[str] = TABLES_WITHOUT_EXPIRY
) -> list[str]:
    """Complaints about tables without on-demand billing, recovery, expiry or retention."""
    faults = []
    for logical_id, resource in template.resources("AWS::DynamoDB::Table").items():
        properties = resource["Properties"]
        wanted = {
            "on-demand billing": properties.get("BillingMode") == "PAY_PER_REQUEST",
            "point-in-time recovery": properties.get("PointInTimeRecoverySpecification")
            == {"PointInTimeRecoveryEnabled": True},
            "expiry": logical_id in without_expiry
            or properties.get("TimeToLiveSpecification", {}).get("Enabled") is True,
            "DeletionPolicy: Retain": resource.get("DeletionPolicy") == "Retain",
        }
        faults += [f"{logical_id} has no {name}" for name, is_so in wanted.items() if not is_so]
    return faults


def timeout_faults(template: Template) -> list[str]:
    """Complaints about functions that may outlive the state or the custom resource they serve."""
    declared = template.document["Parameters"]["StepTimeoutSeconds"]
    shortest = min(int(declared["Default"]), int(declared.get("MinValue", declared["Default"])))
    waits = {
        value["Fn::GetAtt"][0]: ("a state", shortest)
        for machine in template.machines.values()
        for value in machine.substitutions.values()
        if isinstance(value, dict) and "Fn::GetAtt" in value
    }
    for logical_id, resource in template.document["Resources"].items():
        if str(resource["Type"]).startswith("Custom::"):
            properties = resource["Properties"]
            # CloudFormation itself waits an hour.
            seconds = int(properties.get("ServiceTimeout", 3600))
            waits[properties["ServiceToken"]["Fn::GetAtt"][0]] = (logical_id, seconds)
    return [
        f"{logical_id} may run {timeout} s, {who} {seconds} s"
        for logical_id, properties in _functions(template)
        for who, seconds in [waits.get(logical_id, ("nobody", MAX_FUNCTION_SECONDS + 1))]
        if (timeout := int(template.resolve(properties.get("Timeout", 3)))) >= seconds
    ]


def description_faults(template: Template) -> list[str]:
    """Complaints about functions that do not say what they do."""
    return [
        f"{logical_id} has no Description"
        for logical_id, properties in _functions(template)
        if not str(properties.get("Description", "")).strip()
    ]


def source_faults(template: Template, root: Path) -> list[str]:
    """Complaints about functions without their file, or without a payload to invoke them with."""
    faults = []
    for logical_id, function in template.functions.items():
        payload = Path("tests", "events", f"{function.app.parent.name}.json")
        faults += [
            f"{logical_id}: {path} does not exist"
            for path in (Path(function.app), payload)
            if not (root / path).is_file()
        ]
    return faults


def _functions(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    defaults = template.document.get("Globals", {}).get("Function", {})
    for logical_id, resource in template.resources("AWS::Serverless::Function").items():
        yield logical_id, defaults | resource["Properties"]


def _of_type(document: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for logical_id, resource in document["Resources"].items():
        if resource["Type"] == kind:
            yield logical_id, resource.get("Properties", {})


def dead_letter_arns(node: Any) -> Iterator[Any]:
    """Where the template names a dead-letter queue, as it is written there."""
    places: Mapping[str, Callable[[Any], Any]] = {
        "deadLetterTargetArn": lambda arn: arn,
        "DeadLetterConfig": lambda config: config.get("Arn", config.get("TargetArn")),
        "OnFailure": lambda target: target.get("Destination"),
    }
    if isinstance(node, dict):
        for key, value in node.items():
            if key in places:
                yield places[key](value)
            yield from dead_letter_arns(value)
    elif isinstance(node, list):
        for item in node:
            yield from dead_letter_arns(item)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
