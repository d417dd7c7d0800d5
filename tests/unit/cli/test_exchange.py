"""The typed client: shapes, errors, and what is sent again and what is not, sync and async."""

import asyncio
import inspect
import json
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints

import httpx
import pytest

from marquee.api import answers
from marquee.api.answers import Accepted, SearchAnswer
from marquee.api.routes import ROUTES
from marquee.movies.models import FilmRequest, SearchRequest
from marquee.tweets.run import RunRequest
from marquee_cli import client as client_module
from marquee_cli.client import (
    ApiError,
    AsyncClient,
    Client,
    KeyRefused,
    NothingThere,
    NotNow,
    StillRunning,
    TooManyRequests,
    Unavailable,
    Unreachable,
    Unreadable,
    WorkFailed,
    WrongRequest,
)
from marquee_cli.exchange import ATTEMPTS, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS

RRR = SearchRequest(movie_name="RRR")
ACCEPTED = {"workflow_id": "w", "status": "RUNNING", "joined": False, "status_url": "../w"}
STORED = {"movie_stored": True, "reviews_stored": 0, "duplicates": 0, "rejected": []}
EVENT = {"event_id": "e", "type": "Mine", "matches": []}
NO_STATS = {
    "coordinator_stats": {
        "api_calls": {
            **{"total": 0, "successful": 0, "failed": 0, "success_rate": None},
            **{"by_provider": {}, "cost_usd": 0},
        },
        "database_operations": {
            **{"total": 0, "failed": 0, "by_operation": {}},
            **{"read_units": 0, "write_units": 0},
        },
    },
    "trigger_history": [],
}
STATUS = {
    **{"workflow_id": "w", "kind": "movie_search", "status": "RUNNING", "stalled": False},
    **{"trigger": "api", "rerun_of": None, "input": {}, "started_at": "2026-03-14T20:00:00Z"},
    **{"correlation_id": None, "backfilled_at": None},
    **{"ended_at": None, "duration_ms": None, "steps": {}, "error": None, "result": None},
    "automation_stats": NO_STATS,
}
METHODS = {
    "handle_user_search": "searches.auto_search",
    "coordinate_data_collection": "halves.collect_data",
    "coordinate_database_operations": "halves.store",
    "get_automation_statistics": "automation.automation_stats",
    "reopen_provider": "providers.reopen",
    "register_trigger": "triggers.register_trigger",
    "trigger_event": "custom_events.put_event",
    "run_tweet_workflow": "runs.execute",
    "wait_for": "executions.workflow_status",
}
LOST = httpx.ReadTimeout("late")
UNBEGUN = httpx.ConnectError("nobody there")

type Said = httpx.Response | httpx.HTTPError


@dataclass
class Line:
    """An API that says one thing after the other, the last one for ever, and the time it takes."""

    said: list[Said]
    asked: list[httpx.Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, httpx.HTTPError):
            raise said
        return httpx.Response(said.status_code, headers=said.headers, content=said.content)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.asked]

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def now(self) -> float:
        return sum(self.pauses)

    def client(self, url: str = "https://api.test") -> Client:
        return Client(url, "key", httpx.MockTransport(self), now=self.now, pause=self.pause)


def ok(document: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)


def line(*said: Said) -> Line:
    return Line(list(said))


def calls(client: Client) -> dict[str, Callable[[], object]]:
    """A call of every method that may be sent again or may not."""
    return {
        "handle_user_search": lambda: client.handle_user_search(RRR),
        "coordinate_data_collection": lambda: client.coordinate_data_collection(RRR),
        "coordinate_database_operations": lambda: client.coordinate_database_operations({}),
        "get_automation_statistics": lambda: client.get_automation_statistics("1h"),
        "reopen_provider": lambda: client.reopen_provider("x"),
        "register_trigger": lambda: client.register_trigger("Mine", "https://me.test"),
        "trigger_event": lambda: client.trigger_event("Mine", {}),
        "run_tweet_workflow": lambda: client.run_tweet_workflow(),
    }


ONCE_ONLY = {"register_trigger", "trigger_event", "run_tweet_workflow"}


