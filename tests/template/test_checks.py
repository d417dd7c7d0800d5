"""Each template check finds the fault it exists for, and nothing in a sound template."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.state_machines import REGION
from tests.support.templates import Template, create_resources, transformed
from tests.template import checks

SOUND = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  StepTimeoutSeconds: { Type: Number, Default: 60, MinValue: 50 }
  Stage: { Type: String, Default: prod }
Conditions:
  IsProduction: !Equals [!Ref Stage, prod]
  IsTrial: !Not [!Condition IsProduction]
Globals:
  Function:
    Runtime: python3.13
    Handler: app.handler
    Timeout: 20
    LoggingConfig: { LogGroup: !Ref Logs }
    Environment: { Variables: { STAGE: !Ref Stage } }
Resources:
  FilmsTable:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      TableName: !Sub "${AWS::StackName}-films"
      BillingMode: PAY_PER_REQUEST
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
      AttributeDefinitions:
        - { AttributeName: pk, AttributeType: S }
        - { AttributeName: seen_at, AttributeType: S }
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      GlobalSecondaryIndexes:
        - IndexName: by_time
          KeySchema: [{ AttributeName: seen_at, KeyType: HASH }]
          Projection: { ProjectionType: ALL }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Letters.Arn, maxReceiveCount: 3 }
  Letters: { Type: AWS::SQS::Queue }
  Logs: { Type: AWS::Logs::LogGroup, Properties: { RetentionInDays: 30 } }
  Bus: { Type: AWS::Events::EventBus, Properties: { Name: bus } }
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: statemachine/find.asl.json
      DefinitionSubstitutions: { FindFilmFunctionArn: !GetAtt FindFilmFunction.Arn }
      Policies: [LambdaInvokePolicy: { FunctionName: !Ref FindFilmFunction }]
  FindFilmFunction:
    Type: AWS::Serverless::Function
    Properties:
      Description: Finds a film
      CodeUri: functions/movies/find_film
      Environment:
        Variables:
          FILMS_TABLE: !Ref FilmsTable
          QUEUE_URL: !Ref Work
          LIMIT: !If [IsProduction, 10, 1]
          TRIAL: !If [IsTrial, "yes", !Ref "AWS::NoValue"]
          ADDRESS: !Join ["/", [!GetAtt FilmsTable.Arn, !Select [1, !Split [",", "a,b"]]]]
      Policies: [SQSSendMessagePolicy: { QueueName: !GetAtt Work.QueueName }]
      Events:
        Asked:
          Type: EventBridgeRule
          Properties:
            EventBusName: !Ref Bus
            Pattern: { source: [test] }
            DeadLetterConfig: { Arn: !GetAtt Letters.Arn }
        Work:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            FunctionResponseTypes: [ReportBatchItemFailures]
"""

FUNCTION = "Resources.FindFilmFunction.Properties"
GONE = object()


def a_template(changes: Mapping[str, Any] | None = None) -> Template:
    """The sound template with the values at the dotted paths replaced, or `GONE`."""
    template = Template.parse(SOUND)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        node: Any = template.document
        for key in parents:
            node = node.setdefault(key, {})
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return template


def a_statement(**fields: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "x"} | fields]}


TRANSFORMED_CHECKS = [
    checks.wide_statement_faults,
    checks.managed_policy_faults,
    checks.queue_faults,
    checks.target_faults,
    checks.event_source_faults,
    checks.log_faults,
]
TEMPLATE_CHECKS = [checks.table_faults, checks.timeout_faults, checks.description_faults]


@pytest.mark.parametrize("check", TRANSFORMED_CHECKS)
def test_a_sound_transformed_template_has_no_fault(
    check: Callable[[dict[str, Any]], list[str]],
) -> None:
    assert check(transformed(a_template())) == []


@pytest.mark.parametrize("check", TEMPLATE_CHECKS)
def test_a_sound_template_has_no_fault(check: Callable[[Template], list[str]]) -> None:
    assert check(a_template()) == []


@pytest.mark.parametrize(
    ("check", "path", "value", "complaint"),
    [
        (
            checks.wide_statement_faults,
            f"{FUNCTION}.Policies",
            [a_statement(Resource="*")],
            "FindFilmFunctionRole allows s3:GetObject on *",
        ),
        (
            checks.wide_statement_faults,
            f"{FUNCTION}.Policies",
            [a_statement(Action=["s3:Get*", "s3:PutObject"])],
            "FindFilmFunctionRole allows s3:Get* on named resources",
        ),
        (
            checks.wide_statement_faults,
            f"{FUNCTION}.Policies",
            # A policy template that looks harmless and expands to Resource "*".
            [{"CloudWatchPutMetricPolicy": {}}],
            "FindFilmFunctionRole allows cloudwatch:PutMetricData on *",
        ),
        (
            checks.wide_statement_faults,
            "Resources.Extra",
            {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "PolicyDocument": {
                        "Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "x"}
                    }
                },
            },
            "Extra allows everything but what it names",
        ),
        (
            checks.managed_policy_faults,
            f"{FUNCTION}.Policies",
            ["AmazonDynamoDBFullAccess"],
            "FindFilmFunctionRole carries arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess",
        ),
        (
            checks.queue_faults,
            "Resources.Lonely",
            {"Type": "AWS::SQS::Queue"},
            "Lonely has no RedrivePolicy and is nobody's dead-letter queue",
        ),
        (
            checks.target_faults,
            f"{FUNCTION}.Events.Asked.Properties.DeadLetterConfig",
            GONE,
            "the target of FindFilmFunctionAsked has no DeadLetterConfig",
        ),
        (
            checks.event_source_faults,
            f"{FUNCTION}.Events.Work.Properties.FunctionResponseTypes",
            GONE,
            "FindFilmFunctionWork does not report single failures",
        ),
        (
            checks.log_faults,
            "Resources.Logs.Properties.RetentionInDays",
            GONE,
            "Logs has no RetentionInDays",
        ),
        (
            checks.log_faults,
            "Globals.Function.LoggingConfig",
            GONE,
            "FindFilmFunction writes to no log group of the template",
        ),
    ],
)
def test_a_fault_that_shows_after_the_transform_is_found(
    check: Callable[[dict[str, Any]], list[str]], path: str, value: Any, complaint: str
) -> None:
    assert check(transformed(a_template({path: value}))) == [complaint]


