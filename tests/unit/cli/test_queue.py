"""``marquee queue``: what waits, and draining it now."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from marquee_cli.main import main
from tests.support.command_line import HOSTILE, Asked, an_api, moving

type Document = dict[str, Any]

RUN = "review_backfill-44136fa355b3678a-1"


def an_entry(**fields: Any) -> Document:
    entry = {
        "tmdb_id": 579974,
        "title": "RRR",
        "year": 2022,
        "state": "WAITING",
        "reason": "deferred",
        "sources": ["x", "bluesky"],
        "waiting": ["movie_search-1", "movie_search-2"],
        "popularity": 3,
        "max_reviews": 10,
        "queued_at": "2026-03-14T20:00:00Z",
        "turn_at": "2026-03-14T20:00:00Z",
        "not_before": None,
        "expected_at": "2026-03-14T20:30:00Z",
        "attempts": 0,
        "last_at": None,
        "last_outcome": "",
    }
    return {**entry, **fields}


def a_status(status: str = "SUCCEEDED", **fields: Any) -> Document:
    return {"workflow_id": RUN, "kind": "review_backfill", "status": status, "steps": {}, **fields}


def marquee(url: str, *words: str) -> Result:
    environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key", "COLUMNS": "140"}
    return CliRunner(mix_stderr=False, env=environment).invoke(main, ["queue", *words])


def listing(asked: list[Asked], *entries: Document) -> Result:
    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        return 200, json.dumps({"entries": entries, "next_cursor": None}).encode()

    words = ["--state", "GIVEN_UP"] if entries and entries[0]["state"] == "GIVEN_UP" else []
    with an_api(answer) as url:
        return marquee(url, *words)


def test_each_film_says_why_it_waits_who_waits_and_until_when() -> None:
    asked: list[Asked] = []
    back = an_entry(title="Dune", year=None, waiting=["a"], attempts=2, last_outcome="x: 403")
    alone = an_entry(title="Up", waiting=[], reason="stale", expected_at=None)
    result = listing(asked, an_entry(), back, alone)
    assert result.exit_code == 0
    assert [(one.path, one.query["state"]) for one in asked] == [
        ("/api/orchestrator/queue", "WAITING")
    ]
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert [" ".join(line.split()) for line in lines] == [
        "film sources because waiting expected (UTC) last attempt",
        "RRR (2022) x, bluesky deferred 2 searches 2026-03-14 20:30",
        "Dune x, bluesky deferred 1 search 2026-03-14 20:30 2 failed: x: 403",
        "Up (2022) x, bluesky stale",
    ]


def test_what_was_given_up_says_why() -> None:
    asked: list[Asked] = []
    gone = an_entry(state="GIVEN_UP", attempts=6, last_outcome="x: 403 (6 attempts)")
    assert "x: 403 (6 attempts)" in listing(asked, gone).stdout
    assert asked[0].query["state"] == "GIVEN_UP"


def test_an_empty_queue_says_so() -> None:
    assert listing([]).stdout == "No such film.\n"


def test_words_of_strangers_move_no_cursor() -> None:
    result = listing([], an_entry(title=HOSTILE, last_outcome=HOSTILE))
    assert moving(result.stdout) == set()
    assert "[red]not markup[/red]" in result.stdout


def drained(*statuses: Document) -> tuple[Result, list[Asked]]:
    asked: list[Asked] = []
    left = list(statuses)

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        if each.method == "POST":
            said: Document = {"workflow_id": RUN, "joined": False}
        else:
            said = left.pop(0) if len(left) > 1 else left[0]
        return 200, json.dumps(said).encode()

    with an_api(answer) as url:
        return marquee(url, "--run"), asked


FILM = {
    "tmdb_id": 579974,
    "title": "RRR",
    "state": "complete",
    "new": 7,
    "completed": ["movie_search-1", "movie_search-2"],
}


def test_a_run_is_told_with_what_became_of_each_film() -> None:
    back = {"tmdb_id": 1, "title": "Dune", "state": "back in the queue", "reason": "x: 403"}
    step = {"status": "SUCCEEDED", "started_at": "2026-03-14T20:00:00Z", "duration_ms": 700}
    ended = a_status(
        "PARTIAL",
        steps={"PlanBackfill": step},
        result={"films": [FILM, back], "held": ["x: searches wait for its quota"]},
    )
    result, asked = drained(a_status("RUNNING"), ended)
    assert result.exit_code == 4
    assert (asked[0].method, asked[0].path) == ("POST", "/api/orchestrator/queue/run")
    assert "PlanBackfill" in result.stderr
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "RRR: complete, 7 new reviews, 2 searches complete",
        "Dune: back in the queue, 0 new reviews x: 403",
        "x: searches wait for its quota",
    ]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (a_status(result={"films": [FILM]}), 0, "complete"),
        (a_status(), 3, "Nothing was collected."),
        (a_status("FAILED", error={"name": "StoreUnavailable", "message": "busy"}), 1, "busy"),
        (a_status("CANCELED"), 1, "Nothing was collected."),
    ],
)
def test_a_script_learns_how_it_ended(status: Document, code: int, said: str) -> None:
    result, _ = drained(status)
    assert result.exit_code == code
    assert said in result.stdout
