"""MoviesTable: what Marquee knows about films, each item under the key of what it is about.

====================  ===================  =====================================================
``pk``                ``sk``               item
====================  ===================  =====================================================
``MOVIE#<id>``        ``DETAILS``          the film's facts and related films (TTL)
``MOVIE#<id>``        ``ANALYSIS``         how people feel; indexed by its first genre
``MOVIE#<id>``        ``RECOMMENDATIONS``  what to watch next
``REVIEWS#<id>``      ``TMDB``             the reviews that came with the details, as sent (TTL)
``QUERY#<words>``     ``RESULT``           which film a search meant (TTL)
``TITLE#<title>``     ``MOVIE#<id>``       a known film under its normalized title
====================  ===================  =====================================================
"""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Key
from pydantic import BaseModel, ConfigDict

from marquee.aws import table, to_item
from marquee.clock import Moment
from marquee.movies.models import (
    Analysis,
    AnalyzedFilm,
    FoundMovie,
    Movie,
    MovieCard,
    Recommendation,
)
from marquee.settings import DETAILS_KEPT_FOR, NO_MATCH_FRESH_FOR, Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_TITLE_MATCHES = 20
"""Films read for one title; the most namesakes known is below that."""


class KnownFilm(BaseModel):
    """All that is stored about one film."""

    model_config = ConfigDict(frozen=True)

    movie: Movie | None = None
    analysis: Analysis | None = None
    recommendations: tuple[Recommendation, ...] = ()
    recommended_at: Moment | None = None


class StoredAnswer(BaseModel):
    """Which film a search meant, and when TMDB said so."""

    model_config = ConfigDict(frozen=True)

    found: FoundMovie
    answered_at: Moment


class Catalog:
    """The films in MoviesTable."""

    def __init__(self, movies: "Table") -> None:
        self._table = movies

    @classmethod
    def connect(cls, settings: Settings) -> "Catalog":
        """The catalog in the table that the template gave us."""
        return cls(table(settings.require("movies_table")))

    def movie(self, tmdb_id: int) -> Movie | None:
        """The film's facts, however old; None where they were never fetched or have expired."""
        item = self._get(f"MOVIE#{tmdb_id}", "DETAILS")
        return Movie.model_validate(item["movie"]) if item else None

    def put_movie(self, movie: Movie, title_keys: Sequence[str], reviews: Sequence[Any]) -> None:
        """Store the facts, the titles that lead to them, and the reviews that came with them.

        ``title_keys`` are normalized. ``reviews`` are TMDB's objects as sent, kept compressed:
        they are on their way to ReviewsTable, not for reading here.
        """
        expires_at = int((movie.fetched_at + DETAILS_KEPT_FOR).timestamp())
        key = f"MOVIE#{movie.tmdb_id}"
        card = MovieCard(**movie.model_dump(include=set(MovieCard.model_fields)))
        with self._table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
            batch.put_item(
                {
                    "pk": key,
                    "sk": "DETAILS",
                    "movie": to_item(movie.model_dump(mode="json", exclude_defaults=True)),
                    "expires_at": expires_at,
                }
            )
            if reviews:
                packed = zlib.compress(json.dumps(list(reviews)).encode())
                batch.put_item(
                    {
                        "pk": f"REVIEWS#{movie.tmdb_id}",
                        "sk": "TMDB",
                        "packed": packed,
                        "expires_at": expires_at,
                    }
                )
            for title_key in title_keys:
                batch.put_item(
                    {
                        "pk": f"TITLE#{title_key}",
                        "sk": key,
                        "film": to_item(card),
                        "expires_at": expires_at,
                    }
                )

    def tmdb_reviews(self, tmdb_id: int) -> list[Any]:
        """TMDB's review objects, as sent with the details."""
        item = self._get(f"REVIEWS#{tmdb_id}", "TMDB")
        if not item:
            return []
        reviews: list[Any] = json.loads(zlib.decompress(bytes(item["packed"])))
        return reviews

    def films_titled(self, title_key: str) -> list[MovieCard]:
        """The known films with that normalized title."""
        answer = self._table.query(
            KeyConditionExpression=Key("pk").eq(f"TITLE#{title_key}"), Limit=MAX_TITLE_MATCHES
        )
        return [MovieCard.model_validate(item["film"]) for item in answer["Items"]]

    def answer(self, query_key: str) -> StoredAnswer | None:
        """What an equal search found before, however old."""
        item = self._get(f"QUERY#{query_key}", "RESULT")
        return StoredAnswer.model_validate(item["answer"]) if item else None

    def put_answer(self, query_key: str, answer: StoredAnswer) -> None:
        """Remember which film a search meant; an outage is no answer and must not come here."""
        kept = NO_MATCH_FRESH_FOR if answer.found.tmdb_id is None else DETAILS_KEPT_FOR
        self._table.put_item(
            Item={
                "pk": f"QUERY#{query_key}",
                "sk": "RESULT",
                "answer": to_item(answer.model_dump(mode="json", exclude_defaults=True)),
                "expires_at": int((answer.answered_at + kept).timestamp()),
            }
        )

    def put_analysis(self, analysis: Analysis, film: AnalyzedFilm) -> None:
        """Store how people feel; a film with a sentiment and a genre becomes a candidate."""
        item: dict[str, Any] = {
            "pk": f"MOVIE#{analysis.tmdb_id}",
            "sk": "ANALYSIS",
            "analysis": to_item(analysis.model_dump(mode="json", exclude_defaults=True)),
            "analyzed_at": analysis.analyzed_at.isoformat(),
        }
        if film.average_sentiment is not None and film.genres:
            item["analyzed_genre"] = str(film.genres[0].id)
            item["film"] = to_item(film.model_dump(mode="json", exclude_defaults=True))
        self._table.put_item(Item=item)

    def analyzed_films(self, genre_id: int, limit: int) -> list[AnalyzedFilm]:
        """The films of that first genre that were analyzed last, at most ``limit``."""
        answer = self._table.query(
            IndexName="analyzed_by_genre",
            KeyConditionExpression=Key("analyzed_genre").eq(str(genre_id)),
            ScanIndexForward=False,
            Limit=limit,
        )
        return [AnalyzedFilm.model_validate(item["film"]) for item in answer["Items"]]

    def put_recommendations(
        self, tmdb_id: int, recommendations: Sequence[Recommendation], now: datetime
    ) -> None:
        """Store what to watch after this film."""
        self._table.put_item(
            Item={
                "pk": f"MOVIE#{tmdb_id}",
                "sk": "RECOMMENDATIONS",
                "recommendations": [to_item(film) for film in recommendations],
                "recommended_at": now.isoformat(),
            }
        )

    def known(self, tmdb_id: int) -> KnownFilm:
        """Facts, analysis and recommendations of one film, in one query."""
        answer = self._table.query(KeyConditionExpression=Key("pk").eq(f"MOVIE#{tmdb_id}"))
        parts: dict[str, Any] = {}
        for item in answer["Items"]:
            parts |= {name: item[name] for name in KnownFilm.model_fields if name in item}
        return KnownFilm.model_validate(parts)

    def _get(self, pk: str, sk: str) -> Any:
        # Consistent: a step reads what the step before it wrote a moment ago.
        return self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True).get("Item")
