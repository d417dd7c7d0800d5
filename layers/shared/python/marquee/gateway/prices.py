"""What upstreams charge: the one table that every price comes from.

A language model is charged by the token, at prices that are settings; TMDB, Bluesky and Mastodon
charge nothing.
"""

X_POST_READ_USD = 0.005
"""X API v2, pay per use, 2026: one post read."""

X_OWN_POST_READ_USD = 0.001
"""X API v2, pay per use, 2026: one post read from the timeline of the account that asks."""

X_USER_READ_USD = 0.010
"""X API v2, pay per use, 2026: one user looked up."""

X_POST_CREATED_USD = 0.015
"""X API v2, pay per use, 2026: one post created, without a link in it."""

X_POST_WITH_URL_CREATED_USD = 0.200
"""The same with a link."""


def most_for_tokens(
    usd_per_million_input: float, usd_per_million_output: float, *, prompt_bytes: int, output: int
) -> float:
    """The most USD that one call of a language model can cost.

    A token is at least one byte, so ``prompt_bytes`` bounds the input; ``output`` is the limit of
    tokens that the call itself sets.
    """
    million = 1_000_000
    return (prompt_bytes * usd_per_million_input + output * usd_per_million_output) / million
