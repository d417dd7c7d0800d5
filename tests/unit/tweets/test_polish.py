"""Polishing, with models that are honest, out of policy, attacked, or down."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from marquee.errors import (
    CredentialsRefused,
    CreditsDepleted,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.gateway.retries import MOST_RETRIES, RETRIED
from marquee.tweets.approval import Approvals, ApprovalState, asked
from marquee.tweets.characters import clean
from marquee.tweets.language_model import LanguageModel, Unanswered
from marquee.tweets.models import Status, Tweet, TweetType
from marquee.tweets.output_policy import judge
from marquee.tweets.policy import Policies
from marquee.tweets.polish import Style, polish_tweets
from marquee.tweets.rows import Rows
from marquee.tweets.run import Mode, Run, StepOutput
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.attacks import ATTACKS
from tests.unit.tweets.stage import (
    NOW,
    Clock,
    FakeModel,
    FakeTasks,
    a_run,
    a_tweet,
    failing,
    saying,
    some_policies,
    stored,
)

STYLE = Style(tone="dry", instructions="Never shout.")
TEXT = "saw the quiet harbor yesterday, its a wonderful film 8/10"
POLISHED = "Saw The Quiet Harbor yesterday. It's a wonderful film! 8/10"
OUT_OF_POLICY = f"{POLISHED} https://evil.example.net"


def classified(**fields: Any) -> Tweet:
    return a_tweet(
        **{"status": Status.CLASSIFIED, "type": TweetType.REVIEW, "text": TEXT, **fields}
    )


def polished(
    rows: Rows,
    model: LanguageModel | None,
    *,
    run: Run | None = None,
    rules: Policies | None = None,
    attempt: int = 1,
) -> StepOutput:
    run, rules = run or a_run(), rules or some_policies()
    return polish_tweets(run, [], rows, rules, model, STYLE, clock=Clock(), attempt=attempt)


def found(rows: Rows, tweet: Tweet) -> Tweet:
    again = TweetStore(rows).get(tweet.account, tweet.tweet_id)
    assert again
    return again


def test_a_polished_text_in_policy_is_approved_where_the_policy_posts(rows: Rows) -> None:
    tweet = classified()
    stored(rows, tweet)
    output = polished(rows, saying(POLISHED))
    after = found(rows, tweet)
    assert after.status is Status.APPROVED
    assert after.polished_text == after.final_text == POLISHED
    assert after.verdict["ok"] is True
    assert [change.to for change in after.history][-2:] == ["POLISHED", "APPROVED"]
    [post] = output.posts
    assert post.model_dump() == {
        "account": "marquee",
        "source": "marquee",
        "tweet_id": tweet.tweet_id,
    }
    assert output.approvals == ()


def test_tone_and_instructions_of_the_settings_reach_the_model() -> None:
    rows = MemoryRows()
    stored(rows, classified())
    model = saying(POLISHED)
    polished(rows, model)
    assert "a tone that is dry" in model.instructions
    assert "Never shout." in model.instructions
    assert model.asked == [{"tweet": TEXT}]


def test_the_template_is_applied_after_polishing_and_counts() -> None:
    rows = MemoryRows()
    tweet = classified(account="nasa")
    stored(rows, tweet)
    run = a_run(account="nasa")
    model = saying(POLISHED)
    polished(rows, model, run=run)
    after = found(rows, tweet)
    assert after.final_text == f"{POLISHED} via @nasa"
    assert after.verdict["length"] == len(f"{POLISHED} via @nasa")
    assert "At most 270 characters" in model.instructions


def test_a_refused_text_is_asked_for_once_more_with_the_reasons() -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    model = saying(OUT_OF_POLICY, POLISHED)
    output = polished(rows, model)
    assert found(rows, tweet).final_text == POLISHED
    again = model.asked[1]
    assert again["refused"] == OUT_OF_POLICY
    assert "adds the link https://evil.example.net" in again["reasons"]
    assert output.counts["asked_again"] == 1


def test_a_text_refused_twice_is_held_with_the_original_as_the_proposal(rows: Rows) -> None:
    tweet = classified(account="nasa")
    stored(rows, tweet)
    model = saying(OUT_OF_POLICY)
    output = polished(rows, model, run=a_run(account="nasa"))
    assert len(model.asked) == 2
    assert found(rows, tweet).status is Status.NEEDS_HUMAN
    assert found(rows, tweet).final_text == f"{TEXT} via @nasa"
    approval = Approvals(rows).get(tweet.account, tweet.tweet_id)
    assert approval
    assert approval.state is ApprovalState.HELD
    assert "adds the link https://evil.example.net" in approval.reason
    assert output.posts == ()
    assert output.counts["held"] == 1


@pytest.mark.parametrize("model", [saying(OUT_OF_POLICY), None], ids=["refused twice", "no key"])
def test_what_the_account_has_posted_itself_is_not_proposed_to_it(model: FakeModel | None) -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    polished(rows, model)
    after = found(rows, tweet)
    assert (after.status, after.final_text) == (Status.NEEDS_HUMAN, None)
    approval = Approvals(rows).get(tweet.account, tweet.tweet_id)
    assert approval
    assert approval.proposed is None


def test_a_text_refused_twice_is_posted_as_it_came_where_the_type_says_so() -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    # Of another account: its own text is on the own account already.
    foreign = classified(account="nasa", tweet_id="77")
    stored(rows, foreign)
    run = a_run(account="nasa")
    polished(
        rows, saying(OUT_OF_POLICY), run=run, rules=some_policies(on_polish_failure="post_original")
    )
    after = found(rows, foreign)
    assert after.status is Status.APPROVED
    assert after.final_text == f"{TEXT} via @nasa"
    assert "as it came: the polished text" in after.history[-2].reason


def test_an_original_out_of_policy_is_held_even_where_originals_are_posted() -> None:
    rows = MemoryRows()
    tweet = classified(text="word " * 80)
    stored(rows, tweet)
    polished(rows, saying(OUT_OF_POLICY), rules=some_policies(on_polish_failure="post_original"))
    assert found(rows, tweet).status is Status.NEEDS_HUMAN
    assert found(rows, tweet).final_text is None


@pytest.mark.parametrize(
    "answer",
    [
        Unanswered("the model refused: no"),
        Unanswered("the model's answer is incomplete (max_output_tokens)"),
        Unanswered("the model answered nothing"),
        Unanswered("the model's answer has another shape"),
        {"text": ""},
        {"body": "x"},
    ],
)
def test_a_model_that_does_not_answer_the_question_leaves_the_tweet_to_a_person(
    answer: Any,
) -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    model = FakeModel(lambda data: answer)
    polished(rows, model)
    assert len(model.asked) == 2
    assert found(rows, tweet).status is Status.NEEDS_HUMAN


_FAILURES = [
    UpstreamTimeout("no answer within 20 s", provider="openai", endpoint="responses"),
    UpstreamUnavailable("answered 503", provider="openai", endpoint="responses", status=503),
    RateLimited("rate limit reached", provider="openai", endpoint="responses"),
    CreditsDepleted("no credits left", provider="openai", endpoint="responses", status=429),
    CredentialsRefused("answered 401", provider="openai", endpoint="responses", status=401),
]


_PASSING = [failure for failure in _FAILURES if isinstance(failure, RETRIED)]


@pytest.mark.parametrize("failure", _PASSING, ids=lambda failure: type(failure).__name__)
def test_a_model_that_cannot_be_reached_leaves_tweets_for_the_retry(failure: UpstreamError) -> None:
    rows = MemoryRows()
    two = [classified(tweet_id="1"), classified(tweet_id="2")]
    ready = a_tweet(tweet_id="3", status=Status.POLISHED, type=TweetType.REVIEW, text=TEXT)
    ready = ready.model_copy(update={"final_text": POLISHED})
    stored(rows, *two, ready)
    model = failing(failure)
    with pytest.raises(type(failure)):
        polished(rows, model)
    assert len(model.asked) == 1
    assert [found(rows, tweet).status for tweet in two] == [Status.CLASSIFIED] * 2
    assert found(rows, ready).status is Status.APPROVED
    polished(rows, saying(POLISHED))
    assert found(rows, two[0]).status is Status.APPROVED


@pytest.mark.parametrize("failure", _FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_model_that_fails_for_good_stops_no_post_that_is_ready(failure: UpstreamError) -> None:
    rows = MemoryRows()
    ready, late = classified(tweet_id="1"), classified(tweet_id="2", text="and one more 7/10")
    stored(rows, ready, late)

    def answer(data: Mapping[str, Any]) -> Any:
        if data["tweet"] != TEXT:
            raise failure
        return {"text": POLISHED}

    last = MOST_RETRIES + 1 if isinstance(failure, RETRIED) else 1
    output = polished(rows, FakeModel(answer), attempt=last)
    assert [post.tweet_id for post in output.posts] == ["1"]
    assert found(rows, late).status is Status.CLASSIFIED
    [problem] = output.model_dump(mode="json")["problems"]
    error = {"Error": type(failure).__name__, "Cause": str(failure)}
    assert problem == {"step": "PolishTweets", "error": error}
    assert output.counts["unpolished"] == 1


@pytest.mark.parametrize("failure", _FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_model_that_cannot_be_reached_posts_originals_where_the_type_says_so(
    failure: UpstreamError,
) -> None:
    rows = MemoryRows()
    tweet = classified(account="nasa")
    stored(rows, tweet)
    rules = some_policies(on_polish_failure="post_original")
    output = polished(rows, failing(failure), run=a_run(account="nasa"), rules=rules)
    assert found(rows, tweet).final_text == f"{TEXT} via @nasa"
    assert output.counts["originals"] == 1


@pytest.mark.parametrize("rule", ["hold", "post_original"])
def test_without_a_key_every_tweet_is_held(rule: str) -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    polished(rows, None, rules=some_policies(on_polish_failure=rule))
    after = found(rows, tweet)
    assert after.status is Status.NEEDS_HUMAN
    assert "openai/api_key is not set" in after.history[-1].reason


def test_what_the_policy_holds_waits_for_a_person_and_not_the_run_with_it() -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    output = polished(rows, saying(POLISHED), rules=some_policies(action="hold"))
    assert found(rows, tweet).status is Status.NEEDS_HUMAN
    assert found(rows, tweet).final_text == POLISHED
    assert (output.posts, output.approvals) == ((), ())


def test_in_mode_approve_every_post_waits_for_a_person() -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    output = polished(rows, saying(POLISHED), run=a_run(mode=Mode.APPROVE))
    assert found(rows, tweet).status is Status.POLISHED
    assert output.approvals == (tweet.tweet_id,)
    assert output.posts == ()


def waiting(rows: Rows, *, expires_at: datetime) -> Tweet:
    """A polished tweet about which another run has asked a person."""
    tweet = classified(status=Status.POLISHED, polished_text=POLISHED, final_text=POLISHED)
    stored(rows, tweet)
    question = asked(
        tweet, POLISHED, "why", some_policies(), posting_account=tweet.account, now=NOW
    )
    state = {"state": ApprovalState.WAITING, "workflow_id": "other", "expires_at": expires_at}
    assert Approvals(rows).wait(question.model_copy(update=state), SecretStr("token"), FakeTasks())
    return tweet


def test_a_tweet_about_which_a_person_was_asked_is_left_to_their_word() -> None:
    rows = MemoryRows()
    tweet = waiting(rows, expires_at=NOW + timedelta(seconds=1))
    output = polished(rows, saying(POLISHED))
    assert (output.posts, output.approvals) == ((), ())
    assert found(rows, tweet).status is Status.POLISHED
    again = polished(rows, saying(POLISHED), run=a_run(mode=Mode.APPROVE))
    assert again.approvals == (tweet.tweet_id,)


def test_once_the_time_for_the_word_is_over_the_tweet_is_held() -> None:
    rows = MemoryRows()
    tweet = waiting(rows, expires_at=NOW)
    output = polished(rows, saying(POLISHED))
    assert (output.posts, output.counts["held"]) == ((), 1)
    assert found(rows, tweet).status is Status.NEEDS_HUMAN
    approval = Approvals(rows).get(tweet.account, tweet.tweet_id)
    assert approval
    assert approval.state is ApprovalState.HELD


def test_a_run_of_one_type_leaves_the_others() -> None:
    rows = MemoryRows()
    review, news = classified(tweet_id="1"), classified(tweet_id="2", type=TweetType.NEWS)
    stored(rows, review, news)
    output = polished(rows, saying(POLISHED), run=a_run(tweet_type=TweetType.NEWS))
    assert found(rows, review).status is Status.CLASSIFIED
    assert [post.tweet_id for post in output.posts] == ["2"]


def test_no_more_than_the_limit_goes_to_be_posted() -> None:
    rows = MemoryRows()
    stored(rows, *(classified(tweet_id=str(n)) for n in range(1, 6)))
    output = polished(rows, saying(POLISHED), run=a_run(max_posts=2))
    assert [post.tweet_id for post in output.posts] == ["1", "2"]


def test_the_own_text_unchanged_is_not_posted_again() -> None:
    rows = MemoryRows()
    tweet = classified()
    stored(rows, tweet)
    polished(rows, saying(TEXT))
    assert found(rows, tweet).status is Status.SKIPPED
    assert "posted this very text itself" in found(rows, tweet).history[-1].reason


def test_a_text_of_an_earlier_run_is_judged_again_before_it_goes_out() -> None:
    rows = MemoryRows()
    tweet = a_tweet(status=Status.POLISHED, type=TweetType.REVIEW, text=TEXT)
    tweet = tweet.model_copy(update={"final_text": OUT_OF_POLICY})
    stored(rows, tweet)
    output = polished(rows, saying(POLISHED))
    assert found(rows, tweet).status is Status.NEEDS_HUMAN
    assert output.posts == ()


@pytest.mark.parametrize("rule", ["hold", "post_original"])
def test_no_attack_gets_through_an_obeying_model(rule: str) -> None:
    rows = MemoryRows()
    answers: dict[str, list[str]] = {}
    tweets = []
    for number, attack in enumerate(ATTACKS, start=1):
        tweet = classified(account="nasa", tweet_id=str(number), text=attack.tweet)
        answers.setdefault(clean(attack.tweet), []).append(attack.answer)
        tweets.append(tweet)

    def obey(data: Mapping[str, Any]) -> Any:
        queue = answers[str(data["tweet"])]
        # Both times it is asked about a tweet, the same.
        return {"text": queue[0] if "refused" not in data else queue.pop(0)}

    stored(rows, *tweets)
    run = a_run(account="nasa", max_posts=1000)
    polished(rows, FakeModel(obey), run=run, rules=some_policies(on_polish_failure=rule))
    approved = [found(rows, tweet) for tweet in tweets]
    for tweet in approved:
        assert tweet.status in {Status.NEEDS_HUMAN, Status.APPROVED}
        if tweet.status is Status.APPROVED:
            assert rule == "post_original"
            assert tweet.final_text == f"{clean(tweet.text)} via @nasa"
        if tweet.final_text:
            original = tweet.final_text.removesuffix(" via @nasa")
            assert judge(clean(tweet.text), original).ok