@pytest.mark.parametrize(
    ("check", "path", "value", "complaint"),
    [
        (
            checks.table_faults,
            "Resources.FilmsTable.Properties.BillingMode",
            GONE,
            "FilmsTable has no on-demand billing",
        ),
        (
            checks.table_faults,
            "Resources.FilmsTable.Properties.PointInTimeRecoverySpecification",
            GONE,
            "FilmsTable has no point-in-time recovery",
        ),
        (
            checks.table_faults,
            "Resources.FilmsTable.Properties.TimeToLiveSpecification.Enabled",
            False,
            "FilmsTable has no expiry",
        ),
        (
            checks.table_faults,
            "Resources.FilmsTable.DeletionPolicy",
            GONE,
            "FilmsTable has no DeletionPolicy: Retain",
        ),
        (
            checks.timeout_faults,
            f"{FUNCTION}.Timeout",
            50,
            "FindFilmFunction may run 50 s, a state 50 s",
        ),
        (
            checks.timeout_faults,
            "Resources.Checked",
            {
                "Type": "Custom::Checked",
                "Properties": {
                    "ServiceToken": {"Fn::GetAtt": ["FindFilmFunction", "Arn"]},
                    "ServiceTimeout": 20,
                },
            },
            "FindFilmFunction may run 20 s, Checked 20 s",
        ),
        (
            checks.description_faults,
            f"{FUNCTION}.Description",
            " ",
            "FindFilmFunction has no Description",
        ),
    ],
)
def test_a_fault_that_shows_in_the_template_is_found(
    check: Callable[[Template], list[str]], path: str, value: Any, complaint: str
) -> None:
    assert check(a_template({path: value})) == [complaint]


def test_a_function_without_its_file_or_payload_is_found(tmp_path: Path) -> None:
    wanted = [
        tmp_path / "functions/movies/find_film/app.py",
        tmp_path / "tests/events/find_film.json",
    ]
    for path in wanted:
        path.parent.mkdir(parents=True)
        path.touch()
    assert checks.source_faults(a_template(), tmp_path) == []
    for path in wanted:
        path.unlink()
    assert checks.source_faults(a_template(), tmp_path) == [
        "FindFilmFunction: functions/movies/find_film/app.py does not exist",
        "FindFilmFunction: tests/events/find_film.json does not exist",
    ]


def test_a_wrong_field_of_a_resource_is_found_by_cfn_lint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert checks.lint_faults(SOUND) == []
    faults = checks.lint_faults(SOUND.replace("BillingMode", "BilingMode"))
    assert any(fault.startswith("E3002") and "BilingMode" in fault for fault in faults)


def test_intrinsic_functions_resolve_to_what_a_deployment_would_give() -> None:
    template = a_template()
    assert template.environment() == {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "STAGE": "prod",
        "FILMS_TABLE": "marquee-films",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/Work",
        "LIMIT": "10",
        "ADDRESS": "arn:aws:dynamodb:us-east-1:123456789012:table/marquee-films/b",
    }
    assert template.substitutions("find") == {
        "FindFilmFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:FindFilmFunction"
    }


def test_parameters_given_decide_conditions() -> None:
    template = Template.parse(SOUND, {"Stage": "try"})
    environment = template.environment("FindFilmFunction")
    assert (environment["LIMIT"], environment["TRIAL"]) == ("1", "yes")


def test_functions_that_disagree_on_a_variable_are_named() -> None:
    other = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "x", "Environment": {"Variables": {"LIMIT": 3}}},
    }
    with pytest.raises(ValueError, match="OtherFunction wants another LIMIT"):
        a_template({"Resources.OtherFunction": other}).environment()


def test_a_variable_of_globals_is_a_functions_own_only_where_that_function_is_named() -> None:
    other = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "x", "Environment": {"Variables": {"STAGE": "own"}}},
    }
    template = a_template({"Resources.OtherFunction": other})
    assert template.environment()["STAGE"] == "prod"
    assert template.environment("OtherFunction")["STAGE"] == "own"
    with pytest.raises(ValueError, match="OtherFunction wants another STAGE"):
        template.environment("FindFilmFunction", "OtherFunction")


def test_tables_are_made_with_their_indexes_and_expiry_and_queues_with_their_redrive() -> None:
    with mock_aws():
        create_resources(a_template())
        dynamodb = boto3.client("dynamodb", region_name=REGION)
        table = dynamodb.describe_table(TableName="marquee-films")["Table"]
        expiry = dynamodb.describe_time_to_live(TableName="marquee-films")
        sqs = boto3.client("sqs", region_name=REGION)
        url = sqs.get_queue_url(QueueName="Work")["QueueUrl"]
        redrive = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by_time"]
    assert expiry["TimeToLiveDescription"]["AttributeName"] == "expires_at"
    assert json.loads(redrive["Attributes"]["RedrivePolicy"])["maxReceiveCount"] == 3
