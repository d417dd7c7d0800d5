"""``marquee run`` and its kin: progress, table, exit codes, and what is said when it goes on."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from marquee_cli.client import ApiError, Client
from marquee_cli.main import main
from marquee_cli.run import RunStatus, follow, read_status, show
from tests.support.command_line import HOSTILE, Asked, an_api, moving

RUN_ID = "tweet_pipeline-0123456789abcdef-1"
STARTED_AT = "2026-03-14T20:00:00Z"

type Document = dict[str, Any]
type Answers = Callable[[Asked], tuple[int, bytes]]


def a_step(name: str = "DownloadTweets", **fields: Any) -> Document:
    step = {"status": "SUCCEEDED", "started_at": STARTED_AT, "duration_ms": 700, "attempts": 1}
    return {name: {**step, **fields}}


def an_outcome(**fields: Any) -> Document:
    outcome = {
        "tweet_id": "2034567890123456789",
        "status": "POSTED",
        "type": "review",
        "text": "RRR is a joy. #FilmReview",
        "post_id": "2034567890123459999",
        "price_usd": 0.015,
    }
    return {**outcome, **fields}


def a_summary(*tweets: Document, **fields: Any) -> Document:
    statuses: dict[str, int] = {}
    for tweet in tweets:
        statuses[tweet["status"]] = statuses.get(tweet["status"], 0) + 1
    summary = {
        "account": "marquee_demo",
        "posting_account": "marquee_demo",
        "mode": "auto",
        "tweets": list(tweets),
        "statuses": statuses,
        "posted_usd": round(sum(tweet.get("price_usd", 0) for tweet in tweets), 6),
    }
    return {**summary, **fields}


def a_document(*tweets: Document, **fields: Any) -> Document:
    """What ``GET /workflow/status/{id}`` answers of a run that has ended."""
    document = {
        "workflow_id": RUN_ID,
        "kind": "tweet_pipeline",
        "status": "SUCCEEDED",
        "started_at": STARTED_AT,
        "steps": a_step(),
        "result": a_summary(*tweets),
        "error": None,
    }
    return {**document, **fields}


def running(*steps: Document) -> Document:
    merged = {name: step for each in steps for name, step in each.items()}
    return a_document(status="RUNNING", result=None, steps=merged)


def failed() -> Document:
    error = {"name": "Misconfigured", "message": "POSTING_ACCOUNT is not set"}
    return a_document(status="FAILED", result=None, error=error)


def an_approval(**fields: Any) -> Document:
    approval = {
        "approval_id": "marquee_demo-2034567890123456789",
        "account": "marquee_demo",
        "tweet_id": "2034567890123456789",
        "posting_account": "marquee_demo",
        "state": "WAITING",
        "author": "marquee_demo",
        "original": "RRR is a joy",
        "proposed": "RRR is a joy.",
        "reason": "the run asks before every post",
        "workflow_id": RUN_ID,
        "requested_at": STARTED_AT,
        "expires_at": "2026-03-15T20:00:00Z",
    }
    return {**approval, **fields}


def shown(document: Document, width: int = 100) -> str:
    out = Console(file=io.StringIO(), width=width, highlight=False)
    show(read_status(document), out)
    assert isinstance(out.file, io.StringIO)
    return re.sub(r" +\n", "\n", out.file.getvalue())


def followed(
    documents: Sequence[Document], approvals: Sequence[Document] = (), seconds: float = 60
) -> tuple[int, str]:
    """The exit code of a run that goes through the documents, and what was told meanwhile."""
    given = iter(documents)
    passed = iter(range(10_000))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/workflow/approvals":
            return httpx.Response(200, json={"approvals": list(approvals), "next_cursor": None})
        return httpx.Response(200, json=next(given, documents[-1]))

    progress = Console(file=io.StringIO(), width=100, highlight=False)
    with Client(
        "http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None
    ) as client:
        seen = follow(
            client,
            RUN_ID,
            progress,
            seconds=seconds,
            now=lambda: float(next(passed)),
            pause=lambda _: None,
        )
    assert isinstance(progress.file, io.StringIO)
    return seen.exit_code, progress.file.getvalue()


HELD = an_outcome(status="NEEDS_HUMAN", post_id=None, price_usd=0, reason="holds a link")
SKIPPED = an_outcome(status="SKIPPED", post_id=None, price_usd=0, reason="the same was posted")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (a_document(an_outcome()), 0),
        (a_document(an_outcome(), SKIPPED), 0),
        (failed(), 1),
        (a_document(status="CANCELED", result=None), 1),
        (a_document(an_outcome(), status="FAILED"), 1),
        (a_document(result=None), 1),
        (a_document(), 3),
        (a_document(an_outcome(), status="PARTIAL"), 4),
        (a_document(HELD, status="PARTIAL"), 4),
        (a_document(status="PARTIAL"), 4),
        (a_document(an_outcome(), HELD), 5),
        (a_document(result=a_summary(HELD, mode="dry_run")), 0),
        (a_document(result=a_summary(mode="dry_run")), 3),
        (running(a_step()), 124),
        ({**running(a_step()), "stalled": True}, 1),
    ],
)
def test_the_exit_code_says_how_it_went(document: Document, code: int) -> None:
    assert followed([running(), document])[0] == code


def test_steps_and_retries_are_told_once_in_their_order() -> None:
    error = {"name": "UpstreamTimeout", "message": "no answer within 10 s"}
    classify = a_step("ClassifyTweets", started_at="2026-03-14T20:00:02Z", duration_ms=50)
    code, told = followed(
        [
            running(),
            running(a_step(status="FAILED", error=error)),
            running(a_step(status="RUNNING", attempts=2, duration_ms=None)),
            running(classify, a_step(attempts=2)),
            a_document(an_outcome(), steps=a_step(attempts=2) | classify),
        ]
    )
    assert code == 0
    assert told.splitlines() == [
        "  ✗ DownloadTweets  0.7 s  UpstreamTimeout: no answer within 10 s",
        "  … DownloadTweets  attempt 2",
        "  ✓ DownloadTweets  0.7 s  attempt 2",
        "  ✓ ClassifyTweets  0.1 s",
    ]


ASKED = a_step("RequestApproval/2034567890123456789")


@pytest.mark.parametrize(
    ("steps", "approvals", "code"),
    [
        ([ASKED], [an_approval()], 5),
        ([ASKED], [], 124),
        ([ASKED], [an_approval(workflow_id="tweet_pipeline-of-another-1")], 124),
        ([ASKED], [an_approval(state="HELD")], 124),
        ([ASKED, a_step("RequestApproval/3", status="RUNNING")], [an_approval()], 124),
        ([ASKED, a_step("PublishTweet/3")], [an_approval()], 124),
        ([a_step()], [an_approval()], 124),
    ],
)
def test_a_run_that_only_a_person_can_move_on_is_not_waited_for(
    steps: list[Document], approvals: list[Document], code: int
) -> None:
    assert followed([running(*steps)], approvals, seconds=20)[0] == code


def test_approvals_that_cannot_be_listed_for_a_moment_are_asked_for_again() -> None:
    listings = iter([httpx.Response(503), httpx.Response(200, json={"approvals": [an_approval()]})])

    def answer(request: httpx.Request) -> httpx.Response:
        listed = request.url.path == "/workflow/approvals"
        return next(listings) if listed else httpx.Response(200, json=running(ASKED))

    with Client(
        "http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None
    ) as client:
        quiet = Console(quiet=True)
        assert follow(client, RUN_ID, quiet, seconds=9, pause=lambda _: None).exit_code == 5


def spun(document: Document) -> str:
    """What a terminal shows while the run stands at the document."""
    progress = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=document)

    def look(_: float) -> None:
        progress.print()  # draws the spinner anew

    passed = iter(range(5))
    with Client(
        "http://api.test", "key", httpx.MockTransport(answer), pause=lambda _: None
    ) as client:
        follow(client, RUN_ID, progress, seconds=3, now=lambda: float(next(passed)), pause=look)
    assert isinstance(progress.file, io.StringIO)
    return progress.file.getvalue()


def standing(step: str, state: str, wait_until: str | None = None) -> Document:
    """A step whose record says where its post stands."""
    return a_step(step, counts={"state": state, "wait_until": wait_until, "cost_usd": 0.015})


@pytest.fixture
def _in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Five and a half hours ahead of UTC, all year."""
    with monkeypatch.context() as place:
        place.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_kolkata")
