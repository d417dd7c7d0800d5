"""The output policy, by examples, by attacks, and by properties."""

# ruff: noqa: RUF001 - look-alike characters are meant

import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.tweets.characters import clean, hidden_characters, reading
from marquee.tweets.output_policy import Frame, judge, similarity
from marquee.tweets.safety import unsafe_reason
from marquee.tweets.text import entities, weighted_length
from tests.unit.tweets.attacks import ATTACKS, Attack

_FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)
_BASE = "The Quiet Harbor is a wonderful film, and its last act moved me. 8/10"

HONEST = [
    (
        "saw the new dune movie yesterday its amazing, visuals are crazy good",
        "Saw the new Dune movie yesterday. It's amazing, the visuals are crazy good!",
    ),
    (
        "I think teh acting was realy good but story weak",
        "I think the acting was really good, but the story was weak.",
    ),
    ("Loved it!! 9/10 would watch again #Dune", "Loved it! 9/10, would watch again. #Dune"),
    (
        "whats your fav horror film of all time?? mine is The Thing",
        "What's your favorite horror film of all time? Mine is The Thing.",
    ),
    (
        "Thanks @harborfilm 4 the show!! #QuietHarbor https://harbor.example.com",
        "Thanks @harborfilm 4 the show! #QuietHarbor https://harbor.example.com",
    ),
    (
        "la pelicula es muy buena y el final me gusto mucho no se la pierdan",
        "La película es muy buena y el final me gustó mucho. ¡No se la pierdan!",
    ),
    (
        "昨日は海の映画を見ました とても美しい作品で みんなに見てほしいです",
        "昨日は海の映画を見ました。とても美しい作品で、みんなに見てほしいです。",
    ),
    ("👨‍👩‍👧 movie night with the fam ❤️", "👨‍👩‍👧 Movie night with the family ❤️"),
    ("the ending made me cry ngl", "The ending made me cry, not going to lie."),
    ("नई फिल्म बहुत अच्छी है जरूर देखें", "नई फिल्म बहुत अच्छी है, जरूर देखें!"),
    ("انا شفت الفيلم امس وكان رائع جدا", "أنا شفت الفيلم أمس وكان رائعاً جداً"),
    (
        "If u liked Heat u should watch Thief, underrated gem",
        "If you liked Heat, you should watch Thief. An underrated gem!",
    ),
    ("Check out 🏴󠁧󠁢󠁥󠁮󠁧󠁿 football doc on tv", "Check out the 🏴󠁧󠁢󠁥󠁮󠁧󠁿 football documentary on TV"),
]


@pytest.mark.parametrize(("original", "polished"), HONEST)
def test_an_honest_correction_passes(original: str, polished: str) -> None:
    assert judge(clean(original), polished).reasons == ()


