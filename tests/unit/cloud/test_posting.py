"""Which account posts where, and what becomes of its credentials."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.posting import (
    GIVEN,
    SETTINGS,
    TOKENS,
    Account,
    account_of,
    parameters,
    put_secrets,
    variable_of,
)
from marquee_cli.upstreams.user_context import demonstration_secrets
from tests.support.templates import Template

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

STAND_INS = "http://127.0.0.1:9000"
PATH = "/marquee/local/tweets/my_films"

NAMED = {"POSTING_ACCOUNT": "@My_Films"}
OAUTH1 = {
    "X_CONSUMER_KEY": "k",
    "X_CONSUMER_SECRET": "s",
    "X_ACCESS_TOKEN": "t",
    "X_ACCESS_TOKEN_SECRET": "ts",
}
OAUTH2 = {"X_CLIENT_ID": "c", "X_OAUTH2_TOKENS": '{"access_token": "a", "refresh_token": "r"}'}


@pytest.fixture
def ssm() -> "Iterator[SSMClient]":
    with mock_aws():
        client = boto3.client("ssm", "us-east-1")
        yield client
        client.close()


def stored(ssm: "SSMClient") -> dict[str, str]:
    """The secrets of the account, without the mark of where its tokens came from."""
    found = ssm.get_parameters_by_path(Path=PATH, WithDecryption=True)["Parameters"]
    assert {parameter["Type"] for parameter in found} <= {"SecureString"}
    values = {parameter["Name"].removeprefix(f"{PATH}/"): parameter["Value"] for parameter in found}
    assert (GIVEN in values) == (TOKENS in values)
    values.pop(GIVEN, None)
    return values


def put(ssm: "SSMClient", env: Mapping[str, str], *, anew: bool = False) -> None:
    account = account_of(env)
    put_secrets(ssm, PATH, account, tokens=lambda: account.secrets[TOKENS], anew=anew)


def test_without_credentials_a_demonstration_account_posts_to_the_stand_in_by_itself() -> None:
    account = account_of({})
    assert account == Account("marquee_demo", "stand-in", demonstration_secrets("marquee_demo"))
    assert parameters({}, account, STAND_INS) == {
        "PostingAccount": "marquee_demo",
        "WorkflowDefaultUsername": "marquee_demo",
        "XPostingBaseUrl": f"{STAND_INS}/x/2",
        "WorkflowEnableAutoPosting": "true",
    }


def test_a_key_to_read_x_does_not_let_the_demonstration_post_there() -> None:
    env = {"X_BEARER_TOKEN": "mine"}
    account = account_of(env)
    assert account.kind == "stand-in"
    assert parameters(env, account, STAND_INS)["XPostingBaseUrl"] == f"{STAND_INS}/x/2"


def test_another_account_of_the_stand_in_may_post_and_no_other() -> None:
    assert account_of({"POSTING_ACCOUNT": "@Butaca_Nueve"}).name == "butaca_nueve"
    with pytest.raises(CloudError, match=r"my_films.*X_ACCESS_TOKEN.*marquee_demo"):
        account_of(NAMED)


@pytest.mark.parametrize("credentials", [OAUTH1, OAUTH2, {**OAUTH2, "X_CLIENT_SECRET": "cs"}])
def test_credentials_of_an_account_make_x_real_and_posting_a_persons_word(
    credentials: dict[str, str],
) -> None:
    account = account_of({**NAMED, **credentials})
    assert (account.name, account.kind) == ("my_films", "real")
    assert {variable_of(name): value for name, value in account.secrets.items()} == credentials
    assert parameters({}, account, None) == {
        "PostingAccount": "my_films",
        "WorkflowDefaultUsername": "my_films",
    }


@pytest.mark.parametrize(
    ("missing", "credentials"),
    [
        *((name, {n: v for n, v in OAUTH1.items() if n != name}) for name in OAUTH1),
        *((name, {n: v for n, v in OAUTH2.items() if n != name}) for name in OAUTH2),
        ("X_CLIENT_ID", {**OAUTH1, "X_CLIENT_SECRET": "cs"}),
        ("POSTING_ACCOUNT", {**OAUTH1, "POSTING_ACCOUNT": ""}),
    ],
)
def test_half_of_an_accounts_credentials_is_an_error_that_names_the_other_half(
    missing: str, credentials: dict[str, str]
) -> None:
    with pytest.raises(CloudError, match=missing) as raised:
        account_of({**NAMED, **credentials})
    assert not {"k", "ts", "cs", OAUTH2["X_OAUTH2_TOKENS"]} & set(str(raised.value).split())


def test_no_credential_shows_in_the_account() -> None:
    shown = repr(account_of({**NAMED, **OAUTH2, "X_CLIENT_SECRET": "hidden"}))
    assert "hidden" not in shown
    assert "refresh_token" not in shown


def test_settings_of_the_pipeline_become_parameters_that_the_template_has() -> None:
    env = {name: f"value of {name}" for name in SETTINGS}
    given = parameters(env, account_of({}), STAND_INS)
    assert {SETTINGS[name]: value for name, value in env.items()}.items() <= given.items()
    assert set(given) <= set(Template.load().document["Parameters"])


def test_the_credentials_are_stored_encrypted(ssm: "SSMClient") -> None:
    put(ssm, {**NAMED, **OAUTH2, "X_CLIENT_SECRET": "cs"})
    assert stored(ssm) == {
        "client_id": "c",
        "client_secret": "cs",
        "oauth2_tokens": OAUTH2["X_OAUTH2_TOKENS"],
    }


def test_tokens_that_were_renewed_since_are_left_until_others_are_given(ssm: "SSMClient") -> None:
    put(ssm, {**NAMED, **OAUTH2})
    ssm.put_parameter(Name=f"{PATH}/{TOKENS}", Value="renewed", Type="SecureString", Overwrite=True)
    put(ssm, {**NAMED, **OAUTH2, "X_CLIENT_SECRET": "new"})
    assert stored(ssm) == {"client_id": "c", "client_secret": "new", "oauth2_tokens": "renewed"}

    others = json.dumps({"access_token": "a2", "refresh_token": "r2"})
    put(ssm, {**NAMED, **OAUTH2, "X_OAUTH2_TOKENS": others})
    assert stored(ssm) == {"client_id": "c", "oauth2_tokens": others}


def test_tokens_are_stored_again_where_they_are_lost_or_asked_for_anew(ssm: "SSMClient") -> None:
    put(ssm, {**NAMED, **OAUTH2})
    ssm.delete_parameter(Name=f"{PATH}/{TOKENS}")
    put(ssm, {**NAMED, **OAUTH2})
    assert stored(ssm)[TOKENS] == OAUTH2["X_OAUTH2_TOKENS"]

    ssm.put_parameter(Name=f"{PATH}/{TOKENS}", Value="old", Type="SecureString", Overwrite=True)
    put(ssm, {**NAMED, **OAUTH2}, anew=True)
    assert stored(ssm)[TOKENS] == OAUTH2["X_OAUTH2_TOKENS"]


def test_the_credentials_of_another_kind_go_when_those_of_one_come(ssm: "SSMClient") -> None:
    put(ssm, {**NAMED, **OAUTH2})
    put(ssm, {**NAMED, **OAUTH1})
    assert set(stored(ssm)) == {variable.removeprefix("X_").lower() for variable in OAUTH1}
