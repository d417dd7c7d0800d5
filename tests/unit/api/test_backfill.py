"""The queue over the API: what waits, why and until when; and draining it now."""

from datetime import timedelta
from typing import Any

import pytest

from marquee.api.backfill import MOST_COUNTED, backfill_totals
from marquee.movies.backfill import KIND, BackfillSummary, FilmOutcome, FilmState
from marquee.movies.backfill_queue import BackfillQueue, Reason, Wish, done, failed
from marquee.movies.backfill_start import start_due_backfill
from marquee.settings import Settings
from marquee.workflows.record import Status, WorkflowRecords
from tests.support.api import Api
from tests.support.builders import NOW
from tests.support.installation import executions

QUEUE, RUN = "/api/orchestrator/queue", "/api/orchestrator/queue/run"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def queue(settings: Settings) -> BackfillQueue:
    return BackfillQueue.connect(settings)


def a_wish(tmdb_id: int, **fields: Any) -> Wish:
    facts = {"title": f"Film {tmdb_id}", "reason": Reason.STALE, "sources": ("x",)}
    return Wish.model_validate({"tmdb_id": tmdb_id, **facts, **fields})


def test_an_empty_queue_is_an_empty_page(api: Api) -> None:
    assert api.get(QUEUE).json() == {
        "entries": [],
        "enabled": True,
        "window": "01:00-07:00 UTC",
        "off_peak": False,
        "next_cursor": None,
    }


def test_each_film_says_why_it_waits_who_waits_for_it_and_until_when(
    api: Api, queue: BackfillQueue
) -> None:
    queue.add(a_wish(1, popularity=2, year=2022), NOW)
    slot = NOW + 10 * MINUTE
    queue.add(
        a_wish(2, reason=Reason.DEFERRED, workflow_id="search-1", not_before=slot), NOW + MINUTE
    )
    first, second = api.get(QUEUE).json()["entries"]
    assert (first["tmdb_id"], first["reason"]) == (2, "deferred")
    assert (first["waiting"], first["sources"]) == (["search-1"], ["x"])
    assert first["expected_at"] == (slot + 15 * MINUTE).isoformat().replace("+00:00", "Z")
    assert (second["reason"], second["popularity"], second["year"]) == ("stale", 2, 2022)
    assert second["expected_at"] == "2026-03-15T01:15:00Z"


def test_where_nothing_drains_the_queue_no_time_is_told(
    settings: Settings, queue: BackfillQueue
) -> None:
    queue.add(a_wish(1, workflow_id="search-1"), NOW)
    api = Api(settings.model_copy(update={"backfill_enabled": False}))
    page = api.get(QUEUE).json()
    assert (page["enabled"], page["entries"][0]["expected_at"]) == (False, None)


def test_pages_follow_each_other(api: Api, queue: BackfillQueue) -> None:
    for number in range(1, 6):
        queue.add(a_wish(number), NOW + number * MINUTE)
    found, cursor = [], None
    while True:
        page = api.get(QUEUE, {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [entry["tmdb_id"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [1, 2, 3, 4, 5]


def test_what_has_left_the_queue_is_shown_with_its_outcome(api: Api, queue: BackfillQueue) -> None:
    queue.add(a_wish(1), NOW)
    queue.change(1, lambda entry: entry and done(entry, "7 new reviews", NOW))
    queue.add(a_wish(2), NOW)
    for _ in range(6):
        queue.change(2, lambda entry: entry and failed(entry, "x: 403", NOW, sources=("x",)))
    [gone] = api.get(QUEUE, {"state": "DONE"}).json()["entries"]
    assert (gone["tmdb_id"], gone["last_outcome"]) == (1, "7 new reviews")
    [given_up] = api.get(QUEUE, {"state": "GIVEN_UP"}).json()["entries"]
    assert (given_up["attempts"], given_up["last_outcome"]) == (6, "x: 403 (6 attempts)")
    assert given_up["expected_at"] is None
    assert api.get(QUEUE).json()["entries"] == []


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"cursor": "e30"}])
def test_a_cursor_that_is_not_ours_is_refused(api: Api, query: dict[str, Any]) -> None:
    assert api.get(QUEUE, query).status == 400


def test_a_run_is_started_at_once_and_joined_by_the_next(api: Api, settings: Settings) -> None:
    first = api.post(RUN)
    assert first.status == 202
    assert first.headers["location"] == first.json()["status_url"]
    again = api.post(RUN)
    assert again.json() == {**first.json(), "joined": True}
    assert executions(settings, KIND) == [first.json()["workflow_id"]]
    status = api.get(f"/workflow/status/{first.json()['workflow_id']}").json()
    assert (status["kind"], status["input"]) == (KIND, {"at_once": True})
    assert (status["trigger"], status["result"]) == ("api", None)


def test_a_run_is_listed_shown_canceled_and_repeated_as_any_other(
    api: Api, settings: Settings, records: WorkflowRecords
) -> None:
    workflow_id = api.post(RUN).json()["workflow_id"]
    listed = api.get("/workflow/list", {"kind": KIND}).json()["workflows"]
    assert [one["workflow_id"] for one in listed] == [workflow_id]
    canceled = api.post(f"/workflow/{workflow_id}/cancel").json()
    assert canceled["status"] == "CANCELED"
    again = api.post(f"/workflow/{workflow_id}/rerun", body={"from_step": "PlanBackfill"})
    assert again.status == 202
    next_id = again.json()["workflow_id"]
    assert executions(settings, KIND) == [next_id, workflow_id]
    film = FilmOutcome(tmdb_id=1, title="Film 1", state=FilmState.COMPLETE, new=7)
    result = BackfillSummary(films=(film,), held=("x: used up",)).model_dump(mode="json")
    records.close(next_id, KIND, Status.SUCCEEDED, now=NOW, result=result)
    status = api.get(f"/workflow/status/{next_id}").json()
    assert (status["rerun_of"], status["input"]) == (workflow_id, {"at_once": True})
    assert status["result"]["films"][0]["state"] == "complete"


def test_the_schedule_starts_a_run_only_where_there_is_a_film_for_it(
    settings: Settings, queue: BackfillQueue
) -> None:
    assert start_due_backfill(settings, NOW).started is None
    assert executions(settings, KIND) == []
    queue.add(a_wish(1, workflow_id="search-1"), NOW)
    started = start_due_backfill(settings, NOW).started
    assert started
    assert executions(settings, KIND) == [started.workflow_id]
    again = start_due_backfill(settings, NOW).started
    assert again
    assert (again.workflow_id, again.joined) == (started.workflow_id, True)


def test_the_queue_in_numbers(settings: Settings, queue: BackfillQueue) -> None:
    assert backfill_totals(settings).model_dump() == {
        "films": 0,
        "more": False,
        "searches": 0,
        "oldest_at": None,
        "given_up": 0,
        "more_given_up": False,
    }
    queue.add(a_wish(1), NOW)
    for name in ("a", "b"):
        queue.add(a_wish(2, workflow_id=name), NOW + MINUTE)
    totals = backfill_totals(settings)
    assert (totals.films, totals.searches, totals.oldest_at) == (2, 2, NOW)


def test_more_films_than_are_counted_are_said_to_be_more(
    settings: Settings, queue: BackfillQueue
) -> None:
    for number in range(MOST_COUNTED):
        queue.add(a_wish(number + 1), NOW)
    totals = backfill_totals(settings)
    assert (totals.films, totals.more) == (MOST_COUNTED, False)
    queue.add(a_wish(MOST_COUNTED + 1), NOW)
    totals = backfill_totals(settings)
    assert (totals.films, totals.more) == (MOST_COUNTED, True)
