"""The Parameter Store as far as credentials need it, with the refusals it may answer."""

import json
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from marquee_cli.upstreams.credentials import DEMONSTRATION
from marquee_cli.upstreams.user_context import demonstration_secrets
from tests.support.upstreams import Upstreams

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

PREFIX = "/marquee/test/tweets"


class Parameters:
    """SecureStrings in a dictionary; every read or write may be refused with an error code."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.reads: list[str] = []
        self.reads_refused: str | None = None
        self.writes: list[str] = []
        self.writes_refused: str | None = None
        self.writes_allowed: int | None = None

    @property
    def client(self) -> "SSMClient":
        return cast("SSMClient", self)

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        assert WithDecryption
        name = Name.rpartition("/")[2]
        self.reads.append(name)
        if self.reads_refused:
            # SSM's own words may quote what it was asked for.
            raise _refusal(self.reads_refused, str(self.values))
        if name not in self.values:
            raise _refusal("ParameterNotFound", Name)
        return {"Parameter": {"Name": Name, "Value": self.values[name]}}

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> dict[str, Any]:
        assert (Type, Overwrite) == ("SecureString", True)
        if self.writes_allowed is not None and len(self.writes) >= self.writes_allowed:
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": "?"}}, "Put")
        if self.writes_refused:
            raise ClientError({"Error": {"Code": self.writes_refused, "Message": "?"}}, "Put")
        self.writes.append(Value)
        self.values[Name.rpartition("/")[2]] = Value
        return {"Version": len(self.writes)}


def _refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetParameter")


def oauth1_parameters(upstreams: Upstreams, account: str) -> Parameters:
    """What an operator stores for OAuth 1.0a, as the stand-in of X accepts it."""
    tokens = upstreams.x_tokens(account)
    return Parameters(
        consumer_key=DEMONSTRATION.x_consumer_key,
        consumer_secret=DEMONSTRATION.x_consumer_secret,
        access_token=tokens["access_token"],
        access_token_secret=tokens["access_token_secret"],
    )


def oauth2_parameters(upstreams: Upstreams, account: str) -> Parameters:
    """What an operator stores for OAuth 2, as the stand-in of X accepts it now."""
    tokens = upstreams.x_tokens(account)
    now = {
        "access_token": tokens["oauth2_access_token"],
        "refresh_token": tokens["oauth2_refresh_token"],
    }
    return Parameters(**{**demonstration_secrets(account), "oauth2_tokens": json.dumps(now)})
