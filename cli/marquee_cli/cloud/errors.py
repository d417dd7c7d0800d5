"""What goes wrong with the laptop cloud, in words for whoever typed the command."""

from pathlib import Path

TAIL_LINES = 20
"""Enough to hold a stack trace's end or a failed resource's reason."""


class CloudError(Exception):
    """The laptop cloud cannot do what was asked; the message says what to look at."""


def with_tail(message: str, log: Path) -> CloudError:
    """The error `message`, followed by the end of the log that explains it."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
    return CloudError("\n".join([f"{message} The end of {log}:", *lines]))
