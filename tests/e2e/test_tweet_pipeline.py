"""The tweet pipeline end to end: the deployed API and state machine, IAM enforced, and what the
stand-in of X was really sent as the judge."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import Deployed, Json, deployed_in, eventually

ACCOUNT = "marquee_demo"
"""That posts, and whose tweets a run takes up that names nobody."""
FOREIGN = "butaca_nueve"
STEPS = {"DownloadTweets", "ClassifyTweets", "PolishTweets", "FinishRun"}

CLIENTS = 10
LONGEST_WAIT_SECONDS = 25
"""What the API lets a client wait for a result."""
WINDOW_SECONDS = 100
"""In which X takes no post after a 429; what is shorter than a minute counts as one."""
SCALE_OF_LONG_WAITS = 0.02
"""The wait for it takes 2 s: time to see that it is waited for, and little more."""


@dataclass(frozen=True)
class Pipeline:
    """The tweet pipeline of a cloud."""

    deployed: Deployed

    def start(self, **request: Any) -> str:
        """The id of the run that answers the request."""
        answer = self.deployed.ask("POST", "/workflow/execute", body=request)
        assert answer.status_code == 202, answer.text
        workflow_id: str = answer.json()["workflow_id"]
        assert answer.headers["location"].endswith(f"/workflow/status/{workflow_id}")
        return workflow_id

    def run(self, **request: Any) -> Json:
        """The status document of a run that has ended; ten new tweets are more than a test has."""
        return self.deployed.ended(self.start(**{"count": 10, **request}))

    def tweet(self, text: str, account: str = ACCOUNT, **options: Any) -> str:
        """A new tweet on the timeline."""
        return self.deployed.upstreams.tweet(account, text, **options)

    def posted(self) -> list[str]:
        """What X was sent and took since the test began."""
        return [post["text"] for post in self.deployed.upstreams.posts()]

    def stored(self, status: str, username: str = ACCOUNT) -> set[str]:
        """The ids of an account's tweets with a status."""
        query = {"username": username, "status": status, "limit": 100}
        return {tweet["tweet_id"] for tweet in self.deployed.get("/tweets", **query)["tweets"]}

    def post_of(self, tweet_id: str) -> Json | None:
        """The entry of the ledger for a tweet."""
        page: Json = {"next_cursor": None}
        while True:
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = self.deployed.get(f"/posts/{ACCOUNT}", limit=100, **cursor)
            for post in page["posts"]:
                if post["tweet_id"] == tweet_id:
                    found: Json = post
                    return found
            if not page["next_cursor"]:
                return None

    def waiting(self, *tweet_ids: str) -> dict[str, Json]:
        """The approvals of these tweets, once a run waits for all of them."""

        def look() -> dict[str, Json] | None:
            listed = self.deployed.get("/workflow/approvals", limit=100)["approvals"]
            found = {a["tweet_id"]: a for a in listed if a["state"] == "WAITING"}
            return found if set(tweet_ids) <= set(found) else None

        return eventually(look)

    def decide(self, approval: Json, **decision: Any) -> Any:
        """A person's word on an approval."""
        path = f"/workflow/approvals/{approval['approval_id']}"
        return self.deployed.ask("POST", path, body=decision)


@pytest.fixture(scope="module")
def running(cloud: RunningCloud) -> Iterator[Pipeline]:
    """The pipeline, its workers warm, and all that its accounts said before read."""
    with deployed_in(cloud) as deployed:
        deployed.calm()
        pipeline = Pipeline(deployed)
        for account in (ACCOUNT, FOREIGN):
            pipeline.tweet("The foyer clock is back on its hook.", account)
            warmed = pipeline.run(username=account, count=1)
            assert warmed["status"] == "SUCCEEDED", warmed
        yield pipeline


@pytest.fixture
def pipeline(running: Pipeline) -> Iterator[Pipeline]:
    """The pipeline with upstreams that work, also after the test, and no run that still goes."""
    running.deployed.calm()
    yield running
    running.deployed.calm()
    query = {"kind": "tweet_pipeline", "status": "RUNNING"}
    for left in running.deployed.get("/workflow/list", **query)["workflows"]:
        running.deployed.ask("POST", f"/workflow/{left['workflow_id']}/cancel")


