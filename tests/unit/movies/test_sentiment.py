"""Scores agree with people, and a film's analysis adds up, whatever its reviews are like."""

import csv
import html
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import batched
from pathlib import Path
from statistics import correlation, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import NotFound
from marquee.movies.catalog import Catalog
from marquee.movies.models import Label, ScoredReview, Sentiment
from marquee.movies.review_store import ReviewStore
from marquee.movies.sentiment import (
    BINS,
    QUOTE_CHARACTERS,
    SCORER,
    AnalyzeReviewsInput,
    AnalyzeReviewsOutput,
    analyze,
    analyze_reviews,
    confidence_interval,
    critical_t,
    histogram,
    label_of,
    passages,
    plain_text,
    score,
    shortened,
)
from tests.support.builders import NOW, a_movie, a_review, a_scored_review
from tests.support.installation import installed

RATED = Path(__file__).parents[4] / "shared" / "data" / "sentiment"
FILM = a_movie().tmdb_id


# Scoring one review


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A wonderful film, I loved every minute.", Label.POSITIVE),
        ("The worst film of the year, a horrible waste of time.", Label.NEGATIVE),
        ("It is three hours long and takes place in Delhi.", Label.NEUTRAL),
        ("It is not good, and it is not funny.", Label.NEGATIVE),
        ("ఈ సినిమా చాలా బాగుంది", Label.UNSCORED),
        ("Una obra maestra, la mejor del año", Label.UNSCORED),
        ("Bahut achhi film hai yaar", Label.UNSCORED),
    ],
)
def test_a_text_alone_is_scored_where_it_is_english(text: str, label: Label) -> None:
    sentiment = score(a_review(text=text, rating=None))

    assert sentiment.label == label
    assert (sentiment.score is None) == (label is Label.UNSCORED)
    assert sentiment.scorer == SCORER


@pytest.mark.parametrize(
    ("rating", "expected"), [(0.0, -1.0), (2.5, -0.5), (5.0, 0.0), (8.0, 0.6), (10.0, 1.0)]
)
def test_stars_alone_score_a_review_in_another_language(rating: float, expected: float) -> None:
    sentiment = score(a_review(text="Una obra maestra", language="es", rating=rating))

    assert sentiment.score == pytest.approx(expected)


def test_stars_weigh_three_times_the_text() -> None:
    text = "A wonderful film, I loved every minute."
    of_text = score(a_review(text=text, rating=None)).score
    blended = score(a_review(text=text, rating=2.0)).score

    assert of_text is not None
    assert of_text > 0.5
    assert blended == pytest.approx(0.75 * -0.6 + 0.25 * of_text, abs=1e-4)


def test_a_declared_language_is_passed_on() -> None:
    text = "A wonderful film, I loved every minute."

    assert score(a_review(text=text, language="fr", rating=None)).label == Label.UNSCORED


@pytest.mark.parametrize("text", ["10/10", "😍😍😍", "https://example.org/best-love-great"])
def test_a_text_without_words_is_unscored(text: str) -> None:
    assert score(a_review(text=text, rating=None)).label == Label.UNSCORED


@pytest.mark.parametrize(
    ("score_", "label"),
    [
        (1.0, Label.POSITIVE),
        (0.05, Label.POSITIVE),
        (0.0499, Label.NEUTRAL),
        (-0.0499, Label.NEUTRAL),
        (-0.05, Label.NEGATIVE),
    ],
)
def test_labels_begin_at_a_twentieth(score_: float, label: Label) -> None:
    assert label_of(score_) == label


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("Lovely &amp; Amazing &#39;film&#39;", "Lovely & Amazing 'film'"),
        ("one<br />two</p><b>three</b>", "one\ntwo\nthree"),
        ("**very** _good_ and ***great*** `film`", "very good and great film"),
        ("# Verdict\n> quoted\n- an item\n---\nend", "Verdict\nquoted\nan item\nend"),
        ("see [my love letter](https://example.org/hate) here", "see my love letter here"),
        ("https://example.org/awful www.example.org fine @terrible.host", "fine"),
        ("I <3 it, 5 < 6 and 3 * 4 * 5", "I <3 it, 5 < 6 and 3 * 4 * 5"),
        ("snake_case_name stays", "snake_case_name stays"),
        ("soooo good!!!!!!!!!!", "soooo good!!!!"),
    ],
)
def test_markup_is_no_part_of_a_text(marked: str, plain: str) -> None:
    assert plain_text(marked) == plain


def test_an_address_does_not_move_the_score() -> None:
    text = "The film begins at eight and ends at eleven."
    with_address = f"{text} https://example.org/worst-horrible-film @hateful"

    assert score(a_review(text=with_address, rating=None)).score == 0.0


