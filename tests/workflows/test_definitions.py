"""Every definition in `statemachine/` is sound, and each check finds the fault it exists for."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from marquee import errors
from tests.support.definitions import (
    Definition,
    catchers,
    chain_faults,
    error_name_faults,
    failure_tail,
    field_faults,
    format_faults,
    graph_faults,
    name_faults,
    query_language_faults,
    retriers,
    retry_faults,
    sending_faults,
    substitute,
    substitution_faults,
    tail_faults,
    task_faults,
    waiting_faults,
)
from tests.support.state_machines import REGION
from tests.support.templates import ROOT, Template

DEFINITIONS = sorted((ROOT / "statemachine").glob("*.asl.json"))
SCHEMA = ROOT.parent / "shared" / "data" / "specs" / "amazon-states-language.schema.json"
OWN_ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, Exception)
}

STRUCTURE_CHECKS = [
    query_language_faults,
    graph_faults,
    task_faults,
    retry_faults,
    sending_faults,
    waiting_faults,
    name_faults,
    tail_faults,
]

# The schema tells a timestamp from an expression by its format.
FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time", raises=ValueError)(lambda text: bool(datetime.fromisoformat(text)))

every_definition = pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.name)


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)  # cfn-lint sets it and leaves it set


@pytest.fixture(scope="module")
def schema() -> Any:
    if not SCHEMA.is_file():
        pytest.skip("the shared data with the Amazon States Language schema is not here")
    return json.loads(SCHEMA.read_text())


def test_there_is_a_definition_to_check() -> None:
    assert DEFINITIONS


@every_definition
def test_it_is_json_as_it_lies_there(path: Path) -> None:
    assert format_faults(path.read_text()) == []


@every_definition
def test_it_follows_the_states_language_schema(path: Path, schema: Any) -> None:
    jsonschema.validate(json.loads(path.read_text()), schema, format_checker=FORMATS)


@every_definition
def test_every_field_is_one_that_step_functions_knows(path: Path) -> None:
    assert field_faults(json.loads(path.read_text())) == []


@every_definition
@pytest.mark.parametrize("check", STRUCTURE_CHECKS)
def test_it_keeps_the_rule(check: Callable[[Definition], list[str]], path: Path) -> None:
    assert check(json.loads(path.read_text())) == []


@every_definition
def test_every_error_name_in_it_is_raised_by_something(path: Path) -> None:
    assert error_name_faults(json.loads(path.read_text()), OWN_ERRORS) == []


@every_definition
def test_the_template_deploys_it_with_the_substitutions_it_uses(path: Path) -> None:
    machines = Template.load().machines
    definition = json.loads(path.read_text())
    given = machines[path.name.removesuffix(".asl.json")].substitutions
    assert substitution_faults(definition, given) == []


@every_definition
def test_the_way_through_the_house_is_unbroken(path: Path) -> None:
    template = Template.load()
    given = template.machines[path.name.removesuffix(".asl.json")].substitutions
    assert chain_faults(json.loads(path.read_text()), given, template, ROOT) == []


RETRY = {
    "ErrorEquals": ["UpstreamTimeout"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 3,
    "JitterStrategy": "FULL",
}
GONE = object()


def a_task(stem: str, **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{stem}FunctionArn}}"},
        "TimeoutSeconds": 60,
        "Retry": [RETRY],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "FailSearch"}],
        **fields,
    }


def a_definition(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A sound definition with the values at the slashed paths replaced, or `GONE`."""
    definition: dict[str, Any] = json.loads(
        json.dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "FindFilm",
                "States": {
                    "FindFilm": a_task("FindFilm", Next="Film found?"),
                    "Film found?": {
                        "Type": "Choice",
                        "Choices": [{"Condition": "{% true %}", "Next": "EachSource"}],
                        "Default": "EndSearch",
                    },
                    "EachSource": {
                        "Type": "Map",
                        "ItemProcessor": {
                            "StartAt": "FindFilmInSource",
                            "States": {
                                "FindFilmInSource": a_task(
                                    "FindFilm",
                                    Catch=[{"ErrorEquals": ["States.ALL"], "Next": "NoteFailure"}],
                                    End=True,
                                ),
                                "NoteFailure": {"Type": "Pass", "End": True},
                            },
                        },
                        "Next": "EndSearch",
                    },
                    "EndSearch": {"Type": "Pass", "End": True},
                    "FailSearch": {"Type": "Fail", "Error": "SearchFailed"},
                },
            }
        )
    )
    for path, value in (changes or {}).items():
        *parents, last = path.split("/")
        node: Any = definition
        for key in parents:
            node = node[int(key) if isinstance(node, list) else key]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return definition


