"""``marquee search``: one search, its progress, and its result on a terminal."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marquee.movies.models import (
    Analysis,
    Label,
    Movie,
    Quote,
    Recommendation,
    SourceReport,
    SourceStatus,
)
from marquee.movies.search import SearchResult
from marquee.workflows.record import Status, StepError
from marquee_cli.client import ApiError, Client
from marquee_cli.cloud.cloud import Cloud
from marquee_cli.connection import laptop, said_plainly
from marquee_cli.following import (
    Clock,
    Execution,
    Pause,
    Progress,
    read,
    statuses,
    workflow_id_of,
)
from marquee_cli.terminal import plain, row, show_any_character, show_heading, show_line

FOUND, FAILED, NO_MATCH, PARTIAL = 0, 1, 3, 4
"""Exit codes; 2 is click's own for a wrong call."""

GIVE_UP_AFTER_SECONDS = 15 * 60
"""The state machine's own TimeoutSeconds."""

SITE = "https://www.themoviedb.org/movie"
NOTICE = "This product uses the TMDB API but is not endorsed or certified by TMDB."
BARS = " ▁▂▃▄▅▆▇█"
WIDE_BAR_FROM_COLUMNS = 52
"""Room for two cells a bin of the histogram; below it has one."""
COLORS = {"positive": "green", "negative": "red", "neutral": "yellow", "unscored": "dim"}


class ShownResult(SearchResult):
    """The result as it is read back."""

    movie: Movie | None  # type: ignore[assignment]  # the API writes a Movie as a document


class SearchStatus(Execution):
    """What is shown of ``GET /workflow/status/{id}``."""

    result: ShownResult | None = None


def follow(
    client: Client,
    request: Mapping[str, Any],
    progress: Console,
    *,
    now: Clock = time.monotonic,
    pause: Pause = time.sleep,
) -> dict[str, Any]:
    """Start or join the search and tell its steps until it has ended; answers its status document.

    Raises ApiError where the API refuses, or where the search has not ended in 15 minutes.
    """
    answer = client.search(request, wait_seconds=0)
    cached = answer.get("workflow_result")
    workflow_id = workflow_id_of(cached if isinstance(cached, dict) else answer)
    if cached:
        progress.print(Text(f"  answered from the search {plain(workflow_id)}", style="dim"))
    steps = Progress(progress)
    for document in statuses(
        client, workflow_id, seconds=GIVE_UP_AFTER_SECONDS, now=now, pause=pause
    ):
        status = read_status(document)
        if not cached:
            steps.tell(status.steps)
        if status.status is not Status.RUNNING:
            return document
    raise ApiError(f"{workflow_id} has not ended within {GIVE_UP_AFTER_SECONDS // 60} minutes")


def read_status(document: Mapping[str, Any]) -> SearchStatus:
    """The status document as a model; raises ApiError where it is something else."""
    return read(SearchStatus, document)


def exit_code(status: SearchStatus) -> int:
    """What a script learns of the search."""
    if status.status in (Status.FAILED, Status.CANCELED) or status.result is None:
        return FAILED
    if status.result.movie is None:
        return NO_MATCH
    return PARTIAL if status.status is Status.PARTIAL else FOUND


def show(status: SearchStatus, out: Console) -> None:
    """Print the result: the film, how people feel, the sources, what to watch next."""
    result = status.result
    if result is None:
        error = status.error or StepError(name=status.status, message="no reason is recorded")
        out.print(Text(plain(f"The search failed. {error.name}: {error.message}"), style="red"))
        return
    out.print()
    if result.movie:
        _show_film(result.movie, out)
    show_line(Text(plain(result.message), style="dim"), out)
    if result.candidates:
        show_heading("It could also have been", out)
        for film in result.candidates:
            show_line(Text(plain(f"{_titled(film.title, film.year)}: {film.reason}")), out)
    if result.analysis:
        _show_sentiment(result.analysis, out)
    if result.movie and result.sources:
        _show_sources(result.sources, out)
    if result.recommendations:
        _show_recommendations(result.recommendations, out)
    if result.missing:
        show_heading("Missing", out)
        for lacking in result.missing:
            show_line(Text(plain(lacking), style="yellow"), out)
    if result.movie:
        out.print(Text(f"\n{NOTICE}", style="dim"))


def _show_film(movie: Movie, out: Console) -> None:
    out.print(Text(plain(_titled(movie.title, movie.year)), style="bold"))
    facts = [
        ", ".join(genre.name for genre in movie.genres),
        f"{movie.runtime // 60} h {movie.runtime % 60} min" if movie.runtime else "",
        ", ".join(person.name for person in movie.directors),
        f"TMDB {movie.vote_average:.1f} from {movie.vote_count:,} votes"
        if movie.vote_count
        else "",
    ]
    if line := " · ".join(fact for fact in facts if fact):
        show_line(Text(plain(line)), out)
    if movie.overview:
        show_line(Text(plain(movie.overview)), out)
    show_line(Text(f"{SITE}/{movie.tmdb_id}", style="dim"), out)


