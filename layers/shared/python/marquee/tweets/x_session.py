"""tweepy with a deadline and our address, and with nothing in it that would send twice.

tweepy knows one host, sets no timeout, and writes tokens to its debug log. Importing it costs
70 ms: only ``x_account`` does, at the first call.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import tweepy  # type: ignore[import-untyped]  # it ships no types
from urllib3.exceptions import NewConnectionError

from marquee.tweets.credentials import Credentials, OAuth1, OAuth2
from marquee.tweets.x_errors import NeverSent, NoAnswer

TWEEPY_ROOT = "https://api.twitter.com/2"
"""What tweepy asks for; it is replaced before a request is signed, as signatures hold the URL."""

CONNECT_SECONDS = 3.0
"""Before anything is sent; the time for the answer comes on top."""

# At DEBUG these write tokens, signatures and what goes into them.
for _name in ("tweepy", "requests_oauthlib", "oauthlib"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Reply:
    """An answer of any status, read whole; header names in lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    _response: requests.Response

    def json(self) -> Any:
        """The body; ValueError where it is no JSON."""
        return self._response.json()


class XSession:
    """Requests to X, each sent at most once."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._requests = _Requests(base_url, timeout_seconds)

    def call(self, credentials: Credentials, ask: Callable[[tweepy.Client, bool], Any]) -> Reply:
        """Let ``ask`` use a client (and say whether it signs); returns X's answer, whatever it is.

        Raises NeverSent where nothing left, NoAnswer where no whole answer came back.
        """
        signs = isinstance(credentials, OAuth1)
        client = tweepy.Client(
            **_how(credentials), return_type=requests.Response, wait_on_rate_limit=False
        )
        client.session = self._requests
        return _reply(lambda: ask(client, signs))

    def refresh(self, credentials: OAuth2) -> Reply:
        """Use the refresh token, once; raises as ``call``."""
        form = {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}
        auth = None
        if credentials.client_secret:
            auth = (credentials.client_id, credentials.client_secret)
        else:
            form["client_id"] = credentials.client_id
        address = f"{TWEEPY_ROOT}/oauth2/token"
        return _reply(lambda: self._requests.request("POST", address, data=form, auth=auth))


class _Requests(requests.Session):
    """A session that goes to our address, in time, and follows nothing."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        super().__init__()
        self._base_url = base_url
        self._timeout = (CONNECT_SECONDS, timeout_seconds)
        # A proxy might repeat a request, and .netrc might replace our token.
        self.trust_env = False

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]  # tweepy names the rest
        if not url.startswith(TWEEPY_ROOT):
            raise RuntimeError(f"tweepy asks for another address than {TWEEPY_ROOT}")
        response = super().request(
            method,
            self._base_url + url.removeprefix(TWEEPY_ROOT),
            timeout=self._timeout,
            # A 307 would send the post again, to whomever it names.
            allow_redirects=False,
            **options,
        )
        if not 200 <= response.status_code < 300:
            raise _Refused(response)
        return response


class _Refused(Exception):
    """An answer that is no success, on its way past tweepy, which would read only some of them."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _reply(send: Callable[[], Any]) -> Reply:
    try:
        response = send()
    except _Refused as refused:
        response = refused.response
    except requests.ConnectTimeout:
        raise NeverSent("no connection in time") from None
    except requests.ConnectionError as error:
        cause = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(cause, NewConnectionError):
            raise NeverSent("no connection") from None
        raise NoAnswer("the connection broke", timed_out=False) from None
    except requests.Timeout:
        raise NoAnswer("no answer in time", timed_out=True) from None
    except requests.RequestException as error:
        raise NoAnswer(f"no whole answer ({type(error).__name__})", timed_out=False) from None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content, response)


def _how(credentials: Credentials) -> dict[str, str]:
    if isinstance(credentials, OAuth2):
        return {"bearer_token": credentials.access_token}
    return {
        "consumer_key": credentials.consumer_key,
        "consumer_secret": credentials.consumer_secret,
        "access_token": credentials.access_token,
        "access_token_secret": credentials.access_token_secret,
    }
