"""Health: what is configured, and whether the parts that the API needs answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError

from marquee.api.call import Call, NoParameters, Reply
from marquee.aws import STORE_ERRORS, client
from marquee.errors import Misconfigured
from marquee.observability import logger
from marquee.settings import Settings

if TYPE_CHECKING:
    from marquee.api.answers import Health, PartHealth, PostingHealth, SourceHealth

SHORT = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
"""Whoever asks for health wants an answer now; a part that takes longer is itself the finding."""

LOOK_EVERY_SECONDS = 10
"""This route takes no key: however often it is called, a process looks once in that time."""

SECRETS_OF = {"tmdb": ("tmdb/token",)}
"""What a source needs beyond its registration: TMDB is asked for the film itself."""

SECRETS = "secrets"

MOST_PAGES = 10
"""Of 50 names: SSM may well give a page of none and say that there are more."""

type Check = Callable[[], Any]


def health(asked: NoParameters, call: Call) -> Reply:
    """What is configured and what answers: 200 always, degraded where a part does not answer."""
    return Reply(looked(call.settings, int(call.now().timestamp() // LOOK_EVERY_SECONDS)))


@lru_cache(maxsize=1)
def looked(settings: Settings, interval: int) -> "Health":
    """What was found in that interval of time; every part is asked at once."""
    from marquee.api.answers import Health

    checks = _checks(settings)
    with ThreadPoolExecutor(len(checks)) as pool:
        looks = dict(zip(checks, pool.map(_look, checks, checks.values()), strict=True))
    parts = tuple(part for part, _ in looks.values())
    secrets, found = looks[SECRETS]
    names: frozenset[str] | None = found if secrets.reachable else None
    return Health(
        status="ok" if all(part.reachable for part in parts) else "degraded",
        stage=settings.stage,
        sources=_sources(settings, names),
        posting=_posting(settings, names),
        parts=parts,
    )


def _checks(settings: Settings) -> Mapping[str, Check]:
    """One cheap request for each part; the clients are made here, for making one is not safe in
    threads."""
    dynamodb = client("dynamodb", SHORT)
    stepfunctions = client("stepfunctions", SHORT)
    ssm = client("ssm", SHORT)
    nothing = {"S": "health"}

    def read(setting: str, *key: str) -> Any:
        return dynamodb.get_item(
            TableName=settings.require(setting), Key=dict.fromkeys(key, nothing)
        )

    def describe(setting: str) -> Any:
        return stepfunctions.describe_state_machine(stateMachineArn=settings.require(setting))

    return {
        "movies_table": lambda: read("movies_table", "pk", "sk"),
        "reviews_table": lambda: read("reviews_table", "pk", "sk"),
        "workflows_table": lambda: read("workflows_table", "workflow_id"),
        "tweets_table": lambda: read("tweets_table", "account", "tweet_id"),
        "posts_table": lambda: read("posts_table", "account", "tweet_id"),
        "backfill_table": lambda: dynamodb.get_item(
            TableName=settings.require("backfill_table"), Key={"tmdb_id": {"N": "0"}}
        ),
        "gateway_table": lambda: read("gateway_table", "pk", "sk"),
        "movie_search": lambda: describe("movie_search_arn"),
        "review_backfill": lambda: describe("review_backfill_arn"),
        "tweet_pipeline": lambda: describe("tweet_pipeline_arn"),
        SECRETS: lambda: _secret_names(ssm, settings.parameter_prefix),
    }


def _secret_names(ssm: Any, prefix: str) -> frozenset[str]:
    """The names below the prefix; DescribeParameters cannot read a value."""
    asked: dict[str, Any] = {
        "ParameterFilters": [{"Key": "Path", "Option": "Recursive", "Values": [prefix]}],
        "MaxResults": 50,
    }
    names: set[str] = set()
    for _ in range(MOST_PAGES):
        answer = ssm.describe_parameters(**asked)
        names.update(found["Name"].removeprefix(f"{prefix}/") for found in answer["Parameters"])
        if not answer.get("NextToken"):
            break
        asked["NextToken"] = answer["NextToken"]
    return frozenset(names)


def _look(part: str, check: Check) -> "tuple[PartHealth, Any]":
    """Whether the part answers, and what; the reason is an error's name, its text is logged."""
    from marquee.api.answers import PartHealth

    began = time.monotonic()
    found: Any = None
    reason = ""
    try:
        found = check()
    except ClientError as error:
        reason = error.response["Error"]["Code"]
    except (Misconfigured, *STORE_ERRORS) as error:
        reason = type(error).__name__
    if reason:
        logger.warning("health: a part does not answer", part=part, reason=reason)
    duration_ms = round((time.monotonic() - began) * 1000)
    health = PartHealth(part=part, reachable=not reason, reason=reason, duration_ms=duration_ms)
    return health, found


def _sources(settings: Settings, secrets: frozenset[str] | None) -> "tuple[SourceHealth, ...]":
    """What each source lacks; unknown where the names of the secrets could not be read."""
    from marquee.api.answers import SourceHealth
    from marquee.movies.sources import SOURCES

    found = []
    for source in SOURCES:
        needed = [f"movies/{name}" for name in (*source.secrets, *SECRETS_OF.get(source.name, ()))]
        lacks = [
            f"{settings.parameter_prefix}/{name}" for name in needed if name not in (secrets or ())
        ]
        if source.setting and not getattr(settings, source.setting):
            lacks.append(source.setting.upper())
        known = secrets is not None or not needed
        found.append(
            SourceHealth(
                source=source.name,
                configured=not lacks if known else None,
                lacks=tuple(lacks) if known else (),
            )
        )
    return tuple(found)


def _posting(settings: Settings, secrets: frozenset[str] | None) -> "PostingHealth":
    """What the account that posts lacks; unknown where the secrets' names could not be read."""
    from marquee.api.answers import PostingHealth
    from marquee.tweets.credentials import lacking
    from marquee.tweets.language_model import API_KEY

    account = settings.posting_account.lower()
    if not account:
        lacks: tuple[str, ...] = ("POSTING_ACCOUNT",)
    elif secrets is None:
        lacks = ()
    else:
        own = f"tweets/{account}/"
        stored = {name.removeprefix(own) for name in secrets if name.startswith(own)}
        lacks = tuple(f"{settings.parameter_prefix}/{own}{name}" for name in lacking(stored))
    return PostingHealth(
        account=account,
        configured=not lacks if secrets is not None or not account else None,
        lacks=lacks,
        schedules_enabled=settings.schedules_enabled,
        language_model=f"tweets/{API_KEY}" in secrets if secrets is not None else None,
    )
