"""Machine-learning efficiency as TabSyn's `eval/eval_mle.py` computes it (Zhang et al. 2024), the best of 36 XGBoost models.

TabDiff and others report figures of the same code; it descends from CTGAN's and GOGGLE's evaluations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.errors import MissingExtraError
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.intervals import auc_parts, normal, variance_of_mean
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ROUNDS = (10, 50, 100)
SHAPES = tuple((gamma, depth, weight) for gamma in (0.0, 1.0) for depth in (5, 10, 20) for weight in (1, 10))
VALIDATION = 9  # one row in so many chooses the model
LEAST = 40  # rows to train and to test on
LARGEST = 1e3  # a first column of numbers that reaches it puts all of them on a logarithmic scale
SMALLEST_LOG = 1e-2  # below which a number counts as this one
DEAREST = 20_000.0  # targets that are numbers are cut to [1, this], after the price of a home


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows to fit on, to choose the model by, and to test on. X: float64 of shape (rows, features); y: codes or numbers."""

    fit: tuple[np.ndarray, np.ndarray]
    choose: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: int  # 0 for a number


@metric("utility.mle@tabsyn", better="higher", bounds=(-1.0, 1.0), cost=14.0, on_request=True)
def mle(evidence: Evidence) -> Iterator[Reading]:
    """TabSyn's efficiency: real test AUC of the best of 36 XGBoost models that were trained on synthetic rows.

    For two classes the area under the ROC curve, for more its mean one against the rest; for a number R², since TabSyn's own
    RMSE, in the detail, has no fixed scale. Fractions, where papers print percent. Quirks:

    - The smallest and largest value of the *first* column of numbers scale them all (a 0 is overwritten by the next column's).
      Where they are ≥ 0 and ≥ 1,000, every number is replaced by log(max(x, 0.01)): amounts below zero become one value.
    - One synthetic row in nine chooses the model, drawn without a seed: here those of `numpy.random.seed(seed)`. The best
      model by each score is then refitted on the same eight ninths; scores of different models are reported together.
    - `weighted_f1` weights the rarer class more, with weights (1 − share) / (classes − 1).
    - A target that is a number is trained and tested as the log of it cut to [1, 20,000], but the model is chosen by its plain
      value.
    - Its trees are grown by `gpu_hist`, which is gone; `hist` here. A class unknown to the training rows is an error there, and
      skipped here, as is a class or a number that is missing.

    Interval: DeLong's for areas, conditional on the models; for R² the delta method. Reference: trained on real training rows.
    Raises MissingExtraError without the extra `mle`.
    """
    columns, target = _columns(evidence)
    judged, figures = _efficiency(_problem(columns, target, evidence, "synthetic"))
    real, real_figures = _efficiency(_problem(columns, target, evidence, "train"))
    yield Reading(judged, real, detail={"figures": figures, "reference_figures": real_figures})


def _columns(evidence: Evidence) -> tuple[tuple[Compared, ...], Compared]:
    target = evidence.target
    if target is None:
        raise NothingThereError("no target is named; name one with target=")
    inputs = tuple(column for column in evidence.columns if column is not target)
    if not inputs:
        raise NothingThereError("there is no column to predict the target from")
    if min(evidence.rows(side) for side in ("train", "holdout", "synthetic")) < LEAST:
        raise SkipMetricError(f"fewer than {LEAST} training, holdout or synthetic rows")
    return inputs, target


