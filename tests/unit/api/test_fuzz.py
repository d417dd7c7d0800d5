"""Whatever is sent, the answer is an answer: never a 500, never anything but JSON."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.api.routes import ROUTES, Route
from marquee.movies.titles import normalize
from marquee.settings import Settings
from tests.support.api import Answer, Api
from tests.support.installation import installed
from tests.unit.api.conftest import PATH_VALUES, filled

NAMES = sorted({name for route in ROUTES for name in route.parameters.model_fields})

texts = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(
        [
            "",
            "\x00",
            "%00",
            "%2e%2e%2f",
            "../../etc/passwd",
            "null",
            "NaN",
            "-0",
            "1e400",
            "9" * 400,
            "0x10",
            "\u0663",
            "true",
            "<script>",
            "' OR 1=1",
            "{{7*7}}",
            "RRR",
            "Pokémon",
            "పుష్ప",
            "🎬" * 300,
            "x" * 10_000,
            "a\r\nSet-Cookie: b=c",
            "\ud800",
            "\u202e",
            "eyJhZnRlciI6e319",
            "eyJhZnRlciI6IngifQ",
        ]
    ),
    st.integers().map(str),
)


def path_with(route: Route, value: str) -> str:
    """The path of the route, all its parameters that value."""
    return filled(route.path, **dict.fromkeys(PATH_VALUES, value))


names = st.sampled_from(NAMES) | texts
queries = st.dictionaries(names, st.lists(texts, min_size=1, max_size=3), max_size=4)
paths = st.one_of(
    st.lists(texts, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.builds(
        path_with,
        st.sampled_from(ROUTES),
        texts,
    ),
)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
bodies = st.one_of(
    st.none(),
    st.dictionaries(names, values, max_size=5).map(json.dumps),
    values.map(json.dumps),
    texts,
    st.binary(max_size=200),
    st.integers(1, 30_000).map(lambda depth: "[" * depth),
    st.integers(1, 10_000).map(lambda depth: '{"movie_name":' * depth + "1" + "}" * depth),
)
headers = st.dictionaries(
    st.sampled_from(["Content-Type", "content-type", "Accept", "Origin", "X-Api-Key"]) | texts,
    st.sampled_from(["application/json", "text/html", "application/json; charset=utf-16"]) | texts,
    max_size=3,
)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "x"])

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def open_api() -> Iterator[Api]:
    with installed("ApiFunction") as installation:
        origin = {
            "cors_origin": "https://films.example",
            "posting_account": "marquee_demo",
            "workflow_default_username": "marquee_demo",
        }
        yield Api(Settings.model_validate(installation.model_dump() | origin))


def is_an_answer(answer: Answer) -> None:
    assert answer.status < 500
    if answer.status == 204:
        return
    body = answer.text.encode()
    if answer.headers["content-type"] != "text/html; charset=utf-8":
        document = json.loads(body, parse_constant=pytest.fail)
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert document["status"] == answer.status
            assert len(answer.text) < 20_000
    assert all("\r" not in value and "\n" not in value for value in answer.headers.values())


@MANY
@given(method=methods, path=paths, query=queries, body=bodies, sent=headers)
def test_nothing_that_is_sent_breaks_the_api(
    open_api: Api, method: str, path: str, query: Any, body: Any, sent: dict[str, str]
) -> None:
    is_an_answer(open_api.send(method, path, query, body, sent))


@MANY
@given(query=queries, body=bodies)
def test_nothing_that_is_searched_for_breaks_the_api(
    open_api: Api, query: dict[str, list[str]], body: Any
) -> None:
    answer = open_api.post("/api/orchestrator/auto-search", {**query, "wait_seconds": "0"}, body)
    is_an_answer(answer)


@MANY
@given(name=texts.filter(lambda name: name.strip() != ""))
def test_every_name_of_a_film_is_searched_for_or_refused_by_name(open_api: Api, name: str) -> None:
    query = {"movie_name": name, "wait_seconds": "0"}
    answer = open_api.post("/api/orchestrator/auto-search", query)
    is_an_answer(answer)
    if answer.status != 202:
        assert answer.status == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["movie_name"]
    else:
        status = open_api.get("/" + answer.headers["location"].removeprefix("../../"))
        assert normalize(status.json()["input"]["movie_name"]) == normalize(name)


@MANY
@given(query=queries, body=bodies)
@pytest.mark.parametrize(
    ("method", "path"),
    [(route.method, filled(route.path)) for route in ROUTES if route.method != "GET"],
)
def test_nothing_that_is_asked_to_be_done_breaks_the_api(
    open_api: Api, method: str, path: str, query: dict[str, list[str]], body: Any
) -> None:
    if path.endswith(("execute-sync", "auto-search")):
        query = {**query, "wait_seconds": ["0"]}
    sent = {"content-type": "application/json"}
    is_an_answer(open_api.send(method, path, query, body, sent))


@MANY
@given(query=st.dictionaries(st.sampled_from(["cursor", "limit", "label", "status"]), texts))
@pytest.mark.parametrize(
    "path",
    [filled(route.path) for route in ROUTES if "cursor" in route.parameters.model_fields],
)
def test_no_cursor_or_filter_breaks_a_listing(
    open_api: Api, path: str, query: dict[str, str]
) -> None:
    is_an_answer(open_api.get(path, query))
