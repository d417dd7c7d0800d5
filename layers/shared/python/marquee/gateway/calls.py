"""One HTTP call to an upstream: admitted, with a deadline, no retries, errors by class, counted."""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from marquee.clock import in_utc, now
from marquee.errors import (
    CredentialsRefused,
    CreditsDepleted,
    Misconfigured,
    RateLimited,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.admission import Call, admitted
from marquee.observability import Stopwatch, current_tally, logger
from marquee.settings import HTTP_TIMEOUT_SECONDS

if TYPE_CHECKING:
    import httpx

# httpx is imported at the first call: a step that finds all it needs stored starts without it.

USER_AGENT = "Marquee/0.1"

# At INFO httpx logs every URL, and TMDB's v3 key is a parameter of it.
logging.getLogger("httpx").setLevel(logging.WARNING)

_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: CredentialsRefused,
    402: CreditsDepleted,
    403: CredentialsRefused,
    404: UpstreamNotFound,
    408: UpstreamTimeout,
}


@dataclass(frozen=True)
class Upstream:
    """Where a provider answers and how it knows us; ``repr`` shows no credential.

    Raises Misconfigured for a credential that no header can carry: httpx would quote it.
    """

    provider: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not all(value.isascii() and value.isprintable() for value in self.headers.values()):
            raise Misconfigured(f"the credential for {self.provider} holds a stray character")


@dataclass(frozen=True)
class Answer:
    """A 2xx answer: its JSON, and its headers with names in lower case."""

    body: Any
    headers: Mapping[str, str]


@cache
def http_client() -> "httpx.Client":
    """The client of this process: connections are reused over warm invocations."""
    import httpx

    return httpx.Client(
        timeout=HTTP_TIMEOUT_SECONDS,
        headers={"user-agent": USER_AGENT},
        verify=ssl.create_default_context(),
    )


def call(
    upstream: Upstream,
    endpoint: str,
    path: str,
    *,
    params: Mapping[str, str | int] | None = None,
    method: str = "GET",
    json: Any = None,
    price: Callable[[Any], float] | None = None,
    most_usd: float = 0.0,
    client: "httpx.Client | None" = None,
) -> Answer:
    """Send one request and return its answer.

    ``endpoint`` is the name the call is counted under, without ids ("search/movie"). ``price``
    takes the answer's JSON and returns what the upstream charges for it in USD, ``most_usd`` at
    most. Raises a subclass of UpstreamError for anything but a 2xx with JSON; error texts carry no
    query and no credential. Raises what `admission.admitted` raises, and then nothing was sent.
    """
    with admitted(upstream.provider, endpoint, most_usd=most_usd) as admission:
        response, watch = _send(
            admission,
            upstream,
            endpoint,
            client,
            method=method,
            url=upstream.base_url + path,
            params={**upstream.params, **(params or {})},
            headers=dict(upstream.headers),
            json=json,
        )
        try:
            raise_for_status(upstream.provider, endpoint, response)
            body = _body(upstream.provider, endpoint, response)
        except UpstreamError as error:
            _count_failure(error, watch)
            raise
        admission.usd = price(body) if price else 0.0
        current_tally().add_call(upstream.provider, endpoint, ms=watch.ms, usd=admission.usd)
        return Answer(body, response.headers)


def _send(
    admission: Call,
    upstream: Upstream,
    endpoint: str,
    client: "httpx.Client | None",
    **request: Any,
) -> "tuple[httpx.Response, Stopwatch]":
    """The answer of any status; UpstreamError, counted, where there is none."""
    import httpx

    watch = Stopwatch()
    try:
        response = (client or http_client()).request(**request)
    except httpx.HTTPError as error:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            admission.usd = 0.0  # nothing left
        named = _unanswered(error, upstream.provider, endpoint)
        _count_failure(named, watch)
        raise named from error
    admission.headers = response.headers
    return response, watch


def _unanswered(error: "httpx.HTTPError", provider: str, endpoint: str) -> UpstreamError:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        message = f"no answer within {HTTP_TIMEOUT_SECONDS:.0f} s"
        return UpstreamTimeout(message, provider=provider, endpoint=endpoint)
    message = f"the connection failed ({type(error).__name__})"
    return UpstreamUnavailable(message, provider=provider, endpoint=endpoint)


def _count_failure(error: UpstreamError, watch: Stopwatch) -> None:
    name = type(error).__name__
    current_tally().add_call(error.provider, error.endpoint, error=name, ms=watch.ms)
    logger.warning(
        "upstream call failed",
        provider=error.provider,
        endpoint=error.endpoint,
        status=error.status,
        error=name,
    )


class HttpAnswer(Protocol):
    """An answer as httpx and requests give it; header names in any case."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    def json(self) -> Any:
        """The body; ValueError where it is no JSON."""


def raise_for_status(provider: str, endpoint: str, response: HttpAnswer) -> None:
    """Raise the subclass of UpstreamError that the status stands for; nothing for a 2xx."""
    status = response.status_code
    if 200 <= status < 300:
        return
    retry_at = _retry_at(status, response.headers)
    if status == 429:
        raise RateLimited(
            "rate limit reached", provider=provider, endpoint=endpoint, retry_at=retry_at
        )
    kind = _BY_STATUS.get(status, UpstreamRefused if 400 <= status < 500 else UpstreamUnavailable)
    said = _said(response)
    if kind is UpstreamNotFound and not said:
        # Not the API's word on an id, but that of something before it: an outage, not an absence.
        kind = UpstreamUnavailable
    raise kind(
        f"answered {status} {said}".rstrip(),
        provider=provider,
        endpoint=endpoint,
        status=status,
        retry_at=retry_at,
    )


def _said(response: HttpAnswer) -> str:
    """What the upstream's error body says, in one short line, whichever dialect it speaks."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    for name in ("status_message", "detail", "message", "title", "error_description", "error"):
        if isinstance(body.get(name), str):
            return f"({body[name][:200]})"
    return ""


def _retry_at(status: int, headers: Mapping[str, str]) -> datetime | None:
    """When the upstream says that it may be asked again; None where it does not.

    Retry-After, in seconds or as an HTTP date (by the upstream's own clock), else the reset of its
    quota where that is used up: X says epoch seconds, Mastodon an ISO time.
    """
    after = headers.get("retry-after", "")
    try:
        if after.isdecimal():
            return now() + timedelta(seconds=int(after))
        if after:
            there = headers.get("date")
            ahead = in_utc(parsedate_to_datetime(there)) - now() if there else timedelta(0)
            return in_utc(parsedate_to_datetime(after)) - ahead
    except (ValueError, OverflowError):
        pass
    if status == 429 or _quota(headers, "remaining") == "0":
        return _moment(_quota(headers, "reset"))
    return None


def _quota(headers: Mapping[str, str], part: str) -> str:
    """What a header says of the quota, in the spelling of whichever upstream."""
    names = (f"x-rate-limit-{part}", f"ratelimit-{part}", f"x-ratelimit-{part}")
    return next((headers[name] for name in names if headers.get(name)), "")


def _moment(text: str) -> datetime | None:
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC)
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        return None


def _body(provider: str, endpoint: str, response: "httpx.Response") -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise UpstreamUnavailable(
            "the answer is no JSON",
            provider=provider,
            endpoint=endpoint,
            status=response.status_code,
        ) from error
