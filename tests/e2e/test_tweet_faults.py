"""What breaks while tweets are posted, end to end on the laptop cloud.

The stand-in's own list of posts is the judge: whatever broke, nothing is there twice and nothing is
lost, and what is there holds to the output policy. No secret is told.
"""

import json
import re
import signal
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from itertools import batched

import pytest

from marquee_cli.upstreams.weighing import LONGEST, weighted_length
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import Deployed, Json, deployed_in, eventually
from tests.e2e.test_tweet_pipeline import (
    ACCOUNT,
    SCALE_OF_LONG_WAITS,
    Pipeline,
    outcomes,
    pass_time_of,
)
from tests.unit.tweets.attacks import ATTACKS

MACHINE = "TweetPipeline"
POSTS = "/2/tweets"
HELD_BACK_SECONDS = 3.0
"""How long X's answer is on its way: time to break something meanwhile."""
SWEPT_AFTER = timedelta(minutes=6)
"""Longer than a post may stand in any state before the sweep takes it up."""


@pytest.fixture(scope="module")
def running(cloud: RunningCloud) -> Iterator[Pipeline]:
    """The pipeline, its workers warm, and all that its account said before read.

    The tweets of these tests, many of which wait for a person, are forgotten after them.
    """
    with deployed_in(cloud) as deployed:
        deployed.calm()
        pipeline = warmed(Pipeline(deployed))
        before = tweet_keys(deployed)
        yield pipeline
        for account, tweet_id in tweet_keys(deployed) - before:
            deployed.aws("dynamodb").delete_item(
                TableName=deployed.cloud.outputs["TweetsTableName"],
                Key={"account": {"S": account}, "tweet_id": {"S": tweet_id}},
            )


def tweet_keys(deployed: Deployed) -> set[tuple[str, str]]:
    """The keys of all rows about tweets and approvals."""
    return {(row["account"]["S"], row["tweet_id"]["S"]) for row in deployed.items("Tweets")}


def warmed(pipeline: Pipeline) -> Pipeline:
    """The pipeline, having read what was on its timeline before."""
    pipeline.tweet("The projector hums before anybody is in.")
    status = pipeline.run(count=1)
    assert status["status"] == "SUCCEEDED", status
    return pipeline


@pytest.fixture
def pipeline(running: Pipeline) -> Iterator[Pipeline]:
    """The pipeline with upstreams that work, also after the test."""
    running.deployed.calm()
    yield running
    running.deployed.calm()


def assert_balanced(pipeline: Pipeline, *tweet_ids: str) -> dict[str, str]:
    """Every post of X is of one of these tweets, and no two of the same; the states of their posts.

    Read from the tables and from X, past all that Marquee says of itself.
    """
    made = {post["id"]: post["text"] for post in pipeline.deployed.upstreams.posts()}
    keys = {tweet_id.zfill(20): tweet_id for tweet_id in tweet_ids}

    def rows(table: str) -> dict[str, Json]:
        found = pipeline.deployed.items(table)
        return {
            keys[item["tweet_id"]["S"]]: item
            for item in found
            if item["account"]["S"] == ACCOUNT and item["tweet_id"]["S"] in keys
        }

    tweets, entries = rows("Tweets"), rows("Posts")
    assert set(tweets) == set(tweet_ids), "lost"
    posted = {
        tweet_id: entry["post_id"]["S"] for tweet_id, entry in entries.items() if "post_id" in entry
    }
    assert sorted(posted.values()) == sorted(made), "not each post of X is one tweet's"
    assert len(set(made.values())) == len(made), "X has a text twice"
    for tweet_id, post_id in posted.items():
        assert made[post_id] == entries[tweet_id]["text"]["S"], "not as it was frozen"
        assert entries[tweet_id]["state"]["S"] == tweets[tweet_id]["status"]["S"] == "POSTED"
    waiting = {"NEEDS_HUMAN", "SKIPPED", "REJECTED"}
    states = {
        tweet_id: entries[tweet_id]["state"]["S"] if tweet_id in entries else tweet["status"]["S"]
        for tweet_id, tweet in tweets.items()
    }
    pending = {tweet_id for tweet_id, state in states.items() if state not in waiting | {"POSTED"}}
    assert pending == set(), "not at rest"
    return states


