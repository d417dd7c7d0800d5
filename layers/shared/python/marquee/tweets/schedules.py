"""When runs start by themselves: the settings of ``schedules.toml``, made into schedules of AWS."""

import json
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import Field, StrictBool, ValidationError, field_validator

from marquee.aws import client
from marquee.custom_resource import RequestType
from marquee.errors import BadInput, Misconfigured
from marquee.settings import Settings
from marquee.tweets.models import Model
from marquee.tweets.policy import policies
from marquee.tweets.run import RunRequest, resolve
from marquee.tweets.settings_files import Table, fault_of, read_tables

FILE = "schedules.toml"

GROUP = "default"
"""Of schedules on AWS; we have no group of our own."""

MAX_NAME_LENGTH = 64
"""Of a schedule on AWS, the stack's name before ours included."""

STARTED_WITHIN_SECONDS = 3600
"""A run that cannot be started for that long is left to its next time; the event is kept."""

MAX_RETRIES = 10
"""Of starting a run, within that time."""

_NAME = r"[a-z][a-z0-9_]*"
"""Without a dash: what goes on with one after our prefix is of a stack called like it."""


@dataclass(frozen=True)
class _CronField:
    name: str
    values: range
    words: tuple[str, ...] = ()
    """In place of numbers."""
    alone: str = ""
    """A pattern of what the field may hold beside values, ranges, lists and steps."""

    def takes(self, text: str) -> bool:
        return bool(re.fullmatch(self.alone, text)) or all(map(self._is_part, text.split(",")))

    def _is_part(self, part: str) -> bool:
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        return (not slash or (step.isdecimal() and int(step) in range(1, self.values.stop))) and (
            span == "*" or (self._is_value(first) and (not dash or self._is_value(last)))
        )

    def _is_value(self, text: str) -> bool:
        return text in self.words or (text.isdecimal() and int(text) in self.values)


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_CRON_FIELDS = (
    _CronField("minutes", range(60)),
    _CronField("hours", range(24)),
    _CronField("day-of-month", range(1, 32), alone=r"\?|LW?|([1-9]|[12]\d|3[01])W"),
    _CronField("month", range(1, 13), _MONTHS),
    _CronField("day-of-week", range(1, 8), _DAYS, rf"\?|L|([1-7]|{'|'.join(_DAYS)})(L|#[1-5])"),
    _CronField("year", range(1970, 2200)),
)
"""As EventBridge Scheduler reads them."""


class Schedule(Table):
    """When runs start, and which."""

    schedule: str
    time_zone: str = "UTC"
    enabled: StrictBool = True
    input: RunRequest = RunRequest()

    @field_validator("schedule")
    @classmethod
    def _is_a_rate_or_cron(cls, text: str) -> str:
        if re.fullmatch(r"rate\([1-9]\d{0,4} (minute|hour|day)s?\)", text):
            return text
        cron = re.fullmatch(r"cron\(([^()]*)\)", text)
        if cron is None:
            raise ValueError(f"{text!r} is neither like rate(6 hours) nor like cron(0 9 * * ? *)")
        parts = cron[1].split()
        if len(parts) != len(_CRON_FIELDS):
            names = ", ".join(field.name for field in _CRON_FIELDS)
            raise ValueError(f"a cron has six fields ({names}), this one has {len(parts)}")
        for field, part in zip(_CRON_FIELDS, parts, strict=True):
            if not field.takes(part):
                raise ValueError(f"{part!r} is no {field.name} of a cron")
        if (parts[2] == "?") == (parts[4] == "?"):
            raise ValueError("either day-of-month or day-of-week must be ?, and the other not")
        return text

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = zoneinfo.available_timezones()
        # Where an image comes without any, EventBridge Scheduler has the word.
        if known and name not in known:
            raise ValueError(f"{name!r} is no time zone")
        return name


class Schedules(Table):
    """The whole file."""

    schedules: dict[Annotated[str, Field(pattern=f"^{_NAME}$")], Schedule] = Field(
        default_factory=dict
    )


