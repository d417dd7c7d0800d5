"""AnalyzeReviews: score each review, and sum up how people feel about a film.

A review's score lies in -1..1 and has two parts:

- Its text, if that is English: VADER's compound (Hutto, Gilbert: VADER, ICWSM 2014). Compound sums
  the valences of a text's words and so nears -1 or 1 the longer the text is; it was made for
  tweets. A longer text is therefore cut between sentences into passages of a tweet's length, whose
  mean is its score. On the human-rated tweets and film snippets this is as good as the whole text
  where they are short (Pearson r 0.871 for 0.872, and 0.431 for 0.430). Where ten of them make one
  review it orders reviews better (0.96 for 0.86, and 0.76 for 0.64), while its label agrees less
  often with people's (0.91 for 0.92, and 0.62 for 0.67): a film's mean is worth more here.
- Its stars, if it has any: 0..10 mapped to -1..1. They are the author's own verdict, in no
  language, and so score a review alone whose text cannot be read.

A review with neither is unscored, which is not neutral.
"""

import html
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pydantic import Field

from marquee.errors import NotFound
from marquee.movies.language import is_english
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    FilmFacts,
    Label,
    Model,
    Quote,
    Review,
    ScoredReview,
    Sentiment,
)
from marquee.movies.near_duplicates import distinct

if TYPE_CHECKING:
    from marquee.movies.catalog import Catalog
    from marquee.movies.review_store import ReviewStore

SCORER = "vader-3.3.2/1"
"""VADER's version, then our own: raise it with any change to what ``score`` answers."""

THRESHOLD = 0.05
"""Positive from here, negative from its negative: what VADER's authors use for compound."""

PASSAGE_CHARACTERS = 140
"""A tweet of the time when VADER was made; of 100, 140, 200 and 280 the best on both data sets."""

LONGEST_SENTENCE = 280
"""What has no full stop for longer is cut between words: VADER's time grows with the square."""

CHARACTERS_READ = 20_000
"""Of one review: the longest on TMDB have about half of that."""

RATING_WEIGHT = 0.75
"""The stars' part of the score of a review that also has an English text.

Weights by inverse variance: a star rating errs by 0.20..0.29 in -1..1 (people who rate a film twice
differ by an RMSE of 0.557..0.816 on 1..5: Amatriain, Pujol, Oliver, UMAP 2009), the text's score by
0.43..0.54 (on the human-rated film snippets, with and without a linear fit): 0.69..0.88.
"""

BINS = 20
QUOTES = 3
QUOTE_CHARACTERS = 280

SCORE_DIGITS = 4
"""Digits of a score, VADER's own; they make the edges of the bins exact."""

_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""

