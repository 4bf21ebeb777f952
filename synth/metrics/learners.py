"""Boosted trees as the judges: features from coded columns, and the two models that several metrics share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side

NATIVE = 254  # categories up to which boosted trees split on sets of them; more are put in order of their frequency
TREES = 100  # boosting rounds, the scikit-learn default
QUIET = Lock()  # warnings are silenced for the whole process: by one thread at a time, or they stay so
SHRINKAGE = 1.0  # without it leaf values explode where classes are rare: KDD'99 falls from an AUC of .9999 to .54


def features(columns: tuple[Compared, ...], side: Side, rows: np.ndarray | None = None) -> np.ndarray:
    """The columns of one table as a float64 matrix of shape (rows, columns), NaN for null.

    A category is its rank by frequency among the training rows, so that the most frequent ones come first.
    """
    matrix = np.empty((len(columns[0].of(side) if rows is None else rows), len(columns)))
    for j, column in enumerate(columns):
        values = column.of(side) if rows is None else column.of(side)[rows]
        if column.levels is None:
            matrix[:, j] = values
            continue
        seen = np.bincount(column.train[column.train >= 0], minlength=column.levels)
        rank = np.empty(column.levels + 1)
        rank[np.argsort(-seen, kind="stable")] = np.arange(column.levels)
        rank[-1] = np.nan  # the code of null is -1
        matrix[:, j] = rank[values]
    return matrix


def categorical(columns: tuple[Compared, ...]) -> np.ndarray:
    """Which features boosted trees should split on as sets of categories."""
    return np.array([column.levels is not None and 2 < column.levels <= NATIVE for column in columns])


@dataclass(frozen=True, eq=False)
class Judge:
    """Fitted boosted trees, on one thread.

    Boosting's threads wait for each other by spinning, at every node: beside any other work on the machine that made
    evaluations forty times slower, and at these sizes a second thread gains next to nothing.
    """

    model: Any

    @classmethod
    def of_classes(
        cls,
        columns: tuple[Compared, ...],
        X: np.ndarray,
        y: np.ndarray,
        seed: int,
        weight: np.ndarray | None = None,
        trees: int = TREES,
    ) -> Judge:
        """Trees that tell the classes y apart. weight: of each row, shape (rows,); `trees` boosting rounds."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        return cls._fit(HistGradientBoostingClassifier, columns, X, y, seed, weight, trees)

    @classmethod
    def of_numbers(cls, columns: tuple[Compared, ...], X: np.ndarray, y: np.ndarray, seed: int, trees: int = TREES) -> Judge:
        """Trees that predict the number y."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        return cls._fit(HistGradientBoostingRegressor, columns, X, y, seed, None, trees)

    @classmethod
    def _fit(
        cls,
        kind: Any,
        columns: tuple[Compared, ...],
        X: np.ndarray,
        y: np.ndarray,
        seed: int,
        weight: np.ndarray | None,
        trees: int,
    ) -> Judge:
        empty = np.isnan(X).all(axis=0)  # which the trees cannot bin
        model = kind(
            max_iter=trees,
            l2_regularization=SHRINKAGE,
            early_stopping=False,
            categorical_features=categorical(columns) & ~empty,
            random_state=seed,
        )
        with _one_thread():
            return cls(model.fit(np.where(empty, 0.0, X), y, sample_weight=weight))

    def log_odds(self, X: np.ndarray) -> np.ndarray:
        """Of the second of two classes: shape (rows,)."""
        with _one_thread():
            return np.asarray(self.model.decision_function(X))

    def chances(self, X: np.ndarray) -> np.ndarray:
        """Of each class: shape (rows, classes)."""
        with _one_thread():
            return np.asarray(self.model.predict_proba(X))

    def numbers(self, X: np.ndarray) -> np.ndarray:
        """Predicted values: shape (rows,)."""
        with _one_thread():
            return np.asarray(self.model.predict(X))


@contextmanager
def _one_thread() -> Iterator[None]:
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with threadpool_limits(1, user_api="openmp"):
        yield


def draw(evidence: Evidence, side: Side, rows: int, purpose: str) -> np.ndarray:
    """Positions of `rows` rows of a table (all where it has no more), drawn without replacement, in order."""
    have = evidence.rows(side)
    if have <= rows:
        return np.arange(have)
    return np.sort(evidence.rng(f"{purpose}.{side}").permutation(have)[:rows])
