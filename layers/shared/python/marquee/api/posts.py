"""The ledger of posts: what became of each, and an operator's word where a machine cannot tell."""

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from marquee.api.call import Call, Parameters, Reply
from marquee.api.cursors import decoded, encoded
from marquee.api.executions import Cursor, Limit
from marquee.api.tweets import Before
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerEntry
from marquee.tweets.next_steps import after_post
from marquee.tweets.reconcile import Decision, ReconcilePostInput, decide_post

if TYPE_CHECKING:
    from marquee.api.answers import PostAnswer

ACCOUNT = r"^@?[A-Za-z0-9_]{1,20}$"


class PostFilter(Parameters):
    """Which posts."""

    account: str = Field(pattern=ACCOUNT, description="That posts.")
    limit: Limit = 20
    cursor: Cursor = None


class PostWord(Decision):
    """Which post, and what was found out about it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    account: str = Field(pattern=ACCOUNT, description="That posts.")
    tweet_id: str = Field(pattern=r"^[1-9][0-9]{0,19}$", description="The source tweet.")


def posts(asked: PostFilter, call: Call) -> Reply:
    """A page of an account's posts, that of the newest source tweet first.

    The history says each state with its time and reason; next_step what happens now, and what a
    person may do.
    """
    from marquee.api.answers import PostPage

    position = decoded(asked.cursor, Before)
    found, before = PostLedger.connect(call.settings).newest(
        _name(asked.account), limit=asked.limit, before=position.before if position else None
    )
    return Reply(
        PostPage(
            account=_name(asked.account),
            posts=tuple(map(_shown, found)),
            next_cursor=encoded(Before(before=before)) if before else None,
        )
    )


def settle(asked: PostWord, call: Call) -> Reply:
    """Settle a post that NEEDS_HUMAN, release one that is REJECTED, or stop one that is CLAIMED.

    POSTED, with its post_id: it is on X. CLAIMED: it is not, send the same text. REJECTED: give it
    up. The same word again is the same answer.
    """
    decision = Decision.model_validate(asked.model_dump(include=set(Decision.model_fields)))
    request = ReconcilePostInput(account=_name(asked.account), tweet_id=asked.tweet_id)
    ledger = PostLedger.connect(call.settings)
    return Reply(_shown(decide_post(request, decision, ledger, now=call.now())))


def _name(account: str) -> str:
    return account.removeprefix("@").lower()


def _shown(entry: LedgerEntry) -> "PostAnswer":
    from marquee.api.answers import PostAnswer

    facts = entry.model_dump(include=set(PostAnswer.model_fields))
    return PostAnswer(**facts, next_step=after_post(entry))