@pytest.mark.parametrize("check", [*STRUCTURE_CHECKS, field_faults])
def test_a_sound_definition_has_no_fault(check: Callable[[Definition], list[str]]) -> None:
    assert check(a_definition()) == []


@pytest.mark.parametrize(
    ("check", "path", "value", "complaint"),
    [
        (
            query_language_faults,
            "QueryLanguage",
            "JSONPath",
            "the top level does not say QueryLanguage: JSONata",
        ),
        (
            query_language_faults,
            "States/FindFilm/QueryLanguage",
            "JSONata",
            "FindFilm names a QueryLanguage of its own",
        ),
        (graph_faults, "StartAt", "Nowhere", "StartAt 'Nowhere' is no state"),
        (
            graph_faults,
            "States/FindFilm/Catch/0/Next",
            "Nowhere",
            "FindFilm goes to 'Nowhere', which is no state",
        ),
        (
            graph_faults,
            "States/Film found?/Choices/0/Next",
            "Nowhere",
            "Film found? goes to 'Nowhere', which is no state",
        ),
        (
            graph_faults,
            "States/EachSource/ItemProcessor/States/FindFilmInSource/Next",
            "EndSearch",
            "FindFilmInSource goes to 'EndSearch', which is no state",
        ),
        (
            graph_faults,
            "States/Alone",
            {"Type": "Pass", "End": True},
            "Alone is unreachable",
        ),
        (
            graph_faults,
            "States/EndSearch/End",
            GONE,
            "EndSearch neither ends nor goes on",
        ),
        (
            graph_faults,
            "States/EndSearch",
            {"Type": "Pass", "Next": "EndSearch"},
            "no way from EndSearch comes to an end",
        ),
        (
            graph_faults,
            "States/Film found?/Default",
            GONE,
            "the choice Film found? has no Default",
        ),
        (task_faults, "States/FindFilm/Retry", GONE, "FindFilm has no Retry"),
        (task_faults, "States/FindFilm/Catch", GONE, "FindFilm has no Catch"),
        (
            task_faults,
            "States/EachSource/ItemProcessor/States/FindFilmInSource/TimeoutSeconds",
            GONE,
            "FindFilmInSource has no TimeoutSeconds",
        ),
        (
            retry_faults,
            "States/FindFilm/Retry/0/JitterStrategy",
            "NONE",
            "FindFilm retries with JitterStrategy 'NONE', not 'FULL'",
        ),
        (
            retry_faults,
            "States/FindFilm/Retry/0/MaxDelaySeconds",
            5,
            "FindFilmInSource and FindFilm retry UpstreamTimeout differently",
        ),
        (
            sending_faults,
            "States/PublishTweet",
            {"Type": "Task", "Retry": [{"ErrorEquals": ["States.Timeout"]}]},
            "PublishTweet retries other than what proves nothing was sent: "
            "Lambda.TooManyRequestsException, States.Timeout, StoreUnavailable",
        ),
        (
            sending_faults,
            "States/PublishTweet",
            {"Type": "Task", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "PublishTweet"}]},
            "PublishTweet goes back to itself after States.ALL",
        ),
        (
            sending_faults,
            "States/PublishTweet",
            {"Type": "Task", "Catch": [{"ErrorEquals": ["BadInput"], "Next": "EndSearch"}]},
            "PublishTweet lets errors pass whose outcome is not known",
        ),
        (
            waiting_faults,
            "States/FindFilm/Arguments/Payload",
            {"retry_when_told": True},
            "FindFilm says retry_when_told, or catches RetryAhead, but not both",
        ),
        (
            waiting_faults,
            "States/FindFilm/Catch/0/ErrorEquals",
            ["SlotAhead"],
            "FindFilm does not wait alike for SlotAhead and RetryAhead",
        ),
        (
            name_faults,
            "States/Ending",
            {"Type": "Pass", "End": True},
            "'Ending' is not a verb and a noun in one CamelCase word",
        ),
        (
            name_faults,
            "States/CheckFilm",
            {"Type": "Choice"},
            "the choice 'CheckFilm' is not a question",
        ),
        (
            name_faults,
            "States/NoteFailure",
            {"Type": "Pass", "End": True},
            "two states are named NoteFailure",
        ),
        (
            tail_faults,
            "States/FailAgain",
            {"Type": "Fail"},
            "2 Fail states instead of one: ['FailSearch', 'FailAgain']",
        ),
        (
            field_faults,
            "States/FindFilm/TimeoutSecond",
            60,
            "E3601 Additional properties are not allowed ('TimeoutSecond' was unexpected. "
            "Did you mean 'TimeoutSeconds'?) at States/FindFilm/TimeoutSecond",
        ),
    ],
)
def test_a_fault_is_found(
    check: Callable[[Definition], list[str]], path: str, value: Any, complaint: str
) -> None:
    assert complaint in check(a_definition({path: value}))


