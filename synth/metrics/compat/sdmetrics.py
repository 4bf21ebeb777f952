"""Column Shapes and Column Pair Trends of sdmetrics' QualityReport, as versions 0.11 and 0.27 compute them.

Most papers on synthetic tables report 1 minus these two, in percent, from 0.11 or 0.11.1. What both versions have in common:

- Real means the training rows; a number is numerical or datetime, everything else categorical or boolean.
- Two numbers: 1 − |ρ − ρ'|/2 with Pearson's correlation over the rows where both are known. Where it is undefined on either
  side the pair is left out of the mean: a synthetic column that is constant costs nothing.
- Two categories: 1 − the total variation of the joint tables; a null is a category.
- A number beside a category is cut into ten cells of equal width between the smallest and the largest value of *its own*
  table, so that a column on another scale still agrees; its largest value is a cell of its own, and nulls fall into it. Where
  a column has a long tail, all hangs on one largest value, and two samples of one population can lie far apart.

Intervals here: the delete-a-group jackknife over rows of both tables, the cells recut where a group held a table's smallest or
largest value. They are wide where that one value decides, but no interval from one sample knows the next one's largest value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence
from synth.metrics.histograms import (
    FINE,
    Pairing,
    Sample,
    cells,
    counts,
    exact_kolmogorov,
    kolmogorov,
    leave_out,
    pairings,
    real_edges,
    total_variation,
)
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ALL = 2**62  # rows: the originals take every one
SUBSAMPLE = 50_000  # rows beyond which 0.27 draws so many for a joint table
CORRELATED, ASSOCIATED = 0.5, 0.3  # what a pair of 0.27 must exceed among the real rows to count
UNSEEN = 1e-6  # rows that 0.11 supposes in a category that no real row has
NAMED = 20  # columns and pairs named in the detail
CELLS = 50_000  # cells of a joint table beyond which only those that occur are counted


@dataclass(frozen=True, eq=False)
class Cut:
    """The cells of one column: in the training rows and in the others, their number, and where leaving out one group of the
    jackknife takes the smallest or largest value of a table away, the cells that both then have."""

    train: np.ndarray
    other: np.ndarray
    total: int
    without: dict[int, tuple[np.ndarray, np.ndarray]]

    def leaving(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        return self.without.get(group, (self.train, self.other))


@metric("fidelity.shape@sdmetrics-0.11", better="higher", cost=0.2, on_request=True)
def shape_0_11(evidence: Evidence) -> Iterator[Reading]:
    """Column Shapes of sdmetrics 0.11: mean of 1 − KS distance of numbers and 1 − total variation of categories.

    In [0, 1]; papers print 100 × (1 − it). Quirks: nulls are dropped first, so that too many or too few are not seen; a column
    of numbers that is all null on either side is left out of the mean; a category unknown among the real rows is taken to have
    a millionth of a real row. Reference: holdout rows in the synthetic ones' place; where they are fewer, their noise is scaled
    to as many (`histograms.pairings`).
    """
    judged, real = pairings(evidence, "fidelity.shape@sdmetrics", ALL)
    names = [column.name for column in evidence.columns]
    yield _reading(_shapes(evidence, judged), None if real is None else _shapes(evidence, real), judged, real, names)


def _shapes(evidence: Evidence, pair: Pairing) -> np.ndarray:
    return np.column_stack([_shape(column, pair) for column in evidence.columns])


def _shape(column: Compared, pair: Pairing) -> np.ndarray:
    """The error of one column with all rows, then without each group of the jackknife; NaN where the original has none."""
    train, other = column.of("train")[pair.train.rows], column.of(pair.other.side)[pair.other.rows]
    edges = np.empty(0) if column.is_category else real_edges(train, FINE)
    tables = []
    for sample in (pair.train, pair.other):
        cell, total = cells(column, sample.side, edges)
        tables.append(leave_out(counts(cell[sample.rows], total, sample))[:, :-1])  # the last cell holds the nulls
    if column.is_category:
        real, judged = tables
        if not judged[0].any():
            return np.ones(len(judged))
        return total_variation(np.where((real == 0) & (judged > 0), UNSEEN, real), judged, pair.shrink)
    train, other = train[~np.isnan(train)], other[~np.isnan(other)]
    if len(train) == 0 or len(other) == 0:
        return np.full(len(tables[0]), np.nan)
    errors, exact = kolmogorov(*tables), exact_kolmogorov(train, other)
    return np.asarray(np.concatenate([[exact], errors[1:] - errors[0] + exact]) * pair.shrink)


@metric("fidelity.trend@sdmetrics-0.11", better="higher", cost=0.3, on_request=True)
def trend_0_11(evidence: Evidence) -> Iterator[Reading]:
    """Column Pair Trends of sdmetrics 0.11: mean similarity of the correlations and joint tables of all pairs of columns.

    In [0, 1]; papers print 100 × (1 − it). The quirks are those above. Reference: holdout rows in the synthetic ones' place;
    where they are fewer, their noise is scaled to as many (`histograms.pairings`).
    """
    judged, real = pairings(evidence, "fidelity.trend@sdmetrics", ALL)
    pairs = _pairs(evidence)
    names = [f"{a.name} × {b.name}" for a, b in combinations(evidence.columns, 2)]
    errors = _trends(evidence, pairs, judged, judged)
    reference = None if real is None else _trends(evidence, pairs, real, real)
    yield _reading(errors, reference, judged, real, names)


@metric("fidelity.trend@sdmetrics-0.27", better="higher", cost=0.3, on_request=True)
def trend_0_27(evidence: Evidence) -> Iterator[Reading]:
    """Column Pair Trends of sdmetrics 0.27: as in 0.11, over the strongly related pairs only.

    In [0, 1]. Only pairs count whose correlation exceeds 0.5 in magnitude or whose Cramér's V exceeds 0.3 among the real rows;
    where a table has more than 50,000 rows, joint tables and V are those of as many drawn ones. The original draws them anew
    for each pair, without a seed: its figure, and which pairs count, then vary from run to run; here one draw serves all.
    The other quirks are those above. Reference: holdout rows in the synthetic ones' place; where they are fewer, their noise
    is scaled to as many (`histograms.pairings`).
    """
    pairs = _pairs(evidence)
    judged, real = pairings(evidence, "fidelity.trend@sdmetrics", ALL)
    drawn, real_drawn = judged, real
    if max(len(judged.train), len(judged.other)) > SUBSAMPLE:
        drawn, real_drawn = pairings(evidence, "fidelity.trend@sdmetrics-0.27", SUBSAMPLE)
    strong = _strong(evidence, pairs, judged, drawn)
    if not strong.any():
        raise SkipMetricError(
            f"no pair of columns is related strongly enough to count (|ρ| > {CORRELATED} or V > {ASSOCIATED})"
        )
    kept = [pairs[p] for p in np.flatnonzero(strong)]
    names = [f"{evidence.columns[i].name} × {evidence.columns[j].name}" for i, j in kept]
    errors = _trends(evidence, kept, judged, drawn)
    reference = None if real is None or real_drawn is None else _trends(evidence, kept, real, real_drawn)
    yield _reading(errors, reference, judged, real, names, strong_pairs=len(kept), pairs_in_all=len(pairs))


def _pairs(evidence: Evidence) -> list[tuple[int, int]]:
    if len(evidence.columns) < 2:
        raise NothingThereError("a single column has no pairs")
    return list(combinations(range(len(evidence.columns)), 2))


def _trends(evidence: Evidence, pairs: list[tuple[int, int]], pair: Pairing, drawn: Pairing) -> np.ndarray:
    """Errors of shape (1 + groups, pairs), NaN where undefined: correlations over `pair`, joint tables over `drawn`."""
    columns = evidence.columns
    numbers = [i for i, column in enumerate(columns) if not column.is_category]
    place = {index: position for position, index in enumerate(numbers)}
    train = correlations([columns[i] for i in numbers], pair.train)
    other = correlations([columns[i] for i in numbers], pair.other)
    related = np.abs(train - other) / 2 * pair.shrink
    cut = [_cut(column, drawn) for column in columns]
    errors = np.empty((1 + pair.train.groups, len(pairs)))
    for position, (i, j) in enumerate(pairs):
        if i in place and j in place:
            errors[:, position] = related[:, place[i], place[j]]
        else:
            errors[:, position] = _joint_errors(cut[i], cut[j], drawn)
    return errors


def _strong(evidence: Evidence, pairs: list[tuple[int, int]], pair: Pairing, drawn: Pairing) -> np.ndarray:
    """Which pairs are related strongly enough among the real rows: shape (pairs,)."""
    columns = evidence.columns
    numbers = {index: k for k, index in enumerate(i for i, column in enumerate(columns) if not column.is_category)}
    related = correlations([columns[i] for i in numbers], pair.train)[0]
    cut = [_cut(column, drawn) for column in columns]
    strong = np.zeros(len(pairs), dtype=bool)
    for position, (i, j) in enumerate(pairs):
        if i in numbers and j in numbers:
            strong[position] = abs(related[numbers[i], numbers[j]]) > CORRELATED  # NaN is not
        else:
            strong[position] = cramers_v(cut[i].train, cut[j].train) > ASSOCIATED
    return strong


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramér's V of two columns of codes, √(χ²/n / (least number of levels − 1)) without correction; NaN below two levels."""
    (_, a), (_, b) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    rows, columns = int(a.max(initial=-1)) + 1, int(b.max(initial=-1)) + 1
    if min(rows, columns) < 2:
        return float("nan")
    present, found = np.unique(a * columns + b, return_counts=True)
    margin_a, margin_b = np.bincount(a), np.bincount(b)
    # χ²/n = Σ n_ij² / (n_i n_j) − 1: cells without a row add nothing
    inertia = float((found**2 / (margin_a[present // columns] * margin_b[present % columns])).sum()) - 1.0
    return float(np.sqrt(max(inertia, 0.0) / (min(rows, columns) - 1)))


def correlations(columns: list[Compared], sample: Sample) -> np.ndarray:
    """Pearson's correlations over the rows where both are known: shape (1 + groups, k, k), NaN where one does not vary."""
    k = len(columns)
    if k == 0:
        return np.empty((1 + sample.groups, 0, 0))
    raw = np.column_stack([column.of(sample.side)[sample.rows] for column in columns])
    known = ~np.isnan(raw)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, raw, 0.0).sum(axis=0) / n
    values = np.where(known, raw - centre, 0.0)
    spread = np.sqrt((values**2).sum(axis=0) / n)
    values /= np.where(spread > 0, spread, 1.0)
    moments = np.empty((sample.groups, 4, k, k))  # Σ1, Σx, Σx², Σxy over rows where both are known
    for group in range(sample.groups):
        z, m = values[sample.group == group], known[sample.group == group].astype(np.float64)
        moments[group] = m.T @ m, z.T @ m, (z * z).T @ m, z.T @ z
    both, x, xx, xy = np.moveaxis(leave_out(moments.reshape(sample.groups, -1)).reshape(-1, 4, k, k), 1, 0)
    y, yy = x.transpose(0, 2, 1), xx.transpose(0, 2, 1)
    many = np.maximum(both, 1.0)
    vx, vy = xx / many - (x / many) ** 2, yy / many - (y / many) ** 2
    varies = (vx > 1e-12) & (vy > 1e-12)
    return np.where(varies, (xy / many - x * y / many**2) / np.sqrt(np.where(varies, vx * vy, 1.0)), np.nan)


def _cut(column: Compared, pair: Pairing) -> Cut:
    """Codes of categories, the last for null; numbers in ten cells of equal width of their own table."""
    values = [column.of(sample.side)[sample.rows] for sample in (pair.train, pair.other)]
    if column.levels is not None:
        train, other = (np.where(codes < 0, column.levels, codes) for codes in values)
        return Cut(train, other, column.levels + 1, {})
    ends = [_ends(v, sample) for v, sample in zip(values, (pair.train, pair.other))]
    moved = np.flatnonzero(np.any([(e[1:] != e[0]).any(axis=1) for e in ends], axis=0))
    without = {int(g): (_digits(values[0], *ends[0][g + 1]), _digits(values[1], *ends[1][g + 1])) for g in moved}
    return Cut(_digits(values[0], *ends[0][0]), _digits(values[1], *ends[1][0]), 11, without)


def _ends(values: np.ndarray, sample: Sample) -> np.ndarray:
    """Smallest and largest known value of all rows, then without each group: shape (1 + groups, 2), 0 and 1 where none is."""
    ends = np.full((sample.groups, 2), (np.inf, -np.inf))
    known = ~np.isnan(values)
    np.minimum.at(ends[:, 0], sample.group[known], values[known])
    np.maximum.at(ends[:, 1], sample.group[known], values[known])
    kept = np.vstack([np.ones(sample.groups, dtype=bool), ~np.eye(sample.groups, dtype=bool)])
    low = np.where(kept, ends[:, 0], np.inf).min(axis=1)
    high = np.where(kept, ends[:, 1], -np.inf).max(axis=1)
    return np.where((low <= high)[:, None], np.column_stack([low, high]), (0.0, 1.0))


def _digits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 to 10: ten cells of equal width, then the largest value and nulls, which are sorted behind every number."""
    edges = np.histogram_bin_edges(np.empty(0), range=(low, high))
    return np.asarray(np.maximum(np.digitize(values, edges) - 1, 0), dtype=np.int8)


def _joint_errors(a: Cut, b: Cut, pair: Pairing) -> np.ndarray:
    """Total variation of a joint table with all rows, then without each group: shape (1 + groups,)."""
    real, judged, total = _joint((a.train, a.other), (b.train, b.other), b.total, a.total * b.total)
    tables = leave_out(counts(real, total, pair.train)), leave_out(counts(judged, total, pair.other))
    errors = total_variation(*tables, pair.shrink)
    for group in a.without.keys() | b.without.keys():
        real, judged, total = _joint(a.leaving(group), b.leaving(group), b.total, a.total * b.total)
        kept = [
            np.bincount(cell[s.group != group], minlength=total)[None].astype(float)
            for cell, s in ((real, pair.train), (judged, pair.other))
        ]
        errors[1 + group] = total_variation(kept[0], kept[1], pair.shrink)[0]
    return errors


def _joint(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], levels: int, total: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """The cells of two columns together in both tables, and how many there are."""
    real, judged = (x.astype(np.int64) * levels + y for x, y in zip(a, b))
    if total <= CELLS:
        return real, judged, total
    present, cell = np.unique(np.concatenate([real, judged]), return_inverse=True)
    return cell[: len(real)], cell[len(real) :], len(present)


def _reading(
    errors: np.ndarray, reference: np.ndarray | None, judged: Pairing, real: Pairing | None, names: list[str], **detail: Any
) -> Reading:
    """The mean of what is defined, with what is worst."""
    defined = ~np.isnan(errors[0])
    if not defined.any():
        raise SkipMetricError("the original has no score for any of the columns or pairs: none varies in both tables")
    worst = np.argsort(-np.where(defined, errors[0], -1.0), kind="stable")[: min(NAMED, int(defined.sum()))]
    return Reading(
        _similarity(errors, len(judged.other)),
        None if reference is None or real is None else _similarity(reference, len(real.other)),
        detail={
            **detail,
            "worst": [{"what": names[p], "score": float(1 - errors[0, p])} for p in worst],
            "undefined": [names[p] for p in np.flatnonzero(~defined)[:NAMED]],
        },
    )


def _similarity(errors: np.ndarray, n: int) -> Interval | None:
    kept = errors[:, ~np.isnan(errors[0])]
    if kept.shape[1] == 0:
        return None
    mean = 1.0 - np.nanmean(kept, axis=1)
    return normal(float(mean[0]), jackknife_error(mean[1:]), n, (0.0, 1.0))
