"""Upstreams that fail: recorded call by call through the gateway, and replayed in virtual time.

`record` asks an upstream that fails by a seeded pattern, four times a second, through the gateway's
own `call`, and writes down what came of it. `replay` lets executions arrive at such a trace, each
calling and retrying by one strategy, behind the gateway's own breaker: what a call meets is what
the recorder met at that time. So all strategies face the same faults and the same arrivals.

Run as a module it records the traces anew.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from math import ceil, inf
from pathlib import Path
from random import Random
from typing import Any

import httpx

from marquee import errors
from marquee.clock import now
from marquee.errors import BreakerOpen, UpstreamError
from marquee.gateway.admission import Gate
from marquee.gateway.callers import Caller
from marquee.gateway.calls import Upstream, call
from marquee.gateway.quota import Policies
from marquee.gateway.retries import MOST_RETRIES, Do, Retries, met
from marquee.gateway.rows import Item, Key, Read, Swap
from marquee.settings import HTTP_TIMEOUT_SECONDS
from tests.support.coordination_table import MemoryRows
from tests.support.virtual_time import VirtualTime

FILE = Path(__file__).parents[1] / "data" / "fault_traces.json"

PROBES_A_SECOND = 4
TRACE_SECONDS = 1200

ROUNDS = 2
"""How often in a row a trace is replayed."""

ANSWER_SECONDS = 0.2
REFUSAL_SECONDS = 0.05
INVOKE_SECONDS = 0.1
"""What it takes Step Functions to retry, or to leave a Wait state and call again."""

FIXED_SECONDS = (2.0, 4.0, 8.0)
"""The delays of a definition's Retry."""

ENDPOINT = "search"

type Fails = Callable[[float], httpx.Response | None]
"""From the seconds since the beginning: how a call is refused, None where it is answered.

Raises what httpx raises where there is no answer.
"""


@dataclass(frozen=True)
class Pattern:
    """How an upstream fails, and how often executions come to it, on average."""

    fails: Callable[[Random], Fails]
    seconds_between: float
    share: float = 1.0
    """Of the executions that ask for what fails; to the others it is well."""


def _seeded(name: str) -> Random:
    return Random(name)  # noqa: S311 - no secret is made of it


def _refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={}, headers=headers)


def _reset() -> httpx.Response:
    raise httpx.ReadError("the connection was reset")


def _spells(
    random: Random, *, apart: tuple[float, float], lasting: tuple[float, float]
) -> list[tuple[float, float]]:
    """When faults begin and end, the first of them after a while."""
    spells, at = [], random.uniform(*apart)
    while at < TRACE_SECONDS:
        ends = at + random.uniform(*lasting)
        spells.append((at, ends))
        at = ends + random.uniform(*apart)
    return spells


def _during(spells: list[tuple[float, float]], fails: Callable[[float], httpx.Response]) -> Fails:
    """Fails while a spell lasts; ``fails`` is handed the seconds that it lasts on."""

    def answer(at: float) -> httpx.Response | None:
        left = next((ends - at for begins, ends in spells if begins <= at < ends), None)
        return None if left is None else fails(left)

    return answer


def _glitches(random: Random) -> Fails:
    """One call in six fails for itself: a connection that was reset."""
    return lambda at: _reset() if random.random() < 1 / 6 else None


def _blips(random: Random) -> Fails:
    """500 for half a second to three."""
    spells = _spells(random, apart=(5, 15), lasting=(0.5, 3))
    return _during(spells, lambda left: _refused(500))


def _busy(random: Random) -> Fails:
    """503 for some seconds, which says for how many."""
    spells = _spells(random, apart=(10, 40), lasting=(2, 12))
    return _during(spells, lambda left: _refused(503, **{"retry-after": str(ceil(left))}))


def _limited(random: Random) -> Fails:
    """429 until a window opens, of which the answer tells."""
    spells = _spells(random, apart=(10, 40), lasting=(1, 30))
    return _during(spells, lambda left: _refused(429, **{"retry-after": str(ceil(left))}))


def _outages(random: Random) -> Fails:
    """502 for minutes."""
    spells = _spells(random, apart=(60, 240), lasting=(60, 300))
    return _during(spells, lambda left: _refused(502))


def _flapping(random: Random) -> Fails:
    """Up and down every few seconds."""
    spells = _spells(random, apart=(1, 6), lasting=(1, 6))
    return _during(spells, lambda left: _refused(503))


def _hanging(random: Random) -> Fails:
    """No answer within the deadline, for some seconds."""

    def hang(left: float) -> httpx.Response:
        raise httpx.ReadTimeout("no answer")

    return _during(_spells(random, apart=(30, 60), lasting=(3, 20)), hang)


def _broken(random: Random) -> Fails:
    """An answer that is no JSON, whenever one asks."""
    return lambda at: httpx.Response(200, text="<html>")


def _mixed(random: Random) -> Fails:
    """500 for moments, and at times for minutes."""
    short = _spells(random, apart=(5, 20), lasting=(0.25, 3))
    long = _spells(random, apart=(200, 400), lasting=(60, 150))
    return _during(sorted(short + long), lambda left: _refused(500))