def outcome(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as failed:
        call()
    return failed.value


# ---- shapes


@pytest.mark.parametrize(("method", "route"), METHODS.items())
def test_each_method_answers_what_its_route_says(method: str, route: str) -> None:
    [declared] = [declared for declared in ROUTES if declared.name == route]
    asked = {kind.__name__: kind for kind in (FilmRequest, SearchRequest, RunRequest)}
    for kind in (Client, AsyncClient):
        function = getattr(kind, method)
        hints = get_type_hints(function, {**vars(client_module), **vars(answers), **asked})
        answer = hints["return"]
        united = get_origin(answer) in (Union, types.UnionType)
        shapes = {shape.__name__ for shape in (get_args(answer) if united else (answer,))}
        assert shapes == set(declared.answers.values())
    assert inspect.signature(getattr(Client, method)) == inspect.signature(
        getattr(AsyncClient, method)
    )


def test_a_search_that_is_done_and_one_that_goes_on_are_told_apart() -> None:
    result: dict[str, Any] = {
        **{"workflow_id": "w", "status": "SUCCEEDED", "movie": None, "message": "nothing"},
        **{"analysis": None, "recommendations": [], "sources": [], "candidates": []},
        "missing": [],
    }
    done = {"workflow_result": result, "automation_stats": NO_STATS}
    talk = line(ok(done), ok(ACCEPTED, 202))
    client = talk.client()
    first, second = (client.handle_user_search(RRR, wait_seconds=n) for n in (9, 0))
    assert isinstance(first, SearchAnswer)
    assert first.workflow_result.message == "nothing"
    assert isinstance(second, Accepted)
    assert [body["wait_seconds"] for body in talk.bodies] == [9, 0]
    assert talk.bodies[0] == RRR.model_dump(exclude_none=True) | {"wait_seconds": 9}


def test_what_is_left_out_is_not_sent() -> None:
    talk = line(ok(ACCEPTED, 202))
    client = talk.client()
    client.run_tweet_workflow()
    client.run_tweet_workflow(RunRequest(count=3))
    assert talk.bodies == [{}, {"count": 3}]
    talk = line(ok(EVENT))
    talk.client().trigger_event("Mine", {"kept": None})
    assert talk.bodies == [{"type": "Mine", "detail": {"kept": None}}]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (ok({"movie_stored": True}), "200: the answer is no StoredData: reviews_stored"),
        (ok(STORED, 203), "203: /api/orchestrator/store never answers so"),
        (ok([]), "200: the answer is no JSON object"),
        (httpx.Response(418), "418: I'm a teapot"),
    ],
)
def test_an_answer_that_is_none_of_this_api_is_said(said: httpx.Response, message: str) -> None:
    error = outcome(calls(line(said).client())["coordinate_database_operations"])
    assert (type(error), str(error)) == (Unreadable, message)


# ---- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, WrongRequest),
        (401, KeyRefused),
        (403, KeyRefused),
        (404, NothingThere),
        (405, WrongRequest),
        (409, NotNow),
        (413, WrongRequest),
        (415, WrongRequest),
        (422, WrongRequest),
        (429, TooManyRequests),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_each_refusal_is_an_error_of_its_own(status: int, kind: type[ApiError]) -> None:
    error = outcome(calls(line(ok({"detail": "why"}, status)).client())["trigger_event"])
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith(f"{status}: why")


def test_a_wrong_request_says_what_is_wrong_by_name() -> None:
    faults = [{"field": "year", "message": "is too early"}, "nonsense"]
    error = outcome(calls(line(ok({"errors": faults}, 422)).client())["handle_user_search"])
    assert isinstance(error, WrongRequest)
    assert error.fields == {"year": "is too early"}


def test_work_that_failed_is_not_an_api_that_is_out_of_order() -> None:
    cause = {"name": "UpstreamTimeout", "message": "tmdb did not answer"}
    problem = {"detail": "the search failed", "workflow_id": "w", "error": cause}
    talk = line(ok(problem, 502))
    error = outcome(calls(talk.client())["handle_user_search"])
    assert isinstance(error, WorkFailed)
    assert (error.error, error.message, error.workflow_id) == (*cause.values(), "w")
    assert len(talk.asked) == 1


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = inspect.getdoc(ApiError) or ""
    kinds = {kind.__name__ for kind in every_kind(ApiError)}
    assert {word for word in drawn.replace("├──", "└──").split() if word in kinds} == kinds
    assert kinds | {"ApiError"} <= set(client_module.__all__)


