"""A folder appears whole or not at all, and what was there before is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.errors import DataError
from synth.folder import in_words, new_file, new_folder, replace


def make(path: Path, content: str = "new") -> None:
    with new_folder(path, mark="mark") as folder:
        (folder / "mark").write_text(content)


def break_half_way(path: Path, fault: type[BaseException]) -> None:
    with new_folder(path, mark="mark") as folder:
        (folder / "half").write_text("half")
        raise fault("in the middle")


def test_a_finished_folder_has_its_name_and_nothing_stands_beside_it(tmp_path: Path) -> None:
    make(tmp_path / "a" / "run")
    assert (tmp_path / "a" / "run" / "mark").read_text() == "new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]


@pytest.mark.attack("Ctrl-C, or a fault, while a run or an export is written", "nothing is left, neither half nor empty")
@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_not_even_new_parents(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault):
        break_half_way(tmp_path / "a" / "b" / "run", fault)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_folder_is_kept_under_the_next_free_name(tmp_path: Path) -> None:
    for content in ("first", "second", "third"):
        make(tmp_path / "run", content)
    assert {path.name: (path / "mark").read_text() for path in tmp_path.iterdir()} == {
        "run": "third",
        "run.1": "first",
        "run.2": "second",
    }


def test_a_failure_leaves_the_earlier_folder_as_it_was(tmp_path: Path) -> None:
    make(tmp_path / "run", "old")
    with pytest.raises(ValueError, match="in the middle"):
        break_half_way(tmp_path / "run", ValueError)
    assert (tmp_path / "run" / "mark").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        make(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        make(tmp_path / "photo")
    assert (tmp_path / "photo").read_text() == "mine"


def test_replace_is_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "f"
    replace(file, "one")
    replace(file, b"two")
    assert file.read_text() == "two"
    with pytest.raises(DataError, match="cannot write"):
        replace(tmp_path / "f" / "inside", "three")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_without_keep_the_older_folder_is_replaced_and_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    make(tmp_path / "model", "old")
    with pytest.raises(ValueError, match="half"), new_folder(tmp_path / "model", mark="mark", keep=False):
        raise ValueError("half")
    assert (tmp_path / "model" / "mark").read_text() == "old"
    with new_folder(tmp_path / "model", mark="mark", keep=False) as folder:
        (folder / "mark").write_text("new")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"model", "model/mark"}
    assert (tmp_path / "model" / "mark").read_text() == "new"


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_file_that_fails_half_way_leaves_the_older_one(tmp_path: Path, fault: type[BaseException]) -> None:
    (tmp_path / "f").write_text("old")
    with pytest.raises(fault), new_file(tmp_path / "f") as file:
        raise fault(f"after {file.write(b'ne')} bytes")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("f", "old")]


def test_a_full_disk_is_said_in_words() -> None:
    with (
        pytest.raises(DataError, match="no space is left"),
        in_words("/dev/full"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")
