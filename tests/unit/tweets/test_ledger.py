"""The ledger freezes a text once, moves an entry in one way, and keeps its tweet in step."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from marquee.tweets.ledger import SAME_TEXT_WITHIN, PostLedger, balance
from marquee.tweets.models import (
    OPEN_STATES,
    STATE_CHANGES,
    Change,
    LedgerEntry,
    LedgerState,
    Status,
    Tweet,
)
from marquee.tweets.rows import Rows
from marquee.tweets.tweet_store import TweetStore
from tests.unit.tweets.world import ACCOUNT, SOURCE, START


def approved(rows: Rows, tweet_id: str = "101", text: str = "A film & a half") -> Tweet:
    """A stored tweet that is ready to be posted."""
    tweet = Tweet(
        account=SOURCE,
        tweet_id=tweet_id,
        author=SOURCE,
        text=text,
        created_at=START,
        status=Status.APPROVED,
        final_text=text,
        history=(Change(at=START, to=Status.APPROVED),),
    )
    assert TweetStore(rows).put(tweet)
    return tweet


def claimed(rows: Rows, *, now: datetime = START, **fields: str) -> LedgerEntry:
    return PostLedger(rows).claim(ACCOUNT, approved(rows, **fields), now=now)


def moved(
    rows: Rows, entry: LedgerEntry, to: LedgerState, now: datetime = START, **fields: Any
) -> LedgerEntry:
    fields = {"reason": "so it is", **fields}
    stored = PostLedger(rows).advance(entry, entry.changed(to, now=now, **fields))
    assert stored
    return stored


def posted(rows: Rows, entry: LedgerEntry, post_id: str = "9001") -> LedgerEntry:
    sending = moved(rows, entry, LedgerState.SENDING, owner="me", sending_at=START)
    return moved(rows, sending, LedgerState.POSTED, post_id=post_id)


def status_of(rows: Rows, tweet_id: str = "101") -> Status:
    tweet = TweetStore(rows).get(SOURCE, tweet_id)
    assert tweet
    return tweet.status


def test_a_claim_freezes_the_text_with_its_hash_and_price(rows: Rows) -> None:
    entry = claimed(rows, text="Tonight: example.com")
    assert entry == PostLedger(rows).get(ACCOUNT, "101")
    assert (entry.state, entry.text) == (LedgerState.CLAIMED, "Tonight: example.com")
    assert (entry.has_url, entry.price_usd) == (True, 0.200)
    assert claimed(rows, tweet_id="102", text="Tonight").price_usd == 0.015


def test_a_second_claim_finds_the_first_and_its_text(rows: Rows) -> None:
    first = claimed(rows)
    tweet = TweetStore(rows).get(SOURCE, "101")
    assert tweet
    again = tweet.model_copy(update={"final_text": "Another text"})
    assert PostLedger(rows).claim(ACCOUNT, again, now=START) == first


def test_a_text_that_another_tweet_holds_is_skipped_naming_it(rows: Rows) -> None:
    claimed(rows)
    entry = claimed(rows, tweet_id="102", text="A  film &amp; a half")
    assert entry.state is LedgerState.SKIPPED
    assert entry.reason == "the text is that of tweet 101"
    assert status_of(rows, "102") is Status.SKIPPED


def test_another_account_may_post_the_same_text(rows: Rows) -> None:
    claimed(rows)
    entry = PostLedger(rows).claim("other", approved(rows, "102"), now=START)
    assert entry.state is LedgerState.CLAIMED


def test_a_text_is_free_seven_days_after_it_was_posted(rows: Rows) -> None:
    posted(rows, claimed(rows))
    until = START + SAME_TEXT_WITHIN
    early = claimed(rows, tweet_id="102", now=until - timedelta(seconds=1))
    assert early.state is LedgerState.SKIPPED
    assert claimed(rows, tweet_id="103", now=until).state is LedgerState.CLAIMED


def test_a_text_is_held_as_long_as_its_entry_is_open(rows: Rows) -> None:
    claimed(rows)
    later = START + 10 * SAME_TEXT_WITHIN
    assert claimed(rows, tweet_id="102", now=later).state is LedgerState.SKIPPED


def test_a_text_that_x_refused_is_free(rows: Rows) -> None:
    sending = moved(rows, claimed(rows), LedgerState.SENDING, owner="me")
    rejected = moved(rows, sending, LedgerState.REJECTED)
    assert status_of(rows) is Status.REJECTED
    assert claimed(rows, tweet_id="102").state is LedgerState.CLAIMED
    # And the first one cannot be released beside it.
    released = rejected.changed(LedgerState.CLAIMED, now=START)
    assert PostLedger(rows).advance(rejected, released) is None


def test_only_one_of_two_who_read_the_same_entry_moves_it(rows: Rows) -> None:
    entry = claimed(rows)
    mine, theirs = (
        entry.changed(LedgerState.SENDING, now=START, owner=owner) for owner in ("me", "them")
    )
    ledger = PostLedger(rows)
    assert ledger.advance(entry, mine) == mine
    assert ledger.advance(entry, theirs) is None
    assert ledger.get(ACCOUNT, "101") == mine


def test_a_post_belongs_to_one_tweet(rows: Rows) -> None:
    posted(rows, claimed(rows), post_id="9001")
    ledger = PostLedger(rows)
    assert ledger.maker_of(ACCOUNT, "9001") == "101"
    sending = moved(rows, claimed(rows, tweet_id="102", text="Another"), LedgerState.SENDING)
    taken = sending.changed(LedgerState.POSTED, now=START, post_id="9001")
    assert ledger.advance(sending, taken) is None
    assert ledger.get(ACCOUNT, "102") == sending


def test_the_tweet_keeps_step_with_its_post(rows: Rows) -> None:
    entry = moved(rows, claimed(rows), LedgerState.SENDING)
    assert status_of(rows) is Status.APPROVED
    entry = moved(rows, entry, LedgerState.UNKNOWN)
    assert status_of(rows) is Status.UNKNOWN
    entry = moved(rows, entry, LedgerState.CLAIMED)
    assert status_of(rows) is Status.APPROVED
    posted(rows, entry)
    tweet = TweetStore(rows).get(SOURCE, "101")
    assert tweet
    assert (tweet.status, tweet.post_id) == (Status.POSTED, "9001")


def test_a_post_is_written_down_also_where_its_tweet_went_another_way(rows: Rows) -> None:
    entry = moved(rows, claimed(rows), LedgerState.SENDING)
    tweets = TweetStore(rows)
    tweet = tweets.get(SOURCE, "101")
    assert tweet
    tweets.change(tweet, Status.NEEDS_HUMAN, now=START)
    unknown = moved(rows, entry, LedgerState.UNKNOWN)
    assert unknown == PostLedger(rows).get(ACCOUNT, "101")
    assert status_of(rows) is Status.NEEDS_HUMAN
    [fault] = balance([unknown], [t for t in [tweets.get(SOURCE, "101")] if t]).faults
    assert fault == "tweet 101 is NEEDS_HUMAN, its entry UNKNOWN"


def test_open_entries_are_found_by_state_and_age_the_oldest_first(rows: Rows) -> None:
    for minute, tweet_id in enumerate(("103", "101", "102")):
        claimed(rows, tweet_id=tweet_id, text=tweet_id, now=START + timedelta(minutes=minute))
    moved(rows, claimed(rows, tweet_id="104", text="104"), LedgerState.SENDING)
    found = PostLedger(rows).open_entries(LedgerState.CLAIMED, before=START + timedelta(seconds=61))
    assert [entry.tweet_id for entry in found] == ["103", "101"]


def test_closed_entries_are_not_among_the_open_ones(rows: Rows) -> None:
    posted(rows, claimed(rows))
    ledger = PostLedger(rows)
    later = START + timedelta(days=1)
    assert [e for state in LedgerState for e in ledger.open_entries(state, before=later)] == []


def test_the_ledger_of_an_account_is_paged(rows: Rows) -> None:
    for tweet_id in ("20", "3", "100"):
        posted(rows, claimed(rows, tweet_id=tweet_id, text=tweet_id), post_id=f"9{tweet_id}")
    first, cursor = PostLedger(rows).page(ACCOUNT, limit=2)
    rest, _ = PostLedger(rows).page(ACCOUNT, limit=2, after=cursor)
    assert [entry.tweet_id for entry in (*first, *rest)] == ["3", "20", "100"]


@pytest.mark.parametrize("state", list(LedgerState))
def test_only_the_moves_that_are_listed_are_allowed(rows: Rows, state: LedgerState) -> None:
    entry = claimed(rows).model_copy(update={"state": state})
    for to in LedgerState:
        if to in STATE_CHANGES.get(state, frozenset()):
            assert entry.changed(to, now=START).version == entry.version + 1
        else:
            with pytest.raises(ValueError, match=f"{state} does not become {to}"):
                entry.changed(to, now=START)


def test_nothing_is_sent_but_from_claimed() -> None:
    leading = {state for state, then in STATE_CHANGES.items() if LedgerState.SENDING in then}
    assert leading == {LedgerState.CLAIMED}
    assert LedgerState.POSTED not in OPEN_STATES | STATE_CHANGES.keys()


def test_the_balance_counts_every_tweet_once(rows: Rows) -> None:
    first = posted(rows, claimed(rows))
    second = claimed(rows, tweet_id="102")
    third = claimed(rows, tweet_id="103", text="pending")
    approved(rows, "104", "not claimed yet")
    tweets = [t for t in (TweetStore(rows).get(SOURCE, str(n)) for n in range(101, 105)) if t]
    account = balance([first, second, third], tweets)
    assert account.holds
    assert (account.post_worthy, account.posted, account.skipped) == (4, 1, 1)
    assert (account.rejected, account.pending) == (0, 2)


def test_the_balance_names_what_cannot_be(rows: Rows) -> None:
    first = posted(rows, claimed(rows))
    second = claimed(rows, tweet_id="102", text="another")
    tweets = [t for t in (TweetStore(rows).get(SOURCE, str(n)) for n in (101, 102)) if t]
    stolen = second.model_copy(update={"state": LedgerState.POSTED, "post_id": first.post_id})
    account = balance([first, stolen], tweets)
    assert not account.holds
    assert "post 9001 is of 101 and 102" in account.faults
    assert "tweet 102 is APPROVED, its entry POSTED" in account.faults
    assert balance([first], []).faults == ("entry 101 is of no tweet",)
    assert balance([], tweets).faults == ("tweet 101 is POSTED without an entry",)


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_newest_source_tweets_come_first_page_by_page(rows: Rows, limit: int) -> None:
    ids = ["9", "10", "101"]
    for tweet_id in ids:
        claimed(rows, tweet_id=tweet_id, text=f"number {tweet_id}")
    found: list[str] = []
    before = None
    while True:
        page, before = PostLedger(rows).newest(ACCOUNT, limit=limit, before=before)
        found += [entry.tweet_id for entry in page]
        if before is None:
            break
    assert found == ids[::-1]
    assert [e.tweet_id for e in PostLedger(rows).newest(ACCOUNT, limit=9, before="100")[0]] == [
        "10",
        "9",
    ]
    assert PostLedger(rows).newest("other", limit=9) == ([], None)
