"""What holds for every route: problems, headers, CORS, and parameters read strictly."""

import json
from typing import Any

import pytest

from marquee.api.application import application
from marquee.api.routes import MAX_BODY_BYTES, ROUTES
from marquee.aws import table
from marquee.observability import logger
from marquee.settings import Settings
from tests.support.api import Answer, Api, Context, an_event
from tests.unit.api.conftest import filled

SEARCH = "/api/orchestrator/auto-search"


def is_a_problem(answer: Answer, status: int) -> Any:
    """The document, held against RFC 9457 and our own rules."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "instance", "request_id"} <= set(problem)
    assert "Traceback" not in answer.text
    return problem


def fields(answer: Answer, status: int = 422) -> list[str]:
    return [error["field"] for error in is_a_problem(answer, status)["errors"]]


def test_a_path_that_is_none_is_not_found(api: Api) -> None:
    problem = is_a_problem(api.get("/nothing/here"), 404)
    assert problem["type"] == "about:blank"
    assert problem["title"] == "Not Found"
    assert problem["instance"] == "/nothing/here"
    assert problem["request_id"] == "7e6ee9d3-b2c4-4c2b-8d63-0f7a4d1b5a10"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_another_method_is_refused_with_those_that_the_path_has(
    api: Api, route: Any, method: str
) -> None:
    path = filled(route.path)
    if any(other.is_at(path) and other.method == method for other in ROUTES):
        return
    answer = api.send(method, path)
    is_a_problem(answer, 405)
    assert route.method in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"max_reviews": "0"}, "max_reviews", "greater than or equal to 1"),
        ({"max_reviews": "101"}, "max_reviews", "less than or equal to 100"),
        ({"max_reviews": "ten"}, "max_reviews", "valid integer"),
        ({"max_reviews": "1.0"}, "max_reviews", "valid integer"),
        ({"max_reviews": "1e1"}, "max_reviews", "valid integer"),
        ({"max_reviews": " 10"}, "max_reviews", "valid integer"),
        ({"max_reviews": "+10"}, "max_reviews", "valid integer"),
        ({"max_reviews": "1_0"}, "max_reviews", "valid integer"),
        ({"max_reviews": "\u0661\u0660"}, "max_reviews", "valid integer"),
        ({"max_reviews": ""}, "max_reviews", "valid integer"),
        ({"max_reviews": "9" * 400}, "max_reviews", "valid integer"),
        ({"wait_seconds": "26"}, "wait_seconds", "less than or equal to 25"),
        ({"wait_seconds": "-1"}, "wait_seconds", "greater than or equal to 0"),
        ({"wait_seconds": "2.5"}, "wait_seconds", "valid integer"),
        ({"year": "1500"}, "year", "greater than or equal to 1870"),
        ({"collect_new_data": "yes"}, "collect_new_data", "valid boolean"),
        ({"collect_new_data": "True"}, "collect_new_data", "valid boolean"),
        ({"language": "english"}, "language", "pattern"),
        ({"region": "in"}, "region", "pattern"),
        ({"movie_name": "x" * 201}, "movie_name", "at most 200"),
        ({"movie_name": "\ud800"}, "movie_name", "unicode"),
        ({"colour": "red"}, "colour", "is unknown; known: movie_name, year"),
        ({"movie_name": ["RRR", "Dune"]}, "movie_name", "is given 2 times"),
        ({"max_reviews": ["10", "10"]}, "max_reviews", "is given 2 times"),
    ],
)
def test_a_bad_parameter_names_itself(
    api: Api, query: dict[str, Any], field: str, message: str
) -> None:
    problem = is_a_problem(api.post(SEARCH, {"movie_name": "RRR", **query}), 422)
    [error] = problem["errors"]
    assert error["field"] == field
    assert message in error["message"]
    assert problem["detail"] == f"{field}: {error['message']}"


def test_all_bad_parameters_are_named_at_once(api: Api) -> None:
    answer = api.post(SEARCH, {"movie_name": "RRR", "year": "x", "max_reviews": "0", "page": "2"})
    assert sorted(fields(answer)) == ["max_reviews", "page", "year"]


@pytest.mark.parametrize("query", [{}, {"movie_name": ""}, {"movie_name": "  "}])
def test_a_search_for_nothing_says_what_to_give(api: Api, query: dict[str, str]) -> None:
    assert "movie_name or a tmdb_id" in is_a_problem(api.post(SEARCH, query), 422)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"movie_name": ["RRR"]}, "movie_name"),
        ({"movie_name": {"a": 1}}, "movie_name"),
        ({"movie_name": 7}, "movie_name"),
        ({"movie_name": "RRR", "max_reviews": "10"}, "max_reviews"),
        ({"movie_name": "RRR", "max_reviews": 10.0}, "max_reviews"),
        ({"movie_name": "RRR", "max_reviews": True}, "max_reviews"),
        ({"movie_name": "RRR", "max_reviews": None}, "max_reviews"),
        ({"movie_name": "RRR", "max_reviews": 10**400}, "max_reviews"),
        ({"movie_name": "RRR", "collect_new_data": 1}, "collect_new_data"),
        ({"movie_name": "RRR", "colour": "red"}, "colour"),
        ({"movie_name": "RRR", "tmdb_id": [1]}, "tmdb_id"),
        ([], "body"),
        (["RRR"], "body"),
        ("RRR", "body"),
        (7, "body"),
        (None, "body"),
    ],
)
def test_a_bad_value_in_a_body_names_itself(api: Api, body: Any, field: str) -> None:
    assert fields(api.post(SEARCH, body=json.dumps(body))) == [field]


def test_a_parameter_in_query_and_body_is_refused_even_where_both_agree(api: Api) -> None:
    answer = api.post(SEARCH, {"movie_name": "RRR"}, {"movie_name": "RRR"})
    [error] = is_a_problem(answer, 422)["errors"]
    assert error == {
        "field": "movie_name",
        "message": "is given twice: in the query and in the body",
    }


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "movie_name=RRR",
        '{"movie_name": "RRR",}',
        '{"movie_name": NaN}',
        '{"year": Infinity}',
        '{"movie_name": "\\ud800"}',
        '{"year": ' + "9" * 5000 + "}",
        "[" * 20_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        b"\xff\xfe{",
        b"\x00\x01\x02",
        "\x00",
    ],
    ids=range(12),
)
def test_a_body_that_is_no_json_is_refused(api: Api, body: str | bytes) -> None:
    assert fields(api.post(SEARCH, body=body), 400) == ["body"]


def test_a_body_in_base64_that_is_none_is_refused(api: Api) -> None:
    event = an_event("POST", SEARCH, body=b"x", headers={"content-type": "application/json"})
    context: Any = Context(api.clock)
    response = application(api.settings).resolve({**event, "body": "a"}, context)
    assert response["statusCode"] == 400


def test_a_body_in_bytes_is_read(api: Api) -> None:
    body = json.dumps({"movie_name": "పుష్ప", "wait_seconds": 0}, ensure_ascii=False).encode()
    assert api.post(SEARCH, body=body).status == 202


@pytest.mark.parametrize("too_many", [1, 1_000_000])
@pytest.mark.parametrize("character", ["x", "é", "🎬"])
def test_a_long_body_is_refused_whatever_is_in_it(api: Api, too_many: int, character: str) -> None:
    room = MAX_BODY_BYTES - len('{"movie_name": ""}')
    size = len(character.encode())
    text = character * ((room + too_many) // size + 1)
    is_a_problem(api.post(SEARCH, body=f'{{"movie_name": "{text}"}}'), 413)


def test_a_body_of_just_the_size_is_read(api: Api) -> None:
    text = "x" * (MAX_BODY_BYTES - len('{"movie_name": ""}'))
    assert fields(api.post(SEARCH, body=f'{{"movie_name": "{text}"}}')) == ["movie_name"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/xml", "", "json", ";", "é"],
)
def test_a_body_of_another_type_is_refused(api: Api, content_type: str) -> None:
    answer = api.send("POST", SEARCH, None, '{"movie_name": "RRR"}', {"Content-Type": content_type})
    assert "application/json" in is_a_problem(answer, 415)["detail"]


def test_a_body_without_a_type_is_refused(api: Api) -> None:
    is_a_problem(api.send("POST", SEARCH, None, '{"movie_name": "RRR"}'), 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"],
)
def test_json_is_known_by_all_its_names(api: Api, content_type: str) -> None:
    body = '{"movie_name": "RRR", "wait_seconds": 0}'
    assert api.send("POST", SEARCH, None, body, {"CONTENT-TYPE": content_type}).status == 202


def test_an_empty_body_may_have_any_type(api: Api) -> None:
    query = {"movie_name": "RRR", "wait_seconds": "0"}
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert api.send("POST", SEARCH, query, "", form).status == 202


@pytest.mark.parametrize("path", ["/movies/1", "/movies/1/reviews", "/movies/1/recommendations"])
def test_what_belongs_in_the_path_is_refused_in_the_query(api: Api, path: str) -> None:
    assert fields(api.get(path, {"tmdb_id": "2"})) == ["tmdb_id"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_refuses_a_parameter_that_it_does_not_know(api: Api, route: Any) -> None:
    assert "nonsense" in fields(api.send(route.method, filled(route.path), {"nonsense": "1"}))


def test_names_from_outside_are_repeated_cut_and_clean(api: Api) -> None:
    [field] = fields(api.get("/workflow/list", {"\ud800" + "x" * 5000: "1"}))
    assert field == "?" + "x" * 99


def test_an_answer_is_not_to_be_stored_or_sniffed(api: Api, known_film: int) -> None:
    answer = api.get(f"/movies/{known_film}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_trailing_slash_changes_nothing(api: Api, known_film: int) -> None:
    assert api.get(f"/movies/{known_film}/").status == 200


def test_an_error_that_nobody_foresaw_is_a_problem_without_internals(
    api: Api, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    table(settings.movies_table).put_item(
        Item={"pk": "MOVIE#603", "sk": "DETAILS", "movie": {"secret-detail": 1}}
    )
    answer = api.get("/movies/603")
    problem = is_a_problem(answer, 500)
    assert "secret-detail" not in answer.text
    assert "pydantic" not in answer.text
    [failure] = [record for record in caplog.records if record.message == "request failed"]
    assert "ValidationError" in (failure.exc_text or "")
    assert logger.get_correlation_id() == problem["request_id"]


def test_a_client_that_names_its_request_finds_it_under_that_name(api: Api) -> None:
    answer = api.send("GET", "/nothing", headers={"X-Correlation-Id": "shop:order-7"})
    assert answer.headers["x-correlation-id"] == "shop:order-7"
    assert answer.json()["request_id"] == logger.get_correlation_id() == "shop:order-7"


@pytest.mark.parametrize("name", ["", "two words", "line\nend", "é", "x" * 129, '"'])
def test_a_name_that_a_log_or_a_header_cannot_hold_is_not_taken(api: Api, name: str) -> None:
    answer = api.send("GET", "/workflow/list", headers={"X-Correlation-Id": name})
    assert answer.headers["x-correlation-id"] == "7e6ee9d3-b2c4-4c2b-8d63-0f7a4d1b5a10"


@pytest.fixture
def open_api(settings: Settings) -> Api:
    """An installation that lets https://films.example call it from a browser."""
    return Api(settings.model_copy(update={"cors_origin": "https://films.example"}))


