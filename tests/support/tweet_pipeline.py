"""The tweet pipeline of the template, run in this process against the stand-ins of X and OpenAI."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from marquee import aws
from marquee.tweets.approval import (
    Approval,
    ApprovalDecision,
    Approvals,
    RequestApprovalInput,
    StepFunctionsTasks,
    decide_approval,
)
from marquee.tweets.finish import FinishRunInput, RunSummary
from marquee.tweets.language_model import API_KEY
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry, Status, Tweet
from marquee.tweets.policy import policies
from marquee.tweets.publish import PublishTweetInput
from marquee.tweets.reconcile import ReconcilePostInput
from marquee.tweets.rows import DynamoRows
from marquee.tweets.run import StepInput
from marquee.tweets.tweet_store import TweetStore
from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.credentials import DEMONSTRATION
from marquee_cli.upstreams.user_context import demonstration_secrets
from tests.support.state_machines import Execution, Handler, Json, PassingTime
from tests.support.templates import Template
from tests.support.upstreams import Upstreams
from tests.support.workflows import InstalledWorkflow, workflow_installed

MACHINE = "tweet_pipeline"
OWN = "marquee_demo"
"""The account that posts, and whose tweets a run takes up that names none."""

MODELS: dict[str, type[BaseModel]] = {
    "DownloadTweets": StepInput,
    "ClassifyTweets": StepInput,
    "PolishTweets": StepInput,
    "RequestApproval": RequestApprovalInput,
    "PublishTweet": PublishTweetInput,
    "ReconcilePost": ReconcilePostInput,
    "FinishRun": FinishRunInput,
}
"""What each function takes, by its stem."""

APPROVAL_SECONDS = 600
_MOST_ROWS = 1000
_SMALL_BYTES = 8 * 1024


@dataclass(frozen=True)
class TweetPipelines(InstalledWorkflow):
    """The installed pipeline; X's clock goes with the time that its runs wait for."""

    machine = MACHINE
    beside = ("StartTweetPipeline", "SweepPosts", "CloseExecution")

    upstreams: Upstreams = field(repr=False, kw_only=True)

    def summary(self, name: str = "run") -> RunSummary:
        """The result of that run, as its record holds it."""
        return RunSummary.model_validate(self.record(name).result)

    def tweet(self, tweet_id: str, account: str = OWN) -> Tweet:
        tweet = self.store().get(account, tweet_id)
        assert tweet is not None
        return tweet

    def tweets(self, status: Status, account: str = OWN) -> list[Tweet]:
        """All tweets of an account with that status, the oldest first."""
        return self.store().by_status(account, status, limit=_MOST_ROWS)[0]

    def store(self) -> TweetStore:
        return TweetStore.connect(self.settings)

    def ledger(self) -> PostLedger:
        return PostLedger.connect(self.settings)

    def entry(self, tweet_id: str) -> LedgerEntry | None:
        """What the ledger says of the post that was made of a tweet."""
        return self.ledger().get(OWN, tweet_id)

    def approvals(self) -> Approvals:
        return Approvals(DynamoRows.connect(self.settings))

    def decide(self, tweet_id: str, account: str = OWN, **decision: Any) -> Approval:
        """Give a person's word (`decision`, `text`, `reason`), as the API takes it."""
        return decide_approval(
            f"{account}-{tweet_id}",
            ApprovalDecision.model_validate(decision),
            self.approvals(),
            policies(),
            StepFunctionsTasks.connect(),
            now=self.clock.now(),
        )

    def answering(self, **decision: Any) -> Handler:
        """RequestApproval where a person decides as soon as they are asked."""
        ask = self.handler("RequestApproval")

        def handle(event: Json, context: Any) -> Json:
            asked = ask(event, context)
            account = (event["request"].get("username") or OWN).lower()
            self.decide(event["tweet_id"], account, **decision)
            return asked

        return handle

    def items(self) -> list[dict[str, Any]]:
        """All that the tables of tweets and posts hold."""
        names = (self.settings.tweets_table, self.settings.posts_table)
        return [item for name in names for item in aws.table(name).scan()["Items"]]

    def posted(self) -> list[str]:
        """The texts that X has of us, in order: the judge."""
        return [post["text"] for post in self.upstreams.posts(OWN)]


def ran(
    pipelines: TweetPipelines,
    request: Json,
    functions: Mapping[str, Handler] | None = None,
    *,
    name: str = "run",
    definition: Json = None,
    **broken: Handler,
) -> Execution:
    """One run; what it hands to its functions must fit their models on every way it takes."""
    replaced = {**(functions or {}), **broken}
    done = pipelines.run(request, name=name, definition=definition, broken=replaced)
    for call in done.calls:
        stem = next(known for known in MODELS if pipelines.arn(known) == call.function)
        MODELS[stem].model_validate(call.payload)
        assert call.payload["workflow_id"] == name
        assert len(json.dumps(call.payload)) < _SMALL_BYTES
    undefined = "States.QueryEvaluationError"
    assert [catch for catch in done.catches if catch.error == undefined] == []
    assert done.error != undefined
    return done


@contextmanager
def tweet_pipelines(
    upstreams: Upstreams,
    *,
    auto: bool = True,
    with_model: bool = True,
    max_posts: int = 10,
    quotas: str = "",
    caps: str = "",
) -> Iterator[TweetPipelines]:
    """The pipeline as deployed, whose parameters are these and the addresses of the stand-ins."""
    template = _template(upstreams, auto=auto, max_posts=max_posts, quotas=quotas, caps=caps)
    clock = PassingTime(lambda passed: _put_ahead(upstreams, passed))
    for library in ("openai", "tweepy"):
        import_module(library)  # what a cold start takes is no part of a run
    with workflow_installed(
        TweetPipelines, template, secrets(with_model=with_model), upstreams=upstreams, clock=clock
    ) as installed:
        yield installed


@cache
def secrets(*, with_model: bool = True) -> Mapping[str, str]:
    """What an operator stores: the tokens of every account of X's stand-in, the model's key."""
    values = {
        f"{account}/{name}": value
        for account in accounts()
        for name, value in demonstration_secrets(account).items()
    }
    return {**values, API_KEY: DEMONSTRATION.openai_api_key} if with_model else values


def _put_ahead(upstreams: Upstreams, passed: timedelta) -> None:
    upstreams.x(ahead_seconds=passed.total_seconds())


@cache
def _template(
    upstreams: Upstreams, *, auto: bool, max_posts: int, quotas: str, caps: str
) -> Template:
    parameters = {
        "QuotaPolicies": quotas,
        "SpendCaps": caps,
        "XPostingBaseUrl": upstreams.x_url,
        "OpenAiBaseUrl": upstreams.openai_url,
        "PostingAccount": OWN,
        "WorkflowDefaultUsername": OWN,
        "WorkflowEnableAutoPosting": "true" if auto else "false",
        "MaxPostsPerRun": max_posts,
        "ApprovalSeconds": APPROVAL_SECONDS,
    }
    return Template.load(parameters=parameters)
