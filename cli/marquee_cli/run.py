"""``marquee run`` and its kin: start, watch, repeat and cancel runs of the tweet pipeline."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.tweets.approval import Approval, ApprovalState
from marquee.tweets.finish import RunSummary, TweetOutcome
from marquee.tweets.models import LedgerState, TweetType
from marquee.tweets.models import Status as TweetStatus
from marquee.tweets.run import KIND, MAX_COUNT, FromStep, Mode
from marquee.workflows.record import Status, StepError
from marquee_cli.client import ApiError, Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.following import (
    MAY_PASS,
    Clock,
    Execution,
    Pause,
    Progress,
    read,
    statuses,
    workflow_id_of,
)
from marquee_cli.terminal import plain, row, show_heading, show_line

SUCCEEDED, FAILED, NOTHING_TO_DO, PARTIAL, NEEDS_HUMAN = 0, 1, 3, 4, 5
TIMED_OUT = 124
"""As coreutils' timeout has it."""
INTERRUPTED = 130
"""128 and SIGINT, as shells have it."""
CODES = """\b
Exit codes: 0 success, 1 failed, 2 wrong call, 3 nothing to do,
4 something failed on the way, 5 a person must decide, 124 out of time,
130 interrupted. After 5, 124 and 130 the run may still go on.
"""

WAITS_AT_MOST_SECONDS = 3_600
"""A run that waits for no person ends earlier: it gives X half an hour for each post."""

COLORS = {
    TweetStatus.POSTED: "green",
    TweetStatus.REJECTED: "red",
    TweetStatus.UNKNOWN: "yellow",
    TweetStatus.NEEDS_HUMAN: "yellow",
}
AT_THEIR_END = frozenset({TweetStatus.POSTED, TweetStatus.SKIPPED})


class RunStatus(Execution):
    """What is shown of ``GET /workflow/status/{id}``."""

    kind: str = KIND
    stalled: bool | None = False
    """It says RUNNING, and has ended without a word."""
    result: RunSummary | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it may still change."""
        return self.status is Status.RUNNING and not self.stalled


@dataclass(frozen=True)
class Followed:
    """A run as it stood when we stopped looking."""

    document: Mapping[str, Any]
    status: RunStatus
    waits_for: tuple[Approval, ...] = ()
    """Nothing but a person's word on these moves it on."""

    @property
    def exit_code(self) -> int:
        """What a script learns of it.

        A step that failed outweighs a tweet that waits for a person: of the two, it is the one that
        nobody has been told of.
        """
        status, result = self.status.status, self.status.result
        if self.status.goes_on:
            return NEEDS_HUMAN if self.waits_for else TIMED_OUT
        if status in (Status.FAILED, Status.CANCELED) or result is None:
            return FAILED
        if status is Status.PARTIAL:
            return PARTIAL
        if not result.tweets:
            return NOTHING_TO_DO
        return NEEDS_HUMAN if _held(result) else SUCCEEDED


def follow(
    client: Client,
    workflow_id: str,
    progress: Console,
    *,
    seconds: float,
    now: Clock = time.monotonic,
    pause: Pause = time.sleep,
) -> Followed:
    """Tell a run's steps until it has ended, waits for a person only, or the time is up.

    Raises ApiError where the API refuses, or is out of reach for too long.
    """
    document: dict[str, Any] = {"workflow_id": workflow_id, "status": Status.RUNNING}
    status = RunStatus(status=Status.RUNNING)
    steps = Progress(progress)
    with progress.status("starting") as spinner:
        for document in statuses(client, workflow_id, seconds=seconds, now=now, pause=pause):
            status = read_status(document)
            steps.tell(status.steps)
            if not status.goes_on:
                break
            if waits_for := _awaited(client, workflow_id, status):
                return Followed(document, status, waits_for)
            spinner.update(Text(plain(_doing(status))))
    return Followed(document, status)


def read_status(document: Mapping[str, Any]) -> RunStatus:
    """The status document as a model; raises ApiError where it is something else."""
    kind = document.get("kind", KIND)
    if kind != KIND:
        raise ApiError(f"{document.get('workflow_id')} is a {kind}, not a run of the pipeline")
    return read(RunStatus, document)


