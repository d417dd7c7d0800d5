"""The alarms: each is of a metric that something emits and told to the topic; nothing lacks one."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest

from marquee.observability import NAMESPACE
from tests.support.templates import Template
from tests.template.checks import dead_letter_arns
from tests.template.metrics import is_emitted

OF_AN_OPERATOR = {"BreakersOpened", "BudgetWarnings", "PostsNeedHuman", "TriggersSwitchedOff"}
"""What we say ourselves that a person has to look at."""

NEAR = 0.9
"""Of the time that a function has."""

WAITED_FOR = {"ApiFunction", "CollectDataFunction"}
"""By a client, as the functions of states are by their executions."""

WAITED_FOR_BY_ALL = {
    "SweepPostsFunction",
    "PublishEventsFunction",
    "MatchTriggersFunction",
    "DeliverWebhookFunction",
}
"""What one invocation does not get done, no execution fails of, and posts and events come late."""

LATE = timedelta(minutes=30)
"""A message that was not received three times by then: SQS says the age of no others."""


class Alarm(NamedTuple):
    """An alarm, as it is deployed."""

    name: str
    metric: tuple[str, str]
    """Namespace and name."""
    dimensions: Mapping[str, str]
    properties: Mapping[str, Any]

    def is_of(self, metric: str, dimension: str, value: str) -> bool:
        return self.metric[1] == metric and self.dimensions == {dimension: value}


@cache
def template() -> Template:
    return Template.load()


def alarms(of: Template) -> Iterator[Alarm]:
    """All there are."""
    for logical_id, resource in of.resources("AWS::CloudWatch::Alarm").items():
        given = of.resolve(resource["Properties"])
        dimensions = {one["Name"]: str(one["Value"]) for one in given.get("Dimensions", ())}
        yield Alarm(logical_id, (given["Namespace"], given["MetricName"]), dimensions, given)


def faults(of: Template) -> list[str]:
    """Complaints about alarms that ring for nothing or tell nobody, and about what has none."""
    known = list(alarms(of))
    topic = of.resolve({"Ref": "AlarmTopic"})

    def lacks(metric: str, dimension: str, value: str) -> bool:
        return not any(alarm.is_of(metric, dimension, value) for alarm in known)

    found = [f"{a.name} tells nobody" for a in known if a.properties.get("AlarmActions") != [topic]]
    found += [
        f"{alarm.name}: nobody emits {alarm.metric} {dict(alarm.dimensions)}"
        for alarm in known
        if not is_emitted(of, *alarm.metric, alarm.dimensions)
    ]
    found += [
        f"{machine.logical_id}: no alarm of {metric}"
        for machine in of.machines.values()
        for metric in ("ExecutionsFailed", "ExecutionsTimedOut")
        if lacks(metric, "StateMachineArn", machine.arn)
    ]
    dead = {arn["Fn::GetAtt"][0] for arn in dead_letter_arns(of.document)}
    for queue in of.resources("AWS::SQS::Queue"):
        metric = (
            "ApproximateNumberOfMessagesVisible"
            if queue in dead
            else "ApproximateAgeOfOldestMessage"
        )
        if lacks(metric, "QueueName", of.name_of(queue)):
            found.append(f"{queue}: no alarm of {metric}")
    found += [
        f"{alarm.name}: rings later than after {LATE}"
        for alarm in known
        if alarm.metric[1] == "ApproximateAgeOfOldestMessage"
        and alarm.properties["Threshold"] > LATE.total_seconds()
    ]
    waited_for = (WAITED_FOR | WAITED_FOR_BY_ALL) | {
        value["Fn::GetAtt"][0]
        for machine in of.machines.values()
        for value in machine.substitutions.values()
        if isinstance(value, dict) and "Fn::GetAtt" in value
    }
    usual = of.document["Globals"]["Function"]["Timeout"]
    for function in sorted(waited_for):
        given = of.document["Resources"][function]["Properties"]
        timeout_ms = given.get("Timeout", usual) * 1000
        slow = [a for a in known if a.is_of("Duration", "FunctionName", of.name_of(function))]
        if [alarm.properties["Threshold"] for alarm in slow] != [NEAR * timeout_ms]:
            found.append(f"{function}: no alarm near its {timeout_ms} ms")
    return found


def test_every_alarm_can_ring_and_tells_and_nothing_that_needs_one_lacks_it() -> None:
    assert faults(template()) == []


def test_what_we_say_ourselves_that_a_person_has_to_look_at_rings() -> None:
    ours = {alarm.metric[1] for alarm in alarms(template()) if alarm.metric[0] == NAMESPACE}
    assert ours >= OF_AN_OPERATOR


def test_a_run_that_fails_in_its_record_only_rings_too() -> None:
    wanted = {"Stage": "prod", "Kind": "tweet_pipeline", "Status": "FAILED"}
    assert wanted in [alarm.dimensions for alarm in alarms(template())]


def test_somebody_is_told_where_an_address_is_given() -> None:
    assert template().resources("AWS::SNS::Subscription") == {}
    given = Template.load(parameters={"AlarmEmail": "operator@example.com"})
    [subscription] = given.resources("AWS::SNS::Subscription").values()
    properties = given.resolve(subscription["Properties"])
    assert properties["Endpoint"] == "operator@example.com"
    assert properties["TopicArn"] == given.resolve({"Ref": "AlarmTopic"})


@pytest.mark.parametrize(
    ("alarm", "changes", "complaint"),
    [
        ("BudgetAlarm", {"AlarmActions": []}, "BudgetAlarm tells nobody"),
        ("BudgetAlarm", {"MetricName": "Spent"}, "nobody emits"),
        ("BudgetAlarm", {"Dimensions": []}, "nobody emits"),
        ("FunctionsThrottledAlarm", {"MetricName": "Duration"}, "nobody emits"),
        (
            "RunsTimedOutAlarm",
            {"MetricName": "ExecutionsStarted"},
            "no alarm of ExecutionsTimedOut",
        ),
        ("EventDeadLettersAlarm", {"MetricName": "ApproximateAgeOfOldestMessage"}, "no alarm of"),
        ("WebhooksLateAlarm", {"MetricName": "ApproximateNumberOfMessagesVisible"}, "no alarm of"),
        ("WebhooksLateAlarm", {"Threshold": 100_000}, "rings later than"),
        ("PolishTweetsSlowAlarm", {"Threshold": 40500}, "no alarm near its 57000 ms"),
    ],
)
def test_an_alarm_that_is_wrong_is_found(
    alarm: str, changes: dict[str, Any], complaint: str
) -> None:
    wrong = Template(deepcopy(template().document))
    wrong.document["Resources"][alarm]["Properties"].update(changes)
    [fault] = faults(wrong)
    assert complaint in fault
