"""Numbers cut into bins, and these into pieces: where a number lies, told by two tokens and an even draw within the piece.

A value that stands out among its neighbours is a piece of its own, and one that holds a bin's share of the rows a bin of its
own. Pieces lie on values that were seen where these repeat often enough, else on the column's grid between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.generators._codes import OFTEN, Codebook

MOST_SINGLE = 128  # a number with no more distinct values has a token for each
PIECES = 16  # a bin is cut into about so many pieces, as equal in rows as bins are
MOST_PIECES = 32  # ... and never into more
FEWEST_IN_PIECE = 8  # rows in a piece that is no spike: fewer would tell whose values they are
FEWEST_IN_BIN = 20  # rows in a bin
REACH = 4  # a piece grows into a gap on either side by at most so many times what its own values are apart


@dataclass(frozen=True, eq=False)
class Scale:
    """How the values of one number are told by a bin, a piece of it, and a place in the piece.

    low, high: ends of the pieces, inclusive, ascending, float64 of shape (pieces,). bin_of: the bin of each piece. mass: its
    training rows. values, counts, start: where pieces lie on values that were seen, these, their rows, and which of them are
    piece i (start[i] to start[i + 1]). grid: the step of the column's values, None where they have none. cell: the width that
    a value's likelihood counts.
    """

    low: np.ndarray
    high: np.ndarray
    bin_of: np.ndarray
    mass: np.ndarray
    grid: float | None
    cell: float
    values: np.ndarray | None = None
    counts: np.ndarray | None = None
    start: np.ndarray | None = None

    @classmethod
    def of(cls, column: EncodedColumn, bins: int) -> Scale:
        """Cut a number into about so many bins of equal rows. Nulls are passed over."""
        book, _ = Codebook.of(column)
        assert book.values is not None
        rows, distinct = int(book.counts.sum()), book.levels
        often = rows >= OFTEN * distinct
        if often and distinct <= MOST_SINGLE:
            piece = np.arange(distinct)
            bin_of = piece
        else:
            bins = max(1, min(bins, rows // FEWEST_IN_BIN))
            share = max(FEWEST_IN_PIECE, rows / (bins * PIECES))
            piece = _runs(book.counts, book.spike | (book.counts >= share), share)
            held = np.bincount(piece, weights=book.counts)
            bin_of = _runs(held, held >= rows / bins, rows / bins)
            place = np.arange(len(bin_of)) - np.searchsorted(bin_of, bin_of)
            bin_of = np.cumsum(np.diff(bin_of, prepend=0) + ((place % MOST_PIECES == 0) & (place > 0)))
        grid = 10.0**-column.decimals if column.decimals is not None and column.decimals < 17 else None
        start = np.searchsorted(piece, np.arange(piece[-1] + 2)) if len(piece) else np.zeros(1, dtype=np.int64)
        low, high = book.values[start[:-1]], book.values[start[1:] - 1]
        mass = np.add.reduceat(book.counts, start[:-1]) if len(piece) else np.zeros(0)
        cell = grid or (float(np.diff(book.values).min()) if distinct > 1 else 1.0)
        if often:
            return cls(low, high, bin_of, mass, grid, cell, book.values, book.counts, start)
        low, high = _widened(low, high, np.diff(start), grid, column.decimals)
        return cls(low, high, bin_of, mass, grid, cell)

    @property
    def pieces(self) -> int:
        return len(self.low)

    @cached_property
    def bins(self) -> int:
        return int(self.bin_of[-1]) + 1 if self.pieces else 0

    @cached_property
    def first(self) -> np.ndarray:
        """The first piece of each bin and, last, how many pieces there are."""
        return np.searchsorted(self.bin_of, np.arange(self.bins + 1))

    @property
    def most(self) -> int:
        """The most pieces that a bin has."""
        return int(np.diff(self.first).max(initial=1))

    @property
    def bin_mass(self) -> np.ndarray:
        return np.bincount(self.bin_of, weights=self.mass, minlength=self.bins)

    def by_bin(self, of_pieces: np.ndarray, nothing: float = 0.0) -> np.ndarray:
        """A figure of each piece as a table of shape (bins, most)."""
        table = np.full((self.bins, self.most), nothing)
        table[self.bin_of, np.arange(self.pieces) - self.first[self.bin_of]] = of_pieces
        return table

    def piece_near(self, values: np.ndarray) -> np.ndarray:
        """The piece that each value lies in, or the nearest one."""
        above = np.minimum(np.searchsorted(self.high, values), self.pieces - 1)
        below = np.maximum(above - 1, 0)
        return np.where(values - self.high[below] < self.low[above] - values, below, above)

    def chance(self, values: np.ndarray, piece: np.ndarray) -> np.ndarray:
        """How likely the draw within its piece gives each value: the share of its cell, 0 where it is none of the piece's."""
        if self.values is not None and self.counts is not None:
            place = np.minimum(np.searchsorted(self.values, values), len(self.values) - 1)
            return np.asarray((self.values[place] == values) * self.counts[place] / self.mass[piece])
        inside = (values >= self.low[piece]) & (values <= self.high[piece])
        if self.grid is not None:
            return np.asarray(inside / self._steps[piece])
        return np.asarray(inside * np.minimum(1.0, self.cell / np.maximum(self.high - self.low, 1e-300)[piece]))

    @cached_property
    def _steps(self) -> np.ndarray:
        """How many values of the grid each piece has."""
        return np.asarray(np.rint((self.high - self.low) / (self.grid or 1.0)) + 1)

    @cached_property
    def _ends(self) -> np.ndarray:
        assert self.counts is not None
        return np.concatenate([[0], np.cumsum(self.counts)])

    def draw(self, piece: np.ndarray, u: np.ndarray) -> np.ndarray:
        """A value in each piece; u: even in [0, 1)."""
        if self.values is not None and self.start is not None:
            begin = self._ends[self.start[piece]]
            at = np.searchsorted(self._ends, begin + np.floor(u * self.mass[piece]), side="right") - 1
            return np.asarray(self.values[at])
        if self.grid is not None:
            return self._on_grid(self.low[piece] + np.floor(u * self._steps[piece]) * self.grid)
        return np.asarray(self.low[piece] + u * (self.high - self.low)[piece])

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        assert self.grid is not None
        return np.round(values, round(-np.log10(self.grid)))

    def share(self, clause: Clause) -> np.ndarray:
        """What share of the draws within each piece satisfies a clause, of shape (pieces,)."""
        if clause.null:
            return np.zeros(self.pieces)
        if self.values is not None and self.counts is not None and self.start is not None:
            good = np.append(np.where(clause.holds(self.values), self.counts, 0), 0)
            return np.asarray(np.add.reduceat(good, self.start[:-1]) / self.mass) if self.pieces else np.zeros(0)
        if clause.values is not None:
            named = np.array(sorted(v for v in clause.values if clause.holds(np.array([v]))[0]))
            share = np.zeros(self.pieces)
            if len(named) and self.pieces:
                piece = self.piece_near(named)
                np.add.at(share, piece, self.chance(named, piece))
            return np.minimum(share, 1.0)
        low, high = np.maximum(self.low, clause.low), np.minimum(self.high, clause.high)
        if self.grid is None:
            wide = self.high > self.low
            part = np.maximum(high - low, 0.0) / np.where(wide, self.high - self.low, 1.0)
            return np.where(wide, part, clause.holds(self.low))
        steps = np.floor(high / self.grid + 1e-6) - np.ceil(low / self.grid - 1e-6) + 1
        out = np.array(sorted(clause.excluded))
        if len(out) and self.pieces:
            piece = self.piece_near(out)
            taken = (self.chance(out, piece) > 0) & (out >= clause.low) & (out <= clause.high)
            np.subtract.at(steps, piece[taken], 1)
        return np.asarray(np.maximum(steps, 0) / self._steps)

    def draw_given(self, piece: np.ndarray, clause: Clause, rng: np.random.Generator) -> np.ndarray:
        """A value in each piece that satisfies a clause; every piece's share of it is above 0."""
        if self.values is not None and self.counts is not None and self.start is not None:
            ends = np.concatenate([[0], np.cumsum(np.where(clause.holds(self.values), self.counts, 0))])
            begin, stop = ends[self.start[piece]], ends[self.start[piece + 1]]
            at = np.searchsorted(ends, begin + np.floor(rng.random(len(piece)) * (stop - begin)), side="right") - 1
            return np.asarray(self.values[at])
        if clause.values is not None:
            named = np.array(sorted(v for v in clause.values if clause.holds(np.array([v]))[0]))
            home = self.piece_near(named)
            named, home = named[self.chance(named, home) > 0], home[self.chance(named, home) > 0]
            begin, stop = np.searchsorted(home, piece), np.searchsorted(home, piece, side="right")
            return np.asarray(named[begin + np.floor(rng.random(len(piece)) * (stop - begin)).astype(np.int64)])
        low, high = np.maximum(self.low[piece], clause.low), np.minimum(self.high[piece], clause.high)
        if self.grid is not None:
            low = self.grid * np.ceil(low / self.grid - 1e-6)
            steps = np.floor(high / self.grid + 1e-6) - np.rint(low / self.grid) + 1
        values = np.full(len(piece), np.nan)
        missing = np.arange(len(piece))
        while len(missing):  # only values that are excluded are drawn again, and a piece has others
            u = rng.random(len(missing))
            if self.grid is None:
                drawn = low[missing] + u * (high - low)[missing]
            else:
                drawn = self._on_grid(low[missing] + np.floor(u * steps[missing]) * self.grid)
            values[missing] = drawn
            missing = missing[~clause.holds(drawn)]
        return values

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        grid = np.array([np.nan if self.grid is None else self.grid, self.cell])
        arrays = {"low": self.low, "high": self.high, "bin_of": self.bin_of, "mass": self.mass, "grid": grid}
        if self.values is not None and self.counts is not None and self.start is not None:
            arrays |= {"values": self.values, "counts": self.counts, "start": self.start}
        return {f"{prefix}.{name}": array for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, np.ndarray]) -> Scale:
        """The inverse of `to_arrays`."""
        names = ("low", "high", "bin_of", "mass", "values", "counts", "start")
        held: dict[str, Any] = {name: arrays.get(f"{prefix}.{name}") for name in names}
        grid, cell = (float(x) for x in arrays[f"{prefix}.grid"])
        return cls(**held, grid=None if np.isnan(grid) else grid, cell=cell)


