"""The API in this process: requests as API Gateway hands them over, a clock that tests turn."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from marquee.api.application import application
from marquee.settings import Settings
from tests.support.builders import NOW

STAGE = "prod"


@dataclass
class Clock:
    """The time of a test; sleeping lets it pass, and what was to happen until then happens."""

    time: datetime = NOW
    slept: list[float] = field(default_factory=list)
    _due: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        due = [happens for at, happens in self._due if at <= self.time]
        self._due = [(at, happens) for at, happens in self._due if at > self.time]
        for happens in due:
            happens()

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        """Let something happen while somebody sleeps."""
        self._due.append((self.time + timedelta(seconds=seconds), happens))


@dataclass
class Context:
    """The part of Lambda's context that the API reads."""

    clock: Clock
    timeout_seconds: float = 29.0
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def get_remaining_time_in_millis(self) -> int:
        passed = (self.clock.now() - self.began).total_seconds()
        return int((self.timeout_seconds - passed) * 1000)


@dataclass(frozen=True)
class Answer:
    """A response as API Gateway sends it on."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


type Query = Mapping[str, str | int | Sequence[str]]


@dataclass
class Api:
    """The application, called as API Gateway calls it."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    timeout_seconds: float = 29.0

    def get(self, path: str, query: Query | None = None, **headers: str) -> Answer:
        return self.send("GET", path, query, headers=headers)

    def post(
        self, path: str, query: Query | None = None, body: Any = None, **headers: str
    ) -> Answer:
        """``body`` is sent as JSON; a text or bytes as it is."""
        sent = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        return self.send("POST", path, query, sent, {"content-type": "application/json"} | headers)

    def send(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        event = an_event(method, path, query, body, headers)
        app = application(self.settings, self.clock.now, self.clock.sleep)
        context: Any = Context(self.clock, self.timeout_seconds)
        response = app.resolve(event, context)
        several = response.get("multiValueHeaders", {})
        headers = {name.lower(): ", ".join(values) for name, values in several.items()}
        assert response["isBase64Encoded"] is False
        return Answer(response["statusCode"], headers, response["body"] or "")


def an_event(
    method: str,
    path: str,
    query: Query | None = None,
    body: str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A proxy event of a REST API; bytes arrive in base64."""
    several = {
        name: [str(value)] if isinstance(value, str | int) else list(value)
        for name, value in (query or {}).items()
    }
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": dict(headers) if headers else None,
        "multiValueHeaders": {k: [v] for k, v in headers.items()} if headers else None,
        "queryStringParameters": {name: values[-1] for name, values in several.items()} or None,
        "multiValueQueryStringParameters": several or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/{STAGE}{path}",
            "stage": STAGE,
            "requestId": "7e6ee9d3-b2c4-4c2b-8d63-0f7a4d1b5a10",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": isinstance(body, bytes),
    }
