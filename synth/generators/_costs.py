"""What a fit of trees costs: a formula whose constants were measured by `benchmarks/size.py`, on two cores of 2.6 GHz."""

from __future__ import annotations

import math
import os
from typing import Protocol

from synth.generators._estimate import TableSize

GROW = 4.5e-9  # seconds per row grown on, feature, and doubling of the rows: sorting
FILL = 2.5e-7  # seconds per donor and tree: walking to its leaf, sorting the leaves
PASS = 3.0e-7  # seconds per cell: codes, features, the table that trees ask about
PER_COLUMN = 0.01  # seconds per column and tree, however few the rows
ROW = 200  # bytes per row that hold whatever the columns: the leaves and sorted donors of the trees at work, each
CELL = 24  # bytes per cell beside its encoding: its code, its features, its place in the table that trees ask about
RUN = 9  # bytes of the model per run of equal donors
GUESS = 1.5e-6  # seconds per row and column: two times forty boosted trees
LIBRARY = 80e6  # bytes of scikit-learn, loaded by the first fit
NODE = 40  # bytes of the model per node


class _Hyperparameters(Protocol):
    min_samples_leaf: int
    min_samples_leaf_smooth: int
    trees_per_column: int
    subsample: float
    max_predictors: int
    grow_rows: int
    max_rows: int
    discount: bool
    guess: bool


def cost_of(trees: _Hyperparameters, size: TableSize) -> tuple[float, float, float]:
    """Seconds, peak bytes and bytes of the model."""
    rows, per_column, at_once = (
        min(size.rows, trees.max_rows),
        trees.trees_per_column,
        min(os.cpu_count() or 1, trees.trees_per_column),
    )
    grown_on = max(2, min(round(trees.subsample * rows), trees.grow_rows))
    leaves = max(1.0, grown_on / trees.min_samples_leaf / 1.5)
    seconds, runs = 0.0, 0.0
    for place, column in enumerate(sorted(size.columns, key=lambda column: column.distinct)):
        asked = min(place, trees.max_predictors) + 2
        growing = GROW * grown_on * math.log2(grown_on) * asked + FILL * rows + PER_COLUMN
        seconds += growing * per_column / at_once + PASS * rows * (1 + asked / 20)
        runs += per_column * min(rows, leaves * (1 + column.spread))
    if trees.guess and size.columns:
        seconds += GUESS * min(rows, 2 * trees.grow_rows) * min(len(size.columns), trees.max_predictors)
    widest = min(len(size.columns), trees.max_predictors + 1) + 2
    model = RUN * runs * (1 + trees.discount) + NODE * 2 * leaves * per_column * len(size.columns)
    sorting = ROW * rows * at_once + 12 * grown_on * widest * at_once
    return seconds, CELL * rows * len(size.columns) / 2 + 4 * rows * widest + sorting + 2 * model + LIBRARY, model
