"""Which upstreams are the real ones, and what the stack must know of those that are not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marquee_cli.cloud.errors import CloudError
from marquee_cli.upstreams.credentials import DEMONSTRATION

IMAGES_PATH = "/images/t/p"
"""Where the stand-ins have pictures."""
PAID = ("x", "openai")
"""Who charges for calls."""

CAPS = ("day=5", "month=50")
"""Of the template, in USD."""

REAL = "real"
STAND_IN = "stand-in"


@dataclass(frozen=True)
class Upstream:
    """An outside service.

    It is real where `.env` sets all of its variables: one per secret, named as the secret is
    (`x/bearer_token` is X_BEARER_TOKEN), or its address for one that asks for no secret. Its
    secrets lie below `part` of the stage's path: each half of Marquee reads its own only.
    """

    name: str
    address_parameter: str
    stand_in_path: str
    demonstration: Mapping[str, str] = field(default_factory=dict)
    address_variable: str | None = None
    image_parameter: str | None = None
    """Of the address of its pictures, which a stand-in has too."""
    part: str = "movies"

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of `.env` that make it real."""
        secrets = tuple(variable_of(secret) for secret in self.demonstration)
        return secrets or ((self.address_variable,) if self.address_variable else ())


UPSTREAMS = (
    Upstream(
        "tmdb",
        "TmdbBaseUrl",
        "/tmdb/3",
        {"tmdb/token": DEMONSTRATION.tmdb_token},
        image_parameter="TmdbImageBaseUrl",
    ),
    Upstream("x", "XBaseUrl", "/x/2", {"x/bearer_token": DEMONSTRATION.x_bearer_token}),
    Upstream(
        "bluesky",
        "BlueskyBaseUrl",
        "/bluesky/xrpc",
        {
            "bluesky/handle": DEMONSTRATION.bluesky_handle,
            "bluesky/app_password": DEMONSTRATION.bluesky_app_password,
        },
    ),
    Upstream(
        "mastodon",
        "MastodonBaseUrl",
        "/mastodon/api/v1",
        address_variable="MASTODON_BASE_URL",
    ),
    Upstream(
        "openai",
        "OpenAiBaseUrl",
        "/openai/v1",
        {"openai/api_key": DEMONSTRATION.openai_api_key},
        address_variable="OPENAI_BASE_URL",  # any server that is compatible
        part="tweets",
    ),
)


def variable_of(secret: str) -> str:
    """The variable of `.env` that holds a secret."""
    return secret.replace("/", "_").upper()


def choose(env: Mapping[str, str]) -> dict[str, str]:
    """ "real" or "stand-in" for each upstream; raises CloudError where half of its keys are set."""
    chosen = {}
    for upstream in UPSTREAMS:
        missing = [variable for variable in upstream.variables if variable not in env]
        known = {*upstream.variables, upstream.address_variable}
        if missing and known & set(env):
            raise CloudError(f".env sets only a part of {upstream.name}'s keys: {missing} missing.")
        chosen[upstream.name] = STAND_IN if missing else REAL
    return chosen


_LIMITS = {"QUOTA_POLICIES": "QuotaPolicies", "SPEND_CAPS": "SpendCaps"}
"""What `.env` may set of the stack's parameters."""


def parameters(
    env: Mapping[str, str], stand_ins_url: str | None, *, posting: str = STAND_IN
) -> dict[str, str]:
    """The stack parameters about the upstreams, where the defaults do not hold.

    `posting` is the X that the pipeline speaks to, "real" or "stand-in".
    """
    given = _caps({**choose(env), **({"x": REAL} if posting == REAL else {})})
    for upstream in UPSTREAMS:
        if choose(env)[upstream.name] == STAND_IN:
            given[upstream.address_parameter] = f"{stand_ins_url}{upstream.stand_in_path}"
            if upstream.image_parameter:
                given[upstream.image_parameter] = f"{stand_ins_url}{IMAGES_PATH}"
        elif upstream.address_variable and upstream.address_variable in env:
            given[upstream.address_parameter] = env[upstream.address_variable]
    return given | {name: env[of] for of, name in _LIMITS.items() if of in env}


def _caps(chosen: Mapping[str, str]) -> dict[str, str]:
    """SpendCaps without the dollars of stand-ins; the template's own where there are no others."""
    real = [name for name in PAID if chosen[name] == REAL]
    if len(real) == len(PAID):
        return {}
    return {"SpendCaps": " ".join(f"{name}.{cap}" for name in real for cap in CAPS)}


def secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Each secret by its name below the stage's path: from `.env`, or what stand-ins accept."""
    chosen = choose(env)
    return {
        f"{upstream.part}/{name}": (
            demonstration if chosen[upstream.name] == STAND_IN else env[variable_of(name)]
        )
        for upstream in UPSTREAMS
        for name, demonstration in upstream.demonstration.items()
    }
