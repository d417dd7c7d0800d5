"""The errors of Marquee; a class name is what ``Retry`` and ``Catch`` of a definition match.

::

    MarqueeError
    ├── BadInput             the request is wrong; names the field; never retried
    ├── NotFound             nothing is stored under that id
    ├── Misconfigured        a setting or secret is missing or malformed; names it
    ├── StoreUnavailable     DynamoDB or SQS refused after the client's own retries
    └── UpstreamError        an upstream did not give an answer; carries provider, endpoint, status
        ├── UpstreamTimeout      no answer within the deadline            (transient)
        ├── UpstreamUnavailable  reset, 5xx, or an answer that is no JSON (transient)
        ├── RateLimited          429; carries the time of the reset       (transient)
        ├── CredentialsRefused   401 or 403
        ├── CreditsDepleted      402: no paid call until an operator acts
        ├── UpstreamNotFound     404
        └── UpstreamRefused      any other 4xx: our request is at fault
"""

from datetime import datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pydantic import ValidationError


class MarqueeError(Exception):
    """The root: everything Marquee raises on purpose."""


class BadInput(MarqueeError):
    """The request is wrong; ``field`` names the part and the message says what to do."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    @classmethod
    def of(cls, error: "ValidationError") -> Self:
        """The first fault that a model found, under the name that definitions match."""
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        return cls(f"{field}: {first['msg']}" if field else first["msg"], field=field or None)


class NotFound(MarqueeError):
    """Nothing is stored under that id."""


class Misconfigured(MarqueeError):
    """A setting or secret is missing or malformed; the message names it."""


class StoreUnavailable(MarqueeError):
    """DynamoDB or SQS refused after the client's own retries."""


class UpstreamError(MarqueeError):
    """An upstream did not give an answer that can be used.

    ``status`` is the HTTP status, or None where no answer arrived.
    """

    def __init__(
        self, message: str, *, provider: str, endpoint: str, status: int | None = None
    ) -> None:
        super().__init__(f"{provider} {endpoint}: {message}")
        self.provider = provider
        self.endpoint = endpoint
        self.status = status


class UpstreamTimeout(UpstreamError):
    """No answer within the deadline; the call may have had its effect."""


class UpstreamUnavailable(UpstreamError):
    """Connection refused or reset, a 5xx, or an answer that is no JSON."""


class RateLimited(UpstreamError):
    """429: the window's calls are used up; ``reset_at`` is when it opens again, where known."""

    def __init__(
        self, message: str, *, provider: str, endpoint: str, reset_at: datetime | None = None
    ) -> None:
        super().__init__(message, provider=provider, endpoint=endpoint, status=429)
        self.reset_at = reset_at


class CredentialsRefused(UpstreamError):
    """401 or 403: the token is wrong, expired, or lacks a permission."""


class CreditsDepleted(UpstreamError):
    """402: the account has no credits left; an operator must act."""


class UpstreamNotFound(UpstreamError):
    """404: the upstream has nothing under that id."""


class UpstreamRefused(UpstreamError):
    """Any other 4xx: our request is at fault, and the same request will be refused again."""


TRANSIENT = (UpstreamTimeout, UpstreamUnavailable, RateLimited, StoreUnavailable)
"""What may be gone a few seconds later: what the definitions retry by name."""
