"""Tables come in and go out as they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from synth.data.sources import read, write
from synth.errors import DataError


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": pd.array([31, None, 47], dtype="Int64"),
            "name": ["a", None, "b"],
            "grade": pd.Categorical(["low", "high", None], categories=["low", "mid", "high"], ordered=True),
            "paid": [1.5, None, 2.25],
        }
    )


def test_a_pandas_frame_comes_back_as_it_was(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read(frame).to_frame(), frame)


def test_a_polars_frame_comes_back_as_it_was() -> None:
    frame = pl.DataFrame({"a": [1, None], "c": pl.Series(["x", None], dtype=pl.Enum(["y", "x"]))})
    assert read(frame).to_frame().equals(frame)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_gives_the_same_rows_and_the_same_digest(frame: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    table = read(frame)
    again = read(write(table, tmp_path / f"t.{suffix}"))
    pd.testing.assert_frame_equal(again.to_pandas(), frame)
    assert again.digest() == table.digest()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv is not there"):
        read(tmp_path / "gone.csv")
