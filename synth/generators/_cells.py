"""A row as a mixed diffusion sees it: tokens, of which each is one of a few states, and places on even scales.

A category is a token. One with more than MOST_STATES levels is two, the second a digit within the first, so that nothing grows
with the number of levels but one table of them. A number that takes few values is a token as well; another is a place on its
scale, with a token that says whether it is on the scale at all, or missing, or an atom such as 0. Null is a state, never a
value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import Encoded, EncodedColumn
from synth.generators._codes import Codebook
from synth.generators._quantiles import Scale

MOST_STATES = 256  # a category with more levels is told by two tokens
FEW = 20  # a number with at most so many distinct values is told by a token alone
UNSEEN = -1  # the state of a value that was in no training row
NULL, ON_SCALE, NOTHING = -1, -2, -3  # what a state stands for that is no code


@dataclass(frozen=True, eq=False)
class Cell:
    """One column as states and, for a number with a scale, a place on it.

    codes: the code that each state stands for, int64 of shape (states,), or NULL, ON_SCALE or NOTHING.
    base: levels in the second of two tokens; 0 where there is one.
    """

    book: Codebook
    scale: Scale | None
    codes: np.ndarray
    base: int = 0

    @classmethod
    def of(cls, book: Codebook) -> Cell:
        """How a column is told, decided by its codebook alone."""
        null = [NULL] if book.nulls else []
        seen = np.flatnonzero(book.counts)
        if book.is_number and book.levels > FEW:
            scale = Scale.of(book)
            if scale.rows:
                return cls(book, scale, np.array([*scale.atoms, ON_SCALE, *null], dtype=np.int64))
        if len(seen) + len(null) <= MOST_STATES:
            return cls(book, None, np.array([*seen, *null], dtype=np.int64))
        base = math.ceil(math.sqrt(len(seen)))
        codes = np.full((-(-len(seen) // base) + len(null)) * base, NOTHING, dtype=np.int64)
        codes[: len(seen)] = seen  # in the schema's order, where neighbours often have a prefix in common
        codes[len(codes) - base * len(null) :][:1] = null  # null has a first token of its own
        return cls(book, None, codes, base)

    @property
    def name(self) -> str:
        return self.book.name

    @property
    def dtype(self) -> type:
        """Of its encoded values."""
        return np.float64 if self.book.is_number else np.int32

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many states each token has; no token where there is only one state."""
        if self.base:
            return (len(self.codes) // self.base, self.base)
        return (len(self.codes),) if len(self.codes) > 1 else ()

    def shares(self) -> list[np.ndarray]:
        """For each token, the share of the training rows in each of its states, above 0."""
        if not self.sizes:
            return []
        rows = np.zeros(len(self.codes))
        rows[self.codes >= 0] = self.book.counts[self.codes[self.codes >= 0]]
        rows[self.codes == NULL] = self.book.nulls
        if self.scale is not None:
            rows[self.on_scale] = self.scale.rows
        tokens = [rows] if not self.base else [rows.reshape(-1, self.base).sum(axis) for axis in (1, 0)]
        return [(counts + 0.5) / (counts + 0.5).sum() for counts in tokens]

    @cached_property
    def _state_of(self) -> np.ndarray:
        """The state of each code, of shape (levels + 1,), the last one null's."""
        on_scale = np.flatnonzero(self.codes == ON_SCALE)
        states = np.full(self.book.levels + 1, on_scale[0] if self.scale is not None else UNSEEN, dtype=np.int64)
        states[-1] = UNSEEN
        told = np.flatnonzero(self.codes >= NULL)
        states[self.codes[told]] = told
        return states

    @property
    def on_scale(self) -> int:
        """The state of a number that has a place on its scale."""
        return int(np.flatnonzero(self.codes == ON_SCALE)[0])

    def states(self, values: np.ndarray) -> np.ndarray:
        """The state of each encoded value, int64 of shape (rows,); UNSEEN for one that was in no training row."""
        code = self.book.code_near(values)
        states: np.ndarray = self._state_of[code]
        if self.book.values is not None and self.scale is None and self.book.levels:
            states = np.where((code >= 0) & (self.book.at(code) != values), UNSEEN, states)
        return states

    def tokens(self, states: np.ndarray) -> np.ndarray:
        """States as tokens, int64 of shape (rows, tokens); UNSEEN in all of them for what was not seen."""
        if not self.base:
            return states[:, None][:, : len(self.sizes)]
        return np.asarray(np.where((states < 0)[:, None], UNSEEN, np.column_stack(np.divmod(states, self.base))))

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each value's interval on the scale begins and ends; all of the scale for what has no place on it."""
        assert self.scale is not None
        code = self.book.code_near(values)
        low, high = self.scale.intervals(np.maximum(code, 0))
        off = self._state_of[code] != self.on_scale
        return np.where(off, 0.0, low), np.where(off, 1.0, high)

    def satisfying(self, clause: Clause) -> np.ndarray:
        """Which states stand for one value that satisfies a clause: boolean of shape (states,)."""
        told = self.codes >= (0 if clause.codes is None else -1)
        if clause.null:
            return np.asarray(self.codes == NULL)
        held = clause.holds(self.book.at(np.where(told, self.codes, NULL)))
        return np.asarray(told & held)

    def values(self, tokens: np.ndarray, place: np.ndarray | None) -> np.ndarray:
        """The inverse: encoded values of shape (rows,) from tokens of shape (rows, tokens) and places."""
        states = tokens[:, 0] * self.base + tokens[:, 1] if self.base else tokens[:, 0] if self.sizes else None
        code = self.codes[np.zeros(len(tokens), dtype=np.int64) if states is None else states]
        if self.scale is None or place is None:
            return self.book.at(code)
        return np.where(code == ON_SCALE, self.scale.values(place), self.book.at(np.maximum(code, NULL)))

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return self.book.to_arrays(prefix)


@dataclass(frozen=True, eq=False)
class Cells:
    """All columns of a table, and where each has its tokens and its place.

    sizes: states of each token. parent: for the second of two tokens the first's number, else -1. state_of: for each place,
    the token that says whether it is on the scale, or -1 where it always is; state: which of its states says so.
    """

    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, rows: Encoded) -> Cells:
        return cls.of_books(Codebook.of(column)[0] for column in rows.columns)

    @classmethod
    def of_books(cls, books: Iterable[Codebook]) -> Cells:
        """The cells of columns whose values are known, in their order."""
        return cls(tuple(Cell.of(book) for book in books))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(size for cell in self.cells for size in cell.sizes)

    @cached_property
    def tokens_at(self) -> tuple[slice, ...]:
        """The tokens of each column."""
        ends = np.cumsum([len(cell.sizes) for cell in self.cells])
        return tuple(slice(int(end) - len(cell.sizes), int(end)) for cell, end in zip(self.cells, ends, strict=True))

    @cached_property
    def place_at(self) -> tuple[int | None, ...]:
        """The place of each column, None where it has none."""
        numbers = np.cumsum([cell.scale is not None for cell in self.cells])
        return tuple(None if c.scale is None else int(at) - 1 for c, at in zip(self.cells, numbers, strict=True))

    @property
    def places(self) -> int:
        return sum(cell.scale is not None for cell in self.cells)

    @cached_property
    def parent(self) -> tuple[int, ...]:
        found = [-1] * len(self.sizes)
        for cell, at in zip(self.cells, self.tokens_at, strict=True):
            if cell.base:
                found[at.start + 1] = at.start
        return tuple(found)

    @cached_property
    def gates(self) -> tuple[tuple[int, int], ...]:
        """For each place, the token that says whether the number is on its scale, and which state says so; (-1, 0) where
        it always is."""
        found = []
        for cell, at in zip(self.cells, self.tokens_at, strict=True):
            if cell.scale is not None:
                found.append((at.start, cell.on_scale) if cell.sizes else (-1, 0))
        return tuple(found)

    def encode(self, rows: Mapping[str, EncodedColumn], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, int32 of shape (rows, tokens), and where the places lie, two of float32 and shape (rows, places)."""
        tokens = np.zeros((size, len(self.sizes)), dtype=np.int32)
        low, high = np.zeros((size, self.places), dtype=np.float32), np.ones((size, self.places), dtype=np.float32)
        for cell, at, place in zip(self.cells, self.tokens_at, self.place_at, strict=True):
            values = rows[cell.name].values
            tokens[:, at] = cell.tokens(cell.states(values))
            if place is not None:
                low[:, place], high[:, place] = cell.intervals(values)
        return tokens, low, high

    def decode(self, tokens: np.ndarray, places: np.ndarray) -> dict[str, np.ndarray]:
        """Encoded values by column, from tokens of shape (rows, tokens) and places of shape (rows, places)."""
        return {
            cell.name: cell.values(tokens[:, at], None if place is None else places[:, place])
            for cell, at, place in zip(self.cells, self.tokens_at, self.place_at, strict=True)
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for place, cell in enumerate(self.cells):
            arrays |= cell.to_arrays(f"{place}")
        return arrays

    @property
    def nulls(self) -> list[int]:
        return [cell.book.nulls for cell in self.cells]

    @classmethod
    def from_arrays(cls, nulls: list[int], arrays: Mapping[str, np.ndarray], template: Encoded) -> Cells:
        """The inverse of `to_arrays` and `nulls`."""
        return cls.of_books(
            Codebook.from_arrays(f"{place}", arrays, column, nulls[place]) for place, column in enumerate(template.columns)
        )
