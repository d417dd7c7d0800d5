"""Events from outside: put on the bus, and said which callbacks they match."""

from typing import Any

from pydantic import BaseModel, Field, ValidationError

from marquee.api.call import Call, Parameters, Reply
from marquee.api.problems import FieldError, invalid
from marquee.api.triggers import EVENT_TYPE
from marquee.events.publish import Bus, Event
from marquee.movies.models import SearchRequest
from marquee.triggers.match import matching_triggers
from marquee.triggers.trigger_store import TriggerStore

SOURCE = "marquee.api"
"""What tells these events from those that follow from a change of ours."""

SHAPES: dict[str, type[BaseModel]] = {"MovieSearchRequested": SearchRequest}
"""What the detail of a type must be; that of other types may be anything."""


class CustomEvent(Parameters):
    """An event, of a type of ours or of your own."""

    type: str = Field(
        pattern=EVENT_TYPE,
        description="MovieSearchRequested, say, which starts a search; or a type of your own.",
    )
    detail: dict[str, Any] = Field(
        default_factory=dict, description="What happened, as the type has it."
    )


def put_event(asked: CustomEvent, call: Call) -> Reply:
    """Put an event on the bus; the answer says which callbacks it matches now."""
    from marquee.api.answers import EventAnswer, MatchAnswer

    _check(asked)
    matching = matching_triggers(asked.type, asked.detail, TriggerStore.connect(call.settings))
    [event_id] = Bus.connect(call.settings).put([Event(asked.type, asked.detail)], source=SOURCE)
    return Reply(
        EventAnswer(
            event_id=str(asked.detail.get("event_id") or event_id),
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
    """Raises Refused with every fault of a detail whose type has a shape."""
    shape = SHAPES.get(asked.type)
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