@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "waiting for the first step"),
        ([a_step(status="RUNNING", duration_ms=None)], "DownloadTweets"),
        ([a_step()], "waiting after DownloadTweets"),
        ([a_step(status="FAILED")], "DownloadTweets is tried again"),
        ([a_step("PublishTweet/77")], "waiting until X takes or shows the post of 77"),
        ([a_step("ReconcilePost/77")], "waiting until X takes or shows the post of 77"),
        ([a_step("ReconcilePost/77/2")], "waiting until X takes or shows the post of 77"),
        (
            [standing("PublishTweet/77", "CLAIMED", "2026-03-14T09:02:30+00:00")],
            "waiting until 14:32 for X to take the post of 77",
        ),
        (
            [standing("ReconcilePost/77/2", "UNKNOWN", "2026-03-14T20:02:30+00:00")],
            "waiting until 01:32 to look for the post of 77 on X",
        ),
        ([standing("ReconcilePost/77", "POSTED")], "the post of 77 is on X"),
        (
            [standing("PublishTweet/77", "UNKNOWN", HOSTILE)],
            "waiting until X takes or shows the post of 77",
        ),
        ([a_step(f"Step/{HOSTILE}", status="RUNNING")], "[red]not markup[/red]"),
    ],
)
def test_a_terminal_shows_what_goes_on_now(steps: list[Document], words: str) -> None:
    seen = spun(running(*steps))
    assert words in seen
    assert "\x1b]0;" not in seen


