"""What the whole installation did in a window of time, from counters by the hour."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from marquee.api.call import Call, Parameters, Reply
from marquee.aws import STORE_ERRORS, client, table
from marquee.errors import MarqueeError
from marquee.gateway.accounting import (
    OK,
    Counters,
    HourlyCounters,
    Name,
    hours_of,
    percentile,
    total,
)
from marquee.gateway.breaker import KEPT_FOR as BREAKERS_KEPT_FOR
from marquee.gateway.quota import APP, Policies
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import read_caps
from marquee.gateway.standing import standing
from marquee.observability import logger
from marquee.settings import Settings

if TYPE_CHECKING:
    from marquee.api.answers import (
        BackfillTotals,
        EndpointTotals,
        GatewayNow,
        HourTotals,
        InstallationStats,
        ProviderTotals,
        QueueDepth,
        StepTotals,
        TriggerTotals,
        WindowStats,
        WorkflowTotals,
    )

WINDOWS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}

MOST_TRIGGERS = 100
LAST_DELIVERIES = 50
SHOWN_DELIVERIES = 10
"""Of the triggers so many are told, whatever there are."""

MICRO = 1_000_000

FAILED = "FAILED"


class Window(Parameters):
    """How far back."""

    window: Literal["1h", "24h", "7d"] = Field(
        default="24h", description="Whole hours are counted: those that it touches."
    )


def automation_stats(asked: Window, call: Call) -> Reply:
    """What this installation did lately, and how quotas, budgets, breakers and queues stand now.

    What an invocation did is counted when it ends. Percentiles are exact to 12 percent.
    """
    now, window = call.now(), WINDOWS[asked.window]
    counted = HourlyCounters.connect(call.settings).read(
        hours_of(max(window, BREAKERS_KEPT_FOR), now)
    )
    called = {name[1:3] for hour in counted.values() for name in hour if name[0] == "call"}
    return Reply(
        summed_up(
            asked.window,
            {hour: counted[hour] for hour in hours_of(window, now)},
            now,
            _queues(call.settings),
            _triggers(call),
            _gateway({(provider, endpoint) for provider, endpoint in called}, call),
            _backfill(call.settings),
        )
    )


def summed_up(
    window: Literal["1h", "24h", "7d"],
    hours: Mapping[datetime, Counters],
    now: datetime,
    queues: "Iterable[QueueDepth]",
    triggers: "TriggerTotals | None" = None,
    gateway: "GatewayNow | None" = None,
    backfill: "BackfillTotals | None" = None,
) -> "InstallationStats":
    """The answer, from the counters of each hour, the oldest first."""
    from marquee.api.answers import InstallationStats

    counters = total(hours.values())
    return InstallationStats(
        window=window,
        since=min(hours),
        until=now,
        coordinator_stats=_coordinator(counters),
        workflows=_workflows(counters),
        cost_usd=_costs(counters),
        triggers=triggers,
        queues=tuple(queues),
        gateway=gateway,
        backfill=backfill,
        hours=tuple(_hour(hour, some) for hour, some in hours.items()),
    )


def _coordinator(counters: Counters) -> "WindowStats":
    from marquee.api.answers import StoreTotals, UpstreamTotals, WindowStats

    calls, operations = _below(counters, "call"), _below(counters, "op")
    providers = sorted({provider for provider, *_ in calls})
    latencies = _buckets(_below(counters, "ms"))
    retries = _below(counters, "retry")
    units = _below(counters, "half_units")
    return WindowStats(
        api_calls=UpstreamTotals(
            **_outcomes(calls, latencies, sum(retries.values())),
            cost_usd=round(sum(_costs(counters).values()), 6),
            by_provider={provider: _provider(counters, provider) for provider in providers},
        ),
        database_operations=StoreTotals(
            **_outcomes(
                operations, _buckets(_below(counters, "op_ms")), counters.get(("op_retry",), 0)
            ),
            by_operation=_each(operations),
            read_units=units.get(("read",), 0) / 2,
            write_units=units.get(("write",), 0) / 2,
        ),
    )


def _provider(counters: Counters, provider: str) -> "ProviderTotals":
    from marquee.api.answers import ProviderTotals

    calls = _below(counters, "call", provider)
    latencies = _buckets(_below(counters, "ms", provider))
    return ProviderTotals(
        **_outcomes(calls, latencies, counters.get(("retry", provider), 0)),
        cost_usd=_costs(counters).get(provider, 0.0),
        by_endpoint=_each(calls),
    )


def _workflows(counters: Counters) -> "dict[str, WorkflowTotals]":
    from marquee.api.answers import WorkflowTotals

    ends, steps = _below(counters, "end"), _below(counters, "step")
    totals = {}
    for kind in sorted({kind for kind, *_ in (*ends, *steps)}):
        by_status = {status: number for (status,), number in _below(ends, kind).items()}
        names = sorted({step for step, _ in _below(steps, kind)})
        totals[kind] = WorkflowTotals(
            total=sum(by_status.values()),
            by_status=by_status,
            steps={step: _step(counters, kind, step) for step in names},
        )
    return totals


def _step(counters: Counters, kind: str, step: str) -> "StepTotals":
    from marquee.api.answers import StepTotals

    durations = _buckets(_below(counters, "step", kind, step))
    errors = {name: n for (name,), n in _below(counters, "step_error", kind, step).items()}
    return StepTotals(
        attempts=sum(durations.values()),
        failed=sum(errors.values()),
        errors=_by_number(errors),
        p50_ms=_rounded(percentile(durations, 0.5)),
        p95_ms=_rounded(percentile(durations, 0.95)),
    )


def _hour(hour: datetime, counters: Counters) -> "HourTotals":
    from marquee.api.answers import HourTotals

    calls, ends = _below(counters, "call"), _below(counters, "end")
    return HourTotals(
        hour=hour,
        calls=sum(calls.values()),
        failed_calls=_failed(calls),
        database_operations=sum(_below(counters, "op").values()),
        workflows=sum(ends.values()),
        failed_workflows=sum(n for (_, status), n in ends.items() if status == FAILED),
        cost_usd=round(sum(_costs(counters).values()), 6),
    )


def _by_number(errors: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, and always in the same order."""
    return dict(sorted(errors.items(), key=lambda error: (-error[1], error[0])))


