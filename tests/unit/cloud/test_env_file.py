"""Reading `.env`."""

from pathlib import Path

import pytest

from marquee_cli.cloud.env_file import read_env_file
from marquee_cli.cloud.errors import CloudError


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("TMDB_TOKEN=abc", {"TMDB_TOKEN": "abc"}),
        ("  TMDB_TOKEN = abc  ", {"TMDB_TOKEN": "abc"}),
        ("export TMDB_TOKEN=abc", {"TMDB_TOKEN": "abc"}),
        ("TMDB_TOKEN=abc # from the settings page", {"TMDB_TOKEN": "abc"}),
        ("TMDB_TOKEN=a#b=c$d", {"TMDB_TOKEN": "a#b=c$d"}),
        ("TMDB_TOKEN='a # b'", {"TMDB_TOKEN": "a # b"}),
        ('TMDB_TOKEN="it\'s" # quoted', {"TMDB_TOKEN": "it's"}),
        ("TMDB_TOKEN=", {}),
        ("TMDB_TOKEN=''", {}),
        ("TMDB_TOKEN= # fill me in", {}),
        ("# TMDB_TOKEN=abc", {}),
        ("   # a comment", {}),
        ("", {}),
        ("\ufeffTMDB_TOKEN=abc\r", {"TMDB_TOKEN": "abc"}),
        ("A=1\nB=2\nA=3", {"A": "3", "B": "2"}),
    ],
)
def test_a_line_sets_a_variable(tmp_path: Path, line: str, values: dict[str, str]) -> None:
    (tmp_path / ".env").write_text(line, encoding="utf-8")
    assert read_env_file(tmp_path / ".env") == values


@pytest.mark.parametrize("line", ["secret-only", "1A=secret", "A B=secret", "A='secret", 'A="x"y'])
def test_a_line_that_cannot_be_read_is_named_without_its_content(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(CloudError, match=r"\.env, line 2: ") as caught:
        read_env_file(tmp_path / ".env")
    assert "secret" not in str(caught.value)


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}
