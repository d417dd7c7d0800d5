"""TriggersTable: the triggers, and their deliveries by time, status and trigger.

A trigger is the row ``TRIGGERS`` / its id, which begins with the event type: one query reads all
of a type. A delivery is the row ``DELIVERY#<id>`` / ``DELIVERY``; it expires. Two indexes list
deliveries, the newest first: ``by_status`` over all triggers, ``by_trigger_and_status`` of one.
They leave out the payload, which may be a thousand times as long as the rest.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from marquee.aws import from_item, table, to_item
from marquee.settings import WEBHOOK_HISTORY_KEPT_FOR as KEPT_FOR
from marquee.settings import Settings
from marquee.triggers.models import Delivery, DeliveryStatus, ListedDelivery, Trigger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

_TRIGGERS = "TRIGGERS"


class TriggerStore:
    """Reads and writes triggers and deliveries."""

    def __init__(self, triggers: "Table") -> None:
        self._table = triggers

    @classmethod
    def connect(cls, settings: Settings) -> "TriggerStore":
        """The table that the template gave us."""
        return cls(table(settings.require("triggers_table")))

    def put_trigger(self, trigger: Trigger) -> None:
        """Store a trigger."""
        item = {**to_item(trigger), "filter": json.dumps(trigger.filter)}
        self._table.put_item(Item={**_trigger_key(trigger.trigger_id), **item})

    def trigger(self, trigger_id: str) -> Trigger | None:
        """One trigger as of now."""
        answer = self._table.get_item(Key=_trigger_key(trigger_id), ConsistentRead=True)
        item = answer.get("Item")
        return _trigger(item) if item else None

    def triggers_of(self, event_type: str) -> Iterator[Trigger]:
        """All triggers of an event type, switched off ones too."""
        after: str | None = None
        while True:
            found, after = self._page_of_triggers(Key("sk").begins_with(f"{event_type}-"), after)
            yield from found
            if after is None:
                return

    def page_of_triggers(
        self, *, limit: int, after: str | None
    ) -> tuple[list[Trigger], str | None]:
        """Triggers by event type, behind the one called ``after``; the last id where more are."""
        return self._page_of_triggers(None, after, Limit=limit)

    def switch(
        self, trigger_id: str, *, enabled: bool, reason: str, now: datetime
    ) -> Trigger | None:
        """Switch a trigger on or off; None where there is none. One that is so stays as it is."""
        found = self._update_trigger(
            trigger_id,
            "SET enabled = :enabled, disabled_reason = :reason, changed_at = :now, failures = :no",
            Attr("pk").exists() & Attr("enabled").ne(enabled),
            {":enabled": enabled, ":reason": reason, ":now": to_text(now), ":no": 0},
        )
        return found or self.trigger(trigger_id)

    def count_failure(self, trigger_id: str) -> Trigger | None:
        """One more delivery was given up; the trigger then, None where there is none."""
        return self._update_trigger(
            trigger_id, "ADD failures :one", Attr("pk").exists(), {":one": 1}
        )

    def forget_failures(self, trigger_id: str) -> None:
        """A delivery has arrived."""
        self._update_trigger(trigger_id, "SET failures = :none", Attr("pk").exists(), {":none": 0})

    def delete_trigger(self, trigger_id: str) -> None:
        """Delete a trigger; its deliveries stay until they expire."""
        self._table.delete_item(Key=_trigger_key(trigger_id))

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery as of now."""
        answer = self._table.get_item(Key=_delivery_key(delivery_id), ConsistentRead=True)
        item = answer.get("Item")
        return _delivery(item) if item else None

    def swap(self, delivery: Delivery) -> Delivery | None:
        """Store a delivery where nobody has changed it since it was read, or made it first.

        The delivery as it is stored now; None where someone came between.
        """
        stored = delivery.model_copy(update={"version": delivery.version + 1})
        condition = Attr("version").eq(delivery.version)
        try:
            self._table.put_item(
                Item=_item(stored),
                ConditionExpression=condition if delivery.version else Attr("pk").not_exists(),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return None
        return stored

    def page(
        self,
        *,
        limit: int,
        before: str | None = None,
        trigger_id: str | None = None,
        statuses: Iterable[DeliveryStatus] = tuple(DeliveryStatus),
    ) -> tuple[list[ListedDelivery], str | None]:
        """Deliveries, the newest first, from before the place ``before``; the next such place."""
        found: dict[str, Any] = {}
        for status in statuses:
            listed = f"{trigger_id}#{status}" if trigger_id else str(status)
            index = "by_trigger_and_status" if trigger_id else "by_status"
            key = Key("trigger_status" if trigger_id else "status").eq(listed)
            items = self._newest(index, key & Key("place").lt(before) if before else key, limit + 1)
            found |= {str(item["place"]): item for item in items}
        places = sorted(found, reverse=True)
        page = places[:limit]
        more = page[-1] if len(places) > limit else None
        return [ListedDelivery.model_validate(from_item(found[place])) for place in page], more

    def _newest(self, index: str, condition: Any, most: int) -> list[Any]:
        """The first so many items, whatever DynamoDB answers at once: 1 MB at most."""
        items: list[Any] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._table.query(
                IndexName=index,
                KeyConditionExpression=condition,
                ScanIndexForward=False,
                Limit=most - len(items),
                **start,
            )
            items += answer["Items"]
            if len(items) == most or "LastEvaluatedKey" not in answer:
                return items
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _page_of_triggers(
        self, condition: Any, after: str | None, **options: Any
    ) -> tuple[list[Trigger], str | None]:
        if after is not None:
            options["ExclusiveStartKey"] = _trigger_key(after)
        key: Any = Key("pk").eq(_TRIGGERS)
        answer = self._table.query(
            KeyConditionExpression=key & condition if condition else key, **options
        )
        last = answer.get("LastEvaluatedKey")
        return [_trigger(item) for item in answer["Items"]], str(last["sk"]) if last else None

    def _update_trigger(
        self, trigger_id: str, expression: str, condition: Any, values: dict[str, Any]
    ) -> Trigger | None:
        try:
            answer = self._table.update_item(
                Key=_trigger_key(trigger_id),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return None
        return _trigger(answer["Attributes"])


def to_text(moment: datetime) -> str:
    """At fixed width, so that texts sort as times do."""
    return moment.isoformat(timespec="milliseconds")


def _trigger_key(trigger_id: str) -> dict[str, str]:
    return {"pk": _TRIGGERS, "sk": trigger_id}


def _delivery_key(delivery_id: str) -> dict[str, str]:
    return {"pk": f"DELIVERY#{delivery_id}", "sk": "DELIVERY"}


def _trigger(item: Any) -> Trigger:
    return Trigger.model_validate({**from_item(item), "filter": json.loads(item["filter"])})


def _delivery(item: Any) -> Delivery:
    return Delivery.model_validate(from_item(item))


def _item(delivery: Delivery) -> dict[str, Any]:
    return {
        **to_item(delivery),
        **_delivery_key(delivery.delivery_id),
        "trigger_status": f"{delivery.trigger_id}#{delivery.status}",
        "place": f"{to_text(delivery.matched_at)}#{delivery.delivery_id}",
        "expires_at": int((delivery.due_at + KEPT_FOR).timestamp()),
    }
