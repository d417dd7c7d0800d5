"""The payloads for ``sam local invoke`` are such as the handlers take."""

import importlib
import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from marquee.custom_resource import Request
from marquee.tweets.approval import RequestApprovalInput
from marquee.tweets.finish import FinishRunInput
from marquee.tweets.publish import PublishTweetInput
from marquee.tweets.reconcile import ReconcilePostInput
from marquee.tweets.run import StepInput
from marquee.workflows.step import Asking

ROOT = Path(__file__).resolve().parents[3]
INPUTS: dict[str, type[BaseModel]] = {
    "download_tweets": StepInput,
    "classify_tweets": StepInput,
    "polish_tweets": StepInput,
    "request_approval": RequestApprovalInput,
    "publish_tweet": PublishTweetInput,
    "reconcile_post": ReconcilePostInput,
    "finish_run": FinishRunInput,
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_payload_is_one_that_the_handler_takes(name: str) -> None:
    event = json.loads((ROOT / "tests/events" / f"{name}.json").read_text())
    Asking.model_validate(event)
    INPUTS[name].model_validate(event)


def test_the_payload_of_a_deployment_is_one_that_cloudformation_would_send() -> None:
    Request.model_validate_json((ROOT / "tests/events/apply_settings.json").read_text())


def test_every_step_has_a_handler_and_a_payload() -> None:
    steps = {path.parent.name for path in (ROOT / "functions/tweets").glob("*/app.py")}
    assert steps == {*INPUTS, "apply_settings", "start_tweet_pipeline", "sweep_posts"}
    for name in steps:
        assert (ROOT / "tests/events" / f"{name}.json").exists()
        assert callable(importlib.import_module(f"functions.tweets.{name}.app").handler)
