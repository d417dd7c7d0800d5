"""ReviewsTable: what people said about films, and the queue where reviews wait that it refused.

====================  ================================  ========================================
``pk``                ``sk``                            item
====================  ================================  ========================================
``MOVIE#<id>``        ``<posted at>#<source>#<id>``     a review with its score
``SET_ASIDE#<id>``    ``<source>#<hash of record>``     a record that could not be read (TTL)
``CURSOR#<id>``       ``<source>``                      up to where a source has been read
====================  ================================  ========================================

A review's three key parts never change, so the key is the review's own, storing it twice changes
nothing, and one query reads the newest of all sources first.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError
from pydantic import ConfigDict

from marquee.aws import STORE_ERRORS, client, table, to_item
from marquee.errors import StoreUnavailable
from marquee.movies.models import Label, Model, Review, ScoredReview, SetAside
from marquee.movies.near_duplicates import fingerprint
from marquee.settings import SET_ASIDE_KEPT_FOR, Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

NEWEST_REVIEWS = 500
"""What an analysis reads, and what a new text is compared with."""

MAX_REVIEW_BYTES = 200_000
"""A review as JSON in UTF-8: fits one DynamoDB item (400 KB) and one SQS message (256 KiB)."""

CUT_MARKER = " […]"
"""Ends a text that was cut to fit."""

MAX_RECORD_CHARACTERS = 4_000
"""How much of an unreadable record is kept."""

MAX_MESSAGE_BYTES = 250_000
"""Of one parked message; SQS takes 262,144."""

_PUTS_AT_ONCE = 25
_GETS_AT_ONCE = 100
"""BatchWriteItem's and BatchGetItem's own limits."""

_RESENDS = 3
"""Of items that DynamoDB hands back unprocessed; what is left then waits in the queue."""

_FILTERED_READS = 5
"""Queries of one filtered page; a page that is not full by then goes on with its cursor."""

_NOT_IN_SQS = re.compile("[\ufffe\uffff]")
"""Characters that SQS refuses and JSON does not escape."""

type Record = ScoredReview | SetAside


@dataclass(frozen=True)
class Written:
    """How writing a batch went; nothing of the batch is in none of the three."""

    stored: tuple[Record, ...] = ()
    invalid: tuple[tuple[Record, str], ...] = ()
    """What DynamoDB will never take, with its reason."""
    refused: tuple[Record, ...] = ()
    """What DynamoDB did not take now."""
    reason: str = ""
    """Why it refused."""


class ReviewStore:
    """The reviews in ReviewsTable."""

    def __init__(self, reviews: "Table") -> None:
        self._table = reviews

    @classmethod
    def connect(cls, settings: Settings) -> "ReviewStore":
        """The store in the table that the template gave us."""
        return cls(table(settings.require("reviews_table")))

    def newest(
        self, tmdb_id: int, limit: int = NEWEST_REVIEWS, *, consistent: bool = False
    ) -> list[ScoredReview]:
        """The newest reviews of a film over all sources, the newest first.

        ``consistent``: with those that were stored a moment ago, at twice the read units.
        """
        reviews: list[ScoredReview] = []
        after: str | None = None
        while len(reviews) < limit:
            page, after = self._read(
                tmdb_id, limit - len(reviews), after, ConsistentRead=consistent
            )
            reviews.extend(page)
            if after is None:
                break
        return reviews

    def page(
        self,
        tmdb_id: int,
        *,
        limit: int,
        after: str | None = None,
        label: Label | None = None,
        source: str | None = None,
        consistent: bool = False,
    ) -> tuple[list[ScoredReview], str | None]:
        """At most ``limit`` reviews, the newest first, and what to pass as ``after`` for the rest.

        With a filter a page may hold fewer although more follow: None alone means the end.
        """
        wanted: list[Any] = []
        if label is not None:
            wanted.append(Attr("sentiment.label").eq(label))
        if source is not None:
            wanted.append(Attr("source").eq(source))
        if not wanted:
            return self._read(tmdb_id, limit, after, ConsistentRead=consistent)
        condition = wanted[0] if len(wanted) == 1 else wanted[0] & wanted[1]
        reviews: list[ScoredReview] = []
        for _ in range(_FILTERED_READS):
            found, after = self._read(
                tmdb_id,
                NEWEST_REVIEWS,
                after,
                FilterExpression=condition,
                ConsistentRead=consistent,
            )
            room = limit - len(reviews)
            reviews.extend(found[:room])
            if len(found) > room:
                return reviews, review_key(reviews[-1])
            if after is None:
                break
        return reviews, after

    def set_aside(
        self, tmdb_id: int, *, limit: int, after: str | None = None
    ) -> tuple[list[SetAside], str | None]:
        """Records of a film that could not be read, and what to pass as ``after`` for the rest."""
        items, next_key = self._query(f"SET_ASIDE#{tmdb_id}", limit, after)
        return [SetAside.model_validate(item) for item in items], next_key

    def stored_keys(self, reviews: Collection[Review]) -> set[str]:
        """The keys of those ``reviews`` that are stored, however old; one film's at a time.

        Raises StoreUnavailable where the table stays throttled, or what boto3 raises.
        """
        stored: set[str] = set()
        keys = {review_key(r): {"pk": f"MOVIE#{r.tmdb_id}", "sk": review_key(r)} for r in reviews}
        for chunk in batched(keys.values(), _GETS_AT_ONCE, strict=False):
            asked: Any = {self._table.name: {"Keys": list(chunk), "ProjectionExpression": "sk"}}
            for _ in range(1 + _RESENDS):
                answer = self._table.meta.client.batch_get_item(RequestItems=asked)
                stored.update(str(item["sk"]) for item in answer["Responses"][self._table.name])
                asked = answer["UnprocessedKeys"]
                if not asked:
                    break
            else:
                times = f"throttled {1 + _RESENDS} times in a row"
                raise StoreUnavailable(f"{self._table.name}: {times}")
        return stored

    def put(self, records: Iterable[Record]) -> Written:
        """Write reviews and set-aside records, each over itself where it is stored already.

        Never raises for what DynamoDB says: what it will never take comes back as ``invalid``, what
        it does not take now as ``refused``. After the first refusal nothing more is sent: the
        client has retried, and the time left is for parking.
        """
        items = {(item["pk"], item["sk"]): (record, item) for record, item in _items(records)}
        writing = _Writing(self._table)
        for chunk in batched(items.values(), _PUTS_AT_ONCE, strict=False):
            writing.write(chunk)
        return Written(
            tuple(writing.stored), tuple(writing.invalid), tuple(writing.refused), writing.reason
        )

    def rescore(self, review: ScoredReview) -> None:
        """Replace the score of a stored review; its other fields are immutable."""
        try:
            self._table.update_item(
                Key={"pk": f"MOVIE#{review.tmdb_id}", "sk": review_key(review)},
                UpdateExpression="SET sentiment = :sentiment",
                ConditionExpression=Attr("pk").exists(),
                ExpressionAttributeValues={":sentiment": to_item(review.sentiment)},
            )
        except ClientError as refusal:
            # Deleted since it was read: there is nothing to score.
            if refusal.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def cursor(self, tmdb_id: int, source: str) -> str | None:
        """Up to where ``source`` has been read for this film."""
        answer = self._table.get_item(Key={"pk": f"CURSOR#{tmdb_id}", "sk": source})
        item = answer.get("Item")
        return str(item["cursor"]) if item else None

    def put_cursor(self, tmdb_id: int, source: str, cursor: str) -> None:
        """Remember up to where ``source`` has been read; only after what was read is safe."""
        self._table.put_item(Item={"pk": f"CURSOR#{tmdb_id}", "sk": source, "cursor": cursor})

    def _read(
        self, tmdb_id: int, limit: int, after: str | None, **options: Any
    ) -> tuple[list[ScoredReview], str | None]:
        items, next_key = self._query(f"MOVIE#{tmdb_id}", limit, after, **options)
        return [ScoredReview.model_validate(item) for item in items], next_key

    def _query(
        self, pk: str, limit: int, after: str | None, **options: Any
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One query, backwards, from the sort key ``after``; the last sort key where more may be.

        With a filter ``limit`` bounds what is looked at.
        """
        if after is not None:
            options["ExclusiveStartKey"] = {"pk": pk, "sk": after}
        answer = self._table.query(
            KeyConditionExpression=Key("pk").eq(pk), ScanIndexForward=False, Limit=limit, **options
        )
        last = answer.get("LastEvaluatedKey")
        return answer["Items"], str(last["sk"]) if last else None


