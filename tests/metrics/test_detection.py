"""Detectors find what they are said to find, score one half on fresh rows and copies, and name the columns at fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.detection import CELL, _cells, trials
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Interval

Three = tuple[Table, Table, Table]
ROWS = 1_500


@pytest.fixture(scope="module")
def draws(shared_data: Callable[[str], Path]) -> Three:
    """Training, holdout and fresh rows of Adult."""
    adult = synth.read(shared_data("adult.parquet"), target="income")
    order = np.random.default_rng(0).permutation(len(adult))
    return tuple(adult.take(order[i * ROWS : (i + 1) * ROWS]) for i in range(3))  # type: ignore[return-value]


def changed(given: Table, name: str, values: object) -> Table:
    return replace(given, arrow=given.arrow.set_column(given.columns.index(name), name, pa.array(values)))


def factorised(given: Table) -> Table:
    """Every column shuffled by itself."""
    rng = np.random.default_rng(1)
    shuffled = [given.arrow.column(name).take(pa.array(rng.permutation(len(given)))) for name in given.columns]
    return replace(given, arrow=pa.table(shuffled, schema=given.arrow.schema))


def area(three: Three, name: str = "fidelity.detection", seed: int = 0) -> Interval:
    m = evaluate(*three, only=[name], seed=seed)[name]
    assert m.score is not None, m.reason
    return m.score


def noisy(rows: int, seed: int) -> np.ndarray:
    """Points of a dependent population of numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    x[:, 1] += x[:, 0]
    return np.asarray(x)


def numbers(x: np.ndarray) -> Table:
    names = [f"x{j}" for j in range(x.shape[1])]
    return Table(pa.table(dict(zip(names, x.T))), Schema(tuple(Column(name, Kind.DECIMAL) for name in names)))


def test_trees_find_a_factorised_table_and_a_regression_does_not(draws: Three) -> None:
    train, holdout, fresh = draws
    assert area((train, holdout, factorised(fresh))).value > 0.9
    assert area((train, holdout, factorised(fresh)), "fidelity.detection_linear").value < 0.55


def test_both_leave_fresh_rows_alone_and_find_a_moved_column(draws: Three) -> None:
    train, holdout, fresh = draws
    moved = changed(fresh, "age", [min(90, age + 12) for age in fresh.column("age").to_pylist()])
    for name in ("fidelity.detection", "fidelity.detection_linear"):
        found = area(draws, name)
        assert found.low <= 0.5 <= found.high
        assert area((train, holdout, moved), name).low > 0.6


def test_the_columns_that_give_rows_away_are_named_worst_first(draws: Three) -> None:
    train, holdout, fresh = draws
    hours = np.random.default_rng(0).permutation(fresh.column("hours_per_week").to_pylist())
    moved = changed(fresh, "age", [min(90, age + 12) for age in fresh.column("age").to_pylist()])
    measured = evaluate(train, holdout, changed(moved, "hours_per_week", hours), only=["fidelity.detection"])
    told = measured["fidelity.detection"].detail["columns"]
    assert next(iter(told)) == "age"
    assert list(told.values()) == sorted(told.values(), reverse=True)
    assert all(loss > 0 for loss in told.values())


def test_nothing_is_named_where_nothing_was_found(three: Three) -> None:
    assert evaluate(*three, only=["fidelity.detection"])["fidelity.detection"].detail["columns"] == {}


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_near_copies_do_not_pass_for_better_than_fresh_rows(noise: float) -> None:
    x = noisy(3_000, 0)
    copies = x + noise * np.random.default_rng(1).normal(size=x.shape)
    found = area((numbers(x), numbers(noisy(3_000, 2)), numbers(copies)))
    assert found.value > 0.47


def test_cells_hold_what_lies_close_and_know_nothing_of_tables() -> None:
    points = noisy(5_000, 0).astype(np.float32)
    cell = _cells(np.vstack([points, points + 1e-6]), np.random.default_rng(0))
    assert np.bincount(cell).max() <= CELL
    assert (cell[:5_000] == cell[5_000:]).mean() > 0.98


def test_rows_that_are_equal_share_a_fold_unless_there_are_very_many() -> None:
    values = np.concatenate([np.zeros(200), np.arange(1, 101), np.arange(1, 101)])
    table = numbers(values[:, None])
    judged, _ = trials(Evidence(table, None, table, 0), 1_000)
    everything = np.concatenate([values, values])
    folds = {value: set(judged.fold[everything == value]) for value in (0.0, 7.0, 50.0)}
    assert [len(f) for f in folds.values()] == [3, 1, 1]


def test_nulls_infinities_and_new_categories_are_features(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = (draw(600, seed) for seed in (1, 2, 3))
    wage = [None if i % 2 else float("inf") for i in range(600)]
    for name in ("fidelity.detection", "fidelity.detection_linear"):
        assert area((train, holdout, changed(fresh, "wage", wage)), name).value > 0.9
        assert area((train, holdout, changed(fresh, "city", ["Gap"] * 600)), name).value > 0.9
        assert area((train, holdout, changed(fresh, "gain", [10**15] * 600)), name).value > 0.9


def test_a_column_of_many_rare_categories_betrays_no_fresh_rows() -> None:
    kind = Column("name", Kind.CATEGORICAL, categories=tuple(str(i) for i in range(1_000)))

    def table(seed: int) -> Table:
        drawn = np.random.default_rng(seed).zipf(1.3, 2_000) % 1_000
        return Table(pa.table({"name": drawn.astype(str)}), Schema((kind,)))

    for name in ("fidelity.detection", "fidelity.detection_linear"):
        found = area((table(0), table(1), table(2)), name)
        assert found.low <= 0.5 <= found.high


def test_too_few_rows_are_said_to_be_too_few(three: Three) -> None:
    for name in ("fidelity.detection", "fidelity.detection_linear"):
        m = evaluate(three[0], three[1].head(3), three[2], only=[name])[name]
        assert m.reason == "3 rows are too few to train a detector on; it needs 60 on each side"


def test_siblings_do_not_betray_fresh_rows_of_other_persons() -> None:
    """Rows of a person share a home; from another fold their siblings would be recognised by it."""
    rng = np.random.default_rng(4)
    homes = tuple(f"home {i}" for i in range(150))

    def rows(first: int, role: Role) -> Table:
        person = np.repeat(np.arange(first, first + 300), 5)
        home = np.repeat(rng.integers(0, len(homes), 300), 5)
        schema = Schema((Column("person", Kind.INTEGER, role), Column("home", Kind.CATEGORICAL, categories=homes),
                         *(Column(f"x{i}", Kind.DECIMAL, decimals=6) for i in range(4))))  # fmt: skip
        data = {"person": person, "home": np.array(homes)[home], **{f"x{i}": rng.normal(size=1_500) for i in range(4)}}
        return Table(pa.table(data), schema)

    def area(role: Role) -> float:
        tables = [rows(first, role) for first in (0, 1_000, 2_000)]
        if role is Role.DROPPED:
            tables = [table.select(["home", *(f"x{i}" for i in range(4))]) for table in tables]
        found = evaluate(*tables, only="fidelity.detection")["fidelity.detection"].score
        assert found is not None
        return found.value

    assert area(Role.DROPPED) > 0.6  # the planted fault: nothing says whose row is whose
    assert area(Role.SUBJECT) == pytest.approx(0.5, abs=0.05)
