"""Words on a terminal: what strangers wrote is shown as text, never obeyed."""

import sys
import unicodedata
from io import TextIOWrapper

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

JOINERS = "\u200c\u200d"
"""Format characters that Indic scripts and emoji are spelled with; they move nothing."""


def plain(text: str) -> str:
    """The text on one line without what could move the cursor or turn the direction of writing.

    It comes from strangers. Controls, line ends and what Unicode does not define become spaces,
    invisible format characters are left out.
    """
    return "".join(_plain_character(character) for character in text)


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":
        return character if character in JOINERS else ""
    return " " if category[0] == "C" or category in ("Zl", "Zp") else character


def show_heading(words: str, out: Console) -> None:
    """Print a heading, behind an empty line."""
    out.print(Text(f"\n{words}", style="bold"))


def show_line(text: Text, out: Console) -> None:
    """Print below a heading, what is wrapped as well."""
    out.print(Padding(text, (0, 0, 0, 2), expand=False))


def row(*words: str) -> list[Text]:
    """Cells whose words are taken as they are: a plain str would be read as markup."""
    return [Text(plain(word)) for word in words]


def show_any_character() -> None:
    """Let an output that is not UTF-8 show a "?" for what it cannot."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
