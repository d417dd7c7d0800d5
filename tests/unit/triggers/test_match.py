"""Events to deliveries: each once, whatever comes twice or ends midway."""

import json
from typing import Any

import pytest

from marquee.errors import BadInput, StoreUnavailable
from marquee.triggers.models import Delivery, DeliveryStatus
from tests.support.builders import NOW
from tests.support.webhooks import TRIGGER_ID, URL, Hooks, a_trigger, an_event


def the_delivery(hooks: Hooks) -> Delivery:
    [listed], _ = hooks.store.page(limit=10)
    delivery = hooks.store.delivery(listed.delivery_id)
    assert delivery is not None
    return delivery


def test_an_event_becomes_one_delivery_for_each_callback_of_its_type(hooks: Hooks) -> None:
    second = "MovieSearchCompleted-00000000000000a2"
    hooks.store.put_trigger(a_trigger())
    hooks.store.put_trigger(a_trigger(trigger_id=second))
    other = a_trigger(trigger_id="MovieSearch-00000000000000a3", event_type="MovieSearch")
    hooks.store.put_trigger(other)
    matched = hooks.happens()
    assert matched.event_id == "search-1"
    deliveries, _ = hooks.store.page(limit=10)
    assert {delivery.trigger_id for delivery in deliveries} == {TRIGGER_ID, second}
    assert {delivery.delivery_id for delivery in deliveries} == set(matched.deliveries)
    assert len(hooks.sqs.waiting) == 2


def test_a_delivery_holds_the_event_as_it_will_be_sent(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    event = an_event()
    hooks.happens(event)
    delivery = the_delivery(hooks)
    assert (delivery.url, delivery.status, delivery.matched_at) == (
        URL,
        DeliveryStatus.PENDING,
        NOW,
    )
    assert json.loads(delivery.payload) == {
        "type": "MovieSearchCompleted",
        "timestamp": "2026-03-14T19:59:59.500+00:00",
        "event_id": "search-1",
        "data": event["detail"],
    }
    assert delivery.correlation_id == "movie_search-1"


def test_nobody_hears_of_an_event_that_nobody_asked_for(hooks: Hooks) -> None:
    assert hooks.happens().deliveries == ()
    hooks.store.put_trigger(a_trigger(filter={"status": "FAILED"}))
    assert hooks.happens().deliveries == ()
    hooks.store.put_trigger(a_trigger(enabled=False))
    assert hooks.happens().deliveries == ()
    assert hooks.sqs.waiting == []


def test_the_same_event_in_another_envelope_changes_nothing(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    first = hooks.happens()
    hooks.run()
    assert hooks.happens(an_event(id="another", time="2026-03-15T20:00:00Z")) == first
    assert hooks.sqs.waiting == []
    assert len(hooks.callbacks.calls) == 1


def test_the_same_event_before_the_first_call_is_called_for_once(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    for _ in range(3):
        hooks.happens()
    hooks.run()
    assert len(hooks.callbacks.calls) == 1
    assert len(hooks.store.page(limit=10)[0]) == 1


def test_other_events_are_other_deliveries(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    for number in range(3):
        hooks.happens(an_event(f"search-{number}"))
    hooks.run()
    assert len({headers["webhook-id"] for _, _, headers, _ in hooks.callbacks.calls}) == 3


def test_an_event_without_an_id_of_its_own_has_that_of_its_envelope(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    event = an_event(detail={"status": "SUCCEEDED"})
    assert hooks.happens(event).event_id == event["id"]
    delivery = the_delivery(hooks)
    assert json.loads(delivery.payload)["timestamp"] == "2026-03-14T20:00:00.000+00:00"
    assert delivery.correlation_id == event["id"]


def test_a_message_that_the_queue_refused_is_sent_when_the_event_comes_again(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    hooks.sqs.refuses = 1
    with pytest.raises(StoreUnavailable):
        hooks.happens()
    hooks.happens()
    hooks.run()
    assert len(hooks.callbacks.calls) == 1


@pytest.mark.parametrize(
    "event",
    [{}, {"detail-type": "X", "id": "1", "time": "soon", "detail": {}}, an_event(detail="text")],
)
def test_what_is_no_event_fails_by_name(hooks: Hooks, event: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        hooks.happens(event)


def test_an_event_that_no_row_can_hold_fails_by_name_if_somebody_wants_it(hooks: Hooks) -> None:
    long = an_event(detail={"text": "x" * 300_000})
    assert hooks.happens(long).deliveries == ()
    hooks.store.put_trigger(a_trigger())
    with pytest.raises(BadInput, match="bytes at most"):
        hooks.happens(long)


def test_an_event_in_any_script_is_delivered_in_as_many_bytes_as_it_came_in(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    hooks.happens(an_event(detail={"text": "\u0c24\u0c46" * 45_000}))
    payload = the_delivery(hooks).payload
    assert len(payload.encode()) < 271_000
    assert json.loads(payload)["data"]["text"].startswith("\u0c24\u0c46\u0c24")


def test_half_a_surrogate_pair_is_delivered_as_it_came(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    hooks.happens(an_event(detail={"text": "half \ud83d"}))
    hooks.run()
    [(_, _, _, body)] = hooks.callbacks.calls
    assert json.loads(body)["data"]["text"] == "half \ud83d"


def test_what_an_event_has_in_common_with_others_is_what_its_detail_says(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    event = an_event()
    detail = {**event["detail"], "correlation_id": "shop-order-7"}
    hooks.happens({**event, "detail": detail})
    delivery = the_delivery(hooks)
    assert delivery.correlation_id == "shop-order-7"
