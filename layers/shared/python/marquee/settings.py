"""The environment and the secrets, as typed values; nothing else reads ``os.environ``."""

import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from marquee.aws import client
from marquee.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

HTTP_TIMEOUT_SECONDS = 10.0
"""One upstream call; below every function's Timeout, which is below every state's."""

DETAILS_FRESH_FOR = timedelta(hours=12)
"""How long a film's facts are used without asking TMDB again."""

NO_MATCH_FRESH_FOR = timedelta(hours=1)
"""TMDB gains films every day: long enough for a burst of one typo, short enough for a premiere."""

DETAILS_KEPT_FOR = timedelta(days=175)
"""TMDB's terms allow a cache of at most 6 months; TTL deletes up to a few days late."""

RECORD_KEPT_FOR = timedelta(days=90)
"""Workflow records; as long as Step Functions keeps an execution's name reserved."""

SET_ASIDE_KEPT_FOR = timedelta(days=30)
"""Records that could not be read, with their reasons."""

WEBHOOK_HISTORY_KEPT_FOR = timedelta(days=30)
"""Deliveries to callbacks; an event that comes again after that is delivered again."""

SECRETS_CACHED_FOR_SECONDS = 300.0
"""A rotated secret is in use everywhere within five minutes."""


class Settings(BaseModel):
    """What the template gives every function; each name below is the variable in lower case."""

    model_config = ConfigDict(frozen=True)

    stage: str = Field(min_length=1)
    parameter_prefix: str = Field(pattern=r"^/.+[^/]$")
    movies_table: str = ""
    reviews_table: str = ""
    workflows_table: str = ""
    tweets_table: str = ""
    posts_table: str = ""
    gateway_table: str = ""
    triggers_table: str = ""
    backfill_table: str = ""
    event_bus: str = ""
    parked_reviews_queue_url: str = ""
    webhook_queue_url: str = ""
    webhook_dead_letters_url: str = ""
    event_dead_letters_url: str = ""
    allow_loopback_webhooks: bool = False
    queues: str = Field(default="", pattern=r"^(\w+=https?://\S+( |$))*$")
    """What an operator watches, ``<name>=<URL>`` each; names of dead letters end so."""
    collect_data_function: str = ""
    movie_search_arn: str = ""
    tweet_pipeline_arn: str = ""
    review_backfill_arn: str = ""
    tmdb_base_url: str = Field(default="https://api.themoviedb.org/3", pattern=r"^https?://")
    tmdb_image_base_url: str = Field(default="https://image.tmdb.org/t/p", pattern=r"^https?://")
    x_base_url: str = Field(default="https://api.x.com/2", pattern=r"^https?://")
    bluesky_base_url: str = Field(default="https://bsky.social/xrpc", pattern=r"^https?://")
    mastodon_base_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    search_fresh_seconds: int = Field(default=3600, ge=0)
    quota_policies: str = ""
    """Where the real limits are not to be used: `marquee.gateway.quota.Policies`."""
    spend_caps: str = ""
    """USD a day or month: `marquee.gateway.spend.read_caps`; empty: no cap."""
    backfill_enabled: bool = False
    """Whether the schedule drains the queue; on request it is drained in any case."""
    backfill_window: str = Field(
        default="01:00-07:00 UTC",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d( \S+)?$",
    )
    """The off-peak hours: `marquee.movies.off_peak.OffPeak`."""
    backfill_reserve_percent: int = Field(default=50, ge=0, le=100)
    """Of every quota and cap, what is left to searches."""
    posting_account: str = Field(default="", pattern=r"^[A-Za-z0-9_]{0,20}$")
    workflow_default_username: str = Field(default="", pattern=r"^[A-Za-z0-9_]{0,20}$")
    workflow_default_count: int = Field(default=1, ge=1, le=100)
    workflow_enable_auto_posting: bool = False
    max_posts_per_run: int = Field(default=10, ge=0)
    approval_seconds: int = Field(default=79_200, ge=60)
    openai_base_url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://")
    openai_model: str = Field(default="gpt-4o-mini", min_length=1)
    openai_usd_per_million_input_tokens: float = Field(default=0.15, ge=0)
    openai_usd_per_million_output_tokens: float = Field(default=0.60, ge=0)
    polish_tone: str = Field(default="friendly and concise", min_length=1)
    polish_instructions: str = ""
    schedules_enabled: bool = False
    schedule_prefix: str = ""
    schedule_target_arn: str = ""
    schedule_role_arn: str = ""
    schedule_dead_letters_arn: str = ""
    cors_origin: str = ""

    def require(self, name: str) -> str:
        """The value of the setting ``name``; raises Misconfigured where the template gave none."""
        value: str = getattr(self, name)
        if not value:
            raise Misconfigured(f"the environment variable {name.upper()} is not set")
        return value

    @field_validator(
        "tmdb_base_url",
        "tmdb_image_base_url",
        "x_base_url",
        "bluesky_base_url",
        "mastodon_base_url",
    )
    @classmethod
    def _without_slash(cls, address: str) -> str:
        return address.rstrip("/")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check the environment; raises Misconfigured naming the variable at fault."""
    given = {
        name: environment[name.upper()]
        for name in Settings.model_fields
        if environment.get(name.upper())
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        variable = str(first["loc"][0]).upper()
        raise Misconfigured(f"the environment variable {variable}: {first['msg']}") from error


@cache
def settings() -> Settings:
    """The settings of this process, read on first use."""
    return read_settings(os.environ)


class Secrets:
    """The SecureString parameters under the stack's prefix, each read when needed, kept 5 minutes.

    Names, below the prefix: ``tmdb/token`` (v4 read token or v3 key), ``x/bearer_token``,
    ``bluesky/handle``, ``bluesky/app_password``. An absent one is None: its source is skipped.
    """

    def __init__(
        self, ssm: "SSMClient", prefix: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ssm = ssm
        self._prefix = prefix
        self._clock = clock
        self._values: dict[str, tuple[str | None, float]] = {}

    def get(self, name: str) -> str | None:
        """The secret ``name``, or None where the operator has set none."""
        now = self._clock()
        value, read_at = self._values.get(name, (None, -math.inf))
        if now - read_at > SECRETS_CACHED_FOR_SECONDS:
            value = self._read(name)
            self._values[name] = value, now
        return value

    def require(self, name: str) -> str:
        """The secret ``name``; raises Misconfigured where the operator has set none."""
        value = self.get(name)
        if value is None:
            raise Misconfigured(f"the SSM parameter {self._prefix}/{name} is not set")
        return value

    def _read(self, name: str) -> str | None:
        try:
            answer = self._ssm.get_parameter(Name=f"{self._prefix}/{name}", WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return answer["Parameter"]["Value"].strip() or None

    def __repr__(self) -> str:
        return f"Secrets({self._prefix!r}, {sorted(self._values)})"


@cache
def secrets() -> Secrets:
    """The secrets of this process."""
    return Secrets(client("ssm"), settings().parameter_prefix)
