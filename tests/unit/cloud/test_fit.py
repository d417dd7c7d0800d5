"""The laptop fit: each adaptation does what it says, and nothing else differs."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.fit import (
    ADAPTATIONS,
    ANY_METHODS,
    Build,
    Put,
    Remove,
    adapted,
    changes_for,
    fit,
    forget_other_layers,
)

DEFINITION = """{
  "QueryLanguage": "JSONata",
  "TimeoutSeconds": 900,
  "States": {
    "FindMovie": { "TimeoutSeconds": "{% ${StepTimeoutSeconds} %}", "End": true },
    "Wait": { "TimeoutSeconds":"{%${WaitTimeout}%}", "Comment": "{% ${Other} %}" }
  }
}
"""


def a_function(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def an_api_event(method: str, path: str = "/{proxy+}", **more: Any) -> dict[str, Any]:
    api = {"RestApiId": {"Ref": "RestApi"}, "Path": path, "Method": method}
    return {"Type": "Api", "Properties": {**api, **more}}


def a_template(**resources: Any) -> dict[str, Any]:
    layer = "AWS::Serverless::LayerVersion"
    return {
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": {
            "Function": {
                "Runtime": "python3.13",
                "Handler": "app.handler",
                "Timeout": 45,
                "Layers": [{"Ref": "DependenciesLayer"}, {"Ref": "SharedLayer"}],
            }
        },
        "Resources": {
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "t"}},
            "Bus": {"Type": "AWS::Events::EventBus"},
            "Archive": {"Type": "AWS::Events::Archive", "Properties": {"RetentionDays": 28}},
            "DependenciesLayer": {"Type": layer, "Properties": {"ContentUri": "DependenciesLayer"}},
            "SharedLayer": {"Type": layer, "Properties": {"ContentUri": "SharedLayer"}},
            "MovieSearch": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {
                    "DefinitionUri": "../../statemachine/movie_search.asl.json",
                    "DefinitionSubstitutions": {"StepTimeoutSeconds": {"Ref": "StepTimeout"}},
                },
            },
            "FindMovieFunction": a_function(
                CodeUri="FindMovieFunction", Policies=[{"DynamoDBReadPolicy": {"TableName": "t"}}]
            ),
            "ApiFunction": a_function(
                CodeUri="ApiFunction",
                Timeout=29,
                Policies=[
                    {"DynamoDBReadPolicy": {"TableName": "t"}},
                    {
                        "Statement": [
                            {"Effect": "Allow", "Action": "states:StopExecution", "Resource": "a"},
                            {
                                "Effect": "Allow",
                                "Action": "states:SendTaskSuccess",
                                "Resource": "a",
                            },
                        ]
                    },
                ],
                Events={
                    "Everything": an_api_event("ANY"),
                    "Health": an_api_event("GET", "/health", Auth={"ApiKeyRequired": False}),
                    "Preflight": an_api_event("options", Auth={"ApiKeyRequired": False}),
                    "Parked": {"Type": "SQS", "Properties": {"Queue": "q"}},
                },
            ),
            **resources,
        },
    }


class Laptop:
    """A build folder as sam leaves it, and where the fit puts what it makes of it."""

    def __init__(self, folder: Path, template: Mapping[str, Any]) -> None:
        self.build = folder / "sam" / "build"
        self.fitted = folder / "fitted"
        self.layers = folder / "layers"
        self.python = folder / "runtime" / "python"
        self.template = template
        self.write("../../statemachine/movie_search.asl.json", DEFINITION)
        self.write("template.yaml", yaml.safe_dump(template, sort_keys=False))
        for layer in ("DependenciesLayer", "SharedLayer"):
            self.write(f"{layer}/python/{layer.lower()}/__init__.py", '"""A layer."""\n')
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function":
                self.write(f"{name}/app.py", '"""A handler."""\n')

    def write(self, path: str, text: str) -> None:
        target = self.build / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def fit(self) -> dict[str, Any]:
        path = fit(self.build, self.fitted, self.layers, self.python)
        template: dict[str, Any] = json.loads(path.read_text())
        return template

    def changes(self) -> list[Any]:
        return changes_for(
            Build(
                folder=self.build,
                template=self.template,
                runtime_python=self.python,
                layers={
                    "DependenciesLayer": Path("/layers/d/python"),
                    "SharedLayer": Path("/layers/s/python"),
                },
            )
        )


def differences(
    before: Any, after: Any, path: tuple[str | int, ...] = ()
) -> Iterator[Put | Remove]:
    """What to put and remove to get from one template to the other, as deep as it goes."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield Put(path, after)
        return
    for key in before.keys() | after.keys():
        here = (*path, key)
        if key not in after:
            yield Remove(here)
        elif key not in before:
            yield Put(here, after[key])
        else:
            yield from differences(before[key], after[key], here)


