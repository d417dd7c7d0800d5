"""The emulator's process: MiniStack on loopback, with IAM enforced and its state kept on disk."""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from marquee_cli.cloud.errors import CloudError, with_tail
from marquee_cli.cloud.home import Home, Service
from marquee_cli.cloud.ports import LOOPBACK, choose_port, is_listening
from marquee_cli.cloud.processes import MARKER, PART, end, launch, marked

PART_NAME = "emulator"
LOG_NAME = "emulator.log"
DEFAULT_PORT = 4566
"""Where AWS emulators listen by custom, so other tools find it without being told."""

REGION = "us-east-1"
ROOT_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
}
"""The emulator's own root account; they open nothing outside this machine."""

NO_FOREIGN_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Keeps the user's own AWS profiles out of it, and the stack out of their account."""

LAUNCHER = Path(__file__).with_name("queueing_emulator.py")

UP_WITHIN_SECONDS = 60.0
"""It takes 3 seconds on an idle laptop and several times that on a busy one."""
POLL_SECONDS = 0.1
HEALTH_TIMEOUT_SECONDS = 5.0
SAVED_WITHIN_SECONDS = 30.0
"""It writes its state to disk when asked to end."""
WORKERS_ENDED_WITHIN_SECONDS = 3.0

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""What the emulator and its Lambda workers may know of the user's environment, beside proxies."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
NOT_PROXIED = "localhost,127.0.0.1,::1"


def client_environment(url: str) -> dict[str, str]:
    """What makes boto3, the AWS CLI and SAM talk to the emulator at `url` and to nobody else."""
    return {**ROOT_CREDENTIALS, **NO_FOREIGN_AWS, "AWS_ENDPOINT_URL": url}


def service_environment(home: Home, part: str) -> dict[str, str]:
    """The little that a process of the cloud inherits, and the mark by which it is known again."""
    proxies = {name for upper in PROXIES for name in (upper, upper.lower())}
    return {
        **{name: os.environ[name] for name in (*INHERITED, *proxies) if name in os.environ},
        **not_proxied(os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))),
        MARKER: str(home.folder),
        PART: part,
        "TMPDIR": str(home.scratch),
    }


def not_proxied(given: str) -> dict[str, str]:
    """NO_PROXY in both spellings, with loopback in it."""
    value = ",".join(filter(None, [given, NOT_PROXIED]))
    return {"NO_PROXY": value, "no_proxy": value}


def start(
    home: Home,
    command: Sequence[str | Path],
    preferred_ports: Iterable[int],
    within_seconds: float = UP_WITHIN_SECONDS,
) -> Service:
    """Start the emulator by a command and wait until it is healthy.

    Raises CloudError with the end of its log where it is not within that time.
    """
    if not Path(command[0]).exists():
        raise CloudError(f"{command[0]} is missing: `make run` installs it.")
    port = choose_port(preferred_ports)
    url = f"http://{LOOPBACK}:{port}"
    log = home.logs / LOG_NAME
    for folder in (home.scratch, home.state, home.objects):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **service_environment(home, PART_NAME),
        **client_environment(url),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_EDITION": _edition(home),
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.objects),
        # Services that listen on ports of their own, and Docker: nothing here needs them.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{home.scratch}/no-docker",
        # A burst leaves workers of some 60 MB each; one per function stays warm for ever.
        "LAMBDA_WARM_TTL_SECONDS": "180",
    }
    home.unsaved.touch()
    process = launch(command, environment, home.folder, log)
    deadline = time.monotonic() + within_seconds
    while not is_healthy(home, url):
        if not process.is_alive():
            if is_listening(port):  # another cloud took it since we looked
                return start(home, command, [], within_seconds)
            raise with_tail("The emulator ended while it started.", log)
        if time.monotonic() > deadline:
            end(marked(home.folder, PART_NAME), WORKERS_ENDED_WITHIN_SECONDS)
            raise with_tail(f"The emulator was not healthy in {within_seconds:.0f} s.", log)
        time.sleep(POLL_SECONDS)
    return Service(process=process, port=port, since=datetime.now(UTC))


def is_healthy(home: Home, url: str) -> bool:
    """Whether the emulator of this home, and not another's, answers at the address."""
    try:
        answer = httpx.get(
            f"{url}/_ministack/health", timeout=HEALTH_TIMEOUT_SECONDS, trust_env=False
        )
    except httpx.HTTPError:
        return False
    return answer.is_success and _edition(home) in answer.text


def _edition(home: Home) -> str:
    """What the emulator calls itself in its health, so that it is not taken for another's."""
    return f"marquee-{hashlib.sha256(os.fsencode(home.folder)).hexdigest()}"


def stop(home: Home, service: Service | None) -> None:
    """End the emulator, which saves its state, and then the Lambda workers that outlive it."""
    if service and service.process.is_alive() and end([service.process], SAVED_WITHIN_SECONDS):
        home.unsaved.unlink(missing_ok=True)
    end(marked(home.folder, PART_NAME), WORKERS_ENDED_WITHIN_SECONDS)
