"""Who calls X: an app by its bearer token, or a user by OAuth 1.0a signature or OAuth 2 token."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request

from marquee_cli.upstreams.accounts import user_id
from marquee_cli.upstreams.credentials import DEMONSTRATION, Credentials

ACCESS_SECONDS = 2 * 60 * 60
"""An OAuth 2 access token lives 2 hours."""

TIMESTAMP_SECONDS = 5 * 60
"""A signature older or younger than that is refused."""

SCOPE = "tweet.read tweet.write users.read offline.access"
_SIGNED = ("consumer_key", "nonce", "signature", "signature_method", "timestamp", "token")


@dataclass(frozen=True)
class Caller:
    """Whose call it is; `account` is None for an app without a user."""

    account: str | None


@dataclass(frozen=True)
class UserTokens:
    """What one account's user is known by: OAuth 1.0a, and OAuth 2."""

    access_token: str
    access_token_secret: str
    oauth2_access_token: str
    oauth2_refresh_token: str


def demonstration_secrets(account: str) -> dict[str, str]:
    """What an operator stores for the account to post to the stand-in by OAuth 2.

    By the names that secrets have below the account's prefix.
    """
    context = UserContext(DEMONSTRATION, {account: user_id(account)}, lambda: 0.0)
    tokens = context.tokens(account)
    return {
        "client_id": DEMONSTRATION.x_client_id,
        "client_secret": DEMONSTRATION.x_client_secret,
        "oauth2_tokens": json.dumps(
            {
                "access_token": tokens.oauth2_access_token,
                "refresh_token": tokens.oauth2_refresh_token,
            }
        ),
    }


class UserContext:
    """The tokens of the accounts.

    OAuth 2 tokens carry their generation and are signed, so that a stand-in that was started
    anew knows those it once gave: whoever shows a newer generation has refreshed, and all tokens
    of older ones are dead.
    """

    def __init__(
        self,
        credentials: Credentials,
        user_ids: Mapping[str, str],
        now: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._user_ids = user_ids
        self._now = now
        self.reset()

    def reset(self) -> None:
        """Forget the signatures seen, and every rotation."""
        self._generations = dict.fromkeys(self._user_ids, 0)
        self._expired: set[str] = set()
        self._revoked: set[str] = set()
        self._nonces: set[tuple[str, str]] = set()

    def tokens(self, account: str) -> UserTokens:
        """What the user of the account holds now."""
        generation = self._generations[account]
        return UserTokens(
            access_token=f"{self._user_ids[account]}-demonstration",
            access_token_secret=self._signature(f"access_token_secret {account}"),
            oauth2_access_token=self._token("access", account, generation, 0),
            oauth2_refresh_token=self._token("refresh", account, generation, 0),
        )

    def expire(self, account: str) -> None:
        """Let the access tokens given so far be expired; refresh tokens live on."""
        self._expired.add(account)

    def revoke(self, account: str) -> None:
        """Let the user have withdrawn the app: no token is good any more."""
        self._revoked.add(account)

    def caller(self, request: Request) -> Caller | None:
        """Who calls, or None for credentials that X does not know."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "oauth":
            account = self._signed_by(request, given)
            return Caller(account) if account else None
        if scheme.lower() != "bearer":
            return None
        if _same(given.strip(), self._credentials.x_bearer_token):
            return Caller(None)
        account = self._holder("access", given.strip())
        return Caller(account) if account else None

    def refresh(self, form: Mapping[str, str], authorization: str) -> dict[str, object] | None:
        """New tokens for a refresh token, which is dead from then on; None if it was already."""
        account = self._holder("refresh", form.get("refresh_token", ""))
        if account is None or not self.is_client(form, authorization):
            return None
        self._generations[account] += 1
        self._expired.discard(account)
        generation, expires = self._generations[account], int(self._now()) + ACCESS_SECONDS
        return {
            "token_type": "bearer",
            "expires_in": ACCESS_SECONDS,
            "access_token": self._token("access", account, generation, expires),
            "scope": SCOPE,
            "refresh_token": self._token("refresh", account, generation, 0),
        }

    def is_client(self, form: Mapping[str, str], authorization: str) -> bool:
        """Whether the app that asks is ours: by its secret, or as a public client by its id."""
        client = f"{self._credentials.x_client_id}:{self._credentials.x_client_secret}"
        if authorization:
            return _same(authorization, f"Basic {b64encode(client.encode()).decode()}")
        return _same(form.get("client_id", ""), self._credentials.x_client_id)

    def _holder(self, kind: str, token: str) -> str | None:
        """Whose OAuth 2 token it is, if it is good."""
        parts = token.rsplit(".", 4)
        if len(parts) != 5 or not (parts[2].isdecimal() and parts[3].isdecimal()):
            return None
        account, generation, expires = parts[1], int(parts[2]), int(parts[3])
        if account not in self._generations or account in self._revoked:
            return None
        if not _same(token, self._token(kind, account, generation, expires)):
            return None
        if expires and expires <= self._now():
            return None
        if kind == "access" and account in self._expired:
            return None
        if generation < self._generations[account]:
            return None
        self._generations[account] = generation
        return account

    def _token(self, kind: str, account: str, generation: int, expires: int) -> str:
        said = f"{kind}.{account}.{generation}.{expires}"
        return f"{said}.{self._signature(said)}"

    def _signature(self, said: str) -> str:
        key = self._credentials.x_client_secret.encode()
        return hmac.new(key, said.encode(), "sha256").hexdigest()[:40]

    def _signed_by(self, request: Request, header: str) -> str | None:
        """The account whose token signed the request (RFC 5849, HMAC-SHA1), if it all fits."""
        oauth = {
            unquote(name.strip()): unquote(value.strip().strip('"'))
            for name, _, value in (part.partition("=") for part in header.split(","))
        }
        if not all(f"oauth_{name}" in oauth for name in _SIGNED):
            return None
        token = oauth["oauth_token"]
        account = next((a for a in self._user_ids if self.tokens(a).access_token == token), None)
        stamp, nonce = oauth["oauth_timestamp"], oauth["oauth_nonce"]
        if (
            account is None
            or account in self._revoked
            or oauth["oauth_signature_method"] != "HMAC-SHA1"
            or oauth["oauth_consumer_key"] != self._credentials.x_consumer_key
            or not stamp.isdecimal()
            or abs(int(stamp) - self._now()) > TIMESTAMP_SECONDS
            or (stamp, nonce) in self._nonces
        ):
            return None
        given = oauth.pop("oauth_signature")
        # A body of JSON is no part of the signature, and X's posts have no other.
        signed = [*oauth.items(), *parse_qsl(request.url.query, keep_blank_values=True)]
        address = str(request.url.replace(query=""))
        secrets = (self._credentials.x_consumer_secret, self.tokens(account).access_token_secret)
        if not _same(given, signature(request.method, address, signed, *secrets)):
            return None
        self._nonces.add((stamp, nonce))
        return account


def signature(
    method: str,
    address: str,
    parameters: Iterable[tuple[str, str]],
    consumer_secret: str,
    token_secret: str,
) -> str:
    """HMAC-SHA1 over method, address and parameters, as RFC 5849 puts them together."""
    base = "&".join(map(_encoded, (method, address, _joined(parameters))))
    key = "&".join(map(_encoded, (consumer_secret, token_secret)))
    return b64encode(hmac.new(key.encode(), base.encode(), sha1).digest()).decode()


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs if name != "realm")
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
