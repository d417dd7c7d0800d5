"""What X's answers to a post prove, on answers that X gave."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from marquee.tweets.posting import (
    Created,
    DuplicateRefused,
    PostResult,
    RateLimited,
    Refused,
    Unauthorized,
    Unknown,
    read_answer,
)

RECORDED = Path(__file__).resolve().parents[4] / "shared" / "data" / "recorded" / "x"
recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded answers (../shared/data) are not here"
)


def answered(status: int, body: Any, **headers: str) -> PostResult:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(status, names, json.dumps(body).encode())


@recorded
def test_the_recorded_refusals_prove_what_they_should() -> None:
    items = json.loads((RECORDED / "ERRORS.json").read_text())["items"]
    proves: dict[str, type[object]] = {
        "POST /2/tweets duplicate text": DuplicateRefused,
        "POST /2/tweets with dead token": Unauthorized,
        "search with bad consumer keys; NO rate-limit headers; content type problem+json": (
            Unauthorized
        ),
        "rate limited": RateLimited,
        "usage cap": RateLimited,
        "credits used up, older body": Refused,
        "credits used up, newer body": Refused,
        "unknown query parameter": Refused,
        "bad tweet.fields value": Refused,
        "text too long": Refused,
        "app-only Bearer on POST /2/tweets or /2/users/me": Refused,
    }
    with_body = [item for item in items if "body" in item]
    assert {item["what"] for item in with_body} == set(proves)
    for item in with_body:
        result = answered(item["status"], item["body"])
        assert type(result) is proves[item["what"]], item["what"]
        if isinstance(result, Refused):
            words = item["body"].get("detail") or item["body"]["errors"][0]["detail"]
            assert result.status == item["status"]
            assert words in result.reason


@recorded
def test_the_recorded_post_was_created() -> None:
    exchange = json.loads(
        (RECORDED / "tweepy__test_client_create_and_delete_tweet__0.json").read_text()
    )
    body = next(_bodies(exchange))
    assert answered(201, body) == Created(body["data"]["id"])


def _bodies(part: Any) -> Any:
    """The objects with ``data.id`` anywhere in a recorded exchange."""
    if isinstance(part, str):
        try:
            part = json.loads(part)
        except ValueError:
            return
    if isinstance(part, dict):
        data = part.get("data")
        if isinstance(data, dict) and "id" in data:
            yield part
        for value in part.values():
            yield from _bodies(value)
    elif isinstance(part, list):
        for value in part:
            yield from _bodies(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"data": {"id": "14',
        b"{}",
        b"[]",
        b"null",
        b'{"data": null}',
        b'{"data": {"id": ""}}',
        b'{"data": {"id": 1456012973835788293}}',
        b'{"errors": [{"title": "Not Found Error"}]}',
        b"<html>",
        b"\xff\xfe",
        b"[" * 200_000,
    ],
)
def test_a_201_without_an_id_proves_nothing(body: bytes) -> None:
    assert isinstance(read_answer(201, {}, body), Unknown)


@pytest.mark.parametrize("status", [200, 204, 302, 404, 408, 409, 422, 500, 502, 503, 504, 520])
def test_any_other_status_proves_nothing(status: int) -> None:
    assert isinstance(answered(status, {"data": {"id": "1"}}), Unknown)


@pytest.mark.parametrize("body", [b"<html>Forbidden</html>", b"", b'"no"'])
def test_a_403_that_is_not_in_the_words_of_x_proves_nothing(body: bytes) -> None:
    assert isinstance(read_answer(403, {}, body), Unknown)


def test_a_duplicate_is_recognized_in_the_list_of_errors_too() -> None:
    body = {"errors": [{"message": "Status is a duplicate.", "code": 187}]}
    assert isinstance(answered(403, body), DuplicateRefused)


def test_a_rate_limit_ends_when_the_last_window_that_is_used_up_opens() -> None:
    soon, late = 1_776_105_659, 1_776_191_999
    result = answered(
        429,
        {},
        x_rate_limit_reset=str(soon),
        x_user_limit_24hour_remaining="0",
        x_user_limit_24hour_reset=str(late),
        x_app_limit_24hour_remaining="9000",
        x_app_limit_24hour_reset=str(late + 5),
    )
    assert isinstance(result, RateLimited)
    assert result.reset_at == datetime.fromtimestamp(late, UTC)


@pytest.mark.parametrize("reset", ["", "soon", "9" * 30])
def test_a_reset_that_cannot_be_read_is_none(reset: str) -> None:
    result = answered(429, {}, x_rate_limit_reset=reset)
    assert isinstance(result, RateLimited)
    assert result.reset_at is None
