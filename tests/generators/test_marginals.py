"""Rows drawn from noisy marginals: legal, near the data, exact under conditions, and drawn from what was released alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synth.data.conditions import Clause, Where
from synth.data.encoding import encode
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConditionError, ConfigError, GenerationError, NotFittedError
from synth.generators._storage import load
from synth.generators._within import Within
from synth.generators.marginals import Marginals
from synth.privacy.budget import Budget

pytest.importorskip("opendp", reason="marginals are measured with OpenDP's noise, which the extra 'dp' brings")

COLUMNS = (
    Column("age", Kind.INTEGER, minimum=0, maximum=99, nullable=True),
    Column("height", Kind.DECIMAL, minimum=1.0, maximum=2.5, decimals=2),
    Column("share", Kind.DECIMAL, minimum=0.0, maximum=1.0),
    Column("born", Kind.DATETIME, minimum="1920-01-01", maximum="2025-12-31", unit="day"),
    Column("city", Kind.CATEGORICAL, categories=("Aarhus", "Bergen", "Cork"), nullable=True),
    Column("grade", Kind.ORDINAL, categories=("low", "middle", "high")),
    Column("left", Kind.BOOLEAN, Role.TARGET),
)
FACTS = ("kind", "minimum", "maximum", "decimals", "unit", "categories", "nullable", "role")


def people(rows: int = 4_000, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    age = np.clip(rng.normal(45, 18, rows).astype(int), 0, 99)
    grade = np.select([age < 35, age < 60], [0, 1], 2)
    born = np.datetime64("2025-01-01") - 365 * age - rng.integers(0, 365, rows)
    arrays = {
        "age": pa.array(age, mask=rng.random(rows) < 0.1),
        "height": pa.array(np.round(np.clip(rng.normal(1.7, 0.1, rows), 1, 2.5), 2)),
        "share": pa.array(rng.beta(1 + grade, 3 - grade)),
        "born": pa.array(born, type=pa.date32()),
        "city": pa.array(np.array(["Aarhus", "Bergen", "Cork"])[np.minimum(grade, rng.integers(3, size=rows))]).take(
            pa.array(np.arange(rows), mask=rng.random(rows) < 0.05)
        ),
        "grade": pa.array(np.array(["low", "middle", "high"])[grade]),
        "left": pa.array(rng.random(rows) < np.array([0.1, 0.4, 0.8])[grade]),
    }
    columns = [Column.from_dict({**column.to_dict(), "declared": FACTS}) for column in COLUMNS]
    return Table(pa.table(arrays), Schema(tuple(columns)))


@pytest.fixture(scope="module")
def table() -> Table:
    return people()


@pytest.fixture(scope="module")
def model(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Marginals:
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    return Marginals(method="mst").fit(table, budget=Budget(15.0, 1e-5), dataset="people", ledger=ledger, noise_seed=0)


def test_there_is_nothing_to_fit_without_a_budget(table: Table) -> None:
    with pytest.raises(ConfigError, match="budget"):
        Marginals().fit(table)


def test_relations_are_kept(model: Marginals, table: Table) -> None:
    drawn = model.sample(4_000, seed=1)
    for rows in (table, drawn):
        left = np.array(rows.column("left").to_pylist())
        grade = np.array(rows.column("grade").to_pylist())
        assert 0.05 < left[grade == "low"].mean() < 0.15
        assert 0.7 < left[grade == "high"].mean() < 0.9


CONDITIONS = [
    "age >= 38",  # cuts a bin
    "age between 41 and 42",
    "age = 41",
    "age in (3, 41, 97)",
    "age >= 30 and age != 33 and age != 34 and age < 60",
    "age is null",
    "age is not null",
    "height < 1.615",
    "height in (1.7, 1.71)",
    "share > 0.123456 and share < 0.345678",
    "share = 0.25",
    "born >= '1980-02-29'",
    "born = '1980-02-29'",
    "city = 'Cork'",
    "city is null",
    "grade > 'low' and left = true",
    "age > 70 and grade = 'high' and city != 'Aarhus' and height > 1.8",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditioned_rows_all_satisfy_their_condition(model: Marginals, condition: str) -> None:
    drawn = model.sample(300, where=condition, seed=3)
    assert len(drawn) == len(drawn.where(condition)) == 300
    encode(drawn)


@pytest.mark.parametrize("condition", ["age >= 38 and age < 53", "height < 1.615 and age > 41", "share > 0.31 and left = true"])
def test_conditioned_rows_are_distributed_as_those_of_all_rows_that_satisfy_it(model: Marginals, condition: str) -> None:
    """The condition cuts a bin: its cells count by the share of them that it leaves."""
    where = Where.parse(condition, model.fitted.schema)
    rng = np.random.default_rng(4)
    free = model._sample(80_000, rng)
    good = np.ones(80_000, dtype=bool)
    for clause in where.clauses:
        good &= clause.holds(free[clause.column].values)
    given = model._sample_where(30_000, where, rng)
    for name in free:
        a, b = free[name].values[good], given[name].values
        cuts = np.unique(np.nanquantile(a, np.linspace(0.05, 0.95, 19)))
        shares = [np.bincount(np.searchsorted(cuts, one[~np.isnan(one)]), minlength=len(cuts) + 1) / len(one) for one in (a, b)]
        error = np.sqrt(shares[0].clip(1e-6) * (1 / good.sum() + 1 / 30_000))
        assert (np.abs(shares[0] - shares[1]) < 6 * error).all(), name


def test_a_condition_that_no_cell_meets_is_refused_by_its_name(model: Marginals) -> None:
    beyond = Where((Clause("height", Kind.DECIMAL, low=2.6, high=3.0),), model.fitted.schema)
    with pytest.raises(GenerationError, match="condition on height"):
        model._sample_where(5, beyond, np.random.default_rng(0))
    with pytest.raises(ConditionError):
        model.sample(5, where="hight > 2.5")


def test_shares_of_a_cut_bin_add_up(model: Marginals) -> None:
    column = model._domain["age"]
    where = [Where.parse(text, model.fitted.schema).clauses[0] for text in ("age < 38", "age >= 38", "age is null")]
    shares = [Within.of(column, clause).shares for clause in where]
    assert np.allclose(sum(shares), 1)
    assert any(0 < share < 1 for share in shares[0])


def test_rows_are_as_likely_as_they_are_often_drawn(table: Table) -> None:
    some = table.select(["age", "grade", "left"])
    model = Marginals(method="mst").fit(some, budget=Budget(15.0, 1e-5), dataset="people", noise_seed=0)
    drawn = model.sample(60_000, seed=5)
    kinds = drawn.arrow.group_by(["age", "grade", "left"]).aggregate([([], "count_all")])
    likely = np.exp(model.score(Table(kinds.select(["age", "grade", "left"]), some.schema)))
    often = np.array(kinds.column("count_all")) / len(drawn)
    assert 0.97 < likely.sum() <= 1 + 1e-9
    assert (np.abs(often - likely) < 6 * np.sqrt(np.maximum(likely, 1e-4) / len(drawn))).all()


def test_real_rows_are_likelier_than_shuffled_ones(model: Marginals, table: Table) -> None:
    rng = np.random.default_rng(0)
    mixed = pa.table({name: table.column(name).take(pa.array(rng.permutation(len(table)))) for name in table.columns})
    real, shuffled = model.score(table), model.score(Table(mixed, table.schema))
    assert np.isfinite(real).all()
    assert np.isfinite(shuffled).all()
    assert real.mean() > shuffled.mean() + 0.5


def test_the_model_is_saved_with_what_was_measured(model: Marginals, table: Table, tmp_path: Any) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert isinstance(again, Marginals)
    assert again.digest() == model.digest()
    assert again.sample(50, seed=2).arrow == model.sample(50, seed=2).arrow
    for (names, counts, sigma), (same, also, noise) in zip(model.measurements, again.measurements, strict=True):
        assert (names, sigma, counts.dtype) == (same, noise, np.int64)
        assert np.array_equal(counts, also)
    of = {names: counts for names, counts, _ in model.measurements}
    stays = table.column("left").to_pylist().count(False)
    assert np.allclose(of["left",], [stays, len(table) - stays], atol=20)


def test_nothing_is_said_before_a_fit() -> None:
    with pytest.raises(NotFittedError):
        Marginals().measurements  # noqa: B018 - a property


@pytest.mark.parametrize("wrong", [{"method": "pgm"}, {"degree": 4}, {"rounds": 0}, {"max_cells": 0}, {"iterations": True}])
def test_hyperparameters_outside_their_range_are_refused(table: Table, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Marginals(**wrong).fit(table)