def _awaited(client: Client, workflow_id: str, status: RunStatus) -> tuple[Approval, ...]:
    """The approvals that a run waits for, once it has asked for them and does nothing else."""
    names = {name.partition("/")[0] for name in status.steps}
    busy = any(step.status is Status.RUNNING for step in status.steps.values())
    if busy or "RequestApproval" not in names or "PublishTweet" in names:
        return ()
    try:
        approvals = [read(Approval, entry, "approval") for entry in client.approvals()]
    except ApiError as error:
        if error.status not in MAY_PASS:
            raise
        return ()  # to be asked again with the next status
    return tuple(
        approval
        for approval in approvals
        if approval.workflow_id == workflow_id and approval.state is ApprovalState.WAITING
    )


def _doing(status: RunStatus) -> str:
    """What goes on now, in a few words."""
    running = [name for name, step in status.steps.items() if step.status is Status.RUNNING]
    if running:
        return ", ".join(running)
    last = max(status.steps.items(), key=lambda item: item[1].started_at, default=None)
    if last is None:
        return "waiting for the first step"
    name, step = last
    if name.startswith(("PublishTweet/", "ReconcilePost/")):
        return _waiting_for_x(name.split("/")[1], step.counts)
    return f"waiting after {name}" if step.status is Status.SUCCEEDED else f"{name} is tried again"


def _waiting_for_x(tweet_id: str, counts: Mapping[str, Any]) -> str:
    """What a post waits for and until when, by what its last step said of it."""
    if counts.get("state") == LedgerState.POSTED:
        return f"the post of {tweet_id} is on X"
    until = _local_time(counts.get("wait_until"))
    if until is None:
        return f"waiting until X takes or shows the post of {tweet_id}"
    if counts.get("state") == LedgerState.CLAIMED:
        return f"waiting until {until} for X to take the post of {tweet_id}"
    return f"waiting until {until} to look for the post of {tweet_id} on X"


def _local_time(moment: object) -> str | None:
    """The time of day where the reader is, of a moment in ISO 8601; None where it is none."""
    try:
        return f"{datetime.fromisoformat(str(moment)).astimezone():%H:%M}"
    except ValueError:
        return None


def show(status: RunStatus, out: Console) -> None:
    """Print the result: what became of each tweet and why, what failed, what a person does next."""
    result = status.result
    if result is None:
        out.print(Text(plain(_end(status)), style="red"))
        return
    out.print()
    whose = f"@{result.account}"
    if result.account != result.posting_account:
        whose += f" for @{result.posting_account}"
    parts = [f"{count} {name}" for name, count in sorted(result.statuses.items())]
    price = [f"${result.posted_usd:.3f}"] if result.posted_usd else []
    summary = ", ".join(parts + price) or "nothing to do"
    title = Text(plain(whose), style="bold").append(f", {result.mode}: ", style="not bold")
    out.print(title.append(plain(summary), style="not bold"))
    if result.tweets:
        _show_tweets(result.tweets, out)
        older = sum(result.statuses.values()) - len(result.tweets)
        if older > 0:
            show_line(Text(f"and {older} older ones", style="dim"), out)
        _show_texts(result, out)
    if result.missing:
        show_heading("Missing", out)
        for lacking in result.missing:
            show_line(Text(plain(lacking), style="yellow"), out)
    if status.error:
        out.print(Text(f"\n{plain(_end(status))}", style="red"))
    for advice in _advice(result):
        out.print(Text(f"\n{plain(advice)}"))


def _end(status: RunStatus) -> str:
    """How a run ended that did not end well."""
    if status.stalled:
        return "The run stalled: it says RUNNING, but Step Functions does not run it any more."
    error = status.error or StepError(name=status.status, message="no reason is recorded")
    how = "was canceled" if status.status is Status.CANCELED else "failed"
    return f"The run {how}. {error.name}: {error.message}"


