"""Missing cells are drawn from what they are given the observed ones, and nothing else of the table changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import synth
from synth.data.example import example_table
from synth.data.frames import as_table
from synth.data.table import Table
from synth.errors import ConfigError, DataError, GenerationError, NotFittedError
from synth.generators import _filling
from synth.generators._given import Rows
from synth.generators.independent import Independent
from synth.generators.smote import Smote
from synth.generators.trees import Trees


@pytest.fixture(scope="module")
def real() -> Table:
    """A cause, two effects and a number that hangs on all: what is missing is told by columns before and after it."""
    rng = np.random.default_rng(0)
    n = 20_000
    cause = rng.integers(0, 4, n)
    left = (cause + (rng.random(n) < 0.2) * rng.integers(1, 4, n)) % 4
    right = np.where(rng.random(n) < 0.7, cause // 2 == 0, rng.random(n) < 0.5)
    number = np.round(3.0 * left + 5.0 * right + rng.normal(0, 1, n), 2)
    columns = {"cause": [f"c{i}" for i in cause], "left": [f"l{i}" for i in left], "right": right, "number": number}
    return synth.read(pa.table(columns))


@pytest.fixture(scope="module")
def halves(real: Table) -> tuple[Table, Table]:
    return real.head(10_000), real.take(np.arange(10_000, 20_000))


@pytest.fixture(scope="module")
def model(halves: tuple[Table, Table]) -> Trees:
    return Trees(condition_on=()).fit(halves[0])


def holed(table: Table, share: float, names: tuple[str, ...], seed: int = 1) -> Table:
    """The table without a share of the cells of these columns, at random."""
    rng = np.random.default_rng(seed)
    arrow = table.arrow
    for name in names:
        hole = pa.array(rng.random(len(table)) < share)
        place = arrow.schema.get_field_index(name)
        arrow = arrow.set_column(place, arrow.schema.field(name), pc.if_else(hole, None, arrow.column(name)))
    columns = tuple(replace(column, nullable=column.nullable or column.name in names) for column in table.schema.columns)
    return Table(arrow, replace(table.schema, columns=columns), frame=table.frame)


def joint(rows: Table) -> pd.Series:
    """The share of each combination, with the number in steps of two."""
    frame = rows.to_pandas().assign(number=lambda f: (f["number"] // 2).clip(-1, 8))
    return frame.value_counts(normalize=True)


def distance(a: Table, b: Table) -> float:
    x, y = joint(a), joint(b)
    return float((x.subtract(y, fill_value=0)).abs().sum() / 2)


@pytest.mark.parametrize("names", [("cause",), ("left", "number"), ("cause", "left", "right", "number")], ids=str)
def test_completed_rows_have_the_joint_distribution_of_real_ones(
    model: Trees, halves: tuple[Table, Table], names: tuple[str, ...]
) -> None:
    train, other = halves
    done = model.impute(holed(other, 0.4, names))
    floor = distance(other, train)  # two samples of real rows
    assert distance(done, other) < 0.6 * floor + 0.02  # the observed cells are those of `other` itself
    assert distance(Independent().fit(train).impute(holed(other, 0.4, names)), other) > 2 * floor


def test_a_missing_cause_follows_what_both_effects_say(model: Trees, halves: tuple[Table, Table]) -> None:
    """Bayes: the share of each cause given the effects, among rows whose cause is not there at all."""
    train, other = halves
    done = model.impute(holed(other, 1.0, ("cause",))).to_pandas()
    wanted = train.to_pandas().groupby(["left", "right"])["cause"].value_counts(normalize=True)
    found = done.groupby(["left", "right"])["cause"].value_counts(normalize=True)
    many = done.groupby(["left", "right"]).size()
    for key, share in wanted.items():
        if many[key[:2]] > 500:
            assert found.get(key, 0.0) == pytest.approx(share, abs=0.07), key


class Deaf(Trees):
    """What comes after a missing cell is not listened to."""

    def _likelihood(self, name: str, rows: Rows) -> np.ndarray:
        return np.ones(rows.size)


def test_a_method_that_looks_only_backwards_is_seen(halves: tuple[Table, Table]) -> None:
    train, other = halves
    done = Deaf(condition_on=()).fit(train).impute(holed(other, 0.4, ("cause", "left")))
    assert distance(done, other) > 2 * (0.6 * distance(other, train) + 0.02)


def test_few_candidates_are_worse_than_many(model: Trees, halves: tuple[Table, Table], monkeypatch: pytest.MonkeyPatch) -> None:
    holes = holed(halves[1], 0.4, ("left", "number"))
    many = distance(model.impute(holes), halves[1])
    monkeypatch.setattr(_filling, "CANDIDATES", 2)
    assert distance(model.impute(holes), halves[1]) > many


def test_memory_is_bounded_by_rows_that_do_not_change_the_law(
    model: Trees, halves: tuple[Table, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    holes = holed(halves[1], 0.4, ("cause", "number"))
    monkeypatch.setattr(_filling, "ROWS_TOGETHER", 37)
    few = model.impute(holes.head(2_000))
    assert distance(few, halves[1].head(2_000)) < distance(halves[0].head(2_000), halves[1].head(2_000))


# what stays ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "pandas", "polars", "arrow"])
def test_observed_cells_order_types_and_other_columns_stay(kind: str) -> None:
    table = example_table()
    rows: Any = {"table": table, "pandas": table.to_pandas(), "polars": table.to_polars(), "arrow": table.arrow}[kind]
    model = Trees(min_samples_leaf=20).fit(table)
    done = model.impute(rows)
    assert type(done) is type(rows)
    if isinstance(done, (pd.DataFrame, pl.DataFrame)):
        assert list(done.columns) == list(rows.columns)
        assert list(done.dtypes) == list(rows.dtypes)
    before, after = as_table(rows).arrow, as_table(done).arrow
    for name in before.column_names:
        seen = before.column(name).is_valid()
        assert after.column(name).filter(seen).equals(before.column(name).filter(seen)), name
        assert after.column(name).null_count == (before.column(name).null_count if name in ("id", "note") else 0), name


def test_dictionaries_and_narrow_types_keep_their_physical_type() -> None:
    rng = np.random.default_rng(2)
    n = 500
    level = pa.array(rng.choice(["x", "y", "z"], n)).dictionary_encode()
    kinds = {
        "small": pa.array(rng.integers(0, 9, n), type=pa.int8()),
        "float": pa.array(np.round(rng.random(n), 1), type=pa.float32()),
        "when": pa.array(rng.integers(0, 10**5, n), type=pa.timestamp("ms", tz="UTC")),
        "exact": pa.array(rng.integers(0, 99, n)).cast(pa.decimal128(25, 2)),
        "level": level,
    }
    table = synth.read(pa.table(kinds))
    rows = table.arrow
    for place, name in enumerate(rows.column_names):
        old, hole = rows.column(name), pa.array(rng.random(n) < 0.3)
        plain = old.cast(pa.string()) if name == "level" else old
        new = pc.if_else(hole, None, plain).combine_chunks()
        rows = rows.set_column(place, rows.schema.field(place), new.dictionary_encode() if name == "level" else new)
    given = replace(table, arrow=rows)
    done = Trees().fit(table).impute(given)
    assert done.arrow.schema.equals(given.arrow.schema)
    for name in rows.column_names:
        seen = rows.column(name).is_valid()
        assert done.column(name).null_count == 0
        assert done.column(name).filter(seen).to_pylist() == rows.column(name).filter(seen).to_pylist()


def test_a_table_without_holes_comes_back_as_it_is(model: Trees, halves: tuple[Table, Table]) -> None:
    assert model.impute(halves[1]).equals(halves[1])


def test_nulls_that_the_model_learned_are_not_what_is_filled_in(halves: tuple[Table, Table]) -> None:
    train = holed(halves[0], 0.5, ("left", "number"))
    done = Trees().fit(train).impute(holed(halves[1], 0.5, ("left", "number")))
    assert all(done.column(name).null_count == 0 for name in done.columns)
    assert distance(done, halves[1]) < 0.1


def test_the_same_seed_fills_in_the_same_cells(model: Trees, halves: tuple[Table, Table]) -> None:
    holes = holed(halves[1].head(300), 0.3, halves[1].columns)
    assert model.impute(holes, seed=4).equals(model.impute(holes, seed=4))
    assert not model.impute(holes, seed=4).equals(model.impute(holes, seed=5))


# what is refused -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_filled_in_is_refused_with_a_reason(model: Trees, halves: tuple[Table, Table]) -> None:
    rows = halves[1].head(50)
    with pytest.raises(NotFittedError):
        Trees().impute(rows)
    with pytest.raises(DataError, match="'left' was learned and is not in the table"):
        model.impute(rows.select(["cause", "right", "number"]))
    with pytest.raises(ConfigError, match=r"Smote cannot fill in missing cells; autoregressive, copula, .* and trees can"):
        Smote().fit(example_table()).impute(example_table())
    strange = replace(rows, arrow=rows.arrow.set_column(0, "cause", pa.array(["c9"] * 50)))
    with pytest.raises(DataError, match="'c9'"):
        model.impute(strange)


@pytest.mark.parametrize("generator", [Trees(), Independent()], ids=str)
def test_a_column_that_was_never_seen_is_not_made_up(generator: synth.Generator) -> None:
    whole = synth.read(pa.table({"a": pa.array([None] * 50 + [1.5, 2.5], pa.float64()), "b": np.arange(52) % 7}))
    table = whole.head(50)
    with pytest.raises(GenerationError, match="'a' was null in every training row"):
        generator.fit(table).impute(table)


def test_constraints_hold_or_are_refused() -> None:
    rng = np.random.default_rng(3)
    start, more = rng.integers(0, 50, 800), rng.integers(0, 50, 800)
    columns = pa.table({"start": start, "end": start + more, "share": np.round(rng.random(800), 2)})
    tied = synth.read(columns, schema={"constraints": ["start <= end"]})
    with pytest.raises(ConfigError, match="a constraint ties it to others"):
        Trees().fit(tied).impute(holed(tied, 0.2, ("end",)))
    assert Trees().fit(tied).impute(holed(tied, 0.2, ("share",))).column("share").null_count == 0
    bounded = synth.read(columns, schema={"constraints": ["share <= 1"]})
    assert Trees().fit(bounded).impute(holed(bounded, 0.2, ("share",))).column("share").null_count == 0
