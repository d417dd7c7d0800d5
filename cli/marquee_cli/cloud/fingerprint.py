"""A digest of everything that a deployment is made from: equal digests need no new one."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

PARTS_OF_A_DEPLOYMENT = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachine")
"""What lies in the project's root and ends up in the stack."""


def fingerprint(root: Path, extra: Iterable[Path], settings: Mapping[str, str]) -> str:
    """The SHA-256 of the sources under `root`, of `extra` files and of the settings, in hex.

    Bytecode and hidden files do not count: running or looking at the code changes nothing.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(root / part for part in PARTS_OF_A_DEPLOYMENT)):
        _add(digest, str(path.relative_to(root)), path.read_bytes())
    for path in extra:
        _add(digest, path.name, path.read_bytes())
    for name, value in sorted(settings.items()):
        _add(digest, name, value.encode())
    return digest.hexdigest()


def _files(parts: Iterable[Path]) -> Iterable[Path]:
    for part in parts:
        if part.is_file():
            yield part
        for path in part.rglob("*"):
            names = path.relative_to(part).parts
            if path.is_file() and not any(n == "__pycache__" or n.startswith(".") for n in names):
                yield path


def _add(digest: "hashlib._Hash", name: str, content: bytes) -> None:
    # With its length, so that no two different lists of parts run into the same bytes.
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)
