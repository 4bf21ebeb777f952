"""What the documents say is executed: README, generated pages, notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from docs.build import pages
from synth.cli import app

HERE = Path(__file__).resolve().parents[1]
README = (HERE / "README.md").read_text(encoding="utf-8")


def test_every_python_block_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert blocks
    for block in blocks:
        subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "exports" / "arrests" / "attestation.json").is_file()


def test_every_command_in_the_readme_exists() -> None:
    from typer.main import get_command

    from synth.cli import attempts, auditing, comparing, deciding, jobs, judging, ledger, listing, policies, receiving

    assert all((attempts, auditing, comparing, deciding, jobs, judging, ledger, listing, policies, receiving))
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^synth ([\w-]+)", README, flags=re.M)) <= known
    assert known <= set(re.findall(r"synth ([\w-]+)", README)), "every command is named in the README"


def test_every_picture_and_page_the_readme_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (HERE / link).exists(), link


def test_the_generated_pages_are_up_to_date() -> None:
    for name, text in pages().items():
        assert (HERE / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name} is stale; run: make docs"


@pytest.mark.parametrize("file", sorted((HERE / "notebooks").glob("*.ipynb")), ids=lambda file: file.stem)
def test_every_notebook_runs(file: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
