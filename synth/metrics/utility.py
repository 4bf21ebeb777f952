"""Whether a model trained on synthetic rows does real work: train on synthetic, test on real (TSTR, Esteban et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.intervals import auc_parts, normal
from synth.metrics.learners import Judge, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

CAP = 50_000  # training rows per model
LEAST_TRAIN, LEAST_TEST = 40, 40
MOST_CLASSES = 30  # classes that are judged, the most frequent ones; boosted trees grow one tree per class and round
LEAST_CLASS = 10  # test rows on either side of a class below which its area is not taken


NOTHING_LOST = "by definition: as many real rows in place of the synthetic ones lose nothing"


class CannotTrainError(Exception):
    """The synthetic rows cannot train a model at all: never a pass."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Two models of one kind, trained on equally many synthetic and real rows, judged on the same holdout rows.

    truth: the target of the test rows, shape (t,). synthetic, real: what each model says, shape (t, classes) of
    probabilities for classes, (t,) for a number. classes: their codes, empty for a number.
    """

    target: Compared
    rows: int
    test: np.ndarray
    truth: np.ndarray
    classes: np.ndarray
    synthetic: np.ndarray
    real: np.ndarray

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def metric(self) -> str:
        return "R²" if len(self.classes) == 0 else ("AUC" if self.is_binary else "macro AUC")


@metric("utility.tstr", better="higher", bounds=(-1.0, 1.0))
def tstr(evidence: Evidence) -> Iterator[Reading]:
    """How well boosted trees trained on synthetic rows predict real holdout rows; the reference trained on real rows.

    Area under the ROC curve for two classes, its mean over classes for more, R² for a number (cut at −1).
    """
    play = contest(evidence)
    value, parts = score(play, play.synthetic)
    real, real_parts = score(play, play.real)
    yield Reading(
        normal(max(-1.0, value), standard_error(parts), len(play.truth), (-1.0, 1.0)),
        normal(max(-1.0, real), standard_error(real_parts), len(play.truth), (-1.0, 1.0)),
        detail={"metric": play.metric, "training_rows": play.rows},
    )


@metric("utility.gap", better="lower", bounds=(-1.0, 1.0))
def gap(evidence: Evidence) -> Iterator[Reading]:
    """What is lost by training on synthetic instead of real rows, judged on the same holdout rows."""
    play = contest(evidence)
    value, parts = score(play, play.synthetic)
    real, real_parts = score(play, play.real)
    lost = max(-1.0, min(1.0, real - value))
    found = normal(lost, standard_error(real_parts - parts), len(play.truth), (-1.0, 1.0))
    yield Reading(found, Interval(0.0, 0.0, 0.0, len(play.truth)), detail={"metric": play.metric, "reference": NOTHING_LOST})


def contest(evidence: Evidence) -> Contest:
    """Train both models, once for all metrics that need them."""
    return evidence.once("contest", lambda: _contest(evidence))


def _contest(evidence: Evidence) -> Contest:
    target = evidence.target
    if target is None:
        raise NothingThereError("no target is named; name one with target=")
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to test on")
    inputs = tuple(column for column in evidence.columns if column.name != target.name)
    if not inputs:
        raise NothingThereError("there is no column to predict the target from")
    test = np.flatnonzero(~target.null("holdout"))
    usable = {side: np.flatnonzero(~target.null(side)) for side in ("train", "synthetic")}
    rows = min(CAP, len(usable["train"]), len(usable["synthetic"]))
    if rows < LEAST_TRAIN or len(test) < LEAST_TEST:
        raise SkipMetricError(
            f"{rows} training and {len(test)} test rows with a known target are too few; "
            f"{LEAST_TRAIN} and {LEAST_TEST} are needed"
        )
    classes = _classes(target, test) if target.is_category else np.empty(0, dtype=np.int64)
    told = {
        side: _predict(evidence, inputs, target, side, _pick(evidence, usable[side], rows, side), test, classes)
        for side in ("train", "synthetic")
    }
    return Contest(target, rows, test, target.holdout[test], classes, told["synthetic"], told["train"])


def _classes(target: Compared, test: np.ndarray) -> np.ndarray:
    """The classes that can be judged: enough test rows in and outside, and known to the training rows."""
    tally = np.bincount(target.holdout[test], minlength=target.levels or 0)
    fit = (tally >= LEAST_CLASS) & (len(test) - tally >= LEAST_CLASS)
    fit &= np.bincount(target.train[target.train >= 0], minlength=target.levels or 0) > 0
    if fit.sum() < 2:
        raise SkipMetricError(f"fewer than two classes of the target {target.name!r} have {LEAST_CLASS} test rows")
    kept = np.argsort(-np.where(fit, tally, 0), kind="stable")[: min(MOST_CLASSES, int(fit.sum()))]
    return np.asarray(np.sort(kept))


def _pick(evidence: Evidence, usable: np.ndarray, rows: int, side: Side) -> np.ndarray:
    return usable if len(usable) == rows else np.sort(evidence.rng(f"utility.{side}").permutation(usable)[:rows])


def _predict(
    evidence: Evidence,
    inputs: tuple[Compared, ...],
    target: Compared,
    side: Side,
    rows: np.ndarray,
    test: np.ndarray,
    classes: np.ndarray,
) -> np.ndarray:
    X, y, T = features(inputs, side, rows), target.of(side)[rows], features(inputs, "holdout", test)
    if len(classes) == 0:
        return Judge.of_numbers(inputs, X, y, evidence.seed).numbers(T)
    y = np.where(np.isin(y, classes), y, -1)  # classes that are not judged are one to the model
    seen = np.unique(y)
    if len(seen) < 2:
        raise CannotTrainError(
            f"the {side} rows hold a single class of the target {target.name!r} ({target.label(int(seen[0]))}): "
            "no model can be trained on them"
        )
    chances = Judge.of_classes(inputs, X, y, evidence.seed).chances(T)
    out = np.zeros((len(test), len(classes)))  # a class that was never seen in training gets no probability
    for place, code in enumerate(classes):
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
        return _r2(truth, said)
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


def _r2(truth: np.ndarray, said: np.ndarray) -> tuple[float, np.ndarray]:
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
