"""A boosted guess at one column from the columns before it, one more thing that its trees can ask about.

A tree sees few columns on its way down; a column that depends on many of them at once, as a target often does, needs a sum of
trees (Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001). Two guesses are
learned, each on half of the rows, and a training row is guessed by the half it is not in: a guess that had seen the row would
be trusted too much. Each tree is grown on such guesses, and walked with those of one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from synth.generators._walk import walkers

ROUNDS = 40  # trees that add up to a guess, for each class where there are more than two
RATE = 0.2  # how much of its correction each of them makes
LEAVES = 31  # of one of them
FEWEST_IN_LEAF = 20
FEWEST_ROWS = 400  # below which there is too little to learn a guess from
MOST_CLASSES = 8  # beyond which a guess for each class costs too much


@dataclass(frozen=True, eq=False)
class Guess:
    """Sums of trees: node arrays of shape (nodes,); tree t begins at `root[t]`, belongs to half `half[t]` and adds to output
    `output[t]`. `start` of shape (2, outputs) is what each half's sums begin with."""

    root: np.ndarray
    half: np.ndarray
    output: np.ndarray
    start: np.ndarray
    left: np.ndarray  # -1 at a leaf
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    @cached_property
    def _walkers(self) -> tuple[Any, ...]:
        return walkers(self.root, self.left, self.right, self.feature, self.threshold)

    def of(self, features: np.ndarray, half: np.ndarray) -> np.ndarray:
        """The guess of each row by one half: features float32 of shape (rows, features), half of shape (rows,).

        float32 of shape (rows, outputs): log-odds of two classes, one logit for each of more, or the rank of a number.
        """
        out = self.start[half].astype(np.float64)
        for which in range(2):
            mine = np.flatnonzero(half == which)
            asked = np.ascontiguousarray(features[mine], dtype=np.float32)
            for tree in np.flatnonzero(self.half == which):
                out[mine, self.output[tree]] += self.value[self.root[tree] + self._walkers[tree].apply(asked)]
        return np.asarray(out, dtype=np.float32)

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.guess.{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, np.ndarray]) -> Guess | None:
        if f"{prefix}.guess.root" not in arrays:
            return None
        return cls(**{f.name: arrays[f"{prefix}.guess.{f.name}"] for f in fields(cls)})


def learn_guess(
    features: np.ndarray,
    target: np.ndarray,
    *,
    classify: bool,
    most_rows: int,
    pool: ThreadPoolExecutor,
    rng: np.random.Generator,
) -> tuple[Guess, np.ndarray] | None:
    """A guess at the target, and each training row's, by the half that it is not in; None where none can be learned.

    features: float32 of shape (rows, features). target: class numbers or floats, of shape (rows,). Each half learns from at
    most `most_rows` rows.
    """
    classes = len(np.unique(target)) if classify else 0
    if len(target) < FEWEST_ROWS or not features.shape[1] or (classify and not 2 <= classes <= MOST_CLASSES):
        return None
    half = np.empty(len(target), dtype=np.int64)
    half[rng.permutation(len(target))] = np.arange(len(target)) % 2
    jobs = []
    for which in range(2):
        rows = np.flatnonzero(half == which)
        rows = np.sort(rng.choice(rows, most_rows, replace=False)) if len(rows) > most_rows else rows
        if classify and len(np.unique(target[rows])) < classes:
            return None
        jobs.append(pool.submit(_boosted, features[rows], target[rows], classify))
    guess = _together([job.result() for job in jobs])
    return guess, guess.of(features, 1 - half)


def _boosted(features: np.ndarray, target: np.ndarray, classify: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    method = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    model = method(
        max_iter=ROUNDS,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=FEWEST_IN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1, "openmp"):  # sums must not depend on the number of threads
        return model.fit(features, target)


def _together(models: list[Any]) -> Guess:
    """The models' trees as arrays. A leaf's value is what it adds, learning rate included."""
    parts: dict[str, list[Any]] = {name: [] for name in ("left", "right", "feature", "threshold", "value")}
    root, half, output, nodes = [], [], [], 0
    for which, model in enumerate(models):
        for trees in model._predictors:
            for out, tree in enumerate(trees):
                kept = tree.nodes
                inner = ~kept["is_leaf"].astype(bool)
                root.append(nodes)
                half.append(which)
                output.append(out)
                parts["left"].append(np.where(inner, kept["left"].astype(np.int64) + nodes, -1))
                parts["right"].append(np.where(inner, kept["right"].astype(np.int64) + nodes, -1))
                parts["feature"].append(np.where(inner, kept["feature_idx"], 0))
                parts["threshold"].append(np.where(inner, kept["num_threshold"], 0.0))
                parts["value"].append(kept["value"])
                nodes += len(kept)
    whole = {name: np.concatenate(part) for name, part in parts.items()}
    kinds = {"threshold": np.float64, "value": np.float64}
    start = np.array([np.ravel(model._baseline_prediction) for model in models], dtype=np.float64)
    places = {"root": np.array(root), "half": np.array(half), "output": np.array(output)}
    return Guess(
        **{name: part.astype(np.int32) for name, part in places.items()},
        start=start,
        **{name: part.astype(kinds.get(name, np.int32)) for name, part in whole.items()},
    )
