"""Domain events end to end: from rows that change over their streams, the outbox and the bus to a
receiver that verifies them; IAM enforced."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from marquee.events.models import EVENTS
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import Deployed, Json, deployed_in, eventually
from tests.e2e.test_triggers import Hooks
from tests.e2e.test_tweet_pipeline import Pipeline, outcomes
from tests.support.receiver import receiving

ARCHIVE = "kept-by-a-test"
OF_A_SEARCH = (
    "MovieSearchRequested",
    "ReviewsCollected",
    "RecommendationGenerated",
    "MovieSearchCompleted",
)


@pytest.fixture
def hooks(cloud: RunningCloud) -> Iterator[Hooks]:
    with deployed_in(cloud) as deployed, receiving() as receiver:
        deployed.calm()
        yield Hooks(deployed, receiver)
        deployed.calm()


@dataclass(frozen=True)
class Told:
    """What callbacks were told, each with a secret of its own, by their types."""

    _hooks: Hooks
    _secrets: Mapping[str, str]

    def of(self, workflow_id: str, count: int) -> list[tuple[str, Json]]:
        """Types and details of the events of an execution, once so many have come."""

        def look() -> list[tuple[str, Json]] | None:
            calls = list(self._hooks.receiver.calls)
            found = [
                (body["type"], body["data"])
                for call in calls
                for body in [call.verified(self._secrets[_type_of(call)])]
                if body["data"].get("workflow_id") == workflow_id
            ]
            return found if len(found) >= count else None

        return eventually(look)


@contextmanager
def archived(deployed: Deployed) -> Iterator[Callable[[], None]]:
    """Keep what is put on the bus until the block ends; given is what replays all of it.

    The emulator's CloudFormation knows no archives, its EventBridge does.
    """
    events = deployed.aws("events")
    bus = events.describe_event_bus(Name=deployed.cloud.outputs["EventBusName"])["Arn"]
    archive = events.create_archive(ArchiveName=ARCHIVE, EventSourceArn=bus)["ArchiveArn"]

    def replay() -> None:
        now = datetime.now(UTC)
        events.start_replay(
            ReplayName=f"{ARCHIVE}-{uuid4().hex}",
            EventSourceArn=archive,
            EventStartTime=now - timedelta(hours=1),
            EventEndTime=now + timedelta(minutes=1),
            Destination={"Arn": bus},
        )

    try:
        yield replay
    finally:
        events.delete_archive(ArchiveName=ARCHIVE)


@contextmanager
def telling(hooks: Hooks, *types: str) -> Iterator[Told]:
    """Callbacks for these types, until the block ends."""
    url = f"{hooks.receiver.url}&test={uuid4().hex}"  # ports come again
    made = {name: hooks.register(name, url=url) for name in types}
    try:
        yield Told(hooks, {name: trigger["secret"] for name, trigger in made.items()})
    finally:
        for trigger in made.values():
            hooks.deployed.ask("DELETE", f"/triggers/{trigger['trigger_id']}")


def _type_of(call: Any) -> str:
    for name in EVENTS:
        if f'"type": "{name}"'.encode() in call.body:
            return name
    raise AssertionError(f"an event that nobody registered for: {call.body!r}")


def test_a_search_and_a_run_tell_each_of_their_events_once_and_a_replay_nothing_more(
    hooks: Hooks,
) -> None:
    deployed, pipeline = hooks.deployed, Pipeline(hooks.deployed)
    with archived(deployed) as replay, telling(hooks, *EVENTS.keys() - {"BudgetThreshold"}) as told:
        tweet_id = pipeline.tweet("The Matrix, watched with the whole family: 9/10, bring tissues.")
        search = deployed.search("The Matrix", max_reviews=7)
        run = pipeline.run(mode="auto")
        posts = {t: o["post_id"] for t, o in outcomes(run).items() if o["status"] == "POSTED"}
        assert tweet_id in posts

        of_search = told.of(search["workflow_id"], len(OF_A_SEARCH))
        assert Counter(name for name, _ in of_search) == Counter(OF_A_SEARCH)
        assert dict(of_search)["MovieSearchRequested"]["movie_name"] == "The Matrix"
        assert dict(of_search)["MovieSearchCompleted"]["status"] == search["status"]
        of_run = told.of(run["workflow_id"], len(posts) + 2)
        assert Counter(name for name, _ in of_run) == Counter(
            {"TweetsDownloaded": 1, "PostPublished": len(posts), "TweetPipelineCompleted": 1}
        )
        published = [detail for name, detail in of_run if name == "PostPublished"]
        assert {post["tweet_id"]: post["post_id"] for post in published} == posts
        for name, detail in (*of_search, *of_run):
            EVENTS[name].model_validate(detail)

        def matched() -> int:
            """How often MatchTriggers met an event of the two executions."""
            lines = deployed.logged("event matched")
            return sum(search["workflow_id"] in n or run["workflow_id"] in n for n in lines)

        known = len(of_search) + len(of_run)
        eventually(lambda: matched() >= known)
        calls, executions = len(hooks.receiver.calls), deployed.executions()
        replay()
        eventually(lambda: matched() >= 2 * known)
        # What is put on the bus now is delivered after all that the replay set off.
        fence = hooks.register("ShopReplayed")
        hooks.happens("ShopReplayed")
        hooks.ended(fence)
        assert len(hooks.receiver.calls) == calls + 1
        assert deployed.executions() == executions


def test_while_the_bus_is_refused_to_the_outbox_nothing_is_lost(hooks: Hooks) -> None:
    deployed = hooks.deployed
    refused = {"Action": "events:PutEvents", "Resource": "*"}
    with telling(hooks, "MovieSearchCompleted") as told:
        with deployed.denied("PublishEventsFunction", refused):
            search = deployed.search("The Shawshank Redemption", max_reviews=7)
            assert search["status"] == "SUCCEEDED"
            eventually(lambda: deployed.logged("the event bus took no events"))
            assert hooks.receiver.calls == []
        [(_, completed)] = told.of(search["workflow_id"], 1)
        assert completed["title"] == "The Shawshank Redemption"
        assert len(hooks.receiver.calls) == 1


def test_nothing_but_the_outbox_and_the_api_may_put_events_on_the_bus(hooks: Hooks) -> None:
    entry = {"EventBusName": hooks.deployed.cloud.outputs["EventBusName"], "Source": "marquee"}
    event = entry | {"DetailType": "PostPublished", "Detail": "{}"}
    for function in ("FinishSearchFunction", "FinishRunFunction", "RequestApprovalFunction"):
        with hooks.deployed.as_role_of(function) as connect:
            client = connect("events")
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                client.put_events(Entries=[event])
