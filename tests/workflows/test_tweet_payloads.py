"""The tweet pipeline's definition with any number of tweets: no expression may lack a value.

The functions say only what the definition reads; every payload is held against its model.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from marquee.tweets.finish import FinishRunInput
from tests.support.state_machines import Handler, Json, failing
from tests.support.tweet_pipeline import OWN, TweetPipelines, ran, tweet_pipelines
from tests.support.upstreams import Upstreams

STEPS = ("DownloadTweets", "ClassifyTweets", "PolishTweets")


@pytest.fixture(scope="module")
def hundred(server: Upstreams) -> Iterator[TweetPipelines]:
    with tweet_pipelines(server, max_posts=100) as installed:
        yield installed


def said(pipelines: TweetPipelines, count: int, approvals: int = 0) -> dict[str, Handler]:
    """Functions that take up so many tweets, of which some wait for approval."""
    ids = [str(number) for number in range(1, count + 1)]
    post = {"account": OWN, "source": OWN}
    posts = [{**post, "tweet_id": tweet_id} for tweet_id in ids[approvals:]]
    steps = {"tweet_ids": ids, "posts": posts, "approvals": ids[:approvals], "left": 0}
    steps["problems"] = []

    def ask(event: Json, context: Any) -> Json:
        answer = {**post, "tweet_id": event["tweet_id"], "approved": True}
        boto3.client("stepfunctions").send_task_success(
            taskToken=event["task_token"], output=json.dumps(answer)
        )
        return {}

    return {
        **{step: lambda event, context: steps for step in STEPS},
        "RequestApproval": ask,
        "PublishTweet": lambda event, context: {
            **post,
            "tweet_id": event["tweet_id"],
            "state": "POSTED",
            "wait_until": None,
        },
        "FinishRun": lambda event, context: {"status": "SUCCEEDED"},
    }


@pytest.mark.parametrize(("count", "approvals"), [(0, 0), (1, 0), (1, 1), (2, 1), (3, 3), (100, 0)])
def test_a_run_posts_as_many_tweets_as_there_are(
    hundred: TweetPipelines, count: int, approvals: int
) -> None:
    done = ran(hundred, {}, said(hundred, count, approvals))
    ids = [str(number) for number in range(1, count + 1)]
    posts = [payload["tweet_id"] for payload in done.payloads(hundred.arn("PublishTweet"))]
    assert posts == ids[approvals:] + ids[:approvals]
    [finish] = done.payloads(hundred.arn("FinishRun"))
    assert FinishRunInput.model_validate(finish).tweet_ids == tuple(ids)
    assert finish["problems"] == []


@pytest.mark.parametrize("max_posts", [0, 1])
def test_no_more_posts_are_made_than_a_run_may(hundred: TweetPipelines, max_posts: int) -> None:
    deployed = json.dumps(hundred.definition())
    definition = json.loads(deployed.replace("[0..100 - 1]", f"[0..{max_posts} - 1]"))
    done = ran(hundred, {}, said(hundred, 3), definition=definition)
    assert len(done.payloads(hundred.arn("PublishTweet"))) == max_posts


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_any_number_of_problems_reaches_the_end(hundred: TweetPipelines, failures: int) -> None:
    handlers = said(hundred, 4, 2)
    fails = ["DownloadTweets", "PublishTweet", "PublishTweet", "RequestApproval", "RequestApproval"]
    for stem in set(fails[:failures]):
        errors = [KeyError("surprise")] * fails[:failures].count(stem)
        handlers[stem] = failing(handlers[stem], errors)
    handlers["ReconcilePost"] = failing(handlers["PublishTweet"], ["NotFound"] * 5)
    done = ran(hundred, {}, handlers)
    [finish] = done.payloads(hundred.arn("FinishRun"))
    problems = FinishRunInput.model_validate(finish).problems
    assert [problem.step.partition("/")[0] for problem in problems] == sorted(
        fails[:failures], key=["DownloadTweets", "RequestApproval", "PublishTweet"].index
    )


def test_what_a_step_could_not_do_reaches_the_end_and_is_not_tried_in_another_round(
    hundred: TweetPipelines,
) -> None:
    handlers = said(hundred, 2)
    problem = {"step": "PolishTweets", "error": {"Error": "RateLimited", "Cause": "too often"}}
    polished = {**handlers["PolishTweets"]({}, None), "left": 3, "problems": [problem]}
    handlers["DownloadTweets"] = failing(handlers["DownloadTweets"], [KeyError("surprise")])
    handlers["PolishTweets"] = lambda event, context: polished
    done = ran(hundred, {}, handlers)
    [finish] = done.payloads(hundred.arn("FinishRun"))
    problems = FinishRunInput.model_validate(finish).problems
    assert [problem.step for problem in problems] == ["DownloadTweets", "PolishTweets"]
    assert done.history.count("PolishTweets") == 1
    assert done.history.count("PublishTweet") == 2


@pytest.mark.parametrize(("rounds", "left"), [(3, [1, 2, 0]), (25, [1] * 99)])
def test_steps_run_again_while_something_is_left_and_not_for_ever(
    hundred: TweetPipelines, rounds: int, left: list[int]
) -> None:
    handlers = said(hundred, 2)
    first, todo = handlers["ClassifyTweets"]({}, None), iter(left)
    handlers["PolishTweets"] = lambda event, context: {**first, "left": next(todo)}
    done = ran(hundred, {}, handlers)
    for state in ("ClassifyTweets", "PolishTweets", "Anything left?"):
        assert done.history.count(state) == rounds
    for step in ("ClassifyTweets", "PolishTweets"):
        named = [payload["step"] for payload in done.payloads(hundred.arn(step))]
        # Each under a name of its own: no round takes another's place in the record.
        assert named == [step, *(f"{step}/{again}" for again in range(2, rounds + 1))]
    assert done.history.count("PublishTweet") == 2
