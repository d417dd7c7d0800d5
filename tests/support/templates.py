"""Reads template.yaml as tests need it: resolved values, handlers, and its data in moto."""

import importlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import patch

import boto3
import yaml
from samtranslator.internal.managed_policies import (  # type: ignore[import-untyped] # no types
    get_bundled_managed_policy_map,
)
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped] # no types
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped] # no types

from tests.support.state_machines import ACCOUNT, REGION, Handler

ROOT = Path(__file__).resolve().parents[2]

PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/marquee/0",
    "AWS::StackName": "marquee",
    "AWS::URLSuffix": "amazonaws.com",
}

# How the ARN of a resource ends, by type; its name stands in for {}.
_ARNS = {
    "AWS::DynamoDB::Table": "dynamodb:{scope}:table/{name}",
    "AWS::Events::EventBus": "events:{scope}:event-bus/{name}",
    "AWS::IAM::Role": f"iam::{ACCOUNT}:role/{{name}}",
    "AWS::Lambda::Function": "lambda:{scope}:function:{name}",
    "AWS::Serverless::Function": "lambda:{scope}:function:{name}",
    "AWS::SNS::Topic": "sns:{scope}:{name}",
    "AWS::SQS::Queue": "sqs:{scope}:{name}",
    "AWS::Serverless::StateMachine": "states:{scope}:stateMachine:{name}",
    "AWS::StepFunctions::StateMachine": "states:{scope}:stateMachine:{name}",
}
_REF_IS_ARN = frozenset(
    {"AWS::SNS::Topic", "AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine"}
)
_NAME_PROPERTIES = ("FunctionName", "TableName", "QueueName", "TopicName", "Name")

_LOCAL_SOURCES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags."""


def _short_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


@dataclass(frozen=True)
class Function:
    """A function of the template and where its code lies."""

    logical_id: str
    name: str
    arn: str
    app: PurePosixPath
    """The handler's file, relative to the project root."""
    attribute: str
    """The handler's name in that file."""

    def handler(self) -> Handler:
        module = importlib.import_module(".".join(self.app.with_suffix("").parts))
        handler: Callable[[Any, Any], Any] = getattr(module, self.attribute)
        return handler


@dataclass(frozen=True)
class Machine:
    """A state machine of the template."""

    logical_id: str
    name: str
    arn: str
    definition: PurePosixPath
    """Its file, relative to the project root."""
    substitutions: Mapping[str, Any]
    """As written, intrinsic functions unresolved."""


