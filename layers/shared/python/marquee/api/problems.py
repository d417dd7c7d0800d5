"""Problem documents (RFC 9457): what every error of the API looks like.

``type`` is ``about:blank``, so ``title`` is the status in words; what a client may act on is the
status, ``errors`` with the parameters at fault, and, of a failed execution, its ``workflow_id``
and ``error``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from pydantic import BaseModel, ConfigDict

from marquee.api.call import Reply
from marquee.api.routes import methods_at
from marquee.aws import STORE_ERRORS, as_store_error
from marquee.errors import (
    BadInput,
    Conflict,
    MarqueeError,
    NotFound,
    StoreUnavailable,
    UpstreamError,
)
from marquee.workflows.record import StepError, WorkflowRecord

PROBLEM_JSON = "application/problem+json"

RETRY_AFTER_SECONDS = 5
"""DynamoDB's throttling passes in seconds."""

MAX_SHOWN = 100
"""Characters of a name from outside that are repeated in an answer."""

MAX_INSTANCE = 1000
"""Characters of a path that are repeated in an answer."""


_NOUNS = {"movie_search": "search", "tweet_pipeline": "run"}
"""What an execution of each kind is called in a sentence."""


class FieldError(BaseModel):
    """One parameter at fault."""

    model_config = ConfigDict(frozen=True)

    field: str
    message: str


class Problem(BaseModel):
    """The document; members without a value are left out."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    """The correlation id of the log."""
    errors: tuple[FieldError, ...] | None = None
    """The parameters at fault."""
    workflow_id: str | None = None
    """The execution that failed."""
    error: StepError | None = None
    """Why it failed."""


@dataclass(eq=False)
class Refused(MarqueeError):
    """A request that ends in a problem document."""

    status: HTTPStatus
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    workflow_id: str | None = None
    error: StepError | None = None

    @property
    def is_our_fault(self) -> bool:
        """Worth an entry in the log."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def reply(self, *, path: str, request_id: str) -> Reply:
        """The document that says so, for the request to ``path``."""
        problem = Problem(
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            instance=quote(path, safe="/:@!$&'()*+,;=~", errors="replace")[:MAX_INSTANCE],
            request_id=request_id,
            errors=tuple(self.errors) or None,
            workflow_id=self.workflow_id,
            error=self.error,
        )
        text = problem.model_dump_json(exclude_none=True)
        return Reply(text, self.status, PROBLEM_JSON, self.headers)


def refusal_of(error: Exception, *, method: str, path: str) -> Refused:
    """The problem that an error is; one that nobody foresaw is a 500 without its message."""
    if isinstance(error, STORE_ERRORS):
        error = as_store_error(error)
    match error:
        case Refused():
            return error
        case NotFoundError():
            return _nothing_at(method, path)
        case BadInput():
            return invalid([FieldError(field=error.field or "request", message=str(error))])
        case NotFound():
            return Refused(HTTPStatus.NOT_FOUND, str(error))
        case Conflict():
            return Refused(HTTPStatus.CONFLICT, str(error))
        case StoreUnavailable():
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the database did not answer in time",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; the log says what"
    )


def _nothing_at(method: str, path: str) -> Refused:
    """405 with the methods that the path has; 404 where it has none, or no value has its form."""
    methods = methods_at(path)
    if not methods or method in methods:
        return Refused(HTTPStatus.NOT_FOUND, "there is nothing at this path")
    allowed = ", ".join(methods)
    return Refused(
        HTTPStatus.METHOD_NOT_ALLOWED, f"this path takes {allowed}", headers={"Allow": allowed}
    )


def invalid(errors: Sequence[FieldError]) -> Refused:
    """422: each of the parameters at fault is named."""
    said = "; ".join(f"{error.field}: {error.message}" for error in errors)
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, said, errors=errors)


def bad_cursor() -> Refused:
    """400: the position is none that we gave out."""
    message = "is not one that this listing gave out"
    error = FieldError(field="cursor", message=message)
    return Refused(HTTPStatus.BAD_REQUEST, f"cursor {message}", errors=[error])


def shown(name: str) -> str:
    """A name from outside, fit to be repeated in an answer."""
    return name.encode(errors="replace").decode()[:MAX_SHOWN]


def failed_workflow(record: WorkflowRecord) -> Refused:
    """The problem of an execution that ended without a result.

    502 where an upstream is at fault, 422 where the request is, else 503: the next try is a new
    execution.
    """
    error = record.error or StepError(name="NoResult", message="it ended without a result")
    return failed(_NOUNS.get(record.kind, "workflow"), error, workflow_id=record.workflow_id)


def failed(what: str, error: StepError, *, workflow_id: str | None = None) -> Refused:
    """The problem of work that ended in an error, by the error's name."""
    if error.name in _names_below(UpstreamError):
        status = HTTPStatus.BAD_GATEWAY
    elif error.name == BadInput.__name__:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    else:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    return Refused(
        status,
        f"the {what} failed: {error.name}: {error.message}",
        workflow_id=workflow_id,
        error=error,
    )


def _names_below(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*(_names_below(child) for child in kind.__subclasses__()))
