"""Whoever asks what became of a tweet hears what is next, and what to do."""

from datetime import timedelta

import pytest

from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState, Status, Tweet
from marquee.tweets.next_steps import LOOK_ON_X, LOOKED_FOR, SEND_AFTER_ALL, after_post, after_tweet
from tests.support.tweet_tables import MemoryRows
from tests.unit.tweets.stage import NOW, OWN, a_tweet


def went(*statuses: Status) -> Tweet:
    """A tweet that has gone this way since it was downloaded."""
    tweet = a_tweet(final_text="A wonderful film!")
    for status in statuses:
        tweet = tweet.changed(status, now=NOW)
    return tweet


POLISHED = (Status.CLASSIFIED, Status.POLISHED)
APPROVED = (*POLISHED, Status.APPROVED)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ((), "The next run takes it up."),
        (POLISHED, "a decision on its approval"),
        (APPROVED, "the sweep posts it"),
        ((*APPROVED, Status.UNKNOWN), LOOKED_FOR),
        ((*APPROVED, Status.UNKNOWN, Status.POSTED), ""),
        ((Status.SKIPPED,), ""),
    ],
)
def test_a_tweet_on_its_way_says_who_goes_on(way: tuple[Status, ...], said: str) -> None:
    step = after_tweet(went(*way))
    assert (said in step) if said else step == ""


def test_a_tweet_that_is_held_names_the_approval_to_decide() -> None:
    held = went(*POLISHED, Status.NEEDS_HUMAN)
    assert after_tweet(held) == f"Approve, edit or reject the approval {OWN}-{held.tweet_id}."
    without = held.model_copy(update={"final_text": None})
    assert after_tweet(without).startswith("Edit or reject")


def test_a_tweet_whose_post_is_in_doubt_says_to_look_on_x() -> None:
    assert after_tweet(went(*APPROVED, Status.UNKNOWN, Status.NEEDS_HUMAN)) == LOOK_ON_X


def test_who_rejected_it_makes_a_difference() -> None:
    assert "A person rejected it" in after_tweet(went(*POLISHED, Status.REJECTED))
    held = (*POLISHED, Status.NEEDS_HUMAN, Status.REJECTED)
    assert "A person rejected it" in after_tweet(went(*held))
    assert after_tweet(went(*APPROVED, Status.REJECTED)) == SEND_AFTER_ALL


def test_every_state_of_a_post_but_its_ends_says_what_is_next() -> None:
    entry = PostLedger(MemoryRows()).claim(OWN, went(*APPROVED), now=NOW)
    silent = {
        state for state in LedgerState if not after_post(entry.model_copy(update={"state": state}))
    }
    assert silent == {LedgerState.POSTED, LedgerState.SKIPPED}


def test_a_post_that_x_puts_off_says_until_when() -> None:
    entry = PostLedger(MemoryRows()).claim(OWN, went(*APPROVED), now=NOW)
    later = entry.model_copy(update={"not_before": NOW + timedelta(minutes=15)})
    assert after_post(later) == "The next run or the sweep sends it, from 2026-03-14T20:15:00Z on."
