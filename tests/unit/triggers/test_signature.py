"""Our signature against the library of Standard Webhooks."""

import base64
import time

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from marquee.errors import BadInput
from marquee.triggers.signature import key_of, new_secret, signed_headers

BODY = '{"type":"MovieSearchCompleted","data":{"title":"రౌద్రం"}}'.encode()


def test_the_library_of_standard_webhooks_verifies_what_we_sign() -> None:
    secret = new_secret()
    headers = signed_headers(secret, "7d5e1c0f", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers)["type"] == "MovieSearchCompleted"


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_the_library_refuses_it_once_anything_is_changed(part: str) -> None:
    secret, now = new_secret(), int(time.time())
    headers = signed_headers(secret, "7d5e1c0f", now, BODY)
    changed = {"webhook-id": "7d5e1c0e", "webhook-timestamp": str(now + 1)}
    if part in changed:
        headers[part] = changed[part]
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if part == "secret" else secret).verify(
            BODY + (b" " if part == "body" else b""), headers
        )


def test_secrets_of_our_own_are_all_different_and_of_the_size_of_the_digest() -> None:
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    assert {len(key_of(secret)) for secret in made} == {32}


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_of_a_fitting_size_is_taken(size: int) -> None:
    key = bytes(range(size))
    assert key_of("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "hunter2",
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "!" * 44,
        "whsec_" + "é" * 44,
    ],
)
def test_any_other_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(BadInput, match="24 to 64") as refused:
        key_of(secret)
    assert refused.value.field == "secret"
    assert len(secret) < 10 or secret not in str(refused.value)
