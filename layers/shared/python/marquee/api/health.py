"""Health: which sources are configured, and whether the parts that the API needs answer."""

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
    from marquee.api.answers import Health, PartHealth, SourceHealth

SHORT = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
"""Whoever asks for health wants an answer now; a part that takes longer is itself the finding."""

LOOK_EVERY_SECONDS = 10
"""This route takes no key: however often it is called, a process looks once in that time."""

SECRETS_OF = {"tmdb": ("tmdb/token",)}
"""What a source needs beyond its registration: TMDB is asked for the film itself."""

SECRETS = "secrets"

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
    secrets, names = looks[SECRETS]
    return Health(
        status="ok" if all(part.reachable for part in parts) else "degraded",
        stage=settings.stage,
        sources=_sources(settings, names if secrets.reachable else None),
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

    return {
        "movies_table": lambda: read("movies_table", "pk", "sk"),
        "reviews_table": lambda: read("reviews_table", "pk", "sk"),
        "workflows_table": lambda: read("workflows_table", "workflow_id"),
        "movie_search": lambda: stepfunctions.describe_state_machine(
            stateMachineArn=settings.require("movie_search_arn")
        ),
        SECRETS: lambda: _secret_names(ssm, settings.parameter_prefix),
    }


def _secret_names(ssm: Any, prefix: str) -> frozenset[str]:
    """The names below the prefix; DescribeParameters cannot read a value."""
    answer = ssm.describe_parameters(
        ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [prefix]}],
        MaxResults=50,
    )
    return frozenset(
        parameter["Name"].removeprefix(f"{prefix}/") for parameter in answer["Parameters"]
    )


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
        needed = (*source.secrets, *SECRETS_OF.get(source.name, ()))
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
