"""What happens next to a tweet or a post, and what a person may do about it, in a sentence."""

from marquee.clock import written
from marquee.tweets.models import LedgerEntry, LedgerState, Status, Tweet

LOOKED_FOR = (
    "Nothing to do: it is looked for on the account's timeline, and sent again only where it is "
    "proved absent."
)

LOOK_ON_X = (
    "Look for its text on the posting account's timeline, then decide the post: POSTED with its "
    "id where it is there, CLAIMED to send it, REJECTED to give it up."
)

SEND_AFTER_ALL = (
    "Nothing more happens by itself. Mend what the reason says, then decide the post: CLAIMED "
    "sends the same text after all, POSTED with its id notes that it is on X."
)

_OF_TWEETS = {
    Status.DOWNLOADED: "The next run takes it up.",
    Status.CLASSIFIED: "The next run takes it up.",
    Status.POLISHED: "The next run takes it up, or a decision on its approval.",
    Status.APPROVED: "This run, the next one or the sweep posts it.",
    Status.UNKNOWN: LOOKED_FOR,
}

_OF_POSTS = {
    LedgerState.CLAIMED: "The next run or the sweep sends it.",
    LedgerState.SENDING: "It is on its way; where its sender died, it is looked for.",
    LedgerState.UNKNOWN: LOOKED_FOR,
    LedgerState.NEEDS_HUMAN: LOOK_ON_X,
    LedgerState.REJECTED: SEND_AFTER_ALL,
}


def after_tweet(tweet: Tweet) -> str:
    """What is next for the tweet; empty where nothing is."""
    sent = any(change.to in {Status.APPROVED, Status.UNKNOWN} for change in tweet.history)
    if tweet.status is Status.NEEDS_HUMAN:
        if sent:
            return LOOK_ON_X
        words = "Approve, edit" if tweet.final_text else "Edit"
        return f"{words} or reject the approval {tweet.account}-{tweet.tweet_id}."
    if tweet.status is Status.REJECTED:
        return SEND_AFTER_ALL if sent else "A person rejected it: nothing more happens."
    return _OF_TWEETS.get(tweet.status, "")


def after_post(entry: LedgerEntry) -> str:
    """What is next for the post; empty where nothing is."""
    if entry.state is LedgerState.CLAIMED and entry.not_before:
        return f"The next run or the sweep sends it, from {written(entry.not_before)} on."
    return _OF_POSTS.get(entry.state, "")
