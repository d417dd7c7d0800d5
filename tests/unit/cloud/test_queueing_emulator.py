"""The queue in front of the emulator's Lambda workers."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from marquee_cli.cloud.queueing_emulator import forgetting_streams, heeding_failures, queueing

DEADLINE_SECONDS = 10.0


def a_function(name: str) -> dict[str, Any]:
    return {"config": {"FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}"}}


class Workers:
    """Counts the calls that run; each ends when it may."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self._guard = threading.Lock()
        self._running = 0
        self.most = 0

    def execute(
        self, function: dict[str, Any], event: dict[str, Any], request_id: str
    ) -> dict[str, Any]:
        with self._guard:
            self._running += 1
            self.most = max(self.most, self._running)
        self.started.release()
        assert self.may_end.acquire(timeout=DEADLINE_SECONDS)
        with self._guard:
            self._running -= 1
        return {"body": (function["config"]["FunctionArn"], event, request_id)}

    def wait_for(self, calls: int) -> None:
        for _ in range(calls):
            assert self.started.acquire(timeout=DEADLINE_SECONDS)


def test_a_burst_waits_for_free_slots_and_every_call_is_answered() -> None:
    workers = Workers()
    execute = queueing(workers.execute, slots=2)
    with ThreadPoolExecutor(20) as pool:
        calls = [
            pool.submit(execute, a_function("api"), {"n": number}, str(number))
            for number in range(20)
        ]
        workers.wait_for(2)
        assert not workers.started.acquire(timeout=0.2)
        workers.may_end.release(20)
        answers = [call.result(timeout=DEADLINE_SECONDS)["body"] for call in calls]
    assert workers.most == 2
    assert [(event["n"], request) for _, event, request in answers] == [
        (number, str(number)) for number in range(20)
    ]


def test_a_function_that_waits_for_another_does_not_take_its_slots() -> None:
    workers = Workers()
    execute = queueing(workers.execute, slots=1)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(execute, a_function(name), {}, name) for name in ("api", "step")]
        workers.wait_for(2)
        workers.may_end.release(2)
        for call in calls:
            call.result(timeout=DEADLINE_SECONDS)


def test_a_call_that_fails_gives_its_slot_back() -> None:
    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("no bootstrap")

    execute = queueing(fail, slots=1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no bootstrap"):
            execute(a_function("api"), {}, "1")


def a_batch(source: str) -> dict[str, Any]:
    return {"Records": [{"eventSource": source}, {"eventSource": source}]}


def answered(body: Any, source: str = "aws:dynamodb") -> dict[str, Any]:
    """What the emulator sees of a batch whose function answers so."""
    execute = heeding_failures(lambda function, event, request_id: {"body": body, "log": "said"})
    return execute(a_function("publish"), a_batch(source), "1")


FAILED = {"batchItemFailures": [{"itemIdentifier": "17"}]}


@pytest.mark.parametrize("body", [FAILED, json.dumps(FAILED), json.dumps(FAILED).encode()])
def test_a_batch_of_a_stream_that_was_done_in_part_comes_again(body: Any) -> None:
    answer = answered(body)
    assert answer["error"] is True
    assert "17" in answer["body"]["errorMessage"]
    assert answer["log"] == "said"


@pytest.mark.parametrize("body", [{"batchItemFailures": []}, "", None, "null", [1]])
def test_a_batch_of_a_stream_that_was_done_is_done(body: Any) -> None:
    assert answered(body) == {"body": body, "log": "said"}


def test_batches_of_queues_are_left_to_the_emulator() -> None:
    assert answered(FAILED, "aws:sqs") == {"body": FAILED, "log": "said"}
    execute = heeding_failures(lambda function, event, request_id: {"body": FAILED})
    assert execute(a_function("api"), {"Records": []}, "1") == {"body": FAILED}


def test_how_far_streams_were_read_is_not_saved_as_their_records_are_not() -> None:
    state = {"functions": {"api": 1}, "esms": {"a": 2}, "dynamodb_stream_positions": {"a": 512}}
    saved = forgetting_streams(lambda: state)()
    assert saved == {"functions": {"api": 1}, "esms": {"a": 2}}
