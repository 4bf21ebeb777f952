"""A number's line cut into bins, and these into pieces: evenly where nothing was paid, else where noisy counts find rows.

The line is `size` whole places. What is paid for goes level by level, as in PrivTree (Zhang, Xiao and Xie, "PrivTree: a
Differentially Private Algorithm for Hierarchical Decompositions", 2016), but with a depth that is known beforehand: a stretch
that holds enough rows is cut again, down to single places, so that a spike gets a bin of its own however long the line is.
Within a bin values follow the pieces. At equal cost this beats even bins, and bins cut from a fine even histogram: on the
numbers of Adult and Default, with a sixtieth of ε = 0.5 each, the largest error of a distribution function has the median 0.01
in place of 0.28 and 0.09.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synth.errors import BudgetError
from synth.privacy.mechanisms import Noise, sigma

FAN = 16  # about so many stretches that one is cut into: fewer take more levels, each with its own noise
PIECES = 4  # a stretch is cut on while it holds more than a bin's rows by this number
SURE = 3.0  # standard deviations of its noise by which a count must be above nothing to be believed


@dataclass(frozen=True, eq=False)
class Cuts:
    """How the places 0 … size − 1 of a line lie in bins, and within a bin in pieces.

    starts: first place of each piece, ascending from 0, int64 of shape (pieces,). bin_of: its bin, ascending from 0 without a
    gap. share: of its bin's values, float64; those of a bin sum to 1. Within a piece all places are alike.
    """

    size: int
    starts: np.ndarray
    bin_of: np.ndarray
    share: np.ndarray

    @classmethod
    def even(cls, size: int, bins: int) -> Cuts:
        """As many bins as places, or so many of equal width."""
        bins = min(size, bins)
        starts = np.array([size * place // bins for place in range(bins)], dtype=np.int64)
        return cls(size, starts, np.arange(bins), np.ones(bins))

    @classmethod
    def bought(
        cls, places: np.ndarray, size: int, bins: int, noise: Noise, micro_rho: int, *, rows_per_unit: int, what: str
    ) -> Cuts:
        """About so many bins of equal rows; one that holds more is a single place.

        places: int64 of shape (rows,). micro_rho: the most that it costs, equal parts for each level. Raises BudgetError where
        that is less than a part for each.
        """
        levels, fan = depth(size)
        cost = micro_rho // levels
        if cost < 1:
            raise BudgetError(f"{what} has {levels} levels, and {micro_rho} micro-ρ to pay for them; give it a larger share")
        sure = SURE * sigma(cost, rows_per_unit)
        line, rows = np.sort(places), 0.0
        open_, held = np.zeros(1, dtype=np.int64), np.zeros(1)
        found: list[tuple[np.ndarray, np.ndarray]] = []  # starts and rows of the stretches that are not cut again
        for level in range(levels):
            width = fan ** (levels - level - 1)
            starts = open_[:, None] + width * np.arange(fan)
            edges = np.searchsorted(line, np.append(starts, starts[:, -1:] + width, axis=1))
            noisy = noise.counts(np.diff(edges, axis=1), cost, sensitivity=rows_per_unit, what=f"{what}, level {level + 1}")
            if level == 0:
                held = noisy.sum(axis=1, keepdims=True)[:, 0].astype(float)
                rows = max(float(held[0]), 0.0)
            counts = _believed(noisy, held, sure)
            again = (counts > max(sure, rows / (bins * PIECES))) & (noisy >= sure) & (width > 1)
            found.append((starts[~again], counts[~again]))
            open_, held = starts[again], counts[again]
            if not len(open_):
                break
        starts, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(starts)[: np.searchsorted(np.sort(starts), size)]
        return cls._merged(size, starts[order], counts[order], max(rows / bins, sure))

    @classmethod
    def _merged(cls, size: int, starts: np.ndarray, counts: np.ndarray, full: float) -> Cuts:
        """Neighbouring pieces taken together until a bin is full; one that is more than full by itself stays alone."""
        bin_of, held = np.zeros(len(starts), dtype=np.int64), 0.0
        for piece, count in enumerate(counts.tolist()):
            ends = held > 0 and held + count / 2 > full
            held = count if ends else held + count
            bin_of[piece] = bin_of[piece - 1] + ends if piece else 0
        empty = (counts == 0) & (np.append(-1, bin_of[:-1]) == bin_of) & (np.append(1, counts[:-1]) == 0)
        starts, counts, bin_of = starts[~empty], counts[~empty], bin_of[~empty]  # stretches without rows, as one piece
        total = np.bincount(bin_of, weights=counts)
        wide = np.diff(starts, append=size).astype(float)
        weights = np.where(total[bin_of] > 0, counts, wide)
        return cls(size, starts, bin_of, weights / np.bincount(bin_of, weights=weights)[bin_of])

    @property
    def bins(self) -> int:
        return int(self.bin_of[-1]) + 1

    @cached_property
    def _first(self) -> np.ndarray:
        """The first place of each bin."""
        return self.starts[np.searchsorted(self.bin_of, np.arange(self.bins))]

    def bin(self, places: np.ndarray) -> np.ndarray:
        """The bin of each place, int64 of shape (rows,); places beyond the ends count as these."""
        return np.asarray(np.searchsorted(self._first, np.clip(places, 0, self.size - 1), side="right") - 1)

    @cached_property
    def pieces(self) -> Pieces:
        """All of them."""
        return Pieces(self.starts, np.append(self.starts[1:], self.size), self.bin_of, self.share)

    def within(self, spans: np.ndarray) -> Pieces:
        """What of them lies in these spans of places, int64 of shape (spans, 2), each up to before its second."""
        whole = self.pieces
        piece, span = (np.arange(len(of)) for of in (whole.starts, spans))
        piece, span = np.repeat(piece, len(span)), np.tile(span, len(piece))
        starts = np.maximum(whole.starts[piece], spans[span, 0])
        ends = np.minimum(whole.ends[piece], spans[span, 1])
        piece, starts, ends = (of[starts < ends] for of in (piece, starts, ends))
        bin_of, wide = whole.bin_of[piece], (ends - starts).astype(float)
        share = whole.share[piece] * wide / (whole.ends - whole.starts)[piece]
        total = np.bincount(bin_of, weights=share, minlength=self.bins)[bin_of]
        weights = np.where(total > 0, share, wide)  # a bin of which only empty stretches are left
        return Pieces(starts, ends, bin_of, weights / np.bincount(bin_of, weights=weights, minlength=self.bins)[bin_of])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "size": self.size,
            "starts": self.starts.tolist(),
            "bin_of": self.bin_of.tolist(),
            "share": self.share.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cuts:
        """The inverse of `to_dict`."""
        return cls(
            int(data["size"]),
            np.array(data["starts"], dtype=np.int64),
            np.array(data["bin_of"], dtype=np.int64),
            np.array(data["share"], dtype=np.float64),
        )


@dataclass(frozen=True, eq=False)
class Pieces:
    """Stretches of places, each from its start up to before its end, by their bins, and each one's share of its bin's draws."""

    starts: np.ndarray
    ends: np.ndarray
    bin_of: np.ndarray
    share: np.ndarray

    def draw(self, bins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A place in each of these bins, int64 of shape (rows,); each has a piece."""
        upto = np.cumsum(self.share)
        upto += self.bin_of + 1 - upto[np.searchsorted(self.bin_of, self.bin_of, side="right") - 1]  # whole at a bin's end
        piece = np.searchsorted(upto, bins + rng.random(len(bins)), side="right")
        return rng.integers(self.starts[piece], self.ends[piece])


def depth(size: int) -> tuple[int, int]:
    """How many levels take a line of this size down to its single places, and into how many each stretch is cut."""
    levels = max(1, round(math.log(size, FAN)))
    fan = max(2, round(size ** (1 / levels)))
    return levels, fan if fan**levels >= size else fan + 1


def _believed(noisy: np.ndarray, held: np.ndarray, sure: float) -> np.ndarray:
    """Rows in the parts of each stretch, shape (stretches, parts): counts that are surely above nothing, and what the stretch
    holds beside these, evenly over its other parts."""
    sees = noisy >= sure
    counts = np.where(sees, noisy, 0.0)
    rest = held - counts.sum(axis=1)
    others = (~sees).sum(axis=1)
    spread = np.where((rest >= sure) & (others > 0), rest / np.maximum(others, 1), 0.0)
    return np.where(sees, counts, spread[:, None])
