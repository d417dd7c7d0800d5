"""Where hashtags, mentions and cashtags stand in a text, in code points."""

import re
from collections.abc import Iterator

from marquee_cli.upstreams.query import hashtags

_NAMES = {
    "@": re.compile(r"(?<![\w@])@(\w{1,15})(?!\w)", re.ASCII),
    "$": re.compile(r"(?<!\S)\$([A-Za-z]{1,6})(?!\w)"),
}


def hashtag_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and name of each hashtag."""
    folded = text.casefold() if len(text.casefold()) == len(text) else text
    position = 0
    for tag in hashtags(text):
        start = folded.find(f"#{tag}", position)
        if start >= 0:
            position = start + len(tag) + 1
            yield start, position, text[start + 1 : position]


def name_spans(text: str, sign: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and name of each mention (`@`) or cashtag (`$`)."""
    for found in _NAMES[sign].finditer(text):
        yield found.start(), found.end(), found[1]
