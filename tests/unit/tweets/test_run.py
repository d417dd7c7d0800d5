"""What a run is, given its input and the settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from marquee.errors import BadInput, Misconfigured
from marquee.settings import Settings, read_settings
from marquee.tweets.models import Status, TweetType
from marquee.tweets.run import (
    TAKEN_UP_AT_ONCE,
    Mode,
    RunRequest,
    StepInput,
    ready_posts,
    resolve,
    taken_up,
)
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.stage import a_run, a_tweet, stored


def settings(**given: str) -> Settings:
    values = {"STAGE": "test", "PARAMETER_PREFIX": "/marquee/test", "POSTING_ACCOUNT": "Marquee"}
    return read_settings({**values, **given})


def test_what_is_left_out_comes_from_the_settings() -> None:
    run = resolve(
        RunRequest(),
        settings(
            WORKFLOW_DEFAULT_USERNAME="NASA",
            WORKFLOW_DEFAULT_COUNT="3",
            WORKFLOW_ENABLE_AUTO_POSTING="true",
            MAX_POSTS_PER_RUN="4",
            APPROVAL_SECONDS="600",
        ),
    )
    assert run.model_dump() == {
        "account": "nasa",
        "posting_account": "marquee",
        "count": 3,
        "tweet_type": None,
        "mode": Mode.AUTO,
        "max_posts": 4,
        "approval_seconds": 600,
    }
    assert not run.is_own


def test_what_is_asked_for_goes_before_the_settings() -> None:
    request = RunRequest(username="@MARQUEE", count=7, tweet_type=TweetType.NEWS, mode=Mode.APPROVE)
    run = resolve(request, settings(WORKFLOW_DEFAULT_USERNAME="nasa"))
    assert (run.account, run.count, run.tweet_type) == ("marquee", 7, TweetType.NEWS)
    assert run.mode is Mode.APPROVE
    assert run.is_own


@pytest.mark.parametrize(
    ("asked", "enabled", "mode"),
    [
        ({}, "true", Mode.AUTO),
        ({}, "false", Mode.APPROVE),
        ({"mode": "auto"}, "false", Mode.APPROVE),
        ({"mode": "approve"}, "true", Mode.APPROVE),
        ({"mode": "dry_run"}, "true", Mode.DRY_RUN),
        ({"dry_run": True}, "true", Mode.DRY_RUN),
        ({"dry_run": True, "mode": "auto"}, "true", Mode.DRY_RUN),
        ({"dry_run": False, "mode": "dry_run"}, "true", Mode.DRY_RUN),
    ],
)
def test_the_switch_for_automatic_posting_is_the_last_word(
    asked: dict[str, Any], enabled: str, mode: Mode
) -> None:
    given = settings(WORKFLOW_DEFAULT_USERNAME="nasa", WORKFLOW_ENABLE_AUTO_POSTING=enabled)
    assert resolve(RunRequest.model_validate(asked), given).mode is mode


def test_a_run_of_nobody_is_refused() -> None:
    with pytest.raises(BadInput, match="say whose tweets"):
        resolve(RunRequest(), settings())


def test_without_an_account_to_post_with_the_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match="POSTING_ACCOUNT"):
        resolve(RunRequest(username="nasa"), settings(POSTING_ACCOUNT=""))


@pytest.mark.parametrize(
    "asked",
    [
        {"username": "no spaces"},
        {"username": "x" * 21},
        {"count": 0},
        {"count": 101},
        {"tweet_type": "poem"},
        {"tweet_type": "unsafe"},
        {"mode": "fast"},
        {"typo": 1},
    ],
)
def test_a_wrong_request_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RunRequest.model_validate(asked)


@pytest.mark.parametrize(("handed", "ids"), [("7", ("7",)), (None, ()), (["7", "8"], ("7", "8"))])
def test_lists_arrive_as_jsonata_hands_them(handed: Any, ids: tuple[str, ...]) -> None:
    assert StepInput(workflow_id="w", tweet_ids=handed).tweet_ids == ids


def test_leftovers_are_taken_up_the_oldest_first_and_by_type() -> None:
    rows = MemoryRows()
    tweets = stored(
        rows,
        a_tweet(tweet_id="30", status=Status.CLASSIFIED, type=TweetType.NEWS),
        a_tweet(tweet_id="4", status=Status.CLASSIFIED, type=TweetType.REVIEW),
        a_tweet(tweet_id="100", status=Status.CLASSIFIED, type=TweetType.NEWS),
        a_tweet(tweet_id="5", status=Status.POSTED, type=TweetType.NEWS, post_id="1"),
    )
    every = taken_up(tweets, a_run(), Status.CLASSIFIED, ["100", "5", "999"])
    assert [tweet.tweet_id for tweet in every] == ["4", "30", "100"]
    news = taken_up(tweets, a_run(tweet_type=TweetType.NEWS), Status.CLASSIFIED)
    assert [tweet.tweet_id for tweet in news] == ["30", "100"]


def test_more_leftovers_than_a_page_are_taken_up() -> None:
    rows = MemoryRows()
    several = [a_tweet(tweet_id=str(n)) for n in range(1, 151)]
    tweets = stored(rows, *several)
    assert len(taken_up(tweets, a_run(), Status.DOWNLOADED)) == 150


def test_leftovers_of_other_types_do_not_keep_a_run_from_those_of_its_own() -> None:
    rows = MemoryRows()
    several = [
        a_tweet(tweet_id=str(n), status=Status.CLASSIFIED, type=TweetType.REVIEW)
        for n in range(1, TAKEN_UP_AT_ONCE + 51)
    ]
    news = a_tweet(tweet_id="999", status=Status.CLASSIFIED, type=TweetType.NEWS)
    tweets = stored(rows, *several, news)
    assert taken_up(tweets, a_run(tweet_type=TweetType.NEWS), Status.CLASSIFIED) == [news]


def test_what_is_approved_is_ready_but_not_in_a_dry_run() -> None:
    tweets = stored(MemoryRows(), a_tweet(status=Status.APPROVED, final_text="x"))
    assert [post.tweet_id for post in ready_posts(tweets, a_run())] == [a_tweet().tweet_id]
    assert ready_posts(tweets, a_run(mode=Mode.DRY_RUN)) == ()
