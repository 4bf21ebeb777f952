"""What a model's chances of a rare class are worth on test rows at their natural prevalence: figures and their spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synth.metrics.intervals import auc_parts
from synth.metrics.remedies import SURE, Told

PRECISION = 0.9  # at which recall is taken
DRAWS = 200  # bootstrap draws of the test rows for recall, whose threshold is an estimate too
STEEPEST = 10.0  # calibration slope beyond which a model that separates the classes is not followed
HIGHER = {"average_precision", "auroc", "recall_at_precision", "balanced_accuracy"}  # the others are better lower, or nearer 1


@dataclass(frozen=True, eq=False)
class Figure:
    """A value, and what its standard error comes from: the test rows' influences, or the values of bootstrap draws."""

    value: float
    parts: np.ndarray  # shape (t,) of influences, or (draws,)
    drawn: bool = False

    def minus(self, other: Figure) -> Figure:
        """The difference to another figure of the same kind on the same test rows."""
        return Figure(self.value - other.value, self.parts - other.parts, self.drawn)

    @property
    def error(self) -> float:
        """The standard error over draws of the test rows."""
        return float(self.parts.std(ddof=1)) / (1.0 if self.drawn else math.sqrt(len(self.parts)))


def figures(
    truth: np.ndarray, told: Told, natural: float, draws: np.ndarray, precision: float = PRECISION
) -> dict[str, Figure]:
    """All figures of what a model says.

    truth: shape (t,), 1 for the rare class; natural: its share among the training rows; draws: how often each test row is in
    each bootstrap draw, shape (draws, t), the same for all remedies. "…_corrected": after moving the chances' odds back to
    the natural share.
    """
    as_told, corrected = np.clip(told.chances, SURE, 1 - SURE), told.corrected(natural)
    return {
        "average_precision": average_precision(truth, as_told),
        "auroc": auroc(truth, as_told),
        "recall_at_precision": recall_at_precision(truth, as_told, draws, precision),
        "balanced_accuracy": balanced_accuracy(truth, told.chances >= told.threshold),
        "brier": _mean((as_told - truth) ** 2),
        "brier_corrected": _mean((corrected - truth) ** 2),
        "calibration_slope": calibration_slope(truth, as_told),  # moving all odds alike does not change it
        "calibration_shift": calibration_shift(truth, as_told),
        "calibration_shift_corrected": calibration_shift(truth, corrected),
    }


def _mean(losses: np.ndarray) -> Figure:
    value = float(losses.mean())
    return Figure(value, losses - value)


def average_precision(truth: np.ndarray, chances: np.ndarray) -> Figure:
    """Mean over the rare rows of the precision among all rows with at least their chance, and the delta method's influences."""
    order = np.argsort(-chances, kind="stable")
    ordered, hits = chances[order], truth[order].astype(np.float64)
    n, rare = len(truth), hits.sum()
    ends = np.flatnonzero(np.append(ordered[:-1] > ordered[1:], True))
    block = np.repeat(np.arange(len(ends)), np.diff(np.append(-1, ends)))
    above = (ends + 1) / n  # share of rows with at least the chance of each block of ties
    exact = np.cumsum(hits)[ends] / (ends + 1)  # precision there
    inside = np.bincount(block, weights=hits) / n  # share of rows that are rare and in the block
    value = float((inside * exact).sum() / (rare / n))
    # A row moves the precision at each lower chance by (is it rare − precision) / rows above
    later = np.cumsum((inside / above)[::-1])[::-1]
    pulled = np.cumsum((inside * exact / above)[::-1])[::-1]
    whole = hits * exact[block] - value * rare / n + hits * later[block] - pulled[block]
    influence = np.empty(n)
    influence[order] = (whole - value * (hits - rare / n)) / (rare / n)
    return Figure(value, influence - influence.mean())


def auroc(truth: np.ndarray, chances: np.ndarray) -> Figure:
    """Area under the ROC curve with DeLong's components."""
    inside = truth == 1
    area, v10, v01 = auc_parts(chances[inside], chances[~inside])
    influence = np.empty(len(truth))
    influence[inside] = (v10 - area) * len(truth) / inside.sum()
    influence[~inside] = (v01 - area) * len(truth) / (~inside).sum()
    return Figure(area, influence)


def recall_at_precision(truth: np.ndarray, chances: np.ndarray, draws: np.ndarray, precision: float = PRECISION) -> Figure:
    """The largest share of the rare rows that some threshold finds with at least that precision; 0 where none does."""
    order = np.argsort(-chances, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(chances[order]) < 0, True))
    weights = np.concatenate([np.ones((1, len(truth)), dtype=np.float32), draws])[:, order]
    found = np.cumsum(weights * truth[order], axis=1)
    taken, total = np.cumsum(weights, axis=1)[:, ends], found[:, -1]
    enough = (found[:, ends] >= precision * taken) & (taken > 0)
    recall = np.where(enough, found[:, ends], 0).max(axis=1) / np.maximum(total, 1)
    return Figure(float(recall[0]), recall[1:].astype(np.float64), drawn=True)


def balanced_accuracy(truth: np.ndarray, said: np.ndarray) -> Figure:
    """Mean of the shares of rare and of other rows that are told right."""
    right = (said == (truth == 1)).astype(np.float64)
    value, influence = 0.0, np.zeros(len(truth))
    for inside in (truth == 1, truth == 0):
        rate = float(right[inside].mean())
        value += rate / 2
        influence[inside] = (right[inside] - rate) * len(truth) / inside.sum() / 2
    return Figure(value, influence)


def calibration_slope(truth: np.ndarray, chances: np.ndarray) -> Figure:
    """Slope of the logistic regression of the truth on the log odds (Cox 1958): below 1 the chances are too extreme."""
    return _logistic(truth, _log_odds(chances))


def calibration_shift(truth: np.ndarray, chances: np.ndarray) -> Figure:
    """How far the mean chance lies above the rare class's share of the test rows."""
    return _mean(np.asarray(chances - truth))


def _log_odds(chances: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(chances) - np.log1p(-chances))


def _logistic(truth: np.ndarray, x: np.ndarray) -> Figure:
    """The slope, with the influences of a maximum-likelihood estimate; it is not followed beyond STEEPEST."""
    Z = np.column_stack([np.ones(len(x)), x])
    beta = np.array([0.0, 1.0])
    hessian = np.eye(2)
    for _ in range(25):
        q = 1 / (1 + np.exp(-np.clip(Z @ beta, -30, 30)))
        hessian = (Z * (q * (1 - q))[:, None]).T @ Z + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, Z.T @ (truth - q))
        beta = beta + np.clip(step, -2, 2)
        beta[1] = float(np.clip(beta[1], -STEEPEST, STEEPEST))
        if float(np.abs(step).max()) < 1e-8:
            break
    q = 1 / (1 + np.exp(-np.clip(Z @ beta, -30, 30)))
    influence = np.linalg.solve(hessian, (Z * (truth - q)[:, None]).T)[1] * len(x)
    return Figure(float(beta[1]), influence - influence.mean())
