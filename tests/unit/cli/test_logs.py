"""``marquee logs``: one execution's lines, of all functions, in the order of time."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws
from rich.console import Console

from marquee_cli.cloud.cloud import Cloud
from marquee_cli.logs import group_of, lines_of, logs, shown
from marquee_cli.main import main
from tests.support.command_line import HOSTILE, moving

ID = "movie_search-0123456789abcdef-1"
OTHER = "movie_search-fedcba9876543210-1"
GROUP = group_of("marquee")
BEGAN = datetime.now(UTC) - timedelta(minutes=5)


def a_line(seconds: float, message: str, **fields: Any) -> dict[str, Any]:
    at = BEGAN + timedelta(seconds=seconds)
    return {
        "level": "INFO",
        "message": message,
        "timestamp": f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}+0000",
        "service": "marquee",
        "correlation_id": ID,
        **fields,
    }


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client: Any = boto3.client("logs", region_name="eu-west-1")
        client.create_log_group(logGroupName=GROUP)
        yield client


def write(client: Any, stream: str, *messages: dict[str, Any] | str) -> None:
    """As Lambda does: each function into streams of its own, everything at its end."""
    client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    at = int(datetime.now(UTC).timestamp() * 1000)
    texts = [m if isinstance(m, str) else json.dumps(m) for m in messages]
    events = [{"timestamp": at, "message": text} for text in texts]
    client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def test_the_lines_of_all_functions_are_one_story(cloudwatch: Any) -> None:
    write(
        cloudwatch,
        "collect",
        f"START RequestId: {ID}",
        a_line(2, "upstream call failed", part="CollectReviews/x"),
        a_line(4, "step ended", part="CollectReviews/x"),
    )
    write(cloudwatch, "find", a_line(1, "step ended", part="FindMovie"))
    write(
        cloudwatch,
        "api",
        a_line(0, "execution starts", correlation_id="a request", workflow_id=ID),
        a_line(3, "another's", correlation_id=OTHER),
    )
    found = lines_of(cloudwatch, GROUP, ID, since=BEGAN)
    assert [line["message"] for line in found] == [
        "execution starts",
        "step ended",
        "upstream call failed",
        "step ended",
    ]


def test_the_id_of_a_request_leads_to_what_it_set_off(cloudwatch: Any) -> None:
    write(
        cloudwatch,
        "api",
        a_line(0, "execution joined", correlation_id="order-7", workflow_id=ID),
        a_line(1, "event put", correlation_id="order-7", event_id="event-1"),
    )
    write(cloudwatch, "find", a_line(2, "step ended"), a_line(3, "other", correlation_id=OTHER))
    write(cloudwatch, "match", a_line(4, "event matched", correlation_id="event-1"))
    found = lines_of(cloudwatch, GROUP, "order-7", since=BEGAN)
    assert [line["message"] for line in found] == [
        "execution joined",
        "event put",
        "step ended",
        "event matched",
    ]


def test_an_execution_leads_to_no_other_request_that_asked_for_it(cloudwatch: Any) -> None:
    joins = a_line(0, "execution joined", correlation_id="order-7", workflow_id=ID)
    more = a_line(1, "execution starts", correlation_id="order-7", workflow_id=OTHER)
    write(cloudwatch, "api", joins, more)
    found = lines_of(cloudwatch, GROUP, ID, since=BEGAN)
    assert [line["message"] for line in found] == ["execution joined"]


def test_what_only_holds_the_id_somewhere_is_left_out(cloudwatch: Any) -> None:
    write(cloudwatch, "api", a_line(0, "listed", correlation_id=OTHER, found=[ID]))
    write(cloudwatch, "odd", json.dumps([ID]), json.dumps(ID), f"{{{ID}")
    assert lines_of(cloudwatch, GROUP, ID, since=BEGAN) == []


def test_a_line_without_a_time_has_that_of_the_event(cloudwatch: Any) -> None:
    write(cloudwatch, "api", {"message": "from the runtime", "correlation_id": ID})
    [line] = lines_of(cloudwatch, GROUP, ID, since=BEGAN)
    assert line["timestamp"].startswith(f"{datetime.now(UTC):%Y-%m-%d}")


def test_a_line_says_when_who_what_and_what_belongs_to_it() -> None:
    line = a_line(0, "step failed", part="FindMovie", level="ERROR", attempt=2, counts={"a": 1})
    line["exception"] = 'Traceback:\n  File "a.py"\nUpstreamTimeout: no answer'
    short, whole = (shown(line, trace=trace).plain for trace in (False, True))
    assert short.splitlines()[0].split()[1:] == [
        "FindMovie",
        "step",
        "failed",
        "attempt=2",
        'counts={"a":',
        "1}",
    ]
    assert short.splitlines()[1:] == ["    UpstreamTimeout: no answer"]
    assert 'File "a.py"' in whole


def test_what_strangers_wrote_cannot_move_the_terminal() -> None:
    hostile = a_line(0, HOSTILE, part=HOSTILE, reason=HOSTILE, exception=HOSTILE)
    console = Console(record=True, width=400, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(shown(hostile, trace=True))
    assert moving(captured.get()) == set()


def run(cloud: Any, *words: str) -> Any:
    return CliRunner().invoke(logs, words, obj=cloud)


class Laptop(Cloud):
    """A cloud whose emulator is the one given."""

    def __init__(self, client: Any) -> None:
        self._logs = client

    def boto3(self, service: str) -> Any:
        assert service == "logs"
        return self._logs


def test_the_laptop_s_lines_are_read_through_the_emulator(cloudwatch: Any) -> None:
    write(cloudwatch, "find", a_line(1, "step ended", part="FindMovie"))
    done = run(Laptop(cloudwatch), ID)
    assert done.exit_code == 0
    assert "FindMovie" in done.stdout
    raw = run(Laptop(cloudwatch), ID, "--json")
    assert json.loads(raw.stdout)["correlation_id"] == ID


def test_a_stack_s_lines_are_read_with_one_s_own_credentials(cloudwatch: Any) -> None:
    write(cloudwatch, "find", a_line(1, "step ended", part="FindMovie"))
    done = CliRunner().invoke(main, ["logs", ID, "--stack", "marquee", "--region", "eu-west-1"])
    assert done.exit_code == 0
    assert "FindMovie" in done.stdout


def test_nothing_is_said_to_be_nothing(cloudwatch: Any) -> None:
    done = run(Laptop(cloudwatch), ID, "--hours", "2")
    assert done.exit_code == 1
    assert f"Nothing about {ID} in the last 2 hours." in done.output


@pytest.mark.parametrize(
    "words", [['a"b'], ["a\nb"], [ID, "--profile", "mine"], [ID, "--region", "eu-west-1"]]
)
def test_a_call_that_means_nothing_is_refused(cloudwatch: Any, words: list[str]) -> None:
    assert run(Laptop(cloudwatch), *words).exit_code == 2
