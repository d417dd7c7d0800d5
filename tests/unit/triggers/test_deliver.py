"""Deliveries over a day of virtual time: retried, given up, switched off, sent again."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from marquee.aws import dynamodb
from marquee.triggers.callback import Outcome
from marquee.triggers.deliver import BACKOFF_SECONDS, LEASE
from marquee.triggers.models import Delivery, DeliveryStatus, Trigger
from marquee.triggers.register import redeliver, redeliver_failed, send_test
from marquee.triggers.trigger_store import TriggerStore
from tests.support.builders import NOW
from tests.support.parameters import Parameters
from tests.support.webhooks import SECRET, TRIGGER_ID, URL, Hooks, a_trigger, an_event

OUTAGE = Outcome(503, "answered 503", 20)
FINE = Outcome(204, "", 12)


@pytest.fixture
def hooks(store: TriggerStore) -> Hooks:
    """One callback, enabled."""
    store.put_trigger(a_trigger())
    return Hooks(store)


def the_delivery(hooks: Hooks) -> Delivery:
    [listed], _ = hooks.store.page(limit=10)
    delivery = hooks.store.delivery(listed.delivery_id)
    assert delivery is not None
    return delivery


def the_trigger(hooks: Hooks) -> Trigger:
    trigger = hooks.store.trigger(TRIGGER_ID)
    assert trigger is not None
    return trigger


def until(number: int, before: Outcome = OUTAGE) -> Callable[[int], Outcome]:
    """So many calls fail, the next ones do not."""
    return lambda n: before if n < number else FINE


def test_an_event_arrives_signed_with_the_secret_of_its_callback(hooks: Hooks) -> None:
    hooks.clock.time = hooks.clock.time.now(NOW.tzinfo)  # the library looks at the real clock
    hooks.happens()
    assert hooks.work() == []
    [(_, url, headers, body)] = hooks.callbacks.calls
    assert url == URL
    assert Webhook(SECRET).verify(body, dict(headers))["event_id"] == "search-1"
    delivery = the_delivery(hooks)
    assert headers["webhook-id"] == delivery.delivery_id
    assert (delivery.status, delivery.reason) == (DeliveryStatus.DELIVERED, "")
    [attempt] = delivery.attempts
    assert (attempt.status_code, attempt.error, attempt.duration_ms) == (204, "", 12)
    assert hooks.sqs.waiting == []


def test_a_callback_is_told_what_the_event_is_about(hooks: Hooks) -> None:
    hooks.happens()
    hooks.work()
    [(_, _, headers, _)] = hooks.callbacks.calls
    assert headers["x-correlation-id"] == the_delivery(hooks).correlation_id


@pytest.mark.parametrize("name", ["line\r\nX-Evil: 1", "x" * 129, "a b", "é"])
def test_what_no_header_can_hold_is_left_out(hooks: Hooks, name: str) -> None:
    hooks.happens()
    told = the_delivery(hooks)
    hooks.store.swap(told.model_copy(update={"correlation_id": name}))
    hooks.work()
    [(_, _, headers, _)] = hooks.callbacks.calls
    assert "x-correlation-id" not in headers


def test_a_callback_that_fails_is_called_again_later_and_later(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(3)
    hooks.happens()
    hooks.run()
    for wait, wanted in zip(hooks.callbacks.waits, BACKOFF_SECONDS, strict=False):
        assert 0.9 * wanted <= wait <= wanted + 1
    assert len(hooks.callbacks.calls) == 4
    delivery = the_delivery(hooks)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert [attempt.status_code for attempt in delivery.attempts] == [503, 503, 503, 204]
    assert hooks.sqs.dead == []


def test_every_attempt_is_the_same_message_signed_anew(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(3)
    hooks.happens()
    hooks.run()
    assert len({body for *_, body in hooks.callbacks.calls}) == 1
    headers = [headers for _, _, headers, _ in hooks.callbacks.calls]
    assert len({one["webhook-id"] for one in headers}) == 1
    assert len({one["webhook-timestamp"] for one in headers}) == 4
    assert len({one["webhook-signature"] for one in headers}) == 4


def test_between_attempts_the_history_says_why_and_when_next(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(1)
    hooks.happens()
    assert hooks.work() == ["message-1"]
    delivery = the_delivery(hooks)
    assert (delivery.status, delivery.reason) == (DeliveryStatus.PENDING, "answered 503")
    assert NOW < delivery.due_at <= NOW + timedelta(seconds=BACKOFF_SECONDS[0])


def test_after_a_day_a_delivery_is_given_up_with_its_reason_and_lies_with_the_dead_letters(
    hooks: Hooks,
) -> None:
    hooks.callbacks.outcomes = until(100)
    hooks.happens()
    hooks.run()
    assert len(hooks.callbacks.calls) == len(BACKOFF_SECONDS) + 1
    lasted = sum(hooks.callbacks.waits)
    assert 21 * 3600 < lasted <= 24 * 3600
    delivery = the_delivery(hooks)
    assert delivery.status is DeliveryStatus.FAILED
    assert delivery.reason == "given up after 10 attempts: answered 503"
    assert [json.loads(body) for body in hooks.sqs.dead] == [{"delivery_id": delivery.delivery_id}]
    assert the_trigger(hooks).failures == 1


def test_a_dead_letter_that_is_moved_back_is_tried_for_another_day(hooks: Hooks) -> None:
    rounds = len(BACKOFF_SECONDS) + 1
    hooks.callbacks.outcomes = until(rounds + 2)
    hooks.happens()
    hooks.run()
    hooks.sqs.redrive()
    hooks.run()
    assert len(hooks.callbacks.calls) == rounds + 3
    assert the_delivery(hooks).status is DeliveryStatus.DELIVERED
    assert hooks.sqs.dead == []
    assert the_trigger(hooks).failures == 0


def test_a_callback_that_fails_for_days_is_switched_off_with_the_reason_and_an_alarm(
    hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks.callbacks.outcomes = until(1000)
    for number in range(3):
        assert the_trigger(hooks).enabled
        hooks.happens(an_event(f"search-{number}"))
        hooks.run()
    trigger = the_trigger(hooks)
    assert not trigger.enabled
    assert trigger.disabled_reason == (
        "3 deliveries in a row were given up, the last one because of this: answered 503"
    )
    assert '"TriggersSwitchedOff":[1]' in capsys.readouterr().out
    calls = len(hooks.callbacks.calls)
    hooks.happens(an_event("search-9"))
    hooks.run()
    assert len(hooks.callbacks.calls) == calls


def test_one_that_arrives_in_between_keeps_a_callback_switched_on(hooks: Hooks) -> None:
    rounds = len(BACKOFF_SECONDS) + 1
    hooks.callbacks.outcomes = lambda n: FINE if n == 2 * rounds else OUTAGE
    for number in range(5):
        hooks.happens(an_event(f"search-{number}"))
        hooks.run()
    trigger = the_trigger(hooks)
    assert (trigger.enabled, trigger.failures) == (True, 2)


def test_a_receiver_that_is_gone_is_switched_off_at_once(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = lambda n: Outcome(410, "answered 410", 5, is_gone=True)
    hooks.happens()
    hooks.run()
    assert len(hooks.callbacks.calls) == 1
    assert the_delivery(hooks).status is DeliveryStatus.FAILED
    assert the_trigger(hooks).disabled_reason == "the receiver wants no more: answered 410"


def test_an_address_that_may_not_be_called_is_not_tried_again(hooks: Hooks) -> None:
    refusal = "the host stands for 10.0.0.1, which is not public"
    hooks.callbacks.outcomes = lambda n: Outcome(None, refusal, 1, is_final=True)
    hooks.happens()
    hooks.run()
    assert len(hooks.callbacks.calls) == 1
    assert the_delivery(hooks).reason == f"given up after 1 attempt: {refusal}"


def test_a_receiver_that_asks_for_time_gets_it(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(1, Outcome(429, "answered 429", 5, retry_after_seconds=7200))
    hooks.happens()
    hooks.run()
    assert hooks.callbacks.waits == [7200]


def test_but_not_more_than_a_message_can_wait(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(1, Outcome(429, "429", 5, retry_after_seconds=10**9))
    hooks.happens()
    hooks.run()
    assert hooks.callbacks.waits == [36_000]


def test_what_was_on_its_way_when_its_trigger_was_disabled_waits_for_a_person(
    hooks: Hooks,
) -> None:
    hooks.happens()
    hooks.store.switch(TRIGGER_ID, enabled=False, reason="maintenance", now=NOW)
    hooks.run()
    assert hooks.callbacks.calls == []
    delivery = the_delivery(hooks)
    assert delivery.status is DeliveryStatus.FAILED
    assert delivery.reason == "the trigger is disabled: maintenance"
    hooks.store.switch(TRIGGER_ID, enabled=True, reason="", now=NOW)
    redeliver(delivery.delivery_id, hooks.store, hooks.queue, now=NOW)
    hooks.run()
    assert the_delivery(hooks).status is DeliveryStatus.DELIVERED


def test_what_was_on_its_way_when_its_trigger_was_deleted_fails(hooks: Hooks) -> None:
    hooks.happens()
    hooks.store.delete_trigger(TRIGGER_ID)
    hooks.run()
    assert hooks.callbacks.calls == []
    assert the_delivery(hooks).reason == "the trigger was deleted"


def test_a_delivery_that_has_expired_is_let_go(hooks: Hooks) -> None:
    hooks.queue.send("0" * 32)
    hooks.run()
    assert hooks.callbacks.calls == []


def test_a_secret_that_is_gone_is_a_failure_that_may_pass(hooks: Hooks) -> None:
    del hooks.parameters.values[TRIGGER_ID]
    hooks.happens()
    assert hooks.work() == ["message-1"]
    assert the_delivery(hooks).reason == "the secret to sign with is gone"
    assert hooks.callbacks.calls == []


def test_a_message_that_comes_twice_at_once_calls_once(hooks: Hooks) -> None:
    hooks.happens()
    delivery = the_delivery(hooks)
    hooks.queue.send(delivery.delivery_id)
    inner: list[list[str]] = []
    hooks.callbacks.during = lambda: inner.append(hooks.work())
    hooks.batch_size = 1
    assert hooks.work() == []
    assert inner == [["message-2"]]
    hooks.run()
    assert len(hooks.callbacks.calls) == 1
    assert the_delivery(hooks).status is DeliveryStatus.DELIVERED


def test_a_delivery_that_someone_else_takes_meanwhile_is_theirs_until_their_time_is_up(
    hooks: Hooks,
) -> None:
    class Overtaken(TriggerStore):
        """Someone takes the delivery right after it was read."""

        def trigger(self, trigger_id: str) -> Trigger | None:
            taken = the_delivery(hooks)
            self.swap(taken.model_copy(update={"due_at": hooks.clock.now() + LEASE, "tries": 1}))
            return super().trigger(trigger_id)

    plain = hooks.store
    hooks.happens()
    hooks.store = Overtaken(plain._table)
    assert hooks.work() == ["message-1"]
    assert hooks.callbacks.calls == []
    hooks.store = plain
    hooks.run()
    [(at, *_)] = hooks.callbacks.calls
    assert at >= NOW + LEASE


def test_two_messages_of_one_delivery_share_its_attempts(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = until(100)
    hooks.happens()
    hooks.queue.send(the_delivery(hooks).delivery_id)
    hooks.run()
    assert len(hooks.callbacks.calls) == len(BACKOFF_SECONDS) + 1
    assert the_delivery(hooks).status is DeliveryStatus.FAILED


def test_a_function_that_dies_while_it_calls_is_followed_by_another_attempt(hooks: Hooks) -> None:
    class Killed(BaseException):
        """What ends a function without asking it."""

    def die() -> None:
        raise Killed

    hooks.happens()
    hooks.callbacks.during = die
    with pytest.raises(Killed):
        hooks.work()
    hooks.callbacks.during = lambda: None
    hooks.run()
    assert len(hooks.callbacks.calls) == 2
    assert hooks.callbacks.waits[0] >= LEASE.total_seconds()
    assert the_delivery(hooks).status is DeliveryStatus.DELIVERED


def test_one_bad_message_holds_up_no_other_of_its_batch(hooks: Hooks) -> None:
    failing = "MovieSearchCompleted-00000000000000a2"
    hooks.store.put_trigger(a_trigger(trigger_id=failing, url="https://failing.example/"))
    hooks.parameters = Parameters(**{TRIGGER_ID: SECRET, failing: SECRET})
    hooks.queue.sqs.send_message("queue", "not ours")
    hooks.queue.sqs.send_message("queue", '{"delivery_id": 7}')
    hooks.happens()
    hooks.callbacks.outcomes = lambda n: (
        OUTAGE if hooks.callbacks.calls[n][1].startswith("https://failing") else FINE
    )
    again = hooks.work()
    statuses = {d.trigger_id: d.status for d in hooks.store.page(limit=10)[0]}
    assert statuses == {TRIGGER_ID: DeliveryStatus.DELIVERED, failing: DeliveryStatus.PENDING}
    assert len(again) == 1
    assert [message.message_id for message in hooks.sqs.waiting] == again
    assert hooks.sqs.dead == ["not ours", '{"delivery_id": 7}']


def test_a_store_that_does_not_answer_loses_nothing(hooks: Hooks) -> None:
    hooks.happens()
    events = dynamodb().meta.client.meta.events
    error = {"Error": {"Code": "ThrottlingException", "Message": "?"}}

    def refuse(**_: Any) -> None:
        from botocore.exceptions import ClientError

        raise ClientError(error, "GetItem")  # type: ignore[arg-type] # a part is enough

    events.register("before-call.dynamodb", refuse)
    try:
        assert hooks.work() == ["message-1"]
    finally:
        events.unregister("before-call.dynamodb", refuse)
    assert hooks.callbacks.calls == []
    hooks.run()
    assert len(hooks.callbacks.calls) == 1


def test_a_dead_letter_queue_that_refuses_lets_the_last_attempt_be_made_again(
    hooks: Hooks,
) -> None:
    hooks.callbacks.outcomes = lambda n: Outcome(None, "not public", 1, is_final=True)
    hooks.happens()
    hooks.sqs.refuses = 1
    assert hooks.work() == ["message-1"]
    assert the_delivery(hooks).status is DeliveryStatus.PENDING
    hooks.run()
    assert the_delivery(hooks).status is DeliveryStatus.FAILED
    assert len(hooks.sqs.dead) == 1


def test_a_clock_that_is_behind_delays_a_delivery_and_no_more(hooks: Hooks) -> None:
    hooks.happens()
    hooks.clock.time -= timedelta(seconds=5)
    hooks.sqs.waiting[0].visible_at = hooks.clock.time
    assert hooks.work() == ["message-1"]
    hooks.run()
    assert len(hooks.callbacks.calls) == 1


def test_a_test_calls_once_even_a_callback_that_is_switched_off(hooks: Hooks) -> None:
    hooks.store.switch(TRIGGER_ID, enabled=False, reason="off", now=NOW)
    hooks.callbacks.outcomes = until(1)
    sent = send_test(TRIGGER_ID, hooks.store, hooks.queue, now=NOW)
    hooks.run()
    [(_, _, headers, body)] = hooks.callbacks.calls
    assert headers["webhook-id"] == sent.delivery_id
    assert json.loads(body)["type"] == "TriggerTest"
    delivery = the_delivery(hooks)
    assert (delivery.status, delivery.reason) == (DeliveryStatus.FAILED, "answered 503")
    assert (the_trigger(hooks).failures, hooks.sqs.dead) == (0, [])


def test_all_that_failed_is_sent_again_and_what_arrived_is_not(hooks: Hooks) -> None:
    hooks.callbacks.outcomes = lambda n: Outcome(None, "x", 1, is_final=True) if n < 2 else FINE
    for number in range(3):
        hooks.happens(an_event(f"search-{number}"))
        hooks.run()
    sent, more = redeliver_failed(
        TRIGGER_ID, hooks.store, hooks.queue, now=hooks.clock.now(), has_time=lambda: True
    )
    assert (sent, more) == (2, False)
    hooks.run()
    assert len(hooks.callbacks.calls) == 5
    found, _ = hooks.store.page(limit=10)
    assert {delivery.status for delivery in found} == {DeliveryStatus.DELIVERED}


def test_the_secret_is_in_no_log_and_in_no_row(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.callbacks.outcomes = until(100)
    hooks.happens()
    hooks.run()
    said = str([vars(record) for record in caplog.records])
    assert "callback called" in said
    rows = str(hooks.store.page(limit=10))
    for text in (said, rows):
        assert SECRET.removeprefix("whsec_") not in text
