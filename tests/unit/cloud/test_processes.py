"""Processes of a cloud: found by their mark, ended for certain, and nobody else's touched."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marquee_cli.cloud.processes import MARKER, PART, ProcessId, end, launch, marked, pids_in

DEADLINE_SECONDS = 10.0

SLEEPS = "import time; time.sleep(60)"
HAS_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPS!r}])"
IGNORES_SIGTERM = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('ready', flush=True); time.sleep(60)"
)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.02)


class Cloud:
    """Starts marked processes of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "logs" / "log"

    def starts(self, code: str, part: str = "emulator") -> ProcessId:
        environment = {**os.environ, MARKER: str(self.home), PART: part}
        return launch([sys.executable, "-c", code], environment, self.home, self.log)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    home = tmp_path / "home"
    home.mkdir()
    yield Cloud(home)
    end(marked(home), grace_seconds=0)


def test_a_launched_process_is_found_by_its_home_and_part(cloud: Cloud) -> None:
    emulator = cloud.starts(SLEEPS)
    stand_ins = cloud.starts(SLEEPS, part="stand-ins")
    assert emulator.is_alive()
    assert set(marked(cloud.home)) == {emulator, stand_ins}
    assert marked(cloud.home, "stand-ins") == [stand_ins]


def test_another_home_is_not_found_even_where_its_name_starts_the_same(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.starts(SLEEPS)
    assert marked(tmp_path / "hom") == []
    assert marked(tmp_path / "home2") == []


def test_what_a_process_prints_is_logged_beside_what_the_one_before_it_did(cloud: Cloud) -> None:
    for word in ("first", "second", "third"):
        cloud.starts(f"import sys; print('{word}'); print('{word}!', file=sys.stderr)")
        until(lambda: not marked(cloud.home))
    assert sorted(cloud.log.read_text().split()) == ["third", "third!"]
    assert sorted((cloud.home / "logs" / "log.1").read_text().split()) == ["second", "second!"]


def test_children_that_outlive_their_parent_are_found_and_ended(cloud: Cloud) -> None:
    parent = cloud.starts(HAS_A_CHILD)
    until(lambda: len(marked(cloud.home)) == 2)
    os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not parent.is_alive())

    [orphan] = marked(cloud.home)
    end([orphan], grace_seconds=5)
    assert marked(cloud.home) == []


def test_a_process_that_ignores_sigterm_is_killed(cloud: Cloud) -> None:
    stubborn = cloud.starts(IGNORES_SIGTERM)
    until(lambda: cloud.log.read_text() == "ready\n")
    end([stubborn], grace_seconds=0.2)
    assert not stubborn.is_alive()


def test_a_process_that_ends_in_time_is_not_killed(cloud: Cloud) -> None:
    polite = cloud.starts(
        "import signal, sys, time\n"
        "def leave(*_):\n"
        "    time.sleep(0.3); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave); print('ready', flush=True); time.sleep(60)\n"
    )
    until(lambda: cloud.log.read_text() == "ready\n")
    end([polite], grace_seconds=DEADLINE_SECONDS)
    assert cloud.log.read_text() == "ready\nsaved\n"


def test_a_recycled_pid_is_left_alone(cloud: Cloud) -> None:
    bystander = cloud.starts(SLEEPS)
    former = ProcessId(pid=bystander.pid, started="another boot 1")
    assert not former.is_alive()
    end([former], grace_seconds=0)
    assert bystander.is_alive()


def test_a_process_that_ended_but_was_not_reaped_is_not_alive(cloud: Cloud) -> None:
    environment = {**os.environ, MARKER: str(cloud.home)}
    command = [sys.executable, "-c", SLEEPS]
    with subprocess.Popen(command, env=environment) as child:  # noqa: S603 - Python, asleep
        until(lambda: marked(cloud.home))
        [found] = marked(cloud.home)
        child.kill()
        until(lambda: not found.is_alive())
        assert child.returncode is None
        assert marked(cloud.home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_name_with_spaces_and_brackets_does_not_confuse_the_start_time(
    cloud: Cloud, tmp_path: Path
) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    odd = tmp_path / ") Z 1 (x"
    odd.symlink_to(sleep)
    process = launch([odd, "60"], {MARKER: str(cloud.home)}, cloud.home, cloud.log)
    until(lambda: marked(cloud.home) != [])
    assert process.is_alive()


def test_ending_processes_that_have_ended_is_harmless(cloud: Cloud) -> None:
    short = cloud.starts("pass")
    until(lambda: not short.is_alive())
    end([short, ProcessId(pid=2**22, started="never")], grace_seconds=0)


def test_a_command_that_does_not_exist_ends_at_once_and_says_so_in_the_log(cloud: Cloud) -> None:
    missing = launch([cloud.home / "no-such-program"], {}, cloud.home, cloud.log)
    until(lambda: not missing.is_alive())
    assert "no-such-program" in cloud.log.read_text()


def test_the_listing_of_macos_is_read_by_whole_entries() -> None:
    listing = """\
    1 /sbin/launchd
  501 /venv/bin/python -m ministack MARQUEE_CLOUD=/u/ann/.marquee MARQUEE_CLOUD_PART=emulator A=1
  502 /venv/bin/python -m awslambdaric MARQUEE_CLOUD_PART=emulator MARQUEE_CLOUD=/u/ann/.marquee
  503 /venv/bin/python -m ministack MARQUEE_CLOUD=/u/ann/.marquee2 MARQUEE_CLOUD_PART=emulator
  504 /venv/bin/python -m marquee MARQUEE_CLOUD=/u/ann/.marquee MARQUEE_CLOUD_PART=stand-ins
"""
    home = f"{MARKER}=/u/ann/.marquee"
    assert list(pids_in(listing, {home})) == [501, 502, 504]
    assert list(pids_in(listing, {home, f"{PART}=emulator"})) == [501, 502]
