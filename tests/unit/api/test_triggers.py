"""The routes of triggers and events, as a client sees them."""

import json
from typing import Any

import pytest

from marquee.aws import client
from marquee.events.models import EVENTS, SEARCH_REQUEST
from marquee.settings import Settings
from marquee.triggers.models import Delivery, DeliveryStatus
from marquee.triggers.trigger_store import TriggerStore
from tests.support.api import Api
from tests.support.builders import NOW
from tests.support.webhooks import SECRET, URL, an_event

TRIGGERS = "/triggers"
EVENTS_ROUTE = "/events"


def registered(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api.post(TRIGGERS, body={"event_type": "MovieSearchCompleted", "url": URL, **fields})
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def queued(settings: Settings) -> list[str]:
    """The bodies of the messages that wait for DeliverWebhook."""
    sqs = client("sqs")
    url = settings.webhook_queue_url
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in found]


def store_a_delivery(settings: Settings, trigger_id: str, **fields: Any) -> Delivery:
    facts = {
        "delivery_id": "7d5e1c0f9b8a4e3d2c1b0a9f8e7d6c5b",
        "trigger_id": trigger_id,
        "url": URL,
        "event_id": "search-1",
        "event_type": "MovieSearchCompleted",
        "correlation_id": "search-1",
        "payload": "{}",
        "matched_at": NOW,
        "due_at": NOW,
        **fields,
    }
    stored = TriggerStore.connect(settings).swap(Delivery.model_validate(facts))
    assert stored
    return stored


def test_registering_answers_the_secret_once_and_where_the_trigger_is(api: Api) -> None:
    answer = api.post(TRIGGERS, body={"event_type": "MovieSearchCompleted", "url": URL})
    made = answer.json()
    assert answer.status == 201
    assert answer.headers["location"] == made["trigger_url"] == f"triggers/{made['trigger_id']}"
    assert made["secret"].startswith("whsec_")
    assert made["enabled"] is True
    for path in (TRIGGERS, f"{TRIGGERS}/{made['trigger_id']}"):
        assert "whsec_" not in api.get(path).text
    for verb in ("disable", "enable", "test"):
        assert "whsec_" not in api.post(f"{TRIGGERS}/{made['trigger_id']}/{verb}").text
    deleted = api.send("DELETE", f"{TRIGGERS}/{made['trigger_id']}")
    assert (deleted.status, "whsec_" in deleted.text) == (200, False)


def test_a_secret_of_ones_own_is_taken_from_the_body_and_not_from_the_address(api: Api) -> None:
    assert registered(api, secret=SECRET)["secret"] == SECRET
    query = {"event_type": "MovieSearch", "url": URL, "secret": SECRET}
    refused = api.post(TRIGGERS, query)
    assert refused.status == 422
    assert SECRET not in refused.text
    [fault] = refused.json()["errors"]
    assert fault == {"field": "secret", "message": "belongs in the body: addresses are logged"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_type", "not a type"),
        ("event_type", "has-hyphen"),
        ("url", "https://169.254.169.254/"),
        ("url", "http://example.com/"),
        ("url", ""),
        ("secret", "hunter2"),
        ("filter", {"status": []}),
        ("filter", "status"),
        ("filter", ["status"]),
        ("nonsense", 1),
    ],
)
def test_what_is_wrong_with_a_callback_is_named(api: Api, field: str, value: Any) -> None:
    body = {"event_type": "MovieSearchCompleted", "url": URL, field: value}
    answer = api.post(TRIGGERS, body=body)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_refused_secret_is_not_said_back(api: Api) -> None:
    for secret in ("whsec_" + "x" * 1000, {"deep": "hunter2"}, 7):
        answer = api.post(TRIGGERS, body={"event_type": "A", "url": URL, "secret": secret})
        assert answer.status == 422
        assert "xxx" not in answer.text
        assert "hunter2" not in answer.text


def test_loopback_is_for_laptops(api: Api, settings: Settings) -> None:
    body = {"event_type": "MovieSearchCompleted", "url": "http://127.0.0.1:8080/"}
    assert api.post(TRIGGERS, body=body).status == 422
    laptop = Api(settings.model_copy(update={"allow_loopback_webhooks": True}))
    assert laptop.post(TRIGGERS, body=body).status == 201


def test_the_same_callback_again_is_a_conflict_that_names_it(api: Api) -> None:
    first = registered(api)
    answer = api.post(TRIGGERS, body={"event_type": "MovieSearchCompleted", "url": URL})
    assert answer.status == 409
    assert first["trigger_id"] in answer.json()["detail"]


