"""Reading what EventBridge delivers."""

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
        refused = BadInput.of(error)
        logger.error("event refused", detail_type=event.get("detail-type"), reason=str(refused))
        raise refused from error
