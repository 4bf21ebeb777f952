"""Whether a classifier can tell synthetic from real rows (classifier two-sample test, Lopez-Paz & Oquab 2017).

What the two detectors share is here: which rows are compared, and the folds, in which each is judged by what the others taught.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from synth.metrics.distance import points
from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.intervals import auc_parts, logit_interval, variance_of_mean
from synth.metrics.learners import Judge, draw, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

CAP = 16_000  # rows per side: beyond it the figure hardly moves and the cost grows
FOLDS = 3
LEAST = 60  # rows per side below which folds are too small to learn from
LEARNED = 6.0  # standard errors above ½ at which a row's lesson to the other folds adds half of what it adds at ½ (simulated)
CELL = 32  # rows that lie close together and share a fold
SHUFFLED = 60_000  # values of single columns that are shuffled in all, to see which of them the detector needs
LEAST_SHUFFLED = 300  # rows of a fold below which a loss of area is too uncertain to name a column by
WORST = 20  # columns named in the detail

Scores = Callable[[np.ndarray], np.ndarray]  # a fitted detector: features of shape (rows, k) → scores of shape (rows,)


@dataclass(frozen=True, eq=False)
class Trial:
    """Training rows and equally many of another table, and the fold in which each is judged."""

    side: Side
    real: np.ndarray  # positions, shape (n,)
    other: np.ndarray  # positions, shape (n,)
    fold: np.ndarray  # shape (2n,): first the training rows, then the others

    @property
    def synthetic(self) -> np.ndarray:
        """Which rows the detector is to find, shape (2n,): 0 for training rows, 1 for the others."""
        return np.repeat([0, 1], [len(self.real), len(self.other)])

    def pooled(self, columns: tuple[Compared, ...]) -> tuple[Compared, ...]:
        """The columns with all rows of the trial, in its order, in the place of the training rows.

        What is learned of a column before the folds, such as how frequent each category is, must not know which table a row is
        from: a category that is rare in the training table alone points to the other one, also among fresh rows.
        """
        return tuple(replace(c, train=np.concatenate([c.train[self.real], c.of(self.side)[self.other]])) for c in columns)

    def judge(self, X: np.ndarray, learn: Callable[[np.ndarray, np.ndarray], Scores]) -> list[Scores]:
        """A detector for each fold, learned from the other folds."""
        y = self.synthetic
        return [learn(X[self.fold != k], y[self.fold != k]) for k in range(FOLDS)]

    def area(self, X: np.ndarray, judges: list[Scores]) -> Interval:
        """Area under the ROC curve of all rows, each scored by the detector that has not seen its fold."""
        score = np.empty(len(X))
        for k, judge in enumerate(judges):
            # within a fold only the order counts: centring makes the folds' scores comparable
            raw = judge(X[self.fold == k])
            score[self.fold == k] = raw - raw.mean()
        y = self.synthetic
        return taught_by_each_other(score[y == 1], score[y == 0])


def taught_by_each_other(positive: np.ndarray, negative: np.ndarray) -> Interval:
    """The area under the ROC curve of cross-validated scores, with an interval for its expectation.

    DeLong's variance is that of independent scores, but a row also teaches the judges of the other folds. Where they learn mere
    noise, a chance likeness of two folds counts once in each of them, and the variance is twice as large; the better the rows
    are told apart, the less a single one bends what is learned. Holds within a twentieth for areas of ½ to .85 (simulated).
    """
    area, v10, v01 = auc_parts(positive, negative)
    alone = variance_of_mean(v10) + variance_of_mean(v01)
    z = (area - 0.5) / math.sqrt(alone) if alone > 0 else math.inf
    return logit_interval(area, math.sqrt(alone * (1 + 1 / (1 + (z / LEARNED) ** 2))), len(positive) + len(negative))


def trials(evidence: Evidence, cap: int) -> tuple[Trial, Trial | None]:
    """The synthetic rows against training rows, and the holdout rows in their place, equally many of each.

    A larger sample is easier to tell apart. Raises SkipMetricError where a table has too few rows.
    """
    rows = min([cap, *(evidence.rows(side) for side in SIDES if evidence.rows(side))])
    if rows < LEAST:
        raise SkipMetricError(f"{rows} rows are too few to train a detector on; it needs {LEAST} on each side")
    return _trial(evidence, "synthetic", rows), _trial(evidence, "holdout", rows) if evidence.rows("holdout") else None


def _trial(evidence: Evidence, side: Side, rows: int) -> Trial:
    real, other = draw(evidence, "train", rows, "detection"), draw(evidence, side, rows, "detection")
    identity = np.concatenate([evidence.identities["train"][real], evidence.identities[side][other]])
    rng = evidence.rng("detection.folds")
    if evidence.train.schema.subject is not None:
        return Trial(side, real, other, _folds_of_subjects(evidence, identity, (real, other), side, rng))
    place = np.vstack([points(evidence, "train", real), points(evidence, side, other)])
    return Trial(side, real, other, _folds(identity, place, rng))


def _folds_of_subjects(
    evidence: Evidence, identity: np.ndarray, rows: tuple[np.ndarray, np.ndarray], side: Side, rng: np.random.Generator
) -> np.ndarray:
    """The fold of each row. Rows of one subject, which are alike, share one; a copy of a training row goes to that row's.

    From another fold a row would be recognised by its siblings, and even fresh real rows would be told apart.
    """
    fold = np.concatenate([evidence.parts(of, FOLDS, rng)[chosen] for of, chosen in zip(("train", side), rows)])
    known, first = np.unique(identity[: len(rows[0])], return_index=True)
    place = np.minimum(np.searchsorted(known, identity), len(known) - 1)
    return np.asarray(np.where(known[place] == identity, fold[first[place]], fold))


def _folds(identity: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The fold of each row. Rows that lie close together share one, whichever table they are from.

    From another fold a copy, or a copy with a little noise, would be taken for its original: a copied table would fall below ½.
    Rows that occur more often than a cell has room for name nobody, and go anywhere.
    """
    _, first, kind, times = np.unique(identity, return_index=True, return_inverse=True, return_counts=True)
    cell = _cells(place[first], rng)
    shared = rng.permutation(int(cell.max()) + 1) % FOLDS
    return np.asarray(np.where(times[kind] <= CELL, shared[cell[kind]], rng.permutation(len(kind)) % FOLDS))


