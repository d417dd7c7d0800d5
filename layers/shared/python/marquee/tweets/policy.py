"""What becomes of a tweet by its type: the settings of ``policies.toml``, and their decision."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from marquee.errors import Misconfigured
from marquee.gateway.prices import X_POST_CREATED_USD, X_POST_WITH_URL_CREATED_USD
from marquee.tweets.characters import clean, hidden_characters
from marquee.tweets.models import Model, Tweet, TweetType
from marquee.tweets.output_policy import Frame
from marquee.tweets.settings_files import Table, fault_of, read_tables
from marquee.tweets.text import entities, url_spans, weighted_length

FILE = "policies.toml"

MAX_TEMPLATE_LENGTH = 100
"""Of a template without its credit, as X counts it: most of a post is the text."""

MAX_CASHTAGS = 1
"""X refuses a post with more (since 2026)."""

_HASHTAG = re.compile(r"#\w+")
_LEADING_MENTIONS = re.compile(r"^(?:@\w{1,20}\s+)+|^(?:@\w{1,20}\s*)+$", re.ASCII)
_PAIRS = frozenset({"()", "[]", "{}", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb"})
_QUOTES = frozenset({'""', "''"})
"""Which one of these opens is told by nothing but the blank that does not follow it."""
_CLOSING = frozenset(")]}\u201d\u2019\u00bb")
_PUNCTUATION = re.compile(r"[,.;:!?\u2026]+(?=\s|$)")
_POINTERS = re.compile(
    "(?:[\\s:|\u2013\u2014-]|[\u2190-\u21ff\u27a1\u2b07\U0001f447\U0001f449\U0001f517]"
    "[\ufe0f\U0001f3fb-\U0001f3ff]*)+$"
)
"""What points at a link behind it: colons, dashes, arrows, hands."""
_ASKS_FOR_A_LINK = re.compile(
    r"\b(?:at|from|here|link|more|on|read|see|to|via|visit|watch)$", re.IGNORECASE
)
_POST_ADDRESS = re.compile(
    r"^https?://(?:www\.|mobile\.)?(?:x|twitter)\.com/\w+/status/\d+", re.IGNORECASE
)


class Action(StrEnum):
    """What is to become of a tweet."""

    POST = "post"
    HOLD = "hold"
    SKIP = "skip"


class UrlRule(StrEnum):
    """What becomes of links, which make a post 13 times as expensive."""

    KEEP = "keep"
    STRIP = "strip"
    ASK = "ask"


class PolishFailure(StrEnum):
    """What becomes of a text for which no polished one was to be had."""

    HOLD = "hold"
    POST_ORIGINAL = "post_original"


class Unaccepted(StrEnum):
    """What becomes of what X takes no more: replies and quotes."""

    STANDALONE = "standalone"
    SKIP = "skip"


class Template(Table):
    """What goes around a text."""

    prefix: str = ""
    suffix: str = ""
    hashtags: tuple[str, ...] = ()
    credit: str = "via @{author}"
    """Behind tweets of other accounts; ``{author}`` stands for the name."""

    @model_validator(mode="after")
    def _is_harmless(self) -> Self:
        for tag in self.hashtags:
            if not _HASHTAG.fullmatch(tag):
                raise ValueError(f"hashtags: {tag!r} is no hashtag")
        if self.credit and self.credit.count("{author}") != 1:
            raise ValueError("credit: must hold {author} once, or be empty")
        for name in ("prefix", "suffix", "credit"):
            part = getattr(self, name).replace("@{author}", "").replace("{author}", "")
            found = entities(part)
            if found.urls or found.mentions or found.cashtags:
                raise ValueError(f"{name}: must hold no link, mention or cashtag")
            if hidden_characters(part) or clean(part) != part.strip():
                raise ValueError(f"{name}: holds a hidden character")
        if weighted_length(self.frame(None).around("")) > MAX_TEMPLATE_LENGTH:
            raise ValueError(f"is longer than {MAX_TEMPLATE_LENGTH}")
        return self

    def frame(self, author: str | None, text: str = "") -> Frame:
        """The template as it goes around a text; with credit to ``author``, where there is one.

        What the text has already is not added: a post of ours whose entry is lost would get it
        twice, and be another text than the one that X refuses as a duplicate.
        """
        said = entities(text).hashtags
        tags = (tag for tag in self.hashtags if tag[1:].casefold() not in said)
        prefix = "" if text.startswith(self.prefix) else self.prefix
        suffix = "" if self.suffix in text else self.suffix
        credit = self.credit.replace("{author}", author) if author else ""
        tail = " ".join(part for part in (suffix, credit, *tags) if part)
        return Frame(before=f"{prefix} " if prefix else "", after=f" {tail}" if tail else "")


class TypePolicy(Table):
    """What becomes of tweets of one type."""

    action: Action
    url: UrlRule
    on_polish_failure: PolishFailure = PolishFailure.HOLD
    foreign: Action = Action.HOLD
    replies: Unaccepted = Unaccepted.SKIP
    quotes: Unaccepted = Unaccepted.STANDALONE
    template: Template = Template()


class Download(Table):
    """What is downloaded beside an account's own posts."""

    replies: bool = False
    retweets: bool = False


