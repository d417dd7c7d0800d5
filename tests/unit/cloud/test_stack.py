"""What is done about a stack before it is deployed again."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped] # sam has no types

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.stack import FINGERPRINT_TAG, describe, failures, parameter_overrides, settle


class CloudFormation:
    """Gives one status after the other, the last one for ever; None: there is no such stack."""

    def __init__(
        self, *statuses: str | None, after_delete: tuple[str | None, ...] = (None,)
    ) -> None:
        self._statuses = list(statuses)
        self._after_delete = after_delete
        self.deleted = False

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status is None:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError(
                {"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks"
            )
        return {
            "Stacks": [
                {
                    "StackStatus": status,
                    "Tags": [{"Key": FINGERPRINT_TAG, "Value": "abc"}],
                    "Outputs": [{"OutputKey": "ApiId", "OutputValue": "1"}],
                }
            ]
        }

    def delete_stack(self, StackName: str) -> None:
        self.deleted = True
        self._statuses = list(self._after_delete)


def settled(cloudformation: Any) -> Any:
    return settle(cloudformation, "marquee", seconds=2)


def test_a_stack_is_described_with_its_fingerprint_and_outputs() -> None:
    cloudformation: Any = CloudFormation("CREATE_COMPLETE")
    stack = describe(cloudformation, "marquee")
    assert stack is not None
    assert (stack.status, stack.fingerprint, stack.outputs) == (
        "CREATE_COMPLETE",
        "abc",
        {"ApiId": "1"},
    )


def test_no_stack_is_none() -> None:
    assert settled(CloudFormation(None)) is None


def test_another_error_is_not_taken_for_no_stack() -> None:
    class Denied(CloudFormation):
        def describe_stacks(self, StackName: str) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeStacks")

    with pytest.raises(ClientError, match="AccessDenied"):
        settled(Denied(None))


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"]
)
def test_a_stack_that_can_be_updated_is_kept(status: str) -> None:
    cloudformation = CloudFormation(status)
    assert settled(cloudformation).status == status
    assert not cloudformation.deleted


def test_a_change_in_progress_is_waited_for() -> None:
    cloudformation = CloudFormation("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    assert settled(cloudformation).status == "UPDATE_COMPLETE"
    assert not cloudformation.deleted


@pytest.mark.parametrize(
    "status",
    ["CREATE_FAILED", "ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"],
)
def test_a_stack_that_no_update_can_mend_is_deleted(status: str) -> None:
    cloudformation = CloudFormation(status, after_delete=("DELETE_IN_PROGRESS", None))
    assert settle(cloudformation, "marquee", seconds=1) is None  # type: ignore[arg-type] # a fake
    assert cloudformation.deleted


def test_a_stack_that_cannot_be_deleted_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        CloudError, match="ROLLBACK_COMPLETE and could not be deleted: DELETE_FAILED"
    ):
        settled(CloudFormation("ROLLBACK_COMPLETE", after_delete=("DELETE_FAILED",)))


def test_the_reasons_of_the_last_change_are_told_and_no_earlier_ones() -> None:
    def an_event(name: str, status: str, **more: str) -> dict[str, str]:
        return {"LogicalResourceId": name, "ResourceStatus": status, **more}

    class WithEvents(CloudFormation):
        def get_paginator(self, operation: str) -> "WithEvents":
            assert operation == "describe_stack_events"
            return self

        def paginate(self, StackName: str) -> list[dict[str, Any]]:
            newest_first = [
                an_event(StackName, "UPDATE_ROLLBACK_COMPLETE"),
                an_event("Queue", "CREATE_FAILED", ResourceStatusReason="cancelled"),
                an_event("Table", "UPDATE_FAILED", ResourceStatusReason="no such key"),
                an_event("Bus", "CREATE_COMPLETE"),
                an_event(StackName, "UPDATE_IN_PROGRESS"),
                an_event("Table", "CREATE_FAILED", ResourceStatusReason="of an earlier change"),
                an_event(StackName, "CREATE_IN_PROGRESS"),
            ]
            return [{"StackEvents": newest_first[:2]}, {"StackEvents": newest_first[2:]}]

    cloudformation: Any = WithEvents("UPDATE_ROLLBACK_COMPLETE")
    assert failures(cloudformation, "marquee") == ["Table: no such key", "Queue: cancelled"]
    absent: Any = WithEvents(None)
    assert failures(absent, "marquee") == []


def test_a_parameter_that_is_not_given_goes_back_to_its_default(tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    declared = {
        "TmdbBaseUrl": {"Type": "String", "Default": "https://api.themoviedb.org/3"},
        "MastodonBaseUrl": {"Type": "String", "Default": ""},
        "StepTimeoutSeconds": {"Type": "Number", "Default": 60},
        "Stage": {"Type": "String", "Default": "prod"},
        "Required": {"Type": "String"},
    }
    template.write_text(json.dumps({"Parameters": declared}))
    assert parameter_overrides(template, {"Stage": "local"}) == [
        'TmdbBaseUrl="https://api.themoviedb.org/3"',
        'MastodonBaseUrl=""',
        'StepTimeoutSeconds="60"',
        'Stage="local"',
    ]


def test_sam_reads_a_value_with_quotes_as_it_was_given(tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text("{}")
    given = {"PolishInstructions": 'say "film", not movie: it\'s a=b', "Stage": "local"}
    overrides = parameter_overrides(template, given)
    assert CfnParameterOverridesType().convert(overrides, None, None) == given