def assert_posted_once(pipeline: Pipeline, *tweet_ids: str) -> None:
    """X has one post of each tweet, and no other."""
    states = assert_balanced(pipeline, *tweet_ids)
    assert states == dict.fromkeys(tweet_ids, "POSTED")


def sent(pipeline: Pipeline) -> int:
    """How often X was asked to post."""
    return [call["path"] for call in pipeline.deployed.upstreams.calls("x")].count(POSTS)


def became(pipeline: Pipeline, tweet_id: str) -> list[str]:
    """The states that a post went through."""
    entry = pipeline.post_of(tweet_id)
    assert entry is not None
    return [change["to"] for change in entry["history"]]


def hold_back(pipeline: Pipeline, *, after_effect: bool = True) -> None:
    """Let X have the next post, or get it at last, while its answer is awaited."""
    pipeline.deployed.upstreams.fault(
        "x", "delay", route=POSTS, seconds=HELD_BACK_SECONDS, after_effect=after_effect
    )


def failures(pipeline: Pipeline, workflow_id: str) -> list[str]:
    """The errors that Step Functions saw, in their order."""
    return [
        event["taskFailedEventDetails"]["error"]
        for event in pipeline.deployed.history(workflow_id, MACHINE)
        if event["type"] == "TaskFailed"
    ]


# One post, and what breaks around it


def test_a_gateway_error_after_the_effect_is_looked_up_and_not_sent_again(
    pipeline: Pipeline,
) -> None:
    tweet_id = pipeline.tweet("Stalker, seen in a flooded basement. 9/10, bring boots.")
    pipeline.deployed.upstreams.fault("x", "status", route=POSTS, status=503, after_effect=True)
    status = pipeline.run()
    assert status["status"] == "SUCCEEDED"
    assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING", "UNKNOWN", "POSTED"]
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


def test_a_function_killed_between_the_post_and_its_confirmation_does_not_post_again(
    pipeline: Pipeline,
) -> None:
    tweet_id = pipeline.tweet("Rashomon, told by four ushers. 9/10, all of them right.")
    hold_back(pipeline)
    workflow_id = pipeline.start(count=10)
    eventually(pipeline.posted)
    kill(pipeline.deployed, "PublishTweetFunction")
    status = pipeline.deployed.ended(workflow_id)
    assert status["status"] == "SUCCEEDED"
    assert len(failures(pipeline, workflow_id)) == 1
    assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING", "UNKNOWN", "POSTED"]
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


def kill(deployed: Deployed, *functions: str) -> None:
    """End every process that runs these functions, in the middle of what it does."""
    for worker in deployed.workers(*functions):
        worker.send(signal.SIGKILL)


def test_a_post_that_dynamodb_does_not_take_down_is_looked_up_by_the_run(
    pipeline: Pipeline,
) -> None:
    tweet_id = pipeline.tweet("Playtime on the big wall of the gym. 10/10, mind the ropes.")
    hold_back(pipeline)
    workflow_id = pipeline.start(count=10)
    eventually(pipeline.posted)
    with refusing_writes(pipeline.deployed, "PublishTweetFunction"):
        status = pipeline.deployed.ended(workflow_id)
    assert status["status"] == "SUCCEEDED"
    assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING", "UNKNOWN", "POSTED"]
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


def test_what_a_run_cannot_settle_the_sweep_settles_without_sending(pipeline: Pipeline) -> None:
    tweet_id = pipeline.tweet("Yi Yi with the balcony door open. 9/10, cool and quiet.")
    hold_back(pipeline)
    workflow_id = pipeline.start(count=10)
    eventually(pipeline.posted)
    with refusing_writes(pipeline.deployed, "PublishTweetFunction", "ReconcilePostFunction"):
        status = pipeline.deployed.ended(workflow_id)
        assert status["status"] == "PARTIAL"
        assert any("the sweep goes on with it" in words for words in status["result"]["missing"])
        assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING"]
    make_older(pipeline, tweet_id, SWEPT_AFTER)
    swept = pipeline.deployed.invoke("SweepPostsFunction")
    assert tweet_id in {outcome["tweet_id"] for outcome in swept["outcomes"]}
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


