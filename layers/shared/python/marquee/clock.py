"""The time, as a value: logic is handed it, only handlers ask for it."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator


def now() -> datetime:
    """The current time in UTC, to the millisecond: what DynamoDB and people can both read."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without a zone is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def written(moment: datetime) -> str:
    """``2026-11-22T06:30:00Z``: how sentences say a time in UTC, for a reader in any zone."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


Moment = Annotated[datetime, AfterValidator(in_utc)]
"""A time in UTC, as models hold it."""
