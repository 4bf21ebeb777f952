"""Several kinds of models, every column as a target, what matters to a model and whether its chances can be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.contest import between_parts, both, contest, lost
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.learners import features
from synth.metrics.measurement import Interval
from synth.metrics.models import Linear
from synth.metrics.utility_calibration import expected_error

Three = tuple[Table, Table, Table]
NAMES = (
    "utility.gap",
    "utility.gap_linear",
    "utility.gap_forest",
    "utility.columns",
    "utility.importance",
    "utility.calibration",
)


def held(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


def factorised(table: Table, seed: int = 0) -> Table:
    """Every column shuffled by itself."""
    rng = np.random.default_rng(seed)
    columns = [table.arrow.column(name).take(pa.array(rng.permutation(len(table)))) for name in table.columns]
    return replace(table, arrow=pa.table(columns, schema=table.arrow.schema))


def with_column(table: Table, name: str, values: np.ndarray) -> Table:
    place = table.columns.index(name)
    return replace(table, arrow=table.arrow.set_column(place, name, pa.array(values)))


# the models -----------------------------------------------------------------------------------------------------------


def test_the_linear_model_is_the_one_that_scikit_learn_finds(draw: Callable[[int, int], Table]) -> None:
    for target in ("paid", "step"):
        evidence = Evidence(draw(1_500, 1).with_roles(target=target), draw(500, 2), draw(500, 3), 0)
        assert evidence.target is not None
        inputs = tuple(c for c in evidence.columns if c.name != target)
        X, y = features(inputs, "train"), evidence.target.train
        found = Linear.of_classes(inputs, X, y)
        Z = found.expand(X)[:, :-1].toarray()
        known = LogisticRegression(C=1.0, tol=1e-8, max_iter=3_000).fit(Z, y)
        assert found.chances(X) == pytest.approx(known.predict_proba(Z), abs=2e-3)


def test_the_ridge_regression_is_the_one_that_scikit_learn_finds(draw: Callable[[int, int], Table]) -> None:
    evidence = Evidence(draw(1_500, 1), draw(500, 2), draw(500, 3), 0)
    inputs = tuple(c for c in evidence.columns if c.name != "age")
    X, y = features(inputs, "train"), evidence.column("age").train
    found = Linear.of_numbers(inputs, X, y)
    Z = found.expand(X)[:, :-1].toarray()
    assert found.numbers(X) == pytest.approx(Ridge(alpha=1.0).fit(Z, y).predict(Z), abs=1e-3)


@pytest.mark.parametrize("learner", ["linear", "forest", "boosted"])
@pytest.mark.parametrize("target", ["paid", "city", "wage"])
def test_every_kind_of_model_learns_every_kind_of_target(three: Three, learner: str, target: str) -> None:
    evidence = Evidence(*(t.with_roles(target=target) for t in three), 0)
    play = contest(evidence, learner)  # type: ignore[arg-type]
    value, error = lost(play)
    assert abs(value) < 4 * error
    assert len(play.parts) == 2


# intervals ------------------------------------------------------------------------------------------------------------


def test_the_spread_between_training_runs_is_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):  # six parts whose figures vary by 0.3, and by 1/√100 with each test row's own noise
        parts = [(float(0.3 * rng.normal() + noise.mean()), noise - noise.mean()) for noise in rng.normal(size=(6, 100))]
        found.append(between_parts([parts[:3], parts[3:]]))
    assert np.mean(found) == pytest.approx(0.3**2 / 3, rel=0.15)


def test_a_variance_from_few_parts_widens_the_interval() -> None:
    assert both(1.0, 0.0, 4) == 1.0
    assert both(0.0, 1.0, 4) == pytest.approx(2.776 / 1.96, rel=1e-3)
    assert 1.5**0.5 < both(1.0, 0.5, 4) < 1.5


def test_fresh_rows_lose_nothing_more_often_than_not(draw: Callable[[int, int], Table]) -> None:
    inside = []
    for seed in range(16):
        evidence = Evidence(*(draw(900, 3 * seed + i) for i in (11, 12, 13)), seed)
        value, error = lost(contest(evidence, "linear"))
        inside.append(abs(value) <= 1.96 * error)
    assert sum(inside) >= 13  # of 16 at 95%, fewer come once in two hundred


# what each finds ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adult(shared_data: Callable[[str], Path]) -> Three:
    """Training, holdout and fresh rows of a real table."""
    table = synth.read(shared_data("adult.parquet"), target="income")
    order = np.random.default_rng(0).permutation(len(table))
    return tuple(table.take(order[i * 4_000 : (i + 1) * 4_000]) for i in range(3))  # type: ignore[return-value]


def test_fresh_rows_are_as_useful_and_factorised_rows_are_not(adult: Three) -> None:
    train, holdout, fresh = adult
    good, bad = evaluate(train, holdout, fresh, only=NAMES), evaluate(train, holdout, factorised(train), only=NAMES)
    for name in NAMES:
        real = held(good[name].reference).value
        assert held(good[name].score).low <= real <= held(good[name].score).high, name
    for name in ("utility.gap", "utility.gap_linear", "utility.gap_forest", "utility.columns"):
        assert held(bad[name].score).low > 0.2, name
    assert held(bad["utility.importance"].score).value < held(bad["utility.importance"].reference).value - 0.15
    assert set(bad["utility.gap_linear"].detail) >= {"tstr", "trtr", "model", "metric"}


def test_one_column_that_lost_its_relations_is_named_the_worst(three: Three) -> None:
    train, holdout, fresh = three
    wage = np.random.default_rng(0).permutation(fresh.column("wage").to_numpy(zero_copy_only=False))
    measured = evaluate(train, holdout, with_column(fresh, "wage", np.round(wage, 2)), only=["utility.columns"])
    assert held(measured["utility.columns"].score).low > 0
    assert "wage" in list(measured["utility.columns"].detail["columns"])[:2]


def test_a_column_that_stopped_to_matter_lowers_the_agreement(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = (draw(3_000, seed) for seed in (1, 2, 3))
    wage = np.random.default_rng(0).permutation(fresh.column("wage").to_numpy(zero_copy_only=False))
    found = evaluate(train, holdout, with_column(fresh, "wage", wage), only=["utility.importance"])["utility.importance"]
    assert found.detail["columns"]["wage"]["synthetic"] < 0.3 * found.detail["columns"]["wage"]["real"]
    assert held(found.score).high < held(found.reference).value


def test_classes_made_equally_frequent_cost_calibration_and_no_rank(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = (draw(3_000, seed) for seed in (1, 2, 3))
    paid = np.array(fresh.column("paid").to_pylist()) == "yes"
    rng, rare = np.random.default_rng(0), paid.mean() < 0.5
    few, many = np.flatnonzero(paid == rare), np.flatnonzero(paid != rare)
    rows = np.concatenate([few, rng.permutation(many)[: len(few) // 4]])  # the share is turned around
    measured = evaluate(train, holdout, fresh.take(np.sort(rows)), only=["utility.calibration", "utility.gap"])
    assert held(measured["utility.calibration"].score).low > 0.02
    assert abs(measured["utility.calibration"].detail["synthetic"]["shift"]) > 0.1


def test_perfect_chances_have_next_to_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random(20_000)
    hit = rng.random(20_000) < chances
    assert expected_error(chances, hit)[0] < 0.008
    assert expected_error(chances**2, hit)[0] == pytest.approx(float((chances - chances**2).mean()), abs=0.01)


# where there is little to go by ---------------------------------------------------------------------------------------


def test_what_does_not_apply_says_so(three: Three) -> None:
    numbers = evaluate(*(t.with_roles(target="wage") for t in three), only=["utility.calibration", "utility.gap_linear"])
    assert numbers["utility.calibration"].status == "absent"
    assert numbers["utility.gap_linear"].detail["metric"] == "R²"
    few = evaluate(*(t.head(90) for t in three), only=["utility.columns", "utility.importance"])
    assert {m.status for m in few} == {"skipped"}
    alone = evaluate(three[0], None, three[2], only="utility")
    assert {m.status for m in alone} == {"skipped"}


def test_very_many_columns_are_a_seeded_selection() -> None:
    rng = np.random.default_rng(0)
    columns = tuple(Column(f"x{i}", Kind.DECIMAL) for i in range(300))

    def wide() -> Table:
        X = rng.normal(size=(400, 300)) + rng.normal(size=(400, 1))
        return Table(pa.table({c.name: pa.array(X[:, i]) for i, c in enumerate(columns)}), Schema(columns))

    measured = evaluate(wide(), wide(), wide(), only=["utility.columns"])
    assert measured["utility.columns"].detail["selected"] == "250 of 300 columns, by the seed"
    assert held(measured["utility.columns"].score).low <= 0 <= held(measured["utility.columns"].score).high


def test_columns_without_a_value_and_rare_categories_are_no_trouble() -> None:
    rng = np.random.default_rng(0)

    def odd(rows: int) -> Table:
        x = rng.normal(size=rows)
        values = {
            "x": pa.array(np.where(rng.random(rows) < 0.01, 1e300, x)),
            "empty": pa.array([None] * rows, type=pa.float64()),
            "constant": pa.array(np.ones(rows)),
            "many": pa.array([f"c{i}" for i in rng.integers(0, 5_000, rows)]),
            "y": pa.array(np.where(x + rng.normal(size=rows) > 1, "b", "a")),
        }
        kinds = (
            Column("x", Kind.DECIMAL),
            Column("empty", Kind.DECIMAL, nullable=True),
            Column("constant", Kind.DECIMAL),
            Column("many", Kind.CATEGORICAL, categories=tuple(f"c{i}" for i in range(5_000))),
            Column("y", Kind.CATEGORICAL, Role.TARGET, categories=("a", "b")),
        )
        return Table(pa.table(values), Schema(kinds))

    measured = evaluate(odd(900), odd(900), odd(900), only=["utility", "balance"])
    assert not [m for m in measured if m.status == "error"]
