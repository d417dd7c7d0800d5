"""``marquee doctor``: each thing that is wrong is found, with the command that answers it."""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from marquee.api.answers import (
    BackfillTotals,
    GatewayNow,
    Health,
    InstallationStats,
    PartHealth,
    PostingHealth,
    QueueDepth,
    SourceHealth,
)
from marquee.api.automation import summed_up
from marquee.gateway.accounting import Counters, Name, hours_of
from marquee.gateway.spend import read_caps
from marquee_cli.doctor import Examined, Finding, findings, show_findings
from marquee_cli.main import main
from tests.support.builders import NOW
from tests.support.command_line import HOSTILE, Asked, an_api, moving
from tests.support.gateway_view import (
    a_breaker,
    a_budget,
    a_closed_provider,
    a_gateway,
    a_quota,
)

DEAD_LETTERS = "https://sqs.eu-west-1.amazonaws.com/123456789012/dead"
PREFIX = "/marquee/prod"


def health(**fields: Any) -> Health:
    whole = {
        "status": "ok",
        "stage": "prod",
        "sources": (source("tmdb"), source("x")),
        "posting": posting(),
        "parts": (PartHealth(part="movies_table", reachable=True, reason="", duration_ms=4),),
    }
    return Health(**{**whole, **fields})


def source(name: str, *lacks: str) -> SourceHealth:
    return SourceHealth(source=name, configured=not lacks, lacks=lacks)


def posting(**fields: Any) -> PostingHealth:
    whole = {
        "account": "marquee_demo",
        "configured": True,
        "lacks": (),
        "schedules_enabled": True,
        "language_model": True,
    }
    return PostingHealth(**{**whole, **fields})


def stats(
    counters: Counters | None = None, dead: int | None = 0, gateway: GatewayNow | None = None
) -> InstallationStats:
    hours: Mapping[datetime, Counters] = {
        hour: Counter(counters or {}) for hour in hours_of(timedelta(0), NOW)
    }
    queues = [
        QueueDepth(queue="parked_reviews", url="https://sqs/1", messages=5, dead_letters=False),
        QueueDepth(queue="event_dead_letters", url=DEAD_LETTERS, messages=dead, dead_letters=True),
    ]
    return summed_up("24h", hours, NOW, queues, gateway=gateway)


def found(
    *,
    counters: dict[Name, int] | None = None,
    dead: int | None = 0,
    approvals: int = 0,
    needing_human: tuple[str, ...] = (),
    failed: Mapping[str, str] | None = None,
    gateway: GatewayNow | None = None,
    **fields: Any,
) -> list[Finding]:
    examined = Examined(
        health=health(**fields),
        stats=stats(counters, dead, gateway),
        approvals=approvals,
        needing_human=needing_human,
        failed=failed or {},
    )
    return list(findings(examined))


def test_an_installation_that_is_well_has_no_findings() -> None:
    assert found() == []


def test_a_part_that_does_not_answer_is_named_with_the_reason() -> None:
    part = PartHealth(part="posts_table", reachable=False, reason="AccessDenied", duration_ms=9)
    [finding] = found(parts=(part,))
    assert finding == Finding("posts_table does not answer (AccessDenied)", "sam deploy")
    assert found(parts=(part,), stage="local")[0].command == "marquee up"


@pytest.mark.parametrize(
    ("stage", "lack", "command"),
    [
        (
            "prod",
            f"{PREFIX}/movies/tmdb/token",
            f"aws ssm put-parameter --type SecureString --name {PREFIX}/movies/tmdb/token"
            " --value ...",
        ),
        ("prod", "MASTODON_BASE_URL", "sam deploy --parameter-overrides MastodonBaseUrl=..."),
        ("local", f"{PREFIX}/movies/tmdb/token", "echo TMDB_TOKEN=... >> .env && marquee up"),
        ("local", "MASTODON_BASE_URL", "echo MASTODON_BASE_URL=... >> .env && marquee up"),
    ],
)
def test_a_key_that_is_missing_is_set_with_one_command(stage: str, lack: str, command: str) -> None:
    [finding] = found(stage=stage, sources=(source("tmdb", lack),))
    assert finding.command == command
    assert finding.to_do


def test_a_source_that_may_be_left_out_is_a_remark_only() -> None:
    [finding] = found(sources=(source("tmdb"), source("x", f"{PREFIX}/movies/x/bearer_token")))
    assert not finding.to_do


