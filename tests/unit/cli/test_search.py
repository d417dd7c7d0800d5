"""``marquee search``: progress, result, exit codes, and text from strangers on a terminal."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from marquee_cli.client import ApiError, Client
from marquee_cli.cloud.cloud import Cloud
from marquee_cli.cloud.home import Api
from marquee_cli.search import (
    FAILED,
    FOUND,
    GIVE_UP_AFTER_SECONDS,
    NO_MATCH,
    PARTIAL,
    exit_code,
    follow,
    read_status,
    search,
    sentiment_bar,
    show,
    sparkline,
)
from tests.support.builders import a_movie
from tests.support.command_line import HOSTILE, Asked, an_api, moving

WORKFLOW_ID = "movie_search-0123456789abcdef-1"
STARTED_AT = "2026-03-14T20:00:00Z"

type Document = dict[str, Any]


def a_step(name: str = "FindMovie", **fields: Any) -> Document:
    step = {
        "status": "SUCCEEDED",
        "started_at": STARTED_AT,
        "ended_at": "2026-03-14T20:00:01Z",
        "duration_ms": 1234,
        "attempts": 1,
        "counts": {},
        "error": None,
    }
    return {name: {**step, **fields}}


def an_analysis(**fields: Any) -> Document:
    analysis = {
        "tmdb_id": 579974,
        "average_sentiment": 0.62,
        "confidence_interval": [0.4, 0.84],
        "label": "positive",
        "sample_size": 12,
        "counts_by_label": {"positive": 9, "negative": 2, "neutral": 1, "unscored": 3},
        "histogram": [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 3, 4, 0],
        "most_positive": [a_quote()],
        "most_negative": [],
        "period_from": "2022-03-25T10:00:00Z",
        "period_to": "2026-03-14T19:00:00Z",
        "analyzed_at": STARTED_AT,
        "scorer": "vader-3.3.2",
    }
    return {**analysis, **fields}


def a_quote(**fields: Any) -> Document:
    quote = {
        "text": "The bridge scene alone is worth the ticket.",
        "author": "asha",
        "source": "tmdb",
        "url": "https://example.org/review-1",
        "score": 0.91,
    }
    return {**quote, **fields}


def a_source(**fields: Any) -> Document:
    return {"source": "tmdb", "status": "ok", "fetched": 9, "new": 7, "calls": 1, **fields}


def a_recommendation(**fields: Any) -> Document:
    film = {"tmdb_id": 256040, "title": "Bāhubali: The Beginning", "year": 2015, "score": 0.81}
    return {**film, "reasons": ["same director, S. S. Rajamouli", "action"], **fields}


def a_result(**fields: Any) -> Document:
    result = {
        "workflow_id": WORKFLOW_ID,
        "status": "SUCCEEDED",
        "movie": a_movie().model_dump(mode="json", exclude={"related", "texts"}),
        "message": "the title and the year are the same",
        "analysis": an_analysis(),
        "recommendations": [a_recommendation()],
        "sources": [a_source()],
        "candidates": [],
        "missing": [],
    }
    return {**result, **fields}


def a_document(**fields: Any) -> Document:
    """What ``GET /workflow/status/{id}`` answers of a search that found RRR."""
    document = {
        "workflow_id": WORKFLOW_ID,
        "kind": "movie_search",
        "status": "SUCCEEDED",
        "started_at": STARTED_AT,
        "steps": a_step(),
        "result": a_result(),
        "error": None,
    }
    return {**document, **fields}


def failed(**fields: Any) -> Document:
    error = {"name": "UpstreamUnavailable", "message": "tmdb search/movie: answered 503"}
    return a_document(**{"status": "FAILED", "result": None, "error": error, **fields})


def shown(document: Document, width: int = 100, *, color: bool = False) -> str:
    out = Console(
        file=io.StringIO(),
        width=width,
        highlight=False,
        force_terminal=color,
        color_system="standard" if color else None,
    )
    show(read_status(document), out)
    written = out.file
    assert isinstance(written, io.StringIO)
    return re.sub(r" +\n", "\n", written.getvalue())


def followed(
    answers: Sequence[Document], start: Mapping[str, Any] | None = None
) -> tuple[Document, str]:
    """The document that ``follow`` ends with, and the progress that it told."""
    statuses = iter(answers)
    started = start or {"workflow_id": WORKFLOW_ID, "status": "RUNNING"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200 if "workflow_result" in started else 202, json=started)
        assert request.url.path.endswith(WORKFLOW_ID)
        return httpx.Response(200, json=next(statuses))

    client = Client("http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None)
    progress = Console(file=io.StringIO(), width=100, highlight=False)
    try:
        document = follow(client, {"movie_name": "RRR"}, progress, pause=lambda _: None)
    finally:
        client.close()
    assert isinstance(progress.file, io.StringIO)
    return document, progress.file.getvalue()


def running(*steps: Document) -> Document:
    merged = {name: step for each in steps for name, step in each.items()}
    return a_document(status="RUNNING", result=None, steps=merged)


def test_steps_are_told_once_in_the_order_they_started() -> None:
    find = a_step()
    collect = a_step("CollectReviews/tmdb", started_at="2026-03-14T20:00:02Z", duration_ms=300)
    document, told = followed([running(), running(find), running(collect, find), a_document()])
    assert told.splitlines() == ["  ✓ FindMovie  1.2 s", "  ✓ CollectReviews/tmdb  0.3 s"]
    assert document == a_document()


def test_a_step_that_has_only_begun_is_not_told() -> None:
    begun = a_step(status="RUNNING", ended_at=None, duration_ms=None)
    _, told = followed([running(begun), a_document(steps={})])
    assert told == ""


def test_a_failed_attempt_and_the_retry_are_told() -> None:
    error = {"name": "UpstreamTimeout", "message": "no answer within 10 s"}
    attempts = [
        running(a_step(status="FAILED", error=error)),
        running(a_step(status="RUNNING", attempts=2, ended_at=None, duration_ms=None)),
        running(a_step(attempts=2)),
        a_document(steps=a_step(attempts=2)),
    ]
    _, told = followed(attempts)
    assert told.splitlines() == [
        "  ✗ FindMovie  1.2 s  UpstreamTimeout: no answer within 10 s",
        "  … FindMovie  attempt 2",
        "  ✓ FindMovie  1.2 s  attempt 2",
    ]


def test_a_cached_answer_is_said_to_be_one_and_tells_no_steps() -> None:
    start = {"success": True, "workflow_result": a_result()}
    document, told = followed([a_document()], start)
    assert told == f"  answered from the search {WORKFLOW_ID}\n"
    assert document == a_document()


def test_a_search_without_an_end_is_given_up_after_the_state_machines_own_time() -> None:
    passed = iter(range(0, 10 * GIVE_UP_AFTER_SECONDS, 60))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**running(), "workflow_id": WORKFLOW_ID})

    client = Client("http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None)
    try:
        with pytest.raises(ApiError, match="has not ended within 15 minutes"):
            follow(client, {}, Console(quiet=True), now=lambda: next(passed), pause=lambda _: None)
    finally:
        client.close()
    assert next(passed) <= GIVE_UP_AFTER_SECONDS + 120


@pytest.mark.parametrize("start", [{"message": "hello"}, {"workflow_id": 7}])
def test_an_answer_that_names_no_workflow_is_an_error(start: Document) -> None:
    with pytest.raises(ApiError, match="names no workflow_id"):
        followed([], start)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "status"),
        (a_document(status="DANCING"), "status"),
        (a_document(result=a_result(movie={"title": "RRR"})), "result.movie.tmdb_id"),
        (a_document(steps={"FindMovie": {"status": "RUNNING"}}), "steps.FindMovie.started_at"),
    ],
)
def test_a_status_document_that_cannot_be_read_names_the_field(
    document: Document, field: str
) -> None:
    with pytest.raises(ApiError, match=rf"unreadable: {re.escape(field)}: "):
        read_status(document)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (a_document(), FOUND),
        (a_document(status="PARTIAL"), PARTIAL),
        (a_document(result=a_result(movie=None, analysis=None)), NO_MATCH),
        (failed(), FAILED),
        (failed(status="CANCELED", error=None), FAILED),
        (a_document(result=None), FAILED),
        (a_document(status="FAILED"), FAILED),
    ],
)
def test_the_exit_code_says_how_it_went(document: Document, code: int) -> None:
    assert exit_code(read_status(document)) == code


def test_the_result_shows_film_sentiment_quotes_sources_and_recommendations() -> None:
    assert shown(a_document()).splitlines() == [
        "",
        "RRR (2022)",
        "  Action, Drama · 3 h 5 min · S. S. Rajamouli · TMDB 7.7 from 1,200 votes",
        "  Two men who should be enemies become friends.",
        "  https://www.themoviedb.org/movie/579974",
        "  the title and the year are the same",
        "",
        "What people feel",
        "  positive +0.62 (95 %: +0.40 to +0.84) over 12 reviews, 25 Mar 2022 to 14 Mar 2026",
        "         ▂▂              ▂▂      ▂▂▄▄  ▆▆██",
        "  -1 ────────────────────────────━━━━●━━━━─── +1",
        "  positive 9  neutral 1  negative 2  unscored 3",
        "  “The bridge scene alone is worth the ticket.”  asha on tmdb +0.91  https://example.org/review-1",
        "",
        "Sources",
        "  tmdb  ok  7 new, 1 call",
        "",
        "Watch next",
        "  score  film                            because",
        "   0.81  Bāhubali: The Beginning (2015)  same director, S. S. Rajamouli; action",
        "",
        "This product uses the TMDB API but is not endorsed or certified by TMDB.",
    ]


def test_a_search_without_a_match_shows_the_message_and_no_notice() -> None:
    message = "No film matches “Xyzzy”."
    nothing = a_result(
        movie=None, analysis=None, message=message, recommendations=[], candidates=[]
    )
    assert shown(a_document(result=nothing)).split("\n") == ["", f"  {message}", ""]


def test_a_failed_search_shows_its_error() -> None:
    text = "The search failed. UpstreamUnavailable: tmdb search/movie: answered 503\n"
    assert shown(failed()) == text
    assert shown(failed(error=None)) == "The search failed. FAILED: no reason is recorded\n"


def test_other_films_that_were_possible_are_listed_with_the_reason() -> None:
    other = {"tmdb_id": 841, "title": "Dune", "year": 1984, "reason": "less popular"}
    without_year = {"tmdb_id": 9, "title": "Dune", "year": None, "reason": "no votes"}
    text = shown(a_document(result=a_result(candidates=[other, without_year])))
    heading = "It could also have been"
    assert f"{heading}\n  Dune (1984): less popular\n  Dune: no votes\n" in text


def test_a_source_says_what_it_took_and_what_is_wrong_with_it() -> None:
    sources = [
        a_source(source="x", status="partial", duplicates=2, set_aside=1, parked=3, calls=2)
        | {"cost_usd": 0.05, "reason": "the limit is reached"},
        a_source(source="bluesky", status="skipped", fetched=0, new=0, reason="no app password"),
    ]
    text = shown(a_document(result=a_result(sources=sources)), width=120)
    assert (
        "  x        partial  7 new, 2 known, 1 set aside, 3 waiting to be stored, 2 calls, $0.050; "
        "the limit is reached\n" in text
    )
    assert "  bluesky  skipped  no app password\n" in text


def test_what_is_missing_is_said() -> None:
    text = shown(a_document(result=a_result(missing=["reviews from x: RateLimited"])))
    assert "Missing\n  reviews from x: RateLimited\n" in text


def test_optional_fields_may_be_absent() -> None:
    movie = {"tmdb_id": 9, "title": "Untold", "fetched_at": STARTED_AT}
    analysis = {"tmdb_id": 9, "analyzed_at": STARTED_AT, "scorer": "vader-3.3.2"}
    sources = [{"source": "tmdb", "status": "ok"}]
    document = {
        "status": "SUCCEEDED",
        "result": a_result(
            movie=movie,
            analysis=analysis,
            sources=sources,
            recommendations=[{**a_card(), "score": 1.0}],
        ),
    }
    text = shown(document)
    assert "Untold\n  https://www.themoviedb.org/movie/9\n" in text
    assert "No review could be scored." in text
    assert "tmdb  ok  0 new\n" in text
    assert " 1.00  Nameless\n" in text


def a_card() -> Document:
    return {"tmdb_id": 10, "title": "Nameless", "reasons": []}


def test_one_scored_review_has_no_interval_and_a_period_of_one_day() -> None:
    analysis = an_analysis(
        sample_size=1, confidence_interval=None, period_to="2022-03-25T23:00:00Z"
    )
    text = shown(a_document(result=a_result(analysis=analysis)))
    assert "  positive +0.62 over 1 review, 25 Mar 2022\n" in text
    assert "━" not in text


def hostile_document() -> Document:
    film = {"title": HOSTILE, "year": None}
    movie = a_result()["movie"] | film | {"overview": HOSTILE}
    for people in ("genres", "directors"):
        movie[people] = [{"id": 1, "name": HOSTILE}]
    quote = a_quote(text=HOSTILE, author=HOSTILE, source=HOSTILE, url=HOSTILE)
    return a_document(
        result=a_result(
            movie=movie,
            message=HOSTILE,
            analysis=an_analysis(most_positive=[quote], most_negative=[quote]),
            recommendations=[a_recommendation(**film, reasons=[HOSTILE])],
            sources=[a_source(source=HOSTILE, reason=HOSTILE)],
            candidates=[{"tmdb_id": 1, **film, "reason": HOSTILE}],
            missing=[HOSTILE],
        )
    )


@pytest.mark.parametrize(
    "document", [hostile_document(), failed(error={"name": "E", "message": HOSTILE})]
)
def test_nothing_that_strangers_wrote_reaches_the_terminal_as_a_command(
    document: Document,
) -> None:
    text = shown(document, width=400)
    assert moving(text) == set()
    assert "[red]not markup[/red] [link=https://evil.test]x[/link] :bomb:" in text
    colored = shown(document, width=400, color=True)
    assert "evil" not in "".join(re.findall("\x1b\\]8;[^\x1b]*", colored))
    assert moving(re.sub("\x1b\\[[0-9;]*m", "", colored)) == set()


def test_progress_shows_strangers_errors_as_text() -> None:
    step = a_step(f"CollectReviews/{HOSTILE}", error={"name": "E", "message": HOSTILE})
    _, told = followed([a_document(steps=step)])
    assert moving(told) == set()
    assert "[red]not markup[/red]" in told


@pytest.mark.parametrize("width", [30, 40, 51, 52, 80, 200])
def test_a_narrow_terminal_loses_no_word(width: int) -> None:
    sources = [a_source(), a_source(source="mastodon", status="failed", reason="RateLimited again")]
    text = shown(a_document(result=a_result(sources=sources)), width=width)
    joined = re.sub(r"\s+", "", text)
    for words in ("Rajamouli", "mastodon", "RateLimitedagain", "Beginning", "+0.62", "ticket.”"):
        assert words in joined
    assert all(len(line) <= width for line in text.splitlines())
    assert re.search(r"-1 ─+━+●━+─+ \+1\n", text)


def test_bar_and_histogram_stand_over_each_other_in_one_scale() -> None:
    for width in (51, 52):
        lines = shown(a_document(), width=width).splitlines()
        bar = next(line for line in lines if "●" in line)
        bars = lines[lines.index(bar) - 1]
        assert len(bars.rstrip()) <= len(bar.removesuffix(" +1"))
        assert bar.index("●") - bar.index("─") == int(0.81 * (40 if width == 52 else 20))


@pytest.mark.parametrize(
    ("histogram", "bars"),
    [((), ""), ((0, 0), "  "), ((1, 1000), "▁█"), ((5, 0, 10), "▄ █"), ((3,), "█")],
)
def test_a_bin_with_one_review_shows_beside_a_full_one(
    histogram: tuple[int, ...], bars: str
) -> None:
    assert sparkline(histogram) == bars


@given(
    st.floats(-1, 1),
    st.none() | st.tuples(st.floats(-1.5, 1), st.floats(-1, 1.5)),
    st.sampled_from([20, 40]),
)
def test_the_bar_has_one_dot_and_its_own_length(
    average: float, interval: tuple[float, float] | None, cells: int
) -> None:
    bar = sentiment_bar(average, interval, cells)
    assert len(bar) == cells
    assert bar.count("●") == 1


def searched(
    folder: Path, document: Document | None, *options: str, refusal: tuple[int, bytes] | None = None
) -> Result:
    """``marquee search RRR`` against an API that answers the document, or refuses to start."""

    def answers(asked: Asked) -> tuple[int, bytes]:
        if asked.method == "GET":
            return 200, json.dumps(document).encode()
        return refusal or (202, json.dumps({"workflow_id": WORKFLOW_ID}).encode())

    with an_api(answers) as url:
        return run(folder, url, *options)


def run(folder: Path, url: str | None, *options: str) -> Result:
    cloud = Cloud(folder)
    if url:
        cloud.home.folder.mkdir(exist_ok=True)
        record = cloud.home.read().model_copy(update={"api": Api(id="a", url=url, key="key")})
        cloud.home.write(record)
    return CliRunner(mix_stderr=False).invoke(
        search, ["RRR", *options], obj=cloud, env={"COLUMNS": "100"}
    )


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (a_document(), 0),
        (failed(), 1),
        (a_document(result=a_result(movie=None)), 3),
        (a_document(status="PARTIAL"), 4),
    ],
)
def test_the_command_ends_with_the_code_of_the_search(
    tmp_path: Path, document: Document, code: int
) -> None:
    result = searched(tmp_path, document)
    assert result.exit_code == code
    assert "FindMovie" in result.stderr
    assert "FindMovie" not in result.stdout


def test_json_prints_the_status_document_and_nothing_else(tmp_path: Path) -> None:
    document = hostile_document()
    result = searched(tmp_path, document, "--json")
    assert json.loads(result.stdout) == document
    assert result.stdout.isascii()
    assert moving(result.stdout.replace("\x7f", "")) == set()
    assert result.stderr == ""
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        ((400, b'{"detail": "the body is no JSON"}'), 2, "Error: 400: the body is no JSON"),
        ((422, b'{"detail": "year: too early"}'), 2, "Error: 422: year: too early"),
        ((401, b'{"message": "Unauthorized"}'), 1, "Error: 401: Unauthorized. `marquee up`"),
        ((403, b'{"message": "Forbidden"}'), 1, "Error: 403: Forbidden. `marquee up`"),
        ((500, b"oops"), 1, "Error: 500: Internal Server Error"),
        ((502, json.dumps({"detail": HOSTILE}).encode()), 1, "Error: 502: [red]not markup"),
        ((200, b"<html>"), 1, "Error: 200: the answer is no JSON object"),
    ],
)
def test_a_refusal_ends_with_a_message_and_no_stack_trace(
    tmp_path: Path, refusal: tuple[int, bytes], code: int, said: str
) -> None:
    result = searched(tmp_path, None, refusal=refusal)
    assert result.exit_code == code
    assert said in result.stderr
    assert moving(result.stderr) == set()
    assert result.stdout == ""


def test_an_api_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with an_api(lambda _: (200, b"{}")) as url:
        pass
    result = run(tmp_path, url)
    assert result.exit_code == 1
    assert f"{url} does not answer (ConnectError)" in result.stderr


def test_a_search_before_the_first_up_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(search, ["RRR"], obj=Cloud(tmp_path), standalone_mode=False)
    assert "Run `marquee up` first" in str(result.exception)


@pytest.mark.parametrize("options", [["--max-reviews", "0"], ["--max-reviews", "101"], ["--yaer"]])
def test_a_wrong_call_is_a_usage_error(tmp_path: Path, options: list[str]) -> None:
    assert run(tmp_path, None, *options).exit_code == 2


def test_a_terminal_that_is_not_utf_8_shows_what_it_can(tmp_path: Path) -> None:
    runner = CliRunner(charset="ascii", mix_stderr=False)
    with an_api(
        lambda _: (
            200,
            json.dumps(a_document() | {"workflow_id": WORKFLOW_ID}).encode(),
        )
    ) as url:
        cloud = Cloud(tmp_path)
        cloud.home.write(
            cloud.home.read().model_copy(update={"api": Api(id="a", url=url, key="k")})
        )
        result = runner.invoke(search, ["RRR"], obj=cloud)
    assert result.exit_code == 0, result.exception
    assert "B?hubali: The Beginning" in result.stdout
