"""``marquee approve``: what waits for a person, and the person's decisions."""

import getpass
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from typing import Any, Protocol

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.tweets.approval import Approval, ApprovalState, Verb
from marquee_cli.client import ApiError, Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.following import read
from marquee_cli.terminal import plain, show_line

GONE = ("red strike", "[-", "-]")
NEW = ("green bold", "{+", "+}")
"""Style of what differs, and, where a style does not show, wdiff's signs around it."""

REFUSED, DECIDED_OTHERWISE, NOT_FOUND = 422, 409, 404


class Person(Protocol):
    """Who decides."""

    def choose(self, *, may_approve: bool) -> str:
        """``approve``, ``edit``, ``reject``, ``skip`` or ``quit``."""

    def edit(self, text: str) -> str | None:
        """The text as edited, or None where nothing was changed."""

    def reason(self) -> str:
        """Why it is rejected; may be empty."""


class AtTerminal:
    """Whoever sits before the terminal; texts are edited in $EDITOR."""

    def choose(self, *, may_approve: bool) -> str:
        """See Person."""
        words = [*(["approve"] if may_approve else []), "edit", "reject", "skip", "quit"]
        while True:
            asked = " ".join(f"[{word[0]}]{word[1:]}" for word in words)
            said: str = click.prompt(f"  {asked}", prompt_suffix=" > ")
            for word in words:
                if said.strip().casefold() in (word[0], word):
                    return word

    def edit(self, text: str) -> str | None:
        """See Person."""
        edited = click.edit(text, extension=".txt")
        return None if edited is None or edited.strip() == text.strip() else edited.strip()

    def reason(self) -> str:
        """See Person."""
        said: str = click.prompt("  Why? (may be empty)", default="", show_default=False)
        return said.strip()