def test_an_account_that_cannot_post_has_to_get_its_credentials() -> None:
    lack = f"{PREFIX}/tweets/marquee_demo/consumer_key"
    [finding] = found(posting=posting(configured=False, lacks=(lack,)))
    assert finding.to_do
    assert lack in finding.command
    [on_laptop] = found(stage="local", posting=posting(configured=False, lacks=(lack,)))
    assert on_laptop.command == "echo X_CONSUMER_KEY=... >> .env && marquee up"


def test_what_an_operator_may_have_left_off_on_purpose_is_a_remark() -> None:
    off = found(posting=posting(schedules_enabled=False, language_model=False))
    assert [finding.to_do for finding in off] == [False, False]
    assert off[0].command.endswith("/tweets/openai/api_key --value ...")
    assert off[1].command == "sam deploy --parameter-overrides SchedulesEnabled=true"
    [no_account] = found(posting=posting(account="", configured=False))
    assert not no_account.to_do


def test_a_key_that_an_upstream_refuses_and_credits_that_are_used_up_are_found() -> None:
    refused: dict[Name, int] = {
        ("call", "x", "tweets", "CredentialsRefused"): 2,
        ("call", "openai", "responses", "CreditsDepleted"): 1,
        ("call", "tmdb", "movie", "UpstreamTimeout"): 9,
    }
    said = [finding.what for finding in found(counters=refused)]
    assert [words.partition(" ")[0] for words in said] == ["openai", "x"]
    assert "credits are used up (1 times)" in said[0]
    assert "refuses our key (2 times)" in said[1]


def test_a_provider_that_was_closed_is_reopened_with_one_command() -> None:
    depleted: dict[Name, int] = {("call", "x", "tweets", "CreditsDepleted"): 1}
    closed = a_gateway(closed=(a_closed_provider("x", "answered 402 (no credits)"),))
    [finding] = found(counters=depleted, gateway=closed)
    assert finding == Finding(
        "x is paid nothing more (answered 402 (no credits)): mend that, then", "marquee reopen x"
    )
    # Reopened since, it has nothing to do for anyone.
    assert found(counters=depleted, gateway=a_gateway()) == []


def test_where_nothing_is_capped_is_a_remark() -> None:
    [on_aws] = found(gateway=a_gateway(budgets=()))
    assert (on_aws.what, on_aws.to_do) == ("no cap bounds what calls cost", False)
    [on_laptop] = found(stage="local", gateway=a_gateway(budgets=()))
    assert "those of stand-ins cost nothing" in on_laptop.what
    assert on_laptop.command == 'echo SPEND_CAPS="day=5 month=50" >> .env && marquee up'


def test_a_budget_that_is_used_up_has_to_be_raised_and_one_that_nearly_is_is_a_remark() -> None:
    budgets = (a_budget(5), a_budget(41, 50, period="month"), a_budget(0.5, 3, scope="x"))
    used_up, nearly = found(gateway=a_gateway(budgets=budgets))
    assert used_up.what == (
        "$5.00 of $5.00 a day are spent in total: paid calls are refused until 2026-12-01 00:00 UTC"
    )
    raised = '"day=10 month=50 x.day=3"'
    assert used_up.command == f"sam deploy --parameter-overrides SpendCaps={raised}"
    assert read_caps(raised.strip('"'))[0].usd == 10
    assert (nearly.what, nearly.to_do) == ("$41.00 of $50.00 a month are spent in total", False)
    [on_laptop] = found(stage="local", gateway=a_gateway(budgets=(a_budget(5),)))
    assert on_laptop.command == 'echo SPEND_CAPS="day=10" >> .env && marquee up'


def test_upstreams_that_are_left_alone_are_remarks_for_that_passes_by_itself() -> None:
    broken = a_breaker(state="open", failure_share=1, opened_at=NOW, retry_at=NOW)
    blocked = a_quota(left=0, blocked_until=NOW)
    remarks = found(gateway=a_gateway(breakers=(broken, a_breaker()), quotas=(blocked, a_quota())))
    at = f"{NOW:%H:%M:%S} UTC"
    assert [(finding.what, finding.to_do) for finding in remarks] == [
        (f"tmdb movie fails and is left alone; it is asked again at {at}", False),
        (f"x tweets/search/recent (app) takes no call until {at}", False),
    ]


