"""Two models of one kind, trained on equally many synthetic and real rows and judged on the same real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.intervals import LEVEL, auc_parts, z_of
from synth.metrics.learners import TREES, features
from synth.metrics.models import Learner, learn_classes, learn_numbers
from synth.metrics.registry import NothingThereError, SkipMetricError

CAPS: dict[Learner, int] = {"boosted": 50_000, "linear": 20_000, "forest": 10_000}  # training rows per model
TESTED = 50_000  # holdout rows that models are judged on
LEAST_TRAIN, LEAST_TEST = 40, 40
MANY_CLASSES, FEWER = 5, 0.4  # beyond so many classes, each of which costs a model, the share of those rows
MOST_CLASSES = 30  # classes that are judged, the most frequent ones; boosted trees grow one tree per class and round
LEAST_CLASS = 10  # test rows on either side of a class below which its area is not taken
FEWER_TREES = 40  # boosted on a part of the rows: more take long and would only learn it by heart
PARTS = 3  # of a model's training rows, on each of which a further model is trained to see how much training runs differ
TRAINED: tuple[Side, Side] = ("train", "synthetic")


class CannotTrainError(Exception):
    """The synthetic rows cannot train a model at all: never a pass."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Two models of one kind, trained on equally many synthetic and real rows, judged on the same holdout rows.

    truth: the target of the test rows, shape (t,). synthetic, real: what each model says, shape (t, classes) of
    probabilities for classes, (t,) for a number. classes: their codes, empty for a number. parts: for the real and for the
    synthetic rows, what models say that were trained on disjoint parts of those rows; empty where they were too few to part.
    """

    target: Compared
    rows: int
    test: np.ndarray
    truth: np.ndarray
    classes: np.ndarray
    synthetic: np.ndarray
    real: np.ndarray
    parts: tuple[tuple[np.ndarray, ...], ...] = ()

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance between training runs."""
        return sum(len(parts) - 1 for parts in self.parts)

    @property
    def metric(self) -> str:
        return "R²" if len(self.classes) == 0 else ("AUC" if self.is_binary else "macro AUC")


def contest(evidence: Evidence, learner: Learner = "boosted") -> Contest:
    """Train the models of one kind, once for all metrics that need them."""
    return evidence.once(f"contest.{learner}", lambda: _contest(evidence, learner))


def reached(evidence: Evidence, side: Side, learner: Learner = "boosted") -> float:
    """The score of the model that is trained on one side, as in the contest, without its interval: an eighth of the work."""
    trial, chosen = _arranged(evidence, learner)
    told = trial.predict(side, chosen[side])
    return score(trial.contest(told, told, ()), told)[0]


def _contest(evidence: Evidence, learner: Learner) -> Contest:
    trial, chosen = _arranged(evidence, learner)
    told, parts = {}, []
    for side, rows in chosen.items():
        told[side] = trial.predict(side, rows)
        if len(rows) >= PARTS * LEAST_TRAIN:
            order = evidence.rng(f"utility.parts.{side}").permutation(rows)
            parts.append(tuple(trial.predict(side, np.sort(order[k::PARTS]), part=True) for k in range(PARTS)))
    return trial.contest(told["synthetic"], told["train"], tuple(parts))


def _arranged(evidence: Evidence, learner: Learner) -> tuple[_Trial, dict[Side, np.ndarray]]:
    """What all models of a contest share, and the rows that each side's is trained on."""
    target, inputs = question(evidence)
    test = np.flatnonzero(~target.null("holdout"))
    test = pick(evidence, test, min(TESTED, len(test)), "holdout")
    usable = {side: np.flatnonzero(~target.null(side)) for side in TRAINED}
    rows = min(_cap(learner, target), *(len(found) for found in usable.values()))
    if rows < LEAST_TRAIN or len(test) < LEAST_TEST:
        raise SkipMetricError(
            f"{rows} training and {len(test)} test rows with a known target are too few; "
            f"{LEAST_TRAIN} and {LEAST_TEST} are needed"
        )
    classes = judged_classes(target, test) if target.is_category else np.empty(0, dtype=np.int64)
    trial = _Trial(learner, inputs, target, classes, rows, test, features(inputs, "holdout", test), evidence.seed)
    return trial, {side: pick(evidence, usable[side], rows, side) for side in TRAINED}


