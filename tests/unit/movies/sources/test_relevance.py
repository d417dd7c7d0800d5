"""Which posts are about the film, about a namesake, or spam."""

import pytest

from marquee.movies.models import Person
from marquee.movies.sources.relevance import (
    hashtag,
    hashtags,
    is_about,
    is_spam,
    needs_context,
    spoken_title,
)
from tests.support.builders import a_movie, a_review


@pytest.mark.parametrize(
    "title", ["It", "Up", "RRR", "Dune", "The Batman", "Get Out", "Inside Out", "Interstellar", ""]
)
def test_one_word_or_two_short_ones_could_mean_something_else(title: str) -> None:
    assert needs_context(title)


@pytest.mark.parametrize("title", ["Blade Runner", "Pushpa: The Rise", "The Good, the Bad"])
def test_a_longer_title_tells(title: str) -> None:
    assert not needs_context(title)


@pytest.mark.parametrize(
    ("title", "tag"),
    [
        ("Pushpa: The Rise", "PushpaTheRise"),
        ("Schindler's List", "SchindlersList"),
        ("Amélie", "Amélie"),
        ("పుష్ప - ది రైజ్", "పుష్పదిరైజ్"),
        ("???", ""),
    ],
)
def test_a_hashtag_is_the_title_without_spaces_and_signs(title: str, tag: str) -> None:
    assert hashtag(title) == tag


def test_a_first_part_is_also_said_without_its_number() -> None:
    first = a_movie(title="Pushpa: The Rise - Part 1")
    assert spoken_title(first) == "Pushpa: The Rise"
    assert hashtags(first) == ("PushpaTheRise", "PushpaTheRisePart1")
    assert spoken_title(a_movie(title="Dune: Part Two")) == "Dune: Part Two"


def test_a_number_alone_is_no_hashtag() -> None:
    assert hashtags(a_movie(title="1917")) == ("1917Movie",)


DUNE = a_movie(
    title="Dune",
    original_title="Dune",
    original_language="en",
    year=2021,
    directors=(Person(id=1, name="Denis Villeneuve"),),
    cast=(Person(id=2, name="Timothée Chalamet"), Person(id=3, name="Rebecca Ferguson")),
)


@pytest.mark.parametrize(
    "text",
    [
        "Dune put my whole row to sleep. Boring movie.",
        "Every ship in Dune looks like a million tons #DuneMovie",
        "so #Dune2021 was loud",
        "Chalamet's hair in Dune deserves a prize",
        "Dune, stayed for Rebecca Ferguson",
        "Dune: 9/10",
    ],
)
def test_a_common_word_beside_a_sign_of_cinema_is_the_film(text: str) -> None:
    assert is_about(a_review(text=text, language="en"), DUNE)
    assert is_about(a_review(text=text, language=None), DUNE)


@pytest.mark.parametrize(
    "text",
    [
        "The Dune of Pilat is slowly eating a forest. Bring water. #Dune #hiking",
        "best dune run of the season, sand absolutely everywhere #Dune",
    ],
)
def test_a_namesake_is_not_the_film(text: str) -> None:
    assert not is_about(a_review(text=text, language="en"), DUNE)


def test_the_title_is_no_sign_of_itself() -> None:
    hero = a_movie(title="Hero", directors=(), cast=())
    assert not is_about(a_review(text="My dog is my hero", language="en"), hero)


def test_another_language_uses_no_english_word_by_chance() -> None:
    assert is_about(a_review(text="Dune es lenta, fría y preciosa", language="es"), DUNE)


def test_a_telling_title_needs_no_sign() -> None:
    film = a_movie(title="Everything Everywhere All at Once")
    assert is_about(a_review(text="Everything Everywhere All at Once!", language="en"), film)


@pytest.mark.parametrize(
    "text",
    [
        "https://t.co/abc @someone",
        "RRR fans! join the presale before midnight https://t.co/m00nRRR",
        "Pushpa part 3 LEAKED full movie download https://t.co/pu5hpaXX hurry",
    ],
)
def test_offers_behind_a_link_and_bare_links_are_spam(text: str) -> None:
    assert is_spam(a_review(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "My thoughts on the film: https://example.org/review",
        "The crypto subplot was silly",
        "I bought the download and regret nothing",
    ],
)
def test_a_link_or_an_odd_word_alone_is_no_spam(text: str) -> None:
    assert not is_spam(a_review(text=text))
