"""The outbox on moto: what Lambda hands from the streams of tables to PublishEvents.

Tables have their streams only while somebody asks for them: moto copies what is in a stream with
every transaction.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamShard

from marquee.coordination.outbox import announcers
from marquee.events.outbox import DeadLetters, publish_changes
from marquee.events.publish import Bus
from marquee.settings import Settings, read_settings
from tests.support.state_machines import ACCOUNT, REGION
from tests.support.templates import Template

FUNCTION = "PublishEventsFunction"

type Json = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """One of the function's event sources."""

    table: str
    """Its name in moto."""
    filters: tuple[Mapping[str, Any], ...]

    @property
    def arn(self) -> str:
        """Of its stream."""
        return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{self.table}/stream/2026-03-14T19:00"

    def wants(self, record: Json) -> bool:
        """Whether Lambda hands the record over."""
        return any(matches(pattern, record) for pattern in self.filters)


def sources_of(template: Template) -> tuple[Source, ...]:
    """The event sources as the template has them."""
    events = template.document["Resources"][FUNCTION]["Properties"]["Events"].values()
    return tuple(
        Source(
            template.name_of(event["Properties"]["Stream"]["Fn::GetAtt"][0]),
            tuple(
                json.loads(one["Pattern"])
                for one in event["Properties"]["FilterCriteria"]["Filters"]
            ),
        )
        for event in events
    )


@dataclass
class Outbox:
    """The streams of an installation, from the moment that it is made."""

    template: Template
    invocations: int = 0
    """Batches that were handed over: those of which a filter left nothing cost nothing."""
    _settings: Settings = field(init=False)
    _sources: tuple[Source, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._settings = read_settings(self.template.environment(FUNCTION))
        self._sources = sources_of(self.template)
        for source in self._sources:
            self._shard(source)

    def batches(self) -> Iterator[tuple[Source, list[Json]]]:
        """What has changed since the last time, by table, whatever the filters say."""
        for source in self._sources:
            shard = self._shard(source)
            records = [json.loads(json.dumps(item.to_json(), default=str)) for item in shard.items]
            shard.starting_sequence_number += len(shard.items)
            shard.items.clear()
            if records:
                yield source, [{**r, "eventSourceARN": source.arn} for r in _as_on_aws(records)]

    def deliver(self) -> None:
        """Let the function put on the bus what has changed; it must take all of it."""
        for source, records in self.batches():
            wanted = [record for record in records if source.wants(record)]
            self._must_say_nothing([record for record in records if record not in wanted])
            if wanted:
                self.invocations += 1
                assert self._publish(wanted, Bus.connect(self._settings)) == []

    def _publish(self, records: Sequence[Json], bus: Bus) -> list[Json]:
        answer = publish_changes(
            {"Records": records},
            announcers(self._settings),
            bus,
            DeadLetters.connect(self._settings, "arn:aws:lambda:us-east-1:1:function:publish"),
        )
        failures: list[Json] = answer["batchItemFailures"]
        return failures

    def _must_say_nothing(self, records: Sequence[Json]) -> None:
        """What a filter drops, the function would have passed over."""
        silent = _Silent()
        assert self._publish(records, Bus(silent, "bus")) == []
        assert silent.entries == []

    def _shard(self, source: Source) -> StreamShard:
        """Where moto keeps the changes of a table, made where it does not yet."""
        table = dynamodb_backends[ACCOUNT][REGION].tables[source.table]
        if table.stream_shard is None:
            boto3.client("dynamodb", region_name=REGION).update_table(
                TableName=source.table,
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            )
        assert table.stream_shard is not None
        return table.stream_shard


class _Silent:
    """A bus on which nothing should be heard."""

    def __init__(self) -> None:
        self.entries: list[Json] = []

    def put_events(self, Entries: list[Json]) -> Json:
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


def _as_on_aws(records: Sequence[Json]) -> Iterator[Json]:
    """Moto tells of an item that an update makes twice: as one with a key alone, then whole."""
    made: dict[str, Json] = {}
    for record in records:
        images, key = record["dynamodb"], json.dumps(record["dynamodb"]["Keys"])
        if record["eventName"] == "INSERT" and images["NewImage"] == images["Keys"]:
            made[key] = record
        elif key in made and images.get("OldImage") == images["Keys"]:
            del made[key]
            whole = {name: image for name, image in images.items() if name != "OldImage"}
            yield {**record, "eventName": "INSERT", "dynamodb": whole}
        else:
            yield record


def matches(pattern: Mapping[str, Any], record: Any) -> bool:
    """Whether a filter of an event source lets the record through, as far as ours need it."""
    return isinstance(record, Mapping) and all(
        matches(wanted, record.get(name))
        if isinstance(wanted, Mapping)
        else any(_allows(one, record.get(name)) for one in wanted)
        for name, wanted in pattern.items()
    )


def _allows(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"exists": bool(exists)}:
            return exists == (value is not None)
        case {"prefix": str(prefix)}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"anything-but": [*others]}:
            return value is not None and value not in others
        case dict():
            raise AssertionError(f"the tests do not know the filter {wanted}")
    return bool(wanted == value)
