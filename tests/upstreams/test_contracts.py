"""The stand-ins' answers hold to the vendors' specifications and look like the recorded ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft4Validator

from marquee_cli.upstreams import answers
from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.credentials import DEMONSTRATION
from marquee_cli.upstreams.x_parameters import KNOWN

RRR = 579974
SEARCH_X = "/tweets/search/recent"
ALL_TWEET_FIELDS = {
    "query": "RRR",
    "max_results": "100",
    "tweet.fields": "author_id,conversation_id,created_at,entities,lang,possibly_sensitive,"
    "public_metrics,reply_settings",
    "expansions": "author_id",
    "user.fields": "created_at,description,protected,public_metrics,verified",
}
NAMED_FORMATS = {
    "at-uri": r"^at://did:plc:[a-z2-7]{24}/[a-zA-Z.]+/[2-7a-z]{13}$",
    "cid": r"^bafyrei[a-z2-7]{52}$",
    "datetime": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    "did": r"^did:plc:[a-z2-7]{24}$",
    "handle": r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?$",
}


def read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def faults(schema: dict[str, Any], components: Any, body: Any) -> list[str]:
    """What a schema finds wrong in a body; `components` is where its references lead."""
    validator = Draft4Validator({"components": components, "definitions": components} | schema)
    return [
        f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(body)
    ]


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable`, in JSON Schema."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: nullable(part) for name, part in schema.items()}
    if parts.get("nullable") is True and isinstance(parts.get("type"), str):
        parts["type"] = [parts["type"], "null"]
    return parts


class OpenApi:
    def __init__(self, file: Path) -> None:
        self._specification = nullable(read(file))

    def faults(self, path: str, body: Any, method: str = "get", status: str = "200") -> list[str]:
        answer = self._specification["paths"][path][method]["responses"][status]
        schema = {"allOf": [answer["content"]["application/json"]["schema"]]}
        return faults(schema, self._specification["components"], body)

    def parameters(self, path: str) -> list[dict[str, Any]]:
        """The parameters of a GET, references followed."""
        found: list[dict[str, Any]] = self._specification["paths"][path]["get"]["parameters"]
        shared = self._specification["components"]["parameters"]
        return [shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in found]


@pytest.fixture(scope="module")
def tmdb_api(shared_data: Path) -> OpenApi:
    return OpenApi(shared_data / "specs/tmdb-v3.community.openapi.json")


@pytest.fixture(scope="module")
def x_api(shared_data: Path) -> OpenApi:
    return OpenApi(shared_data / "specs/x-api-v2.166.openapi.json")


TMDB_CALLS = [
    ("/search/movie", "/search/movie?query=dune"),
    ("/movie/{movie_id}", f"/movie/{RRR}"),
    ("/movie/{movie_id}", "/movie/693134"),
    ("/movie/{movie_id}/credits", f"/movie/{RRR}/credits"),
    ("/movie/{movie_id}/keywords", f"/movie/{RRR}/keywords"),
    ("/movie/{movie_id}/recommendations", f"/movie/{RRR}/recommendations"),
    ("/movie/{movie_id}/similar", f"/movie/{RRR}/similar"),
    ("/movie/{movie_id}/reviews", f"/movie/{RRR}/reviews"),
    ("/movie/{movie_id}/external_ids", f"/movie/{RRR}/external_ids"),
    ("/movie/{movie_id}/alternative_titles", f"/movie/{RRR}/alternative_titles"),
    ("/movie/{movie_id}/release_dates", f"/movie/{RRR}/release_dates"),
    ("/movie/{movie_id}/translations", f"/movie/{RRR}/translations"),
    ("/find/{external_id}", "/find/tt8178634?external_source=imdb_id"),
    ("/genre/movie/list", "/genre/movie/list"),
    ("/configuration", "/configuration"),
]


@pytest.mark.parametrize(("path", "call"), TMDB_CALLS)
def test_tmdb_answers_as_its_specification_says(
    tmdb: httpx.Client, tmdb_api: OpenApi, path: str, call: str
) -> None:
    body = tmdb.get(call).json()
    assert body
    assert tmdb_api.faults(path, body) == []


def test_the_tmdb_specification_would_find_a_wrong_answer(
    tmdb: httpx.Client, tmdb_api: OpenApi
) -> None:
    body = tmdb.get("/search/movie?query=dune").json()
    body["results"][0]["vote_count"] = "many"
    assert tmdb_api.faults("/search/movie", body) == [
        "['results', 0, 'vote_count']: 'many' is not of type 'integer'"
    ]


def test_x_answers_as_its_specification_says(x: httpx.Client, x_api: OpenApi) -> None:
    found = x.get(SEARCH_X, params=ALL_TWEET_FIELDS).json()
    assert len(found["data"]) == 100
    assert x_api.faults("/2/tweets/search/recent", found) == []
    none = x.get(SEARCH_X, params={"query": "nobodywritesthis"}).json()
    assert x_api.faults("/2/tweets/search/recent", none) == []
    name = found["includes"]["users"][0]["username"]
    for username in (name, "nobody"):
        user = x.get(f"/users/by/username/{username}").json()
        assert x_api.faults("/2/users/by/username/{username}", user) == []


def test_the_x_specification_would_find_a_wrong_answer(x: httpx.Client, x_api: OpenApi) -> None:
    found = x.get(SEARCH_X, params=ALL_TWEET_FIELDS).json()
    found["data"][0]["id"] = 7
    assert len(x_api.faults("/2/tweets/search/recent", found)) == 1


def test_x_knows_the_parameters_of_its_specification(x_api: OpenApi) -> None:
    parameters = {p["name"]: p for p in x_api.parameters("/2/tweets/search/recent")}
    assert set(KNOWN["search/recent"]) == set(parameters)
    for name in ("tweet.fields", "user.fields", "expansions"):
        assert KNOWN[name] == parameters[name]["schema"]["items"]["enum"]


def lexicon_schema(definition: Any, home: str) -> Any:
    """A Bluesky lexicon definition as JSON Schema; references lead to `definitions`."""
    match definition["type"]:
        case "ref":
            name = definition["ref"]
            whole = home + name if name.startswith("#") else name
            return {"$ref": f"#/definitions/{whole.replace('#', '%23')}"}
        case "object":
            properties = definition.get("properties", {})
            required = definition.get("required")
            return {
                "type": "object",
                "properties": {n: lexicon_schema(p, home) for n, p in properties.items()},
                # JSON Schema knows no empty list of required properties.
                **({"required": required} if required else {}),
            }
        case "array":
            return {"type": "array", "items": lexicon_schema(definition["items"], home)}
        case "string" if definition.get("format") in NAMED_FORMATS:
            return {"type": "string", "pattern": NAMED_FORMATS[definition["format"]]}
        case "string" | "integer" | "boolean" as kind:
            return {"type": kind}
    return {}


@pytest.fixture(scope="module")
def lexicons(shared_data: Path) -> dict[str, Any]:
    """`nsid#name` → schema, for every definition in the lexicons that are there."""
    schemas: dict[str, Any] = {}
    for file in (shared_data / "specs/bluesky").glob("*.json"):
        lexicon = read(file)
        for name, definition in lexicon["defs"].items():
            if definition["type"] in ("query", "procedure"):
                definition = definition["output"]["schema"]
            schemas[f"{lexicon['id']}#{name}"] = lexicon_schema(definition, lexicon["id"])
    return schemas


def test_bluesky_answers_as_its_lexicons_say(
    bluesky: httpx.Client, lexicons: dict[str, Any]
) -> None:
    found = bluesky.get("/app.bsky.feed.searchPosts", params={"q": "RRR", "limit": 100}).json()
    assert len(found["posts"]) >= 40
    search = {"allOf": [lexicons["app.bsky.feed.searchPosts#main"]]}
    assert faults(search, lexicons, found) == []
    account = {
        "identifier": DEMONSTRATION.bluesky_handle,
        "password": DEMONSTRATION.bluesky_app_password,
    }
    session = bluesky.post("/com.atproto.server.createSession", json=account).json()
    opened = {"allOf": [lexicons["com.atproto.server.createSession#main"]]}
    assert faults(opened, lexicons, session) == []
    found["posts"][0]["author"]["did"] = "nonsense"
    assert len(faults(search, lexicons, found)) == 1


RECORDED_TMDB = [
    (f"/movie/{RRR}", "GET_3_movie_47964.json"),
    ("/search/movie?query=dune", "GET_3_search_movie__include_adult-false_page-1_query-007.json"),
    (f"/movie/{RRR}/credits", "GET_3_movie_47964_credits.json"),
    (f"/movie/{RRR}/keywords", "GET_3_movie_47964_keywords.json"),
    (f"/movie/{RRR}/recommendations", "GET_3_movie_47964_recommendations.json"),
    (f"/movie/{RRR}/reviews", "GET_3_movie_47964_reviews.json"),
    (f"/movie/{RRR}/release_dates", "GET_3_movie_47964_release_dates.json"),
    (f"/movie/{RRR}/translations", "GET_3_movie_47964_translations.json"),
    (f"/movie/{RRR}/external_ids", "GET_3_movie_335984_external_ids.json"),
    (f"/movie/{RRR}/alternative_titles", "GET_3_movie_47964_alternative_titles__country-US.json"),
    ("/genre/movie/list", "GET_3_genre_movie_list.json"),
    (
        "/find/tt8178634?external_source=imdb_id",
        "GET_3_find_tt0088247__external_source-imdb_id.json",
    ),
    (
        f"/movie/{RRR}?append_to_response=credits,keywords",
        "GET_3_movie_tt1345836__append_to_response-credits,images,keywords.json",
    ),
    ("/movie/999999999", "GET_3_movie_999999999.json"),
]
# What we neither serve nor read: pictures of a film.
NOT_SERVED = {"images"}


def shape(body: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a body, lists as one element, with its JSON type."""
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    yield path, kinds.get(type(body), "number")
    if isinstance(body, dict):
        for name, part in body.items():
            if name not in NOT_SERVED:
                yield from shape(part, f"{path}.{name}")
    elif isinstance(body, list):
        for part in body:
            yield from shape(part, f"{path}[]")


