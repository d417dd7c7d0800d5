"""The page's files: small, whole, without a third party, and without a way from text to markup."""

import re
from functools import cache
from pathlib import Path

import pytest

from marquee.site.page import CONTENT_TYPES, DOCUMENT, Page
from tests.support.templates import ROOT

FOLDER = ROOT / "functions" / "site" / "page"
POSTERS = "https://image.tmdb.org/t/p"

MOST_BYTES_SENT = 80_000
MOST_BYTES_WRITTEN = 130_000

# What turns text into markup or code, and what a strict policy refuses anyway.
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|createContextualFragment|DOMParser|srcdoc"
    r"|setHTML|\beval\b|new Function|\.setAttribute\(\s*[\"']on|javascript:|setTimeout\(\s*[\"'`]"
)


@cache
def page() -> Page:
    return Page.read(FOLDER, posters=POSTERS)


def source(name: str) -> str:
    return (FOLDER / name).read_text()


MODULES = sorted(path.name for path in FOLDER.glob("*.js"))


def test_all_of_it_is_small() -> None:
    whole = (page().document, *page().files.values())
    assert sum(len(file.compressed) for file in whole) < MOST_BYTES_SENT
    assert sum(len(file.content) for file in whole) < MOST_BYTES_WRITTEN


def test_every_file_in_the_folder_is_served() -> None:
    there = {path.name for path in FOLDER.iterdir()}
    assert there == {*page().files, DOCUMENT}
    assert {Path(name).suffix for name in there} <= set(CONTENT_TYPES)


def test_the_document_loads_only_files_of_this_release() -> None:
    document = page().document.content.decode()
    loaded = re.findall(r'(?:src|href)="((?!#|https://www\.themoviedb\.org")[^"]+)"', document)
    assert f"site/{page().release}/app.js" in loaded
    for address in loaded:
        site, release, name = address.split("/")
        assert (site, release) == ("site", page().release)
        assert name in page().files


def test_the_document_asks_early_for_every_module() -> None:
    document = page().document.content.decode()
    asked = re.findall(r'rel="modulepreload" href="site/\w+/([\w.]+)"', document)
    assert sorted(asked) == MODULES


def test_the_document_holds_no_script_and_no_style_of_its_own() -> None:
    document = page().document.content.decode()
    assert re.findall(r"<script(?![^>]* src=)[^>]*>|<script[^>]*>[^<]", document) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", document) == []


def test_the_notice_of_tmdb_is_on_every_view() -> None:
    notice = "This product uses the TMDB API but is not endorsed or certified by TMDB."
    assert notice in page().document.content.decode()


@pytest.mark.parametrize("name", MODULES)
def test_every_import_is_of_a_file_and_a_name_that_exist(name: str) -> None:
    imports = re.findall(r'^import (.+?) from "(.+?)";$', source(name), re.MULTILINE)
    assert len(imports) == len(re.findall(r"^import ", source(name), re.MULTILINE))
    for what, path in imports:
        assert path.startswith("./")
        exported = re.findall(
            r"^export (?:async )?(?:const|let|function|class) (\w+)",
            source(path.removeprefix("./")),
            re.MULTILINE,
        )
        exported += re.findall(r"^export \{ (\w+) \};", source(path[2:]), re.MULTILINE)
        if braced := re.fullmatch(r"\{ (.+) \}", what):
            assert set(braced[1].split(", ")) <= set(exported), path


@pytest.mark.parametrize("name", MODULES)
def test_no_module_makes_markup_or_code_of_text_or_asks_a_third_party(name: str) -> None:
    assert SINKS.findall(source(name)) == []
    assert "import(" not in source(name)
    hosts = set(re.findall(r"https?://([\w.-]+)", source(name)))
    assert hosts <= {"www.w3.org", "www.themoviedb.org", "x.com"}


def test_the_key_is_sent_as_a_header_only() -> None:
    users = [name for name in MODULES if "key.get()" in source(name)]
    assert users == ["api.js", "app.js"]
    assert 'headers["x-api-key"] = key.get()' in source("api.js")
    assert "localStorage" not in "".join(map(source, MODULES))


@pytest.mark.parametrize(
    "text", ['node.innerHTML = "x"', "eval(text)", "a.outerHTML += b", "document.write(text)"]
)
def test_what_makes_markup_of_text_is_found(text: str) -> None:
    assert SINKS.search(text)


def a_folder(tmp_path: Path, **files: str) -> Path:
    (tmp_path / DOCUMENT).write_text('<html data-posters="$posters">$site\n$preloads')
    for name, content in files.items():
        (tmp_path / name.replace("_", ".")).write_text(content)
    return tmp_path


def test_a_release_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    first = Page.read(a_folder(tmp_path, app_js="1"), posters=POSTERS)
    again = Page.read(a_folder(tmp_path, app_js="1"), posters=POSTERS)
    other = Page.read(a_folder(tmp_path, app_js="2"), posters=POSTERS)
    assert first.release == again.release != other.release
    assert first.document.content == again.document.content
    assert first.file(first.release, "app.js") is not None
    assert first.file(other.release, "app.js") is None
    assert first.file(first.release, "other.js") is None
    assert first.file(first.release, DOCUMENT) is None


def test_another_document_is_another_release(tmp_path: Path) -> None:
    first = Page.read(a_folder(tmp_path), posters=POSTERS).release
    (tmp_path / DOCUMENT).write_text("other")
    assert Page.read(tmp_path, posters=POSTERS).release != first


def test_the_address_of_posters_is_text_in_the_document_and_an_origin_in_the_policy(
    tmp_path: Path,
) -> None:
    found = Page.read(a_folder(tmp_path), posters='http://127.0.0.1:8123/t/p"><script>')
    assert b"<script>" not in found.document.content
    assert b"http://127.0.0.1:8123/t/p&quot;" in found.document.content
    assert found.posters_origin == "http://127.0.0.1:8123"


def test_what_is_no_part_of_a_page_is_not_served(tmp_path: Path) -> None:
    found = Page.read(a_folder(tmp_path, secret_env="KEY=1", app_js="1"), posters=POSTERS)
    assert set(found.files) == {"app.js"}
