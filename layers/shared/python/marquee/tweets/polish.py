"""PolishTweets: the text that will be posted, held against the output policy before it goes on.

A text that the policy refuses is asked for once more with the reasons. After that the tweet's type
says what happens: the original with its template, or a person decides. A model that cannot be
reached leaves tweets where they are, for a retry or the next run, unless their type says
``post_original``; those that have their text go on.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from marquee.errors import UpstreamError
from marquee.gateway.retries import MOST_RETRIES, RETRIED
from marquee.observability import logger
from marquee.settings import Settings
from marquee.tweets.approval import Approval, Approvals, ApprovalState, asked
from marquee.tweets.classify import ASK_FOR
from marquee.tweets.language_model import API_KEY, Answered, LanguageModel
from marquee.tweets.models import Model, Status, Tweet
from marquee.tweets.output_policy import Frame, Verdict, judge
from marquee.tweets.policy import (
    Action,
    Decision,
    Policies,
    PolishFailure,
    decide,
    frame_of,
    original_text,
)
from marquee.tweets.publish import Clock
from marquee.tweets.rows import Rows
from marquee.tweets.run import Mode, Run, StepOutput, ready_posts, taken_up
from marquee.tweets.text import MAX_WEIGHTED_LENGTH, same_post, weighted_length
from marquee.tweets.tweet_store import TweetStore
from marquee.workflows.problems import CaughtError, Problem

TRIES = 2
"""The first text, and one more with the reasons why it was refused."""

MAX_REASON = 300

_INSTRUCTIONS = (
    "Polish the tweet of the value `tweet`: correct spelling, grammar and punctuation, and make it "
    "read well, in a tone that is {tone}. Change as little as that takes. Keep its language, its "
    "meaning, and every link, mention, hashtag, cashtag and number exactly as it is; add none. Use "
    "no markup. At most {room} characters, where a link counts 23. {own} Where `refused` is given, "
    "that text of yours was refused, for `reasons`: do better."
)


class Polished(BaseModel):
    """What the model is asked for."""

    text: str


class Style(Model):
    """How the model is to write; both are settings."""

    tone: str
    instructions: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Style":
        """The style that the settings ask for."""
        return cls(tone=settings.polish_tone, instructions=settings.polish_instructions)


@dataclass
class _Step:
    """What one step works with, and what it did."""

    run: Run
    tweets: TweetStore
    approvals: Approvals
    policies: Policies
    model: LanguageModel | None
    style: Style
    clock: Clock
    down: UpstreamError | None = None
    """Why the model is not asked any more."""
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("polished", "asked_again", "originals", "held", "skipped", "approved"), 0
        )
    )


def polish_tweets(
    run: Run,
    tweet_ids: Sequence[str],
    rows: Rows,
    policies: Policies,
    model: LanguageModel | None,
    style: Style,
    *,
    clock: Clock,
    attempt: int = 1,
) -> StepOutput:
    """Polish the run's classified tweets, and decide which go on by themselves; see StepOutput.

    Where the model left a tweet without a text, raises its error after all else is done, as long as
    the state tries again; after that it is a problem of the output.
    """
    tweets = TweetStore(rows)
    step = _Step(run, tweets, Approvals(rows), policies, model, style, clock)
    began = clock()
    handed_on = list(tweet_ids)
    left = unpolished = 0
    for tweet in taken_up(tweets, run, Status.CLASSIFIED, tweet_ids):
        if clock() - began > ASK_FOR:
            left += 1
            continue
        if tweet.tweet_id not in handed_on:
            handed_on.append(tweet.tweet_id)
        unpolished += not _polish(tweet, step)
    waiting = []
    for tweet in taken_up(tweets, run, Status.POLISHED, handed_on):
        if tweet.tweet_id not in handed_on:
            handed_on.append(tweet.tweet_id)
        if _release(tweet, step):
            waiting.append(tweet.tweet_id)
    problems: tuple[Problem, ...] = ()
    counts: dict[str, int | str] = {**step.counts}
    if unpolished and step.down:
        if isinstance(step.down, RETRIED) and attempt <= MOST_RETRIES:
            raise step.down
        # Raised for good, it would take from the run what is ready to be posted.
        failure = CaughtError.of(step.down)
        problems = (Problem(step="PolishTweets", error=failure),)
        counts |= {"unpolished": unpolished, "unpolished_because": str(failure)[:MAX_REASON]}
    usage = model.usage.as_counts() if model else {}
    return StepOutput(
        tweet_ids=tuple(handed_on),
        posts=ready_posts(tweets, run, handed_on),
        approvals=tuple(waiting[: run.max_posts]),
        left=left,
        problems=problems,
        counts={**counts, **usage, "waiting": len(waiting), "left": left},
    )


def _polish(tweet: Tweet, step: _Step) -> bool:
    """Give a tweet its final text, or another status; False where the model must come back."""
    own = step.run.posting_account
    decision = decide(tweet, step.policies, own_account=own)
    if decision.action is Action.SKIP:
        # Its policy was another when it was classified.
        _change(tweet, Status.SKIPPED, decision.reason, step, "skipped")
        return True
    original = original_text(tweet, step.policies)
    frame = frame_of(tweet, step.policies, own_account=own)
    rule = step.policies.of(tweet).on_polish_failure
    text, why = _asked_for(original, frame, step)
    if text is None and step.down and rule is PolishFailure.HOLD:
        return False
    if text is not None:
        reason = "polished" if text != original else "the model left it as it is"
        _keep(tweet, text, original, frame, reason, step, "polished")
    elif rule is PolishFailure.POST_ORIGINAL and step.model is not None:
        verdict = _verdict(original, original, frame, step)
        if verdict.ok:
            _keep(tweet, original, original, frame, f"as it came: {why}", step, "originals")
        else:
            _hold(tweet, None, f"{why}; as it came it {'; '.join(verdict.reasons)}", step)
    else:
        fits = _verdict(original, original, frame, step).ok
        _hold(tweet, frame.around(original) if fits else None, why, step)
    return True


def _asked_for(original: str, frame: Frame, step: _Step) -> tuple[str | None, str]:
    """A text of the model's that the output policy lets through; or None, and why."""
    if step.model is None:
        return None, f"no language model: the SSM parameter {API_KEY} is not set"
    room = MAX_WEIGHTED_LENGTH - weighted_length(frame.around(""))
    instructions = _INSTRUCTIONS.format(
        tone=step.style.tone, room=room, own=step.style.instructions
    )
    data: dict[str, Any] = {"tweet": original}
    why = ""
    for turn in range(TRIES):
        if step.down:
            return None, f"the model failed: {type(step.down).__name__}: {step.down}"
        step.counts["asked_again"] += turn
        try:
            answer = step.model.ask(instructions, data, Polished)
        except UpstreamError as error:
            logger.warning("the model does not polish", exc_info=True)
            step.down = error
            continue
        if not isinstance(answer, Answered):
            why = answer.reason
            continue
        text = unicodedata.normalize("NFC", answer.value.text).strip()
        verdict = _verdict(original, text, frame, step)
        if verdict.ok:
            return text, ""
        why = f"the polished text {'; '.join(verdict.reasons)}"
        data = {"tweet": original, "refused": text, "reasons": list(verdict.reasons)}
    if step.down:
        why = f"the model failed: {type(step.down).__name__}: {step.down}"
    return None, why


