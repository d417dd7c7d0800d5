"""What upstreams charge, by provider and operation: the one table that every price comes from."""

from collections.abc import Mapping

from marquee.settings import (
    X_OWN_POST_READ_USD,
    X_POST_CREATED_USD,
    X_POST_READ_USD,
    X_POST_WITH_URL_CREATED_USD,
    X_USER_READ_USD,
)

PRICES_USD: Mapping[tuple[str, str], float] = {
    ("x", "post read"): X_POST_READ_USD,
    ("x", "own post read"): X_OWN_POST_READ_USD,
    ("x", "user read"): X_USER_READ_USD,
    ("x", "post created"): X_POST_CREATED_USD,
    ("x", "post with a link created"): X_POST_WITH_URL_CREATED_USD,
}
"""USD for each. A language model is charged by the token, at prices that are settings; TMDB,
Bluesky and Mastodon charge nothing."""


def most(provider: str, operation: str, count: int = 1) -> float:
    """The most USD that a call can cost which gets ``count`` of these; raises KeyError for a
    provider or operation without a price: what costs nothing is not reserved."""
    return PRICES_USD[provider, operation] * count


def most_for_tokens(
    usd_per_million_input: float, usd_per_million_output: float, *, prompt_bytes: int, output: int
) -> float:
    """The most USD that one call of a language model can cost.

    A token is at least one byte, so ``prompt_bytes`` bounds the input; ``output`` is the limit of
    tokens that the call itself sets.
    """
    million = 1_000_000
    return (prompt_bytes * usd_per_million_input + output * usd_per_million_output) / million
