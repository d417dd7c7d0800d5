"""What the data of the stand-ins promises: enough films, enough texts, of every kind."""

import re
from collections import Counter
from itertools import combinations

import httpx
import pytest

from marquee_cli.upstreams.catalog import Catalog, folded_words
from marquee_cli.upstreams.composer import X_LENGTH
from marquee_cli.upstreams.voices import NETWORKS, SHOWCASE_FILM, Said, Voices

PUSHPA = 690957
LINKED_OFFER = re.compile(r"https://t\.co/")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture(scope="module")
def voices(catalog: Catalog) -> Voices:
    return Voices(catalog)


def posts_about(voices: Voices, film: int) -> list[Said]:
    return [said for network in NETWORKS for said in voices.posts(network) if said.film.id == film]


def test_there_are_at_least_300_films_each_with_its_facts(catalog: Catalog) -> None:
    assert len(catalog.films) >= 300
    assert len(catalog.by_id) == len(catalog.films)
    for film in catalog.films:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", film.release_date)
        assert film.genres
        assert set(film.genres) <= set(catalog.genre_ids)
        assert film.director
        assert film.cast or film.title in {"Flow", "Piper"}, film.title


def test_namesakes_and_sequels_are_there(catalog: Catalog) -> None:
    def years(query: str) -> set[int]:
        return {film.year for film in catalog.search(query)}

    assert years("dune") == {1984, 2021, 2024}
    assert years("avatar") == {2009, 2022}
    assert years("joker") == {2019, 2024}
    assert years("the lion king") >= {1994, 2019}
    assert len(years("batman")) >= 6
    assert {"RRR", "Pushpa: The Rise - Part 1"} <= {film.title for film in catalog.films}


def test_at_least_30_films_have_texts_of_our_own_in_several_languages(voices: Voices) -> None:
    written = voices.written.values()
    assert len(written) >= 30
    assert all(len(voice.reviews) >= 3 and len(voice.posts) >= 3 for voice in written)
    languages = Counter(text.language for voice in written for text in voice.posts)
    assert set(languages) == {"en", "es", "hi", "te"}
    assert min(languages.values()) >= 10
    own = [text.text for voice in written for text in (*voice.reviews, *voice.posts)]
    assert len(own) == len(set(own))


def test_the_showcase_film_is_much_talked_about(voices: Voices, catalog: Catalog) -> None:
    film = catalog.by_id[SHOWCASE_FILM]
    assert len(voices.reviews(film)) >= 25
    counts = {n: sum(said.film is film for said in voices.posts(n)) for n in NETWORKS}
    assert counts["x"] >= 120
    assert min(counts.values()) >= 40
    lengths = [len(said.text.text) for said in voices.reviews(film)]
    assert min(lengths) < 150
    assert max(lengths) > 2000


def test_texts_of_the_showcase_film_differ_but_for_the_copied_one(voices: Voices) -> None:
    """Word triples in common, as near-duplicate checks count them, stay below four fifths."""
    copied = "whole personality"
    texts = [said.text.text for said in posts_about(voices, SHOWCASE_FILM)]
    assert sum(copied in text for text in texts) >= 5
    triples = []
    for text in texts:
        if copied not in text:
            spoken = folded_words(text)
            triples.append({spoken[at : at + 3] for at in range(max(1, len(spoken) - 2))})
    for one, other in combinations(triples, 2):
        assert len(one & other) / len(one | other) < 0.8


def test_every_film_is_talked_about_everywhere(voices: Voices, catalog: Catalog) -> None:
    for network in NETWORKS:
        talked = Counter(said.film.id for said in voices.posts(network))
        assert set(talked) == set(catalog.by_id)
        assert min(talked.values()) >= 2
    assert all(len(voices.reviews(film)) >= 2 for film in catalog.films)


def test_posts_fit_their_network_and_hold_no_empty_slot(voices: Voices) -> None:
    for network in NETWORKS:
        for said in voices.posts(network):
            assert "{" not in said.text.text
            assert network != "x" or len(said.text.text) <= X_LENGTH
            assert network != "mastodon" or "#" in said.text.text


def test_some_posts_are_spam_and_some_about_a_namesake(voices: Voices) -> None:
    aside = [t.text for v in voices.written.values() for t in v.posts if not t.about_film]
    spam = [text for text in aside if LINKED_OFFER.search(text)]
    assert len(spam) >= 5
    assert len(aside) - len(spam) >= 10


def test_moods_are_mixed(voices: Voices, catalog: Catalog) -> None:
    ratings = [said.text.rating for film in catalog.films for said in voices.reviews(film)]
    assert None in ratings
    stars = [rating for rating in ratings if rating is not None]
    assert min(stars) <= 2
    assert max(stars) == 10
    assert sum(rating <= 4 for rating in stars) > len(stars) / 10


def test_some_records_are_damaged_as_real_ones_are(
    tmdb: httpx.Client, x: httpx.Client, mastodon: httpx.Client
) -> None:
    query = {"query": "#PushpaTheRisePart1", "max_results": "100", "tweet.fields": "created_at"}
    posts = x.get("/tweets/search/recent", params=query).json()["data"]
    assert any("created_at" not in post for post in posts)
    assert any(post.get("created_at") == "yesterday around noon" for post in posts)
    assert any("id" not in post for post in posts)
    assert any(post["text"] == "" for post in posts)
    assert any("\ud83d" in post["text"] for post in posts)
    reviews = tmdb.get(f"/movie/{PUSHPA}/reviews").json()["results"]
    assert any(review["content"] == "" for review in reviews)
    assert any("created_at" not in review for review in reviews)
    statuses = mastodon.get("/timelines/tag/PushpaTheRisePart1").json()
    assert any(status["content"] == "" for status in statuses)
