"""The movie search of the template, run in this process against the stand-ins of the upstreams."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

import boto3

from marquee import aws
from marquee.movies.backfill_queue import BackfillQueue, Entry
from marquee.movies.catalog import Catalog
from marquee.movies.models import ScoredReview
from marquee.movies.review_store import ReviewStore
from marquee.movies.search import SearchResult, result_of
from marquee.workflows.record import WorkflowRecords
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.definitions import substitute
from tests.support.state_machines import Execution, Handler, Json
from tests.support.templates import ROOT, Template
from tests.support.upstreams import Upstreams
from tests.support.workflows import InstalledWorkflow, workflow_installed

MACHINE = "movie_search"
TITLE_KEY = "rrr"
SECRETS = {
    "tmdb/token": DEMONSTRATION.tmdb_token,
    "x/bearer_token": DEMONSTRATION.x_bearer_token,
    "bluesky/handle": DEMONSTRATION.bluesky_handle,
    "bluesky/app_password": DEMONSTRATION.bluesky_app_password,
}

type Items = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class MovieSearches(InstalledWorkflow):
    """The installed movie search."""

    machine = MACHINE
    beside: ClassVar[tuple[str, ...]] = (
        "StartMovieSearch",
        "ApplyParkedReviews",
        "CloseExecution",
        "CollectData",
    )

    def result(self, name: str = "run") -> SearchResult:
        """What the API answers for that execution."""
        result = result_of(self.record(name), self.catalog())
        assert result is not None
        return result

    def catalog(self) -> Catalog:
        return Catalog.connect(self.settings)

    def reviews(self, tmdb_id: int) -> list[ScoredReview]:
        return ReviewStore.connect(self.settings).newest(tmdb_id)

    def items(self) -> Items:
        """All that the tables of films and reviews hold."""
        names = (self.settings.movies_table, self.settings.reviews_table)
        return {name: aws.table(name).scan()["Items"] for name in names}

    def age(self, tmdb_id: int, by: timedelta) -> None:
        """Let the stored facts of a film be older."""
        catalog = self.catalog()
        movie = catalog.movie(tmdb_id)
        assert movie is not None
        older = movie.model_copy(update={"fetched_at": movie.fetched_at - by})
        catalog.put_movie(older, [TITLE_KEY], catalog.tmdb_reviews(tmdb_id))

    def parked(self) -> list[dict[str, str]]:
        """The messages of the queue of parked reviews, as Lambda hands them to a function."""
        sqs, url = boto3.client("sqs"), self.settings.parked_reviews_queue_url
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [{"messageId": m["MessageId"], "body": m["Body"]} for m in messages]


@dataclass(frozen=True)
class ReviewBackfills(MovieSearches):
    """The installed backfill, and the searches that it completes."""

    machine = "review_backfill"
    beside = ("FindMovie", "RecommendMovies", "FinishSearch", "StartBackfill", "CloseExecution")

    def search(
        self, request: Json, name: str = "search", broken: Mapping[str, Handler] | None = None
    ) -> Execution:
        """One movie search, to its end."""
        lies_there = (ROOT / self.template.machines[MACHINE].definition).read_text()
        definition = substitute(json.loads(lies_there), self.template.substitutions(MACHINE))
        records = WorkflowRecords.connect(self.settings)
        records.open(name, MACHINE, trigger="api", request=request, now=self.clock.now())
        return self.run(request, name=name, definition=definition, broken=broken)

    def entry(self, tmdb_id: int) -> Entry:
        entry = BackfillQueue.connect(self.settings).entry(tmdb_id)
        assert entry is not None
        return entry


@contextmanager
def movie_searches(
    upstreams: Upstreams, *sources: str, quotas: str = "", caps: str = ""
) -> Iterator[MovieSearches]:
    """The movie search as deployed, of whose sources those named are configured."""
    with _installed(MovieSearches, upstreams, sources, quotas, caps) as searches:
        yield searches


@contextmanager
def review_backfills(
    upstreams: Upstreams, *sources: str, quotas: str = "", caps: str = ""
) -> Iterator[ReviewBackfills]:
    """The backfill as deployed, of whose sources those named are configured."""
    with _installed(ReviewBackfills, upstreams, sources, quotas, caps) as backfills:
        yield backfills


@contextmanager
def _installed[Kind: MovieSearches](
    kind: type[Kind], upstreams: Upstreams, sources: Collection[str], quotas: str, caps: str
) -> Iterator[Kind]:
    template = _template(upstreams, mastodon="mastodon" in sources, quotas=quotas, caps=caps)
    secrets = {
        name: value
        for name, value in SECRETS.items()
        if name.partition("/")[0] in {"tmdb", *sources}
    }
    with workflow_installed(kind, template, secrets) as installed:
        yield installed


@cache
def _template(upstreams: Upstreams, *, mastodon: bool, quotas: str, caps: str) -> Template:
    """The template whose parameters are the addresses of the stand-ins."""
    addresses = {
        "QuotaPolicies": quotas,
        "SpendCaps": caps,
        "TmdbBaseUrl": upstreams.tmdb_url,
        "XBaseUrl": upstreams.x_url,
        "BlueskyBaseUrl": upstreams.bluesky_url,
        "MastodonBaseUrl": upstreams.mastodon_url if mastodon else "",
    }
    return Template.load(parameters=addresses)
