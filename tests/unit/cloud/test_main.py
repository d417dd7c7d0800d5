"""The `marquee` command where no cloud is up; the end-to-end tests bring one up."""

from pathlib import Path

import click
import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner, Result

from marquee_cli.cloud.cloud import Cloud
from marquee_cli.cloud.errors import CloudError, with_tail
from marquee_cli.cloud.home import Record
from marquee_cli.main import Group, main


def marquee(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), *arguments])


def test_status_of_a_home_that_was_never_up_is_down_with_exit_code_1(tmp_path: Path) -> None:
    result = marquee(tmp_path / "home", "status")
    assert result.exit_code == 1
    assert "down" in result.output
    assert not (tmp_path / "home").exists()


def test_down_where_nothing_is_up_is_harmless(tmp_path: Path) -> None:
    result = marquee(tmp_path / "home", "down")
    assert result.exit_code == 0
    assert result.output == "Nothing was up.\n"
    assert not (tmp_path / "home").exists()


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    assert marquee(tmp_path, "sideways").exit_code == 2


def test_an_error_of_the_cloud_is_a_message_and_exit_code_1(tmp_path: Path) -> None:
    log = tmp_path / "sam.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))

    @click.command()
    def fail() -> None:
        raise with_tail("`sam build` failed.", log)

    result = CliRunner().invoke(Group(commands={"fail": fail}), ["fail"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: `sam build` failed. The end of ")
    assert "line 99" in result.output
    assert "line 50" not in result.output


def test_an_emulator_that_goes_away_is_a_message_and_exit_code_1() -> None:
    @click.command()
    def fail() -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    result = CliRunner().invoke(Group(commands={"fail": fail}), ["fail"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: Could not connect")


def test_an_error_without_a_log_is_still_a_message(tmp_path: Path) -> None:
    assert "none.log" in str(with_tail("It failed.", tmp_path / "none.log"))
    with pytest.raises(CloudError):
        raise with_tail("It failed.", tmp_path / "none.log")


@pytest.mark.parametrize(
    ("last", "env"),
    [
        ("real", ""),
        (
            "stand-in",
            "POSTING_ACCOUNT=my_films\nX_CLIENT_ID=c\nX_OAUTH2_TOKENS='{}'\n",
        ),
    ],
)
def test_tweets_of_the_stand_in_and_of_the_real_x_share_no_cloud(
    tmp_path: Path, last: str, env: str
) -> None:
    (tmp_path / ".env").write_text(env)
    cloud = Cloud(tmp_path / "home", env_file=tmp_path / ".env")
    cloud.home.folder.mkdir()
    before = Record(stack_name="marquee", upstreams={"x": "real", "posting": last})
    cloud.home.write(before)
    with pytest.raises(CloudError, match=rf"belong to the {last} X.*--home"):
        cloud.up()
    assert cloud.home.read() == before


OWN_X = "POSTING_ACCOUNT=my_films\nX_CLIENT_ID=c\nX_OAUTH2_TOKENS='{}'\n"


@pytest.mark.parametrize(
    ("unsaved", "stack_name", "env", "options", "said"),
    [
        (True, "marquee", OWN_X, (), "it would post again what it posted as @my_films"),
        (True, "marquee", OWN_X, ("--after-kill",), "python is missing"),
        (True, "marquee", "", (), "python is missing"),
        (True, "", OWN_X, (), "python is missing"),
        (False, "marquee", OWN_X, (), "python is missing"),
    ],
    ids=["killed", "known", "stand-in", "never up", "taken down"],
)
def test_a_killed_cloud_that_forgot_what_it_posted_to_the_real_x_does_not_go_on_by_itself(
    tmp_path: Path, unsaved: bool, stack_name: str, env: str, options: tuple[str, ...], said: str
) -> None:
    """A project without an emulator: what goes on misses that."""
    (tmp_path / ".env").write_text(env)
    cloud = Cloud(tmp_path / "home", project=tmp_path)
    cloud.home.folder.mkdir()
    cloud.home.write(Record(stack_name=stack_name))
    if unsaved:
        cloud.home.unsaved.touch()
    result = CliRunner().invoke(main.commands["up"], options, obj=cloud, standalone_mode=False)
    assert isinstance(result.exception, CloudError)
    assert said in str(result.exception)
