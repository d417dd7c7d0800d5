"""Events from outside: put on the bus, and said which callbacks they match."""

from typing import Any

from pydantic import BaseModel, Field, ValidationError

from marquee.api.call import Call, Parameters, Reply
from marquee.api.problems import FieldError, invalid
from marquee.api.triggers import EVENT_TYPE
from marquee.events.models import EVENTS, SEARCH_REQUEST
from marquee.events.publish import Bus
from marquee.movies.models import SearchRequest
from marquee.observability import logger
from marquee.triggers.match import matching_triggers
from marquee.triggers.trigger_store import TriggerStore

SOURCE = "marquee.api"
"""What tells these events from those that follow from a change of ours."""

SHAPES: dict[str, type[BaseModel]] = {SEARCH_REQUEST: SearchRequest}
"""What the detail of a type must be; that of types of your own may be anything."""


class CustomEvent(Parameters):
    """An event of a type of your own, or a request for a search."""

    type: str = Field(
        pattern=EVENT_TYPE,
        description="MovieSearchRequested, which starts a search, or a type of your own; Marquee's "
        "other types follow from what it has done.",
    )
    detail: dict[str, Any] = Field(
        default_factory=dict, description="What happened, as the type has it."
    )

    @property
    def detail_type(self) -> str:
        """The type, by its name on the bus."""
        return self.type


def put_event(asked: CustomEvent, call: Call) -> Reply:
    """Put an event on the bus; the answer says which callbacks it matches now."""
    from marquee.api.answers import EventAnswer, MatchAnswer

    _check(asked)
    matching = matching_triggers(asked.type, asked.detail, TriggerStore.connect(call.settings))
    event_id = Bus.connect(call.settings).put(asked, source=SOURCE)
    event_id = str(asked.detail.get("event_id") or event_id)
    logger.info("event put", event_id=event_id, type=asked.type)
    return Reply(
        EventAnswer(
            event_id=event_id,
            type=asked.type,
            matches=tuple(
                MatchAnswer(
                    trigger_id=trigger.trigger_id,
                    url=trigger.url,
                    trigger_url=call.link(f"/triggers/{trigger.trigger_id}"),
                )
                for trigger in matching
            ),
        )
    )


def _check(asked: CustomEvent) -> None:
    """Raises Refused for what only Marquee can know, and every fault of a type with a shape."""
    shape = SHAPES.get(asked.type)
    if shape is None and asked.type in EVENTS:
        message = f"{asked.type} follows from what Marquee has done, and only Marquee says it"
        raise invalid([FieldError(field="type", message=message)])
    if shape is None:
        return
    try:
        shape.model_validate(asked.detail, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        fields = [".".join(map(str, ("detail", *fault["loc"]))) for fault in faults]
        raise invalid(
            [
                FieldError(field=field, message=fault["msg"])
                for field, fault in zip(fields, faults, strict=True)
            ]
        ) from error
