"""The tree of errors: its drawing is the truth, and each error says what it must."""

import inspect
import re
from datetime import UTC, datetime

import pytest

from marquee import errors
from marquee.errors import (
    TRANSIENT,
    BadInput,
    CredentialsRefused,
    MarqueeError,
    RateLimited,
    UpstreamError,
)

DRAWN = re.compile(r"^[ │├└─]*([A-Z]\w+)", re.MULTILINE)
TREE = (errors.__doc__ or "").partition("::")[2]
CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, MarqueeError)
]


def test_the_drawing_names_every_error_and_no_other() -> None:
    assert sorted(DRAWN.findall(TREE)) == sorted(error.__name__ for error in CLASSES)


def test_the_drawing_shows_who_is_whose_child() -> None:
    for line in filter(None, map(str.rstrip, TREE.splitlines())):
        [name] = DRAWN.findall(line)
        depth = len(getattr(errors, name).__mro__) - len(MarqueeError.__mro__)
        assert (line.index(name) - len("    ")) // len("├── ") == depth, line


def test_what_the_drawing_calls_transient_is_what_is_retried() -> None:
    drawn = {DRAWN.findall(line)[0] for line in TREE.splitlines() if "(transient)" in line}
    assert drawn | {"StoreUnavailable"} == {error.__name__ for error in TRANSIENT}


def test_an_upstream_error_says_who_where_and_what() -> None:
    error = CredentialsRefused("answered 401", provider="x", endpoint="search", status=401)
    assert str(error) == "x search: answered 401"
    assert (error.provider, error.endpoint, error.status) == ("x", "search", 401)


def test_a_rate_limit_carries_its_reset() -> None:
    reset = datetime(2026, 1, 1, tzinfo=UTC)
    error = RateLimited("full", provider="x", endpoint="search", retry_at=reset)
    assert (error.status, error.retry_at) == (429, reset)
    assert isinstance(error, UpstreamError)


def test_bad_input_names_its_field() -> None:
    with pytest.raises(BadInput) as raised:
        raise BadInput("year: give four digits", field="year")
    assert raised.value.field == "year"