def test_passages_are_whole_sentences_of_a_tweets_length() -> None:
    text = " ".join(f"Sentence number {number} of a long review." for number in range(20))

    cut = list(passages(text))

    assert " ".join(cut) == text
    assert all(passage.endswith(".") and len(passage) <= 140 for passage in cut)
    assert len(cut) < 20


def test_saying_it_all_again_does_not_make_a_review_more_extreme() -> None:
    text = (
        "The songs are nice and the two leads are good in every scene that they share with us. "
        "The ending, and I say this as a fan of the man who made it, is a little boring. "
    )

    once = score(a_review(text=text, rating=None)).score
    ten_times = score(a_review(text=text * 10, rating=None)).score

    assert once is not None
    assert 0 < once < 0.5
    assert ten_times == pytest.approx(once, abs=0.05)


@pytest.mark.parametrize(
    "part", ["good but bad ", " *a", "[", "<", "![a](", "x", "😍", "_a ", "!\")]'", "&amp;"]
)
def test_a_text_of_any_length_and_kind_gets_a_score(part: str) -> None:
    hostile = "I love it and it is the best " + part * (200_000 // len(part))

    assert score(a_review(text=hostile, rating=None)).scorer == SCORER


@given(st.text(min_size=1), st.none() | st.floats(0, 10), st.sampled_from(["en", None, "es"]))
def test_every_review_gets_a_score_in_range_or_none(
    text: str, rating: float | None, language: str | None
) -> None:
    sentiment = score(a_review(text=text, rating=rating, language=language))

    assert (sentiment.score is None) == (sentiment.label is Label.UNSCORED)
    assert rating is None or sentiment.score is not None


def test_threads_that_score_at_once_agree() -> None:
    reviews = [
        a_review(text=f"I loved {number} of it, honestly!", rating=None) for number in range(50)
    ]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(score, reviews))

    assert together == [score(review) for review in reviews]


def test_the_lexicon_is_not_loaded_at_import() -> None:
    code = "import sys, marquee.movies.sentiment; sys.exit('vaderSentiment' in sys.modules)"
    layer = Path(__file__).parents[3] / "layers" / "shared" / "python"

    finished = subprocess.run([sys.executable, "-c", code], cwd=layer, check=False)  # noqa: S603 - ours

    assert finished.returncode == 0


# Against people: mean ratings by 20 raters, -4..4


@pytest.mark.parametrize(
    ("name", "least_r", "least_agreement"),
    [("tweets_train.tsv", 0.87, 0.89), ("movie_snippets_train.tsv", 0.43, 0.54)],
)
def test_short_texts_are_scored_as_people_rate_them(
    name: str, least_r: float, least_agreement: float
) -> None:
    people, ours = scored(rated(name))

    assert correlation(people, ours) >= least_r
    assert agreement(people, ours) >= least_agreement


@pytest.mark.parametrize(
    ("name", "least_r"), [("tweets_train.tsv", 0.95), ("movie_snippets_train.tsv", 0.75)]
)
def test_long_reviews_are_scored_as_people_rate_their_parts(name: str, least_r: float) -> None:
    """Reviews of ten rated texts of about one mood, each written in its own line."""
    dice = random.Random(1)  # noqa: S311 - shuffles texts
    by_mood = sorted(rated(name), key=lambda entry: entry[0] + dice.gauss(0, 1.5))
    reviews = [
        (fmean(rating for rating, _ in ten), "\n".join(text for _, text in ten))
        for ten in batched(by_mood, 10, strict=False)
    ]

    people, ours = scored(reviews)

    assert correlation(people, ours) >= least_r


def rated(name: str) -> list[tuple[float, str]]:
    if not RATED.exists():
        pytest.skip("the human-rated texts of ../shared/data are not here")
    with (RATED / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(float(row["mean_rating"]), html.unescape(row["text"])) for row in rows]


def scored(texts: list[tuple[float, str]]) -> tuple[list[float], list[float]]:
    """People's ratings and our scores, of the texts that are scored as English."""
    reviews = [(rating, a_review(text=text, language="en", rating=None)) for rating, text in texts]
    pairs = [
        (rating, ours) for rating, review in reviews if (ours := score(review).score) is not None
    ]
    assert len(pairs) > 0.95 * len(texts)
    return [rating for rating, _ in pairs], [ours for _, ours in pairs]


def agreement(people: list[float], ours: list[float]) -> float:
    """The share of texts to which people's mean, on -1..1, gives the label that we give."""
    return fmean(
        label_of(human / 4) is label_of(our) for human, our in zip(people, ours, strict=True)
    )


# Summing up


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (9, 2.2622),
        (29, 2.0452),
        (99, 1.9842),
        (499, 1.9647),
    ],
)
def test_critical_values_are_those_of_the_tables(freedom: int, expected: float) -> None:
    assert critical_t(freedom) == pytest.approx(expected, abs=0.004)


