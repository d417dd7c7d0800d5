"""The query language of X's recent search, as far as Marquee needs it; Bluesky's is a part."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from marquee_cli.upstreams.catalog import folded_words


@dataclass(frozen=True)
class Post:
    """What a query looks at in a post."""

    words: tuple[str, ...]
    hashtags: frozenset[str]
    language: str
    username: str
    has_link: bool

    @classmethod
    def of(cls, text: str, language: str, username: str) -> "Post":
        return cls(
            folded_words(text),
            frozenset(hashtags(text)),
            language,
            username.casefold(),
            "https://" in text,
        )


Predicate = Callable[[Post], bool]

_TOKEN = re.compile(r'\s*(?:(?P<group>-?\()|(?P<end>\))|(?P<sign>-)?(?P<atom>"[^"]*"|[^\s()"]+))')
_HASHTAG = re.compile(r"#([^\s#.,!?;:()\"']+)")
# Answered from what the stand-ins hold: no retweets, replies, quotes or media, none verified.
_NEVER = {"is:retweet", "is:reply", "is:quote", "is:verified", "has:media", "has:images"}


class QueryError(ValueError):
    """The query is not in the language; the message says where."""


def hashtags(text: str) -> list[str]:
    """The hashtags of a text in lower case, without `#`."""
    return [tag.casefold() for tag in _HASHTAG.findall(text)]


def parse(query: str) -> Predicate:
    """The test a query puts to a post: words, "phrases", #tags, OR, groups, `-` and operators.

    AND, which is written as nothing, binds tighter than OR. Raises QueryError for an empty query,
    unbalanced parentheses, an unknown operator, and a query of operators only, which X refuses.
    """
    parser = _Parser(query)
    predicate = parser.alternatives()
    if parser.position < len(query.rstrip()):
        raise QueryError(f"no viable alternative at character {parser.position + 1}")
    if not parser.standalone:
        raise QueryError("must include at least one word, phrase, hashtag or from:")
    return predicate


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.position = 0
        self.standalone = False

    def alternatives(self) -> Predicate:
        options = [self.conjunction()]
        while (token := self._peek()) and token["atom"] == "OR" and not token["sign"]:
            self.position = token.end()
            options.append(self.conjunction())
        return lambda post: any(option(post) for option in options)

    def conjunction(self) -> Predicate:
        terms: list[Predicate] = []
        while (token := self._peek()) and not token["end"]:
            if token["atom"] == "OR" and not token["sign"]:
                break
            self.position = token.end()
            terms.append(self._term(token))
        if not terms:
            raise QueryError(f"a term is missing at character {self.position + 1}")
        return lambda post: all(term(post) for term in terms)

    def _term(self, token: re.Match[str]) -> Predicate:
        if token["group"]:
            inner = self.alternatives()
            closing = self._peek()
            if not closing or not closing["end"]:
                raise QueryError(f"missing ')' for '(' at character {token.end()}")
            self.position = closing.end()
            negated = token["group"].startswith("-")
        else:
            inner = self._atom(token["atom"])
            negated = bool(token["sign"])
        return (lambda post: not inner(post)) if negated else inner

    def _atom(self, atom: str) -> Predicate:
        if atom.startswith("#"):
            self.standalone = True
            tag = atom[1:].casefold()
            return lambda post: tag in post.hashtags
        operator, colon, value = atom.partition(":")
        if colon and not atom.startswith('"'):
            return self._operator(operator, value, atom)
        phrase = folded_words(atom)
        if not phrase:
            raise QueryError(f"{atom} holds no letter or digit")
        self.standalone = True
        length = len(phrase)
        if length == 1:
            return lambda post: phrase[0] in post.words
        return lambda post: any(
            post.words[at : at + length] == phrase for at in range(len(post.words) - length + 1)
        )

    def _operator(self, operator: str, value: str, atom: str) -> Predicate:
        if atom in _NEVER:
            return lambda _: False
        match operator:
            case "lang":
                return lambda post: post.language == value
            case "from":
                self.standalone = True
                return lambda post: post.username == value.casefold()
            case "has" if value == "links":
                return lambda post: post.has_link
            case "has" if value == "hashtags":
                return lambda post: bool(post.hashtags)
        raise QueryError(f"Reference to invalid operator '{atom}'")

    def _peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self.query, self.position)