class Applied(Model):
    """What became of the schedules on AWS, by name."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeployedSchedules:
    """The schedules of one stack in EventBridge Scheduler: those that begin with its prefix."""

    scheduler: Any
    prefix: str

    @classmethod
    def connect(cls, settings: Settings) -> "DeployedSchedules":
        """Those of the stack that the template made us part of."""
        return cls(client("scheduler"), settings.require("schedule_prefix"))

    def names(self) -> Iterator[str]:
        """Their names, without the prefix."""
        pages = self.scheduler.get_paginator("list_schedules")
        for page in pages.paginate(GroupName=GROUP, NamePrefix=self.prefix):
            for found in page["Schedules"]:
                name = found["Name"].removeprefix(self.prefix)
                if re.fullmatch(_NAME, name):
                    yield name

    def create(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Make it; one that an earlier try made is made over."""
        try:
            self.scheduler.create_schedule(Name=self.prefix + name, GroupName=GROUP, **wanted)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":
                raise
            self.update(name, wanted)

    def update(self, name: str, wanted: Mapping[str, Any]) -> bool:
        """Make it so, and whether it was not; what is so stays, and a rate goes on counting."""
        found = self.scheduler.get_schedule(Name=self.prefix + name, GroupName=GROUP)
        if {key: found.get(key) for key in wanted} == wanted:
            return False
        self.scheduler.update_schedule(Name=self.prefix + name, GroupName=GROUP, **wanted)
        return True

    def remove(self, name: str) -> None:
        """Delete it, if it is there."""
        try:
            self.scheduler.delete_schedule(Name=self.prefix + name, GroupName=GROUP)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise


def shipped_schedules() -> Schedules:
    """The schedules of the file that is deployed with us; raises Misconfigured."""
    return load_schedules((files(__package__) / FILE).read_text("utf-8"))


def load_schedules(text: str) -> Schedules:
    """Read and check the text of a schedules file.

    Raises Misconfigured naming the table and key at fault.
    """
    try:
        return Schedules.model_validate(read_tables(FILE, text))
    except ValidationError as error:
        raise fault_of(FILE, error) from error


def apply_settings(
    request_type: RequestType, deployed: DeployedSchedules, settings: Settings
) -> Applied:
    """Check the settings files and make the stack's schedules equal to them; or remove them all.

    Applying again changes nothing. Raises Misconfigured, before anything is changed.
    """
    if request_type is RequestType.DELETE:
        return make_equal(deployed, {})
    policies()
    return make_equal(deployed, wanted_schedules(shipped_schedules(), settings))


def wanted_schedules(schedules: Schedules, settings: Settings) -> dict[str, dict[str, Any]]:
    """What EventBridge Scheduler shall hold, by name.

    Raises Misconfigured for a schedule whose name is too long with the stack's, and for one that
    runs but asks for what these settings cannot give.
    """
    wanted = {}
    for name, schedule in schedules.schedules.items():
        table = f"{FILE} [schedules.{name}]"
        room = MAX_NAME_LENGTH - len(settings.require("schedule_prefix"))
        if len(name) > room:
            raise Misconfigured(f"{table}: this stack's name leaves {room} characters for a name")
        runs = settings.schedules_enabled and schedule.enabled
        if runs:
            try:
                resolve(schedule.input, settings)
            except (BadInput, Misconfigured) as error:
                raise Misconfigured(f"{table} input: {error}") from error
        wanted[name] = _definition(name, schedule, runs=runs, settings=settings)
    return wanted


def make_equal(deployed: DeployedSchedules, wanted: Mapping[str, Mapping[str, Any]]) -> Applied:
    """Create, update and remove schedules until they are those that are wanted."""
    before = set(deployed.names())
    created = sorted(set(wanted) - before)
    removed = sorted(before - set(wanted))
    for name in created:
        deployed.create(name, wanted[name])
    kept = sorted(before & set(wanted))
    updated = tuple(name for name in kept if deployed.update(name, wanted[name]))
    for name in removed:
        deployed.remove(name)
    return Applied(
        created=tuple(created),
        updated=updated,
        unchanged=tuple(name for name in kept if name not in updated),
        removed=tuple(removed),
    )


def _definition(name: str, schedule: Schedule, *, runs: bool, settings: Settings) -> dict[str, Any]:
    request = schedule.input.model_dump(mode="json", exclude_none=True)
    return {
        "ScheduleExpression": schedule.schedule,
        "ScheduleExpressionTimezone": schedule.time_zone,
        "State": "ENABLED" if runs else "DISABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": settings.require("schedule_target_arn"),
            "RoleArn": settings.require("schedule_role_arn"),
            "Input": json.dumps({"schedule": name, "request": request}, sort_keys=True),
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": STARTED_WITHIN_SECONDS,
                "MaximumRetryAttempts": MAX_RETRIES,
            },
            "DeadLetterConfig": {"Arn": settings.require("schedule_dead_letters_arn")},
        },
    }
