"""Columns as tokens where a budget says what may be known: the cells of a private domain, and noisy counts of these.

Nothing else is read off the rows. A number's cell is its bin; where in it a value lies, the domain knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn, round_to
from synth.generators._bins import Scale
from synth.generators._codes import OFTEN, Codebook
from synth.generators._exact_counts import equal_parts
from synth.generators._tokens import Coder, Levels, Token, coder_from, log_shares
from synth.privacy.columns import Line, PrivateColumn
from synth.privacy.domains import PrivateDomain
from synth.privacy.mechanisms import Noise

LEAST = 1e-9  # share of a bin that a piece has at least, so that what is legal stays possible
GRAIN = 1_024  # values that tell a number, where it has more
FEW_ROWS = 0.8 * OFTEN  # rows for each of these, at most: with more a codebook takes them for all that there are


def counted(domain: PrivateDomain, codes: np.ndarray, noise: Noise, *, rows_per_unit: int) -> list[np.ndarray]:
    """Rows in each cell of each column, float64, bought for all that the allowance has left, equal parts for each column.

    codes: int of shape (rows, columns). Each column's counts are moved to the nearest that are not negative and add up to the
    same for all columns. Raises BudgetError where there is less than the smallest cost for each.
    """
    parts = equal_parts(noise.allowance.left, len(domain.columns), "counts of single columns")
    noisy = []
    for place, (column, part) in enumerate(zip(domain.columns, parts, strict=True)):
        exact = np.bincount(codes[:, place], minlength=column.size)
        noisy.append(noise.counts(exact, part, sensitivity=rows_per_unit, what=f"cells of {column.name!r}"))
    rows = max(1.0, float(np.average([of.sum() for of in noisy], weights=[1 / len(of) for of in noisy])))
    return [_nearest(of.astype(np.float64), rows) for of in noisy]


def _nearest(counts: np.ndarray, total: float) -> np.ndarray:
    """The nearest counts that are not negative and have this sum."""
    down = np.sort(counts)[::-1]
    excess = (np.cumsum(down) - total) / np.arange(1, len(counts) + 1)
    return np.asarray(np.maximum(counts - excess[np.flatnonzero(down > excess)[-1]], 0.0))


def private_coder(column: PrivateColumn, counts: np.ndarray) -> Coder:
    """How a column of a private domain is told by tokens. counts: rows in each of its cells."""
    nulls = max(1, round(float(counts[-1]))) if column.column.nullable else 0
    valued = counts[: column.valued]
    if column.cuts is None or column.line is None:
        return Levels(column.name, np.rint(valued).astype(np.int64), nulls)
    cuts, line = column.cuts, column.line
    ends = np.append(cuts.starts[1:], cuts.size)
    grid = None if line.decimals is None else 10.0**-line.decimals
    low, high = _at(line, cuts.starts), _at(line, ends if grid is None else ends - 1)
    mass = np.maximum(valued, LEAST)[cuts.bin_of] * np.maximum(cuts.share, LEAST)
    cell = grid or max(line.high - line.low, 1e-300) / line.size
    return Cells(column.name, nulls, Scale(low, high, cuts.bin_of.astype(np.int64), mass, grid, cell))


def private_book(column: PrivateColumn, like: EncodedColumn, counts: np.ndarray) -> Codebook:
    """A column of a private domain as a codebook read off rows would have it, from the rows in each of its cells.

    like: the column as the domain decodes it. A short line has a value for each of its places. A longer one has the middles of
    its pieces, and of even stretches where these are wide; as rows are few for so many values, draws then move between these.
    """
    nulls = max(1.0, float(counts[-1])) if column.column.nullable else 0.0
    valued = counts[: column.valued]
    if column.cuts is None or column.line is None:
        return Codebook(column.name, column.valued, np.maximum(valued, 1.0), round(nulls))
    cuts, line = column.cuts, column.line
    starts = np.union1d(cuts.starts, np.linspace(0, cuts.size, min(cuts.size, GRAIN), endpoint=False).astype(np.int64))
    ends = np.append(starts[1:], cuts.size)
    piece = np.searchsorted(cuts.starts, starts, side="right") - 1
    mass = valued[cuts.bin_of[piece]] * cuts.share[piece] * (ends - starts) / np.diff(cuts.starts, append=cuts.size)[piece]
    mass = np.maximum(mass, LEAST * max(1.0, float(mass.sum())))
    few = 1.0 if len(starts) == cuts.size else min(1.0, FEW_ROWS * len(starts) / float(mass.sum()))
    middle = (starts + ends - 1) // 2
    middle[[0, -1]] = 0, cuts.size - 1  # so that no legal value lies beyond them
    values = _at(line, middle) if line.decimals is not None else _at(line, middle + 0.5)
    rounded = max(1, round(nulls * few)) if nulls else 0
    return Codebook(column.name, len(values), mass * few, rounded, values, like.decimals, like.per_day)


def _at(line: Line, places: np.ndarray) -> np.ndarray:
    """The values at these places; where there is no grid, of fractions of places too."""
    if line.decimals is None:
        return np.asarray(line.low + (line.high - line.low) * (places / line.size))
    return round_to((line.first + places) / 10.0**line.decimals, line.decimals)


def tokens_of(coder: Coder, column: PrivateColumn, codes: np.ndarray) -> np.ndarray:
    """The tokens of a column's cells, int32 of shape (rows, tokens). codes: int of shape (rows,)."""
    if isinstance(coder, Cells):
        return np.asarray(codes[:, None], dtype=np.int32)
    return coder.encode(np.where(codes < column.valued, codes, -1))


