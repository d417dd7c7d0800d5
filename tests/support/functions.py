"""Lambda as one function of ours calls another: what each answers is said by the test."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSResponse, HeadersDict

from marquee.aws import ONCE, client
from marquee.movies.collect import CollectDataOutput

_INVOKE = "before-call.lambda.Invoke"

type Answering = Callable[[dict[str, Any]], Mapping[str, Any]]

FOUND_NOTHING = CollectDataOutput(message="nothing of that name").model_dump(mode="json")
FINDING_NOTHING: Mapping[str, Answering] = {"CollectDataFunction": lambda _: FOUND_NOTHING}
"""By logical id, those that others call."""


@dataclass
class Functions:
    """The functions that may be called, by name, and what they were asked."""

    answers: dict[str, Answering]
    asked: list[tuple[str, Any]] = field(default_factory=list)
    refusal: Exception | None = None

    def __call__(self, params: dict[str, Any], **_: Any) -> Any:
        """In the place of the request to Lambda."""
        if self.refusal:
            raise self.refusal
        name = params["url_path"].split("/")[-2]
        payload = json.loads(params["body"])
        self.asked.append((name, payload))
        try:
            said: Any = self.answers[name](payload)
        except Exception as error:
            said = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return _answer(said, FunctionError="Unhandled")
        return _answer(said)


def let_functions_find_nothing() -> None:
    """Let every function that is called in this installation answer so, unless a test says what."""
    client("lambda", ONCE).meta.events.register(_INVOKE, Functions(dict(FINDING_NOTHING)))


@contextmanager
def callable_functions() -> Iterator[Functions]:
    """Functions whose answers a test says; until then each finds nothing."""
    functions = Functions(dict(FINDING_NOTHING))
    events = client("lambda", ONCE).meta.events
    events.register_first(_INVOKE, functions)
    try:
        yield functions
    finally:
        events.unregister(_INVOKE, functions)


def _answer(said: Any, **headers: str) -> tuple[AWSResponse, dict[str, Any]]:
    payload = BytesIO(json.dumps(said).encode())
    no_headers: Any = HeadersDict()
    response = AWSResponse("", 200, no_headers, None)
    return response, {"StatusCode": 200, "Payload": payload, **headers}
