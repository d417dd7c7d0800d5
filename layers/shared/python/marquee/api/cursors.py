"""Cursors: where the next page of a listing begins, opaque to the client."""

import base64
import binascii

from pydantic import BaseModel, ConfigDict, ValidationError

from marquee.api.problems import bad_cursor


class Position(BaseModel):
    """The base of what a cursor holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def encoded(position: Position) -> str:
    """The position in characters that need no escaping in a query."""
    return base64.urlsafe_b64encode(position.model_dump_json().encode()).decode().rstrip("=")


def decoded[P: Position](cursor: str | None, kind: type[P]) -> P | None:
    """The position that a cursor of ours holds; raises Refused (400) for any other text."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        return kind.model_validate_json(text)
    except (binascii.Error, UnicodeEncodeError, ValidationError) as error:
        raise bad_cursor() from error
