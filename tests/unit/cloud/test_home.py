"""A cloud's folder: its record survives anything, its lock lets one command in at a time."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marquee_cli.cloud.errors import CloudError
from marquee_cli.cloud.home import Api, Home, Record, Service
from marquee_cli.cloud.processes import ProcessId


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.folder.mkdir()
    return home


def a_record() -> Record:
    return Record(
        emulator=Service(
            process=ProcessId(pid=12, started="boot 34"),
            port=4566,
            since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
        upstreams={"tmdb": "stand-in"},
        stack_name="marquee",
        outputs={"ApiId": "abc"},
        api=Api(id="abc", url="http://127.0.0.1:4566/x", key="secret"),
    )


def test_a_record_is_read_as_it_was_written(home: Home) -> None:
    home.write(a_record())
    assert home.read() == a_record()


def test_only_the_owner_can_read_the_record_because_it_holds_the_api_key(home: Home) -> None:
    home.write(a_record())
    assert stat.S_IMODE(home.record_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"{", b'{"emulator": {"port": "?"}}', b"\xff\xfe"])
def test_a_record_that_cannot_be_read_counts_as_none(home: Home, damage: bytes) -> None:
    home.record_file.write_bytes(damage)
    assert home.read() == Record()


def test_a_new_home_has_an_empty_record(tmp_path: Path) -> None:
    assert Home(tmp_path / "none").read() == Record()


def test_a_second_command_waits_and_then_says_what_it_waited_for(home: Home) -> None:
    with (
        home.locked(),
        pytest.raises(CloudError, match=r"held .*lock for 0 seconds"),
        Home(home.folder).locked(seconds=0.3),
    ):
        pytest.fail("two commands at once")


def test_the_lock_is_free_again_after_an_error(home: Home) -> None:
    with pytest.raises(RuntimeError), home.locked():
        raise RuntimeError
    with Home(home.folder).locked(seconds=0):
        pass


def test_locking_makes_the_folder(tmp_path: Path) -> None:
    with Home(tmp_path / "new" / "home").locked():
        assert (tmp_path / "new" / "home").is_dir()
