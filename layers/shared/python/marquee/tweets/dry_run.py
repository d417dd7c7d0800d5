"""A dry run's rows: it reads what is there and writes beside it, so that nothing real changes.

Every step runs as ever, on an overlay in TweetsTable: rows whose keys begin with the dry run's own
mark, which no other run, index query or answer of the API meets, and which TTL removes.
"""

from datetime import datetime, timedelta

from marquee.tweets.rows import Cursor, In, Item, Part, Rows, Swap

DRY_ROWS_KEPT_FOR = timedelta(days=1)
"""Longer than any dry run; what it showed is in its workflow record."""


class DryRows:
    """``Rows`` of one dry run over the real ones."""

    def __init__(self, rows: Rows, workflow_id: str, *, now: datetime) -> None:
        self._rows = rows
        self._mark = f"dry#{workflow_id}#"
        self._expires_at = int((now + DRY_ROWS_KEPT_FOR).timestamp())

    def get(self, table: In, account: str, key: str) -> Item | None:
        """The dry run's own row, or the real one."""
        own = self._rows.get(In.TWEETS, account, self._key(table, key))
        if own is None:
            return self._rows.get(table, account, key)
        return None if "removed" in own else self._unmarked(own, table)

    def swap(self, *swaps: Swap) -> bool:
        """Write beside the real rows, all or none."""
        return self._rows.swap(*map(self._beside, swaps))

    def page(
        self, part: Part, limit: int, after: Cursor | None
    ) -> tuple[list[Item], Cursor | None]:
        """The dry run's own rows on the first page, with real ones that it has not changed."""
        items, cursor = self._rows.page(part, limit, after)
        kept = [item for item in items if not self._is_changed(part.table, item)]
        if after is None and part.index:
            own = Part(
                In.TWEETS,
                part.index,
                (part.partition[0], self._mark + part.partition[1]),
                part.sort,
                self._key(part.table, part.low),
                self._key(part.table, part.high),
            )
            found, _ = self._rows.page(own, limit, None)
            kept = [self._unmarked(item, part.table) for item in found] + kept
        return kept, cursor

    def _is_changed(self, table: In, item: Item) -> bool:
        key = self._key(table, str(item["tweet_id"]))
        return self._rows.get(In.TWEETS, str(item["account"]), key) is not None

    def _beside(self, swap: Swap) -> Swap:
        key = self._key(swap.table, swap.key)
        own = self._rows.get(In.TWEETS, swap.account, key)
        real = None if own else self._rows.get(swap.table, swap.account, swap.key)
        found = own or real
        absent = found is None or "removed" in found
        fits = swap.expected == (None if absent else int((found or {})["version"]))
        item = {
            **(swap.item or {"removed": True, "account": swap.account}),
            "tweet_id": key,
            "expires_at": self._expires_at,
        }
        if "account_status" in item:
            item["account_status"] = f"{self._mark}{item['account_status']}"
        item.setdefault("version", 1)
        # One that does not fit is written under a version that no row has: nothing is written.
        expected = (int(own["version"]) if own else None) if fits else -1
        return Swap(In.TWEETS, swap.account, key, expected, item)

    def _unmarked(self, item: Item, table: In) -> Item:
        plain = dict(item)
        plain["tweet_id"] = str(plain["tweet_id"]).removeprefix(self._key(table, ""))
        if "account_status" in plain:
            plain["account_status"] = str(plain["account_status"]).removeprefix(self._mark)
        plain.pop("expires_at", None)
        return plain

    def _key(self, table: In, key: str) -> str:
        return f"{self._mark}{table}#{key}"