def _show_sentiment(analysis: Analysis, out: Console) -> None:
    show_heading("What people feel", out)
    average = analysis.average_sentiment
    if average is None:
        show_line(Text("No review could be scored."), out)
        return
    line = Text(f"{analysis.label} {average:+.2f}", style=COLORS[analysis.label])
    if interval := analysis.confidence_interval:
        line.append(f" (95 %: {interval[0]:+.2f} to {interval[1]:+.2f})", style="default")
    reviews = "review" if analysis.sample_size == 1 else "reviews"
    line.append(f" over {analysis.sample_size} {reviews}{_period(analysis)}", style="default")
    show_line(line, out)
    cells = 2 if out.width >= WIDE_BAR_FROM_COLUMNS else 1
    if analysis.histogram:
        show_line(Text(f"   {sparkline(analysis.histogram, cells)}".rstrip()), out)
    scale = sentiment_bar(average, analysis.confidence_interval, 20 * cells)
    show_line(Text(f"-1 {scale} +1", style=COLORS[analysis.label]), out)
    counts = [
        Text(f"{label} {analysis.counts_by_label[label]}", style=COLORS[label])
        for label in Label
        if analysis.counts_by_label.get(label)
    ]
    show_line(Text("  ").join(counts), out)
    for quote in (*analysis.most_positive, *analysis.most_negative):
        show_line(_quoted(quote), out)


def _quoted(quote: Quote) -> Text:
    said = Text(plain(f"“{quote.text}”"))
    by = " on ".join(part for part in (quote.author, quote.source) if part)
    return said.append(plain(f"  {by} {quote.score:+.2f}  {quote.url or ''}").rstrip(), "dim")


def _period(analysis: Analysis) -> str:
    if analysis.period_from is None or analysis.period_to is None:
        return ""
    first, last = (
        f"{moment.day} {moment:%b %Y}" for moment in (analysis.period_from, analysis.period_to)
    )
    return f", {first}" if first == last else f", {first} to {last}"


def _show_sources(reports: Sequence[SourceReport], out: Console) -> None:
    show_heading("Sources", out)
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for report in reports:
        table.add_row(*row(report.source, report.status, _contributed(report)))
    out.print(Padding(table, (0, 0, 0, 2)))


def _contributed(report: SourceReport) -> str:
    """What a source gave, what it took, and what it says of itself."""
    numbers = [
        f"{report.new} new",
        f"{report.duplicates} known" if report.duplicates else "",
        f"{report.set_aside} set aside" if report.set_aside else "",
        f"{report.parked} waiting to be stored" if report.parked else "",
        f"{report.calls} call{'s' if report.calls > 1 else ''}" if report.calls else "",
        f"${report.cost_usd:.3f}" if report.cost_usd else "",
    ]
    gave = report.fetched or report.status is SourceStatus.OK
    facts = ", ".join(number for number in numbers if number) if gave else ""
    return "; ".join(part for part in (facts, report.reason) if part)


def _show_recommendations(films: Sequence[Recommendation], out: Console) -> None:
    show_heading("Watch next", out)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("film", overflow="fold")
    table.add_column("because", overflow="fold")
    for film in films:
        titled = _titled(film.title, film.year)
        table.add_row(*row(f"{film.score:.2f}", titled, "; ".join(film.reasons)))
    out.print(Padding(table, (0, 0, 0, 2)))


def sparkline(histogram: Sequence[int], cells: int = 1) -> str:
    """A bar per bin, as high as its share of the fullest one; a bin with one review shows."""
    top = max(histogram, default=0) or 1
    steps = len(BARS) - 1
    return "".join(BARS[-(-count * steps // top)] * cells for count in histogram)


def sentiment_bar(average: float, interval: tuple[float, float] | None, cells: int) -> str:
    """The line from -1 to +1 in ``cells``: a dot at the mean, its interval drawn heavy."""

    def cell(value: float) -> int:
        return min(max(int((value + 1) / 2 * cells), 0), cells - 1)

    line = ["─"] * cells
    if interval:
        for place in range(cell(interval[0]), cell(interval[1]) + 1):
            line[place] = "━"
    line[cell(average)] = "●"
    return "".join(line)


def _titled(title: str, year: int | None) -> str:
    return f"{title} ({year})" if year else title


@click.command()
@click.argument("movie_name")
@click.option("--year", type=int, help="The year it came out.")
@click.option(
    "--max-reviews",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many reviews each source may contribute.",
)
@click.option("--language", help="Language of the film's texts, such as hi; English by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the status document, nothing else.")
@click.pass_obj
def search(
    cloud: Cloud,
    movie_name: str,
    year: int | None,
    max_reviews: int,
    language: str | None,
    as_json: bool,
) -> None:
    """Search MOVIE_NAME: a title, with its year or not, or an IMDb id.

    \b
    Exit codes: 0 found, 1 failed, 2 wrong call, 3 no film matches,
    4 found, but something is missing.
    """
    show_any_character()
    request = {
        "movie_name": movie_name,
        "year": year,
        "max_reviews": max_reviews,
        "language": language,
    }
    asked = {name: value for name, value in request.items() if value is not None}
    progress = Console(stderr=True, quiet=as_json, highlight=False)
    with laptop(cloud) as client, said_plainly():
        document = follow(client, asked, progress)
        status = read_status(document)
    if as_json:
        click.echo(json.dumps(document, indent=2))  # ASCII: escapes are what moves no cursor
    else:
        show(status, Console(highlight=False))
    raise SystemExit(exit_code(status))
