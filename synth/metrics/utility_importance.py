"""Whether models trained on synthetic rows find the same columns important as models trained on real rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from synth.metrics.contest import TRAINED, judged_classes, question
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.learners import Judge, draw, features
from synth.metrics.models import Model
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

PARTS = 6  # of the rows of each side; a model is trained on each of them
TOGETHER = 2  # parts whose shares are averaged before they are compared
ROWS = 2_000  # of a part at most
TESTED = 1_000  # holdout rows whose values are permuted
COLUMNS = 60  # columns that are permuted: of more, those on which the models split the most
CLASSES = 5  # of the target, the most frequent ones
TREES = 30
GROUPS = 10  # of test rows, for the jackknife
LEAST_PART = 100


@metric("utility.importance", better="higher", cost=0.8)
def importance(evidence: Evidence) -> Iterator[Reading]:
    """How far models trained on synthetic and on real rows agree on which columns matter: 1 in all, 0 in none.

    Boosted trees on disjoint parts of either side, and for each the rise of its squared error where a column of the holdout
    is permuted (Breiman 2001), as shares of all columns' rises; agreement is what two such lists of shares have in common.
    The score is the mean over pairs of two real and two synthetic parts, the reference that over pairs of two and two other
    real ones, which rest on equally many rows. Interval: a jackknife over each side's parts and over groups of test rows, of
    the score or of its difference to the reference, whichever is less sure.
    """
    target, inputs = question(evidence)
    if len(inputs) < 2:
        raise NothingThereError("there is one column to predict the target from: it is all that matters")
    usable = {side: np.flatnonzero(~target.null(side)) for side in TRAINED}
    rows = min(ROWS, *(len(found) // PARTS for found in usable.values()))
    test = draw(evidence, "holdout", TESTED, "utility.importance")
    test = test[~target.null("holdout")[test]]
    if rows < LEAST_PART or len(test) < LEAST_PART:
        raise SkipMetricError(
            f"{PARTS} parts of {rows} training rows and {len(test)} test rows are too few; {LEAST_PART} are needed of each"
        )
    trial = _Trial(inputs, target, test, _judged(target, test), evidence.seed)
    models = {}
    for side, found in usable.items():
        order = evidence.rng(f"utility.importance.{side}").permutation(found)[: rows * PARTS]
        models[side] = [trial.train(side, np.sort(order[k::PARTS])) for k in range(PARTS)]
    asked = _asked(inputs, [model for side in models.values() for model in side])
    rng = evidence.rng("utility.importance.permuted")
    orders = np.array([rng.permutation(len(test)) for _ in asked])
    # (parts of the real side, then of the synthetic side; without no group of test rows, then without each; columns)
    shares = np.array([_shares(trial.rises(model, asked, orders)) for side in TRAINED for model in models[side]])
    real, fake = shares[:PARTS], shares[PARTS:]
    if not (real[:, 0].any() and fake[:, 0].any()):
        raise SkipMetricError("no column helps to predict the target")
    n = len(test)
    mean = [{inputs[j].name: float(share) for j, share in zip(asked, side[:, 0].mean(axis=0))} for side in (fake, real)]
    first = sorted(mean[0], key=lambda name: -max(mean[0][name], mean[1][name]))[:20]
    yield Reading(
        normal(_crossed(real, fake, 0), _error(real, fake), n, (0.0, 1.0)),
        normal(_within(real, 0), _error_of_within(real), n, (0.0, 1.0)),
        detail={
            "columns": {name: {"synthetic": mean[0][name], "real": mean[1][name]} for name in first},
            "training_rows": rows,
            "parts": PARTS,
        },
    )


def _judged(target: Compared, test: np.ndarray) -> np.ndarray:
    """The classes whose probabilities are judged; none for a number."""
    if not target.is_category:
        return np.empty(0, dtype=np.int64)
    classes = judged_classes(target, test)
    tally = np.bincount(target.holdout[test], minlength=target.levels or 0)[classes]
    return np.sort(classes[np.argsort(-tally, kind="stable")[:CLASSES]])


@dataclass(frozen=True, eq=False)
class _Trial:
    """What all models share: what they see, what they are asked, and how far off they are."""

    inputs: tuple[Compared, ...]
    target: Compared
    test: np.ndarray
    classes: np.ndarray
    seed: int

    def train(self, side: Side, rows: np.ndarray) -> tuple[Model, np.ndarray] | None:
        """A model and the classes that it knows; None where the rows have a single class, so that no column matters."""
        X, y = features(self.inputs, side, rows), self.target.of(side)[rows]
        if not self.target.is_category:
            return Judge.of_numbers(self.inputs, X, y, self.seed, TREES), self.classes
        y = np.where(np.isin(y, self.classes), y, -1)
        seen = np.unique(y)
        return (Judge.of_classes(self.inputs, X, y, self.seed, None, TREES), seen) if len(seen) > 1 else None

    def rises(self, model: tuple[Model, np.ndarray] | None, asked: list[int], orders: np.ndarray) -> np.ndarray:
        """How much the squared error of each test row rises where a column is permuted: shape (columns, rows)."""
        if model is None:
            return np.zeros((len(asked), len(self.test)))
        T = features(self.inputs, "holdout", self.test)
        stacked = np.concatenate([T, *(_permuted(T, j, order) for j, order in zip(asked, orders))])
        missed = self._missed(*model, stacked).reshape(1 + len(asked), len(self.test))
        return np.asarray(missed[1:] - missed[0])

    def _missed(self, model: Model, seen: np.ndarray, X: np.ndarray) -> np.ndarray:
        truth = self.target.holdout[self.test]
        again = len(X) // len(truth)
        if not self.target.is_category:
            return np.asarray((model.numbers(X) - np.tile(truth, again)) ** 2)
        truth = np.where(np.isin(truth, self.classes), truth, -1)
        hit = truth[:, None] == seen
        return np.asarray(((model.chances(X) - np.tile(hit, (again, 1))) ** 2).sum(axis=1))


def _permuted(T: np.ndarray, j: int, order: np.ndarray) -> np.ndarray:
    out = T.copy()
    out[:, j] = T[order, j]
    return out


def _asked(inputs: tuple[Compared, ...], models: list[tuple[Model, np.ndarray] | None]) -> list[int]:
    """The columns that any model splits on; the rest matter to none. Of very many, those with the most gain."""
    gain = np.zeros(len(inputs))
    for model in models:
        if model is not None:
            for stage in model[0].model._predictors:  # type: ignore[attr-defined]
                for tree in stage:
                    nodes = tree.nodes[tree.nodes["is_leaf"] == 0]
                    gain += np.bincount(nodes["feature_idx"], weights=np.maximum(nodes["gain"], 0), minlength=len(inputs))
    used = np.flatnonzero(gain > 0)
    return [int(j) for j in np.sort(used[np.argsort(-gain[used], kind="stable")[:COLUMNS]])]


def _shares(rises: np.ndarray) -> np.ndarray:
    """Each column's share of all rises, from all test rows and then without each group of them: shape (1 + groups, columns)."""
    groups = np.arange(rises.shape[1]) % GROUPS
    sums = np.array([rises[:, groups == g].sum(axis=1) for g in range(GROUPS)])
    mattered = np.maximum(np.vstack([sums.sum(axis=0), sums.sum(axis=0) - sums]), 0.0)
    total = mattered.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(mattered, total, out=np.zeros_like(mattered), where=total > 0))


