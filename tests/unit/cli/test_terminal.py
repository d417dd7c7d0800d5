"""Words on a terminal: strangers' text moves nothing, and loses nothing that is written."""

import io
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from marquee_cli.terminal import plain, row
from tests.support.command_line import HOSTILE, moving


@given(st.text())
def test_plain_text_never_moves_anything_and_keeps_all_that_is_written(text: str) -> None:
    cleaned = plain(text)
    assert moving(cleaned) <= {"\u200c", "\u200d"}
    assert "\n" not in cleaned
    visible = [c for c in text if unicodedata.category(c)[0] in "LMNPS"]
    assert [c for c in cleaned if unicodedata.category(c)[0] in "LMNPS"] == visible
    cleaned.encode()


def test_joiners_that_scripts_are_spelled_with_stay() -> None:
    assert plain("క్\u200cష 👩\u200d🚀") == "క్\u200cష 👩\u200d🚀"


def test_a_cell_shows_markup_as_it_is_written() -> None:
    out = Console(file=io.StringIO(), width=400, highlight=False)
    out.print(*row(HOSTILE))
    assert isinstance(out.file, io.StringIO)
    written = out.file.getvalue()
    assert "[red]not markup[/red] [link=https://evil.test]x[/link] :bomb:" in written
    assert moving(written) == set()
