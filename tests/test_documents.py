"""What the documents say is executed: README, generated pages, notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from docs.build import pages
from synth.cli import app, load_commands
from synth.metrics import registry
from tests.command_lines import lines_in, parse

HERE = Path(__file__).resolve().parents[1]
README = (HERE / "README.md").read_text(encoding="utf-8")


GENERATED = {HERE / "docs" / name for name in ("attacks.md", "command-line.md", "errors.md", "python.md")}
PAGES = [
    page
    for page in sorted((HERE / "docs").rglob("*.md"))
    if page not in GENERATED and page.parent.name != "decisions"  # a decision stays as it was taken
]
WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)


def test_every_python_block_of_the_readme_runs(tmp_path: Path) -> None:
    assert blocks(README)
    for block in blocks(README):
        subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "exports" / "arrests" / "attestation.json").is_file()


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.relative_to(HERE / "docs").as_posix())
def test_the_python_blocks_of_a_page_run_one_after_another(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(page.stem.replace("-", "_"))
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    registry.metrics()
    registered = dict(registry._METRICS)  # a page may add one of its own
    try:
        for block in blocks(page.read_text(encoding="utf-8")):
            exec(compile(block, page.name, "exec"), vars(module))
    finally:
        registry._METRICS.clear()
        registry._METRICS.update(registered)


@pytest.mark.parametrize("page", [HERE / "README.md", *PAGES], ids=lambda page: page.relative_to(HERE).as_posix())
def test_every_line_for_a_shell_is_understood(page: Path) -> None:
    for line in lines_in(page.read_text(encoding="utf-8")):
        parse(line)


def test_the_pages_have_lines_for_a_shell() -> None:
    assert sum(len(list(lines_in(page.read_text(encoding="utf-8")))) for page in PAGES) > 30


def test_every_command_in_the_readme_exists() -> None:
    from typer.main import get_command

    load_commands()
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^synth ([\w-]+)", README, flags=re.M)) <= known
    assert known <= set(re.findall(r"synth ([\w-]+)", README)), "every command is named in the README"


def test_every_picture_and_page_the_readme_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (HERE / link).exists(), link


def test_the_generated_pages_are_up_to_date() -> None:
    for name, text in pages().items():
        assert (HERE / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name} is stale; run: make docs"


NEEDS = {  # real tables that are not part of the repository
    "private_release": ("adult_train.parquet", "adult_test.parquet"),
    "images": ("mnist_t10k-images-idx3-ubyte.gz",),
    "balance": ("mammography.parquet", "bank_marketing.parquet"),
    "fairness_audit": ("adult_train.parquet", "adult_test.parquet"),
}
NOTEBOOKS = sorted((HERE / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_every_notebook_runs(
    file: Path, tmp_path: Path, shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NEEDS.get(file.stem, ()):
        monkeypatch.setenv("SYNTH_DATA", str(shared_data(name).parent.resolve()))
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_with_its_outputs_and_small(file: Path) -> None:
    assert file.stat().st_size < 200_000
    notebook = nbformat.read(file, as_version=4)
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert shown, "run it, and commit what it shows"
    for cell in shown:
        assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in cell.outputs)
        assert "/tmp/" not in str(cell.outputs), "no path of the machine that it ran on"
