"""X in the name of one account: post, read the own timeline, read anyone's tweets.

Implements the ports of ``posting`` (``XAccount``) and ``download`` (``XReader``). Every call is
counted in the tally, and priced where its port does not leave that to the caller.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from marquee.aws import STORE_ERRORS, client
from marquee.clock import now
from marquee.errors import (
    BadInput,
    CredentialsRefused,
    MarqueeError,
    Misconfigured,
    NotAdmitted,
    SlotAhead,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.admission import Call, admitted
from marquee.gateway.calls import raise_for_status
from marquee.gateway.prices import (
    X_OWN_POST_READ_USD,
    X_POST_CREATED_USD,
    X_POST_WITH_URL_CREATED_USD,
    X_USER_READ_USD,
)
from marquee.observability import Stopwatch, current_tally, logger
from marquee.settings import HTTP_TIMEOUT_SECONDS, Settings
from marquee.tweets.credentials import Credentials, CredentialStore, OAuth2
from marquee.tweets.posting import (
    Created,
    NotSent,
    OwnPost,
    PostResult,
    Unauthorized,
    Unknown,
    read_answer,
)
from marquee.tweets.rows import DynamoRows, Rows
from marquee.tweets.text import url_spans
from marquee.tweets.x_errors import NeverSent, NoAnswer

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from marquee.tweets.download import Timeline
    from marquee.tweets.x_session import Reply, XSession

PAGE = 100
"""The most that X takes for ``max_results`` of a timeline."""

MOST_PAGES = 32
"""X shows the last 3,200 posts of a timeline; more pages than that are none of an end."""

_PROVIDER = "x"
_POSTS = "tweets"
_TIMELINE = "users/tweets"
_MAX_REASON = 200
_ACCOUNT = re.compile(r"[a-z0-9_]{1,20}")
_TWEET_FIELDS = ["created_at", "entities", "lang", "note_tweet", "referenced_tweets"]


class Sends(Protocol):
    """A call of tweepy's client; the flag says whether it is to sign by OAuth 1.0a."""

    def __call__(self, client: Any, signs: bool, /) -> Any:
        """The answer, as tweepy gives it."""


