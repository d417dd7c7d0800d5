"""The slots of an execution that has ended: whoever books next may have them."""

from dataclasses import dataclass
from datetime import datetime

from marquee import aws
from marquee.gateway.quota import APP, Policies, Policy, Quota
from marquee.gateway.rows import DynamoRows, Rows
from marquee.settings import Settings


@dataclass(frozen=True)
class Slots:
    """Every quota in which steps of executions may wait."""

    rows: Rows
    policies: tuple[Policy, ...]

    @classmethod
    def connect(cls, given: Settings) -> "Slots":
        """Those of an installation; raises Misconfigured where a setting can not be read."""
        policies = Policies(given.quota_policies)
        credentials = [APP, *([given.posting_account] if given.posting_account else [])]
        booked = [one for name in credentials for one in policies.all_booked((), name)]
        return cls(DynamoRows(aws.table(given.require("gateway_table"))), tuple(booked))

    def give_back(self, workflow_id: str, *, now: datetime) -> None:
        """Free what the execution holds; one read a quota. Raises StoreUnavailable."""
        for policy in self.policies:
            Quota(self.rows).give_back_all(policy, workflow_id, now=now)
