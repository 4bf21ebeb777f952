"""Whether columns go together as they do among the real rows, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.evidence import Compared, Evidence
from synth.metrics.histograms import Pairing, Sample, replicates
from synth.metrics.joint_tables import Joints, joints, mean_interval, worst_pairs
from synth.metrics.registry import Reading, metric


@metric("fidelity.trend", better="lower", cost=0.4)
def trend(evidence: Evidence) -> Iterator[Reading]:
    """Mean error of the pairs of columns: half the difference of correlations, total variation of joint tables."""
    found = joints(evidence)
    judged, real = found.cuts.judged, found.cuts.real
    errors = _trend_errors(evidence.columns, found, judged)
    reference = None if real is None else _trend_errors(evidence.columns, found, real)
    held = None if reference is None else reference[0]
    yield Reading(
        mean_interval(errors, judged, found.every),
        None if real is None or reference is None else mean_interval(reference, real, found.every),
        detail={
            "names": [column.name for column in evidence.columns],
            "pairs": [[i, j, round(float(error), 5)] for (i, j), error in zip(found.pairs, errors[0])],  # for a plot
            "pairs_in_all": found.every,
            "worst": worst_pairs(found, errors[0], held),
        },
    )


def _trend_errors(columns: tuple[Compared, ...], found: Joints, pair: Pairing) -> np.ndarray:
    """Errors of shape (1 + replicates, pairs): of all rows, then of each replicate.

    Two numbers: half the difference of Pearson's correlations, or, where it is larger, the total variation of where both are
    null. Otherwise: total variation of the joint table, numbers cut into bins that come from the training rows.
    """
    numbers = [i for i, column in enumerate(columns) if not column.is_category]
    position = {index: place for place, index in enumerate(numbers)}
    errors = found.errors[pair.other.side].copy()
    if len(numbers) < 2:
        return errors
    correlated = _number_errors([columns[i] for i in numbers], pair)
    for place, (i, j) in enumerate(found.pairs):
        if i in position and j in position:
            errors[:, place] = correlated[:, position[i], position[j]]
    return errors


def _number_errors(columns: list[Compared], pair: Pairing) -> np.ndarray:
    """Errors of all pairs of numbers at once: shape (1 + replicates, numbers, numbers)."""
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
    """Pearson's correlations of rows where both are known, shape (1 + replicates, k, k), 0 where a column does not vary; and
    the shares of rows where both, only one, or none are null, shape (1 + replicates, 4, k, k)."""
    raw = np.column_stack([column.of(sample.side)[sample.rows] for column in columns])
    known = ~np.isnan(raw)
    values = np.where(known, (np.where(known, raw, 0.0) - centre) / spread, 0.0)
    mask = known.astype(np.float64)
    k = len(columns)
    moments = np.empty((sample.groups, 4, k, k))  # Σ1, Σx, Σx², Σxy over rows where both are known
    for group in range(sample.groups):
        z, m = values[sample.group == group], mask[sample.group == group]
        moments[group] = m.T @ m, z.T @ m, (z * z).T @ m, z.T @ z
    moments = replicates(moments.reshape(sample.groups, -1)).reshape(-1, 4, k, k)
    both, x, xx, xy = (moments[:, i] for i in range(4))
    y, yy = x.transpose(0, 2, 1), xx.transpose(0, 2, 1)
    n = np.maximum(both, 1.0)
    vx, vy = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
    varies = (vx > 1e-12) & (vy > 1e-12)
    rho = np.where(varies, (xy / n - x * y / n**2) / np.sqrt(np.where(varies, vx * vy, 1.0)), 0.0)
    sizes = np.bincount(sample.group, minlength=sample.groups).astype(np.float64)
    rows = replicates(sizes[:, None])[:, :, None]
    alone = np.diagonal(both, axis1=1, axis2=2)
    first, second = alone[:, :, None] - both, alone[:, None, :] - both
    patterns = np.stack([both, first, second, rows - both - first - second], axis=1) / np.maximum(rows[:, None], 1.0)
    return rho, patterns