class XApi:
    """X, for one account; it calls X when first asked for something."""

    def __init__(
        self,
        account: str,
        base_url: str,
        ssm: "SSMClient",
        prefix: str,
        rows: Rows,
        *,
        clock: Callable[[], datetime] = now,
        timeout_seconds: float = HTTP_TIMEOUT_SECONDS,
    ) -> None:
        if not _ACCOUNT.fullmatch(account):
            raise BadInput("must be a user name of X in lower case", field="account")
        self._account = account
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._store = CredentialStore(ssm, prefix, account, rows, self._exchange, clock)
        self._owner: tuple[str, str] | None = None
        self._admission = Call()

    @classmethod
    def connect(cls, settings: Settings, account: str) -> "XApi":
        """The account with the secrets, the table and the address that the template gave us."""
        return cls(
            account,
            settings.x_base_url,
            client("ssm"),
            settings.parameter_prefix,
            DynamoRows.connect(settings),
        )

    def __repr__(self) -> str:
        return f"XApi({self._account!r})"

    def check_credentials(self) -> None:
        """See XAccount: a parameter is missing or malformed, or the token is of someone else."""
        try:
            self._identify(self._store.current())
        except (Misconfigured, NotAdmitted, SlotAhead):
            raise
        except (MarqueeError, *STORE_ERRORS):
            logger.info("whether we may post is not known yet", account=self._account)

    @contextmanager
    def admitted(self, text: str) -> Iterator[None]:
        """See XAccount."""
        with admitted(
            _PROVIDER, _POSTS, most_usd=_price_of(text), credential=self._account, within=None
        ) as call:
            call.usd = 0.0  # until something is sent
            self._admission = call
            yield

    def create_post(self, text: str) -> PostResult:
        """See XAccount."""
        try:
            credentials = self._store.current()
            # Whose token it is comes first: a post of another account would never be found again.
            self._identify(credentials)
        except CredentialsRefused as error:
            return Unauthorized(str(error)) if error.status == 401 else NotSent(str(error))
        except (MarqueeError, *STORE_ERRORS) as error:
            return NotSent(str(error))
        session, admission = self._session, self._admission
        watch = Stopwatch()
        try:
            reply = session.call(
                credentials,
                lambda client, signs: client.create_tweet(text=text, user_auth=signs),
            )
        except NeverSent as error:
            admission.error = _unusable(_POSTS, str(error))
            _count(_POSTS, watch, UpstreamUnavailable)
            return NotSent(str(error))
        except NoAnswer as error:
            admission.error = _unanswered(_POSTS, error)
            admission.usd = _price_of(text)
            _count(_POSTS, watch, type(admission.error))
            return Unknown(str(error))
        result = read_answer(reply.status_code, reply.headers, reply.content)
        # Where X may have it, it may have been charged.
        admission.usd = _price_of(text) if isinstance(result, Created | Unknown) else 0.0
        admission.headers = reply.headers
        if isinstance(result, Created):
            _count(_POSTS, watch, usd=admission.usd)
        else:
            admission.error = _error_of(reply)
            _count(_POSTS, watch, type(admission.error))
        return result

    def own_timeline(self, since: datetime) -> Sequence[OwnPost]:
        """See XAccount; raises Misconfigured where the token is of another account."""
        own_id = self._identify(self._store.current())
        posts: list[OwnPost] = []
        token: str | None = None
        for _ in range(MOST_PAGES):
            body = self._timeline_body(
                own_id,
                X_OWN_POST_READ_USD,
                max_results=PAGE,
                start_time=since,
                pagination_token=token,
            )
            token = _next_token(body)
            if body.get("errors"):
                raise _unusable(_TIMELINE, "the own timeline has gaps")
            records = _records(body)
            if body["meta"].get("result_count") != len(records):
                raise _unusable(_TIMELINE, "a page of the own timeline is not whole")
            current_tally().add_cost(_PROVIDER, X_OWN_POST_READ_USD * len(records))
            posts += [_own_post(record) for record in records]
            if token is None:
                return posts
        raise _unusable(_TIMELINE, f"the own timeline has more than {MOST_PAGES} pages")

    def refresh_credentials(self) -> bool:
        """See XAccount; raises UpstreamError or StoreUnavailable where it is not known yet."""
        return self._store.renew(self._store.current())

    def user_id(self, username: str) -> str:
        """See XReader."""
        body = self._read(
            "users/by/username",
            lambda client, signs: client.get_user(username=username, user_auth=signs),
            _Price(X_USER_READ_USD),
        )
        return _user("users/by/username", body)[0]

    def timeline(
        self,
        user_id: str,
        *,
        since_id: str | None,
        until_id: str | None,
        token: str | None,
        at_most: int,
        replies: bool,
        retweets: bool,
        usd_per_post: float,
    ) -> "Timeline":
        """See XReader."""
        # Whoever only posts has no use for what stands around a download.
        from marquee.tweets.download import Timeline

        left_out = [*(() if replies else ("replies",)), *(() if retweets else ("retweets",))]
        body = self._timeline_body(
            user_id,
            usd_per_post,
            max_results=at_most,
            since_id=since_id,
            until_id=until_id,
            pagination_token=token,
            exclude=left_out or None,
        )
        posts = [record for record in _records(body) if isinstance(record, dict)]
        return Timeline(posts=posts, next_token=_next_token(body))

    @cached_property
    def _session(self) -> "XSession":
        from marquee.tweets.x_session import XSession

        return XSession(self._base_url, self._timeout_seconds)

    def _identify(self, credentials: Credentials) -> str:
        """The user id of the credentials, which must be the account's.

        X is asked where neither this process nor the row of credentials knows.

        Raises Misconfigured where they belong to someone else.
        """
        if self._owner is None or self._owner[0] != credentials.fingerprint:
            user_id = self._store.owner() or self._ask_who_we_are()
            self._owner = self._store.current().fingerprint, user_id
        return self._owner[1]

    def _ask_who_we_are(self) -> str:
        body = self._read(
            "users/me",
            lambda client, signs: client.get_me(user_auth=signs),
            _Price(X_USER_READ_USD),
        )
        current_tally().add_cost(_PROVIDER, X_USER_READ_USD)
        user_id, username = _user("users/me", body)
        if username.lower() != self._account:
            raise Misconfigured(
                f"the credentials of @{self._account} belong to @{username}: nothing is posted"
            )
        self._store.remember_owner(user_id)
        return user_id

    def _timeline_body(
        self, user_id: str, usd_per_post: float, *, max_results: int, **asked: Any
    ) -> dict[str, Any]:
        given = {name: value for name, value in asked.items() if value is not None}
        body = self._read(
            _TIMELINE,
            lambda client, signs: client.get_users_tweets(
                user_id,
                max_results=max_results,
                tweet_fields=_TWEET_FIELDS,
                user_auth=signs,
                **given,
            ),
            _Price(usd_per_post, max_results),
        )
        if not body.get("data"):
            _raise_for_absence(_TIMELINE, body)
        return body

    def _read(self, endpoint: str, send: Sends, price: "_Price") -> dict[str, Any]:
        """One read, and one more with renewed credentials after a 401."""
        credentials, session = self._store.current(), self._session
        try:
            return self._read_once(endpoint, lambda: session.call(credentials, send), price)
        except CredentialsRefused as error:
            if error.status != 401 or not self._store.renew(credentials):
                raise
        renewed = self._store.current()
        return self._read_once(endpoint, lambda: session.call(renewed, send), price)

    def _read_once(
        self, endpoint: str, send: "Callable[[], Reply]", price: "_Price"
    ) -> dict[str, Any]:
        """The object that X answered, admitted and counted; UpstreamError for anything else."""
        with admitted(
            _PROVIDER, endpoint, most_usd=price.most, credential=self._account, within=None
        ) as call:
            body = self._counted(endpoint, send, call)
            call.usd = price.of(body)
            return body

    def _counted(self, endpoint: str, send: "Callable[[], Reply]", call: Call) -> dict[str, Any]:
        watch = Stopwatch()
        try:
            body = _answered(endpoint, send, call)
        except UpstreamError as error:
            _count(endpoint, watch, type(error))
            logger.warning(
                "upstream call failed",
                provider=_PROVIDER,
                endpoint=endpoint,
                status=error.status,
                error=type(error).__name__,
            )
            raise
        _count(endpoint, watch)
        return body

    def _exchange(self, credentials: OAuth2) -> OAuth2 | None:
        """See credentials.Exchange."""
        endpoint = "oauth2/token"
        asked_at = self._clock().timestamp()
        try:
            # Not admitted: X sets it no limit and no price, and a lease lets one at a time do it.
            said = self._counted(endpoint, lambda: self._session.refresh(credentials), Call())
        except UpstreamError as error:
            if error.status == 400:
                return None
            raise
        access, refresh = said.get("access_token"), said.get("refresh_token")
        lasts = said.get("expires_in")
        if not isinstance(access, str) or not access:
            raise _unusable(endpoint, "the answer holds no access token")
        return OAuth2(
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
            access_token=access,
            # An answer without one leaves the old one in force (RFC 6749, section 6).
            refresh_token=refresh if isinstance(refresh, str) else credentials.refresh_token,
            expires_at=int(asked_at + lasts) if isinstance(lasts, int) else None,
        )


