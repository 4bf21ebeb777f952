"""Counts of cells by groups of rows: the one thing that errors of columns, pairs and triples are computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.intervals import LEVEL, normal, z_of
from synth.metrics.measurement import Interval

GROUPS = 20  # of rows, of which intervals are made
FINE = 200  # cells that a number is cut into for the spread of its KS distance; the distance itself is exact
BINS = 10  # cells that a number is cut into beside another column
FILLED = 25  # real values that a cell beside a spike should hold
LEVELS = 100  # most frequent training categories that have a cell of their own beside another column; the others share one
JOINT_ROWS = 100_000  # rows per table whose cells are counted together
FIFTH = 5  # one in so many of the groups is kept in each of the replicates that an interval comes from
PARTITIONS = 12  # of the groups into such parts
DENSE = 5  # training rows in a cell from which on its sampling noise falls with the square root of the number of rows


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of one table, each in one of the groups that intervals are made of."""

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
    groups = min(GROUPS, n, m, h or m, *(_subjects_in(evidence, side) for side in SIDES if evidence.rows(side)))
    train = _sample(evidence, "train", n, groups, rng)
    judged = Pairing(train, _sample(evidence, "synthetic", m, groups, rng))
    if h == 0:
        return judged, None
    shrink = 1.0 if h >= m else math.sqrt((1 / m + 1 / n) / (1 / h + 1 / n))
    return judged, Pairing(train, _sample(evidence, "holdout", min(h, m), groups, rng), shrink)


def _sample(evidence: Evidence, side: Side, rows: int, groups: int, rng: np.random.Generator) -> Sample:
    """Rows of a table in groups; the rows of one subject, which are no independent draws, are in one group."""
    chosen = np.sort(rng.permutation(evidence.rows(side))[:rows])
    return Sample(side, chosen, evidence.parts(side, groups, rng)[chosen], groups)


def _subjects_in(evidence: Evidence, side: Side) -> int:
    return int(evidence.clusters(side).max(initial=-1)) + 1


