"""``marquee reopen``: what it asks for, and what it says was changed."""

import json

from click.testing import CliRunner, Result

from marquee_cli.main import main
from tests.support.command_line import HOSTILE, Asked, an_api, moving


def reopened(answer: dict[str, object], asked: list[Asked], status: int = 200) -> Result:
    def said(request: Asked) -> tuple[int, bytes]:
        asked.append(request)
        return status, json.dumps(answer).encode()

    with an_api(said) as url:
        environment = {"MARQUEE_ENDPOINT": url, "MARQUEE_API_KEY": "key"}
        return CliRunner(env=environment).invoke(main, ["reopen", "x"])


def test_a_provider_is_reopened_and_what_was_changed_is_said() -> None:
    asked: list[Asked] = []
    message = "it had been closed: answered 402"
    done = reopened({"provider": "x", "reopened": True, "message": message}, asked)
    assert (done.exit_code, done.stdout) == (0, f"x is open; {message}.\n")
    assert [one.path for one in asked] == ["/api/orchestrator/providers/x/reopen"]


def test_a_provider_that_there_is_not_is_an_error() -> None:
    problem = {"title": "Not Found", "status": 404, "detail": "no provider is called x"}
    done = reopened(problem, [], 404)
    assert done.exit_code == 1
    assert "no provider is called x" in done.output


def test_what_the_provider_said_cannot_move_the_terminal() -> None:
    done = reopened({"provider": "x", "reopened": True, "message": HOSTILE}, [])
    assert moving(done.stdout.removesuffix("\n")) == set()