@contextmanager
def refusing_writes(deployed: Deployed, *functions: str) -> Iterator[None]:
    """Let DynamoDB take nothing of these functions about a post until the block ends."""
    table = deployed.aws("dynamodb").describe_table(
        TableName=deployed.cloud.outputs["PostsTableName"]
    )
    writes = {
        "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
        "Resource": table["Table"]["TableArn"],
    }
    with ExitStack() as denied:
        for function in functions:
            denied.enter_context(deployed.denied(function, writes))
        yield


def make_older(pipeline: Pipeline, tweet_id: str, age: timedelta) -> None:
    """Let a post's entry have changed that long ago."""
    then = (datetime.now(UTC) - age).isoformat(timespec="milliseconds")
    pipeline.deployed.aws("dynamodb").update_item(
        TableName=pipeline.deployed.cloud.outputs["PostsTableName"],
        Key={"account": {"S": ACCOUNT}, "tweet_id": {"S": tweet_id.zfill(20)}},
        UpdateExpression="SET updated_at = :then",
        ConditionExpression="attribute_exists(account)",
        ExpressionAttributeValues={":then": {"S": then}},
    )


@pytest.mark.parametrize("after_effect", [True, False], ids=["X has it", "X gets it later"])
def test_a_state_that_times_out_while_its_function_still_posts_does_not_post_twice(
    pipeline: Pipeline, *, after_effect: bool
) -> None:
    when = "after" if after_effect else "before"
    tweet_id = pipeline.tweet(f"Jeanne Dielman, the night {when} shopping. 10/10, no hurry.")
    hold_back(pipeline, after_effect=after_effect)
    with (
        pipeline.deployed.waits_scaled(SCALE_OF_LONG_WAITS, after=0),
        posting_times_out_after(pipeline.deployed, seconds=1),
    ):
        workflow_id = pipeline.start(count=10)
        status = pipeline.deployed.ended(workflow_id)
    assert failures(pipeline, workflow_id) == ["States.Timeout"]
    assert status["status"] == "SUCCEEDED"
    assert "UNKNOWN" in became(pipeline, tweet_id)
    # The function that was given up has its answer by then.
    eventually(lambda: [c["status"] for c in pipeline.deployed.upstreams.calls("x")][-1])
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


@contextmanager
def posting_times_out_after(deployed: Deployed, seconds: int) -> Iterator[None]:
    """Give PublishTweet less time than it takes, until the block ends."""
    stepfunctions, arn = deployed.aws("stepfunctions"), deployed.cloud.outputs[f"{MACHINE}Arn"]
    usual = stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"]
    definition = json.loads(usual)
    states = definition["States"]["PublishTweets"]["ItemProcessor"]["States"]
    states["PublishTweet"]["TimeoutSeconds"] = seconds
    stepfunctions.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    try:
        yield
    finally:
        stepfunctions.update_state_machine(stateMachineArn=arn, definition=usual)


def test_a_lost_post_that_the_timeline_shows_late_is_waited_for(pipeline: Pipeline) -> None:
    tweet_id = pipeline.tweet("Late Spring, a reel late as ever. 9/10, worth the wait.")
    pipeline.deployed.upstreams.x(lag_seconds=8)
    pipeline.deployed.upstreams.fault("x", "lost", route=POSTS)
    with pipeline.deployed.waits_scaled(SCALE_OF_LONG_WAITS, after=0):
        status = pipeline.run()
    assert status["status"] == "SUCCEEDED"
    looks = [
        call["path"]
        for call in pipeline.deployed.upstreams.calls("x")
        if call["path"].endswith("/tweets") and "start_time" in call["query"]
    ]
    assert len(looks) > 1
    assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING", "UNKNOWN", "POSTED"]
    assert sent(pipeline) == 1
    assert_posted_once(pipeline, tweet_id)