def test_the_result_shows_what_became_of_each_tweet_and_why_and_what_it_cost() -> None:
    rejected = an_outcome(
        tweet_id="2034567890123456790",
        status="REJECTED",
        type="news",
        reason="402: no credits",
        post_id=None,
        price_usd=0,
    )
    skipped = {**SKIPPED, "tweet_id": "2034567890123456791", "type": None, "text": None}
    summary = a_summary(an_outcome(), rejected, skipped, missing=["PolishTweets: RateLimited: 429"])
    assert shown(a_document(status="PARTIAL", result=summary)).splitlines() == [
        "",
        "@marquee_demo, auto: 1 POSTED, 1 REJECTED, 1 SKIPPED, $0.015",
        "",
        "  tweet                type    outcome   reason                price",
        "  2034567890123456789  review  POSTED                         $0.015",
        "  2034567890123456790  news    REJECTED  402: no credits",
        "  2034567890123456791          SKIPPED   the same was posted",
        "",
        "Texts",
        "  “RRR is a joy. #FilmReview”  2034567890123456789 → post 2034567890123459999",
        "  “RRR is a joy. #FilmReview”  2034567890123456790",
        "",
        "Missing",
        "  PolishTweets: RateLimited: 429",
        "",
        "`marquee tweets --username marquee_demo` shows why each stands where it does, and what is "
        "next.",
    ]


def test_of_very_many_tweets_it_says_how_many_are_not_shown() -> None:
    summary = a_summary(an_outcome(), statuses={"POSTED": 1, "SKIPPED": 219})
    assert "  and 219 older ones" in shown(a_document(result=summary)).splitlines()
    assert "older" not in shown(a_document(an_outcome()))


def test_a_dry_run_shows_what_would_be_posted_and_says_that_nothing_was() -> None:
    tweet = an_outcome(status="POLISHED", reason="would be posted", post_id=None, price_usd=0)
    text = shown(a_document(result=a_summary(tweet, mode="dry_run", account="other")))
    assert "\n@other for @marquee_demo, dry_run: 1 POLISHED\n" in text
    assert "\nTexts\n  “RRR is a joy. #FilmReview”  2034567890123456789\n" in text
    assert text.endswith("\nNothing was posted: this was a dry run.\n")


def test_a_tweet_that_waits_for_a_person_says_how_to_decide() -> None:
    assert "`marquee approve` shows the tweets" in shown(a_document(HELD))
    assert "marquee approve" not in shown(a_document(an_outcome()))


def test_nothing_to_do_is_said() -> None:
    assert shown(a_document()) == "\n@marquee_demo, auto: nothing to do\n"