def differences(served: Any, recorded: Any) -> list[str]:
    """Fields that were recorded and are not served, or are served with a type never recorded.

    Null says nothing of a type; what is below a null or an empty list of ours cannot be compared.
    """
    ours, theirs = set(shape(served)), set(shape(recorded))
    our_paths = {path for path, _ in ours}
    elements = {path for path in our_paths if path.endswith("[]")}
    empty = {
        path
        for path, kind in ours
        if kind == "null" or (kind == "array" and f"{path}[]" not in elements)
    }
    found = []
    for path in sorted({path for path, _ in theirs}):
        if path not in our_paths:
            if not path.startswith(tuple(f"{hollow}{end}" for hollow in empty for end in "[.")):
                found.append(f"{path} is missing")
            continue
        types = {kind for at, kind in ours if at == path} - {"null"}
        known = {kind for at, kind in theirs if at == path} - {"null"}
        if known and types - known:
            found.append(f"{path} is {types}, recorded as {known}")
    return found


@pytest.mark.parametrize(("call", "file"), RECORDED_TMDB)
def test_tmdb_answers_have_the_shape_of_recorded_ones(
    tmdb: httpx.Client, shared_data: Path, call: str, file: str
) -> None:
    recorded = read(shared_data / "recorded/tmdb" / file)["response"]
    answer = tmdb.get(call)
    assert answer.status_code == recorded["status"]
    assert differences(answer.json(), recorded["body"]) == []


