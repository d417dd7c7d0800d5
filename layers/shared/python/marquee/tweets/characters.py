"""Characters that hide or pretend: what no text of ours may hold, and what a text reads as."""

import html
import re
import unicodedata
from collections.abc import Callable

MAX_MARKS_IN_A_ROW = 3
"""Combining marks on one letter: Vietnamese and Thai need two, pointed Hebrew three."""

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI_STYLE = "\ufe0f"
_TEXT_STYLE = "\ufe0e"
_KEYCAP = "\u20e3"
_FLAGS = tuple(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
"""England, Scotland, Wales: a black flag, the region in tag characters, the one that ends it."""

_FLAG_LENGTH = len(_FLAGS[0])
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_PICTOGRAPHS = frozenset({"So", "Sk", "Sm", "Po"})
"""Categories that symbols with an emoji form have, ‼ and ↔ among them."""

_HIDING_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that are drawn as nothing."""

_STANDING_FOR_ELSE = frozenset("\ufffc\ufffd")
_SPACES = frozenset(" \u00a0\u202f\u3000")
"""Those of English, French and Japanese; X keeps them as they are."""

_JOINING_SCRIPTS = (
    "ARABIC",
    "BENGALI",
    "DEVANAGARI",
    "GUJARATI",
    "GURMUKHI",
    "KANNADA",
    "KHMER",
    "MALAYALAM",
    "MONGOLIAN",
    "MYANMAR",
    "ORIYA",
    "SINHALA",
    "SYRIAC",
    "TAMIL",
    "TELUGU",
)
"""Scripts whose spelling needs ZWJ and ZWNJ."""

_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕԁԛԝһӏкмтвнгАВЕКМНОРСТХУІЅЈαονρτυικεχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑǀ♯。"
    "\u2044\u2215\u29f8\u02d0\ua789\u2236",
    "aeopcyxijsdqwhlkmtbhrABEKMHOPCTXYISJaovptuikexyABEZHIKMNOPTYXigal#.///:::",
)
"""Letters and signs drawn like those of links and names, after NFKC."""

_DOTS_BETWEEN = re.compile(r"(?<=[A-Za-z0-9])[·‧∙•⋅・](?=[A-Za-z]{2,})")
_BRACKETED = (
    (
        re.compile(
            r"\s{0,3}[\[({<]\s{0,3}(?:\.|dot|punto|point|punkt)\s{0,3}[\])}>]\s{0,3}", re.IGNORECASE
        ),
        ".",
    ),
    (re.compile(r"\s{0,3}[\[({<]\s{0,3}(?:@|at)\s{0,3}[\])}>]\s{0,3}", re.IGNORECASE), "@"),
    (re.compile(r"\s{0,3}[\[({<]\s{0,3}(?::|colon)\s{0,3}[\])}>]\s{0,3}", re.IGNORECASE), ":"),
    (re.compile(r"\s{0,3}[\[({<]\s{0,3}(?:/|slash)\s{0,3}[\])}>]\s{0,3}", re.IGNORECASE), "/"),
)
_SPELLED_DOT = re.compile(r"(?<=[A-Za-z0-9])\s+dot\s+(?=[A-Za-z]{2,}\b)", re.IGNORECASE)
_SPACE_BEFORE_DOT = re.compile(r"(?<=[A-Za-z0-9])\s+\.\s*(?=[A-Za-z]{2,})")
_SPACE_AFTER_DOT = re.compile(
    r"(?<=[A-Za-z0-9])\.\s+(?=(?:com|net|org|io|ru|co|xyz|biz|info|ly)\b)"
)
_DEFANGED = re.compile(r"\bh(?:xx|tt|\*\*)ps?\b(?=\s*:)", re.IGNORECASE)
_SPACED_SCHEME = re.compile(r"\b(https?)\s*:\s*/\s*/\s*", re.IGNORECASE)


def clean(text: str) -> str:
    """The text in NFC without what hides, and without blanks at line ends and around it."""
    text = "".join(map(_plain_space, text.replace("\r\n", "\n")))
    while True:
        normal = unicodedata.normalize("NFC", text)
        hidden = set(_hidden(normal))
        kept = "".join(character for place, character in enumerate(normal) if place not in hidden)
        kept = "\n".join(line.rstrip() for line in kept.split("\n")).strip()
        if kept == text:
            return kept
        text = kept


def hidden_characters(text: str) -> list[str]:
    """What the text holds that is not seen, or changes what is seen, as ``U+200B`` and the like.

    ZWJ counts only outside of emoji and of the scripts that are spelled with it; an emoji's style
    and the letters of a flag count only outside of one.
    """
    found = dict.fromkeys(f"U+{ord(text[place]):04X}" for place in _hidden(text))
    return list(found)


def reading(text: str) -> str:
    """The text as a careless reader, or a clever program, takes it.

    Entities decoded, NFKC, what hides removed, look-alikes as ASCII, ``example[.]com``,
    ``example dot com`` and ``hxxp`` as links.
    """
    plain = unicodedata.normalize("NFKC", html.unescape(text))
    hidden = set(_hidden(plain)) | {
        place for place, character in enumerate(plain) if character in {_ZWJ, _ZWNJ}
    }
    plain = "".join(character for place, character in enumerate(plain) if place not in hidden)
    plain = plain.translate(_LOOK_ALIKES)
    plain = _DOTS_BETWEEN.sub(".", plain)
    for pattern, sign in _BRACKETED:
        plain = pattern.sub(sign, plain)
    plain = _SPELLED_DOT.sub(".", plain)
    plain = _SPACE_BEFORE_DOT.sub(".", plain)
    plain = _SPACE_AFTER_DOT.sub(".", plain)
    plain = _DEFANGED.sub("http", plain)
    return _SPACED_SCHEME.sub(r"\1://", plain)


def script(character: str) -> str:
    """The script of a letter, by its name in Unicode: LATIN, CYRILLIC, CJK …"""
    name = unicodedata.name(character, "")
    if name.startswith(("FULLWIDTH LATIN", "HALFWIDTH KATAKANA")):
        name = name.partition(" ")[2]
    return name.partition(" ")[0].partition("-")[0]


def _plain_space(character: str) -> str:
    """A line's end or a space for the unusual ones, which would join two words if left out."""
    if character in _SPACES:
        return character
    category = unicodedata.category(character)
    if category in {"Zl", "Zp"} or character in "\r\v\f":
        return "\n"
    return " " if category == "Zs" or character == "\t" else character


def _hidden(text: str) -> list[int]:
    """The places of characters that hide."""
    places = []
    marks = 0
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks > MAX_MARKS_IN_A_ROW or _hides(text, place, character, category):
            places.append(place)
    return places


def _hides(text: str, place: int, character: str, category: str) -> bool:
    if character == "\n" or character in _SPACES:
        return False
    if allowed := _IN_CONTEXT.get(character):
        return not allowed(text, place)
    if 0xE0020 <= ord(character) <= 0xE007F:
        return not _in_flag(text, place)
    if _is_variation_selector(character) or character in _BLANK or character in _STANDING_FOR_ELSE:
        return True
    return category in _HIDING_CATEGORIES or category == "Zs"


def _is_variation_selector(character: str) -> bool:
    point = ord(character)
    return 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF or 0x180B <= point <= 0x180F


def _joins(text: str, place: int) -> bool:
    before, after = _beside(text, place)
    if not before or not after:
        return False
    if text[place] == _ZWJ and before != _ZWJ and after != _ZWJ:
        picture = text[place - 1]
        if picture == _EMOJI_STYLE or picture in _SKIN_TONES:
            picture = text[place - 2] if place > 1 else ""
        if _is_pictograph(picture) and _is_pictograph(after):
            return True
    return _is_joining(before) and _is_joining(after)


def _styles(text: str, place: int) -> bool:
    before, after = _beside(text, place)
    keycap = after == _KEYCAP and bool(before) and before in "0123456789#*"
    return keycap or _is_pictograph(before)


def _in_flag(text: str, place: int) -> bool:
    """Whether the tag character belongs to a flag that is drawn; others spell things unseen."""
    return any(
        text.startswith(flag, start)
        for start in range(max(place - _FLAG_LENGTH + 1, 0), place)
        for flag in _FLAGS
    )


def _beside(text: str, place: int) -> tuple[str, str]:
    return text[place - 1] if place else "", text[place + 1] if place + 1 < len(text) else ""


def _is_pictograph(character: str) -> bool:
    return (
        bool(character)
        and ord(character) > 0xA8
        and unicodedata.category(character) in _PICTOGRAPHS
        and character not in _BLANK
        and character not in _STANDING_FOR_ELSE
    )


def _is_joining(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_JOINING_SCRIPTS)


_IN_CONTEXT: dict[str, Callable[[str, int], bool]] = {
    _ZWJ: _joins,
    _ZWNJ: _joins,
    _EMOJI_STYLE: _styles,
    _TEXT_STYLE: _styles,
}
