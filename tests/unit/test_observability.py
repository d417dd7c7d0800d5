"""The tally: what one invocation did, and nothing of another's; and metrics as CloudWatch reads."""

import contextvars
import json
import logging

import pytest

from marquee.observability import (
    METRICS,
    Ended,
    StoreRequest,
    Tally,
    current_tally,
    emit,
    gauge,
    logger,
    tallying,
)


def test_calls_are_counted_by_provider_and_outcome_and_their_cost_is_summed() -> None:
    with tallying() as tally:
        current_tally().add_call("x", "tweets/search/recent", usd=0.05)
        current_tally().add_call("x", "tweets/search/recent", usd=0.025)
        current_tally().add_call("x", "tweets/search/recent", error="RateLimited")
        current_tally().add_call("tmdb", "search/movie")
    assert tally.as_counts() == {
        "calls": {"x.successful": 2, "x.failed": 1, "tmdb.successful": 1},
        "cost_usd": 0.075,
    }


def test_what_answered_calls_cost_may_be_told_later() -> None:
    with tallying() as tally:
        current_tally().add_call("x", "users/tweets")
        current_tally().add_cost("x", 0.01)
        current_tally().add_cost("openai", 0.0)
    assert dict(tally.costs_usd) == {"x": 0.01}
    assert tally.cost_usd == 0.01


def test_a_tally_can_be_written_as_json() -> None:
    with tallying() as tally:
        current_tally().store_requests.append(StoreRequest("GetItem", "", 4.0, 0))
        current_tally().store_requests.append(StoreRequest("PutItem", "Throttling", 4.0, 3))
        current_tally().read_units += 0.5
    counts = json.loads(json.dumps(tally.as_counts()))
    assert counts["operations"] == {"GetItem": 1, "PutItem.failed": 1}
    assert counts["read_units"] == 0.5


def test_sums_of_cents_do_not_show_binary_dust() -> None:
    with tallying() as tally:
        for _ in range(3):
            tally.add_call("x", "tweets", usd=0.1)
    assert tally.as_counts()["cost_usd"] == 0.3


def test_outside_of_an_invocation_counting_is_harmless() -> None:
    current_tally().add_call("x", "tweets")
    assert current_tally().as_counts() == {}


def test_the_next_invocation_starts_at_nothing_even_after_a_failure() -> None:
    def invocation() -> None:
        with tallying():
            current_tally().add_call("x", "tweets")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        invocation()
    with tallying() as tally:
        assert tally.as_counts() == {}


def test_one_block_does_not_see_another() -> None:
    with tallying() as outer:
        with tallying() as inner:
            current_tally().add_call("x", "tweets")
        assert current_tally() is outer
        elsewhere = contextvars.Context().run(current_tally)
        assert elsewhere is not outer
    assert (sum(inner.calls.values()), sum(outer.calls.values())) == (1, 0)


def test_a_block_can_be_added_to_another() -> None:
    part = Tally(attempt=2, read_units=1.5, write_units=2)
    part.add_call("x", "tweets", usd=0.015)
    part.store_requests.append(StoreRequest("GetItem", "", 4.0, 0))
    part.steps.append(Ended("tweet_pipeline", "PublishTweet", "", 90.0))
    part.workflows["tweet_pipeline", "SUCCEEDED"] += 1
    whole = Tally()
    whole.add(part)
    whole.add(part)
    assert whole.calls == {"x.successful": 2}
    assert whole.operations == {"GetItem": 2}
    assert whole.cost_usd == pytest.approx(0.03)
    assert (whole.read_units, whole.write_units) == (3, 4)
    assert len(whole.steps) == whole.workflows["tweet_pipeline", "SUCCEEDED"] == 2
    assert whole.attempt == 1


@pytest.mark.parametrize("count", [0, 3])
def test_a_gauge_is_a_line_that_cloudwatch_reads_as_a_metric_of_the_installation(
    capsys: pytest.CaptureFixture[str], count: int
) -> None:
    gauge("PostsNeedHuman", count, stage="test")
    line = json.loads(capsys.readouterr().out)
    [measured] = line["_aws"]["CloudWatchMetrics"]
    assert measured == {
        "Namespace": "Marquee",
        "Dimensions": [["Stage"]],
        "Metrics": [{"Name": "PostsNeedHuman", "Unit": "Count"}],
    }
    assert (line["Stage"], line["PostsNeedHuman"]) == ("test", [count])


def test_metrics_of_the_same_dimensions_share_a_line_whatever_the_level_of_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    level = logger.log_level
    logger.setLevel(logging.CRITICAL)
    try:
        emit({"UpstreamLatency": [12.5, 80.0], "UpstreamFailures": [1]}, stage="test", Provider="x")
    finally:
        logger.setLevel(level)
    line = json.loads(capsys.readouterr().out)
    [measured] = line["_aws"]["CloudWatchMetrics"]
    assert measured["Dimensions"] == [["Stage", "Provider"]]
    assert [metric["Unit"] for metric in measured["Metrics"]] == ["Milliseconds", "Count"]
    assert (line["Provider"], line["UpstreamLatency"]) == ("x", [12.5, 80.0])
    assert isinstance(line["_aws"]["Timestamp"], int)


def test_a_metric_that_is_not_declared_is_refused() -> None:
    with pytest.raises(KeyError):
        emit({"Unheard": [1]}, stage="test")
    assert "Unheard" not in METRICS
