"""What a graphical model is estimated from and made of: tables over a few columns (McKenna, Sheldon and Miklau, 2019).

A table over the columns S has one axis for each, in the order in which S names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.errors import ConfigError, did_you_mean

Columns = tuple[int, ...]
Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class NoisyMarginal:
    """Counts of the rows in each cell of a few columns, each with Gaussian noise of one standard deviation.

    `columns` may be empty: then `counts`, of shape (), is a noisy number of rows. Raises ConfigError for what cannot be one.
    """

    columns: Columns
    counts: Floats  # shape: the sizes of the columns, in their order
    sigma: float  # standard deviation of each cell's noise, in rows

    def __post_init__(self) -> None:
        columns = tuple(int(column) for column in self.columns)
        counts = np.array(self.counts, dtype=np.float64)
        if len(set(columns)) < len(columns) or min(columns, default=0) < 0:
            raise ConfigError(f"a marginal of the columns {columns}: each is to be given once, by its number from 0")
        if counts.ndim != len(columns) or not counts.size:
            raise ConfigError(f"counts of shape {counts.shape} for the columns {columns}; give one axis of cells per column")
        if not np.isfinite(counts).all():
            raise ConfigError(f"a count of the columns {columns} is not finite; measure them again")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ConfigError(
                f"sigma is {self.sigma!r} for the columns {columns}; give the noise's standard deviation, above 0"
            )
        counts.setflags(write=False)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "counts", counts)


def checked_sizes(sizes: Sequence[int]) -> Columns:
    """The number of cells of each column. Raises ConfigError for one without cells."""
    for column, size in enumerate(sizes):
        if int(size) != size or size < 1:
            raise ConfigError(f"column {column} has {size!r} cells; each column needs at least 1")
    return tuple(int(size) for size in sizes)


def checked_columns(columns: Sequence[int], sizes: Sequence[int]) -> Columns:
    """Distinct columns of those there are. Raises ConfigError otherwise."""
    for column in columns:
        if int(column) != column or not 0 <= column < len(sizes):
            raise ConfigError(f"no column {column!r}{did_you_mean(str(column), map(str, range(len(sizes))))}")
    if len(set(columns)) < len(columns):
        raise ConfigError(f"the columns {tuple(columns)} name one twice; give each once")
    return tuple(int(column) for column in columns)


def checked_masks(allowed: Mapping[int, NDArray[np.bool_] | Floats], sizes: Sequence[int]) -> dict[int, Floats]:
    """By column which cells are allowed, or what share of each: float64 of shape (cells,). Raises ConfigError for another."""
    masks: dict[int, Floats] = {}
    for column, mask in allowed.items():
        checked_columns([column], sizes)
        shares = masks[column] = np.asarray(mask, dtype=np.float64)
        if shares.shape != (sizes[column],):
            raise ConfigError(
                f"a mask of shape {np.shape(mask)} for column {column}, which has {sizes[column]} cells; give a number for each"
            )
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ConfigError(f"a mask for column {column} is outside 0 to 1; give booleans, or shares")
    return masks


def cells(columns: Sequence[int], sizes: Sequence[int]) -> int:
    """How many cells a table over these columns has."""
    return math.prod(sizes[column] for column in columns)


def shape(columns: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape of a table over these columns."""
    return tuple(sizes[column] for column in columns)


def spread(columns: Sequence[int], over: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape in which a table over `columns` is broadcast along one over `over`, where both name them in one order."""
    inside = set(columns)
    return tuple(sizes[column] if column in inside else 1 for column in over)


def by_size(columns: Sequence[int], sizes: Sequence[int]) -> Columns:
    """Columns in the order of their axes: by the number of their cells, then by their own number."""
    return tuple(sorted(columns, key=lambda column: (sizes[column], column)))


def rows_measured(measured: Sequence[NoisyMarginal]) -> float:
    """The sums of all measurements, each weighted by the inverse of its variance σ² × cells; at least one row."""
    if not measured:
        raise ConfigError("nothing was measured, so nothing tells the number of rows; give total")
    weights = np.array([1 / (one.sigma**2 * one.counts.size) for one in measured])
    sums = np.array([one.counts.sum() for one in measured])
    return max(1.0, float(weights @ sums / weights.sum()))


def joined(measured: Sequence[NoisyMarginal], sizes: Sequence[int]) -> dict[Columns, tuple[Floats, float]]:
    """For each set of columns, by size, its counts and their precision 1/σ²; what was measured more than once is averaged."""
    known: dict[Columns, tuple[Floats, float]] = {}
    for one in measured:
        if not one.columns:
            continue
        clique = by_size(one.columns, sizes)
        counts = np.transpose(one.counts, [one.columns.index(column) for column in clique])
        precision = one.sigma**-2
        if clique in known:
            others, theirs = known[clique]
            counts = (theirs * others + precision * counts) / (theirs + precision)
            precision += theirs
        known[clique] = (counts, precision)
    return known
