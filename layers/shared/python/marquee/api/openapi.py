"""The OpenAPI document, made of the table of routes and the models that serve them."""

import inspect
import json
import re
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from marquee.api import answers
from marquee.api.call import HTML, JSON, Call, NoParameters, Reply
from marquee.api.page import PAGE_HEADERS, page
from marquee.api.problems import PROBLEM_JSON, Problem
from marquee.api.routes import ROUTES, Route

VERSION = "1"

DESCRIPTION = (
    "Finds a film, collects what people say about it, scores how they feel, and recommends what "
    "to watch next. Downloads the tweets of an account, classifies and polishes them, and posts "
    "what is approved, each once. Tells callbacks what happened. A request may name itself with "
    "x-correlation-id (up to 128 letters, digits and . _ : / -); every answer says the name under "
    "which the log knows it. This product uses the TMDB API but is not endorsed or certified by "
    "TMDB."
)

EVERY_ROUTES_PROBLEMS = (422, 500, 503)

GATEWAY_ANSWERS = {
    403: "The API key is missing or wrong; answered by API Gateway.",
    429: "Too many requests for this API key; answered by API Gateway.",
}

NAMES = {
    "marquee__tweets__models__Status": "TweetStatus",
    "marquee__workflows__record__Status": "Status",
    "Status-Input": "Status",
}
"""Of the schemas that pydantic names at length because two models are called alike."""

type Schema = dict[str, Any]
type Schemas = dict[str, Schema]


def openapi_document(asked: NoParameters, call: Call) -> Reply:
    """This interface as an OpenAPI 3.1 document."""
    return Reply(json.dumps(document()))


def documentation(asked: NoParameters, call: Call) -> Reply:
    """This interface as a page to read."""
    return Reply(page(document()), content_type=HTML, headers=PAGE_HEADERS)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document; its one server is wherever it was read from."""
    schemas = _schemas()
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    asked = {route.parameters.__name__ for route in ROUTES}
    bodies = {route.parameters.__name__: _body(route, schemas) for route in ROUTES}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Marquee", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "."}],
        "security": [{"api_key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": {name: schemas[name] for name in schemas.keys() - asked}
            | {name: body for name, body in bodies.items() if body},
        },
    }


def _schemas() -> Schemas:
    """Every model of the interface by its name."""
    shapes = [getattr(answers, name) for route in ROUTES for name in route.answers.values()]
    asked = [(route.parameters, "validation") for route in ROUTES]
    given = [(shape, "serialization") for shape in (*shapes, Problem)]
    models: Any = [*asked, *given]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    text = json.dumps(definitions["$defs"])
    for given_name, ours in NAMES.items():
        text = re.sub(rf'(["/]){given_name}"', rf'\1{ours}"', text)
    schemas: Schemas = json.loads(text)
    return schemas


def _body(route: Route, schemas: Schemas) -> Schema | None:
    """What may be sent as JSON: all the parameters but those of the path; None without any."""
    schema = schemas[route.parameters.__name__]
    properties = {
        name: declared
        for name, declared in schema.get("properties", {}).items()
        if not _is_in_path(route, name)
    }
    if not route.takes_body or not properties:
        return None
    needed = [name for name in schema.get("required", ()) if name in properties]
    rest = {key: value for key, value in schema.items() if key != "required"}
    return rest | {"properties": properties} | ({"required": needed} if needed else {})


def _is_in_path(route: Route, name: str) -> bool:
    return f"{{{name}}}" in route.segments


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(route.answer) or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": route.answer.__name__,
        "summary": summary.replace("\n", " "),
        "parameters": [*_parameters(route, schemas)],
        "responses": {str(status): found for status, found in _responses(route)},
    }
    if description:
        operation["description"] = description.replace("\n", " ")
    if _body(route, schemas):
        operation["requestBody"] = {"content": {JSON: {"schema": _ref(route.parameters.__name__)}}}
    if route.keyless:
        operation["security"] = []
    return operation


def _parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    schema = schemas[route.parameters.__name__]
    parameters = []
    for name, declared in schema.get("properties", {}).items():
        if _is_nested(declared, schemas) or declared.get("writeOnly"):
            continue
        in_path = _is_in_path(route, name)
        described = {key: value for key, value in declared.items() if key != "description"}
        parameters.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path or name in schema.get("required", ()),
                "description": declared.get("description", ""),
                "schema": _without_null(described),
            }
        )
    return parameters


def _is_nested(schema: Schema, schemas: Schemas) -> bool:
    """Whether it is an object or a list, which has a place in a body only."""
    if "$ref" in schema:
        return _is_nested(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    kinds = schema.get("anyOf", ())
    return schema.get("type") in ("object", "array") or any(_is_nested(k, schemas) for k in kinds)


def _without_null(schema: Schema) -> Schema:
    """A text in an address is absent, never null."""
    kept = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kept:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return rest | (kept[0] if len(kept) == 1 else {"anyOf": kept})


def _responses(route: Route) -> list[tuple[int, dict[str, Any]]]:
    responses: dict[int, dict[str, Any]] = {}
    for status in (200, *route.answers):
        shape = route.answers.get(status)
        schema = _ref(shape) if shape else {}
        responses[status] = {
            "description": _described(getattr(answers, shape)) if shape else "The document.",
            "content": {route.content_type: {"schema": schema}},
        }
    for status in {201, 202} & responses.keys():
        responses[status]["headers"] = {"Location": {"schema": {"type": "string"}}}
    for status in (*route.problems, *EVERY_ROUTES_PROBLEMS):
        responses[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_JSON: {"schema": _ref(Problem.__name__)}},
        }
    if not route.keyless:
        responses |= {status: {"description": said} for status, said in GATEWAY_ANSWERS.items()}
    return sorted(responses.items())


def _described(shape: type[BaseModel]) -> str:
    return (inspect.getdoc(shape) or "").replace("\n", " ")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
