"""Text as X sees it: its weighted length, what is in it, and when two texts are the same post."""

import html
import re
import unicodedata
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import takewhile
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

MAX_WEIGHTED_LENGTH = 280
"""twitter-text's configuration v3, as are the three below; X applies it to every post."""

URL_LENGTH = 23
"""Every link becomes a t.co link of that length."""

LONGEST_LINK = 4096
"""Characters from which twitter-text takes a link for none."""

_HEAVY = 2
"""An emoji, however many code points it has, and every character outside the light ranges."""

_LIGHT = ((0, 0x10FF), (0x2000, 0x200D), (0x2010, 0x201F), (0x2032, 0x2037))
"""Code points that count 1; all others count 2."""

# The grammar of emoji (Unicode TR 51). In it any pictograph may be joined to another, up to four in
# one, which no emoji in use exceeds; the blocks hold every code point that may start an emoji.
_PICTOGRAPH = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_PART = f"{_PICTOGRAPH}[\ufe0f\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    "|[0-9#*]\ufe0f?\u20e3"
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
    f"|{_PART}(?:\u200d{_PART}){{0,3}}"
)

_SCHEME = r"(?P<scheme>https?://)?"
# Letters that X takes in a path or query: Latin with accents and Cyrillic, not the CJK scripts.
_LETTERS = "a-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0400-\u04ff"
_PATH = rf"[{_LETTERS}!*';:=+,.$%\[\]\-–—~&|@/_#]"  # noqa: RUF001 - the dashes are meant
_PATH_END = rf"[{_LETTERS}+\-=_#/]"
_PARENTHESES = rf"\({_PATH}*(?:\({_PATH}+\){_PATH}*)?\)"
_QUERY = r"[a-z0-9!?*'();:&=+$/%#\[\]\-_.,~|@]"
_AFTER_DOMAIN = (
    r"(?::\d+)?"
    rf"(?:/(?:(?:{_PATH}|{_PARENTHESES})*(?:{_PATH_END}|{_PARENTHESES}))?)?"
    rf"(?:\?{_QUERY}*[a-z0-9\-_&=#/])?"
)
_TCO = re.compile(r"https?://t\.co/[a-z0-9]+", re.IGNORECASE)
_LONGEST_TCO_NAME = 40
_IN_HOST = "[^\\s!-,./:-@\\[-^`{-\u00a1\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]"
# Only the first of a run's letters and digits may begin a host, so each run is looked at once.
_BARE_HOST = re.compile(
    "(?<![a-z0-9\u00c0-\u024f_-])[_-]*"
    "(?P<bare>(?:[a-z0-9\u00c0-\u024f](?:[a-z0-9\u00c0-\u024f_-]*[a-z0-9\u00c0-\u024f])?\\.)+[\\w-]+)",
    re.IGNORECASE,
)
# A host, or what cannot hold the beginning of one. Without those pieces each character of a long
# word would be tried as the beginning, and the word be read to its end each time.
_NEXT = re.compile(
    "(?<![A-Za-z0-9@\uff20$#\uff03\u202a-\u202e])"
    rf"{_SCHEME}(?P<host>{_IN_HOST}++(?:\.{_IN_HOST}++)++)"
    "|[A-Za-z0-9]++"
    rf"|{_IN_HOST}+?(?=https?://)"
    rf"|{_IN_HOST}++(?!\.{_IN_HOST})",
    re.IGNORECASE,
)
_REST = re.compile(_AFTER_DOMAIN, re.IGNORECASE)
_GOES_ON = re.compile("[A-Za-z0-9@+-]")
"""What may not follow a host directly: it is no host then, but part of an address or a word."""

_MENTION = re.compile(
    r"(?:(?<![\w!#$%&*@\uff20])|(?<=\bRT)|(?<=\bRT:))"
    r"[@\uff20](\w{1,20}+)(?![@\uff20\u00c0-\u024f]|://)",
    re.ASCII | re.IGNORECASE,
)
_SIGN = re.compile(r"(?<![\w&])[#\uff03]")
_IN_HASHTAGS = set("_\u00b7\u05be\u05f3\u05f4\u0f0b\u0f0c\u200c\u200d\u3003\u301c\u30fb\uff5e")
_CASHTAG = re.compile(r"(?<!\S)\$([A-Za-z]{1,6}(?:[._][A-Za-z]{1,2})?)(?=$|[\s!-/:-@\[-`{-~])")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")

