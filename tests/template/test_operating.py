"""The README's page for operators: every alarm has its answer, and what it names is there."""

import re
from fnmatch import fnmatch
from importlib import import_module

import click
import pytest

from marquee.api.routes import ROUTES
from marquee_cli.main import main
from tests.support.templates import ROOT
from tests.template.test_readme import readme, table, template

_CODE = re.compile(r"`([^`]+)`")
_ROUTE = re.compile(r"(GET|POST|DELETE) (/[^? ]*)")
_NAME = re.compile(r"(?:marquee|marquee_cli)(?:\.\w+)+")


def operating() -> str:
    """The section."""
    return readme().split("\n## Operating\n")[1].split("\n## ")[0]


def of_alarms() -> dict[str, str]:
    """What the table says by each name in its first column."""
    return {name: row[2] for row in table("alarm") for name in _CODE.findall(row[0])}


def command_faults(words: str) -> list[str]:
    """Complaints about a command that a reader could not paste."""
    _, name, *arguments = words.split()
    command = main.commands.get(name)
    if command is None:
        return [f"{words}: there is no such command"]
    options = {text for one in command.params if isinstance(one, click.Option) for text in one.opts}
    return [
        f"{words}: no option {one}" for one in arguments if one[0] == "-" and one not in options
    ]


def test_every_alarm_of_the_template_has_its_row_and_every_row_its_alarm() -> None:
    rows, alarms = of_alarms(), template().resources("AWS::CloudWatch::Alarm")
    assert [one for one in alarms if not any(fnmatch(one, row) for row in rows)] == []
    assert [row for row in rows if not any(fnmatch(one, row) for one in alarms)] == []


@pytest.mark.parametrize("alarm", of_alarms())
def test_an_alarm_is_answered_by_something_that_can_be_done(alarm: str) -> None:
    answer = of_alarms()[alarm]
    assert answer
    if "the same" not in answer and "Throttled" not in alarm:
        assert any(one.startswith("marquee ") or _ROUTE.match(one) for one in _CODE.findall(answer))


def test_every_command_that_the_readme_names_is_one() -> None:
    prose = re.sub(r"```.*?```", "", readme(), flags=re.DOTALL)
    named = {one for one in _CODE.findall(prose) if re.match(r"marquee [a-z]", one)}
    assert len(named) > 10
    assert [fault for words in sorted(named) for fault in command_faults(words)] == []


@pytest.mark.parametrize("words", ["marquee fly", "marquee stats --loud"])
def test_a_command_that_there_is_not_is_found(words: str) -> None:
    assert len(command_faults(words)) == 1


def test_every_route_that_it_names_is_one() -> None:
    served = {(route.method, route.path) for route in ROUTES}
    named = {found.groups() for one in _CODE.findall(operating()) if (found := _ROUTE.match(one))}
    assert named
    assert named <= served


def test_every_part_that_a_recipe_names_is_there() -> None:
    recipes = operating().split("**To add a source**")[1]
    names = [one for one in _CODE.findall(recipes) if _NAME.fullmatch(one)]
    assert len(names) > 6
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name
    paths = [one for one in _CODE.findall(recipes) if "/" in one and " " not in one]
    assert paths
    for path in paths:
        assert any((ROOT / below / path).exists() for below in ("", "layers/shared/python")), path
