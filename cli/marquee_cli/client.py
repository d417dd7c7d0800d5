"""The REST API from Python, typed: sync and async, and what the command line itself uses.

    with Client(url, key) as client:
        started = client.run_tweet_workflow()
        ended = client.wait_for(started.workflow_id)

Requests and answers are the API's own models (``marquee.api.answers``). Everything raises ApiError,
whose subclasses say why; what is tried again, and what is not, is told in ``marquee_cli.exchange``.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

import httpx

from marquee_cli.exchange import (
    Api,
    ApiError,
    Ask,
    Exchange,
    Given,
    KeyRefused,
    NothingThere,
    NotNow,
    Pause,
    StillRunning,
    TooManyRequests,
    Unavailable,
    Unreachable,
    Unreadable,
    Window,
    WorkFailed,
    WrongRequest,
    as_part,
)

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

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "KeyRefused",
    "NotNow",
    "NothingThere",
    "StillRunning",
    "TooManyRequests",
    "Unavailable",
    "Unreachable",
    "Unreadable",
    "WorkFailed",
    "WrongRequest",
    "is_loopback",
]

ANSWER_WITHIN_SECONDS = 35.0
"""Of one attempt; above the 29 s after which API Gateway gives up."""

PAGE = 100
"""Entries that one request of a listing asks for: the most that the API gives."""

SEARCH_WAIT_SECONDS = 20
"""What the API waits for a search by default."""

WAIT_SECONDS = 900.0
"""A search takes seconds, a run minutes; one that waits for a person's word takes longer."""


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine, so that nobody else sees what is sent there."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _options(url: str, key: str, timeout: float) -> dict[str, Any]:
    """Of an httpx client.

    A redirect is not followed: the key is for this address alone. On loopback a proxy of the
    environment has no business.
    """
    return {
        "headers": {"x-api-key": key},
        "timeout": timeout,
        "trust_env": not is_loopback(url),
        "follow_redirects": False,
    }


