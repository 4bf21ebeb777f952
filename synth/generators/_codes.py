"""A column as codes into its sorted distinct values: what the tree and marginal methods compute with.

Codes are int32, -1 is null. For a category the code is the schema's own; for a number it is the rank of the value among the
distinct ones, so that float32 features lose nothing of a nine-digit number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.data.encoding import EncodedColumn

NEAR_UNIQUE = 200  # a number with more distinct values than this is drawn between them rather than copied
FEWEST_EVEN = 30  # ... and one with at least so many, where neighbouring values are about equally frequent, as ages are
REACH = 4  # values to either side that tell how frequent a value's neighbours usually are
OFTEN = 5  # a number is drawn on the values that were seen, not between them, where they occur so often on average
MOST_ORDERED = 64  # a category with more levels is ordered once, by frequency: ordering many by a target overfits
MOST_BINNED = 256  # a category with more levels has those that are rare counted together, as evidence for other columns
FARTHEST = 10.0  # standard deviations at which a value is held when it enters a slope
SMOOTHED = 200  # rows over which the density of numbers is taken to be even, for its likelihood
SPIKE = 0.005  # a value is a spike, such as 0 or 99999, where it holds more of the rows than this and twice its neighbours' ...
FEWEST_SPIKED = 10  # ... or stands out among rare ones: at least so many rows, and three times its neighbours' share


@dataclass(frozen=True, eq=False)
class Codebook:
    """The distinct values of one column.

    values: for numbers, float64 of shape (levels,), ascending; None for a category. counts: rows per code, of shape (levels,).
    smooth: whether draws move between values; spike: boolean of shape (levels,), the values that they must not come from or
    lead to.
    """

    name: str
    levels: int
    counts: np.ndarray
    nulls: int
    values: np.ndarray | None = None
    decimals: int | None = None
    per_day: int | None = None  # for moments: how many of their units are a day

    @classmethod
    def of(cls, column: EncodedColumn) -> tuple[Codebook, np.ndarray]:
        """The codebook of a column, and its codes."""
        null = column.null
        if column.levels is not None:
            codes = column.values.astype(np.int32)
            counts = np.bincount(codes[~null], minlength=column.levels)
            return cls(column.name, column.levels, counts, int(null.sum())), codes
        values, inverse, counts = np.unique(column.values[~null], return_inverse=True, return_counts=True)
        codes = np.full(len(null), -1, dtype=np.int32)
        codes[~null] = inverse
        return cls(column.name, len(values), counts, int(null.sum()), values, column.decimals, column.per_day), codes

    @property
    def rows(self) -> int:
        return int(self.counts.sum()) + self.nulls

    @property
    def distinct(self) -> int:
        """Values that occur, null among them."""
        return int((self.counts > 0).sum()) + (self.nulls > 0)

    @property
    def is_number(self) -> bool:
        return self.values is not None

    @property
    def has_order_per_target(self) -> bool:
        """Whether the levels are few enough to be ordered anew for each column that is drawn from them."""
        return not self.is_number and self.levels <= MOST_ORDERED

    @cached_property
    def smooth(self) -> bool:
        return self.is_number and (self.levels > NEAR_UNIQUE or self._is_even)

    @property
    def _is_even(self) -> bool:
        """Whether most rows hold a value that is about as frequent as its neighbours on the scale."""
        if self.levels < FEWEST_EVEN:
            return False
        usual = np.maximum(self._usual, 1)
        alike = (self.counts <= 2 * usual) & (2 * self.counts >= usual) | (self.counts < OFTEN)
        return bool(self.counts[alike].sum() >= 0.8 * self.counts.sum())

    @property
    def is_often(self) -> bool:
        """Whether values of a number occur so often that draws end at one that was seen."""
        return bool(self.counts.sum() >= OFTEN * self.levels)

    @cached_property
    def _usual(self) -> np.ndarray:
        """How frequent the neighbours of each value are: the median count around it, of shape (levels,)."""
        padded = np.pad(self.counts.astype(np.float64), REACH, mode="reflect")
        return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1), axis=1))

    @cached_property
    def spike(self) -> np.ndarray:
        if self.levels < FEWEST_EVEN:
            return np.asarray(self.counts > SPIKE * self.rows)
        common = self.counts > np.maximum(SPIKE * self.rows, 2 * self._usual)
        return np.asarray(common | (self.counts > np.maximum(FEWEST_SPIKED, 3 * self._usual)))

    def features(self, values: np.ndarray) -> np.ndarray:
        """Encoded values as trees ask about them, float32 of shape (rows, 1) for categories, (rows, 3) for numbers.

        Numbers: the place among the distinct training values (null is -1), the value in standard deviations, and the log-odds
        of its rank (null is 0 in both). Moments: these, and the columns of `calendar`. Categories: the code where levels are
        ordered anew for each column, else the place by how common they are.
        """
        if self.values is None:
            if self.has_order_per_target:
                return values.astype(np.float32)[:, None]
            place = np.empty(self.levels + 1, dtype=np.float32)
            place[np.argsort(self.counts, kind="stable")] = np.arange(self.levels)
            place[-1] = -1
            return np.asarray(place[values])[:, None]
        out = np.zeros((len(values), 3), dtype=np.float32)
        null = np.isnan(values)
        if len(self.values):
            known = np.where(null, self.values[0], values)
            mean, deviation = self.moments
            out[:, 0] = np.interp(known, self.values, np.arange(len(self.values), dtype=np.float64))
            out[:, 1] = np.clip((known - mean) / deviation, -FARTHEST, FARTHEST)
            out[:, 2] = np.interp(known, self.values, self.log_odds)
        out[null] = (-1, 0, 0)
        return out if self.per_day is None else np.hstack([out, calendar(values, self.per_day)])

    @cached_property
    def ranks(self) -> np.ndarray:
        """The middle rank of each value among the rows that are not null, in (0, 1), of shape (levels,)."""
        ends = np.cumsum(self.counts)
        return np.asarray((ends - self.counts / 2) / max(1, ends[-1] if len(ends) else 1))

    @cached_property
    def log_odds(self) -> np.ndarray:
        return np.asarray(np.log(self.ranks / (1 - self.ranks)))

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of a number (1 where it is constant)."""
        assert self.values is not None
        mean = float(np.average(self.values, weights=self.counts))
        deviation = float(np.sqrt(np.average((self.values - mean) ** 2, weights=self.counts)))
        return mean, deviation if deviation > 0 else 1.0

    def between(self, code: np.ndarray, neighbour: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The values of these codes, moved the fraction u of the way to a neighbour where neither is a spike nor null."""
        assert self.values is not None
        if not len(self.values):
            return np.full(len(code), np.nan)
        spike = self.spike
        free = (code >= 0) & (neighbour >= 0) & ~spike[code] & ~spike[neighbour]
        if self.per_day is not None:
            value = self.values[code]
            moved = np.where(free, _moved_in_time(value, self.values[neighbour], u, self.per_day), value)
        elif self.is_often:  # the way is counted in rows, and ends at a value that was seen
            ends = np.cumsum(self.counts)
            place = ends - self.counts / 2
            to = np.searchsorted(ends, place[code] + u * (place[neighbour] - place[code]), side="right")
            to = np.where(free, np.minimum(to, self.levels - 1), code)
            moved = self.values[np.where(spike[to], code, to)]
        else:
            value = self.values[code]
            moved = np.where(free, value + u * (self.values[neighbour] - value), value)
            if self.decimals is not None and self.decimals < 17:
                moved = np.round(moved, self.decimals)
        return np.where(code < 0, np.nan, moved)

    def bins(self, most: int) -> np.ndarray:
        """A bin for each code and, last, for null: int64 of shape (levels + 1,).

        Each level of a category has its own, up to MOST_BINNED. Otherwise bins hold about equal rows, and there are not many
        more than `most`: values stand in their order, levels in that of their frequency, and one that holds a bin's share of
        the rows has a bin to itself.
        """
        if not self.is_number and self.levels <= MOST_BINNED:
            return np.arange(self.levels + 1)
        order = np.arange(self.levels) if self.is_number else np.argsort(-self.counts, kind="stable")
        counts = self.counts[order]
        ends, share = np.cumsum(counts), max(1.0, counts.sum() / most)
        own = counts >= share
        cut = np.floor((ends - counts / 2) / share)
        starts = (np.diff(cut, prepend=0) > 0) | own | np.append(False, own[:-1])[: len(own)]
        bin_of = np.empty(self.levels + 1, dtype=np.int64)
        bin_of[order] = np.cumsum(starts) - starts[:1].sum()
        bin_of[-1] = bin_of[:-1].max(initial=-1) + 1
        return bin_of

    def code_near(self, values: np.ndarray) -> np.ndarray:
        """The code of each encoded value; for a number that was never seen, that of the nearest one below or above."""
        if self.values is None:
            return values.astype(np.int64)
        if not len(self.values):
            return np.full(len(values), -1)
        near = np.minimum(np.searchsorted(self.values, np.nan_to_num(values)), self.levels - 1)
        return np.where(np.isnan(values), -1, near)

    def chance(self, values: np.ndarray) -> np.ndarray:
        """The probability that a draw from this column alone gives each encoded value, shape (rows,), above 0.

        One row is added to those that were seen: for a category spread evenly over all levels, for a number over the range. A
        number counts with its cell, as wide as the column's grid (without one, as the least gap between values), by a
        histogram.
        """
        if self.values is None:
            return np.asarray((np.append(self.counts, self.nulls) + 1 / (self.levels + 1))[values] / (self.rows + 1))
        null = np.isnan(values)
        cells, mass = 0, np.full(len(values), self.nulls, dtype=np.float64)
        if self.levels:
            cells = round(float(self.values[-1] - self.values[0]) / self._grid) + 1
            mass[~null] = self._mass(values[~null])
        spread = 1 / (cells + 2)  # null, and a value beyond those that were seen, are possible too
        return np.asarray((mass + spread) / (self.rows + 1))

    def _mass(self, values: np.ndarray) -> np.ndarray:
        """How many rows fall into the cell around each value, by a histogram.

        Spikes stand for themselves. What lies between them is spread evenly over stretches of SMOOTHED rows: from one value to
        the next the density would be that of the training values themselves, and a row's likelihood would tell that it was one
        of them.
        """
        assert self.values is not None
        spike = self.spike
        rows = np.append(0.0, np.cumsum(np.where(spike, 0, self.counts)))
        inner = np.searchsorted(rows, np.arange(SMOOTHED, rows[-1] - SMOOTHED / 2, SMOOTHED))
        knots = np.unique(np.concatenate([[0], np.minimum(inner, self.levels - 1), [self.levels - 1]]))
        up_to = rows[knots + (knots == self.levels - 1)]
        spiked = np.append(0.0, np.cumsum(np.where(spike, self.counts, 0)))

        def below(edges: np.ndarray) -> np.ndarray:
            assert self.values is not None
            even = np.interp(edges, self.values[knots], up_to) if len(knots) > 1 else up_to[0] * (edges > self.values[0])
            return np.asarray(even + spiked[np.searchsorted(self.values, edges)])

        return np.asarray(below(values + self._grid / 2) - below(values - self._grid / 2))

    @property
    def _grid(self) -> float:
        """The width of the cell around a number."""
        assert self.values is not None
        written = self.decimals is not None and self.decimals < 17
        if written and self.decimals is not None:
            return 10.0**-self.decimals
        return float(np.diff(self.values).min()) if self.levels > 1 else 1.0

    def at(self, code: np.ndarray) -> np.ndarray:
        """The encoded values of these codes."""
        if self.values is None:
            return code.astype(np.int32)
        if not len(self.values):
            return np.full(len(code), np.nan)
        return np.where(code < 0, np.nan, self.values[code])

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        arrays = {f"{prefix}.counts": self.counts}
        return arrays if self.values is None else {**arrays, f"{prefix}.values": self.values}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, np.ndarray], column: EncodedColumn, nulls: int) -> Codebook:
        """The inverse of `to_arrays`; `column` is the template's."""
        counts = arrays[f"{prefix}.counts"]
        values = arrays.get(f"{prefix}.values")
        return cls(column.name, len(counts), counts, nulls, values, column.decimals, column.per_day)


def calendar(moments: np.ndarray, per_day: int) -> np.ndarray:
    """Where moments stand: float32 of shape (rows, 4), or (rows, 3) for whole days; null is -1.

    The day of the week (0 is Monday), the month (0 is January), the day of the month (0 is the first) and the time of day in
    [0, 1). moments: counted from 1970 in units of which `per_day` are a day, NaN where null.
    """
    null = np.isnan(moments)
    whole = np.floor(np.where(null, 0.0, moments) / per_day)
    day = whole.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    places = [(whole + 3) % 7, month.astype(np.int64) % 12, (day - month.astype("datetime64[D]")).astype(np.int64)]
    if per_day > 1:
        places.append(np.where(null, 0.0, moments) / per_day - whole)
    table = np.column_stack(places).astype(np.float32)
    table[null] = -1
    return np.asarray(table)


def _moved_in_time(moment: np.ndarray, neighbour: np.ndarray, u: np.ndarray, per_day: int) -> np.ndarray:
    """Moments moved the fraction u of the way to a neighbour: by whole weeks, and to a time of day between theirs.

    A day that is drawn in between would know of no weekend.
    """
    day, other = np.floor(moment / per_day), np.floor(neighbour / per_day)
    weeks = np.trunc(u * (other - day) / 7)
    time, its = moment - day * per_day, neighbour - other * per_day
    return np.asarray((day + 7 * weeks) * per_day + np.floor(time + u * (its - time)))
