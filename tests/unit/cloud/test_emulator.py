"""The emulator's process, with a fake emulator in its place."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from marquee_cli.cloud import emulator, stand_ins
from marquee_cli.cloud.emulator import not_proxied, service_environment
from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.home import Home
from marquee_cli.cloud.ports import is_listening
from marquee_cli.cloud.processes import end, marked

# Answers the health check, and leaves a child behind when it ends, as a Lambda worker can be.
HEALTHY = f"""#!{sys.executable}
import http.server, json, os, signal, subprocess, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/_ministack/health" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({{"edition": os.environ["MINISTACK_EDITION"]}}).encode())
    def log_message(self, *_):
        pass

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def save(*_):
    open(os.path.join(os.environ["STATE_DIR"], "saved"), "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
address = (os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"]))
http.server.HTTPServer(address, Health).serve_forever()
"""
ENDS = f"#!{sys.executable}\nraise SystemExit('no room on the disk')\n"
SILENT = f"#!{sys.executable}\nprint('thinking', flush=True)\nimport time; time.sleep(60)\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    home.folder.mkdir()
    yield home
    end(marked(home.folder), grace_seconds=0)


def a_program(tmp_path: Path, text: str) -> Path:
    program = tmp_path / "ministack"
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_it_is_up_once_it_is_healthy_and_stopping_it_saves_and_leaves_nothing(
    home: Home, tmp_path: Path
) -> None:
    service = emulator.start(home, [a_program(tmp_path, HEALTHY)], [])
    assert service.process.is_alive()
    assert emulator.is_healthy(home, service.url)
    assert len(marked(home.folder)) == 2

    emulator.stop(home, service)
    assert marked(home.folder) == []
    assert not is_listening(service.port)
    assert (home.state / "saved").exists()
    assert not home.unsaved.exists()


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "hangs"])
def test_one_that_ends_without_saving_is_told_from_one_that_saved(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(emulator, "SAVED_WITHIN_SECONDS", 0.2)
    text = HEALTHY if killed else HEALTHY.replace("sys.exit(0)", "pass")
    service = emulator.start(home, [a_program(tmp_path, text)], [])
    if killed:
        end([service.process], grace_seconds=0)
    emulator.stop(home, service)
    assert not service.process.is_alive()
    assert home.unsaved.exists()


def test_another_homes_emulator_is_not_taken_for_this_ones(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.folder.mkdir()
    service = emulator.start(home, [a_program(tmp_path, HEALTHY)], [])
    assert not emulator.is_healthy(other, service.url)


def test_one_that_lost_the_race_for_its_port_takes_another(home: Home, tmp_path: Path) -> None:
    # The first start finds its port taken, as when another cloud comes up at the same moment.
    loses = HEALTHY.replace(
        "subprocess.Popen(",
        f"""
once = {str(tmp_path / "lost")!r}
if not os.path.exists(once):
    open(once, "w").write(os.environ["GATEWAY_PORT"])
    if os.fork() == 0:
        os.environ["MINISTACK_EDITION"] = "another's"
    else:
        time.sleep(1)
        sys.exit(1)
subprocess.Popen(""",
        1,
    ).replace("import http.server", "import time, http.server")
    service = emulator.start(home, [a_program(tmp_path, loses)], [])
    assert service.port != int((tmp_path / "lost").read_text())
    assert emulator.is_healthy(home, service.url)


def test_one_that_was_lost_track_of_is_stopped_too(home: Home, tmp_path: Path) -> None:
    emulator.start(home, [a_program(tmp_path, HEALTHY)], [])
    emulator.stop(home, None)
    assert marked(home.folder) == []


def test_one_that_ends_while_it_starts_is_an_error_with_the_end_of_its_log(
    home: Home, tmp_path: Path
) -> None:
    with pytest.raises(CloudError, match=r"(?s)ended while it started.*no room on the disk"):
        emulator.start(home, [a_program(tmp_path, ENDS)], [])


def test_one_that_never_answers_is_an_error_and_is_ended(home: Home, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"(?s)not healthy in 1 s.*thinking"):
        emulator.start(home, [a_program(tmp_path, SILENT)], [], within_seconds=1)
    assert marked(home.folder) == []


def test_one_that_is_not_installed_is_an_error_that_says_how(home: Home, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="make run"):
        emulator.start(home, [tmp_path / "missing"], [])


def test_stand_ins_that_end_while_they_start_are_an_error_with_the_end_of_their_log(
    home: Home, tmp_path: Path
) -> None:
    with pytest.raises(CloudError, match=r"(?s)ended while they started.*no room on the disk"):
        stand_ins.start(home, a_program(tmp_path, ENDS), [])


def test_stand_ins_that_never_listen_are_an_error_and_are_ended(home: Home, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"(?s)did not listen in 1 s.*thinking"):
        stand_ins.start(home, a_program(tmp_path, SILENT), [], within_seconds=1)
    assert marked(home.folder) == []


def test_stand_ins_listen_until_they_are_stopped(home: Home) -> None:
    service = stand_ins.start(home, Path(sys.executable), [])
    assert is_listening(service.port)
    stand_ins.stop(home)
    assert marked(home.folder) == []
    assert not is_listening(service.port)


def test_the_users_aws_account_and_settings_do_not_reach_a_service(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "PYTHONPATH", "STAGE"):
        monkeypatch.setenv(name, "the user's")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    environment = service_environment(home, "emulator")
    assert "the user's" not in environment.values()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "127.0.0.1" in environment["NO_PROXY"].split(",")


def test_loopback_joins_what_the_user_excepts_from_the_proxy() -> None:
    assert not_proxied("intranet.example")["no_proxy"] == "intranet.example,localhost,127.0.0.1,::1"
    assert not_proxied("")["NO_PROXY"] == "localhost,127.0.0.1,::1"