class Template:
    """A SAM template whose parameters have their defaults or the values given."""

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
    ) -> None:
        self.document = document
        self.parameters = {
            name: declared.get("Default", "")
            for name, declared in document.get("Parameters", {}).items()
        } | dict(parameters or {})

    @classmethod
    def load(
        cls, path: Path = ROOT / "template.yaml", parameters: Mapping[str, Any] | None = None
    ) -> "Template":
        return cls.parse(path.read_text(), parameters)

    @classmethod
    def parse(cls, text: str, parameters: Mapping[str, Any] | None = None) -> "Template":
        return cls(yaml.load(text, _Loader), parameters)  # noqa: S506 - derives from SafeLoader

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of a type whose condition holds, by logical id."""
        return {
            logical_id: resource
            for logical_id, resource in self.document.get("Resources", {}).items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Every function, by logical id."""
        defaults = self.document.get("Globals", {}).get("Function", {})
        functions = {}
        for logical_id, resource in self.resources("AWS::Serverless::Function").items():
            properties = defaults | resource.get("Properties", {})
            module, _, attribute = str(properties["Handler"]).rpartition(".")
            app = PurePosixPath(properties["CodeUri"], *module.split("."))
            functions[logical_id] = Function(
                logical_id=logical_id,
                name=self.name_of(logical_id),
                arn=self.arn_of(logical_id),
                app=app.with_suffix(".py"),
                attribute=attribute,
            )
        return functions

    @cached_property
    def machines(self) -> dict[str, Machine]:
        """Every state machine, by the stem of its file (`movie_search`)."""
        machines = {}
        for logical_id, resource in self.resources("AWS::Serverless::StateMachine").items():
            properties = resource["Properties"]
            definition = PurePosixPath(properties["DefinitionUri"])
            machines[definition.name.partition(".")[0]] = Machine(
                logical_id=logical_id,
                name=self.name_of(logical_id),
                arn=self.arn_of(logical_id),
                definition=definition,
                substitutions=properties.get("DefinitionSubstitutions", {}),
            )
        return machines

    def handlers(self) -> dict[str, Handler]:
        """The real handler of every function, imported, by function ARN."""
        return {function.arn: function.handler() for function in self.functions.values()}

    def substitutions(self, machine: str) -> dict[str, Any]:
        """The resolved definition substitutions of a machine (`movie_search`)."""
        return {
            name: self.resolve(value)
            for name, value in self.machines[machine].substitutions.items()
        }

    def environment(self, *logical_ids: str) -> dict[str, str]:
        """The environment of those functions (all, if none is named) as one.

        A variable of Globals has its value there, unless functions are named. Raises `ValueError`
        where two functions want different values of any other.
        """
        shared = (
            self.document.get("Globals", {})
            .get("Function", {})
            .get("Environment", {})
            .get("Variables", {})
        )
        together = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        settled = set() if logical_ids else set(shared)
        together |= {name: _as_text(self.resolve(shared[name])) for name in settled}
        for logical_id in logical_ids or self.functions:
            resource = self.document["Resources"][logical_id]
            own = resource["Properties"].get("Environment", {}).get("Variables", {})
            for name, value in self.resolve(shared | own).items():
                if name in settled:
                    continue
                resolved = _as_text(value)
                if together.setdefault(name, resolved) != resolved:
                    raise ValueError(f"{logical_id} wants another {name} than the others")
        return together

    def name_of(self, logical_id: str) -> str:
        """The physical name: the one the template gives, else the logical id."""
        properties = self.document["Resources"][logical_id].get("Properties", {})
        given = next((properties[key] for key in _NAME_PROPERTIES if key in properties), None)
        return str(self.resolve(given)) if given else logical_id

    def arn_of(self, logical_id: str) -> str:
        """Raises `LookupError` for a type whose ARN is not known here."""
        kind = self.document["Resources"][logical_id]["Type"]
        if kind not in _ARNS:
            raise LookupError(f"how does the ARN of {logical_id}, an {kind}, read?")
        scope = f"{REGION}:{ACCOUNT}"
        return "arn:aws:" + _ARNS[kind].format(scope=scope, name=self.name_of(logical_id))

    def resolve(self, value: Any) -> Any:
        """The value with its intrinsic functions worked out.

        Raises `LookupError` for what a template alone cannot tell.
        """
        if isinstance(value, list):
            resolved = [self.resolve(item) for item in value]
            return [item for item in resolved if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function in {"Ref", "Condition"} or function.startswith("Fn::"):
                return self._work_out(function, argument)
        pairs = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in pairs.items() if item is not _NO_VALUE}

    def _work_out(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                return self._attribute(*argument)
            case "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^}]+)\}", lambda match: self._sub(match[1], own), text)
            case "Fn::Join":
                return str(argument[0]).join(_as_text(item) for item in self.resolve(argument[1]))
            case "Fn::Split":
                return str(self.resolve(argument[1])).split(argument[0])
            case "Fn::Select":
                return self.resolve(argument[1])[int(self.resolve(argument[0]))]
            case "Fn::FindInMap":
                found = self.document["Mappings"]
                for key in argument:
                    found = found[self.resolve(key)]
                return found
            case "Fn::If":
                condition, then, otherwise = argument
                return self.resolve(then if self._holds(condition) else otherwise)
            case "Fn::Equals":
                first, second = map(self.resolve, argument)
                return _as_text(first) == _as_text(second)
            case "Fn::Not":
                return not self.resolve(argument[0])
            case "Fn::And":
                return all(map(self.resolve, argument))
            case "Fn::Or":
                return any(map(self.resolve, argument))
            case "Condition":
                return self._holds(argument)
        raise LookupError(f"{function} is not worked out here")

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolve(self.document["Conditions"][condition]))

    def _sub(self, name: str, own: Mapping[str, Any]) -> str:
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in own:
            return _as_text(self.resolve(own[name]))
        if "." in name:
            return _as_text(self._attribute(*name.split(".", 1)))
        return _as_text(self._ref(name))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in PSEUDO_PARAMETERS:
            return PSEUDO_PARAMETERS[name]
        if name in self.parameters:
            return self.parameters[name]
        kind = self.document["Resources"][name]["Type"]
        if kind in _REF_IS_ARN:
            return self.arn_of(name)
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self.name_of(name)}"
        return self.name_of(name)

    def _attribute(self, logical_id: str, attribute: str) -> str:
        if attribute in {"Arn", "TopicArn"}:
            return self.arn_of(logical_id)
        if attribute in {"Name", "QueueName"}:
            return self.name_of(logical_id)
        raise LookupError(f"{logical_id}.{attribute} is not known before a deployment")


