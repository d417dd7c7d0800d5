"""Answering a browser that asks for the page: what it may keep, and what the page may do."""

import re
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from marquee.site.page import File, Page

FOR_GOOD = "public, max-age=31536000, immutable"
"""Of a file: its address changes when it does."""

ASK_AGAIN = "no-cache"
"""Of the document: a browser may keep it, and asks each time whether it is still the one."""

NOT_FOUND = "This file is of another version of the page: reload the page."

_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


def security_headers(page: Page) -> dict[str, str]:
    """What the page may do: load its own files and posters, call its own API, and nothing else.

    No markup ever comes of text: the browser refuses it (``require-trusted-types-for``).
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' {page.posters_origin}",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
        "payment=(), usb=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


def serve(event: Mapping[str, Any], page: Page) -> dict[str, Any]:
    """API Gateway's proxy event in, its response out: the document, or the file in the path."""
    headers = {name.lower(): value or "" for name, value in (event.get("headers") or {}).items()}
    parameters = event.get("pathParameters") or {}
    if not parameters:
        return _sent(page.document, headers, ASK_AGAIN, page)
    file = page.file(parameters.get("release", ""), parameters.get("file", ""))
    if file is None:
        return {
            "statusCode": HTTPStatus.NOT_FOUND.value,
            "headers": {
                **security_headers(page),
                "Content-Type": "text/plain; charset=utf-8",
                "Cache-Control": "no-store",
            },
            "body": NOT_FOUND,
        }
    return _sent(file, headers, FOR_GOOD, page)


def _sent(file: File, headers: Mapping[str, str], keep: str, page: Page) -> dict[str, Any]:
    # Weak: the same content may be sent under gzip and without.
    tag = f'W/"{file.digest}"'
    answer = {
        **security_headers(page),
        "Cache-Control": keep,
        "ETag": tag,
        "Vary": "Accept-Encoding",
    }
    answer["Content-Type"] = file.content_type
    if _has(headers.get("if-none-match", ""), tag):
        return {"statusCode": HTTPStatus.NOT_MODIFIED.value, "headers": answer, "body": ""}
    if not _takes_gzip(headers):
        return {
            "statusCode": HTTPStatus.OK.value,
            "headers": answer,
            "body": file.content.decode(),
        }
    return {
        "statusCode": HTTPStatus.OK.value,
        "headers": {**answer, "Content-Encoding": "gzip"},
        "body": b64encode(file.compressed).decode(),
        "isBase64Encoded": True,
    }


def _has(asked: str, tag: str) -> bool:
    """Whether the browser has it: the comparison of RFC 9110, 13.1.2, in which W/ is no matter."""
    tags = {one.strip().removeprefix("W/") for one in asked.split(",")}
    return bool(tags & {"*", tag.removeprefix("W/")})


def _takes_gzip(headers: Mapping[str, str]) -> bool:
    """Whether it may be sent so; without Accept the gateway would send base64 as it stands."""
    taken = headers.get("accept-encoding", "").lower()
    return "gzip" in taken and not _NO_GZIP.search(taken) and bool(headers.get("accept"))
