"""What writes the rows of a GAN: one network, or, under a budget, several of one training beside columns that are unrelated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from synth.generators._modes import Modes
from synth.generators._training import load_weights, one_thread
from synth.generators._written import Written, apart, evened, quantiles

if TYPE_CHECKING:
    from synth.generators._gan_net import Writer

BLOCK = 4_096  # rows that are written together
ROUNDS = 6  # of setting frequencies right
STEP = 0.7  # ... each going so far of the way, at most MOST_STEP in log-odds
MOST_STEP = 2.0


@dataclass(frozen=True, eq=False)
class Writers:
    """Each row is of one of these networks, all of them as likely, or, for a share of the rows, of none.

    weights: of each network. unrelated: share of the rows whose columns are drawn one by one. bias: what is added to the
    log-odds of each network's states, float32 of shape (networks, states). knots: quantiles of positions, as `quantiles` gives
    them. Rows that are given something, or are drawn within something, are shared out as all others are: their weights are
    right for the whole.
    """

    columns: Sequence[Modes]
    width: int
    noise: int
    weights: Sequence[Mapping[str, np.ndarray]]
    unrelated: float = 0.0
    bias: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    knots: Sequence[np.ndarray] = ()

    @property
    def networks_alone(self) -> Writers:
        """Without the rows that no network writes."""
        return replace(self, unrelated=0.0)

    def open(self, rows: int) -> np.ndarray:
        """What rows are given that are given nothing."""
        return np.full((rows, len(self.columns)), -1, dtype=np.int64)

    def set_right(self, judged: int, rng: np.random.Generator) -> Writers:
        """With log-odds moved until each column's states come as often as in training, and positions made even.

        The critic teaches what goes with what; how often a state comes is known, and need not be left to it. judged: rows that
        this is judged by; networks share them, as what each of them has wrong by chance evens out among all.
        """
        rows = max(1, judged // len(self.weights))
        bias = np.zeros((len(self.weights), sum(modes.states for modes in self.columns)), dtype=np.float32)
        wanted = [(modes.counts + 1) / (modes.counts.sum() + modes.states) for modes in self.columns]
        for number in range(len(self.weights)):
            for _ in range(ROUNDS):
                states = self._written_by(number, self.open(rows), bias[number], rng, {}).states
                drawn = [np.bincount(states[:, k], minlength=modes.states) for k, modes in enumerate(self.columns)]
                share = [(count + 1) / (rows + len(count)) for count in drawn]
                short = np.log(np.concatenate(wanted) / np.concatenate(share))
                bias[number] += STEP * np.clip(short, -MOST_STEP, MOST_STEP)
        uneven = [self._written_by(number, self.open(rows), bias[number], rng, {}) for number in range(len(self.weights))]
        together = Written.together(uneven)
        return replace(self, bias=bias, knots=quantiles(self.columns, together.states, together.positions))

    def write(self, given: np.ndarray, rng: np.random.Generator, within: Mapping[int, np.ndarray]) -> Written:
        """Rows that are given states, int64 of shape (rows, columns), -1 for none.

        within: for some columns, the share of each state's draws that is wanted.
        """
        whose = self._shared_out(len(given), rng)
        places = [np.flatnonzero(whose == number) for number in range(len(self.weights) + bool(self.unrelated))]
        parts = []
        for number, place in enumerate(places[: len(self.weights)]):
            if number and not len(place):  # the first is asked even for no rows, which have a shape
                continue
            rows = self._written_by(number, given[place], self.bias[number], rng, within)
            parts.append(replace(rows, positions=evened(self.columns, self.knots, rows.states, rows.positions)))
        if self.unrelated:
            parts.append(apart(self.columns, given[places[-1]], rng, within))
        return Written.together(parts).take(np.argsort(np.concatenate(places)))

    def _shared_out(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        """Which network writes each row, int of shape (rows,); their number stands for none."""
        networks = len(self.weights)
        if networks == 1 and not self.unrelated:
            return np.zeros(rows, dtype=np.int64)
        shares = [(1 - self.unrelated) / networks] * networks + [self.unrelated]
        return rng.choice(networks + 1, size=rows, p=shares)

    def _written_by(
        self, number: int, given: np.ndarray, bias: np.ndarray, rng: np.random.Generator, within: Mapping[int, np.ndarray]
    ) -> Written:
        """Rows of one network, with positions as it gives them."""
        import torch

        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        parts: list[Written] = []
        with one_thread():
            moved = torch.from_numpy(bias)
            wanted = {place: torch.from_numpy(share.astype(np.float32)) for place, share in within.items()}
            for start in range(0, max(1, len(given)), BLOCK):
                _, *made = self._networks[number](torch.from_numpy(given[start : start + BLOCK]), noise, moved, wanted)
                positions, states, weights = (part.numpy() for part in made)
                parts.append(Written(states, positions, weights))
        return Written.together(parts)

    @cached_property
    def _networks(self) -> list[Writer]:
        from synth.generators._gan_net import ColumnFacts, Writer

        facts = [ColumnFacts.of(modes) for modes in self.columns]
        return [load_weights(Writer(facts, self.width, self.noise), weights) for weights in self.weights]
