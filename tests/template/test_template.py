"""The template as it is deployed: linted by the real tools and held to the project's rules."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.state_machines import REGION
from tests.support.templates import ROOT, Template, create_resources, transformed
from tests.template.checks import (
    description_faults,
    event_source_faults,
    lint_faults,
    log_faults,
    managed_policy_faults,
    queue_faults,
    source_faults,
    table_faults,
    target_faults,
    timeout_faults,
    wide_statement_faults,
)


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.load()


@pytest.fixture(scope="module")
def document(template: Template) -> dict[str, Any]:
    return transformed(template)


def test_sam_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    sam = Path(sys.executable).with_name("sam")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SAM_CLI_TELEMETRY": "0",
    }
    answer = subprocess.run(  # noqa: S603 - our own tool on our own file
        [sam, "validate", "--lint", "--template", ROOT / "template.yaml"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_cfn_lint_finds_nothing_to_complain_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)  # cfn-lint sets it and leaves it set
    assert lint_faults((ROOT / "template.yaml").read_text()) == []


@pytest.mark.parametrize(
    "check",
    [
        wide_statement_faults,
        managed_policy_faults,
        queue_faults,
        target_faults,
        event_source_faults,
        log_faults,
    ],
)
def test_the_transformed_template_keeps_the_rule(
    check: Callable[[dict[str, Any]], list[str]], document: dict[str, Any]
) -> None:
    assert check(document) == []


@pytest.mark.parametrize("check", [table_faults, timeout_faults, description_faults])
def test_the_template_keeps_the_rule(
    check: Callable[[Template], list[str]], template: Template
) -> None:
    assert check(template) == []


def test_every_function_has_its_file_and_a_payload_to_invoke_it_with(template: Template) -> None:
    assert source_faults(template, ROOT) == []


def test_tables_queues_and_buses_of_the_template_stand_in_moto_under_the_names_functions_get(
    template: Template,
) -> None:
    with mock_aws():
        create_resources(template)
        dynamodb = boto3.client("dynamodb", region_name=REGION)
        sqs = boto3.client("sqs", region_name=REGION)
        events = boto3.client("events", region_name=REGION)
        tables = dynamodb.list_tables()["TableNames"]
        queues = sqs.list_queues().get("QueueUrls", [])
        buses = [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    resources = template.document["Resources"]
    for logical_id, resource in resources.items():
        made = {
            "AWS::DynamoDB::Table": tables,
            "AWS::SQS::Queue": queues,
            "AWS::Events::EventBus": buses,
        }.get(resource["Type"])
        if made is not None:
            assert template.resolve({"Ref": logical_id}) in made
