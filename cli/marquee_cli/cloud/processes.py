"""Processes that outlive the command that started them: how to know them again and end them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from marquee_cli.cloud.errors import CloudError

MARKER = "MARQUEE_CLOUD"
"""Every process of a cloud carries its home in this variable, and so do the children it starts."""

PART = "MARQUEE_CLOUD_PART"
"""What a process is to its cloud: "emulator" (with its Lambda workers), "stand-ins" or "sam"."""

POLL_SECONDS = 0.05
KILLED_WITHIN_SECONDS = 5.0
"""The kernel ends a killed process at once unless it waits for a disk."""

_PROC = Path("/proc")
_PS_ENVIRONMENTS = ("-axEww", "-o", "pid=,command=")
_LAUNCH = '"$@" >>"$MARQUEE_LOG" 2>&1 </dev/null & echo $!'
"""The shell ends at once, so the process belongs to init and leaves no zombie of ours."""


class ProcessId(BaseModel):
    """A process, told from a later one with the same pid by when it was started."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Whether this very process runs; one that has ended but was not reaped does not."""
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it is still the one that was meant."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def launch(
    command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, log: Path
) -> ProcessId:
    """Start a process in a session of its own that prints to `log`.

    The log of the process before it stays beside that, with `.1` behind its name.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    launched = subprocess.run(  # noqa: S603 - the commands are the cloud's own
        ["/bin/sh", "-c", _LAUNCH, "sh", *map(str, command)],
        env={**environment, "MARQUEE_LOG": str(log)},
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        start_new_session=True,
        timeout=KILLED_WITHIN_SECONDS,
    )
    pid = int(launched.stdout)
    return ProcessId(pid=pid, started=_started(pid) or "ended at once")


def marked(home: Path, part: str | None = None) -> list[ProcessId]:
    """Every running process of the cloud at `home`, or of one part of it; never this one."""
    wanted = {f"{MARKER}={home}"} | ({f"{PART}={part}"} if part else set())
    pids = _pids_by_proc(wanted) if _PROC.is_dir() else pids_in(_ps(*_PS_ENVIRONMENTS), wanted)
    return [
        ProcessId(pid=pid, started=started)
        for pid in pids
        if pid != os.getpid() and (started := _started(pid))
    ]


def end(processes: Iterable[ProcessId], grace_seconds: float) -> bool:
    """Ask processes to end, and kill those that have not after `grace_seconds`.

    Whether none had to be killed. Raises CloudError where one cannot be.
    """
    left = list(processes)
    killed = False
    for number, seconds in (
        (signal.SIGTERM, grace_seconds),
        (signal.SIGKILL, KILLED_WITHIN_SECONDS),
    ):
        killed = bool(left) and number is signal.SIGKILL
        for process in left:
            process.send(number)
        deadline = time.monotonic() + seconds
        while (left := [p for p in left if p.is_alive()]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise CloudError(f"These processes could not be ended: {pids}.")
    return not killed


def _started(pid: int) -> str | None:
    """When a process was started, in the system's own words; None for one that has ended."""
    if _PROC.is_dir():
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # proc(5): the name may hold anything; after its ")" come the state and, 19 fields on,
        # the start in clock ticks since the boot, which the boot's id makes unique.
        fields = stat.rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    state, _, started = _ps("-o", "state=,lstart=", "-p", str(pid)).strip().partition(" ")
    return started.strip() if state and not state.startswith("Z") else None


def _pids_by_proc(wanted: Set[str]) -> Iterator[int]:
    """Linux: the processes that we may read whose environment has every wanted entry."""
    entries = {os.fsencode(entry) for entry in wanted}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # another user's, or just ended
                continue
            if entries.issubset(environment):
                yield int(folder.name)


def pids_in(listing: str, wanted: Set[str]) -> Iterator[int]:
    """macOS: the processes of `ps -E`, which prints the environment behind the command."""
    for line in listing.splitlines():
        pid, _, rest = line.strip().partition(" ")
        if all(f" {entry} " in f" {rest} " for entry in wanted):
            yield int(pid)


def _ps(*arguments: str) -> str:
    if sys.platform != "darwin":
        raise CloudError("Marquee's laptop cloud needs Linux or macOS.")
    command = ["/bin/ps", *arguments]
    return subprocess.run(  # noqa: S603 - ps, with arguments of our own
        command, capture_output=True, text=True, check=False, timeout=KILLED_WITHIN_SECONDS
    ).stdout