def _outcomes(calls: Counters, latencies: Mapping[int, int], retries: int) -> dict[str, Any]:
    """The fields of CallTotals, from counters whose names end with an error's class or OK."""
    errors: Counter[str] = Counter()
    for (*_, error), number in calls.items():
        errors[error] += number
    successful = errors.pop(OK, 0)
    all_of_them = successful + errors.total()
    return {
        "total": all_of_them,
        "successful": successful,
        "failed": errors.total(),
        "success_rate": round(successful / all_of_them, 4) if all_of_them else None,
        "retries": retries,
        "errors": _by_number(errors),
        "p50_ms": _rounded(percentile(latencies, 0.5)),
        "p95_ms": _rounded(percentile(latencies, 0.95)),
    }


def _each(calls: Counters) -> "dict[str, EndpointTotals]":
    """Totals by what stands before the error's class."""
    from marquee.api.answers import EndpointTotals

    found: dict[str, Counter[str]] = {}
    for (*_, name, error), number in calls.items():
        found.setdefault(name, Counter())[error] += number
    return {
        name: EndpointTotals(total=errors.total(), failed=errors.total() - errors[OK])
        for name, errors in sorted(found.items())
    }


def _queues(settings: Settings) -> "Iterable[QueueDepth]":
    """How many messages each queue holds; None where it could not be asked."""
    from marquee.api.answers import QueueDepth

    for pair in settings.queues.split():
        name, _, url = pair.partition("=")
        try:
            said = client("sqs").get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
            messages: int | None = sum(map(int, said.values()))
        except STORE_ERRORS:
            logger.warning("a queue could not be asked", queue=name, exc_info=True)
            messages = None
        yield QueueDepth(
            queue=name, url=url, messages=messages, dead_letters=name.endswith("dead_letters")
        )


