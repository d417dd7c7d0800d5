"""A workflow of the template, installed in this process: its machine, handlers and records."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import patch

import boto3

from marquee import aws
from marquee.gateway.calls import http_client
from marquee.gateway.quota import APP, Policies, Quota
from marquee.gateway.retries import Fault, Retries
from marquee.gateway.rows import DynamoRows
from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecord, WorkflowRecords
from tests.support.definitions import substitute
from tests.support.installation import data_installed
from tests.support.outbox import Outbox
from tests.support.state_machines import (
    REGION,
    Execution,
    Handler,
    Json,
    LambdaContext,
    PassingTime,
    run,
)
from tests.support.templates import ROOT, Template


@dataclass(frozen=True)
class InstalledWorkflow:
    """The machine `machine` with the functions it calls, and those `beside` it, by their stems."""

    machine: ClassVar[str]
    beside: ClassVar[tuple[str, ...]]

    template: Template
    settings: Settings
    handlers: Mapping[str, Handler] = field(repr=False)
    clock: PassingTime = field(default_factory=PassingTime, repr=False, kw_only=True)

    @classmethod
    def functions(cls, template: Template) -> list[str]:
        """The logical ids of the functions that the machine calls."""
        given = template.machines[cls.machine].substitutions
        return [name.removesuffix("Arn") for name in given if name.endswith("FunctionArn")]

    def definition(self) -> dict[str, Any]:
        """The definition as it is deployed."""
        lies_there = (ROOT / self.template.machines[self.machine].definition).read_text()
        return substitute(json.loads(lies_there), self.template.substitutions(self.machine))

    def arn(self, stem: str) -> str:
        """The ARN of the function of a stem (`FindMovie`)."""
        return self.template.functions[f"{stem}Function"].arn

    def handler(self, stem: str) -> Handler:
        return self.handlers[self.arn(stem)]

    def invoke(self, stem: str, event: Json) -> Json:
        """Call one function outside a run, at the time that the runs have made."""
        with self.at_its_time():
            return self.handler(stem)(event, LambdaContext(self.arn(stem)))

    @contextmanager
    def at_its_time(self) -> Iterator[None]:
        """Handlers and tables live at the time that the runs have made."""
        with (
            patch("marquee.clock.datetime", self.clock.datetime),
            patch("moto.core.responses.utcnow", self.clock.utcnow),
        ):
            yield

    def use_up(self, provider: str, endpoint: str, credential: str = APP) -> None:
        """Let somebody else make all the calls that a quota leaves now."""
        policy = Policies(self.settings.quota_policies).of(provider, endpoint, credential)
        quota = Quota(DynamoRows(aws.table(self.settings.gateway_table)))
        with self.at_its_time():
            while quota.begin(policy, "somebody", now=self.clock.now(), within=timedelta(0)).begun:
                pass

    def teach(self, provider: str, kind: str, *, over_by: float, outlasted: float = 0.0) -> None:
        """Let such faults have lasted so long of late, often enough to be believed."""
        with self.at_its_time():
            retries, now = Retries.connect(self.settings), self.clock.now()
            fault = Fault(provider=provider, kind=kind, since=now, outlasted=outlasted)
            for _ in range(20):
                retries.learn(fault, over_by, now=now)

    def run(
        self,
        request: Json,
        *,
        name: str = "run",
        definition: Mapping[str, Any] | None = None,
        broken: Mapping[str, Handler] | None = None,
    ) -> Execution:
        """One execution, named `name`, to its end; `broken` handlers replace those of the stems."""
        replaced = {self.arn(stem): handler for stem, handler in (broken or {}).items()}
        return run(
            definition or self.definition(),
            {**self.handlers, **replaced},
            request,
            name=name,
            clock=self.clock,
        )

    def record(self, name: str = "run") -> WorkflowRecord:
        record = WorkflowRecords.connect(self.settings).get(name)
        assert record is not None
        return record

    def end_of(self, done: Execution, **detail: Any) -> dict[str, Any]:
        """The event by which EventBridge tells of the end of an execution."""
        return {
            "id": "1",
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": {
                "executionArn": done.arn,
                "stateMachineArn": self.template.machines[self.machine].arn,
                "name": done.name,
                "status": done.status,
                "input": "{}",
                "output": None,
                "error": done.error,
                "cause": done.cause,
                **detail,
            },
        }

    def listen(self) -> "Listener":
        """A queue that gets every event of ours that follows from what changes from now on."""
        sqs, events = boto3.client("sqs"), boto3.client("events")
        url = sqs.create_queue(QueueName="listener")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        bus = self.template.name_of("EventBus")
        pattern = json.dumps({"source": ["marquee"]})
        events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
        target = {"Id": "listener", "Arn": arn["Attributes"]["QueueArn"]}
        events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
        return Listener(sqs, url, Outbox(self.template))


@dataclass(frozen=True)
class Listener:
    """What follows from the changes of tables, and what was put on the bus of it."""

    _sqs: Any
    _url: str
    outbox: Outbox

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """The detail types and details of the events since the last time, table by table."""
        self.outbox.deliver()
        events = []
        asked = {"QueueUrl": self._url, "MaxNumberOfMessages": 10}
        while messages := self._sqs.receive_message(**asked).get("Messages"):
            events += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [(event["detail-type"], event["detail"]) for event in events]


@contextmanager
def workflow_installed[Workflow: InstalledWorkflow](
    kind: type[Workflow], template: Template, secrets: Mapping[str, str], **fields: Any
) -> Iterator[Workflow]:
    """The workflow with the data of the template and these secrets, by their names."""
    called = kind.functions(template)
    names = [*called, *(f"{stem}Function" for stem in kind.beside)]
    functions = [template.functions[name] for name in names]
    # Other domains keep their secrets elsewhere: one environment cannot be both.
    domain = template.functions[called[0]].app.parts[1]
    own = [each.logical_id for each in functions if each.app.parts[1] == domain]
    with data_installed(template, *own) as settings:
        ssm = boto3.client("ssm", region_name=REGION)
        for name, value in secrets.items():
            ssm.put_parameter(
                Name=f"{settings.parameter_prefix}/{name}", Value=value, Type="SecureString"
            )
        _make_clients()
        handlers = {function.arn: function.handler() for function in functions}
        yield kind(template, settings, handlers, **fields)


def _make_clients() -> None:
    """Make what Lambda's one thread makes on first use: the branches of a Map are threads here."""
    aws.dynamodb()
    for service in ("events", "sqs", "ssm", "stepfunctions"):
        aws.client(service)
    http_client()
