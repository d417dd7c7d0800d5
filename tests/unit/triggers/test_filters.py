"""Which events a filter lets through, and which filters there are."""

from typing import Any

import pytest

from marquee.errors import BadInput
from marquee.triggers.filters import check_filter, lets_through

DETAIL = {
    "status": "PARTIAL",
    "tmdb_id": 579974,
    "dry_run": False,
    "film": {"year": 2022, "genres": ["Action", "Drama"]},
    "error": None,
    "score": 0.5,
}


@pytest.mark.parametrize(
    ("wanted", "is_let_through"),
    [
        ({}, True),
        ({"status": "PARTIAL"}, True),
        ({"status": "FAILED"}, False),
        ({"status": ["FAILED", "PARTIAL"]}, True),
        ({"status": "PARTIAL", "tmdb_id": 1}, False),
        ({"tmdb_id": 579974}, True),
        ({"tmdb_id": "579974"}, False),
        ({"dry_run": False}, True),
        ({"dry_run": 0}, False),
        ({"score": 0.5}, True),
        ({"film": {"year": 2022}}, True),
        ({"film": {"year": [2021, 2023]}}, False),
        ({"film": {"genres": "Drama"}}, True),
        ({"film": {"genres": ["Comedy", "Action"]}}, True),
        ({"film": {"genres": "Comedy"}}, False),
        ({"film": "RRR"}, False),
        ({"status": {"name": "PARTIAL"}}, False),
        ({"nobody": "here"}, False),
        ({"error": None}, True),
        ({"nobody": None}, False),
    ],
)
def test_a_filter_lets_through_what_has_its_values(
    wanted: dict[str, Any], is_let_through: bool
) -> None:
    check_filter(wanted)
    assert lets_through(wanted, DETAIL) is is_let_through


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, "levels"),
        ({"a": list(range(51))}, "values at most"),
        ({str(n): n for n in range(51)}, "values at most"),
        ({"a": []}, "empty list"),
        ({"a": {}}, "without a condition"),
        ({"a": [{"b": 1}]}, "plain values"),
        ({"a": [[1]]}, "plain values"),
        ({"a": "x" * 257}, "characters"),
        ({"x" * 257: "a"}, "characters"),
        ({"a": 10**400}, "numbers"),
        ({"a": -(2**53) - 1}, "numbers"),
    ],
)
def test_a_filter_that_is_none_is_refused_with_the_reason(
    wanted: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint) as refused:
        check_filter(wanted)
    assert refused.value.field == "filter"
