"""Callbacks end to end: the deployed bus, queue and functions, IAM enforced, and a receiver on
loopback that verifies with the library of Standard Webhooks what it is sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import Deployed, Json, deployed_in, eventually
from tests.support.receiver import Received, Receiver, receiving

TRIGGERS = "/triggers"
PRIVATE = "https://0x0a000001/"
"""10.0.0.1, in a spelling that only the resolver sees through."""


@dataclass(frozen=True)
class Hooks:
    """The callbacks of a cloud, and a receiver."""

    deployed: Deployed
    receiver: Receiver

    def register(self, event_type: str, **fields: Any) -> Json:
        """A callback, and the secret that it was given."""
        body = {"event_type": event_type, "url": self.receiver.url, **fields}
        answer = self.deployed.ask("POST", TRIGGERS, body=body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    def trigger(self, made: Json) -> Json:
        """How a callback stands."""
        return self.deployed.get(f"{TRIGGERS}/{made['trigger_id']}")

    def happens(self, event_type: str, **detail: Any) -> Json:
        """Put an event on the bus."""
        body = {"type": event_type, "detail": detail}
        answer = self.deployed.ask("POST", "/events", body=body)
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told

    def history(self, made: Json, **query: Any) -> list[Json]:
        """The deliveries of a callback, the newest first."""
        asked = {"trigger_id": made["trigger_id"], **query}
        found: list[Json] = self.deployed.get(f"{TRIGGERS}/history", **asked)["deliveries"]
        return found

    def ended(self, made: Json, count: int = 1) -> list[Json]:
        """The deliveries of a callback, once so many have ended."""

        def look() -> list[Json] | None:
            found = self.history(made)
            ended = [told for told in found if told["status"] != "PENDING"]
            return found if len(ended) >= count else None

        return eventually(look)

    def received(self, secret: str, count: int = 1) -> list[Any]:
        """What the receiver was sent, verified, once it was called so often."""
        calls: list[Received] = eventually(
            lambda: self.receiver.calls if len(self.receiver.calls) >= count else None
        )
        return [call.verified(secret) for call in calls]

    def dead_letters(self) -> list[Json]:
        """The dead letters, which stay where they are."""
        url = self.deployed.cloud.outputs["WebhookDeadLettersUrl"]
        answer = self.deployed.aws("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        found: list[Json] = answer.get("Messages", [])
        return found

    def move_back(self, letter: Json) -> None:
        """What an operator does with a dead letter once its cause is mended."""
        outputs, sqs = self.deployed.cloud.outputs, self.deployed.aws("sqs")
        sqs.send_message(QueueUrl=outputs["WebhookQueueUrl"], MessageBody=letter["Body"])
        dead = outputs["WebhookDeadLettersUrl"]
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])


@pytest.fixture
def hooks(cloud: RunningCloud) -> Iterator[Hooks]:
    with deployed_in(cloud) as deployed, receiving() as receiver:
        yield Hooks(deployed, receiver)


def test_the_end_of_a_search_reaches_a_callback_that_can_tell_whose_it_is(hooks: Hooks) -> None:
    # Of this film alone: what another test searched just before is told a moment later.
    made = hooks.register("MovieSearchCompleted", filter={"title": "Pulp Fiction"})
    # Not the default number of reviews: an equal search of another test would answer at once.
    searched = hooks.deployed.search("Pulp Fiction", max_reviews=13)
    [sent, *_] = hooks.received(made["secret"])
    assert sent["type"] == "MovieSearchCompleted"
    assert sent["data"]["workflow_id"] == searched["workflow_id"]
    [told] = hooks.ended(made)
    assert (told["status"], told["attempts"][0]["status_code"]) == ("DELIVERED", 204)
    assert told["latency_ms"] < 10_000
    assert told["delivery_id"] == hooks.receiver.calls[0].headers["webhook-id"]


def test_an_event_of_ones_own_reaches_whom_the_answer_names_and_nobody_else(hooks: Hooks) -> None:
    wanted = hooks.register("ShopOpened", filter={"city": ["Hyderabad", "Pune"]})
    other = hooks.register("ShopOpened", filter={"city": "Madrid"})
    told = hooks.happens("ShopOpened", city="Hyderabad", seats=420)
    assert [match["trigger_id"] for match in told["matches"]] == [wanted["trigger_id"]]
    [sent] = hooks.received(wanted["secret"])
    assert sent["data"] == {"city": "Hyderabad", "seats": 420}
    assert sent["event_id"] == told["event_id"]
    hooks.ended(wanted)
    assert hooks.history(other) == []


def test_a_receiver_that_fails_is_called_again_with_the_same_message(hooks: Hooks) -> None:
    made = hooks.register("ShopRepaired")
    hooks.receiver.status = 503
    hooks.happens("ShopRepaired")
    [told] = eventually(lambda: [t for t in hooks.history(made) if t["attempts"]])
    assert (told["status"], told["reason"]) == ("PENDING", "answered 503")
    hooks.receiver.status = 200
    [told] = hooks.ended(made)
    assert told["status"] == "DELIVERED"
    assert [attempt["status_code"] for attempt in told["attempts"]] == [503, 200]
    assert hooks.received(made["secret"], 2)[0] == hooks.received(made["secret"], 2)[1]
    assert len({call.headers["webhook-id"] for call in hooks.receiver.calls}) == 1


def test_a_dead_letter_is_moved_back_once_its_receiver_is_mended(hooks: Hooks) -> None:
    made = hooks.register("ShopMoved")
    hooks.receiver.status = 410
    hooks.happens("ShopMoved")
    [told] = hooks.ended(made)
    assert (told["status"], told["reason"]) == ("FAILED", "given up after 1 attempt: answered 410")
    off = eventually(lambda: None if (t := hooks.trigger(made))["enabled"] else t)
    assert off["disabled_reason"] == "the receiver wants no more: answered 410"
    [letter] = [one for one in hooks.dead_letters() if told["delivery_id"] in one["Body"]]
    hooks.receiver.status = 204
    hooks.deployed.ask("POST", f"{TRIGGERS}/{made['trigger_id']}/enable")
    hooks.move_back(letter)
    eventually(lambda: hooks.history(made, status="DELIVERED"))
    assert len(hooks.receiver.calls) == 2
    assert hooks.trigger(made)["failures"] == 0


def test_what_failed_is_sent_again_on_request(hooks: Hooks) -> None:
    made = hooks.register("ShopLost")
    hooks.receiver.status = 410
    hooks.happens("ShopLost")
    hooks.ended(made)
    eventually(lambda: not hooks.trigger(made)["enabled"])
    path = f"{TRIGGERS}/{made['trigger_id']}"
    assert hooks.deployed.ask("POST", f"{path}/redeliver").status_code == 409
    hooks.deployed.ask("POST", f"{path}/enable")
    hooks.receiver.status = 204
    answer = hooks.deployed.ask("POST", f"{path}/redeliver")
    assert answer.json() == {"redelivered": 1, "more": False}
    eventually(lambda: hooks.history(made, status="DELIVERED"))


def test_a_callback_inside_of_a_private_network_is_never_called_and_switched_off(
    hooks: Hooks,
) -> None:
    made = hooks.register("ShopHidden", url=PRIVATE)
    for number in range(3):
        hooks.happens("ShopHidden", number=number)
    for told in hooks.ended(made, 3):
        assert told["status"] == "FAILED"
        assert "10.0.0.1, which is not public" in told["reason"]
    off = eventually(lambda: None if (t := hooks.trigger(made))["enabled"] else t)
    assert "3 deliveries in a row were given up" in off["disabled_reason"]


def test_a_message_that_nobody_understands_goes_to_the_dead_letters(hooks: Hooks) -> None:
    url = hooks.deployed.cloud.outputs["WebhookQueueUrl"]
    hooks.deployed.aws("sqs").send_message(QueueUrl=url, MessageBody="not ours")
    eventually(lambda: [one for one in hooks.dead_letters() if one["Body"] == "not ours"])


def test_a_test_calls_a_callback_that_is_switched_off_and_a_deleted_one_is_gone(
    hooks: Hooks,
) -> None:
    made = hooks.register("ShopOpened", filter={"city": "Lima"})
    path = f"{TRIGGERS}/{made['trigger_id']}"
    hooks.deployed.ask("POST", f"{path}/disable", body={"reason": "rehearsal"})
    answer = hooks.deployed.ask("POST", f"{path}/test")
    assert answer.status_code == 202
    [sent] = hooks.received(made["secret"])
    assert sent["type"] == "TriggerTest"
    name = f"/marquee-webhooks/local/{made['trigger_id']}"
    ssm = hooks.deployed.aws("ssm")
    assert ssm.get_parameter(Name=name)["Parameter"]["Type"] == "SecureString"
    assert hooks.deployed.ask("DELETE", path).status_code == 200
    assert hooks.deployed.ask("GET", path).status_code == 404
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=name)


def test_the_api_cannot_read_the_secrets_that_it_writes_nor_the_sender_write_them(
    hooks: Hooks,
) -> None:
    made = hooks.register("ShopGuarded")
    name = f"/marquee-webhooks/local/{made['trigger_id']}"
    denied = pytest.raises(ClientError, match="AccessDenied")
    with hooks.deployed.as_role_of("ApiFunction") as connect, denied:
        connect("ssm").get_parameter(Name=name, WithDecryption=True)
    with hooks.deployed.as_role_of("DeliverWebhookFunction") as connect:
        ssm = connect("ssm")
        found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        assert found == made["secret"]
        with pytest.raises(ClientError, match="AccessDenied"):
            ssm.put_parameter(Name=name, Value="x", Type="SecureString", Overwrite=True)
        with pytest.raises(ClientError, match="AccessDenied"):
            ssm.get_parameter(Name="/marquee/local/movies/tmdb/token", WithDecryption=True)


def test_a_secret_is_said_once_and_logged_never(hooks: Hooks) -> None:
    made = hooks.register("ShopSecret")
    hooks.happens("ShopSecret")
    hooks.received(made["secret"])
    hooks.ended(made)
    secret = made["secret"].removeprefix("whsec_")
    assert sum(secret in said for said in hooks.deployed.said) == 1
    assert hooks.deployed.logged("callback called") != []
    assert [line for line in hooks.deployed.logged("whsec") if secret in line] == []
    assert secret not in json.dumps(hooks.deployed.items("Triggers"))
