"""Rare combinations of a few values: how often those of one training row come back, beside those of one holdout row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from synth.metrics.combinations import prints
from synth.metrics.evidence import Evidence, Side
from synth.metrics.intervals import wilson
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.memorised import sides
from synth.metrics.registry import NothingThereError, Reading, metric

PAIRS = 60  # pairs of columns that are looked at, and as many triples
FAKE = 40_000  # synthetic rows that are looked through
FINE = 100  # cells that a number with many values is cut into
MANY = 0.2  # distinct values per row from which on a number's values are not taken as they are
WORST = 20  # sets of columns that are named


@metric("privacy.rare_combinations", better="lower", cost=0.5)
def rare_combinations(evidence: Evidence) -> Iterator[Reading]:
    """Share of combinations of two or three values, of one training row and no holdout row, that come back; 0 is none.

    The reference is that of combinations of one holdout row and no training row. Both tables have equally many rows here, so
    that without memorisation a combination comes back as often whichever of the two it is of. Intervals: Wilson's, at as many
    combinations as tell something apart, since one row has many.
    """
    chosen = sides(evidence)
    train, fake = chosen.blocks[0], draw(evidence, "synthetic", FAKE, "rare_combinations")
    tables = [
        _cells(evidence, "train", train),
        _cells(evidence, "holdout", chosen.holdout),
        _cells(evidence, "synthetic", fake),
    ]
    rng, width = evidence.rng("rare_combinations"), len(evidence.columns)
    back = {side: np.zeros((2, len(train))) for side in ("train", "holdout")}  # per row: combinations, and those that came back
    worst = []
    for size in (2, 3):
        every = list(combinations(range(width), size))
        for place in rng.permutation(len(every))[:PAIRS]:
            columns = list(every[place])
            sums = [table[columns].sum(axis=0, dtype=np.uint64) for table in tables]
            rates = []
            for side, own, other in (("train", sums[0], sums[1]), ("holdout", sums[1], sums[0])):
                rows = _only_once(own, other)
                came = np.isin(own[rows], sums[2])
                back[side][0, rows] += 1
                back[side][1, rows] += came
                rates.append((int(came.sum()), len(rows)))
            worst.append((rates[0][0] - rates[1][0], columns, rates))
    if not back["train"][0].any() or not back["holdout"][0].any():
        raise NothingThereError("no combination of two or three values occurs in one row only")
    worst.sort(key=lambda item: -item[0])
    named = [
        {"columns": [evidence.columns[c].name for c in columns], "train": list(rates[0]), "holdout": list(rates[1])}
        for more, columns, rates in worst[:WORST]
        if more > 0
    ]
    yield Reading(
        _rate(*back["train"]),
        _rate(*back["holdout"]),
        detail={"worst": named, "reference": "combinations of one holdout row and of no training row"},
    )


def _cells(evidence: Evidence, side: Side, rows: np.ndarray) -> np.ndarray:
    """Prints of the values, of numbers with many values those of fine cells: shape (columns, rows)."""
    exact, binned = prints(evidence, side, rows), prints(evidence, side, rows, FINE)
    for place, column in enumerate(evidence.columns):
        if column.levels is None and len(np.unique(column.train)) > MANY * len(column.train):
            exact[place] = binned[place]
    return exact


def _only_once(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Positions of the rows whose combination no other row has, in either table."""
    _, first, times = np.unique(own, return_index=True, return_counts=True)
    alone = np.sort(first[times == 1])
    return alone[~np.isin(own[alone], other)]


def _rate(combos: np.ndarray, back: np.ndarray) -> Interval:
    """The ratio of two sums over rows, Wilson's interval at the number of combinations with the variance that rows give it."""
    total = combos.sum()
    rate = float(back.sum() / total)
    if not 0 < rate < 1:
        return wilson(round(rate * (combos > 0).sum()), int((combos > 0).sum()))
    spread = float(((back - rate * combos) ** 2).sum() / total**2)
    effective = max(1.0, rate * (1 - rate) / spread)
    found = wilson(rate * effective, effective)
    return Interval(rate, min(found.low, rate), max(found.high, rate), int(total))
