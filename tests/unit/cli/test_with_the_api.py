"""The commands' client against the API itself: what each sends is taken, each answer is read."""

import io
from collections.abc import Iterator

import httpx
import pytest
from rich.console import Console

from marquee.api.answers import Accepted
from marquee.movies.backfill import BackfillSummary, FilmOutcome, FilmState
from marquee.movies.backfill_queue import BackfillQueue, Reason, Wish
from marquee.movies.catalog import Catalog
from marquee.movies.collect import CollectDataOutput
from marquee.movies.models import FilmRequest, SearchRequest, SourceReport, SourceStatus
from marquee.movies.review_store import ReviewStore
from marquee.settings import Settings
from marquee.tweets.approval import Approval, Approvals, asked
from marquee.tweets.finish import RunSummary, TweetOutcome
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState, Status, Tweet, TweetType
from marquee.tweets.policy import policies
from marquee.tweets.rows import DynamoRows
from marquee.tweets.run import KIND, Mode, RunRequest
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.record import Status as RunStatus
from marquee.workflows.record import StepError, WorkflowRecords
from marquee_cli.client import (
    ApiError,
    Client,
    NothingThere,
    StillRunning,
    WorkFailed,
    WrongRequest,
)
from marquee_cli.following import read
from marquee_cli.posts import ShownPost, ShownTweet
from marquee_cli.queue import ShownEntry, run_it, show_queue, show_run
from marquee_cli.run import follow, show
from tests.support.api import Api
from tests.support.builders import NOW, a_movie, a_review, a_scored_review
from tests.support.functions import callable_functions
from tests.unit.tweets.stage import OWN, a_tweet

