"""The page's files: read once a process, compressed once, and addressed by what is in them.

The files are served as they lie in the folder, below ``site/<release>/``, where the release is a
hash over all of them. So modules import one another by plain relative names, a browser may keep
every file for good, and a page never mixes the files of two deployments.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

RELEASE_DIGITS = 16
"""Hexadecimal, of SHA-256: enough to tell deployments apart."""

DOCUMENT = "index.html"

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    content: bytes
    content_type: str

    @cached_property
    def compressed(self) -> bytes:
        """The content under gzip; the same bytes whenever it is made."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def digest(self) -> str:
        """What names the content."""
        return sha256(self.content).hexdigest()[:RELEASE_DIGITS]


@dataclass(frozen=True)
class Page:
    """The document, and the files that it loads."""

    release: str
    document: File
    files: Mapping[str, File]
    posters_origin: str

    @classmethod
    def read(cls, folder: Path, *, posters: str) -> "Page":
        """The page in ``folder``, whose posters lie below the address ``posters``."""
        found = {
            path.name: File(path.read_bytes(), CONTENT_TYPES[path.suffix])
            for path in sorted(folder.iterdir())
            if path.suffix in CONTENT_TYPES
        }
        names = "".join(f"{name} {file.digest}\n" for name, file in found.items())
        release = sha256(names.encode()).hexdigest()[:RELEASE_DIGITS]
        document = Template(found.pop(DOCUMENT).content.decode()).substitute(
            site=f"site/{release}",
            posters=escape(posters),
            preloads="\n".join(
                f'<link rel="modulepreload" href="site/{release}/{name}">'
                for name in found
                if name.endswith(".js")
            ),
        )
        parts = urlsplit(posters)
        return cls(
            release=release,
            document=File(document.encode(), CONTENT_TYPES[".html"]),
            files=found,
            posters_origin=f"{parts.scheme}://{parts.netloc}",
        )

    def file(self, release: str, name: str) -> File | None:
        """A file of this release; None where there is none of that name, or it is another's."""
        return self.files.get(name) if release == self.release else None
