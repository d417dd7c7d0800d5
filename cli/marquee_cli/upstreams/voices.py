"""What people say about every film: our own texts first, composed ones after, a few damaged."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from marquee_cli.upstreams.catalog import DATA, Catalog, Film, folded_words, stable_number
from marquee_cli.upstreams.composer import MOODS, Composer, Text, Voice, more_hashtags
from marquee_cli.upstreams.query import hashtags

Network = Literal["x", "bluesky", "mastodon"]
NETWORKS: tuple[Network, ...] = ("x", "bluesky", "mastodon")
Source = Literal["tmdb", "x", "bluesky", "mastodon"]
SOURCES: tuple[Source, ...] = ("tmdb", *NETWORKS)

# How many reviews and posts a film has at least: the film of the README, films of our own texts,
# and the rest.
SHOWCASE_FILM = 579974
AT_LEAST: dict[str, dict[Source, int]] = {
    "showcase": {"tmdb": 28, "x": 126, "bluesky": 44, "mastodon": 44},
    "written": {"tmdb": 6, "x": 14, "bluesky": 9, "mastodon": 7},
    "other": {"tmdb": 2, "x": 4, "bluesky": 3, "mastodon": 2},
}
# Our own posts are listed by language; these two lists are English.
NOT_ABOUT_THE_FILM = ("spam", "namesake")
# How our own posts are shared out: X has the most talk.
SHARE: tuple[Network, ...] = ("x", "bluesky", "x", "mastodon")


@dataclass(frozen=True)
class Author:
    """Someone with an account; the number tells accounts apart on every network."""

    number: int
    name: str
    handle: str


@dataclass(frozen=True)
class Said:
    """One review or post; `damage` names fields to drop or to overwrite in the answer, as
    real services sometimes send them."""

    key: str
    film: Film
    text: Text
    author: Author
    damage: dict[str, Any] | None = None

    @property
    def likes(self) -> int:
        """Few posts are liked much: the cube of an even share of 0..500."""
        return int(500 * (stable_number(f"likes {self.key}") % 1000 / 1000) ** 3)


class Voices:
    """All reviews and posts, composed on first use."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._asked: dict[tuple[int, Source], int] = {}
        self._reviews: dict[int, list[Said]] = {}
        self._posts: dict[int, dict[Network, list[Said]]] = {}

    def ask_for(self, film: Film, source: Source, at_least: int) -> int:
        """Let a film have at least so many texts at a source; how many there are then."""
        self._asked[film.id, source] = at_least
        self._reviews.pop(film.id, None)
        self._posts.pop(film.id, None)
        if source == "tmdb":
            return len(self.reviews(film))
        return len(self._posts_of(film)[source])

    def reset(self) -> bool:
        """Forget what was asked for; whether anything was."""
        asked = bool(self._asked)
        for film_id, _ in self._asked:
            self._reviews.pop(film_id, None)
            self._posts.pop(film_id, None)
        self._asked.clear()
        return asked

    def reviews(self, film: Film) -> list[Said]:
        if film.id not in self._reviews:
            voice = self.voice(film)
            own = list(voice.reviews)
            missing = max(0, self._at_least(film, "tmdb") - len(own))
            texts = [*own, *islice(Composer(film, voice).reviews(), missing)]
            said = [self._said(film, "tmdb", number, text) for number, text in enumerate(texts)]
            self._reviews[film.id] = [*said, *self._damaged(film, "tmdb")]
        return self._reviews[film.id]

    def posts(self, network: Network) -> Iterator[Said]:
        for film in self._catalog.films:
            yield from self._posts_of(film)[network]

    def voice(self, film: Film) -> Voice:
        return self.written.get(film.id) or Voice(film.id)

    @cached_property
    def written(self) -> dict[int, Voice]:
        """Film id → what we wrote."""
        files = sorted((DATA / "voices").glob("*.toml"))
        voices = [_voice(tomllib.loads(file.read_text("utf-8"))) for file in files]
        return {voice.film_id: voice for voice in voices}

    def _posts_of(self, film: Film) -> dict[Network, list[Said]]:
        if film.id not in self._posts:
            voice = self.voice(film)
            texts: dict[Network, list[Text]] = {network: [] for network in NETWORKS}
            for number, text in enumerate(voice.posts):
                network = SHARE[number % len(SHARE)]
                texts[network].append(_findable(network, film, voice, text))
            composed = Composer(film, voice).posts()
            for network in NETWORKS:
                missing = max(0, self._at_least(film, network) - len(texts[network]))
                texts[network].extend(islice(composed, missing))
            self._posts[film.id] = {
                network: [
                    *(self._said(film, network, n, text) for n, text in enumerate(texts[network])),
                    *self._damaged(film, network),
                ]
                for network in NETWORKS
            }
        return self._posts[film.id]

    def _at_least(self, film: Film, source: Source) -> int:
        kind = "written" if film.id in self.written else "other"
        usual = AT_LEAST["showcase" if film.id == SHOWCASE_FILM else kind][source]
        return max(usual, self._asked.get((film.id, source), 0))

    def _said(
        self,
        film: Film,
        source: Source,
        number: int | str,
        text: Text,
        damage: dict[str, Any] | None = None,
    ) -> Said:
        key = f"{source}/{film.id}/{number}"
        return Said(key, film, text, self._author(key), damage)

    def _damaged(self, film: Film, source: Source) -> list[Said]:
        return [
            self._said(film, source, f"damaged {number}", Text(record["text"]), record["damage"])
            for number, record in enumerate(self._damaged_records)
            if (record["film"], record["source"]) == (film.id, source)
        ]

    @cached_property
    def _damaged_records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = json.loads((DATA / "damaged.json").read_text("utf-8"))
        return records

    def _author(self, key: str) -> Author:
        return self.authors[stable_number(f"author {key}") % len(self.authors)]

    @cached_property
    def authors(self) -> list[Author]:
        people = json.loads((DATA / "people.json").read_text("utf-8"))
        pairs = [(name, habit) for habit in people["habits"] for name in people["names"]]
        return [
            Author(number, f"{name} {habit}", f"{name.lower()}_{habit.lower()}"[:15])
            for number, (name, habit) in enumerate(pairs)
        ]


