"""MoviesTable: what Marquee knows about films, each item under the key of what it is about.

====================  ===================  =====================================================
``pk``                ``sk``               item
====================  ===================  =====================================================
``MOVIE#<id>``        ``DETAILS``          the film's facts and related films (TTL)
``MOVIE#<id>``        ``ANALYSIS``         how people feel; indexed by its first genre
``MOVIE#<id>``        ``RECOMMENDATIONS``  what to watch next
``MOVIE#<id>``        ``INTEREST``         who looks at it; indexed by when it is due again (TTL)
``REVIEWS#<id>``      ``TMDB``             the reviews that came with the details, as sent (TTL)
``QUERY#<words>``     ``RESULT``           which film a search meant (TTL)
``TITLE#<letter>``    ``<title>#<id>``     a known film under its normalized title, by its letter
====================  ===================  =====================================================
"""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from marquee.aws import table, to_item
from marquee.clock import Moment
from marquee.movies.interest import KEPT_UP_FOR, Interest
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

_DUE = "DUE"
"""One partition of the index: written once a search, far below what a partition takes."""

MAX_TITLE_MATCHES = 20
"""Films read for one title; the most namesakes known is below that."""

TITLES_OF_A_FILM = 4
"""That begin alike: "Dune", "Dune: Part One", "Dune 1"; so many are read for each that is shown."""


class KnownFilm(BaseModel):
    """All that is stored about one film."""

    model_config = ConfigDict(frozen=True)

    movie: Movie | None = None
    analysis: Analysis | None = None
    recommendations: tuple[Recommendation, ...] = ()
    recommended_at: Moment | None = None
    interest: Interest | None = None


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
                        **_title_place(title_key, movie.tmdb_id),
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
        return [
            film
            for title, film in self._titles(f"{title_key}#", MAX_TITLE_MATCHES)
            if title == title_key
        ]

    def films_beginning(self, title_key: str, limit: int) -> list[MovieCard]:
        """The known films with a title whose normalized form begins so, each once, by title."""
        found = (film for _, film in self._titles(title_key, limit * TITLES_OF_A_FILM))
        return list({film.tmdb_id: film for film in found}.values())[:limit]

    def _titles(self, beginning: str, limit: int) -> list[tuple[str, MovieCard]]:
        answer = self._table.query(
            KeyConditionExpression=Key("pk").eq(f"TITLE#{beginning[:1]}")
            & Key("sk").begins_with(beginning),
            Limit=limit,
        )
        return [
            (str(item["sk"]).rpartition("#")[0], MovieCard.model_validate(item["film"]))
            for item in answer["Items"]
        ]

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

    def interest(self, tmdb_id: int) -> Interest | None:
        """Who looks at the film; None where nobody has of late."""
        item = self._get(f"MOVIE#{tmdb_id}", "INTEREST")
        return Interest.model_validate(item["interest"]) if item else None

    def put_interest(self, interest: Interest, now: datetime) -> None:
        """Store who looks at the film, and when it is due again.

        Of two searches for one film that end at once, one may go uncounted.
        """
        due_at = interest.due_at(now)
        latest = max(interest.searched_at, default=now)
        self._table.put_item(
            Item={
                "pk": f"MOVIE#{interest.tmdb_id}",
                "sk": "INTEREST",
                "interest": to_item(interest.model_dump(mode="json", exclude_defaults=True)),
                "expires_at": int((latest + KEPT_UP_FOR).timestamp()),
                **({"refresh": _DUE, "due_at": due_at.isoformat()} if due_at else {}),
            }
        )

    def due_films(self, now: datetime, limit: int) -> list[Interest]:
        """The films whose reviews are to be collected again, the longest due first."""
        answer = self._table.query(
            IndexName="refresh_due",
            KeyConditionExpression=Key("refresh").eq(_DUE) & Key("due_at").lte(now.isoformat()),
            Limit=limit,
        )
        return [Interest.model_validate(item["interest"]) for item in answer["Items"]]

    def put_off(self, tmdb_id: int, until: datetime) -> None:
        """A film that is due is not before then; nothing for one that nobody looks at."""
        try:
            self._table.update_item(
                Key={"pk": f"MOVIE#{tmdb_id}", "sk": "INTEREST"},
                UpdateExpression="SET due_at = :until",
                ConditionExpression=Attr("refresh").exists(),
                ExpressionAttributeValues={":until": until.isoformat()},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def known(self, tmdb_id: int) -> KnownFilm:
        """Facts, analysis, recommendations and interest of one film, in one query."""
        answer = self._table.query(KeyConditionExpression=Key("pk").eq(f"MOVIE#{tmdb_id}"))
        parts: dict[str, Any] = {}
        for item in answer["Items"]:
            parts |= {name: item[name] for name in KnownFilm.model_fields if name in item}
        return KnownFilm.model_validate(parts)

    def _get(self, pk: str, sk: str) -> Any:
        # Consistent: a step reads what the step before it wrote a moment ago.
        return self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True).get("Item")


def _title_place(title_key: str, tmdb_id: int) -> dict[str, str]:
    """Titles of one letter lie together, so that those that begin alike can be listed."""
    return {"pk": f"TITLE#{title_key[:1]}", "sk": f"{title_key}#{tmdb_id}"}