def real_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Inner edges of about `bins` cells with equally many real values; a value held by a whole cell gets its own.

    The cells that such a value would have filled go to the other values: of a column that is mostly 0, else only the sign would
    be seen. A value belongs to the cell number `searchsorted(edges, value, "left")`.
    """
    seen = values[~np.isnan(values)]
    if len(seen) == 0:
        return np.empty(0)
    edges, times = np.unique(_quantiles(seen, bins), return_counts=True)
    spikes = edges[times > 1]
    if len(spikes) == 0:
        return edges
    others = seen[~np.isin(seen, spikes)]
    left = min(bins - len(spikes), len(others) // FILLED)
    inner = _quantiles(others, left) if left > 1 else np.empty(0)
    return np.unique(np.concatenate([inner, spikes, np.nextafter(spikes, -np.inf)]))


def _quantiles(values: np.ndarray, parts: int) -> np.ndarray:
    return np.asarray(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1], method="inverted_cdf"))


def cells(column: Compared, side: Side, edges: np.ndarray) -> tuple[np.ndarray, int]:
    """For each row the cell that its value lies in, the last one for nulls, and the number of cells."""
    if column.levels is not None:
        return np.where(column.of(side) < 0, column.levels, column.of(side)), column.levels + 1
    values = column.of(side)
    count = len(edges) + 2
    return np.where(np.isnan(values), count - 1, np.searchsorted(edges, values, "left")), count


@dataclass(frozen=True, eq=False)
class Cut:
    """One column's cells in the sampled rows of each table: int16 of shape (n,), the last of the `total` cells for nulls.

    Numbers lie in bins that come from the training column. A category has a cell of its own where it is among the most
    frequent ones in training; all others, and values that training never saw, share one.
    """

    name: str
    total: int
    cell: Mapping[Side, np.ndarray]
    kept: np.ndarray  # the codes of the categories that have a cell of their own, by cell; empty for numbers


@dataclass(frozen=True, eq=False)
class Cuts:
    """All learned columns cut into cells, in the rows that stand for each table."""

    judged: Pairing
    real: Pairing | None
    columns: tuple[Cut, ...]

    @property
    def samples(self) -> dict[Side, Sample]:
        """The rows of each table that there is."""
        real = {} if self.real is None else {self.real.other.side: self.real.other}
        return {"train": self.judged.train, "synthetic": self.judged.other, **real}


def joint_cuts(evidence: Evidence, bins: int = BINS, levels: int = LEVELS) -> Cuts:
    """The columns cut for tables of several of them, made once per evidence whichever metric asks first."""
    judged, real = evidence.once("histograms.joint", lambda: pairings(evidence, "fidelity.trend", JOINT_ROWS))

    def make() -> Cuts:
        whole = Cuts(judged, real, ())
        return Cuts(judged, real, tuple(_cut(column, whole.samples, bins, levels) for column in evidence.columns))

    return evidence.once(f"histograms.cuts.{bins}.{levels}", make)


def _cut(column: Compared, samples: Mapping[Side, Sample], bins: int, levels: int) -> Cut:
    if column.levels is None:
        edges = real_edges(column.train, bins)
        total = len(edges) + 2
        cell = {side: cells(column, side, edges)[0][s.rows].astype(np.int16) for side, s in samples.items()}
        return Cut(column.name, total, cell, np.empty(0, dtype=np.int64))
    times = np.bincount(column.train[column.train >= 0], minlength=column.levels)
    kept = np.argsort(-times, kind="stable")[: min(levels, int((times > 0).sum()))]
    book = np.full(column.levels + 1, len(kept), dtype=np.int16)
    book[kept] = np.arange(len(kept))
    book[-1] = len(kept) + 1  # the code of null is -1
    return Cut(column.name, len(kept) + 2, {side: book[column.of(side)[s.rows]] for side, s in samples.items()}, kept)


def joint_counts(columns: tuple[Cut, ...], sample: Sample) -> np.ndarray:
    """How many rows of each group lie in each cell of the joint table of some columns: int64 of shape (groups, cells)."""
    flat, total = sample.group.astype(np.int64), 1
    for column in columns:
        flat *= column.total
        flat += column.cell[sample.side]
        total *= column.total
    return np.bincount(flat, minlength=sample.groups * total).reshape(sample.groups, total)


def counts(cell: np.ndarray, total: int, sample: Sample) -> np.ndarray:
    """How many rows of each group lie in each cell: shape (groups, cells)."""
    flat = np.bincount(sample.group * total + cell, minlength=sample.groups * total)
    return flat.reshape(sample.groups, total).astype(np.float64)


def leave_out(by_group: np.ndarray) -> np.ndarray:
    """The counts with no group left out, then with each left out in turn: shape (1 + groups, cells)."""
    total = by_group.sum(axis=0)
    return np.concatenate([total[None], total[None] - by_group])


def replicates(by_group: np.ndarray) -> np.ndarray:
    """The counts of all groups, then of each of many fifths of them: shape (1 + replicates, cells), for `subsampled`.

    Distances are sums of |differences|. Where these are noise around zero, leaving one group of twenty out keeps their signs
    and takes the spread of x for that of |x|, 1.7 times too wide. Keeping a fifth (the delete-d jackknife of Shao and Wu, 1989)
    draws the noise anew, and gives the spread both there and where the two tables truly differ.
    """
    total = by_group.sum(axis=0, dtype=np.float64)
    return np.concatenate([total[None], _fifths(len(by_group)) @ by_group.astype(np.float64)])


@lru_cache(maxsize=GROUPS)
def _fifths(groups: int) -> np.ndarray:
    """Which groups each replicate keeps: 0 and 1, shape (replicates, groups). The parts of random partitions."""
    rng, kept = np.random.default_rng(groups), _kept(groups)
    rows = []
    for _ in range(PARTITIONS):
        order = rng.permutation(groups)
        rows += [np.isin(np.arange(groups), order[start : start + kept]) for start in range(0, groups - kept + 1, kept)]
    return np.array(rows, dtype=np.float64)


def _kept(groups: int) -> int:
    return max(1, groups // FIFTH)


def subsampled(values: np.ndarray, pair: Pairing, bounds: tuple[float, float] = (0.0, 1.0), drawn: float = 0.0) -> Interval:
    """The first value, of all rows, with the interval that the others give, each of one of the `replicates` of a pairing.

    Widened from the normal to Student's t, since as many groups as there are estimate the spread. drawn: a further standard
    error, of having looked at a sample only. With fewer than two groups nothing is known of the spread: all of the bounds.
    """
    from scipy.special import stdtrit

    groups, kept = pair.train.groups, _kept(pair.train.groups)
    if groups < 2:
        return Interval(float(values[0]), *bounds, len(pair.other))
    error = float(values[1:].std()) * math.sqrt(kept / (groups - kept)) * float(stdtrit(groups - 1, 0.5 + LEVEL / 2)) / z_of()
    return normal(float(values[0]), math.hypot(error, drawn), len(pair.other), bounds)


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