def test_a_timeout_in_jsonata_and_a_comment_on_a_choice_are_no_fault() -> None:
    definition = a_definition(
        {
            "States/FindFilm/TimeoutSeconds": "{% ${FindFilmFunctionArn} %}",
            "States/Film found?/Choices/0/Comment": "why",
        }
    )
    assert field_faults(definition) == []


def test_only_a_task_of_the_failure_tail_may_go_without_catch() -> None:
    tail = a_task("EndSearch", Next="FailSearch")
    del tail["Catch"]
    definition = a_definition(
        {"States/EndSearchFailed": tail, "States/FindFilm/Catch/0/Next": "EndSearchFailed"}
    )
    assert failure_tail(definition) == {"EndSearchFailed", "FailSearch"}
    assert task_faults(definition) == []
    assert (
        task_faults(a_definition({"States/FindFilm/Next": "FailSearch", "States/EndSearch": tail}))
        == []
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": }\n', "not valid JSON"),
        ('{\n  "a": 1\n}', "does not end with one line break"),
        ('{\n    "a": 1\n}\n', "line 2 is not indented by 2 spaces"),
        ('{\n\t"a": 1\n}\n', "line 2 is not indented by 2 spaces"),
        ('{\n  "a": [\n    "}"\n    ]\n}\n', "line 4 is not indented by 2 spaces"),
        ('{\n\n  "a": 1\n}\n', "line 2 is empty"),
    ],
)
def test_a_file_that_is_not_laid_out_is_found(text: str, complaint: str) -> None:
    [fault] = format_faults(text)
    assert complaint in fault


def test_a_file_with_short_lists_on_one_line_is_laid_out() -> None:
    assert format_faults('{\n  "a": ["{", "\\"]"],\n  "b": {\n    "c": { "d": 1 }\n  }\n}\n') == []


