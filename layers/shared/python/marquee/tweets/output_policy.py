"""The output policy: what a text may have become on its way through a model or an editor.

The text that goes out is held against the one that came in. Nothing here asks a model anything.

=================  ============================================================================
length             at most 280 as X counts it, with what the template adds
characters         NFC; none that hides, turns the direction, or pretends to be another
links, mentions,   the same as before, in any disguise; none new, and none dropped unless the
hashtags, cashtags text was too long to keep
numbers            the same figures and number words, with their signs and units, in their order
language           the same scripts, and the same language where its small words tell
likeness           at least SIMILARITY_FLOOR, and no WORDS_IN_A_ROW of its own, or left out
safety             nothing that marquee.tweets.safety calls unsafe
=================  ============================================================================

Likeness is the Dice coefficient of the two texts' character trigrams (L. R. Dice, Ecology 26,
1945), as bags, of case-folded words without links: 1 for equal texts, 0 for texts without a trigram
in common. A text that had to be shortened is held against the part that it kept: the share of its
trigrams that the original has.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches

from marquee.tweets.characters import hidden_characters, reading, script
from marquee.tweets.models import Model
from marquee.tweets.safety import unsafe_reason
from marquee.tweets.text import MAX_WEIGHTED_LENGTH, entities, url_spans, weighted_length

SIMILARITY_FLOOR = 0.6
"""Corrections of spelling, case and punctuation stay above 0.8, other words for a third of a text
above 0.6; an answer to the text, or a part of it, lies below 0.5."""

SHORTENED_FLOOR = 0.75
"""Of a shortened text, what must be the original's own words."""

WORDS_IN_A_ROW = 5
"""A sentence that nobody wrote, or that is left out, is longer; a corrected phrase is shorter."""

SAME_WORD = 0.7
"""difflib's ratio from which a word counts as the correction of another."""

MAX_CHARACTERS = 4_000
"""Of a proposed text: none that X takes has more, links included, so no more is looked at."""

_MAX_WORDS_COMPARED = 120
"""More than 280 characters hold; a longer original is compared word by word, not spelling."""

_QUOTED = 40

