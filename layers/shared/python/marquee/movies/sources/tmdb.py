"""Reviews on TMDB: those that came with the film's details, so that they cost no call of their own.

TMDB sends the newest 20 with the details. Further pages are not asked for: each would be a third
call of a search that may make two, for reviews older than these.
"""

from typing import Any

from marquee.movies.catalog import Catalog
from marquee.movies.models import Review
from marquee.movies.sources import Collected, SourceQuery, moment, read, stripped
from marquee.settings import Secrets, Settings


def collect(
    query: SourceQuery, settings: Settings, secrets: Secrets, *, catalog: Catalog | None = None
) -> Collected:
    """The reviews that FindMovie kept; raises nothing of an upstream."""
    reviews = (catalog or Catalog.connect(settings)).tmdb_reviews(query.movie.tmdb_id)
    return read(
        reviews,
        lambda record: _review(record, query.movie.tmdb_id),
        at_most=query.max_reviews,
    )


def _review(record: Any, tmdb_id: int) -> Review:
    return Review(
        tmdb_id=tmdb_id,
        source="tmdb",
        review_id=record["id"],
        text=stripped(record["content"]),
        posted_at=moment(record["created_at"]),
        author=stripped(record.get("author") or ""),
        url=record.get("url"),
        language=None,
        rating=(record.get("author_details") or {}).get("rating"),
    )
