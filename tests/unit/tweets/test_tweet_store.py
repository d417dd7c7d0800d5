"""Tweets are stored once, and change status only from the one that was read."""

from typing import Any

import pytest

from marquee.errors import StoreUnavailable
from marquee.tweets.models import MAX_HISTORY, STATUS_CHANGES, Status, Tweet
from marquee.tweets.rows import Rows, Swap
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.world import START


def a_tweet(**fields: Any) -> Tweet:
    facts: dict[str, Any] = {
        "account": "nasa",
        "tweet_id": "1456012973835788293",
        "author": "NASA",
        "text": "To the moon \u00e9\u0301 🚀",
        "created_at": START,
    }
    return Tweet.model_validate({**facts, **fields})


def test_a_tweet_comes_back_as_it_was_stored(rows: Rows) -> None:
    tweet = a_tweet(urls=("https://nasa.gov",), verdict={"similarity": 0.75, "reasons": []})
    assert TweetStore(rows).put(tweet)
    assert TweetStore(rows).get("nasa", tweet.tweet_id) == tweet


def test_a_tweet_is_stored_once(rows: Rows) -> None:
    store = TweetStore(rows)
    store.put(a_tweet())
    assert not store.put(a_tweet(text="another"))
    stored = store.get("nasa", a_tweet().tweet_id)
    assert stored
    assert stored.text == a_tweet().text


def test_a_change_is_written_with_its_time_and_reason(rows: Rows) -> None:
    store = TweetStore(rows)
    store.put(a_tweet())
    changed = store.change(a_tweet(), Status.SKIPPED, reason="a reply", now=START)
    assert changed == store.get("nasa", a_tweet().tweet_id)
    assert changed
    [change] = changed.history
    assert (change.to, change.reason, change.at) == (Status.SKIPPED, "a reply", START)


def test_a_tweet_that_has_changed_since_it_was_read_is_left_alone(rows: Rows) -> None:
    store = TweetStore(rows)
    store.put(a_tweet())
    store.change(a_tweet(), Status.CLASSIFIED, now=START)
    assert store.change(a_tweet(), Status.SKIPPED, now=START) is None
    stored = store.get("nasa", a_tweet().tweet_id)
    assert stored
    assert stored.status is Status.CLASSIFIED


@pytest.mark.parametrize("status", list(Status))
def test_only_the_changes_that_are_listed_are_allowed(status: Status) -> None:
    tweet = a_tweet(status=status)
    for to in Status:
        if to in STATUS_CHANGES.get(status, frozenset()):
            assert tweet.changed(to, now=START).status is to
        else:
            with pytest.raises(ValueError, match=f"{status} does not become {to}"):
                tweet.changed(to, now=START)


def test_tweets_are_listed_by_status_from_the_oldest_on(rows: Rows) -> None:
    store = TweetStore(rows)
    for tweet_id in ("100", "20", "3"):
        store.put(a_tweet(tweet_id=tweet_id))
    store.put(a_tweet(tweet_id="4", status=Status.APPROVED))
    store.put(a_tweet(tweet_id="5", account="esa"))
    first, cursor = store.by_status("nasa", Status.DOWNLOADED, limit=2)
    rest, _ = store.by_status("nasa", Status.DOWNLOADED, limit=2, after=cursor)
    assert [tweet.tweet_id for tweet in (*first, *rest)] == ["3", "20", "100"]


def test_a_history_without_end_keeps_its_first_change_and_the_newest() -> None:
    tweet = a_tweet(status=Status.APPROVED)
    for number in range(MAX_HISTORY):
        tweet = tweet.changed(Status.UNKNOWN, reason=f"{number}", now=START)
        tweet = tweet.changed(Status.APPROVED, reason=f"{number}", now=START)
    assert len(tweet.history) == MAX_HISTORY
    assert tweet.history[0].reason == "0"
    assert tweet.history[-1].reason == f"{MAX_HISTORY - 1}"


class LostAnswers(MemoryRows):
    """Writes are done, but the answer is lost, or is that of the client's own second try."""

    def __init__(self, *, raises: bool, writes: bool = True) -> None:
        super().__init__()
        self._raises, self._writes = raises, writes

    def swap(self, *swaps: Swap) -> bool:
        if self._writes:
            super().swap(*swaps)
        if self._raises:
            raise StoreUnavailable("no answer")
        return False


@pytest.mark.parametrize("raises", [True, False])
def test_a_write_whose_answer_was_lost_is_found_by_reading(raises: bool) -> None:
    assert TweetStore(LostAnswers(raises=raises)).put(a_tweet())


def test_a_write_that_was_not_done_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        TweetStore(LostAnswers(raises=True, writes=False)).put(a_tweet())


@pytest.mark.parametrize("status", [None, Status.DOWNLOADED])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_newest_tweets_come_first_page_by_page(
    rows: Rows, status: Status | None, limit: int
) -> None:
    store = TweetStore(rows)
    for tweet_id in ("9", "10", "101"):
        store.put(a_tweet(tweet_id=tweet_id))
    store.put(a_tweet(account="other", tweet_id="50"))
    found: list[str] = []
    before = None
    while True:
        page, before = store.newest("nasa", status=status, limit=limit, before=before)
        found += [tweet.tweet_id for tweet in page]
        if before is None:
            break
    assert found == ["101", "10", "9"]
    # What is gone meanwhile is as good a place to go on from.
    assert store.newest("nasa", status=status, limit=9, before="10")[0] == [a_tweet(tweet_id="9")]


def test_tweets_of_another_status_are_left_out(rows: Rows) -> None:
    store = TweetStore(rows)
    store.put(a_tweet(tweet_id="9"))
    store.put(a_tweet(tweet_id="10", status=Status.SKIPPED))
    [found] = store.newest("nasa", status=Status.SKIPPED, limit=9)[0]
    assert found.tweet_id == "10"
    assert len(store.newest("nasa", status=None, limit=9)[0]) == 2
