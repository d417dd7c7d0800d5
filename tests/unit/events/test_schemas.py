"""The schemas in the repository are those of the models that every event is checked by."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from marquee.events.models import EVENTS, DomainEvent, PostPublished
from tests.support.templates import ROOT

SCHEMAS = ROOT / "layers" / "shared" / "python" / "marquee" / "events" / "schemas"
AGAIN = 'write them: python -c "from tests.unit.events.test_schemas import write; write()"'


def schema_of(model: type[DomainEvent]) -> dict[str, Any]:
    """The JSON Schema of an event's detail."""
    schema = model.model_json_schema(mode="serialization")
    for described in schema["properties"].values():
        del described["title"]  # the name again
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def file_name(model: type[DomainEvent]) -> str:
    return f"{model.__name__}.v{model.model_fields['version'].default}.json"


def text_of(model: type[DomainEvent]) -> str:
    return json.dumps(schema_of(model), indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Write the schemas of all models; one of a version that is out stays as it is."""
    SCHEMAS.mkdir(exist_ok=True)
    for model in EVENTS.values():
        (SCHEMAS / file_name(model)).write_text(text_of(model))


@pytest.mark.parametrize("name", EVENTS)
def test_the_file_says_what_the_model_checks(name: str) -> None:
    model = EVENTS[name]
    assert (SCHEMAS / file_name(model)).read_text() == text_of(model), AGAIN


def test_there_is_a_file_for_every_event_and_no_other() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == set(map(file_name, EVENTS.values()))


@pytest.mark.parametrize("name", EVENTS)
def test_every_property_is_described_always_there_and_no_other_allowed(name: str) -> None:
    schema = schema_of(EVENTS[name])
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["description"]
    for described in schema["properties"].values():
        assert described["description"].endswith(".")


def a_post(**changes: Any) -> PostPublished:
    return PostPublished.about(
        *("marquee", "101", "7"),
        **{
            "occurred_at": datetime(2026, 5, 4, 20, tzinfo=UTC),
            "account": "marquee",
            "source": "somebody",
            "tweet_id": "101",
            "post_id": "7",
            "price_usd": 0.015,
            **changes,
        },
    )


def test_what_is_put_on_the_bus_is_what_the_schema_allows() -> None:
    post = a_post()
    Draft202012Validator(schema_of(PostPublished)).validate(post.detail)
    assert json.loads(json.dumps(post.detail)) == {
        "version": 1,
        "event_id": "PostPublished/marquee/101/7",
        "occurred_at": "2026-05-04T20:00:00Z",
        "correlation_id": "PostPublished/marquee/101/7",
        "workflow_id": None,
        "account": "marquee",
        "source": "somebody",
        "tweet_id": "101",
        "type": None,
        "reason": "",
        "post_id": "7",
        "price_usd": 0.015,
    }


@pytest.mark.parametrize("wrong", [{"post_id": None}, {"price_usd": -1}, {"likes": 7}])
def test_an_event_that_the_schema_does_not_allow_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        a_post(**wrong)


def test_an_event_of_a_workflow_is_found_by_its_id() -> None:
    assert a_post(correlation_id="run-1", workflow_id="run-1").correlation_id == "run-1"
