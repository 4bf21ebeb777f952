"""One pass over the joint tables of the pairs of columns: errors, what chance alone explains of them, and information."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from synth.metrics.evidence import Evidence, Side
from synth.metrics.histograms import Cuts, Pairing, joint_counts, joint_cuts, replicates, subsampled, total_variation
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError

PAIRS = 1_500  # pairs beyond which a seeded sample of them is taken
WORST = 20  # pairs named in the detail

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Joints:
    """What the joint tables of the pairs hold. The first index: of all rows, then of each replicate.

    errors: total variation between the training rows' table and that of the synthetic or of the holdout rows, as if these were
        as many as the synthetic ones: shape (1 + replicates, pairs).
    excess: errors beyond what they would be on average if chance alone had shared the rows out: shape (1 + replicates, pairs).
    information: normalised mutual information of each side's rows: shape (1 + replicates, pairs).
    """

    cuts: Cuts
    pairs: tuple[Pair, ...]
    every: int  # pairs that there are, of which `pairs` may be a sample
    errors: dict[Side, np.ndarray]
    excess: dict[Side, np.ndarray]
    information: dict[Side, np.ndarray]

    def names(self, pair: int) -> list[str]:
        """The two columns of a pair."""
        return [self.cuts.columns[i].name for i in self.pairs[pair]]

    def pairing(self, side: Side) -> Pairing:
        """The training rows beside those of a side."""
        return self.cuts.real if side == "holdout" and self.cuts.real is not None else self.cuts.judged


def joints(evidence: Evidence) -> Joints:
    """The joint tables, counted once per evidence. Raises NothingThereError for a table of a single column."""
    return evidence.once("joint_tables", lambda: _joints(evidence))


def _joints(evidence: Evidence) -> Joints:
    pairs = list(combinations(range(len(evidence.columns)), 2))
    if not pairs:
        raise NothingThereError("a single column has no pairs")
    every = len(pairs)
    if every > PAIRS:
        kept = np.sort(evidence.rng("fidelity.trend.pairs").permutation(every)[:PAIRS])
        pairs = [pairs[i] for i in kept]
    cuts = joint_cuts(evidence)
    samples = cuts.samples
    shrink: dict[Side, float] = {pair.other.side: pair.shrink for pair in (cuts.judged, cuts.real) if pair is not None}
    book = entropy_book(max(len(sample) for sample in samples.values()))
    alone = {
        side: np.column_stack([entropy(replicates(joint_counts((c,), sample)), book) for c in cuts.columns])
        for side, sample in samples.items()
    }
    shape = len(alone["train"]), len(pairs)
    errors, excess = ({side: np.empty(shape) for side in shrink} for _ in range(2))
    information: dict[Side, np.ndarray] = {side: np.empty(shape) for side in samples}
    deviation = {side: chance_deviation(len(samples["train"]), len(samples[side])) for side in shrink}
    for place, (i, j) in enumerate(pairs):
        table = {side: replicates(joint_counts((cuts.columns[i], cuts.columns[j]), s)) for side, s in samples.items()}
        for side, less in shrink.items():
            raw = total_variation(table["train"], table[side])
            chance = deviation[side][(table["train"][0] + table[side][0]).astype(np.intp)].sum() / 2
            # a fifth of the rows has more noise on average, which is no part of its spread
            excess[side][:, place] = less * np.concatenate([raw[:1] - chance, raw[1:] - raw[1:].mean() + raw[0] - chance])
            errors[side][:, place] = raw if less == 1.0 else total_variation(table["train"], table[side], less)
        for side in samples:
            first, second = alone[side][:, i], alone[side][:, j]
            shared = first + second - entropy(table[side], book)
            scale = np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
            information[side][:, place] = np.clip(np.where(scale > 1e-9, shared / np.maximum(scale, 1e-9), 0.0), 0, 1)
    return Joints(cuts, tuple(pairs), every, errors, excess, information)


def chance_deviation(n: int, m: int) -> np.ndarray:
    """E|X/n − (t − X)/m| for t = 0, …, n + m rows of a cell that chance shares out between tables of n and m rows.

    X is binomial, whose mean absolute deviation De Moivre gave: 2ν·C(t, ν)·q^ν·(1−q)^(t−ν+1) with ν = ⌊tq⌋ + 1. That both
    tables are filled in the end makes it smaller by √(1 − t/(n + m)).
    """
    from scipy.special import gammaln

    t, q = np.arange(n + m + 1), n / (n + m)
    v = np.floor(t * q) + 1
    chosen = gammaln(t + 1) - gammaln(v + 1) - gammaln(np.maximum(t - v, 0) + 1)
    deviation = np.exp(np.log(2 * v) + chosen + v * np.log(q) + (t - v + 1) * np.log1p(-q))
    deviation[0] = 0.0  # the only case in which ν is above t
    return np.asarray(deviation * (1 / n + 1 / m) * np.sqrt(1 - t / (n + m)))


def entropy_book(rows: int) -> np.ndarray:
    """n·G(n) for n = 0, …, rows: Grassberger's (physics/0307138, eq. 30) correction of entropies for few rows per cell."""
    from scipy.special import digamma

    n = np.arange(1, rows + 1, dtype=np.float64)
    half = (digamma((n + 1) / 2) - digamma(n / 2)) / 2
    return np.concatenate([[0.0], n * (digamma(n) + np.where(n % 2 == 0, half, -half))])


def entropy(table: np.ndarray, book: np.ndarray) -> np.ndarray:
    """The entropy in nats of each row of counts, shape (k, cells) → (k,)."""
    rows = np.maximum(table.sum(axis=1), 1)
    return np.asarray(np.log(rows) - book[table.astype(np.intp)].sum(axis=1) / rows)


def mean_interval(errors: np.ndarray, pair: Pairing, every: int) -> Interval:
    """The mean over pairs of columns with its interval, widened where they are a sample of `every`.

    errors: shape (1 + replicates, pairs).
    """
    pairs = errors.shape[1]
    drawn = math.sqrt(float(errors[0].var(ddof=1)) / pairs * (1 - pairs / every)) if every > pairs > 1 else 0.0
    return subsampled(errors.mean(axis=1), pair, drawn=drawn)


def worst_pairs(
    found: Joints, errors: np.ndarray, reference: np.ndarray | None, beyond: np.ndarray | None = None, **more: np.ndarray
) -> list[dict[str, Any]]:
    """The pairs furthest beyond real rows, each with the error of both and with `more` figures: all of shape (pairs,).

    beyond: how far beyond, where that is not the difference of the two errors.
    """
    if beyond is None:
        beyond = errors if reference is None else errors - reference
    return [
        {
            "columns": found.names(int(place)),
            "error": float(errors[place]),
            "reference": None if reference is None else float(reference[place]),
            **{name: float(figures[place]) for name, figures in more.items()},
        }
        for place in np.argsort(-beyond, kind="stable")[:WORST]
    ]
