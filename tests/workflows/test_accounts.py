"""The statistics of runs with faults, held against the stand-ins' own log of calls, one for one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import current_thread
from typing import Any

import pytest

from marquee import aws
from marquee.api.automation import summed_up
from marquee.gateway.accounting import PERCENTILE_ERROR, HourlyCounters, hours_of
from marquee.workflows.record import WorkflowRecord
from tests.support.movie_search import MovieSearches, movie_searches
from tests.support.tweet_pipeline import OWN, TweetPipelines, ran, tweet_pipelines
from tests.support.upstreams import Upstreams
from tests.support.workflows import InstalledWorkflow

# What the log says of a call that failed, and the class that the product names it by.
ERRORS = {
    401: "CredentialsRefused",
    402: "CreditsDepleted",
    403: "CredentialsRefused",
    429: "RateLimited",
    500: "UpstreamUnavailable",
    503: "UpstreamUnavailable",
    None: "UpstreamUnavailable",
}

type Calls = Sequence[Mapping[str, Any]]


def statistics(installed: InstalledWorkflow) -> dict[str, Any]:
    """What the API would answer now."""
    now = installed.clock.now()
    hours = HourlyCounters.connect(installed.settings).read(hours_of(timedelta(hours=1), now))
    return summed_up("1h", hours, now, []).model_dump(mode="json")


def errors_of(calls: Calls) -> Counter[str]:
    """The classes of those that failed; half an answer is as bad as none."""
    statuses = [None if call["fault"] == "malformed" else call["status"] for call in calls]
    return Counter(ERRORS[status] for status in statuses if status is None or status >= 400)


def assert_equal_to_the_log(stats: Mapping[str, Any], log: Calls) -> None:
    """Every call is counted once, under its provider, outcome and class of error."""
    told = stats["coordinator_stats"]["api_calls"]
    assert told["total"] == len(log)
    assert set(told["by_provider"]) == {call["upstream"] for call in log}
    for provider, totals in told["by_provider"].items():
        calls = [call for call in log if call["upstream"] == provider]
        errors = errors_of(calls)
        assert (provider, totals["total"]) == (provider, len(calls))
        assert (provider, totals["errors"]) == (provider, dict(errors))
        assert totals["failed"] == errors.total()
        assert totals["successful"] == len(calls) - errors.total()
        assert sum(one["total"] for one in totals["by_endpoint"].values()) == len(calls)
        assert totals["p95_ms"] >= totals["p50_ms"] > 0
    assert told["errors"] == dict(errors_of(log))


def assert_steps_are_those_of(stats: Mapping[str, Any], records: Sequence[WorkflowRecord]) -> None:
    """Each attempt of each step is counted once; the longest one is told."""
    attempts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    longest: dict[str, float] = {}
    for record in records:
        for name, step in record.steps.items():
            state = name.partition("/")[0]
            attempts[state] += 1 + len(step.failed_attempts)
            failed[state] += len(step.failed_attempts) + (step.error is not None)
            longest[state] = max(longest.get(state, 1.0), step.duration_ms or 0.0)
    [kind] = {record.kind for record in records}
    told = stats["workflows"][kind]
    assert told["by_status"] == Counter(record.status for record in records)
    assert {name: step["attempts"] for name, step in told["steps"].items()} == attempts
    assert {n: s["failed"] for n, s in told["steps"].items() if s["failed"]} == dict(+failed)
    for name, step in told["steps"].items():
        assert step["p95_ms"] >= longest[name] * (1 - PERCENTILE_ERROR)


@contextmanager
def watched() -> Iterator[Counter[str]]:
    """The requests to DynamoDB, as its client makes them, without those that count."""
    made: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        if current_thread().name != "accounting":
            made[model.name] += 1

    events = aws.dynamodb().meta.client.meta.events
    events.register("after-call.dynamodb", note)
    try:
        yield made
    finally:
        events.unregister("after-call.dynamodb", note)


def assert_operations_are(stats: Mapping[str, Any], made: Counter[str]) -> None:
    told = stats["coordinator_stats"]["database_operations"]
    assert {n: one["total"] for n, one in told["by_operation"].items()} == dict(made)
    assert told["total"] == made.total()
    assert told["write_units"] > 0


def cost_of(record: WorkflowRecord) -> float:
    """Of all attempts, as the record holds it."""
    return sum(
        float(counts.get("cost_usd", 0))
        for step in record.steps.values()
        for counts in (step.counts, *(attempt.counts for attempt in step.failed_attempts))
    )


@pytest.fixture
def searches(upstreams: Upstreams) -> Iterator[MovieSearches]:
    with movie_searches(upstreams, "x", "bluesky", "mastodon") as installed:
        yield installed


def test_searches_with_faults_are_counted_call_for_call(
    upstreams: Upstreams, searches: MovieSearches
) -> None:
    upstreams.fault("tmdb", "status", status=503)
    upstreams.fault("bluesky", "reset")
    upstreams.fault("mastodon", "malformed")
    with watched() as made:
        done = [searches.run({"movie_name": "RRR", "max_reviews": 10}, name="run-0")]
        first = Counter(call["upstream"] for call in upstreams.calls())
        done += [
            searches.run({"movie_name": name, "max_reviews": 10}, name=f"run-{number}")
            for number, name in enumerate(("Dune (2021)", "no such film at all"), start=1)
        ]
        upstreams.fault("x", "status", status=402, every=1)
        done.append(searches.run({"movie_name": "Joker", "max_reviews": 10}, name="run-3"))
        stats = statistics(searches)
    # The reading itself is not of an invocation.
    made.pop("BatchGetItem", None)
    log = upstreams.calls()
    records = [searches.record(one.name) for one in done]
    assert {call["upstream"] for call in log} == {"tmdb", "x", "bluesky", "mastodon"}
    assert_equal_to_the_log(stats, log)
    assert_steps_are_those_of(stats, records)
    assert_operations_are(stats, made)
    by_provider = stats["coordinator_stats"]["api_calls"]["by_provider"]
    retried = {call.payload["step"]: call for call in done[0].calls if call.payload["attempt"] > 1}
    assert set(retried) == {"FindMovie", "CollectReviews/bluesky", "CollectReviews/mastodon"}
    # Each fault struck the provider's first call: what the first search asked it then are retries.
    assert {provider: totals["retries"] for provider, totals in by_provider.items()} == {
        "x": 0,
        **{provider: first[provider] - 1 for provider in ("tmdb", "bluesky", "mastodon")},
    }
    assert stats["cost_usd"].keys() == {"x"}
    assert stats["cost_usd"]["x"] == pytest.approx(sum(map(cost_of, records)))


@pytest.fixture
def pipelines(upstreams: Upstreams) -> Iterator[TweetPipelines]:
    with tweet_pipelines(upstreams) as installed:
        yield installed


def test_runs_with_faults_and_the_sweep_are_counted_call_for_call(
    upstreams: Upstreams, pipelines: TweetPipelines
) -> None:
    for film in ("Dune", "Past Lives", "Arrival"):
        upstreams.tweet(OWN, f"Just watched {film} again. The pacing is perfect, 8/10")
    upstreams.fault("x", "status", status=503)
    upstreams.fault("openai", "status", status=500)
    upstreams.fault("x", "lost", route="/2/tweets")
    with watched() as made:
        done = ran(pipelines, {"count": 3})
        pipelines.invoke("SweepPosts", {})
        stats = statistics(pipelines)
    made.pop("BatchGetItem", None)
    log, record = upstreams.calls(), pipelines.record()
    assert done.status == "SUCCEEDED"
    assert len(pipelines.posted()) == 3
    assert {call["upstream"] for call in log} == {"x", "openai"}
    assert_equal_to_the_log(stats, log)
    assert_operations_are(stats, made)
    assert stats["workflows"]["tweet_pipeline"]["by_status"] == {record.status: 1}
    steps = stats["workflows"]["tweet_pipeline"]["steps"]
    assert {name: step["attempts"] for name, step in steps.items()} == Counter(
        call.payload["step"].partition("/")[0] for call in done.calls
    )
    assert stats["coordinator_stats"]["api_calls"]["by_provider"]["x"]["retries"] >= 1
    assert stats["cost_usd"]["x"] >= 3 * 0.015
    assert stats["cost_usd"]["openai"] > 0


def test_what_a_killed_invocation_did_is_the_only_thing_that_may_be_missing(
    upstreams: Upstreams, pipelines: TweetPipelines
) -> None:
    """A handler that raises has its calls counted all the same."""
    upstreams.tweet(OWN, "Just watched Dune again. The pacing is perfect, 8/10")
    upstreams.fault("x", "status", status=401, every=1)
    ran(pipelines, {"count": 1})
    assert_equal_to_the_log(statistics(pipelines), upstreams.calls())
