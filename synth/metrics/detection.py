"""Whether a strong classifier can tell synthetic from real rows (classifier two-sample test, Lopez-Paz & Oquab 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.evidence import Evidence, Side
from synth.metrics.intervals import delong
from synth.metrics.learners import Judge, draw, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

CAP = 16_000  # rows per side: beyond it the figure hardly moves and the cost grows
FOLDS = 3
LEAST = 60  # rows per side below which folds are too small to learn from


@metric("fidelity.detection", better="lower")
def detection(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of cross-validated boosted trees telling synthetic from training rows; 0.5 is chance.

    The reference tells holdout from training rows, with equally many of each: a larger sample is easier to tell apart.
    Copies of a row go to the fold of that row: from another fold they would be taken for it, which flatters a copied table.
    """
    sizes = [evidence.rows(side) for side in ("train", "synthetic", "holdout")]
    rows = min([CAP, *(size for size in sizes if size)])
    if rows < LEAST:
        raise SkipMetricError(f"{rows} rows are too few to train a detector on; it needs {LEAST} on each side")
    score = _area(evidence, "synthetic", rows)
    reference = _area(evidence, "holdout", rows) if evidence.rows("holdout") else None
    yield Reading(score, reference, detail={"rows": rows, "folds": FOLDS})


def _area(evidence: Evidence, side: Side, rows: int) -> Interval:
    real, other = draw(evidence, "train", rows, "detection"), draw(evidence, side, rows, "detection")
    columns = evidence.columns
    X = np.vstack([features(columns, "train", real), features(columns, side, other)])
    y = np.repeat([0, 1], [len(real), len(other)])
    identity = np.concatenate([evidence.identities["train"][real], evidence.identities[side][other]])
    score = np.empty(len(y))
    fold = _folds(identity, y == 0, evidence.rng("detection.folds"))
    for k in range(FOLDS):
        judge = Judge.of_classes(columns, X[fold != k], y[fold != k], evidence.seed)
        # within a fold only the order counts: centring makes the folds' scores comparable
        raw = judge.log_odds(X[fold == k])
        score[fold == k] = raw - raw.mean()
    return delong(score[y == 1], score[y == 0])


def _folds(identity: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The fold of each row. Copies of a real row that occurs once share its fold; rows that recur anyway go anywhere."""
    _, code = np.unique(identity, return_inverse=True)
    alone = np.bincount(code[real], minlength=int(code.max()) + 1) == 1
    shared = rng.permutation(len(alone)) % FOLDS
    return np.asarray(np.where(alone[code], shared[code], rng.permutation(len(code)) % FOLDS))
