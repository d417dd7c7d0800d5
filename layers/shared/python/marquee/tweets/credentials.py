"""The credentials of one X account: from SSM, and renewed by one writer at a time.

SecureString parameters below ``<parameter prefix>/<account>/``, stored by an operator:

==========  ==================================================================================
OAuth 1.0a  ``consumer_key``, ``consumer_secret``, ``access_token``, ``access_token_secret``
OAuth 2     ``client_id``, ``client_secret`` (confidential apps only), and ``oauth2_tokens``:
            ``{"access_token": …, "refresh_token": …, "expires_at": <epoch seconds>}``
==========  ==================================================================================

OAuth 2 is used where both are there. Its access token lives 2 hours, and a refresh token works
once: whoever loses the answer to its use has lost the grant. So whoever renews holds a lease, the
row ``credentials`` of the account in PostsTable, and has just written the parameter once more as
it was, which proves that the new tokens can be stored. Who dies where, and what is left:

===========================  ======================================================================
died                         left
===========================  ======================================================================
before the request           the lease; 2 minutes later the next one renews with the same token
before the answer is stored  the lease; 2 minutes later the next one tries the same token: X takes
                             it if it never got the request, else refuses it
after it was stored          the lease; everyone finds the new tokens in the parameter
===========================  ======================================================================

The row also says whose credentials these are (``user_id``, ``owner_of`` which grant), so that X,
which charges for the question, is asked once for each grant and not once for each process.

A refused refresh token is noted in the row (``refused``, with ``reason``) and not sent again. The
operator authorizes the app anew and stores ``oauth2_tokens``; nothing else needs to be mended.
"""

import json
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from marquee.aws import STORE_ERRORS, as_store_error
from marquee.errors import MarqueeError, Misconfigured, StoreUnavailable, UpstreamUnavailable
from marquee.observability import logger
from marquee.tweets.rows import In, Item, Rows, Swap

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

LEASE = timedelta(minutes=2)
"""Longer than any function lives: whoever held an older lease is gone."""

EXPIRES_WITHIN = timedelta(minutes=1)
"""An access token that is this near its end is renewed before it is used."""

TOKENS = "oauth2_tokens"
_OAUTH1 = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
_CLIENT = ("client_id", "client_secret")
_ROW = "credentials"
_ENDPOINT = "oauth2/token"


@dataclass(frozen=True)
class OAuth1:
    """Keys and tokens that sign every request; they do not expire."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    access_token: str = field(repr=False)
    access_token_secret: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells these credentials from others, and nothing about them."""
        return fingerprint(
            "\0".join(
                (
                    self.consumer_key,
                    self.consumer_secret,
                    self.access_token,
                    self.access_token_secret,
                )
            )
        )


@dataclass(frozen=True)
class OAuth2:
    """An access token of a user, and what renews it."""

    client_id: str = field(repr=False)
    client_secret: str | None = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: int | None = None
    """Epoch seconds by our clock; None where the operator did not say."""

    @property
    def fingerprint(self) -> str:
        """What tells these credentials from others, and nothing about them."""
        return fingerprint(f"{self.access_token}\0{self.refresh_token}")

    def is_expiring(self, now: datetime) -> bool:
        """Whether the access token is at its end."""
        return self.expires_at is not None and self.expires_at <= (now + EXPIRES_WITHIN).timestamp()


type Credentials = OAuth1 | OAuth2

type Exchange = Callable[[OAuth2], OAuth2 | None]
"""Ask X for new tokens, once: None where it refuses the refresh token, UpstreamError where it is
not known whether it took it."""


