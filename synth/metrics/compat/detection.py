"""LogisticDetection of sdmetrics: what papers on synthetic tables call C2ST."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from synth.data.schema import Kind
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.intervals import auc_parts, normal, variance_of_mean
from synth.metrics.learners import QUIET, draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

FOLDS = 3
ROWS = 100_000  # rows per table: the features of all of KDD'99 would take gigabytes


@metric("fidelity.c2st@sdmetrics", better="higher", cost=3.0, on_request=True)
def c2st(evidence: Evidence) -> Iterator[Reading]:
    """LogisticDetection of sdmetrics 0.11: 1 − mean of max(0, 2 AUC − 1) over three folds of a logistic regression.

    In [0, 1]: 1 where a line cannot tell synthetic from training rows, 0 where it always can. It is blind to all that is not a
    shift of means: a factorised table scores near 1. Quirks:

    - An area below .5 counts as .5, fold by fold, so that real rows score a little less than 1.
    - The folds are shuffled without a seed. Here they are those that the original draws after `numpy.random.seed(seed)`.
    - Categories are not scaled away from 0 and 1, numbers by their quartiles among the rows that are trained on: a number that
      is mostly one value stays as it is, up to 99,999 in Adult, and 100 iterations of L-BFGS end before it has converged.
      The figure is what it has reached by then, which rounding decides: the same in one environment, but from one build of
      SciPy and BLAS to another the original's own figure for 2,000 rows of Adult moves by up to .007.
    - A number that is null is given the real mean; a category that is null is a category.
    - A category that no real row has is an error there, and skipped here.
    - Of more than 100,000 rows of a table as many are drawn here, none there.
    - From 0.27 on booleans are left out where metadata is given; 0.11, which papers used, keeps them.

    Interval: DeLong's variance of each fold's area, as if the folds were independent. Reference: holdout rows in the synthetic
    ones' place, where there are more of them as many; where they are fewer, it rests on fewer and is a little lower.
    """
    most = min(ROWS, evidence.rows("synthetic"))
    judged = _score(evidence, "synthetic", draw(evidence, "synthetic", most, "fidelity.c2st@sdmetrics"))
    rows = draw(evidence, "holdout", most, "fidelity.c2st@sdmetrics")
    try:
        reference, why = _score(evidence, "holdout", rows), ""
    except SkipMetricError as reason:
        reference, why = None, str(reason)
    yield Reading(judged, reference, detail={"folds": FOLDS, "reference_rows": len(rows), "no_reference": why})


def _score(evidence: Evidence, side: Side, rows: np.ndarray) -> Interval:
    if len(rows) < FOLDS or evidence.rows("train") < FOLDS:
        raise SkipMetricError(
            f"{len(rows)} {side} rows beside {evidence.rows('train')} real ones are too few for {FOLDS} folds"
        )
    real = _features(evidence, "train", draw(evidence, "train", ROWS, "fidelity.c2st@sdmetrics"))
    other = _features(evidence, side, rows)
    if real.shape[1] == 0:
        raise SkipMetricError("no column has a known value among the real rows")
    return detection(np.vstack([real, other]), np.repeat([1.0, 0.0], [len(real), len(other)]), evidence.seed)


def detection(X: np.ndarray, real: np.ndarray, seed: int) -> Interval:
    """The score of rows X of shape (rows, features), 1.0 in `real` for real ones, with folds drawn from this seed."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import RobustScaler

    scores, variance = [], 0.0
    for fit, test in StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=seed).split(X, real):
        scaler = RobustScaler().fit(X[fit])
        model = LogisticRegression()
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it ends before it has converged, like the original
            model.fit(scaler.transform(X[fit]), real[fit])
        chance = model.predict_proba(scaler.transform(X[test]))[:, 1]
        area, below, above = auc_parts(chance[real[test] == 1.0], chance[real[test] == 0.0])
        scores.append(max(0.5, area) * 2 - 1)
        variance += 4 * (variance_of_mean(below) + variance_of_mean(above)) / FOLDS**2
    return normal(1.0 - float(np.mean(scores)), float(np.sqrt(variance)), len(X), (0.0, 1.0))


def _features(evidence: Evidence, side: Side, rows: np.ndarray) -> np.ndarray:
    """Numbers and booleans in their order, then a column for each category that real rows have: shape (rows, features)."""
    plain, categories = [], []
    for column in evidence.columns:
        values = column.of(side)[rows]
        if column.column.kind is Kind.BOOLEAN:
            plain.append(_boolean(column, values))
        elif column.is_category:
            categories.append(_indicators(column, values))
        else:
            seen = column.train[~np.isnan(column.train)]
            if len(seen) or not np.isnan(values).all():  # a column without any known value has no mean, and is dropped
                plain.append(np.where(np.isnan(values), seen.mean() if len(seen) else 0.0, values)[:, None])
    return np.hstack([np.empty((len(rows), 0)), *plain, *categories])


def _boolean(column: Compared, values: np.ndarray) -> np.ndarray:
    seen = np.bincount(column.train[column.train >= 0], minlength=2)
    return np.where(values < 0, float(seen[1] > seen[0]), values).astype(np.float64)[:, None]


def _indicators(column: Compared, values: np.ndarray) -> np.ndarray:
    levels = column.levels or 0
    known = np.bincount(np.where(column.train < 0, levels, column.train), minlength=levels + 1) > 0
    coded = np.where(values < 0, levels, values)
    if not known[coded].all():
        raise SkipMetricError(f"{column.name!r} has a value that no real row has: an error in the original")
    named = np.array(column.labels, dtype=object)
    ordered = [*sorted(np.flatnonzero(known[:levels]), key=lambda code: str(named[code])), *([levels] if known[levels] else [])]
    return np.asarray(coded[:, None] == np.array(ordered)[None, :], dtype=np.float64)