def test_there_are_enough_attacks_and_none_is_there_twice() -> None:
    assert len(ATTACKS) >= 120
    assert len({(attack.tweet, attack.answer) for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.kind)
def test_what_an_obeying_model_answers_is_refused_with_a_reason(attack: Attack) -> None:
    for answer in (attack.answer, unicodedata.normalize("NFC", attack.answer).strip()):
        verdict = judge(clean(attack.tweet), answer)
        assert not verdict.ok
        assert verdict.reasons


@pytest.mark.parametrize(
    ("proposed", "reason"),
    [
        (_BASE.replace("8/10", "9/10"), "adds the number 9/10"),
        (_BASE.replace(" 8/10", ""), "drops the number 8/10"),
        (f"{_BASE} a.example.com", "adds the link a.example.com"),
        (f"{_BASE} a[.]example[.]com", "adds the disguised link a.example.com"),
        (f"{_BASE} @nasa", "adds the mention nasa"),
        (f"{_BASE} @\u200bnasa", "holds the hidden characters U+200B"),
        (f"{_BASE} #film", "adds the hashtag film"),
        (f"{_BASE} $TSLA", "adds the cashtag TSLA"),
        (_BASE.replace("film", "fіlm"), "mixes look-alike letters in fіlm"),
        (_BASE.replace("film", "𝐟𝐢𝐥𝐦"), "adds the styled letters 𝐟𝐢𝐥𝐦"),
        (f"{_BASE} " + "a" * 280, "is 350 long, of 280"),
        ("", "is empty"),
        ("a" * 100_000, "has more than 4000 characters"),
        (f"{_BASE} I will kill you", "is unsafe: a threat of violence"),
        (f"{_BASE} So go and vote for her", "adds 6 words in a row"),
    ],
)
def test_a_refusal_says_what_is_wrong(proposed: str, reason: str) -> None:
    assert reason in judge(_BASE, proposed).reasons


def test_text_that_is_not_in_nfc_is_refused() -> None:
    assert judge(f"{_BASE} Café", f"{_BASE} Cafe\u0301").reasons == ("is not in NFC",)


def test_numbers_may_not_change_places() -> None:
    swapped = judge("We open at 7 and close at 9", "We open at 9 and close at 7")
    assert swapped.reasons == ("puts its numbers in another order",)


def test_the_template_may_add_what_the_text_may_not_and_counts_in_the_length() -> None:
    frame = Frame(before="News: ", after=" via @nasa #Film")
    assert judge(_BASE, frame.around(_BASE), frame).ok
    assert judge(_BASE, _BASE, frame).ok
    assert not judge(_BASE, frame.around(f"{_BASE} @other"), frame).ok
    long = "word " * 53 + "end"
    assert judge(long, long).ok
    assert judge(long, frame.around(long), frame).reasons == (
        f"is {weighted_length(frame.around(long))} long, of 280",
    )


def test_a_text_that_was_too_long_may_lose_words_but_not_gain_any() -> None:
    sentences = [f"Scene {n} of this film is a joy to behold for all of us." for n in range(9)]
    original = " ".join(sentences)
    assert judge(original, " ".join(sentences[:4])).ok
    assert not judge(original, " ".join([*sentences[:3], "Scene 77 is a joy to behold."])).ok
    assert not judge(original, "A short note on quite another thing altogether, dear reader.").ok


def test_similarity_is_one_for_equal_texts_and_zero_for_unlike_ones() -> None:
    assert similarity(_BASE, _BASE.upper()) == 1.0
    assert similarity("aaaa", "zzzz") < 0.4
    assert similarity("", "") == 1.0


def test_reading_undoes_what_hides_a_link() -> None:
    for disguised in (
        "ｅｖｉｌ．ｃｏｍ",
        "evil[.]com",
        "evil dot com",
        "ev\u200bil.com",
        "еvіl.com",
    ):
        assert reading(disguised) == "evil.com"


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"])
    | st.sampled_from(" @#$./:1aeé\u200d🔥"),
    max_size=120,
)


@given(texts)
@_FEW
def test_a_cleaned_text_hides_nothing_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert hidden_characters(cleaned) == []
    assert unicodedata.normalize("NFC", cleaned) == cleaned
    assert clean(cleaned) == cleaned


@given(texts)
@_FEW
def test_a_text_left_as_it_was_passes_unless_it_is_empty_too_long_or_unsafe(text: str) -> None:
    original = clean(text)
    verdict = judge(original, original)
    fit = 0 < weighted_length(original) <= 280 and unsafe_reason(original) is None
    assert verdict.ok is (fit and bool(original))


@given(texts, texts)
@_FEW
def test_what_passes_is_short_in_nfc_and_adds_nothing(first: str, second: str) -> None:
    original = clean(first)
    for proposed in (second, f"{original}{second}", f"{original[:20]}{second}{original[20:]}"):
        if judge(original, proposed).ok:
            before, after = entities(original), entities(proposed)
            assert weighted_length(proposed) <= 280
            assert unicodedata.is_normalized("NFC", proposed)
            assert hidden_characters(proposed) == []
            for kind in ("urls", "mentions", "hashtags", "cashtags", "numbers"):
                assert not Counter(getattr(after, kind)) - Counter(getattr(before, kind))


@given(
    st.integers(0, len(_BASE)),
    st.sampled_from(
        ["\u200b", "\u202e", "\u2066", "\ufeff", "\u00ad", "\x00", "\u2028", "\u3164", "\U000e0041"]
    ),
)
@_FEW
def test_a_hidden_character_is_found_wherever_it_stands(place: int, sign: str) -> None:
    assert not judge(_BASE, f"{_BASE[:place]}{sign}{_BASE[place:]}").ok


@given(
    st.integers(0, 13),
    st.sampled_from(["a.example.com", "https://a.io", "@nasa", "#film", "$TSLA", "7", "$3", "٣"]),
)
@_FEW
def test_a_new_link_name_tag_or_number_is_found_wherever_it_stands(place: int, what: str) -> None:
    words = _BASE.split()
    proposed = " ".join([*words[:place], what, *words[place:]])
    assert not judge(_BASE, proposed).ok
