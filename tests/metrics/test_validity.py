"""Every illegal cell is counted, and no legal one."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurement

SCHEMA = Schema(
    (
        Column("key", Kind.IDENTIFIER, Role.KEY),
        Column("code", Kind.IDENTIFIER, pattern="[A-Z][0-9]{3}"),
        Column("low", Kind.INTEGER, minimum=0, maximum=100, declared=("minimum", "maximum")),
        Column("high", Kind.DECIMAL, nullable=True, decimals=1, maximum=9.0, declared=("decimals",)),
        Column("day", Kind.DATETIME, unit="day", maximum="2024-12-31", declared=("maximum",)),
    ),
    ("low <= high",),
)
ROWS = {
    "key": [1, 2, 3, 4],
    "code": ["A123", "B456", "C789", "D000"],
    "low": [1, 2, 3, 4],
    "high": [1.5, 2.5, None, 90.0],
    "day": [dt.date(2024, month, 1) for month in (1, 2, 3, 12)],
}
LEGAL = Table(pa.table(ROWS), SCHEMA)


def measured(name: str, **columns: list[object]) -> Measurement:
    fake = replace(LEGAL, arrow=pa.table(ROWS | columns))
    return evaluate(LEGAL, LEGAL, fake, only=[name])[name]


def value(measurement: Measurement) -> float:
    assert measurement.score is not None, measurement.reason
    assert measurement.score.low == measurement.score.value == measurement.score.high
    return measurement.score.value


@pytest.mark.parametrize(
    ("column", "values", "bad"),
    [
        ("low", [1, 2, 3, 101], 1),  # beyond a declared bound
        ("low", [-1, -2, 3, 4], 2),
        ("low", [1.5, 2.0, 3.0, 4.0], 1),  # between whole numbers
        ("low", ["1", "two", "3", "4"], 1),  # no number
        ("low", [None, 2, 3, 4], 1),  # null where none may be
        ("high", [1.5, 2.5, None, 900.0], 0),  # a bound that was only observed binds nobody
        ("high", [1.55, 2.5, None, 3.0], 1),  # off a declared grid
        ("high", [float("inf"), 2.5, None, 3.0], 1),
        ("code", ["A123", "B456", "C789", "d000"], 1),  # breaks the pattern
        ("day", [dt.date(2024, 1, 1), dt.date(2025, 1, 1), dt.date(2024, 3, 1), dt.date(2024, 4, 1)], 1),
        ("key", [1, 2, 3, None], 1),
    ],
)
def test_every_broken_rule_is_counted(column: str, values: list[object], bad: int) -> None:
    found = measured("validity.schema", **{column: values})
    assert value(found) == pytest.approx(bad / 20)
    assert found.detail["columns"] == ({column: bad} if bad else {})


def test_a_legal_table_has_nothing_to_count() -> None:
    for name in ("validity.schema", "validity.range", "validity.keys"):
        assert value(measured(name)) == 0.0


def test_keys_are_unique_and_known() -> None:
    assert value(measured("validity.keys", key=[1, 1, 1, 4])) == 0.5
    assert value(measured("validity.keys", key=[1, 2, None, None])) == 0.5


def test_rows_that_break_a_constraint_are_counted() -> None:
    found = measured("validity.constraints", high=[0.5, 2.5, None, 1.0])
    assert value(found) == 0.5
    assert found.detail["constraints"] == {"low <= high": 2}


def test_numbers_beyond_the_training_range_are_counted_in_the_worst_column() -> None:
    found = measured("validity.range", low=[1, 2, 3, 99], high=[0.1, 99.5, None, 1e9])
    assert value(found) == 0.75
    assert found.detail["columns"] == {"low": 1, "high": 3}
    assert value(measured("validity.range", high=[np.inf, 2.5, None, 1.5])) == 0.25


def test_unlisted_categories_are_illegal_in_holdout_rows_too() -> None:
    kind = Schema((Column("c", Kind.CATEGORICAL, categories=("a", "b")),))
    train, other = (Table(pa.table({"c": values}), kind) for values in (["a", "b"] * 10, ["a", "z"] * 10))
    found = evaluate(train, other, other, only=["validity.schema"])["validity.schema"]
    assert value(found) == 0.5
    assert found.reference is not None
    assert found.reference.value == 0.5
