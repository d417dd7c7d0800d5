"""Credentials are renewed by one writer, whoever dies when, and are never said."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from marquee.errors import (
    MarqueeError,
    Misconfigured,
    StoreUnavailable,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from marquee.tweets.credentials import LEASE, CredentialStore, OAuth1, OAuth2
from marquee.tweets.rows import In, Swap
from tests.support.parameters import PREFIX, Parameters
from tests.support.tweet_tables import MemoryRows

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARIES = ("canary-consumer", "canary-access", "canary-refresh", "canary-secret", "canary-new")


class X:
    """The other side: each refresh token works once."""

    def __init__(self) -> None:
        self.good = "canary-refresh-0"
        self.asked: list[str | None] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def exchange(self, credentials: OAuth2) -> OAuth2 | None:
        self.before()
        self.asked.append(credentials.refresh_token)
        if credentials.refresh_token != self.good:
            return None
        number = int(self.good.rpartition("-")[2]) + 1
        self.good = f"canary-refresh-{number}"
        self.after()
        expires = int(NOW.timestamp()) + 7200
        return OAuth2("id", None, f"canary-new-{number}", self.good, expires)


class World:
    """SSM, the table, X and a clock; `store()` is a new process."""

    def __init__(self) -> None:
        self.ssm = Parameters(client_id="id", oauth2_tokens=tokens(0))
        self.rows = MemoryRows()
        self.x = X()
        self.now = NOW

    def store(self) -> CredentialStore:
        return CredentialStore(
            self.ssm.client, PREFIX, "demo", self.rows, self.x.exchange, lambda: self.now
        )

    @property
    def row(self) -> dict[str, Any]:
        return dict(self.rows.get(In.POSTS, "demo", "credentials") or {})

    @property
    def stored(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self.ssm.values["oauth2_tokens"])
        return stored


def tokens(number: int, **more: Any) -> str:
    given = {
        "access_token": f"canary-access-{number}",
        "refresh_token": f"canary-refresh-{number}",
    }
    return json.dumps({**given, **more})


@pytest.fixture
def world() -> World:
    return World()


class Died(Exception):
    """The process was killed here."""


def die() -> None:
    raise Died


def access(store: CredentialStore) -> str:
    return store.current().access_token


def test_the_tokens_are_renewed_and_stored_for_all(world: World) -> None:
    store = world.store()
    assert store.renew(store.current())
    assert access(store) == "canary-new-1"
    assert world.stored == {
        "access_token": "canary-new-1",
        "refresh_token": "canary-refresh-1",
        "expires_at": int(NOW.timestamp()) + 7200,
    }
    assert access(world.store()) == "canary-new-1"
    assert "holder" not in world.row


def test_whoever_comes_late_takes_what_the_first_one_got(world: World) -> None:
    first, late = world.store(), world.store()
    refused = late.current()
    assert first.renew(first.current())
    assert late.renew(refused)
    assert access(late) == "canary-new-1"
    assert world.x.asked == ["canary-refresh-0"]


def test_two_at_once_send_one_request(world: World) -> None:
    other = world.store()
    refused = other.current()

    def meanwhile() -> None:
        with pytest.raises(UpstreamUnavailable, match="someone else"):
            other.renew(refused)

    world.x.before = meanwhile
    store = world.store()
    assert store.renew(store.current())
    assert world.x.asked == ["canary-refresh-0"]
    assert other.renew(refused)


def test_one_who_lost_the_race_for_the_row_does_not_ask(world: World) -> None:
    store = world.store()
    refused = store.current()
    theirs = {"account": "demo", "tweet_id": "credentials", "version": 1}
    taken = {**theirs, "holder": "another", "since": NOW.isoformat()}

    class Raced(MemoryRows):
        def swap(self, *swaps: Swap) -> bool:
            super().swap(Swap(In.POSTS, "demo", "credentials", None, taken))
            return super().swap(*swaps)

    world.rows = Raced()
    with pytest.raises(UpstreamUnavailable, match="someone else"):
        world.store().renew(refused)
    assert world.x.asked == []


def test_a_lease_whose_answer_was_lost_is_ours(world: World) -> None:
    class Deaf(MemoryRows):
        def swap(self, *swaps: Swap) -> bool:
            super().swap(*swaps)
            raise StoreUnavailable("the answer was lost")

    world.rows = Deaf()
    store = world.store()
    assert store.renew(store.current())
    assert world.stored["refresh_token"] == "canary-refresh-1"


def test_killed_before_the_request_the_next_renews_when_the_lease_is_over(world: World) -> None:
    class Killed(MemoryRows):
        """The killed process writes nothing any more."""

        dead = False

        def swap(self, *swaps: Swap) -> bool:
            return not self.dead and super().swap(*swaps)

    world.rows = rows = Killed()

    def kill() -> None:
        rows.dead = True
        raise Died

    world.x.before = kill
    store = world.store()
    refused = store.current()
    with pytest.raises(Died):
        store.renew(refused)
    rows.dead, world.x.before = False, lambda: None
    assert world.row["holder"]
    with pytest.raises(UpstreamUnavailable, match="someone else"):
        world.store().renew(refused)
    world.now += LEASE + timedelta(seconds=1)
    assert world.store().renew(refused)
    assert world.stored["refresh_token"] == "canary-refresh-1"


def test_killed_after_x_took_the_token_an_operator_can_mend_it(world: World) -> None:
    world.x.after = die
    store = world.store()
    refused = store.current()
    with pytest.raises(Died):
        store.renew(refused)
    assert "not known" in world.row["reason"]
    world.x.after = lambda: None
    # The token is used up: X says so once, and is not asked again.
    assert not world.store().renew(refused)
    assert not world.store().renew(refused)
    assert world.x.asked == ["canary-refresh-0"] * 2
    assert "authorize anew" in world.row["reason"]
    # What an operator does, and all there is to do.
    world.ssm.values["oauth2_tokens"] = tokens(7)
    world.x.good = "canary-refresh-7"
    mended = world.store()
    assert mended.renew(refused)
    assert access(mended) == "canary-access-7"
    assert mended.renew(mended.current())
    assert world.stored["refresh_token"] == "canary-refresh-8"


@pytest.mark.parametrize("reached", [False, True], ids=["never arrived", "was taken"])
def test_a_lost_answer_is_asked_for_again_at_once(world: World, reached: bool) -> None:
    def lost() -> None:
        raise UpstreamTimeout("no answer", provider="x", endpoint="oauth2/token")

    if reached:
        world.x.after = lost
    else:
        world.x.before = lost
    store = world.store()
    refused = store.current()
    with pytest.raises(UpstreamTimeout):
        store.renew(refused)
    world.x.before = world.x.after = lambda: None
    assert world.store().renew(refused) is not reached


def test_where_ssm_takes_no_write_the_refresh_token_is_not_used(world: World) -> None:
    world.ssm.writes_refused = "AccessDeniedException"
    store = world.store()
    with pytest.raises(Misconfigured, match=r"write /marquee/test/tweets/demo/: AccessDenied"):
        store.renew(store.current())
    assert world.x.asked == []
    world.ssm.writes_refused = None
    assert store.renew(store.current())


def test_tokens_that_ssm_did_not_take_serve_this_process_and_are_noted(world: World) -> None:
    world.ssm.writes_allowed = 1
    store = world.store()
    assert store.renew(store.current())
    assert access(store) == "canary-new-1"
    assert "not stored" in world.row["reason"]
    other = world.store()
    assert not other.renew(other.current())
    assert world.x.asked == ["canary-refresh-0"]


def test_a_token_that_was_just_replaced_is_not_used_again(world: World) -> None:
    store = world.store()
    refused = store.current()
    before = world.ssm.values["oauth2_tokens"]
    assert store.renew(refused)
    world.ssm.values["oauth2_tokens"] = before
    with pytest.raises(UpstreamUnavailable, match="not visible yet"):
        world.store().renew(refused)
    assert len(world.x.asked) == 1


def test_an_access_token_at_its_end_is_renewed_before_it_is_used(world: World) -> None:
    ends = int(NOW.timestamp()) + 90
    world.ssm.values["oauth2_tokens"] = tokens(0, expires_at=ends)
    store = world.store()
    assert access(store) == "canary-access-0"
    world.now += timedelta(seconds=40)
    assert access(store) == "canary-new-1"


def test_whose_credentials_they_are_is_remembered_over_renewals(world: World) -> None:
    store = world.store()
    assert store.owner() is None
    store.remember_owner("42")
    assert world.store().owner() == "42"
    assert store.renew(store.current())
    assert world.store().owner() == "42"
    world.ssm.values["oauth2_tokens"] = tokens(9)
    assert world.store().owner() is None


def test_whoever_remembers_takes_nothing_from_the_one_who_renews(world: World) -> None:
    other = world.store()
    other.current()
    world.x.before = lambda: other.remember_owner("42")
    store = world.store()
    assert store.renew(store.current())
    assert "holder" not in world.row
    assert "owner_of" not in world.row
    # Whoever held a lease that is over writes nothing any more.
    world.rows.rows[In.POSTS, "demo", "credentials"] |= {
        "holder": "gone",
        "since": (NOW - LEASE).isoformat(),
    }
    world.store().remember_owner("42")
    assert world.store().owner() == "42"


OAUTH1 = {
    "consumer_key": "canary-consumer-key",
    "consumer_secret": "canary-consumer-secret",
    "access_token": "canary-access",
    "access_token_secret": "canary-access-secret",
}


def test_oauth1_needs_no_renewal_but_takes_what_an_operator_changed(world: World) -> None:
    world.ssm.values = dict(OAUTH1)
    store = world.store()
    first = store.current()
    assert isinstance(first, OAuth1)
    assert not store.renew(first)
    world.ssm.values["access_token_secret"] = "canary-access-other"
    assert store.renew(first)
    assert store.current() != first


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "demo/consumer_key is not set, nor is oauth2_tokens"),
        ({**OAUTH1, "access_token": " "}, "demo/access_token is not set"),
        ({**OAUTH1, "consumer_key": "canary-\u2028x"}, "demo/consumer_key holds a stray"),
        ({"oauth2_tokens": tokens(0)}, "demo/client_id is not set"),
        ({"client_id": "i", "oauth2_tokens": "canary-access"}, "demo/oauth2_tokens is not"),
        ({"client_id": "i", "oauth2_tokens": '["canary-access"]'}, "demo/oauth2_tokens is not"),
        ({"client_id": "i", "oauth2_tokens": '{"access_token": 7}'}, "demo/oauth2_tokens is not"),
    ],
)
def test_what_is_missing_or_malformed_is_named_and_not_quoted(
    world: World, values: dict[str, str], named: str
) -> None:
    world.ssm.values = values
    with pytest.raises(Misconfigured, match=named) as raised:
        world.store().current()
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_only_what_is_needed_is_read_each_by_its_name_and_once_a_process(world: World) -> None:
    store = world.store()
    store.current()
    store.current()
    assert world.ssm.reads == ["oauth2_tokens", "client_id", "client_secret"]
    world.ssm.reads.clear()
    world.ssm.values = dict(OAUTH1)
    world.store().current()
    assert world.ssm.reads == ["oauth2_tokens", *OAUTH1]


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("ThrottlingException", StoreUnavailable, "SSM did not read .*/demo/"),
        ("InternalServerError", StoreUnavailable, "SSM did not read .*/demo/"),
        ("AccessDeniedException", Misconfigured, "does not let us read .*/demo/: AccessDenied"),
        ("InvalidKeyId", Misconfigured, "does not let us read .*/demo/: InvalidKeyId"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_not_one_that_is_missing(
    world: World, code: str, error: type[MarqueeError], said: str
) -> None:
    world.ssm.reads_refused = code
    store = world.store()
    with pytest.raises(error, match=said) as raised:
        store.current()
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    world.ssm.reads_refused = None
    assert access(store) == "canary-access-0"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_no_secret_is_in_a_repr_an_error_a_log_or_the_table(
    world: World, logged: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    world.ssm.writes_allowed = 1
    store = world.store()
    said += [repr(store), repr(store.current())]
    store.renew(store.current())
    for _ in range(2):
        fresh = world.store()
        try:
            said.append(repr(fresh.renew(fresh.current())))
        except MarqueeError as error:
            said.append(repr(error))
    world.ssm.values = dict(OAUTH1)
    said.append(repr(world.store().current()))
    said += [json.dumps(world.rows.dump()), logged.text, "".join(capsys.readouterr())]
    assert not [canary for canary in CANARIES for text in said if canary in text]


def test_the_parameter_store_itself_takes_what_we_write() -> None:
    with mock_aws():
        ssm = boto3.client("ssm", region_name="us-east-1")
        name = f"{PREFIX}/demo"
        ssm.put_parameter(Name=f"{name}/client_id", Value="id", Type="SecureString")
        ssm.put_parameter(Name=f"{name}/oauth2_tokens", Value=tokens(0), Type="SecureString")
        x = X()
        store = CredentialStore(ssm, PREFIX, "demo", MemoryRows(), x.exchange, lambda: NOW)
        # The secret of the client is not there: SSM itself says so.
        assert store.renew(store.current())
        kept = ssm.get_parameter(Name=f"{name}/oauth2_tokens", WithDecryption=True)["Parameter"]
        assert json.loads(kept["Value"])["refresh_token"] == "canary-refresh-1"
        assert kept["Type"] == "SecureString"
