"""Is a post about the film: titles that are common words need a sign of cinema beside them.

The check is for posts found by words or hashtags, and leans to keeping: a title of more than two
words is sign enough, and a post in another language than English, where "Up" or "Dune" is no
common word, is kept.
"""

import re
import unicodedata

from marquee.movies.models import Movie, Review
from marquee.movies.near_duplicates import normalized_words
from marquee.movies.titles import words

SHORT_TITLE_LETTERS = 10
"""Two words up to here in all ("Get Out", "Inside Out", "Top Gun") are said about other things."""

ACTORS_NAMED = 3
"""How many of the cast a post is expected to name."""

SURNAME_LETTERS = 5
"""A surname from here on ("Phoenix", "Rajamouli") is sign enough without the first name."""

FILM_WORDS = frozenset(
    words(
        """
        movie movies film films filmmaking filmmaker cinema cinemas cinematic cinematography trailer
        teaser watch watched watching rewatch rewatched rewatching director directed directing
        direction actor actors actress actresses acting performance performances cast casting
        screenplay script plot story storyline storytelling dialogue dialogues character characters
        scene scenes sequel sequels prequel remake franchise soundtrack editing pacing runtime cgi
        vfx stunts imax theater theaters theatre theatres ticket tickets interval popcorn screen
        screening premiere blockbuster boxoffice hero heroes villain villains protagonist ending
        starring masterpiece spoiler spoilers oscar oscars netflix hollywood bollywood tollywood
        """
    )
)
"""What people say when they talk about a film."""

QUERY_WORDS = ("movie", "film", "cinema", "trailer", "watched", "watching")
"""Those that say the most, for a query that has room for few."""

_ARTICLES = {"a", "an", "the", "le", "la", "les", "el", "los", "las", "der", "die", "das", "il"}

_FIRST_PART = re.compile(r"[\s:,\u2013-]+Part (?:1|One|I)$", re.IGNORECASE)
_STARS = re.compile(r"\b\d{1,2}(?:\.\d)?/10\b|[★⭐]")
_LINK = re.compile(r"https?://|www\.")
_OFFER = re.compile(
    r"\b(?:crypto|airdrop|presale|giveaway|nfts?|tokens?|casino|onlyfans|betting"
    r"|(?:full|free) (?:hd )?(?:movie )?(?:download|stream)\w*|download (?:now|free|link)"
    r"|whatsapp|telegram|\d+% off|promo code)\b",
    re.IGNORECASE,
)


def spoken_title(movie: Movie) -> str:
    """The title as people say it: nobody adds "Part 1" to a film that came first."""
    return _FIRST_PART.sub("", movie.title)


def needs_context(title: str) -> bool:
    """Whether a title alone could mean something else: one word or two short ones.

    An article before them tells nothing.
    """
    telling = words(title)
    if telling and telling[0] in _ARTICLES:
        telling = telling[1:]
    short = sum(map(len, telling)) <= SHORT_TITLE_LETTERS
    return len(telling) <= 1 or (len(telling) == 2 and short)


def hashtag(title: str) -> str:
    """The title as people write it behind ``#``: "PushpaTheRise"; case tells nothing there."""
    kept = "".join(
        "" if letter in "'\u2019" else letter if unicodedata.category(letter)[0] in "LMN" else " "
        for letter in unicodedata.normalize("NFC", title)
    )
    return "".join(word[:1].upper() + word[1:] for word in kept.split())


def film_hashtags(movie: Movie) -> tuple[str, ...]:
    """Hashtags that mean this film and nothing else of its name."""
    stem = hashtag(spoken_title(movie))
    endings = ("Movie", "Film", movie.year) if stem else ()
    return tuple(f"{stem}{ending}" for ending in endings if ending)


def hashtags(movie: Movie) -> tuple[str, ...]:
    """Where people talk about the film, without ``#``; a common word has one of its own beside."""
    said = spoken_title(movie)
    tags = [hashtag(said), hashtag(movie.title)]
    if needs_context(said):
        tags.extend(film_hashtags(movie)[:1])
    # A hashtag of digits alone is none, on X and on Mastodon.
    return tuple(dict.fromkeys(tag for tag in tags if tag and not tag.isdigit()))


def people(movie: Movie) -> tuple[str, ...]:
    """The names that a post about the film is likely to hold, directors first."""
    return tuple(person.name for person in (*movie.directors, *movie.cast[:ACTORS_NAMED]))


def is_about(post: Review, movie: Movie) -> bool:
    """Whether a post that holds the title is about the film."""
    if not needs_context(spoken_title(movie)) or post.language not in {None, "en"}:
        return True
    signs = FILM_WORDS | {tag.casefold() for tag in film_hashtags(movie)} | _surnames(movie)
    # The title itself is no sign of itself: "Hero", "The Ticket".
    said = set(words(post.text)) - set(words(movie.title))
    return bool(_STARS.search(post.text)) or not signs.isdisjoint(said)


def is_spam(post: Review) -> bool:
    """Whether a post says nothing but links and mentions, or offers something behind a link."""
    if not normalized_words(post.text):
        return True
    return bool(_LINK.search(post.text) and _OFFER.search(post.text))


def is_wanted(post: Review, movie: Movie) -> bool:
    """Whether a post counts as a review of the film."""
    return is_about(post, movie) and not is_spam(post)


def _surnames(movie: Movie) -> set[str]:
    """What stands behind the first names, also as "Phoenix's" is normalized."""
    behind_first = {word for name in people(movie) for word in words(name)[1:]}
    telling = {word for word in behind_first if len(word) >= SURNAME_LETTERS}
    return telling | {f"{word}s" for word in telling}
