"""The site builds without a warning, holds every page, and asks the network for nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import synth
from synth.config import RunConfig

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it; a broken link, a page that is not there or an unknown name in it is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(HERE)}
    ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser fetches by itself when it opens a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and set((given.get("rel") or "").split()) <= {"canonical", "next", "prev"}:
            return
        if tag in ("link", "script", "img", "iframe", "source", "video", "audio", "object", "embed"):
            self.addresses += [value for key, value in given.items() if key in ("src", "href", "data") and value]


def test_a_page_of_the_site_asks_the_network_for_nothing(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        for address in Loaded(page).addresses:
            assert not re.match(r"(?i)[a-z]+:(?!image)|//", address), (page, address)
            if page.name != "404.html":  # which is served at any depth, from the root
                assert (page.parent / address.split("#")[0].split("?")[0]).exists() or address.startswith("data:"), (
                    page,
                    address,
                )
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_a_font_or_script_from_elsewhere_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="https://fonts.example.org/x.css"><script src="//cdn.example.org/x.js"></script>'
    )
    assert [bool(re.match(r"(?i)[a-z]+:(?!image)|//", address)) for address in Loaded(page).addresses] == [True, True]


def test_the_python_reference_is_filled_in_from_the_docstrings(site: Path) -> None:
    text = (site / "python.html").read_text(encoding="utf-8")
    for name in synth._WHERE:
        assert f"synth.{name}" in text
    words = re.sub(r"<[^>]+>", "", text)
    assert "Draw n rows; with " in words, "a method's docstring"


def test_a_folder_without_a_server_is_searched(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = {"), "the theme reads this file where the page was opened from a folder"
    page = (site / "index.html").read_text(encoding="utf-8")
    assert page.index("search_from_folder.js") < page.index("assets/javascripts/bundle"), "before the search begins"


def test_committed_results_are_pages_of_the_site(site: Path) -> None:
    assert (site / "reports" / "benchmarks" / "frontier.html").is_file()
    assert 'href="../reports/benchmarks/frontier.html"' in (site / "explanation" / "comparison.html").read_text(
        encoding="utf-8"
    )
    assert not list(site.rglob("*.py"))[1:], "verify.py is the one file of code that a page hands out"


def test_every_page_is_in_the_navigation() -> None:
    text = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", text, flags=re.M))
    assert yaml.safe_load(text)["theme"]["font"] is False
    pages = {page.relative_to(HERE / "docs").as_posix() for page in (HERE / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith("decisions/")} <= named
    reports = {page.relative_to(HERE).as_posix() for page in (HERE / "reports" / "benchmarks").rglob("*.md")}
    assert named <= pages | reports
    linked = set(re.findall(r"\(\.\./(reports/[^)]+)\)", (HERE / "docs" / "measured.md").read_text(encoding="utf-8")))
    assert reports == linked, "docs/measured.md links every report"
    assert reports <= named, "mkdocs.yml names every report"


def test_every_key_of_a_run_config_is_explained() -> None:
    document = RunConfig.json_schema()
    for name, part in {"": document, **document["$defs"]}.items():
        for key, value in part["properties"].items():
            refers = "$ref" in value or any("$ref" in one for one in value.get("anyOf", ()))
            assert refers or value.get("description"), f"{name}.{key} is not explained"


def test_figures_in_the_comparison_are_those_of_the_report_that_they_name() -> None:
    """A row that names a report has its figures, each in one row of it; a figure that came from nowhere is found."""
    page = HERE / "docs" / "explanation" / "comparison.md"
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if re.search(r"\.md\) \|$", line)]
    assert len(lines) > 4
    for line in lines:
        report = (page.parent / re.findall(r"\]\(([^)]+\.md)\)", line)[-1]).read_text(encoding="utf-8")
        figures = [cell.strip(" %") for cell in line.split("|")[3:-2]]
        assert len(figures) == 5
        assert is_in(report, figures), line
        assert not is_in(report, [*figures[:-1], ".999"]), "a figure that came from nowhere"


def is_in(report: str, figures: list[str]) -> bool:
    """Whether one row of the report has all of these figures, as they are rounded."""
    rows = [re.findall(r"\| *(-?[\d.]+)", line) for line in report.splitlines() if line.startswith("|")]
    return any(all(any(is_rounded(number, figure) for number in row) for figure in figures) for row in rows)


def is_rounded(number: str, figure: str) -> bool:
    return abs(float(number) - float(figure)) <= 0.501 * 10.0 ** -len(figure.partition(".")[2])