def damaged(record: dict[str, Any], damage: dict[str, Any] | None) -> dict[str, Any]:
    """The record with the damage done: null drops the field, any other value overwrites it.

    A field inside an object is named by its path: `record.createdAt`.
    """
    for path, value in (damage or {}).items():
        *parents, name = path.split(".")
        holder = record
        for parent in parents:
            holder = holder[parent]
        if value is None:
            holder.pop(name, None)
        else:
            holder[name] = value
    return record


def _findable(network: Network, film: Film, voice: Voice, text: Text) -> Text:
    """The post with the hashtags its author would add where its words alone do not name the film,
    and on Mastodon, where nobody finds a post without them."""
    said = f" {' '.join(folded_words(text.text))} "
    named = f" {' '.join(folded_words(film.title))} " in said
    tags: list[str] = []
    if network == "mastodon" or (text.about_film and not named):
        tags = [film.hashtag]
    if network == "mastodon" and text.about_film:
        tags += more_hashtags(film, voice)[:1]
    missing = [f"#{tag}" for tag in tags if tag.casefold() not in hashtags(text.text)]
    return replace(text, text=" ".join([text.text, *missing]))


def _voice(file: dict[str, Any]) -> Voice:
    posts = [
        Text(text, "en", about_film=False) if kind in NOT_ABOUT_THE_FILM else Text(text, kind)
        for kind, texts in file["posts"].items()
        for text in texts
    ]
    # Mixed, so that every network gets some of every language, and the same ones each time.
    posts.sort(key=lambda post: stable_number(post.text))
    copies = [
        Text(shape.format(copied["text"]), copied.get("language", "en"))
        for copied in file.get("copied", [])
        for shape in copied["shapes"]
    ]
    return Voice(
        film_id=file["film"],
        overview=file.get("overview", ""),
        hashtags=tuple(file.get("hashtags", ())),
        sentences={mood: tuple(file.get(mood, ())) for mood in MOODS},
        reviews=tuple(
            Text(r["text"], r.get("language", "en"), r.get("rating")) for r in file["reviews"]
        ),
        posts=(*posts, *copies),
    )