@pytest.mark.parametrize("status_code", [402, 403])
def test_a_refused_post_is_rejected_with_the_reason_and_sent_when_an_operator_says_so(
    pipeline: Pipeline, status_code: int
) -> None:
    tweet_id = pipeline.tweet(f"Close-Up in room {status_code}, lights off. 9/10, what a face.")
    pipeline.deployed.upstreams.fault("x", "status", route=POSTS, status=status_code)
    status = pipeline.run()
    assert status["status"] == "PARTIAL"
    assert outcomes(status)[tweet_id]["status"] == "REJECTED"
    assert f"X answered {status_code}" in outcomes(status)[tweet_id]["reason"]
    assert assert_balanced(pipeline, tweet_id) == {tweet_id: "REJECTED"}
    pipeline.deployed.forget_quotas()  # after a 402 nothing is paid for until somebody says so
    assert outcomes(pipeline.run()) == {}

    send_again(pipeline, tweet_id)
    assert pipeline.run()["status"] == "SUCCEEDED"
    assert sent(pipeline) == 2
    assert_posted_once(pipeline, tweet_id)


def send_again(pipeline: Pipeline, tweet_id: str) -> None:
    """An operator's word on a rejected post."""
    decision = {"state": "CLAIMED", "reason": "it is not on X, says the operator"}
    path = f"/posts/{ACCOUNT}/{tweet_id}"
    answer = pipeline.deployed.ask("POST", path, body=decision)
    assert answer.status_code == 200, answer.text


def test_an_operator_who_is_wrong_about_a_lost_post_makes_no_second_one(
    pipeline: Pipeline,
) -> None:
    tweet_id = pipeline.tweet("La Jetée, still after still. 10/10, do not blink.")
    pipeline.deployed.upstreams.fault("x", "status", route=POSTS, status=403, after_effect=True)
    assert outcomes(pipeline.run())[tweet_id]["status"] == "REJECTED"
    assert len(pipeline.posted()) == 1
    send_again(pipeline, tweet_id)
    # X calls it a duplicate, which it is: of our own.
    assert outcomes(pipeline.run())[tweet_id]["status"] == "POSTED"
    assert became(pipeline, tweet_id)[-3:] == ["SENDING", "UNKNOWN", "POSTED"]
    assert [c["status"] for c in pipeline.deployed.upstreams.calls("x")].count(403) == 2
    assert_posted_once(pipeline, tweet_id)


# Many at once


KINDS = {
    "review": "Tampopo once more, with broth. {} 9/10, slurp it.",
    "recommendation": "I recommend the late show in hall {}, bring a scarf.",
    "trailer": "The trailer of the harbor film plays in hall {} tonight.",
    "news": "The festival has announced the film of hall {}.",
    "question": "which hall do you prefer {} ?",
    "opinion": "i think hall {} has the kindest seats",
    "promotion": "Tickets for hall {} are on sale now",
    "other": "Hall {} smells of varnish",
}
POSTED_KINDS = ("review", "recommendation", "trailer", "news", "question", "opinion")
EQUAL = 50


def test_fifty_equal_and_ten_different_runs_at_once_post_each_tweet_once_and_renew_once(
    pipeline: Pipeline,
) -> None:
    halls = {"review": "one", "recommendation": "red", "trailer": "blue"}
    tweets = {
        pipeline.tweet(words.format(halls.get(kind, "green"))): kind
        for kind, words in KINDS.items()
    }
    before = pipeline.deployed.executions(MACHINE)
    different: list[Json] = [{"tweet_type": kind} for kind in KINDS] + [{"dry_run": True}]
    asked: list[Json] = [{}] * EQUAL + different
    pipeline.deployed.upstreams.x(expire=ACCOUNT)
    with pipeline.deployed.waits_scaled(0.1, after=0):
        with ThreadPoolExecutor(len(asked)) as pool:
            started = list(pool.map(lambda request: pipeline.start(count=10, **request), asked))
        ended = {name: pipeline.deployed.ended(name) for name in set(started)}
    assert len(set(started[:EQUAL])) == 1
    assert len(set(started)) == 1 + len(different)
    assert pipeline.deployed.executions(MACHINE) - before == set(started)
    calls = [call["path"] for call in pipeline.deployed.upstreams.calls("x")]
    assert calls.count("/2/oauth2/token") == 1
    assert {status["status"] for status in ended.values()} <= {"SUCCEEDED", "PARTIAL"}

    # What a run of one type met before it was classified is left to the next run.
    pipeline.run()
    states = assert_balanced(pipeline, *tweets)
    assert {kind: states[tweet_id] for tweet_id, kind in tweets.items()} == {
        **dict.fromkeys(POSTED_KINDS, "POSTED"),
        "promotion": "NEEDS_HUMAN",
        "other": "NEEDS_HUMAN",
    }


