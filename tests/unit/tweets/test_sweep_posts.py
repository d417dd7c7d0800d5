"""The sweep's handler: it says how many posts wait for an operator, as the alarm listens."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.tweets.sweep_posts.app import handler
from marquee.settings import Settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.models import LedgerState
from marquee.tweets.rows import DynamoRows
from tests.support.installation import installed, the_template
from tests.unit.tweets.test_ledger import claimed, moved

REASON = "two posts look alike"


@pytest.fixture
def sweeping() -> Iterator[Settings]:
    with installed("SweepPostsFunction") as settings:
        yield settings


def swept(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that one sweep prints."""
    capsys.readouterr()
    handler({}, cast("LambdaContext", None))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def alarmed_on(lines: list[dict[str, Any]]) -> list[float]:
    """What the alarm of the template sees of the lines."""
    template = the_template()
    alarm = template.resolve(template.resources("AWS::CloudWatch::Alarm")["PostsNeedHumanAlarm"])
    wanted = alarm["Properties"]
    stage = {"Name": "Stage", "Value": "prod"}
    assert (wanted["Namespace"], wanted["Dimensions"]) == ("Marquee", [stage])
    seen: list[float] = []
    for line in lines:
        for measured in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            [dimensions], [metric] = measured["Dimensions"], measured["Metrics"]
            here = [{"Name": name, "Value": line[name]} for name in dimensions]
            if (measured["Namespace"], here) == (wanted["Namespace"], wanted["Dimensions"]):
                seen += line[metric["Name"]] if metric["Name"] == wanted["MetricName"] else []
    return seen


def test_the_alarm_holds_while_a_post_waits_and_clears_after(
    sweeping: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = DynamoRows.connect(sweeping)
    assert alarmed_on(swept(capsys)) == [0]
    sending = moved(rows, claimed(rows), LedgerState.SENDING)
    waiting = moved(rows, sending, LedgerState.NEEDS_HUMAN, reason=REASON)
    for _ in range(2):
        assert alarmed_on(swept(capsys)) == [1]
    assert PostLedger(rows).get(waiting.account, waiting.tweet_id) == waiting
    moved(rows, waiting, LedgerState.REJECTED)
    assert alarmed_on(swept(capsys)) == [0]


def test_the_log_names_who_waits_and_why(
    sweeping: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    rows = DynamoRows.connect(sweeping)
    sending = moved(rows, claimed(rows), LedgerState.SENDING)
    waiting = moved(rows, sending, LedgerState.NEEDS_HUMAN, reason=REASON)
    handler({}, cast("LambdaContext", None))
    [warning] = [vars(record) for record in caplog.records if record.levelname == "WARNING"]
    assert warning["message"] == "a post waits for an operator"
    said = (warning["account"], warning["tweet_id"], warning["reason"])
    assert said == (waiting.account, waiting.tweet_id, REASON)