def outcomes(status: Json) -> dict[str, Json]:
    """What became of each tweet of a run."""
    return {tweet["tweet_id"]: tweet for tweet in status["result"]["tweets"]}


# The modes


def test_auto_posts_what_the_policy_lets_through_once_and_gives_a_reason_for_the_rest(
    pipeline: Pipeline,
) -> None:
    review = pipeline.tweet("Perfect Days made row C cry into its popcorn. 9/10 & worth it.")
    promotion = pipeline.tweet("Tickets for the Ozu week are on sale now ,book at the desk..")
    unsafe = pipeline.tweet("You stupid idiot should be beaten up, we know where you live")
    reply = pipeline.tweet("@row_f see you there", reply_to="row_f")

    status = pipeline.run()
    assert status["status"] == "SUCCEEDED"
    assert {*STEPS, f"PublishTweet/{review}"} == set(status["steps"])
    assert {step["status"] for step in status["steps"].values()} == {"SUCCEEDED"}
    found = outcomes(status)
    assert {tweet_id: tweet["status"] for tweet_id, tweet in found.items()} == {
        review: "POSTED",
        promotion: "NEEDS_HUMAN",
        unsafe: "SKIPPED",
    }
    assert all(found[tweet_id]["reason"] for tweet_id in (promotion, unsafe))
    [text] = pipeline.posted()
    assert text.startswith("Perfect Days made row C cry into its popcorn. 9/10 & worth it.")
    assert found[review]["text"] == text
    assert found[review]["price_usd"] == status["result"]["posted_usd"] == 0.015

    for name, tweet_id in (("POSTED", review), ("NEEDS_HUMAN", promotion), ("SKIPPED", unsafe)):
        assert tweet_id in pipeline.stored(name)
    entry = pipeline.post_of(review)
    assert entry is not None
    assert (entry["state"], entry["text"]) == ("POSTED", text)
    assert entry["post_id"] == pipeline.deployed.upstreams.posts()[0]["id"]

    again = pipeline.run()
    assert (again["status"], outcomes(again)) == ("SUCCEEDED", {})
    assert pipeline.posted() == [text]
    assert reply not in {item["tweet_id"]["S"].lstrip("0") for item in stored_tweets(pipeline)}


def stored_tweets(pipeline: Pipeline) -> list[Json]:
    """All rows about tweets, those of dry runs and approvals included."""
    return pipeline.deployed.items("Tweets")


def test_a_dry_run_shows_what_would_be_posted_and_touches_nothing(pipeline: Pipeline) -> None:
    question = pipeline.tweet("The barn screening of Jaws was a 9/10, sharks and straw and all.")
    before = real(stored_tweets(pipeline)), pipeline.deployed.items("Posts")
    status = pipeline.run(dry_run=True)
    assert status["status"] == "SUCCEEDED"
    shown = outcomes(status)[question]
    assert shown["reason"] == "would be posted"
    assert shown["text"].startswith("The barn screening of Jaws")
    assert (real(stored_tweets(pipeline)), pipeline.deployed.items("Posts")) == before
    assert pipeline.posted() == []

    assert outcomes(pipeline.run())[question]["status"] == "POSTED"
    assert pipeline.posted() == [shown["text"]]


def real(items: list[Json]) -> list[Json]:
    """The rows that are no dry run's, nor the cursor of one."""
    return [item for item in items if not item["tweet_id"]["S"].startswith("dry#")]