class Unsafe(Table):
    """What is unsafe beside what the rules know."""

    words: tuple[str, ...] = ()


class Policies(Table):
    """The whole file."""

    download: Download = Download()
    unsafe: Unsafe = Unsafe()
    types: dict[TweetType, TypePolicy] = Field(repr=False)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [kind.value for kind in TweetType if kind not in self.types]
        if missing:
            raise ValueError(f"types: there is no table [types.{missing[0]}]")
        unsafe = self.types[TweetType.UNSAFE]
        if (unsafe.action, unsafe.foreign) != (Action.SKIP, Action.SKIP):
            raise ValueError("types.unsafe: action and foreign must be skip, it is never posted")
        return self

    def of(self, tweet: Tweet) -> TypePolicy:
        """The policy for a tweet; an unclassified one has that of ``other``."""
        return self.types[tweet.type or TweetType.OTHER]


class Decision(Model):
    """What is to become of a tweet, and why."""

    action: Action
    reason: str = ""


@cache
def policies() -> Policies:
    """The policies of the file that is deployed with us; raises Misconfigured."""
    return load_policies((files(__package__) / FILE).read_text("utf-8"))


def load_policies(text: str) -> Policies:
    """Read and check the text of a policies file.

    Each type has the values of ``defaults`` where it gives none. Raises Misconfigured naming the
    table and key at fault.
    """
    tables = read_tables(FILE, text)
    defaults, types = tables.pop("defaults", {}), tables.get("types", {})
    for name, table in (("defaults", defaults), ("types", types)):
        if not isinstance(table, dict):
            raise Misconfigured(f"{FILE}: {name} must be a table")
    tables["types"] = {
        name: _merged(defaults, own) if isinstance(own, dict) else own
        for name, own in types.items()
    }
    try:
        return Policies.model_validate(tables)
    except ValidationError as error:
        raise fault_of(FILE, error) from error


