"""A likelihood is that of the rows which the method draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synth import load
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import ConfigError, DataError, NotFittedError
from synth.generators.independent import Independent
from synth.generators.trees import Trees


def _column(values: list[object], column: Column) -> Table:
    return Table(pa.table({column.name: values}), Schema((column,)))


@pytest.mark.parametrize("interpolate", [True, False])
def test_the_probabilities_of_all_values_add_up_to_one(interpolate: bool) -> None:
    rng = np.random.default_rng(0)
    column = Column("x", Kind.INTEGER, nullable=True)
    values = np.where(rng.random(3_000) < 0.3, 0, rng.integers(1, 2_000, 3_000))
    real = _column([None, None, *values.tolist()], column)
    model = Independent(interpolate=interpolate).fit(real)
    every = _column([None, *range(-5, 2_006)], column)
    assert np.exp(model.score(every)).sum() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("interpolate", [True, False])
def test_values_are_drawn_as_often_as_the_score_says(interpolate: bool) -> None:
    rng = np.random.default_rng(1)
    column = Column("x", Kind.INTEGER)
    values = np.where(rng.random(20_000) < 0.2, 70, rng.gamma(3, 60, 20_000)).astype(int)
    model = Independent(interpolate=interpolate).fit(_column(values.tolist(), column))
    every = np.arange(0, 1_500)
    drawn = np.bincount(model.sample_table(200_000).column("x").to_numpy().astype(int), minlength=1_500)[:1_500] / 200_000
    expected = np.exp(model.score(_column(every.tolist(), column)))
    assert drawn[70] == pytest.approx(expected[70], abs=0.005)
    wide = np.arange(0, 1_500, 50)
    assert np.abs(np.add.reduceat(drawn, wide) - np.add.reduceat(expected, wide)).max() < 0.008


def test_a_number_nobody_else_has_is_no_likelier_for_having_been_seen() -> None:
    rng = np.random.default_rng(4)
    column = Column("x", Kind.DECIMAL, decimals=3)
    seen, fresh = (_column(np.round(rng.normal(100, 20, 4_000), 3).tolist(), column) for _ in range(2))
    model = Independent().fit(seen)
    assert model.score(seen).mean() == pytest.approx(model.score(fresh).mean(), abs=0.05)


def test_rows_of_shuffled_columns_are_as_likely_as_the_rows_themselves() -> None:
    table = example_table()
    rng = np.random.default_rng(2)
    columns = [table.arrow.column(name).take(pa.array(rng.permutation(len(table)))) for name in table.columns]
    shuffled = Table(pa.table(columns, schema=table.arrow.schema), table.schema)
    model = Independent().fit(table)
    assert np.isfinite(model.score(table)).all()
    assert model.score(table).mean() == pytest.approx(model.score(shuffled).mean())


def test_what_was_never_seen_is_unlikely_but_possible() -> None:
    column = Column("c", Kind.CATEGORICAL, nullable=True, categories=("a", "b", "z"))
    model = Independent().fit(_column(["a"] * 90 + ["b"] * 9 + [None], column))
    scores = np.exp(model.score(_column(["a", "b", "z", None], column)))
    assert scores.sum() == pytest.approx(1.0)
    assert 0 < scores[2] < scores[3] < scores[1] < scores[0]


def test_a_saved_model_scores_alike(tmp_path: Path) -> None:
    table = example_table()
    model = Independent().fit(table)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").score(table) == pytest.approx(model.score(table))


def test_refusals() -> None:
    table = example_table()
    with pytest.raises(NotFittedError):
        Independent().score(table)
    with pytest.raises(ConfigError, match="does not know how likely"):
        Trees().fit(table).score(table)
    assert not Trees().has_score
    with pytest.raises(DataError, match="'age' was learned"):
        Independent().fit(table).score(table.select([c for c in table.columns if c != "age"]))