class _NoValue:
    """`AWS::NoValue`: the property is left out."""


_NO_VALUE = _NoValue()


def create_tables(template: Template) -> None:
    """Create every table of the template in moto, with its keys, indexes and expiry.

    Without its stream: see `tests.support.outbox`.
    """
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    for logical_id, resource in template.resources("AWS::DynamoDB::Table").items():
        properties = template.resolve(resource["Properties"])
        name = template.name_of(logical_id)
        wanted: dict[str, Any] = {
            key: properties[key]
            for key in (
                "AttributeDefinitions",
                "KeySchema",
                "BillingMode",
                "GlobalSecondaryIndexes",
                "LocalSecondaryIndexes",
            )
            if key in properties
        }
        dynamodb.create_table(TableName=name, **wanted)
        if "TimeToLiveSpecification" in properties:
            dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
            )


def create_queues(template: Template) -> None:
    """Create every queue of the template in moto, dead-letter queues first."""
    sqs = boto3.client("sqs", region_name=REGION)
    queues = template.resources("AWS::SQS::Queue")
    for logical_id, resource in sorted(
        queues.items(), key=lambda pair: "RedrivePolicy" in pair[1].get("Properties", {})
    ):
        properties = template.resolve(resource.get("Properties", {}))
        attributes = {
            key: json.dumps(value) if isinstance(value, dict) else _as_text(value)
            for key, value in properties.items()
            if key not in {"QueueName", "Tags"}
        }
        sqs.create_queue(QueueName=template.name_of(logical_id), Attributes=attributes)


def create_buses(template: Template) -> None:
    """Create every event bus of the template in moto."""
    events = boto3.client("events", region_name=REGION)
    for logical_id in template.resources("AWS::Events::EventBus"):
        events.create_event_bus(Name=template.name_of(logical_id))


def create_resources(template: Template) -> None:
    """Create the tables, queues and buses of the template in moto; call inside `mock_aws()`."""
    create_tables(template)
    create_queues(template)
    create_buses(template)


def transformed(template: Template) -> dict[str, Any]:
    """The CloudFormation template that the SAM transform makes: policy templates expanded."""
    document = json.loads(json.dumps(template.document))
    for resource in document["Resources"].values():
        source = _LOCAL_SOURCES.get(resource["Type"])
        if source:
            # The transform takes uploaded sources only.
            resource["Properties"][source] = "s3://bucket/key"
    translator = Translator(get_bundled_managed_policy_map("aws"), Parser())
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        translated = translator.translate(document, template.parameters)
    return dict(json.loads(json.dumps(translated)))


def statements(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every IAM statement of a transformed template with the logical id of its owner.

    Trust policies are not among them: what they allow is bounded by the role they stand in.
    """
    for logical_id, resource in document["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for policy in documents:
            found = policy["Statement"]
            for statement in found if isinstance(found, list) else [found]:
                yield logical_id, statement


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
