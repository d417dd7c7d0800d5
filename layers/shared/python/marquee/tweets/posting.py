"""The port to X, and what an answer to a post proves.

=============================  ===================  ===============================================
answer to ``POST /2/tweets``   result               what it proves
=============================  ===================  ===============================================
201 with an id                 Created              it is posted
400, 402, 403                  Refused              it is not, and will not be
401                            Unauthorized         it is not; new credentials may help
429                            RateLimited          it is not; later it may be
403 "duplicate content"        DuplicateRefused     nothing: the other one may be our own
never sent                     NotSent              it is not; what stopped us may pass
anything else, or no answer    Unknown           nothing
=============================  ===================  ===============================================
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from marquee.clock import Moment
from marquee.tweets.models import Model

_MAX_REASON = 300


@dataclass(frozen=True)
class Created:
    """X has it, under this id."""

    post_id: str


@dataclass(frozen=True)
class Refused:
    """X does not take it; ``reason`` in X's words."""

    status: int
    reason: str


@dataclass(frozen=True)
class Unauthorized:
    """X did not know us: the access token has expired or is revoked."""

    reason: str


@dataclass(frozen=True)
class RateLimited:
    """X takes none now; ``reset_at`` by X's clock, where it says so."""

    reset_at: datetime | None
    reason: str


@dataclass(frozen=True)
class DuplicateRefused:
    """X has a post with that text: ours whose answer was lost, or another."""

    reason: str


@dataclass(frozen=True)
class NotSent:
    """No byte of the request left: no connection, no credential, no quota."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """A timeout, a reset, a 5xx, an answer cut off or malformed: X may have it or not."""

    reason: str


type PostResult = (
    Created | Refused | Unauthorized | RateLimited | DuplicateRefused | NotSent | Unknown
)


class OwnPost(Model):
    """A post on the account's own timeline."""

    post_id: str
    text: str
    """As X gives it, or with its links expanded."""
    created_at: Moment
    """By X's clock."""


class XAccount(Protocol):
    """X, in the name of one account."""

    def check_credentials(self) -> None:
        """Raise Misconfigured where only an operator can help, before anything is sent.

        What may pass is no reason to raise: ``create_post`` says it of its own accord.
        """

    def admitted(self, text: str) -> AbstractContextManager[None]:
        """Let the block make the post: X is well, there is a slot, and it may be paid for.

        Raises SlotAhead, a NotAdmitted or StoreUnavailable on entering, and nothing afterwards.
        """

    def create_post(self, text: str) -> PostResult:
        """Send one request, never again by itself, and say what its answer proves."""

    def own_timeline(self, since: datetime) -> Sequence[OwnPost]:
        """All posts of the account since then, over all pages.

        Raises UpstreamError where it cannot be read whole: a page that is missing reads like an
        absence, and an absence leads to sending.
        """

    def refresh_credentials(self) -> bool:
        """Get a new access token; False where there is none to be had."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> PostResult:
    """What X's answer to a post proves; header names are in lower case."""
    said = _json(body)
    reason = _reason(status, said)
    match status:
        case 201:
            post_id = _post_id(said)
            return Created(post_id) if post_id else Unknown("201 without an id")
        case 401:
            return Unauthorized(reason)
        case 403 if not isinstance(said, dict):
            # Not in X's words: a duplicate, which may be our own post, cannot be ruled out.
            return Unknown(reason)
        case 403 if any("duplicate" in words.lower() for words in _words(said)):
            return DuplicateRefused(reason)
        case 400 | 402 | 403:
            return Refused(status, reason)
        case 429:
            return RateLimited(_reset_at(headers), reason)
    return Unknown(reason)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _post_id(said: Any) -> str | None:
    data = said.get("data") if isinstance(said, dict) else None
    post_id = data.get("id") if isinstance(data, dict) else None
    return post_id if isinstance(post_id, str) and post_id.isdecimal() else None


def _words(said: Mapping[str, Any]) -> Iterator[str]:
    """What a problem document says, in itself or in its list of errors."""
    errors = said.get("errors")
    for part in (said, *(errors if isinstance(errors, list) else ())):
        if isinstance(part, dict):
            for name in ("detail", "message", "title"):
                if isinstance(part.get(name), str):
                    yield part[name]


def _reason(status: int, said: Any) -> str:
    words = next(_words(said), "") if isinstance(said, dict) else ""
    return f"X answered {status} {words}".strip()[:_MAX_REASON]


def _reset_at(headers: Mapping[str, str]) -> datetime | None:
    """When every window that is used up has opened again."""
    resets = []
    for window in ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour"):
        if window == "x-rate-limit" or headers.get(f"{window}-remaining") == "0":
            try:
                resets.append(datetime.fromtimestamp(int(headers[f"{window}-reset"]), UTC))
            except (KeyError, ValueError, OverflowError, OSError):
                continue
    return max(resets, default=None)