def _cap(learner: Learner, target: Compared) -> int:
    many = target.is_category and len(np.unique(target.train)) > MANY_CLASSES
    return int(CAPS[learner] * (FEWER if many else 1.0))


def question(evidence: Evidence) -> tuple[Compared, tuple[Compared, ...]]:
    """The target, and the columns that predict it. Raises SkipMetricError where there is nothing to ask or to test on."""
    target = evidence.target
    if target is None:
        raise NothingThereError("no target is named; name one with target=")
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to test on")
    inputs = tuple(column for column in evidence.columns if column.name != target.name)
    if not inputs:
        raise NothingThereError("there is no column to predict the target from")
    return target, inputs


def judged_classes(target: Compared, test: np.ndarray) -> np.ndarray:
    """The classes that can be judged: enough test rows in and outside, and known to the training rows."""
    tally = np.bincount(target.holdout[test], minlength=target.levels or 0)
    fit = (tally >= LEAST_CLASS) & (len(test) - tally >= LEAST_CLASS)
    fit &= np.bincount(target.train[target.train >= 0], minlength=target.levels or 0) > 0
    if fit.sum() < 2:
        raise SkipMetricError(f"fewer than two classes of the target {target.name!r} have {LEAST_CLASS} test rows")
    kept = np.argsort(-np.where(fit, tally, 0), kind="stable")[: min(MOST_CLASSES, int(fit.sum()))]
    return np.asarray(np.sort(kept))


def pick(evidence: Evidence, usable: np.ndarray, rows: int, side: Side) -> np.ndarray:
    """So many of the usable rows, in order."""
    return usable if len(usable) == rows else np.sort(evidence.rng(f"utility.{side}").permutation(usable)[:rows])


@dataclass(frozen=True, eq=False)
class _Trial:
    """What all models of a contest share: their kind, what they see and what they are asked."""

    learner: Learner
    inputs: tuple[Compared, ...]
    target: Compared
    classes: np.ndarray
    rows: int  # that each is trained on
    test: np.ndarray  # the holdout rows that they are judged on, ...
    asked: np.ndarray  # ... and their features
    seed: int

    def contest(self, synthetic: np.ndarray, real: np.ndarray, parts: tuple[tuple[np.ndarray, ...], ...]) -> Contest:
        """What came of it, from what the models say."""
        truth = self.target.holdout[self.test]
        return Contest(self.target, self.rows, self.test, truth, self.classes, synthetic, real, parts)

    def predict(self, side: Side, rows: np.ndarray, part: bool = False) -> np.ndarray:
        """What a model trained on these rows says of the test rows; a part of the rows may hold a single class."""
        X, y = features(self.inputs, side, rows), self.target.of(side)[rows]
        trees = FEWER_TREES if part else TREES
        if len(self.classes) == 0:
            return learn_numbers(self.learner, self.inputs, X, y, self.seed, trees).numbers(self.asked)
        y = np.where(np.isin(y, self.classes), y, -1)  # classes that are not judged are one to the model
        seen = np.unique(y)
        out = np.zeros((len(self.asked), len(self.classes)))  # a class that was never seen in training gets no probability
        if len(seen) < 2:
            if not part:
                raise CannotTrainError(
                    f"the {side} rows hold a single class of the target {self.target.name!r} "
                    f"({self.target.label(int(seen[0]))}): no model can be trained on them"
                )
            chances = np.ones((len(self.asked), 1))
        else:
            chances = learn_classes(self.learner, self.inputs, X, y, self.seed, None, trees).chances(self.asked)
        for place, code in enumerate(self.classes):
            if code in seen:
                out[:, place] = chances[:, int(np.searchsorted(seen, code))]
        return out


