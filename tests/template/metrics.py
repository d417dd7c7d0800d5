"""Which metrics there are, under which dimensions: what a dashboard or an alarm may name."""

from collections.abc import Mapping

from marquee.movies.sources import SOURCES
from marquee.observability import METRICS, NAMESPACE
from marquee.tweets.language_model import _PROVIDER as LANGUAGE_MODEL
from marquee.workflows.record import Status
from tests.support.templates import PSEUDO_PARAMETERS, Template

# What AWS emits by itself: per namespace the metrics, and per dimension the type of the resource.
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html, and those of
# Lambda, SQS, DynamoDB and API Gateway.
OF_AWS: Mapping[str, tuple[set[str], dict[str, str]]] = {
    "AWS/States": (
        {
            "ExecutionsStarted",
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
            "ExecutionTime",
        },
        {"StateMachineArn": "AWS::Serverless::StateMachine"},
    ),
    "AWS/Lambda": (
        {"Duration", "Errors", "IteratorAge"},
        {"FunctionName": "AWS::Serverless::Function"},
    ),
    "AWS/SQS": (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
        {"QueueName": "AWS::SQS::Queue"},
    ),
    "AWS/DynamoDB": (
        {"ReadThrottleEvents", "WriteThrottleEvents"},
        {"TableName": "AWS::DynamoDB::Table"},
    ),
}
OF_THE_ACCOUNT = {("AWS/Lambda", "Throttles")}
"""Those without a dimension: of all functions together."""

STAGE = "prod"


def is_emitted(
    template: Template, namespace: str, name: str, dimensions: Mapping[str, str]
) -> bool:
    """Whether something emits the metric, under these very dimensions."""
    if namespace == NAMESPACE:
        return _is_ours(template, name, dimensions)
    if not dimensions:
        return (namespace, name) in OF_THE_ACCOUNT
    if namespace == "AWS/ApiGateway":
        # SAM names an API as the stack is named.
        stack = PSEUDO_PARAMETERS["AWS::StackName"]
        return name in {"Count", "4XXError", "5XXError", "Latency"} and dimensions == {
            "ApiName": stack,
            "Stage": STAGE,
        }
    names, kinds = OF_AWS[namespace]
    if name not in names or set(dimensions) != set(kinds):
        return False
    [(dimension, kind)] = kinds.items()
    known = template.resources(kind)
    named = template.arn_of if dimension.endswith("Arn") else template.name_of
    return dimensions[dimension] in {named(logical_id) for logical_id in known}


def _is_ours(template: Template, name: str, dimensions: Mapping[str, str]) -> bool:
    values = {
        "Stage": {STAGE},
        "Provider": {*(source.name for source in SOURCES), LANGUAGE_MODEL},
        "Kind": set(template.machines),
        "Status": {status.value for status in Status},
    }
    declared = METRICS.get(name)
    return (
        declared is not None
        and set(dimensions) == {"Stage", *declared.dimensions}
        and all(value in values[dimension] for dimension, value in dimensions.items())
    )