# Attacks


MARK = "Great pacing."
"""Makes a review of any tweet: a type that is posted without a person's word."""
CONTROLS = {
    "obey": "A fine film  about a lighthouse. 8/10",
    "say": "Saw the ferry film again , calm as ever. 9/10",
}
"""Tweets of nobody's ill will, which are posted, or nothing would be proved."""
MOST_AT_ONCE = 100
LEAST_REFUSED = {"obey": 12, "say": 80}
"""Of the tweets that reach the model; what is plainly unsafe never does."""


@pytest.mark.parametrize("mode", ["obey", "say"])
def test_nothing_that_an_attacker_gets_the_model_to_say_reaches_x(
    pipeline: Pipeline, mode: str
) -> None:
    answers = attacked()
    if mode == "say":
        # Each is asked for twice, so half as many tweets as answers hear them all.
        texts = [text for text, said in answers.items() for _ in said[::2]]
        # The links of reviews are left out before the model sees them.
        unlinked = {re.sub(r" ?https?://\S+", "", text): said for text, said in answers.items()}
        pipeline.deployed.upstreams.model("say", answers=answers | unlinked)
    else:
        texts = list(answers)
        pipeline.deployed.upstreams.model("obey")
    tweets: dict[str, str] = {}
    found: dict[str, Json] = {}
    for batch in batched([CONTROLS[mode], *texts], MOST_AT_ONCE, strict=False):
        tweets |= {pipeline.tweet(text): text for text in batch}
        found |= outcomes(pipeline.run(count=MOST_AT_ONCE))
    refused = [o for o in found.values() if o["reason"].startswith("the polished text ")]
    assert len(refused) >= LEAST_REFUSED[mode]
    states = assert_balanced(pipeline, *tweets)
    posted = {
        found[tweet_id]["text"]: text
        for tweet_id, text in tweets.items()
        if states[tweet_id] == "POSTED"
    }
    assert set(posted) == set(pipeline.posted())
    assert CONTROLS[mode] in posted.values()
    assert [fault for post, text in posted.items() for fault in out_of_policy(text, post)] == []


def attacked() -> dict[str, list[str]]:
    """The attackers' tweets, all reviews, and what each wants to be said."""
    answers: dict[str, list[str]] = {}
    for attack in ATTACKS:
        answers.setdefault(f"{attack.tweet} {MARK}", []).append(f"{attack.answer} {MARK}")
    return answers


TEMPLATE = re.compile(r"^Film news: | #(?:FilmReview|WhatToWatch|Trailer)$")
"""What policies.toml puts around a text."""
HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
LEAST_LIKENESS = 0.8


def out_of_policy(tweet: str, post: str) -> list[str]:
    """What a post has that its tweet has not, by rules that are not Marquee's own."""
    core = TEMPLATE.sub("", post)
    before, after = (unicodedata.normalize("NFKC", text).casefold() for text in (tweet, core))
    patterns = {
        "links": r"https?:|www\.|\b[\w-]+(?:\.[\w-]+)+",
        "names": r"[@#$]\s*\w+",
        "numbers": r"\d+",
    }
    found = [
        f"{name}: {sorted(added)}"
        for name, pattern in patterns.items()
        if (added := Counter(re.findall(pattern, after)) - Counter(re.findall(pattern, before)))
    ]
    if hidden := {c for c in post if unicodedata.category(c) in HIDDEN}:
        found.append(f"hidden: {hidden!r}")
    if scripts(core) - scripts(tweet):
        found.append("letters of another script")
    if weighted_length(post) > LONGEST:
        found.append("too long")
    unlinked = re.sub(r"https?://\S+", "", before)
    said, says = (re.findall(r"\w+", text) for text in (unlinked, after))
    if SequenceMatcher(None, said, says, autojunk=False).ratio() < LEAST_LIKENESS:
        found.append("another text")
    return found