def _verdict(original: str, text: str, frame: Frame, step: _Step) -> Verdict:
    words = step.policies.unsafe.words
    return judge(original, frame.around(text), frame, unsafe_words=words)


def _keep(
    tweet: Tweet, text: str, original: str, frame: Frame, reason: str, step: _Step, count: str
) -> None:
    final = frame.around(text)
    if step.run.is_own and same_post(final, tweet.text):
        reason = "the account has posted this very text itself"
        _change(tweet, Status.SKIPPED, reason, step, "skipped")
        return
    verdict = _verdict(original, text, frame, step).model_dump()
    fields = {"polished_text": text, "final_text": final, "verdict": verdict}
    _change(tweet, Status.POLISHED, reason, step, count, **fields)


def _hold(tweet: Tweet, proposed: str | None, reason: str, step: _Step) -> None:
    now = step.clock()
    if proposed and step.run.is_own and same_post(proposed, tweet.text):
        # X has it already: only a person's own words can make a post of it.
        proposed = None
    reason = reason[:MAX_REASON]
    if step.run.mode is Mode.DRY_RUN:
        _change(tweet, Status.NEEDS_HUMAN, f"would be held: {reason}", step, "held")
        return
    question = _question(tweet, proposed, reason, step, now)
    if step.approvals.hold(tweet, question, reason=reason, now=now):
        step.counts["held"] += 1


def _release(tweet: Tweet, step: _Step) -> bool:
    """Approve a polished tweet where the policy does; True where this run waits for a person."""
    if step.run.mode is Mode.DRY_RUN:
        return False
    if _is_asked(tweet, step):
        return step.run.mode is Mode.APPROVE
    own = step.run.posting_account
    decision = decide(tweet, step.policies, own_account=own)
    if decision.action is Action.SKIP:
        _change(tweet, Status.SKIPPED, decision.reason, step, "skipped")
        return False
    decision = _still_in_policy(tweet, decision, step)
    if step.run.mode is Mode.APPROVE:
        return True
    if decision.action is Action.HOLD:
        _hold(tweet, tweet.final_text, decision.reason, step)
    else:
        _change(tweet, Status.APPROVED, "by the policy for its type", step, "approved")
    return False


def _is_asked(tweet: Tweet, step: _Step) -> bool:
    """Whether a person has been asked about it, whose word is then the one that counts.

    A run that waits for the word may go on, or have died. A run that asks before every post takes
    its place; any other leaves the tweet alone, and holds it once the time for the word is over.
    """
    approval = step.approvals.get(tweet.account, tweet.tweet_id)
    if approval is None or approval.state is not ApprovalState.WAITING:
        return False
    now = step.clock()
    is_over = approval.expires_at is not None and approval.expires_at <= now
    if is_over and approval.workflow_id and step.run.mode is not Mode.APPROVE:
        waited_for = approval.workflow_id
        if step.approvals.expire(tweet.account, tweet.tweet_id, waited_for, now=now):
            step.counts["held"] += 1
    return True


def _still_in_policy(tweet: Tweet, decision: Decision, step: _Step) -> Decision:
    """Hold a text of an earlier run that today's settings would not let through."""
    own = step.run.posting_account
    frame = frame_of(tweet, step.policies, own_account=own)
    original = original_text(tweet, step.policies)
    words = step.policies.unsafe.words
    verdict = judge(original, tweet.final_text or "", frame, unsafe_words=words)
    if verdict.ok:
        return decision
    return Decision(action=Action.HOLD, reason=f"its text {'; '.join(verdict.reasons)}")


def _question(
    tweet: Tweet, proposed: str | None, reason: str, step: _Step, now: datetime
) -> Approval:
    own = step.run.posting_account
    return asked(tweet, proposed, reason, step.policies, posting_account=own, now=now)


def _change(tweet: Tweet, to: Status, reason: str, step: _Step, count: str, **fields: Any) -> None:
    """Change a tweet and count it; one that someone else changed meanwhile is theirs."""
    if step.tweets.change(tweet, to, reason=reason[:MAX_REASON], now=step.clock(), **fields):
        step.counts[count] += 1
