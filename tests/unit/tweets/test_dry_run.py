"""A dry run goes all the way and changes nothing."""

from collections.abc import Mapping
from typing import Any

from marquee.tweets.classify import classify_tweets
from marquee.tweets.download import download_tweets
from marquee.tweets.dry_run import DryRows
from marquee.tweets.models import Status, TweetType
from marquee.tweets.policy import Download
from marquee.tweets.polish import Style, polish_tweets
from marquee.tweets.rows import In, Item, Rows, Swap, row_key
from marquee.tweets.run import Mode
from marquee.tweets.tweet_store import TweetStore
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.stage import (
    NOW,
    OWN,
    WORKFLOW,
    Clock,
    FakeX,
    a_run,
    a_tweet,
    saying,
    some_policies,
    stored,
)
from tests.unit.tweets.test_download import a_post

POLISHED = "Saw The Quiet Harbor yesterday. It's a wonderful film! 8/10"


def dry(rows: Rows) -> DryRows:
    return DryRows(rows, WORKFLOW, now=NOW)


def real(rows: MemoryRows) -> dict[Any, Mapping[str, Any]]:
    return {key: row for key, row in rows.rows.items() if not key[2].startswith("dry#")}


def test_a_dry_run_goes_all_the_way_and_changes_nothing_real() -> None:
    rows = MemoryRows()
    leftover = a_tweet(tweet_id="5", status=Status.CLASSIFIED, type=TweetType.REVIEW)
    stored(rows, leftover)
    before = real(rows)
    run = a_run(mode=Mode.DRY_RUN, count=1)
    text = "saw the quiet harbor yesterday, its a wonderful film 8/10"
    x = FakeX([a_post(9, text=text)])
    output = download_tweets(run, dry(rows), x, Download(), workflow_id="run-1", now=NOW)
    rules = some_policies()
    output = classify_tweets(
        run, output.tweet_ids, TweetStore(dry(rows)), rules, None, clock=Clock()
    )
    output = polish_tweets(
        run, output.tweet_ids, dry(rows), rules, saying(POLISHED), Style(tone="dry"), clock=Clock()
    )
    assert set(output.tweet_ids) == {"5", "9"}
    assert (output.posts, output.approvals) == ((), ())
    for tweet_id in ("5", "9"):
        shown = TweetStore(dry(rows)).get(OWN, tweet_id)
        assert shown
        assert (shown.status, shown.final_text) == (Status.POLISHED, POLISHED)
    assert real(rows) == before
    assert all("expires_at" in row for key, row in rows.rows.items() if key[2].startswith("dry#"))


def test_what_a_dry_run_wrote_is_seen_by_itself_alone(rows: Rows) -> None:
    tweet = a_tweet()
    tweets = stored(rows, tweet)
    assert TweetStore(dry(rows)).change(tweet, Status.CLASSIFIED, now=NOW)
    assert tweets.by_status(OWN, Status.CLASSIFIED, limit=10) == ([], None)
    assert tweets.by_status(OWN, Status.DOWNLOADED, limit=10) == ([tweet], None)
    mine = TweetStore(dry(rows))
    assert mine.by_status(OWN, Status.DOWNLOADED, limit=10) == ([], None)
    [changed], _ = mine.by_status(OWN, Status.CLASSIFIED, limit=10)
    assert changed.status is Status.CLASSIFIED
    other = TweetStore(DryRows(rows, "another", now=NOW))
    assert other.get(OWN, tweet.tweet_id) == tweet


def test_versions_count_in_a_dry_run_too(rows: Rows) -> None:
    tweet = a_tweet()
    stored(rows, tweet)
    mine = TweetStore(dry(rows))
    assert not mine.put(a_tweet(text="another"))
    changed = mine.change(tweet, Status.CLASSIFIED, now=NOW)
    assert changed
    assert mine.change(tweet, Status.SKIPPED, now=NOW) is None
    assert mine.change(changed, Status.SKIPPED, now=NOW)


def test_a_row_that_a_dry_run_removed_is_gone_for_it_alone(rows: Rows) -> None:
    stored(rows, a_tweet())
    key = row_key(a_tweet().tweet_id)
    found: Item | None = rows.get(In.TWEETS, OWN, key)
    assert found
    assert dry(rows).swap(Swap(In.TWEETS, OWN, key, 1, None))
    assert dry(rows).get(In.TWEETS, OWN, key) is None
    assert rows.get(In.TWEETS, OWN, key) == found
    assert TweetStore(dry(rows)).put(a_tweet(text="new"))