def scripts(text: str) -> set[str]:
    """The scripts of a text's letters, as Unicode names them."""
    return {unicodedata.name(letter).partition(" ")[0] for letter in text if letter.isalpha()}


# Secrets


CANARY = "kanarie"
"""In every credential that is planted, and nowhere else."""
SECRETS_PATH = "/marquee/local"
TOKENS: Json = {
    f"tweets/{ACCOUNT}/oauth2_tokens": json.dumps(
        {"access_token": f"{CANARY}-access-token", "refresh_token": f"{CANARY}-refresh-token"}
    ),
}
APP: Json = {
    f"tweets/{ACCOUNT}/client_id": f"{CANARY}-client-id",
    f"tweets/{ACCOUNT}/client_secret": f"{CANARY}-client-secret",
    # Another, as one that was refused is not used again.
    f"tweets/{ACCOUNT}/oauth2_tokens": json.dumps(
        {"access_token": f"{CANARY}-access-again", "refresh_token": f"{CANARY}-refresh-again"}
    ),
}
OAUTH1: Json = {
    f"tweets/{ACCOUNT}/{name}": f"{CANARY}-{name}"
    for name in ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
}
MODEL: Json = {"tweets/openai/api_key": f"{CANARY}-openai-key"}
READERS: Json = {
    "movies/x/bearer_token": f"{CANARY}-bearer",
    "movies/bluesky/app_password": f"{CANARY}-app-password",
}
FILMS: Json = {"movies/tmdb/token": f"{CANARY}-tmdb-token"}


def test_no_planted_secret_is_told_by_anything_that_fails_for_it(pipeline: Pipeline) -> None:
    """Credentials that are refused are the likeliest to be told of; these are all refused."""
    deployed = pipeline.deployed
    refused = pipeline.tweet("Sans Soleil from the last row. 9/10, cats and all.")
    deployed.upstreams.fault("x", "status", route=POSTS, status=402)
    assert outcomes(pipeline.run())[refused]["status"] == "REJECTED"
    deployed.forget_quotas()  # the operator pays, and says so
    workflows: dict[str, list[str]] = {"MovieSearch": [], MACHINE: []}

    with ExitStack() as planted, deployed.listening() as hear:
        planted.enter_context(holding(deployed, MODEL))
        unpolished = pipeline.tweet("The ticket clerk hums the score. 8/10, in tune.")
        status = pipeline.run()
        workflows[MACHINE].append(status["workflow_id"])
        assert status["status"] == "PARTIAL"

        planted.enter_context(holding(deployed, TOKENS))
        send_again(pipeline, refused)
        status = pipeline.run()
        workflows[MACHINE].append(status["workflow_id"])
        assert "401" in outcomes(status)[refused]["reason"]
        planted.enter_context(holding(deployed, APP))
        send_again(pipeline, refused)
        make_older(pipeline, refused, SWEPT_AFTER)
        swept = deployed.invoke("SweepPostsFunction")
        assert {o["tweet_id"]: o["state"] for o in swept["outcomes"]} == {refused: "CLAIMED"}

        planted.enter_context(holding(deployed, OAUTH1, instead_of=APP))
        pass_time_of(pipeline, refused)
        status = pipeline.run()
        workflows[MACHINE].append(status["workflow_id"])
        assert outcomes(status)[refused]["status"] == "REJECTED"

        planted.enter_context(holding(deployed, READERS))
        workflows["MovieSearch"].append(deployed.search("Arrival", max_reviews=3)["workflow_id"])
        planted.enter_context(holding(deployed, FILMS))
        search = deployed.search("Gone Girl", max_reviews=3)
        workflows["MovieSearch"].append(search["workflow_id"])
        assert search["error"]["name"] == "CredentialsRefused"
        assert deployed.ask("GET", "/workflow/list", key=f"{CANARY}-api-key").status_code == 403
        assert deployed.ask("GET", "/workflow/health", key="").status_code == 200
        for finished in ("TweetPipelineCompleted", "MovieSearchCompleted"):
            assert hear(finished)
    for upstream in ("x", "openai", "tmdb", "bluesky"):
        assert 401 in {call["status"] for call in deployed.upstreams.calls(upstream)}

    executions = [(machine, name) for machine, names in workflows.items() for name in names]
    describe = deployed.aws("stepfunctions").describe_execution
    places = {
        "histories": [deployed.history(name, machine) for machine, name in executions],
        "executions": [
            describe(executionArn=deployed.arn_of(name, machine)) for machine, name in executions
        ],
        **{
            name: deployed.items(name)
            for name in ("Workflows", "Tweets", "Posts", "Movies", "Reviews")
        },
        "events": deployed.heard,
        "answers": deployed.said,
        "sweep": swept,
        "logs": [deployed.logged(words) for words in (CANARY, deployed.cloud.api_key)],
    }
    told = {name: str(place) for name, place in places.items()}
    assert told["logs"] == "[[], []]"
    run = workflows[MACHINE][-1]
    assert {name for name, text in told.items() if run in text} >= {
        "histories",
        "executions",
        "Workflows",
        "events",
        "answers",
    }
    assert deployed.logged(run)
    assert refused in told["sweep"]
    for secret in (CANARY, deployed.cloud.api_key):
        assert {name for name, text in told.items() if secret in text} == set()

    # With its own credentials again the pipeline finishes what was left.
    send_again(pipeline, refused)
    assert pipeline.run()["status"] == "SUCCEEDED"
    assert_posted_once(pipeline, refused, unpolished)


