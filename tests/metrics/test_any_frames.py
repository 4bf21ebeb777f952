"""`synth.evaluate` on any pair of frames, made by whatever tool: the same rows give the same figures, however they are held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.errors import DataError
from synth.metrics.measurement import Measurements

ONLY = ["validity", "fidelity.shape", "fidelity.trend", "privacy.exact_copies", "fairness.group_share"]


def rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 500
    x = rng.normal(size=n).round(3)
    return pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "k": rng.poisson(3, n),
            "c": rng.choice(["red", "green", "blue"], n),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 1000, n), unit="h"),
            "b": rng.random(n) < 0.3,
            "s": rng.choice(["f", "m"], n),
            "y": np.where(x > 0, "yes", "no"),
        }
    )


def figures(measured: Measurements) -> list[object]:
    return [(m.label, m.status, m.score, m.reference) for m in measured]


def measure(train: Any, holdout: Any, synthetic: Any) -> Measurements:
    return synth.evaluate(train, holdout, synthetic, target="y", sensitive=["s"], only=ONLY)


@pytest.fixture(scope="module")
def known() -> list[object]:
    return figures(measure(rows(0), rows(1), rows(2)))


def arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


HELD: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda d: d,
    "pandas, nullable": lambda d: d.convert_dtypes(),
    "pandas, on Arrow": lambda d: d.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, as categories": lambda d: d.astype({"c": "category", "s": "category", "y": "category"}),
    "pandas, as objects": lambda d: d.astype({"c": "object", "k": "object", "b": "object"}),
    "pandas, smaller numbers": lambda d: d.astype({"k": "int16"}),
    "pandas, another order": lambda d: d[list(reversed(d.columns))],
    "pandas, another index": lambda d: d.set_index(np.arange(len(d))[::-1] * 7),
    "polars": pl.from_pandas,
    "polars, as categories": lambda d: pl.from_pandas(d).with_columns(pl.col("c", "s").cast(pl.Categorical)),
    "Arrow": arrow,
    "Arrow, in pieces": lambda d: pa.concat_tables([arrow(d.iloc[:7]), arrow(d.iloc[7:])]),
    "Arrow, with dictionaries": lambda d: arrow(d.astype({"c": "category", "s": "category"})),
    "a batch": lambda d: arrow(d).to_batches()[0],
}


@pytest.mark.parametrize("held", HELD)
def test_however_the_synthetic_rows_are_held_the_figures_are_the_same(held: str, known: list[object]) -> None:
    given = HELD[held](rows(2))
    assert figures(measure(rows(0), rows(1), given)) == known


@pytest.mark.parametrize("held", [name for name in HELD if "order" not in name])
def test_however_all_rows_are_held_the_figures_are_the_same(held: str, known: list[object]) -> None:
    assert figures(measure(*(HELD[held](rows(seed)) for seed in range(3)))) == known


def test_paths_are_read(known: list[object], tmp_path: Path) -> None:
    for seed in range(3):
        pq.write_table(arrow(rows(seed)), tmp_path / f"{seed}.parquet")
        rows(seed).to_csv(tmp_path / f"{seed}.csv", index=False)
    assert figures(measure(*(tmp_path / f"{seed}.parquet" for seed in range(3)))) == known
    assert figures(measure(*(str(tmp_path / f"{seed}.parquet") for seed in range(3)))) == known
    mixed = measure(rows(0), pl.from_pandas(rows(1)), tmp_path / "2.csv")
    assert [m.score for m in mixed if m.name == "fidelity.shape"] == [f[2] for f in known if f[0] == "fidelity.shape"]  # type: ignore[index]


def test_without_a_holdout_there_is_a_figure_or_a_reason(known: list[object]) -> None:
    measured = measure(rows(0), None, rows(2))
    assert measured.context["rows"]["holdout"] is None
    assert all(m.score is not None or m.reason for m in measured)
    assert measured["fidelity.shape"].score is not None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType"),
        ([[1, 2], [3, 4]], "list"),
        (np.zeros((3, 3)), "ndarray"),
        (pl.LazyFrame({"x": [1]}), "collect"),
        ("nowhere.parquet", "nowhere.parquet"),
        (pd.DataFrame({"x": [1]}), "is missing"),
        (rows(2).head(0), "no rows"),
    ],
)
def test_what_is_no_table_of_these_columns_is_refused_in_words(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        measure(rows(0), None, given)