class Client:
    """The API at ``url``; ``timeout`` is that of one attempt, in seconds."""

    def __init__(
        self,
        url: str,
        key: str,
        transport: httpx.BaseTransport | None = None,
        *,
        timeout: float = ANSWER_WITHIN_SECONDS,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(transport=transport, **_options(url, key, timeout))
        self._api = Api(url, is_local=is_loopback(url), now=now)
        self._pause = pause

    def handle_user_search(
        self, request: "SearchRequest", *, wait_seconds: int = SEARCH_WAIT_SECONDS
    ) -> "SearchAnswer | Accepted":
        """Search for a film, or join the equal search; Accepted where it takes longer than that.

        Raises WorkFailed for a search that ended without a result.
        """
        return self._carry_out(self._api.handle_user_search(request, wait_seconds))

    def coordinate_data_collection(self, request: "FilmRequest") -> "CollectedData":
        """What TMDB and the other sources say about a film, and each source's error.

        Raises WorkFailed where the film could not even be looked for.
        """
        return self._carry_out(self._api.coordinate_data_collection(request))

    def coordinate_database_operations(
        self, movie: Given, reviews: Sequence[Given] = ()
    ) -> "StoredData":
        """Store a film and reviews from elsewhere, or those that were collected, each once.

        Raises WrongRequest for a film that is wrong; a review that is, is in ``rejected``.
        """
        return self._carry_out(self._api.coordinate_database_operations(movie, reviews))

    def get_automation_statistics(self, window: Window = "24h") -> "InstallationStats":
        """What was done in that time: calls, requests, executions, triggers, quota and cost."""
        return self._carry_out(self._api.get_automation_statistics(window))

    def reopen_provider(self, provider: str) -> "Reopened":
        """Let a provider be paid again that answered 402 and is mended."""
        return self._carry_out(self._api.reopen_provider(provider))

    def register_trigger(
        self,
        event_type: str,
        url: str,
        *,
        secret: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> "TriggerCreated":
        """Have ``url`` called for each event of a type; keep the secret, it is said this once."""
        return self._carry_out(self._api.register_trigger(event_type, url, secret, filter))

    def trigger_event(self, type: str, detail: Mapping[str, Any]) -> "EventAnswer":
        """Put an event on the bus; answers which callbacks it matches."""
        return self._carry_out(self._api.trigger_event(type, detail))

    def run_tweet_workflow(self, request: "RunRequest | None" = None) -> "Accepted":
        """Start a run of the tweet pipeline, or join the equal one that goes on."""
        return self._carry_out(self._api.run_tweet_workflow(request))

    def wait_for(self, workflow_id: str, *, seconds: float = WAIT_SECONDS) -> "WorkflowStatus":
        """How an execution ended, whichever way; or that it stalled.

        Raises StillRunning where it has not ended by then, NothingThere where there is none.
        """
        return self._carry_out(self._api.wait_for(workflow_id, seconds))

    # What the commands use: documents as they were sent, for who shows or hands them on.

    def search(self, request: Mapping[str, Any], *, wait_seconds: int) -> dict[str, Any]:
        """The finished search, or its ``workflow_id`` and ``status_url`` where it still runs."""
        body = {**request, "wait_seconds": wait_seconds}
        return self._document(Ask("POST", "/api/orchestrator/auto-search", body, repeatable=True))

    def execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run of the tweet pipeline or join the equal one: ``workflow_id``, ``joined``."""
        return self._document(Ask("POST", "/workflow/execute", request))

    def status(self, workflow_id: str) -> dict[str, Any]:
        """The record of an execution, with its result once it has ended."""
        return self._document(Ask("GET", f"/workflow/status/{as_part(workflow_id)}"))

    def status_url(self, workflow_id: str) -> str:
        """Where ``status`` asks."""
        return f"{self._api.url}/workflow/status/{as_part(workflow_id)}"

    def cancel(self, workflow_id: str) -> dict[str, Any]:
        """End an execution; NotNow where it has ended."""
        return self._document(Ask("POST", f"/workflow/{as_part(workflow_id)}/cancel", {}))

    def rerun(self, workflow_id: str, *, from_step: str | None) -> dict[str, Any]:
        """Start an ended execution's request again, from a step or whole: ``workflow_id``."""
        body = {"from_step": from_step} if from_step else {}
        return self._document(Ask("POST", f"/workflow/{as_part(workflow_id)}/rerun", body))

    def cleanup(self, *, older_than_days: int) -> dict[str, Any]:
        """Delete ended executions' records: how many, and whether there is ``more``."""
        parameters = {"older_than_days": older_than_days}
        return self._document(Ask("DELETE", "/workflow/cleanup", parameters=parameters))

    def approvals(self) -> Iterator[dict[str, Any]]:
        """What waits for a person's word."""
        return self._pages("/workflow/approvals", "approvals")

    def decide_approval(self, approval_id: str, decision: Mapping[str, Any]) -> dict[str, Any]:
        """The approval as decided; NotNow where it is decided otherwise."""
        return self._document(Ask("POST", f"/workflow/approvals/{as_part(approval_id)}", decision))

    def tweets(self, *, username: str | None, status: str | None) -> Iterator[dict[str, Any]]:
        """An account's tweets, newest first; without a name, the default account's."""
        given = {"username": username, "status": status}
        parameters = {name: value for name, value in given.items() if value is not None}
        return self._pages("/tweets", "tweets", parameters)

    def posts(self, account: str) -> Iterator[dict[str, Any]]:
        """The ledger of a posting account, newest first."""
        return self._pages(f"/posts/{as_part(account)}", "posts")

    def decide_post(
        self, account: str, tweet_id: str, decision: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Settle a post that needs a person: ``state``, ``reason`` and, of POSTED, ``post_id``."""
        return self._document(
            Ask("POST", f"/posts/{as_part(account)}/{as_part(tweet_id)}", decision)
        )

    def queue(self, *, state: str) -> Iterator[dict[str, Any]]:
        """Films whose reviews are collected later, the next one first."""
        return self._pages("/api/orchestrator/queue", "entries", {"state": state})

    def run_queue(self) -> dict[str, Any]:
        """Collect them now, or join the run that does: ``workflow_id``, ``joined``."""
        return self._document(Ask("POST", "/api/orchestrator/queue/run", {}, repeatable=True))

    def health(self) -> dict[str, Any]:
        """What is configured, and which parts answer."""
        return self._document(Ask("GET", "/workflow/health"))

    def executions(self, *, kind: str, status: str) -> Iterator[dict[str, Any]]:
        """Executions of a kind with that status, newest first."""
        return self._pages("/workflow/list", "workflows", {"kind": kind, "status": status})

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _pages(
        self, path: str, name: str, parameters: Mapping[str, str | int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every entry of a listing; the next page is asked for when it is needed."""
        cursor: str | None = None
        while True:
            given = {"limit": PAGE, **(parameters or {})} | ({"cursor": cursor} if cursor else {})
            answer = self._document(Ask("GET", path, parameters=given))
            entries = answer.get(name)
            if not isinstance(entries, list):
                raise Unreadable(f"the answer lists no {name}")
            yield from entries
            cursor = answer.get("next_cursor")
            if cursor is None:
                return

    def _document(self, ask: Ask) -> dict[str, Any]:
        _, document = self._carry_out(self._api.document(ask))
        return document

    def _carry_out[T](self, exchange: Exchange[T]) -> T:
        try:
            wish = next(exchange)
            while True:
                if isinstance(wish, Pause):
                    self._pause(wish.seconds)
                    wish = exchange.send(None)
                    continue
                try:
                    response = self._http.request(**_sent(self._api.url, wish))
                except httpx.HTTPError as error:
                    wish = exchange.throw(error)
                else:
                    wish = exchange.send(response)
        except StopIteration as end:
            answer: T = end.value
            return answer


class AsyncClient:
    """The same for asyncio; each method is that of Client."""

    def __init__(
        self,
        url: str,
        key: str,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        timeout: float = ANSWER_WITHIN_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **_options(url, key, timeout))
        self._api = Api(url, is_local=is_loopback(url), now=now)

    async def handle_user_search(
        self, request: "SearchRequest", *, wait_seconds: int = SEARCH_WAIT_SECONDS
    ) -> "SearchAnswer | Accepted":
        """See Client."""
        return await self._carry_out(self._api.handle_user_search(request, wait_seconds))

    async def coordinate_data_collection(self, request: "FilmRequest") -> "CollectedData":
        """See Client."""
        return await self._carry_out(self._api.coordinate_data_collection(request))

    async def coordinate_database_operations(
        self, movie: Given, reviews: Sequence[Given] = ()
    ) -> "StoredData":
        """See Client."""
        return await self._carry_out(self._api.coordinate_database_operations(movie, reviews))

    async def get_automation_statistics(self, window: Window = "24h") -> "InstallationStats":
        """See Client."""
        return await self._carry_out(self._api.get_automation_statistics(window))

    async def reopen_provider(self, provider: str) -> "Reopened":
        """See Client."""
        return await self._carry_out(self._api.reopen_provider(provider))

    async def register_trigger(
        self,
        event_type: str,
        url: str,
        *,
        secret: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> "TriggerCreated":
        """See Client."""
        return await self._carry_out(self._api.register_trigger(event_type, url, secret, filter))

    async def trigger_event(self, type: str, detail: Mapping[str, Any]) -> "EventAnswer":
        """See Client."""
        return await self._carry_out(self._api.trigger_event(type, detail))

    async def run_tweet_workflow(self, request: "RunRequest | None" = None) -> "Accepted":
        """See Client."""
        return await self._carry_out(self._api.run_tweet_workflow(request))

    async def wait_for(
        self, workflow_id: str, *, seconds: float = WAIT_SECONDS
    ) -> "WorkflowStatus":
        """See Client."""
        return await self._carry_out(self._api.wait_for(workflow_id, seconds))

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def _carry_out[T](self, exchange: Exchange[T]) -> T:
        try:
            wish = next(exchange)
            while True:
                if isinstance(wish, Pause):
                    await asyncio.sleep(wish.seconds)
                    wish = exchange.send(None)
                    continue
                try:
                    response = await self._http.request(**_sent(self._api.url, wish))
                except httpx.HTTPError as error:
                    wish = exchange.throw(error)
                else:
                    wish = exchange.send(response)
        except StopIteration as end:
            answer: T = end.value
            return answer


def _sent(url: str, ask: Ask) -> dict[str, Any]:
    """The request as httpx takes it."""
    parts = {"json": ask.body, "params": ask.parameters}
    return {"method": ask.method, "url": url + ask.path, **parts}
