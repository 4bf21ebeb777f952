"""What trees are grown to tell apart, and how the levels of categories are placed for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synth.generators._codes import Codebook

MOST_CLASSES = 64  # a category with more levels is classified by its commonest ones, the rest taken together
SPIKES_ABOVE = 0.02  # a number holding more than this share of the rows is an outcome of its own when trees are grown
MOST_SPIKES = 12  # at most so many of them, the commonest ones


def outcomes(book: Codebook, codes: np.ndarray, repeats: np.ndarray) -> tuple[np.ndarray, bool]:
    """What impurity is measured on, and whether it is a class.

    For numbers their rank in [0, 1], whether they are a spike or null, and which earlier column they repeat (repeats: int of
    shape (rows,), -1 for none).
    """
    null = codes < 0
    if not book.is_number:
        if book.distinct <= MOST_CLASSES:
            return codes, True
        common = np.argsort(-book.counts, kind="stable")[: MOST_CLASSES - 2]
        group = np.full(book.levels + 1, MOST_CLASSES, dtype=np.int32)
        group[common] = np.arange(len(common))
        return np.where(null, -1, group[codes]), True
    rank = np.full(len(codes), 0.5)
    rank[~null] = book.ranks[codes[~null]]
    spikes = np.flatnonzero(book.counts > SPIKES_ABOVE * len(codes))
    spikes = spikes[np.argsort(-book.counts[spikes], kind="stable")[:MOST_SPIKES]]
    repeated = (repeats == place for place in range(repeats.max(initial=-1) + 1))
    outputs = [rank, *(codes == spike for spike in spikes), *repeated, *([null] if null.any() else [])]
    return np.column_stack(outputs).astype(np.float64), False


def level_order(codes: np.ndarray, book: Codebook, target: np.ndarray, classify: bool) -> np.ndarray:
    """Place the levels of a category by what they say about the target, as float32 of shape (levels + 1,), null last.

    By the first principal component of the target's mean per level, as in Coppersmith, Hong and Hosking, "Partitioning
    nominal attributes in decision trees", 1999.
    """
    level = np.where(codes < 0, book.levels, codes)
    counts = np.bincount(level, minlength=book.levels + 1)
    if classify:
        _, target = np.unique(target, return_inverse=True)
        kinds = int(target.max()) + 1
        sums = np.bincount(level * kinds + target, minlength=(book.levels + 1) * kinds).reshape(book.levels + 1, kinds)
    else:
        sums = np.column_stack([np.bincount(level, weights=column, minlength=book.levels + 1) for column in target.T])
    overall = sums.sum(axis=0) / len(codes)
    means = (sums + 10 * overall) / (counts + 10)[:, None] - overall
    _, _, directions = np.linalg.svd(means * np.sqrt(counts)[:, None], full_matrices=False)
    score = means @ directions[0]
    place = np.empty(len(score), dtype=np.float32)
    place[np.argsort(score, kind="stable")] = np.arange(len(score))
    return place


def associations(codes: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """How strongly each pair of columns is correlated by rank, on at most 10,000 rows."""
    names = list(codes)
    n = len(codes[names[0]])
    rows = rng.choice(n, size=10_000, replace=False) if n > 10_000 else np.arange(n)
    ranks = np.column_stack([_mid_ranks(codes[name][rows]) for name in names])
    ranks -= ranks.mean(axis=0)
    scale = np.sqrt((ranks**2).sum(axis=0))
    strength = np.abs(ranks.T @ ranks) / np.maximum(np.outer(scale, scale), 1e-12)
    return {a: {b: float(strength[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)}


def _mid_ranks(codes: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(((below[:-1] + below[1:]) / 2)[inverse])
