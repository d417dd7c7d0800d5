"""Which upstreams are real, and what the stack is told of the others."""

import pytest

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.upstreams import choose, parameters, secrets
from marquee_cli.upstreams.credentials import DEMONSTRATION

STAND_INS = "http://127.0.0.1:9000"

ALL_KEYS = {
    "TMDB_TOKEN": "t",
    "X_BEARER_TOKEN": "x",
    "BLUESKY_HANDLE": "h",
    "BLUESKY_APP_PASSWORD": "p",
    "MASTODON_BASE_URL": "https://mastodon.example/api/v1",
}


def test_without_keys_every_upstream_is_a_stand_in() -> None:
    assert set(choose({}).values()) == {"stand-in"}
    assert parameters({}, STAND_INS) == {
        "TmdbBaseUrl": f"{STAND_INS}/tmdb/3",
        "XBaseUrl": f"{STAND_INS}/x/2",
        "BlueskyBaseUrl": f"{STAND_INS}/bluesky/xrpc",
        "MastodonBaseUrl": f"{STAND_INS}/mastodon/api/v1",
    }
    assert secrets({}) == {
        "tmdb/token": DEMONSTRATION.tmdb_token,
        "x/bearer_token": DEMONSTRATION.x_bearer_token,
        "bluesky/handle": DEMONSTRATION.bluesky_handle,
        "bluesky/app_password": DEMONSTRATION.bluesky_app_password,
    }


def test_a_key_makes_its_upstream_real_and_leaves_the_address_to_the_template() -> None:
    env = {"TMDB_TOKEN": "mine"}
    assert choose(env) == {
        "tmdb": "real",
        "x": "stand-in",
        "bluesky": "stand-in",
        "mastodon": "stand-in",
    }
    assert "TmdbBaseUrl" not in parameters(env, STAND_INS)
    assert secrets(env)["tmdb/token"] == "mine"
    assert secrets(env)["x/bearer_token"] == DEMONSTRATION.x_bearer_token


def test_with_every_key_nothing_of_the_stand_ins_is_left() -> None:
    assert set(choose(ALL_KEYS).values()) == {"real"}
    assert parameters(ALL_KEYS, None) == {"MastodonBaseUrl": "https://mastodon.example/api/v1"}
    assert secrets(ALL_KEYS) == {
        "tmdb/token": "t",
        "x/bearer_token": "x",
        "bluesky/handle": "h",
        "bluesky/app_password": "p",
    }


def test_half_of_an_upstreams_keys_is_an_error_that_names_the_other_half() -> None:
    with pytest.raises(CloudError, match=r"bluesky.*BLUESKY_APP_PASSWORD"):
        choose({"BLUESKY_HANDLE": "h"})