def test_a_failed_run_shows_its_error_beside_what_it_did() -> None:
    assert shown(failed()) == "The run failed. Misconfigured: POSTING_ACCOUNT is not set\n"
    assert shown(a_document(status="CANCELED", result=None)) == (
        "The run was canceled. CANCELED: no reason is recorded\n"
    )
    stalled = {**running(a_step()), "stalled": True}
    assert shown(stalled) == (
        "The run stalled: it says RUNNING, but Step Functions does not run it any more.\n"
    )
    both = shown({**failed(), "result": a_summary(an_outcome())})
    assert "1 POSTED" in both
    assert "\nThe run failed. Misconfigured: POSTING_ACCOUNT is not set\n" in both


def hostile() -> Document:
    tweet = an_outcome(tweet_id=HOSTILE, reason=HOSTILE, text=HOSTILE, post_id=HOSTILE)
    error = {"name": HOSTILE, "message": HOSTILE}
    fields = {"account": HOSTILE, "posting_account": HOSTILE, "missing": [HOSTILE]}
    return a_document(
        status="PARTIAL",
        steps=a_step(HOSTILE, error=error),
        result=a_summary(tweet, **fields),
        error=error,
    )


def test_nothing_that_strangers_wrote_reaches_the_terminal_as_a_command() -> None:
    text = shown(hostile(), width=400)
    assert moving(text) == set()
    assert "[red]not markup[/red] [link=https://evil.test]x[/link] :bomb:" in text
    _, told = followed([hostile()])
    assert moving(told) == set()
    assert "[red]not markup[/red]" in told


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_a_narrow_terminal_loses_no_word(width: int) -> None:
    text = shown(a_document(an_outcome(), HELD), width=width)
    joined = re.sub(r"\s+", "", text)
    for words in ("POSTED", "NEEDS_HUMAN", "$0.015", "#FilmReview"):
        assert words in joined
    assert all(len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize(
    "document",
    [
        {"status": "DANCING"},
        a_document(result={"account": "me"}),
        a_document(kind="movie_search"),
    ],
)
def test_a_status_that_is_something_else_is_an_error(document: Document) -> None:
    with pytest.raises(ApiError):
        read_status(document)


def test_fields_of_a_later_version_are_no_error() -> None:
    status = read_status(a_document(an_outcome(later=1), later=[2]))
    assert isinstance(status, RunStatus)


def api_of(
    *documents: Document,
    joined: bool = False,
    asked: list[Asked] | None = None,
    approvals: Sequence[Document] = (),
) -> Answers:
    """An API whose runs go through the documents and stay at the last one."""
    given = iter(documents)

    def answers(each: Asked) -> tuple[int, bytes]:
        if asked is not None:
            asked.append(each)
        if each.path == "/workflow/approvals":
            return 200, json.dumps({"approvals": list(approvals), "next_cursor": None}).encode()
        if each.method == "POST":
            started = {
                "workflow_id": RUN_ID,
                "status": "RUNNING",
                "joined": joined,
                "status_url": f"../workflow/status/{RUN_ID}",
            }
            return 202, json.dumps(started).encode()
        return 200, json.dumps(next(given, documents[-1])).encode()

    return answers


def marquee(url: str, *words: str) -> Result:
    environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key", "COLUMNS": "100"}
    return CliRunner(mix_stderr=False, env=environment).invoke(main, words)


def test_what_is_asked_for_is_sent_and_nothing_else() -> None:
    asked: list[Asked] = []
    with an_api(api_of(a_document(an_outcome()), asked=asked)) as url:
        whole = ["--username", "@Me", "--count", "5", "--type", "review", "--mode", "approve"]
        assert marquee(url, "run", *whole, "--dry-run").exit_code == 0
        assert marquee(url, "run").exit_code == 0
    first, second = (each for each in asked if each.method == "POST")
    assert first.path == "/workflow/execute"
    assert first.body == {
        "username": "@Me",
        "count": 5,
        "tweet_type": "review",
        "mode": "approve",
        "dry_run": True,
    }
    assert second.body == {}


def test_progress_goes_to_stderr_and_the_table_to_stdout() -> None:
    with an_api(api_of(running(a_step()), a_document(an_outcome()))) as url:
        result = marquee(url, "run")
    assert result.exit_code == 0
    assert "✓ DownloadTweets" in result.stderr
    assert "DownloadTweets" not in result.stdout
    assert "2034567890123456789  review  POSTED" in result.stdout


@pytest.mark.parametrize(("document", "code"), [(a_document(), 3), (hostile(), 4), (failed(), 1)])
def test_json_prints_the_status_document_and_nothing_else(document: Document, code: int) -> None:
    with an_api(api_of(document)) as url:
        result = marquee(url, "run", "--json")
    assert json.loads(result.stdout) == document
    assert moving(result.stdout.replace("\x7f", "")) == set()
    assert result.stderr == ""
    assert result.exit_code == code


def test_a_joined_run_is_said_to_be_one() -> None:
    with an_api(api_of(a_document(an_outcome()), joined=True)) as url:
        result = marquee(url, "run", "--json")
    assert result.stderr == f"An equal run goes on already: this is {RUN_ID}.\n"
    assert json.loads(result.stdout)["workflow_id"] == RUN_ID


def test_without_waiting_the_id_and_the_address_are_printed() -> None:
    with an_api(api_of()) as url:
        plainly = marquee(url, "run", "--no-wait")
        as_json = marquee(url, "run", "--no-wait", "--json")
    status_url = f"{url}/workflow/status/{RUN_ID}"
    assert plainly.stdout == f"{RUN_ID}\n{status_url}\n"
    assert json.loads(as_json.stdout) == {
        "workflow_id": RUN_ID,
        "status": "RUNNING",
        "joined": False,
        "status_url": status_url,
    }
    assert (plainly.exit_code, as_json.exit_code) == (0, 0)


def test_out_of_time_the_run_goes_on_and_how_to_look_at_it_is_said() -> None:
    document = running(a_step())
    with an_api(api_of(document)) as url:
        result = marquee(url, "run", "--timeout", "1", "--json")
    assert result.exit_code == 124
    assert json.loads(result.stdout) == document
    assert result.stderr.splitlines() == [
        "Out of time. The run goes on.",
        f"Watch it: marquee watch {RUN_ID}",
        f"Cancel it: marquee cancel {RUN_ID}",
    ]


def test_a_run_that_waits_for_a_person_says_for_what_and_until_when() -> None:
    with an_api(api_of(running(ASKED), approvals=[an_approval()])) as url:
        result = marquee(url, "run")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert (
        "The run waits for your word on 1 tweet, until 2026-03-15 20:00 UTC: `marquee approve`."
        in result.stderr
    )
    assert f"marquee cancel {RUN_ID}" in result.stderr


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        ((400, b'{"detail": "the body is no JSON"}'), 2, "Error: 400: the body is no JSON"),
        ((422, b'{"detail": "username: too long"}'), 2, "Error: 422: username: too long"),
        ((403, b'{"message": "Forbidden"}'), 1, "Error: 403: Forbidden."),
        ((500, b"oops"), 1, "Error: 500: Internal Server Error"),
        ((502, json.dumps({"detail": HOSTILE}).encode()), 1, "Error: 502: [red]not markup"),
        ((202, b"{}"), 1, "Error: the answer names no workflow_id"),
        ((200, b"<html>"), 1, "Error: 200: the answer is no JSON object"),
    ],
)
def test_a_refusal_ends_with_a_message_and_no_stack_trace(
    refusal: tuple[int, bytes], code: int, said: str
) -> None:
    with an_api(lambda _: refusal) as url:
        result = marquee(url, "run")
    assert result.exit_code == code
    assert said in result.stderr
    assert moving(result.stderr) == set()
    assert result.stdout == ""