def _show_tweets(tweets: tuple[TweetOutcome, ...], out: Console) -> None:
    out.print()
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("tweet", "type", "outcome", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("price", justify="right", no_wrap=True)
    for tweet in tweets:
        price = f"${tweet.price_usd:.3f}" if tweet.price_usd else ""
        cells = row(tweet.tweet_id, tweet.type or "", tweet.status, tweet.reason, price)
        cells[2].stylize(COLORS.get(tweet.status, "default"))
        table.add_row(*cells)
    out.print(Padding(table, (0, 0, 0, 2)))


def _show_texts(result: RunSummary, out: Console) -> None:
    """Print what was posted, or would be: the tweets that have got as far as a text."""
    texts = [tweet for tweet in result.tweets if tweet.text]
    if not texts:
        return
    show_heading("Texts", out)
    for tweet in texts:
        post = f" → post {tweet.post_id}" if tweet.post_id else ""
        line = Text(plain(f"“{tweet.text}”"))
        show_line(line.append(plain(f"  {tweet.tweet_id}{post}"), style="dim"), out)


def _held(result: RunSummary) -> int:
    """Tweets that wait for a person; of a dry run there are none, whatever it would have held."""
    return 0 if result.mode is Mode.DRY_RUN else result.statuses.get(TweetStatus.NEEDS_HUMAN, 0)


def _advice(result: RunSummary) -> list[str]:
    """What a person does next, in sentences."""
    if result.mode is Mode.DRY_RUN:
        return ["Nothing was posted: this was a dry run."]
    advice = []
    if _held(result):
        advice.append("NEEDS_HUMAN: `marquee approve` shows the tweets, and takes your decisions.")
    if any(tweet.status not in AT_THEIR_END for tweet in result.tweets):
        tweets = f"marquee tweets --username {result.account}"
        advice.append(f"`{tweets}` shows why each stands where it does, and what is next.")
    return advice


def _report(followed: Followed, workflow_id: str, *, as_json: bool) -> None:
    """Print how it went, or what it waits for where it goes on."""
    if as_json:
        click.echo(json.dumps(followed.document, indent=2))  # ASCII: nothing moves the cursor
    elif not followed.status.goes_on:
        show(followed.status, Console(highlight=False))
    if followed.waits_for:
        ends = min(
            (each.expires_at for each in followed.waits_for if each.expires_at), default=None
        )
        until = f", until {ends:%Y-%m-%d %H:%M} UTC" if ends else ""
        _notice(
            f"The run waits for your word on {_counted(len(followed.waits_for))}{until}: "
            "`marquee approve`. Then it goes on by itself."
        )
        _how_to_go_on(workflow_id)
    elif followed.status.goes_on:
        _notice("Out of time. The run goes on.")
        _how_to_go_on(workflow_id)


def _counted(tweets: int) -> str:
    return "1 tweet" if tweets == 1 else f"{tweets} tweets"


def _how_to_go_on(workflow_id: str) -> None:
    _notice(f"Watch it: marquee watch {workflow_id}")
    _notice(f"Cancel it: marquee cancel {workflow_id}")


def _notice(words: str) -> None:
    """Say something beside the result, whatever is printed."""
    click.echo(plain(words), err=True)


def _go_on(
    client: Client, answer: Mapping[str, Any], *, wait: bool, timeout: int, as_json: bool
) -> None:
    """Follow the execution that an answer names and report it, or only say where it is found."""
    workflow_id = workflow_id_of(answer)
    if answer.get("joined"):
        _notice(f"An equal run goes on already: this is {workflow_id}.")
    if wait:
        _watch(client, workflow_id, timeout=timeout, as_json=as_json)
        return
    url = client.status_url(workflow_id)
    if as_json:
        click.echo(json.dumps({**answer, "status_url": url}, indent=2))
    else:
        click.echo(f"{plain(workflow_id)}\n{plain(url)}")


def _watch(client: Client, workflow_id: str, *, timeout: int, as_json: bool) -> None:
    """Follow and report a run, and end with its exit code; say what goes on where we stop early."""
    progress = Console(stderr=True, quiet=as_json, highlight=False)
    try:
        followed = follow(client, workflow_id, progress, seconds=timeout)
    except KeyboardInterrupt:
        _notice("Interrupted. The run goes on.")
        _how_to_go_on(workflow_id)
        raise SystemExit(INTERRUPTED) from None
    except ApiError:
        _notice("The run itself may go on.")
        _how_to_go_on(workflow_id)
        raise
    _report(followed, workflow_id, as_json=as_json)
    raise SystemExit(followed.exit_code)


_timeout = click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=WAITS_AT_MOST_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Stop waiting after that; the run goes on, and the exit code is 124.",
)
_json = click.option(
    "--json", "as_json", is_flag=True, help="Print the status document, nothing else."
)
_wait = click.option(
    "--wait/--no-wait",
    default=True,
    help="Wait until it has ended or only a person can move it on (the default), or print its id "
    "and address.",
)


