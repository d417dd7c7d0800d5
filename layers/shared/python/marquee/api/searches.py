"""The search: start or join an execution, wait for it a little, answer what it found."""

from datetime import datetime

from pydantic import ConfigDict, Field

from marquee.api.call import Call, Reply
from marquee.api.problems import failed_workflow
from marquee.api.waiting import LONGEST_WAIT_SECONDS, accepted, ended
from marquee.movies.models import SearchRequest
from marquee.workflows.record import WorkflowRecord


class AutoSearch(SearchRequest):
    """A search, and how long to wait for it."""

    model_config = ConfigDict(strict=True, defer_build=True)

    wait_seconds: int = Field(
        default=20,
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="How long to wait for the result; then the answer is 202 with Location.",
    )


def auto_search(search: AutoSearch, call: Call) -> Reply:
    """200 with the result, 202 where it is not there in time; a failed search is a problem."""
    from marquee.movies.start import start_search

    request = SearchRequest.model_validate(search.model_dump(exclude={"wait_seconds"}))
    asked_at = call.now()
    started = start_search(request, trigger="api", settings=call.settings, now=asked_at)
    record = ended(started.workflow_id, search.wait_seconds, call)
    if record is None:
        return accepted(started, call)
    return _answered(record, call, joined_at=asked_at if started.joined else None)


def _answered(record: WorkflowRecord, call: Call, *, joined_at: datetime | None) -> Reply:
    from marquee.api.answers import SearchAnswer
    from marquee.api.statistics import automation_stats
    from marquee.movies.catalog import Catalog
    from marquee.movies.search import result_of

    result = result_of(record, Catalog.connect(call.settings))
    if result is None:
        raise failed_workflow(record)
    stats = automation_stats(record, joined_at=joined_at)
    return Reply(SearchAnswer(workflow_result=result, automation_stats=stats))
