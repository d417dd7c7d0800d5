"""The stand-in of Mastodon shows hashtags in pages as Mastodon does."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.support.upstreams import Upstreams

RRR = "/timelines/tag/RRR"


def test_links_lead_through_every_status_once(mastodon: httpx.Client) -> None:
    page = mastodon.get(RRR, params={"limit": 15})
    statuses: list[dict[str, Any]] = []
    while page.json():
        statuses += page.json()
        page = mastodon.get(page.links["next"]["url"])
    assert "link" not in page.headers
    ids = [int(status["id"]) for status in statuses]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) >= 40


def test_the_previous_link_leads_back_up(mastodon: httpx.Client) -> None:
    first = mastodon.get(RRR, params={"limit": 5})
    second = mastodon.get(first.links["next"]["url"])
    assert mastodon.get(second.links["prev"]["url"]).json() == first.json()


def test_since_id_starts_from_the_newest_and_min_id_from_below(mastodon: httpx.Client) -> None:
    ids = [status["id"] for status in mastodon.get(RRR, params={"limit": 20}).json()]

    def shown(**bounds: str) -> list[str]:
        answer = mastodon.get(RRR, params={"limit": "3", **bounds}).json()
        return [status["id"] for status in answer]

    assert shown(since_id=ids[10]) == ids[:3]
    assert shown(min_id=ids[10]) == ids[7:10]


@pytest.mark.parametrize(("limit", "size"), [(None, 20), ("7", 7), ("400", 40), ("x", 20)])
def test_a_page_has_at_most_forty_statuses(
    mastodon: httpx.Client, limit: str | None, size: int
) -> None:
    parameters = {} if limit is None else {"limit": limit}
    assert len(mastodon.get(RRR, params=parameters).json()) == size


def test_content_is_html_with_marked_hashtags(mastodon: httpx.Client) -> None:
    statuses = mastodon.get("/timelines/tag/rrr", params={"limit": 40}).json()
    for status in statuses:
        assert status["content"].startswith("<p>")
        assert 'class="mention hashtag" rel="tag">#<span>' in status["content"]
        assert "rrr" in [tag["name"] for tag in status["tags"]]


def test_an_unknown_hashtag_is_an_empty_list(mastodon: httpx.Client) -> None:
    answer = mastodon.get("/timelines/tag/nobodywritesthis")
    assert (answer.status_code, answer.json()) == (200, [])


def test_the_window_is_told_in_headers(upstreams: Upstreams, mastodon: httpx.Client) -> None:
    upstreams.limit("mastodon", 1, 60)
    first, second = mastodon.get("/instance"), mastodon.get(RRR)
    assert first.headers["x-ratelimit-remaining"] == "0"
    assert (second.status_code, second.json()) == (429, {"error": "Too many requests"})
    assert datetime.fromisoformat(second.headers["x-ratelimit-reset"]).tzinfo is not None
