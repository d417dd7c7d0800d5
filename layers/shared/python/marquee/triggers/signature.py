"""Standard Webhooks: the secret that a receiver shares with us, and what is signed with it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import secrets

from marquee.errors import BadInput

PREFIX = "whsec_"
FEWEST_BYTES = 24
MOST_BYTES = 64
"""Of a secret, by the specification."""
OWN_BYTES = 32
"""As long as the digest that it keys."""


def new_secret() -> str:
    """A secret of our own making."""
    return PREFIX + base64.b64encode(secrets.token_bytes(OWN_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret; raises BadInput, which does not quote it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if not secret.startswith(PREFIX) or not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise BadInput(
            f"a secret is {PREFIX} and the base64 of {FEWEST_BYTES} to {MOST_BYTES} random bytes",
            field="secret",
        )
    return key


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that let a receiver tell that a body is ours, and which message of when it is.

    ``timestamp`` in seconds since 1970. Raises BadInput for a secret that is none.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key_of(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
