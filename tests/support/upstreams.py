"""The stand-ins of the upstreams as a running server, for any test that needs them on the wire."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from marquee_cli.upstreams.credentials import DEMONSTRATION

CLI = Path(__file__).parents[2] / "cli"
START_SECONDS = 20
END_SECONDS = 10


@dataclass(frozen=True)
class Upstreams:
    """Stand-ins at `url`, their base URLs, and what a test may do to them."""

    url: str
    _client: httpx.Client = field(repr=False)

    @property
    def tmdb_url(self) -> str:
        return f"{self.url}/tmdb/3"

    @property
    def x_url(self) -> str:
        return f"{self.url}/x/2"

    @property
    def bluesky_url(self) -> str:
        return f"{self.url}/bluesky/xrpc"

    @property
    def mastodon_url(self) -> str:
        return f"{self.url}/mastodon/api/v1"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/openai/v1"

    def fault(self, upstream: str, kind: str, **options: Any) -> None:
        """Let calls fail: `kind` is status, delay, reset, cut, malformed or lost.

        Options: `route` (a glob on the path behind the upstream's prefix, such as `/3/movie/*`),
        `count` (the next so many calls; 1 by default) or `every` (each so-manieth), and for status
        `status`, `body`, `headers`, `after_effect`, for delay `seconds`, `after_effect`.
        """
        self._control("POST", "/faults", {"upstream": upstream, "kind": kind, **options})

    def calls(self, upstream: str | None = None) -> list[dict[str, Any]]:
        """The calls since the last reset: time, upstream, method, path, query, status, fault."""
        query = f"?upstream={upstream}" if upstream else ""
        calls: list[dict[str, Any]] = self._control("GET", f"/calls{query}").json()
        return calls

    def limit(self, endpoint: str, calls: int, seconds: float) -> None:
        """Give an endpoint (`x/tweets/search/recent`, `tmdb` …) a new window."""
        self._control("POST", "/limits", {"endpoint": endpoint, "calls": calls, "seconds": seconds})

    def texts(self, tmdb_id: int, source: str, count: int) -> None:
        """Let a film have at least `count` texts at `tmdb`, `x`, `bluesky` or `mastodon`."""
        self._control("POST", "/texts", {"tmdb_id": tmdb_id, "source": source, "count": count})

    def posts(self, account: str | None = None) -> list[dict[str, Any]]:
        """What was posted on X through the API: `id, account, text, shown, created_at` …"""
        query = f"?account={account}" if account else ""
        posts: list[dict[str, Any]] = self._control("GET", f"/posts{query}").json()
        return posts

    def tweet(self, account: str, text: str, **options: Any) -> str:
        """Put a tweet on a timeline (`lang`, `reply_to`, `quote`, `retweet`), or `count` with a
        number each; returns the id of the last."""
        added = self._control("POST", "/tweets", {"account": account, "text": text, **options})
        return str(added.json()["id"])

    def x(self, **options: Any) -> None:
        """Set `lag_seconds`, `ahead_seconds` (X's clock), `credits`; `expire`, `revoke` tokens."""
        self._control("POST", "/x", options)

    def x_tokens(self, account: str) -> dict[str, str]:
        """What the user of the account holds: OAuth 1.0a and OAuth 2."""
        tokens: dict[str, str] = self._control("GET", f"/tokens/{account}").json()
        return tokens

    def model(self, mode: str, **options: Any) -> None:
        """How the language model answers: polite, obey, nonsense, too_long, say (with `text`, or
        `answers` by the tweet's text), refusal, incomplete, not_json, insufficient_quota; for
        `count` answers, if given."""
        self._control("POST", "/openai", {"mode": mode, **options})

    def reset(self) -> None:
        """No faults, no calls, fresh windows, the texts of the data only."""
        self._control("POST", "/reset")

    def _control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = self._client.request(method, f"{self.url}/_control{path}", json=body)
        assert answer.is_success, answer.text
        return answer


@contextmanager
def running_upstreams(folder: Path, *, epoch: date | None = None) -> Iterator[Upstreams]:
    """Stand-ins on a free port, with the demonstration credentials, until the block ends.

    `folder` takes the port file; `epoch` is the day whose midnight ends the posts.
    """
    port_file = folder / "upstreams.port"
    command = [sys.executable, "-m", "marquee_cli.upstreams", "--port-file", str(port_file)]
    if epoch is not None:
        command += ["--epoch", epoch.isoformat()]
    environment = {**os.environ, "PYTHONPATH": str(CLI)}
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own module
    try:
        url = f"http://127.0.0.1:{_port(process, port_file)}"
        with httpx.Client(timeout=START_SECONDS) as client:
            yield Upstreams(url, client)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        port_file.unlink(missing_ok=True)


def tmdb_headers() -> dict[str, str]:
    return {"authorization": f"Bearer {DEMONSTRATION.tmdb_token}"}


def x_headers() -> dict[str, str]:
    return {"authorization": f"Bearer {DEMONSTRATION.x_bearer_token}"}


def openai_headers() -> dict[str, str]:
    return {"authorization": f"Bearer {DEMONSTRATION.openai_api_key}"}


def _port(process: "subprocess.Popen[bytes]", port_file: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not port_file.exists():
        assert process.poll() is None, f"the stand-ins ended with {process.returncode}"
        assert time.monotonic() < deadline, "the stand-ins did not start"
        time.sleep(0.02)
    return int(port_file.read_text())