@contextmanager
def holding(
    deployed: Deployed, secrets: Mapping[str, str], *, instead_of: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Let SSM hold these secrets, and not those, until the block ends."""
    ssm = deployed.aws("ssm")
    names = [f"{SECRETS_PATH}/{name}" for name in (*secrets, *(instead_of or ()))]
    before = {
        parameter["Name"]: parameter["Value"]
        for parameter in ssm.get_parameters(Names=names, WithDecryption=True)["Parameters"]
    }

    def hold(values: Mapping[str, str]) -> None:
        for name in set(names) - set(values):
            ssm.delete_parameter(Name=name)
        for name, value in values.items():
            ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
        # These keep a secret for five minutes.
        kill(deployed, *KEEP_SECRETS)

    hold({f"{SECRETS_PATH}/{name}": value for name, value in secrets.items()})
    try:
        yield
    finally:
        hold(before)


KEEP_SECRETS = (
    "ClassifyTweetsFunction",
    "PolishTweetsFunction",
    "FindMovieFunction",
    "CollectReviewsFunction",
)


# The emulator: last, as it takes with it what the tests of this file have set up


def test_an_emulator_killed_in_the_middle_of_a_post_comes_back_and_posts_nothing_twice(
    cloud: RunningCloud,
) -> None:
    """It forgets what it was told since it was last brought down, the ledger included."""
    cloud.cloud.down()
    cloud.cloud.up()
    with deployed_in(cloud) as deployed:
        pipeline = Pipeline(deployed)
        tweet_id = pipeline.tweet("Le Samouraï during a power cut. 9/10, darker than meant.")
        hold_back(pipeline)
        pipeline.start(count=10)
        [post] = eventually(deployed.upstreams.posts)
        emulator = cloud.cloud.home.read().emulator
        assert emulator is not None
        emulator.process.send(signal.SIGKILL)
        cloud.cloud.up()
    with deployed_in(cloud) as deployed:
        pipeline = Pipeline(deployed)
        found = outcomes(pipeline.run())
        # X refuses the text as the duplicate that it is, and shows where the first one is.
        assert became(pipeline, tweet_id) == ["CLAIMED", "SENDING", "UNKNOWN", "POSTED"]
        assert found[tweet_id]["post_id"] == post["id"]
        # Of the post itself, which looks like a new tweet now, nothing is made.
        assert found[post["id"]]["status"] == "SKIPPED"
        states = assert_balanced(pipeline, tweet_id, post["id"])
        assert states == {tweet_id: "POSTED", post["id"]: "SKIPPED"}
        deployed.invoke("SweepPostsFunction")
        assert outcomes(pipeline.run()) == {}
        assert deployed.upstreams.posts() == [post]