def _problem(inputs: tuple[Compared, ...], target: Compared, evidence: Evidence, side: Side) -> Problem:
    X, T = _features(inputs, side)
    book, y = _labels(target, side)
    _, t = _labels(target, "holdout", book)
    order = np.random.RandomState(evidence.seed).permutation(len(X))
    chosen, rest = np.split(order, [len(X) // VALIDATION])
    return Problem((X[rest], y[rest]), (X[chosen], y[chosen]), (T, t), len(book))


def _labels(target: Compared, side: Side, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The codes of the classes (none for a number) and the target in them."""
    if target.null(side).any():
        raise SkipMetricError(f"the target {target.name!r} is missing in some {side} rows: an error in the original")
    values = target.of(side)
    if not target.is_category:
        return np.empty(0), values.astype(np.float32)
    if known is None:
        known = np.array(sorted(np.unique(values), key=lambda code: target.labels[code]))
    place = np.full((target.levels or 0) + 1, -1)
    place[known] = np.arange(len(known))
    if (place[values] < 0).any():
        raise SkipMetricError(f"the target {target.name!r} has a class that the rows trained on lack: an error in the original")
    return known, place[values]


def _features(inputs: tuple[Compared, ...], side: Side) -> tuple[np.ndarray, np.ndarray]:
    """Features of the rows of one table and of the holdout, in the columns' order."""
    low = high = 0.0
    parts: list[list[np.ndarray]] = [[], []]
    for column in inputs:
        if column.is_category:
            for part, rows in zip(parts, _indicators(column, side)):
                part.append(rows)
            continue
        with np.errstate(over="ignore"):
            trained, tested = (column.of(s).astype(np.float32) for s in (side, "holdout"))
        if np.isnan(trained).any() or np.isnan(tested).any():
            raise SkipMetricError(f"{column.name!r} has missing numbers: an error in the original")
        low, high = low or trained.min(), high or trained.max()  # 0 counts as not yet known
        scaled = [_scaled(values, low, high)[:, None] for values in (trained, tested)]
        if any(np.isinf(values).any() for values in scaled):
            raise SkipMetricError(f"{column.name!r} is constant or holds too large a number: an error in the original")
        for part, values in zip(parts, scaled):
            part.append(values)
    return np.column_stack(parts[0]), np.column_stack(parts[1])


def _scaled(values: np.ndarray, low: Any, high: Any) -> np.ndarray:
    if low >= 0 and high >= LARGEST:
        return np.asarray(np.log(np.maximum(values, np.float32(SMALLEST_LOG))))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((values - low) / (high - low) * 5)


def _indicators(column: Compared, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """A column for each category of the rows trained on, nulls among them; others are none of them."""
    named = [*column.labels, "\U0010ffff"]  # null comes last
    known = np.array(sorted(np.unique(column.of(side)), key=lambda code: named[code]))
    trained, tested = (np.asarray(column.of(s)[:, None] == known[None, :], dtype=np.float64) for s in (side, "holdout"))
    return trained, tested


def _efficiency(problem: Problem) -> tuple[Interval, dict[str, float]]:
    return (_of_classes if problem.classes else _of_numbers)(problem)


def _of_classes(problem: Problem) -> tuple[Interval, dict[str, float]]:
    """The area of the model chosen by its area, and the other figures, each of the model that was chosen by it."""
    seen = len(np.unique(problem.fit[1]))
    if seen < max(2, problem.classes):
        raise SkipMetricError("a class of the target is not among the rows trained on: the original's models cannot be judged")
    best: dict[str, tuple[float, np.ndarray]] = {}
    for model in _models(problem):
        for rounds in ROUNDS:
            chosen = _scores(problem, _chances(model, problem.choose[0], rounds), problem.choose[1])
            told = _chances(model, problem.test[0], rounds)
            for name, score in chosen.items():
                if name not in best or score > best[name][0]:
                    best[name] = score, told
    figures = {name: _scores(problem, told, problem.test[1])[name] for name, (_, told) in best.items()}
    told, truth = best["auc"][1], problem.test[1]
    error = np.sqrt(np.mean([_variance(told[:, k], truth == k) for k in range(problem.classes)]))
    return normal(figures["auc"], float(error), len(truth), (0.0, 1.0)), figures


def _of_numbers(problem: Problem) -> tuple[Interval, dict[str, float]]:
    fit = problem.fit[0], np.log(np.clip(problem.fit[1], 1, DEAREST))
    truth = np.log(np.clip(problem.test[1], 1, DEAREST))
    best: dict[str, tuple[float, np.ndarray]] = {}
    for model in _models(Problem(fit, problem.choose, problem.test, 0)):
        for rounds in ROUNDS:
            told = model.predict(problem.choose[0], iteration_range=(0, rounds))
            error = float(((told - problem.choose[1]) ** 2).mean())
            if "rmse" not in best or error < best["rmse"][0]:  # the best by R² and by RMSE are one
                best["rmse"] = error, model.predict(problem.test[0], iteration_range=(0, rounds))
    away = (truth - best["rmse"][1]) ** 2
    spread = (truth - truth.mean()) ** 2
    if not spread.any():
        raise SkipMetricError("the target does not vary among the holdout rows")
    value = float(1 - away.sum() / spread.sum())
    influence = (away - (1 - value) * spread) / spread.mean()
    error = float(np.sqrt(variance_of_mean(influence)))
    return normal(value, error, len(truth), (-1.0, 1.0)), {"r2": value, "rmse": float(np.sqrt(away.mean()))}


def _models(problem: Problem) -> Iterator[Any]:
    """The models in the original's order, each with the most rounds: fewer are the first of the same trees."""
    try:
        import xgboost
    except ImportError as missing:
        raise MissingExtraError("utility.mle@tabsyn", "xgboost", "mle") from missing
    kind = xgboost.XGBClassifier if problem.classes else xgboost.XGBRegressor
    objective = "binary:logistic" if problem.classes else "reg:squarederror"  # more classes: xgboost itself takes softprob
    for gamma, depth, weight in SHAPES:
        yield kind(
            n_estimators=max(ROUNDS),
            gamma=gamma,
            max_depth=depth,
            min_child_weight=weight,
            objective=objective,
            tree_method="hist",
            n_jobs=1,
        ).fit(*problem.fit)


def _chances(model: Any, X: np.ndarray, rounds: int) -> np.ndarray:
    return np.asarray(model.predict_proba(X, iteration_range=(0, rounds)))


def _scores(problem: Problem, told: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What the original chooses by: F1 of the second of two classes (of more, their mean), its weighted F1, area, accuracy."""
    guess = (told[:, 1] > 0.5).astype(int) if problem.classes == 2 else told.argmax(axis=1)
    f1 = np.array([_f1(guess == k, truth == k) for k in range(problem.classes)])
    share = np.bincount(truth, minlength=problem.classes) / len(truth)
    there = np.flatnonzero(
        share + np.bincount(guess, minlength=problem.classes)
    )  # a class that is nowhere is not in the report
    weighted = float((f1[there] * (1 - share[there]) / max(len(there) - 1, 1)).sum())
    areas = [_area(told[:, k], truth == k) for k in range(problem.classes)]
    return {
        "f1": float(f1[1] if problem.classes == 2 else f1[there].mean()),
        "weighted_f1": weighted,
        "auc": float(np.mean(areas)),
        "accuracy": float((guess == truth).mean()),
    }


def _f1(guess: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (guess & truth).sum() / max(int(guess.sum() + truth.sum()), 1))


def _area(told: np.ndarray, truth: np.ndarray) -> float:
    if truth.all() or not truth.any():
        raise SkipMetricError("a class of the target is not among the rows that the model is judged on")
    return auc_parts(told[truth], told[~truth])[0]


def _variance(told: np.ndarray, truth: np.ndarray) -> float:
    _, below, above = auc_parts(told[truth], told[~truth])
    return variance_of_mean(below) + variance_of_mean(above)
