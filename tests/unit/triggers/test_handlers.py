"""MatchTriggers and DeliverWebhook with their payload files, and what the template gives them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.coordination.deliver_webhook.app import handler as deliver_webhook
from functions.coordination.match_triggers.app import handler as match_triggers
from marquee.aws import client
from marquee.settings import Settings
from marquee.triggers.callback_secrets import prefix_of
from marquee.triggers.deliver import LEASE
from marquee.triggers.models import DeliveryStatus
from marquee.triggers.trigger_store import TriggerStore
from tests.support.api import Clock, Context
from tests.support.installation import installed, the_template
from tests.support.receiver import receiving
from tests.support.templates import ROOT
from tests.support.webhooks import SECRET, TRIGGER_ID, a_trigger

CONTEXT: Any = Context(Clock())
DELIVER = "DeliverWebhookFunction"


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """What DeliverWebhook is given, and loopback allowed."""
    with installed(DELIVER) as settings:
        monkeypatch.setenv("ALLOW_LOOPBACK_WEBHOOKS", "true")
        yield settings


def payload(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text())
    return event


def test_an_event_reaches_a_receiver_that_can_tell_whose_it_is(laptop: Settings) -> None:
    store = TriggerStore.connect(laptop)
    client("ssm").put_parameter(
        Name=f"{laptop.parameter_prefix}/{TRIGGER_ID}", Value=SECRET, Type="SecureString"
    )
    with receiving() as receiver:
        store.put_trigger(a_trigger(url=receiver.url))
        event = payload("match_triggers")
        [delivery_id] = match_triggers(event, CONTEXT)["deliveries"]
        sqs = client("sqs")
        [message] = sqs.receive_message(QueueUrl=laptop.webhook_queue_url)["Messages"]
        [record] = payload("deliver_webhook")["Records"]
        record |= {"body": message["Body"], "receiptHandle": message["ReceiptHandle"]}
        assert deliver_webhook({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}
        [received] = receiver.calls
    assert received.headers["webhook-id"] == delivery_id
    assert received.verified(SECRET)["data"] == event["detail"]
    delivery = store.delivery(delivery_id)
    assert delivery is not None
    assert delivery.status is DeliveryStatus.DELIVERED


def test_the_payload_file_of_a_delivery_that_has_expired_is_done_with(laptop: Settings) -> None:
    assert deliver_webhook(payload("deliver_webhook"), CONTEXT) == {"batchItemFailures": []}


def test_secrets_are_read_where_they_are_written(laptop: Settings) -> None:
    assert laptop.parameter_prefix == prefix_of(laptop.stage)


def test_a_delivery_is_taken_for_longer_than_the_function_may_run() -> None:
    template = the_template()
    timeout = template.document["Globals"]["Function"]["Timeout"]
    assert "Timeout" not in template.document["Resources"][DELIVER]["Properties"]
    assert timeout < LEASE.total_seconds()
    queue = template.document["Resources"]["WebhookQueue"]["Properties"]
    assert queue["VisibilityTimeout"] == 6 * timeout


def test_loopback_is_not_allowed_by_default() -> None:
    assert the_template().parameters["AllowLoopbackWebhooks"] == "false"
    with installed(DELIVER) as settings:
        assert settings.allow_loopback_webhooks is False
