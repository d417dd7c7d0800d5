"""``marquee posts``, ``settle`` and ``tweets``: what became of each, why, and what is next."""

from collections.abc import Iterable
from itertools import islice

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.tweets.models import LedgerEntry, LedgerState, Status, Tweet
from marquee_cli.client import Client
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.following import read
from marquee_cli.terminal import plain, row, show_heading, show_line

SHOWN = 20

SETTLE = "marquee settle ACCOUNT TWEET --posted POST | --send | --reject, with --reason WHY"

FOR_A_PERSON = frozenset({LedgerState.NEEDS_HUMAN, LedgerState.REJECTED})
"""States that ``settle`` ends."""

COLORS = {
    LedgerState.POSTED: "green",
    LedgerState.REJECTED: "red",
    LedgerState.UNKNOWN: "yellow",
    LedgerState.NEEDS_HUMAN: "yellow",
}

_limit = click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN,
    show_default=True,
    help="How many to show.",
)


class ShownPost(LedgerEntry):
    """An entry of ``GET /posts/{account}``."""

    next_step: str = ""


class ShownTweet(Tweet):
    """An entry of ``GET /tweets``."""

    reason: str = ""
    next_step: str = ""


def show_posts(posts: Iterable[ShownPost], out: Console) -> None:
    """Print the ledger's entries, and what is next for those that are not at their end."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("tweet", "state", "since (UTC)", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("price", justify="right", no_wrap=True)
    shown = list(posts)
    if not shown:
        out.print("No post yet.")
        return
    for post in shown:
        since = f"{post.updated_at:%Y-%m-%d %H:%M}"
        price = f"${post.price_usd:.3f}" if post.post_id else ""
        made = f"post {post.post_id}" if post.post_id else ""
        why = "; ".join(part for part in (made, post.reason) if part)
        cells = row(post.tweet_id, post.state, since, why, price)
        cells[1].stylize(COLORS.get(post.state, "default"))
        table.add_row(*cells)
    out.print(Padding(table, (0, 0, 0, 2)))
    to_do = [post for post in shown if post.next_step]
    if to_do:
        show_heading("What is next", out)
    for post in to_do:
        show_line(Text(plain(f"{post.tweet_id}: {post.next_step}")), out)
    if any(post.state in FOR_A_PERSON for post in shown):
        out.print(Text(f"\nDecide a post: {SETTLE}"), soft_wrap=True)


def show_tweets(tweets: Iterable[ShownTweet], out: Console) -> None:
    """Print tweets with their text, why they stand where they do, and what is next."""
    none = True
    for tweet in tweets:
        none = False
        title = Text(f"\n{plain(tweet.tweet_id)}", style="bold")
        facts = [tweet.status, tweet.type or ""]
        if tweet.history:
            facts.append(f"since {tweet.history[-1].at:%Y-%m-%d %H:%M} UTC")
        said = ", ".join(fact for fact in facts if fact)
        out.print(title.append(plain(f"  {said}"), style="not bold"))
        show_line(Text(plain(f"“{tweet.final_text or tweet.text}”")), out)
        for words in filter(None, (tweet.reason, tweet.next_step)):
            show_line(Text(plain(words), style="dim"), out)
    if none:
        out.print("No such tweet.")


@click.command()
@click.argument("account")
@_limit
@speaks_to_an_api
def posts(client: Client, account: str, limit: int) -> None:
    """Show the ledger of the posting account ACCOUNT: each post, why, and what is next."""
    entries = islice(client.posts(account.removeprefix("@").lower()), limit)
    show_posts((read(ShownPost, entry, "post") for entry in entries), Console(highlight=False))


@click.command()
@click.argument("account")
@click.argument("tweet_id")
@click.option("--posted", "post_id", metavar="POST_ID", help="X has it: as this post.")
@click.option("--send", is_flag=True, help="X does not have it: send it, in the same words.")
@click.option("--reject", is_flag=True, help="It is not to be sent.")
@click.option("--reason", required=True, help="What you found; it is kept with the post.")
@speaks_to_an_api
def settle(
    client: Client,
    account: str,
    tweet_id: str,
    post_id: str | None,
    send: bool,
    reject: bool,
    reason: str,
) -> None:
    """Decide about the post of TWEET_ID by ACCOUNT that NEEDS_HUMAN, that X refused, or that
    is not sent yet and must not be (--reject)."""
    found = {
        LedgerState.POSTED: post_id is not None,
        LedgerState.CLAIMED: send,
        LedgerState.REJECTED: reject,
    }
    states = [state for state, is_so in found.items() if is_so]
    if len(states) != 1:
        raise click.UsageError("one of --posted, --send and --reject")
    state = states[0]
    decision = {"state": state.value, "reason": reason}
    client.decide_post(
        account.removeprefix("@").lower(),
        tweet_id,
        decision | ({"post_id": post_id} if post_id is not None else {}),
    )
    click.echo(plain(f"The post of {tweet_id} is {state}."))


@click.command()
@click.option("--username", help="Whose; the deployment's default account without it.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in Status]),
    help="Where they stand; anywhere without it.",
)
@_limit
@speaks_to_an_api
def tweets(client: Client, username: str | None, status: str | None, limit: int) -> None:
    """List an account's tweets: where each stands, why, and what is next."""
    found = islice(client.tweets(username=username, status=status), limit)
    show_tweets((read(ShownTweet, entry, "tweet") for entry in found), Console(highlight=False))