@pytest.mark.parametrize(
    ("call", "file"),
    [
        (f"{SEARCH_X}?query=RRR", "tweepy__test_client_search_recent_tweets__0.json"),
        ("/users/by/username/{}", "tweepy__test_client_get_user__0.json"),
    ],
)
def test_x_answers_have_the_shape_of_recorded_ones(
    x: httpx.Client, shared_data: Path, call: str, file: str
) -> None:
    authors = x.get(SEARCH_X, params=ALL_TWEET_FIELDS).json()["includes"]["users"]
    recorded = read(shared_data / "recorded/x" / file)["response"]
    answer = x.get(call.format(authors[0]["username"]))
    assert differences(answer.json(), recorded["body"]) == []
    limits = {name for name in recorded["headers"] if name.startswith("x-rate-limit")}
    assert limits <= set(answer.headers)
    assert answer.headers["content-type"] == recorded["headers"]["content-type"]


def test_a_missing_field_and_a_wrong_type_are_found() -> None:
    recorded = {"a": [{"b": 1, "c": "x"}], "d": None}
    assert differences({"a": [{"b": 2.5, "c": None}], "d": "y"}, recorded) == []
    assert differences({"a": [{"b": "1"}], "d": None}, recorded) == [
        ".a[].b is {'string'}, recorded as {'number'}",
        ".a[].c is missing",
    ]


