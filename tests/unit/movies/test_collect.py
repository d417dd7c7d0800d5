"""collect_data: all sources at once, each failing apart, and an answer before the time is up."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from marquee.errors import (
    CredentialsRefused,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)
from marquee.movies.catalog import Catalog
from marquee.movies.collect import (
    MARGIN_SECONDS,
    THREADS,
    CollectDataOutput,
    Collecting,
    collect_data,
)
from marquee.movies.models import FilmRequest, SourceReport, SourceStatus
from marquee.movies.review_store import ParkedReviews, ReviewStore
from marquee.movies.sources import Collect, Collected, SourceQuery
from marquee.movies.tmdb import Tmdb
from marquee.observability import current_tally, tallying
from tests.support.builders import NOW, a_review, a_tmdb_film, a_tmdb_hit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

RRR = 579974
SKIPPED = SourceReport(source="mastodon", status=SourceStatus.SKIPPED, reason="not configured")
NOBODY_WAITS = 60.0
"""Seconds after which a test that hangs would go on."""


def tmdb_answers(request: httpx.Request) -> httpx.Response:
    found = request.url.path.endswith("/search/movie")
    return httpx.Response(200, json={"results": [a_tmdb_hit()]} if found else a_tmdb_film())


def says(source: str, *texts: str) -> Collect:
    """A source that gives these texts, in one call at a cost."""

    def collect(query: SourceQuery) -> Collected:
        current_tally().add_call(source, "search", usd=0.005)
        reviews = [
            a_review(source=source, review_id=f"{source}-{n}", text=text)
            for n, text in enumerate(texts)
        ]
        return Collected(tuple(reviews[: query.max_reviews]), cursor=f"{source}-cursor")

    return collect


def fails(error: Exception) -> Collect:
    def collect(query: SourceQuery) -> Collected:
        raise error

    return collect


@dataclass
class House:
    """Collecting with its tables, and sources that a test gives."""

    catalog: Catalog
    store: ReviewStore
    sources: dict[str, Collect] = field(default_factory=dict)
    tmdb: Callable[[httpx.Request], httpx.Response] = tmdb_answers
    the_end: Event = field(default_factory=Event)
    """What waits for it takes too long."""

    def collect(
        self, *, seconds: float = NOBODY_WAITS, skipped: tuple[SourceReport, ...] = (), **film: Any
    ) -> CollectDataOutput:
        client = httpx.Client(transport=httpx.MockTransport(self.tmdb))
        collecting = Collecting(
            Tmdb("https://tmdb.test/3", lambda: "token", client),
            self.catalog,
            self.store,
            ParkedReviews(None, "parked"),
            (tuple(self.sources), skipped),
            self.sources.__getitem__,
        )
        request = FilmRequest(**{"movie_name": "RRR", **film})
        return collect_data(
            request, collecting, now=NOW, remaining_seconds=lambda: MARGIN_SECONDS + seconds
        )

    def let_late_ones_end(self) -> None:
        """What AWS does to a thread that is left over when it thaws the function again."""
        self.the_end.set()
        for thread in threading.enumerate():
            if thread.name.startswith(THREADS):
                thread.join(NOBODY_WAITS)

    def stored(self) -> list[str]:
        return sorted(review.review_id for review in self.store.newest(RRR))


@pytest.fixture
def house(movies_table: "Table", reviews_table: "Table") -> Iterator[House]:
    house = House(Catalog(movies_table), ReviewStore(reviews_table))
    yield house
    house.let_late_ones_end()


def test_the_film_and_what_every_source_says_are_stored_as_a_search_stores_them(
    house: House,
) -> None:
    house.sources = {"tmdb": says("tmdb", "Fine."), "x": says("x", "Great songs.", "Too long.")}
    found = house.collect(skipped=(SKIPPED,))
    assert (found.tmdb_id, found.source, found.asked) == (RRR, "tmdb", ("tmdb", "x"))
    counts = [(report.source, report.status.value, report.new) for report in found.sources]
    assert counts == [("tmdb", "ok", 1), ("x", "ok", 2), ("mastodon", "skipped", 0)]
    assert house.stored() == ["tmdb-0", "x-0", "x-1"]
    assert house.store.cursor(RRR, "x") == "x-cursor"
    known = house.catalog.known(RRR)
    assert known.movie
    assert (known.movie.title, known.analysis, known.recommendations) == ("RRR", None, ())


def test_asked_again_it_stores_nothing_twice_and_goes_on_where_the_source_was_left(
    house: House,
) -> None:
    cursors = []
    inner = says("x", "Great songs.")

    def remembering(query: SourceQuery) -> Collected:
        cursors.append(query.cursor)
        return inner(query)

    house.sources = {"x": remembering}
    first, second = house.collect(), house.collect()
    assert (first.sources[0].new, second.sources[0].new) == (1, 0)
    assert second.sources[0].duplicates == 1
    assert cursors == [None, "x-cursor"]


def test_sources_are_asked_side_by_side(house: House) -> None:
    together = Barrier(3, timeout=NOBODY_WAITS)

    def meeting(query: SourceQuery) -> Collected:
        together.wait()
        return Collected()

    house.sources = dict.fromkeys(("tmdb", "x", "bluesky"), meeting)
    assert [report.status for report in house.collect().sources] == [SourceStatus.OK] * 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RateLimited("rate limit reached", provider="x", endpoint="search"), "RateLimited: x"),
        (CredentialsRefused("answered 401", provider="x", endpoint="search"), "x search: answered"),
        (KeyError("a bug of ours"), "KeyError: "),
    ],
)
def test_a_source_that_fails_however_it_does_is_reported_beside_the_others(
    house: House, error: Exception, reason: str
) -> None:
    house.sources = {"x": fails(error), "bluesky": says("bluesky", "Fine.")}
    failed, fine = house.collect().sources
    assert failed.status is SourceStatus.FAILED
    assert failed.reason.startswith(reason)
    assert (fine.status, fine.new) == (SourceStatus.OK, 1)


def test_a_source_that_is_not_done_in_time_is_reported_so_and_stores_it_later(
    house: House,
) -> None:
    inner = says("x", "Late, but good.")

    def slow(query: SourceQuery) -> Collected:
        collected = inner(query)
        house.the_end.wait(NOBODY_WAITS)
        return collected

    house.sources = {"x": slow, "bluesky": says("bluesky", "Fine.")}
    with tallying() as tally:
        late, fine = house.collect(seconds=2).sources
    assert (late.status, late.calls, late.cost_usd) == (SourceStatus.FAILED, 1, 0.005)
    assert "not done within the request" in late.reason
    assert fine.new == 1
    assert tally.costs_usd == {"x": 0.005, "bluesky": 0.005}
    assert house.stored() == ["bluesky-0"]
    house.let_late_ones_end()
    assert house.stored() == ["bluesky-0", "x-0"]


def test_a_film_that_is_not_found_in_time_is_an_outage_and_no_answer(
    house: House,
) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        house.the_end.wait(NOBODY_WAITS)
        return tmdb_answers(request)

    house.tmdb = slow
    with pytest.raises(UpstreamTimeout):
        house.collect(seconds=0.2)


def test_what_finding_the_film_raises_is_raised(house: House) -> None:
    house.tmdb = lambda request: httpx.Response(500)
    with pytest.raises(UpstreamError):
        house.collect()


def test_where_nothing_matches_no_source_is_asked(house: House) -> None:
    house.tmdb = lambda request: httpx.Response(200, json={"results": []})
    house.sources = {"x": fails(AssertionError("asked"))}
    found = house.collect(movie_name="Nothing of that name")
    assert (found.tmdb_id, found.sources) == (None, ())
    assert "no film" in found.message


def test_every_call_is_counted_once_and_by_its_source(house: House) -> None:
    house.sources = {name: says(name, f"Seen on {name}.", "Good.") for name in ("x", "bluesky")}
    with tallying() as tally:
        reports = house.collect(max_reviews=1).sources
    assert [(report.calls, report.cost_usd, report.new) for report in reports] == [
        (1, 0.005, 1),
        (1, 0.005, 1),
    ]
    assert tally.calls == {"tmdb.successful": 2, "x.successful": 1, "bluesky.successful": 1}
