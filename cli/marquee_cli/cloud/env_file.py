"""Reads `.env`: NAME=value lines, comments, quotes, an optional `export`; nothing is expanded."""

import re
from pathlib import Path

from marquee_cli.cloud.errors import CloudError

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)
_QUOTED = re.compile(r"""(['"])(.*?)\1\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def read_env_file(path: Path) -> dict[str, str]:
    """The variables that a file sets to something; {} where there is no file.

    Raises CloudError naming the line that cannot be read, without its content: it may be a secret.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    values = {}
    for number, line in enumerate(lines, start=1):
        if _COMMENT.sub("", line).strip():
            assignment = _ASSIGNMENT.fullmatch(line)
            if assignment is None:
                raise CloudError(f"{path}, line {number}: not NAME=value.")
            value = _value(assignment[2].strip())
            if value is None:
                raise CloudError(f"{path}, line {number}: a quote is not closed.")
            if value:
                values[assignment[1]] = value
    return values


def _value(text: str) -> str | None:
    """The value without its quotes or the comment behind it; None where a quote stays open."""
    if not text.startswith(("'", '"')):
        return _COMMENT.sub("", text).strip()
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted else None
