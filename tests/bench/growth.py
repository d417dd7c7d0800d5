"""The same fresh search with 10, 1,000 and 10,000 films stored: its cost must not grow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import batched, chain, pairwise
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeSerializer

from marquee.movies.catalog import Catalog
from marquee.movies.models import Analysis, AnalyzedFilm, Keyword, Label
from marquee.movies.review_store import ReviewStore
from tests.bench.report import Line, at_most
from tests.bench.searches import Installation, units
from tests.support.builders import NOW, a_movie, a_scored_review

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

STORED = {10: "US", 1_000: "GB", 10_000: "IN"}
"""Films, and the region asked for: it makes the searches different ones, each a fresh one."""

MOVIE_NAME, MAX_REVIEWS = "Joker", 10

GROWTH = 1.05
"""The index by genre is read up to a limit that 10 films do not reach; past it nothing may grow."""

FIRST_ID = 900_000_000
"""Above every id of TMDB."""

SEEDED = "MOVIE#9000"
"""How their keys begin; what is stored under any other belongs to a search."""

GENRES = (
    Keyword(id=80, name="Crime"),
    Keyword(id=18, name="Drama"),
    Keyword(id=53, name="Thriller"),
)
"""Those of the film searched: every stored film is a candidate of its recommendations."""

BATCH = 25
"""BatchWriteItem's own limit."""


def lines(installed: Installation) -> Iterator[Line]:
    """What DynamoDB and Step Functions charge for the search, with more and more films stored.

    Without Lambda's time: the emulator's queries take longer the more it holds, AWS's do not.
    """
    costs = []
    stored = 0
    for films, region in STORED.items():
        _forget_searches(installed)
        _store(installed, range(stored, films))
        stored = films
        fresh = installed.count(MOVIE_NAME, MAX_REVIEWS, region=region)
        usage = replace(fresh.usage, invocations=(), log_bytes=0)
        costs.append(usage)
        yield Line(
            f"with {films:,} films stored: {fresh.tmdb_calls} TMDB calls, "
            f"{usage.transitions} transitions",
            f"{units(usage)} = ${usage.usd:.7f}",
        )
    for (few, less), (many, more) in pairwise(zip(STORED, costs, strict=True)):
        ratio = more.usd / less.usd
        yield at_most(f"cost with {many:,} films against {few:,}", ratio, GROWTH, "{:.3f} x")


class Collected:
    """Takes what a store writes into its table, to be written in whole batches later."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[dict[str, Any]] = []
        self.meta = self
        self.client = self

    def put_item(self, Item: dict[str, Any]) -> None:
        self.items.append(Item)

    @contextmanager
    def batch_writer(self, overwrite_by_pkeys: Sequence[str]) -> Iterator["Collected"]:
        yield self

    def batch_write_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        puts = chain.from_iterable(RequestItems.values())
        self.items.extend(put["PutRequest"]["Item"] for put in puts)
        return {"UnprocessedItems": {}}


def _store(installed: Installation, numbers: range) -> None:
    """Films with facts, an analysis and a review each, as the stores themselves write them."""
    movies = Collected(installed.outputs["MoviesTableName"])
    reviews = Collected(installed.outputs["ReviewsTableName"])
    catalog = Catalog(cast("Table", movies))
    store = ReviewStore(cast("Table", reviews))
    for number in numbers:
        movie = a_movie(tmdb_id=FIRST_ID + number, title=f"Film {number}", genres=GENRES)
        review = a_scored_review(tmdb_id=movie.tmdb_id)
        analysis = Analysis(
            tmdb_id=movie.tmdb_id,
            average_sentiment=0.8,
            label=Label.POSITIVE,
            sample_size=1,
            analyzed_at=NOW,
            scorer=review.sentiment.scorer,
        )
        catalog.put_movie(movie, (), ())
        film = AnalyzedFilm.model_validate(movie.model_dump() | {"average_sentiment": 0.8})
        catalog.put_analysis(analysis, film)
        store.put([review])
    for table in (movies, reviews):
        _write(installed, table)


def _write(installed: Installation, table: Collected) -> None:
    client = installed.cloud.boto3("dynamodb")
    serialize = TypeSerializer().serialize
    for chunk in batched(table.items, BATCH, strict=False):
        puts = [{"PutRequest": {"Item": serialize(item)["M"]}} for item in chunk]
        client.batch_write_item(RequestItems={table.name: puts})


def _forget_searches(installed: Installation) -> None:
    """Delete what searches have stored of films and reviews, so that the next one finds none."""
    client = installed.cloud.boto3("dynamodb")
    for output in ("MoviesTableName", "ReviewsTableName"):
        table = installed.outputs[output]
        stored = [
            item
            for page in client.get_paginator("scan").paginate(TableName=table)
            for item in page["Items"]
            if not item["pk"]["S"].startswith(SEEDED)
        ]
        for item in stored:
            client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