def _count(
    endpoint: str, watch: Stopwatch, error: type[UpstreamError] | None = None, usd: float = 0.0
) -> None:
    name = error.__name__ if error else ""
    current_tally().add_call(_PROVIDER, endpoint, error=name, ms=watch.ms, usd=usd)


@dataclass(frozen=True)
class _Price:
    """Of a read: so much for each record, of which it gets so many at most."""

    each: float
    at_most: int = 1

    @property
    def most(self) -> float:
        return self.each * self.at_most

    def of(self, body: Mapping[str, Any]) -> float:
        data = body.get("data")
        return self.each * (len(data) if isinstance(data, list) else bool(data))


def _price_of(text: str) -> float:
    return X_POST_WITH_URL_CREATED_USD if url_spans(text) else X_POST_CREATED_USD


def _error_of(reply: "Reply") -> UpstreamError:
    """Of an answer that is no post: what its status stands for, or that nobody can read it."""
    try:
        raise_for_status(_PROVIDER, _POSTS, reply)
    except UpstreamError as error:
        return error
    return _unusable(_POSTS, "the answer holds no post")


def _unanswered(endpoint: str, error: NoAnswer) -> UpstreamError:
    kind = UpstreamTimeout if error.timed_out else UpstreamUnavailable
    return kind(str(error), provider=_PROVIDER, endpoint=endpoint)


def _answered(endpoint: str, send: "Callable[[], Reply]", call: Call) -> dict[str, Any]:
    """The object that X answered; UpstreamError for anything else."""
    try:
        reply = send()
    except NeverSent as error:
        call.usd = 0.0
        raise _unusable(endpoint, str(error)) from None
    except NoAnswer as error:
        raise _unanswered(endpoint, error) from None
    call.headers = reply.headers
    raise_for_status(_PROVIDER, endpoint, reply)
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        raise _unusable(endpoint, "the answer is no JSON") from None
    if not isinstance(body, dict):
        raise _unusable(endpoint, "the answer is no object")
    return body


def _unusable(endpoint: str, message: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, provider=_PROVIDER, endpoint=endpoint)


def _records(body: dict[str, Any]) -> list[Any]:
    data = body.get("data", [])
    if not isinstance(data, list):
        raise _unusable(_TIMELINE, "the answer holds no list")
    return data


def _next_token(body: dict[str, Any]) -> str | None:
    meta = body.get("meta")
    if not isinstance(meta, dict):
        raise _unusable(_TIMELINE, "the answer does not say whether there is more")
    return meta.get("next_token") or None


def _raise_for_absence(endpoint: str, body: dict[str, Any]) -> None:
    """Raise for what X says in a 200 about something that is not there, or not for us."""
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if first is None:
        return
    said = first if isinstance(first, dict) else {}
    kind = UpstreamNotFound if said.get("title") == "Not Found Error" else UpstreamRefused
    detail = str(said.get("detail", "no reason given"))[:_MAX_REASON]
    raise kind(detail, provider=_PROVIDER, endpoint=endpoint, status=200)


def _user(endpoint: str, body: dict[str, Any]) -> tuple[str, str]:
    """The id and the name of the user in the answer."""
    _raise_for_absence(endpoint, body)
    data = body.get("data")
    found = data if isinstance(data, dict) else {}
    user_id, username = found.get("id"), found.get("username")
    if isinstance(user_id, str) and user_id.isdecimal() and isinstance(username, str):
        return user_id, username
    raise _unusable(endpoint, "the answer holds no user")


def _own_post(record: Any) -> OwnPost:
    try:
        # Of a long post `text` is only the beginning.
        text = (record.get("note_tweet") or {}).get("text") or record["text"]
        return OwnPost(post_id=record["id"], text=text, created_at=record["created_at"])
    except (KeyError, TypeError, AttributeError, ValidationError):
        raise _unusable(_TIMELINE, "the own timeline holds a post that cannot be read") from None
