"""Builds the template and deploys it with sam, and finds out what a stack is like."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from marquee_cli.cloud.emulator import client_environment, not_proxied
from marquee_cli.cloud.errors import CloudError, with_tail
from marquee_cli.cloud.home import Home
from marquee_cli.cloud.processes import MARKER, PART, end, marked

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

PART_NAME = "sam"
FINGERPRINT_TAG = "marquee:fingerprint"
"""The stack itself says what it was deployed from, so no file can be at odds with it."""

BUILT_WITHIN_SECONDS = 600.0
"""The first build downloads some 15 MB of wheels, perhaps on a slow line."""
DEPLOYED_WITHIN_SECONDS = 300.0
"""A deployment takes 10 seconds on an idle laptop."""
SETTLED_WITHIN_SECONDS = 60.0
"""The emulator makes the whole stack in 2 seconds; a change in progress longer than this died."""
POLL_SECONDS = 0.5
ENDED_WITHIN_SECONDS = 5.0

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
STARTED = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
UPDATABLE = (*GOOD, "UPDATE_ROLLBACK_COMPLETE")


@dataclass(frozen=True)
class Stack:
    """A deployed stack as CloudFormation describes it."""

    status: str
    fingerprint: str | None
    outputs: Mapping[str, str]


def build(root: Path, home: Home, architecture: str) -> None:
    """Run `sam build` into the home; raises CloudError with the log's end where it fails."""
    _sam(
        home,
        "build",
        BUILT_WITHIN_SECONDS,
        {},
        *("--template-file", root / "template.yaml"),
        *("--build-dir", home.build, "--cache-dir", home.build_cache),
        *("--cached", "--parallel", "--parameter-overrides", f"Architecture={architecture}"),
    )


def deploy(
    root: Path,
    home: Home,
    template: Path,
    url: str,
    stack_name: str,
    parameters: Mapping[str, str],
    fingerprint: str,
) -> None:
    """Run `sam deploy` against the emulator; raises CloudError with the log's end on failure."""
    _sam(
        home,
        "deploy",
        DEPLOYED_WITHIN_SECONDS,
        client_environment(url),
        *("--config-file", root / "samconfig.toml", "--config-env", "local"),
        *("--template-file", template, "--stack-name", stack_name),
        *("--tags", f"{FINGERPRINT_TAG}={fingerprint}"),
        "--parameter-overrides",
        *parameter_overrides(template, parameters),
    )


def parameter_overrides(template: Path, parameters: Mapping[str, str]) -> list[str]:
    """What `sam deploy` is told of every parameter: what is given, else the template's default.

    Left out, a parameter would keep the value of the last deployment: a stand-in's address, where
    `.env` now has a key for the real upstream.
    """
    declared = json.loads(template.read_text()).get("Parameters", {})
    defaults = {name: str(of["Default"]) for name, of in declared.items() if "Default" in of}
    # In quotes: an empty value would not be seen without.
    given = {**defaults, **parameters}
    return ['{}="{}"'.format(name, value.replace('"', r"\"")) for name, value in given.items()]


def describe(cloudformation: "CloudFormationClient", name: str) -> Stack | None:
    """The stack of that name, or None where there is none."""
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    return Stack(
        status=described["StackStatus"],
        fingerprint=tags.get(FINGERPRINT_TAG),
        outputs={o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])},
    )


def failures(cloudformation: "CloudFormationClient", name: str) -> list[str]:
    """Why resources of the last change failed, the first one first; [] where none did."""
    found: list[str] = []
    if describe(cloudformation, name) is None:
        return found
    # Newest first, 100 a page: a rollback alone may fill the first one.
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    for event in (event for page in pages for event in page["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            found.append(f"{event['LogicalResourceId']}: {reason}")
        elif event["LogicalResourceId"] == name and event["ResourceStatus"] in STARTED:
            break
    return found[::-1]


def settle(
    cloudformation: "CloudFormationClient", name: str, seconds: float = SETTLED_WITHIN_SECONDS
) -> Stack | None:
    """Wait for a change in progress to end, and delete a stack that no update can mend.

    A killed `up` leaves either behind. Raises CloudError where the stack cannot be deleted.
    """
    stack = _settled(cloudformation, name, seconds)
    if stack is None or stack.status in UPDATABLE:
        return stack
    cloudformation.delete_stack(StackName=name)
    left = _settled(cloudformation, name, seconds)
    if left is not None and left.status != "DELETE_COMPLETE":
        raise CloudError(
            f"The stack {name} is in {stack.status} and could not be deleted: {left.status}."
            " `marquee down`, then remove the home's folder, starts from nothing."
        )
    return None


def _settled(cloudformation: "CloudFormationClient", name: str, seconds: float) -> Stack | None:
    deadline = time.monotonic() + seconds
    stack = describe(cloudformation, name)
    while stack and stack.status.endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        stack = describe(cloudformation, name)
    return stack


def _sam(
    home: Home,
    command: str,
    seconds: float,
    environment: Mapping[str, str],
    *arguments: str | Path,
) -> None:
    log = home.logs / f"sam-{command}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    tools = Path(sys.executable).parent
    sam = tools / "sam"
    if not sam.exists():
        raise CloudError(f"{sam} is missing: `make run` installs it.")
    # The user's environment holds what a download may need: a proxy, an index, certificates.
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "PYTHON"))}
    with log.open("wb") as output:
        try:
            subprocess.run(  # noqa: S603 - sam, with arguments of our own
                [sam, command, *arguments],
                cwd=home.folder,  # in which sam keeps .aws-sam/deps, for one build at a time
                env={
                    **inherited,
                    **not_proxied(os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))),
                    **environment,
                    MARKER: str(home.folder),
                    PART: PART_NAME,
                    # sam builds with the python3.13 and the pip that it finds first.
                    "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                    "SAM_CLI_TELEMETRY": "0",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=seconds,
            )
        except subprocess.CalledProcessError:
            raise with_tail(f"`sam {command}` failed.", log) from None
        except subprocess.TimeoutExpired:
            raise with_tail(f"`sam {command}` took more than {seconds:.0f} s.", log) from None
        finally:
            stop(home)


def stop(home: Home) -> None:
    """End what is left of a sam command of this home: one that was killed leaves its children."""
    end(marked(home.folder, PART_NAME), ENDED_WITHIN_SECONDS)