def in_order(changes: list[Any]) -> list[str]:
    return sorted(repr(change) for change in changes)


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path, a_template())


def test_the_adaptations_are_these_and_no_others() -> None:
    assert [adaptation.__name__ for adaptation in ADAPTATIONS] == [
        "run_python_under_awslambdaric",
        "spell_out_any_method",
        "write_timeouts_as_numbers",
        "allow_task_answers_everywhere",
        "leave_out_archives",
    ]
    assert all(adaptation.__doc__ for adaptation in ADAPTATIONS)


def test_the_fitted_template_differs_by_the_changes_that_the_adaptations_say(
    laptop: Laptop,
) -> None:
    said = [change for change in laptop.changes() if isinstance(change, Put | Remove)]
    assert in_order(list(differences(laptop.template, laptop.fit()))) == in_order(said)


def test_these_are_the_changes_to_a_representative_template(laptop: Laptop) -> None:
    events = ("Resources", "ApiFunction", "Properties", "Events")
    assert in_order(list(differences(laptop.template, laptop.fit()))) == in_order(
        [
            Put(("Globals", "Function", "Runtime"), "provided.al2023"),
            Put(
                ("Resources", "MovieSearch", "Properties", "DefinitionUri"),
                "statemachine/movie_search.asl.json",
            ),
            Remove(("Resources", "Archive")),
            Remove((*events, "Everything")),
            *(
                Put((*events, f"Everything{method.title()}"), an_api_event(method))
                for method in ANY_METHODS
                if method != "OPTIONS"
            ),
            Put(
                (
                    "Resources",
                    "ApiFunction",
                    "Properties",
                    "Policies",
                    1,
                    "Statement",
                    1,
                    "Resource",
                ),
                "*",
            ),
        ]
    )


def test_the_build_is_left_as_sam_made_it(laptop: Laptop) -> None:
    def content() -> dict[Path, bytes]:
        files = [*laptop.build.rglob("*"), *(laptop.build / "../../statemachine").glob("*")]
        return {path: path.read_bytes() for path in files if path.is_file()}

    before = content()
    laptop.fit()
    assert content() == before


def test_fitting_twice_gives_the_same(laptop: Laptop) -> None:
    assert laptop.fit() == laptop.fit()


def test_only_the_timeouts_of_a_definition_become_numbers(laptop: Laptop) -> None:
    laptop.fit()
    fitted = (laptop.fitted / "statemachine" / "movie_search.asl.json").read_text()
    assert fitted == DEFINITION.replace(
        '"{% ${StepTimeoutSeconds} %}"', "${StepTimeoutSeconds}"
    ).replace('"{%${WaitTimeout}%}"', "${WaitTimeout}")


