"""Reading a settings file: its text as tables, and its faults in a sentence that says where."""

import re
import tomllib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from marquee.errors import Misconfigured

_BEGINS_WITH_A_KEY = re.compile(r"[\w.]+: ")
"""So do the words of a table's own validator; those of a key's do not."""


class Table(BaseModel):
    """A table of a settings file; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_tables(file: str, text: str) -> dict[str, Any]:
    """The tables of a file's text; raises Misconfigured where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{file}: {error}") from error


def fault_of(file: str, error: ValidationError) -> Misconfigured:
    """The first fault that a model found in a file, with its table and key."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    *table, key = [str(part) for part in first["loc"] if part != "[key]"] or [""]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and _BEGINS_WITH_A_KEY.match(message):
        table, key = [*table, key], ""
    place = f" [{'.'.join(part for part in table if part)}]" if any(table) else ""
    return Misconfigured(f"{file}{place} {key + ': ' if key else ''}{message}")