class ParkedReviews:
    """The queue where reviews wait that ReviewsTable refused; ApplyParkedReviews stores them."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    @classmethod
    def connect(cls, settings: Settings) -> "ParkedReviews":
        """The queue that the template gave us."""
        queue_url = settings.require("parked_reviews_queue_url")
        return cls(client("sqs"), queue_url)

    def park(self, records: Iterable[Record]) -> None:
        """Send the records; raises what SQS raises, for then they are nowhere."""
        for body in _bodies(records):
            self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)


class ParkedMessage(Model):
    """What one message of the queue holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reviews: tuple[ScoredReview, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


def review_key(review: Review) -> str:
    """The sort key: posting time in UTC at fixed width, source, id; unique within a film."""
    posted_at = review.posted_at.isoformat(timespec="milliseconds")
    return f"{posted_at}#{review.source}#{review.review_id}"


def unreadable(record: Any, reason: str, *, tmdb_id: int, source: str, now: datetime) -> SetAside:
    """A record of a source that could not be read, cut to a length that can be kept."""
    kept = json.dumps(record, default=str, sort_keys=True)[:MAX_RECORD_CHARACTERS]
    return SetAside(tmdb_id=tmdb_id, source=source, reason=reason, record=kept, set_aside_at=now)


def fitted[R: Review](review: R) -> R:
    """The review, its text cut and marked where the whole would exceed MAX_REVIEW_BYTES."""
    excess = len(review.model_dump_json().encode()) - MAX_REVIEW_BYTES
    if excess <= 0:
        return review
    kept = review.text.encode()[: -(excess + len(CUT_MARKER.encode()))]
    return review.model_copy(update={"text": kept.decode(errors="ignore") + CUT_MARKER})


type _Put = tuple[Record, dict[str, Any]]


class _Writing:
    """One batch on its way, chunk by chunk."""

    def __init__(self, reviews: "Table") -> None:
        self._table = reviews
        self.stored: list[Record] = []
        self.invalid: list[tuple[Record, str]] = []
        self.refused: list[Record] = []
        self.reason = ""

    def write(self, chunk: Sequence[_Put]) -> None:
        """Write up to 25 items; one that is invalid fails the request, so halves isolate it."""
        if self.reason:
            self.refused.extend(record for record, _ in chunk)
            return
        try:
            self._send(chunk)
        except STORE_ERRORS as error:
            if not _is_invalid(error):
                self.reason = str(error)
                self.refused.extend(record for record, _ in chunk)
            elif len(chunk) == 1:
                self.invalid.append((chunk[0][0], str(error)))
            else:
                middle = len(chunk) // 2
                self.write(chunk[:middle])
                self.write(chunk[middle:])

    def _send(self, chunk: Sequence[_Put]) -> None:
        waiting: Sequence[Any] = [{"PutRequest": {"Item": item}} for _, item in chunk]
        for _ in range(1 + _RESENDS):
            answer = self._table.meta.client.batch_write_item(
                RequestItems={self._table.name: waiting}
            )
            waiting = answer["UnprocessedItems"].get(self._table.name, [])
            if not waiting:
                break
        left = {
            (put["PutRequest"]["Item"]["pk"], put["PutRequest"]["Item"]["sk"]) for put in waiting
        }
        for record, item in chunk:
            (self.refused if (item["pk"], item["sk"]) in left else self.stored).append(record)
        if left:
            self.reason = f"DynamoDB handed items back unprocessed {1 + _RESENDS} times"


def _is_invalid(error: Exception) -> bool:
    return (
        isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException"
    )


def _items(records: Iterable[Record]) -> Iterator[_Put]:
    for record in records:
        if isinstance(record, SetAside):
            kept_until = record.set_aside_at + SET_ASIDE_KEPT_FOR
            digest = sha256(record.record.encode()).hexdigest()[:32]
            key = {"pk": f"SET_ASIDE#{record.tmdb_id}", "sk": f"{record.source}#{digest}"}
            extra: Mapping[str, Any] = {"expires_at": int(kept_until.timestamp())}
        else:
            key = {"pk": f"MOVIE#{record.tmdb_id}", "sk": review_key(record)}
            extra = {"fingerprint": fingerprint(record.text)}
        yield record, {**key, **to_item(record), **extra}


def _bodies(records: Iterable[Record]) -> Iterator[str]:
    """The records as message bodies, each a ParkedMessage below MAX_MESSAGE_BYTES."""
    parts: dict[str, list[str]] = {"reviews": [], "set_aside": []}
    size = 0
    for record in records:
        text = _NOT_IN_SQS.sub(lambda match: f"\\u{ord(match[0]):04x}", record.model_dump_json())
        length = len(text.encode()) + 1
        if size and size + length > MAX_MESSAGE_BYTES - len('{"reviews":[],"set_aside":[]}'):
            yield _body(parts)
            parts, size = {"reviews": [], "set_aside": []}, 0
        parts["set_aside" if isinstance(record, SetAside) else "reviews"].append(text)
        size += length
    if size:
        yield _body(parts)


def _body(parts: Mapping[str, Sequence[str]]) -> str:
    lists = (f'"{name}":[{",".join(texts)}]' for name, texts in parts.items())
    return "{" + ",".join(lists) + "}"