def show(approval: Approval, out: Console, *, now: datetime) -> None:
    """Print what is asked: the two texts side by side, why, the price, and until when."""
    title = Text(f"\n{plain(approval.approval_id)}", style="bold")
    kind = f"{approval.type} " if approval.type else ""
    out.print(title.append(plain(f"  {kind}by @{approval.author}"), style="not bold"))
    show_line(Text(plain(f"asked because {approval.reason}"), style="yellow"), out)
    price = f"${approval.price_usd:.3f}" + (", with a link" if approval.has_url else "")
    facts = f"{price} as @{approval.posting_account}, {_until(approval, now)}"
    show_line(Text(plain(facts), style="dim"), out)
    original, proposed = difference(
        approval.original, approval.proposed, signs=not out.is_terminal or out.no_color
    )
    table = Table(expand=True, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("original", ratio=1, overflow="fold")
    table.add_column("proposed", ratio=1, overflow="fold")
    table.add_row(original, proposed)
    out.print(Padding(table, (0, 0, 0, 1)))


def difference(original: str, proposed: str | None, *, signs: bool) -> tuple[Text, Text]:
    """Both texts with their difference marked, by style and, if asked for, by signs as well."""
    before = _lines(original)
    if proposed is None:
        return Text(before), Text("no text that may be posted: edit or reject", "yellow")
    after = _lines(proposed)
    old, new = words_of(before), words_of(after)
    left, right = Text(), Text()
    for same, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        _append(left, "".join(old[a:b]), None if same == "equal" else GONE, signs=signs)
        _append(right, "".join(new[c:d]), None if same == "equal" else NEW, signs=signs)
    return left, right


def words_of(text: str) -> list[str]:
    """The text in words, spaces, symbols and single marks of punctuation.

    What is drawn with the character before it, as vowel signs are, stays with it.
    """
    words: list[str] = []
    before = ""
    for character in text:
        kind = _kind(character) or before
        if words and kind == before != "punctuation":
            words[-1] += character
        else:
            words.append(character)
        before = kind
    return words


def _kind(character: str) -> str:
    """Empty for what is drawn with the character before it."""
    if character.isspace():
        return "space"
    category = unicodedata.category(character)[0]
    return {"L": "word", "N": "word", "M": "", "C": "", "S": "symbol"}.get(category, "punctuation")


def _append(to: Text, words: str, mark: tuple[str, str, str] | None, *, signs: bool) -> None:
    if mark is None or not words:
        to.append(words)
        return
    style, begin, end = mark
    to.append(f"{begin}{words}{end}" if signs else words, style)


def _lines(text: str) -> str:
    """The text with its line ends, and nothing else that moves the cursor."""
    return "\n".join(plain(line) for line in text.splitlines())


def _until(approval: Approval, now: datetime) -> str:
    ends = approval.expires_at
    if approval.state is not ApprovalState.WAITING or ends is None or ends <= now:
        return "held until you decide; no run waits for it"
    minutes = max((ends - now) // timedelta(minutes=1), 1)
    left = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    return f"a run waits until {ends:%Y-%m-%d %H:%M} UTC ({left})"


def decide_each(
    approvals: Iterable[Approval],
    client: Client,
    person: Person,
    out: Console,
    *,
    by: str,
    now: datetime,
) -> int:
    """Show one after the other, and send what the person decides; answers how many decisions.

    A text that the output policy refuses is asked for again, with the reasons. Raises ApiError
    where the API fails otherwise.
    """
    decided = 0
    for approval in approvals:
        show(approval, out, now=now)
        text = approval.proposed or approval.original
        while True:
            verb = person.choose(may_approve=approval.proposed is not None)
            if verb == "quit":
                return decided
            if verb == "skip":
                break
            said: dict[str, Any] = {"decision": verb, "by": by}
            if verb == Verb.EDIT:
                edited = person.edit(text)
                if edited is None:
                    show_line(Text("nothing was changed", style="dim"), out)
                    continue
                text = said["text"] = edited
            elif verb == Verb.REJECT:
                said["reason"] = person.reason()
            else:
                said["seen"] = approval.proposed
            try:
                taken = read(
                    Approval, client.decide_approval(approval.approval_id, said), "approval"
                )
            except ApiError as error:
                if error.status not in (REFUSED, DECIDED_OTHERWISE, NOT_FOUND):
                    raise
                show_line(Text(plain(str(error)), style="red"), out)
                if error.status == REFUSED:
                    continue
                break
            show_line(Text(plain(_went(approval, taken, now)), style="green"), out)
            decided += 1
            break
    return decided


def _went(approval: Approval, taken: Approval, now: datetime) -> str:
    """What the decision sets going."""
    if taken.state is ApprovalState.REJECTED:
        return "Rejected: it is not posted."
    waits = approval.state is ApprovalState.WAITING and (
        approval.expires_at is None or approval.expires_at > now
    )
    goes = (
        "the run that waits posts it once all that it asks is decided or too late"
        if waits
        else "the next run posts it"
    )
    return f"Approved: {goes}."


def _by() -> str:
    """The user's name on this machine; empty where the user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _said(
    *, approved: bool, text: str | None, rejected: bool, reason: str, by: str
) -> dict[str, Any] | None:
    """The decision that the options say, or None; raises UsageError where they say several."""
    verbs = [
        verb
        for verb, given in (
            (Verb.APPROVE, approved),
            (Verb.EDIT, text is not None),
            (Verb.REJECT, rejected),
        )
        if given
    ]
    if len(verbs) > 1:
        raise click.UsageError("one of --approve, --edit and --reject")
    if not verbs:
        if reason:
            raise click.UsageError("--reason belongs to a decision")
        return None
    said: dict[str, Any] = {"decision": verbs[0].value, "reason": reason, "by": by}
    return said | ({"text": text} if text is not None else {})


def _chosen(approvals: Sequence[Approval], approval_id: str | None) -> Sequence[Approval]:
    if approval_id is None:
        return approvals
    chosen = [approval for approval in approvals if approval.approval_id == approval_id]
    if not chosen:
        raise click.ClickException(plain(f"{approval_id} does not wait for a decision"))
    return chosen


@click.command()
@click.argument("approval_id", required=False)
@click.option("--approve", "approved", is_flag=True, help="Post what is proposed.")
@click.option("--edit", "text", metavar="TEXT", help="Post this instead, if the policy allows it.")
@click.option("--reject", "rejected", is_flag=True, help="Do not post it.")
@click.option("--reason", default="", help="Why; it is kept with the tweet.")
@click.option("--by", default=_by, help="Who decides; your user name without it.")
@speaks_to_an_api
def approve(
    client: Client,
    approval_id: str | None,
    approved: bool,
    text: str | None,
    rejected: bool,
    reason: str,
    by: str,
) -> None:
    """Decide what waits for a person: all of it, one after the other, or APPROVAL_ID.

    Without a terminal and without a decision it lists what waits.
    """
    said = _said(approved=approved, text=text, rejected=rejected, reason=reason, by=by)
    now = datetime.now(UTC)
    out = Console(highlight=False)
    if said is None:
        waiting = [read(Approval, entry, "approval") for entry in client.approvals()]
        _decide_or_list(_chosen(waiting, approval_id), client, out, by=by, now=now)
        return
    if approval_id is None:
        raise click.UsageError("say which: marquee approve APPROVAL_ID …")
    try:
        taken = read(Approval, client.decide_approval(approval_id, said), "approval")
    except ApiError as error:
        if error.status == REFUSED:
            raise click.ClickException(plain(str(error))) from error
        raise
    words = "rejected" if taken.state is ApprovalState.REJECTED else "approved"
    click.echo(plain(f"{taken.approval_id} is {words}."))


def _decide_or_list(
    approvals: Sequence[Approval], client: Client, out: Console, *, by: str, now: datetime
) -> None:
    if not approvals:
        click.echo("Nothing waits for you.")
    elif sys.stdin.isatty() and out.is_terminal:
        decided = decide_each(approvals, client, AtTerminal(), out, by=by, now=now)
        click.echo(f"{decided} of {len(approvals)} decided.")
    else:
        for approval in approvals:
            show(approval, out, now=now)
        click.echo("\nDecide: marquee approve APPROVAL_ID --approve | --edit TEXT | --reject")
