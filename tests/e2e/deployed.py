"""The deployed stack as its clients, its operator and its upstreams see it."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from jsonschema import Draft202012Validator

from marquee_cli.cloud.processes import ProcessId, marked
from tests.e2e.conftest import RunningCloud
from tests.support.upstreams import Upstreams

SEARCH = "/api/orchestrator/auto-search"
STACK = "marquee"
MACHINES = {
    "movie_search": "MovieSearch",
    "tweet_pipeline": "TweetPipeline",
    "review_backfill": "ReviewBackfill",
}
"""The state machine of each kind of workflow, in the template."""

CALL_SECONDS = 120.0
"""Above the 29 s after which API Gateway gives up, and what a burst waits on a busy machine."""
WITHIN_SECONDS = 120.0
"""The first search starts every worker: a minute on a busy machine; the next ones take 2 s."""
POLL_SECONDS = 0.2

type Answer = httpx.Response
type Json = dict[str, Any]


def eventually[T](look: Callable[[], T | None], within_seconds: float = WITHIN_SECONDS) -> T:
    """What `look` finds, as soon as it finds something that is not empty; fails after that time."""
    deadline = time.monotonic() + within_seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing was found in {within_seconds:.0f} s"
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True)
class Deployed:
    """A stack that runs; every answer of its API is held against its own document."""

    cloud: RunningCloud
    upstreams: Upstreams
    http: httpx.Client = field(repr=False)
    said: list[str] = field(default_factory=list, repr=False)
    """All that clients were answered."""
    heard: list[Json] = field(default_factory=list, repr=False)
    """The events on the bus while somebody listened."""
    validators: dict[str, Draft202012Validator] = field(default_factory=dict, repr=False)
    """Of the answers that the document tells of, made when first needed."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: Json | None = None,
        **query: Any,
    ) -> Answer:
        """One request with the API's key, or with another one; an empty one sends none."""
        key = self.cloud.api_key if key is None else key
        headers = {"x-api-key": key} if key else {}
        answer = self.http.request(
            method, self.cloud.api_url + path, params=query, json=body, headers=headers
        )
        self.said.append(f"{answer.headers}\n{answer.text}")
        self._assert_documented(method, path, answer)
        return answer

    def get(self, path: str, **query: Any) -> Json:
        """What a GET answers with 200."""
        answer = self.ask("GET", path, **query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def search(self, movie_name: str, **query: Any) -> Json:
        """Search through the API; the status document of the execution when it has ended."""
        query = {"movie_name": movie_name, "wait_seconds": 0, **query}
        return self.ended(workflow_id_of(self.ask("POST", SEARCH, **query)))

    def ended(self, workflow_id: str) -> Json:
        """The status document of an execution when it has ended."""

        def look(*, until_ended: bool = True) -> Json | None:
            answer = self.ask("GET", f"/workflow/status/{workflow_id}")
            status: Json = answer.json()
            is_there = answer.status_code == 200
            return status if is_there and not (until_ended and is_running(status)) else None

        def is_running(status: Json) -> bool:
            is_so: bool = status["status"] == "RUNNING"
            return is_so

        known = eventually(partial(look, until_ended=False))
        if is_running(known):  # Step Functions is asked at a tenth of what the API costs
            arn = self.arn_of(workflow_id, MACHINES[known["kind"]])
            describe = self.aws("stepfunctions").describe_execution
            eventually(lambda: not is_running(describe(executionArn=arn)))
        return eventually(look)

    def calm(self) -> None:
        """Upstreams as after their start, and no quota, budget or breaker that remembers a test."""
        self.upstreams.reset()
        self.forget_quotas()

    def forget_quotas(self) -> None:
        """As if the windows of all quotas had passed, and an operator had reopened everything."""
        for item in self.items("Gateway"):
            if not item["pk"]["S"].startswith("stats#"):
                self.aws("dynamodb").delete_item(
                    TableName=self.cloud.outputs["GatewayTableName"],
                    Key={name: item[name] for name in ("pk", "sk")},
                )

    def executions(self, machine: str = "MovieSearch") -> set[str]:
        """The names of all executions of a state machine that Step Functions knows."""
        pages = self.aws("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.cloud.outputs[f"{machine}Arn"])
        return {execution["name"] for page in found for execution in page["executions"]}

    def arn_of(self, workflow_id: str, machine: str = "MovieSearch") -> str:
        """The ARN of an execution."""
        arn = self.cloud.outputs[f"{machine}Arn"]
        return f"{arn.replace(':stateMachine:', ':execution:')}:{workflow_id}"

    def history(self, workflow_id: str, machine: str = "MovieSearch") -> list[Json]:
        """The events of an execution, as the console shows them."""
        pages = self.aws("stepfunctions").get_paginator("get_execution_history")
        found = pages.paginate(executionArn=self.arn_of(workflow_id, machine))
        return [event for page in found for event in page["events"]]

    def items(self, table: str) -> list[Json]:
        """All that a table (`Movies`, `Reviews`, `Workflows`, `Tweets`, `Posts`) holds."""
        pages = self.aws("dynamodb").get_paginator("scan")
        found = pages.paginate(TableName=self.cloud.outputs[f"{table}TableName"])
        return [item for page in found for item in page["Items"]]

    def logged(self, words: str) -> list[str]:
        """The lines with these words among all that the functions have logged."""
        logs = self.aws("logs")
        return [
            event["message"]
            for groups in logs.get_paginator("describe_log_groups").paginate()
            for group in groups["logGroups"]
            for page in logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], filterPattern=f'"{words}"'
            )
            for event in page["events"]
        ]

    def aws(self, service: str) -> Any:
        """A boto3 client of the operator, who may do everything."""
        return self.cloud.boto3(service)

    @contextmanager
    def as_role_of(self, function: str) -> Iterator[Callable[[str], Any]]:
        """Clients with what a function (its name in the template) is given when it runs."""
        role = self.aws("iam").get_role(RoleName=self.role_of(function))["Role"]
        given = self.aws("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=function)
        session = boto3.Session(
            region_name="us-east-1",
            aws_access_key_id=given["Credentials"]["AccessKeyId"],
            aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
            aws_session_token=given["Credentials"]["SessionToken"],
        )
        with ExitStack() as opened:

            def connect(service: str) -> Any:
                make_client: Any = session.client  # typed for literal names only
                client = make_client(service, endpoint_url=self.cloud.endpoint_url)
                opened.callback(client.close)
                return client

            yield connect

    @contextmanager
    def denied(self, function: str, statement: Mapping[str, Any]) -> Iterator[None]:
        """Take something from a function's role until the block ends."""
        role = {"RoleName": self.role_of(function), "PolicyName": "denied-by-a-test"}
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", **statement}]}
        self.aws("iam").put_role_policy(**role, PolicyDocument=json.dumps(document))
        try:
            yield
        finally:
            self.aws("iam").delete_role_policy(**role)

    def role_of(self, function: str) -> str:
        """The name of a function's role."""
        return self.physical_id(f"{function}Role")

    def physical_id(self, logical_id: str) -> str:
        """The name that a resource of the template was given."""
        found = self.aws("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def invoke(self, function: str, payload: Json | None = None) -> Json:
        """What a function (its name in the template) returns; it must not fail."""
        answer = self.aws("lambda").invoke(
            FunctionName=self.physical_id(function), Payload=json.dumps(payload or {})
        )
        returned: Json = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, returned
        return returned

    def workers(self, *functions: str) -> list[ProcessId]:
        """The processes that run these functions now or wait to, as Linux tells them."""
        if sys.platform != "linux":
            pytest.skip("/proc is Linux's")
        names = {f"AWS_LAMBDA_FUNCTION_NAME={self.physical_id(name)}" for name in functions}
        return [
            process
            for process in marked(self.cloud.cloud.home.folder, "emulator")
            if names & set(Path(f"/proc/{process.pid}/environ").read_text().split("\0"))
        ]

    @contextmanager
    def listening(self) -> Iterator[Callable[..., list[Json]]]:
        """Hear what is put on the bus until the block ends: the details of a type, once they came.

        Keywords are what a detail must hold: what happened just before is told a moment later. All
        that was heard is kept in `heard`.
        """
        bus = self.cloud.outputs["EventBusName"]
        sqs, events = self.aws("sqs"), self.aws("events")
        with ExitStack() as undo:
            url = sqs.create_queue(QueueName="heard-by-a-test")["QueueUrl"]
            undo.callback(sqs.delete_queue, QueueUrl=url)
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            arn = attributes["Attributes"]["QueueArn"]
            rule: Json = {"Name": "heard-by-a-test", "EventBusName": bus}
            pattern = {"source": [{"prefix": ""}]}
            rule_arn = events.put_rule(**rule, EventPattern=json.dumps(pattern))["RuleArn"]
            undo.callback(events.delete_rule, **rule)
            allowed = {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
            }
            policy = {"Version": "2012-10-17", "Statement": [allowed]}
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
            target = {"Rule": rule["Name"], "EventBusName": bus}
            events.put_targets(**target, Targets=[{"Id": "queue", "Arn": arn}])
            undo.callback(events.remove_targets, **target, Ids=["queue"])
            self.heard.clear()

            def hear(detail_type: str, **wanted: Any) -> list[Json]:
                def look() -> list[Json]:
                    got = sqs.receive_message(
                        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
                    )
                    self.heard.extend(json.loads(m["Body"]) for m in got.get("Messages", ()))
                    return [
                        e["detail"]
                        for e in self.heard
                        if e["detail-type"] == detail_type and wanted.items() <= e["detail"].items()
                    ]

                return eventually(look)

            yield hear

    @contextmanager
    def waits_scaled(self, factor: float, *, after: float = 1) -> Iterator[None]:
        """Waits and retries of the state machines take that much of their time; 0: none.

        A wait until a moment takes that much of the time until then. `after` holds afterwards.
        """
        self._scale_waits(factor)
        try:
            yield
        finally:
            self._scale_waits(after)

    def _scale_waits(self, factor: float) -> None:
        answer = self.http.post(
            f"{self.cloud.endpoint_url}/_ministack/config",
            json={"stepfunctions._SFN_WAIT_SCALE": factor},
        )
        assert answer.json()["applied"], answer.text

    @cached_property
    def document(self) -> Json:
        """The OpenAPI document that the API serves."""
        url, key = f"{self.cloud.api_url}/openapi.json", self.cloud.api_key
        answer = self.http.get(url, headers={"x-api-key": key})
        found: Json = answer.raise_for_status().json()
        return found

    def _assert_documented(self, method: str, path: str, answer: Answer) -> None:
        paths = self.document["paths"]
        route = next(p for p in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", p), path))
        responses = paths[route][method.lower()]["responses"]
        assert str(answer.status_code) in responses, f"{answer.status_code} {answer.text}"
        documented = responses[str(answer.status_code)].get("content", {})
        if not documented:  # API Gateway's own
            return
        schema = documented[answer.headers["content-type"]]["schema"]
        if schema:
            where = f"{method} {route} {answer.status_code}"
            if where not in self.validators:
                whole = {**schema, "components": self.document["components"]}
                self.validators[where] = Draft202012Validator(whole)
            self.validators[where].validate(answer.json())


def workflow_id_of(answer: Answer) -> str:
    """The execution that an answer to a search tells of, whichever of the three it is."""
    said = answer.json()
    found: str = said.get("workflow_id") or said["workflow_result"]["workflow_id"]
    return found


@contextmanager
def deployed_in(cloud: RunningCloud) -> Iterator[Deployed]:
    """The stack of a cloud, whose state machines wait for nothing meanwhile."""
    with httpx.Client(timeout=CALL_SECONDS, trust_env=False) as http:
        deployed = Deployed(cloud, Upstreams(cloud.upstreams_url, http), http)
        with deployed.waits_scaled(0):
            yield deployed
