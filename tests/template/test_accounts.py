"""Who may write which rows of GatewayTable: counters all who count, the others who calls."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from marquee.gateway import accounting, breaker, quota, retries, spend
from tests.support.templates import ROOT, Template, statements, transformed

HOUR = datetime(2026, 5, 4, 12, tzinfo=UTC)
COUNTERS = accounting._key(HOUR, 3)["pk"]
SLOTS = quota.Policies().of("x", "tweets/search/recent").key.pk
MONEY = spend.KEY.pk
ROWS = {
    COUNTERS,
    SLOTS,
    MONEY,
    breaker.key_of("x", "tweets/search/recent").pk,
    retries._key(retries.Fault(provider="x", kind="UpstreamUnavailable 503", since=HOUR)).pk,
}
"""One of each kind."""

WRITES = ("dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:DeleteItem")
COUNTS = re.compile(r"^@(step|accounted)\(", re.MULTILINE)


def rows_written(template: Template) -> dict[str, set[str]]:
    """Which rows each function may write."""
    written: defaultdict[str, set[str]] = defaultdict(set)
    for owner, statement in statements(transformed(template)):
        if "GatewayTable" not in str(statement["Resource"]):
            continue
        if any(action in statement["Action"] for action in WRITES):
            bounds = statement.get("Condition", {"": {"dynamodb:LeadingKeys": ["*"]}})
            [patterns] = [bound["dynamodb:LeadingKeys"] for bound in bounds.values()]
            written[owner.removesuffix("Role")] |= {
                pk for pk in ROWS for pattern in patterns if fnmatchcase(pk, pattern)
            }
    return dict(written)


def test_a_function_may_write_the_rows_of_what_it_does() -> None:
    written = rows_written(Template.load())
    assert written.pop("ApiFunction") == {COUNTERS, MONEY}
    assert written.pop("CloseExecutionFunction") == {COUNTERS, SLOTS}
    calling = {name for name, rows in written.items() if rows != {COUNTERS}}
    assert {name: written[name] for name in calling} == dict.fromkeys(calling, ROWS)
    assert {"FindMovieFunction", "CollectReviewsFunction", "PublishTweetFunction"} <= calling
    assert not {"AnalyzeReviewsFunction", "PublishEventsFunction", "FinishRunFunction"} & calling


def test_every_function_that_counts_may_add_to_the_counters() -> None:
    template = Template.load()
    may_add = {
        owner.removesuffix("Role")
        for owner, statement in statements(transformed(template))
        if "dynamodb:UpdateItem" in statement["Action"]
        and "GatewayTable" in str(statement["Resource"])
    }
    counting = {
        logical_id
        for logical_id, function in template.functions.items()
        if COUNTS.search((ROOT / function.app).read_text())
    }
    assert counting
    assert counting <= may_add


def test_every_function_is_told_of_the_table_and_every_queue_is_watched() -> None:
    template = Template.load()
    assert template.environment()["GATEWAY_TABLE"] == template.name_of("GatewayTable")
    watched = dict(pair.split("=", 1) for pair in template.environment()["QUEUES"].split())
    assert {url.rpartition("/")[2] for url in watched.values()} == {
        template.name_of(queue) for queue in template.resources("AWS::SQS::Queue")
    }