def _triggers(call: Call) -> "TriggerTotals | None":
    from marquee.api.answers import TriggerTotals
    from marquee.api.triggers import told
    from marquee.triggers.trigger_store import TriggerStore

    store = TriggerStore.connect(call.settings)
    try:
        found, after = store.page_of_triggers(limit=MOST_TRIGGERS + 1, after=None)
        deliveries, _ = store.page(limit=LAST_DELIVERIES)
    except STORE_ERRORS:
        logger.warning("the triggers could not be read", exc_info=True)
        return None
    triggers = found[:MOST_TRIGGERS]
    return TriggerTotals(
        total=len(triggers),
        more=len(found) > MOST_TRIGGERS or after is not None,
        switched_off=tuple(one.trigger_id for one in triggers if not one.enabled),
        outcomes=dict(Counter(delivery.status for delivery in deliveries)),
        recent=tuple(told(delivery, call) for delivery in deliveries[:SHOWN_DELIVERIES]),
    )


def _backfill(settings: Settings) -> "BackfillTotals | None":
    from marquee.api.backfill import backfill_totals

    try:
        return backfill_totals(settings)
    except (MarqueeError, *STORE_ERRORS):
        logger.warning("the queue of films could not be read", exc_info=True)
        return None


def _gateway(called: set[tuple[str, str]], call: Call) -> "GatewayNow | None":
    """How what stands before every call stands; ``called`` is all that was called in a day."""
    from marquee.api.answers import BreakerNow, BudgetNow, ClosedProvider, GatewayNow, QuotaNow

    given, now = call.settings, call.now()
    try:
        found = standing(
            DynamoRows(table(given.require("gateway_table"))),
            Policies(given.quota_policies),
            read_caps(given.spend_caps),
            called,
            tuple(filter(None, (APP, given.posting_account.lower()))),
            now=now,
        )
    except (MarqueeError, *STORE_ERRORS):
        logger.warning("quotas, budgets and breakers are not known", exc_info=True)
        return None
    return GatewayNow(
        quotas=tuple(
            QuotaNow(
                provider=policy.provider,
                endpoint=policy.endpoint,
                credential=policy.credential,
                **vars(view),
            )
            for policy, view in found.quotas
        ),
        budgets=tuple(
            BudgetNow(
                scope=budget.cap.scope,
                period=budget.cap.period.value,
                cap_usd=budget.cap.usd,
                spent_usd=budget.spent_usd,
                reserved_usd=budget.reserved_usd,
                left_usd=round(budget.left_usd, 6),
                share=round(budget.share, 4),
                opens_at=budget.resets_at,
            )
            for budget in found.budgets
        ),
        closed=tuple(
            ClosedProvider(
                provider=provider,
                reason=reason,
                reopen_url=call.link(f"/api/orchestrator/providers/{provider}/reopen"),
            )
            for provider, reason in sorted(found.closed.items())
        ),
        breakers=tuple(
            BreakerNow(provider=provider, endpoint=endpoint, **vars(diagnosis))
            for (provider, endpoint), diagnosis in found.breakers
        ),
    )


def _below(counters: Counters, *beginning: str) -> dict[Name, int]:
    """The counters whose names begin so, without that."""
    length = len(beginning)
    return {name[length:]: n for name, n in counters.items() if name[:length] == beginning}


def _buckets(counters: Counters) -> dict[int, int]:
    """Of durations: what the last part of the names says."""
    summed: Counter[int] = Counter()
    for (*_, number_of_bucket), number in counters.items():
        summed[int(number_of_bucket)] += number
    return summed


def _failed(calls: Counters) -> int:
    return sum(number for (*_, error), number in calls.items() if error != OK)


def _costs(counters: Counters) -> dict[str, float]:
    """In USD by provider."""
    return {provider: n / MICRO for (provider,), n in _below(counters, "usd").items()}


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 1)
