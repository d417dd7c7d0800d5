"""POST /api/orchestrator/providers/{provider}/reopen: an operator's word after a 402."""

import pytest

from marquee import aws
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import KEY, Spend
from marquee.settings import Settings
from tests.support.api import Api
from tests.support.builders import NOW

REASON = "answered 402 (CreditsDepleted)"


@pytest.fixture
def spend(settings: Settings) -> Spend:
    return Spend(DynamoRows(aws.table(settings.gateway_table)), ())


def path(provider: str) -> str:
    return f"/api/orchestrator/providers/{provider}/reopen"


def test_a_provider_that_is_mended_is_paid_again_and_the_answer_says_why_it_was_not(
    api: Api, spend: Spend
) -> None:
    spend.close("x", REASON, now=NOW)
    spend.close("openai", REASON, now=NOW)
    answer = api.post(path("x"))
    assert (answer.status, answer.json()) == (
        200,
        {"provider": "x", "reopened": True, "message": f"it had been closed: {REASON}"},
    )
    assert spend.reserve("x", 0.1, "a", now=NOW).granted
    assert not spend.reserve("openai", 0.1, "b", now=NOW).granted


def test_the_same_again_changes_nothing(api: Api, spend: Spend) -> None:
    spend.close("x", REASON, now=NOW)
    api.post(path("x"))
    again = api.post(path("x"))
    assert (again.status, again.json()["reopened"]) == (200, False)
    assert again.json()["message"] == "it was open: nothing was changed"


def test_money_that_was_spent_stays_spent(api: Api, settings: Settings) -> None:
    rows = DynamoRows(aws.table(settings.gateway_table))
    spend = Spend(rows, ())
    spend.reserve("x", 0.4, "a", now=NOW)
    spend.close("x", REASON, now=NOW)
    before = rows.get(KEY).item or {}
    api.post(path("x"))
    after = rows.get(KEY).item or {}
    assert after["reserved"] == before["reserved"]


@pytest.mark.parametrize(("provider", "status"), [("myspace", 404), ("X;DROP", 422)])
def test_a_provider_that_there_is_not_is_refused(api: Api, provider: str, status: int) -> None:
    answer = api.post(path(provider))
    assert answer.status == status
    if status == 404:
        assert "bluesky, mastodon, openai, tmdb, x" in answer.json()["detail"]
