"""Rows as a GAN writes them, and positions that are made even by their rank among what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synth.generators._modes import Modes

KNOTS = 33  # quantiles of each mode's positions
FEWEST_POSITIONS = 20  # positions that tell quantiles


@dataclass(frozen=True, eq=False)
class Written:
    """Rows as states of shape (rows, columns), positions (rows, columns that have them) and weights (rows,)."""

    states: np.ndarray
    positions: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> Written:
        return Written(self.states[rows], self.positions[rows], self.weights[rows])

    @classmethod
    def together(cls, parts: list[Written]) -> Written:
        fields = ((part.states, part.positions, part.weights) for part in parts)
        return cls(*(np.concatenate(field) for field in zip(*fields, strict=True)))


def apart(
    columns: Sequence[Modes],
    given: np.ndarray,
    rng: np.random.Generator,
    within: Mapping[int, np.ndarray] | None = None,
) -> Written:
    """Rows whose columns have nothing to do with each other, but for states that are given: -1 for none.

    within: for some columns, the share of each state's draws that is wanted: the state is drawn among these, and the row's
    weight is the probability that all would have come of themselves.
    """
    states, weights = given.copy(), np.ones(len(given), dtype=np.float32)
    for k, modes in enumerate(columns):
        chance = (modes.counts + 1) / (modes.counts + 1).sum()
        if within is not None and k in within:
            chance = chance * within[k]
            weights *= chance.sum()
        free = states[:, k] < 0
        states[free, k] = rng.choice(modes.states, int(free.sum()), p=chance / chance.sum())
    positions = rng.uniform(-1, 1, (len(given), sum(m.has_position for m in columns)))
    return Written(states, positions.astype(np.float32), weights)


def quantiles(columns: Sequence[Modes], states: np.ndarray, positions: np.ndarray) -> list[np.ndarray]:
    """For each column with positions, KNOTS quantiles of those in each state, float64 of shape (states, KNOTS)."""
    found = []
    even = np.linspace(-1, 1, KNOTS)
    for place, (k, modes) in enumerate((k, modes) for k, modes in enumerate(columns) if modes.has_position):
        knots = np.tile(even, (modes.states, 1))
        for state in np.flatnonzero(modes.wide):
            own = positions[states[:, k] == state, place]
            if len(own) >= FEWEST_POSITIONS:
                knots[state] = np.quantile(own.astype(np.float64), (even + 1) / 2)
        found.append(knots)
    return found


def evened(columns: Sequence[Modes], knots: Sequence[np.ndarray], states: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Positions by their rank among those that the writer gives in that state."""
    found = positions.copy()
    even = np.linspace(-1, 1, KNOTS)
    for place, (k, modes) in enumerate((k, modes) for k, modes in enumerate(columns) if modes.has_position):
        for state in np.flatnonzero(modes.wide):
            own = states[:, k] == state
            found[own, place] = np.interp(positions[own, place], knots[place][state], even)
    return found
