"""Boosted trees as the judges: features from coded columns, and the two models that several metrics share."""

from __future__ import annotations

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side

NATIVE = 254  # categories up to which boosted trees split on sets of them; more are put in order of their frequency
TREES = 100  # boosting rounds, the scikit-learn default


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


def classifier(columns: tuple[Compared, ...], seed: int) -> object:
    """Unfitted boosted trees that tell classes apart."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=TREES, early_stopping=False, categorical_features=categorical(columns), random_state=seed
    )


def regressor(columns: tuple[Compared, ...], seed: int) -> object:
    """Unfitted boosted trees that predict a number."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=TREES, early_stopping=False, categorical_features=categorical(columns), random_state=seed
    )


def draw(evidence: Evidence, side: Side, rows: int, purpose: str) -> np.ndarray:
    """Positions of `rows` rows of a table (all where it has no more), drawn without replacement, in order."""
    have = evidence.rows(side)
    if have <= rows:
        return np.arange(have)
    return np.sort(evidence.rng(f"{purpose}.{side}").permutation(have)[:rows])