def score(play: Contest, told: np.ndarray, rows: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The score of predictions on the test rows (or those where `rows` holds), and each row's influence on it.

    The influences sum to zero and their spread gives the standard error, also of differences between two models judged on
    the same rows (DeLong 1988 for areas, the delta method for R²). NaN where the rows cannot be judged.
    """
    keep = np.ones(len(play.truth), dtype=bool) if rows is None else rows
    truth, said = play.truth[keep], told[keep]
    if len(play.classes) == 0:
        return r_squared(truth, said)
    wanted = play.classes[1:] if play.is_binary else play.classes
    areas, parts = [], []
    for code in wanted:
        place = int(np.flatnonzero(play.classes == code)[0])
        inside = truth == code
        if min(inside.sum(), (~inside).sum()) < LEAST_CLASS:
            continue
        area, v10, v01 = auc_parts(said[inside, place], said[~inside, place])
        influence = np.empty(len(truth))
        influence[inside] = (v10 - area) * len(truth) / inside.sum()
        influence[~inside] = (v01 - area) * len(truth) / (~inside).sum()
        areas.append(area)
        parts.append(influence)
    if not areas:
        return math.nan, np.full(len(truth), math.nan)
    return float(np.mean(areas)), np.asarray(np.mean(parts, axis=0))


def r_squared(truth: np.ndarray, said: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of the target's variance among the test rows that is predicted, and each row's influence on it."""
    spread = (truth - truth.mean()) ** 2
    total = float(spread.mean())
    if total == 0:
        raise SkipMetricError("the target does not vary among the test rows")
    missed = (truth - said) ** 2
    ratio = float(missed.mean()) / total
    return 1 - ratio, -(missed - ratio * spread) / total


def standard_error(influence: np.ndarray) -> float:
    """The standard error of a score from its rows' influences."""
    return float(influence.std(ddof=1) / math.sqrt(len(influence)))


def training_variance(play: Contest, rows: np.ndarray | None = None) -> float:
    """How much a model's score varies with the rows that it was trained on, beyond the test rows' share in it."""
    return between_parts([[score(play, told, rows) for told in parts] for parts in play.parts])


def between_parts(sides: list[list[tuple[float, np.ndarray]]], rate: float = 1.0) -> float:
    """The variance between training runs, from figures of models trained on disjoint parts of the rows, side by side.

    Each figure with its test rows' influences. The parts' figures differ by as much as training runs on so many rows do, and
    by what the test rows add, which is known and taken off. The sides are pooled. rate: the power of the rows with
    which the variance falls: 1 for a mean, more where models still learn, so that 1 errs on the wide side.
    """
    found = []
    for figures in sides:
        values, influences = zip(*figures)
        middle, parts = np.mean(influences, axis=0), len(values)
        noise = np.mean([standard_error(influence - middle) ** 2 for influence in influences]) * parts / (parts - 1)
        found.append((float(np.var(values, ddof=1)) - float(noise)) / parts**rate)
    return max(0.0, float(np.mean(found))) if found else 0.0


def both(test: float, training: float, freedom: int) -> float:
    """The standard error from the variance that test rows bring, known well, and that of training, known from a few parts.

    freedom: degrees of freedom of the second. Widened from Student's t, by Satterthwaite (1946), to the normal.
    """
    from scipy.special import stdtrit

    variance = test + training
    if training <= 0 or freedom <= 0:
        return math.sqrt(variance)
    return math.sqrt(variance) * float(stdtrit(freedom * (variance / training) ** 2, 0.5 + LEVEL / 2)) / z_of()


def lost(play: Contest, rows: np.ndarray | None = None) -> tuple[float, float]:
    """What is lost by training on synthetic instead of real rows, and its standard error over test and training rows."""
    value, influence = score(play, play.synthetic, rows)
    real, real_influence = score(play, play.real, rows)
    error = both(standard_error(real_influence - influence) ** 2, 2 * training_variance(play, rows), play.freedom)
    return max(-1.0, min(1.0, real - value)), error