def test_the_interval_of_three_scores_is_students() -> None:
    low, high = confidence_interval([0.1, 0.2, 0.3]) or (None, None)

    margin = 4.3027 * 0.1 / math.sqrt(3)
    assert (low, high) == pytest.approx((0.2 - margin, 0.2 + margin), abs=1e-4)


def test_the_interval_stays_within_the_scale() -> None:
    assert confidence_interval([-1.0, 1.0]) == (-1.0, 1.0)
    assert confidence_interval([0.5]) is None
    assert confidence_interval([]) is None
    assert confidence_interval([0.4, 0.4, 0.4]) == (0.4, 0.4)


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        (-1.0, 0),
        (-0.9001, 0),
        (-0.9, 1),
        (-0.1, 9),
        (-0.0001, 9),
        (0.0, 10),
        (0.1, 11),
        (0.3, 13),
        (0.7, 17),
        (0.8999, 18),
        (0.9, 19),
        (1.0, 19),
    ],
)
def test_a_bin_begins_with_its_lower_edge_and_the_last_holds_one(value: float, bin_: int) -> None:
    assert histogram([value]).index(1) == bin_


def test_no_reviews_are_an_analysis_too() -> None:
    analysis = analyze(FILM, [], now=NOW)

    assert analysis.average_sentiment is None
    assert analysis.confidence_interval is None
    assert analysis.label is Label.UNSCORED
    assert analysis.sample_size == 0
    assert analysis.histogram == (0,) * BINS
    assert analysis.most_positive == analysis.most_negative == ()
    assert analysis.period_from is analysis.period_to is None
    assert analysis.counts_by_label == {"positive": 0, "neutral": 0, "negative": 0, "unscored": 0}


def test_one_review_has_a_mean_and_no_interval() -> None:
    analysis = analyze(FILM, [felt(0.6)], now=NOW)

    assert analysis.average_sentiment == 0.6
    assert analysis.confidence_interval is None
    assert analysis.label is Label.POSITIVE
    assert analysis.period_from == analysis.period_to


def test_unscored_reviews_are_counted_and_not_averaged() -> None:
    analysis = analyze(FILM, [felt(0.6), felt(None), felt(None, source="x")], now=NOW)

    assert analysis.average_sentiment == 0.6
    assert analysis.sample_size == 1
    assert analysis.counts_by_label["unscored"] == 2
    assert analysis.counts_by_source == {"tmdb": 2, "x": 1}

    only_unscored = analyze(FILM, [felt(None), felt(None)], now=NOW)
    assert only_unscored.average_sentiment is None
    assert only_unscored.label is Label.UNSCORED


def test_quotes_are_the_strongest_of_their_label_the_newer_first_at_equal_scores() -> None:
    reviews = [
        felt(0.9, text="old", posted_at=NOW - timedelta(days=9)),
        felt(0.9, text="new", posted_at=NOW),
        felt(0.5, text="third"),
        felt(0.4, text="fourth"),
        felt(0.01, text="neutral"),
        felt(-0.2, text="only", url="https://example.org/r", author="ravi", source="x"),
        felt(None, text="unread"),
    ]

    analysis = analyze(FILM, reviews, now=NOW)

    assert [quote.text for quote in analysis.most_positive] == ["new", "old", "third"]
    [quote] = analysis.most_negative
    assert (quote.text, quote.url, quote.author, quote.source, quote.score) == (
        "only",
        "https://example.org/r",
        "ravi",
        "x",
        -0.2,
    )


def test_a_quote_is_cut_between_words() -> None:
    text = "word, " * 100

    cut = shortened(text)

    assert len(cut) <= QUOTE_CHARACTERS
    assert cut.endswith("word…")
    assert shortened("**Short**\n&amp; sweet") == "Short & sweet"
    assert shortened("https://example.org") == "https://example.org"


@given(st.text(min_size=1))
def test_a_quote_is_one_line_that_fits(text: str) -> None:
    for words in (text, text * 50):
        cut = shortened(words)
        assert len(cut) <= QUOTE_CHARACTERS
        assert "\n" not in cut


moods = st.none() | st.integers(-10_000, 10_000).map(lambda value: value / 10_000)
minutes = st.integers(0, 60 * 24 * 30)


