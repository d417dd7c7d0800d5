"""The start of a search: on request, on an event, or as the repetition of another search."""

from datetime import datetime, timedelta
from typing import Any

from marquee.aws import table
from marquee.movies.models import SearchRequest
from marquee.movies.titles import normalize
from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecords
from marquee.workflows.start import Executions, Started, start_once

KIND = "movie_search"
"""The kind of these workflows, and the name of their state machine."""


def start_search(
    request: SearchRequest,
    *,
    trigger: str,
    settings: Settings,
    now: datetime,
    rerun_of: str | None = None,
) -> Started:
    """Start the search, or join the equal one that runs or whose result is still fresh.

    To a repetition no result is fresh: it joins only what runs.
    """
    fresh_seconds = 0 if rerun_of else settings.search_fresh_seconds
    return start_once(
        KIND,
        request.model_dump(mode="json", exclude_none=True),
        key=key_of(request),
        trigger=trigger,
        fresh_for=timedelta(seconds=fresh_seconds),
        flights=table(settings.require("workflows_table")),
        records=WorkflowRecords.connect(settings),
        executions=Executions.connect(settings, KIND),
        now=now,
        rerun_of=rerun_of,
    )


def key_of(request: SearchRequest) -> dict[str, Any]:
    """What makes two searches equal: all that was asked, the title in its normalized spelling."""
    return request.model_dump(mode="json", exclude_none=True) | {
        "movie_name": normalize(request.movie_name)
    }