PATTERNS: Mapping[str, Pattern] = {
    "single resets": Pattern(_glitches, 5),
    "blips": Pattern(_blips, 6),
    "busy, and says until when": Pattern(_busy, 8),
    "rate limit": Pattern(_limited, 10),
    "outages": Pattern(_outages, 20),
    "flapping": Pattern(_flapping, 10),
    "hanging": Pattern(_hanging, 10),
    "one film broken for good": Pattern(_broken, 20, share=0.3),
    "blips and outages": Pattern(_mixed, 8),
}


@dataclass(frozen=True)
class Met:
    """What a call met: the class of its error (empty: an answer), and what that said."""

    error: str = ""
    status: int | None = None
    retry_after: int | None = None
    """Seconds."""

    @property
    def seconds(self) -> float:
        """What the call took."""
        if not self.error:
            return ANSWER_SECONDS
        return HTTP_TIMEOUT_SECONDS if self.error == "UpstreamTimeout" else REFUSAL_SECONDS


type Trace = list[Met]
"""What the recorder met, probe by probe."""


def record(name: str, seconds: int = TRACE_SECONDS) -> Trace:
    """The trace of a pattern, or its beginning."""
    fails, at = PATTERNS[name].fails(_seeded(name)), 0.0

    def respond(request: httpx.Request) -> httpx.Response:
        return fails(at) or httpx.Response(200, json={})

    trace: Trace = []
    upstream = Upstream(name, "https://upstream.test")
    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        for probe in range(seconds * PROBES_A_SECOND):
            at = probe / PROBES_A_SECOND
            try:
                call(upstream, ENDPOINT, "/", client=client)
                trace.append(Met())
            except UpstreamError as error:
                ahead = error.retry_at - now() if error.retry_at else None
                told = round(ahead.total_seconds()) if ahead else None
                trace.append(Met(type(error).__name__, error.status, told))
    return trace


def as_json(trace: Trace) -> list[Any]:
    """A trace as the file holds it: how often in a row, and what."""
    runs: list[list[Any]] = []
    for one in trace:
        what = [one.error, one.status, one.retry_after] if one.error else []
        if runs and runs[-1][1:] == what:
            runs[-1][0] += 1
        else:
            runs.append([1, *what])
    return runs


def load() -> dict[str, Trace]:
    """The recorded traces by the names of their patterns."""
    recorded = json.loads(FILE.read_text())
    return {
        name: [Met(*what) for times, *what in runs for _ in range(times)]
        for name, runs in recorded.items()
    }


@dataclass
class Request:
    """What became of one execution's call."""

    asks_for_what_fails: bool
    waited: float = 0.0
    """Seconds from its first failure to its end; 0 where there was none."""
    calls: int = 0
    probe: int = -1
    """Of the recorder, which met what the last call did."""
    failed: bool = False
    answered: bool = False


@dataclass
class Replayed:
    """What became of all that arrived at a trace."""

    requests: list[Request] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    """Of the strategy itself."""

    @property
    def wasted(self) -> int:
        """Retries that failed."""
        return sum(one.calls - 1 - one.answered for one in self.requests if one.calls > 1)

    @property
    def served(self) -> int:
        """Those that got an answer."""
        return sum(one.answered for one in self.requests)

    @property
    def seconds_to_success(self) -> float:
        """From a call that fails to the answer, on average over all that came.

        Whoever goes without counts WITHOUT_SECONDS: else a strategy would win by serving only those
        whom it is easy to serve.
        """
        waits = [one.waited if one.answered else WITHOUT_SECONDS for one in self.requests]
        return sum(waits) / len(waits)


WITHOUT_SECONDS = 30.0
"""The interval at which an open breaker looks again: about when it can be had at the earliest."""

TELLING = frozenset({"busy, and says until when", "rate limit"})
"""Patterns in which the upstream says when: there, nothing is to be learned."""


@dataclass(frozen=True)
class Result:
    """What one strategy makes of the traces."""

    by_pattern: Mapping[str, Replayed]

    @property
    def _all(self) -> Replayed:
        return Replayed([one for each in self.by_pattern.values() for one in each.requests])

    @property
    def seconds_to_success(self) -> float:
        """See Replayed."""
        return self._all.seconds_to_success

    @property
    def wasted(self) -> int:
        """See Replayed."""
        return self._all.wasted

    @property
    def served(self) -> int:
        """See Replayed."""
        return self._all.served

    def untold(self) -> "Result":
        """The same without the upstreams that say when."""
        return Result({name: of for name, of in self.by_pattern.items() if name not in TELLING})


@dataclass(frozen=True)
class Comparison:
    """The strategies on the same traces: ours, and a definition's with and without jitter."""

    adaptive: Result
    with_jitter: Result
    without_jitter: Result


type Strategy = Callable[["Replay", Request], None]