@pytest.mark.parametrize(
    ("upstream", "ours"), [("tmdb", answers.TMDB_ERRORS), ("x", answers.X_ERRORS)]
)
def test_error_bodies_are_the_recorded_ones(
    shared_data: Path, upstream: str, ours: dict[int, Any]
) -> None:
    recorded = read(shared_data / f"recorded/{upstream}/ERRORS.json")["items"]
    bodies = [(item["status"], item["body"]) for item in recorded if "body" in item]
    known = {status for status, _ in bodies}
    compared = [status for status in ours if status in known]
    assert {401, 429} <= set(compared)
    for status in compared:
        # Of a 400 the list of wrong parameters differs with the call.
        expected = [
            {name: value for name, value in body.items() if name != "errors"}
            for at, body in bodies
            if at == status
        ]
        assert ours[status] in expected


TIMELINE_FIELDS = (
    "author_id,conversation_id,created_at,entities,in_reply_to_user_id,lang,note_tweet,"
    "possibly_sensitive,public_metrics,referenced_tweets,reply_settings"
)


@pytest.mark.parametrize("account", list(accounts()))
def test_x_timelines_answer_as_their_specification_says(
    x: httpx.Client, x_api: OpenApi, account: str
) -> None:
    asked = {"max_results": "100", "tweet.fields": TIMELINE_FIELDS, "expansions": "author_id"}
    body = x.get(f"/users/{accounts()[account].id}/tweets", params=asked).json()
    assert len(body["data"]) >= 25
    assert x_api.faults("/2/users/{id}/tweets", body) == []
    user = x.get(f"/users/by/username/{account}", params={"user.fields": "description"}).json()
    assert user["data"]["id"] == body["includes"]["users"][0]["id"]
    assert x_api.faults("/2/users/by/username/{username}", user) == []
    body["data"][0]["created_at"] = 7
    assert len(x_api.faults("/2/users/{id}/tweets", body)) == 1


def test_what_a_user_may_do_answers_as_its_specification_says(
    demo: httpx.Client, x_api: OpenApi, shared_data: Path
) -> None:
    me = demo.get("/users/me")
    assert x_api.faults("/2/users/me", me.json()) == []
    created = demo.post("/tweets", json={"text": "Said & done https://a.example.com/b"})
    assert x_api.faults("/2/tweets", created.json(), "post", "201") == []
    for answer, name in [(me, "get_me__0"), (created, "create_and_delete_tweet__0")]:
        recorded = read(shared_data / f"recorded/x/tweepy__test_client_{name}.json")["response"]
        assert differences(answer.json(), recorded["body"]) == []
        limits = {name for name in recorded["headers"] if name.startswith("x-rate-limit")}
        assert limits <= set(answer.headers)
        assert answer.headers["content-type"] == recorded["headers"]["content-type"]
    assert created.headers["location"].endswith(created.json()["data"]["id"])


def test_x_knows_the_parameters_of_a_timeline(x_api: OpenApi) -> None:
    parameters = {p["name"]: p for p in x_api.parameters("/2/users/{id}/tweets")}
    assert set(KNOWN["users/tweets"]) == set(parameters) - {"id"}
    assert KNOWN["exclude"] == parameters["exclude"]["schema"]["items"]["enum"]


def test_the_words_of_x_refusals_are_the_recorded_ones(shared_data: Path) -> None:
    recorded = read(shared_data / "recorded/x/ERRORS.json")["items"]
    bodies = [(item["status"], item.get("body")) for item in recorded]
    assert (403, answers.X_DUPLICATE) in bodies
    assert (403, answers.X_APP_ONLY) in bodies
    assert (402, answers.X_CREDITS_USED_UP_OLDER) in bodies
    assert (402, answers.X_ERRORS[402]) in bodies
    assert (400, answers.X_TOO_LONG) in bodies