_LINE_BREAK = re.compile(r"<(?:br|/p)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_ADDRESS = re.compile(r"https?://\S+|www\.\S+")
_MENTION = re.compile(r"(?<!\w)@[\w.-]+")
_LINE_MARK = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+|>+[ \t]*|[*+-][ \t]+|[-*_=]{3,}[ \t]*$)", re.MULTILINE
)
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|~~|`)(?=\S)(.{1,200}?)(?<=\S)\1(?!\w)")
_REPEATED = re.compile(r"(([^\w\s])\2{3})\2+")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"')\]]*\s+|\s*\n\s*")


class AnalyzeReviewsInput(Model):
    """The film whose reviews are analyzed."""

    tmdb_id: int = Field(ge=1)


class AnalyzeReviewsOutput(Model):
    """The analysis in short; the whole of it is stored."""

    tmdb_id: int
    average_sentiment: float | None
    sample_size: int
    label: Label
    counts: dict[str, int]


def score(review: Review) -> Sentiment:
    """Score one review by its text and its stars; see the module for the formula."""
    text = plain_text(review.text)
    parts: list[tuple[float, float]] = []
    if review.rating is not None:
        parts.append((RATING_WEIGHT, review.rating / 5 - 1))
    if is_english(text, review.language):
        parts.append((1 - RATING_WEIGHT, _text_score(text)))
    if not parts:
        return Sentiment(label=Label.UNSCORED, scorer=SCORER)
    weights = math.fsum(weight for weight, _ in parts)
    mean = math.fsum(weight * part for weight, part in parts) / weights
    rounded = round(mean, SCORE_DIGITS)
    return Sentiment(label=label_of(rounded), score=rounded, scorer=SCORER)


def plain_text(text: str) -> str:
    """The words of a review without HTML, markdown, addresses and mentions.

    A sign repeated more than four times is left four times: VADER counts no more of them.
    """
    text = _TAG.sub(" ", _LINE_BREAK.sub("\n", html.unescape(text[:CHARACTERS_READ])))
    text = _MENTION.sub(" ", _ADDRESS.sub(" ", _LINK.sub(r"\1", text)))
    text = _EMPHASIS.sub(r"\2", _LINE_MARK.sub("", _REPEATED.sub(r"\1", text)))
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.splitlines())))


def label_of(score: float) -> Label:
    """The label of a review's score, or of a film's mean."""
    if score >= THRESHOLD:
        return Label.POSITIVE
    return Label.NEGATIVE if score <= -THRESHOLD else Label.NEUTRAL


def _text_score(text: str) -> float:
    compounds = [_vader().polarity_scores(passage)["compound"] for passage in passages(text)]
    return math.fsum(compounds) / len(compounds)


@cache
def _vader() -> Any:
    """The analyzer, its lexicon read on first use; scoring leaves it unchanged, in any thread."""
    from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]  # has no types
        SentimentIntensityAnalyzer,
    )

    return SentimentIntensityAnalyzer()


def passages(text: str) -> Iterator[str]:
    """Whole sentences, as many at a time as PASSAGE_CHARACTERS hold; a longer one by itself."""
    passage = ""
    for sentence in _sentences(text):
        if passage and len(passage) + 1 + len(sentence) > PASSAGE_CHARACTERS:
            yield passage
            passage = sentence
        else:
            passage = f"{passage} {sentence}".strip()
    yield passage


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(text):
        if len(sentence) <= LONGEST_SENTENCE:
            yield sentence
        else:
            yield from wrap(sentence, LONGEST_SENTENCE)


def analyze_reviews(
    request: AnalyzeReviewsInput, catalog: "Catalog", store: "ReviewStore", *, now: datetime
) -> AnalyzeReviewsOutput:
    """Sum up a film's newest 500 reviews and store the analysis.

    Reviews that another version scored are scored again first, in the store too. Raises NotFound
    where the film's facts are not stored.
    """
    movie = catalog.movie(request.tmdb_id)
    if movie is None:
        raise NotFound(f"no film is stored under the TMDB id {request.tmdb_id}")
    read = store.newest(request.tmdb_id)
    reviews = [_scored_by_us(review) for review in read]
    outdated = [new for old, new in zip(read, reviews, strict=True) if new is not old]
    for review in outdated:
        store.rescore(review)
    counted = distinct(reviews)
    analysis = analyze(request.tmdb_id, counted, now=now)
    facts = movie.model_dump(include=set(FilmFacts.model_fields))
    film = AnalyzedFilm(
        **facts,
        average_sentiment=analysis.average_sentiment,
        sample_size=analysis.sample_size,
    )
    catalog.put_analysis(analysis, film)
    return AnalyzeReviewsOutput(
        tmdb_id=request.tmdb_id,
        average_sentiment=analysis.average_sentiment,
        sample_size=analysis.sample_size,
        label=analysis.label,
        counts={
            "reviews": len(read),
            "duplicates": len(read) - len(counted),
            "scored": analysis.sample_size,
            "unscored": len(counted) - analysis.sample_size,
            "rescored": len(outdated),
        },
    )


def _scored_by_us(review: ScoredReview) -> ScoredReview:
    if review.sentiment.scorer == SCORER:
        return review
    return review.model_copy(update={"sentiment": score(review)})


def analyze(tmdb_id: int, reviews: Sequence[ScoredReview], *, now: datetime) -> Analysis:
    """How people feel, by these reviews of a film; their order makes no difference."""
    scores = [r.sentiment.score for r in reviews if r.sentiment.score is not None]
    mean = round(math.fsum(scores) / len(scores), SCORE_DIGITS) if scores else None
    by_label = Counter(review.sentiment.label for review in reviews)
    by_source = Counter(review.source for review in reviews)
    return Analysis(
        tmdb_id=tmdb_id,
        average_sentiment=mean,
        confidence_interval=confidence_interval(scores),
        label=Label.UNSCORED if mean is None else label_of(mean),
        sample_size=len(scores),
        counts_by_label={label.value: by_label[label] for label in Label},
        counts_by_source=dict(sorted(by_source.items())),
        histogram=histogram(scores),
        most_positive=_quotes(reviews, Label.POSITIVE),
        most_negative=_quotes(reviews, Label.NEGATIVE),
        period_from=min((review.posted_at for review in reviews), default=None),
        period_to=max((review.posted_at for review in reviews), default=None),
        analyzed_at=now,
        scorer=SCORER,
    )


def confidence_interval(scores: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t, within -1..1; None below two scores."""
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    variance = math.fsum((score - mean) ** 2 for score in scores) / (n - 1)
    margin = critical_t(n - 1) * math.sqrt(variance / n)
    return (
        round(max(-1.0, mean - margin), SCORE_DIGITS),
        round(min(1.0, mean + margin), SCORE_DIGITS),
    )


def critical_t(freedom: int) -> float:
    """The 97.5 % point of Student's t with ``freedom`` >= 1 degrees of freedom.

    Exact for 1 and 2; from 3 on to 0.004 by the expansion of Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.7.5.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))


def histogram(scores: Iterable[float]) -> tuple[int, ...]:
    """Scores by bin of width 0.1, each from its lower edge on; 1.0 belongs to the last bin."""
    scale = 10**SCORE_DIGITS
    counts = Counter(
        min(round((score + 1) * scale) * BINS // (2 * scale), BINS - 1) for score in scores
    )
    return tuple(counts[number] for number in range(BINS))


def _quotes(reviews: Iterable[ScoredReview], label: Label) -> tuple[Quote, ...]:
    """The reviews of that label that feel it most, at equal scores the newer ones."""
    ranked = sorted(
        (
            (abs(score), review.posted_at, review.source, review.review_id, review)
            for review in reviews
            if review.sentiment.label is label and (score := review.sentiment.score) is not None
        ),
        key=lambda entry: entry[:-1],
        reverse=True,
    )
    return tuple(
        Quote(
            text=shortened(review.text),
            author=review.author,
            source=review.source,
            url=review.url,
            score=review.sentiment.score,
        )
        for *_, review in ranked[:QUOTES]
    )


def shortened(text: str) -> str:
    """A review in one line of at most 280 characters, cut between words."""
    line = " ".join(plain_text(text).split()) or " ".join(text.split())
    if len(line) <= QUOTE_CHARACTERS:
        return line
    room = line[:QUOTE_CHARACTERS]
    return (room.rpartition(" ")[0] or room[:-1]).rstrip(" ,;:-") + "\u2026"