def test_films_that_left_their_queue_are_a_remark() -> None:
    totals = BackfillTotals(
        films=3, more=False, searches=0, oldest_at=NOW, given_up=100, more_given_up=True
    )
    health_now, well = health(), stats().model_copy(update={"backfill": totals})
    [remark] = findings(Examined(health_now, well, 0, (), {}))
    assert remark.what.startswith("100+ films")
    assert (remark.command, remark.to_do) == ("marquee queue --state GIVEN_UP", False)


def test_a_gateway_at_rest_has_no_findings() -> None:
    assert found(gateway=a_gateway()) == []


def test_dead_letters_are_found_and_what_is_only_parked_is_not() -> None:
    [finding] = found(dead=4)
    assert finding.what == "4 in event dead letters"
    assert finding.command == "marquee dead-letters event_dead_letters --stack NAME"
    [on_laptop] = found(stage="local", dead=4)
    assert on_laptop.command == "marquee dead-letters event_dead_letters"
    [unknown] = found(dead=None)
    assert "could not be asked" in unknown.what


def test_what_waits_for_a_person_is_found() -> None:
    waiting, doubtful = found(approvals=2, needing_human=("1900000000000000001",))
    assert waiting.command == "marquee approve"
    assert doubtful.command.startswith("marquee settle marquee_demo 1900000000000000001")


def test_executions_that_failed_are_found_with_the_log_of_the_last() -> None:
    ended: dict[Name, int] = {
        ("end", "movie_search", "FAILED"): 3,
        ("end", "movie_search", "PARTIAL"): 1,
    }
    [finding] = found(counters=ended, failed={"movie_search": "movie_search-1-1"})
    assert finding.what.startswith("3 movie searches failed")
    assert finding.command == "marquee logs movie_search-1-1 --stack NAME"


def test_what_has_to_be_done_comes_first() -> None:
    out = io.StringIO()
    remarks = [Finding("a remark", "one", to_do=False), Finding("a duty", "two")]
    show_findings(remarks, Console(file=out, width=100, highlight=False))
    assert [line.strip(" ✗·") for line in out.getvalue().splitlines()] == [
        "a duty",
        "two",
        "a remark",
        "one",
    ]


def test_names_from_outside_cannot_move_the_terminal() -> None:
    out = io.StringIO()
    show_findings([Finding(HOSTILE, HOSTILE)], Console(file=out, width=400, highlight=False))
    assert moving(out.getvalue()) == set()


type Answering = Callable[[Asked], tuple[int, bytes]]


def diagnosed(answer: Answering) -> Result:
    with an_api(answer) as url:
        environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key"}
        return CliRunner(env=environment).invoke(main, ["doctor"])


def api(documents: Mapping[str, Any] | None = None, counters: Counters | None = None) -> Answering:
    answers: dict[str, Any] = {
        "/workflow/health": json.loads(health().model_dump_json()),
        "/api/orchestrator/automation-stats": json.loads(stats(counters).model_dump_json()),
        "/workflow/approvals": {"approvals": [], "next_cursor": None},
        "/posts/marquee_demo": {"posts": [], "next_cursor": None},
        **(documents or {}),
    }
    return lambda asked: (200, json.dumps(answers[asked.path]).encode())


def test_all_is_well_ends_with_0() -> None:
    done = diagnosed(api())
    assert (done.exit_code, done.stdout) == (0, "All is well.\n")


def test_something_to_do_ends_with_1() -> None:
    failed = {"workflows": [{"workflow_id": "movie_search-1-1"}], "next_cursor": None}
    doubtful = [{"tweet_id": "19", "state": "NEEDS_HUMAN"}, {"tweet_id": "18", "state": "POSTED"}]
    done = diagnosed(
        api(
            {
                "/workflow/list": failed,
                "/posts/marquee_demo": {"posts": doubtful, "next_cursor": None},
                "/workflow/approvals": {"approvals": [{}, {}], "next_cursor": None},
            },
            {("end", "movie_search", "FAILED"): 1},
        )
    )
    assert done.exit_code == 1
    for words in ("2 tweets wait", "settle marquee_demo 19", "logs movie_search-1-1"):
        assert words in done.stdout


def test_an_api_that_answers_nonsense_is_said_to() -> None:
    done = diagnosed(api({"/workflow/health": {"status": "green"}}))
    assert done.exit_code == 1
    assert "the health is unreadable" in done.output