class CredentialStore:
    """The credentials of one account, read when first needed."""

    def __init__(
        self,
        ssm: "SSMClient",
        prefix: str,
        account: str,
        rows: Rows,
        exchange: Exchange,
        clock: Callable[[], datetime],
    ) -> None:
        self._ssm = ssm
        self._prefix = f"{prefix}/{account}"
        self._account = account
        self._rows = rows
        self._exchange = exchange
        self._clock = clock
        self._current: Credentials | None = None

    def __repr__(self) -> str:
        return f"CredentialStore({self._prefix!r})"

    def current(self) -> Credentials:
        """What to call X with; an access token at its end is renewed first.

        Raises Misconfigured naming the parameter that is missing, StoreUnavailable, and where the
        renewal did not come about UpstreamError.
        """
        if self._current is None:
            self._current = self._read()
        if isinstance(self._current, OAuth2) and self._current.is_expiring(self._clock()):
            self.renew(self._current)
        return self._current

    def renew(self, refused: Credentials) -> bool:
        """Get other credentials than those that X refused; False where there are none to be had.

        Raises UpstreamError or StoreUnavailable where that cannot be said now.
        """
        stored = self._read()
        if stored.fingerprint != refused.fingerprint:
            self._current = stored
            return True
        if not isinstance(stored, OAuth2) or stored.refresh_token is None:
            return False
        lease = self._leased(fingerprint(stored.refresh_token))
        if lease is None:
            return False
        return self._renewed_under(lease, stored)

    def owner(self) -> str | None:
        """The user id that these credentials were seen to belong to, by any process.

        None where nobody has seen it, or the row cannot be read: X is then to be asked.
        """
        grant = _grant(self.current())
        try:
            row = self._row()
        except (StoreUnavailable, *STORE_ERRORS):
            logger.warning("the row of credentials was not read", account=self._account)
            return None
        return str(row["user_id"]) if row and row.get("owner_of") == grant else None

    def remember_owner(self, user_id: str) -> None:
        """Note whose credentials these are; where that fails X is asked again."""
        grant = _grant(self.current())
        try:
            row = self._row()
        except (StoreUnavailable, *STORE_ERRORS):
            logger.warning("the row of credentials was not read", account=self._account)
            return
        # While it is held, its next version belongs to the holder.
        if not self._is_held(row):
            self._put(row, {"user_id": user_id, "owner_of": grant})

    def _renewed_under(self, lease: Item, before: OAuth2) -> bool:
        """Renew while the lease is ours."""
        note: dict[str, Any] = {"reason": "what happened to the refresh token is not known"}
        used = fingerprint(before.refresh_token or "")
        try:
            # The one who held the lease before us may have renewed since we looked.
            stored = self._read()
            if stored.fingerprint != before.fingerprint or not isinstance(stored, OAuth2):
                self._current = stored
                note = {"reason": ""}
                return True
            if lease.get("used") == used:
                raise UpstreamUnavailable(
                    "renewed tokens are not visible yet", provider="x", endpoint=_ENDPOINT
                )
            self._store(stored)
            renewed = self._exchange(stored)
            if renewed is None:
                note = {"refused": used, "reason": "X refused the refresh token: authorize anew"}
                logger.error("X refused the refresh token", account=self._account)
                return False
            self._current = renewed
            note = self._kept(renewed, lease, before)
            return True
        finally:
            self._put(lease, {**note, "holder": None, "since": None})

    def _kept(self, renewed: OAuth2, lease: Item, before: OAuth2) -> dict[str, Any]:
        """Store the new tokens; where that fails they still serve this process."""
        used = fingerprint(before.refresh_token or "")
        try:
            self._store(renewed)
        except MarqueeError:
            logger.exception("renewed tokens could not be stored", account=self._account)
            return {"refused": used, "reason": "renewed, but not stored: authorize anew"}
        note: dict[str, Any] = {"used": used, "reason": ""}
        if lease.get("owner_of") == _grant(before):
            note["owner_of"] = _grant(renewed)
        return note

    def _leased(self, token: str) -> Item | None:
        """The row, held by us; None where X has refused this refresh token before."""
        row = self._row()
        if row and row.get("refused") == token:
            return None
        if self._is_held(row):
            raise _busy()
        holder = uuid4().hex
        self._put(row, {"holder": holder, "since": self._clock().isoformat()})
        # A lost answer, or a lost race: the row says which.
        row = self._row()
        if row is None or row.get("holder") != holder:
            raise _busy()
        return row

    def _is_held(self, row: Item | None) -> bool:
        """Whether someone who may still live holds the lease."""
        if row is None or not row.get("holder"):
            return False
        return datetime.fromisoformat(row["since"]) > self._clock() - LEASE

    def _row(self) -> Item | None:
        return self._rows.get(In.POSTS, self._account, _ROW)

    def _put(self, row: Item | None, changes: dict[str, Any]) -> None:
        """Change the row if it is still as it was; what is lost here is found out by reading."""
        version = int(row["version"]) if row else None
        key = {"account": self._account, "tweet_id": _ROW}
        item = {**(row or {}), **changes, **key, "version": (version or 0) + 1}
        kept = {name: value for name, value in item.items() if value is not None}
        try:
            self._rows.swap(Swap(In.POSTS, self._account, _ROW, version, kept))
        except (StoreUnavailable, *STORE_ERRORS):
            logger.warning("the row of credentials was not written", account=self._account)

    def _read(self) -> Credentials:
        tokens = self._parameter(TOKENS)
        if tokens is not None:
            return self._oauth2(tokens)
        found = {name: self._parameter(name) for name in _OAUTH1}
        given = {name: value for name, value in found.items() if value}
        for name in _OAUTH1:
            if name not in given:
                raise Misconfigured(
                    f"the SSM parameter {self._prefix}/{name} is not set, nor is {TOKENS}"
                )
        return OAuth1(**given)

    def _parameter(self, name: str) -> str | None:
        """The parameter below our prefix, or None where the operator has set none.

        One request for each: a role may be held to the names of one account.
        """
        try:
            answer = self._ssm.get_parameter(Name=f"{self._prefix}/{name}", WithDecryption=True)
        except STORE_ERRORS as error:
            if _is_absent(error):
                return None
            raise self._refusal("read", error) from None
        value = answer["Parameter"]["Value"].strip()
        if not (value.isascii() and value.isprintable()):
            raise Misconfigured(f"the SSM parameter {self._prefix}/{name} holds a stray character")
        return value

    def _oauth2(self, stored: str) -> OAuth2:
        client_id, client_secret = map(self._parameter, _CLIENT)
        if not client_id:
            raise Misconfigured(f"the SSM parameter {self._prefix}/client_id is not set")
        try:
            tokens = json.loads(stored)
            expires_at = tokens.get("expires_at")
            return OAuth2(
                client_id=client_id,
                client_secret=client_secret or None,
                access_token=_text(tokens["access_token"]),
                refresh_token=_text(tokens["refresh_token"])
                if tokens.get("refresh_token")
                else None,
                expires_at=int(expires_at) if expires_at is not None else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            # Without its cause, which would quote the tokens.
            raise Misconfigured(
                f'the SSM parameter {self._prefix}/{TOKENS} is not {{"access_token": …, '
                '"refresh_token": …, "expires_at": …}'
            ) from None

    def _store(self, credentials: OAuth2) -> None:
        tokens = {
            "access_token": credentials.access_token,
            "refresh_token": credentials.refresh_token,
            "expires_at": credentials.expires_at,
        }
        try:
            self._ssm.put_parameter(
                Name=f"{self._prefix}/{TOKENS}",
                Value=json.dumps({name: part for name, part in tokens.items() if part is not None}),
                Type="SecureString",
                Overwrite=True,
            )
        except STORE_ERRORS as error:
            raise self._refusal("write", error) from None

    def _refusal(self, what: str, error: Exception) -> MarqueeError:
        """What SSM said, without its words on values; what will not pass is for an operator."""
        if isinstance(as_store_error(error), StoreUnavailable):
            return StoreUnavailable(f"SSM did not {what} {self._prefix}/ ({type(error).__name__})")
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else "?"
        return Misconfigured(f"SSM does not let us {what} {self._prefix}/: {code}")


def lacking(stored: Set[str]) -> tuple[str, ...]:
    """The parameters that an account lacks to be used, of the way that it has begun, by name.

    ``stored`` are the names below its prefix; one that has begun neither way lacks OAuth 1.0a,
    which needs no renewal.
    """
    needed = (TOKENS, "client_id") if TOKENS in stored else _OAUTH1
    return tuple(name for name in needed if name not in stored)


def fingerprint(secret: str) -> str:
    """What tells one secret from another without saying either."""
    return sha256(secret.encode()).hexdigest()[:16]


def _is_absent(error: Exception) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code == "ParameterNotFound"


def _grant(credentials: Credentials) -> str:
    """What stays the same while a user's grant does, until a renewal carries it on."""
    if isinstance(credentials, OAuth1):
        return credentials.fingerprint
    return fingerprint(credentials.refresh_token or credentials.access_token)


def _busy() -> UpstreamUnavailable:
    return UpstreamUnavailable(
        "the tokens are being renewed by someone else", provider="x", endpoint=_ENDPOINT
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a token is a string")
    return value
