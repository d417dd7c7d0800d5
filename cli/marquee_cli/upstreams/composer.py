"""Compose what people say about a film from phrases, the same text for the same film and number."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, count
from random import Random
from typing import Any, Literal

from marquee_cli.upstreams.catalog import DATA, Film

Mood = Literal["good", "bad", "mixed"]
MOODS: tuple[Mood, ...] = ("good", "bad", "mixed")
# Stars a review of a mood gives; None as on TMDB, where many reviews have no rating.
RATINGS: dict[Mood, tuple[float | None, ...]] = {
    "good": (8.0, 9.0, 10.0, 8.0, None, 7.0, 9.0),
    "bad": (2.0, 4.0, None, 3.0, 1.0, 4.0),
    "mixed": (6.0, 5.0, None, 6.0, 7.0, 5.0),
}
# One text in nine is in another language than English.
OTHER_LANGUAGE_EVERY = 9
X_LENGTH = 280


@dataclass(frozen=True)
class Text:
    """A text in a language (BCP 47), with the stars it gives where it gives any.

    Spam and talk of a namesake are not about the film.
    """

    text: str
    language: str = "en"
    rating: float | None = None
    about_film: bool = True


@dataclass(frozen=True)
class Voice:
    """What we wrote ourselves about one film, from `data/voices/`."""

    film_id: int
    overview: str = ""
    hashtags: tuple[str, ...] = ()
    sentences: dict[Mood, tuple[str, ...]] = field(default_factory=dict)
    reviews: tuple[Text, ...] = ()
    posts: tuple[Text, ...] = ()


@cache
def phrases() -> dict[str, dict[str, Any]]:
    """Mood → part of a text → phrases with the film's facts as slots; language → the same."""
    return tomllib.loads((DATA / "phrases.toml").read_text("utf-8"))


class Composer:
    """An endless stream of texts on one film, of the moods its votes suggest."""

    def __init__(self, film: Film, voice: Voice) -> None:
        self._random = Random(f"composer {film.id}")  # noqa: S311 - a reproducible choice, no secret
        self._slots = _slots(film)
        self._hashtag = f"#{film.hashtag}"
        self._more_hashtags = [f"#{tag}" for tag in more_hashtags(film, voice)]
        self._parts: dict[Mood, tuple[list[str], list[str], list[str]]] = {}
        for mood in MOODS:
            own = voice.sentences.get(mood, ())
            facts = [text for text in phrases()[mood]["facts"] if self._fits(text)]
            self._parts[mood] = (
                self._shuffled(phrases()[mood]["openers"]),
                self._shuffled([*own, *facts]),
                self._shuffled(phrases()[mood]["closers"]),
            )
        self._foreign = [self._in(language) for language in _other_languages(film)]
        liked = min(max((film.vote_average - 4) / 5, 0.1), 0.85)
        self._moods: list[Mood] = self._random.choices(
            MOODS, (liked, (1 - liked) * 0.55, (1 - liked) * 0.45), k=60
        )

    def posts(self) -> Iterator[Text]:
        """Texts of one to three sentences, at most 280 characters, that name the film."""
        told = dict.fromkeys(MOODS, 0)
        said: set[str] = set()
        foreign = list(chain(*zip(*self._foreign, strict=False)))
        for number in count():
            if foreign and number % OTHER_LANGUAGE_EVERY == OTHER_LANGUAGE_EVERY - 1:
                yield foreign.pop()
                continue
            mood = self._moods[number % len(self._moods)]
            opener, fact, closer = self._pick(mood, told[mood])
            told[mood] += 1
            more = self._more_hashtags[number % len(self._more_hashtags)]
            tag = f"{self._hashtag} {more}" if number % 3 == 0 else self._hashtag
            shapes = (
                f"{opener} {fact} {closer} {tag}",
                f"{fact} {closer} {tag}",
                f"{opener} {fact} {tag}",
                f"{fact} {tag}",
            )
            # Two shapes take turns, the longer one where it fits; the last one always does.
            fitting = [shape for shape in shapes[number % 2 :] if len(shape) <= X_LENGTH]
            if fitting[0] not in said:
                said.add(fitting[0])
                yield Text(fitting[0])

    def reviews(self) -> Iterator[Text]:
        """Texts of one to four paragraphs with stars, as on TMDB."""
        told = dict.fromkeys(MOODS, 0)
        for number in count():
            mood = self._moods[-1 - number % len(self._moods)]
            turn = told[mood]
            told[mood] += 1
            opener, _, closer = self._pick(mood, turn)
            body = self._random.sample(self._parts[mood][1], self._random.randint(2, 6))
            paragraphs = [" ".join(body[at : at + 2]) for at in range(0, len(body), 2)]
            told_text = "\r\n\r\n".join([f"{opener} {paragraphs[0]}", *paragraphs[1:], closer])
            ratings = RATINGS[mood]
            yield Text(self._fill(told_text), "en", ratings[turn % len(ratings)])

    def _pick(self, mood: Mood, turn: int) -> tuple[str, str, str]:
        """The parts of the turn-th text of a mood, offset so that few texts share two of them."""
        openers, facts, closers = self._parts[mood]
        opener = openers[turn % len(openers)]
        fact = facts[(turn + turn // len(openers)) % len(facts)]
        closer = closers[(turn * 7 + turn // len(facts)) % len(closers)]
        return self._fill(opener), self._fill(fact), self._fill(closer)

    def _in(self, language: str) -> list[Text]:
        """Each thing we can say of a film in a language, once."""
        said = [
            (fact, spoken["closers"][turn % len(spoken["closers"])])
            for spoken in phrases()[language].values()
            for turn, fact in enumerate(spoken["facts"])
        ]
        return [
            Text(f"{self._fill(fact)} {self._fill(closer)} {self._hashtag}", language)
            for fact, closer in self._random.sample(said, len(said))
        ]

    def _fits(self, text: str) -> bool:
        return all(value or f"{{{slot}}}" not in text for slot, value in self._slots.items())

    def _fill(self, text: str) -> str:
        for slot, value in self._slots.items():
            text = text.replace(f"{{{slot}}}", value)
        return text

    def _shuffled(self, texts: Sequence[str]) -> list[str]:
        return self._random.sample(texts, len(texts))


def more_hashtags(film: Film, voice: Voice) -> list[str]:
    """Hashtags of the film beside its title, which must not mean anything else."""
    own = [tag for tag in voice.hashtags if tag.casefold() != film.hashtag.casefold()]
    return own or [f"{film.hashtag}Movie"]


def _slots(film: Film) -> dict[str, str]:
    actors = [*film.cast, "", ""]
    topics = [*film.keywords, "", ""]
    return {
        "title": film.title,
        "director": film.director,
        "lead": actors[0],
        "second": actors[1],
        "genre": film.genres[0].lower() if film.genres else "",
        "topic": topics[0],
        "other_topic": topics[1],
        "year": str(film.year),
        "runtime": str(film.runtime) if film.runtime else "",
    }


def _other_languages(film: Film) -> tuple[str, ...]:
    """Films are talked about in their own language where we write it, and in Spanish."""
    indian = {"te": ("te", "hi", "es"), "hi": ("hi", "es")}
    return indian.get(film.language, ("es",))
