"""Text as X counts it, what it holds, and when two texts are one post."""

import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.tweets.text import (
    LONGEST_LINK,
    MAX_WEIGHTED_LENGTH,
    Entities,
    entities,
    normalize,
    same_post,
    text_hash,
    url_spans,
    weighted_length,
)
from tests.unit.tweets.world import as_x_shows

WORDS = "Tonight: RRR & <tea>, at 8 — https://cinema.example.com/rrr?a=1&b=2 #RRR"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("A film.", 7),
        ("café", 4),
        ("cafe\u0301", 4),
        ("映画", 4),
        ("영화", 4),
        ("Кино", 4),
        ("తెలుగు", 6),
        ("\u201cso\u201d \u2013 \u2018so\u2019 \u2026", 14),
        ("🎬", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("🏳️‍🌈🇮🇳1️⃣👍🏿", 8),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 2),
        ("#1 *9", 5),
        ("https://example.com", 23),
        ("https://example.com/" + "a" * 300, 23),
        ("See example.com, or Example.ORG/x!", 56),
        ("映画example.com映画", 31),
        ("http://localhost and file.txt2", 30),
        ("line\r\nline", 9),
    ],
)
def test_length_is_counted_as_x_does(text: str, length: int) -> None:
    assert weighted_length(text) == length


def test_the_longest_post_has_280_of_them() -> None:
    assert weighted_length("a" * MAX_WEIGHTED_LENGTH) == MAX_WEIGHTED_LENGTH
    assert weighted_length("映" * 140) == MAX_WEIGHTED_LENGTH
    assert weighted_length("😀" * 140) == MAX_WEIGHTED_LENGTH


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("(https://example.com/a_(b)).", ["https://example.com/a_(b)"]),
        ("HTTPS://EXAMPLE.COM/A?b=c#d, then", ["HTTPS://EXAMPLE.COM/A?b=c#d"]),
        ("to me@example.com or @example.com", []),
        ("1.5 stars, e.g. this. Or that", []),
        ("https://t.co/AbC123xyz0.", ["https://t.co/AbC123xyz0"]),
        ("https://例え.みんな/映画", ["https://例え.みんな/"]),
        ("bücher.example.museum:8080/x", ["bücher.example.museum:8080/x"]),
        (f"https://{'a' * 64}.com", []),
        ("ftp://example.invalid", []),
    ],
)
def test_links_are_what_x_would_link(text: str, urls: list[str]) -> None:
    assert [span.found for span in url_spans(text)] == urls


def test_entities_are_told_apart() -> None:
    text = "RT @NASA: 3,000 of \uff03Moon2026 at $XYZ! ٣٤ #తెలుగు https://nasa.gov/42 a@b.com"
    assert entities(text) == Entities(
        urls=("https://nasa.gov/42",),
        mentions=("nasa",),
        hashtags=("moon2026", "తెలుగు"),
        cashtags=("XYZ",),
        numbers=("3,000", "34"),
    )


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
def test_any_text_is_counted_and_is_its_own_post(text: str) -> None:
    assert weighted_length(text) >= 0
    for span in url_spans(text):
        assert text[span.start : span.end] == span.found
    assert same_post(text, as_x_shows(text))
    assert normalize(normalize(text)) == normalize(text)


WORD = st.sampled_from(
    ("RRR", "&", "&amp;", "<3", "café", "映画", "example.com", "https://a.example.org/x?y=1&z=(2)",
     "(see nasa.gov).", "file.txt", "映画example.com映画", "Mr.Singh", "\n", "  ", "🎬", "v1.2")
)  # fmt: skip


@given(st.lists(WORD, max_size=8).map(" ".join))
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
def test_a_post_is_recognized_as_x_shows_it(text: str) -> None:
    shown = unicodedata.normalize("NFC", as_x_shows(text)).strip()
    assert same_post(text, shown)
    assert not same_post(text + " more", shown)


def test_a_link_that_only_x_sees_does_not_hide_the_post() -> None:
    assert same_post("New on film.cinemaxyz today", "New on https://t.co/AbCdEf1234 today")


@pytest.mark.parametrize(
    "other",
    [
        "Tonight: RRR",
        as_x_shows(WORDS) + " again",
        as_x_shows(WORDS).replace("Tonight", "Today"),
        "https://t.co/AbCdEf1234",
        "",
    ],
)
def test_another_post_is_not_taken_for_it(other: str) -> None:
    assert not same_post(WORDS, other)


def test_a_link_stands_for_no_more_than_a_link() -> None:
    assert not same_post("see example.com and this", "see https://t.co/AbCdEf1234")
    assert not same_post("see it", "see https://t.co/AbCdEf1234")


@pytest.mark.parametrize(
    "same",
    [
        WORDS.replace("&", "&amp;").replace("<", "&lt;"),
        WORDS.replace(" ", "\n "),
        WORDS.replace("https://cinema.example.com/rrr?a=1&b=2", "https://t.co/AbCdEf1234"),
        WORDS + "\u200b",
    ],
)
def test_the_hash_is_that_of_what_x_does_not_rewrite(same: str) -> None:
    assert text_hash(same) == text_hash(WORDS)


def test_other_words_have_another_hash() -> None:
    assert text_hash(WORDS) != text_hash(WORDS.replace("8", "9"))


LONG: dict[str, Callable[[int], str]] = {
    "combining marks": lambda n: "\u0301" * n,
    "marks behind a domain": lambda n: "a.co" + "\u0301" * n,
    "a script without spaces": lambda n: "映" * n,
    "a word before a scheme": lambda n: "映" * n + "http://",
    "a host that is no name": lambda n: "http://" + "\u0301" * n,
    "a long label": lambda n: "a" * n + "映.com",
    "a long label with hyphens": lambda n: "a-" * (n // 2) + "映.com",
    "a long last label": lambda n: "http://x." + "映" * n,
    "many labels": lambda n: "http://-a" + ".co" * (n // 3),
    "many labels that end in none": lambda n: "a" + ".co" * (n // 3) + "-",
    "hosts in a path": lambda n: "映.画" + "/a.b" * (n // 4),
    "links in a link": lambda n: "http://a.com/" * (n // 13) + "@",
    "open parentheses": lambda n: "http://a.com/" + "(a" * (n // 2),
    "a mention": lambda n: "@" + "a" * n + ".co",
    "a hashtag": lambda n: "#" + "\u0301" * n,
    "a number": lambda n: "1." * (n // 2),
}


def least_seconds(text: str) -> float:
    """Of two runs, in time of the processor."""
    taken = []
    for _ in range(2):
        began = time.process_time()
        entities(text)
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
def test_a_text_four_times_as_long_takes_about_four_times_as_long(
    long: Callable[[int], str],
) -> None:
    def growth() -> float:
        return least_seconds(long(20_000)) / least_seconds(long(5_000))

    # Of what grows with the square it is 16, each time; a cold cache may spoil one.
    assert any(growth() < 9 for _ in range(3))


def test_a_link_that_x_finds_too_long_is_none() -> None:
    at_most = "https://example.com/" + "a" * (LONGEST_LINK - len("https://example.com/"))
    assert [span.found for span in url_spans(f"{at_most}!")] == [at_most]
    assert url_spans(f"{at_most}a!") == []