def _crossed(real: np.ndarray, fake: np.ndarray, g: int) -> float:
    """The mean agreement of any parts of one side with any of the other. real, fake: shape (parts, 1 + groups, columns)."""
    sides = [
        np.array([side[list(some), g].mean(axis=0) for some in combinations(range(len(side)), TOGETHER)])
        for side in (real, fake)
    ]
    return float(np.minimum(sides[0][:, None], sides[1][None]).sum(axis=-1).mean())


def _within(real: np.ndarray, g: int) -> float:
    """The mean agreement of any parts with any others of the same side."""
    picked = list(combinations(range(len(real)), TOGETHER))
    means = np.array([real[list(some), g].mean(axis=0) for some in picked])
    apart = [(i, j) for i, j in combinations(range(len(picked)), 2) if not set(picked[i]) & set(picked[j])]
    return float(np.mean([np.minimum(means[i], means[j]).sum() for i, j in apart]))


def _error(real: np.ndarray, fake: np.ndarray) -> float:
    """The standard error of the score, or of its difference to the reference, which rests on few parts too: the larger."""
    score, excess = (_jackknife(real, fake, sign) for sign in (0, 1))
    return max(score, excess)


def _jackknife(real: np.ndarray, fake: np.ndarray, less: int) -> float:
    """Over the parts of each side and over groups of test rows, of the score less so many times the reference."""
    without = [np.delete(np.arange(PARTS), k) for k in range(PARTS)]
    values = [
        [_crossed(real[kept], fake, 0) - less * _within(real[kept], 0) for kept in without],
        [_crossed(real, fake[kept], 0) for kept in without],
        [_crossed(real, fake, 1 + g) - less * _within(real, 1 + g) for g in range(GROUPS)],
    ]
    return math.hypot(*(jackknife_error(np.array(some)) for some in values))


def _error_of_within(real: np.ndarray) -> float:
    without = [np.delete(np.arange(PARTS), k) for k in range(PARTS)]
    errors = [
        jackknife_error(np.array([_within(real[kept], 0) for kept in without])),
        jackknife_error(np.array([_within(real, 1 + g) for g in range(GROUPS)])),
    ]
    return math.hypot(*errors)
