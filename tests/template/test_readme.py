"""The README's tables hold what the template, the API and the laptop fit hold."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from marquee.api.routes import ROUTES
from marquee.events.models import EVENTS
from marquee.gateway.prices import X_POST_CREATED_USD, X_POST_READ_USD, X_POST_WITH_URL_CREATED_USD
from marquee.tweets.models import Status, TweetType
from marquee_cli.cloud.fit import ADAPTATIONS
from marquee_cli.cloud.upstreams import UPSTREAMS
from tests.support.templates import ROOT, Template

_CODE = re.compile(r"`([^`]+)`")


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text()


@cache
def template() -> Template:
    return Template.load()


def table(first_heading: str) -> list[list[str]]:
    """The cells of the table whose first column is called so, without the heading."""
    lines = readme().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(cell: str) -> str:
    """The first thing that a cell sets as code; empty without."""
    found = _CODE.search(cell)
    return found[1] if found else ""


def test_the_functions_are_those_of_the_template() -> None:
    rows = {code(row[0]): code(row[1]) for row in table("function")}
    assert rows == {name: str(f.app.parent) for name, f in template().functions.items()}


def test_each_function_is_invoked_by_what_the_table_says() -> None:
    definitions = "".join(
        (ROOT / machine.definition).read_text() for machine in template().machines.values()
    )
    for function, _, invoked_by in (row[:3] for row in table("function")):
        resource = template().document["Resources"][code(function)]["Properties"]
        events = str(resource.get("Events", {}))
        for name in _CODE.findall(invoked_by):
            assert f'"{name}"' in definitions or name in events, f"{function}: {name}"


def test_the_parameters_and_their_defaults_are_those_of_the_template() -> None:
    rows = {code(row[0]): code(row[1]) for row in table("parameter")}
    assert rows == {name: str(value) for name, value in template().parameters.items()}


def keys(schema: Sequence[dict[str, Any]]) -> list[str]:
    return [part["AttributeName"] for part in schema]


def test_the_tables_and_their_keys_are_those_of_the_template() -> None:
    written = []
    name = ""
    for first, key, index, _ in table("table"):
        name = code(first) or name
        written.append((name, code(index), _CODE.findall(key) or _CODE.findall(index)[1:]))
    deployed = []
    for logical_id, resource in template().resources("AWS::DynamoDB::Table").items():
        properties = resource["Properties"]
        deployed.append((logical_id, "", keys(properties["KeySchema"])))
        deployed += [
            (logical_id, index["IndexName"], keys(index["KeySchema"]))
            for index in properties.get("GlobalSecondaryIndexes", [])
        ]
    assert written == deployed


def test_the_routes_are_those_of_the_api() -> None:
    assert [code(row[0]) for row in table("route")] == [f"{r.method} {r.path}" for r in ROUTES]


def test_the_adaptations_are_those_of_the_laptop_fit() -> None:
    assert [code(row[0]) for row in table("adaptation")] == [a.__name__ for a in ADAPTATIONS]


def test_the_keys_are_named_as_the_laptop_cloud_reads_them() -> None:
    for upstream in UPSTREAMS:
        for variable in upstream.variables:
            assert f"`{variable}`" in readme()
        for secret in upstream.demonstration:
            assert secret in readme()


def test_the_price_of_a_post_is_the_one_that_is_counted() -> None:
    assert f"${X_POST_READ_USD} for each post" in readme()


def test_every_file_that_it_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", readme()):
        assert (ROOT / target).exists(), target


def test_the_events_are_those_that_have_a_schema() -> None:
    rows = {code(row[0]): row[2] for row in table("event")}
    assert list(rows) == list(EVENTS)
    for name, fields in rows.items():
        assert f"/{name}.v{EVENTS[name].model_fields['version'].default}.json" in fields


def test_every_state_is_in_the_picture() -> None:
    pictures = re.findall(r"```mermaid\n(.*?)```", readme(), re.DOTALL)
    for machine in template().machines.values():
        definition = (ROOT / machine.definition).read_text()
        # The names of the states are the keys of the objects that have a Type.
        states = set(re.findall(r'"([^"]+)": \{\s*"Type": ', definition)) - {"ReportFailedSource"}
        assert any(all(state in picture for state in states) for picture in pictures), machine.name


def test_every_status_of_a_tweet_is_explained() -> None:
    explained = {name for row in table("a tweet is") for name in _CODE.findall(row[0])}
    assert explained == set(Status)


def test_the_run_that_it_shows_is_one_of_today() -> None:
    shown = readme().split("posts to the stand-in of X:")[1].split("```")[1]
    definition = (ROOT / template().machines["tweet_pipeline"].definition).read_text()
    steps = re.findall(r"✓ (\w+)", shown)
    assert steps
    assert all(f'"{step}": {{' in definition for step in steps)
    rows = re.findall(r"^  \d{19}  (\w+) +(\w+)", shown, re.MULTILINE)
    assert {kind for kind, _ in rows} <= set(TweetType)
    assert {outcome for _, outcome in rows} <= set(Status)
    posted = sum(outcome == Status.POSTED for _, outcome in rows)
    assert f"{posted} POSTED, ${posted * X_POST_CREATED_USD:.3f}" in shown


def test_the_policies_it_tells_of_are_those_that_there_are() -> None:
    told = readme().split("**The policy**")[1].split("**Approval.**")[0]
    assert set(_CODE.findall(told)) >= {kind.value for kind in TweetType}
    assert f"${X_POST_WITH_URL_CREATED_USD:.3f} instead of ${X_POST_CREATED_USD:.3f}" in told


def test_tmdbs_notice_is_there() -> None:
    notice = "This product uses the TMDB API but is not endorsed or certified by TMDB."
    assert notice in readme()
