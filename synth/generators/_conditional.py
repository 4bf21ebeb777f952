"""One column given the columns before it: what its trees ask, and what their donors give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synth.data.conditions import Clause
from synth.generators._codes import Codebook
from synth.generators._forest import Forest, Within
from synth.generators._given import Rows
from synth.generators._guess import Guess

NUMBER_FORMS = 3  # features that every number has; what comes after them are a moment's places in the calendar
EVEN_BINS = 32  # bins of about equal rows in which a number counts as one value, when it is evidence for others


@dataclass(frozen=True, eq=False)
class Questions:
    """What the trees of one column may ask about a row.

    predictors: the earlier columns, of which `numbers` are numbers. places: for categories whose levels are ordered anew for
    this column, the place of each level, float32 of shape (levels + 1,). slopes: regressions on the numbers, of shape (2,
    numbers): by value, and by log-odds of rank. guess: a boosted one, of which there are two halves.
    """

    predictors: tuple[str, ...]
    numbers: tuple[str, ...]
    places: Mapping[str, np.ndarray]
    slopes: np.ndarray
    guess: Guess | None = None

    def plain(self, rows: Rows) -> np.ndarray:
        """All but the guess, float32 of shape (rows, questions)."""
        calendars = [rows.features[earlier][:, NUMBER_FORMS:] for earlier in self.numbers]
        table = np.empty((rows.size, len(self.predictors) + len(self.slopes)), dtype=np.float32)
        for at, earlier in enumerate(self.predictors):
            place, first = self.places.get(earlier), rows.features[earlier][:, 0]
            table[:, at] = first if place is None else place[first.astype(np.int64)]
        for form, slope in enumerate(self.slopes):
            columns = np.column_stack([rows.features[earlier][:, 1 + form] for earlier in self.numbers])
            # Not by a matrix product, whose last bits depend on the number of threads.
            table[:, len(self.predictors) + form] = np.einsum("rc,c->r", columns, slope)
        return np.hstack([table, *calendars]) if any(part.shape[1] for part in calendars) else table

    def answers(self, rows: Rows, half: np.ndarray) -> np.ndarray:
        """What a tree is told of each row, float32 of shape (rows, questions), by the guess of this half."""
        table = self.plain(rows)
        return table if self.guess is None else np.hstack([table, self.guess.of(table, half)])

    def both(self, rows: Rows) -> tuple[np.ndarray, ...]:
        """What even trees are told of the rows and what odd ones are; one table where there is no guess to differ in."""
        table = self.plain(rows)
        if self.guess is None:
            return (table,)
        return tuple(np.hstack([table, self.guess.of(table, np.full(rows.size, half))]) for half in (0, 1))


@dataclass(frozen=True, eq=False)
class Conditional:
    """A column's distribution given the columns before it.

    repeats: earlier numbers whose value the column may take over: code `levels + k` of a donor stands for the k-th of them.
    interpolate: whether donors' numbers are moved toward a neighbour's.
    """

    book: Codebook
    questions: Questions
    forest: Forest
    repeats: tuple[str, ...]
    interpolate: bool

    @property
    def _moves(self) -> bool:
        return self.book.smooth and self.interpolate

    def draw(self, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """A value for each row, encoded, of shape (rows,)."""
        tree = rng.integers(len(self.forest.root), size=rows.size)
        return self.values(self.forest.draw(self.questions.answers(rows, tree % 2), tree, rng), rows, rng)

    def values(self, run: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """What these runs of donors give the rows, encoded, of shape (rows,)."""
        code = self.forest.run_code[run]
        repeated = code - self.book.levels
        own = np.where(repeated < 0, code, -1) if self.repeats else code
        values = self._own(own, run, rng)
        for place, earlier in enumerate(self.repeats):
            theirs = np.flatnonzero(repeated == place)
            values[theirs] = self._taken_over(rows.values[earlier][theirs], run[theirs], rng)
        return values

    def _own(self, code: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self._moves:
            return self.book.at(code)
        before, after = self.forest.neighbours(run)
        neighbour = self.forest.run_code[np.where(rng.random(len(run)) < 0.5, before, after)]
        return self.book.between(code, np.where(neighbour < self.book.levels, neighbour, -1), rng.random(len(run)))

    def _taken_over(self, values: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Values of another column of the row, where they are possible here; else what a donor nearby in the leaf gives."""
        assert self.book.values is not None
        possible = (values >= self.book.values[0]) & (values <= self.book.values[-1])
        before, _ = self.forest.neighbours(run)
        code = self.forest.run_code[before]
        alone = np.searchsorted(np.cumsum(self.book.counts), rng.integers(self.book.counts.sum(), size=len(run)), side="right")
        return np.where(possible, values, self.book.at(np.where((code >= 0) & (code < self.book.levels), code, alone)))

    # conditions ----------------------------------------------------------------------------------------------------

    def part(self, clause: Clause) -> Forest:
        """The donors from which a value that satisfies the clause can come."""
        return self.forest.restricted(self._may_hold(clause))

    def _may_hold(self, clause: Clause) -> np.ndarray:
        """The runs, of shape (runs,), from which a value that satisfies the clause can come."""
        code = self.forest.run_code
        repeats = code >= self.book.levels
        here = self.book.at(np.where(repeats, -1, code))
        own = np.where(repeats, not clause.null, clause.holds(here))
        if clause.null or not self._moves:
            return own
        before, after = self.forest.neighbours(np.arange(len(code)))
        low, high = np.fmin(here[before], here), np.fmax(here[after], here)
        if self.book.per_day is not None:  # the time of day may lead beyond either end
            low, high = low - self.book.per_day, high + self.book.per_day
        return np.asarray(own | ((low <= clause.high) & (high >= clause.low)))

    def within(self, part: Forest, rows: Rows) -> Within:
        return self.forest.within(part, self.questions.both(rows))

    def shares(self, parts: Iterable[Forest], rows: Rows) -> np.ndarray:
        return self.forest.shares_of(parts, self.questions.both(rows))

    # evidence ------------------------------------------------------------------------------------------------------

    def likelihood(self, rows: Rows) -> np.ndarray:
        """The share of the row's value, or of values about like it, among the donors it could have: mean over the trees.

        As if one donor more came from all rows alike, so that nothing is impossible.
        """
        bins, share = self._binned
        node, weight = self.forest.candidates(self.questions.both(rows))
        value = rows.values[self.book.name]
        chance = (weight * share[node, bins[self.book.code_near(value)][:, None]]).sum(axis=1)
        for place, earlier in enumerate(self.repeats):
            same = np.flatnonzero(value == rows.values[earlier])
            chance[same] += (weight[same] * share[node[same], len(share[0]) - len(self.repeats) + place]).sum(axis=1)
        return np.asarray(chance)

    @cached_property
    def _binned(self) -> tuple[np.ndarray, np.ndarray]:
        """The bin of each code, and the share of each bin at each node; bins for what is repeated come last."""
        bins = self.book.bins(EVEN_BINS)
        code, last = self.forest.run_code, int(bins[-1]) + 1
        repeated = code - self.book.levels
        group = np.where(repeated >= 0, last + repeated, bins[np.where(repeated >= 0, -1, code)])
        counts = self.forest.counts(group)
        counts = np.pad(counts, ((0, 0), (0, last + len(self.repeats) - counts.shape[1])))
        everywhere = np.bincount(bins, np.append(self.book.counts, self.book.nulls)) + 1 / len(bins)
        everywhere = np.append(everywhere / everywhere.sum(), np.zeros(len(self.repeats)))
        return bins, ((counts + everywhere) / (counts.sum(axis=1, keepdims=True) + 1)).astype(np.float32)

    # saving --------------------------------------------------------------------------------------------------------

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        asked = self.questions
        guess = {} if asked.guess is None else asked.guess.to_arrays(prefix)
        places = np.concatenate([np.empty(0, dtype=np.float32), *asked.places.values()])
        own = {f"{prefix}.slopes": asked.slopes, f"{prefix}.levels": places}
        return self.book.to_arrays(prefix) | self.forest.to_arrays(prefix) | guess | own

    @classmethod
    def from_arrays(
        cls,
        prefix: str,
        arrays: Mapping[str, np.ndarray],
        *,
        book: Codebook,
        books: Mapping[str, Codebook],
        predictors: Sequence[str],
        repeats: Sequence[str],
        interpolate: bool,
    ) -> Conditional:
        """The inverse of `to_arrays`; books: of the columns before this one."""
        ordered = [earlier for earlier in predictors if books[earlier].has_order_per_target]
        ends = np.cumsum([books[earlier].levels + 1 for earlier in ordered])
        places: dict[str, Any] = dict(zip(ordered, np.split(arrays[f"{prefix}.levels"], ends[:-1]), strict=False))
        numbers = tuple(earlier for earlier in predictors if books[earlier].is_number)
        guess = Guess.from_arrays(prefix, arrays)
        questions = Questions(tuple(predictors), numbers, places, arrays[f"{prefix}.slopes"], guess)
        return cls(book, questions, Forest.from_arrays(prefix, arrays), tuple(repeats), interpolate)
