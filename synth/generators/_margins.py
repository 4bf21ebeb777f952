"""One column of a copula: what each stretch of a standard normal stands for.

Categories and numbers that repeat are stretches as long as they are frequent, in an order: that of the values, or for nominal
levels the one of `_level_order`. Numbers that hardly repeat move linearly between the middles of neighbouring values, so that
none is copied; spikes keep their stretch. Null is not on this line: it has a coordinate of its own (`copula`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.generators._codes import Codebook

NOWHERE = np.empty((0, 2))
EVERYWHERE = np.array([[-np.inf, np.inf]])
SLIVER = 1e-6  # of the least gap between values: the width of a cell of numbers that have no grid


@dataclass(frozen=True, eq=False)
class Margin:
    """The values of a column along a standard normal.

    order: the codes from low to high, of shape (levels,). interpolate: whether near-unique numbers move between values.
    """

    book: Codebook
    order: np.ndarray
    interpolate: bool

    @property
    def moves(self) -> bool:
        """Whether values are drawn between those that were seen."""
        return self.book.smooth and self.interpolate and not self.book.is_often

    @cached_property
    def ends(self) -> np.ndarray:
        """The share of the rows up to and with each level in order, of shape (levels,)."""
        ends = np.cumsum(self.book.counts[self.order], dtype=np.float64)
        return np.asarray(ends / ends[-1])

    @cached_property
    def starts(self) -> np.ndarray:
        return np.append(0.0, self.ends[:-1])

    @cached_property
    def place(self) -> np.ndarray:
        """Where each code stands in the order."""
        place = np.empty(len(self.order), dtype=np.int64)
        place[self.order] = np.arange(len(self.order))
        return place

    @cached_property
    def scores(self) -> np.ndarray:
        """The mean of the normal on the stretch of each code, float64 of shape (levels,); 0 for one that never occurs."""
        heights = np.diff(density(ndtri(np.append(0.0, self.ends))))
        width = np.diff(np.append(0.0, self.ends))
        means = np.divide(-heights, width, out=np.zeros_like(width), where=width > 0)
        return np.asarray(means[self.place])

    # from the line to values ---------------------------------------------------------------------------------------

    def values(self, z: np.ndarray) -> np.ndarray:
        """The encoded value at each point of the line."""
        u = ndtr(z)
        if not self.moves:
            last = int(np.flatnonzero(self.book.counts[self.order])[-1])
            return self.book.at(self.order[np.minimum(np.searchsorted(self.ends, u, side="right"), last)])
        at, value = self._knots
        return self._on_grid(np.interp(u, at, value))

    @cached_property
    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the line and the values there, both ascending: linear in between."""
        assert self.book.values is not None
        spike, middle = self.book.spike, (self.starts + self.ends) / 2
        low, high = np.where(spike, self.starts, middle), np.where(spike, self.ends, middle)
        beside = spike[1:] | spike[:-1]  # next to a spike a value keeps its stretch up to the border
        low[1:], high[:-1] = np.where(beside, self.starts[1:], low[1:]), np.where(beside, self.ends[:-1], high[:-1])
        return np.column_stack([low, high]).ravel(), np.repeat(self.book.values, 2)

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        book = self.book
        assert book.values is not None
        if book.per_day == 1:  # days go by whole weeks from the value below: one drawn in between would know of no weekend
            below = book.values[np.clip(np.searchsorted(book.values, values, side="right") - 1, 0, book.levels - 1)]
            return np.asarray(below + 7 * np.floor((values - below) / 7))
        return values if self._grid is None else np.round(values, book.decimals or 0)

    @property
    def _grid(self) -> float | None:
        decimals = self.book.decimals
        return 10.0**-decimals if decimals is not None and decimals < 17 else None

    @cached_property
    def _half_cell(self) -> float:
        assert self.book.values is not None
        if self._grid is not None:
            return self._grid / 2
        gaps = np.diff(self.book.values)
        return SLIVER * float(gaps.min()) if len(gaps) else SLIVER

    def met(self, values: np.ndarray, clause: Clause) -> np.ndarray:
        """The values, where numbers without a grid came as near as they can to one that is asked for: that one."""
        if clause.values is None or not self.moves or self._grid is not None:
            return values
        wanted = self._drawable(clause.values)
        after = np.clip(np.searchsorted(wanted, values), 1, max(1, len(wanted) - 1))
        before, after = wanted[after - 1], wanted[np.minimum(after, len(wanted) - 1)]
        nearest = np.where(np.abs(values - before) <= np.abs(values - after), before, after)
        return np.where(np.abs(values - nearest) <= 4 * self._half_cell, nearest, values)

    # from values to the line ---------------------------------------------------------------------------------------

    def stretches(self, clause: Clause) -> np.ndarray:
        """Where on the line values satisfy the clause, other than null: intervals in order, of shape (intervals, 2)."""
        if clause.null:
            return NOWHERE
        if not self.moves:
            codes = self.order
            seen = self.book.counts[codes] > 0
            good = clause.holds(self.book.at(codes))[seen]
            start, end = self.starts[seen], self.ends[seen]
            first = np.flatnonzero(good & ~np.append(False, good[:-1]))
            last = np.flatnonzero(good & ~np.append(good[1:], False))
            return np.asarray(ndtri(np.column_stack([start[first], end[last]])))
        if clause.values is not None:
            wanted = self._drawable(clause.values)
            found = np.column_stack(self._cells(wanted, wanted))
        else:
            found = np.column_stack(self._cells(np.array([clause.low]), np.array([clause.high])))
            out = self._drawable(clause.excluded)
            low, high = self._cells(out, out)
            found = np.column_stack([np.append(found[:, 0], high), np.append(low, found[:, 1])])
        return np.asarray(ndtri(found[found[:, 0] < found[:, 1]]))

    def _drawable(self, values: frozenset[float]) -> np.ndarray:
        """Those of the values that lie on the grid, ascending."""
        found = np.sort(np.fromiter(values, dtype=np.float64, count=len(values)))
        return found if self._grid is None else found[np.round(found, self.book.decimals or 0) == found]

    def _cells(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From where to where on the line, as shares of the rows, values on the grid lie between these."""
        if self.book.per_day == 1:
            return self._day_cells(low, high)
        if self._grid is not None:
            decimals = self.book.decimals or 0
            with np.errstate(invalid="ignore"):
                low, high = (np.where(np.isfinite(edge), np.round(edge, decimals), edge) for edge in (low, high))
        at, value = self._knots
        low, high = low - self._half_cell, high + self._half_cell
        return _inverse(at, value, low, "left"), _inverse(at, value, high, "right")

    def _day_cells(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for days, which are drawn whole weeks after a value: a week's stretch stands for its first day."""
        at, value = self._knots
        assert self.book.values is not None
        below = self.book.values

        def first_from(day: np.ndarray) -> np.ndarray:
            """The least day that can be drawn and is no earlier."""
            base = below[np.clip(np.searchsorted(below, day, side="left") - 1, 0, len(below) - 1)]
            after = below[np.clip(np.searchsorted(below, day, side="left"), 0, len(below) - 1)]
            weeks = np.minimum(base + 7 * np.ceil((day - base) / 7), after)
            return np.asarray(np.where(day <= below[0], below[0], weeks))

        start = _inverse(at, value, np.where(low > below[-1], np.inf, first_from(np.minimum(low, below[-1]))), "left")
        end = _inverse(at, value, np.where(high >= below[-1], np.inf, first_from(np.minimum(high + 1, below[-1]))), "left")
        return start, np.where(high >= below[-1], 1.0, end)

    def around(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The stretch of the line that stands for each encoded value, shapes (rows,): all of it for null."""
        code = self.book.code_near(values)
        null, place = code < 0, self.place[code]
        start, end = self.starts[place], self.ends[place]
        if self.moves:
            known = np.where(null, 0.0, values)
            low, high = self._cells(known, known)
            inside = low < high
            start, end = np.where(inside, low, start), np.where(inside, high, end)
        return ndtri(np.where(null, 0.0, start)), ndtri(np.where(null, 1.0, end))

    # saving --------------------------------------------------------------------------------------------------------

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        order = {} if self.book.is_number else {f"{prefix}.order": self.order}
        return self.book.to_arrays(prefix) | order

    @classmethod
    def from_arrays(
        cls, prefix: str, arrays: Mapping[str, np.ndarray], column: EncodedColumn, nulls: int, interpolate: bool
    ) -> Margin:
        """The inverse of `to_arrays`; `column` is the template's."""
        book = Codebook.from_arrays(prefix, arrays, column, nulls)
        return cls(book, arrays.get(f"{prefix}.order", np.arange(book.levels)), interpolate)


def density(z: np.ndarray) -> np.ndarray:
    """Of a standard normal; 0 at infinity."""
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def _inverse(at: np.ndarray, value: np.ndarray, wanted: np.ndarray, side: str) -> np.ndarray:
    """The first point whose value is no less (left), or the last whose value is no more (right); 0 or 1 beyond all."""
    after = np.searchsorted(value, wanted, side=side)  # type: ignore[call-overload]
    before, later = np.maximum(after - 1, 0), np.minimum(after, len(value) - 1)
    rise = value[later] - value[before]
    with np.errstate(invalid="ignore"):
        way = np.divide(wanted - value[before], rise, out=np.ones(len(wanted)), where=rise > 0)
        found = at[before] + np.clip(np.nan_to_num(way), 0.0, 1.0) * (at[later] - at[before])
    return np.where(after == 0, 0.0, np.where(after == len(value), 1.0, found))
