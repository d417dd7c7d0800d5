"""Runs of the tweet pipeline in this process: what ran is counted, then priced per posted tweet."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from marquee import aws
from marquee.observability import logger
from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecord
from tests.bench.meter import Charge
from tests.bench.prices import Invocation, Usage
from tests.bench.report import Line, at_most
from tests.bench.searches import log_bytes
from tests.bench.units import counted
from tests.support.state_machines import Handler, Json, run
from tests.support.tweet_pipeline import OWN, TweetPipelines, tweet_pipelines
from tests.support.upstreams import Upstreams, running_upstreams

COUNTS = (1, 10, 100)
"""Tweets of a run; 100 is the most that a run takes."""

NAME = "run"
DEADLINE_SECONDS = 300
"""For the largest run on a busy machine."""

TRANSITIONS = 9 + 3
"""Of a run that posts one tweet, without an approval."""

X_CALLS = 4
"""The user's id, the timeline, whose tokens these are, the post."""

OPENAI_CALLS = 2
"""To classify a tweet and to polish it."""

AWS_USD = 0.001
"""For a posted tweet; X takes $0.015 for it."""

ACCOUNTING_SHARE = 0.05
"""Of a run's price, for counting what it did."""

TOKENS = ("input_tokens", "output_tokens")
X_STATES = ("DownloadTweets", "PublishTweet", "ReconcilePost")

LINEAR = 1.1
"""Ten times the tweets may cost no more than this for each."""

MEMORY_MB = 512
"""The template's MemorySize of every function of a state."""

EVENTS_OF_A_RUN = 2
"""Beside one for each post: its tweets are stored, and it has ended."""

PUBLISHING = Invocation(100, 256)
"""Of PublishEvents on a laptop. At most one for each event: those of a second share one."""


@dataclass(frozen=True)
class Counted:
    """A run, and all that ran for it."""

    posted: int
    usage: Usage
    calls: Counter[str]
    """By upstream."""
    x_usd: float
    openai_usd: float
    units: Counter[str]
    """Write units by table."""
    accounting: Usage
    """The part of it that only counts what was done."""


PRICES: dict[str, Callable[[Counted], float]] = {
    "AWS's (without Lambda's time)": lambda one: replace(one.usage, invocations=()).usd,
    "X's": lambda one: one.x_usd,
    "OpenAI's": lambda one: one.openai_usd,
}


def lines() -> Iterator[Line]:
    """What each posted tweet takes, in runs of 1, 10 and 100; what is fixed is shared by all."""
    runs = []
    with TemporaryDirectory(prefix="marquee-bench-") as folder:
        day = datetime.now(UTC).date()
        with running_upstreams(Path(folder), epoch=day) as upstreams:
            counts_of(upstreams, 1)  # the functions are warm after it
            for count in COUNTS:
                runs.append(counts_of(upstreams, count))
                yield from _lines_of(runs[-1], count)
    ten, hundred = runs[-2:]
    for whose, price in PRICES.items():
        ratio = (price(hundred) / hundred.posted) / (price(ten) / ten.posted)
        yield at_most(f"{whose} price of a tweet, 100 against 10", ratio, LINEAR, "{:.3f} x")


def _lines_of(one: Counted, count: int) -> Iterator[Line]:
    usage, posted = one.usage, one.posted
    what = f"run of {count}"
    yield Line(f"{what}: posted", f"{posted}", f"= {count}", posted == count)
    each = max(1, posted)
    if count == 1:
        yield at_most(f"{what}: transitions", usage.transitions, TRANSITIONS)
        yield at_most(f"{what}: X calls", one.calls["x"], X_CALLS)
    else:
        yield Line(f"{what}: transitions a tweet", f"{usage.transitions / each:g}")
        yield Line(f"{what}: X calls a tweet", f"{one.calls['x'] / each:g}")
    yield at_most(f"{what}: OpenAI calls a tweet", one.calls["openai"] / each, OPENAI_CALLS)
    per_tweet = f"{usage.read_units / each:g} R + {usage.write_units / each:g} W"
    yield Line(f"{what}: DynamoDB units a tweet", per_tweet)
    by_table = ", ".join(f"{table} {units / each:g}" for table, units in one.units.most_common())
    yield Line("  written by table", by_table)
    ms = sum(call.ms for call in usage.invocations)
    invocations = len(usage.invocations)
    yield Line(f"{what}: Lambda a tweet, {invocations} invocations", f"{ms / each:,.0f} ms")
    yield at_most(f"{what}: AWS list price a tweet", usage.usd / each, AWS_USD, "${:.7f}")
    share = one.accounting.usd / usage.usd
    yield at_most(f"{what}: of this, the accounting", share, ACCOUNTING_SHARE, "{:.1%}")
    yield Line(f"{what}: X charges a tweet", f"${one.x_usd / each:.4f}")
    yield Line(f"{what}: OpenAI charges a tweet", f"${one.openai_usd / each:.7f}")


