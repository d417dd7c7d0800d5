"""A custom resource is answered whatever comes of it, as CloudFormation's address takes it."""

import json
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, cast

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from marquee.custom_resource import MAX_REASON, RequestType, custom_resource
from marquee.errors import Misconfigured, UpstreamUnavailable

CONTEXT = cast("LambdaContext", None)


@dataclass
class AnswerAddress:
    """Where CloudFormation waits: a server on loopback that keeps what is put there."""

    url: str = ""
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def address() -> Iterator[AnswerAddress]:
    kept = AnswerAddress()

    class Keeper(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            kept.answers.append(json.loads(body))
            self.send_response(kept.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Keeper) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}/answer?Signature=abc"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


class Done(BaseModel):
    request_type: RequestType


@custom_resource
def says_what_was_asked(request_type: RequestType) -> Done:
    return Done(request_type=request_type)


def a_request(address: AnswerAddress, kind: str = "Create", **fields: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": address.url,
        "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/marquee/1",
        "RequestId": "request-1",
        "ResourceType": "Custom::TweetSettings",
        "LogicalResourceId": "TweetSettings",
        "ResourceProperties": {"ServiceToken": "arn", "SchedulesEnabled": "false"},
        **fields,
    }


def test_success_is_answered_with_what_cloudformation_asked_about(address: AnswerAddress) -> None:
    request = a_request(address)
    says_what_was_asked(request, CONTEXT)
    [answer] = address.answers
    assert answer == {
        "Status": "SUCCESS",
        "PhysicalResourceId": f"{request['StackId']}/TweetSettings",
        "StackId": request["StackId"],
        "RequestId": "request-1",
        "LogicalResourceId": "TweetSettings",
    }


def test_the_answer_has_no_content_type_which_the_signature_of_the_address_leaves_out(
    address: AnswerAddress,
) -> None:
    says_what_was_asked(a_request(address), CONTEXT)
    assert "content-type" not in address.headers[0]


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_the_physical_id_stays_so_that_nothing_is_ever_replaced(
    address: AnswerAddress, kind: str
) -> None:
    says_what_was_asked(a_request(address, kind, PhysicalResourceId="the-first"), CONTEXT)
    assert address.answers[0]["PhysicalResourceId"] == "the-first"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Misconfigured("schedules.toml [schedules.daily]: wrong"), "schedules.toml [schedules."),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError("\0" * 10_000), "RuntimeError: \0"),
    ],
)
def test_a_fault_is_answered_with_its_sentence_and_never_raised(
    address: AnswerAddress, error: Exception, reason: str
) -> None:
    @custom_resource
    def fails(request_type: RequestType) -> Done:
        raise error

    fails(a_request(address), CONTEXT)
    [answer] = address.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(reason)
    assert len(answer["Reason"]) <= MAX_REASON
    assert int(address.headers[0]["content-length"]) <= 4096


@pytest.mark.parametrize(("status", "said"), [(503, "503"), (None, "ConnectError")])
def test_an_answer_that_is_not_taken_is_raised_without_its_address(
    address: AnswerAddress, status: int | None, said: str
) -> None:
    if status:
        address.status = status
    else:
        address.url = "http://127.0.0.1:1/answer?Signature=abc"
    with pytest.raises(UpstreamUnavailable, match=f"not taken: {said}") as raised:
        says_what_was_asked(a_request(address), CONTEXT)
    assert "Signature" not in "".join(traceback.format_exception(raised.value))


def test_the_address_of_the_answer_is_in_no_log(
    address: AnswerAddress,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        says_what_was_asked(a_request(address), CONTEXT)
    assert "Signature" not in capsys.readouterr().out + caplog.text
