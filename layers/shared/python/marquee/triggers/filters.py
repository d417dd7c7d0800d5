"""Which events of its type a trigger is for: equal values at named places of the detail.

A filter has the shape of the detail: ``{"status": ["FAILED", "PARTIAL"], "film": {"year": 2022}}``
lets an event through whose ``status`` is one of the two and whose ``film.year`` is 2022. A value
stands for itself, a list for any of its values; where the detail holds a list, one equal value in
it is enough. What is not named does not matter.
"""

from collections.abc import Mapping
from typing import Any

from marquee.errors import BadInput

MAX_DEPTH = 4
MAX_VALUES = 50
MAX_TEXT = 256
"""A filter is looked at for every event: it is a few short conditions, or it is a mistake."""

MAX_NUMBER = 2**53
"""Beyond it, readers of JSON round integers to different neighbors."""


def check_filter(wanted: Mapping[str, Any]) -> None:
    """Raises BadInput with what is wrong with a filter."""
    if _values(wanted, depth=1) > MAX_VALUES:
        raise _wrong(f"names {MAX_VALUES} values at most")


def lets_through(wanted: Mapping[str, Any], detail: Any) -> bool:
    """Whether the detail has, at every place that the filter names, a value that it names."""
    return isinstance(detail, dict) and all(
        name in detail and _fits(value, detail[name]) for name, value in wanted.items()
    )


def _fits(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return lets_through(wanted, found)
    options = wanted if isinstance(wanted, list) else [wanted]
    present = found if isinstance(found, list) else [found]
    return any(_equal(option, value) for option in options for value in present)


def _equal(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _values(wanted: Any, *, depth: int) -> int:
    """How many values a part of a filter names."""
    if isinstance(wanted, dict):
        if depth > MAX_DEPTH:
            raise _wrong(f"has {MAX_DEPTH} levels at most")
        if not wanted and depth > 1:
            raise _wrong("holds an object without a condition")
        if any(len(name) > MAX_TEXT for name in wanted):
            raise _wrong(f"has names of {MAX_TEXT} characters at most")
        return sum(_values(part, depth=depth + 1) for part in wanted.values())
    options = wanted if isinstance(wanted, list) else [wanted]
    if not options:
        raise _wrong("holds an empty list, which nothing equals")
    for option in options:
        if isinstance(option, dict | list):
            raise _wrong("has plain values in its lists")
        if isinstance(option, str) and len(option) > MAX_TEXT:
            raise _wrong(f"has texts of {MAX_TEXT} characters at most")
        if isinstance(option, int | float) and abs(option) > MAX_NUMBER:
            raise _wrong("has numbers that JSON's readers agree on")
    return len(options)


def _wrong(what: str) -> BadInput:
    return BadInput(f"a filter {what}", field="filter")
