"""CloudFormation's custom resources: whatever comes of a request, it is answered, and at once.

CloudFormation waits until its address is told SUCCESS or FAILED, for an hour by default; the Reason
of a failure is what the operator sees of it.
"""

import json
import logging
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any

import httpx
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field

from marquee.errors import MarqueeError, UpstreamUnavailable
from marquee.observability import logger
from marquee.settings import HTTP_TIMEOUT_SECONDS

# At INFO httpx logs every URL, and who knows this one may answer.
logging.getLogger("httpx").setLevel(logging.WARNING)

MAX_REASON = 500
"""Characters; the whole answer may have 4096 bytes, and JSON makes up to 6 of a character."""

CONNECT_RETRIES = 2
"""Of a connection that was refused or reset before anything was sent; at once, and after 0.5 s."""

type JsonObject = dict[str, Any]


class RequestType(StrEnum):
    """What becomes of the resource."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


class Request(BaseModel):
    """What CloudFormation asks; unknown fields are dropped."""

    model_config = ConfigDict(frozen=True)

    request_type: RequestType = Field(alias="RequestType")
    response_url: str = Field(alias="ResponseURL", repr=False)
    """Signed: who knows it may answer."""
    stack_id: str = Field(alias="StackId")
    request_id: str = Field(alias="RequestId")
    logical_id: str = Field(alias="LogicalResourceId")
    physical_id: str | None = Field(default=None, alias="PhysicalResourceId")
    """None when it is created."""


def custom_resource(
    function: Callable[[RequestType], BaseModel],
) -> Callable[[JsonObject, LambdaContext], JsonObject]:
    """Make a handler of ``function``, which says what it did; any error of it answers FAILED.

    The resource keeps one physical id, so that an update never replaces it. Raises
    UpstreamUnavailable where the answer was not taken: CloudFormation gives up after the resource's
    ServiceTimeout, and may then ask for its removal.
    """

    @wraps(function)
    def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
        request = Request.model_validate(event)
        logger.set_correlation_id(request.request_id)
        try:
            done = function(request.request_type).model_dump(mode="json")
        except Exception as error:
            logger.exception("custom resource failed", request_type=request.request_type)
            answer = _answer(request, "FAILED", Reason=_sentence(error))
        else:
            logger.info("custom resource done", request_type=request.request_type, done=done)
            answer = _answer(request, "SUCCESS")
        _put(request.response_url, answer)
        return answer

    return handler


def _answer(request: Request, status: str, **more: str) -> JsonObject:
    return {
        "Status": status,
        "PhysicalResourceId": request.physical_id or f"{request.stack_id}/{request.logical_id}",
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_id,
        **more,
    }


def _put(address: str, answer: JsonObject) -> None:
    try:
        with httpx.Client(
            transport=httpx.HTTPTransport(retries=CONNECT_RETRIES), timeout=HTTP_TIMEOUT_SECONDS
        ) as http:
            # As bytes, which httpx gives no Content-Type: the address is signed without one.
            content = json.dumps(answer, ensure_ascii=False).encode()
            http.put(address, content=content).raise_for_status()
    except httpx.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        raise UpstreamUnavailable(
            f"the answer was not taken: {status or type(error).__name__}",
            provider="cloudformation",
            endpoint="ResponseURL",
            status=status,
        ) from None  # httpx quotes the address


def _sentence(error: Exception) -> str:
    said = str(error) if isinstance(error, MarqueeError) else f"{type(error).__name__}: {error}"
    return said[:MAX_REASON]
