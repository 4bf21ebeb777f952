"""Rows that satisfy a condition, from any model that draws its columns one after another.

Restricting each column in turn would be biased: an early value after which a late clause is unlikely would come too often.
So a row is begun, and goes on past each clause with the probability of the clause given its columns so far, over a bound
that no row's probability exceeds; there its value is drawn given the clause. That is rejection sampling (von Neumann 1951),
clause by clause so that little work goes into rows that are turned down, and the rows that come through are exact.

- The combinations of the first categories are enumerated with their probability, so that conditions on them need no luck.
- Where the bound is far above what rows have, the largest probability that was seen takes its place (Caffo, Booth and Davis,
  "Empirical supremum rejection sampling", Biometrika 2002).
- Where that is still too rare, rows are copied in proportion to their weight before their last columns are drawn
  (sampling-importance-resampling, Rubin 1987), and the rows say what they are worth: Kish's effective sample size.

The model says, for one column and the rows drawn so far, how likely a draw may satisfy a clause, and draws given that it may;
everything else is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from synth.data.conditions import Clause
from synth.data.schema import Kind
from synth.errors import GenerationError
from synth.generators._codes import Codebook
from synth.generators._effort import Effort

MOST_CELLS = 20_000  # combinations of leading categories that are enumerated
FEWEST_TOGETHER = 500  # rows that are begun together
MOST_VALUES = 2_000_000  # ... and cells of their table, at most
FEWEST_STARTED = 50_000  # rows begun before bounds give way to what was seen
EXACT_PER_ROW = 20  # ... and per row wanted
MOST_STARTED, MOST_PER_ROW = 2_000_000, 50  # rows begun in all, or per row wanted where that is more
HOPELESS = 500_000  # rows begun of which none was found
FEWEST_EFFECTIVE = 0.1  # share of the rows that must be independent ones


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows whose first columns are drawn: encoded values of shape (size,) by column, and what later columns ask of them."""

    size: int
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def having(self, book: Codebook, values: np.ndarray) -> Rows:
        """The same rows with one more column."""
        features = {**self.features, book.name: book.features(values)}
        return Rows(self.size, {**self.values, book.name: values}, features)

    def take(self, rows: np.ndarray) -> Rows:
        """The rows at these positions, in this order."""
        values = {name: column[rows] for name, column in self.values.items()}
        return Rows(len(rows), values, {name: column[rows] for name, column in self.features.items()})


