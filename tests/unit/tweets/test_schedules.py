"""The schedules file: its faults by name, and that EventBridge Scheduler comes to equal it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from marquee.custom_resource import RequestType
from marquee.errors import Misconfigured
from marquee.settings import Settings
from marquee.tweets.schedules import (
    Applied,
    DeployedSchedules,
    apply_settings,
    load_schedules,
    make_equal,
    shipped_schedules,
    wanted_schedules,
)
from tests.support.state_machines import ACCOUNT, REGION
from tests.support.templates import Template

PREFIX = "marquee-run-"
TARGET = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:start"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/schedule"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"


def some_settings(**fields: Any) -> Settings:
    given = {
        "stage": "test",
        "parameter_prefix": "/marquee/test/tweets",
        "posting_account": "marquee_demo",
        "workflow_default_username": "marquee_demo",
        "schedules_enabled": True,
        "schedule_prefix": PREFIX,
        "schedule_target_arn": TARGET,
        "schedule_role_arn": ROLE,
        "schedule_dead_letters_arn": DEAD_LETTERS,
        **fields,
    }
    return Settings.model_validate(given)


def a_file(schedule: str = "rate(6 hours)", name: str = "daily", **keys: str) -> str:
    """The text of a schedules file with one schedule; `keys` are TOML values."""
    lines = [f"[schedules.{name}]", f'schedule = "{schedule}"']
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in keys.items())])


def test_the_file_that_ships_has_one_schedule_for_the_default_account() -> None:
    [(name, schedule)] = shipped_schedules().schedules.items()
    assert (name, schedule.input.username, schedule.enabled) == ("daily", None, True)


def test_the_schedule_that_ships_finds_no_run_that_still_waits_for_a_word() -> None:
    [schedule] = shipped_schedules().schedules.values()
    assert schedule.schedule == "cron(0 9 * * ? *)"
    a_run = timedelta(seconds=Template.load().parameters["ApprovalSeconds"]) + timedelta(hours=1)
    assert a_run < timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = [", "schedules.toml: Invalid value"),
        ("schedule = 1", "schedules.toml schedule: Extra inputs"),
        ("[schedules.daily]", "[schedules.daily] schedule: Field required"),
        (a_file(name="Daily"), "[schedules] Daily: String should match"),
        (a_file(name="a-b"), "[schedules] a-b: String should match"),
        (a_file(enabled='"yes"'), "[schedules.daily] enabled: Input should be a valid boolean"),
        (a_file(timezone='"UTC"'), "[schedules.daily] timezone: Extra inputs"),
        (a_file(time_zone='"Europe/Madird"'), "[schedules.daily] time_zone: 'Europe/Madird' is no"),
        (a_file(input="{ user = 'nasa' }"), "[schedules.daily.input] user: Extra inputs"),
        (a_file(input="{ count = 0 }"), "[schedules.daily.input] count: Input should be"),
        (
            a_file(input="{ tweet_type = 'unsafe' }"),
            "[schedules.daily.input] tweet_type: unsafe tweets are never posted",
        ),
        (a_file("every day"), "[schedules.daily] schedule: 'every day' is neither"),
    ],
)
def test_a_fault_is_named_by_file_table_and_key(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        load_schedules(text)
    assert str(raised.value).startswith("schedules.toml")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(12 hours)",
        "rate(7 days)",
        "cron(0 9 * * ? *)",
        "cron(15 10 ? * 6L 2026-2030)",
        "cron(0/15 8-18 ? * MON-FRI *)",
        "cron(0 8 1 * ? *)",
        "cron(*/10 * ? JAN,JUL SUN,2 *)",
        "cron(0 18 LW 1/3 ? *)",
        "cron(0 18 15W * ? *)",
        "cron(30 23 L * ? 2199)",
        "cron(0 10 ? * MON#1 *)",
    ],
)
def test_an_expression_that_the_scheduler_takes_is_taken(expression: str) -> None:
    assert load_schedules(a_file(expression)).schedules["daily"].schedule == expression


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("rate(0 minutes)", "is neither"),
        ("rate(5 weeks)", "is neither"),
        ("rate(1.5 hours)", "is neither"),
        ("at(2026-11-22T09:00:00)", "is neither"),
        ("cron(0 9 * * *)", "six fields"),
        ("cron(0 9 * * ? * *)", "this one has 7"),
        ("cron(60 9 * * ? *)", "'60' is no minutes"),
        ("cron(0 24 * * ? *)", "'24' is no hours"),
        ("cron(0 9 0 * ? *)", "'0' is no day-of-month"),
        ("cron(0 9 32W * ? *)", "'32W' is no day-of-month"),
        ("cron(0 9 * 13 ? *)", "'13' is no month"),
        ("cron(0 9 * MAI ? *)", "'MAI' is no month"),
        ("cron(0 9 ? * 0 *)", "'0' is no day-of-week"),
        ("cron(0 9 ? * MON#6 *)", "'MON#6' is no day-of-week"),
        ("cron(0 9 * * ? 1969)", "'1969' is no year"),
        ("cron(? 9 * * ? *)", "'?' is no minutes"),
        ("cron(0/0 9 * * ? *)", "'0/0' is no minutes"),
        ("cron(0/60 9 * * ? *)", "'0/60' is no minutes"),
        ("cron(0,, 9 * * ? *)", "'0,,' is no minutes"),
        ("cron(1-x 9 * * ? *)", "'1-x' is no minutes"),
        ("cron(0 9 * * * *)", "must be ?"),
        ("cron(0 9 ? * ? *)", "must be ?"),
    ],
)
def test_an_expression_that_the_scheduler_would_refuse_is_refused_with_the_field(
    expression: str, complaint: str
) -> None:
    with pytest.raises(Misconfigured) as raised:
        load_schedules(a_file(expression))
    assert str(raised.value).startswith("schedules.toml [schedules.daily] schedule: ")
    assert complaint in str(raised.value)


def test_what_the_scheduler_shall_hold_says_when_whom_to_call_and_what_if_that_fails() -> None:
    file = load_schedules(
        a_file(time_zone='"Asia/Tokyo"', input="{ username = 'nasa', tweet_type = 'news' }")
    )
    [(name, wanted)] = wanted_schedules(file, some_settings()).items()
    target = wanted.pop("Target")
    assert name == "daily"
    assert wanted == {
        "ScheduleExpression": "rate(6 hours)",
        "ScheduleExpressionTimezone": "Asia/Tokyo",
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
    }
    assert json.loads(target.pop("Input")) == {
        "schedule": "daily",
        "request": {"username": "nasa", "tweet_type": "news"},
    }
    assert target.pop("RetryPolicy").keys() == {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"}
    assert target == {"Arn": TARGET, "RoleArn": ROLE, "DeadLetterConfig": {"Arn": DEAD_LETTERS}}


@pytest.mark.parametrize(
    ("file", "parameter", "state"),
    [("true", True, "ENABLED"), ("true", False, "DISABLED"), ("false", True, "DISABLED")],
)
def test_a_schedule_runs_only_where_the_file_and_the_stack_say_so(
    file: str, parameter: bool, state: str
) -> None:
    settings = some_settings(schedules_enabled=parameter)
    wanted = wanted_schedules(load_schedules(a_file(enabled=file)), settings)
    assert wanted["daily"]["State"] == state


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("workflow_default_username", "[schedules.daily] input: say whose tweets"),
        ("posting_account", "POSTING_ACCOUNT is not set"),
    ],
)
def test_a_schedule_that_could_only_fail_is_refused_but_not_where_it_does_not_run(
    missing: str, complaint: str
) -> None:
    file = load_schedules(a_file())
    with pytest.raises(Misconfigured) as raised:
        wanted_schedules(file, some_settings(**{missing: ""}))
    assert complaint in str(raised.value)
    assert wanted_schedules(file, some_settings(**{missing: "", "schedules_enabled": False}))


def test_a_name_that_aws_would_refuse_with_the_name_of_the_stack_is_refused_here() -> None:
    prefix = "a-stack-of-a-long-name-run-"
    longest = load_schedules(a_file(name="x" * (64 - len(prefix))))
    assert wanted_schedules(longest, some_settings(schedule_prefix=prefix))
    longer = load_schedules(a_file(name="x" * (65 - len(prefix))))
    with pytest.raises(Misconfigured, match="leaves 37 characters"):
        wanted_schedules(longer, some_settings(schedule_prefix=prefix))


class Scheduler:
    """EventBridge Scheduler in moto, that notes what is changed, and gives two names a page."""

    def __init__(self) -> None:
        self.client = boto3.client("scheduler", region_name=REGION)
        self.changes: list[str] = []

    def get_paginator(self, name: str) -> Any:
        paginator = self.client.get_paginator(name)

        class Paginator:
            def paginate(self, **asked: Any) -> Any:
                return paginator.paginate(**asked, PaginationConfig={"PageSize": 2})

        return Paginator()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("get_"):
            self.changes.append(name)
        return getattr(self.client, name)

    def held(self) -> dict[str, str]:
        """The expressions of all schedules, by whole name."""
        names = [found["Name"] for found in self.client.list_schedules()["Schedules"]]
        return {name: self.client.get_schedule(Name=name)["ScheduleExpression"] for name in names}


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with mock_aws():
        yield Scheduler()


def applied(scheduler: Scheduler, *texts: str) -> Applied:
    wanted = wanted_schedules(load_schedules("\n".join(texts)), some_settings())
    return make_equal(DeployedSchedules(scheduler, PREFIX), wanted)


def test_the_schedules_become_those_of_the_file_over_any_number_of_pages(
    scheduler: Scheduler,
) -> None:
    first = [a_file(name=name) for name in ("a", "b", "c", "d", "e")]
    assert applied(scheduler, *first).created == ("a", "b", "c", "d", "e")
    later = applied(scheduler, a_file(name="b"), a_file("rate(2 days)", name="d"), a_file(name="f"))
    assert later == Applied(
        created=("f",), updated=("d",), unchanged=("b",), removed=("a", "c", "e")
    )
    assert scheduler.held() == {
        f"{PREFIX}b": "rate(6 hours)",
        f"{PREFIX}d": "rate(2 days)",
        f"{PREFIX}f": "rate(6 hours)",
    }


def test_applying_again_changes_nothing_so_that_a_rate_goes_on_counting(
    scheduler: Scheduler,
) -> None:
    applied(scheduler, a_file())
    scheduler.changes.clear()
    assert applied(scheduler, a_file()) == Applied(unchanged=("daily",))
    assert scheduler.changes == []


def test_schedules_of_others_are_left_alone_even_of_a_stack_called_like_our_prefix(
    scheduler: Scheduler,
) -> None:
    theirs = DeployedSchedules(scheduler, f"{PREFIX}two-run-")
    wanted = wanted_schedules(load_schedules(a_file()), some_settings())
    make_equal(theirs, wanted)
    make_equal(DeployedSchedules(scheduler, "sweep-"), wanted)
    assert applied(scheduler) == Applied()
    assert set(scheduler.held()) == {"marquee-run-two-run-daily", "sweep-daily"}


def test_a_schedule_that_an_earlier_try_made_unseen_is_made_over(scheduler: Scheduler) -> None:
    applied(scheduler, a_file("rate(1 day)"))
    [(name, wanted)] = wanted_schedules(load_schedules(a_file()), some_settings()).items()
    DeployedSchedules(scheduler, PREFIX).create(name, wanted)
    assert scheduler.held() == {f"{PREFIX}daily": "rate(6 hours)"}


def test_removing_what_is_gone_is_no_error(scheduler: Scheduler) -> None:
    DeployedSchedules(scheduler, PREFIX).remove("daily")
    assert scheduler.changes == ["delete_schedule"]


class Refusing:
    """EventBridge Scheduler where the role may do nothing."""

    def __getattr__(self, name: str) -> Any:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)

        return refuse


@pytest.mark.parametrize(
    "change", [lambda deployed: deployed.create("a", {}), lambda deployed: deployed.remove("a")]
)
def test_any_other_refusal_is_not_swallowed(change: Callable[[DeployedSchedules], None]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        change(DeployedSchedules(Refusing(), PREFIX))


def test_a_deployment_makes_the_schedules_that_ship_and_the_end_of_the_stack_removes_them(
    scheduler: Scheduler,
) -> None:
    deployed = DeployedSchedules(scheduler, PREFIX)
    for kind in (RequestType.CREATE, RequestType.UPDATE):
        apply_settings(kind, deployed, some_settings())
        assert set(scheduler.held()) == {f"{PREFIX}daily"}
    gone = apply_settings(RequestType.DELETE, deployed, some_settings())
    assert (gone.removed, scheduler.held()) == (("daily",), {})


def test_nothing_is_changed_where_a_setting_is_at_fault_but_all_can_be_removed(
    scheduler: Scheduler,
) -> None:
    applied(scheduler, a_file(name="old"))
    deployed, wrong = DeployedSchedules(scheduler, PREFIX), some_settings(posting_account="")
    with pytest.raises(Misconfigured):
        apply_settings(RequestType.UPDATE, deployed, wrong)
    assert set(scheduler.held()) == {f"{PREFIX}old"}
    apply_settings(RequestType.DELETE, deployed, wrong)
    assert scheduler.held() == {}