def test_a_bootstrap_runs_the_handler_with_the_function_and_its_layers_only(
    tmp_path: Path,
) -> None:
    laptop = Laptop(tmp_path / "it's a home", a_template())
    laptop.python.parent.mkdir(parents=True)
    laptop.python.write_text('#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH" "$@"\n')
    laptop.python.chmod(0o755)
    laptop.fit()

    ran = subprocess.run(  # noqa: S603 - the bootstrap that the test just wrote
        [laptop.fitted / "FindMovieFunction" / "bootstrap"],
        env={"LAMBDA_TASK_ROOT": "/var/task", "_HANDLER": "app.handler", "PYTHONPATH": "/laptop"},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    path, *arguments = ran.stdout.splitlines()
    task, *layers = path.split(":")
    assert task == "/var/task"
    # The last layer wins, as when Lambda unpacks one over the other.
    assert [next(Path(layer).iterdir()).name for layer in layers] == [
        "sharedlayer",
        "dependencieslayer",
    ]
    assert arguments == ["-m", "awslambdaric", "app.handler"]


def test_a_function_may_name_its_runtime_and_layers_itself(tmp_path: Path) -> None:
    template = a_template(OwnFunction=a_function(CodeUri="OwnFunction", Runtime="python3.13"))
    del template["Globals"]["Function"]
    for name in ("FindMovieFunction", "ApiFunction"):
        template["Resources"][name]["Properties"]["Runtime"] = "nodejs22.x"
    template["Resources"]["OwnFunction"]["Properties"]["Layers"] = [{"Ref": "SharedLayer"}]
    laptop = Laptop(tmp_path, template)

    resources = laptop.fit()["Resources"]
    assert resources["OwnFunction"]["Properties"]["Runtime"] == "provided.al2023"
    assert resources["FindMovieFunction"]["Properties"]["Runtime"] == "nodejs22.x"
    assert "SharedLayer-" in (laptop.fitted / "OwnFunction" / "bootstrap").read_text()
    assert not (laptop.fitted / "FindMovieFunction" / "bootstrap").exists()


def test_any_leaves_a_method_that_another_event_of_the_path_names_to_that_event(
    laptop: Laptop,
) -> None:
    events = laptop.fit()["Resources"]["ApiFunction"]["Properties"]["Events"]
    methods = [
        event["Properties"]["Method"].upper()
        for event in events.values()
        if event["Properties"].get("Path") == "/{proxy+}"
    ]
    assert sorted(methods) == sorted(ANY_METHODS)
    assert events["Preflight"]["Properties"]["Auth"] == {"ApiKeyRequired": False}
    assert events["EverythingGet"]["Properties"]["Path"] == "/{proxy+}"


def test_a_layer_that_the_template_does_not_build_is_an_error(tmp_path: Path) -> None:
    layers = ["arn:aws:lambda:us-east-1:017000801446:layer:AWSLambdaPowertools:1"]
    template = a_template(OwnFunction=a_function(CodeUri="OwnFunction", Layers=layers))
    with pytest.raises(CloudError, match=r"OwnFunction uses a layer .*AWSLambdaPowertools"):
        Laptop(tmp_path, template).fit()


def test_a_changed_layer_gets_another_folder_and_changes_the_bootstraps(laptop: Laptop) -> None:
    laptop.fit()
    before = {folder.name for folder in laptop.layers.iterdir()}
    bootstrap = (laptop.fitted / "FindMovieFunction" / "bootstrap").read_text()

    laptop.write("SharedLayer/python/sharedlayer/__init__.py", '"""Another."""\n')
    laptop.fit()
    after = {folder.name for folder in laptop.layers.iterdir()}
    assert len(after - before) == 1
    assert before < after, "functions that still run import from the earlier folder"
    assert (laptop.fitted / "FindMovieFunction" / "bootstrap").read_text() != bootstrap
    assert (laptop.fitted / "SharedLayer" / "python" / "sharedlayer").is_dir()

    forget_other_layers(laptop.layers, laptop.fitted)
    assert len(list(laptop.layers.iterdir())) == 2
    assert (laptop.fitted / "SharedLayer" / "python" / "sharedlayer").is_dir()


def test_a_layer_that_was_copied_by_half_is_copied_again(laptop: Laptop) -> None:
    half = laptop.layers / "SharedLayer.part" / "python" / "rubbish"
    half.mkdir(parents=True)
    laptop.fit()
    placed = [path.name for path in (laptop.fitted / "SharedLayer" / "python").iterdir()]
    assert placed == ["sharedlayer"]


def test_changes_are_made_to_a_copy() -> None:
    template = {"a": {"b": 1, "c": 2}}
    assert adapted(template, [Put(("a", "b"), 3), Remove(("a", "c"))]) == {"a": {"b": 3}}
    assert template == {"a": {"b": 1, "c": 2}}
