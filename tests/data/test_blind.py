"""Reading under a privacy budget: an error is about the declaration, or says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import synth
from synth.data.blind import read_blind
from synth.errors import DataError, SchemaError

SECRET = "zq-7731"


def csv(folder: Path, text: str) -> Path:
    (folder / "people.csv").write_text(text)
    return folder / "people.csv"


QUOTING: dict[str, Callable[[Path], tuple[Any, dict[str, Any]]]] = {
    "a line of another width": lambda folder: (csv(folder, f"a,b\n1,2\n3,4,{SECRET}\n"), {}),
    "a number that is too large": lambda folder: (pa.table({"a": [2**60, 2]}), {"kinds": {"a": "integer"}}),
    "a fraction among whole numbers": lambda folder: (pa.table({"a": [2.5, 2.0]}), {"kinds": {"a": "integer"}}),
    "an infinite number": lambda folder: (pa.table({"a": [1.0, float("inf")]}), {}),
    "a column of nulls": lambda folder: (csv(folder, "a,b\n1,\n2,\n"), {}),
}


@pytest.mark.attack(
    "reads what an error of a private fit says of the file: a value, a line, a number of rows",
    "an error that made-up rows would not give too is replaced by one that says nothing of the rows",
)
@pytest.mark.parametrize("case", QUOTING)
def test_what_tells_of_a_row_is_not_said(case: str, tmp_path: Path) -> None:
    source, reading = QUOTING[case](tmp_path)
    with pytest.raises((DataError, SchemaError)):
        synth.read(source, check=False, **reading)
    with pytest.raises(DataError) as caught:
        read_blind(source, **reading)
    assert "why would tell of its rows" in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_the_planted_errors_would_tell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3 has 3 columns"):
        synth.read(csv(tmp_path, f"a,b\n1,2\n3,4,{SECRET}\n"), check=False)
    with pytest.raises(DataError, match="holds inf in row 2"):
        synth.read(pa.table({"a": [1.0, float("inf")]}), check=False)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"schema": {"columns": {"aeg": {"kind": "integer"}}}}, "did you mean 'age'"),
        ({"schema": {"columns": {"age": {"kind": "integer", "maximum": "old"}}}}, "maximum is 'old'; give a number"),
        ({"schema": {"columns": {"age": {"kind": "integer", "categories": ["a"]}}}}, "says nothing of it"),
        ({"schema": {"collumns": {}}}, "did you mean 'columns'"),
        ({"target": "agee"}, "did you mean 'age'"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(reading: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, SchemaError), match=words):
        read_blind(csv(tmp_path, "age,town\n31,Bonn\n44,Trier\n"), **reading)


@pytest.mark.parametrize(("name", "words"), [("nowhere.csv", "is not there"), ("people.xyz", "xyz")])
def test_what_is_wrong_with_a_path_is_said(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read_blind(tmp_path / name)
    with pytest.raises(DataError, match="is empty"):
        read_blind(csv(tmp_path, ""))


def test_rows_are_read_as_ever(tmp_path: Path) -> None:
    file = csv(tmp_path, "age,town\n31,Bonn\n44,Trier\n")
    schema = {"columns": {"age": {"kind": "integer", "minimum": 0, "maximum": 40, "nullable": False}}}
    assert read_blind(file, schema=schema).arrow == synth.read(file, schema=schema, check=False).arrow
