"""Builders: whole, valid models of a made-up evening at the cinema, any field by keyword."""

from datetime import UTC, date, datetime
from typing import Any

from marquee.movies.models import (
    Keyword,
    Label,
    Movie,
    Person,
    RelatedFilm,
    Review,
    ScoredReview,
    SearchRequest,
    Sentiment,
)

NOW = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)
"""The evening on which tests take place, unless they say otherwise."""


def a_request(**fields: Any) -> SearchRequest:
    """A search for RRR."""
    return SearchRequest.model_validate({"movie_name": "RRR", **fields})


def a_movie(**fields: Any) -> Movie:
    """RRR, its facts fetched just now."""
    facts: dict[str, Any] = {
        "tmdb_id": 579974,
        "title": "RRR",
        "original_title": "రౌద్రం రణం రుధిరం",
        "original_language": "te",
        "year": 2022,
        "release_date": date(2022, 3, 24),
        "runtime": 185,
        "imdb_id": "tt8178634",
        "genres": (Keyword(id=28, name="Action"), Keyword(id=18, name="Drama")),
        "directors": (Person(id=1296845, name="S. S. Rajamouli"),),
        "cast": (
            Person(id=1084877, name="N. T. Rama Rao Jr."),
            Person(id=1084878, name="Ram Charan"),
        ),
        "keywords": (Keyword(id=1701, name="friendship"), Keyword(id=4344, name="musical")),
        "overview": "Two men who should be enemies become friends.",
        "vote_average": 7.7,
        "vote_count": 1200,
        "popularity": 20.0,
        "fetched_at": NOW,
    }
    return Movie.model_validate({**facts, **fields})


def a_related_film(**fields: Any) -> RelatedFilm:
    """A film that TMDB recommends beside another."""
    facts: dict[str, Any] = {
        "tmdb_id": 256040,
        "title": "Bāhubali: The Beginning",
        "year": 2015,
        "genre_ids": (28, 12),
        "vote_average": 7.5,
        "vote_count": 900,
        "popularity": 15.0,
        "recommended": True,
    }
    return RelatedFilm.model_validate({**facts, **fields})


def a_review(**fields: Any) -> Review:
    """A happy review of RRR on TMDB, posted the hour before."""
    facts: dict[str, Any] = {
        "tmdb_id": 579974,
        "source": "tmdb",
        "review_id": "review-1",
        "text": "A wonderful film: I laughed, I cried, and the dancing is great.",
        "posted_at": datetime(2026, 3, 14, 19, 0, tzinfo=UTC),
        "author": "asha",
        "url": "https://example.org/review-1",
        "language": "en",
        "rating": 9.0,
    }
    return Review.model_validate({**facts, **fields})


def a_scored_review(**fields: Any) -> ScoredReview:
    """The same review as it is stored."""
    facts: dict[str, Any] = {
        **a_review().model_dump(),
        "sentiment": Sentiment(label=Label.POSITIVE, score=0.8, scorer="vader-3.3.2"),
        "collected_at": NOW,
    }
    return ScoredReview.model_validate({**facts, **fields})


def a_tmdb_hit(**fields: Any) -> dict[str, Any]:
    """RRR as TMDB's search answers it."""
    return {
        "adult": False,
        "genre_ids": [28, 18],
        "id": 579974,
        "title": "RRR",
        "original_language": "te",
        "original_title": "రౌద్రం రణం రుధిరం",
        "overview": "Two men who should be enemies become friends.",
        "popularity": 20.0,
        "poster_path": "/rrr.jpg",
        "release_date": "2022-03-24",
        "vote_average": 7.7,
        "vote_count": 1200,
        **fields,
    }


def a_tmdb_film(**fields: Any) -> dict[str, Any]:
    """RRR whole, as TMDB answers details with everything appended."""
    film = a_tmdb_hit()
    del film["genre_ids"]
    return {
        **film,
        "genres": [{"id": 28, "name": "Action"}, {"id": 18, "name": "Drama"}],
        "imdb_id": "tt8178634",
        "runtime": 185,
        "tagline": "Rise. Roar. Revolt.",
        "alternative_titles": {
            "titles": [{"iso_3166_1": "US", "title": "Rise Roar Revolt", "type": ""}]
        },
        "credits": {
            "cast": [
                {"id": 1084877, "name": "N. T. Rama Rao Jr.", "order": 0},
                {"id": 1084878, "name": "Ram Charan", "order": 1},
            ],
            "crew": [
                {"id": 7, "name": "M. M. Keeravani", "job": "Original Music Composer"},
                {"id": 1296845, "name": "S. S. Rajamouli", "job": "Director"},
            ],
        },
        "external_ids": {"imdb_id": "tt8178634"},
        "keywords": {"keywords": [{"id": 1701, "name": "friendship"}]},
        "recommendations": {"results": [a_tmdb_hit(id=256040, title="Bāhubali: The Beginning")]},
        "reviews": {"results": [{"id": "r1", "author": "asha", "content": "Wonderful."}]},
        "similar": {"results": [a_tmdb_hit(id=690957, title="Pushpa: The Rise")]},
        "translations": {
            "translations": [
                {
                    "iso_639_1": "hi",
                    "iso_3166_1": "IN",
                    "data": {"title": "आरआरआर", "overview": "दो दोस्त।", "tagline": ""},
                }
            ]
        },
        **fields,
    }
