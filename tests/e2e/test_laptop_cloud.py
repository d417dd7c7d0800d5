"""The laptop cloud itself: the same template, guarded as on AWS, and hard to break."""

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner

from marquee_cli.cloud.fit import Build, Put, Remove, adapted, changes_for
from marquee_cli.cloud.ports import LOOPBACK
from marquee_cli.cloud.processes import marked
from marquee_cli.cloud.queueing_emulator import SLOTS
from marquee_cli.cloud.stand_ins import oauth2_tokens
from marquee_cli.main import main
from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.e2e.conftest import RunningCloud
from tests.e2e.deployed import deployed_in
from tests.e2e.test_triggers import Hooks
from tests.support.receiver import receiving

HEALTH = "/workflow/health"
KEYS = {
    "MoviesTableName": ("pk", "sk"),
    "ReviewsTableName": ("pk", "sk"),
    "WorkflowsTableName": ("workflow_id",),
    "TweetsTableName": ("account", "tweet_id"),
    "PostsTableName": ("account", "tweet_id"),
}
BURST = 50
QUICK_SECONDS = 5.0
"""An `up` with nothing to do takes a third of a second; a busy machine may take longer."""


def get(cloud: RunningCloud, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return httpx.get(cloud.api_url + path, headers=headers, timeout=60, trust_env=False)


def test_status_says_what_runs_with_exit_code_0(cloud: RunningCloud) -> None:
    result = CliRunner().invoke(main, ["--home", str(cloud.cloud.home.folder), "status"])
    assert result.exit_code == 0
    page = f"{cloud.api_url}/#key={cloud.api_key}"
    for word in (cloud.endpoint_url, cloud.upstreams_url, cloud.api_url, page, "_COMPLETE"):
        assert word in result.output
    assert "stand-in" in result.output


def test_the_page_and_its_files_are_sent_compressed_without_a_key(cloud: RunningCloud) -> None:
    page = get(cloud, "/")
    assert (page.status_code, page.headers["content-encoding"]) == (200, "gzip")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert get(cloud, "/", {"If-None-Match": page.headers["etag"]}).status_code == 304
    for address in re.findall(r'"(site/[^"]+)"', page.text):
        file = get(cloud, f"/{address}")
        assert (file.status_code, file.headers["content-encoding"]) == (200, "gzip")
        assert "immutable" in file.headers["cache-control"]
    assert get(cloud, "/site/0123456789abcdef/app.js").status_code == 404


def test_the_deployed_template_differs_from_the_built_one_by_the_fit_only(
    cloud: RunningCloud,
) -> None:
    home = cloud.cloud.home
    built = yaml.safe_load((home.build / "template.yaml").read_text())
    build = Build(
        folder=home.build,
        template=built,
        runtime_python=Path(sys.executable),
        layers={
            name: home.fitted / name / "python"
            for name, resource in built["Resources"].items()
            if resource["Type"] == "AWS::Serverless::LayerVersion"
        },
    )
    changes = changes_for(build)
    fitted = json.loads((home.fitted / "template.json").read_text())
    assert adapted(built, changes) == fitted
    touched = {str(change.path[-1]) for change in changes if isinstance(change, Put | Remove)}
    assert {name for name in touched if not name.startswith("Everything")} == {
        "Runtime",
        "DefinitionUri",
        "Resource",
        "EventArchive",
    }


def test_a_second_up_is_quick_and_changes_nothing(cloud: RunningCloud) -> None:
    def stack() -> Any:
        stacks = cloud.boto3("cloudformation").describe_stacks(StackName="marquee")
        return stacks["Stacks"][0]

    before, record = stack(), cloud.cloud.home.read()
    started = time.monotonic()
    assert cloud.cloud.up() == record
    assert time.monotonic() - started < QUICK_SECONDS
    assert stack() == before


def test_the_api_wants_its_key_except_for_health(cloud: RunningCloud) -> None:
    assert get(cloud, "/workflow/list").status_code == 403
    assert get(cloud, "/workflow/list", {"x-api-key": "wrong"}).status_code == 403
    assert get(cloud, "/workflow/list", {"x-api-key": cloud.api_key}).status_code == 200
    assert get(cloud, HEALTH).status_code == 200


def test_a_burst_of_calls_shares_a_few_workers(cloud: RunningCloud) -> None:
    with ThreadPoolExecutor(BURST) as pool:
        answers = list(pool.map(lambda _: get(cloud, HEALTH).status_code, range(BURST)))
    assert answers == [200] * BURST
    assert len(workers_of(cloud, "ApiFunction")) <= SLOTS


def test_a_handler_imports_from_its_function_the_layers_and_the_runtime_only(
    cloud: RunningCloud,
) -> None:
    get(cloud, HEALTH)
    environments = workers_of(cloud, "ApiFunction")
    assert environments
    for environment in environments:
        function, *layers = environment["PYTHONPATH"].split(":")
        assert function == environment["LAMBDA_TASK_ROOT"]
        assert {Path(layer).parents[1] for layer in layers} == {cloud.cloud.home.layers}
        assert "AWS_PROFILE" not in environment
        assert environment["AWS_ACCESS_KEY_ID"] != "test", "a role's credentials, not root's"


def test_secrets_are_encrypted_parameters_below_the_stages_path(cloud: RunningCloud) -> None:
    found = cloud.boto3("ssm").get_parameters_by_path(
        Path="/marquee/local/movies", Recursive=True, WithDecryption=False
    )["Parameters"]
    assert {parameter["Name"].removeprefix("/marquee/local/movies/") for parameter in found} == {
        "tmdb/token",
        "x/bearer_token",
        "bluesky/handle",
        "bluesky/app_password",
    }
    assert {parameter["Type"] for parameter in found} == {"SecureString"}


def test_down_keeps_the_data_and_the_stack_for_the_next_up(cloud: RunningCloud) -> None:
    table = cloud.outputs["MoviesTableName"]
    key = {"pk": {"S": "MOVIE#0"}, "sk": {"S": "kept"}}
    cloud.boto3("dynamodb").put_item(TableName=table, Item=key)

    port = port_of(cloud)
    assert cloud.cloud.down()
    assert marked(cloud.cloud.home.folder) == []
    assert not cloud.cloud.status().is_up
    assert not cloud.cloud.down()

    with socket.create_server((LOOPBACK, port)):  # somebody else has it now
        cloud.cloud.up()
    assert port_of(cloud) != port
    assert cloud.outputs["MoviesTableName"] == table
    found = cloud.boto3("dynamodb").get_item(TableName=table, Key=key)
    cloud.boto3("dynamodb").delete_item(TableName=table, Key=key)
    assert found["Item"] == key
    assert get(cloud, HEALTH).status_code == 200
    # Queues are still read, though their addresses are others.
    with deployed_in(cloud) as deployed, receiving() as receiver:
        hooks = Hooks(deployed, receiver)
        made = hooks.register("CloudMoved")
        hooks.happens("CloudMoved")
        [told] = hooks.ended(made)
    assert told["status"] == "DELIVERED"


def port_of(cloud: RunningCloud) -> int:
    """Where the emulator listens."""
    emulator = cloud.cloud.home.read().emulator
    assert emulator is not None
    return emulator.port


def test_the_next_up_replaces_a_killed_emulator_and_its_workers(cloud: RunningCloud) -> None:
    get(cloud, HEALTH)
    emulator = cloud.cloud.home.read().emulator
    assert emulator is not None
    orphans = [p for p in marked(cloud.cloud.home.folder, "emulator") if p != emulator.process]
    assert orphans
    os.kill(emulator.process.pid, signal.SIGKILL)
    assert not cloud.cloud.status().is_up

    cloud.cloud.up()
    assert not any(orphan.is_alive() for orphan in orphans)
    assert cloud.cloud.status().is_up
    assert get(cloud, HEALTH).status_code == 200


def test_tokens_that_a_killed_emulator_has_forgotten_are_found_again(cloud: RunningCloud) -> None:
    def stored() -> Any:
        name = "/marquee/local/tweets/marquee_demo/oauth2_tokens"
        found = cloud.boto3("ssm").get_parameter(Name=name, WithDecryption=True)
        return json.loads(found["Parameter"]["Value"])

    renewed = httpx.post(
        f"{cloud.upstreams_url}/x/2/oauth2/token",
        data={"grant_type": "refresh_token", "refresh_token": held(cloud)["refresh_token"]},
        auth=(DEMONSTRATION.x_client_id, DEMONSTRATION.x_client_secret),
        trust_env=False,
    )
    assert renewed.status_code == 200, renewed.text
    # Whoever renewed them has stored them, and the emulator did not live to keep that.
    assert stored()["refresh_token"] != renewed.json()["refresh_token"]
    emulator = cloud.cloud.home.read().emulator
    assert emulator is not None
    os.kill(emulator.process.pid, signal.SIGKILL)

    cloud.cloud.up()
    assert stored() == held(cloud)
    assert stored()["refresh_token"] == renewed.json()["refresh_token"]


def held(cloud: RunningCloud) -> Any:
    """The OAuth 2 tokens that the stand-in of X takes from the posting account."""
    service = cloud.cloud.home.read().stand_ins
    assert service is not None
    return json.loads(oauth2_tokens(service, "marquee_demo"))


@pytest.mark.parametrize(
    ("function", "allowed", "denied"),
    [
        ("ApiFunction", "WorkflowsTableName", "BackfillTableName"),
        ("AnalyzeReviewsFunction", "ReviewsTableName", "TweetsTableName"),
        ("RecommendMoviesFunction", "MoviesTableName", "ReviewsTableName"),
        ("CollectReviewsFunction", "ReviewsTableName", "MoviesTableName"),
        ("ClassifyTweetsFunction", "TweetsTableName", "PostsTableName"),
        ("RequestApprovalFunction", "TweetsTableName", "PostsTableName"),
        ("PublishTweetFunction", "PostsTableName", "MoviesTableName"),
        ("StartTweetPipelineFunction", "WorkflowsTableName", "TweetsTableName"),
    ],
)
def test_a_functions_role_writes_to_its_own_tables_only(
    cloud: RunningCloud, function: str, allowed: str, denied: str
) -> None:
    key = {name: {"S": "TEST#0"} for names in KEYS.values() for name in names}
    with deployed_in(cloud) as deployed, deployed.as_role_of(function) as connect:
        dynamodb = connect("dynamodb")
        dynamodb.put_item(TableName=cloud.outputs[allowed], Item=key)
        with pytest.raises(ClientError, match=f"AccessDenied.*{function}.*dynamodb:PutItem"):
            dynamodb.put_item(TableName=cloud.outputs[denied], Item=key)
    cloud.boto3("dynamodb").delete_item(
        TableName=cloud.outputs[allowed], Key={name: key[name] for name in KEYS[allowed]}
    )


def workers_of(cloud: RunningCloud, function: str) -> list[dict[str, str]]:
    """The environments of a function's workers that run, as Linux tells them."""
    if sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    found = []
    for process in marked(cloud.cloud.home.folder, "emulator"):
        entries = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
        environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        if f"-{function}-" in environment.get("AWS_LAMBDA_FUNCTION_NAME", ""):
            found.append(environment)
    return found
