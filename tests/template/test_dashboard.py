"""The dashboard: every metric on it is one that something emits, under these very dimensions."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from marquee.observability import METRICS, NAMESPACE
from tests.support.templates import Template
from tests.template.metrics import STAGE, is_emitted


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
        if not is_emitted(template(), namespace, name, dimensions)
    ]


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


def test_it_shows_what_an_operator_asks_about() -> None:
    widgets = json.loads(body_of(template()))["widgets"]
    titles = [widget["properties"]["title"] for widget in widgets]
    for subject in ("Executions", "Steps", "Upstream", "Quota", "Spend", "Queues"):
        assert any(title.startswith(subject) for title in titles), subject


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