def every_kind(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for child in kind.__subclasses__():
        yield child
        yield from every_kind(child)


# ---- what is sent again


@pytest.mark.parametrize("method", [name for name in METHODS if name != "wait_for"])
@pytest.mark.parametrize(
    "trouble", [LOST, httpx.ReadError("reset"), *map(httpx.Response, (502, 503, 504))]
)
def test_a_lost_answer_is_asked_for_again_where_that_does_nothing_twice(
    method: str, trouble: Said
) -> None:
    talk = line(trouble)
    outcome(calls(talk.client())[method])
    assert len(talk.asked) == (1 if method in ONCE_ONLY else ATTEMPTS)
    assert len({request.content for request in talk.asked}) == 1


@pytest.mark.parametrize("method", [name for name in METHODS if name != "wait_for"])
@pytest.mark.parametrize("trouble", [UNBEGUN, httpx.PoolTimeout("full"), httpx.Response(429)])
def test_what_was_certainly_not_begun_is_always_asked_again(method: str, trouble: Said) -> None:
    talk = line(trouble)
    outcome(calls(talk.client())[method])
    assert len(talk.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_a_refusal_for_good_is_not_asked_again(status: int) -> None:
    talk = line(httpx.Response(status))
    outcome(calls(talk.client())["coordinate_database_operations"])
    assert (len(talk.asked), talk.pauses) == (1, [])


def test_an_answer_that_comes_later_is_the_answer() -> None:
    talk = line(LOST, httpx.Response(503), ok(STORED))
    stored = talk.client().coordinate_database_operations({"tmdb_id": 1})
    assert stored.movie_stored
    first, second = talk.pauses
    assert 0 <= first <= FIRST_WAIT_SECONDS
    assert 0 <= second <= 2 * FIRST_WAIT_SECONDS


def test_the_api_says_when_to_come_again() -> None:
    soon = httpx.Response(503, headers={"Retry-After": "5"})
    talk = line(soon, ok(STORED))
    talk.client().coordinate_database_operations({})
    [pause] = talk.pauses
    assert 5 <= pause <= 5 + FIRST_WAIT_SECONDS
    late = httpx.Response(503, headers={"Retry-After": f"{LONGEST_WAIT_SECONDS + 1:.0f}"})
    talk = line(late)
    error = outcome(calls(talk.client())["coordinate_database_operations"])
    assert isinstance(error, Unavailable)
    assert error.retry_after == LONGEST_WAIT_SECONDS + 1
    assert len(talk.asked) == 1
    a_date = httpx.Response(503, headers={"Retry-After": "Sat, 14 Mar 2026 20:00:00 GMT"})
    talk = line(a_date, ok(STORED))
    assert talk.client().coordinate_database_operations({}).movie_stored


def test_where_nobody_listens_on_this_machine_nobody_will_in_a_second() -> None:
    talk = line(UNBEGUN)
    error = outcome(calls(talk.client("http://127.0.0.1:4566"))["get_automation_statistics"])
    assert isinstance(error, Unreachable)
    assert "marquee up" in str(error)
    assert len(talk.asked) == 1


# ---- waiting


def test_an_execution_is_waited_for_until_it_has_ended() -> None:
    gone = ok({"detail": "no such workflow"}, 404)
    talk = line(gone, ok(STATUS), LOST, LOST, LOST, ok({**STATUS, "status": "FAILED"}))
    ended = talk.client().wait_for("a/b")
    assert ended.status == "FAILED"
    assert talk.asked[0].url.raw_path == b"/workflow/status/a%2Fb"


def test_one_that_stalled_is_waited_for_no_longer() -> None:
    talk = line(ok({**STATUS, "stalled": True}))
    assert talk.client().wait_for("w").stalled
    assert len(talk.asked) == 1


def test_waiting_ends_when_its_time_is_up() -> None:
    talk = line(ok(STATUS))
    with pytest.raises(StillRunning, match="w has not ended within 60 s") as still:
        talk.client().wait_for("w", seconds=60)
    assert still.value.workflow_id == "w"
    assert talk.now() == pytest.approx(60)
    assert len(talk.asked) < 40


def test_an_api_that_stays_away_is_what_waiting_ends_with() -> None:
    with pytest.raises(Unreachable):
        line(LOST).client().wait_for("w", seconds=20)
    with pytest.raises(NothingThere):
        line(httpx.Response(404)).client().wait_for("w", seconds=20)
    with pytest.raises(KeyRefused):
        line(httpx.Response(403)).client().wait_for("w", seconds=20)


# ---- async


def test_the_async_client_says_and_hears_the_same() -> None:
    talk = line(
        *(ok(ACCEPTED, 202), ok(STORED), ok(EVENT), ok(ACCEPTED, 202)),
        *(httpx.Response(429), ok({**STATUS, "status": "SUCCEEDED"})),
    )

    async def answer(request: httpx.Request) -> httpx.Response:
        return talk(request)

    async def say() -> list[Any]:
        transport = httpx.MockTransport(answer)
        async with AsyncClient("https://api.test", "key", transport) as client:
            return [
                await client.handle_user_search(RRR),
                await client.coordinate_database_operations({"tmdb_id": 1}, [{"n": 1}]),
                await client.trigger_event("Mine", {}),
                await client.run_tweet_workflow(),
                await client.wait_for("w"),
            ]

    heard = asyncio.run(say())
    kinds = [type(answer).__name__ for answer in heard]
    assert kinds == ["Accepted", "StoredData", "EventAnswer", "Accepted", "WorkflowStatus"]
    assert all(request.headers["x-api-key"] == "key" for request in talk.asked)
    assert len(talk.asked) == 6


def test_the_async_client_raises_the_same() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late")

    async def say() -> None:
        transport = httpx.MockTransport(answer)
        async with AsyncClient("https://api.test", "key", transport) as client:
            await client.register_trigger("Mine", "https://me.test", filter={"a": 1})

    with pytest.raises(Unreachable):
        asyncio.run(say())
