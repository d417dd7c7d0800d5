"""Whoever counts what it did may add to the counters, and is told where they are."""

import re

from tests.support.templates import ROOT, Template, statements, transformed

COUNTS = re.compile(r"^@(step|accounted)\(", re.MULTILINE)


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
