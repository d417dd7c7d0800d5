"""The OpenAPI document and the page: every route, every parameter, and answers that keep to it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from marquee.api import answers
from marquee.api.openapi import document
from marquee.api.routes import ROUTES
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from tests.support.api import Answer, Api
from tests.support.builders import NOW
from tests.unit.api.conftest import RRR, End

SEARCH = "/api/orchestrator/auto-search"
DOCUMENT = document()


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_document_is_served_as_it_is_made(api: Api) -> None:
    answer = api.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_every_route_is_in_the_document_and_nothing_else_is() -> None:
    documented = {(method, path) for method, path, _ in operations()}
    assert documented == {(route.method, route.path) for route in ROUTES}


def test_every_operation_says_what_it_does() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(len(operation["summary"]) > 10 for _, _, operation in operations())


def test_every_parameter_says_what_it_is() -> None:
    parameters = [
        (path, parameter) for _, path, found in operations() for parameter in found["parameters"]
    ]
    assert [(path, p["name"]) for path, p in parameters if not p["description"]] == []


def test_all_references_lead_somewhere_and_all_schemas_are_sound() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert references <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_route_but_health_asks_for_the_key() -> None:
    assert DOCUMENT["security"] == [{"api_key": []}]
    keyless = [path for _, path, operation in operations() if operation.get("security") == []]
    assert keyless == ["/workflow/health"]


def test_the_notice_of_tmdb_is_there() -> None:
    notice = "This product uses the TMDB API but is not endorsed or certified by TMDB."
    assert notice in DOCUMENT["info"]["description"]


GOOD_VALUES = {
    "movie_name": "RRR",
    "year": "2022",
    "tmdb_id": "579974",
    "max_reviews": "10",
    "collect_new_data": "false",
    "language": "te-IN",
    "region": "IN",
    "wait_seconds": "0",
    "kind": "movie_search",
    "status": "FAILED",
    "limit": "5",
    "label": "positive",
    "source": "tmdb",
    "workflow_id": "nobody",
}
"""One for every parameter but the cursor, which an answer gives."""


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        (method, path, parameter["name"])
        for method, path, operation in operations()
        for parameter in operation["parameters"]
        if parameter["in"] == "query" and parameter["name"] != "cursor"
    ],
)
def test_every_documented_parameter_is_accepted(
    api: Api, known_film: int, method: str, path: str, name: str
) -> None:
    query = {name: GOOD_VALUES[name]}
    if method == "POST":
        query |= {"movie_name": "RRR", "wait_seconds": "0"} | query
    answer = api.send(method, filled(path), query)
    assert answer.status in (200, 202)


def filled(path: str) -> str:
    return path.replace("{tmdb_id}", str(RRR)).replace("{workflow_id}", "nobody")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        (method, path, name)
        for method, path, operation in operations()
        for name in sorted(
            {*GOOD_VALUES, "cursor"} - {parameter["name"] for parameter in operation["parameters"]}
        )
    ],
)
def test_every_parameter_that_is_not_documented_is_refused(
    api: Api, method: str, path: str, name: str
) -> None:
    query = {name: GOOD_VALUES.get(name, "x")}
    answer = api.send(method, filled(path), query)
    assert answer.status == 422
    assert name in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        (method, path, parameter)
        for method, path, operation in operations()
        for parameter in operation["parameters"]
        if parameter["in"] == "query"
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_documented_bounds_are_those_that_are_kept(
    api: Api, known_film: int, method: str, path: str, parameter: dict[str, Any]
) -> None:
    schema = parameter["schema"]
    needed = {"movie_name": "RRR", "wait_seconds": "0"} if method == "POST" else {}
    for bound, step in (("minimum", -1), ("maximum", 1)):
        if bound not in schema:
            continue
        at_bound = {**needed, parameter["name"]: str(schema[bound])}
        beyond = {**needed, parameter["name"]: str(schema[bound] + step)}
        if parameter["name"] != "wait_seconds":
            assert api.send(method, filled(path), at_bound).status in (200, 202)
        assert api.send(method, filled(path), beyond).status == 422


def keeps_to_the_document(answer: Answer, method: str, path: str) -> None:
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, f"{answer.status} is not documented for {path}"
    [(content_type, content)] = responses[str(answer.status)]["content"].items()
    assert answer.headers["content-type"] == content_type
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(answer.json())


@pytest.fixture
def searched(api: Api, known_film: int, end_search: End, records: WorkflowRecords) -> str:
    """The id of a search that has ended; one that failed and one that runs are there too."""
    api.clock.after(1, end_search)
    answer = api.post(SEARCH, {"movie_name": "RRR"})
    failure = StepError(name="RateLimited", message="tmdb: 429")
    failed = StepRecord(status=Status.FAILED, started_at=NOW, ended_at=NOW, error=failure)
    records.open("failed", "movie_search", trigger="event", request={"tmdb_id": 1}, now=NOW)
    records.write_step("failed", "movie_search", "FindMovie", failed, NOW)
    records.close("failed", "movie_search", Status.FAILED, now=NOW, error=failure)
    records.open("running", "movie_search", trigger="", request={}, now=NOW)
    keeps_to_the_document(answer, "POST", SEARCH)
    return str(answer.json()["workflow_result"]["workflow_id"])


def test_the_answers_keep_to_the_document(api: Api, searched: str) -> None:
    status = "/workflow/status/{workflow_id}"
    for workflow_id in (searched, "failed", "running", "nobody"):
        answer = api.get(status.replace("{workflow_id}", workflow_id))
        keeps_to_the_document(answer, "GET", status)
    for path in (path for method, path, _ in operations() if method == "GET"):
        if path not in (status, "/docs"):
            keeps_to_the_document(api.get(filled(path)), "GET", path)
            keeps_to_the_document(api.get(filled(path), {"nonsense": "1"}), "GET", path)
        if "{tmdb_id}" in path:
            keeps_to_the_document(api.get(path.replace("{tmdb_id}", "1")), "GET", path)
        if "cursor" in str(DOCUMENT["paths"][path]):
            keeps_to_the_document(api.get(filled(path), {"cursor": "x"}), "GET", path)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"movie_name": "Dune", "wait_seconds": "0"}, None),
        ({}, None),
        ({}, "{"),
        ({}, "x" * 70_000),
    ],
)
def test_the_answers_of_a_search_keep_to_the_document(
    api: Api, query: dict[str, str], body: str | None
) -> None:
    keeps_to_the_document(api.post(SEARCH, query, body), "POST", SEARCH)


def test_a_failed_search_keeps_to_the_document(api: Api, end_search: End) -> None:
    failure = StepError(name="UpstreamTimeout", message="no answer")
    api.clock.after(1, lambda: end_search(Status.FAILED, result=None, error=failure))
    answer = api.post(SEARCH, {"movie_name": "RRR"})
    assert answer.status == 502
    keeps_to_the_document(answer, "POST", SEARCH)


def test_every_shape_that_a_route_names_is_one() -> None:
    named = {name for route in ROUTES for name in route.answers.values()}
    assert all(issubclass(getattr(answers, name), answers.Shape) for name in named)


class Page(HTMLParser):
    """What a browser would fetch, run and link to; raises for tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_made_of_the_document_and_of_nothing_else(api: Api) -> None:
    answer = api.get("/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page()
    page.feed(answer.text)
    assert page.open == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    for method, path, operation in operations():
        assert f"{method} {path}" in answer.text
        assert operation["operationId"] in page.ids
        assert all(f"<code>{p['name']}</code>" in answer.text for p in operation["parameters"])
