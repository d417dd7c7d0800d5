"""The house rules that no tool knows: who may import whom, and how short a handler is."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers" / "shared" / "python" / "marquee"

# What Marquee does; all other packages of `marquee` are the foundation that these stand on.
DOMAINS = frozenset({"api", "coordination", "movies", "site", "tweets"})
APART = ({"movies", "tweets"},)
ABOVE_THE_DOMAINS = frozenset({"api", "coordination"})
LONGEST_HANDLER = 25  # lines: a step is a file that is read in one glance
VAGUE_NAMES = frozenset({"utils", "util", "common", "core", "helpers", "helper", "misc"})
BRANCHES = (ast.If, ast.IfExp, ast.Match, ast.For, ast.While)


def imported(tree: ast.Module) -> Iterator[str]:
    """Every dotted name that the source imports, `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{name.name}" for name in node.names)


def import_faults(path: PurePosixPath, source: str) -> list[str]:
    """Complaints about a file of `functions/` or of the package `marquee`, by its path.

    `functions → marquee.<domain> → marquee.<foundation>`; the API and coordination, which know
    both workflows, stand above the domains.
    """
    area = "functions" if path.parts[0] == "functions" else "marquee"
    own = PurePosixPath(path.parts[1]).stem if len(path.parts) > 1 else ""
    faults = []
    for name in imported(ast.parse(source)):
        parts = name.split(".")
        domain = parts[1] if parts[0] == "marquee" and len(parts) > 1 else None
        if name.startswith("."):
            faults.append(f"{path} imports {name}: say it from the top")
        elif parts[0] in {"cli", "functions", "marquee_cli", "tests"}:
            faults.append(f"{path} imports {name}, which stands above it")
        elif domain in DOMAINS and domain != own:
            if any({own, domain} <= pair for pair in APART):
                faults.append(f"{path} imports {name}: {own} and {domain} stay apart")
            elif area == "functions" or own not in ABOVE_THE_DOMAINS:
                faults.append(f"{path} imports {name}, which stands above it or beside it")
    return faults


def environment_faults(path: PurePosixPath, source: str) -> list[str]:
    """Complaints about reading the environment outside of `marquee/settings.py`."""
    if path == PurePosixPath("marquee/settings.py"):
        return []
    tree = ast.parse(source)
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | set(
        imported(tree)
    )
    return [
        f"{path} reads {name}"
        for name in sorted(names & {"os.environ", "os.environb", "os.getenv"})
    ]


def handler_faults(path: PurePosixPath, source: str) -> list[str]:
    """Complaints about a handler that does more than validate, call once and answer."""
    tree = ast.parse(source)
    faults = []
    lines = len(source.splitlines())
    if lines > LONGEST_HANDLER:
        faults.append(f"{path} has {lines} lines")
    if any(isinstance(node, ast.Try | ast.TryStar) for node in ast.walk(tree)):
        faults.append(f"{path} catches errors: the state machine must see them")
    if any(isinstance(node, BRANCHES) for node in ast.walk(tree)):
        faults.append(f"{path} branches")
    if any(name.split(".")[0] in {"boto3", "botocore"} for name in imported(tree)):
        faults.append(f"{path} talks to AWS")
    return faults


def module_faults(path: PurePosixPath, source: str) -> list[str]:
    """Complaints about a module without a docstring or with a name that says nothing."""
    faults = []
    if source.strip() and not ast.get_docstring(ast.parse(source)):
        faults.append(f"{path} has no docstring")
    faults += [
        f"{path}: {part} says nothing" for part in path.with_suffix("").parts if part in VAGUE_NAMES
    ]
    return faults


def sources(*folders: Path) -> dict[PurePosixPath, str]:
    """The Python files below the folders: `marquee/…` and `functions/…` as they are imported."""
    return {
        PurePosixPath(path.relative_to(folder.parent)): path.read_text()
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    }


DEPLOYED = sources(ROOT / "functions", PACKAGE)
HANDLERS = {path: text for path, text in DEPLOYED.items() if path.name == "app.py"}


def test_there_is_a_house_to_look_at() -> None:
    assert HANDLERS
    assert PurePosixPath("marquee/settings.py") in DEPLOYED


def test_imports_point_one_way() -> None:
    assert [fault for path, text in DEPLOYED.items() for fault in import_faults(path, text)] == []


def test_only_the_settings_read_the_environment() -> None:
    faults = [fault for path, text in DEPLOYED.items() for fault in environment_faults(path, text)]
    assert faults == []


def test_handlers_are_read_in_one_glance() -> None:
    assert [fault for path, text in HANDLERS.items() for fault in handler_faults(path, text)] == []


def test_every_module_says_what_it_is() -> None:
    modules = DEPLOYED | sources(ROOT / "cli", ROOT / "tests")
    assert [fault for path, text in modules.items() for fault in module_faults(path, text)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("functions/movies/find_movie/app.py", "from marquee.movies.search import find_movie"),
        ("functions/movies/find_movie/app.py", "from marquee.workflows.step import step"),
        ("functions/api/app.py", "from marquee.api.routes import app"),
        ("marquee/movies/search.py", "import json\nfrom marquee import errors, settings"),
        ("marquee/movies/search.py", "from marquee.movies import models"),
        ("marquee/api/routes.py", "from marquee.movies import queries"),
        ("marquee/coordination/outbox.py", "from marquee.tweets import announce"),
    ],
)
def test_an_import_that_points_down_is_no_fault(path: str, source: str) -> None:
    assert import_faults(PurePosixPath(path), source) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("marquee/movies/search.py", "import marquee.tweets", "movies and tweets stay apart"),
        ("marquee/tweets/post.py", "from marquee import movies", "tweets and movies stay apart"),
        ("functions/tweets/post/app.py", "from marquee.movies.x import y", "stay apart"),
        ("functions/movies/find/app.py", "from marquee.api import x", "stands above it or beside"),
        ("functions/api/app.py", "from marquee.movies import x", "stands above it or beside it"),
        ("marquee/gateway/calls.py", "from marquee.movies import x", "stands above it"),
        ("marquee/errors.py", "from marquee.movies import x", "stands above it"),
        ("marquee/movies/search.py", "from marquee.api import x", "stands above it"),
        ("marquee/api/routes.py", "from functions.api import app", "stands above it"),
        ("marquee/aws.py", "import marquee_cli.main", "stands above it"),
        ("marquee/movies/search.py", "from . import models", "say it from the top"),
    ],
)
def test_an_import_that_points_up_or_across_is_found(
    path: str, source: str, complaint: str
) -> None:
    [fault] = import_faults(PurePosixPath(path), source)
    assert complaint in fault


@pytest.mark.parametrize(
    "source",
    ["import os\nx = os.environ['A']", "from os import getenv", "import os\nos.getenv('A')"],
)
def test_reading_the_environment_is_found_everywhere_but_in_the_settings(source: str) -> None:
    assert environment_faults(PurePosixPath("marquee/settings.py"), source) == []
    [fault] = environment_faults(PurePosixPath("marquee/movies/search.py"), source)
    assert fault.startswith("marquee/movies/search.py reads os.")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("\n" * 26, "has 26 lines"),
        ("try:\n    pass\nexcept KeyError:\n    pass", "catches errors"),
        ("x = 1 if y else 2", "branches"),
        ("from boto3 import client", "talks to AWS"),
    ],
)
def test_a_handler_that_does_too_much_is_found(source: str, complaint: str) -> None:
    [fault] = handler_faults(PurePosixPath("functions/movies/find_movie/app.py"), source)
    assert complaint in fault


def test_a_module_without_a_docstring_or_a_telling_name_is_found() -> None:
    assert module_faults(PurePosixPath("marquee/utils.py"), "x = 1") == [
        "marquee/utils.py has no docstring",
        "marquee/utils.py: utils says nothing",
    ]
    assert module_faults(PurePosixPath("marquee/films.py"), '"""Films."""') == []
    assert module_faults(PurePosixPath("marquee/tweets/__init__.py"), "") == []
