"""Whether a logistic regression can tell synthetic from real rows: the detection score that many reports print."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.detection import FOLDS, Scores, Trial, trials
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, metric

CAP = 8_000  # rows per side
CATEGORIES = 30  # of a column that have a feature of their own, the most frequent ones; the others share one
FEATURES = 300  # in all; with very many columns fewer categories have their own
FAR = 5.0  # standard deviations from the mean beyond which a number counts no further: one outlier must not rule the fit
STRENGTH = 1.0  # of scikit-learn's ridge, its default


@metric("fidelity.detection_linear", better="lower", cost=1.0)
def detection_linear(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of a cross-validated logistic regression telling synthetic from training rows; 0.5 is chance.

    Reported only, since others print it: it sees how single columns are distributed, and no relation between columns. A table
    with every column shuffled by itself gets the perfect score. Judge by `fidelity.detection`.
    """
    judged, real = trials(evidence, CAP)
    reference = None if real is None else _area(real, evidence)
    yield Reading(_area(judged, evidence), reference, detail={"rows": len(judged.real), "folds": FOLDS})


def _area(trial: Trial, evidence: Evidence) -> Interval:
    X = trial.stack(lambda side, rows: indicators(evidence.columns, side, rows))
    return trial.area(X, trial.judge(X, _learn))


def _learn(X: np.ndarray, y: np.ndarray) -> Scores:
    from sklearn.linear_model import LogisticRegression

    scores: Scores = LogisticRegression(C=STRENGTH, solver="newton-cholesky").fit(X, y).decision_function
    return scores


def indicators(columns: tuple[Compared, ...], side: Side, rows: np.ndarray) -> np.ndarray:
    """Rows of one table as float64 features, shape (rows, features), the same ones for every table.

    A number on the scale of the training rows, and whether it is null; whether a category is each of the frequent ones.
    """
    each = max(2, min(CATEGORIES, FEATURES // len(columns)))
    return np.column_stack([_one_of(c, side, rows, each) if c.is_category else _scaled(c, side, rows) for c in columns])


def _scaled(column: Compared, side: Side, rows: np.ndarray) -> np.ndarray:
    seen = column.train[~np.isnan(column.train)]
    largest = float(np.abs(seen).max(initial=0.0)) or 1.0  # taken out first: squares of very large numbers overflow
    centre, spread = (float((seen / largest).mean()), float((seen / largest).std())) if len(seen) else (0.0, 0.0)
    values = column.of(side)[rows]
    null = np.isnan(values)
    with np.errstate(over="ignore"):
        z = (np.where(null, 0.0, values) / largest - centre) / (spread if spread > 0 else 1.0)
    return np.column_stack([np.where(null, 0.0, np.clip(z, -FAR, FAR)), null])


def _one_of(column: Compared, side: Side, rows: np.ndarray, each: int) -> np.ndarray:
    """Indicators of the most frequent categories among the training rows, null as one of them, and of all others together."""
    levels = column.levels or 0
    code = column.of(side)[rows]
    seen = np.bincount(np.where(column.train < 0, levels, column.train), minlength=levels + 1)
    frequent = np.argsort(-seen, kind="stable")[:each]
    place = np.full(levels + 1, len(frequent))
    place[frequent] = np.arange(len(frequent))
    return np.asarray(np.eye(len(frequent) + 1)[place[np.where(code < 0, levels, code)]])