def test_triggers_are_listed_by_event_type_page_by_page(api: Api) -> None:
    made = {registered(api, event_type=name)["trigger_id"] for name in "CAB"}
    first = api.get(TRIGGERS, {"limit": 2}).json()
    second = api.get(TRIGGERS, {"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = [*first["triggers"], *second["triggers"]]
    assert [trigger["event_type"] for trigger in listed] == ["A", "B", "C"]
    assert {trigger["trigger_id"] for trigger in listed} == made
    assert second["next_cursor"] is None


def test_a_trigger_is_disabled_with_a_reason_and_enabled_again(api: Api) -> None:
    path = f"{TRIGGERS}/{registered(api)['trigger_id']}"
    off = api.post(f"{path}/disable", body={"reason": "maintenance"}).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "maintenance")
    assert api.get(path).json() == off | {"trigger_url": off["trigger_url"].removeprefix("../")}
    on = api.post(f"{path}/enable").json()
    assert (on["enabled"], on["disabled_reason"]) == (True, "")


def test_a_test_is_accepted_and_followed_in_the_history(api: Api, settings: Settings) -> None:
    trigger_id = registered(api)["trigger_id"]
    answer = api.post(f"{TRIGGERS}/{trigger_id}/test")
    told = answer.json()
    assert answer.status == 202
    assert answer.headers["location"] == f"../../triggers/history/{told['delivery_id']}"
    assert (told["event_type"], told["is_test"]) == ("TriggerTest", True)
    assert (told["status"], told["latency_ms"]) == ("PENDING", None)
    assert [told["delivery_id"] in body for body in queued(settings)] == [True]
    followed = api.get(f"{TRIGGERS}/history/{told['delivery_id']}")
    assert followed.json()["trigger_id"] == trigger_id


def test_the_history_tells_each_call(api: Api, settings: Settings) -> None:
    trigger_id = registered(api)["trigger_id"]
    attempts = [
        {"at": NOW, "duration_ms": 3000, "status_code": 503, "error": "answered 503"},
        {"at": NOW, "duration_ms": 42, "status_code": 204},
    ]
    store_a_delivery(settings, trigger_id, status=DeliveryStatus.DELIVERED, attempts=attempts)
    other = {"delivery_id": "0" * 32, "trigger_id": trigger_id[:-1] + "g", "reason": "x"}
    store_a_delivery(settings, **other)
    listed = api.get(f"{TRIGGERS}/history", {"trigger_id": trigger_id}).json()
    [told] = listed["deliveries"]
    assert (told["status"], told["latency_ms"], told["due_at"]) == ("DELIVERED", 42, None)
    assert [attempt["status_code"] for attempt in told["attempts"]] == [503, 204]
    pending = api.get(f"{TRIGGERS}/history", {"status": "PENDING"}).json()["deliveries"]
    assert [delivery["delivery_id"] for delivery in pending] == ["0" * 32]
    assert len(api.get(f"{TRIGGERS}/history").json()["deliveries"]) == 2


def test_history_has_pages(api: Api, settings: Settings) -> None:
    trigger_id = registered(api)["trigger_id"]
    for number in range(3):
        store_a_delivery(settings, trigger_id, delivery_id=f"{number:032x}")
    first = api.get(f"{TRIGGERS}/history", {"limit": 2}).json()
    rest = api.get(f"{TRIGGERS}/history", {"limit": 2, "cursor": first["next_cursor"]}).json()
    ids = [told["delivery_id"] for told in [*first["deliveries"], *rest["deliveries"]]]
    assert ids == [f"{number:032x}" for number in (2, 1, 0)]
    assert rest["next_cursor"] is None


def test_a_delivery_that_failed_is_sent_again(api: Api, settings: Settings) -> None:
    failed = store_a_delivery(
        settings, registered(api)["trigger_id"], status=DeliveryStatus.FAILED, tries=10
    )
    path = f"{TRIGGERS}/history/{failed.delivery_id}/redeliver"
    answer = api.post(path)
    assert (answer.status, answer.json()["status"]) == (202, "PENDING")
    assert len(queued(settings)) == 1
    assert api.post(path).status == 409


def test_all_that_failed_is_sent_again(api: Api, settings: Settings) -> None:
    trigger_id = registered(api)["trigger_id"]
    for number in range(3):
        store_a_delivery(
            settings, trigger_id, delivery_id=f"{number:032x}", status=DeliveryStatus.FAILED
        )
    answer = api.post(f"{TRIGGERS}/{trigger_id}/redeliver")
    assert answer.json() == {"redelivered": 3, "more": False}
    assert len(queued(settings)) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/triggers/A-0000000000000001"),
        ("DELETE", "/triggers/A-0000000000000001"),
        ("POST", "/triggers/A-0000000000000001/test"),
        ("POST", "/triggers/A-0000000000000001/disable"),
        ("POST", "/triggers/A-0000000000000001/enable"),
        ("POST", "/triggers/A-0000000000000001/redeliver"),
        ("GET", "/triggers/history/00000000000000000000000000000000"),
        ("POST", "/triggers/history/00000000000000000000000000000000/redeliver"),
    ],
)
def test_what_is_not_there_is_not_found(api: Api, method: str, path: str) -> None:
    assert api.send(method, path).status == 404


