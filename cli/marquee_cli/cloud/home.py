"""The folder that a laptop cloud lives in, and the one file that says what runs."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.processes import ProcessId

LOCKED_FOR_SECONDS = 900.0
"""Longer than the longest `up`: a first build on a slow line and a deployment."""
LOCK_POLL_SECONDS = 0.2


class Service(BaseModel):
    """A process of the cloud that listens on loopback."""

    model_config = ConfigDict(frozen=True)

    process: ProcessId
    port: int
    since: datetime

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"


class Api(BaseModel):
    """Where the deployed REST API answers, and the key that it asks for."""

    model_config = ConfigDict(frozen=True)

    id: str
    url: str
    key: str

    @property
    def page_url(self) -> str:
        """Where the page is; the key is behind the hash, which reaches no server and no log."""
        return f"{self.url}/#key={self.key}"


class Record(BaseModel):
    """What a cloud last knew of itself; ports stay in it after `down`, to be taken again."""

    model_config = ConfigDict(frozen=True)

    emulator: Service | None = None
    stand_ins: Service | None = None
    upstreams: dict[str, str] = {}
    stack_name: str = ""
    outputs: dict[str, str] = {}
    api: Api | None = None


class Home:
    """The places in a cloud's folder, its record and its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.state = self.folder / "state"
        self.objects = self.folder / "objects"
        self.scratch = self.folder / "scratch"
        self.logs = self.folder / "logs"
        self.build = self.folder / "sam" / "build"
        self.build_cache = self.folder / "sam" / "cache"
        self.fitted = self.folder / "fitted"
        self.layers = self.folder / "layers"
        self.record_file = self.folder / "cloud.json"
        self.unsaved = self.folder / "unsaved"
        """Is there while an emulator runs, and after one that ended without saving its state."""
        self._lock_file = self.folder / "lock"

    def read(self) -> Record:
        """The record, or an empty one where there is none that can be read."""
        try:
            return Record.model_validate_json(self.record_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Record()

    def write(self, record: Record) -> None:
        """Replace the record as a whole, readable by its owner only: it holds the API key."""
        unfinished = self.record_file.with_suffix(".part")
        unfinished.touch(mode=0o600)
        unfinished.write_text(record.model_dump_json(indent=2) + "\n")
        unfinished.replace(self.record_file)

    @contextmanager
    def locked(self, seconds: float = LOCKED_FOR_SECONDS) -> Iterator[None]:
        """Keep every other `up` and `down` of this home waiting; raises CloudError in the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + seconds
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise CloudError(
                            f"Another marquee command has held {self._lock_file}"
                            f" for {seconds:.0f} seconds."
                        ) from None
                    time.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)
