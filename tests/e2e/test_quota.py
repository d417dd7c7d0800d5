"""A burst on a small quota, deployed and in real time: X's own list of calls is the judge."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import product

from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import SEARCH, Deployed, deployed_in, workflow_id_of

CALLS, SECONDS = 4, 6
ENDPOINT = "x/tweets/search/recent"
FILMS = ("RRR", "Dune (2021)", "Joker", "Avatar", "Inception", "Interstellar", "Parasite", "Up")
REVIEWS = (41, 42, 43)
"""Searches that differ in this are no equal ones."""


@contextmanager
def small_quota(deployed: Deployed) -> Iterator[None]:
    """X lets CALLS pass in SECONDS, and CollectReviews knows."""
    functions = deployed.aws("lambda")
    [function] = [
        function
        for page in functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if "CollectReviewsFunction" in function["FunctionName"]
    ]
    before = function["Environment"]["Variables"]

    def use(variables: dict[str, str]) -> None:
        functions.update_function_configuration(
            FunctionName=function["FunctionName"], Environment={"Variables": variables}
        )

    use({**before, "QUOTA_POLICIES": f"x={CALLS}/{SECONDS}"})
    deployed.upstreams.limit(ENDPOINT, CALLS, SECONDS)
    try:
        yield
    finally:
        use(before)
        deployed.calm()


def test_a_burst_of_searches_keeps_to_the_quota_and_says_what_it_had_to_put_off(
    cloud: RunningCloud,
) -> None:
    with deployed_in(cloud) as deployed, deployed.waits_scaled(1, after=0):
        deployed.calm()
        with small_quota(deployed):

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