def test_a_preflight_is_answered_with_what_the_browser_may_send(open_api: Api) -> None:
    answer = open_api.send("OPTIONS", SEARCH, headers={"Origin": "https://films.example"})
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://films.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "x-api-key" in allowed
    assert "x-correlation-id" in allowed
    assert "content-type" in allowed
    assert answer.headers["access-control-max-age"] == "600"


@pytest.mark.parametrize(("path", "status"), [("/workflow/list", 200), ("/nothing", 404)])
def test_answers_and_problems_may_be_read_by_the_origin(
    open_api: Api, path: str, status: int
) -> None:
    answer = open_api.get(path, Origin="https://films.example")
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "https://films.example"
    assert "Location" in answer.headers["access-control-expose-headers"]


def test_another_origin_may_read_nothing(open_api: Api) -> None:
    answer = open_api.get("/workflow/list", Origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in answer.headers


def test_without_a_setting_no_origin_may_read(api: Api) -> None:
    for origin in ("https://films.example", "null", ""):
        answer = api.get("/workflow/list", Origin=origin)
        assert "access-control-allow-origin" not in answer.headers
    is_a_problem(api.send("OPTIONS", SEARCH, headers={"Origin": "https://films.example"}), 405)


def test_every_origin_may_read_where_the_setting_says_so(settings: Settings) -> None:
    api = Api(settings.model_copy(update={"cors_origin": "*"}))
    answer = api.get("/workflow/list", Origin="https://anywhere.example")
    assert answer.headers["access-control-allow-origin"] == "*"
