"""The fingerprint: what makes a new deployment necessary, and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from marquee_cli.cloud.fingerprint import fingerprint

SETTINGS = {"Stage": "local", "TmdbBaseUrl": "http://127.0.0.1:1/tmdb/3"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "template.yaml": "Resources: {}",
        "samconfig.toml": "version = 0.1",
        "functions/movies/find_movie/app.py": "handler = 1",
        "layers/dependencies/requirements.txt": "pydantic==2",
        "layers/shared/python/marquee/__init__.py": "",
        "statemachine/movie_search.asl.json": "{}",
        "fit.py": "adaptations",
        "README.md": "Marquee",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def of(root: Path, settings: dict[str, str] = SETTINGS) -> str:
    return fingerprint(root, [root / "fit.py"], settings)


def writes(path: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


def moves(source: str, target: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / source).rename(root / target)

    return change


@pytest.mark.parametrize(
    "change",
    [
        writes("template.yaml", "Resources: {Table: {}}"),
        writes("samconfig.toml", "version = 0.2"),
        writes("functions/movies/find_movie/app.py", "handler = 2"),
        writes("functions/api/app.py", ""),
        writes("layers/dependencies/requirements.txt", "pydantic==3"),
        writes("statemachine/movie_search.asl.json", "{ }"),
        writes("fit.py", "other adaptations"),
        moves("functions/movies/find_movie", "functions/movies/find"),
        moves("statemachine/movie_search.asl.json", "statemachine/tweets.asl.json"),
    ],
)
def test_whatever_goes_into_a_stack_changes_it(root: Path, change: Callable[[Path], None]) -> None:
    before = of(root)
    change(root)
    assert of(root) != before


@pytest.mark.parametrize(
    "change",
    [
        writes("README.md", "Another text"),
        writes("layers/shared/python/marquee/__pycache__/errors.cpython-313.pyc", "bytecode"),
        writes("functions/.DS_Store", "finder"),
        writes("statemachine/.movie_search.asl.json.swp", "editor"),
        writes("tests/test_x.py", "tests"),
    ],
)
def test_bytecode_hidden_files_and_the_rest_of_the_project_do_not(
    root: Path, change: Callable[[Path], None]
) -> None:
    before = of(root)
    change(root)
    assert of(root) == before


def test_a_setting_changes_it(root: Path) -> None:
    assert of(root, {**SETTINGS, "Stage": "other"}) != of(root)
    assert of(root, {**SETTINGS, "More": ""}) != of(root)


def test_the_order_of_settings_and_where_the_project_lies_do_not(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "marquee"
    before = of(root)
    root.rename(elsewhere)
    assert of(elsewhere, dict(reversed(SETTINGS.items()))) == before


def test_text_that_moves_from_a_file_into_the_next_changes_it(root: Path) -> None:
    writes("functions/a.py", "onetwo")(root)
    writes("functions/b.py", "")(root)
    before = of(root)
    writes("functions/a.py", "one")(root)
    writes("functions/b.py", "two")(root)
    assert of(root) != before