def test_approve_asks_a_person_and_posts_what_they_say(pipeline: Pipeline) -> None:
    good = pipeline.tweet("Paterson from the seat by the door: 8/10, a poem with a bus in it.")
    meant = pipeline.tweet("Amour with subtitles: 9/10, and we learned to spell grief.")
    bad = pipeline.tweet("The poster gets 9/10, the film in front of it 2/10.")
    workflow_id = pipeline.start(count=10, mode="approve")
    approvals = pipeline.waiting(good, meant, bad)
    assert approvals[good]["proposed"].startswith("Paterson from the seat")
    assert approvals[good]["workflow_id"] == workflow_id
    assert pipeline.posted() == []

    refused = pipeline.decide(approvals[meant], decision="edit", text="Now at https://b.example")
    assert refused.status_code == 422, refused.text
    edited = "Amour, with subtitles: 9/10, and we learned to spell grief. #FilmReview"
    assert pipeline.decide(approvals[meant], decision="edit", text=edited).status_code == 200
    taken = pipeline.decide(approvals[good], decision="approve", by="Ana")
    assert (taken.status_code, taken.json()["state"]) == (200, "APPROVED")
    assert pipeline.decide(approvals[good], decision="approve", by="Ana").json() == taken.json()
    assert pipeline.decide(approvals[good], decision="reject").status_code == 409
    rejected = pipeline.decide(approvals[bad], decision="reject", reason="not ours to say")
    assert rejected.json()["state"] == "REJECTED"

    status = pipeline.deployed.ended(workflow_id)
    found = outcomes(status)
    assert (status["status"], status["result"]["mode"]) == ("SUCCEEDED", "approve")
    assert {tweet_id: found[tweet_id]["status"] for tweet_id in (good, meant, bad)} == {
        good: "POSTED",
        meant: "POSTED",
        bad: "REJECTED",
    }
    assert "not ours to say" in found[bad]["reason"]
    assert pipeline.posted() == [approvals[good]["proposed"], edited]


def test_tweets_of_others_are_credited_and_held_until_a_word_that_a_later_run_posts(
    pipeline: Pipeline,
) -> None:
    theirs = pipeline.tweet("Volver from row nine: 9/10, obviously.", FOREIGN)
    assert outcomes(pipeline.run(username=FOREIGN))[theirs]["status"] == "NEEDS_HUMAN"
    listed = pipeline.deployed.get("/workflow/approvals", limit=100)["approvals"]
    [held] = [approval for approval in listed if approval["tweet_id"] == theirs]
    assert held["state"] == "HELD"
    assert f"via @{FOREIGN}" in held["proposed"]
    assert pipeline.decide(held, decision="approve").status_code == 200
    assert pipeline.posted() == []
    assert outcomes(pipeline.run(username=FOREIGN))[theirs]["status"] == "POSTED"
    assert pipeline.posted() == [held["proposed"]]


# One run at a time, ended, repeated, forgotten


def test_ten_clients_asking_at_once_start_one_run(pipeline: Pipeline) -> None:
    tweet_id = pipeline.tweet("Ten people in a lift agreed on one thing: Heat is a 10/10.")
    before = pipeline.deployed.executions("TweetPipeline")
    asked = {"count": 10, "mode": "approve"}  # so that none comes when the run has ended
    with ThreadPoolExecutor(CLIENTS) as pool:
        [workflow_id] = set(pool.map(lambda _: pipeline.start(**asked), range(CLIENTS)))
    approval = pipeline.waiting(tweet_id)[tweet_id]
    assert pipeline.decide(approval, decision="approve").status_code == 200
    assert pipeline.deployed.ended(workflow_id)["status"] == "SUCCEEDED"
    assert pipeline.deployed.executions("TweetPipeline") - before == {workflow_id}
    assert pipeline.posted() == [approval["proposed"]]


