"""Posters of the stand-in of TMDB: drawn around a film's title, the same each time."""

import html
import textwrap
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from marquee_cli.upstreams.catalog import Catalog, Film, stable_number

SIZES = ("w92", "w154", "w185", "w342", "w500", "w780", "original")
"""The widths that TMDB offers; a drawing has every width."""

WIDTH, HEIGHT = 500, 750
MARGIN = 40
TITLE_SIZES = (76, 60, 48, 38)
"""Of the letters: the first at which the title takes no more than its lines."""
MOST_LINES = 4
LETTER_SHARE = 0.68
"""Mean width of a bold letter by its height, in a wide font."""

HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
}
"""TMDB's pictures never change under their name; a drawing that is opened alone runs nothing."""


class Posters:
    """The drawings, by the names that TMDB's answers give them."""

    def __init__(self, catalog: Catalog) -> None:
        self._films = {film.poster_path: film for film in catalog.films}

    def routes(self) -> list[Route]:
        return [Route("/t/p/{size}/{name}", self._poster)]

    async def _poster(self, request: Request) -> Response:
        film = self._films.get(f"/{request.path_params['name']}")
        if film is None or request.path_params["size"] not in SIZES:
            return PlainTextResponse("Not Found", 404)
        return Response(drawn(film), headers=HEADERS, media_type="image/svg+xml")


def with_posters(catalog: Catalog) -> Catalog:
    """The same films, those without a poster having one of ours."""
    films = [
        film if film.poster_path else replace(film, poster_path=f"/marquee{film.id}.svg")
        for film in catalog.films
    ]
    return Catalog(films, catalog.genre_ids)


def drawn(film: Film) -> str:
    """An SVG of 2:3: bands of light around one figure, with title, year and director below."""
    seed = stable_number(f"poster {film.id}")
    hue, turn = seed % 360, 25 + seed // 360 % 50
    dark, light = f"hsl({hue} 55% 14%)", f"hsl({(hue + turn) % 360} 70% 58%)"
    letters, lines = _title(film.title)
    bottom = HEIGHT - MARGIN - 56
    title = "".join(
        f'<text x="{MARGIN}" y="{bottom - letters * (len(lines) - 1 - number):.0f}" '
        f'font-size="{letters}" font-weight="800">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    byline = html.escape(f"{film.year} · {film.director}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}"><defs><linearGradient id="sky" x2="0" y2="1">'
        f'<stop stop-color="{light}"/><stop offset=".72" stop-color="{dark}"/></linearGradient>'
        f'</defs><rect width="{WIDTH}" height="{HEIGHT}" fill="url(#sky)"/>'
        f"{_figure(seed)}"
        f'<g fill="#fff" font-family="system-ui, Helvetica, Arial, sans-serif">{title}'
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN}" font-size="26" opacity=".8">{byline}</text>'
        "</g></svg>"
    )


def _figure(seed: int) -> str:
    """One of four: a sun, rings, hills or the beams of a projector."""
    across, radius = 120 + seed // 7 % 260, 70 + seed // 11 % 70
    white = 'fill="#fff"'
    if seed % 4 == 0:
        parts = f'<circle cx="{across}" cy="240" r="{radius}" {white} opacity=".85"/>'
    elif seed % 4 == 1:
        parts = "".join(
            f'<circle cx="{across}" cy="260" r="{radius + 45 * ring}" fill="none" stroke="#fff" '
            f'stroke-width="14" opacity="{0.5 - 0.11 * ring:.2f}"/>'
            for ring in range(4)
        )
    elif seed % 4 == 2:
        parts = "".join(
            f'<path d="M-40 {430 + 50 * hill}Q{across - 60 * hill} {190 + 90 * hill} 540 '
            f'{420 + 40 * hill}V750H-40Z" opacity=".35"/>'
            for hill in range(3)
        )
    else:
        parts = "".join(
            f'<path d="M{across} 90L{-160 + 200 * beam} 560h110Z" {white} opacity=".16"/>'
            for beam in range(4)
        )
    return parts


def _title(title: str) -> tuple[int, list[str]]:
    """The height of the letters, and the lines that the title takes then."""
    for letters in TITLE_SIZES:
        columns = int((WIDTH - 2 * MARGIN) / (letters * LETTER_SHARE))
        lines = textwrap.wrap(title, columns, break_long_words=False, break_on_hyphens=False)
        if len(lines) <= MOST_LINES and max(map(len, lines)) <= columns:
            return letters, lines
    wrapped = textwrap.wrap(
        title, columns, break_on_hyphens=False, max_lines=MOST_LINES, placeholder=" …"
    )
    return letters, wrapped
