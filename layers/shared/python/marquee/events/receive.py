"""Reading what EventBridge and its Scheduler deliver."""

from typing import Any

from pydantic import BaseModel, ValidationError

from marquee.errors import BadInput
from marquee.observability import logger

type JsonObject = dict[str, Any]


def detail_of[M: BaseModel](event: JsonObject, model: type[M]) -> M:
    """The event's detail; raises BadInput for one that is wrong, so that it ends in a queue."""
    logger.set_correlation_id(str(event.get("id")))
    try:
        return model.model_validate(event.get("detail"), strict=True)
    except ValidationError as error:
        raise _refused(error, str(event.get("detail-type"))) from error


def input_of[M: BaseModel](event: JsonObject, model: type[M]) -> M:
    """The whole event, which is what a schedule was told to send; raises BadInput likewise."""
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise _refused(error, model.__name__) from error


def _refused(error: ValidationError, what: str) -> BadInput:
    refused = BadInput.of(error)
    logger.error("event refused", detail_type=what, reason=str(refused))
    return refused
