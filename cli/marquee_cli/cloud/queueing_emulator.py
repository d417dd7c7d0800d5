"""Runs MiniStack so that a burst of calls queues for Lambda workers instead of starting one each.

A worker takes about a second of processor time to start, and the emulator gives every call that
finds none idle a new one: on two cores, 50 calls at once start 50 workers, of which none is ready
within Lambda's 10 seconds, and all fail. Here at most `SLOTS` calls of a function run at a time;
the others wait for one of its workers. Started by path, with the emulator's own Python.

And so that a batch of a DynamoDB stream of which a function reports failures comes again: the
emulator reads such reports for SQS alone, and would count the batch as done.

And so that streams are read after a restart: the emulator saves how far they were read, but not
their records, and would wait until there are as many again. And queues too, where it has another
port then: it saves them by their addresses, and would look for them at the new ones.
"""

import json
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

SLOTS = max(8, 4 * (os.cpu_count() or 1))
"""Calls of one function at a time: most of them wait for an answer, few compute."""

QUEUES_PORT = "4566"
"""In the addresses by which queues are saved, wherever the emulator listens; whoever asks for an
address is given the real one."""

type Execute = Callable[[dict[str, Any], dict[str, Any], str], dict[str, Any]]
type State = dict[str, Any]


def queueing(execute: Execute, slots: int) -> Execute:
    """`execute`, for at most `slots` calls of each function at a time."""
    free: defaultdict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(slots))
    guard = threading.Lock()

    def wait_and_execute(
        function: dict[str, Any], event: dict[str, Any], request_id: str
    ) -> dict[str, Any]:
        with guard:
            slot = free[function["config"]["FunctionArn"]]
        with slot:
            return execute(function, event, request_id)

    return wait_and_execute


def heeding_failures(execute: Execute) -> Execute:
    """`execute`, where a batch of a stream that was done in part has failed: it comes again whole.

    On AWS it would come again from the first record that failed.
    """

    def execute_and_look(
        function: dict[str, Any], event: dict[str, Any], request_id: str
    ) -> dict[str, Any]:
        answer = execute(function, event, request_id)
        records = event.get("Records") if isinstance(event, dict) else None
        if records and records[0].get("eventSource") == "aws:dynamodb" and _failures(answer):
            said = {"errorType": "BatchItemFailures", "errorMessage": json.dumps(_failures(answer))}
            return {**answer, "error": True, "body": said}
        return answer

    return execute_and_look


def _failures(answer: dict[str, Any]) -> list[Any]:
    """What the function reported; nothing where it failed as a whole."""
    body = answer.get("body")
    said = json.loads(body) if isinstance(body, str | bytes) and body else body
    return said.get("batchItemFailures", []) if isinstance(said, dict) else []


def forgetting_streams(get_state: Callable[[], State]) -> Callable[[], State]:
    """`get_state`, which gives what is saved of Lambda, without how far streams were read."""

    def state_without_positions() -> State:
        state = get_state()
        return {name: state[name] for name in state if name != "dynamodb_stream_positions"}

    return state_without_positions


def main() -> None:
    """Run the emulator until it is asked to end."""
    # Imported here: only the emulator's environment holds it, and tests use the queue without.
    import ministack.app  # type: ignore[import-not-found] # as said
    from ministack.services import lambda_svc, sqs  # type: ignore[import-not-found] # as said

    lambda_svc._execute_function_provided_warm = heeding_failures(
        queueing(lambda_svc._execute_function_provided_warm, SLOTS)
    )
    lambda_svc.get_state = forgetting_streams(lambda_svc.get_state)
    sqs.DEFAULT_PORT = QUEUES_PORT
    sqs._CANONICAL_NETLOC = f"{sqs.DEFAULT_HOST}:{QUEUES_PORT}"
    ministack.app.main()
    # It has saved its state. Python would now wait for the threads of Maps, whose tasks may wait
    # for a person for days.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
