"""One column as a finite list of cells: a category each, bins of a declared or bought range, and null where it may be.

Everything here follows from facts that a person declared or that were paid for. So a value they exclude is no error, which
would tell of a row: a number beyond the bounds counts as the nearer bound. A category that is not listed counts as OTHER where
the list was bought, else as null where the column may be null, else as the first cell; so does a null where none may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import NANOSECONDS, EncodedColumn, round_to
from synth.data.moments import units_of
from synth.data.schema import Column, Kind
from synth.errors import SchemaError
from synth.privacy.bins import Cuts

OTHER = "OTHER"  # the category of all that are too rare to be told of, where categories were bought
NO_GRID = 2**32  # places on the line of a number that has no grid: a draw lies anywhere within one
_EXACT = 2**53  # places beyond which a double skips some


@dataclass(frozen=True)
class Line:
    """The legal values of a number, as places 0 … size − 1.

    first: the value at place 0, in steps of the grid. decimals: of the grid (0 for integers and moments), None where there is
    none. low, high: the bounds, on the encoded line.
    """

    first: int
    size: int
    decimals: int | None
    low: float
    high: float

    @classmethod
    def of(cls, column: Column) -> Line:
        """The line of a column with bounds. Raises SchemaError where no value lies within them."""
        decimals = column.decimals if column.kind is Kind.DECIMAL else 0
        low, high = (_exactly(bound, column) for bound in (column.minimum, column.maximum))
        if decimals is not None and decimals < 17:
            first, last = int(low.scaleb(decimals).to_integral_value(ROUND_CEILING)), int(_floor(high.scaleb(decimals)))
            if last < first:
                raise SchemaError(
                    f"column {column.name!r} has no legal value from {column.minimum} to {column.maximum} on its grid; "
                    "widen the bounds, or declare more decimals or a finer unit"
                )
            if max(abs(first), abs(last)) < _EXACT:
                return cls(first, last - first + 1, decimals, float(low), float(high))
        return cls(0, NO_GRID if low < high else 1, None, float(low), float(high))

    def places(self, values: np.ndarray) -> np.ndarray:
        """The place of each value, int64 of shape (rows,); beyond the bounds the nearer one's."""
        inside = np.clip(values, self.low, self.high)
        if self.decimals is None:
            width = (self.high - self.low) or 1.0
            return np.asarray(np.minimum((inside - self.low) / width * self.size, self.size - 1).astype(np.int64))
        return np.asarray(np.clip(np.rint(inside * 10.0**self.decimals).astype(np.int64) - self.first, 0, self.size - 1))

    def values(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The inverse, float64; without a grid a draw within the place."""
        if self.decimals is None:
            share = (places + rng.random(len(places))) / self.size
            return np.clip(self.low + share * (self.high - self.low), self.low, self.high)
        return round_to((self.first + places) / 10.0**self.decimals, self.decimals)

    def spans(self, clause: Clause) -> np.ndarray:
        """The places that satisfy what a condition says of the column, int64 of shape (spans, 2), ends excluded."""
        low, high = max(clause.low, self.low), min(clause.high, self.high)
        if self.decimals is None:
            edges = self.places(np.array([low, high])) + np.array([0, 1])
            told = [self.places(np.array([v]))[0] for v in sorted(clause.values or ()) if low <= v <= high]
        else:
            edges = np.array([_ceiling(low, self.decimals), -_ceiling(-high, self.decimals) + 1]) - self.first
            told = self._on_grid(clause.values or frozenset(), edges)
        if clause.values is not None:
            barred = set(self._on_grid(clause.excluded, edges))
            return np.array([(place, place + 1) for place in told if place not in barred], dtype=np.int64).reshape(-1, 2)
        cuts = np.array(self._on_grid(clause.excluded, edges), dtype=np.int64)
        spans = np.column_stack([np.append(edges[0], cuts + 1), np.append(cuts, edges[1])])
        return spans[spans[:, 0] < spans[:, 1]] if low <= high else spans[:0]

    def _on_grid(self, values: frozenset[float], edges: np.ndarray) -> list[int]:
        """The places of those values that are legal, ascending; without a grid one value alone has none."""
        if self.decimals is None:
            return []
        exact = [Decimal(repr(value)).scaleb(self.decimals) for value in values]
        places = [int(value) - self.first for value in exact if value == value.to_integral_value()]
        return sorted(place for place in places if edges[0] <= place < edges[1])


@dataclass(frozen=True, eq=False)
class PrivateColumn:
    """A learned column's cells: its categories or bins, in their order, and last null, where the column is nullable.

    column: what is known of it, declared or bought, and nothing else. bought: which of its facts were. cuts: the bins of a
    number. other: what a category that is not listed counts as where the list was bought: OTHER, or null if they are no text.
    """

    column: Column
    bought: tuple[str, ...] = ()
    cuts: Cuts | None = None
    other: str | None = None

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def declared(self) -> tuple[str, ...]:
        """The facts that a person declared."""
        return self.column.declared

    @property
    def _levels(self) -> tuple[Any, ...]:
        return self.column.legal

    @cached_property
    def line(self) -> Line | None:
        """The line of a number."""
        return Line.of(self.column) if self.cuts is not None else None

    @property
    def valued(self) -> int:
        """How many cells stand for a value: all but null's."""
        return len(self._levels) if self.cuts is None else self.cuts.bins

    @property
    def size(self) -> int:
        """How many cells there are."""
        return self.valued + self.column.nullable

    def encode(self, values: EncodedColumn, source: Column) -> np.ndarray:
        """The cell of each value, int32 of shape (rows,); `source` is the column of the schema that they were encoded under."""
        if source.unit != self.column.unit:
            raise SchemaError(
                f"column {self.name!r} counts {source.unit}s, and its domain {self.column.unit}s; declare one unit"
            )
        null = values.null
        if self.cuts is None or self.line is None:
            cells = self._cell_of(source)[values.values]
        else:
            numbers = np.where(null, 0.0, values.values)
            cells = self.cuts.bin(self.line.places(numbers))
            cells[null] = self._nowhere
        return np.asarray(cells, dtype=np.int32)

    @property
    def _nowhere(self) -> int:
        """The cell of what the declaration excludes."""
        return self.valued if self.column.nullable else 0

    def _cell_of(self, source: Column) -> np.ndarray:
        """The cell of each of the source's categories, and last that of null, which is at −1."""
        own = {(isinstance(level, bool), level): place for place, level in enumerate(self._levels)}
        strange = own.get((False, OTHER), self._nowhere) if self.other == OTHER else self._nowhere
        levels = source.legal
        cells = [own.get((isinstance(level, bool), level), strange) for level in levels]
        return np.array([*cells, self._nowhere], dtype=np.int64)

    def allowed(self, clause: Clause) -> np.ndarray:
        """Which cells hold a value that satisfies a clause on `column`: boolean of shape (size,)."""
        mask = np.zeros(self.size, dtype=bool)
        if clause.null or (clause.codes is not None and -1 in clause.codes):
            mask[self.valued :] = True
        elif clause.codes is not None:
            mask[list(clause.codes)] = True
        elif self.cuts is not None and self.line is not None:
            mask[self.cuts.within(self.line.spans(clause)).bin_of] = True
        return mask

    def decode(self, cells: np.ndarray, rng: np.random.Generator, clause: Clause | None = None) -> EncodedColumn:
        """Values in these cells, of shape (rows,): for a bin drawn within it, on the grid, and of what satisfies a clause.

        Cells are then among those that are `allowed`.
        """
        null = cells >= self.valued
        if self.cuts is None or self.line is None:
            codes = np.where(null, -1, cells).astype(np.int32)
            ordered = self.column.kind is Kind.ORDINAL
            return EncodedColumn(self.name, codes, levels=len(self._levels), ordered=ordered)
        values = np.full(len(cells), np.nan)
        number = clause is not None and not clause.null
        pieces = self.cuts.within(self.line.spans(clause)) if clause is not None and number else self.cuts.pieces
        values[~null] = self.line.values(pieces.draw(cells[~null], rng), rng)
        if clause is not None and number and self.line.decimals is None:
            values[~null] = _satisfying(values[~null], clause)
        if self.column.kind is Kind.DATETIME:
            per_day = NANOSECONDS["day"] // NANOSECONDS[self.column.unit or "microsecond"]
            return EncodedColumn(self.name, values, decimals=0, per_day=per_day)
        decimals = 0 if self.column.kind is Kind.INTEGER else self.column.decimals
        return EncodedColumn(self.name, values, decimals=decimals)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; facts that do not apply are left out."""
        out: dict[str, Any] = {"column": self.column.to_dict(), "bought": list(self.bought)}
        if self.cuts is not None:
            out["cuts"] = self.cuts.to_dict()
        if self.other is not None:
            out["other"] = self.other
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PrivateColumn:
        """The inverse of `to_dict`."""
        cuts = Cuts.from_dict(data["cuts"]) if "cuts" in data else None
        return cls(Column.from_dict(data["column"]), tuple(data["bought"]), cuts, data.get("other"))


def _exactly(bound: Any, column: Column) -> Decimal:
    """A bound on the encoded line, as it is written rather than as a double has it: 1.1 is eleven tenths."""
    if isinstance(bound, str):
        units = units_of(bound, column)
        if units is None:
            raise SchemaError(f"column {column.name!r} has the bound {bound!r}, which is no moment; write it as 2024-05-31")
        return Decimal(units.numerator) / Decimal(units.denominator)
    return Decimal(repr(bound))


def _ceiling(value: float, decimals: int) -> int:
    """The least whole number of steps of the grid that is no less than a value as it is written."""
    return int(Decimal(repr(float(value))).scaleb(decimals).to_integral_value(ROUND_CEILING))


def _satisfying(values: np.ndarray, clause: Clause) -> np.ndarray:
    """Numbers without a grid, moved within their place to where the clause holds."""
    if clause.values is not None:
        legal = np.array(sorted(clause.values))
        near = np.searchsorted((legal[1:] + legal[:-1]) / 2, values)
        return np.asarray(legal[near])
    inside = np.clip(values, clause.low, clause.high)
    barred = np.isin(inside, list(clause.excluded))
    aside = np.nextafter(inside, np.where(inside < clause.high, np.inf, -np.inf))
    return np.asarray(np.where(barred, aside, inside))


def _floor(value: Decimal) -> Decimal:
    return value.to_integral_value(ROUND_FLOOR)