@given(st.lists(st.tuples(moods, minutes, st.sampled_from(["tmdb", "x", "bluesky"]))), st.randoms())
def test_an_analysis_holds_together_and_knows_no_order(
    drawn: list[tuple[float | None, int, str]], dice: random.Random
) -> None:
    reviews = [
        felt(
            mood,
            review_id=f"r{number}",
            text=f"text {number}",
            posted_at=NOW - timedelta(minutes=ago),
            source=source,
        )
        for number, (mood, ago, source) in enumerate(drawn)
    ]
    analysis = analyze(FILM, reviews, now=NOW)

    assert sum(analysis.histogram) == analysis.sample_size
    assert sum(analysis.counts_by_label.values()) == len(reviews)
    assert sum(analysis.counts_by_source.values()) == len(reviews)
    assert analysis.sample_size == len(reviews) - analysis.counts_by_label["unscored"]
    if analysis.confidence_interval:
        low, high = analysis.confidence_interval
        assert analysis.average_sentiment is not None
        assert -1 <= low <= analysis.average_sentiment <= high <= 1
    assert all(quote.score > 0 for quote in analysis.most_positive)
    assert all(quote.score < 0 for quote in analysis.most_negative)

    dice.shuffle(reviews)
    assert analyze(FILM, reviews, now=NOW) == analysis


# The step, on the tables of the template


@pytest.fixture
def tables() -> Iterator[tuple[Catalog, ReviewStore]]:
    with installed("AnalyzeReviewsFunction") as settings:
        catalog = Catalog.connect(settings)
        catalog.put_movie(a_movie(), ["rrr"], [])
        yield catalog, ReviewStore.connect(settings)


def test_an_analysis_is_stored_and_makes_the_film_a_candidate(
    tables: tuple[Catalog, ReviewStore],
) -> None:
    catalog, store = tables
    store.put([felt(0.8, review_id="a", text="A joy."), felt(-0.4, review_id="b", text="A bore.")])

    output = run(catalog, store)

    assert output.average_sentiment == 0.2
    assert output.label is Label.POSITIVE
    assert output.sample_size == 2
    assert output.counts == {
        "reviews": 2,
        "duplicates": 0,
        "scored": 2,
        "unscored": 0,
        "rescored": 0,
    }
    stored = catalog.known(FILM).analysis
    assert stored is not None
    assert stored.average_sentiment == 0.2
    assert stored.analyzed_at == NOW
    [film] = catalog.analyzed_films(28, limit=10)
    assert (film.title, film.average_sentiment, film.sample_size) == ("RRR", 0.2, 2)


def test_near_identical_texts_count_once(tables: tuple[Catalog, ReviewStore]) -> None:
    catalog, store = tables
    text = "RRR is my whole personality now, the best night of my life, no contest"
    store.put(
        [
            felt(0.8, review_id=str(number), text=f"{text} https://t.co/{number}")
            for number in range(5)
        ]
    )

    output = run(catalog, store)

    assert output.sample_size == 1
    assert output.counts["duplicates"] == 4


def test_reviews_of_another_scorer_are_scored_again_in_the_store(
    tables: tuple[Catalog, ReviewStore],
) -> None:
    catalog, store = tables
    old = Sentiment(label=Label.NEGATIVE, score=-0.9, scorer="vader-2.0")
    store.put([a_scored_review(sentiment=old), felt(0.4, review_id="current", text="Fine.")])

    output = run(catalog, store)

    assert output.counts["rescored"] == 1
    rescored = {review.review_id: review.sentiment for review in store.newest(FILM)}
    assert rescored["review-1"] == score(a_review())
    assert run(catalog, store).counts["rescored"] == 0


def test_only_the_newest_five_hundred_reviews_are_read(tables: tuple[Catalog, ReviewStore]) -> None:
    catalog, store = tables
    store.put(
        felt(
            0.5 if number < 500 else -1.0,
            review_id=f"r{number}",
            text=f"Words {number * 7919} of {number * 104729} kind {number * 1299709}",
            posted_at=NOW - timedelta(minutes=number),
        )
        for number in range(510)
    )

    output = run(catalog, store)

    assert output.sample_size == 500
    assert output.average_sentiment == 0.5


def test_a_film_without_reviews_has_an_analysis(tables: tuple[Catalog, ReviewStore]) -> None:
    catalog, store = tables

    output = run(catalog, store)

    assert (output.average_sentiment, output.sample_size, output.label) == (None, 0, Label.UNSCORED)
    assert catalog.analyzed_films(28, limit=10) == []


def test_an_unknown_film_is_not_analyzed(tables: tuple[Catalog, ReviewStore]) -> None:
    catalog, store = tables

    with pytest.raises(NotFound, match="999"):
        analyze_reviews(AnalyzeReviewsInput(tmdb_id=999), catalog, store, now=NOW)


def run(catalog: Catalog, store: ReviewStore) -> AnalyzeReviewsOutput:
    return analyze_reviews(AnalyzeReviewsInput(tmdb_id=FILM), catalog, store, now=NOW)


def felt(mood: float | None, **fields: object) -> ScoredReview:
    """A stored review that was scored so."""
    label = Label.UNSCORED if mood is None else label_of(mood)
    sentiment = Sentiment(label=label, score=mood, scorer=SCORER)
    return a_scored_review(sentiment=sentiment, **fields)
