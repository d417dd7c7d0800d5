"""What is said to the API and what its answers mean, apart from how the bytes travel.

An exchange is a generator: it yields a request (Ask) or a wait (Pause), is handed the response, or
the httpx error that came instead, and returns what was answered. The clients, sync and async, only
carry it out.

Method, path and shapes come from the API's own table of routes, and the answers are its own models.

What is tried again, up to ATTEMPTS times: any request that was certainly not begun (429, no
connection); and, where an answer was lost or the API was out of order (reset, timeout, 502, 503,
504), every GET and those that the API itself does once however often they are sent:

- a search: an equal one in flight or just done is joined;
- collecting: what is stored already is stored once, and X is asked for newer posts only;
- storing a film and reviews: each under a key of its own;
- reopening a provider: one that is open stays so.

Starting a run, registering a callback and putting an event are none of these: sent twice, they
happen twice.
"""

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from marquee.api.routes import ROUTES

if TYPE_CHECKING:
    from marquee.api.answers import (
        Accepted,
        CollectedData,
        EventAnswer,
        InstallationStats,
        Reopened,
        SearchAnswer,
        StoredData,
        TriggerCreated,
        WorkflowStatus,
    )
    from marquee.movies.models import FilmRequest, SearchRequest
    from marquee.tweets.run import RunRequest

ATTEMPTS = 3

FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt, at most: the wait is drawn, so that clients do not come in step."""

LONGEST_WAIT_SECONDS = 10.0
"""An answer that says Retry-After longer than this is handed on instead."""

FIRST_POLL_SECONDS = 0.3
LONGEST_POLL_SECONDS = 2.0
POLL_GROWTH = 1.3
"""Steps take a second or so, and runs take minutes."""

RECORDED_WITHIN_SECONDS = 5.0
"""A read that is eventually consistent may not find yet what was started a moment ago."""

type Document = dict[str, Any]
type Window = Literal["1h", "24h", "7d"]
"""What statistics may cover."""

type Given = Mapping[str, Any] | BaseModel


class ApiError(Exception):
    """What the API refused, or that it could not be reached.

    ``status`` is that of the answer, None where none arrived::

        ApiError
        ├── Unreachable      no answer: not connected, reset, or too late
        ├── Unavailable      500, 502, 503, 504: out of order, perhaps not for long
        ├── TooManyRequests  429: nothing was done
        ├── KeyRefused       401, 403: the key is not this API's
        ├── WrongRequest     400, 405, 413, 415, 422: ``fields`` says what is wrong
        ├── NothingThere     404
        ├── NotNow           409: the thing is in a state that does not allow it
        ├── WorkFailed       the work ended in an error: ``error``, ``message``, ``workflow_id``
        ├── Unreadable       an answer that is not one of this API
        └── StillRunning     the time of ``wait_for`` is up: ``workflow_id``
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(ApiError):
    """No answer arrived; ``begun`` is False where the request certainly did not either."""

    def __init__(self, message: str, *, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class Unavailable(ApiError):
    """Out of order; ``retry_after`` seconds where it says so."""

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class TooManyRequests(Unavailable):
    """The key's rate or quota is used up; nothing was done."""


class KeyRefused(ApiError):
    """The key is missing or not this API's."""


class WrongRequest(ApiError):
    """The request is at fault; ``fields`` has what is wrong by parameter."""

    def __init__(self, message: str, status: int, fields: Mapping[str, str]) -> None:
        super().__init__(message, status)
        self.fields = fields


class NothingThere(ApiError):
    """Nothing is known under that name."""


class NotNow(ApiError):
    """What is asked for does not fit the state of the thing."""


class WorkFailed(ApiError):
    """The work ended in an error of this name; ``workflow_id`` where it was an execution."""

    def __init__(self, said: str, status: int, error: Document, workflow_id: str | None) -> None:
        super().__init__(said, status)
        self.error = str(error.get("name", ""))
        self.message = str(error.get("message", ""))
        self.workflow_id = workflow_id


class Unreadable(ApiError):
    """The answer is not one that this API gives."""


class StillRunning(ApiError):
    """The execution goes on, and the time to wait for it is up."""

    def __init__(self, workflow_id: str, seconds: float) -> None:
        super().__init__(f"{workflow_id} has not ended within {seconds:.0f} s")
        self.workflow_id = workflow_id


@dataclass(frozen=True)
class Ask:
    """One request; ``repeatable`` if sent twice it does no more than sent once."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, str | int] | None = None
    repeatable: bool = False


@dataclass(frozen=True)
class Pause:
    """A wait."""

    seconds: float


type Exchange[T] = Generator[Ask | Pause, httpx.Response | None, T]


class Api:
    """The exchanges with the API at one address."""

    def __init__(
        self, url: str, *, is_local: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url.rstrip("/")
        self._is_local = is_local
        self._now = now

    def handle_user_search(
        self, request: "SearchRequest", wait_seconds: int
    ) -> "Exchange[SearchAnswer | Accepted]":
        """See Client."""
        body = _said(request) | {"wait_seconds": wait_seconds}
        return self._call("searches.auto_search", body=body, repeatable=True)

    def coordinate_data_collection(self, request: "FilmRequest") -> "Exchange[CollectedData]":
        """See Client."""
        return self._call("halves.collect_data", body=_said(request), repeatable=True)

    def coordinate_database_operations(
        self, movie: Given, reviews: Sequence[Given]
    ) -> "Exchange[StoredData]":
        """See Client."""
        body = {"movie": _said(movie), "reviews": [_said(review) for review in reviews]}
        return self._call("halves.store", body=body, repeatable=True)

    def get_automation_statistics(self, window: Window) -> "Exchange[InstallationStats]":
        """See Client."""
        return self._call("automation.automation_stats", parameters={"window": window})

    def reopen_provider(self, provider: str) -> "Exchange[Reopened]":
        """See Client."""
        return self._call("providers.reopen", {"provider": provider}, body={}, repeatable=True)

    def register_trigger(
        self, event_type: str, url: str, secret: str | None, filter_: Mapping[str, Any] | None
    ) -> "Exchange[TriggerCreated]":
        """See Client."""
        body = {"event_type": event_type, "url": url, "secret": secret, "filter": filter_}
        return self._call("triggers.register_trigger", body=_said(body))

    def trigger_event(self, kind: str, detail: Mapping[str, Any]) -> "Exchange[EventAnswer]":
        """See Client."""
        body = {"type": kind, "detail": dict(detail)}
        return self._call("custom_events.put_event", body=body)

    def run_tweet_workflow(self, request: "RunRequest | None") -> "Exchange[Accepted]":
        """See Client."""
        return self._call("runs.execute", body=_said(request) if request else {})

    def wait_for(self, workflow_id: str, seconds: float) -> "Exchange[WorkflowStatus]":
        """See Client."""
        began = self._now()
        wait = FIRST_POLL_SECONDS
        while True:
            missed: ApiError | None = None
            try:
                status: WorkflowStatus = yield from self._call(
                    "executions.workflow_status", {"workflow_id": workflow_id}
                )
                if status.stalled or status.status != "RUNNING":
                    return status
            except NothingThere as error:
                if self._now() - began >= RECORDED_WITHIN_SECONDS:
                    raise
                missed = error
            except (Unreachable, Unavailable) as error:
                missed = error
            left = began + seconds - self._now()
            if left <= 0:
                raise missed or StillRunning(workflow_id, seconds)
            yield Pause(min(wait, left))
            wait = min(wait * POLL_GROWTH, LONGEST_POLL_SECONDS)

    def document(self, ask: Ask) -> Exchange[tuple[int, Document]]:
        """The status and the JSON object of a success; raises ApiError for anything else."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = yield ask
                return self._answer(response)
            except httpx.HTTPError as error:
                failure: ApiError = self._unreachable(error)
            except ApiError as error:
                failure = error
            wait = self._wait(ask, failure, attempt)
            if wait is None:
                raise failure
            yield Pause(wait)
        raise AssertionError("the last attempt returns or raises")

    def _call(
        self,
        name: str,
        path_values: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str | int] | None = None,
        repeatable: bool = False,
    ) -> Exchange[Any]:
        """Call the route of that name, and read its answer as the shape that the route says."""
        from marquee.api import answers

        route = next(route for route in ROUTES if route.name == name)
        path = route.path
        for part, value in (path_values or {}).items():
            path = path.replace(f"{{{part}}}", as_part(value))
        status, document = yield from self.document(
            Ask(route.method, path, body, parameters, repeatable)
        )
        shape = route.answers.get(status)
        if shape is None:
            raise Unreadable(f"{status}: {path} never answers so", status)
        model: type[BaseModel] = getattr(answers, shape)
        try:
            return model.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise Unreadable(f"{status}: the answer is no {shape}: {field}", status) from error

    def _wait(self, ask: Ask, failure: ApiError, attempt: int) -> float | None:
        """How long to wait before the next attempt; None where there is none."""
        if attempt == ATTEMPTS or not self._is_worth_repeating(ask, failure):
            return None
        drawn = random.uniform(0, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))  # noqa: S311 - no secret
        told = failure.retry_after if isinstance(failure, Unavailable) else None
        if told is None:
            return drawn
        return told + drawn if told <= LONGEST_WAIT_SECONDS else None

    def _is_worth_repeating(self, ask: Ask, failure: ApiError) -> bool:
        again = ask.repeatable or ask.method == "GET"
        match failure:
            case TooManyRequests():
                return True
            case Unavailable():
                return again and failure.status != HTTPStatus.INTERNAL_SERVER_ERROR
            case Unreachable(begun=False):
                # On this machine nobody listens there, and nobody will in a second.
                return not self._is_local
            case Unreachable():
                return again
        return False

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        hint = ". Is the cloud up? `marquee up` starts it" if self._is_local else ""
        unbegun = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        return Unreachable(
            f"{self.url} does not answer ({type(error).__name__}){hint}",
            begun=not isinstance(error, unbegun),
        )

    def _answer(self, response: httpx.Response | None) -> tuple[int, Document]:
        if response is None:
            raise AssertionError("a request is answered by a response")
        document = _json_object(response)
        if response.is_success and document is not None:
            return response.status_code, document
        raise self._refusal(response, document or {})

    def _refusal(self, response: httpx.Response, problem: Document) -> ApiError:
        """What went wrong, from a problem document or from API Gateway's ``message``."""
        status = response.status_code
        if response.is_success:
            return Unreadable(f"{status}: the answer is no JSON object", status)
        if response.has_redirect_location:
            to = response.headers["Location"]
            return Unreadable(
                f"{status}: {self.url} sends us on to {to}, which gets no key", status
            )
        said = problem.get("detail") or problem.get("message") or response.reason_phrase
        message = f"{status}: {said}"
        match problem.get("error"):
            case dict() as error:
                return WorkFailed(message, status, error, problem.get("workflow_id"))
        match status:
            case 401 | 403:
                hint = "`marquee up` renews the key." if self._is_local else "Is the key its own?"
                return KeyRefused(f"{message}. {hint}", status)
            case 400 | 405 | 413 | 415 | 422:
                return WrongRequest(message, status, _fields(problem))
            case 404:
                return NothingThere(message, status)
            case 409:
                return NotNow(message, status)
            case 429:
                return TooManyRequests(message, status, _retry_after(response))
            case 500 | 502 | 503 | 504:
                return Unavailable(message, status, _retry_after(response))
        return Unreadable(message, status)


def as_part(name: str) -> str:
    """The name as one part of a path, whatever is in it."""
    return quote(name, safe="")


def _said(given: Given) -> Document:
    """What was given, without what was left out."""
    if isinstance(given, BaseModel):
        return given.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in given.items() if value is not None}


def _fields(problem: Document) -> dict[str, str]:
    errors = problem.get("errors")
    found = (
        [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    )
    return {str(error.get("field")): str(error.get("message")) for error in found}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; None where there is no such header, or a date."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _json_object(response: httpx.Response) -> Document | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
