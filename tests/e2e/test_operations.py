"""What an operator sees and does: true numbers, an id that finds all, letters sent back."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from marquee.movies.review_store import ParkedMessage
from marquee_cli.main import main
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import SEARCH, Deployed, Json, deployed_in, eventually, workflow_id_of
from tests.support.builders import a_scored_review
from tests.support.receiver import receiving

STATS = "/api/orchestrator/automation-stats"
UNANSWERED = {"reset", "cut", "malformed"}
"""Faults after which there is no answer to use, whatever its status was."""

RRR = 579974


@pytest.fixture
def deployed(cloud: RunningCloud) -> Iterator[Deployed]:
    with deployed_in(cloud) as deployed:
        deployed.calm()
        yield deployed
        deployed.calm()


def command(deployed: Deployed, *words: str) -> Result:
    """What `marquee` says on this cloud."""
    home = ["--home", str(deployed.cloud.cloud.home.folder)]
    return CliRunner().invoke(main, [*home, *words])


# The statistics


def counted(deployed: Deployed) -> dict[str, tuple[int, int]]:
    """The calls and failed calls of each upstream, as the statistics tell them."""
    found = deployed.get(STATS)["coordinator_stats"]["api_calls"]["by_provider"]
    for totals in found.values():
        assert sum(one["total"] for one in totals["by_endpoint"].values()) == totals["total"]
        assert sum(totals["errors"].values()) == totals["failed"]
    return {name: (totals["total"], totals["failed"]) for name, totals in found.items()}


def answered(calls: list[Json]) -> dict[str, tuple[int, int]]:
    """The same by the upstreams' own log."""
    total, failed = Counter[str](), Counter[str]()
    for call in calls:
        total[call["upstream"]] += 1
        is_failure = call["fault"] in UNANSWERED or not 200 <= (call["status"] or 0) < 300
        failed[call["upstream"]] += is_failure
    return {name: (total[name], failed[name]) for name in total}


def test_the_statistics_are_the_upstreams_own_calls_one_for_one_after_a_run_with_faults(
    deployed: Deployed,
) -> None:
    before = counted(deployed)
    deployed.upstreams.reset()
    for upstream, kind, options in (
        ("tmdb", "status", {"status": 503}),
        ("tmdb", "reset", {}),
        ("x", "status", {"status": 500}),
        ("bluesky", "malformed", {}),
        ("mastodon", "cut", {}),
        ("openai", "status", {"status": 502}),
    ):
        deployed.upstreams.fault(upstream, kind, count=1, **options)
    searched = deployed.search("Mad Max: Fury Road", max_reviews=17)
    assert searched["status"] in ("SUCCEEDED", "PARTIAL")
    run = deployed.ask("POST", "/workflow/execute", body={"mode": "dry_run", "count": 2})
    deployed.ended(workflow_id_of(run))

    def difference() -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
        now = counted(deployed)
        ours = {
            name: (total - before.get(name, (0, 0))[0], failed - before.get(name, (0, 0))[1])
            for name, (total, failed) in now.items()
        }
        theirs = answered(deployed.upstreams.calls())
        return {name: ours[name] for name in ours if ours[name] != (0, 0)}, theirs

    # What an invocation did is counted when it ends, a moment after its answer.
    with suppress(AssertionError):  # the next line says what differs
        eventually(lambda: len(set(map(str, map(sorted_by_name, difference())))) == 1, 60)
    ours, theirs = difference()
    assert ours == theirs
    assert {"tmdb", "x", "bluesky", "mastodon"} <= set(theirs)
    assert sum(failed for _, failed in theirs.values()) >= 5


