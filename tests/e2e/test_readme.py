"""What the README shows of `make run` is what is printed, but for posts, dates and times."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import RunningCloud
from tests.support.templates import ROOT


def test_the_steps_the_film_and_the_headings_are_printed_as_shown(cloud: RunningCloud) -> None:
    marquee = Path(sys.executable).with_name("marquee")
    done = subprocess.run(  # noqa: S603 - our own command
        # Not the default number of reviews: an equal search of another test would answer at once.
        [marquee, "--home", cloud.cloud.home.folder, "search", "RRR", "--max-reviews", "11"],
        env={**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    printed = [line.rstrip() for line in (done.stderr + done.stdout).splitlines()]
    example = (
        (ROOT / "README.md").read_text().split("`make run` searches a film:")[1].split("```")[1]
    )
    shown = example.strip("\n").splitlines()
    facts = shown[shown.index("RRR (2022)") : shown.index("What people feel") + 1]
    for line in (*facts, "Sources", "Watch next", shown[-1]):
        assert line in printed
    form = {re.sub(r"[\d.]+", "0", line) for line in printed}
    steps = [line for line in shown if line.startswith("  ✓")]
    assert {re.sub(r"[\d.]+", "0", line) for line in steps} <= form
