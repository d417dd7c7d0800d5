"""Whose account posts, with which credentials, and what else `.env` says of the tweet pipeline.

The pipeline speaks to the real X only as an account whose own credentials `.env` holds: what a
demonstration makes is posted to the stand-in, whatever keys for reading there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.upstreams import REAL, STAND_IN
from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.user_context import demonstration_secrets

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

NAME = "posting"
"""What the laptop cloud calls this use of X, beside its upstreams."""

STAND_IN_PATH = "/x/2"
DEMONSTRATION_ACCOUNT = "marquee_demo"

TOKENS = "oauth2_tokens"
"""The secret that whoever renews it replaces."""

GIVEN = "oauth2_tokens_given"
"""Beside the tokens: the fingerprint of those that they were first stored as."""

OAUTH1 = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
OAUTH2 = ("client_id", TOKENS)
OPTIONAL = ("client_secret",)
SECRETS = (*OAUTH1, *OAUTH2, *OPTIONAL)
"""All that an account may have, by their names below its path; X_CLIENT_ID is `client_id`."""

SETTINGS = {
    "WORKFLOW_DEFAULT_USERNAME": "WorkflowDefaultUsername",
    "WORKFLOW_DEFAULT_COUNT": "WorkflowDefaultCount",
    "WORKFLOW_STEP_TIMEOUT": "StepTimeoutSeconds",
    "WORKFLOW_ENABLE_AUTO_POSTING": "WorkflowEnableAutoPosting",
    "MAX_POSTS_PER_RUN": "MaxPostsPerRun",
    "APPROVAL_SECONDS": "ApprovalSeconds",
    "SCHEDULES_ENABLED": "SchedulesEnabled",
    "OPENAI_MODEL": "OpenAiModel",
    "POLISH_TONE": "PolishTone",
    "POLISH_INSTRUCTIONS": "PolishInstructions",
}
"""The stack parameter that each variable of `.env` sets; the stack checks the values."""


@dataclass(frozen=True)
class Account:
    """The account that posts, and what it is known to X by."""

    name: str
    kind: str
    """"real" or "stand-in"."""
    secrets: Mapping[str, str] = field(repr=False)


def variable_of(secret: str) -> str:
    """The variable of `.env` that holds a secret of the posting account."""
    return f"X_{secret.upper()}"


def account_of(env: Mapping[str, str]) -> Account:
    """The account that posts: the user's own, or one of the stand-in's.

    Raises CloudError where it has no name, half of its credentials are set, or the stand-in does
    not know it.
    """
    own = {name: env[variable_of(name)] for name in SECRETS if variable_of(name) in env}
    name = env.get("POSTING_ACCOUNT", "").removeprefix("@").lower()
    if not own:
        name = name or DEMONSTRATION_ACCOUNT
        if name not in accounts():
            raise CloudError(
                f".env sets POSTING_ACCOUNT without credentials of {name}"
                f" ({_variables(OAUTH1)}, or {_variables(OAUTH2)});"
                f" the stand-in of X knows {', '.join(accounts())}."
            )
        return Account(name, STAND_IN, demonstration_secrets(name))
    for whole in (OAUTH1, OAUTH2):
        missing = [secret for secret in whole if secret not in own]
        begun = any(secret in own for secret in (*whole, *(OPTIONAL if whole is OAUTH2 else ())))
        if begun and missing:
            raise CloudError(
                f".env sets only a part of X's credentials: {_variables(missing)} missing."
            )
    if not name:
        raise CloudError(".env sets credentials of an X account: POSTING_ACCOUNT must name it.")
    return Account(name, REAL, own)


def parameters(
    env: Mapping[str, str], account: Account, stand_ins_url: str | None
) -> dict[str, str]:
    """The stack parameters of the pipeline, where the template's defaults do not hold.

    Without a person's word is posted to the stand-in, and to the real X where `.env` says so.
    """
    given = {"PostingAccount": account.name, "WorkflowDefaultUsername": account.name}
    if account.kind == STAND_IN:
        given["XPostingBaseUrl"] = f"{stand_ins_url}{STAND_IN_PATH}"
        given["WorkflowEnableAutoPosting"] = "true"
    return given | {SETTINGS[name]: env[name] for name in SETTINGS if name in env}


def put_secrets(
    ssm: "SSMClient", path: str, account: Account, *, tokens: Callable[[], str], anew: bool
) -> None:
    """Store the account's credentials below `path`, and remove those that it has no more.

    The OAuth 2 tokens that are stored may have been renewed since, and are left alone unless they
    came from others than `.env` has now, or are to be stored `anew`. `tokens` says what to store.
    """
    kept = {*account.secrets, *([GIVEN] if TOKENS in account.secrets else [])}
    gone = [f"{path}/{name}" for name in (*SECRETS, GIVEN) if name not in kept]
    ssm.delete_parameters(Names=gone)
    for name, value in account.secrets.items():
        if name != TOKENS:
            _put(ssm, f"{path}/{name}", value)
    if TOKENS not in account.secrets:
        return
    names = (f"{path}/{TOKENS}", f"{path}/{GIVEN}")
    found = ssm.get_parameters(Names=list(names), WithDecryption=True)["Parameters"]
    stored = {parameter["Name"]: parameter["Value"] for parameter in found}
    given = sha256(account.secrets[TOKENS].encode()).hexdigest()
    if anew or names[0] not in stored or stored.get(names[1]) != given:
        _put(ssm, names[0], tokens())
        _put(ssm, names[1], given)


def _put(ssm: "SSMClient", name: str, value: str) -> None:
    ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


def _variables(secrets: "tuple[str, ...] | list[str]") -> str:
    return ", ".join(map(variable_of, secrets))