def sorted_by_name(numbers: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(numbers.items())


# An id


def test_one_id_leads_from_a_request_to_its_callback(deployed: Deployed) -> None:
    with receiving() as receiver:
        body = {"event_type": "MovieSearchCompleted", "url": receiver.url}
        trigger = deployed.ask("POST", "/triggers", body=body).json()
        try:
            answer = deployed.http.post(
                deployed.cloud.api_url + SEARCH,
                params={"movie_name": "RRR", "max_reviews": 19, "wait_seconds": 0},
                headers={
                    "x-api-key": deployed.cloud.api_key,
                    "x-correlation-id": "shop-order-7",
                },
            )
            assert answer.headers["x-correlation-id"] == "shop-order-7"
            workflow_id = workflow_id_of(answer)
            status = deployed.ended(workflow_id)
            assert status["correlation_id"] == "shop-order-7"
            [call] = eventually(
                lambda: [
                    call
                    for call in receiver.calls
                    if call.headers.get("x-correlation-id") == workflow_id
                ]
            )
            assert json.loads(call.body)["data"]["workflow_id"] == workflow_id
        finally:
            deployed.ask("DELETE", f"/triggers/{trigger['trigger_id']}")

    def parts(name: str) -> set[str] | None:
        lines = command(deployed, "logs", name, "--json").stdout.splitlines()
        found = {str(json.loads(line).get("part", "")) for line in lines if line.startswith("{")}
        return found if {"FinishSearch", "DeliverWebhook"} <= found else None

    for name in ("shop-order-7", workflow_id):
        found = eventually(lambda name=name: parts(name))  # type: ignore[misc]  # bound at once
        assert {"Api", "FindMovie", "CollectReviews/x", "MatchTriggers"} <= found


# Dead letters


@contextmanager
def dying_quickly(deployed: Deployed) -> Iterator[None]:
    """A parked message ends with the dead letters after two attempts, which come at once."""
    sqs, url = deployed.aws("sqs"), deployed.cloud.outputs["ParkedReviewsQueueUrl"]
    names = ["VisibilityTimeout", "RedrivePolicy"]
    usual = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    redrive = json.loads(usual["RedrivePolicy"]) | {"maxReceiveCount": 2}
    changed = {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=usual)


def waiting(deployed: Deployed, queue: str) -> int:
    """How many messages a queue holds, by the statistics."""
    [found] = [one for one in deployed.get(STATS)["queues"] if one["queue"] == queue]
    messages: int = found["messages"]
    return messages


def test_parked_reviews_that_always_fail_reach_the_dead_letters_and_are_stored_once_mended(
    deployed: Deployed,
) -> None:
    review = a_scored_review(review_id="parked-for-long", source="tmdb", tmdb_id=RRR)
    message = ParkedMessage(reviews=(review,)).model_dump_json()
    table = deployed.aws("dynamodb").describe_table(
        TableName=deployed.cloud.outputs["ReviewsTableName"]
    )["Table"]
    writes = {"Action": ["dynamodb:BatchWriteItem", "dynamodb:PutItem"]}
    name = "parked_reviews_dead_letters"
    with dying_quickly(deployed):
        with deployed.denied(
            "ApplyParkedReviewsFunction", {**writes, "Resource": table["TableArn"]}
        ):
            deployed.aws("sqs").send_message(
                QueueUrl=deployed.cloud.outputs["ParkedReviewsQueueUrl"], MessageBody=message
            )
            eventually(lambda: waiting(deployed, name))
        assert (
            "marquee dead-letters parked_reviews_dead_letters" in command(deployed, "doctor").output
        )
        looked = command(deployed, "dead-letters", name)
        assert looked.exit_code == 1
        assert "parked-for-long" in looked.output
        replayed = command(deployed, "dead-letters", name, "--replay")
        assert replayed.exit_code == 0, replayed.output

    path = f"/movies/{RRR}/reviews"

    def stored() -> list[Json]:
        reviews: list[Json] = deployed.get(path, source="tmdb", limit=100)["reviews"]
        return [review for review in reviews if review["review_id"] == "parked-for-long"]

    deployed.search("RRR", max_reviews=19)  # the film must be known for its reviews to be shown
    assert len(eventually(stored)) == 1


def test_an_event_that_always_fails_reaches_the_dead_letters_and_has_its_effect_once_mended(
    deployed: Deployed,
) -> None:
    table = deployed.aws("dynamodb").describe_table(
        TableName=deployed.cloud.outputs["WorkflowsTableName"]
    )["Table"]
    before, name = deployed.executions(), "event_dead_letters"
    event = {
        "id": "5f1f1a52-4d5c-4f0e-9f6f-2f1f8f0f4b11",
        "source": "a.shop",
        "detail-type": "MovieSearchRequested",
        "detail": {"movie_name": "Avengers: Endgame", "max_reviews": 3},
    }
    with deployed.denied(
        "StartMovieSearchFunction", {"Action": "dynamodb:*", "Resource": table["TableArn"]}
    ):
        # As EventBridge on AWS hands it over; the emulator's own does so once and forgets.
        deployed.aws("lambda").invoke(
            FunctionName=deployed.physical_id("StartMovieSearchFunction"),
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
        eventually(lambda: waiting(deployed, name))
    assert deployed.executions() == before
    shown = command(deployed, "dead-letters", name)
    assert "Avengers: Endgame" in shown.output
    assert "AccessDenied" in shown.output
    replayed = command(deployed, "dead-letters", name, "--replay")
    assert replayed.exit_code == 0, replayed.output
    [started] = eventually(lambda: deployed.executions() - before)
    assert deployed.ended(started)["result"]["movie"]["title"] == "Avengers: Endgame"


# Money


def test_a_provider_without_credits_is_paid_nothing_more_until_an_operator_reopens_it(
    deployed: Deployed,
) -> None:
    def x_of(movie_name: str) -> Json:
        reports = deployed.search(movie_name, max_reviews=11)["result"]["sources"]
        [found] = [report for report in reports if report["source"] == "x"]
        return dict(found)

    deployed.upstreams.x(credits="used up")
    assert x_of("Arrival")["status"] != "ok"
    [closed] = deployed.get(STATS)["gateway"]["closed"]
    assert closed["provider"] == "x"
    assert "402" in closed["reason"]
    paid = len(deployed.upstreams.calls("x"))
    refused = x_of("Alien")
    assert "x is closed" in refused["reason"]
    assert len(deployed.upstreams.calls("x")) == paid

    assert "marquee reopen x" in command(deployed, "doctor").output
    assert "x is paid nothing more" in command(deployed, "stats").output
    deployed.upstreams.x(credits="left")
    reopened = command(deployed, "reopen", "x")
    assert reopened.exit_code == 0
    assert "it had been closed" in reopened.output
    assert "nothing was changed" in command(deployed, "reopen", "x").output
    assert x_of("Inception")["status"] == "ok"


def test_the_api_may_reopen_a_provider_and_take_nothing_out_of_the_gateway(
    deployed: Deployed,
) -> None:
    gateway = deployed.cloud.outputs["GatewayTableName"]
    key = {"pk": {"S": "SPEND"}, "sk": {"S": "TEST"}}
    with deployed.as_role_of("ApiFunction") as connect:
        dynamodb = connect("dynamodb")
        dynamodb.put_item(TableName=gateway, Item=key)
        with pytest.raises(ClientError, match="AccessDenied"):
            dynamodb.delete_item(TableName=gateway, Key=key)
    deployed.aws("dynamodb").delete_item(TableName=gateway, Key=key)
