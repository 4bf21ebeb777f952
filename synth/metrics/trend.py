"""Whether columns go together as they do among the real rows, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence
from synth.metrics.histograms import BINS, Pairing, Sample, cells, counts, leave_out, pairings, real_edges, total_variation
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, metric

ROWS = 100_000  # rows per table that pairs are computed on
PAIRS = 1_500  # pairs beyond which a sample of them is taken
CELLS = 50_000  # cells of a joint table beyond which only those that occur are counted
WORST = 20  # pairs named in the detail

Pair = tuple[int, int]


@metric("fidelity.trend", better="lower")
def trend(evidence: Evidence) -> Iterator[Reading]:
    """Mean error of the pairs of columns: half the difference of correlations, total variation of joint tables."""
    columns = evidence.columns
    pairs = list(combinations(range(len(columns)), 2))
    if not pairs:
        raise NothingThereError("a single column has no pairs")
    every = len(pairs)
    if every > PAIRS:
        kept = np.sort(evidence.rng("fidelity.trend.pairs").permutation(every)[:PAIRS])
        pairs = [pairs[i] for i in kept]
    judged, real = pairings(evidence, "fidelity.trend", ROWS)
    errors = pair_errors(columns, pairs, judged)
    reference = None if real is None else pair_errors(columns, pairs, real)
    yield Reading(
        _interval(errors, len(judged.other)),
        None if real is None or reference is None else _interval(reference, len(real.other)),
        detail=_detail(columns, pairs, every, errors[0], None if reference is None else reference[0]),
    )


def pair_errors(columns: tuple[Compared, ...], pairs: list[Pair], pair: Pairing) -> np.ndarray:
    """Errors of shape (1 + groups, pairs): with all rows, then without each of the jackknife's groups.

    Two numbers: half the difference of Pearson's correlations, or, where it is larger, the total variation of where both are
    null. Otherwise: total variation of the joint table, numbers cut into bins that come from the training rows.
    """
    numbers = [i for i, column in enumerate(columns) if not column.is_category]
    place = {index: position for position, index in enumerate(numbers)}
    correlated = _number_errors([columns[i] for i in numbers], pair) if len(numbers) > 1 else None
    cut = [_cut(column, pair) for column in columns]
    errors = np.empty((1 + pair.train.groups, len(pairs)))
    for position, (i, j) in enumerate(pairs):
        if i in place and j in place and correlated is not None:
            errors[:, position] = correlated[:, place[i], place[j]]
        else:
            errors[:, position] = _joint_error(cut[i], cut[j], pair)
    return errors


def _cut(column: Compared, pair: Pairing) -> tuple[np.ndarray, np.ndarray, int]:
    """The cells of one column's values in the training rows and in the others, and how many cells there are."""
    edges = np.empty(0) if column.is_category else real_edges(column.of("train")[pair.train.rows], BINS)
    train, total = cells(column, "train", edges)
    other, _ = cells(column, pair.other.side, edges)
    return train[pair.train.rows], other[pair.other.rows], total


def _joint_error(a: tuple[np.ndarray, np.ndarray, int], b: tuple[np.ndarray, np.ndarray, int], pair: Pairing) -> np.ndarray:
    total = a[2] * b[2]
    real, judged = a[0] * b[2] + b[0], a[1] * b[2] + b[1]
    if total > CELLS:
        present, cell = np.unique(np.concatenate([real, judged]), return_inverse=True)
        total, real, judged = len(present), cell[: len(real)], cell[len(real) :]
    train = leave_out(counts(real, total, pair.train))
    other = leave_out(counts(judged, total, pair.other))
    return total_variation(train, other, pair.shrink)


def _number_errors(columns: list[Compared], pair: Pairing) -> np.ndarray:
    """Errors of all pairs of numbers at once: shape (1 + groups, numbers, numbers)."""
    centre, scale = [], []
    for column in columns:
        seen = column.of("train")[pair.train.rows]
        seen = seen[~np.isnan(seen)]
        centre.append(float(seen.mean()) if len(seen) else 0.0)
        scale.append(float(seen.std()) if len(seen) else 0.0)
    spread = np.array([s if s > 0 else 1.0 for s in scale])
    train = _correlations(columns, pair.train, np.array(centre), spread)
    other = _correlations(columns, pair.other, np.array(centre), spread)
    rho = np.abs(train[0] - other[0]) / 2
    null = np.abs(train[1] - other[1]).sum(axis=1) / 2
    return np.asarray(np.maximum(rho, null) * pair.shrink)


def _correlations(
    columns: list[Compared], sample: Sample, centre: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's correlations of rows where both are known, shape (1 + groups, k, k), 0 where a column does not vary; and the
    shares of rows where both, only one, or none are null, shape (1 + groups, 4, k, k)."""
    raw = np.column_stack([column.of(sample.side)[sample.rows] for column in columns])
    known = ~np.isnan(raw)
    values = np.where(known, (np.where(known, raw, 0.0) - centre) / spread, 0.0)
    mask = known.astype(np.float64)
    k = len(columns)
    moments = np.empty((sample.groups, 4, k, k))  # Σ1, Σx, Σx², Σxy over rows where both are known
    for group in range(sample.groups):
        z, m = values[sample.group == group], mask[sample.group == group]
        moments[group] = m.T @ m, z.T @ m, (z * z).T @ m, z.T @ z
    moments = leave_out(moments.reshape(sample.groups, -1)).reshape(-1, 4, k, k)
    both, x, xx, xy = (moments[:, i] for i in range(4))
    y, yy = x.transpose(0, 2, 1), xx.transpose(0, 2, 1)
    n = np.maximum(both, 1.0)
    vx, vy = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
    varies = (vx > 1e-12) & (vy > 1e-12)
    rho = np.where(varies, (xy / n - x * y / n**2) / np.sqrt(np.where(varies, vx * vy, 1.0)), 0.0)
    sizes = np.bincount(sample.group, minlength=sample.groups).astype(np.float64)
    rows = (sizes.sum() - np.concatenate([[0.0], sizes]))[:, None, None]
    alone = np.diagonal(both, axis1=1, axis2=2)
    first, second = alone[:, :, None] - both, alone[:, None, :] - both
    patterns = np.stack([both, first, second, rows - both - first - second], axis=1) / np.maximum(rows[:, None], 1.0)
    return rho, patterns


def _interval(errors: np.ndarray, n: int) -> Interval:
    mean = errors.mean(axis=1)
    return normal(float(mean[0]), jackknife_error(mean[1:]), n, (0.0, 1.0))


def _detail(
    columns: tuple[Compared, ...], pairs: list[Pair], every: int, errors: np.ndarray, reference: np.ndarray | None
) -> dict[str, Any]:
    """The worst pairs by their excess over real rows, and every pair's error for a plot."""
    excess = errors if reference is None else errors - reference
    worst = [
        {
            "columns": [columns[pairs[p][0]].name, columns[pairs[p][1]].name],
            "error": float(errors[p]),
            "reference": None if reference is None else float(reference[p]),
        }
        for p in np.argsort(-excess, kind="stable")[:WORST]
    ]
    return {
        "names": [column.name for column in columns],
        "pairs": [[i, j, round(float(error), 5)] for (i, j), error in zip(pairs, errors)],
        "pairs_in_all": every,
        "worst": worst,
    }
