"""How long each handler takes to import, against one with only boto3 and the Powertools Logger."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from marquee_cli.cloud.cloud import PROJECT
from marquee_cli.cloud.home import Home
from tests.bench.report import Line, at_most

SAMPLES = 7
"""Pairs of imports a handler; the median of their ratios is taken."""

TARGET_RATIO = 1.5
HEAVY = ("openai", "tweepy")
"""Packages that only their users may import."""

BASELINE = """\
import boto3
from aws_lambda_powertools import Logger

logger = Logger(service="baseline")


def handler(event, context):
    return {}
"""

MEASURE = f"""\
import sys, time
began = time.process_time()
import app
print(time.process_time() - began, *(name for name in {HEAVY!r} if name in sys.modules))
"""
"""CPU time, so that what else runs on the machine counts less."""


def lines_of(home: Home) -> Iterator[Line]:
    """The functions as they were built for a laptop cloud, with the layers they run on."""
    layers = [folder / "python" for folder in sorted(home.layers.iterdir())]
    return lines(PROJECT / ".venvs" / "runtime" / "bin" / "python", layers, home.fitted)


def lines(python: Path, layers: Sequence[Path], functions: Path) -> Iterator[Line]:
    """A ratio for each ``app.py`` below ``functions``, measured in fresh interpreters, A B A B."""
    apps = sorted(functions.rglob("app.py"))
    importers: set[str] = set()
    with TemporaryDirectory() as folder:
        baseline = Path(folder)
        (baseline / "app.py").write_text(BASELINE)
        for app in apps:
            name = str(app.parent.relative_to(functions))
            ratios = []
            _import(python, layers, app.parent)  # writes the bytecode that all later ones read
            for _ in range(SAMPLES):
                base, _ = _import(python, layers, baseline)
                own, heavy = _import(python, layers, app.parent)
                ratios.append(own / base)
                importers.update(f"{name} imports {package}" for package in heavy)
            yield at_most(name, median(ratios), TARGET_RATIO, "{:.2f} x")
    yield Line(
        f"handlers that import {' or '.join(HEAVY)}",
        ", ".join(sorted(importers)) or f"0 of {len(apps)}",
        "0",
        not importers,
    )


def _import(python: Path, layers: Sequence[Path], folder: Path) -> tuple[float, list[str]]:
    """CPU seconds of importing ``app`` in a fresh interpreter, and the heavy packages it loaded."""
    path = os.pathsep.join(str(layer) for layer in layers)
    environment = {"PATH": os.defpath, "PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [python, "-c", MEASURE],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{folder} cannot be imported: {done.stderr}")
    seconds, *heavy = done.stdout.split()
    return float(seconds), heavy
