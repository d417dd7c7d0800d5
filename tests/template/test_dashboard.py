"""The dashboard: every metric on it is one that something emits, under these very dimensions."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from marquee.movies.sources import SOURCES
from marquee.observability import METRICS, NAMESPACE
from marquee.tweets.language_model import _PROVIDER as LANGUAGE_MODEL
from marquee.workflows.record import Status
from tests.support.templates import PSEUDO_PARAMETERS, Template

# What AWS emits by itself: per namespace the metrics, and per dimension the type of the resource.
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html, and those of
# Lambda, SQS and API Gateway.
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
    "AWS/Lambda": ({"Duration", "Errors"}, {"FunctionName": "AWS::Serverless::Function"}),
    "AWS/SQS": (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
        {"QueueName": "AWS::SQS::Queue"},
    ),
}
STAGE = "prod"


@cache
def template() -> Template:
    return Template.load()


def metrics_of(body: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each metric of a dashboard's body."""
    for widget in json.loads(body)["widgets"]:
        for metric in widget["properties"]["metrics"]:
            namespace, name, *dimensions = [part for part in metric if isinstance(part, str)]
            yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


def faults(body: str) -> list[str]:
    """Complaints about metrics that nobody emits."""
    return [
        f"{namespace} {name} {dimensions}"
        for namespace, name, dimensions in metrics_of(body)
        if not (
            _is_ours(name, dimensions)
            if namespace == NAMESPACE
            else _is_aws_s(namespace, name, dimensions)
        )
    ]


def _is_ours(name: str, dimensions: Mapping[str, str]) -> bool:
    values = {
        "Stage": {STAGE},
        "Provider": {*(source.name for source in SOURCES), LANGUAGE_MODEL},
        "Kind": set(template().machines),
        "Status": {status.value for status in Status},
    }
    declared = METRICS.get(name)
    return (
        declared is not None
        and set(dimensions) == {"Stage", *declared.dimensions}
        and all(value in values[dimension] for dimension, value in dimensions.items())
    )


def _is_aws_s(namespace: str, name: str, dimensions: Mapping[str, str]) -> bool:
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
    known = template().resources(kind)
    named = template().arn_of if dimension.endswith("Arn") else template().name_of
    return dimensions[dimension] in {named(logical_id) for logical_id in known}


def body_of(document: Template) -> str:
    [dashboard] = document.resources("AWS::CloudWatch::Dashboard").values()
    return str(document.resolve(dashboard["Properties"]["DashboardBody"]))


def test_every_metric_on_the_dashboard_is_one_that_something_emits() -> None:
    assert faults(body_of(template())) == []


def test_it_shows_every_function_that_a_state_calls_and_every_dead_letter_queue() -> None:
    shown = {value for *_, given in metrics_of(body_of(template())) for value in given.values()}
    called = {
        template().name_of(name.removesuffix("Arn"))
        for machine in template().machines.values()
        for name in machine.substitutions
        if name.endswith("FunctionArn")
    }
    assert called <= shown
    assert {arn for machine in template().machines.values() for arn in [machine.arn]} <= shown
    queues = {name for name in template().resources("AWS::SQS::Queue") if "DeadLetters" in name}
    assert {template().name_of(name) for name in queues} <= shown


@pytest.mark.parametrize(
    "metric",
    [
        [NAMESPACE, "Unheard", "Stage", STAGE],
        [NAMESPACE, "PostsNeedHuman"],
        [NAMESPACE, "UpstreamLatency", "Stage", STAGE, "Provider", "myspace"],
        ["AWS/States", "ExecutionsLost", "StateMachineArn", "arn"],
        ["AWS/Lambda", "Errors", "FunctionName", "GoneFunction"],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible"],
        ["AWS/ApiGateway", "Count", "ApiName", "another", "Stage", STAGE],
    ],
)
def test_a_metric_that_nobody_emits_is_found(metric: list[Any]) -> None:
    body = json.dumps({"widgets": [{"properties": {"metrics": [metric]}}]})
    assert len(faults(body)) == 1


def test_every_metric_of_ours_is_shown() -> None:
    shown = {name for space, name, _ in metrics_of(body_of(template())) if space == NAMESPACE}
    assert shown == set(METRICS)
