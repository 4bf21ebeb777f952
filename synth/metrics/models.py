"""The models that stand for those of a table's users: boosted trees, a linear model, and a forest.

Each learns from the matrix that `features` makes (numbers, and categories as their rank, NaN for null) and is deterministic,
on one thread and without warnings, whatever the rows hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from synth.metrics.evidence import Compared
from synth.metrics.learners import QUIET, TREES, Judge

Learner = Literal["boosted", "linear", "forest"]
NAMES: dict[Learner, str] = {
    "boosted": "boosted trees",
    "linear": "a linear model",
    "forest": "a forest",
}

LEVELS = 30  # categories of a column that have a feature of their own in a linear model, the most frequent first
FEATURES = 1_500  # of a linear model, about: of many columns fewer categories have their own
FEW = 10  # rows below which a category has none
FAR = 10.0  # standard deviations beyond which a number is no further off to a linear model: one broken cell is not the model
PENALTY = 1.0  # of squared coefficients, scikit-learn's default, in rows
STEPS = 200  # of the optimiser at most
FOREST = 30  # trees of a forest
LARGEST = 1e37  # which single precision still holds
LEAF = 5  # rows in a leaf of a forest at least: areas need graded probabilities


class Model(Protocol):
    """What was fitted."""

    def chances(self, X: np.ndarray) -> np.ndarray:
        """Of each class that was seen in training, in order: shape (rows, classes)."""

    def numbers(self, X: np.ndarray) -> np.ndarray:
        """Predicted values: shape (rows,)."""


def learn_classes(
    learner: Learner,
    columns: tuple[Compared, ...],
    X: np.ndarray,
    y: np.ndarray,
    seed: int,
    weight: np.ndarray | None = None,
    trees: int = TREES,
) -> Model:
    """A model that tells the classes y apart. X: shape (rows, columns); y, weight: shape (rows,); trees: that are boosted."""
    if learner == "boosted":
        return Judge.of_classes(columns, X, y, seed, weight, trees)
    return Linear.of_classes(columns, X, y, weight) if learner == "linear" else Forest.of_classes(X, y, seed, weight)


def learn_numbers(
    learner: Learner, columns: tuple[Compared, ...], X: np.ndarray, y: np.ndarray, seed: int, trees: int = TREES
) -> Model:
    """A model that predicts the number y."""
    if learner == "boosted":
        return Judge.of_numbers(columns, X, y, seed, trees)
    return Linear.of_numbers(columns, X, y) if learner == "linear" else Forest.of_numbers(X, y, seed)


@dataclass(frozen=True, eq=False)
class Linear:
    """Multinomial logistic regression, or ridge regression, on standardised numbers and one-hot categories."""

    expand: Callable[[np.ndarray], Any]
    weights: np.ndarray  # shape (features, outputs)

    @classmethod
    def of_classes(
        cls, columns: tuple[Compared, ...], X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None
    ) -> Linear:
        from scipy.optimize import minimize

        expand = expansion(columns, X)
        Z, w = expand(X), np.ones(len(y)) if weight is None else weight
        seen, place = np.unique(y, return_inverse=True)
        outputs = 1 if len(seen) == 2 else len(seen)  # of two classes the first one's score is 0
        hit = (place[:, None] == np.arange(len(seen) - outputs, len(seen))).astype(np.float64)
        back, turn = _even(Z, w / 4)  # ¼ bounds the curvature of a class's loss (Böhning 1992)
        shrunk = np.append(np.full(Z.shape[1] - 1, PENALTY), 0.0)[:, None]  # the intercept is not

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            beta = back(flat.reshape(-1, outputs))
            score = Z @ beta
            top = score.max(axis=1) if outputs > 1 else np.maximum(score[:, 0], 0.0)
            rising = np.exp(score - top[:, None])
            total = rising.sum(axis=1) + (np.exp(-top) if outputs == 1 else 0.0)
            value = w @ (top + np.log(total) - (hit * score).sum(axis=1)) + float((shrunk * beta * beta).sum()) / 2
            slope = Z.T @ (w[:, None] * (rising / total[:, None] - hit)) + shrunk * beta
            return float(value), turn(slope).ravel()

        start = np.zeros(Z.shape[1] * outputs)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "ftol": 1e-10, "maxcor": 20})
        return cls(expand, back(found.x.reshape(-1, outputs)))

    @classmethod
    def of_numbers(cls, columns: tuple[Compared, ...], X: np.ndarray, y: np.ndarray) -> Linear:
        expand = expansion(columns, X)
        Z = expand(X)
        back, turn = _even(Z, np.ones(len(y)))
        middle, spread = float(y.mean()), float(y.std()) or 1.0
        return cls(expand, middle * _last(Z.shape[1]) + spread * back(turn(Z.T @ ((y - middle) / spread)[:, None])))

    def chances(self, X: np.ndarray) -> np.ndarray:
        score = self.expand(X) @ self.weights
        score = np.column_stack([np.zeros(len(X)), score]) if score.shape[1] == 1 else score
        score = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(score / score.sum(axis=1, keepdims=True))

    def numbers(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.expand(X) @ self.weights)[:, 0]


def expansion(columns: tuple[Compared, ...], X: np.ndarray) -> Callable[[np.ndarray], Any]:
    """How rows become the features of a linear model, learned from the rows X that it is trained on.

    The function returns a sparse matrix of shape (rows, features): numbers in standard deviations from their mean, 0 where
    null, a feature for being null, one for each frequent category, and last the intercept.
    """
    from scipy import sparse

    parts: list[tuple[int, np.ndarray | None, float, float]] = []  # column, its categories' codes, mean, spread
    most = max(1, min(LEVELS, FEATURES // len(columns)))
    for j, column in enumerate(columns):
        known = X[~np.isnan(X[:, j]), j]
        if column.is_category:
            codes, tally = np.unique(known, return_counts=True)
            parts.append((j, codes[np.argsort(-tally, kind="stable")][: min(most, int((tally >= FEW).sum()))], 0.0, 1.0))
        else:
            known = np.clip(known, -LARGEST, LARGEST)
            mean, spread = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
            parts.append((j, None, mean, spread))

    def expand(rows: np.ndarray) -> Any:
        blocks = []
        for j, codes, mean, spread in parts:
            values = rows[:, j]
            null = np.isnan(values)
            if codes is None:
                far = (
                    np.clip((np.where(null, mean, values) - mean) / spread, -FAR, FAR) if spread > 0 else np.zeros(len(values))
                )
                blocks.append(sparse.csr_matrix(far[:, None]))
                if columns[j].column.nullable:
                    blocks.append(sparse.csr_matrix(null[:, None].astype(np.float64)))
            else:
                order = np.argsort(codes)
                place = np.searchsorted(codes[order], values)
                hit = np.flatnonzero(np.isin(values, codes))
                shape = (len(values), len(codes) + 1)
                at = np.append(order[place[hit]], np.full(int(null.sum()), len(codes)))
                which = np.append(hit, np.flatnonzero(null))
                blocks.append(sparse.csr_matrix((np.ones(len(which)), (which, at)), shape=shape))
        blocks.append(sparse.csr_matrix(np.ones((len(rows), 1))))
        return sparse.hstack(blocks, format="csr")

    return expand


def _even(Z: Any, w: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """A change of coordinates in which the loss is about as steep in all directions, and its transpose.

    With H = Zᵀ diag(w) Z + the penalty, back(turn(g)) solves H x = g.
    """
    from scipy.linalg import cholesky, solve_triangular

    H = np.asarray((Z.multiply(w[:, None]).T @ Z).todense())
    H[np.diag_indices_from(H)] += np.append(np.full(len(H) - 1, PENALTY), 1e-9 * w.sum())  # the intercept is not shrunk
    factor = cholesky(H, lower=True)
    return (
        lambda x: np.asarray(solve_triangular(factor, x, lower=True, trans="T")),
        lambda g: np.asarray(solve_triangular(factor, g, lower=True)),
    )


def _last(features: int) -> np.ndarray:
    """The intercept's direction: shape (features, 1)."""
    return np.asarray((np.arange(features) == features - 1).astype(np.float64)[:, None])


