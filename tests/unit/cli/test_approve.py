"""``marquee approve``: what is shown, what a person's words become, and what a refusal does."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from marquee.tweets.approval import Approval
from marquee_cli.approve import decide_each, difference, show, words_of
from marquee_cli.client import ApiError, Client
from marquee_cli.main import main
from tests.support.command_line import HOSTILE, Asked, an_api, moving

NOW = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)
APPROVAL_ID = "marquee_demo-2034567890123456789"

type Document = dict[str, Any]


def an_approval(**fields: Any) -> Document:
    """As ``GET /workflow/approvals`` lists it."""
    approval = {
        "approval_id": APPROVAL_ID,
        "account": "marquee_demo",
        "tweet_id": "2034567890123456789",
        "posting_account": "marquee_demo",
        "state": "WAITING",
        "author": "marquee_demo",
        "type": "review",
        "original": "rrr is joy,\nfrom start to finish",
        "proposed": "RRR is joy,\nfrom start to finish. #FilmReview",
        "reason": "the run asks before every post",
        "has_url": False,
        "price_usd": 0.015,
        "workflow_id": "tweet_pipeline-0123456789abcdef-1",
        "requested_at": "2026-03-14T19:00:00Z",
        "expires_at": "2026-03-15T19:00:00Z",
    }
    return {**approval, **fields}


def approval(**fields: Any) -> Approval:
    return Approval.model_validate(an_approval(**fields))


def console(width: int = 100) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=width, highlight=False), written


def shown(width: int = 100, **fields: Any) -> str:
    out, written = console(width)
    show(approval(**fields), out, now=NOW)
    return re.sub(r" +\n", "\n", written.getvalue())


def test_both_texts_stand_side_by_side_with_their_difference_reason_price_and_end() -> None:
    assert shown(width=88).splitlines()[1:] == [
        f"{APPROVAL_ID}  review by @marquee_demo",
        "  asked because the run asks before every post",
        "  $0.015 as @marquee_demo, a run waits until 2026-03-15 19:00 UTC (23 h)",
        "",
        "  original                                   proposed",
        "  " + "─" * 85,
        "  [-rrr-] is joy,                            {+RRR+} is joy,",
        "  from start to finish                       from start to finish{+. #FilmReview+}",
        "",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expires_at": "2026-03-14T20:59:30Z"}, "UTC (59 min)"),
        ({"expires_at": "2026-03-14T20:00:10Z"}, "UTC (1 min)"),
        ({"expires_at": "2026-03-14T20:00:00Z"}, "held until you decide; no run waits for it"),
        ({"state": "HELD"}, "held until you decide; no run waits for it"),
        ({"has_url": True, "price_usd": 0.2}, "$0.200, with a link as @marquee_demo"),
        ({"proposed": None}, "no text that may be posted: edit or reject"),
        ({"type": None}, f"{APPROVAL_ID}  by @marquee_demo"),
    ],
)
def test_what_is_special_about_an_approval_is_said(fields: Document, words: str) -> None:
    assert words in shown(**fields)


def test_the_difference_is_marked_by_style_and_without_a_terminal_by_signs() -> None:
    left, right = difference("a bad film", "a good film!", signs=True)
    assert (left.plain, right.plain) == ("a [-bad-] film", "a {+good+} film{+!+}")
    left, right = difference("a bad film", "a good film!", signs=False)
    assert (left.plain, right.plain) == ("a bad film", "a good film!")
    assert [left.plain[span.start : span.end] for span in left.spans] == ["bad"]
    assert [right.plain[span.start : span.end] for span in right.spans] == ["good", "!"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b-c!!", ["a", "  ", "b", "-", "c", "!", "!"]),
        ("తెలుగు సినిమా.", ["తెలుగు", " ", "సినిమా", "."]),
        ("wow👩\u200d🚀🎬 4K", ["wow", "👩\u200d🚀🎬", " ", "4K"]),
        ("\u0301a", ["\u0301", "a"]),
        ("", []),
    ],
)
def test_the_difference_never_parts_what_is_drawn_as_one(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert "".join(words_of(text)) == text


def test_nothing_that_strangers_wrote_reaches_the_terminal_as_a_command() -> None:
    words = dict.fromkeys(("original", "proposed", "reason", "author"), HOSTILE)
    text = shown(width=1000, **words)
    assert moving(text) == set()
    assert text.count("[red]not markup[/red] [link=https://evil.test]x[/link] :bomb:") == 4
    out = Console(file=io.StringIO(), width=1000, force_terminal=True, color_system="standard")
    show(approval(**words), out, now=NOW)
    assert isinstance(out.file, io.StringIO)
    colored = out.file.getvalue()
    assert moving(re.sub("\x1b\\[[0-9;]*m", "", colored)) == set()
    assert "\x1b]8;" not in colored


class Scripted:
    """A person who says what was written down for them."""

    def __init__(self, choices: Sequence[str], texts: Sequence[str | None] = ()) -> None:
        self._choices: Iterator[str] = iter(choices)
        self._texts = iter(texts)
        self.could_approve: list[bool] = []
        self.was_shown: list[str] = []

    def choose(self, *, may_approve: bool) -> str:
        self.could_approve.append(may_approve)
        return next(self._choices)

    def edit(self, text: str) -> str | None:
        self.was_shown.append(text)
        return next(self._texts)

    def reason(self) -> str:
        return "not now"


REFUSAL = httpx.Response(
    422, json={"detail": "text: the output policy refuses the text: it has a new link"}
)


def taken(state: str) -> httpx.Response:
    return httpx.Response(200, json=an_approval(state=state))


def decided(
    person: Scripted, *answers: httpx.Response, approvals: Sequence[Approval] = ()
) -> tuple[int, list[tuple[str, Document]], str]:
    """How many were decided, what was sent, and what was said."""
    given = iter(answers)
    sent: list[tuple[str, Document]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.path, json.loads(request.content)))
        return next(given)

    out, written = console(width=140)
    with Client("http://api.test", "key", httpx.MockTransport(answer)) as client:
        count = decide_each(approvals or [approval()], client, person, out, by="asha", now=NOW)
    return count, sent, written.getvalue()


PATH = f"/workflow/approvals/{APPROVAL_ID}"


def test_an_approval_is_sent_and_what_it_sets_going_is_said() -> None:
    count, sent, said = decided(Scripted(["approve"]), taken("APPROVED"))
    seen = approval().proposed
    assert (count, sent) == (1, [(PATH, {"decision": "approve", "by": "asha", "seen": seen})])
    assert "Approved: the run that waits posts it once all that it asks is decided" in said


def test_of_a_held_tweet_the_next_run_posts_it() -> None:
    held = [approval(state="HELD")]
    _, _, said = decided(Scripted(["approve"]), taken("APPROVED"), approvals=held)
    assert "Approved: the next run posts it." in said


def test_a_rejection_carries_its_reason() -> None:
    count, sent, said = decided(Scripted(["reject"]), taken("REJECTED"))
    assert sent == [(PATH, {"decision": "reject", "by": "asha", "reason": "not now"})]
    assert "Rejected: it is not posted." in said
    assert count == 1


def test_an_edit_that_the_policy_refuses_is_asked_for_again_with_the_reasons() -> None:
    person = Scripted(["edit", "edit"], ["See https://x.test", "RRR is joy"])
    count, sent, said = decided(person, REFUSAL, taken("APPROVED"))
    assert [body["text"] for _, body in sent] == ["See https://x.test", "RRR is joy"]
    assert person.was_shown[0] == an_approval()["proposed"]
    assert person.was_shown[1] == "See https://x.test"
    assert "the output policy refuses the text: it has a new link" in said
    assert count == 1


def test_an_edit_without_a_change_decides_nothing() -> None:
    count, sent, said = decided(Scripted(["edit", "skip"], [None]))
    assert (count, sent) == (0, [])
    assert "nothing was changed" in said


def test_without_a_text_that_may_be_posted_there_is_nothing_to_approve() -> None:
    person = Scripted(["edit"], ["RRR is a joy"])
    without = [approval(proposed=None)]
    decided(person, taken("APPROVED"), approvals=without)
    assert person.could_approve == [False]
    assert person.was_shown == [an_approval()["original"]]


@pytest.mark.parametrize("status", [404, 409])
def test_one_that_is_decided_meanwhile_is_said_to_be_and_the_next_one_follows(status: int) -> None:
    gone = httpx.Response(status, json={"detail": "it is decided: reject"})
    two = [approval(), approval(tweet_id="7")]
    count, sent, said = decided(
        Scripted(["approve", "approve"]), gone, taken("APPROVED"), approvals=two
    )
    assert [path for path, _ in sent] == [PATH, "/workflow/approvals/marquee_demo-7"]
    assert f"{status}: it is decided: reject" in said
    assert count == 1


def test_skipping_and_quitting_send_nothing() -> None:
    two = [approval(), approval(tweet_id="7"), approval(tweet_id="8")]
    count, sent, said = decided(Scripted(["skip", "quit"]), approvals=two)
    assert (count, sent) == (0, [])
    assert "marquee_demo-7" in said
    assert "marquee_demo-8" not in said


def test_any_other_refusal_ends_it() -> None:
    with pytest.raises(ApiError, match="503"):
        decided(Scripted(["approve"]), httpx.Response(503))


def marquee(url: str, *words: str) -> Result:
    environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key", "COLUMNS": "100"}
    return CliRunner(mix_stderr=False, env=environment).invoke(main, ["approve", *words])


def listing(*approvals: Document) -> tuple[int, bytes]:
    return 200, json.dumps({"approvals": approvals, "next_cursor": None}).encode()


def test_without_a_terminal_it_lists_and_says_how_to_decide() -> None:
    with an_api(lambda _: listing(an_approval(), an_approval(tweet_id="7"))) as url:
        result = marquee(url)
        one = marquee(url, "marquee_demo-7")
        none = marquee(url, "marquee_demo-8")
    assert result.exit_code == 0
    assert APPROVAL_ID in result.stdout
    assert "marquee_demo-7" in result.stdout
    assert "Decide: marquee approve APPROVAL_ID" in result.stdout
    assert APPROVAL_ID not in one.stdout
    assert "marquee_demo-7" in one.stdout
    assert (none.exit_code, none.stderr) == (
        1,
        "Error: marquee_demo-8 does not wait for a decision\n",
    )


def test_nothing_to_decide_is_said() -> None:
    with an_api(lambda _: listing()) as url:
        result = marquee(url)
    assert (result.exit_code, result.stdout) == (0, "Nothing waits for you.\n")


@pytest.mark.parametrize(
    ("options", "state", "body", "said"),
    [
        (["--approve"], "APPROVED", {"decision": "approve", "reason": ""}, "approved"),
        (
            ["--edit", "RRR!", "--reason", "short"],
            "APPROVED",
            {"decision": "edit", "text": "RRR!", "reason": "short"},
            "approved",
        ),
        (["--reject"], "REJECTED", {"decision": "reject", "reason": ""}, "rejected"),
    ],
)
def test_one_is_decided_by_options(
    options: list[str], state: str, body: Document, said: str
) -> None:
    asked: list[Asked] = []

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        return 200, json.dumps(an_approval(state=state)).encode()

    with an_api(answer) as url:
        result = marquee(url, APPROVAL_ID, *options, "--by", "asha")
    assert (result.exit_code, result.stdout) == (0, f"{APPROVAL_ID} is {said}.\n")
    (sent,) = asked
    assert (sent.method, sent.path) == ("POST", PATH)
    assert sent.body == {**body, "by": "asha"}


@pytest.mark.parametrize("status", [404, 409, 422])
def test_a_decision_that_is_refused_is_an_error_with_its_reason(status: int) -> None:
    with an_api(lambda _: (status, json.dumps({"detail": HOSTILE}).encode())) as url:
        result = marquee(url, APPROVAL_ID, "--approve")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {status}: [red]not markup[/red]")
    assert moving(result.stderr) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["--approve"],
        [APPROVAL_ID, "--approve", "--reject"],
        [APPROVAL_ID, "--edit", "x", "--reject"],
        [APPROVAL_ID, "--reason", "because"],
    ],
)
def test_a_wrong_call_is_a_usage_error(words: list[str]) -> None:
    assert marquee("http://127.0.0.1:9", *words).exit_code == 2


def test_in_a_terminal_a_person_edits_in_the_editor_and_decides(tmp_path: Path) -> None:
    """The whole way: a pseudo-terminal, $EDITOR, the prompt, and what is sent."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "RRR is joy\\n" > "$1"\n')
    editor.chmod(0o755)
    asked: list[Asked] = []

    def answer(each: Asked) -> tuple[int, bytes]:
        asked.append(each)
        if each.method == "GET":
            return listing(an_approval())
        return 200, json.dumps(an_approval(state="APPROVED")).encode()

    ours, theirs = pty.openpty()
    with an_api(answer) as url:
        environment = {
            **os.environ,
            "MARQUEE_ENDPOINT": url,
            "MARQUEE_API_KEY": "key",
            "EDITOR": str(editor),
            "TERM": "xterm",
        }
        environment.pop("VISUAL", None)
        with subprocess.Popen(
            [sys.executable, "-m", "marquee_cli.main", "approve", "--by", "asha"],
            env=environment,
            cwd=tmp_path,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            os.write(ours, b"what\nE\n")
            said = _all_of(ours)
    os.close(ours)
    assert process.returncode == 0, said
    assert said.count("[a]pprove [e]dit [r]eject [s]kip [q]uit > ") == 2
    assert "1 of 1 decided." in said
    assert asked[-1].body == {"decision": "edit", "text": "RRR is joy", "by": "asha"}


def _all_of(terminal: int) -> str:
    """What a terminal shows until its last user is gone, which reads as an error on Linux."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
