"""The movie search of the template, run in this process against the stand-ins of the upstreams."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import boto3

from marquee import aws
from marquee.gateway.calls import http_client
from marquee.movies.catalog import Catalog
from marquee.movies.models import ScoredReview
from marquee.movies.review_store import ReviewStore
from marquee.movies.search import SearchResult, result_of
from marquee.settings import Settings
from marquee.workflows.record import WorkflowRecord, WorkflowRecords
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.definitions import substitute
from tests.support.installation import data_installed
from tests.support.state_machines import REGION, Execution, Handler, Json, run
from tests.support.templates import ROOT, Template
from tests.support.upstreams import Upstreams

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
class MovieSearches:
    """The installed movie search; `broken` handlers, by the function's stem, replace real ones."""

    template: Template
    settings: Settings
    handlers: Mapping[str, Handler] = field(repr=False)

    def definition(self) -> dict[str, Any]:
        """The definition as it is deployed."""
        lies_there = (ROOT / self.template.machines[MACHINE].definition).read_text()
        return substitute(json.loads(lies_there), self.template.substitutions(MACHINE))

    def arn(self, stem: str) -> str:
        """The ARN of the function of a stem (`FindMovie`)."""
        return self.template.functions[f"{stem}Function"].arn

    def handler(self, stem: str) -> Handler:
        return self.handlers[self.arn(stem)]

    def run(
        self,
        request: Json,
        *,
        name: str = "search",
        definition: Mapping[str, Any] | None = None,
        broken: Mapping[str, Handler] | None = None,
    ) -> Execution:
        """One execution, named `name`, to its end."""
        replaced = {self.arn(stem): handler for stem, handler in (broken or {}).items()}
        return run(
            definition or self.definition(), {**self.handlers, **replaced}, request, name=name
        )

    def record(self, name: str = "search") -> WorkflowRecord:
        record = WorkflowRecords.connect(self.settings).get(name)
        assert record is not None
        return record

    def result(self, name: str = "search") -> SearchResult:
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

    def listen(self) -> "Listener":
        """A queue that gets every event that is put on the bus from now on."""
        sqs, events = boto3.client("sqs"), boto3.client("events")
        url = sqs.create_queue(QueueName="listener")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        bus = self.settings.event_bus
        pattern = json.dumps({"source": ["marquee"]})
        events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
        target = {"Id": "listener", "Arn": arn["Attributes"]["QueueArn"]}
        events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
        return Listener(sqs, url)

    def parked(self) -> list[dict[str, str]]:
        """The messages of the queue of parked reviews, as Lambda hands them to a function."""
        sqs, url = boto3.client("sqs"), self.settings.parked_reviews_queue_url
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [{"messageId": m["MessageId"], "body": m["Body"]} for m in messages]


@dataclass(frozen=True)
class Listener:
    """What was put on the bus."""

    _sqs: Any
    _url: str

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """The detail types and details of the events, in order."""
        messages = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        events = [json.loads(message["Body"]) for message in messages.get("Messages", [])]
        return [(event["detail-type"], event["detail"]) for event in events]


@contextmanager
def movie_searches(upstreams: Upstreams, *sources: str) -> Iterator[MovieSearches]:
    """The movie search as deployed, of whose sources those named are configured."""
    template = _template(upstreams, mastodon="mastodon" in sources)
    with data_installed(template) as settings:
        ssm = boto3.client("ssm", region_name=REGION)
        for name, value in SECRETS.items():
            if name.partition("/")[0] in {"tmdb", *sources}:
                ssm.put_parameter(
                    Name=f"{settings.parameter_prefix}/{name}", Value=value, Type="SecureString"
                )
        _make_clients()
        yield MovieSearches(template, settings, template.handlers())


@cache
def _template(upstreams: Upstreams, *, mastodon: bool) -> Template:
    """The template whose parameters are the addresses of the stand-ins."""
    addresses = {
        "TmdbBaseUrl": upstreams.tmdb_url,
        "XBaseUrl": upstreams.x_url,
        "BlueskyBaseUrl": upstreams.bluesky_url,
        "MastodonBaseUrl": upstreams.mastodon_url if mastodon else "",
    }
    return Template.load(parameters=addresses)


def _make_clients() -> None:
    """Make what Lambda's one thread makes on first use: the branches of a Map are threads here."""
    aws.dynamodb()
    for service in ("events", "sqs", "ssm", "stepfunctions"):
        aws.client(service)
    http_client()
