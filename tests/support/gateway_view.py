"""How the gateway stands, as the API tells it: what commands and pages are shown in tests."""

from datetime import datetime
from typing import Any

from marquee.api.answers import BreakerNow, BudgetNow, ClosedProvider, GatewayNow, QuotaNow
from tests.support.builders import NOW


def a_quota(**fields: Any) -> QuotaNow:
    """One that is free."""
    whole = {
        "provider": "x",
        "endpoint": "tweets/search/recent",
        "credential": "app",
        "calls": 50,
        "seconds": 150,
        "used": 0,
        "left": 50,
        "waiting": 0,
        "next_at": NOW,
        "blocked_until": None,
    }
    return QuotaNow(**{**whole, **fields})


def a_budget(spent: float, cap: float = 5, **fields: Any) -> BudgetNow:
    """A day's, in total."""
    whole = {
        "scope": "total",
        "period": "day",
        "cap_usd": cap,
        "spent_usd": spent,
        "reserved_usd": 0,
        "left_usd": max(0, cap - spent),
        "share": spent / cap,
        "opens_at": datetime.fromisoformat("2026-12-01T00:00:00+00:00"),
    }
    return BudgetNow(**{**whole, **fields})


def a_breaker(**fields: Any) -> BreakerNow:
    """One that is closed."""
    whole = {
        "provider": "tmdb",
        "endpoint": "movie",
        "state": "closed",
        "failure_share": None,
        "opened_at": None,
        "retry_at": None,
    }
    return BreakerNow(**{**whole, **fields})


def a_closed_provider(provider: str = "x", reason: str = "answered 402") -> ClosedProvider:
    """One that waits for an operator."""
    return ClosedProvider(provider=provider, reason=reason, reopen_url=f"{provider}/reopen")


def a_gateway(**fields: Any) -> GatewayNow:
    """One that lets everything through."""
    whole = {
        "quotas": (a_quota(),),
        "budgets": (a_budget(0),),
        "closed": (),
        "breakers": (a_breaker(),),
    }
    return GatewayNow(**{**whole, **fields})
