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
from marquee.movies.collect import CollectDataOutput
from marquee.movies.models import SourceReport, SourceStatus
from marquee.settings import Settings
from marquee.tweets.finish import RunSummary, TweetOutcome
from marquee.tweets.models import Status as TweetStatus
from marquee.tweets.run import Mode
from marquee.workflows.record import Status, StepError, StepRecord, WorkflowRecords
from tests.support.api import Answer, Api
from tests.support.builders import NOW
from tests.support.functions import callable_functions
from tests.unit.api.conftest import PATH_VALUES, End, filled

SEARCH = "/api/orchestrator/auto-search"
COLLECT = "/api/orchestrator/collect-data"
STORE = "/api/orchestrator/store"
DOCUMENT = document()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The installation with an account that posts."""
    return settings.model_copy(
        update={"posting_account": "marquee_demo", "workflow_default_username": "marquee_demo"}
    )


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


def test_a_body_holds_what_is_not_in_the_path(api: Api) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for method, path, operation in operations():
        in_query = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        if "requestBody" not in operation:
            assert method != "POST" or not in_query
            continue
        content = operation["requestBody"]["content"]["application/json"]
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert set(schema["properties"]) >= in_query
        assert set(schema.get("required", ())) <= set(schema["properties"])
        assert not any(f"{{{name}}}" in path for name in schema["properties"])


def test_every_schema_has_a_name_that_a_person_would_give() -> None:
    names = DOCUMENT["components"]["schemas"]
    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []


def test_the_notice_of_tmdb_is_there() -> None:
    notice = "This product uses the TMDB API but is not endorsed or certified by TMDB."
    assert notice in DOCUMENT["info"]["description"]


GOOD_VALUES = {
    **PATH_VALUES,
    "movie_name": "RRR",
    "title": "rr",
    "year": "2022",
    "max_reviews": "10",
    "collect_new_data": "false",
    "language": "te-IN",
    "region": "IN",
    "wait_seconds": "0",
    "kind": "movie_search",
    "status": "FAILED",
    "since": "2026-03-01T00:00:00Z",
    "seen": "Seen twice already.",
    "until": "2026-11-30T00:00:00+05:30",
    "limit": "5",
    "label": "positive",
    "source": "tmdb",
    "username": "@Marquee_Demo",
    "count": "5",
    "tweet_type": "review",
    "mode": "approve",
    "dry_run": "true",
    "from_step": "ClassifyTweets",
    "older_than_days": "30",
    "window": "1h",
    "decision": "reject",
    "text": "Seen twice already.",
    "reason": "looked at the account",
    "by": "ana",
    "state": "REJECTED",
    "post_id": "1900000000000000009",
    "event_type": "MovieSearchCompleted",
    "url": "https://callback.example/hook",
    "type": "ShopOpened",
}
"""One for every parameter but the cursor, which an answer gives."""

NEEDED = {
    SEARCH: {"movie_name": "RRR", "wait_seconds": "0"},
    COLLECT: {"movie_name": "RRR"},
    "/workflow/execute-sync": {"wait_seconds": "0"},
    "/workflow/cleanup": {"older_than_days": "30"},
    "/workflow/approvals/{approval_id}": {"decision": "edit", "text": "Seen twice already."},
    "/workflow/approvals/{approval_id}/check": {"text": "Seen twice already."},
    "/posts/{account}/{tweet_id}": {"state": "POSTED", "reason": "seen", "post_id": "1"},
    "/triggers": {"event_type": "MovieSearchCompleted", "url": "https://callback.example/hook"},
}
"""What is needed to have something done, beside the parameter that a test is about."""

NEEDED_TO_READ = {"/movies": {"title": "rr"}}

OTHER_VALUES = {
    ("/api/orchestrator/queue", "state"): "GIVEN_UP",
    ("/tweets", "status"): "POSTED",
}
"""Where the same name takes other values."""

UNDERSTOOD = (200, 201, 202, 404, 409)
"""Nothing is wrong with what was said; it may be about nothing, or too late."""


def good(path: str, name: str) -> str:
    return OTHER_VALUES.get((path, name), GOOD_VALUES[name])


def needed(method: str, path: str) -> dict[str, str]:
    return NEEDED_TO_READ.get(path, {}) if method == "GET" else NEEDED.get(path, {})


def in_query() -> Iterator[tuple[str, str, Any]]:
    for method, path, operation in operations():
        for parameter in operation["parameters"]:
            if parameter["in"] == "query" and parameter["name"] != "cursor":
                yield method, path, parameter


@pytest.mark.parametrize(
    ("method", "path", "name"), [(method, path, p["name"]) for method, path, p in in_query()]
)
def test_every_documented_parameter_is_accepted(
    api: Api, known_film: int, method: str, path: str, name: str
) -> None:
    query = {**needed(method, path), name: good(path, name)}
    if query.get("decision") == "reject":
        del query["text"]
    if query.get("state") == "REJECTED":
        del query["post_id"]
    assert api.send(method, filled(path), query).status in UNDERSTOOD


@pytest.mark.parametrize(("method", "path"), [found[:2] for found in operations()])
def test_every_parameter_that_is_not_documented_is_refused(
    api: Api, method: str, path: str
) -> None:
    documented = DOCUMENT["paths"][path][method.lower()]["parameters"]
    others = {*GOOD_VALUES, "cursor"} - {parameter["name"] for parameter in documented}
    answer = api.send(method, filled(path), {name: GOOD_VALUES.get(name, "x") for name in others})
    assert answer.status == 422
    assert others <= {error["field"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    list(in_query()),
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_documented_bounds_are_those_that_are_kept(
    api: Api, known_film: int, method: str, path: str, parameter: dict[str, Any]
) -> None:
    schema = parameter["schema"]
    rest = needed(method, path)
    for bound, step in (("minimum", -1), ("maximum", 1)):
        if bound not in schema:
            continue
        at_bound = {**rest, parameter["name"]: str(schema[bound])}
        beyond = {**rest, parameter["name"]: str(schema[bound] + step)}
        if parameter["name"] != "wait_seconds":
            assert api.send(method, filled(path), at_bound).status in UNDERSTOOD
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
    run = RunSummary(
        account="marquee_demo",
        posting_account="marquee_demo",
        mode=Mode.AUTO,
        tweets=(TweetOutcome(tweet_id="1", status=TweetStatus.POSTED, post_id="2"),),
    )
    result = run.model_dump(mode="json", exclude_defaults=True)
    records.open("run", "tweet_pipeline", trigger="schedule:daily", request={}, now=NOW)
    records.write_step("run", "tweet_pipeline", "DownloadTweets", failed, NOW)
    records.close("run", "tweet_pipeline", Status.PARTIAL, now=NOW, result=result)
    keeps_to_the_document(answer, "POST", SEARCH)
    return str(answer.json()["workflow_result"]["workflow_id"])


def test_the_answers_keep_to_the_document(api: Api, searched: str) -> None:
    status = "/workflow/status/{workflow_id}"
    for workflow_id in (searched, "failed", "running", "run", "nobody"):
        answer = api.get(status.replace("{workflow_id}", workflow_id))
        keeps_to_the_document(answer, "GET", status)
    for path in (path for method, path, _ in operations() if method == "GET"):
        if path not in (status, "/docs"):
            keeps_to_the_document(api.get(filled(path)), "GET", path)
            keeps_to_the_document(api.get(filled(path), {"nonsense": "1"}), "GET", path)
        if "{tmdb_id}" in path:
            keeps_to_the_document(api.get(filled(path, tmdb_id="1")), "GET", path)
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


def test_the_answers_of_the_halves_of_a_search_keep_to_the_document(
    api: Api, known_film: int
) -> None:
    report = SourceReport(source="tmdb", status=SourceStatus.FAILED, reason="late")
    found = CollectDataOutput(tmdb_id=known_film, message="RRR", asked=("tmdb",), sources=(report,))
    keeps_to_the_document(api.post(COLLECT, {"movie_name": "Nothing"}), "POST", COLLECT)
    keeps_to_the_document(api.post(COLLECT), "POST", COLLECT)
    with callable_functions() as functions:
        functions.answers["CollectDataFunction"] = lambda _: found.model_dump(mode="json")
        collected = api.post(COLLECT, {"movie_name": "RRR"})
        keeps_to_the_document(collected, "POST", COLLECT)
        functions.answers.clear()  # every call ends in a KeyError
        keeps_to_the_document(api.post(COLLECT, {"movie_name": "RRR"}), "POST", COLLECT)
    given = {"movie": collected.json()["movie"] | {"tmdb_id": 7}, "reviews": [{}]}
    schema = DOCUMENT["components"]["schemas"]["StoreData"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(given | {"reviews": []})
    stored = api.post(STORE, body=given)
    assert stored.json()["rejected"][0]["index"] == 0
    for answer in (stored, api.post(STORE), api.post(STORE, body="{")):
        keeps_to_the_document(answer, "POST", STORE)


EXECUTE = "/workflow/execute"
SYNC = "/workflow/execute-sync"
CANCEL = "/workflow/{workflow_id}/cancel"
RERUN = "/workflow/{workflow_id}/rerun"
CLEANUP = "/workflow/cleanup"


def test_the_answers_about_executions_keep_to_the_document(
    api: Api, settings: Settings, searched: str, records: WorkflowRecords
) -> None:
    keeps_to_the_document(api.post(EXECUTE, {"count": "3"}), "POST", EXECUTE)
    answer = api.post(SYNC, {"wait_seconds": "0"})
    keeps_to_the_document(answer, "POST", SYNC)
    running = answer.json()["workflow_id"]
    for path in (EXECUTE, SYNC):
        for refused in (api.post(path, {"count": "0"}), api.post(path, body="{")):
            keeps_to_the_document(refused, "POST", path)
        without = Api(settings.model_copy(update={"posting_account": ""})).post(path)
        assert without.status == 409
        keeps_to_the_document(without, "POST", path)
    for workflow_id, status in ((running, 200), (searched, 409), ("nobody", 404)):
        answer = api.post(filled(CANCEL, workflow_id=workflow_id))
        assert answer.status == status
        keeps_to_the_document(answer, "POST", CANCEL)
    for workflow_id, status in ((running, 202), ("running", 409), ("nobody", 404)):
        answer = api.post(filled(RERUN, workflow_id=workflow_id))
        assert answer.status == status
        keeps_to_the_document(answer, "POST", RERUN)
    for query in ({"older_than_days": "30"}, {}):
        keeps_to_the_document(api.send("DELETE", CLEANUP, query), "DELETE", CLEANUP)


def test_the_end_of_a_run_keeps_to_the_document(api: Api, records: WorkflowRecords) -> None:
    workflow_id = api.post(EXECUTE).json()["workflow_id"]
    failure = StepError(name="RateLimited", message="x: 429")
    summary = {"account": "a", "posting_account": "a", "mode": "auto"}

    def end(status: Status, **fields: Any) -> None:
        records.close(workflow_id, "tweet_pipeline", status, now=NOW, **fields)

    api.clock.after(1, lambda: end(Status.SUCCEEDED, result=summary))
    answer = api.post(SYNC)
    assert answer.status == 200
    keeps_to_the_document(answer, "POST", SYNC)
    workflow_id = api.post(EXECUTE).json()["workflow_id"]
    api.clock.after(1, lambda: end(Status.FAILED, error=failure))
    answer = api.post(SYNC)
    assert answer.status == 502
    keeps_to_the_document(answer, "POST", SYNC)


def test_the_answers_about_triggers_keep_to_the_document(api: Api) -> None:
    triggers, one = "/triggers", "/triggers/{trigger_id}"
    history = "/triggers/history/{delivery_id}"
    for body, status in (
        ({"event_type": "A", "url": "https://callback.example/", "filter": {"b": [1]}}, 201),
        ({"event_type": "A", "url": "https://callback.example/", "filter": {"b": [1]}}, 409),
        ({"event_type": "A", "url": "https://10.0.0.1/"}, 422),
    ):
        answer = api.post(triggers, body=body)
        assert answer.status == status
        keeps_to_the_document(answer, "POST", triggers)
    [trigger] = api.get(triggers).json()["triggers"]
    for verb, status in (("test", 202), ("disable", 200), ("redeliver", 409), ("enable", 200)):
        path = f"{one}/{verb}"
        answer = api.post(filled(path, trigger_id=trigger["trigger_id"]))
        assert answer.status == status
        keeps_to_the_document(answer, "POST", path)
    keeps_to_the_document(api.get(triggers), "GET", triggers)
    keeps_to_the_document(api.get(filled(one, trigger_id=trigger["trigger_id"])), "GET", one)
    listed = api.get("/triggers/history")
    keeps_to_the_document(listed, "GET", "/triggers/history")
    [told] = listed.json()["deliveries"]
    found = filled(history, delivery_id=told["delivery_id"])
    keeps_to_the_document(api.get(found), "GET", history)
    answer = api.post(f"{found}/redeliver")
    assert answer.status == 409
    keeps_to_the_document(answer, "POST", f"{history}/redeliver")
    for body, status in (({"type": "A", "detail": {"b": 1}}, 200), ({"type": "-"}, 422)):
        answer = api.post("/events", body=body)
        assert answer.status == status
        keeps_to_the_document(answer, "POST", "/events")
    deleted = api.send("DELETE", filled(one, trigger_id=trigger["trigger_id"]))
    keeps_to_the_document(deleted, "DELETE", one)


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
