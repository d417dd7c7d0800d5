"""The deployed movie search as its clients, its operator and its upstreams see it."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
import httpx
from jsonschema import Draft202012Validator

from tests.e2e.conftest import RunningCloud
from tests.support.upstreams import Upstreams

SEARCH = "/api/orchestrator/auto-search"
STACK = "marquee"

CALL_SECONDS = 40.0
"""Above the 29 s after which API Gateway gives up."""
WITHIN_SECONDS = 60.0
"""The first search starts every worker, which takes 25 s on a busy machine; the next ones 2 s."""
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
    """A movie search that runs; every answer of its API is held against its own document."""

    cloud: RunningCloud
    upstreams: Upstreams
    http: httpx.Client = field(repr=False)
    said: list[str] = field(default_factory=list, repr=False)
    """All that clients were answered."""

    def ask(self, method: str, path: str, *, key: str | None = None, **query: Any) -> Answer:
        """One request with the API's key, or with another one; an empty one sends none."""
        key = self.cloud.api_key if key is None else key
        headers = {"x-api-key": key} if key else {}
        answer = self.http.request(method, self.cloud.api_url + path, params=query, headers=headers)
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

        def look() -> Json | None:
            answer = self.ask("GET", f"/workflow/status/{workflow_id}")
            status: Json = answer.json()
            is_there = answer.status_code == 200 and status["status"] != "RUNNING"
            return status if is_there else None

        return eventually(look)

    def executions(self) -> set[str]:
        """The names of all executions that Step Functions knows."""
        pages = self.aws("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.cloud.outputs["MovieSearchArn"])
        return {execution["name"] for page in found for execution in page["executions"]}

    def arn_of(self, workflow_id: str) -> str:
        """The ARN of an execution."""
        machine = self.cloud.outputs["MovieSearchArn"]
        return f"{machine.replace(':stateMachine:', ':execution:')}:{workflow_id}"

    def history(self, workflow_id: str) -> list[Json]:
        """The events of an execution, as the console shows them."""
        pages = self.aws("stepfunctions").get_paginator("get_execution_history")
        found = pages.paginate(executionArn=self.arn_of(workflow_id))
        return [event for page in found for event in page["events"]]

    def items(self, table: str) -> list[Json]:
        """All that a table (`Movies`, `Reviews`, `Workflows`) holds."""
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

    @contextmanager
    def without_waits(self) -> Iterator[None]:
        """Retries of the state machine come at once; how long they wait the definition says."""
        self._scale_waits(0)
        try:
            yield
        finally:
            self._scale_waits(1)

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
            whole = {**schema, "components": self.document["components"]}
            Draft202012Validator(whole).validate(answer.json())


def workflow_id_of(answer: Answer) -> str:
    """The execution that an answer to a search tells of, whichever of the three it is."""
    said = answer.json()
    found: str = said.get("workflow_id") or said["workflow_result"]["workflow_id"]
    return found


@contextmanager
def deployed_in(cloud: RunningCloud) -> Iterator[Deployed]:
    """The movie search of a cloud, whose state machine waits for nothing meanwhile."""
    with httpx.Client(timeout=CALL_SECONDS, trust_env=False) as http:
        deployed = Deployed(cloud, Upstreams(cloud.upstreams_url, http), http)
        with deployed.without_waits():
            yield deployed