_LINK = "\ufffc"
"""Stands for any link in a normalized text; X refuses posts that hold it."""

_INVISIBLE = {"Cc", "Cf"}
_VARIATION_SELECTORS = {"\ufe0e", "\ufe0f"}


class Span(NamedTuple):
    """A part of a text: ``text[start:end] == found``."""

    start: int
    end: int
    found: str


class Entities(BaseModel):
    """What a text holds besides words, each in order of appearance, without its sign."""

    model_config = ConfigDict(frozen=True)

    urls: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    """In lower case: X takes @NASA and @nasa for one."""
    hashtags: tuple[str, ...] = ()
    """Case-folded."""
    cashtags: tuple[str, ...] = ()
    """In upper case."""
    numbers: tuple[str, ...] = ()
    """Outside of links, mentions, hashtags and cashtags; any script's digits as ASCII."""


def weighted_length(text: str) -> int:
    """How long X counts the text: links 23, emoji and CJK 2, after NFC (twitter-text v3)."""
    normalized = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    spans = url_spans(normalized)
    length = URL_LENGTH * len(spans)
    for words in _between(normalized, spans):
        length += _HEAVY * len(_EMOJI.findall(words))
        length += sum(_weight(character) for character in _EMOJI.sub("", words))
    return length


def url_spans(text: str) -> list[Span]:
    """What X would turn into links: with a scheme any host, without one only an ASCII host.

    Takes time in proportion to the text's length, whatever it holds.
    """
    spans = []
    position = 0
    while match := _NEXT.search(text, position):
        span = _as_link(text, match) if match["host"] else None
        if span:
            spans.append(span)
        position = span.end if span else match.end("host") if match["host"] else match.end()
    return spans


def entities(text: str) -> Entities:
    """The links, mentions, hashtags, cashtags and numbers of a text."""
    spans = url_spans(text)
    rest = " \n ".join(_between(text, spans))
    mentions = _MENTION.findall(rest)
    cashtags = _CASHTAG.findall(rest)
    hashtags = _hashtags(rest)
    for tag in hashtags:
        rest = rest.replace(tag, " ", 1)
    rest = _CASHTAG.sub(" ", _MENTION.sub(" ", rest))
    return Entities(
        urls=tuple(span.found for span in spans),
        mentions=tuple(name.lower() for name in mentions),
        hashtags=tuple(tag.casefold() for tag in hashtags),
        cashtags=tuple(tag.upper() for tag in cashtags),
        numbers=tuple(_ascii_digits(number) for number in _NUMBER.findall(rest)),
    )


def normalize(text: str) -> str:
    """The text without what X rewrites: entities decoded, NFC, links folded, spaces collapsed."""
    plain = _plain(text)
    return _LINK.join(_between(plain, url_spans(plain)))


def text_hash(text: str) -> str:
    """SHA-256 of the normalized text, in hexadecimal: equal for what X would not tell apart."""
    return sha256(normalize(text).encode()).hexdigest()


def same_post(ours: str, theirs: str) -> bool:
    """Whether ``theirs``, as X shows it, is the post that was made of ``ours``.

    X puts a t.co link in the place of whatever it takes for one, so such a link stands for any
    piece of ours with a dot in it: no guess of ours about what X links can hide our own post.
    """
    frozen, shown = _plain(ours), _plain(theirs)
    if frozen == shown or normalize(ours) == normalize(theirs):
        return True
    pieces = _TCO.split(shown)
    pattern = r"[^\s]*\.[^\s]*".join(re.escape(piece) for piece in pieces)
    return len(pieces) > 1 and re.fullmatch(pattern, frozen) is not None


