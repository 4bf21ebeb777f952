"""`synth compare` and `synth.compare` on real folders: what differs, what was edited, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import synth
from synth.errors import DataError, InputError
from synth.run import evaluate_files


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders that `synth evaluate` leaves about the same real rows, and one about others."""
    place = tmp_path_factory.mktemp("runs")
    for name, shift in (("real", 0), ("held", 1), ("near", 2), ("far", 3), ("new", 4)):
        rows = [f"{18 + (7 * i + shift) % 50 * (3 if shift == 3 else 1)},{'fm'[(i * i + shift) % 2]}" for i in range(160)]
        (place / f"{name}.csv").write_text("\n".join(["age,sex", *rows]) + "\n")
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(place / "home"))
        for name, real, fake in (("one", "real", "near"), ("two", "real", "far"), ("other", "new", "near")):
            files = [place / f"{file}.csv" for file in (real, "held", fake)]
            evaluate_files(*files, place / name, only=["fidelity.shape", "privacy.exact_copies"])
            made.append(place / name)
    return made


def test_real_folders_are_compared_in_python_and_on_the_command_line(
    runs: list[Path], cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTH_HOME", str(runs[0].parent / "home"))
    found = synth.compare(*runs[:2])
    assert found.warnings == ()
    assert [cell.against for cell in found.figures[0].cells] == ["", "worse"]
    assert [name for name, _ in found.settings] == ["synthetic"]
    ended = cli("compare", *runs, "--out", tmp_path / "page.html", "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert [run["comparable"] for run in document["runs"]] == [True, True, False]
    assert document["figures"][0]["runs"][1]["against_first"] == "worse"
    assert "What cannot be compared" in (tmp_path / "page.html").read_text()
    ended = cli("compare", *runs[:2])
    assert "▼ worse" in ended.out
    assert "one: not judged" in ended.out


def test_an_edited_figure_is_said(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTH_HOME", str(runs[0].parent / "home"))
    file = runs[1] / "measurements.json"
    before = file.read_text()
    try:
        file.write_text(before.replace('"better"', ' "better"', 1))
        assert any("two is not as it was measured" in warning for warning in synth.compare(*runs[:2]).warnings)
    finally:
        file.write_text(before)


def test_what_is_no_comparison_is_refused(runs: list[Path], cli: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more"):
        synth.compare(runs[0])
    with pytest.raises(InputError, match="given twice"):
        synth.compare(runs[0], runs[0].parent / "." / "one")
    with pytest.raises(DataError, match="is not a run"):
        synth.compare(runs[0], tmp_path)
    ended = cli("compare", *runs[:2], "--out", tmp_path / "nowhere" / "page.html")
    assert ended.code == 2
    assert "there is no such folder" in ended.err
