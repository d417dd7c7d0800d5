"""Answers as the upstreams encode them, and their error bodies as recorded."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from marquee_cli.upstreams.windows import Grant

PROBLEM = "application/problem+json"
X_INVALID_REQUEST = "https://api.twitter.com/2/problems/invalid-request"


class Json(Response):
    """JSON in ASCII with escapes, which can carry the lone surrogates of damaged records."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True).encode()


TMDB_ERRORS: dict[int, dict[str, Any]] = {
    400: {
        "status_code": 22,
        "status_message": (
            "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer."
        ),
        "success": False,
    },
    401: {
        "status_code": 7,
        "status_message": "Invalid API key: You must be granted a valid key.",
        "success": False,
    },
    404: {
        "success": False,
        "status_code": 34,
        "status_message": "The resource you requested could not be found.",
    },
    429: {
        "status_code": 25,
        "status_message": "Your request count (#) is over the allowed limit of (40).",
        "success": False,
    },
}

X_ERRORS: dict[int, dict[str, Any]] = {
    400: {
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": X_INVALID_REQUEST,
    },
    401: {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"},
    402: {
        "detail": "credits depleted",
        "status": 402,
        "title": "Payment Required",
        "type": "https://api.x.com/2/problems/credits-depleted",
    },
    404: {"title": "Not Found", "type": "about:blank", "status": 404, "detail": "Not Found"},
    429: {
        "title": "Too Many Requests",
        "detail": "Too Many Requests",
        "type": "about:blank",
        "status": 429,
    },
}

X_CREDITS_USED_UP_OLDER: dict[str, Any] = {
    "account_id": 2051096097834344448,
    "title": "CreditsDepleted",
    "detail": "Your enrolled account [2051096097834344448] does not have any credits to fulfill "
    "this request.",
    "type": "https://api.twitter.com/2/problems/credits",
}
X_FORBIDDEN: dict[str, Any] = {
    "detail": "You are not permitted to perform this action.",
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
}
X_DUPLICATE: dict[str, Any] = {
    "detail": "You are not allowed to create a Tweet with duplicate content.",
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
}
X_APP_ONLY: dict[str, Any] = {
    "errors": [
        {
            "detail": "Authenticating with OAuth 2.0 Application-Only is forbidden for this "
            "endpoint. Supported authentication types are [OAuth 1.0a User Context, OAuth 2.0 "
            "User Context].",
            "status": 403,
            "title": "Unsupported Authentication",
            "type": "https://api.twitter.com/2/problems/unsupported-authentication",
        }
    ]
}
X_TOO_LONG: dict[str, Any] = {
    "detail": "Your Tweet text is too long. For more information on how Twitter determines text "
    "length see https://github.com/twitter/twitter-text."
}

OPENAI_ERRORS: dict[int, dict[str, Any]] = {
    401: {
        "error": {
            "message": "Incorrect API key provided: sk-proj-****. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    },
    404: {
        "error": {
            "message": "Invalid URL",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    },
    429: {
        "error": {
            "message": "Rate limit reached for gpt-4o-mini in organization org-xxx on requests per "
            "min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit "
            "https://platform.openai.com/account/rate-limits to learn more. You can increase your "
            "rate limit by adding a payment method to your account at "
            "https://platform.openai.com/account/billing.",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    },
    500: {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    },
}
OPENAI_QUOTA_USED_UP: dict[str, Any] = {
    "error": {
        "message": "You exceeded your current quota, please check your plan and billing details. "
        "For more information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}

BLUESKY_ERRORS: dict[int, dict[str, Any]] = {
    400: {"error": "ExpiredToken", "message": "Token has expired"},
    401: {"error": "AuthMissing", "message": "Authentication Required"},
    404: {"error": "XRPCNotSupported", "message": "XRPCNotSupported"},
    429: {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"},
}

MASTODON_ERRORS: dict[int, dict[str, Any]] = {
    401: {"error": "This method requires an authenticated user"},
    404: {"error": "The page you are looking for isn't here."},
    429: {"error": "Too many requests"},
}

_ERRORS = {
    "tmdb": TMDB_ERRORS,
    "x": {**X_ERRORS, 403: X_FORBIDDEN},
    "bluesky": BLUESKY_ERRORS,
    "mastodon": MASTODON_ERRORS,
    "openai": OPENAI_ERRORS,
}


def error(upstream: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The error an upstream answers with; a status it has no body for gets a gateway's HTML page,
    as when a proxy in front of it fails."""
    body = _ERRORS[upstream].get(status)
    if body is None:
        page = f"<html><head><title>{status}</title></head><body>{status}</body></html>"
        return Response(page, status, headers, media_type="text/html")
    answer = Json(body, status, headers)
    if upstream == "x" and status == 401:
        answer.headers["content-type"] = PROBLEM
    return answer


def not_found(kind: str, parameter: str, value: str) -> dict[str, Any]:
    """What X lists under `errors` in a 200 for something that is not there."""
    return {
        "value": value,
        "detail": f"Could not find {kind} with {parameter}: [{value}].",
        "title": "Not Found Error",
        "resource_type": kind,
        "parameter": parameter,
        "resource_id": value,
        "type": "https://api.twitter.com/2/problems/resource-not-found",
    }


def x_headers(grant: Grant) -> dict[str, str]:
    return {
        "x-rate-limit-limit": str(grant.limit),
        "x-rate-limit-remaining": str(grant.remaining),
        "x-rate-limit-reset": str(int(grant.reset)),
    }