_CURRENCIES = "$€£¥₹₩₽₺₿฿₫₴₦"
_FIGURE = re.compile(
    rf"(?:(?<![\w)])[+\-\u2212])?[{_CURRENCIES}]?\d+(?:[.,:/]\d+)*"
    rf"(?:\s?[%‰{_CURRENCIES}]|[^\W\d_]{{1,3}}(?![^\W\d_]))?"
)
_NUMBER_WORD = re.compile(
    r"\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    r"fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    r"ninety|hundreds?|thousands?|millions?|billions?|trillions?|dozens?|percent|half|double|twice|"
    r"triple|thrice|quarter)\b",
    re.IGNORECASE,
)
_SIGNS = {"@": "an at sign", "#": "a hash sign", "://": "a link", "www.": "a link"}
_MARKUP = re.compile(r"\]\(|</?[a-z][^>]*>|&#?\w+;|```", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LETTERS_MIXED_UP = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
"""Scripts with letters that look alike; no word is written in two of them."""

_SCRIPT_SHARE_MAY_CHANGE_BY = 0.3

_SMALL_WORDS = {
    "English": "the and is was of to it that this with for you are not but have they what my",
    "Spanish": "el la los las de que y en un una es por con para no se lo muy pero mi como",
    "French": "le la les de des et est un une que pas pour dans ce qui je vous il au mais",
    "German": "der die das und ist nicht ich ein eine zu mit den von auf für war sie es auch",
    "Italian": "il la di che e è un una non per con sono gli del mi ma come questo più",
    "Portuguese": "o a os as de que e em um uma é não para com por se mais mas muito",
    "Dutch": "de het een en van is niet ik dat op te met voor zijn was maar ook er",
    "Turkish": "ve bir bu çok için ile de da ne ama gibi en daha var mi ben",
    "Indonesian": "yang dan di ini itu dengan untuk tidak dari saya akan ada ke juga film",
}
_LANGUAGE_WORDS = {name: frozenset(words.split()) for name, words in _SMALL_WORDS.items()}
_TELLING = 3
"""Small words from which they tell a language, if they are twice as many as any other's."""


class Frame(Model):
    """What a template puts around a text."""

    before: str = ""
    after: str = ""

    def around(self, text: str) -> str:
        """The text with its frame."""
        return f"{self.before}{text}{self.after}"

    def without(self, text: str) -> str:
        """The text that was framed; parts of the frame that are gone are not missed."""
        return text.removeprefix(self.before).removesuffix(self.after)


class Verdict(Model):
    """What the output policy says of a text."""

    ok: bool
    reasons: tuple[str, ...] = ()
    length: int
    """As X counts it, the frame included."""
    similarity: float
    """Likeness to the original, 0..1."""


BARE = Frame()


def judge(
    original: str, proposed: str, frame: Frame = BARE, *, unsafe_words: Sequence[str] = ()
) -> Verdict:
    """Whether ``proposed``, which stands in ``frame``, may go out in the place of ``original``.

    ``original`` is without the frame, and free of hidden characters (characters.clean).
    """
    if len(proposed) > MAX_CHARACTERS:
        reason = f"has more than {MAX_CHARACTERS} characters"
        return Verdict(ok=False, reasons=(reason,), length=len(proposed), similarity=0.0)
    core = frame.without(proposed)
    length = weighted_length(proposed)
    shortened = weighted_length(frame.around(original)) > MAX_WEIGHTED_LENGTH
    likeness = similarity(original, core, shortened=shortened)
    reasons = [
        *_length_faults(core, length),
        *_character_faults(original, proposed, core),
        *_entity_faults(original, core, shortened=shortened),
        *_number_faults(original, core, shortened=shortened),
        *_language_faults(original, core),
        *_likeness_faults(original, core, likeness, shortened=shortened),
    ]
    if unsafe := unsafe_reason(core, unsafe_words):
        reasons.append(f"is unsafe: {unsafe}")
    return Verdict(
        ok=not reasons,
        reasons=tuple(dict.fromkeys(reasons)),
        length=length,
        similarity=round(likeness, 3),
    )


def similarity(original: str, proposed: str, *, shortened: bool = False) -> float:
    """How much alike two texts are, 0..1; see above."""
    first, second = _trigrams(original), _trigrams(proposed)
    common = (first & second).total()
    if shortened:
        return common / max(second.total(), 1)
    if not first and not second:
        return 1.0
    return 2 * common / (first.total() + second.total())


def _length_faults(core: str, length: int) -> Iterator[str]:
    if not core.strip():
        yield "is empty"
    if length > MAX_WEIGHTED_LENGTH:
        yield f"is {length} long, of {MAX_WEIGHTED_LENGTH}"


def _character_faults(original: str, proposed: str, core: str) -> Iterator[str]:
    if hidden := hidden_characters(proposed):
        yield f"holds the hidden characters {', '.join(hidden)}"
    if unicodedata.normalize("NFC", proposed) != proposed:
        yield "is not in NFC"
    before = Counter(_styled(original))
    if styled := Counter(_styled(core)) - before:
        yield f"adds the styled letters {''.join(styled)}"
    known = set(_words(original))
    for word in _words(core):
        scripts = {script(letter) for letter in word if letter.isalpha()}
        if word not in known and len(scripts & _LETTERS_MIXED_UP) > 1:
            yield f"mixes look-alike letters in {_short(word)}"
    if len(_MARKUP.findall(core)) > len(_MARKUP.findall(original)):
        yield "adds markup"


def _styled(text: str) -> Iterator[str]:
    """Letters and digits in disguise: fullwidth, mathematical, circled, superscript."""
    for character in text:
        symbol = unicodedata.category(character) == "So"
        if symbol or (character.isalnum() and not character.isascii()):
            plain = unicodedata.normalize("NFKC", character)
            if plain != character and plain.isascii() and any(map(str.isalnum, plain)):
                yield character


def _entity_faults(original: str, core: str, *, shortened: bool) -> Iterator[str]:
    before, after = entities(original), entities(core)
    read_before, read_after = entities(reading(original)), entities(reading(core))
    for kind, name in (
        ("urls", "link"),
        ("mentions", "mention"),
        ("hashtags", "hashtag"),
        ("cashtags", "cashtag"),
    ):
        said, says = Counter(getattr(before, kind)), Counter(getattr(after, kind))
        for added in says - said:
            yield f"adds the {name} {_short(added)}"
        disguised = Counter(getattr(read_after, kind)) - Counter(getattr(read_before, kind))
        for added in disguised - says:
            yield f"adds the disguised {name} {_short(added)}"
        if not shortened:
            for dropped in said - says:
                yield f"drops or changes the {name} {_short(dropped)}"
    first, second = reading(original).lower(), reading(core).lower()
    for sign, meaning in _SIGNS.items():
        if second.count(sign) > first.count(sign):
            yield f"adds {meaning}"


def _number_faults(original: str, core: str, *, shortened: bool) -> Iterator[str]:
    said, says = _figures(original), _figures(core)
    if said != says and not (shortened and _is_within(says, said)):
        added = list((Counter(says) - Counter(said)).elements())
        dropped = list((Counter(said) - Counter(says)).elements())
        if added:
            yield f"adds the number {_short(added[0])}"
        elif dropped:
            yield f"drops the number {_short(dropped[0])}"
        else:
            yield "puts its numbers in another order"


def _figures(text: str) -> list[str]:
    """Numbers with sign, currency and unit, number words, and other signs that mean a number."""
    for span in reversed(url_spans(text)):
        text = f"{text[: span.start]} {text[span.end :]}"
    found = entities(text)
    plain = "".join(
        str(unicodedata.decimal(character)) if character.isdecimal() else character
        for character in text
    )
    for name in (*found.mentions, *found.hashtags):
        plain = re.sub(rf"[@#＠＃]{re.escape(name)}", " ", plain, count=1, flags=re.IGNORECASE)  # noqa: RUF001 - the fullwidth signs are meant
    figures = [
        (match.start(), re.sub(r"\s", "", match[0]).casefold()) for match in _FIGURE.finditer(plain)
    ]
    figures += [(match.start(), match[0].casefold()) for match in _NUMBER_WORD.finditer(plain)]
    figures += [
        (place, character)
        for place, character in enumerate(plain)
        if not character.isdecimal() and unicodedata.numeric(character, None) is not None
    ]
    figures += [
        (place, character)
        for place, character in enumerate(plain)
        if character in _CURRENCIES and not _touches_digit(plain, place)
    ]
    return [figure for _, figure in sorted(figures)]


def _touches_digit(text: str, place: int) -> bool:
    around = text[max(place - 2, 0) : place].strip() + text[place + 1 : place + 2]
    return any(character.isdecimal() for character in around)


def _is_within(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether the part is the whole with some left out."""
    rest = iter(whole)
    return all(item in rest for item in part)


def _language_faults(original: str, core: str) -> Iterator[str]:
    first, second = _scripts(original), _scripts(core)
    for name in first.keys() | second.keys():
        if abs(first.get(name, 0.0) - second.get(name, 0.0)) > _SCRIPT_SHARE_MAY_CHANGE_BY:
            yield f"changes how much is written in {name.capitalize()} letters"
    spoken, speaks = _language(original), _language(core)
    if spoken and speaks and spoken != speaks:
        yield f"changes the language from {spoken} to {speaks}"


def _scripts(text: str) -> dict[str, float]:
    letters = Counter(script(character) for character in text if character.isalpha())
    return {name: count / letters.total() for name, count in letters.items()}


def _language(text: str) -> str | None:
    """The language that the small words of a text tell; None where they tell none."""
    words = Counter(word.casefold() for word in _words(text))
    votes = {name: sum(words[word] for word in small) for name, small in _LANGUAGE_WORDS.items()}
    (name, most), (_, next_most) = sorted(votes.items(), key=lambda vote: -vote[1])[:2]
    return name if most >= _TELLING and most >= 2 * next_most else None


def _likeness_faults(
    original: str, core: str, likeness: float, *, shortened: bool
) -> Iterator[str]:
    floor = SHORTENED_FLOOR if shortened else SIMILARITY_FLOOR
    if likeness < floor:
        yield f"is too unlike the original ({likeness:.2f}, below {floor})"
    said = [word.casefold() for word in _words(original)]
    says = [_as_said(word.casefold(), said) for word in _words(core)]
    added = dropped = 0
    for _, i1, i2, j1, j2 in SequenceMatcher(None, said, says, autojunk=False).get_opcodes():
        if said[i1:i2] != says[j1:j2]:
            added, dropped = max(added, j2 - j1), max(dropped, i2 - i1)
    if added >= WORDS_IN_A_ROW:
        yield f"adds {added} words in a row"
    if dropped >= WORDS_IN_A_ROW and not shortened:
        yield f"drops {dropped} words in a row"


def _as_said(word: str, said: Sequence[str]) -> str:
    """The word of the original that it corrects, if any."""
    if word in said:
        return word
    nearest = get_close_matches(word, said[:_MAX_WORDS_COMPARED], 1, SAME_WORD)
    return nearest[0] if nearest else word


def _words(text: str) -> list[str]:
    for span in reversed(url_spans(text)):
        text = f"{text[: span.start]} {text[span.end :]}"
    return _WORD.findall(text)


def _trigrams(text: str) -> Counter[str]:
    words = f"  {' '.join(word.casefold() for word in _words(text))}  "
    return Counter(words[place : place + 3] for place in range(len(words) - 2) if words.strip())


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