@click.command(epilog=CODES)
@click.option("--username", help="Whose tweets; the deployment's default account without it.")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), help="New tweets at most.")
@click.option(
    "--type",
    "tweet_type",
    type=click.Choice([kind.value for kind in TweetType if kind is not TweetType.UNSAFE]),
    help="Tweets of this type only.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="Who decides: the policies (auto), you for every post (approve), or nobody (dry_run).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be posted, and touch nothing.")
@_wait
@_timeout
@_json
@speaks_to_an_api
def run(
    client: Client,
    username: str | None,
    count: int | None,
    tweet_type: str | None,
    mode: str | None,
    dry_run: bool,
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Download, classify and polish an account's tweets, and post what may be posted.

    An equal run that goes on already is joined.
    """
    request = {
        "username": username,
        "count": count,
        "tweet_type": tweet_type,
        "mode": mode,
        "dry_run": dry_run or None,
    }
    asked = {name: value for name, value in request.items() if value is not None}
    try:
        answer = client.execute(asked)
    except KeyboardInterrupt:
        _notice("Interrupted. If the run has started, `marquee run` again joins it.")
        raise SystemExit(INTERRUPTED) from None
    _go_on(client, answer, wait=wait, timeout=timeout, as_json=as_json)


@click.command(epilog=CODES)
@click.argument("workflow_id")
@_timeout
@_json
@speaks_to_an_api
def watch(client: Client, workflow_id: str, timeout: int, as_json: bool) -> None:
    """Follow the run WORKFLOW_ID to its end, or show how it ended."""
    read_status(client.status(workflow_id))
    _watch(client, workflow_id, timeout=timeout, as_json=as_json)


@click.command(epilog=CODES)
@click.argument("workflow_id")
@click.option(
    "--from-step",
    type=click.Choice(["DownloadTweets", *get_args(FromStep.__value__)]),
    help="Begin there, with what earlier runs left; with the first step without it.",
)
@_wait
@_timeout
@_json
@speaks_to_an_api
def rerun(
    client: Client,
    workflow_id: str,
    from_step: str | None,
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Do once more, as a new run, what the ended run WORKFLOW_ID was asked."""
    read_status(client.status(workflow_id))
    answer = client.rerun(workflow_id, from_step=from_step)
    _go_on(client, answer, wait=wait, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("workflow_id")
@speaks_to_an_api
def cancel(client: Client, workflow_id: str) -> None:
    """End the execution WORKFLOW_ID now.

    A post on its way is looked up by the sweep, and one that is claimed is sent by it: `marquee
    settle ACCOUNT TWEET --reject` stops that one.
    """
    client.cancel(workflow_id)
    click.echo(plain(f"Canceled {workflow_id}."))


@click.command()
@click.option(
    "--older-than-days",
    type=click.IntRange(1, 365),
    required=True,
    help="Executions that ended longer ago than that.",
)
@speaks_to_an_api
def cleanup(client: Client, older_than_days: int) -> None:
    """Delete the records of executions that have ended; never tweets, posts or their ledger."""
    deleted, more = 0, True
    while more:
        answer = client.cleanup(older_than_days=older_than_days)
        found = answer.get("deleted")
        if not isinstance(found, int):
            raise ApiError("the answer does not say how many were deleted")
        deleted += found
        more = bool(answer.get("more")) and found > 0
    click.echo(f"Deleted {deleted}.")
