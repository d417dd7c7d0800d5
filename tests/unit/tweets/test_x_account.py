"""X in the name of one account, on the wire: what is sent, once, and what an answer becomes."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from marquee.clock import now
from marquee.errors import (
    BadInput,
    CreditsDepleted,
    Misconfigured,
    StoreUnavailable,
    UpstreamError,
    UpstreamNotFound,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.errors import (
    RateLimited as RateLimitedError,
)
from marquee.observability import tallying
from marquee.tweets.download import Timeline
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState, Status, Tweet
from marquee.tweets.posting import (
    Created,
    DuplicateRefused,
    NotSent,
    PostResult,
    RateLimited,
    Refused,
    Unauthorized,
    Unknown,
    XAccount,
)
from marquee.tweets.publish import PublishTweetInput, publish_tweet
from marquee.tweets.rows import Swap
from marquee.tweets.tweet_store import TweetStore
from marquee.tweets.x_account import XApi
from marquee.tweets.x_session import TWEEPY_ROOT, XSession
from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.parameters import (
    PREFIX,
    Parameters,
    oauth1_parameters,
    oauth2_parameters,
)
from tests.support.tweet_tables import MemoryRows
from tests.support.upstreams import Upstreams, running_upstreams

ACCOUNT = "marquee_demo"
TWEETS = "/2/tweets"
TIMELINE = "/2/users/*/tweets"
IMPATIENT_SECONDS = 0.3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    with running_upstreams(
        tmp_path_factory.mktemp("upstreams"), epoch=datetime.now(UTC).date()
    ) as running:
        yield running


@pytest.fixture
def upstreams(server: Upstreams) -> Upstreams:
    server.reset()
    return server


class Made:
    """An account over the stand-in, and what it rests on."""

    def __init__(self, upstreams: Upstreams, parameters: Parameters) -> None:
        self.ssm = parameters
        self.rows = MemoryRows()
        self.url = upstreams.x_url
        self.x = self.again()

    def again(self, **options: Any) -> XApi:
        """The account as a new process makes it."""
        address = options.pop("address", self.url)
        return XApi(ACCOUNT, address, self.ssm.client, PREFIX, self.rows, **options)


@pytest.fixture
def made(upstreams: Upstreams) -> Made:
    return Made(upstreams, oauth2_parameters(upstreams, ACCOUNT))


@pytest.fixture(params=[oauth1_parameters, oauth2_parameters], ids=["OAuth 1.0a", "OAuth 2"])
def either(upstreams: Upstreams, request: pytest.FixtureRequest) -> Made:
    return Made(upstreams, request.param(upstreams, ACCOUNT))


def sent(upstreams: Upstreams, path: str = TWEETS) -> list[dict[str, Any]]:
    return [call for call in upstreams.calls("x") if call["path"] == path]


def test_a_post_is_made_once_in_the_name_of_the_user(upstreams: Upstreams, either: Made) -> None:
    port: XAccount = either.x
    text = 'Row F says: naïve & <bold>, 100% + "quotes" 🔥 తెలుగు'
    result = port.create_post(text)
    assert isinstance(result, Created)
    assert [(p["id"], p["account"], p["text"]) for p in upstreams.posts()] == [
        (result.post_id, ACCOUNT, text)
    ]
    assert len(sent(upstreams)) == 1


def test_what_a_post_costs_is_counted_when_x_has_it(upstreams: Upstreams, made: Made) -> None:
    made.x.create_post("First, so that X was asked who we are")
    with tallying() as tally:
        made.x.create_post("Plain words")
        made.x.create_post("Words and https://a.example.com")
        made.x.create_post("Plain words")
    assert tally.cost_usd == pytest.approx(0.015 + 0.2)
    assert dict(tally.calls) == {"x.successful": 2, "x.failed": 1}


REFUSALS = [
    ({"status": 400, "body": {"title": "Invalid Request"}}, Refused),
    ({"status": 402}, Refused),
    ({"status": 403, "body": {"detail": "Not permitted", "title": "Forbidden"}}, Refused),
    ({"status": 403, "body": ["Forbidden"]}, Unknown),
    ({"status": 403, "body": "<html>"}, Unknown),
    ({"status": 401}, Unauthorized),
    ({"status": 429}, RateLimited),
    ({"status": 500}, Unknown),
    ({"status": 503, "body": {"title": "Service Unavailable"}}, Unknown),
    ({"status": 302, "headers": {"location": "/x/2/tweets"}}, Unknown),
    ({"status": 307, "headers": {"location": "/x/2/tweets"}}, Unknown),
    ({"status": 200, "body": {"data": {"id": "7"}}}, Unknown),
    ({"status": 201, "body": {"data": {}}}, Unknown),
    ({"status": 201, "body": "[" * 100_000}, Unknown),
]


@pytest.mark.parametrize(("fault", "outcome"), REFUSALS, ids=lambda part: str(part)[:60])
def test_an_answer_becomes_what_it_proves_and_nothing_is_sent_again(
    upstreams: Upstreams, made: Made, fault: dict[str, Any], outcome: type[PostResult]
) -> None:
    upstreams.fault("x", "status", route=TWEETS, **fault)
    assert isinstance(made.x.create_post("Words"), outcome)
    assert len(sent(upstreams)) == 1
    assert upstreams.posts() == []


@pytest.mark.parametrize("kind", ["cut", "lost", "malformed"])
def test_a_post_whose_answer_was_lost_is_unknown_and_there_once(
    upstreams: Upstreams, made: Made, kind: str
) -> None:
    upstreams.fault("x", kind, route=TWEETS)
    assert isinstance(made.x.create_post("Words"), Unknown)
    assert len(upstreams.posts()) == len(sent(upstreams)) == 1


def test_a_late_answer_is_unknown_in_time(upstreams: Upstreams, made: Made) -> None:
    x = made.again(timeout_seconds=IMPATIENT_SECONDS)
    x.own_timeline(now())
    upstreams.fault("x", "delay", seconds=1, route=TWEETS)
    started = datetime.now(UTC)
    assert x.create_post("Words") == Unknown("no answer in time")
    assert datetime.now(UTC) - started < timedelta(seconds=0.9)


def test_a_reset_is_unknown(upstreams: Upstreams, made: Made) -> None:
    upstreams.fault("x", "reset", route=TWEETS)
    assert isinstance(made.x.create_post("Words"), Unknown)


def test_what_found_no_connection_was_not_sent(upstreams: Upstreams, made: Made) -> None:
    made.x.own_timeline(now())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/x/2"
        assert made.again(address=address).create_post("Words") == NotSent("no connection")


def test_a_duplicate_proves_nothing(upstreams: Upstreams, made: Made) -> None:
    made.x.create_post("Words")
    assert isinstance(made.x.create_post("Words"), DuplicateRefused)
    assert len(upstreams.posts()) == 1


def test_a_full_window_names_its_end(upstreams: Upstreams, made: Made) -> None:
    upstreams.limit("x/tweets", 0, 600)
    result = made.x.create_post("Words")
    assert isinstance(result, RateLimited)
    assert result.reset_at is not None
    assert timedelta(seconds=580) < result.reset_at - datetime.now(UTC) < timedelta(seconds=601)


def test_without_credits_a_post_is_refused_in_either_wording(
    upstreams: Upstreams, made: Made
) -> None:
    made.x.own_timeline(now())
    for credits_left in ("used up", "used up, older words"):
        upstreams.x(credits=credits_left)
        result = made.x.create_post("Words")
        assert isinstance(result, Refused)
        assert "credits" in result.reason


def test_a_token_of_another_account_posts_nothing(upstreams: Upstreams) -> None:
    made = Made(upstreams, oauth2_parameters(upstreams, "butaca_nueve"))
    result = made.x.create_post("Words")
    assert isinstance(result, NotSent)
    assert "belong to @butaca_nueve" in result.reason
    with pytest.raises(Misconfigured, match="nothing is posted"):
        made.x.own_timeline(now())
    with pytest.raises(Misconfigured, match="nothing is posted"):
        made.again().check_credentials()
    assert upstreams.posts() == []


def test_a_token_of_another_account_is_found_out_where_the_right_one_was_known(
    upstreams: Upstreams, made: Made
) -> None:
    made.x.create_post("One")
    made.ssm.values |= oauth2_parameters(upstreams, "butaca_nueve").values
    with pytest.raises(Misconfigured, match="belong to @butaca_nueve"):
        made.again().check_credentials()
    assert isinstance(made.again().create_post("Two"), NotSent)
    assert [post["text"] for post in upstreams.posts()] == ["One"]


def test_a_post_whose_credentials_only_an_operator_can_mend_is_not_begun(
    upstreams: Upstreams, made: Made
) -> None:
    tweet = approved("Words")
    rows = made.rows
    TweetStore(rows).put(tweet)
    request = PublishTweetInput(account=ACCOUNT, source=ACCOUNT, tweet_id=tweet.tweet_id)

    def publish() -> LedgerState:
        tweets, ledger = TweetStore(rows), PostLedger(rows)
        return publish_tweet(request, tweets, ledger, made.again(), clock=now).state

    client_id = made.ssm.values.pop("client_id")
    with pytest.raises(Misconfigured, match="client_id is not set"):
        publish()
    entry = PostLedger(rows).get(ACCOUNT, tweet.tweet_id)
    assert entry
    assert [change.to for change in entry.history] == [LedgerState.CLAIMED]
    made.ssm.values["client_id"] = client_id
    assert publish() is LedgerState.POSTED


def test_what_may_pass_does_not_fail_the_check_of_credentials(
    upstreams: Upstreams, made: Made
) -> None:
    upstreams.fault("x", "status", status=503, route="/2/users/me")
    made.x.check_credentials()
    made.ssm.reads_refused = "ThrottlingException"
    made.again().check_credentials()
    made.ssm.reads_refused = None
    assert isinstance(made.x.create_post("Words"), Created)


def test_x_is_asked_once_whose_credentials_they_are(upstreams: Upstreams, either: Made) -> None:
    either.x.create_post("One")
    either.again().check_credentials()
    either.again().create_post("Two")
    assert len(sent(upstreams, "/2/users/me")) == 1


def test_x_is_asked_again_where_the_row_cannot_be_read_or_written(upstreams: Upstreams) -> None:
    class Down(MemoryRows):
        def get(self, *key: Any) -> NoReturn:
            raise StoreUnavailable("down")

        def swap(self, *swaps: Swap) -> NoReturn:
            raise StoreUnavailable("down")

    made = Made(upstreams, oauth1_parameters(upstreams, ACCOUNT))
    made.rows = Down()
    for number in (1, 2):
        assert isinstance(made.again().create_post(f"Words {number}"), Created)
        assert len(sent(upstreams, "/2/users/me")) == number


def test_nothing_is_sent_where_x_does_not_say_who_we_are(upstreams: Upstreams, made: Made) -> None:
    upstreams.fault("x", "status", status=503, route="/2/users/me", count=9)
    assert isinstance(made.x.create_post("Words"), NotSent)
    assert sent(upstreams) == []


def test_an_expired_token_is_renewed_once_and_the_post_made(
    upstreams: Upstreams, made: Made
) -> None:
    made.x.create_post("Before")
    upstreams.x(expire=ACCOUNT)
    tweet = approved("After")
    rows = made.rows
    TweetStore(rows).put(tweet)
    request = PublishTweetInput(account=ACCOUNT, source=ACCOUNT, tweet_id=tweet.tweet_id)
    outcome = publish_tweet(request, TweetStore(rows), PostLedger(rows), made.x, clock=now)
    assert outcome.state is LedgerState.POSTED
    assert [post["text"] for post in upstreams.posts()] == ["Before", "After"]
    assert len(sent(upstreams, "/2/oauth2/token")) == 1
    assert isinstance(made.again().create_post("Later, elsewhere"), Created)
    assert len(sent(upstreams, "/2/oauth2/token")) == 1
    assert len(sent(upstreams, "/2/users/me")) == 1


def approved(text: str) -> Tweet:
    return Tweet(
        account=ACCOUNT,
        tweet_id="123",
        author=ACCOUNT,
        text=text,
        created_at=now(),
        status=Status.APPROVED,
        final_text=text,
    )


def test_a_read_with_an_expired_token_is_made_again(upstreams: Upstreams, made: Made) -> None:
    upstreams.x(expire=ACCOUNT)
    assert made.x.user_id("butaca_nueve") == accounts()["butaca_nueve"].id
    assert len(sent(upstreams, "/2/oauth2/token")) == 1


def test_a_withdrawn_app_is_refused_and_not_asked_again(upstreams: Upstreams, made: Made) -> None:
    made.x.own_timeline(now())
    upstreams.x(revoke=ACCOUNT)
    assert isinstance(made.x.create_post("Words"), Unauthorized)
    assert made.x.refresh_credentials() is False
    assert made.again().refresh_credentials() is False
    assert len(sent(upstreams, "/2/oauth2/token")) == 1


@pytest.mark.parametrize("kind", ["cut", "lost", "malformed"])
def test_a_renewal_whose_answer_was_lost_is_for_an_operator(
    upstreams: Upstreams, made: Made, kind: str
) -> None:
    upstreams.fault("x", kind, route="/2/oauth2/token")
    with pytest.raises(UpstreamUnavailable):
        made.x.refresh_credentials()
    assert made.again().refresh_credentials() is False
    made.ssm.values |= oauth2_parameters(upstreams, ACCOUNT).values
    assert isinstance(made.again().create_post("Mended"), Created)


def test_a_renewal_that_never_arrived_is_made_again(upstreams: Upstreams, made: Made) -> None:
    upstreams.fault("x", "status", status=503, route="/2/oauth2/token")
    with pytest.raises(UpstreamUnavailable):
        made.x.refresh_credentials()
    assert made.x.refresh_credentials() is True


def test_a_wrong_client_secret_does_not_cost_the_refresh_token(
    upstreams: Upstreams, made: Made
) -> None:
    right = made.ssm.values["client_secret"]
    made.ssm.values["client_secret"] = "wrong"
    with pytest.raises(UpstreamError, match="401"):
        made.x.refresh_credentials()
    made.ssm.values["client_secret"] = right
    assert made.again().refresh_credentials() is True


def test_the_own_timeline_has_all_pages_since_then(upstreams: Upstreams, either: Made) -> None:
    since = datetime.now(UTC) - timedelta(minutes=10)
    upstreams.tweet(ACCOUNT, "Post number", count=101)
    texts = [f"Post number {number}" for number in range(101)]
    with tallying() as tally:
        posts = either.x.own_timeline(since)
    assert {post.text for post in posts} >= set(texts)
    assert all(post.created_at >= since - timedelta(seconds=1) for post in posts)
    assert len(sent(upstreams, f"/2/users/{accounts()[ACCOUNT].id}/tweets")) == 2
    assert tally.cost_usd == pytest.approx(0.010 + 0.001 * len(posts))


def test_an_own_post_is_found_again_behind_its_short_link(upstreams: Upstreams, made: Made) -> None:
    since = now()
    result = made.x.create_post("R & R: https://a.example.com/b")
    assert isinstance(result, Created)
    [found] = [p for p in made.x.own_timeline(since) if p.post_id == result.post_id]
    assert found.text.startswith("R &amp; R: https://t.co/")


BROKEN_PAGES = [
    {"data": [{"id": "1", "text": "a"}], "meta": {"result_count": 1}},
    {"data": [], "meta": {"result_count": 1}},
    {"data": [{"id": "1"}], "errors": [{"title": "Gone"}], "meta": {"result_count": 1}},
    {"data": "none", "meta": {"result_count": 0}},
    {"data": []},
    {"meta": {"result_count": 0, "next_token": "b26v89c19zqg8o3f1"}, "errors": [{}]},
    [],
]


@pytest.mark.parametrize("body", BROKEN_PAGES, ids=str)
def test_an_own_timeline_that_is_not_whole_is_none(
    upstreams: Upstreams, made: Made, body: Any
) -> None:
    upstreams.fault("x", "status", status=200, body=body, route=TIMELINE)
    with pytest.raises(UpstreamError):
        made.x.own_timeline(now())


def test_a_second_page_that_fails_fails_the_whole(upstreams: Upstreams, made: Made) -> None:
    upstreams.tweet(ACCOUNT, "Post number", count=101)
    upstreams.fault("x", "status", status=503, route=TIMELINE, every=2)
    with pytest.raises(UpstreamUnavailable):
        made.x.own_timeline(datetime.now(UTC) - timedelta(minutes=10))


def a_page(x: XApi, user_id: str, **asked: Any) -> Timeline:
    whole: dict[str, Any] = {"since_id": None, "until_id": None, "token": None, "at_most": 100}
    whole |= {"replies": True, "retweets": True, "usd_per_post": 0.005}
    return x.timeline(user_id, **{**whole, **asked})


def test_the_tweets_of_others_are_read_as_x_gives_them(upstreams: Upstreams, made: Made) -> None:
    user_id = made.x.user_id("butaca_nueve")
    page = a_page(made.x, user_id)
    assert len(page.posts) == 30
    assert page.next_token is None
    assert {"created_at", "lang", "edit_history_tweet_ids"} <= set(page.posts[0])
    assert a_page(made.x, user_id, at_most=5, replies=False, retweets=False).next_token
    newest = str(page.posts[0]["id"])
    after = a_page(made.x, user_id, since_id=newest, at_most=5)
    assert (list(after.posts), after.next_token) == ([], None)


def test_a_timeline_is_read_between_two_tweets_page_by_page(
    upstreams: Upstreams, made: Made
) -> None:
    user_id = made.x.user_id("butaca_nueve")
    ids = [post["id"] for post in a_page(made.x, user_id).posts]
    between = {"since_id": ids[20], "until_id": ids[10], "at_most": 5}
    first = a_page(made.x, user_id, **between)
    assert [post["id"] for post in first.posts] == ids[11:16]
    rest = a_page(made.x, user_id, **between, token=first.next_token)
    assert [post["id"] for post in rest.posts] == ids[16:20]
    assert rest.next_token is None


def test_who_is_not_there_is_not_found(upstreams: Upstreams, made: Made) -> None:
    with pytest.raises(UpstreamNotFound, match="Could not find user"):
        made.x.user_id("nobody_at_all")
    with pytest.raises(UpstreamNotFound):
        a_page(made.x, "1")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 402}, CreditsDepleted),
        ({"kind": "status", "status": 429}, RateLimitedError),
        ({"kind": "status", "status": 500}, UpstreamUnavailable),
        ({"kind": "reset"}, UpstreamUnavailable),
        ({"kind": "cut"}, UpstreamUnavailable),
        ({"kind": "malformed"}, UpstreamUnavailable),
        ({"kind": "delay", "seconds": 1}, UpstreamTimeout),
    ],
    ids=str,
)
def test_a_read_that_fails_has_its_name(
    upstreams: Upstreams, made: Made, fault: dict[str, Any], error: type[UpstreamError]
) -> None:
    upstreams.fault("x", route="/2/users/by/*", **fault)
    with pytest.raises(error), tallying() as tally:
        made.again(timeout_seconds=IMPATIENT_SECONDS).user_id("butaca_nueve")
    assert dict(tally.calls) == {"x.failed": 1}


@pytest.mark.parametrize("account", ["", "Demo", "../tmdb", "a/b", "a" * 21])
def test_an_account_that_could_lead_to_other_secrets_is_refused(account: str) -> None:
    with pytest.raises(BadInput):
        XApi(account, "http://127.0.0.1:1", Parameters().client, PREFIX, MemoryRows())


def test_no_secret_is_in_a_log_an_error_a_result_or_the_tables(
    upstreams: Upstreams,
    either: Made,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secrets = {
        DEMONSTRATION.x_consumer_secret,
        DEMONSTRATION.x_client_secret,
        *upstreams.x_tokens(ACCOUNT).values(),
    }
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        said.append(repr(either.x.create_post("Words")))
        for kind in ("reset", "cut", "malformed"):
            upstreams.fault("x", kind, route="/2/oauth2/token")
            upstreams.fault("x", kind, route=TWEETS)
            said.append(repr(either.x.create_post(f"Words {kind}")))
            try:
                said.append(repr(either.again().refresh_credentials()))
            except UpstreamError as error:
                said += [repr(error), repr(error.__cause__), repr(error.__context__)]
        upstreams.x(revoke=ACCOUNT)
        said.append(repr(either.again().create_post("Words")))
        with pytest.raises(UpstreamError) as raised:
            either.again().user_id("butaca_nueve")
        said += [repr(raised.value), repr(either.x), json.dumps(upstreams.calls())]
    said += [caplog.text, *capsys.readouterr(), json.dumps(either.rows.dump())]
    secrets |= set(json.loads(either.ssm.values.get("oauth2_tokens", "{}")).values())
    assert len(caplog.records) > 5, "the libraries do log"
    assert not [secret for secret in secrets for text in said if str(secret) in text]


def test_tweepy_asks_for_the_address_that_we_replace(tmp_path: Path) -> None:
    session = XSession("http://127.0.0.1:1/x/2", 1)
    with pytest.raises(RuntimeError, match=TWEEPY_ROOT):
        session._requests.request("GET", "https://another.example.com/2/tweets")


def test_neither_proxies_nor_netrc_of_the_machine_come_between(
    upstreams: Upstreams, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{upstreams.url}/", timeout=1)
    assert isinstance(made.x.create_post("Words"), Created)
