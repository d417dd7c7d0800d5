"""The units and the crontab: systemd takes them, and what they call is there."""

import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click import Command, Context, Option

from marquee_cli.run import run

SCHEDULES = Path(__file__).parents[3] / "cli" / "schedules"
SERVICE = SCHEDULES / "marquee-run@.service"
TIMER = SCHEDULES / "marquee-run@.timer"
CRONTAB = SCHEDULES / "marquee.cron"
SETTINGS = SCHEDULES / "example.env"
QUIETLY = SCHEDULES / "quietly"

INSTALLED = "/opt/marquee/.venvs/laptop/bin/marquee"
FINE = {"0", "3", "5"}

HARDENED = {
    "DynamicUser": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def unit(path: Path) -> ConfigParser:
    """A unit file; of a key that is given twice, the last value."""
    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents
    parser.read_string(path.read_text().replace("\\\n", ""))
    return parser


def settings() -> dict[str, str]:
    """The assignments of the example's settings."""
    lines = SETTINGS.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def cron_lines() -> tuple[dict[str, str], list[list[str]]]:
    """The crontab's environment, and each entry as five times, a user and a command."""
    environment, entries = {}, []
    for line in CRONTAB.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if assigned := re.fullmatch(r"(\w+)=(.*)", line):
            environment[assigned[1]] = assigned[2]
        else:
            entries.append(line.split(None, 6))
    return environment, entries


def assert_parses(words: list[str]) -> None:
    """That ``marquee run`` takes the words."""
    parsed = Context(run)
    Command.parse_args(run, parsed, list(words))


def envvars() -> set[str]:
    return {str(option.envvar) for option in run.params if isinstance(option, Option)}


def analyzed(folder: Path, *paths: Path) -> list[str]:
    """The units in a folder of their own, calling a command that is there."""
    here = Path(sys.prefix) / "bin" / "marquee"
    copies = []
    for path in paths:
        text = path.read_text()
        copy = folder / path.name
        copy.write_text(text.replace(INSTALLED, str(here)).replace("/opt/", f"{folder}/opt/"))
        copies.append(str(copy))
    return copies


def systemd_analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own words
        ["systemd-analyze", *words],  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@systemd
def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    verified = systemd_analyze("verify", *analyzed(tmp_path, SERVICE, TIMER))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@systemd
def test_the_service_is_as_hardened_as_the_readme_says(tmp_path: Path) -> None:
    (service,) = analyzed(tmp_path, SERVICE)
    rated = systemd_analyze("security", "--offline=yes", service)
    if "unrecognized option" in rated.stderr:
        pytest.skip("this systemd-analyze cannot rate a unit that is not loaded")
    level = re.search(r"exposure level .*: (\d+\.\d)", rated.stdout)
    assert level
    assert float(level[1]) < 1.5
    assert "below 1.5 of 10" in (SCHEDULES / "README.md").read_text()


@systemd
def test_the_time_is_one_that_systemd_reads() -> None:
    read = systemd_analyze("calendar", unit(TIMER)["Timer"]["OnCalendar"])
    assert read.returncode == 0, read.stderr


def test_the_service_may_do_nothing_but_speak_to_the_api() -> None:
    service = unit(SERVICE)["Service"]
    assert {key: service[key] for key in HARDENED} == HARDENED
    assert service["Type"] == "oneshot"


def test_what_is_no_failure_to_a_person_is_none_to_systemd() -> None:
    assert {"0", *unit(SERVICE)["Service"]["SuccessExitStatus"].split()} == FINE


def test_the_timer_makes_up_for_a_missed_time_and_spreads_the_load() -> None:
    timer = unit(TIMER)["Timer"]
    assert timer["Persistent"] == "true"
    assert timer["RandomizedDelaySec"]


def test_the_service_calls_the_command_with_options_that_it_has() -> None:
    command, name, *words = shlex.split(unit(SERVICE)["Service"]["ExecStart"])
    assert (command, name) == (INSTALLED, "run")
    assert words[-1] == "$MARQUEE_RUN_OPTIONS"
    assert_parses([*words[:-1], *settings()["MARQUEE_RUN_OPTIONS"].split()])


def test_the_service_outlasts_the_clients_own_patience() -> None:
    service = unit(SERVICE)["Service"]
    patience = re.search(r"--timeout (\d+)", service["ExecStart"])
    assert patience
    assert int(service["TimeoutStartSec"]) > int(patience[1])


def test_the_key_is_on_no_command_line_and_in_no_file_of_settings() -> None:
    service = unit(SERVICE)["Service"]
    assert service["LoadCredential"] == "api-key:/etc/marquee/api-key"
    assert "--api-key-file ${CREDENTIALS_DIRECTORY}/api-key" in service["ExecStart"]
    assert set(settings()) == {"MARQUEE_ENDPOINT", "MARQUEE_RUN_OPTIONS"}
    for path in SCHEDULES.iterdir():
        assert not re.search(r"--api-key |MARQUEE_API_KEY=", path.read_text()), path.name


def test_the_variables_are_those_that_the_command_reads() -> None:
    environment, _ = cron_lines()
    given = {*settings(), *environment} - {"MARQUEE_RUN_OPTIONS"}
    assert {name for name in given if name.startswith("MARQUEE_")} <= envvars()


def test_each_line_of_the_crontab_calls_the_command_with_options_that_it_has() -> None:
    environment, entries = cron_lines()
    assert "MAILTO" in environment
    assert entries
    for *times, user, command in entries:
        assert all(re.fullmatch(r"[\d*,/-]+", time) for time in times)
        assert len(times) == 5
        assert user == "marquee"
        assert "%" not in command  # a line end to cron
        quietly, marquee, name, *words = shlex.split(command)
        assert (quietly, marquee, name) == ("quietly", "marquee", "run")
        assert_parses(words)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 124])
def test_cron_mails_only_what_is_news(tmp_path: Path, code: int) -> None:
    command = tmp_path / "marquee"
    command.write_text(f'#!/bin/sh\necho "out $*"\necho err >&2\nexit {code}\n')
    command.chmod(0o755)
    done = subprocess.run(  # noqa: S603  # our own words
        [QUIETLY, command, "run", "two words"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if str(code) in FINE:
        assert (done.returncode, done.stdout) == (0, "")
    else:
        said = f"out run two words\nerr\nexit code {code}\n"
        assert (done.returncode, done.stdout) == (code, said)
    assert done.stderr == ""


def test_the_readme_names_every_file_beside_it() -> None:
    text = (SCHEDULES / "README.md").read_text()
    for path in SCHEDULES.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in text
