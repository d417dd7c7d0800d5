"""The one table of prices."""

import pytest

from marquee.gateway.prices import PRICES_USD, most, most_for_tokens


def test_a_call_costs_at_most_what_it_gets() -> None:
    assert most("x", "post read", 100) == pytest.approx(0.5)
    assert most("x", "post with a link created") == 0.2


def test_what_has_no_price_is_not_taken_for_free() -> None:
    with pytest.raises(KeyError):
        most("x", "something new")


def test_every_price_is_above_nothing() -> None:
    assert all(usd > 0 for usd in PRICES_USD.values())


def test_a_language_model_costs_at_most_a_token_a_byte_and_its_own_limit() -> None:
    assert most_for_tokens(0.15, 0.60, prompt_bytes=1_000_000, output=500_000) == 0.45
