"""``marquee doctor``: what is not as it should be, and the one command that answers each."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from marquee.gateway.prices import X_POST_READ_USD
from marquee.gateway.spend import TOTAL, WARNING_PERCENT
from marquee.tweets.models import LedgerState
from marquee_cli.client import Client
from marquee_cli.cloud.cloud import STAGE as LAPTOP
from marquee_cli.cloud.upstreams import CAPS, variable_of
from marquee_cli.connection import speaks_to_an_api
from marquee_cli.terminal import plain

if TYPE_CHECKING:
    from marquee.api.answers import GatewayNow, Health, InstallationStats

EXIT_WELL = 0
EXIT_TO_DO = 1

NEEDED = frozenset({"tmdb"})
"""Sources without which no film is found; the others may be left out."""

LOOKED_AT = 1000
"""Posts of the ledger, newest first."""

KINDS = {
    "movie_search": ("movie search", "movie searches"),
    "tweet_pipeline": ("run of the tweet pipeline", "runs of the tweet pipeline"),
    "review_backfill": ("backfill", "backfills"),
}
"""One of them, and several."""

REFUSED = {
    "CredentialsRefused": "refuses our key",
    "CreditsDepleted": "says that the credits are used up",
}
"""Errors that stay until a person acts."""

CHEAPEST_SEARCH_USD = 10 * X_POST_READ_USD
"""X gives ten posts at least: with less left than that, paid calls are refused."""

LOOK = "marquee stats --window 1h"


@dataclass(frozen=True)
class Finding:
    """Something that a person may want to change, or, if ``to_do``, has to."""

    what: str
    command: str
    to_do: bool = True


@dataclass(frozen=True)
class Examined:
    """All that a diagnosis is made from."""

    health: "Health"
    stats: "InstallationStats"
    approvals: int
    needing_human: tuple[str, ...]
    """The source tweets of posts that wait for a person."""
    failed: Mapping[str, str]
    """The last execution that failed within the window, by kind."""


def findings(examined: Examined) -> Iterator[Finding]:
    """What is found, the worst first."""
    on_laptop = examined.health.stage == LAPTOP
    yield from _parts(examined.health, on_laptop)
    yield from _keys(examined.health, on_laptop)
    yield from _refusals(examined.stats)
    if examined.stats.gateway:
        yield from _money(examined.stats.gateway, on_laptop)
        yield from _upstreams(examined.stats.gateway)
    yield from _queues(examined.stats, on_laptop)
    if (queue := examined.stats.backfill) and queue.given_up:
        lost = f"{queue.given_up}{'+' if queue.more_given_up else ''}"
        what = f"{lost} films could not be collected later, and left the queue"
        yield Finding(what, "marquee queue --state GIVEN_UP", to_do=False)
    yield from _people(examined)
    for trigger in examined.stats.triggers.switched_off if examined.stats.triggers else ():
        on = f'curl -X POST -H "x-api-key: $KEY" "$API/triggers/{trigger}/enable"'
        yield Finding(f"trigger {trigger} is switched off", on, to_do=False)
    for kind, workflow_id in examined.failed.items():
        number = examined.stats.workflows[kind].by_status["FAILED"]
        what = f"{number} {KINDS.get(kind, (kind, kind))[number > 1]} failed; the last one:"
        where = "" if on_laptop else " --stack NAME"
        yield Finding(what, f"marquee logs {workflow_id}{where}")


def _parts(health: "Health", on_laptop: bool) -> Iterator[Finding]:
    for part in health.parts:
        if not part.reachable:
            what = f"{part.part} does not answer ({part.reason})"
            yield Finding(what, "marquee up" if on_laptop else "sam deploy")


def _keys(health: "Health", on_laptop: bool) -> Iterator[Finding]:
    for source in health.sources:
        for lack in source.lacks:
            to_do = source.source in NEEDED
            yield Finding(
                f"{source.source} is left out without {lack}", _set(lack, on_laptop), to_do
            )
    posting = health.posting
    if not posting.account:
        yield Finding(
            "no account posts: the tweet pipeline is off",
            _set("POSTING_ACCOUNT", on_laptop),
            to_do=False,
        )
        return
    for lack in posting.lacks:
        yield Finding(f"@{posting.account} cannot post without {lack}", _set(lack, on_laptop))
    if posting.language_model is False:
        key = f"/marquee/{health.stage}/tweets/openai/api_key"
        what = "without the language model's key every text is held"
        yield Finding(what, _set(key, on_laptop), to_do=False)
    if not posting.schedules_enabled:
        command = _set("SCHEDULES_ENABLED", on_laptop, "true")
        yield Finding("the schedules are off", command, to_do=False)


def _refusals(stats: "InstallationStats") -> Iterator[Finding]:
    for provider, totals in stats.coordinator_stats.api_calls.by_provider.items():
        for error, words in REFUSED.items():
            # Whether it is closed for that, or was reopened since, the gateway itself knows.
            if error == "CreditsDepleted" and stats.gateway:
                continue
            if number := totals.errors.get(error):
                yield Finding(f"{provider} {words} ({number} times): renew it, then look", LOOK)


def _money(gateway: "GatewayNow", on_laptop: bool) -> Iterator[Finding]:
    for closed in gateway.closed:
        what = f"{closed.provider} is paid nothing more ({closed.reason}): mend that, then"
        yield Finding(what, f"marquee reopen {closed.provider}")
    if not gateway.budgets:
        stand_ins = " (those of stand-ins cost nothing)" if on_laptop else ""
        caps = f'"{" ".join(CAPS)}"'
        yield Finding(
            f"no cap bounds what calls cost{stand_ins}",
            _set("SPEND_CAPS", on_laptop, caps),
            to_do=False,
        )
    used_up = [one for one in gateway.budgets if one.left_usd < CHEAPEST_SEARCH_USD]
    doubled = " ".join(
        f"{'' if one.scope == TOTAL else f'{one.scope}.'}{one.period}="
        f"{(one.cap_usd or 1) * (2 if one in used_up else 1):g}"
        for one in gateway.budgets
    )
    for one in gateway.budgets:
        spent = f"${one.cap_usd - one.left_usd:.2f} of ${one.cap_usd:.2f} a {one.period}"
        whose = "in total" if one.scope == TOTAL else f"for {one.scope}"
        what = f"{spent} are spent {whose}"
        if one in used_up:
            refused = f"{what}: paid calls are refused until {one.opens_at:%Y-%m-%d %H:%M} UTC"
            yield Finding(refused, _set("SPEND_CAPS", on_laptop, f'"{doubled}"'))
        elif one.share * 100 >= WARNING_PERCENT:
            yield Finding(what, LOOK, to_do=False)


def _upstreams(gateway: "GatewayNow") -> Iterator[Finding]:
    """Those that are left alone, which passes by itself."""
    for breaker in gateway.breakers:
        if breaker.retry_at:
            what = f"{breaker.provider} {breaker.endpoint} fails and is left alone; it is asked"
            yield Finding(f"{what} again at {breaker.retry_at:%H:%M:%S} UTC", LOOK, to_do=False)
    for quota in gateway.quotas:
        if quota.blocked_until:
            what = f"{quota.provider} {quota.endpoint} ({quota.credential}) takes no call until"
            yield Finding(f"{what} {quota.blocked_until:%H:%M:%S} UTC", LOOK, to_do=False)


def _queues(stats: "InstallationStats", on_laptop: bool) -> Iterator[Finding]:
    for queue in stats.queues:
        name = queue.queue.replace("_", " ")
        look = f"marquee dead-letters {queue.queue}{'' if on_laptop else ' --stack NAME'}"
        if queue.messages is None:
            yield Finding(f"{name} could not be asked", "marquee up" if on_laptop else "sam deploy")
        elif queue.dead_letters and queue.messages:
            yield Finding(f"{queue.messages} in {name}", look)


def _people(examined: Examined) -> Iterator[Finding]:
    if examined.approvals:
        yield Finding(f"{examined.approvals} tweets wait for your word", "marquee approve")
    if examined.needing_human:
        account, number = examined.health.posting.account, len(examined.needing_human)
        what = f"{number} posts could not be told from others: look at the account"
        settle = f"marquee settle {account} {examined.needing_human[0]}"
        yield Finding(what, f"{settle} --posted POST | --send | --reject")


def _set(lack: str, on_laptop: bool, value: str = "...") -> str:
    """The command that sets a secret, by its name in SSM, or a setting, by its variable."""
    if on_laptop:
        return f"echo {_variable_of(lack)}={value} >> .env && marquee up"
    if lack.startswith("/"):
        return f"aws ssm put-parameter --type SecureString --name {lack} --value {value}"
    parameter = "".join(word.capitalize() for word in lack.split("_"))
    return f"sam deploy --parameter-overrides {parameter}={value}"


def _variable_of(lack: str) -> str:
    """The variable of .env for it: a secret's name begins behind stage and part, and account."""
    if not lack.startswith("/"):
        return lack
    _, _, _, part, *name = lack.split("/")
    if part == "tweets" and name[0] != "openai":
        name[0] = "x"  # the posting account's own, by its name
    return variable_of("/".join(name))