def test_a_run_that_is_canceled_is_repeated_from_a_step_and_asks_again(
    pipeline: Pipeline,
) -> None:
    tweet_id = pipeline.tweet("Magnolia with an interval: 8/10, the frogs landed during the ices.")
    canceled = pipeline.start(count=10, mode="approve")
    pipeline.waiting(tweet_id)
    # The one that waits is joined by whoever asks for the same.
    assert pipeline.start(count=10) == canceled
    rerun = f"/workflow/{canceled}/rerun"
    assert pipeline.deployed.ask("POST", rerun, body={}).status_code == 409

    cancel = f"/workflow/{canceled}/cancel"
    assert pipeline.deployed.ask("POST", cancel).status_code == 200
    assert pipeline.deployed.ended(canceled)["status"] == "CANCELED"
    assert pipeline.deployed.ask("POST", cancel).status_code == 200

    calls = len(pipeline.deployed.upstreams.calls("x"))
    answer = pipeline.deployed.ask("POST", rerun, body={"from_step": "PolishTweets"})
    assert answer.status_code == 202, answer.text
    repeated = answer.json()["workflow_id"]
    approval = pipeline.waiting(tweet_id)[tweet_id]
    assert approval["workflow_id"] == repeated
    assert len(pipeline.deployed.upstreams.calls("x")) == calls
    assert pipeline.decide(approval, decision="approve").status_code == 200
    status = pipeline.deployed.ended(repeated)
    assert (status["rerun_of"], status["trigger"]) == (canceled, "rerun")
    assert not {"DownloadTweets", "ClassifyTweets"} & set(status["steps"])
    assert pipeline.posted() == [approval["proposed"]]
    assert pipeline.deployed.ask("POST", f"/workflow/{repeated}/cancel").status_code == 409


def test_a_client_may_wait_for_the_end_of_a_run(pipeline: Pipeline) -> None:
    path = "/workflow/execute-sync"
    answer = pipeline.deployed.ask("POST", path, body={"wait_seconds": LONGEST_WAIT_SECONDS})
    assert answer.status_code == 200, answer.text
    status = answer.json()
    assert (status["kind"], status["status"]) == ("tweet_pipeline", "SUCCEEDED")
    later = pipeline.deployed.ask("POST", path, body={"wait_seconds": 0})
    assert later.status_code == 202
    pipeline.deployed.ended(later.json()["workflow_id"])


def test_cleanup_forgets_old_runs_and_no_new_one_nor_a_post(pipeline: Pipeline) -> None:
    recent = pipeline.run()["workflow_id"]
    posts = pipeline.deployed.items("Posts")
    table = pipeline.deployed.cloud.outputs["WorkflowsTableName"]
    dynamodb = pipeline.deployed.aws("dynamodb")
    record = dynamodb.get_item(TableName=table, Key={"workflow_id": {"S": recent}})["Item"]
    long_ago = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    moments = {"started_at": {"S": long_ago}, "ended_at": {"S": long_ago}}
    dynamodb.put_item(
        TableName=table, Item={**record, **moments, "workflow_id": {"S": "of-last-month"}}
    )
    answer = pipeline.deployed.ask("DELETE", "/workflow/cleanup", older_than_days=30)
    assert answer.json() == {"deleted": 1, "more": False}
    assert pipeline.deployed.ask("GET", "/workflow/status/of-last-month").status_code == 404
    assert pipeline.deployed.get(f"/workflow/status/{recent}")["status"] == "SUCCEEDED"
    assert pipeline.deployed.items("Posts") == posts


def test_a_schedule_starts_a_run_with_its_own_input(pipeline: Pipeline) -> None:
    text = "Brief Encounter at nine in the morning: 10/10, tea included."
    tweet_id = pipeline.tweet(text)
    scheduler, functions = (pipeline.deployed.aws(name) for name in ("scheduler", "lambda"))
    schedule = scheduler.get_schedule(Name="marquee-run-daily")
    assert schedule["State"] == "DISABLED"
    target = schedule["Target"]
    answer = functions.invoke(FunctionName=target["Arn"], Payload=target["Input"])
    started = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, started
    status = pipeline.deployed.ended(started["workflow_id"])
    assert (status["trigger"], status["status"]) == ("schedule:daily", "SUCCEEDED")
    assert json.loads(target["Input"])["request"].items() <= status["input"].items()
    assert outcomes(status)[tweet_id]["status"] == "POSTED"
    assert len(pipeline.posted()) == 1


# X in its moods


