"""The tweet pipeline as deployed: its definition, its handlers, its tables, and an X that fails.

Every Retry and Catch of the definition is taken here, every payload is held against the model of
its function, and the stand-in's own count of posts says what was posted.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any

import boto3
import pytest

from marquee import aws
from marquee.errors import Conflict, StoreUnavailable
from marquee.tweets.approval import ApprovalState
from marquee.tweets.finish import RunSummary
from marquee.tweets.models import LedgerState
from marquee.tweets.models import Status as TweetStatus
from marquee.workflows.record import Status, WorkflowRecord
from tests.support.definitions import catchers, retriers
from tests.support.state_machines import (
    Catch,
    Execution,
    Handler,
    Json,
    LambdaContext,
    Retry,
    failing,
)
from tests.support.templates import ROOT
from tests.support.tweet_pipeline import (
    APPROVAL_SECONDS,
    MACHINE,
    MODELS,
    OWN,
    TweetPipelines,
    ran,
    secrets,
    tweet_pipelines,
)
from tests.support.upstreams import Upstreams

DEFINITION = json.loads((ROOT / "statemachine" / f"{MACHINE}.asl.json").read_text())
RETRIED = retriers(DEFINITION)

STEPS = ("DownloadTweets", "ClassifyTweets", "PolishTweets")
HEAD = ("BeginRun", "Begin at which step?", *STEPS, "Anything left?", "Approval needed?")
POSTED = ("PublishTweet", "Outcome known?", "ReportPost")
TOO_BUSY = StoreUnavailable("too busy")

# Reviews, which the policy posts by itself, each with its hashtag.
FILMS = ("Dune", "Past Lives", "Arrival", "Paddington", "Gladiator", "Furiosa", "Oppenheimer")


def review(film: str) -> str:
    return f"Just watched {film} again. The pacing is perfect, 8/10"


def as_posted(film: str) -> str:
    return f"{review(film)} #FilmReview"


def tweeted(upstreams: Upstreams, count: int) -> list[str]:
    """Put so many reviews on the own timeline; their ids, the oldest first."""
    return [upstreams.tweet(OWN, review(film)) for film in FILMS[:count]]


@pytest.fixture
def pipelines(upstreams: Upstreams) -> Iterator[TweetPipelines]:
    with tweet_pipelines(upstreams) as installed:
        yield installed


def step_names(tweet_id: str) -> dict[str, str]:
    """What a record calls the states that work on one tweet."""
    names = {state: state for state in MODELS}
    for state in ("RequestApproval", "PublishTweet", "ReconcilePost"):
        names[state] = f"{state}/{tweet_id}"
    return names


# A run that goes well, in each mode


@dataclass(frozen=True)
class Finished:
    """All that a run left behind."""

    done: Execution
    record: WorkflowRecord
    summary: RunSummary
    events: list[tuple[str, dict[str, Any]]]
    posted: list[str]
    ids: list[str]


@pytest.fixture(scope="module")
def finished(server: Upstreams) -> Finished:
    server.reset()
    ids = tweeted(server, 2)
    with tweet_pipelines(server) as pipelines:
        listener = pipelines.listen()
        done = ran(pipelines, {"count": 2})
        return Finished(
            done, pipelines.record(), pipelines.summary(), listener.heard(), pipelines.posted(), ids
        )


def test_the_states_follow_each_other_without_detours(finished: Finished) -> None:
    assert finished.done.history == (*HEAD, "PublishTweets", *POSTED, *POSTED, "FinishRun")
    assert finished.done.output["status"] == "SUCCEEDED"
    assert (finished.done.retries, finished.done.catches, finished.done.waits) == ((), (), ())


def test_what_the_policy_approves_is_posted_once_the_oldest_first(finished: Finished) -> None:
    assert finished.posted == [as_posted("Dune"), as_posted("Past Lives")]
    tweets = finished.summary.tweets
    assert [tweet.tweet_id for tweet in tweets] == finished.ids
    assert [tweet.text for tweet in tweets] == finished.posted
    assert all(tweet.post_id and tweet.price_usd == 0.015 for tweet in tweets)
    assert finished.summary.statuses == {"POSTED": 2}
    assert finished.summary.missing == ()


def test_the_record_tells_of_every_step(finished: Finished) -> None:
    record = finished.record
    assert record.status is Status.SUCCEEDED
    posts = {f"PublishTweet/{tweet_id}" for tweet_id in finished.ids}
    assert set(record.steps) == {*STEPS, *posts, "FinishRun"}
    for step in record.steps.values():
        assert (step.status, step.attempts, step.error) == (Status.SUCCEEDED, 1, None)
    assert record.steps["DownloadTweets"].counts["downloaded"] == 2
    assert record.steps["DownloadTweets"].counts["cost_usd"] > 0
    assert record.steps["ClassifyTweets"].counts["by_model"] == 2
    assert record.steps["PolishTweets"].counts["approved"] == 2
    for tweet in finished.summary.tweets:
        counts = record.steps[f"PublishTweet/{tweet.tweet_id}"].counts
        assert (counts["state"], counts["post_id"]) == ("POSTED", tweet.post_id)


def test_posts_and_the_end_are_announced_on_the_bus(finished: Finished) -> None:
    names = [name for name, _ in finished.events]
    assert sorted(names) == [
        "PostPublished",
        "PostPublished",
        "TweetPipelineCompleted",
        "TweetsDownloaded",
    ]
    for _, detail in finished.events:
        assert detail["workflow_id"] == detail["correlation_id"] == "run"
    completed = dict(finished.events)["TweetPipelineCompleted"]
    assert (completed["status"], completed["tweets"]) == ("SUCCEEDED", {"POSTED": 2})
    assert dict(finished.events)["TweetsDownloaded"]["tweet_ids"] == finished.ids
    posts = [detail for name, detail in finished.events if name == "PostPublished"]
    for post, tweet in zip(posts, finished.summary.tweets, strict=True):
        facts = (post["tweet_id"], post["post_id"], post["price_usd"], post["type"])
        assert facts == (tweet.tweet_id, tweet.post_id, tweet.price_usd, tweet.type)


def test_the_history_holds_neither_a_secret_nor_a_text(finished: Finished) -> None:
    history = json.dumps(finished.done.events, default=str, ensure_ascii=False)
    tokens = json.loads(secrets()[f"{OWN}/oauth2_tokens"]).values()
    assert [word for word in (*secrets().values(), *tokens) if word in history] == []
    assert [text for text in finished.posted if text[:30] in history] == []


def test_a_dry_run_shows_what_would_be_posted_and_touches_nothing(
    pipelines: TweetPipelines,
) -> None:
    ids = tweeted(pipelines.upstreams, 2)
    done = ran(pipelines, {"count": 2, "dry_run": True})
    assert done.output["status"] == "SUCCEEDED"
    assert done.history == (*HEAD, "PublishTweets", "FinishRun")
    shown = {tweet.tweet_id: (tweet.text, tweet.reason) for tweet in pipelines.summary().tweets}
    assert shown == {
        tweet_id: (as_posted(film), "would be posted")
        for tweet_id, film in zip(ids, FILMS, strict=False)
    }
    assert pipelines.posted() == []
    assert all(item["tweet_id"].startswith("dry#") for item in pipelines.items())


def test_with_automatic_posting_switched_off_a_person_is_asked(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, auto=False) as pipelines:
        tweeted(upstreams, 1)
        done = ran(
            pipelines, {"mode": "auto"}, RequestApproval=pipelines.answering(decision="approve")
        )
        assert "RequestApproval" in done.history
        assert len(pipelines.posted()) == 1


def test_a_person_approves_edits_and_rejects_and_each_word_counts_once(
    pipelines: TweetPipelines,
) -> None:
    approved, edited, rejected = tweeted(pipelines.upstreams, 3)
    words: dict[str, dict[str, str]] = {
        approved: {"decision": "approve"},
        edited: {"decision": "edit", "text": "Past Lives again: the pacing is perfect, 8/10"},
        rejected: {"decision": "reject", "reason": "said too often"},
    }
    listener = pipelines.listen()
    ask = pipelines.handler("RequestApproval")

    def decide(event: Json, context: Any) -> Json:
        asked = ask(event, context)
        tweet_id = event["tweet_id"]
        first = pipelines.decide(tweet_id, **words[tweet_id])
        assert pipelines.decide(tweet_id, **words[tweet_id]) == first
        other = "approve" if tweet_id == rejected else "reject"
        with pytest.raises(Conflict):
            pipelines.decide(tweet_id, decision=other)
        return asked

    done = ran(pipelines, {"count": 3, "mode": "approve"}, RequestApproval=decide)
    assert done.history == (
        *HEAD,
        "AwaitApproval",
        *["RequestApproval"] * 3,
        "PublishTweets",
        *POSTED * 2,
        "FinishRun",
    )
    assert pipelines.posted() == [as_posted("Dune"), words[edited]["text"]]
    summary = pipelines.summary()
    assert [tweet.status for tweet in summary.tweets] == ["POSTED", "POSTED", "REJECTED"]
    assert summary.tweets[2].reason == "rejected: said too often"
    assert [name for name, _ in listener.heard()].count("ApprovalRequested") == 3
    assert pipelines.approvals().page(limit=10) == ([], None)


def test_what_nobody_decides_in_time_is_held_and_posted_after_a_later_word(
    pipelines: TweetPipelines,
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    done = ran(pipelines, {"mode": "approve"})
    assert done.catches == (Catch("RequestApproval", "States.Timeout", "HoldTweet"),)
    assert pipelines.record().status is Status.SUCCEEDED
    assert pipelines.summary().statuses == {"NEEDS_HUMAN": 1}
    [held], _ = pipelines.approvals().page(limit=10)
    assert held.state is ApprovalState.HELD

    again = ran(pipelines, {"mode": "approve", "from_step": "PolishTweets"}, name="again")
    assert "RequestApproval" not in again.history
    pipelines.decide(tweet_id, decision="approve")
    ran(pipelines, {"mode": "approve", "from_step": "PolishTweets"}, name="later")
    assert pipelines.posted() == [as_posted("Dune")]


# What a run leaves, the next one does


def test_a_step_that_fails_does_not_stop_the_run_and_the_next_runs_finish_what_it_left(
    pipelines: TweetPipelines,
) -> None:
    def broken(stem: str) -> Handler:
        return failing(pipelines.handler(stem), [KeyError("surprise")])

    [tweet_id] = tweeted(pipelines.upstreams, 1)
    done = ran(pipelines, {}, name="first", ClassifyTweets=broken("ClassifyTweets"))
    assert done.catches == (Catch("ClassifyTweets", "KeyError", "PolishTweets"),)
    assert pipelines.record("first").status is Status.PARTIAL
    assert pipelines.summary("first").missing == ("ClassifyTweets: KeyError: 'surprise'",)
    assert pipelines.tweet(tweet_id).status is TweetStatus.DOWNLOADED

    done = ran(
        pipelines,
        {},
        name="second",
        DownloadTweets=broken("DownloadTweets"),
        PolishTweets=broken("PolishTweets"),
    )
    assert done.catches == (
        Catch("DownloadTweets", "KeyError", "ClassifyTweets"),
        Catch("PolishTweets", "KeyError", "Anything left?"),
    )
    assert len(pipelines.summary("second").missing) == 2
    assert pipelines.tweet(tweet_id).status is TweetStatus.CLASSIFIED

    done = ran(pipelines, {"from_step": "PolishTweets"}, name="third")
    assert done.history[2:4] == ("PolishTweets", "Anything left?")
    assert pipelines.summary("third").statuses == {"POSTED": 1}
    assert pipelines.posted() == [as_posted("Dune")]


def test_a_model_that_fails_late_stops_no_post_that_is_ready(pipelines: TweetPipelines) -> None:
    _, late = tweeted(pipelines.upstreams, 2)
    polish = pipelines.handler("PolishTweets")

    def failing_from_the_second_question_on(event: Json, context: Any) -> Json:
        often = {"every": 2} if event["attempt"] == 1 else {"count": 1}
        pipelines.upstreams.fault("openai", "status", status=503, **often)
        return polish(event, context)

    done = ran(pipelines, {"count": 2}, PolishTweets=failing_from_the_second_question_on)
    assert [retry.error for retry in done.retries] == ["UpstreamUnavailable"] * 3
    assert done.catches == ()
    assert pipelines.posted() == [as_posted("Dune")]
    assert pipelines.record().status is Status.PARTIAL
    [missing] = pipelines.summary().missing
    assert missing.startswith("PolishTweets: UpstreamUnavailable: openai responses: answered 503")
    assert pipelines.tweet(late).status is TweetStatus.CLASSIFIED


def test_where_a_step_fails_and_nothing_is_taken_up_the_run_has_failed(
    pipelines: TweetPipelines,
) -> None:
    down = failing(pipelines.handler("DownloadTweets"), [KeyError("surprise")])
    ran(pipelines, {}, DownloadTweets=down)
    record = pipelines.record()
    assert record.status is Status.FAILED
    assert record.error is not None
    assert (record.error.name, record.error.message) == ("KeyError", "'surprise'")


def test_a_run_from_a_step_on_asks_x_for_nothing_and_finds_nothing_to_do(
    pipelines: TweetPipelines,
) -> None:
    done = ran(pipelines, {"from_step": "ClassifyTweets"})
    assert done.history[2] == "ClassifyTweets"
    assert done.output == {
        "workflow_id": "run",
        "status": "SUCCEEDED",
        "counts": {"tweets": 0},
    }
    assert pipelines.summary().tweets == ()
    assert pipelines.upstreams.calls() == []


def test_a_request_that_is_wrong_fails_and_the_end_of_the_execution_closes_the_record(
    pipelines: TweetPipelines,
) -> None:
    done = pipelines.run({"count": 1000})
    assert done.catches == (Catch("DownloadTweets", "BadInput", "RunFailed"),)
    assert (done.status, done.error) == ("FAILED", "RunFailed")
    pipelines.invoke("CloseExecution", pipelines.end_of(done))
    record = pipelines.record()
    assert record.status is Status.FAILED
    assert record.error is not None
    assert record.error.message.startswith("BadInput: request.count")


def test_where_the_end_fails_the_posts_are_made_and_the_record_says_why(
    pipelines: TweetPipelines,
) -> None:
    tweeted(pipelines.upstreams, 1)
    down = failing(pipelines.handler("FinishRun"), [TOO_BUSY] * 4)
    done = ran(pipelines, {}, FinishRun=down)
    assert done.catches == (Catch("FinishRun", "StoreUnavailable", "RunFailed"),)
    pipelines.invoke("CloseExecution", pipelines.end_of(done))
    assert pipelines.record().status is Status.FAILED
    assert pipelines.posted() == [as_posted("Dune")]


# Every Retry

IN_ONE_RUN = 3
"""Errors that a state gets over in one run: its attempts after the first."""


@pytest.mark.parametrize(
    "errors", list(batched(sorted({error for _, error in RETRIED}), IN_ONE_RUN, strict=False))
)
def test_every_state_that_retries_an_error_gets_over_it(
    pipelines: TweetPipelines, errors: Sequence[str]
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    # X has the post and its answer is lost: so the run goes by way of ReconcilePost.
    pipelines.upstreams.fault("x", "lost", route="/2/tweets")
    handlers = {state: pipelines.handler(state) for state in MODELS}
    handlers["RequestApproval"] = pipelines.answering(decision="approve")
    met = {state: [error for error in errors if (state, error) in RETRIED] for state in MODELS}
    broken = {state: failing(handlers[state], met[state]) for state in MODELS}
    done = ran(pipelines, {"mode": "approve"}, broken)
    assert done.output["status"] == "SUCCEEDED"
    assert done.catches == ()
    assert done.retries == tuple(
        Retry(state, error, 2**number)
        for state in MODELS
        for number, error in enumerate(met[state], start=1)
    )
    steps, names = pipelines.record().steps, step_names(tweet_id)
    assert {state: steps[names[state]].attempts for state in MODELS} == {
        state: 1 + len(met[state]) for state in MODELS
    }
    assert pipelines.posted() == [as_posted("Dune")]


def test_every_retry_is_taken_by_the_test_above() -> None:
    assert {state for state, _ in RETRIED} == set(MODELS)


# Every Catch of the posts and approvals; those of the steps are taken above


def test_what_proves_that_nothing_was_sent_is_reported_and_left_to_the_next_run(
    pipelines: TweetPipelines,
) -> None:
    sure = [
        error
        for state, error in catchers(DEFINITION)
        if state == "PublishTweet" and error != "States.ALL"
    ]
    ids = tweeted(pipelines.upstreams, len(sure))
    publish = pipelines.handler("PublishTweet")
    for tweet_id, error in zip(ids, sure, strict=True):
        publish = failing(publish, [error] * 4, when=about(tweet_id))
    done = ran(pipelines, {"count": len(sure)}, PublishTweet=publish)
    assert done.catches == tuple(Catch("PublishTweet", error, "ReportPost") for error in sure)
    assert pipelines.posted() == []
    summary = pipelines.summary()
    assert summary.statuses == {"APPROVED": len(sure)}
    for tweet_id, error, missing in zip(ids, sure, summary.missing, strict=True):
        assert missing.startswith(f"PublishTweet/{tweet_id}: {error}: ")
    ran(pipelines, {"from_step": "PolishTweets"}, name="next")
    assert pipelines.posted() == [as_posted(film) for film in FILMS[: len(sure)]]


def about(tweet_id: str) -> Any:
    return lambda event: event["tweet_id"] == tweet_id


def after_its_effect(handler: Handler, error: str) -> Handler:
    """A function that is killed once, when its work is done."""
    killed = failing(lambda event, context: None, [error])

    def work(event: Json, context: Any) -> Json:
        done = handler(event, context)
        killed(event, context)
        return done

    return work


def test_an_invocation_that_is_killed_is_looked_up_and_never_sent_twice(
    pipelines: TweetPipelines,
) -> None:
    ids = tweeted(pipelines.upstreams, 2)
    # Of the first one our own ledger has no answer either, and X shows it late.
    pipelines.upstreams.fault("x", "lost", route="/2/tweets")
    pipelines.upstreams.x(lag_seconds=60)
    publish = pipelines.handler("PublishTweet")
    killed = ("Sandbox.Timedout", "States.Timeout")
    handlers = {
        tweet_id: after_its_effect(publish, error)
        for tweet_id, error in zip(ids, killed, strict=True)
    }
    done = ran(
        pipelines,
        {"count": 2},
        PublishTweet=lambda event, context: handlers[event["tweet_id"]](event, context),
    )
    assert done.catches == tuple(Catch("PublishTweet", error, "Outcome known?") for error in killed)
    assert done.history.count("PublishTweet") == 2
    assert [wait.state for wait in done.waits] == ["WaitToLook"] * 3
    assert done.history.count("ReconcilePost") == 3
    looks = [payload["step"] for payload in done.payloads(pipelines.arn("ReconcilePost"))]
    first, second = (f"ReconcilePost/{tweet_id}" for tweet_id in ids)
    assert looks == [first, f"{first}/2", second]
    assert pipelines.summary().statuses == {"POSTED": 2}
    assert pipelines.posted() == [as_posted("Dune"), as_posted("Past Lives")]


def test_a_post_that_got_lost_on_its_way_is_proved_absent_and_sent_again(
    pipelines: TweetPipelines,
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    pipelines.upstreams.fault("x", "reset", route="/2/tweets")
    done = ran(pipelines, {})
    assert [state for state in done.history if state.startswith("WaitTo")][-1] == "WaitToSend"
    assert done.history.count("PublishTweet") == 2
    entry = pipelines.entry(tweet_id)
    assert entry is not None
    assert (entry.state, entry.times_absent) == (LedgerState.POSTED, 1)
    assert [change.to for change in entry.history] == [
        "CLAIMED",
        "SENDING",
        "UNKNOWN",
        "CLAIMED",
        "SENDING",
        "POSTED",
    ]
    assert 600 <= pipelines.clock.passed.total_seconds() < 1800
    assert pipelines.posted() == [as_posted("Dune")]


def test_an_invocation_that_is_killed_before_its_effect_loses_nothing(
    pipelines: TweetPipelines,
) -> None:
    tweeted(pipelines.upstreams, 1)
    killed = failing(pipelines.handler("PublishTweet"), ["Sandbox.Timedout"])
    done = ran(pipelines, {}, PublishTweet=killed)
    assert done.catches == (
        Catch("PublishTweet", "Sandbox.Timedout", "Outcome known?"),
        Catch("ReconcilePost", "NotFound", "ReportPost"),
    )
    assert pipelines.posted() == []
    assert pipelines.record().status is Status.PARTIAL
    ran(pipelines, {}, name="next")
    assert pipelines.posted() == [as_posted("Dune")]


def test_what_only_an_operator_can_mend_is_reported_at_once_and_posted_when_it_is_mended(
    pipelines: TweetPipelines,
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    ssm = aws.client("ssm")
    name = f"{pipelines.settings.parameter_prefix}/{OWN}/client_id"
    client_id = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    publish = pipelines.handler("PublishTweet")

    def withdrawn(event: Json, context: Any) -> Json:
        ssm.delete_parameter(Name=name)
        return publish(event, context)

    done = ran(pipelines, {}, PublishTweet=withdrawn)
    assert done.catches == (Catch("PublishTweet", "Misconfigured", "ReportPost"),)
    assert (done.retries, done.waits) == ((), ())
    problem, _ = pipelines.summary().missing
    said = f"Misconfigured: the SSM parameter {name} is not set"
    assert problem == f"PublishTweet/{tweet_id}: {said}"
    pipelines.clock.wait(360)
    assert pipelines.invoke("SweepPosts", {})["failed"] == [f"{tweet_id}: {said}"]
    assert pipelines.posted() == []
    ssm.put_parameter(Name=name, Value=client_id, Type="SecureString")
    ran(pipelines, {}, name="next")
    assert pipelines.posted() == [as_posted("Dune")]


def test_where_x_takes_no_more_the_run_waits_for_its_window(pipelines: TweetPipelines) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    opens = pipelines.clock.now().timestamp() + 600
    refuse(pipelines.upstreams, opens)
    done = ran(pipelines, {})
    waited = ("PublishTweet", "Outcome known?", "WaitToSend")
    assert done.history[len(HEAD) :] in {
        ("PublishTweets", *waited * turns, *POSTED, "FinishRun") for turns in (1, 2)
    }
    # The reset is known to the second: the quota opens one later.
    assert 590 < sum(wait.seconds for wait in done.waits) <= 602
    assert pipelines.posted() == [as_posted("Dune")]
    counts = pipelines.record().steps[f"PublishTweet/{tweet_id}"].counts
    assert counts["state"] == "CLAIMED"
    assert datetime.fromisoformat(counts["wait_until"]).timestamp() == int(opens)


def test_after_half_an_hour_the_run_ends_and_the_sweep_goes_on_with_what_is_open(
    pipelines: TweetPipelines,
) -> None:
    ids = tweeted(pipelines.upstreams, 2)
    refuse(pipelines.upstreams, pipelines.clock.now().timestamp() + 3000)
    done = ran(pipelines, {"count": 2})
    assert done.waits == ()
    assert pipelines.record().status is Status.PARTIAL
    missing = pipelines.summary().missing
    assert missing[0].startswith(f"the post of {ids[0]} is CLAIMED (X answered 429")
    # X is not asked about the other one: it would say the same.
    assert missing[1].startswith(f"the post of {ids[1]} is CLAIMED")
    assert all(each.endswith(": the sweep goes on with it") for each in missing)
    assert [call["status"] for call in posts(pipelines)] == [429]
    pipelines.clock.wait(3060)
    swept = pipelines.invoke("SweepPosts", {})
    assert [outcome["state"] for outcome in swept["outcomes"]] == ["POSTED", "POSTED"]
    assert sorted(pipelines.posted()) == [as_posted("Dune"), as_posted("Past Lives")]


def posts(pipelines: TweetPipelines) -> list[Json]:
    """The calls that were to post something."""
    calls = pipelines.upstreams.calls()
    return [call for call in calls if (call["method"], call["path"]) == ("POST", "/2/tweets")]


def test_a_run_waits_for_the_slot_to_read_x(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, quotas="x/users/by/username=1/60") as pipelines:
        tweeted(upstreams, 1)
        pipelines.use_up("x", "users/by/username", OWN)
        done = ran(pipelines, {})
        assert done.catches == (Catch("DownloadTweets", "SlotAhead", "WaitToDownload"),)
        [wait] = done.waits
        assert (wait.state, 50 < wait.seconds <= 63) == ("WaitToDownload", True)
        assert pipelines.posted() == [as_posted("Dune")]


def test_a_run_waits_for_x_to_get_over_a_fault_of_which_it_is_known_how_long_they_last(
    pipelines: TweetPipelines,
) -> None:
    tweeted(pipelines.upstreams, 1)
    pipelines.teach("x", "UpstreamUnavailable/503", outlasted=2.1, over_by=4)
    pipelines.upstreams.fault("x", "status", status=503)
    done = ran(pipelines, {})
    assert done.catches == (Catch("DownloadTweets", "RetryAhead", "WaitToDownload"),)
    [wait] = done.waits
    assert (wait.state, 2 <= wait.seconds <= 8) == ("WaitToDownload", True)
    assert done.retries == ()
    assert pipelines.record().steps["DownloadTweets"].attempts == 2
    assert pipelines.posted() == [as_posted("Dune")]


def test_a_post_without_a_slot_is_untouched_until_its_slot_comes(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, quotas="x/tweets=1/60") as pipelines:
        ids = tweeted(upstreams, 2)
        done = ran(pipelines, {"count": 2})
        assert done.catches == ()
        [wait] = done.waits
        assert (wait.state, 40 < wait.seconds <= 63) == ("WaitToSend", True)
        assert pipelines.posted() == [as_posted("Dune"), as_posted("Past Lives")]
        first = pipelines.record().steps[f"PublishTweet/{ids[1]}"].counts
        assert first["state"] == "CLAIMED"
        assert "calls" not in first
        entry = pipelines.entry(ids[1])
        assert entry is not None
        assert [change.to for change in entry.history] == ["CLAIMED", "SENDING", "POSTED"]


def test_a_post_in_doubt_is_looked_for_when_there_is_a_slot(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, quotas="x/users/tweets=1/300") as pipelines:
        [tweet_id] = tweeted(upstreams, 1)
        upstreams.fault("x", "lost", route="/2/tweets")
        done = ran(pipelines, {})
        assert done.catches == ()
        assert [wait.state for wait in done.waits] == ["WaitToLook", "WaitToLook"]
        assert sum(wait.seconds for wait in done.waits) > 200
        entry = pipelines.entry(tweet_id)
        assert entry is not None
        assert entry.state is LedgerState.POSTED
        assert pipelines.posted() == [as_posted("Dune")]


def test_what_may_not_be_paid_for_is_left_unsent_with_the_reason(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, caps="x.day=0.03") as pipelines:
        [tweet_id] = tweeted(upstreams, 1)
        done = ran(pipelines, {})
        assert done.catches == (Catch("PublishTweet", "SpendRefused", "ReportPost"),)
        assert pipelines.posted() == []
        missing = pipelines.summary().missing[0]
        assert missing.startswith(f"PublishTweet/{tweet_id}: SpendRefused: x tweets: x may cost")
        entry = pipelines.entry(tweet_id)
        assert entry is not None
        assert entry.state is LedgerState.CLAIMED
        # The sweep leaves it, and says why.
        pipelines.clock.wait(600)
        swept = pipelines.invoke("SweepPosts", {})
        assert swept["outcomes"] == []
        assert "SpendRefused" in swept["failed"][0]
        assert posts(pipelines) == []


def test_the_sweep_leaves_what_has_no_slot(upstreams: Upstreams) -> None:
    with tweet_pipelines(upstreams, quotas="x/tweets=1/7200") as pipelines:
        [tweet_id] = tweeted(upstreams, 1)
        pipelines.use_up("x", "tweets", OWN)
        done = ran(pipelines, {})
        assert done.waits == ()
        pipelines.clock.wait(600)
        swept = pipelines.invoke("SweepPosts", {})
        assert swept["failed"] == []
        assert [outcome["state"] for outcome in swept["outcomes"]] == ["CLAIMED"]
        entry = pipelines.entry(tweet_id)
        assert entry is not None
        assert entry.state is LedgerState.CLAIMED
        assert posts(pipelines) == []


def refuse(upstreams: Upstreams, until: float) -> None:
    """Let X refuse the next post, and say when it takes one again."""
    headers = {"x-rate-limit-reset": str(int(until)), "x-rate-limit-remaining": "0"}
    upstreams.fault("x", "status", status=429, route="/2/tweets", headers=headers)


def test_a_post_that_cannot_be_looked_for_is_left_to_the_sweep(pipelines: TweetPipelines) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    pipelines.upstreams.fault("x", "lost", route="/2/tweets")
    blind = failing(pipelines.handler("ReconcilePost"), [TOO_BUSY] * 4)
    done = ran(pipelines, {}, ReconcilePost=blind)
    assert done.catches == (Catch("ReconcilePost", "StoreUnavailable", "ReportPost"),)
    problem, missing = pipelines.summary().missing
    assert problem == f"PublishTweet/{tweet_id}: StoreUnavailable: too busy"
    assert missing.startswith(f"the post of {tweet_id} is UNKNOWN (")
    pipelines.clock.wait(180)
    pipelines.invoke("SweepPosts", {})
    entry = pipelines.entry(tweet_id)
    assert entry is not None
    assert entry.state is LedgerState.POSTED
    assert pipelines.posted() == [as_posted("Dune")]


def test_what_x_refuses_is_said_and_the_run_is_partial(pipelines: TweetPipelines) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    pipelines.upstreams.fault("x", "status", status=402, route="/2/tweets")
    ran(pipelines, {})
    assert pipelines.record().status is Status.PARTIAL
    [missing] = pipelines.summary().missing
    assert missing.startswith(f"the post of {tweet_id} is REJECTED: X answered 402")


def test_a_text_that_was_posted_lately_is_skipped_with_the_reason(
    pipelines: TweetPipelines,
) -> None:
    first = pipelines.upstreams.tweet(OWN, review("Dune"))
    pipelines.upstreams.tweet(OWN, review("Dune"))
    ran(pipelines, {"count": 2})
    posted, skipped = pipelines.summary().tweets
    assert (posted.status, skipped.status) == ("POSTED", "SKIPPED")
    assert skipped.reason == f"the text is that of tweet {first}"
    assert pipelines.posted() == [as_posted("Dune")]


def test_an_approval_that_cannot_be_asked_for_holds_up_no_other(pipelines: TweetPipelines) -> None:
    lost, _ = tweeted(pipelines.upstreams, 2)
    ask = failing(pipelines.answering(decision="approve"), [KeyError("surprise")], when=about(lost))
    done = ran(pipelines, {"count": 2, "mode": "approve"}, RequestApproval=ask)
    assert done.catches == (Catch("RequestApproval", "KeyError", "HoldTweet"),)
    assert pipelines.summary().missing == (f"RequestApproval/{lost}: KeyError: 'surprise'",)
    assert pipelines.posted() == [as_posted("Past Lives")]
    ran(
        pipelines,
        {"mode": "approve"},
        name="next",
        RequestApproval=pipelines.answering(decision="approve"),
    )
    assert pipelines.posted() == [as_posted("Past Lives"), as_posted("Dune")]


@pytest.mark.parametrize(
    ("map_", "task", "next_state"),
    [
        ("AwaitApproval", "RequestApproval", "PublishTweets"),
        ("PublishTweets", "PublishTweet", "FinishRun"),
    ],
)
def test_a_map_that_breaks_leaves_the_run_to_go_on(
    pipelines: TweetPipelines, map_: str, task: str, next_state: str
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    definition = pipelines.definition()
    inside = definition["States"][map_]["ItemProcessor"]["States"]
    # With it no item breaks the Map: what does is a fault of Step Functions itself.
    del inside[task]["Catch"]
    inside.pop("HoldTweet", None)
    handlers = {"RequestApproval": pipelines.answering(decision="approve")}
    handlers[task] = failing(pipelines.handler(task), [KeyError("surprise")])
    done = ran(pipelines, {"mode": "approve"}, handlers, definition=definition)
    assert done.catches == (Catch(map_, "KeyError", next_state),)
    assert pipelines.record().status is Status.PARTIAL
    assert pipelines.summary().missing[0].startswith(f"{map_}: KeyError: ")
    assert [tweet.tweet_id for tweet in pipelines.summary().tweets] == [tweet_id]


def test_every_catch_is_taken_by_one_of_the_tests_above() -> None:
    taken = {
        ("DownloadTweets", "BadInput"),
        ("DownloadTweets", "SlotAhead"),
        ("DownloadTweets", "RetryAhead"),
        ("RequestApproval", "States.Timeout"),
        *(pair for pair in catchers(DEFINITION) if pair[0] == "PublishTweet"),
        *((state, "States.ALL") for state in (*MODELS, "AwaitApproval", "PublishTweets")),
    }
    assert set(catchers(DEFINITION)) == taken


def test_a_function_that_is_called_again_changes_nothing(pipelines: TweetPipelines) -> None:
    tweeted(pipelines.upstreams, 1)
    listener = pipelines.listen()
    done = ran(pipelines, {})
    record, heard = pipelines.record(), listener.heard()
    for call in done.calls:
        pipelines.handlers[call.function](call.payload, LambdaContext(call.function))
    after = pipelines.record()
    assert (after.status, after.ended_at, after.result) == (
        record.status,
        record.ended_at,
        record.result,
    )
    assert sorted(name for name, _ in heard) == [
        "PostPublished",
        "TweetPipelineCompleted",
        "TweetsDownloaded",
    ]
    assert listener.heard() == []
    assert pipelines.posted() == [as_posted("Dune")]


# Runs that die while they wait


def stopped(pipelines: TweetPipelines, name: str) -> Handler:
    """RequestApproval whose execution is canceled while it waits for the answer."""
    ask = pipelines.handler("RequestApproval")

    def handle(event: Json, context: Any) -> Json:
        asked = ask(event, context)
        stepfunctions = boto3.client("stepfunctions")
        [machine] = stepfunctions.list_state_machines()["stateMachines"]
        arn = machine["stateMachineArn"].replace(":stateMachine:", ":execution:")
        stepfunctions.stop_execution(executionArn=f"{arn}:{name}")
        return asked

    return handle


def test_what_a_canceled_run_asked_waits_for_the_word_and_no_run_goes_over_it(
    pipelines: TweetPipelines,
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    listener = pipelines.listen()
    done = ran(pipelines, {"mode": "approve"}, RequestApproval=stopped(pipelines, "run"))
    assert done.history[-1] == "RequestApproval"
    pipelines.invoke("CloseExecution", pipelines.end_of(done, status="ABORTED"))
    assert pipelines.record().status is Status.CANCELED

    ran(pipelines, {"mode": "auto"}, name="soon")
    [tweet] = pipelines.summary("soon").tweets
    assert (tweet.status, tweet.reason) == (
        "POLISHED",
        "run has asked a person, and nobody has decided yet",
    )
    pipelines.clock.wait(APPROVAL_SECONDS)
    ran(pipelines, {"mode": "auto"}, name="later")
    assert pipelines.summary("later").statuses == {"NEEDS_HUMAN": 1}
    assert pipelines.posted() == []
    assert [name for name, _ in listener.heard()].count("ApprovalRequested") == 1

    pipelines.decide(tweet_id, decision="approve")
    ran(pipelines, {"mode": "auto"}, name="last")
    assert pipelines.posted() == [as_posted("Dune")]


def test_a_run_that_asks_before_every_post_takes_the_place_of_one_that_died(
    pipelines: TweetPipelines,
) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    ran(pipelines, {"mode": "approve"}, RequestApproval=stopped(pipelines, "run"))

    def ask_while_one_is_open(event: Json, context: Any) -> Json:
        [open_], _ = pipelines.approvals().page(limit=10)
        assert (open_.tweet_id, open_.workflow_id) == (tweet_id, "run")
        return pipelines.answering(decision="approve")(event, context)

    done = ran(pipelines, {"mode": "approve"}, name="next", RequestApproval=ask_while_one_is_open)
    assert done.catches == ()
    assert pipelines.posted() == [as_posted("Dune")]
    assert pipelines.approvals().page(limit=10) == ([], None)


def test_a_word_given_after_a_run_died_is_acted_on_by_the_next(pipelines: TweetPipelines) -> None:
    [tweet_id] = tweeted(pipelines.upstreams, 1)
    ran(pipelines, {"mode": "approve"}, RequestApproval=stopped(pipelines, "run"))
    pipelines.decide(tweet_id, decision="approve")
    done = ran(pipelines, {"mode": "approve"}, name="next")
    assert "RequestApproval" not in done.history
    assert pipelines.posted() == [as_posted("Dune")]