def examine(client: Client) -> Examined:
    """Ask the API for all of it; raises ApiError."""
    from marquee.api.answers import Health
    from marquee_cli.following import read

    health = read(Health, client.health(), "health")
    stats = client.get_automation_statistics("24h")
    account = health.posting.account
    posts = islice(client.posts(account), LOOKED_AT) if account else ()
    return Examined(
        health=health,
        stats=stats,
        approvals=sum(1 for _ in client.approvals()),
        needing_human=tuple(
            str(post["tweet_id"]) for post in posts if post["state"] == LedgerState.NEEDS_HUMAN
        ),
        failed={
            kind: str(last["workflow_id"])
            for kind, workflows in stats.workflows.items()
            if workflows.by_status.get("FAILED")
            for last in islice(client.executions(kind=kind, status="FAILED"), 1)
        },
    )


def show_findings(found: list[Finding], out: Console) -> None:
    """Print what is to be done, then what may be."""
    for finding in sorted(found, key=lambda finding: not finding.to_do):
        mark, style = ("✗", "red") if finding.to_do else ("·", "dim")
        out.print(Text(f"{mark} ", style=style).append(plain(finding.what), style="not dim"))
        out.print(Text(f"    {plain(finding.command)}", style="bold"))
    if not any(finding.to_do for finding in found):
        out.print(Text("All is well.", style="green"))


@click.command()
@speaks_to_an_api
def doctor(client: Client) -> None:
    """Say what is wrong and which command answers it. Exit code 0: nothing, 1: something."""
    found = list(findings(examine(client)))
    show_findings(found, Console(highlight=False, soft_wrap=True))
    sys.exit(EXIT_TO_DO if any(finding.to_do for finding in found) else EXIT_WELL)
