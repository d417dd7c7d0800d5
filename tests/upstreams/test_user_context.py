"""Who may post: signatures are checked, refresh tokens work once."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from marquee_cli.upstreams.credentials import DEMONSTRATION
from marquee_cli.upstreams.user_context import (
    ACCESS_SECONDS,
    UserContext,
    demonstration_secrets,
    signature,
)
from tests.support.upstreams import Upstreams

CLIENT = (DEMONSTRATION.x_client_id, DEMONSTRATION.x_client_secret)


def test_a_signature_is_that_of_the_standards_example() -> None:
    parameters = {
        "oauth_consumer_key": "dpf43f3p2l4k3l03",
        "oauth_token": "nnch734d00sl2jdk",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "137131202",
        "oauth_nonce": "chapoH",
        "file": "vacation.jpg",
        "size": "original",
    }
    address = "http://photos.example.net/photos"
    signed = signature("GET", address, parameters.items(), "kd94hf93k423kf44", "pfkkdhi9sl3r4s00")
    assert signed == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


def signed_request(context: UserContext, now: float, **changes: str) -> Request:
    """A signed GET of one's own user, with some of its parts changed after signing."""
    tokens = context.tokens("demo")
    oauth = {
        "oauth_consumer_key": DEMONSTRATION.x_consumer_key,
        "oauth_nonce": changes.pop("nonce", "n1"),
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(now)),
        "oauth_token": tokens.access_token,
        "oauth_version": "1.0",
    }
    query = [("user.fields", "name,id"), ("a", "b c")]
    oauth["oauth_signature"] = signature(
        "GET",
        "http://x.test/2/users/me",
        [*oauth.items(), *query],
        DEMONSTRATION.x_consumer_secret,
        tokens.access_token_secret,
    )
    oauth.update(changes)
    header = ", ".join(
        f'{name}="{value.replace("=", "%3D").replace("+", "%2B").replace("/", "%2F")}"'
        for name, value in oauth.items()
    )
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "server": ("x.test", 80),
            "path": "/2/users/me",
            "query_string": b"user.fields=name%2Cid&a=b+c",
            "headers": [(b"authorization", f"OAuth {header}".encode())],
        }
    )


def context_at(now: float) -> UserContext:
    return UserContext(DEMONSTRATION, {"demo": "7"}, lambda: now)


def test_a_signed_request_is_its_users_once() -> None:
    context = context_at(1_700_000_000)
    request = signed_request(context, 1_700_000_000)
    caller = context.caller(request)
    assert caller is not None
    assert caller.account == "demo"
    assert context.caller(request) is None, "the nonce was used"


@pytest.mark.parametrize(
    "changes",
    [
        {"oauth_signature": "MdpQcU8iPSUjWoN/UDMsK2sui9I="},
        {"oauth_consumer_key": "another"},
        {"oauth_token": "8-demonstration"},
        {"oauth_nonce": "n2"},
        {"oauth_signature_method": "PLAINTEXT"},
        {"oauth_timestamp": "1699999000"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_request_that_was_not_signed_so_is_nobodys(changes: Mapping[str, str]) -> None:
    context = context_at(1_700_000_000)
    assert context.caller(signed_request(context, 1_700_000_000, **changes)) is None


def test_a_signature_of_long_ago_is_refused() -> None:
    context = context_at(1_700_000_000)
    assert context.caller(signed_request(context, 1_700_000_000 - 600)) is None


def refresh(nobody: httpx.Client, token: str, client: Any = CLIENT) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return nobody.post("/x/2/oauth2/token", data=form, auth=client)


def me(nobody: httpx.Client, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return nobody.get("/x/2/users/me", headers=headers).status_code


def test_a_refresh_token_works_once_and_ends_the_tokens_before_it(
    upstreams: Upstreams, nobody: httpx.Client
) -> None:
    first = upstreams.x_tokens("marquee_demo")
    renewed = refresh(nobody, first["oauth2_refresh_token"]).json()
    assert renewed["expires_in"] == ACCESS_SECONDS
    assert me(nobody, renewed["access_token"]) == 200
    assert me(nobody, first["oauth2_access_token"]) == 401
    again = refresh(nobody, first["oauth2_refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_request")
    assert refresh(nobody, renewed["refresh_token"]).status_code == 200


def test_the_secrets_of_the_demonstration_open_their_account(
    upstreams: Upstreams, nobody: httpx.Client
) -> None:
    stored = json.loads(demonstration_secrets("telugu_talkies")["oauth2_tokens"])
    headers = {"authorization": f"Bearer {stored['access_token']}"}
    user = nobody.get("/x/2/users/me", headers=headers).json()["data"]
    assert user["username"] == "telugu_talkies"
    assert refresh(nobody, stored["refresh_token"]).status_code == 200


def test_only_the_app_itself_may_renew(upstreams: Upstreams, nobody: httpx.Client) -> None:
    token = upstreams.x_tokens("marquee_demo")["oauth2_refresh_token"]
    refused = refresh(nobody, token, (DEMONSTRATION.x_client_id, "wrong"))
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized_client")
    as_public = {"client_id": DEMONSTRATION.x_client_id}
    form = {"grant_type": "refresh_token", "refresh_token": token, **as_public}
    assert nobody.post("/x/2/oauth2/token", data=form).status_code == 200


def test_a_stand_in_started_anew_knows_the_tokens_of_the_one_before() -> None:
    before, after = context_at(1_700_000_000), context_at(1_700_000_500)
    form = {"refresh_token": before.tokens("demo").oauth2_refresh_token}
    renewed = before.refresh({**form, "client_id": DEMONSTRATION.x_client_id}, "")
    assert renewed is not None
    newer = {"refresh_token": str(renewed["refresh_token"])}
    assert after.refresh({**newer, "client_id": DEMONSTRATION.x_client_id}, "") is not None
    assert after.refresh({**form, "client_id": DEMONSTRATION.x_client_id}, "") is None


def test_expired_and_revoked_tokens_are_refused(upstreams: Upstreams, nobody: httpx.Client) -> None:
    tokens = upstreams.x_tokens("marquee_demo")
    upstreams.x(expire="marquee_demo")
    assert me(nobody, tokens["oauth2_access_token"]) == 401
    renewed = refresh(nobody, tokens["oauth2_refresh_token"]).json()
    assert me(nobody, renewed["access_token"]) == 200
    upstreams.x(revoke="marquee_demo")
    assert me(nobody, renewed["access_token"]) == 401
    assert refresh(nobody, renewed["refresh_token"]).status_code == 400


def test_tokens_that_were_renewed_before_a_reset_expire_too(
    upstreams: Upstreams, nobody: httpx.Client
) -> None:
    before = refresh(nobody, upstreams.x_tokens("marquee_demo")["oauth2_refresh_token"]).json()
    upstreams.reset()
    upstreams.x(expire="marquee_demo")
    assert me(nobody, before["access_token"]) == 401
    assert me(nobody, refresh(nobody, before["refresh_token"]).json()["access_token"]) == 200


@pytest.mark.parametrize(
    "token",
    ["nonsense", "access.demo.0.0", "access.demo.0.0.zz", "access.nobody.0.0.0", "a.b.c.d.e"],
)
def test_a_token_of_our_own_making_opens_nothing(nobody: httpx.Client, token: str) -> None:
    assert me(nobody, token) == 401
