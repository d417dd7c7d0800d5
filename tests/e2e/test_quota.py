"""Executions that wait for a quota, deployed and in real time: X's own list of calls judges a
burst, and who is stopped while it waits makes room."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import product

from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import SEARCH, Deployed, deployed_in, eventually, workflow_id_of

CALLS, SECONDS = 4, 6
ENDPOINT = "x/tweets/search/recent"
FILMS = ("RRR", "Dune (2021)", "Joker", "Avatar", "Inception", "Interstellar", "Parasite", "Up")
REVIEWS = (41, 42, 43)
"""Searches that differ in this are no equal ones."""


@contextmanager
def quota(deployed: Deployed, policies: str, *names: str) -> Iterator[None]:
    """These functions of the template know other quotas until the block ends."""
    functions = deployed.aws("lambda")
    with ExitStack() as undo:
        undo.callback(deployed.calm)
        for name in names:
            function = deployed.physical_id(name)
            found = functions.get_function_configuration(FunctionName=function)
            before = found["Environment"]["Variables"]

            def use(function: str, variables: dict[str, str]) -> None:
                functions.update_function_configuration(
                    FunctionName=function, Environment={"Variables": variables}
                )

            undo.callback(use, function, before)
            use(function, {**before, "QUOTA_POLICIES": policies})
        yield


def test_a_burst_of_searches_keeps_to_the_quota_and_says_what_it_had_to_put_off(
    cloud: RunningCloud,
) -> None:
    with deployed_in(cloud) as deployed, deployed.waits_scaled(1, after=0):
        deployed.calm()
        with quota(deployed, f"x={CALLS}/{SECONDS}", "CollectReviewsFunction"):
            deployed.upstreams.limit(ENDPOINT, CALLS, SECONDS)

            def start(search: tuple[str, int]) -> str:
                name, reviews = search
                answer = deployed.ask(
                    "POST", SEARCH, movie_name=name, max_reviews=reviews, wait_seconds=0
                )
                return workflow_id_of(answer)

            with ThreadPoolExecutor(8) as pool:
                started = list(pool.map(start, product(FILMS, REVIEWS)))
            ended = [deployed.ended(workflow_id) for workflow_id in started]
            calls = deployed.upstreams.calls("x")

        x = [
            report
            for status in ended
            for report in status["result"]["sources"]
            if report["source"] == "x"
        ]
        assert len(x) == len(started) == len(set(started)) == len(FILMS) * len(REVIEWS)
        assert {call["status"] for call in calls} == {200}
        times = sorted(datetime.fromisoformat(call["time"]) for call in calls)
        for first, next_one in zip(times, times[CALLS:], strict=False):
            assert next_one - first >= timedelta(seconds=SECONDS)

        by_status = {report["status"] for report in x}
        assert by_status <= {"ok", "deferred"}
        went_well = sum(report["status"] == "ok" for report in x)
        assert went_well == len(calls) > CALLS
        for status, report in zip(ended, x, strict=True):
            put_off = report["status"] == "deferred"
            assert status["status"] == ("PARTIAL" if put_off else "SUCCEEDED")
            assert ("deferred until" in report["reason"]) == put_off


def slot_of(deployed: Deployed, workflow_id: str) -> int | None:
    """The second at which an execution may call X; None where it does not wait."""
    for item in deployed.items("Gateway"):
        for at, _, holder in (entry["L"] for entry in item.get("queue", {"L": []})["L"]):
            if holder["S"].startswith(f"{workflow_id}/"):
                return int(at["N"])
    return None


def test_an_execution_that_is_stopped_while_it_waits_makes_room_for_the_next(
    cloud: RunningCloud,
) -> None:
    with deployed_in(cloud) as deployed, deployed.waits_scaled(1, after=0):
        deployed.calm()

        def start() -> str:
            answer = deployed.ask("POST", "/workflow/execute", body={"count": 1})
            workflow_id: str = answer.json()["workflow_id"]
            return workflow_id

        def waits_until(workflow_id: str) -> int:
            return eventually(lambda: slot_of(deployed, workflow_id))

        with quota(deployed, "x=1/900", "DownloadTweetsFunction", "CloseExecutionFunction"):
            assert deployed.ended(start())["status"] == "SUCCEEDED"  # it has used the quota
            stopped = start()
            slot = waits_until(stopped)
            deployed.aws("stepfunctions").stop_execution(
                executionArn=deployed.arn_of(stopped, "TweetPipeline")
            )
            assert deployed.ended(stopped)["status"] == "CANCELED"
            assert eventually(lambda: slot_of(deployed, stopped) is None)
            following = start()
            assert waits_until(following) == slot
            deployed.ask("POST", f"/workflow/{following}/cancel")
            assert eventually(lambda: slot_of(deployed, following) is None)
        assert {call["status"] for call in deployed.upstreams.calls("x")} <= {200}
