"""The stand-in of TMDB has a picture at every address that its answers give."""

from xml.etree import ElementTree

import httpx
import pytest

from marquee_cli.upstreams.catalog import Catalog
from marquee_cli.upstreams.posters import HEIGHT, SIZES, WIDTH, drawn, with_posters

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = {"svg", "defs", "linearGradient", "stop", "rect", "circle", "path", "g", "text"}


def test_a_film_that_is_found_has_a_picture_in_every_size(
    tmdb: httpx.Client, nobody: httpx.Client
) -> None:
    for film in tmdb.get("/search/movie", params={"query": "dune"}).json()["results"]:
        for size in SIZES:
            poster = nobody.get(f"/images/t/p/{size}{film['poster_path']}")
            assert poster.status_code == 200
            assert poster.headers["content-type"].startswith("image/svg+xml")
            assert poster.headers["cache-control"].endswith("immutable")


@pytest.mark.parametrize("address", ["w342/nobody.jpg", "w343/marquee1.svg", "w342/../x.jpg"])
def test_what_no_answer_names_is_not_there(nobody: httpx.Client, address: str) -> None:
    assert nobody.get(f"/images/t/p/{address}").status_code == 404


def test_every_drawing_names_its_film_within_its_bounds_and_runs_nothing() -> None:
    # As parsed XML: a title with a sign of XML in it would not be well-formed if it were not told.
    for film in with_posters(Catalog.load()).films:
        drawing = ElementTree.fromstring(drawn(film))  # noqa: S314 - drawn here
        tags = {element.tag.removeprefix(SVG) for element in drawing.iter()}
        assert tags <= SHAPES
        *title, byline = drawing.iter(f"{SVG}text")
        shown = " ".join(line.text or "" for line in title).removesuffix(" …")
        assert shown
        assert " ".join(film.title.split()).startswith(shown)
        assert byline.text == f"{film.year} · {film.director}"
        for line in (*title, byline):
            assert 0 < float(line.attrib["x"]) < WIDTH
            assert 0 < float(line.attrib["y"]) < HEIGHT


def test_the_same_film_has_the_same_drawing_and_two_films_differ() -> None:
    one, other = with_posters(Catalog.load()).films[:2]
    assert drawn(one) == drawn(one)
    assert drawn(one) != drawn(other)