def _cells(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number for each point, shared by at most CELL that lie close together: parts of parts along random directions."""
    cell = np.zeros(len(place), dtype=np.int64)
    waiting, count = [np.arange(len(place))], 0
    while waiting:
        members = waiting.pop()
        if len(members) <= CELL:
            cell[members] = count
            count += 1
            continue
        along = place[members] @ rng.standard_normal(place.shape[1], dtype=np.float32)
        order = np.argsort(along, kind="stable")
        third = len(order) // 3
        # cut where the gap is widest, so that hardly a row is parted from its copy
        cut = third + 1 + int(np.diff(along[order[third : 2 * third + 2]]).argmax())
        waiting += [members[order[:cut]], members[order[cut:]]]
    return cell


@metric("fidelity.detection", better="lower", cost=3.0)
def detection(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of cross-validated boosted trees telling synthetic from training rows; 0.5 is chance.

    The reference tells holdout from training rows, with equally many of each. Rows that lie close together are judged in one
    fold, so that a copied table scores about ½, which is no virtue. Where the area is clearly above ½, the detail names the
    columns that give the rows away: how much of the area is lost where a column's held-out values are shuffled, in every fold.
    """
    judged, real = trials(evidence, CAP)
    X, judges = _boosted(evidence, judged)
    score = judged.area(X, judges)
    reference = None if real is None else real.area(*_boosted(evidence, real))
    columns: dict[str, float] = {}
    if score.low > 0.5:
        names = tuple(column.name for column in evidence.columns)
        columns = _telling(judged, X, judges, names, evidence.rng("detection.shuffle"))
    yield Reading(score, reference, detail={"rows": len(judged.real), "folds": FOLDS, "columns": columns})


def _boosted(evidence: Evidence, trial: Trial) -> tuple[np.ndarray, list[Scores]]:
    columns = trial.pooled(evidence.columns)
    X = features(columns, "train")
    return X, trial.judge(X, lambda known, y: Judge.of_classes(columns, known, y, evidence.seed).log_odds)


def _telling(
    trial: Trial, X: np.ndarray, judges: list[Scores], names: tuple[str, ...], rng: np.random.Generator
) -> dict[str, float]:
    """The area that is lost by shuffling each column among held-out rows (Breiman 2001), largest first, mean over the folds."""
    rows = max(LEAST_SHUFFLED, SHUFFLED // (FOLDS * len(names)))
    y, lost = trial.synthetic, np.empty((FOLDS, len(names)))
    for k, judge in enumerate(judges):
        held = rng.permutation(np.flatnonzero(trial.fold == k))[:rows]
        known, told = X[held], y[held] == 1
        whole = _area(judge(known), told)
        for j in range(len(names)):
            mixed = known.copy()
            mixed[:, j] = rng.permutation(known[:, j])
            lost[k, j] = whole - _area(judge(mixed), told)
    mean = lost.mean(axis=0)
    found = [j for j in np.argsort(-mean, kind="stable") if (lost[:, j] > 0).all()]
    return {names[j]: round(float(mean[j]), 4) for j in found[:WORST]}


def _area(score: np.ndarray, told: np.ndarray) -> float:
    return auc_parts(score[told], score[~told])[0] if 0 < told.sum() < len(told) else 0.5
