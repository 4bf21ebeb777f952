"""Mode-specific normalisation: a column as states, one of which each row is in, and for numbers a position within the state.

After CTGAN (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019) and CTAB-GAN+ (Zhao et al., Frontiers in
Big Data 2024), whose modes are the components of a Gaussian mixture, and whose mixed type has spikes as modes of their own.
Here modes are stretches that hold equally many rows, so that positions are even on [-1, 1] whatever the column's scale or tail.

- A number: values that stand out, such as 0 or 99999, are a state each, null is one, and what lies between is cut into modes.
- A category: a level is a state. Beyond MOST_STATES of them the rarer levels share states, and are drawn within one by how
  common they are: a column's width does not grow with its levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.generators._codes import Codebook

MOST_STATES = 96  # levels of a category that have a state each, those that share one counted as one
SHARED = 32  # ... of which so many are shared by the rarer levels
MOST_ATOMS = 32  # values of a number that have a state each
KNOTS = 1_000  # values that tell a near-unique number's quantiles, between which it is drawn
FEWEST_IN_MODE = 30  # rows: fewer make no mode of their own
PARTS = ("values", "weights", "ends", "counts", "wide")  # that are saved


@dataclass(frozen=True, eq=False)
class Modes:
    """The states of one column, and what they stand for.

    values: what can be drawn, state by state: codes of categories, or numbers, float64 of shape (values,), ascending within a
    state. ends: where each state's values end, int64 of shape (states,); null, where there is one, is the last state and has
    none. weights: rows behind each value; one state draws its values by weight. counts: rows per state.
    wide: boolean of shape (states,), the states of a number that have positions. between: whether numbers of such a state are
    drawn between its values, rather than on them.
    """

    name: str
    is_number: bool
    values: np.ndarray
    weights: np.ndarray
    ends: np.ndarray
    counts: np.ndarray
    wide: np.ndarray
    has_null: bool
    between: bool = False

    @classmethod
    def of(cls, column: EncodedColumn, modes: int) -> Modes:
        """Read them off a column: at most so many modes between the spikes of a number."""
        return cls.of_book(Codebook.of(column)[0], modes)

    @classmethod
    def of_book(cls, book: Codebook, modes: int) -> Modes:
        """Those of a column whose values are known."""
        return _of_number(book, modes) if book.is_number else _of_category(book)

    @property
    def states(self) -> int:
        return len(self.counts)

    @property
    def has_position(self) -> bool:
        return bool(self.wide.any())

    @cached_property
    def starts(self) -> np.ndarray:
        return np.append(0, self.ends[:-1])

    @cached_property
    def _cumulative(self) -> np.ndarray:
        """Rows behind all values before each, and last all of them."""
        return np.append(0.0, np.cumsum(self.weights))

    @cached_property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the states of a number stand: the normal score of the middle of each, and half of what it stretches over.

        Zero for null, and for categories.
        """
        known = self.states - self.has_null
        if not self.is_number or not known:
            return np.zeros(self.states), np.zeros(self.states)
        order = np.argsort(self._middle[:known], kind="stable")
        ends = np.cumsum(self.counts[order])
        total = ends[-1] + 1.0
        low, high = np.empty(known), np.empty(known)
        low[order], high[order] = (ends - self.counts[order] + 0.5) / total, (ends + 0.5) / total
        middle, half = np.zeros(self.states), np.zeros(self.states)
        middle[:known] = ndtri((low + high) / 2)
        half[:known] = np.where(self.wide[:known], (ndtri(high) - ndtri(low)) / 2, 0.0)
        return middle, half

    @property
    def _middle(self) -> np.ndarray:
        """A value of each state, in the middle of it; infinite for null."""
        places = np.minimum((self.starts + self.ends) // 2, len(self.values) - 1)
        return np.where(self.ends > self.starts, self.values[places], np.inf)

    # to states and back ----------------------------------------------------------------------------------------------

    def encode(self, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The state of each encoded value, int64 of shape (rows,), and its position in [-1, 1], float32, 0 in states without.

        A value that holds several rows of its mode has a stretch of positions, of which one is drawn.
        """
        position = np.zeros(len(values), dtype=np.float32)
        null = np.isnan(values) if self.is_number else values < 0
        if self.is_number:
            state = self._state_of_number(values)
        else:
            most = max(self.values.max(initial=-1), values.max(initial=-1))
            of_level = np.full(
                int(most) + 2, self._commonest, dtype=np.int64
            )  # a level that was never seen, like the commonest
            of_level[self.values] = np.repeat(np.arange(self.states), self.ends - self.starts)
            state = of_level[values]
        state[null] = self.states - 1 if self.has_null else self._commonest
        if self.has_position:
            moved = self.wide[state] & ~null
            position[moved] = self._position(state[moved], values[moved], rng)
        return state, position

    def decode(self, state: np.ndarray, position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An encoded value for each state and position: of a state that several levels share, one drawn by weight."""
        null = self.starts[state] == self.ends[state]
        nothing = np.nan if self.is_number else -1
        if null.all():
            return np.full(len(state), nothing)
        u = (np.clip(position, -1, 1).astype(np.float64) + 1) / 2 if self.is_number else rng.random(len(state))
        low, high = self._cumulative[self.starts[state]], self._cumulative[self.ends[state]]
        place = low + u * (high - low)
        last = np.maximum(self.ends[state] - 1, self.starts[state])
        at = np.clip(np.searchsorted(self._cumulative, place, side="right") - 1, self.starts[state], last)
        at = np.minimum(at, len(self.values) - 1)
        value = self.values[at].astype(np.float64 if self.is_number else np.int64)
        if self.between:
            after = np.minimum(at + 1, len(self.values) - 1)  # that of the next mode, after the last of one
            share = (place - self._cumulative[at]) / self.weights[at]
            value = np.where(self.wide[state], value + np.clip(share, 0, 1) * (self.values[after] - value), value)
        return np.where(null, nothing, value)

    @property
    def _commonest(self) -> int:
        return int(np.argmax(self.counts))

    def _state_of_number(self, values: np.ndarray) -> np.ndarray:
        """The state of each number; of one never seen, the mode around it, or the nearest spike where there is none."""
        known = np.where(np.isnan(values), 0.0, values)
        state = np.zeros(len(values), dtype=np.int64)
        wide, atoms = np.flatnonzero(self.wide), np.flatnonzero(~self.wide & (self.ends > self.starts))
        if len(wide):
            lowest = self.values[self.starts[wide]]
            state = wide[np.clip(np.searchsorted(lowest, known, side="right") - 1, 0, len(wide) - 1)]
        if len(atoms):
            spikes = self.values[self.starts[atoms]]
            order = np.argsort(spikes, kind="stable")
            spikes, atoms = spikes[order], atoms[order]
            right = np.minimum(np.searchsorted(spikes, known), len(spikes) - 1)
            left = np.maximum(right - 1, 0)
            near = np.where(np.abs(spikes[left] - known) < np.abs(spikes[right] - known), left, right)
            state = np.where((spikes[near] == known) | (len(wide) == 0), atoms[near], state)
        return state

    def _position(self, state: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = self._cumulative[self.starts[state]], self._cumulative[self.ends[state]]
        u = rng.random(len(values))
        at = np.clip(np.searchsorted(self._values_up, values, side="right") - 1, 0, len(self._values_up) - 1)
        at = np.clip(self._place_up[at], self.starts[state], np.maximum(self.ends[state] - 1, self.starts[state]))
        if self.between:
            after = np.minimum(at + 1, len(self.values) - 1)
            gap = self.values[after] - self.values[at]
            u = np.where(gap > 0, np.clip((values - self.values[at]) / np.where(gap > 0, gap, 1.0), 0, 1), u)
        place = self._cumulative[at] + u * self.weights[at]
        return np.asarray(2 * (place - low) / (high - low) - 1)

    @cached_property
    def _place_up(self) -> np.ndarray:
        """The places of the values that have positions, in ascending order of value."""
        places = np.flatnonzero(np.repeat(self.wide, self.ends - self.starts))
        return places[np.argsort(self.values[places], kind="stable")]

    @cached_property
    def _values_up(self) -> np.ndarray:
        return np.asarray(self.values[self._place_up])

    # conditions --------------------------------------------------------------------------------------------------------

    def share(self, clause: Clause) -> np.ndarray:
        """About what share of each state's draws satisfies a clause, float64 of shape (states,); 0 only where none does."""
        held = clause.holds(self.values) * self.weights
        ends = np.append(0.0, np.cumsum(held))
        found = (ends[self.ends] - ends[self.starts]) / np.maximum(
            self._cumulative[self.ends] - self._cumulative[self.starts], 1e-9
        )
        if self.has_null:
            found[-1] = clause.null
        if self.between and not clause.null:  # a value between two that are not allowed may be
            low = np.array([self.values[start] if wide else np.inf for start, wide in zip(self.starts, self.wide, strict=True)])
            high = np.array([self.values[end - 1] if wide else -np.inf for end, wide in zip(self.ends, self.wide, strict=True)])
            found[(low <= clause.high) & (high >= clause.low)] += 1e-3
        return np.asarray(np.minimum(found, 1.0))

    def given(self, clause: Clause) -> Modes:
        """The same states with only the levels of a category that satisfy a clause to be drawn from."""
        held = clause.holds(self.values)
        return self if self.is_number or held.all() else replace(self, weights=np.where(held, self.weights, 0.0))

    # saving ------------------------------------------------------------------------------------------------------------

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.{part}": getattr(self, part) for part in PARTS}

    @classmethod
    def from_arrays(
        cls, prefix: str, arrays: Mapping[str, np.ndarray], column: EncodedColumn, has_null: bool, between: bool
    ) -> Modes:
        """The inverse of `to_arrays`; `column` is the template's."""
        values, weights, ends, counts, wide = (arrays[f"{prefix}.{part}"] for part in PARTS)
        return cls(column.name, not column.is_category, values, weights, ends, counts, wide, has_null, between)


def _of_category(book: Codebook) -> Modes:
    """The commonest levels by themselves, the others in runs of about equally many rows."""
    order = np.argsort(-book.counts, kind="stable")
    order = order[: int((book.counts > 0).sum())]
    counts = book.counts[order]
    alone = len(order) if len(order) <= MOST_STATES else MOST_STATES - SHARED
    ends = np.arange(1, alone + 1)
    if alone < len(order):
        after = np.cumsum(counts[alone:])
        cuts = np.searchsorted(after, np.arange(1, SHARED) * after[-1] / SHARED, side="right")
        ends = np.unique(np.concatenate([ends, alone + cuts[cuts > 0], [len(order)]]))
    rows = np.diff(np.append(0, np.cumsum(counts))[np.append(0, ends)])
    return _with_null(book, order.astype(np.int64), counts, ends, rows, np.zeros(len(ends), dtype=bool))


def _of_number(book: Codebook, modes: int) -> Modes:
    """Spikes by themselves, and what lies between in modes of equally many rows."""
    assert book.values is not None
    spike = book.spike if book.levels > MOST_ATOMS else np.ones(book.levels, dtype=bool)
    if spike.sum() > MOST_ATOMS:
        least = np.sort(book.counts[spike])[-MOST_ATOMS]
        spike = spike & (book.counts >= least)
    atoms, atom_counts = book.values[spike], book.counts[spike]
    values, counts = book.values[~spike], book.counts[~spike].astype(np.float64)
    rows, between = counts.sum(), False
    if len(values) > KNOTS and not book.is_often:
        values, counts, between = *_knots(values, counts), True
    cumulative = np.cumsum(counts)
    modes = int(max(1, min(modes, rows // FEWEST_IN_MODE)))
    cuts = (
        np.searchsorted(cumulative, np.arange(1, modes) * cumulative[-1] / modes) + 1
        if len(values)
        else np.array([], dtype=int)
    )
    ends = np.unique(np.concatenate([cuts, [len(values)]])).astype(np.int64) if len(values) else np.array([], dtype=np.int64)
    mode_counts = np.diff(np.append(0.0, cumulative)[np.append(0, ends)])
    return _with_null(
        book,
        np.concatenate([atoms, values]),
        np.concatenate([atom_counts, counts]),
        np.concatenate([np.arange(1, len(atoms) + 1), len(atoms) + ends]),
        np.concatenate([atom_counts, mode_counts]),
        np.arange(len(atoms) + len(ends)) >= len(atoms),
        between,
    )


def _knots(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values at even steps of rank, between which others are drawn, and the rows from each to the next."""
    ends = np.cumsum(counts)
    at = np.unique(np.searchsorted(ends, np.linspace(0, ends[-1], KNOTS + 1)).clip(0, len(values) - 1))
    return values[at], np.diff(np.append(np.append(0.0, ends)[at], ends[-1])).clip(1e-6)


def _with_null(
    book: Codebook,
    values: np.ndarray,
    weights: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    wide: np.ndarray,
    between: bool = False,
) -> Modes:
    if has_null := book.nulls > 0:
        ends, counts, wide = np.append(ends, len(values)), np.append(counts, book.nulls), np.append(wide, False)
    return Modes(
        book.name,
        book.is_number,
        values,
        weights.astype(np.float64),
        ends.astype(np.int64),
        np.rint(counts).astype(np.int64),
        wide,
        has_null,
        between,
    )
