"""The errors of Marquee; a class name is what ``Retry`` and ``Catch`` of a definition match.

::

    MarqueeError
    ├── BadInput             the request is wrong; names the field; never retried
    ├── NotFound             nothing is stored under that id
    ├── Conflict             what is asked for is well said, but does not fit the state of the thing
    ├── Misconfigured        a setting or secret is missing or malformed; names it
    ├── StoreUnavailable     DynamoDB or SQS refused after the client's own retries
    ├── FunctionFailed       another function of ours ended in an error; carries its name
    ├── SlotAhead            our quota: the call may be made at the time that is booked for it
    ├── RetryAhead           an upstream failed: the state machine waits for so long and asks again
    ├── GivenUp              an upstream failed, and asking again is of no use; names the error
    └── UpstreamError        an upstream did not give an answer; carries provider, endpoint, status
        ├── NotAdmitted          our own gateway let no call go; carries when it may, where known
        │   ├── Deferred             the quota has no slot in reach
        │   ├── SpendRefused         it could pass a cap, or the provider's credits are used up
        │   └── BreakerOpen          the upstream has failed too often of late
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


class Conflict(MarqueeError):
    """The thing is in a state that does not allow it; the same request may fit later, or never.

    The message says which state, and what may be done in it.
    """


class Misconfigured(MarqueeError):
    """A setting or secret is missing or malformed; the message names it."""


class StoreUnavailable(MarqueeError):
    """DynamoDB or SQS refused after the client's own retries."""


class FunctionFailed(MarqueeError):
    """Another function of ours ended in an error, or gave no answer; ``name`` is its class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class UpstreamError(MarqueeError):
    """An upstream did not give an answer that can be used.

    ``status`` is the HTTP status, or None where no answer arrived; ``retry_at`` is when the
    upstream itself says that it may be asked again.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        endpoint: str,
        status: int | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(f"{provider} {endpoint}: {message}")
        self.provider = provider
        self.endpoint = endpoint
        self.status = status
        self.retry_at = retry_at


class SlotAhead(MarqueeError):
    """No call now: it has a slot at ``at``. Whoever can wait comes again then, under its name.

    It is no UpstreamError, whose handlers go on without the answer: this one is to be had. The
    message ends with the time as definitions read it: ``slot at 2026-11-22T06:30:00Z``.
    """

    def __init__(self, *, provider: str, endpoint: str, at: datetime) -> None:
        super().__init__(f"{provider} {endpoint}: slot at {at:%Y-%m-%dT%H:%M:%SZ}")
        self.at = at


class RetryAhead(MarqueeError):
    """An upstream failed, and is asked again at ``at``.

    The message says when as that of SlotAhead does, before any words of the upstream.
    """

    def __init__(self, error: UpstreamError, at: datetime) -> None:
        super().__init__(f"slot at {at:%Y-%m-%dT%H:%M:%SZ} after {type(error).__name__}: {error}")
        self.at = at


class GivenUp(MarqueeError):
    """An upstream failed, and is not asked again.

    The message is the error's name and words: what people are told.
    """

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(f"{type(error).__name__}: {error}")


class NotAdmitted(UpstreamError):
    """Our own gateway let no call go; ``at`` is when it may, None where that is not known."""

    def __init__(
        self, message: str, *, provider: str, endpoint: str, at: datetime | None = None
    ) -> None:
        super().__init__(message, provider=provider, endpoint=endpoint)
        self.at = at


class Deferred(NotAdmitted):
    """The quota has no slot in reach, and none is booked; ``at`` is the first that was free."""


class SpendRefused(NotAdmitted):
    """The call could pass a cap, or the provider said that its credits are used up.

    ``at`` None: until an operator acts.
    """


class BreakerOpen(NotAdmitted):
    """The upstream has failed too often of late; ``at`` is when it is asked again."""


class UpstreamTimeout(UpstreamError):
    """No answer within the deadline; the call may have had its effect."""


class UpstreamUnavailable(UpstreamError):
    """Connection refused or reset, a 5xx, or an answer that is no JSON."""


class RateLimited(UpstreamError):
    """429: the window's calls are used up; ``retry_at`` is when it opens again, where known."""

    def __init__(
        self, message: str, *, provider: str, endpoint: str, retry_at: datetime | None = None
    ) -> None:
        super().__init__(
            message, provider=provider, endpoint=endpoint, status=429, retry_at=retry_at
        )


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
