"""A simulated table with every kind of column, from which any number of fresh draws can be had."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements

ROWS = 1_400
CITIES = ("Aix", "Brest", "Caen", "Dax", "Èze")
STEPS = ("low", "middle", "high")

SCHEMA = Schema(
    (
        Column("id", Kind.IDENTIFIER, Role.KEY, provider="sequence"),
        Column("age", Kind.INTEGER, Role.SENSITIVE),
        Column("wage", Kind.DECIMAL, nullable=True, decimals=2),
        Column("gain", Kind.INTEGER),
        Column("city", Kind.CATEGORICAL, nullable=True, categories=CITIES),
        Column("step", Kind.ORDINAL, categories=STEPS),
        Column("member", Kind.BOOLEAN, nullable=True),
        Column("since", Kind.DATETIME, unit="day"),
        Column("sex", Kind.CATEGORICAL, Role.SENSITIVE, categories=("f", "m")),
        Column("paid", Kind.CATEGORICAL, Role.TARGET, categories=("no", "yes")),
    )
)


def _draw(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    sex = rng.random(rows) < 0.4
    step = np.clip(np.rint(rng.normal(age / 40, 0.7)), 0, 2).astype(int)
    wage = np.round(np.exp(rng.normal(2 + step / 2 + age / 100, 0.4)), 2)
    gain = np.where(rng.random(rows) < 0.9, 0, rng.integers(100, 90_000, rows))
    city = rng.choice(5, rows, p=[0.4, 0.3, 0.2, 0.07, 0.03])
    paid = rng.random(rows) < 1 / (1 + np.exp(4.5 - wage / 6 - 2 * (gain > 0) - 1.2 * (city == 1) + 0.5 * sex))
    since = np.array([dt.date(2000, 1, 1).toordinal()]) + rng.integers(0, 6_000, rows)
    return Table(
        pa.table(
            {
                "id": pa.array(rng.permutation(rows) + 1),
                "age": pa.array(age),
                "wage": pa.array(wage, mask=rng.random(rows) < 0.1),
                "gain": pa.array(gain),
                "city": pa.array(np.array(CITIES)[city], mask=rng.random(rows) < 0.05),
                "step": pa.array(np.array(STEPS)[step]),
                "member": pa.array(rng.random(rows) < 0.3, mask=rng.random(rows) < 0.02),
                "since": pa.array([dt.date.fromordinal(int(day)) for day in since]),
                "sex": pa.array(np.where(sex, "f", "m")),
                "paid": pa.array(np.where(paid, "yes", "no")),
            }
        ),
        SCHEMA,
    )


@pytest.fixture(scope="session")
def draw() -> Callable[[int, int], Table]:
    """draw(rows, seed): fresh rows of the simulated population."""
    return _draw


@pytest.fixture(scope="session")
def three(draw: Callable[[int, int], Table]) -> tuple[Table, Table, Table]:
    """Training, holdout and fresh rows of one population, ROWS each."""
    return draw(ROWS, 1), draw(ROWS, 2), draw(ROWS, 3)


@pytest.fixture(scope="session")
def measured(three: tuple[Table, Table, Table]) -> Measurements:
    """All figures about the fresh rows of `three`."""
    return evaluate(*three)
