"""Which upstreams are real, and what the stack is told of the others."""

import re

import pytest

from marquee.gateway.spend import read_caps
from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.upstreams import CAPS, REAL, choose, parameters, secrets
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.templates import Template

STAND_INS = "http://127.0.0.1:9000"

ALL_KEYS = {
    "TMDB_TOKEN": "t",
    "X_BEARER_TOKEN": "x",
    "BLUESKY_HANDLE": "h",
    "BLUESKY_APP_PASSWORD": "p",
    "MASTODON_BASE_URL": "https://mastodon.example/api/v1",
    "OPENAI_API_KEY": "o",
}


def test_without_keys_every_upstream_is_a_stand_in() -> None:
    assert set(choose({}).values()) == {"stand-in"}
    assert parameters({}, STAND_INS) == {
        "TmdbBaseUrl": f"{STAND_INS}/tmdb/3",
        "TmdbImageBaseUrl": f"{STAND_INS}/images/t/p",
        "XBaseUrl": f"{STAND_INS}/x/2",
        "BlueskyBaseUrl": f"{STAND_INS}/bluesky/xrpc",
        "MastodonBaseUrl": f"{STAND_INS}/mastodon/api/v1",
        "OpenAiBaseUrl": f"{STAND_INS}/openai/v1",
        "SpendCaps": "",
    }
    assert secrets({}) == {
        "movies/tmdb/token": DEMONSTRATION.tmdb_token,
        "movies/x/bearer_token": DEMONSTRATION.x_bearer_token,
        "movies/bluesky/handle": DEMONSTRATION.bluesky_handle,
        "movies/bluesky/app_password": DEMONSTRATION.bluesky_app_password,
        "tweets/openai/api_key": DEMONSTRATION.openai_api_key,
    }


def test_a_key_makes_its_upstream_real_and_leaves_the_address_to_the_template() -> None:
    env = {"TMDB_TOKEN": "mine"}
    assert choose(env) == {
        "tmdb": "real",
        "x": "stand-in",
        "bluesky": "stand-in",
        "mastodon": "stand-in",
        "openai": "stand-in",
    }
    assert parameters(env, STAND_INS).keys().isdisjoint({"TmdbBaseUrl", "TmdbImageBaseUrl"})
    assert secrets(env)["movies/tmdb/token"] == "mine"
    assert secrets(env)["movies/x/bearer_token"] == DEMONSTRATION.x_bearer_token


def test_with_every_key_nothing_of_the_stand_ins_is_left() -> None:
    assert set(choose(ALL_KEYS).values()) == {"real"}
    assert parameters(ALL_KEYS, None) == {"MastodonBaseUrl": "https://mastodon.example/api/v1"}
    assert secrets(ALL_KEYS) == {
        "movies/tmdb/token": "t",
        "movies/x/bearer_token": "x",
        "movies/bluesky/handle": "h",
        "movies/bluesky/app_password": "p",
        "tweets/openai/api_key": "o",
    }


def test_quotas_and_caps_are_those_of_the_env_file_where_it_has_some() -> None:
    given = parameters({"QUOTA_POLICIES": "x=conservative", "SPEND_CAPS": "day=1"}, STAND_INS)
    assert given.items() >= {"QuotaPolicies": "x=conservative", "SpendCaps": "day=1"}.items()
    assert "QuotaPolicies" not in parameters({}, STAND_INS)


def test_only_what_real_upstreams_charge_is_capped() -> None:
    model = {"OPENAI_API_KEY": "o"}
    assert parameters(model, STAND_INS)["SpendCaps"] == "openai.day=5 openai.month=50"
    reading = {"X_BEARER_TOKEN": "x"}
    assert parameters(reading, STAND_INS)["SpendCaps"] == "x.day=5 x.month=50"
    assert parameters({}, STAND_INS, posting=REAL)["SpendCaps"] == "x.day=5 x.month=50"
    assert "SpendCaps" not in parameters(model, STAND_INS, posting=REAL)
    assert parameters({"SPEND_CAPS": ""}, STAND_INS, posting=REAL)["SpendCaps"] == ""


def test_the_caps_are_those_of_the_template_and_ones_that_it_takes() -> None:
    template = Template.load()
    declared = template.document["Parameters"]["SpendCaps"]
    assert " ".join(CAPS) == declared["Default"]
    for caps in ("", "x.day=5 x.month=50"):
        assert re.fullmatch(declared["AllowedPattern"], caps)
        read_caps(caps)


def test_half_of_an_upstreams_keys_is_an_error_that_names_the_other_half() -> None:
    with pytest.raises(CloudError, match=r"bluesky.*BLUESKY_APP_PASSWORD"):
        choose({"BLUESKY_HANDLE": "h"})


def test_a_language_model_elsewhere_has_a_key_and_an_address() -> None:
    env = {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "https://model.example/v1"}
    assert choose(env)["openai"] == "real"
    assert parameters(env, STAND_INS)["OpenAiBaseUrl"] == "https://model.example/v1"
    del env["OPENAI_API_KEY"]
    with pytest.raises(CloudError, match=r"openai.*OPENAI_API_KEY"):
        choose(env)
