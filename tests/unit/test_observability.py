"""The tally: what one invocation did, and nothing of another's."""

import contextvars
import json

import pytest

from marquee.observability import current_tally, tallying


def test_calls_are_counted_by_provider_and_outcome_and_their_cost_is_summed() -> None:
    with tallying() as tally:
        current_tally().add_call("x", successful=True, cost_usd=0.05)
        current_tally().add_call("x", successful=True, cost_usd=0.025)
        current_tally().add_call("x", successful=False)
        current_tally().add_call("tmdb", successful=True)
    assert tally.as_counts() == {
        "calls": {"x.successful": 2, "x.failed": 1, "tmdb.successful": 1},
        "cost_usd": 0.075,
    }


def test_a_tally_can_be_written_as_json() -> None:
    with tallying() as tally:
        current_tally().operations["GetItem"] += 1
        current_tally().read_units += 0.5
    counts = json.loads(json.dumps(tally.as_counts()))
    assert (counts["operations"], counts["read_units"]) == ({"GetItem": 1}, 0.5)


def test_sums_of_cents_do_not_show_binary_dust() -> None:
    with tallying() as tally:
        for _ in range(3):
            tally.add_call("x", successful=True, cost_usd=0.1)
    assert tally.as_counts()["cost_usd"] == 0.3


def test_outside_of_an_invocation_counting_is_harmless() -> None:
    current_tally().add_call("x", successful=True)
    assert current_tally().as_counts() == {}


def test_the_next_invocation_starts_at_nothing_even_after_a_failure() -> None:
    def invocation() -> None:
        with tallying():
            current_tally().add_call("x", successful=True)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        invocation()
    with tallying() as tally:
        assert tally.as_counts() == {}


def test_one_block_does_not_see_another() -> None:
    with tallying() as outer:
        with tallying() as inner:
            current_tally().add_call("x", successful=True)
        assert current_tally() is outer
        elsewhere = contextvars.Context().run(current_tally)
        assert elsewhere is not outer
    assert (sum(inner.calls.values()), sum(outer.calls.values())) == (1, 0)