def test_an_event_of_ones_own_is_put_on_the_bus_and_says_whom_it_reaches(
    api: Api, settings: Settings
) -> None:
    wanted = registered(api, event_type="ShopOpened", filter={"city": "Hyderabad"})
    registered(api, event_type="ShopOpened", filter={"city": "Madrid"})
    registered(api, event_type="ShopClosed")
    answer = api.post(EVENTS_ROUTE, body={"type": "ShopOpened", "detail": {"city": "Hyderabad"}})
    assert answer.status == 200
    told = answer.json()
    assert told["type"] == "ShopOpened"
    assert told["event_id"]
    assert [match["trigger_id"] for match in told["matches"]] == [wanted["trigger_id"]]


def test_what_is_put_on_the_bus_is_what_was_sent(api: Api, settings: Settings) -> None:
    events, sqs = client("events"), client("sqs")
    queue = sqs.create_queue(QueueName="watching")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    pattern = '{"detail-type": ["ShopOpened"]}'
    events.put_rule(Name="watch", EventBusName=settings.event_bus, EventPattern=pattern)
    events.put_targets(
        Rule="watch",
        EventBusName=settings.event_bus,
        Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}],
    )
    told = api.post(EVENTS_ROUTE, body={"type": "ShopOpened", "detail": {"city": "హైదరాబాద్"}}).json()
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    envelope = json.loads(message["Body"])
    assert envelope["id"] == told["event_id"]
    assert (envelope["source"], envelope["detail"]) == ("marquee.api", {"city": "హైదరాబాద్"})
    sqs.delete_queue(QueueUrl=queue)
    events.remove_targets(Rule="watch", EventBusName=settings.event_bus, Ids=["queue"])
    events.delete_rule(Name="watch", EventBusName=settings.event_bus)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"type": "no type"}, ["type"]),
        ({"detail": {}}, ["type"]),
        ({"type": "A", "detail": "text"}, ["detail"]),
        ({"type": "MovieSearchRequested", "detail": {"movie_name": 7}}, ["detail.movie_name"]),
        (
            {"type": "MovieSearchRequested", "detail": {"movie_name": "RRR", "max_reviews": 1000}},
            ["detail.max_reviews"],
        ),
        ({"type": "MovieSearchRequested"}, ["detail"]),
        *(({"type": name}, ["type"]) for name in EVENTS if name != SEARCH_REQUEST),
    ],
)
def test_what_is_wrong_with_an_event_is_named(
    api: Api, body: dict[str, Any], fields: list[str]
) -> None:
    answer = api.post(EVENTS_ROUTE, body=body)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields


def test_why_others_may_not_say_what_only_marquee_knows_is_said(api: Api) -> None:
    [error] = api.post(EVENTS_ROUTE, body={"type": "PostPublished"}).json()["errors"]
    assert error["message"] == (
        "PostPublished follows from what Marquee has done, and only Marquee says it"
    )


def test_an_event_that_is_too_long_is_refused(api: Api) -> None:
    assert api.post(EVENTS_ROUTE, body={"type": "A", "detail": {"x": "y" * 70_000}}).status == 413


def test_a_good_event_of_ours_is_taken(api: Api) -> None:
    body = {"type": "MovieSearchRequested", "detail": {"movie_name": "RRR", "year": 2022}}
    assert api.post(EVENTS_ROUTE, body=body).status == 200


def test_an_event_has_the_id_that_its_detail_gives_it(api: Api) -> None:
    detail = an_event()["detail"]
    answer = api.post(EVENTS_ROUTE, body={"type": "ShopOpened", "detail": detail})
    assert answer.json()["event_id"] == "search-1"
