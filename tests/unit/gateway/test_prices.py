"""The one table of prices."""

from marquee.gateway.prices import most_for_tokens


def test_a_language_model_costs_at_most_a_token_a_byte_and_its_own_limit() -> None:
    assert most_for_tokens(0.15, 0.60, prompt_bytes=1_000_000, output=500_000) == 0.45
