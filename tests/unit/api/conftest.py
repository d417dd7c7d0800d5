"""An API, a known film, and searches that end."""

from collections.abc import Callable
from typing import Any

import pytest

from marquee.movies.catalog import Catalog
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    FoundMovie,
    Label,
    Recommendation,
    SourceReport,
    SourceStatus,
)
from marquee.movies.search import SearchSummary
from marquee.settings import Settings
from marquee.workflows.record import Status, StepRecord, WorkflowRecords
from tests.support.api import Api
from tests.support.builders import NOW, a_movie
from tests.support.installation import executions

RRR = 579974

PATH_VALUES = {
    "tmdb_id": str(RRR),
    "workflow_id": "nobody",
    "approval_id": "marquee_demo-1900000000000000001",
    "account": "marquee_demo",
    "tweet_id": "1900000000000000001",
    "trigger_id": "MovieSearchCompleted-00000000000000a1",
    "provider": "x",
    "delivery_id": "7d5e1c0f9b8a4e3d2c1b0a9f8e7d6c5b",
}


def filled(path: str, **values: str) -> str:
    """The path of a route with a value for each of its parameters."""
    for name, value in {**PATH_VALUES, **values}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.fixture
def api(settings: Settings) -> Api:
    return Api(settings)


@pytest.fixture
def known_film(settings: Settings) -> int:
    """RRR as a search leaves it: facts, analysis, recommendations."""
    catalog = Catalog.connect(settings)
    movie = a_movie()
    catalog.put_movie(movie, ["rrr"], [])
    analysis = Analysis(
        tmdb_id=movie.tmdb_id,
        average_sentiment=0.42,
        confidence_interval=(0.3, 0.54),
        label=Label.POSITIVE,
        sample_size=12,
        counts_by_label={"positive": 9, "neutral": 2, "negative": 1, "unscored": 3},
        counts_by_source={"tmdb": 15},
        histogram=(0,) * 10 + (1,) * 8 + (4, 0),
        analyzed_at=NOW,
        scorer="vader-3.3.2",
    )
    catalog.put_analysis(analysis, AnalyzedFilm(tmdb_id=movie.tmdb_id, title=movie.title))
    next_film = Recommendation(
        tmdb_id=256040,
        title="Baahubali: The Beginning",
        year=2015,
        score=0.81,
        reasons=("same director, S. S. Rajamouli",),
    )
    catalog.put_recommendations(movie.tmdb_id, [next_film], NOW)
    return movie.tmdb_id


type End = Callable[..., None]


@pytest.fixture
def end_search(settings: Settings, records: WorkflowRecords, api: Api) -> End:
    """Do what the workflow does: report its steps and close the record of the last search."""

    def end(status: Status = Status.SUCCEEDED, **fields: Any) -> None:
        workflow_id = executions(settings)[0]
        now = api.clock.now()
        counts = {
            "calls": {"tmdb.successful": 2, "x.failed": 1},
            "cost_usd": 0.05,
            "operations": {"PutItem": 3, "Query": 1, "PutItem.failed": 1},
            "read_units": 1.5,
            "write_units": 4,
        }
        done = StepRecord(
            status=Status.SUCCEEDED, started_at=now, ended_at=now, duration_ms=0, counts=counts
        )
        records.write_step(workflow_id, "movie_search", "FindMovie", done, now)
        summary = SearchSummary(
            found=FoundMovie(tmdb_id=RRR, title="RRR", year=2022, message="the exact title"),
            sources=(SourceReport(source="tmdb", status=SourceStatus.OK, fetched=15, new=15),),
            average_sentiment=0.42,
            sample_size=12,
            recommended_ids=(361743,),
        )
        closing = {"result": summary.model_dump(mode="json", exclude_defaults=True), **fields}
        records.close(workflow_id, "movie_search", status, now=now, **closing)

    return end