def _plain(text: str) -> str:
    decoded = html.unescape(text)
    while decoded != text:
        # X escapes once what may hold an entity already: both sides are decoded to the end.
        text, decoded = decoded, html.unescape(decoded)
    visible = "".join(
        character
        for character in unicodedata.normalize("NFC", decoded)
        if character.isspace()
        or not (character in _VARIATION_SELECTORS or unicodedata.category(character) in _INVISIBLE)
    )
    return " ".join(visible.split())


def _between(text: str, spans: list[Span]) -> list[str]:
    """The parts of the text before, between and after the spans."""
    starts = [0, *(span.end for span in spans)]
    ends = [*(span.start for span in spans), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _weight(character: str) -> int:
    point = ord(character)
    return 1 if any(first <= point <= last for first, last in _LIGHT) else _HEAVY


def _as_link(text: str, match: re.Match[str]) -> Span | None:
    """The part of the match that X would link, if any."""
    if match["scheme"]:
        if tco := _TCO.match(text, match.start()):
            name = tco[0].rpartition("/")[2]
            return Span(*tco.span(), tco[0]) if len(name) <= _LONGEST_TCO_NAME else None
        first, start, host = match.start(), match.start("host"), match["host"]
    else:
        bare = _BARE_HOST.search(match["host"])
        if not bare or (match.start() and text[match.start() - 1] in "-_./"):
            return None
        first = start = match.start("host") + bare.start("bare")
        host = bare["bare"]
    known = _known_host(host)
    end = start + len(known)
    if not known:
        return None
    if end == match.end("host") and (rest := _REST.match(text, end, first + LONGEST_LINK + 1)):
        end = rest.end()
    if end - first > LONGEST_LINK:
        return None
    return None if _GOES_ON.match(text, end) else Span(first, end, text[first:end])


def _known_host(host: str) -> str:
    """The longest beginning of the host that ends in a top-level domain; empty if there is none."""
    labels = host.split(".")
    resolvable = list(takewhile(_resolvable, labels))
    for count in range(min(len(labels), len(resolvable) + 1), 1, -1):
        top = _top_level(labels[count - 1])
        if top and "_" not in labels[count - 2]:
            return ".".join([*labels[: count - 1], top])
    return ""


def _top_level(label: str) -> str:
    """The longest beginning of the label that is a top-level domain on its own."""
    names = _top_level_domains()
    for end in range(min(len(label), _longest(names)), 1, -1):
        if end == len(label) or not _GOES_ON.match(label, end):
            top = label[:end]
            if top.lower() in names:
                return top
    return ""


def _resolvable(label: str) -> bool:
    """Whether a name server could know it: 1 to 63 octets, letters and digits at its ends."""
    if label[0] in "-_" or label[-1] in "-_":
        return False
    try:
        # Not as the last one, which may be empty: the codec takes more signs than "." for dots.
        return bool(f"{label}.x".encode("idna"))
    except UnicodeError:
        return False


def _hashtags(text: str) -> list[str]:
    """The hashtags: letters, marks, digits and a few joiners; at least one letter."""
    tags = []
    for sign in _SIGN.finditer(text):
        end = sign.end()
        while end < len(text) and (
            text[end] in _IN_HASHTAGS or unicodedata.category(text[end])[0] in "LMN"
        ):
            end += 1
        tag = text[sign.end() : end]
        if not text.startswith("://", end) and any(character.isalpha() for character in tag):
            tags.append(tag)
    return tags


def _ascii_digits(number: str) -> str:
    return "".join(
        str(unicodedata.decimal(character)) if character.isdecimal() else character
        for character in number
    )


@cache
def _top_level_domains() -> frozenset[str]:
    """Every top-level domain that is or was in the root zone, in both of its spellings."""
    names = (files(__package__) / "tlds.txt").read_text("ascii").split()
    decoded = (
        name.removeprefix("xn--").encode().decode("punycode")
        for name in names
        if name.startswith("xn--")
    )
    return frozenset((*names, *decoded))


@cache
def _longest(names: frozenset[str]) -> int:
    return max(map(len, names))