def private_coder_from(column: EncodedColumn, prefix: str, arrays: Mapping[str, np.ndarray]) -> Coder:
    """The inverse of `to_arrays`; `column` is the template's."""
    if column.levels is not None:
        return coder_from(column, prefix, arrays)
    return Cells(column.name, int(arrays[f"{prefix}.facts"][0]), Scale.from_arrays(f"{prefix}.cells", arrays))


@dataclass(frozen=True, eq=False)
class Cells:
    """A number, or a moment, told by its bin alone. scale: its bins, and their pieces, drawn by mass."""

    name: str
    nulls: int
    scale: Scale

    @property
    def has_null(self) -> bool:
        return self.nulls > 0

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        null = [float(self.nulls)] if self.has_null else []
        return (Token(log_shares(np.concatenate([self.scale.bin_mass, null])), line=self.scale.bins),)

    def encode(self, values: np.ndarray) -> np.ndarray:
        null = np.isnan(values)
        codes = np.full(len(values), self.scale.bins - (not self.has_null), dtype=np.int32)
        codes[~null] = self.scale.bin_of[self.scale.piece_near(values[~null])]
        return codes[:, None]

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> np.ndarray:
        values = np.full(len(codes), np.nan)
        known = codes[:, 0] < self.scale.bins
        mass = self.scale.mass if clause is None else self.scale.mass * self.scale.share(clause)
        upto = np.concatenate([[0.0], np.cumsum(mass)])
        begin, end = (upto[self.scale.first[codes[known, 0] + more]] for more in (0, 1))
        u = rng.random((2, len(codes)))[:, known]
        at = begin + u[0] * (end - begin)
        piece = np.clip(np.searchsorted(upto, at, side="right") - 1, 0, self.scale.pieces - 1)
        values[known] = self.scale.draw(piece, u[1]) if clause is None else self.scale.draw_given(piece, clause, rng)
        return values

    def chance(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        chance = np.full(len(values), float(self.has_null))
        known = ~np.isnan(values)
        piece = self.scale.piece_near(values[known])
        within = self.scale.mass[piece] / self.scale.bin_mass[self.scale.bin_of[piece]]
        chance[known] = within * self.scale.chance(values[known], piece)
        return chance

    def shares(self, clause: Clause) -> list[np.ndarray | None]:
        null = np.array([float(clause.null)]) if self.has_null else np.zeros(0)
        good = np.bincount(self.scale.bin_of, weights=self.scale.mass * self.scale.share(clause), minlength=self.scale.bins)
        return [np.concatenate([good / self.scale.bin_mass, null])]

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.facts": np.array([self.nulls]), **self.scale.to_arrays(f"{prefix}.cells")}