def test_an_unknown_state_type_breaks_the_schema(schema: Any) -> None:
    jsonschema.validate(a_definition(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(a_definition({"States/EndSearch/Type": "Stop"}), schema)


def test_an_error_name_that_nothing_raises_is_found() -> None:
    assert error_name_faults(a_definition(), {"UpstreamTimeout"}) == []
    assert error_name_faults(a_definition(), {"UpstreamTimedOut"}) == [
        "FindFilm names UpstreamTimeout, which nothing raises",
        "FindFilmInSource names UpstreamTimeout, which nothing raises",
    ]


def test_substitutions_known_to_one_side_only_are_found() -> None:
    assert substitution_faults(a_definition(), {"FindFilmFunctionArn"}) == []
    assert substitution_faults(a_definition(), {"Spare"}) == [
        "${FindFilmFunctionArn} is not given by the template",
        "the template gives Spare, which the definition does not use",
    ]


def test_substitutions_are_replaced_as_text() -> None:
    definition = {"A": "{% ${Seconds} %}", "B": ["${Arn}"]}
    assert substitute(definition, {"Seconds": 60, "Arn": "arn:x"}) == {
        "A": "{% 60 %}",
        "B": ["arn:x"],
    }


def test_every_error_that_a_block_answers_to_is_listed() -> None:
    assert retriers(a_definition()) == [
        ("FindFilm", "UpstreamTimeout"),
        ("FindFilmInSource", "UpstreamTimeout"),
    ]
    assert catchers(a_definition()) == [
        ("FindFilm", "States.ALL"),
        ("FindFilmInSource", "States.ALL"),
    ]


GIVEN = {"FindFilmFunctionArn": {"Fn::GetAtt": ["FindFilmFunction", "Arn"]}}
APP = """
from marquee.movies.search import find_film

def handler(event, context):
    return find_film(event)
"""


def a_template(code_uri: str = "functions/movies/find_film") -> Template:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": code_uri, "Handler": "app.handler"},
    }
    return Template({"Resources": {"FindFilmFunction": function}})


def a_house(root: Path, app: str = APP) -> Path:
    files = {"functions/movies/find_film/app.py": app, "tests/unit/movies/test_search.py": ""}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "app",
    [
        APP,
        "from marquee.movies import search\nsearch.find_film({})\n",
        "from marquee.movies.search import find_film as find\nfind({})\n",
    ],
)
def test_an_unbroken_way_has_no_fault(app: str, tmp_path: Path) -> None:
    assert chain_faults(a_definition(), GIVEN, a_template(), a_house(tmp_path, app)) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"States/FindFilm/Arguments/FunctionName": "arn:aws:lambda:x"},
            "FindFilm calls arn:aws:lambda:x, not ${<Stem>FunctionArn}",
        ),
        (
            {"StartAt": "SeekFilm", "States/SeekFilm": a_task("FindFilm", Next="Film found?")},
            "SeekFilm calls the function of another stem, FindFilm",
        ),
        (
            {"States/FindFilmAgain": a_task("FindFilm", Next="Film found?")},
            "FindFilmAgain calls the function of another stem, FindFilm",
        ),
    ],
)
def test_a_task_that_leaves_its_stem_is_found(
    changes: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    faults = chain_faults(a_definition(changes), GIVEN, a_template(), a_house(tmp_path))
    assert faults == [complaint]


def test_a_substitution_that_names_another_resource_is_found(tmp_path: Path) -> None:
    given = {"FindFilmFunctionArn": {"Fn::GetAtt": ["OtherFunction", "Arn"]}}
    assert "FindFilmFunctionArn is not !GetAtt FindFilmFunction.Arn" in chain_faults(
        a_definition(), given, a_template(), a_house(tmp_path)
    )


def test_a_substitution_without_its_function_is_found(tmp_path: Path) -> None:
    assert "FindFilmFunction is not a function of the template" in chain_faults(
        a_definition(), GIVEN, Template({"Resources": {}}), a_house(tmp_path)
    )


def test_a_function_in_another_folder_is_found(tmp_path: Path) -> None:
    [fault, _] = chain_faults(
        a_definition(), GIVEN, a_template("functions/movies/seek_film"), a_house(tmp_path)
    )
    assert fault == (
        "FindFilmFunction lies in functions/movies/seek_film/app.py, "
        "not in functions/<domain>/find_film/app.py"
    )


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("functions/movies/find_film/app.py", "functions/movies/find_film/app.py does not exist"),
        ("tests/unit/movies/test_search.py", "tests/unit/movies/test_search.py does not exist"),
    ],
)
def test_a_missing_file_on_the_way_is_found(missing: str, complaint: str, tmp_path: Path) -> None:
    (a_house(tmp_path) / missing).unlink()
    assert complaint in chain_faults(a_definition(), GIVEN, a_template(), tmp_path)


@pytest.mark.parametrize(
    "app",
    [
        "from marquee.movies.search import find_film\n",
        "from marquee.tweets.search import find_film\nfind_film({})\n",
        "from marquee.movies.search import seek_film\nseek_film({})\n",
    ],
)
def test_a_handler_that_does_not_call_its_stem_is_found(app: str, tmp_path: Path) -> None:
    assert (
        "functions/movies/find_film/app.py does not call a function find_film of marquee.movies"
        in chain_faults(a_definition(), GIVEN, a_template(), a_house(tmp_path, app))
    )
