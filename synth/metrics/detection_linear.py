"""Whether a logistic regression can tell synthetic from real rows: the detection score that many reports print."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.detection import FOLDS, Scores, Trial, trials
from synth.metrics.evidence import Compared, Evidence
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, metric

CAP = 8_000  # rows per side
CATEGORIES = 30  # of a column that have a feature of their own, the most frequent ones; the others share one
FEATURES = 300  # in all; with very many columns fewer categories have their own
TAIL = 0.005  # share of the numbers at either end that count no further: one outlier must not set the scale
STRENGTH = 1.0  # of scikit-learn's ridge, its default


@metric("fidelity.detection_linear", better="lower", cost=0.3)
def detection_linear(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of a cross-validated logistic regression telling synthetic from training rows; 0.5 is chance.

    Reported only, since others print it: it sees how single columns are distributed, and no relation between columns. A table
    with every column shuffled by itself gets the perfect score. Judge by `fidelity.detection`.
    """
    judged, real = trials(evidence, CAP)
    reference = None if real is None else _area(real, evidence)
    yield Reading(_area(judged, evidence), reference, detail={"rows": len(judged.real), "folds": FOLDS})


def _area(trial: Trial, evidence: Evidence) -> Interval:
    X = indicators(trial.pooled(evidence.columns))
    return trial.area(X, trial.judge(X, _learn))


def _learn(X: np.ndarray, y: np.ndarray) -> Scores:
    from sklearn.linear_model import LogisticRegression

    scores: Scores = LogisticRegression(C=STRENGTH, solver="newton-cholesky").fit(X, y).decision_function
    return scores


def indicators(columns: tuple[Compared, ...]) -> np.ndarray:
    """The training rows of the columns as float64 features, shape (rows, features).

    A number in standard deviations, and whether it is null; whether a category is each of the frequent ones.
    """
    each = max(2, min(CATEGORIES, FEATURES // len(columns)))
    return np.column_stack([_one_of(c, each) if c.is_category else _scaled(c) for c in columns])


def _scaled(column: Compared) -> np.ndarray:
    null = np.isnan(column.train)
    seen = column.train[~null]
    low, high = np.quantile(seen, (TAIL, 1 - TAIL), method="inverted_cdf") if len(seen) else (0.0, 0.0)
    largest = max(abs(low), abs(high)) or 1.0  # taken out first: squares of very large numbers overflow
    values = np.clip(np.where(null, low, column.train), low, high) / largest
    known = values[~null] if len(seen) else np.zeros(1)
    spread = float(known.std())
    return np.column_stack([np.where(null, 0.0, (values - known.mean()) / (spread if spread > 0 else 1.0)), null])


def _one_of(column: Compared, each: int) -> np.ndarray:
    """Indicators of the most frequent categories, null as one of them, and of all others together."""
    levels = column.levels or 0
    code = np.where(column.train < 0, levels, column.train)
    seen = np.bincount(code, minlength=levels + 1)
    frequent = np.argsort(-seen, kind="stable")[:each]
    place = np.full(levels + 1, len(frequent))
    place[frequent] = np.arange(len(frequent))
    return np.asarray(np.eye(len(frequent) + 1)[place[code]])