def _runs(mass: np.ndarray, own: np.ndarray, share: float) -> np.ndarray:
    """Neighbours put together, int64 of shape (len(mass),): about `share` in each run, and those marked `own` alone."""
    ends = np.cumsum(mass)
    block = np.cumsum(own | np.append(False, own[:-1])[: len(own)])  # stretches between those that stand alone
    begun = np.searchsorted(block, block)
    within = ends - mass / 2 - (ends - mass)[begun]
    total = ends[np.searchsorted(block, block, side="right") - 1] - (ends - mass)[begun]
    parts = np.maximum(1, np.floor(total / share))  # so that the last run of a stretch is no leftover
    cut = np.where(own, 0, np.minimum(np.floor(within * parts / np.maximum(total, 1e-300)), parts - 1))
    return np.cumsum((np.diff(cut, prepend=0) != 0) | (np.diff(block, prepend=block[:1]) != 0))


def _widened(
    low: np.ndarray, high: np.ndarray, distinct: np.ndarray, grid: float | None, decimals: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Pieces that reach half the way to their neighbours, but not into gaps many times as wide as those between their values.

    Ends on training values would leave holes between pieces, and tell the values.
    """
    if len(low) < 2:
        return low, high
    apart = REACH * (high - low) / np.maximum(distinct - 1, 1)  # a spike stays as it is
    gap = low[1:] - high[:-1]
    up, down = np.minimum(gap / 2, apart[:-1]), np.minimum(gap / 2, apart[1:])
    if grid is not None:
        steps = np.rint(gap / grid)
        up = grid * np.minimum(np.floor((steps - 1) / 2), np.floor(up / grid + 1e-9))
        down = grid * np.minimum(steps - 1 - np.rint(up / grid), np.floor(down / grid + 1e-9))
    low, high = low - np.append(0, down), high + np.append(up, 0)
    if grid is None or decimals is None:
        return low, high
    return np.round(low, decimals), np.round(high, decimals)