def decide(tweet: Tweet, policies: Policies, *, own_account: str) -> Decision:
    """What the policy for its type says of a classified tweet, with the reason.

    Posts of ``own_account`` are our own; all others are foreign.
    """
    policy = policies.of(tweet)
    kind = tweet.type or TweetType.OTHER
    if kind is TweetType.UNSAFE:
        return Decision(action=Action.SKIP, reason=f"unsafe: {tweet.unsafe_reason or 'no reason'}")
    if tweet.is_retweet:
        return Decision(action=Action.SKIP, reason="a retweet is not ours to post")
    if tweet.is_reply and policy.replies is Unaccepted.SKIP:
        return Decision(action=Action.SKIP, reason="X takes replies only where they are asked for")
    if tweet.is_quote and policy.quotes is Unaccepted.SKIP:
        return Decision(action=Action.SKIP, reason="X takes no quote posts")
    if policy.action is Action.SKIP:
        return Decision(action=Action.SKIP, reason=f"the policy for {kind} is to skip")
    foreign = tweet.account != own_account
    if foreign and policy.foreign is Action.SKIP:
        return Decision(action=Action.SKIP, reason=f"{kind} of other accounts is skipped")
    text = original_text(tweet, policies)
    if not text:
        return Decision(action=Action.SKIP, reason="nothing of its text can be posted")
    if len(entities(text).cashtags) > MAX_CASHTAGS:
        return Decision(action=Action.SKIP, reason="X takes one cashtag a post")
    if policy.action is Action.HOLD:
        return Decision(action=Action.HOLD, reason=f"the policy for {kind} is to ask")
    if foreign and policy.foreign is Action.HOLD:
        return Decision(action=Action.HOLD, reason=f"@{tweet.author} is not our own account")
    if _without_links(tweet, policies).leads_nowhere:
        return Decision(action=Action.HOLD, reason="without its link the text leads nowhere")
    if policy.url is UrlRule.ASK and url_spans(text):
        cost = f"${X_POST_WITH_URL_CREATED_USD:.3f} instead of ${X_POST_CREATED_USD:.3f}"
        return Decision(action=Action.HOLD, reason=f"with its link it costs {cost}")
    return Decision(action=Action.POST)


def original_text(tweet: Tweet, policies: Policies) -> str:
    """What of the tweet's text may be posted: what the polished text is held against.

    Without hidden characters; of a reply without the names it answers, of a quote without the
    address of what it quotes; without links where the policy strips them, and without what stood
    around those only for their sake: empty brackets, a colon, an arrow.
    """
    return _without_links(tweet, policies).text


class _Stripped(NamedTuple):
    """A text without the links that may not be posted."""

    text: str
    leads_nowhere: bool
    """Whether the word before one of them asks for it: "see", "at", "read more"."""


def _without_links(tweet: Tweet, policies: Policies) -> _Stripped:
    text = clean(tweet.text)
    if tweet.is_reply:
        text = _LEADING_MENTIONS.sub("", text)
    leads_nowhere = False
    for span in reversed(url_spans(text)):
        quoted = tweet.is_quote and _POST_ADDRESS.match(span.found)
        if quoted or policies.of(tweet).url is UrlRule.STRIP:
            before, after = text[: span.start], text[span.end :]
            leads_nowhere |= bool(_ASKS_FOR_A_LINK.search(_POINTERS.sub("", before)))
            text = _joined(before, after)
    return _Stripped(clean(text), leads_nowhere)


def _joined(before: str, after: str) -> str:
    """What stood before and after a link, as one text without traces of it."""
    while before and after and before[-1] + after[0] in _PAIRS | _QUOTES:
        before, after = before[:-1], after[1:]
    before, after = before.rstrip(" "), after.lstrip(" ")
    while before and after and before[-1] + after[0] in _PAIRS:
        before, after = before[:-1].rstrip(" "), after[1:].lstrip(" ")
    if _PUNCTUATION.match(after):
        return before + after
    if after and after[0] in _CLOSING:
        return _POINTERS.sub("", before) + after
    if not after or after[0] in "#\n":
        blank = before[len(before.rstrip()) :]
        before = _POINTERS.sub("", before) + blank
    if before.endswith("\n"):
        return before + after.lstrip("\n")
    return f"{before} {after}"


def frame_of(tweet: Tweet, policies: Policies, *, own_account: str) -> Frame:
    """What the template of its type puts around the tweet's text."""
    author = tweet.author if tweet.account != own_account else None
    return policies.of(tweet).template.frame(author, original_text(tweet, policies))


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **own}
    for name, value in defaults.items():
        if isinstance(value, dict) and isinstance(own.get(name), dict):
            merged[name] = {**value, **own[name]}
    return merged
