"""What a browser is sent: headers, caching, compression, and nothing that is not a file."""

import base64
import gzip
import json
import re
from typing import Any

import pytest

from marquee.settings import Settings
from marquee.site.page import Page
from marquee.site.serve import serve
from tests.support.templates import ROOT, Template

PAGE = Page.read(
    ROOT / "functions" / "site" / "page",
    posters=Settings.model_fields["tmdb_image_base_url"].default,
)
BROWSER = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate, br, zstd"}


def answer(
    release: str | None = None, file: str = "app.js", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    parameters = {"release": release, "file": file} if release else None
    return serve({"pathParameters": parameters, "headers": headers}, PAGE)


def policy(found: dict[str, Any]) -> dict[str, str]:
    said = found["headers"]["Content-Security-Policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in said)


def test_the_document_is_asked_for_anew_each_time_and_a_file_never_again() -> None:
    assert answer()["headers"]["Cache-Control"] == "no-cache"
    assert answer()["headers"]["Content-Type"] == "text/html; charset=utf-8"
    file = answer(PAGE.release)
    assert file["headers"]["Cache-Control"] == "public, max-age=31536000, immutable"
    assert file["headers"]["Content-Type"] == "text/javascript; charset=utf-8"
    assert file["body"] == (ROOT / "functions" / "site" / "page" / "app.js").read_text()


@pytest.mark.parametrize("release", [None, PAGE.release])
def test_what_a_browser_has_is_not_sent_again(release: str | None) -> None:
    tag = answer(release)["headers"]["ETag"]
    for asked in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = answer(release, headers={"If-None-Match": asked})
        assert (again["statusCode"], again["body"]) == (304, "")
        assert again["headers"]["ETag"] == tag
        assert "Content-Security-Policy" in again["headers"]
    assert answer(release, headers={"If-None-Match": 'W/"other"'})["statusCode"] == 200


@pytest.mark.parametrize("release", [None, PAGE.release])
def test_who_takes_gzip_is_sent_gzip(release: str | None) -> None:
    plain = answer(release)
    found = answer(release, headers=BROWSER)
    assert found["headers"]["Content-Encoding"] == "gzip"
    assert found["isBase64Encoded"] is True
    assert gzip.decompress(base64.b64decode(found["body"])).decode() == plain["body"]
    assert plain["headers"]["Vary"] == found["headers"]["Vary"] == "Accept-Encoding"
    assert plain["headers"]["ETag"] == found["headers"]["ETag"]
    assert len(found["body"]) < len(plain["body"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "*/*"},
        {"Accept": "*/*", "Accept-Encoding": "br"},
        {"Accept": "*/*", "Accept-Encoding": "br, gzip;q=0"},
        {"Accept": "*/*", "Accept-Encoding": "gzip; q=0.0, br"},
        {"Accept-Encoding": "gzip"},  # the gateway would send the base64 as it stands
    ],
)
def test_who_takes_no_gzip_is_sent_none(headers: dict[str, str]) -> None:
    found = answer(headers=headers)
    assert "Content-Encoding" not in found["headers"]
    assert found["body"].startswith("<!doctype html>")


def test_the_names_of_headers_come_in_any_case() -> None:
    headers = {name.lower(): value for name, value in BROWSER.items()}
    assert answer(headers=headers)["headers"]["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("release", "file"),
    [
        ("0123456789abcdef", "app.js"),
        (PAGE.release, "none.js"),
        (PAGE.release, "index.html"),
        (PAGE.release, "../app.py"),
        (PAGE.release, "..%2f..%2fapp.py"),
        (PAGE.release, ""),
    ],
)
def test_anything_else_is_not_there_and_is_not_kept(release: str, file: str) -> None:
    found = answer(release, file)
    assert found["statusCode"] == 404
    assert found["headers"]["Cache-Control"] == "no-store"
    assert found["headers"]["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("found", [answer(), answer(PAGE.release), answer("0123456789abcdef")])
def test_the_page_may_load_its_own_files_and_posters_and_nothing_else(
    found: dict[str, Any],
) -> None:
    assert policy(found) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' https://image.tmdb.org",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    headers = found["headers"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_payload_to_invoke_it_with_is_answered_by_the_handler() -> None:
    payload = json.loads((ROOT / "tests" / "events" / "site.json").read_text())
    found = serve(payload, PAGE)
    assert found["statusCode"] == 200
    assert re.search(
        r"<title>Marquee</title>", gzip.decompress(base64.b64decode(found["body"])).decode()
    )


def test_the_gateway_lets_browsers_in_without_a_key_and_sends_bytes_as_bytes() -> None:
    resources = Template.load().document["Resources"]
    events = resources["SiteFunction"]["Properties"]["Events"]
    routes = {
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for event in events.values()
        if event["Properties"]["Auth"] == {"ApiKeyRequired": False}
    }
    assert routes == {("GET", "/"), ("GET", "/site/{release}/{file}")}
    assert resources["RestApi"]["Properties"]["BinaryMediaTypes"] == ["*/*"]


def test_the_function_may_touch_nothing() -> None:
    assert "Policies" not in Template.load().document["Resources"]["SiteFunction"]["Properties"]
