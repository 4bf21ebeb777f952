"""Values within a cell of a column: how likely each is, and those that a condition leaves.

A range may cut a bin. The rows that a model has in the bin then count by the share of its values that the range allows, and are
drawn among these, so that conditioned rows are exactly those of all rows that satisfy the condition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.privacy.columns import Line, PrivateColumn


@dataclass(frozen=True, eq=False)
class Within:
    """A column under a clause.

    shares: of each cell's values those that are allowed, float64 of shape (cells,). The rest is there for bins alone: stretches
    [begin, end) of allowed places on the column's line, ascending, the bin that each is in, and its share of the bin's values.
    """

    column: PrivateColumn
    clause: Clause
    shares: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    bin_of: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, column: PrivateColumn, clause: Clause) -> Within:
        """A clause on a column of a private domain, on values that are encoded under the domain's schema."""
        none = np.zeros(0, dtype=np.int64)
        if column.cuts is None or column.line is None or clause.null:
            codes = np.where(np.arange(column.size) < column.valued, np.arange(column.size), -1)
            meets = codes < 0 if clause.null else clause.holds(codes)
            return cls(column, clause, meets.astype(np.float64), none, none, none, np.zeros(0))
        cuts = column.cuts
        begin, end = _stretches(column.line, clause)
        edges = np.unique(np.concatenate([cuts.starts, [cuts.size], begin, end]))
        inside = np.searchsorted(begin, edges[:-1], side="right") > np.searchsorted(end, edges[:-1], side="right")
        begin, end = edges[:-1][inside], edges[1:][inside]
        piece = np.searchsorted(cuts.starts, begin, side="right") - 1
        wide = np.diff(cuts.starts, append=cuts.size)
        share = cuts.share[piece] * (end - begin) / wide[piece]
        shares = np.bincount(cuts.bin_of[piece], weights=share, minlength=column.size)
        return cls(column, clause, np.minimum(shares, 1.0), begin, end, cuts.bin_of[piece], share)

    def draw(self, cells: np.ndarray, drawn: EncodedColumn, rng: np.random.Generator) -> EncodedColumn:
        """Values that the clause allows in these cells, which all have a share; `drawn` are values anywhere in the cells."""
        if not len(self.begin) or self.column.line is None:
            return drawn
        upto = np.cumsum(self.share)
        first = np.searchsorted(self.bin_of, np.arange(self.column.size + 1))
        below = np.append(0.0, upto)[first]
        u = below[cells] + rng.random(len(cells)) * (below[cells + 1] - below[cells])
        place = np.clip(np.searchsorted(upto, u, side="right"), first[cells], first[cells + 1] - 1)
        values = self.column.line.values(rng.integers(self.begin[place], self.end[place]), rng)
        if self.column.line.decimals is None:  # a place there is wider than a value
            values = _nearest(values, _named(self.clause)) if _named(self.clause) is not None else values
            values = np.clip(values, self.clause.low, self.clause.high)
        return replace(drawn, values=values)


def chance_within(column: PrivateColumn, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The probability of each value given its cell, float64 of shape (rows,), for values encoded under the domain's schema."""
    chance = np.ones(len(cells))
    if column.cuts is not None and column.line is not None:
        cuts, known = column.cuts, cells < column.valued
        piece = np.searchsorted(cuts.starts, column.line.places(values[known]), side="right") - 1
        chance[known] = cuts.share[piece] / np.diff(cuts.starts, append=cuts.size)[piece]
    return chance


def _named(clause: Clause) -> np.ndarray | None:
    """The only values that a clause allows, ascending; None where it allows a range."""
    if clause.values is None and clause.low < clause.high:
        return None
    values = np.array(sorted(clause.values if clause.values is not None else [clause.low]), dtype=np.float64)
    return np.asarray(values[clause.holds(values)])


def _stretches(line: Line, clause: Clause) -> tuple[np.ndarray, np.ndarray]:
    """The allowed places of a line, as ascending stretches [begin, end)."""
    low, high = max(clause.low, line.low), min(clause.high, line.high)
    named = _named(clause)
    if named is not None:
        named = named[(named >= low) & (named <= high)]
        places = np.unique(line.places(named))
        if line.decimals is not None:
            places = places[clause.holds(line.values(places, _NEVER))]
        return places, places + 1
    if low > high:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, last = line.places(np.array([low, high])).tolist()
    if line.decimals is None:
        return np.array([first]), np.array([last + 1])
    if line.values(np.array([first]), _NEVER)[0] < clause.low:
        first += 1
    if line.values(np.array([last]), _NEVER)[0] > clause.high:
        last -= 1
    out = np.array(sorted(value for value in clause.excluded if low <= value <= high))
    gaps = np.unique(line.places(out))
    gaps = gaps[~clause.holds(line.values(gaps, _NEVER)) & (gaps >= first) & (gaps <= last)]
    begin, end = np.append(first, gaps + 1), np.append(gaps, last + 1)
    return begin[begin < end], end[begin < end]


def _nearest(values: np.ndarray, named: np.ndarray | None) -> np.ndarray:
    assert named is not None
    after = np.clip(np.searchsorted(named, values), 1, max(1, len(named) - 1))
    if len(named) == 1:
        return np.full(len(values), named[0])
    lower, upper = named[after - 1], named[after]
    return np.where(values - lower <= upper - values, lower, upper)


_NEVER = np.random.default_rng(0)  # what a line on a grid is given where it asks for nothing random