def counts_of(upstreams: Upstreams, count: int) -> Counted:
    """Post so many tweets of the account's own timeline, in one run on an empty installation."""
    upstreams.reset()
    for number in range(count):
        upstreams.tweet(OWN, f"Just watched film {number} again. The pacing is perfect, 8/10")
    with tweet_pipelines(upstreams, max_posts=count) as pipelines:
        before = len(pipelines.posted())
        watched = Watched()
        handlers = {arn: watched.around(own) for arn, own in pipelines.handlers.items()}
        with counted(aws.dynamodb().meta.client) as units, _quiet() as metrics:
            done = run(
                pipelines.definition(),
                handlers,
                {"count": count},
                name=NAME,
                deadline=DEADLINE_SECONDS,
                clock=pipelines.clock,
            )
            charges = units.take()
        if done.status != "SUCCEEDED":
            raise RuntimeError(f"the run of {count} ended {done.status}: {done.cause}")
        counting = log_bytes(metrics.getvalue().splitlines())
        return _priced(pipelines, done.transitions, watched, charges, before, counting)


class Watched:
    """How long the functions took, and the tokens that their outputs count."""

    def __init__(self) -> None:
        self.invocations: list[Invocation] = []
        self.tokens: Counter[str] = Counter()

    def around(self, handler: Handler) -> Handler:
        """The handler, watched."""

        def handle(event: Json, context: Any) -> Json:
            began = time.perf_counter()
            output = handler(event, context)
            ms = (time.perf_counter() - began) * 1000
            self.invocations.append(Invocation(ms, MEMORY_MB))
            counts = output.get("counts", {})
            self.tokens.update({kind: counts.get(kind, 0) for kind in TOKENS})
            return output

        return handle


def _priced(
    pipelines: TweetPipelines,
    transitions: int,
    watched: Watched,
    charges: list[Charge],
    posted_before: int,
    counting_bytes: int,
) -> Counted:
    record, gateway = pipelines.record(NAME), pipelines.settings.gateway_table
    posted = len(pipelines.posted()) - posted_before
    events = posted + EVENTS_OF_A_RUN
    written: Counter[str] = Counter()
    for charge in charges:
        written[charge.table] += int(charge.write_units)
    usage = Usage(
        transitions=transitions,
        read_units=sum(charge.read_units for charge in charges),
        write_units=sum(charge.write_units for charge in charges),
        invocations=(*watched.invocations, *[PUBLISHING] * events),
        events=events,
        log_bytes=counting_bytes,
    )
    return Counted(
        posted=posted,
        usage=usage,
        calls=Counter(call["upstream"] for call in pipelines.upstreams.calls()),
        x_usd=_x_usd(record),
        openai_usd=_openai_usd(pipelines.settings, watched.tokens),
        units=+written,
        accounting=Usage(
            write_units=sum(
                charge.write_units
                for charge in charges
                if (charge.table, charge.operation) == (gateway, "UpdateItem")
            ),
            log_bytes=counting_bytes,
        ),
    )


def _x_usd(record: WorkflowRecord) -> float:
    """What X charged for the steps of a run, in USD."""
    steps = (step for name, step in record.steps.items() if name.partition("/")[0] in X_STATES)
    return sum(float(step.counts.get("cost_usd", 0)) for step in steps)


def _openai_usd(settings: Settings, tokens: Counter[str]) -> float:
    """From the tokens: of a step that ran in rounds the record keeps the last one's cost."""
    asked = tokens["input_tokens"] * settings.openai_usd_per_million_input_tokens
    said = tokens["output_tokens"] * settings.openai_usd_per_million_output_tokens
    return (asked + said) / 1_000_000


@contextmanager
def _quiet() -> Iterator[StringIO]:
    """Without the functions' log, and their metrics apart: the table is the only output."""
    level = logger.log_level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()) as metrics:
            yield metrics
    finally:
        logger.setLevel(level)
