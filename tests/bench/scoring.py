"""How fast texts are judged without a model: reviews are scored, tweets classified by rules."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import median

from marquee.movies.models import Review
from marquee.movies.sentiment import score
from marquee.tweets.classify import by_rules
from marquee.tweets.policy import policies
from marquee_cli.upstreams.accounts import accounts
from marquee_cli.upstreams.catalog import Catalog
from marquee_cli.upstreams.voices import Voices
from tests.bench.report import Line

FILMS = 60
REPEATED = 10
"""Times each tweet of the stand-ins, for there are few."""
ROUNDS = 5
POSTED_AT = datetime(2026, 3, 14, tzinfo=UTC)


def lines() -> Iterator[Line]:
    """Reviews a second, and the plain call's share of that speed."""
    from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]  # it ships no types
        SentimentIntensityAnalyzer,
    )

    reviews = list(_reviews())
    plain = SentimentIntensityAnalyzer().polarity_scores
    score(reviews[0])  # the lexicon is read on first use
    rounds = [
        (
            _seconds(lambda: [plain(review.text) for review in reviews]),
            _seconds(lambda: [score(review) for review in reviews]),
        )
        for _ in range(ROUNDS)
    ]
    speed = len(reviews) / median(own for _, own in rounds)
    yield Line(f"reviews per second, {len(reviews)} of the stand-ins'", f"{speed:,.0f}")
    ratio = median(own / bare for bare, own in rounds)
    yield Line("time of a score against a plain VADER call", f"{ratio:.2f} x")
    yield from _rules_lines(plain)


def _rules_lines(plain: Callable[[str], object]) -> Iterator[Line]:
    """Tweets a second, and the time of one against a plain VADER call on the same text."""
    written = [tweet.text for account in accounts().values() for tweet in account.tweets]
    texts = written * REPEATED
    words = policies().unsafe.words
    by_rules(texts[0], words)
    rounds = [
        (
            _seconds(lambda: [plain(text) for text in texts]),
            _seconds(lambda: [by_rules(text, words) for text in texts]),
        )
        for _ in range(ROUNDS)
    ]
    speed = len(texts) / median(own for _, own in rounds)
    yield Line(f"tweets classified by rules per second, {len(texts)}", f"{speed:,.0f}")
    ratio = median(own / bare for bare, own in rounds)
    yield Line("time of the rules against a plain VADER call", f"{ratio:.2f} x")


def _reviews() -> Iterator[Review]:
    """The reviews that the stand-ins have for their first films, in all their languages."""
    catalog = Catalog.load()
    voices = Voices(catalog)
    for film in list(catalog.by_id.values())[:FILMS]:
        for said in voices.reviews(film):
            yield Review(
                tmdb_id=film.id,
                source="tmdb",
                review_id=said.key,
                text=said.text.text,
                posted_at=POSTED_AT,
            )


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
