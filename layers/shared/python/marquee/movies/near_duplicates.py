"""Texts that say the same: copies with another link, mention, letter case or skin tone.

Two texts are near-identical where their normalized words are equal, or where the sets of their
3-word shingles overlap by a Jaccard index of at least 0.8.
"""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby

from marquee.movies.models import Review

SHINGLE_WORDS = 3
"""Long enough that two opinions seldom share one, short enough to survive a changed word."""

SAME_FROM = 0.8
"""Jaccard index; one changed word in the middle of thirty leaves 0.82."""

_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_RETWEET = re.compile(r"^\s*RT\s+@\S+:?\s+")
_MENTION = re.compile(r"(?<!\w)@[\w.-]+(?:@[\w.-]+)?")
_VARIATION = re.compile("[\u200b-\u200d\u2060\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""What changes how an emoji or a word is drawn: joiners, variation selectors, skin tones."""


def normalized_words(text: str) -> list[str]:
    """The words of a text, and its emoji, without what copies differ in.

    A word or emoji repeated in a row counts once.
    """
    text = _LINK.sub(" ", _RETWEET.sub("", text))
    text = _VARIATION.sub("", _MENTION.sub(" ", text))
    words = "".join(map(_kept, unicodedata.normalize("NFKC", text).casefold())).split()
    return [word for word, _ in groupby(words)]


def fingerprint(text: str) -> str:
    """Equal for texts of equal normalized words; 32 hexadecimal digits."""
    return sha256(" ".join(normalized_words(text)).encode()).hexdigest()[:32]


class SeenTexts:
    """Texts by what they say.

    An inverted index over a part of each text's shingles: two sets with a Jaccard index of at
    least t share one of the first n - ceil(t n) + 1 elements of each, in any one order (Chaudhuri,
    Ganti, Kaushik: A Primitive Operator for Similarity Joins, 2006). Only those that do are
    compared, so that adding n texts takes about n steps.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._seen: list[frozenset[str]] = []
        self._by_shingle: defaultdict[str, list[int]] = defaultdict(list)
        for text in texts:
            self.add(text)

    def add(self, text: str) -> bool:
        """Remember the text; False where a near-identical one is there already."""
        shingles = _shingles(normalized_words(text))
        prefix = sorted(shingles)[: len(shingles) - math.ceil(SAME_FROM * len(shingles)) + 1]
        alike = {number for shingle in prefix for number in self._by_shingle[shingle]}
        if any(_jaccard(shingles, self._seen[number]) >= SAME_FROM for number in alike):
            return False
        for shingle in prefix:
            self._by_shingle[shingle].append(len(self._seen))
        self._seen.append(shingles)
        return True


def distinct[R: Review](reviews: Sequence[R]) -> list[R]:
    """The reviews without near-identical later ones, in the order given."""
    seen = SeenTexts()
    earliest_first = sorted(
        range(len(reviews)),
        key=lambda at: (reviews[at].posted_at, reviews[at].source, reviews[at].review_id),
    )
    kept = {at for at in earliest_first if seen.add(reviews[at].text)}
    return [review for at, review in enumerate(reviews) if at in kept]


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "LMN":
        return character
    return f" {character} " if category == "So" else " "


def _shingles(words: Sequence[str]) -> frozenset[str]:
    """Every run of three words; a shorter text is one shingle."""
    last = max(len(words) - SHINGLE_WORDS, 0)
    return frozenset(" ".join(words[at : at + SHINGLE_WORDS]) for at in range(last + 1))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
