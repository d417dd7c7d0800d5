"""What X takes in a query, and how it refuses the rest."""

import json
from datetime import datetime

from starlette.requests import Request

from marquee_cli.upstreams.answers import X_ERRORS
from marquee_cli.upstreams.catalog import DATA

DEFAULT_PAGE_SIZE = 10
# Tokens of X start alike and hold base 36; ours end with the id of the last post of the page.
TOKEN_PREFIX = "b26v89c19zqg8o3f"  # noqa: S105 - a page token, not a secret
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

# Parameters of endpoints and the values of their lists, in the order of X's API description.
KNOWN: dict[str, list[str]] = json.loads((DATA / "x_parameters.json").read_text("utf-8"))


class Invalid(Exception):
    """A parameter X refuses with 400."""

    def __init__(self, parameter: str, value: str, message: str) -> None:
        problem = {"parameters": {parameter: [value]}, "message": message}
        self.body = {"errors": [problem], **X_ERRORS[400]}


def check_names(request: Request, known: list[str]) -> None:
    """Refuse parameters that the endpoint does not know."""
    for name, value in request.query_params.items():
        if name not in known:
            raise Invalid(
                name, value, f"The query parameter [{name}] is not one of [{','.join(known)}]"
            )


def chosen(request: Request, parameter: str) -> set[str]:
    """The values of a list parameter, each of them known."""
    known = KNOWN[parameter]
    asked = request.query_params.get(parameter)
    if asked is None:
        return set()
    for value in asked.split(","):
        if value not in known:
            raise Invalid(
                parameter,
                asked,
                f"The `{parameter}` query parameter value [{value}] is not one of "
                f"[{','.join(known)}]",
            )
    return set(asked.split(","))


def page_size(request: Request, sizes: range) -> int:
    """How many are asked for, 10 if nothing is said."""
    asked = request.query_params.get("max_results", str(DEFAULT_PAGE_SIZE))
    if not (asked.isascii() and asked.isdigit() and int(asked) in sizes):
        raise Invalid(
            "max_results",
            asked,
            f"The `max_results` query parameter value [{asked}] is not between "
            f"{sizes.start} and {sizes.stop - 1}",
        )
    return int(asked)


def identifier(request: Request, parameter: str) -> int:
    """The id that a parameter holds."""
    value = request.query_params[parameter]
    if not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise Invalid(
            parameter, value, f"The `{parameter}` query parameter value [{value}] is not valid"
        )
    return int(value)


def moment_of(request: Request, parameter: str) -> datetime | None:
    """The time that a parameter holds."""
    value = request.query_params.get(parameter)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid(
            parameter,
            value,
            f"The `{parameter}` query parameter value [{value}] is not a valid RFC 3339 time",
        )
    return moment


def token_id(request: Request) -> int:
    """The id below which the page starts."""
    parameter = "next_token" if "next_token" in request.query_params else "pagination_token"
    token = request.query_params.get(parameter)
    if token is None:
        return 2**63
    digits = token.removeprefix(TOKEN_PREFIX)
    if not digits or digits == token or set(digits) - set(_BASE36):
        raise Invalid(parameter, token, f"The `{parameter}` query parameter value is not valid")
    return int(digits, 36)


def page_token(last_id: int) -> str:
    """The token of the page below the post with this id."""
    digits = ""
    while last_id:
        last_id, digit = divmod(last_id, 36)
        digits = _BASE36[digit] + digits
    return TOKEN_PREFIX + digits
