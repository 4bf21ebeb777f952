"""Whether written rows vary as the training rows do, or a generator has collapsed onto a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

EXPECTED = 5.0  # rows that a state must lead one to expect before its absence says anything
NEAR = 5  # stretches that each mode's positions are cut into: rows that agree in all of them are near-identical
FEW_COMBINATIONS = 0.5  # of the distinct rows among as many training rows: fewer is a collapse ...
HARDLY_ANY = 0.05  # ... and fewer than this makes the model unusable
MANY_MISSING = 0.1  # share of the rows' mass, of all columns' states, that is never drawn
MANY_ALIKE = 0.2  # near-identical rows beyond those among training rows


@dataclass(frozen=True)
class Variety:
    """What as many written rows as training rows hold; shares of the rows, or of the training rows' figure."""

    rows: int
    combinations: float  # distinct combinations of states, over those among the training rows
    pairs: float  # the same for the states of two columns, the mean over pairs of columns
    missing: tuple[str, ...]  # columns with states that were to be expected and never come
    missing_share: float  # training rows in such a state, the mean over columns
    alike: float  # rows that agree with another one in all states and nearly in all positions
    alike_real: float  # the same among the training rows

    @classmethod
    def of(cls, real: tuple[np.ndarray, np.ndarray], fake: tuple[np.ndarray, np.ndarray], names: Sequence[str]) -> Variety:
        """Compare states, int of shape (rows, columns), and positions, float of shape (rows, positions), of as many rows."""
        rows, columns = real[0].shape
        missing, shares = [], []
        for k, name in enumerate(names):
            counts = np.bincount(real[0][:, k])
            drawn = np.bincount(fake[0][:, k], minlength=len(counts))[: len(counts)]
            gone = (counts >= EXPECTED) & (drawn == 0)
            shares.append(counts[gone].sum() / rows)
            if gone.any():
                missing.append(name)
        pairs = [
            _distinct(fake[0][:, [k, k - 1]]) / max(1, _distinct(real[0][:, [k, k - 1]]))
            for k in range(1 if columns > 1 else 0, columns)
        ]
        return cls(
            rows,
            _distinct(fake[0]) / max(1, _distinct(real[0])),
            float(np.mean(pairs)),
            tuple(missing),
            float(np.mean(shares)),
            _alike(*fake),
            _alike(*real),
        )

    @property
    def is_collapsed(self) -> bool:
        return (
            self.combinations < FEW_COMBINATIONS
            or self.missing_share > MANY_MISSING
            or self.alike > self.alike_real + MANY_ALIKE
        )

    @property
    def is_unusable(self) -> bool:
        return self.combinations < HARDLY_ANY

    def __str__(self) -> str:
        without = (
            f"; states are missing in {', '.join(self.missing[:4])}{' …' * (len(self.missing) > 4)}" if self.missing else ""
        )
        return (
            f"{self.rows:,} written rows hold {self.combinations:.0%} of the combinations that as many training rows hold, and "
            f"{self.alike:.0%} of them are near-identical to another ({self.alike_real:.0%} among the training rows){without}"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "missing": list(self.missing), "collapsed": self.is_collapsed}


def _distinct(cells: np.ndarray) -> int:
    return len(np.unique(cells, axis=0))


def _alike(states: np.ndarray, positions: np.ndarray) -> float:
    cells = np.hstack([states, np.floor((positions + 1) / 2 * NEAR).clip(0, NEAR - 1).astype(states.dtype)])
    counts = np.unique(cells, axis=0, return_counts=True)[1]
    return float(counts[counts > 1].sum() / max(1, len(states)))
