"""The laptop fit: adapts what `sam build` built to the emulator, and nothing but what it must.

Sources are never touched. Each adaptation says what it changes and why; `ADAPTATIONS` lists them
all, and a test holds that the fitted template differs from the built one by these changes only.
"""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from marquee_cli.cloud.errors import CloudError

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
STATE_MACHINE = "AWS::Serverless::StateMachine"
ARCHIVE = "AWS::Events::Archive"

ANY_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""The methods that a REST API's ANY stands for."""

TASK_ANSWER = "states:SendTaskSuccess"

TEMPLATE_NAME = "template.json"
DIGEST_LENGTH = 16
"""Hexadecimal digits of a layer's SHA-256 in its folder's name: enough to tell builds apart."""

_QUOTED_TIMEOUT = re.compile(r'("TimeoutSeconds"\s*:\s*)"\{%\s*(\$\{\w+\})\s*%\}"')

type Template = Mapping[str, Any]


@dataclass(frozen=True)
class Put:
    """Sets the value at a path of the template."""

    path: tuple[str | int, ...]
    value: Any


@dataclass(frozen=True)
class Remove:
    """Takes the value at a path out of the template."""

    path: tuple[str | int, ...]


@dataclass(frozen=True)
class Write:
    """Writes a file beside the fitted template."""

    path: Path
    text: str
    executable: bool = False


type Change = Put | Remove | Write


