"""The faults of the controls, on small draws of a real table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements

Draws = tuple[Table, Table, Table]
ROWS = 2_500


@pytest.fixture(scope="module")
def draws(shared_data: Callable[[str], Path]) -> Draws:
    """Training, holdout and fresh rows."""
    adult = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "race"])
    order = np.random.default_rng(0).permutation(len(adult))
    return tuple(adult.take(order[i * ROWS : (i + 1) * ROWS]) for i in range(3))  # type: ignore[return-value]


def excess(measured: Measurements, name: str, end: str = "value") -> float:
    m = measured[name]
    assert m.score is not None, m.reason
    assert m.reference is not None
    return float(getattr(m.score, end)) - m.reference.value


def test_fresh_rows_sit_on_the_real_floor(draws: Draws) -> None:
    measured = evaluate(*draws)
    assert not [m for m in measured if m.status == "error"]
    assert abs(excess(measured, "fidelity.shape")) < 0.01
    assert abs(excess(measured, "fidelity.trend")) < 0.02
    assert excess(measured, "fidelity.detection", "low") < 0.02
    assert excess(measured, "utility.gap", "low") < 0.01
    assert excess(measured, "privacy.exact_copies", "low") < 0.005
    assert excess(measured, "privacy.near_copies", "low") < 0.005
    assert excess(measured, "privacy.membership_auc", "low") < 0.01


def test_one_copied_row_in_a_hundred(draws: Draws) -> None:
    train, holdout, fresh = draws
    leaked = Table.concat([fresh.head(ROWS - ROWS // 100), train.head(ROWS // 100)])
    measured = evaluate(train, holdout, leaked, only=["privacy.exact_copies", "privacy.unique_copies"])
    assert excess(measured, "privacy.exact_copies", "low") > 0.005
    assert excess(measured, "privacy.unique_copies", "low") > 0.005


def test_a_jittered_copy(draws: Draws) -> None:
    train, holdout, _ = draws
    rng = np.random.default_rng(0)
    arrow = train.arrow
    for column in train.schema.learned:
        if column.kind.is_number:
            place, kind = arrow.column_names.index(column.name), arrow.schema.field(column.name).type
            values = arrow.column(place).to_numpy() * (1 + rng.uniform(-0.01, 0.01, ROWS))
            arrow = arrow.set_column(place, column.name, pa.array(np.rint(values)).cast(kind))
    measured = evaluate(train, holdout, replace(train, arrow=arrow), only="privacy")
    assert excess(measured, "privacy.near_copies", "low") > 0.9
    assert excess(measured, "privacy.membership_auc", "low") > 0.4
    assert excess(measured, "privacy.membership_tpr", "low") > 0.9


def test_independently_shuffled_columns(draws: Draws) -> None:
    train, holdout, _ = draws
    rng = np.random.default_rng(0)
    columns = [train.arrow.column(name).take(pa.array(rng.permutation(ROWS))) for name in train.columns]
    shuffled = replace(train, arrow=pa.table(columns, schema=train.arrow.schema))
    measured = evaluate(train, holdout, shuffled, only=["fidelity.shape", "fidelity.trend", "fidelity.detection"])
    assert excess(measured, "fidelity.shape") < 0
    assert excess(measured, "fidelity.trend", "low") > 0.02
    assert excess(measured, "fidelity.detection", "low") > 0.4


@pytest.mark.parametrize("name", ["age", "capital_gain", "fnlwgt"])
def test_one_column_a_thousand_times_too_large(draws: Draws, name: str) -> None:
    train, holdout, fresh = draws
    place = fresh.columns.index(name)
    scaled = fresh.arrow.set_column(place, name, pa.array(fresh.column(name).to_numpy() * 1_000))
    measured = evaluate(train, holdout, replace(fresh, arrow=scaled), only=["validity.range", "fidelity"])
    assert excess(measured, "validity.range", "low") > 0.05
    assert excess(measured, "fidelity.worst_column", "low") > 0.02
    assert excess(measured, "fidelity.detection", "low") > 0.03


def test_the_rare_class_missing(draws: Draws) -> None:
    train, holdout, fresh = draws
    common = fresh.filter(np.array(fresh.column("income").to_pylist()) == "<=50K")
    measured = evaluate(train, holdout, common, only=["fidelity.missing_classes", "utility"])
    assert excess(measured, "fidelity.missing_classes", "low") == 0.5
    assert measured["utility.tstr"].status == "error"