class TimedRows(MemoryRows):
    """Rows in a dictionary, at the time that the actors have made."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def get(self, key: Key) -> Read:
        self.at = self._time.now()
        return super().get(key)

    def swap(self, key: Key, expected: int | None, item: Item) -> Swap:
        self.at = self._time.now()
        return super().swap(key, expected, item)


class Replay:
    """Executions that arrive at a trace and retry by one strategy."""

    def __init__(self, name: str, trace: Trace, seed: int = 1) -> None:
        self.name = name
        self.time = VirtualTime()
        self.random = _seeded(f"{name} {seed}")
        self._trace = trace
        self._gate = Gate(TimedRows(self.time), Policies(), (), "test", self.time.now)
        self.learned = TimedRows(self.time)
        self.retries = Retries(self.learned, Policies(), self.random.random)

    def run(self, strategy: Strategy) -> Replayed:
        arrivals, at, pattern = _seeded(self.name), 0.0, PATTERNS[self.name]
        done = Replayed()

        def arrive(request: Request) -> Callable[[], None]:
            return lambda: strategy(self, request)

        while (
            at := at + arrivals.expovariate(1 / pattern.seconds_between)
        ) < ROUNDS * TRACE_SECONDS:
            request = Request(asks_for_what_fails=arrivals.random() < pattern.share)
            done.requests.append(request)
            self.time.start(arrive(request), after=at)
        with _quietly():
            self.time.run()
        done.reads, done.writes = self.learned.reads, self.learned.writes
        return done

    def call(self, request: Request) -> None:
        """One call; raises BreakerOpen, or the error that the recorder met."""
        caller = Caller("execution")
        with self._gate.admitted(caller, self.name, ENDPOINT):
            request.calls += 1
            # What failed for itself is not met twice.
            request.probe = max(request.probe + 1, int(self.time.seconds * PROBES_A_SECOND))
            met_here = self._trace[request.probe % len(self._trace)]
            what = met_here if request.asks_for_what_fails else Met()
            self.time.sleep(what.seconds)
            if what.error:
                raise self._error(what)

    def _error(self, what: Met) -> UpstreamError:
        told = self.time.now() + timedelta(seconds=what.retry_after) if what.retry_after else None
        given: dict[str, Any] = {"provider": self.name, "endpoint": ENDPOINT, "retry_at": told}
        if what.error != "RateLimited":
            given["status"] = what.status
        error: UpstreamError = getattr(errors, what.error)("recorded", **given)
        return error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the metric and the line of every breaker that opens."""
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def fixed(*, jitter: bool) -> Strategy:
    """Retry as a definition does: after 2, 4 and 8 s, or after up to as long."""

    def strategy(replay: Replay, request: Request) -> None:
        failed_at = 0.0
        for delay in (*FIXED_SECONDS, inf):
            try:
                replay.call(request)
                request.answered = True
            except BreakerOpen:
                pass
            except UpstreamError:
                failed_at, request.failed = failed_at or replay.time.seconds, True
                if delay < inf:
                    drawn = replay.random.random() if jitter else 1.0
                    replay.time.sleep(delay * drawn + INVOKE_SECONDS)
                    continue
            request.waited = replay.time.seconds - failed_at if failed_at else 0.0
            return

    return strategy


def adaptive(replay: Replay, request: Request) -> None:
    """Retry as a step of ours does."""
    time, fault, failed_at = replay.time, None, 0.0
    tries_of_definition = 0
    for attempt in range(1, MOST_RETRIES + 2):
        began = time.now()
        try:
            replay.call(request)
            request.answered = True
            if fault:
                replay.retries.learn(fault, fault.age(began), now=time.now())
        except BreakerOpen:
            if fault:
                replay.retries.learn(fault, inf, now=time.now())
        except UpstreamError as error:
            failed_at, request.failed = failed_at or time.seconds, True
            fault = met(error, fault, began=began, now=time.now())
            verdict = replay.retries.decide(error, fault, attempt, now=time.now())
            if verdict.do is Do.GIVE_UP:
                replay.retries.learn(fault, inf, now=time.now())
            elif verdict.at:
                tries_of_definition = 0
                time.sleep(max(0.0, time.seconds_until(verdict.at)) + 2 * INVOKE_SECONDS)
                continue
            else:
                delay = FIXED_SECONDS[tries_of_definition]
                tries_of_definition += 1
                time.sleep(delay * replay.random.random() + INVOKE_SECONDS)
                continue
        break
    request.waited = time.seconds - failed_at if failed_at else 0.0


def compare(seed: int = 1) -> Comparison:
    """All strategies on all traces."""
    traces = load()

    def result(strategy: Strategy) -> Result:
        return Result(
            {name: Replay(name, trace, seed).run(strategy) for name, trace in traces.items()}
        )

    return Comparison(result(adaptive), result(fixed(jitter=True)), result(fixed(jitter=False)))


def main() -> None:
    """Record all traces into the file."""
    lines = (f"{json.dumps(name)}: {json.dumps(as_json(record(name)))}" for name in PATTERNS)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