def test_an_api_that_is_gone_is_an_error() -> None:
    with an_api(lambda _: (200, b"{}")) as url:
        pass
    result = marquee(url, "run")
    assert result.exit_code == 1
    assert f"{url} does not answer (ConnectError). Is the cloud up?" in result.stderr


def test_a_refusal_on_the_way_says_that_the_run_may_go_on() -> None:
    def answers(each: Asked) -> tuple[int, bytes]:
        return api_of()(each) if each.method == "POST" else (403, b'{"message": "Forbidden"}')

    with an_api(answers) as url:
        result = marquee(url, "run")
    assert result.exit_code == 1
    assert "The run itself may go on." in result.stderr
    assert f"marquee watch {RUN_ID}" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--count", "0"],
        ["--count", "101"],
        ["--type", "unsafe"],
        ["--mode", "yolo"],
        ["--timeout", "0"],
        ["--nothing"],
        ["word"],
    ],
)
def test_a_wrong_call_is_a_usage_error(options: list[str]) -> None:
    assert marquee("http://127.0.0.1:9", "run", *options).exit_code == 2


def test_interrupted_it_says_that_the_run_goes_on(tmp_path: Path) -> None:
    asked: list[Asked] = []
    with an_api(api_of(running(a_step()), asked=asked)) as url:
        environment = {**os.environ, "MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key"}
        command = [sys.executable, "-m", "marquee_cli.main", "run"]
        with subprocess.Popen(  # noqa: S603  # our own command
            command,
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background may have had it ignored from here on.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stderr is not None
            told = process.stderr.readline()  # it follows the run
            process.send_signal(signal.SIGINT)
            try:
                _, rest = process.communicate(timeout=30)
            finally:
                process.kill()
    assert "✓ DownloadTweets" in told
    assert process.returncode == 130
    assert rest.splitlines()[-3:] == [
        "Interrupted. The run goes on.",
        f"Watch it: marquee watch {RUN_ID}",
        f"Cancel it: marquee cancel {RUN_ID}",
    ]


def test_a_run_is_watched_by_its_id() -> None:
    asked: list[Asked] = []
    with an_api(api_of(a_document(an_outcome(), HELD), asked=asked)) as url:
        result = marquee(url, "watch", RUN_ID)
    assert result.exit_code == 5
    assert "NEEDS_HUMAN" in result.stdout
    assert {(each.method, each.path) for each in asked} == {("GET", f"/workflow/status/{RUN_ID}")}


@pytest.mark.parametrize("command", ["watch", "rerun"])
def test_a_search_is_no_run(command: str) -> None:
    asked: list[Asked] = []
    with an_api(api_of(a_document(kind="movie_search"), asked=asked)) as url:
        result = marquee(url, command, RUN_ID)
    assert result.exit_code == 1
    assert f"{RUN_ID} is a movie_search, not a run of the pipeline" in result.stderr
    assert [each.method for each in asked] == ["GET"]


@pytest.mark.parametrize(
    ("options", "body"),
    [([], {}), (["--from-step", "PolishTweets"], {"from_step": "PolishTweets"})],
)
def test_a_run_is_repeated_whole_or_from_a_step(options: list[str], body: Document) -> None:
    asked: list[Asked] = []
    with an_api(api_of(a_document(an_outcome()), asked=asked)) as url:
        result = marquee(url, "rerun", RUN_ID, *options)
    assert result.exit_code == 0
    (posted,) = (each for each in asked if each.method == "POST")
    assert (posted.path, posted.body) == (f"/workflow/{RUN_ID}/rerun", body)


def test_a_run_is_canceled_and_one_that_has_ended_is_not() -> None:
    with an_api(lambda _: (200, b"{}")) as url:
        result = marquee(url, "cancel", RUN_ID)
    assert (result.exit_code, result.stdout) == (0, f"Canceled {RUN_ID}.\n")
    with an_api(lambda _: (409, b'{"detail": "it has ended"}')) as url:
        result = marquee(url, "cancel", RUN_ID)
    assert (result.exit_code, result.stderr) == (1, "Error: 409: it has ended\n")


def test_cleanup_goes_on_until_nothing_is_left() -> None:
    answers = iter([{"deleted": 100, "more": True}, {"deleted": 7, "more": False}])
    asked: list[Asked] = []

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        return 200, json.dumps(next(answers)).encode()

    with an_api(answer) as url:
        result = marquee(url, "cleanup", "--older-than-days", "30")
    assert (result.exit_code, result.stdout) == (0, "Deleted 107.\n")
    assert [(each.method, each.path, each.query) for each in asked] == [
        ("DELETE", "/workflow/cleanup", {"older_than_days": "30"})
    ] * 2
