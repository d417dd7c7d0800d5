"""A search that had to go without X, deployed: queued, collected once, complete, and announced."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import boto3

from marquee.gateway.quota import Policies, Quota
from marquee.gateway.rows import DynamoRows
from marquee_cli.cloud import emulator
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import SEARCH, Deployed, deployed_in, workflow_id_of

ENDPOINT = ("x", "tweets/search/recent")
CALLS, SECONDS = 1, 600
QUOTA = f"x={CALLS}/{SECONDS}"
QUEUE = "/api/orchestrator/queue"
FILM = "Interstellar"


@contextmanager
def small_quota(deployed: Deployed) -> Iterator[None]:
    """X lets CALLS pass in SECONDS, and those know who call it and who plan to."""
    functions = deployed.aws("lambda")
    names = [deployed.physical_id(f"{stem}Function") for stem in ("CollectReviews", "PlanBackfill")]
    before = {
        name: functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        for name in names
    }

    def use(quota: str | None) -> None:
        for name in names:
            more = {"QUOTA_POLICIES": quota} if quota else {}
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**before[name], **more}}
            )

    use(QUOTA)
    deployed.upstreams.limit("/".join(ENDPOINT), CALLS, SECONDS)
    try:
        yield
    finally:
        use(None)
        deployed.calm()


def forget_queue(deployed: Deployed) -> None:
    """As if nothing had been queued: other tests leave films behind."""
    for item in deployed.items("Backfill"):
        deployed.aws("dynamodb").delete_item(
            TableName=deployed.cloud.outputs["BackfillTableName"], Key={"tmdb_id": item["tmdb_id"]}
        )


def use_up(deployed: Deployed) -> None:
    """Let somebody else begin the one call that there is."""
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=deployed.cloud.endpoint_url,
        region_name=emulator.REGION,
        aws_access_key_id=emulator.ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=emulator.ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    with closing(resource.meta.client):
        rows = DynamoRows(resource.Table(deployed.cloud.outputs["GatewayTableName"]))
        policy = Policies(QUOTA).of(*ENDPOINT)
        assert Quota(rows).begin(policy, "somebody", now=datetime.now(UTC)).begun


def test_what_searches_went_without_is_collected_once_and_completes_them(
    cloud: RunningCloud,
) -> None:
    with deployed_in(cloud) as deployed, deployed.listening() as hear:
        deployed.calm()
        forget_queue(deployed)
        with small_quota(deployed):
            use_up(deployed)
            asked = [
                deployed.ask("POST", SEARCH, movie_name=FILM, max_reviews=n, wait_seconds=0)
                for n in (31, 32)
            ]
            searches = [deployed.ended(workflow_id_of(answer)) for answer in asked]
            for search in searches:
                assert search["status"] == "PARTIAL"
                [x] = [s for s in search["result"]["sources"] if s["source"] == "x"]
                assert (x["status"], x["calls"]) == ("deferred", 0)
                assert "it is queued" in x["reason"]
            ids = {search["workflow_id"] for search in searches}
            [entry] = deployed.get(QUEUE)["entries"]
            assert (entry["title"], entry["reason"], entry["sources"]) == (FILM, "deferred", ["x"])
            assert set(entry["waiting"]) == ids
            later = datetime.fromisoformat(entry["not_before"]) - datetime.now(UTC)
            assert later > timedelta(minutes=5)

            deployed.forget_quotas()
            run = deployed.ended(workflow_id_of(deployed.ask("POST", f"{QUEUE}/run")))
            assert (run["status"], run["kind"]) == ("SUCCEEDED", "review_backfill")
            [film] = run["result"]["films"]
            assert (film["state"], set(film["completed"])) == ("complete", ids)
            assert [call["status"] for call in deployed.upstreams.calls("x")] == [200]

        for workflow_id in ids:
            search = deployed.get(f"/workflow/status/{workflow_id}")
            assert (search["status"], search["result"]["missing"]) == ("SUCCEEDED", [])
            assert search["backfilled_at"]
            [x] = [s for s in search["result"]["sources"] if s["source"] == "x"]
            assert (x["status"], x["new"]) == ("ok", film["new"])
            told = hear("MovieSearchCompleted", workflow_id=workflow_id, backfilled=True)
            assert {event["status"] for event in told} == {"SUCCEEDED"}
        assert deployed.get(QUEUE)["entries"] == []
        # Films of other tests may be due where these tests run in the off-peak hours.
        if started := deployed.invoke("StartBackfillFunction")["started"]:
            deployed.ended(started["workflow_id"])
        done = deployed.get(QUEUE, state="DONE")["entries"]
        assert entry["tmdb_id"] in {one["tmdb_id"] for one in done}