class Sequential(Protocol):
    """What is asked of the model. A *part* of a column is a set of draws, those from which a value that satisfies a clause can
    come; all values drawn from a category's part satisfy it, those from a number's are checked."""

    _order: tuple[str, ...]
    _books: dict[str, Codebook]

    def _draw_column(self, name: str, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """A value for each row."""

    def _part(self, name: str, clause: Clause) -> Any: ...

    def _within(self, name: str, part: Any, rows: Rows) -> Any:
        """How likely the draw of each row is in the part: an object with `share`, of shape (rows,), and `take(rows)`."""

    def _draw_within(self, name: str, within: Any, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """A value for each row, given that the draw is in the part. Only for rows whose share is above 0."""

    def _shares(self, name: str, parts: Iterable[Any], rows: Rows) -> np.ndarray:
        """How likely the draw of each row is in each part, float64 of shape (rows, parts)."""

    def _highest_share(self, name: str, part: Any) -> float:
        """What no row's share exceeds."""


def draw_given(model: Sequential, n: int, clauses: Mapping[str, Clause], rng: np.random.Generator) -> tuple[Rows, Effort]:
    """n rows drawn up to the last column that has a clause, such that all clauses hold, and what they cost.

    Raises GenerationError where the model has none, or too few are found.
    """
    search = _Search(model, clauses)
    budget = max(MOST_STARTED, MOST_PER_ROW * n)
    kept: list[Rows] = []
    copies: list[np.ndarray] = []
    have = 0
    while have < n or not kept:
        if search.started >= (budget if have else HOPELESS):
            raise _too_rare(search, n, have)
        search.ease(n - have, budget - search.started)
        rows, times = search.begin(search.batch(n - have), rng)
        kept.append(rows)
        copies.append(times)
        have += int(times.sum())
    row = np.repeat(np.arange(sum(map(len, copies))), np.concatenate(copies))
    if any((times > 1).any() for times in copies):  # they lie side by side, and only the last would be cut off
        row = rng.permutation(row)
    row = row[:n]
    effective = len(row) ** 2 / max(1, (np.bincount(row) ** 2).sum())  # Kish
    if effective < FEWEST_EFFECTIVE * n:
        raise _too_rare(search, n, int(effective))
    return _together(kept).take(row), Effort(search.started, have, have * float(effective) / max(1, n))


def _too_rare(search: _Search, n: int, have: int) -> GenerationError:
    begun = f"of {search.started:,} rows begun, {have:,} independent ones satisfy the condition on {', '.join(search.clauses)}"
    if have:
        return GenerationError(f"{begun}; {n:,} were asked for.\nAsk for at most {have:,}, or widen the condition.")
    # "Rule of three": with 95% confidence, when none came through (Hanley and Lippman-Hand 1983).
    below = min(1.0, 3 / search.started * search.mass * math.prod(search.levels.values()))
    return GenerationError(f"{begun}: the model gives it a probability below {below:.1g};\nwiden the condition")


class _Search:
    """How rows that satisfy the clauses are looked for, and what has been learned on the way.

    A row goes on past a clause with its probability over the column's level. peaks: the largest such ratio that was seen.
    """

    def __init__(self, model: Sequential, clauses: Mapping[str, Clause]) -> None:
        self.model, self.clauses = model, clauses
        self.names = model._order[: 1 + max(model._order.index(name) for name in clauses)]
        self.cells, weight = _cells(model, self.names, clauses)
        rest = self.names[len(self.cells.values) :]
        self.parts = {name: model._part(name, clauses[name]) for name in rest if name in clauses}
        self.direct: Any = None
        if rest and rest[0] in clauses:  # straight after the cells: the clause is part of their weight
            self.direct = model._within(rest[0], self.parts[rest[0]], self.cells)
            weight = weight * self.direct.share
        self.mass = float(weight.sum())
        weighed = [name for name in self.parts if self.direct is None or name != rest[0]]
        self.levels = {name: model._highest_share(name, self.parts[name]) for name in weighed}
        if self.mass <= 0 or 0 in self.levels.values():
            raise GenerationError(
                f"the model gives no row with this condition on {', '.join(clauses)}: no training row was near it;\n"
                "widen the condition"
            )
        self.weight = weight / self.mass
        self.peaks = dict.fromkeys(weighed, 0.0)
        self.started = 0  # rows begun
        self.eased = 0  # how often levels were lowered, and rows begun and found since
        self.since_started, self.since_found = 0, 0

    def begin(self, size: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
        """Begin so many rows: those that came through, and how often each counts."""
        cell = rng.choice(len(self.weight), size=size, p=self.weight)
        rows, weight = self.cells.take(cell), np.ones(size)
        for name in self.names[len(self.cells.values) :]:
            book = self.model._books[name]
            if name not in self.clauses:
                rows = rows.having(book, self.model._draw_column(name, rows, rng))
                continue
            if name in self.peaks:
                within = self.model._within(name, self.parts[name], rows)
                weight = weight * within.share / self.levels[name]
                self.peaks[name] = max(self.peaks[name], float(weight.max(initial=0.0)))
                through = np.flatnonzero(rng.random(rows.size) < weight)
                rows, within, weight = rows.take(through), within.take(through), np.maximum(weight[through], 1.0)
            else:
                within = self.direct.take(cell)
            value = self.model._draw_within(name, within, rows, rng)
            good = np.flatnonzero(self.clauses[name].holds(value))
            rows, weight = rows.having(book, value).take(good), weight[good]
        copies = np.floor(weight + rng.random(rows.size)).astype(np.int64)
        self.started += size
        self.since_started += size
        self.since_found += int(copies.sum())
        return rows, copies

    @property
    def rate(self) -> float:
        """Rows found per row begun, with the levels as they are."""
        return (self.since_found + 1) / (self.since_started + 1)

    def batch(self, wanted: int) -> int:
        """How many rows to begin next, for so many that are still wanted."""
        most = max(1_000, MOST_VALUES // len(self.names))
        if self.peaks and self.eased < 2 and self.since_started < FEWEST_STARTED:
            most = min(most, FEWEST_STARTED)
        return int(min(most, max(FEWEST_TOGETHER, 1.1 * wanted / self.rate)))

    def ease(self, wanted: int, budget: int) -> None:
        """Lower the levels where too many rows are turned down, once enough were begun with those that there are."""
        needed = wanted / self.rate
        if not self.peaks or self.since_started < FEWEST_STARTED or needed <= FEWEST_STARTED:
            return
        if self.eased == 0 and self.rate < 1 / EXACT_PER_ROW:
            for name, peak in self.peaks.items():
                self.levels[name] *= min(1.0, peak) or 1.0
        elif self.eased == 1 and needed > budget:
            self.levels[list(self.peaks)[-1]] *= max(FEWEST_EFFECTIVE / 2, budget / needed / 2)
        else:
            return
        self.eased += 1
        self.since_started = self.since_found = 0


def _together(parts: list[Rows]) -> Rows:
    values = {name: np.concatenate([rows.values[name] for rows in parts]) for name in parts[0].values}
    features = {name: np.concatenate([rows.features[name] for rows in parts]) for name in parts[0].values}
    return Rows(sum(rows.size for rows in parts), values, features)


def _cells(model: Sequential, names: tuple[str, ...], clauses: Mapping[str, Clause]) -> tuple[Rows, np.ndarray]:
    """Every combination of the leading categories that the clauses allow, and the probability of each."""
    cells, weight = Rows(1), np.ones(1)
    for name in names:
        book = model._books[name]
        if book.is_number:
            break
        levels = np.flatnonzero(np.append(book.counts, book.nulls))
        codes = np.where(levels == book.levels, -1, levels).astype(np.int32)
        if name in clauses:
            codes = codes[clauses[name].holds(codes)]
        if len(codes) * len(weight) > MOST_CELLS:
            break
        parts = [model._part(name, Clause(name, Kind.CATEGORICAL, frozenset([int(code)]))) for code in codes]
        joint = weight[:, None] * model._shares(name, parts, cells)
        cell, level = np.nonzero(joint)
        cells, weight = cells.take(cell).having(book, codes[level]), joint[cell, level]
    return cells, weight
