"""Counts of cells by groups of rows: the one thing that shape and trend errors, and their jackknife, are computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side

GROUPS = 20  # of the delete-a-group jackknife
FINE = 200  # cells that a number is cut into for the jackknife of its KS distance; the distance itself is exact
BINS = 10  # cells that a number is cut into beside another column
DENSE = 5  # training rows in a cell from which on its sampling noise falls with the square root of the number of rows


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of one table, each in one of the jackknife's groups."""

    side: Side
    rows: np.ndarray  # positions, shape (n,)
    group: np.ndarray  # shape (n,), values in [0, groups)
    groups: int

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Pairing:
    """The training rows beside the rows that are judged: synthetic ones, or holdout ones in their place.

    shrink: what sampling noise must be multiplied with to be that of as many rows as the synthetic table has (1: as it is).
    """

    train: Sample
    other: Sample
    shrink: float = 1.0


def pairings(evidence: Evidence, purpose: str, cap: int) -> tuple[Pairing, Pairing | None]:
    """The synthetic rows against the training rows, and the holdout rows in their place.

    Distances between two samples fall with the number of rows, so the two must rest on equally many: a holdout larger than
    the synthetic table is cut to its size, and for a smaller one the noise is scaled by √((1/m + 1/n) / (1/h + 1/n)).
    """
    rng = evidence.rng(purpose)
    n, m, h = (min(cap, evidence.rows(side)) for side in ("train", "synthetic", "holdout"))
    groups = min(GROUPS, n, m, h or m)
    train = _sample(evidence, "train", n, groups, rng)
    judged = Pairing(train, _sample(evidence, "synthetic", m, groups, rng))
    if h == 0:
        return judged, None
    shrink = 1.0 if h >= m else math.sqrt((1 / m + 1 / n) / (1 / h + 1 / n))
    return judged, Pairing(train, _sample(evidence, "holdout", min(h, m), groups, rng), shrink)


def _sample(evidence: Evidence, side: Side, rows: int, groups: int, rng: np.random.Generator) -> Sample:
    chosen = np.sort(rng.permutation(evidence.rows(side))[:rows])
    return Sample(side, chosen, evidence.parts(side, groups, rng)[chosen], groups)


def real_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Inner edges of at most about `bins` cells with equally many real values; a value held by a whole cell gets its own.

    A value belongs to the cell number `searchsorted(edges, value, "left")`.
    """
    seen = values[~np.isnan(values)]
    if len(seen) == 0:
        return np.empty(0)
    cuts = np.quantile(seen, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    edges, times = np.unique(cuts, return_counts=True)
    spikes = edges[times > 1]
    return np.unique(np.concatenate([edges, np.nextafter(spikes, -np.inf)]))


def cells(column: Compared, side: Side, edges: np.ndarray) -> tuple[np.ndarray, int]:
    """For each row the cell that its value lies in, the last one for nulls, and the number of cells."""
    if column.levels is not None:
        return np.where(column.of(side) < 0, column.levels, column.of(side)), column.levels + 1
    values = column.of(side)
    count = len(edges) + 2
    return np.where(np.isnan(values), count - 1, np.searchsorted(edges, values, "left")), count


def counts(cell: np.ndarray, total: int, sample: Sample) -> np.ndarray:
    """How many rows of each group lie in each cell: shape (groups, cells)."""
    flat = np.bincount(sample.group * total + cell, minlength=sample.groups * total)
    return flat.reshape(sample.groups, total).astype(np.float64)


def leave_out(by_group: np.ndarray) -> np.ndarray:
    """The counts with no group left out, then with each left out in turn: shape (1 + groups, cells)."""
    total = by_group.sum(axis=0)
    return np.vstack([total[None], total[None] - by_group])


def total_variation(train: np.ndarray, other: np.ndarray, shrink: float = 1.0) -> np.ndarray:
    """½ Σ |p − q| for each row of two arrays of counts, shape (k, cells) → (k,).

    `shrink` scales the well-filled cells only: the error in a cell with hardly a row does not fall with their number.
    """
    gap = np.abs(_shares(train) - _shares(other))
    if shrink != 1.0:
        gap = np.where(train[:1] >= DENSE, shrink * gap, gap)
    return np.asarray(np.minimum(1.0, gap.sum(axis=1) / 2))


def kolmogorov(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest difference of the cumulated shares for each row of two arrays of counts in order; nulls come last."""
    return np.asarray(np.abs(np.cumsum(_shares(train) - _shares(other), axis=1)[:, :-1]).max(axis=1, initial=0.0))


def exact_kolmogorov(train: np.ndarray, other: np.ndarray) -> float:
    """The two-sample KS distance, with nulls as a point beyond all numbers."""
    a, b = np.sort(train[~np.isnan(train)]), np.sort(other[~np.isnan(other)])
    points = np.concatenate([a, b])
    below_a = np.searchsorted(a, points, "right") / len(train)
    below_b = np.searchsorted(b, points, "right") / len(other)
    return float(np.abs(below_a - below_b).max(initial=0.0))


def _shares(table: np.ndarray) -> np.ndarray:
    return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), 1.0))
