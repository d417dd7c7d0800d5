"""What counts as the same text, held against comparing every pair."""

import string
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.movies.near_duplicates import (
    SAME_FROM,
    SeenTexts,
    distinct,
    fingerprint,
    normalized_words,
)
from tests.support.builders import NOW, a_review

SENTENCE = "RRR is now my whole personality, best movie night of my life, no contest"


@pytest.mark.parametrize(
    "copy",
    [
        SENTENCE.upper(),
        f"{SENTENCE}!!! https://t.co/k3Jq9aRRRx",
        f"RT @someone: {SENTENCE}",
        f"@a.bsky.social @b@mastodon.social {SENTENCE}",
        SENTENCE.replace(" ", "\n"),
        SENTENCE.replace("my whole", "my\u200b whole"),
        f"www.example.org {SENTENCE}",
    ],
)
def test_copies_of_a_text_have_one_fingerprint(copy: str) -> None:
    assert fingerprint(copy) == fingerprint(SENTENCE)


def test_emoji_count_but_neither_their_skin_tone_nor_their_repetition() -> None:
    assert fingerprint("great 👍🏽") == fingerprint("great👍👍🏿")
    assert fingerprint("great ❤️") == fingerprint("great ❤")
    assert fingerprint("great 👍") != fingerprint("great 👎")


def test_vowel_signs_of_indic_scripts_are_part_of_the_word() -> None:
    assert normalized_words("సినిమా!") == ["సినిమా"]
    assert fingerprint("बाल") != fingerprint("बिल")


@pytest.mark.parametrize(
    "near", [f"{SENTENCE} 🔥", f"{SENTENCE} #RRR", f"honestly {SENTENCE}", SENTENCE + " 🔥🔥 ever"]
)
def test_a_long_text_with_a_word_more_is_seen(near: str) -> None:
    assert not SeenTexts([SENTENCE]).add(near)


@pytest.mark.parametrize(
    "other",
    [
        "RRR is now my least favorite film, worst movie night of my life, no contest",
        "RRR",
        "",
        "Dune is a desert.",
    ],
)
def test_a_text_that_says_something_else_is_new(other: str) -> None:
    assert SeenTexts([SENTENCE]).add(other)


def test_short_texts_are_equal_or_not() -> None:
    seen = SeenTexts(["Loved it!"])
    assert not seen.add("loved it")
    assert seen.add("hated it")


words = st.lists(st.sampled_from(string.ascii_lowercase[:6]), min_size=1, max_size=14)


@given(st.lists(words.map(" ".join), max_size=12))
def test_the_index_finds_exactly_what_comparing_with_every_text_finds(texts: list[str]) -> None:
    def shingles(text: str) -> set[tuple[str, ...]]:
        said = normalized_words(text)
        return {tuple(said[at : at + 3]) for at in range(max(len(said) - 3, 0) + 1)}

    kept: list[set[tuple[str, ...]]] = []
    seen = SeenTexts()
    for text in texts:
        own = shingles(text)
        is_new = all(len(own & other) / len(own | other) < SAME_FROM for other in kept)
        assert seen.add(text) is is_new
        if is_new:
            kept.append(own)


def test_distinct_keeps_the_earliest_and_the_order() -> None:
    hour = timedelta(hours=1)
    copy = a_review(review_id="copy", text=f"{SENTENCE} #RRR", posted_at=NOW)
    other = a_review(review_id="other", text="Too long for me", posted_at=NOW - hour)
    first = a_review(review_id="first", text=SENTENCE, source="x", posted_at=NOW - 2 * hour)
    assert distinct([copy, other, first]) == [other, first]


def test_distinct_of_nothing_is_nothing() -> None:
    assert distinct([]) == []
