"""The start of a search: which searches are equal, and when a result answers again."""

import pytest

from marquee.movies.start import KIND, key_of, start_search
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecords
from marquee.workflows.start import Started
from tests.support.builders import NOW, a_request
from tests.support.installation import executions


def test_searches_are_equal_however_the_title_is_written() -> None:
    assert key_of(a_request(movie_name="RRR")) == key_of(a_request(movie_name="  rrr! "))
    assert key_of(a_request(year=2022)) != key_of(a_request())
    assert key_of(a_request(max_reviews=50)) != key_of(a_request())


@pytest.mark.parametrize("status", Status)
def test_a_repetition_joins_what_runs_and_no_result(
    settings: Settings, records: WorkflowRecords, status: Status
) -> None:
    first = start_search(a_request(), trigger="api", settings=settings, now=NOW)
    if status is not Status.RUNNING:
        records.close(first.workflow_id, KIND, status, now=NOW)
    again = start_search(
        a_request(), trigger="rerun", settings=settings, now=NOW, rerun_of=first.workflow_id
    )
    if status is Status.RUNNING:
        assert again == Started(workflow_id=first.workflow_id, joined=True)
        return
    assert executions(settings) == [again.workflow_id, first.workflow_id]
    record = records.get(again.workflow_id)
    assert record is not None
    assert (record.rerun_of, record.trigger) == (first.workflow_id, "rerun")
