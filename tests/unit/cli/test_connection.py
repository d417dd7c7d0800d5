"""Which API a command speaks to: the laptop cloud's, or a deployed one with its own key."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from marquee_cli.client import Client
from marquee_cli.cloud.cloud import Cloud
from marquee_cli.cloud.home import Api
from marquee_cli.connection import deployed, speaks_to_an_api
from tests.support.command_line import Asked, an_api

HTTPS = "https://abc.execute-api.us-east-1.amazonaws.com/prod"


@click.command()
@speaks_to_an_api
def ask(client: Client) -> None:
    """Ask for a status."""
    client.status("w")


def asked(folder: Path, *options: str, env: dict[str, str | None] | None = None) -> Result:
    empty = {"MARQUEE_ENDPOINT": None, "MARQUEE_API_KEY": None, "MARQUEE_API_KEY_FILE": None}
    runner = CliRunner(mix_stderr=False, env={**empty, **(env or {})})
    return runner.invoke(ask, options, obj=Cloud(folder))


def keys(asked: list[Asked]) -> list[str | None]:
    return [each.key for each in asked]


def test_the_key_comes_from_option_environment_or_file_and_the_laptop_has_its_own(
    tmp_path: Path,
) -> None:
    got: list[Asked] = []

    def answers(each: Asked) -> tuple[int, bytes]:
        got.append(each)
        return 200, b"{}"

    file = tmp_path / "key"
    file.write_text("from-file\n")
    cloud = Cloud(tmp_path)
    with an_api(answers) as url:
        cloud.home.write(
            cloud.home.read().model_copy(update={"api": Api(id="a", url=url, key="own")})
        )
        results = [
            asked(tmp_path, "--endpoint", f"{url}/", "--api-key", "given"),
            asked(tmp_path, env={"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "from-env"}),
            asked(tmp_path, env={"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY_FILE": str(file)}),
            asked(tmp_path),
        ]
    assert [result.exit_code for result in results] == [0, 0, 0, 0]
    assert keys(got) == ["given", "from-env", "from-file", "own"]
    assert {each.path for each in got} == {"/workflow/status/w"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--endpoint", HTTPS], "needs its key"),
        (["--endpoint", HTTPS, "--api-key", " "], "needs its key"),
        (["--endpoint", HTTPS, "--api-key", "a\nb"], "none that API Gateway gives out"),
        (["--endpoint", HTTPS, "--api-key", "clé"], "none that API Gateway gives out"),
        (["--endpoint", HTTPS, "--api-key", "k" * 129], "none that API Gateway gives out"),
        (["--endpoint", HTTPS, "--api-key", "k", "--api-key-file", "f"], "not both"),
        (["--endpoint", HTTPS, "--api-key-file", "nowhere"], "No such file"),
        (["--endpoint", "http://example.org", "--api-key", "k"], "use https"),
        (["--endpoint", "example.org/prod", "--api-key", "k"], "an address such as"),
        (["--endpoint", "ftp://example.org", "--api-key", "k"], "an address such as"),
        (["--endpoint", "https://", "--api-key", "k"], "an address such as"),
        (["--endpoint", "https://u:p@example.org", "--api-key", "k"], "no user, query"),
        (["--endpoint", f"{HTTPS}?a=1", "--api-key", "k"], "no user, query"),
        (["--endpoint", "https://a:b", "--api-key", "k"], "--endpoint: "),
        (["--api-key", "k"], "a key without --endpoint"),
    ],
)
def test_an_endpoint_or_key_that_cannot_be_is_a_usage_error(
    tmp_path: Path, options: list[str], said: str
) -> None:
    result = asked(tmp_path, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_cloud_that_was_never_up_says_what_to_do(tmp_path: Path) -> None:
    assert "Run `marquee up` first" in str(asked(tmp_path).exception)


def test_a_cloud_that_is_down_says_what_to_do(tmp_path: Path) -> None:
    with an_api(lambda _: (200, b"{}")) as url:
        pass
    result = asked(tmp_path, "--endpoint", url, "--api-key", "k")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {url} does not answer (ConnectError). Is the cloud up? `marquee up` starts it\n"
    )


def test_the_key_is_sent_to_https_addresses_as_they_are_given() -> None:
    with deployed(HTTPS, "k", None) as client:
        assert client.status_url("w") == f"{HTTPS}/workflow/status/w"