TEXT = "Saw The Quiet Harbor yesterday. It's a wonderful film! 8/10"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The installation with an account that posts."""
    return settings.model_copy(update={"posting_account": OWN, "workflow_default_username": OWN})


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    api = Api(settings)

    def answer(request: httpx.Request) -> httpx.Response:
        said = api.send(
            request.method,
            request.url.path,
            dict(request.url.params),
            request.content.decode() or None,
            dict(request.headers),
        )
        return httpx.Response(said.status, headers=dict(said.headers), text=said.text)

    transport = httpx.MockTransport(answer)
    with Client("https://api.test", "key", transport, pause=lambda _: None) as found:
        yield found


def polished(settings: Settings) -> Tweet:
    """A tweet that waits for nothing but a word, as it is stored."""
    tweet = a_tweet(status=Status.POLISHED, type=TweetType.REVIEW, final_text=TEXT)
    TweetStore.connect(settings).put(tweet)
    return tweet


def held(settings: Settings) -> str:
    """The id of an approval that no run waits for."""
    tweet = polished(settings)
    question = asked(tweet, TEXT, "why not", policies(), posting_account=OWN, now=NOW)
    assert Approvals.connect(settings).hold(tweet, question, reason="held", now=NOW)
    return question.approval_id


def test_a_run_is_started_joined_and_followed_to_its_end(
    client: Client, records: WorkflowRecords
) -> None:
    request = {"count": 3, "tweet_type": "review", "mode": "auto", "username": f"@{OWN}"}
    started = client.execute(request)
    assert (started["status"], started["joined"]) == ("RUNNING", False)
    assert client.execute(request)["joined"]
    outcome = TweetOutcome(tweet_id="100", status=Status.POSTED, post_id="7", price_usd=0.015)
    summary = RunSummary(
        account=OWN,
        posting_account=OWN,
        mode=Mode.AUTO,
        tweets=(outcome,),
        statuses={"POSTED": 1},
        posted_usd=0.015,
    )
    closing = summary.model_dump(mode="json", exclude_defaults=True)
    workflow_id = started["workflow_id"]

    def end(_: float) -> None:
        records.close(workflow_id, KIND, RunStatus.SUCCEEDED, now=NOW, result=closing)

    followed = follow(client, workflow_id, Console(quiet=True), seconds=30, pause=end)
    assert followed.exit_code == 0
    out = Console(file=io.StringIO(), width=100)
    show(followed.status, out)
    assert isinstance(out.file, io.StringIO)
    assert f"@{OWN}, auto: 1 POSTED, $0.015" in out.file.getvalue()


def test_the_queue_is_shown_and_drained(
    client: Client, settings: Settings, records: WorkflowRecords
) -> None:
    wish = Wish(
        tmdb_id=579974,
        title="RRR",
        reason=Reason.DEFERRED,
        sources=("x",),
        workflow_id="movie_search-1",
    )
    BackfillQueue.connect(settings).add(wish, NOW)
    out = Console(file=io.StringIO(), width=120)
    entries = client.queue(state="WAITING")
    show_queue((read(ShownEntry, entry, "entry") for entry in entries), out)
    assert list(client.queue(state="DONE")) == []
    film = FilmOutcome(tmdb_id=579974, title="RRR", state=FilmState.COMPLETE, new=7)
    closing = BackfillSummary(films=(film,)).model_dump(mode="json")
    workflow_id = client.run_queue()["workflow_id"]

    def end(_: float) -> None:
        records.close(workflow_id, "review_backfill", RunStatus.SUCCEEDED, now=NOW, result=closing)

    status = run_it(client, Console(quiet=True), pause=end)
    show_run(status, out)
    assert isinstance(out.file, io.StringIO)
    said = " ".join(out.file.getvalue().split())
    assert "RRR x deferred 1 search 2026-03-14 20:15" in said
    assert said.endswith("RRR: complete, 7 new reviews")


def test_a_run_is_canceled_repeated_and_cleaned_up(client: Client) -> None:
    first = client.execute({})["workflow_id"]
    assert client.cancel(first)["status"] == "CANCELED"
    with pytest.raises(ApiError, match="404"):
        client.cancel("tweet_pipeline-nobody-1")
    again = client.rerun(first, from_step="PolishTweets")
    assert client.status(again["workflow_id"])["rerun_of"] == first
    with pytest.raises(ApiError, match="409"):
        client.rerun(again["workflow_id"], from_step=None)
    assert client.cleanup(older_than_days=1) == {"deleted": 0, "more": False}


def test_a_text_against_the_policy_is_a_422_with_reasons_and_a_second_word_a_409(
    client: Client, settings: Settings
) -> None:
    approval_id = held(settings)
    (listed,) = client.approvals()
    assert read(Approval, listed).approval_id == approval_id
    with pytest.raises(ApiError, match="the output policy refuses the text") as refused:
        client.decide_approval(
            approval_id, {"decision": "edit", "text": "Buy now: https://x.test", "by": "asha"}
        )
    assert refused.value.status == 422
    said = {"decision": "approve", "reason": "", "by": "asha"}
    assert read(Approval, client.decide_approval(approval_id, said)).state == "APPROVED"
    with pytest.raises(ApiError) as late:
        client.decide_approval(approval_id, {"decision": "reject", "by": "asha"})
    assert late.value.status == 409
    assert list(client.approvals()) == []


def test_tweets_are_listed_with_and_without_a_name_and_a_status(
    client: Client, settings: Settings
) -> None:
    tweet = polished(settings)
    for username, status in ((None, None), (OWN, "POLISHED")):
        (listed,) = client.tweets(username=username, status=status)
        shown = read(ShownTweet, listed)
        assert shown.tweet_id == tweet.tweet_id
        assert shown.next_step
    assert list(client.tweets(username=OWN, status="POSTED")) == []


def test_the_ledger_is_listed_and_a_post_that_was_refused_is_settled(
    client: Client, settings: Settings
) -> None:
    rows = DynamoRows.connect(settings)
    tweet = a_tweet(status=Status.APPROVED, type=TweetType.REVIEW, text=TEXT, final_text=TEXT)
    TweetStore(rows).put(tweet)
    ledger = PostLedger(rows)
    entry = ledger.claim(OWN, tweet, now=NOW)
    for state in (LedgerState.SENDING, LedgerState.REJECTED):
        after = ledger.advance(entry, entry.changed(state, reason="no credits", now=NOW))
        assert after
        entry = after
    (listed,) = client.posts(OWN)
    shown = read(ShownPost, listed)
    assert (shown.state, shown.reason) == (LedgerState.REJECTED, "no credits")
    assert shown.next_step
    client.decide_post(OWN, tweet.tweet_id, {"state": "CLAIMED", "reason": "paid"})
    (listed,) = client.posts(OWN)
    assert listed["state"] == "CLAIMED"


def test_a_search_is_started_joined_and_waited_for(
    client: Client, records: WorkflowRecords
) -> None:
    request = SearchRequest(movie_name="RRR", max_reviews=5)
    started = client.handle_user_search(request, wait_seconds=0)
    assert isinstance(started, Accepted)
    joined = client.handle_user_search(request, wait_seconds=0)
    assert isinstance(joined, Accepted)
    assert (joined.workflow_id, joined.joined) == (started.workflow_id, True)
    with pytest.raises(StillRunning):
        client.wait_for(started.workflow_id, seconds=0)
    failure = StepError(name="UpstreamTimeout", message="tmdb did not answer")
    records.close(started.workflow_id, "movie_search", RunStatus.FAILED, now=NOW, error=failure)
    ended = client.wait_for(started.workflow_id)
    assert (ended.status, ended.error) == (RunStatus.FAILED, failure)


def test_a_request_that_is_wrong_names_the_parameter(client: Client) -> None:
    wrong = FilmRequest.model_construct(movie_name="", max_reviews=10, language="en")
    with pytest.raises(WrongRequest) as refused:
        client.coordinate_data_collection(wrong)
    assert refused.value.fields == {"request": "give a movie_name or a tmdb_id"}


def test_what_was_collected_can_be_stored_as_it_is(client: Client, settings: Settings) -> None:
    Catalog.connect(settings).put_movie(a_movie(), [], [])
    ReviewStore.connect(settings).put([a_scored_review()])
    report = SourceReport(source="tmdb", status=SourceStatus.OK, fetched=1, new=1)
    found = CollectDataOutput(
        tmdb_id=a_movie().tmdb_id, message="RRR", asked=("tmdb",), sources=(report,)
    )
    with callable_functions() as functions:
        functions.answers["CollectDataFunction"] = lambda _: found.model_dump(mode="json")
        collected = client.coordinate_data_collection(FilmRequest(movie_name="RRR"))
    assert collected.reviews == (a_review(),)
    assert collected.movie is not None
    stored = client.coordinate_database_operations(collected.movie, collected.reviews)
    assert (stored.movie_stored, stored.reviews_stored, stored.duplicates) == (False, 0, 1)
    elsewhere = {**collected.movie, "tmdb_id": 7}
    review = collected.reviews[0].model_copy(update={"tmdb_id": 7})
    stored = client.coordinate_database_operations(elsewhere, [review, {"source": "tmdb"}])
    assert (stored.movie_stored, stored.reviews_stored) == (True, 1)
    assert [one.index for one in stored.rejected] == [1]


def test_a_collection_that_failed_says_of_what(client: Client) -> None:
    def fails(_: object) -> dict[str, str]:
        raise LookupError("tmdb is gone")

    with callable_functions() as functions:
        functions.answers["CollectDataFunction"] = fails
        with pytest.raises(WorkFailed) as failed:
            client.coordinate_data_collection(FilmRequest(movie_name="RRR"))
    assert (failed.value.error, failed.value.message) == ("LookupError", "tmdb is gone")


def test_a_run_is_started_by_its_model(client: Client) -> None:
    started = client.run_tweet_workflow(RunRequest(count=2, mode=Mode.DRY_RUN))
    status = client.status(started.workflow_id)
    assert (status["input"]["count"], status["input"]["mode"]) == (2, "dry_run")
    with pytest.raises(NothingThere):
        client.wait_for("tweet_pipeline-nobody-1", seconds=0)


def test_a_callback_is_registered_and_an_event_that_it_matches_put_on_the_bus(
    client: Client,
) -> None:
    created = client.register_trigger("Premiere", "https://8.8.8.8/hook", filter={"city": "Pune"})
    assert created.secret.startswith("whsec_")
    event = client.trigger_event("Premiere", {"city": "Pune"})
    assert [match.trigger_id for match in event.matches] == [created.trigger_id]
    assert client.trigger_event("Premiere", {"city": "Oslo"}).matches == ()


def test_the_statistics_cover_the_time_that_was_asked_for(client: Client) -> None:
    assert client.get_automation_statistics("7d").window == "7d"
