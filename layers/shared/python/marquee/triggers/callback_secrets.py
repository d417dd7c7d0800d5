"""The secrets of callbacks, one SecureString each: the API writes them, and cannot read them.

DeliverWebhook reads them as ``marquee.settings.secrets``, by trigger id.
"""

from typing import Any

from botocore.exceptions import ClientError

from marquee.aws import STORE_ERRORS, as_store_error, client
from marquee.settings import Settings


def prefix_of(stage: str) -> str:
    """The path of a stage's secrets: beside ``/marquee/<stage>``, which operators fill by hand."""
    return f"/marquee-webhooks/{stage}"


class WritingSecrets:
    """The secrets, for those who register and delete."""

    def __init__(self, ssm: Any, prefix: str) -> None:
        self._ssm = ssm
        self._prefix = prefix

    @classmethod
    def connect(cls, settings: Settings) -> "WritingSecrets":
        """The Parameter Store."""
        return cls(client("ssm"), prefix_of(settings.stage))

    def put(self, trigger_id: str, secret: str) -> None:
        """Store the secret of a new trigger."""
        try:
            self._ssm.put_parameter(Name=self._name(trigger_id), Value=secret, Type="SecureString")
        except STORE_ERRORS as error:
            raise as_store_error(error) from None  # the request that it may quote holds the secret

    def delete(self, trigger_id: str) -> None:
        """Forget the secret, if there is one."""
        try:
            self._ssm.delete_parameter(Name=self._name(trigger_id))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise

    def _name(self, trigger_id: str) -> str:
        return f"{self._prefix}/{trigger_id}"
