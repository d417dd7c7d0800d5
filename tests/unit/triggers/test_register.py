"""What a person asks for, and what is kept, shown and refused."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.aws import client
from marquee.errors import BadInput, Conflict, NotFound, StoreUnavailable
from marquee.settings import Secrets, Settings
from marquee.triggers.callback import Outcome
from marquee.triggers.callback_secrets import WritingSecrets, prefix_of
from marquee.triggers.models import Attempt, Delivery, DeliveryStatus, ListedDelivery
from marquee.triggers.register import (
    MOST_OF_A_TYPE,
    OVERDUE_AFTER,
    Registered,
    delete,
    redeliver,
    redeliver_failed,
    register,
    send_test,
    switch,
)
from marquee.triggers.trigger_store import TriggerStore
from tests.support.builders import NOW
from tests.support.webhooks import SECRET, TRIGGER_ID, URL, Hooks, a_trigger, an_event

FINAL = Outcome(None, "not public", 1, is_final=True)


@pytest.fixture
def secrets(settings: Settings) -> WritingSecrets:
    return WritingSecrets.connect(settings)


def stored_secret(settings: Settings, trigger_id: str) -> str | None:
    """As the function that signs reads it."""
    return Secrets(client("ssm"), prefix_of(settings.stage)).get(trigger_id)


def registered(store: TriggerStore, secrets: WritingSecrets, **fields: Any) -> Registered:
    asked: dict[str, Any] = {
        "event_type": "MovieSearchCompleted",
        "url": URL,
        "secret": None,
        "wanted": {},
        **fields,
    }
    return register(**asked, store=store, secrets=secrets, allow_loopback=False, now=NOW)


def test_a_callback_is_registered_with_a_secret_of_our_making(
    store: TriggerStore, secrets: WritingSecrets, settings: Settings
) -> None:
    made = registered(store, secrets, wanted={"status": ["FAILED"], "score": 0.1})
    assert made.trigger.trigger_id.startswith("MovieSearchCompleted-")
    assert store.trigger(made.trigger.trigger_id) == made.trigger
    assert stored_secret(settings, made.trigger.trigger_id) == made.secret
    assert made.secret not in str(made.trigger)


def test_or_with_a_secret_of_ones_own(
    store: TriggerStore, secrets: WritingSecrets, settings: Settings
) -> None:
    made = registered(store, secrets, secret=SECRET)
    assert made.secret == SECRET
    assert stored_secret(settings, made.trigger.trigger_id) == SECRET


def test_the_secret_is_kept_encrypted(
    store: TriggerStore, secrets: WritingSecrets, settings: Settings
) -> None:
    name = f"{prefix_of(settings.stage)}/{registered(store, secrets).trigger.trigger_id}"
    [found] = client("ssm").get_parameters(Names=[name])["Parameters"]
    assert found["Type"] == "SecureString"


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", "https://10.0.0.1/"), ("secret", "hunter2"), ("wanted", {"status": []})],
)
def test_what_is_wrong_is_refused_before_anything_is_stored(
    store: TriggerStore, secrets: WritingSecrets, field: str, value: Any
) -> None:
    with pytest.raises(BadInput):
        registered(store, secrets, **{field: value})
    assert list(store.triggers_of("MovieSearchCompleted")) == []


def test_the_same_callback_is_not_registered_twice(
    store: TriggerStore, secrets: WritingSecrets
) -> None:
    first = registered(store, secrets)
    with pytest.raises(Conflict, match=first.trigger.trigger_id):
        registered(store, secrets)
    registered(store, secrets, wanted={"status": "FAILED"})
    registered(store, secrets, event_type="MovieSearch")


def test_an_event_type_has_a_bounded_number_of_callbacks(
    store: TriggerStore, secrets: WritingSecrets
) -> None:
    for number in range(MOST_OF_A_TYPE):
        trigger_id = f"MovieSearchCompleted-{number:016x}"
        store.put_trigger(a_trigger(trigger_id=trigger_id, url=f"{URL}/{number}"))
    with pytest.raises(Conflict, match="the most"):
        registered(store, secrets)


def test_a_secret_that_cannot_be_stored_leaves_no_trigger(store: TriggerStore) -> None:
    class Refusing:
        def put_parameter(self, **_: Any) -> None:
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "?"}}, "Put")

    with pytest.raises(StoreUnavailable):
        registered(store, WritingSecrets(Refusing(), "/x"))
    assert list(store.triggers_of("MovieSearchCompleted")) == []


def test_deleting_takes_the_secret_along(
    store: TriggerStore, secrets: WritingSecrets, settings: Settings
) -> None:
    made = registered(store, secrets).trigger
    assert delete(made.trigger_id, store, secrets) == made
    assert stored_secret(settings, made.trigger_id) is None
    assert store.trigger(made.trigger_id) is None


def test_a_deletion_that_was_ended_midway_can_be_asked_for_again(
    store: TriggerStore, secrets: WritingSecrets
) -> None:
    made = registered(store, secrets).trigger
    secrets.delete(made.trigger_id)
    delete(made.trigger_id, store, secrets)
    assert store.trigger(made.trigger_id) is None
    with pytest.raises(NotFound):
        delete(made.trigger_id, store, secrets)


def test_a_trigger_is_switched_off_with_a_reason_and_on_with_a_clean_slate(
    store: TriggerStore,
) -> None:
    store.put_trigger(a_trigger(failures=2))
    later = NOW + timedelta(hours=1)
    off = switch(TRIGGER_ID, store, enabled=False, reason="maintenance", now=later)
    assert (off.enabled, off.disabled_reason, off.changed_at) == (False, "maintenance", later)
    again = switch(TRIGGER_ID, store, enabled=False, reason="other", now=later)
    assert again.disabled_reason == "maintenance"
    on = switch(TRIGGER_ID, store, enabled=True, reason="", now=later)
    assert (on.enabled, on.disabled_reason, on.failures) == (True, "", 0)


def test_there_is_nothing_to_do_about_a_trigger_that_is_not_there(
    hooks: Hooks, secrets: WritingSecrets
) -> None:
    store, queue = hooks.store, hooks.queue
    with pytest.raises(NotFound):
        switch(TRIGGER_ID, store, enabled=True, reason="", now=NOW)
    with pytest.raises(NotFound):
        send_test(TRIGGER_ID, store, queue, now=NOW)
    with pytest.raises(NotFound):
        redeliver_failed(TRIGGER_ID, store, queue, now=NOW, has_time=lambda: True)
    with pytest.raises(NotFound):
        redeliver("0" * 32, store, queue, now=NOW)


def test_what_has_arrived_may_be_sent_again(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    [delivery_id] = hooks.happens().deliveries
    hooks.run()
    sent = redeliver(delivery_id, hooks.store, hooks.queue, now=NOW)
    assert sent.status is DeliveryStatus.PENDING
    hooks.run()
    assert len(hooks.callbacks.calls) == 2
    assert len({headers["webhook-id"] for _, _, headers, _ in hooks.callbacks.calls}) == 1


def test_what_is_on_its_way_is_not_sent_again_unless_it_has_lost_its_message(
    hooks: Hooks,
) -> None:
    hooks.store.put_trigger(a_trigger())
    [delivery_id] = hooks.happens().deliveries
    hooks.sqs.waiting.clear()
    with pytest.raises(Conflict, match="on its way"):
        redeliver(delivery_id, hooks.store, hooks.queue, now=NOW)
    hooks.clock.time += OVERDUE_AFTER
    redeliver(delivery_id, hooks.store, hooks.queue, now=hooks.clock.now())
    hooks.run()
    assert len(hooks.callbacks.calls) == 1


def test_nothing_is_sent_again_to_a_trigger_that_is_disabled_or_gone(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    hooks.callbacks.outcomes = lambda n: FINAL
    [delivery_id] = hooks.happens().deliveries
    hooks.run()
    hooks.store.switch(TRIGGER_ID, enabled=False, reason="off", now=NOW)
    with pytest.raises(Conflict, match="enable it first"):
        redeliver(delivery_id, hooks.store, hooks.queue, now=NOW)
    with pytest.raises(Conflict, match="enable it first"):
        redeliver_failed(TRIGGER_ID, hooks.store, hooks.queue, now=NOW, has_time=lambda: True)
    hooks.store.delete_trigger(TRIGGER_ID)
    with pytest.raises(Conflict, match="deleted"):
        redeliver(delivery_id, hooks.store, hooks.queue, now=NOW)


def test_sending_all_again_ends_with_the_time_of_the_request(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    hooks.callbacks.outcomes = lambda n: FINAL
    for number in range(2):
        hooks.happens(an_event(f"search-{number}"))
    hooks.run()
    times = iter([True, False])
    answer = redeliver_failed(
        TRIGGER_ID, hooks.store, hooks.queue, now=hooks.clock.now(), has_time=lambda: next(times)
    )
    assert answer == (1, True)


def test_history_is_listed_newest_first_page_by_page(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    other = "MovieSearchCompleted-00000000000000a2"
    hooks.callbacks.outcomes = lambda n: FINAL if n % 2 else Outcome(204, "", 1)
    for number in range(6):
        if number == 4:
            hooks.store.put_trigger(a_trigger(trigger_id=other))
            hooks.parameters.values[other] = SECRET
        hooks.happens(an_event(f"search-{number}"))
        hooks.run()
        hooks.clock.time += timedelta(minutes=1)
    whole, more = hooks.store.page(limit=100)
    assert more is None
    assert len(whole) == 8
    times = [delivery.matched_at for delivery in whole]
    assert times == sorted(times, reverse=True)
    pages = []
    before = None
    while True:
        page, before = hooks.store.page(limit=3, before=before)
        pages.append(page)
        if before is None:
            break
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [delivery for page in pages for delivery in page] == whole
    of_other, _ = hooks.store.page(limit=100, trigger_id=other)
    assert [d for d in whole if d.trigger_id == other] == of_other
    failed, _ = hooks.store.page(limit=100, statuses=[DeliveryStatus.FAILED])
    assert [d for d in whole if d.status is DeliveryStatus.FAILED] == failed


def a_failed_delivery(number: int, **fields: Any) -> Delivery:
    facts = {
        "delivery_id": f"{number:032x}",
        "trigger_id": TRIGGER_ID,
        "url": URL,
        "event_id": f"search-{number}",
        "event_type": "MovieSearchCompleted",
        "correlation_id": f"search-{number}",
        "payload": "{}",
        "matched_at": NOW,
        "due_at": NOW,
        "status": DeliveryStatus.FAILED,
    }
    return Delivery.model_validate({**facts, **fields})


def test_history_lists_all_of_a_delivery_but_its_payload(store: TriggerStore) -> None:
    attempt = Attempt(at=NOW, duration_ms=7, status_code=503, error="answered 503")
    stored = a_failed_delivery(1, is_test=True, reason="given up", tries=2, attempts=(attempt,))
    store.swap(stored)
    wanted = ListedDelivery.model_validate(stored.model_dump())
    assert store.page(limit=10) == ([wanted], None)
    assert store.page(limit=10, trigger_id=TRIGGER_ID) == ([wanted], None)


def test_history_is_listed_to_its_end_however_long_its_rows_are(hooks: Hooks) -> None:
    """DynamoDB answers a query with 1 MB at most; moto counts what the index leaves out too."""
    hooks.store.put_trigger(a_trigger())
    for number in range(30):
        hooks.store.swap(a_failed_delivery(number, payload="x" * 100_000))
    page, more = hooks.store.page(limit=25)
    assert len(page) == 25
    assert more is not None
    assert len(hooks.store.page(limit=25, before=more)[0]) == 5
    answer = redeliver_failed(TRIGGER_ID, hooks.store, hooks.queue, now=NOW, has_time=lambda: True)
    assert answer == (30, False)
    hooks.run()
    assert {len(body) for _, _, _, body in hooks.callbacks.calls} == {100_000}


def test_a_delivery_expires_with_the_history(hooks: Hooks) -> None:
    hooks.store.put_trigger(a_trigger())
    [delivery_id] = hooks.happens().deliveries
    [row] = [
        item
        for item in client("dynamodb").scan(TableName=hooks.store._table.name)["Items"]
        if item["pk"]["S"] == f"DELIVERY#{delivery_id}"
    ]
    assert int(row["expires_at"]["N"]) == (NOW + timedelta(days=30)).timestamp()


def test_triggers_are_listed_page_by_page(store: TriggerStore) -> None:
    ids = [f"MovieSearchCompleted-{number:016x}" for number in range(5)]
    for trigger_id in ids:
        store.put_trigger(a_trigger(trigger_id=trigger_id))
    found, after = store.page_of_triggers(limit=3, after=None)
    rest, end = store.page_of_triggers(limit=3, after=after)
    assert [trigger.trigger_id for trigger in [*found, *rest]] == ids
    assert end is None
