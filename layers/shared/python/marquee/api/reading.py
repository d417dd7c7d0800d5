"""An event of API Gateway into the parameters of a route: strictly, every fault named."""

import base64
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from marquee.api.problems import FieldError, Refused, invalid, shown
from marquee.api.routes import MAX_BODY_BYTES

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}

type Event = Mapping[str, Any]


def read[P: BaseModel](
    parameters: type[P],
    event: Event,
    path_values: Mapping[str, str],
    *,
    takes_body: bool,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> P:
    """The parameters of one request, from its path, its query and, where it takes one, its body.

    A parameter is given once: not twice in the query, not in the query and the body. Raises
    Refused: 400 for a body that is no JSON, 413 and 415 for one that is too long or of another
    type, 422 for values, each named.
    """
    fields = parameters.model_fields
    query = _query(event)
    body = _body(event, max_body_bytes) if takes_body else {}
    problems = [
        FieldError(field=name, message=f"is given {len(values)} times")
        for name, values in query.items()
        if len(values) > 1
    ]
    problems += [
        FieldError(field=name, message="is given twice: in the query and in the body")
        for name in query.keys() & body.keys()
    ]
    problems += [
        FieldError(field=name, message="belongs in the body: addresses are logged")
        for name in query
        if _is_secret(fields.get(name))
    ]
    misplaced = (query.keys() | body.keys()) & path_values.keys()
    problems += [FieldError(field=name, message="belongs in the path") for name in misplaced]
    texts = {name: values[0] for name, values in query.items()} | dict(path_values)
    values = body | {name: _typed(fields.get(name), text) for name, text in texts.items()}
    try:
        given = parameters.model_validate(values)
    except ValidationError as error:
        problems += _faults(error, [name for name in fields if name not in path_values])
        raise invalid(problems) from error
    if problems:
        raise invalid(problems)
    return given


def _query(event: Event) -> dict[str, list[str]]:
    several: Mapping[str, list[str]] | None = event.get("multiValueQueryStringParameters")
    single: Mapping[str, str] = event.get("queryStringParameters") or {}
    given = several or {name: [value] for name, value in single.items()}
    return {shown(name): values for name, values in given.items()}


def _body(event: Event, max_bytes: int) -> dict[str, Any]:
    text = event.get("body")
    if not text:
        return {}
    if not _is_json(event.get("headers") or {}):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as Content-Type: application/json"
        )
    try:
        content = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
        if len(content) > max_bytes:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has {max_bytes} bytes at most"
            )
        body = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        fault = FieldError(field="body", message="is not JSON")
        raise Refused(
            HTTPStatus.BAD_REQUEST, "the body is not JSON in UTF-8", errors=[fault]
        ) from error
    if not isinstance(body, dict):
        raise invalid([FieldError(field="body", message="must be a JSON object")])
    return body


def _is_json(headers: Mapping[str, str]) -> bool:
    sent = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    media_type = (sent or "").partition(";")[0].strip().lower()
    return (
        media_type == "application/json"
        or re.fullmatch(r"application/[\w.-]+\+json", media_type) is not None
    )


def _is_secret(field: FieldInfo | None) -> bool:
    extra = field.json_schema_extra if field else None
    return isinstance(extra, dict) and extra.get("writeOnly") is True


def _typed(field: FieldInfo | None, text: str) -> Any:
    """The text as the type of its field; text that is none stays text, and is refused as such."""
    kinds = get_args(field.annotation) or (field.annotation,) if field else ()
    if int in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if bool in kinds:
        return _BOOLEANS.get(text, text)
    return text


def _faults(error: ValidationError, known: Sequence[str]) -> list[FieldError]:
    faults = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        unknown = fault["type"] == "extra_forbidden"
        message = f"is unknown; known: {', '.join(known) or 'none'}" if unknown else fault["msg"]
        name = shown(".".join(str(part) for part in fault["loc"])) or "request"
        faults.append(FieldError(field=name, message=message))
    return faults
