"""What the stand-in of X takes for a link, and how long it counts a text.

Written apart from Marquee's own counting, so that each is held against the other.
"""

import re
import unicodedata
from typing import NamedTuple

LONGEST = 280
LINK_LENGTH = 23
# No such ending exists: X takes no link for one.
_NONE = "(?!(?:example|test|invalid|local|localhost)(?![a-z0-9.-]))"
# Without `https://` only the endings that people use are taken for addresses.
_ENDINGS = "com|org|net|io|dev|co|tv|in|es|ly|me|app|info|news|xyz|ai|uk|fm|gg|to|club|top"
_LINK = re.compile(
    r"(?<![\w@#$./-])"
    rf"(?:https?://[^\s/?#<>\"]+\.{_NONE}[a-z]{{2,}}|(?:[a-z0-9-]+\.)+(?:{_ENDINGS})(?![\w@-]))"
    r"(?::\d+)?(?:[/?#][^\s<>\"]*[\w/=#&+-])?/?",
    re.IGNORECASE,
)
# Emoji that are one sign of several code points count as one.
_JOINED = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3"
    "|[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?"
    "(?:\u200d[\u2190-\u2bff\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?)*"
)
_PICTURES = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
# Latin and its neighbors, and general punctuation, count 1; everything else 2.
_SINGLE = (range(0x1100), range(0x2000, 0x200E), range(0x2010, 0x2020), range(0x2032, 0x2038))


class Link(NamedTuple):
    """`text[start:end] == address`."""

    start: int
    end: int
    address: str


def links(text: str) -> list[Link]:
    """What becomes a t.co link, in order."""
    return [Link(*found.span(), found[0]) for found in _LINK.finditer(text)]


def weighted_length(text: str) -> int:
    """The length X holds against 280: after NFC, links 23, emoji and most scripts of Asia 2."""
    text = unicodedata.normalize("NFC", text)
    words = _LINK.sub("", text)
    pictures = [m[0] for m in _JOINED.finditer(words) if len(m[0]) > 1 or _PICTURES.match(m[0])]
    for picture in pictures:
        words = words.replace(picture, "", 1)
    return (
        LINK_LENGTH * len(links(text))
        + 2 * len(pictures)
        + sum(1 if any(ord(c) in part for part in _SINGLE) else 2 for c in words)
    )
