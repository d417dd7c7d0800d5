"""What review sources need in tests: settings, secrets, and upstreams that answer by hand."""

import json
from typing import Any

import httpx
from botocore.exceptions import ClientError

from marquee.settings import Secrets, Settings

PREFIX = "/marquee/test/movies"


def some_settings(**values: Any) -> Settings:
    """Settings whose upstreams answer nowhere, unless one is given."""
    addresses = {
        "x_base_url": "http://x.test/2",
        "bluesky_base_url": "http://bluesky.test/xrpc",
        "mastodon_base_url": "http://mastodon.test/api/v1",
    }
    given = {"stage": "test", "parameter_prefix": PREFIX, **addresses, **values}
    return Settings.model_validate(given)


class _Parameters:
    """The part of an SSM client that Secrets uses."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:
        assert WithDecryption
        name = Name.removeprefix(f"{PREFIX}/")
        if name not in self._values:
            error: Any = {"Error": {"Code": "ParameterNotFound", "Message": Name}}
            raise ClientError(error, "GetParameter")
        return {"Parameter": {"Name": Name, "Value": self._values[name]}}


def some_secrets(**values: str) -> Secrets:
    """Secrets by name, ``__`` for the slash; without any, one of each."""
    given = {name.replace("__", "/"): value for name, value in values.items()} or {
        "x/bearer_token": "x-token",
        "bluesky/handle": "marquee.test",
        "bluesky/app_password": "app-password",
    }
    return Secrets(_Parameters(given), PREFIX)  # type: ignore[arg-type] # all that is used of it


class Answers:
    """An upstream that gives one answer after the other and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        # ASCII, so that a lone surrogate travels as it does on the wire: escaped.
        return httpx.Response(200, content=json.dumps(answer).encode())