def test_an_access_token_that_has_expired_is_renewed_once_and_stored(pipeline: Pipeline) -> None:
    name = f"/marquee/local/tweets/{ACCOUNT}/oauth2_tokens"

    def tokens() -> str:
        found = pipeline.deployed.aws("ssm").get_parameter(Name=name, WithDecryption=True)
        value: str = found["Parameter"]["Value"]
        return value

    # From it the stand-in, which was reset, learns which tokens it gave last.
    pipeline.run()
    before = tokens()
    tweet_id = pipeline.tweet("Groundhog Day again: 9/10, and again, and again.")
    pipeline.deployed.upstreams.x(expire=ACCOUNT)
    assert outcomes(pipeline.run())[tweet_id]["status"] == "POSTED"
    assert len(pipeline.posted()) == 1
    renewed = json.loads(tokens())
    assert renewed["refresh_token"] != json.loads(before)["refresh_token"]
    paths = [call["path"] for call in pipeline.deployed.upstreams.calls("x")]
    assert paths.count("/2/oauth2/token") == 1


def test_a_post_that_x_takes_not_yet_waits_for_the_reset(pipeline: Pipeline) -> None:
    tweet_id = pipeline.tweet("Jeanne Dielman in one sitting: 9/10, patience repaid in full.")
    pipeline.deployed.upstreams.limit("x/tweets", calls=100, seconds=WINDOW_SECONDS)
    pipeline.deployed.upstreams.fault("x", "status", route="/2/tweets", status=429)
    with pipeline.deployed.waits_scaled(SCALE_OF_LONG_WAITS, after=0):
        workflow_id = pipeline.start(count=10)
        entry = eventually(lambda: claimed(pipeline.post_of(tweet_id)))
        reset = datetime.fromisoformat(entry["not_before"])
        assert reset > datetime.now(UTC) + timedelta(seconds=WINDOW_SECONDS - 30)
        path = f"/workflow/status/{workflow_id}"
        assert pipeline.deployed.get(path)["status"] == "RUNNING"
        assert pipeline.posted() == []
        pass_time_of(pipeline, tweet_id)
        status = pipeline.deployed.ended(workflow_id)
    assert outcomes(status)[tweet_id]["status"] == "POSTED"
    assert len(pipeline.posted()) == 1
    calls = [c for c in pipeline.deployed.upstreams.calls("x") if c["path"] == "/2/tweets"]
    assert [call["status"] for call in calls] == [429, 201]


def claimed(entry: Json | None) -> Json | None:
    """The entry, where X named a time before which it takes no post."""
    return entry if entry and entry["state"] == "CLAIMED" and entry["not_before"] else None


def pass_time_of(pipeline: Pipeline, tweet_id: str) -> None:
    """Let X's window have opened again for a post: what the time until its reset would do."""
    pipeline.deployed.aws("dynamodb").update_item(
        TableName=pipeline.deployed.cloud.outputs["PostsTableName"],
        Key={"account": {"S": ACCOUNT}, "tweet_id": {"S": tweet_id.zfill(20)}},
        UpdateExpression="SET not_before = :now",
        ExpressionAttributeValues={":now": {"S": datetime.now(UTC).isoformat()}},
    )
    pipeline.deployed.forget_quotas()


@pytest.mark.parametrize("kind", ["cut", "lost", "malformed"])
def test_a_post_whose_answer_is_lost_after_the_effect_is_found_and_not_sent_again(
    pipeline: Pipeline, kind: str
) -> None:
    tweet_id = pipeline.tweet(f"The {kind} reel of Metropolis: 9/10, and an encore.")
    pipeline.deployed.upstreams.fault("x", kind, route="/2/tweets")
    status = pipeline.run()
    assert (status["status"], outcomes(status)[tweet_id]["status"]) == ("SUCCEEDED", "POSTED")
    [post] = pipeline.deployed.upstreams.posts()
    entry = pipeline.post_of(tweet_id)
    assert entry is not None
    assert (entry["state"], entry["post_id"]) == ("POSTED", post["id"])
    assert "UNKNOWN" in [change["to"] for change in entry["history"]]
    assert status["steps"][f"ReconcilePost/{tweet_id}"]["status"] == "SUCCEEDED"
    paths = [call["path"] for call in pipeline.deployed.upstreams.calls("x")]
    assert paths.count("/2/tweets") == 1