@dataclass(frozen=True, eq=False)
class Forest:
    """A random forest (Breiman 2001).

    scikit-learn sets the filters of warnings anew for each tree, for the whole process: one thread at a time, or it warns.
    """

    model: Any

    @classmethod
    def of_classes(cls, X: np.ndarray, y: np.ndarray, seed: int, weight: np.ndarray | None = None) -> Forest:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(FOREST, min_samples_leaf=LEAF, max_features="sqrt", random_state=seed)
        with QUIET:
            return cls(model.fit(_single(X), y, sample_weight=weight))

    @classmethod
    def of_numbers(cls, X: np.ndarray, y: np.ndarray, seed: int) -> Forest:
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(FOREST, min_samples_leaf=LEAF, max_features=1 / 3, random_state=seed)
        with QUIET:
            return cls(model.fit(_single(X), y))

    def chances(self, X: np.ndarray) -> np.ndarray:
        with QUIET:
            return np.asarray(self.model.predict_proba(_single(X)))

    def numbers(self, X: np.ndarray) -> np.ndarray:
        with QUIET:
            return np.asarray(self.model.predict(_single(X)))


def _single(X: np.ndarray) -> np.ndarray:
    """Numbers that single precision holds; the trees know what to do with nulls."""
    return np.asarray(np.clip(X, -LARGEST, LARGEST).astype(np.float32))