@dataclass(frozen=True)
class Build:
    """What the adaptations look at: the build's folder and template, and the laptop's paths."""

    folder: Path
    template: Template
    runtime_python: Path
    layers: Mapping[str, Path]
    """The `python` folder of each built layer, by its name in the template."""

    def resources(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The name and the properties of every resource of a type."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] == kind:
                yield name, resource.get("Properties", {})

    @property
    def function_defaults(self) -> Mapping[str, Any]:
        """The properties that the template's Globals give every function."""
        defaults: Mapping[str, Any] = self.template.get("Globals", {}).get("Function", {})
        return defaults


def run_python_under_awslambdaric(build: Build) -> Iterator[Change]:
    """Python functions become `provided.al2023` with a bootstrap that runs AWS's runtime client.

    The emulator's own Python worker answers every exception as `Runtime.HandlerError`, so `Retry`
    and `Catch` by name would not match. It does not unpack layers for `provided` either: the
    bootstrap puts the built layers on PYTHONPATH, in the order in which Lambda unpacks them, the
    last one winning.
    """
    if str(build.function_defaults.get("Runtime")).startswith("python"):
        yield Put(("Globals", "Function", "Runtime"), "provided.al2023")
    for name, properties in build.resources(FUNCTION):
        runtime = properties.get("Runtime", build.function_defaults.get("Runtime"))
        if not str(runtime).startswith("python"):
            continue
        if "Runtime" in properties:
            yield Put(("Resources", name, "Properties", "Runtime"), "provided.al2023")
        layers = [*build.function_defaults.get("Layers", []), *properties.get("Layers", [])]
        folders = [str(_layer_folder(build, name, layer)) for layer in reversed(layers)]
        yield Write(
            Path(properties["CodeUri"]) / "bootstrap",
            "#!/bin/sh\n"
            f'export PYTHONPATH="$LAMBDA_TASK_ROOT":{shlex.quote(":".join(folders))}\n'
            f'exec {shlex.quote(str(build.runtime_python))} -m awslambdaric "$_HANDLER"\n',
            executable=True,
        )


def spell_out_any_method(build: Build) -> Iterator[Change]:
    """An API event with the method ANY becomes one event per method.

    The emulator's OpenAPI import passes over `x-amazon-apigateway-any-method`, so the route would
    not exist. A method that another event of the same path names is left to that event.
    """
    events = [
        ((name, event_name), event)
        for name, properties in build.resources(FUNCTION)
        for event_name, event in properties.get("Events", {}).items()
        if event["Type"] == "Api"
    ]
    taken = {(_route(event), event["Properties"]["Method"].upper()) for _, event in events}
    for (name, event_name), event in events:
        if event["Properties"]["Method"].upper() == "ANY":
            path = ("Resources", name, "Properties", "Events")
            yield Remove((*path, event_name))
            for method in ANY_METHODS:
                if (_route(event), method) not in taken:
                    yield Put(
                        (*path, f"{event_name}{method.title()}"),
                        {**event, "Properties": {**event["Properties"], "Method": method}},
                    )


def write_timeouts_as_numbers(build: Build) -> Iterator[Change]:
    """`"TimeoutSeconds": "{% ${Parameter} %}"` becomes `"TimeoutSeconds": ${Parameter}`.

    AWS evaluates the JSONata string, the emulator takes a number only. The parameter's value is
    put in by CloudFormation, so the file is valid JSON from then on.
    """
    for name, properties in build.resources(STATE_MACHINE):
        source = build.folder / properties["DefinitionUri"]
        target = Path("statemachine") / source.name
        yield Put(("Resources", name, "Properties", "DefinitionUri"), str(target))
        yield Write(target, _QUOTED_TIMEOUT.sub(r"\1\2", source.read_text()))


def allow_task_answers_everywhere(build: Build) -> Iterator[Change]:
    """Whoever may answer the waiting tasks of one state machine may answer those of all.

    AWS holds `states:SendTaskSuccess` against the ARN of the state machine whose task waits. The
    emulator does not look up whose token it is given, and asks for the permission on `*`.
    """
    for name, properties in build.resources(FUNCTION):
        for number, policy in enumerate(properties.get("Policies", [])):
            for index, statement in enumerate(policy.get("Statement", [])):
                if statement["Action"] == TASK_ANSWER:
                    policies = ("Resources", name, "Properties", "Policies")
                    yield Put((*policies, number, "Statement", index, "Resource"), "*")


def leave_out_archives(build: Build) -> Iterator[Change]:
    """Archives of events are left out, and with them replays.

    CloudFormation in the emulator knows no `AWS::Events::Archive`. Nothing else refers to one.
    """
    for name, _ in build.resources(ARCHIVE):
        yield Remove(("Resources", name))


ADAPTATIONS: tuple[Callable[[Build], Iterable[Change]], ...] = (
    run_python_under_awslambdaric,
    spell_out_any_method,
    write_timeouts_as_numbers,
    allow_task_answers_everywhere,
    leave_out_archives,
)


def fit(build_folder: Path, fitted: Path, layers: Path, runtime_python: Path) -> Path:
    """Adapt the build in `build_folder` into `fitted`; answers the fitted template's path.

    Layers are kept in `layers`, in folders named by content: running functions import from there,
    so a folder never changes, and a function is deployed anew when one of its layers is.
    Raises CloudError where the template holds something that the fit knows no way for.
    """
    template = yaml.safe_load((build_folder / "template.yaml").read_text())
    placed = {
        name: _place_layer(build_folder / resource["Properties"]["ContentUri"], name, layers)
        for name, resource in template["Resources"].items()
        if resource["Type"] == LAYER
    }
    build = Build(
        folder=build_folder,
        template=template,
        runtime_python=runtime_python,
        layers={name: folder / "python" for name, folder in placed.items()},
    )
    changes = changes_for(build)

    shutil.rmtree(fitted, ignore_errors=True)
    fitted.mkdir(parents=True)
    for name, folder in placed.items():
        (fitted / template["Resources"][name]["Properties"]["ContentUri"]).symlink_to(folder)
    for _, properties in build.resources(FUNCTION):
        shutil.copytree(build_folder / properties["CodeUri"], fitted / properties["CodeUri"])
    for change in changes:
        if isinstance(change, Write):
            (fitted / change.path).parent.mkdir(parents=True, exist_ok=True)
            (fitted / change.path).write_text(change.text)
            if change.executable:
                (fitted / change.path).chmod(0o755)
    path = fitted / TEMPLATE_NAME
    path.write_text(json.dumps(adapted(template, changes), indent=2))
    return path


def changes_for(build: Build) -> list[Change]:
    """Every change that the adaptations make to a build, in their order."""
    return [change for adaptation in ADAPTATIONS for change in adaptation(build)]


def adapted(template: Template, changes: Iterable[Change]) -> dict[str, Any]:
    """A copy of the template with the changes made."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for change in changes:
        if isinstance(change, Write):
            continue
        *parents, last = change.path
        node: Any = copy
        for key in parents:
            node = node[key]
        if isinstance(change, Put):
            node[last] = change.value
        else:
            del node[last]
    return copy


def forget_other_layers(layers: Path, fitted: Path) -> None:
    """Remove the layers of earlier builds, once no function is deployed with them."""
    used = {link.resolve().name for link in fitted.iterdir() if link.is_symlink()}
    for folder in layers.iterdir():
        if folder.name not in used:
            shutil.rmtree(folder)


def _route(event: Mapping[str, Any]) -> str:
    """The API and the path of an event, as something that can be compared."""
    properties = event["Properties"]
    return json.dumps([properties.get("RestApiId"), properties["Path"]])


def _layer_folder(build: Build, function: str, layer: Any) -> Path:
    match layer:
        case {"Ref": str(name)} if name in build.layers:
            return build.layers[name]
    raise CloudError(f"{function} uses a layer that this template does not build: {layer!r}.")


def _place_layer(content: Path, name: str, layers: Path) -> Path:
    digest = hashlib.sha256()
    for path in sorted(content.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(content)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    folder = layers / f"{name}-{digest.hexdigest()[:DIGEST_LENGTH]}"
    if not folder.exists():
        # By a rename: an `up` that was killed leaves no half of a layer behind this name.
        unfinished = layers / f"{name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(content, unfinished)
        unfinished.rename(folder)
    return folder
